"""Stores that live as long as their process: for tests, dry runs and whoever only wants to look."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import polars as pl

from nengshao.domain.errors import StoreRejected
from nengshao.frames import ENTERPRISE_DAYS, INTENSITY, LOAD, PROGRESS, READINGS, Contract, conform
from nengshao.stores.figures import ALERT_COUNTS, FIGURES
from nengshao.stores.versions import edges_of, stored_versions, unstorable_rows, winners, without_rows


class MemoryReadingStore:
    """A `ReadingStore` in memory. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._written: list[pl.DataFrame] = [READINGS.empty()]  # guarded by _lock; merged when read

    def write(self, readings: pl.DataFrame) -> None:
        """See `ReadingStore.write`."""
        rows = conform(readings.lazy(), READINGS).collect()
        rejected = unstorable_rows(rows)
        with self._lock:
            self._written.append(without_rows(rows, rejected))
        if rejected:
            raise StoreRejected("version or time out of bounds", rows=rejected)

    def scan(self, points: Sequence[int], start: int, end: int) -> pl.LazyFrame:
        """See `ReadingStore.scan`."""
        in_window = (pl.col("ts") >= start) & (pl.col("ts") < end)
        return winners(self._of(points).filter(in_window)).lazy()

    def versions(self, keys: pl.DataFrame) -> pl.DataFrame:
        """See `ReadingStore.versions`."""
        return self._stored().join(keys, on=["point", "ts"], how="semi").sort("point", "ts", "version")

    def edges(self, points: Sequence[int], start: int, end: int) -> pl.DataFrame:
        """See `ReadingStore.edges`."""
        won = winners(self._of(points))
        return pl.concat([edges_of(won, "last", start), edges_of(won, "first", end)]).sort("point", "ts")

    def count(self) -> int:
        """See `ReadingStore.count`."""
        return winners(self._stored()).height

    def ping(self) -> None:
        """See `ReadingStore.ping`."""

    def close(self) -> None:
        """Nothing is held that would have to be released."""

    def _of(self, points: Sequence[int]) -> pl.DataFrame:
        return self._stored().filter(pl.col("point").is_in(pl.Series(points, dtype=pl.Int64).implode()))

    def _stored(self) -> pl.DataFrame:
        with self._lock:
            if len(self._written) > 1:
                self._written = [stored_versions(pl.concat(self._written))]
            return self._written[0]


class MemoryResultStore:
    """A `ResultStore` in memory. What was written can be looked at in `days`, `progress`,
    `alerts` and `intensity`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables = {contract.name: contract.empty() for contract in (LOAD, *FIGURES)}  # guarded by _lock

    def write_load(self, load: pl.DataFrame) -> None:
        """See `ResultStore.write_load`."""
        self._replace(LOAD, load)

    def load(self, enterprise: str, start: int, end: int) -> pl.DataFrame:
        """See `ResultStore.load`."""
        mine = (pl.col("enterprise") == enterprise) & (pl.col("start") >= start) & (pl.col("start") < end)
        return self._table(LOAD).filter(mine).sort("point", "start")

    def write_figures(
        self, days: pl.DataFrame, progress: pl.DataFrame, alerts: pl.DataFrame, intensity: pl.DataFrame
    ) -> None:
        """See `ResultStore.write_figures`."""
        for contract, rows in zip(FIGURES, (days, progress, alerts, intensity), strict=True):
            self._replace(contract, rows)

    @property
    def days(self) -> pl.DataFrame:
        """ENTERPRISE_DAYS written, sorted by key."""
        return self._table(ENTERPRISE_DAYS)

    @property
    def progress(self) -> pl.DataFrame:
        """PROGRESS written, sorted by key."""
        return self._table(PROGRESS)

    @property
    def alerts(self) -> pl.DataFrame:
        """ALERT_COUNTS written, sorted by key."""
        return self._table(ALERT_COUNTS)

    @property
    def intensity(self) -> pl.DataFrame:
        """INTENSITY written, sorted by key."""
        return self._table(INTENSITY)

    def close(self) -> None:
        """Nothing is held that would have to be released."""

    def _table(self, contract: Contract) -> pl.DataFrame:
        with self._lock:
            return self._tables[contract.name].sort(contract.key)

    def _replace(self, contract: Contract, rows: pl.DataFrame) -> None:
        new = conform(rows.lazy(), contract).collect()
        with self._lock:
            both = pl.concat([self._tables[contract.name], new])
            self._tables[contract.name] = both.unique(contract.key, keep="last", maintain_order=True)
