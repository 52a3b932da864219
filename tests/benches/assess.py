"""A year of quarter-hourly register reads into standard coal per point and day, beside DuckDB's SQL.

Both take the same READINGS, sorted by (point, ts), with the faults of real meters among them (gaps, invalid
values, spikes, rollovers), by the same rules, on the same number of threads, and must give the same rows.
DuckDB reads them from a table of its own and from Parquet, and the faster counts. We are timed on the same
Parquet and on a frame; the slower counts. All take turns; a figure is the median of its turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import duckdb
import polars as pl

from analytics.assessment import Assessment, assess
from analytics.conversion import factor_classes, factors_per_day
from analytics.factor_library import load_factors
from analytics.specs import point_duties
from nengshao.domain.time import day_start
from nengshao.frames import READINGS
from tests.support import metering as m

MACROS: Final = Path(__file__).with_name("assess_macros.sql").read_text(encoding="utf-8")
QUERY: Final = Path(__file__).with_name("assess.sql").read_text(encoding="utf-8")
FIGURES: Final = ["enterprise", "point", "day", "amount", "measured_s", "estimated_s", "calorific_g"]
CAPACITY: Final = 1_000_000  # 10⁻³ kWh per hour: 250 kWh a quarter of an hour
MODULUS: Final = 10**12  # 10⁻⁶ kWh: rolls over about every three and a half months


def points_of(enterprises: int, points: int) -> pl.DataFrame:
    """POINTS: `points` electricity registers each."""
    numbers = range(enterprises * points)
    return m.points(
        *(
            m.point(n, enterprise=f"E{n // points:05d}", capacity=CAPACITY, register_modulus=MODULUS)
            for n in numbers
        )
    )


def reads_of(points: int, days: int) -> pl.LazyFrame:
    """READINGS, sorted; of 1 000 reads about 1 is invalid, 5 are lost one by one and 5 in gaps of 8 hours,
    and of 10 000 about 2 are spikes, each by itself: the SQL knows nothing of runs (`analytics.repairs`)."""
    reads = days * 96 + 1
    row, ts = pl.col("row"), m.T0 + pl.col("row") % reads * m.QUARTER
    rise = (row.hash(1) % 200_000_000).cast(pl.Int64)
    spike = pl.when(row % 5_000 == 500 + (row // 5_000).hash(2) % 4_000).then(300_000_000_000).otherwise(0)
    is_lost = (row.hash(3) % 200 == 0) | ((row // 32).hash(4) % 200 == 0)
    return (
        pl.LazyFrame({"row": pl.int_range(points * reads, eager=True)})
        .with_columns(
            point=row // reads,
            ts=ts,
            version=ts + 60,
            value=(rise.cum_sum() + spike) % MODULUS,
            valid=row.hash(5) % 1_000 != 0,
            input_type=pl.lit(4, pl.Int8),
        )
        .filter(~is_lost)
        .select(list(READINGS.schema))
    )


class Work:
    """The same year for both: READINGS as a frame, in Parquet and in a DuckDB table; registry and factors."""

    def __init__(self, enterprises: int, points: int, days: int, folder: Path) -> None:
        owned = points_of(enterprises, points)
        names = owned["enterprise"].unique(maintain_order=True)
        self.registry = m.registry(owned, enterprises=m.enterprises(*names))
        self.window = (m.DAY, m.DAY + days)
        self.as_of = day_start(m.DAY + days) + 40 * 86_400
        self.factors = load_factors()
        self.readings = reads_of(enterprises * points, days).collect()
        self.parquet = folder / "readings.parquet"
        self.readings.write_parquet(self.parquet)
        self.database = self._database(folder / "readings.duckdb")

    def _database(self, path: Path) -> duckdb.DuckDBPyConnection:
        database = duckdb.connect(str(path))
        database.execute(f"SET threads = {pl.thread_pool_size()}")
        database.execute(MACROS)
        database.register("frame", self.readings)
        database.execute("CREATE TABLE reading AS SELECT * FROM frame ORDER BY point, ts; CHECKPOINT")
        database.unregister("frame")
        registry, (first, end) = self.registry, self.window
        classes = factor_classes(registry.points, registry.enterprises, registry.heating_values, self.factors)
        duties = point_duties(registry.points, registry.enterprises, as_of=self.as_of)
        database.register("point", duties.join(classes.of, on=["enterprise", "carrier"]))
        database.register("factor_day", factors_per_day(self.factors, classes, first_day=first, end_day=end))
        return database

    def assessed(self, readings: pl.LazyFrame) -> Assessment:
        """Ours."""
        return assess(readings, self.registry, self.factors, window=self.window, as_of=self.as_of)

    def queried(self, source: str) -> pl.DataFrame:
        """The peer's rows from a table or file."""
        first, end = self.window
        bounds = {"start": day_start(first), "end": day_start(end)}
        found: pl.DataFrame = self.database.sql(QUERY.format(reading=source), params=bounds).pl()
        return found


def figures_of(readings: pl.LazyFrame, work: Work) -> pl.DataFrame:
    """Ours: every column of POINT_DAYS is computed."""
    return work.assessed(readings).frames().point_days.collect(engine="streaming")


def scanned(parquet: Path) -> pl.DataFrame:
    """What no computation over this file can beat: read the columns that it needs, and add them up."""
    needed = pl.scan_parquet(parquet).select(pl.col("point", "ts", "value", "valid").sum())
    return needed.collect(engine="streaming")


@dataclass
class Spent:
    """Seconds of each turn of a run: by the clock, and of the processors."""

    clock: list[float] = field(default_factory=list)
    processors: list[float] = field(default_factory=list)


def spent_by(runs: dict[str, Callable[[], pl.DataFrame]], repeats: int) -> dict[str, Spent]:
    """What each run took, taking turns, so that what else goes on hits all alike."""
    spent = {name: Spent() for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            clock, processors = time.perf_counter(), time.process_time()
            run()
            spent[name].clock.append(round(time.perf_counter() - clock, 3))
            spent[name].processors.append(round(time.process_time() - processors, 3))
    return spent


def compared(usual: dict[str, float]) -> tuple[float, float]:
    """Ours, the slower of frame and Parquet, and the peer's, the faster of table and Parquet."""
    return max(usual["ours_frame"], usual["ours_parquet"]), min(usual["peer_table"], usual["peer_parquet"])


def differing(ours: pl.DataFrame, peer: pl.DataFrame) -> int:
    """Rows of either that the other does not have. Both are whole numbers and text: equal means equal."""
    mine = ours.select(FIGURES)
    other = peer.select(FIGURES).cast(mine.schema)
    both = mine.join(other, on=FIGURES, how="inner", nulls_equal=True).height
    return mine.height + other.height - 2 * both


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--enterprises", type=int, default=50)
    parser.add_argument("--points", type=int, default=10, help="per enterprise")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Work(args.enterprises, args.points, args.days, Path(folder))
        in_file = f"read_parquet('{work.parquet}')"
        runs: dict[str, Callable[[], pl.DataFrame]] = {
            "scan": lambda: scanned(work.parquet),
            "ours_frame": lambda: figures_of(work.readings.lazy(), work),
            "ours_parquet": lambda: figures_of(pl.scan_parquet(work.parquet), work),
            "peer_table": lambda: work.queried("reading"),
            "peer_parquet": lambda: work.queried(in_file),
            "ours_everything": lambda: work.assessed(work.readings.lazy()).collect().point_days,
        }
        ours = runs["ours_parquet"]()  # the rows are compared once; all are warm when the clock starts
        if differences := differing(ours, runs["peer_table"]()) + differing(ours, runs["peer_parquet"]()):
            raise SystemExit(f"{differences} rows differ between ours and the peer's")
        spent = spent_by(runs, args.repeats)
        rows = work.readings.height
        work.database.close()
    usual = {name: statistics.median(each.clock) for name, each in spent.items()}
    mine, peer = compared(usual)
    my_work, peers_work = compared({name: statistics.median(each.processors) for name, each in spent.items()})
    result = {
        "bench": "assess",
        "readings": rows,
        "point_days": ours.height,
        "threads": pl.thread_pool_size(),
        "seconds": {name: each.clock for name, each in spent.items()},
        "processor_seconds": {name: each.processors for name, each in spent.items()},
        "readings_per_s": round(rows / mine),
        "peer": f"DuckDB {duckdb.__version__}, tests/benches/assess.sql, the faster of table and Parquet",
        "peer_readings_per_s": round(rows / peer),
        "everything_readings_per_s": round(rows / usual["ours_everything"]),
        "scan_limit_share": round(usual["scan"] / mine, 3),
        "rows_checked_equal": ours.height,
        "processor_ratio": round(peers_work / my_work, 2),  # what other work on the machine disturbs least
        "ratio": round(peer / mine, 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
