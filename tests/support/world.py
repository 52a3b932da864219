"""A cycle on real stores, with a clock that is moved by hand: SQLite for the state, memory for the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from analytics.cycle import Cycle, CycleReport, RegionCycle
from analytics.law import Law, load_law
from nengshao.clock import SteppedClock
from nengshao.domain.codes import REGION_PARTITION
from nengshao.ports import DIRTY_SCHEMA, Booking, Lease, StateStore
from nengshao.registry import Registry
from nengshao.stores.memory import MemoryReadingStore, MemoryResultStore
from nengshao.stores.state import open_state
from tests.support import metering as m


class World:
    """Stores, a clock that is moved by hand, and a cycle."""

    def __init__(self, path: Path, registry: Registry, results: Any = None, law: Law | None = None) -> None:
        self.state: StateStore = open_state(f"sqlite:///{path / 'state.db'}", partitions=1)
        self.state.migrate()
        self.state.save_registry(registry, at=m.T0)
        self.readings, self.results = MemoryReadingStore(), results or MemoryResultStore()
        self.clock = SteppedClock(m.T0)
        self.registry = registry
        self.law = law or load_law()
        self.cycle = Cycle(self.state, self.readings, self.results, self.clock, self.law)
        self.regions = RegionCycle(self.state, self.results, self.clock, self.law)

    def deliver(self, frame: pl.DataFrame, *days: int, late: bool = False, heard: int | None = None) -> None:
        """Store readings and book what ingest would: their dirty days, and when the device was heard."""
        self.readings.write(frame)
        owners = dict(self.registry.points.select("point", "enterprise").iter_rows())
        names = sorted({owners[point] for point in frame["point"].unique()}) or [m.ENTERPRISE]
        rows = [(name, m.DAY + day, late) for name in names for day in days]
        dirty = pl.DataFrame(rows, schema=dict(DIRTY_SCHEMA), orient="row")
        lease = self._lease("ingest")
        seen = m.last_seen() if heard is None else m.last_seen((m.ENTERPRISE, "D", heard))
        self.state.book(lease, Booking(at=self.clock.now(), dirty=dirty, last_seen=seen))

    def run(self, at: int) -> CycleReport:
        """Move the clock and run one cycle."""
        self.clock.move_to(at)
        return self.cycle.run_once(self._lease("assess"))

    def run_regions(self) -> CycleReport:
        """One cycle of the regions, at the same instant."""
        return self.regions.run_once(self._lease("assess", REGION_PARTITION))

    def _lease(self, kind: str, partition: int = 0) -> Lease:
        lease = self.state.acquire_lease(kind, partition, "test", 60.0)
        assert lease is not None
        return lease

    def days(self, first: int = 0, end: int = 400, name: str = m.ENTERPRISE) -> pl.DataFrame:
        """ENTERPRISE_DAYS of days counted from m.DAY."""
        return self.state.enterprise_days([name], m.DAY + first, m.DAY + end)
