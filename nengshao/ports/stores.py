"""Readings for ever, and results for charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import polars as pl


class ReadingStore(Protocol):
    """Every version of every reading, for ever.

    Promises: writing the same rows twice equals once; two concurrent writers of different versions of a
    reading both survive; of two values of one version the greater stands when one writer writes them in
    ascending order (the point's owner sees to that). `StoreUnavailable`: nothing or some of the rows may
    have been written, write all again. `StoreRejected`: the rows it names can never be stored, all others
    have been.
    """

    def ping(self) -> None:
        """Return if the store answers. Raises: StoreUnavailable."""
        ...

    def write(self, readings: pl.DataFrame) -> None:
        """Store READINGS rows, any order, several versions of a reading allowed. Returns once durable."""
        ...

    def scan(self, points: Sequence[int], start: int, end: int) -> pl.LazyFrame:
        """READINGS with `start <= ts < end` of these points: the winner each, sorted by (point, ts).

        The winner is the greatest in `frames.WINNER_ORDER`, valid or not; the caller filters on `valid`.
        """
        ...

    def versions(self, keys: pl.DataFrame) -> pl.DataFrame:
        """READINGS rows of every stored version of the given (point, ts) pairs, sorted by key and version."""
        ...

    def edges(self, points: Sequence[int], start: int, end: int) -> pl.DataFrame:
        """READINGS: per point the last winner before `start` and the first at or after `end`; only valid
        ones count, an invalid winner is passed over. At most two rows a point, sorted by (point, ts).
        """
        ...

    def count(self) -> int:
        """Number of distinct readings (point, ts) stored: the outside proof of the ledger's Σ stored."""
        ...

    def close(self) -> None:
        """Release what is held. Safe to call twice."""
        ...


class ResultStore(Protocol):
    """Finer series and figures in natural units, for charts. Projections: rebuilt at will, written again
    at will; a row replaces the row of the same key."""

    def write_load(self, load: pl.DataFrame) -> None:
        """Store LOAD rows (hourly energy of points)."""
        ...

    def load(self, enterprise: str, start: int, end: int) -> pl.DataFrame:
        """LOAD rows of an enterprise with `start <= start_column < end`, sorted by (point, start)."""
        ...

    def write_figures(
        self, days: pl.DataFrame, progress: pl.DataFrame, alerts: pl.DataFrame, intensity: pl.DataFrame
    ) -> None:
        """Store what dashboards show. `days`: ENTERPRISE_DAYS; `progress`: PROGRESS; `alerts`: columns
        enterprise (String), at (Int64), firing (Int64), insufficient (Int64); `intensity`: INTENSITY."""
        ...

    def close(self) -> None:
        """Release what is held. Safe to call twice."""
        ...
