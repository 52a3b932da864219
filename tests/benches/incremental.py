"""A cycle with one new quarter of an hour, beside the same with ten times the history behind it.

The real cycle on DuckDB and SQLite: enterprises × points registers have history, every figure of which is
committed; then a quarter of an hour is stored and marked as ingest marks it, and one cycle is timed. What it
costs must depend on what is new, not on what is there.
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
from nengshao.domain.time import day_start
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
    """READINGS of quarters first … end − 1 of every point, 25 kWh each."""
    ids = points.select("point").sort("point")
    quarters = pl.DataFrame({"quarter": pl.int_range(first, end, dtype=pl.Int64, eager=True)})
    return ids.join(quarters, how="cross").select(
        "point",
        ts=m.T0 + pl.col("quarter") * m.QUARTER,
        version=m.T0 + pl.col("quarter") * m.QUARTER + 60,
        value=pl.col("quarter") * 25_000_000,
        valid=pl.lit(value=True),
        input_type=pl.lit(4, pl.Int8),
    ).select(list(READINGS.schema))  # fmt: skip


@dataclass(frozen=True)
class Timed:
    """Seconds of the cycles, and of making the history."""

    cycles: list[float]
    history: float


def timed(folder: Path, points: pl.DataFrame, *, days: int, repeats: int) -> Timed:
    """Cycles of one new quarter each, on the morning after `days` days."""
    names = points["enterprise"].unique(maintain_order=True)
    state = open_state(f"sqlite:///{folder / 'state.db'}")
    state.migrate()
    state.save_registry(m.registry(points, enterprises=m.enterprises(*names)), at=m.T0)
    database = open_duckdb(folder / "readings.duckdb")
    store, results = DuckReadingStore(database), DuckResultStore(database)
    clock = SteppedClock(m.T0)
    cycle = Cycle(state, store, results, clock, load_law())
    lease = state.acquire_lease("assess", 0, "bench", 86_400.0)
    assert lease is not None
    began = time.perf_counter()
    quarters = days * 96 + 33  # until eight in the morning
    for first in range(0, quarters, 96):
        store.write(reads_of(points, first, min(first + 96, quarters)))
    clock.move_to(m.T0 + quarters * m.QUARTER)
    cycle.run_once(lease)
    history = time.perf_counter() - began
    cycles = []
    for quarter in range(quarters, quarters + repeats):
        store.write(reads_of(points, quarter, quarter + 1))
        clock.move_to(m.T0 + (quarter + 1) * m.QUARTER)
        dirty = pl.DataFrame({"enterprise": names}).with_columns(
            day=pl.lit(m.DAY + days, pl.Int32), late=pl.lit(value=False)
        )
        state.mark_dirty(dirty.select(list(DIRTY_SCHEMA)))
        began = time.perf_counter()
        report = cycle.run_once(lease)
        cycles.append(round(time.perf_counter() - began, 3))
        assert (report.days, report.judged) == (names.len(), 0)
    day = state.enterprise_days([names[0]], m.DAY + days, m.DAY + days + 1)
    assert day["calorific_g"].item() is not None
    assert day_start(m.DAY + days) < clock.now()
    state.close()
    database.close()
    return Timed(cycles, round(history, 1))


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
        "history_seconds": {f"{factor}x": run.history for factor, run in runs.items()},
        "peer": "the same cycle with a tenth of the history",
        "ratio": round(usual[10] / usual[1], 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
