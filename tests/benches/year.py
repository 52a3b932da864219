"""A year of quarter-hourly reads of 1 000 enterprises × 10 points: 350 million, all in one store, assessed.

The readings are held by a DuckDB store and read through its port by the cycle's own portions; every figure is
committed to SQLite. Storing and assessing have a process each: the peak of memory is that of the one that
assesses. `--days 37` is a tenth.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import polars as pl

from analytics.cycle import Cycle
from analytics.law import load_law
from nengshao.clock import SteppedClock
from nengshao.stores.duckdb import DuckReadingStore, DuckResultStore, open_duckdb
from nengshao.stores.state import open_state
from tests.benches.incremental import points_of, reads_of
from tests.support import metering as m

MOST_KIB: Final = 8 * 1024 * 1024


class Clocked:
    """A store, and the seconds that were spent in it."""

    def __init__(self, store: object) -> None:
        self._store, self.seconds = store, 0.0

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._store, name)

        def timed(*args: Any, **more: Any) -> Any:
            began = time.perf_counter()
            try:
                return attribute(*args, **more)
            finally:
                self.seconds += time.perf_counter() - began

        return timed


def stored(folder: Path, enterprises: int, points: int, days: int, to: Connection) -> None:
    """Fill the store, a day of all points at a time; send the number of readings and the seconds."""
    registered = points_of(enterprises, points)
    names = registered["enterprise"].unique(maintain_order=True)
    state = open_state(f"sqlite:///{folder / 'state.db'}")
    state.migrate()
    state.save_registry(m.registry(registered, enterprises=m.enterprises(*names)), at=m.T0)
    state.close()
    database = open_duckdb(folder / "readings.duckdb")
    store = DuckReadingStore(database)
    began, rows = time.perf_counter(), 0
    for day in range(days):
        reads = reads_of(registered, day * 96, day * 96 + 96)
        store.write(reads)
        rows += reads.height
    seconds = time.perf_counter() - began
    database.close()
    to.send({"readings": rows, "store_seconds": round(seconds, 1)})


def assessed(folder: Path, days: int, to: Connection) -> None:
    """One cycle over all of it; send its seconds and this process's peak memory, KiB."""
    state = open_state(f"sqlite:///{folder / 'state.db'}")
    database = open_duckdb(folder / "readings.duckdb")
    stores: dict[str, Any] = {
        "state": Clocked(state),
        "readings": Clocked(DuckReadingStore(database)),
        "results": Clocked(DuckResultStore(database)),
    }
    clock = SteppedClock(m.T0 + days * 86_400 - 1)
    cycle = Cycle(stores["state"], stores["readings"], stores["results"], clock, load_law())
    lease = state.acquire_lease("assess", 0, "bench", 86_400.0)
    assert lease is not None
    began = time.perf_counter()
    report = cycle.run_once(lease)
    seconds = time.perf_counter() - began
    one = state.enterprise_days([state.registry().enterprises["enterprise"][0]], m.DAY, m.DAY + days - 1)
    assert one.height == days - 1
    assert one.filter(pl.col("calorific_g").is_null()).is_empty()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    within = {name: round(store.seconds, 1) for name, store in stores.items()}
    found = {"seconds": round(seconds, 1), "of_them_in_stores": within, "enterprise_days": report.days}
    to.send(found | {"peak_kib": peak})
    state.close()
    database.close()


def in_a_process(work: Any, *args: Any) -> dict[str, Any]:
    """What the work sends, done in a new process."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(*args, send))
    process.start()
    send.close()
    found: dict[str, Any] = receive.recv()
    process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--enterprises", type=int, default=1000)
    parser.add_argument("--points", type=int, default=10, help="per enterprise")
    parser.add_argument("--days", type=int, default=365)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        held = in_a_process(stored, folder, args.enterprises, args.points, args.days)
        size = sum(file.stat().st_size for file in folder.iterdir())
        done = in_a_process(assessed, folder, args.days)
    result = {
        "bench": "year",
        "enterprises": args.enterprises,
        "points": args.enterprises * args.points,
        "days": args.days,
        **held,
        "disk_mib": size // 2**20,
        **done,
        "peak_gib": round(done["peak_kib"] / 2**20, 2),
        "readings_per_s": round(held["readings"] / done["seconds"]),
        "is_within_8_gib": done["peak_kib"] <= MOST_KIB,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
