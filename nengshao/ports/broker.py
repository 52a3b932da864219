"""What is known of the broker: whose messages are taken from it, and what it refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import polars as pl

from nengshao.ports.leases import Lease

DENIALS_SCHEMA: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "enterprise": pl.String,  # whose account it was; "" for senders that are not registered
    "kind": pl.String,  # DenialKind
    "count": pl.Int64,
}


class BrokerBooks(Protocol):
    """Sessions and refusals."""

    def record_subscription(self, lease: Lease, registry_version: int) -> None:
        """The partition's session subscribes to all of its enterprises by this registry. It stays so when
        the holder goes: the session is the broker's. Raises LeaseLost."""
        ...

    def subscriptions(self) -> Mapping[int, int]:
        """The registry version by which each partition's session subscribes, of the present partitioning."""
        ...

    def book_denials(self, source: str, position: str, denials: pl.DataFrame) -> None:
        """day + DENIALS_SCHEMA rows that were read from the log `source` up to `position`, added up: both are
        written or neither, so that nothing is counted twice. Senders that are not registered become ""."""
        ...

    def log_position(self, source: str) -> str | None:
        """How far that log has been counted; None if never."""
        ...

    def denials(
        self, *, enterprise: str | None = None, from_day: int | None = None, to_day: int | None = None
    ) -> pl.DataFrame:
        """day (Int32) + DENIALS_SCHEMA, sorted by all but count. `to_day` exclusive."""
        ...
