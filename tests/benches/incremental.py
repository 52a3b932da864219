"""A cycle with one new quarter of an hour, beside the same with ten times the history behind it.

The real cycle on DuckDB and SQLite: enterprises × points registers have history, every figure of which is
committed; then a quarter of an hour is stored and marked as ingest marks it, and one cycle is timed. What it
costs must depend on what is new, not on what is there. Beside it one cycle the next night, in which a day of
every enterprise is published and judged: that one looks at the year and the year before.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from analytics.cycle import Cycle
from analytics.law import load_law
from nengshao.clock import SteppedClock
from nengshao.domain.codes import PointKey, credit_code_check_character
from nengshao.frames import READINGS
from nengshao.ports import DIRTY_SCHEMA
from nengshao.stores.duckdb import DuckReadingStore, DuckResultStore, open_duckdb
from nengshao.stores.state import open_state
from tests.support import metering as m


def points_of(enterprises: int, points: int) -> pl.DataFrame:
    """POINTS: electricity registers under the ids that their identities have."""
    rows = []
    for number in range(enterprises):
        body = f"91990001M{number:08d}"
        code = body + credit_code_check_character(body)
        for meter in range(points):
            row = m.point(0, enterprise=code, data_code=f"{meter:016d}")
            key = PointKey(code, row["data_code"], row["stat_type"], row["meter"])
            rows.append(row | {"point": key.point})
    return m.points(*rows)


def reads_of(points: pl.DataFrame, first: int, end: int) -> pl.DataFrame:
    """READINGS of quarters first … end − 1 of every point, about 25 kWh each; of 1 000 about 5 are lost one
    by one, 10 in gaps of 8 hours, and 1 is invalid."""
    ids = points.select("point").sort("point")
    quarters = pl.DataFrame({"quarter": pl.int_range(first, end, dtype=pl.Int64, eager=True)})
    row = pl.col("point") + pl.col("quarter")
    gap = pl.col("point") + pl.col("quarter") // 32
    is_told = (row.hash(1) % 200 != 0) & (gap.hash(2) % 100 != 0)
    return ids.join(quarters, how="cross").filter(is_told).select(
        "point",
        ts=m.T0 + pl.col("quarter") * m.QUARTER,
        version=m.T0 + pl.col("quarter") * m.QUARTER + 60,
        value=pl.col("quarter") * 25_000_000 + (row.hash(4) % 20_000_000).cast(pl.Int64),
        valid=row.hash(3) % 1000 != 0,
        input_type=pl.lit(4, pl.Int8),
    ).select(list(READINGS.schema))  # fmt: skip


@dataclass(frozen=True)
class Timed:
    """Seconds of each cycle with one new quarter, of one that publishes a day, and of making the history."""

    cycles: list[float]
    published: float
    history: float


class Plant:
    """The real stores and the real cycle over these points, empty."""

    def __init__(self, folder: Path, points: pl.DataFrame) -> None:
        self.points = points
        self.names = points["enterprise"].unique(maintain_order=True)
        self.state = open_state(f"sqlite:///{folder / 'state.db'}")
        self.state.migrate()
        quotas = pl.concat([m.quota(99, enterprise=name) for name in self.names])
        registry = m.registry(points, enterprises=m.enterprises(*self.names), quotas=quotas)
        self.state.save_registry(registry, at=m.T0)
        self.database = open_duckdb(folder / "readings.duckdb")
        self.store, results = DuckReadingStore(self.database), DuckResultStore(self.database)
        self.clock = SteppedClock(m.T0)
        self.cycle = Cycle(self.state, self.store, results, self.clock, load_law())
        lease = self.state.acquire_lease("assess", 0, "bench", 86_400.0)
        assert lease is not None
        self.lease = lease

    def seconds_of(self, first: int, end: int, *, days: int, are_judged: bool) -> float:
        """Of one cycle after quarters first … end − 1 were stored and marked as ingest marks them."""
        for since in range(first, end, 96):
            self.store.write(reads_of(self.points, since, min(since + 96, end)))
        dirty = pl.DataFrame({"day": range(m.DAY + first // 96, m.DAY + (end - 1) // 96 + 1)})
        marks = pl.DataFrame({"enterprise": self.names}).join(dirty, how="cross")
        marks = marks.with_columns(pl.col("day").cast(pl.Int32), late=pl.lit(value=False))
        self.state.mark_dirty(marks.select(list(DIRTY_SCHEMA)))
        self.clock.move_to(m.T0 + end * m.QUARTER)
        began = time.perf_counter()
        report = self.cycle.run_once(self.lease)
        seconds = time.perf_counter() - began
        at_least = self.names.len() * days, self.names.len() if are_judged else 0
        if report.days < at_least[0] or report.judged < at_least[1]:
            raise SystemExit(f"{report}: fewer than {at_least} days and judgements")
        return round(seconds, 3)

    def close(self) -> None:
        self.state.close()
        self.database.close()


def timed(folder: Path, points: pl.DataFrame, *, days: int, repeats: int) -> Timed:
    """Cycles of one new quarter each, on the morning after `days` days, and the one of two the next night."""
    plant = Plant(folder, points)
    morning, night = days * 96 + 33, days * 96 + 96 + 8
    history = plant.seconds_of(0, morning, days=days + 1, are_judged=True)
    new = range(morning, morning + repeats)
    cycles = [plant.seconds_of(quarter, quarter + 1, days=1, are_judged=False) for quarter in new]
    published = plant.seconds_of(morning + repeats, night, days=2, are_judged=True)
    day = plant.state.enterprise_days([plant.names[0]], m.DAY + days, m.DAY + days + 1)
    assert day["published"].item()
    assert day["calorific_g"].item() is not None
    plant.close()
    return Timed(cycles, published, history)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--enterprises", type=int, default=1000)
    parser.add_argument("--points", type=int, default=10, help="per enterprise")
    parser.add_argument("--days", type=int, default=3, help="of history; the other run has ten times as many")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    points = points_of(args.enterprises, args.points)
    runs = {}
    for factor in (1, 10):
        with tempfile.TemporaryDirectory() as folder:
            runs[factor] = timed(Path(folder), points, days=factor * args.days, repeats=args.repeats)
    usual = {factor: statistics.median(run.cycles) for factor, run in runs.items()}
    result = {
        "bench": "incremental",
        "enterprises": args.enterprises,
        "points": args.enterprises * args.points,
        "days": args.days,
        "seconds": {f"{factor}x": run.cycles for factor, run in runs.items()},
        "publishing_seconds": {f"{factor}x": run.published for factor, run in runs.items()},
        "history_seconds": {f"{factor}x": run.history for factor, run in runs.items()},
        "peer": "the same cycle with a tenth of the history",
        "ratio": round(usual[10] / usual[1], 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
