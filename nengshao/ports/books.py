"""The books: what became of every delivered reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import polars as pl

from nengshao.ports.bookings import Booking, DeviceStatus, InboxEntry, Intent
from nengshao.ports.leases import Lease


class Books(Protocol):
    """Intents, bookings, ledger, quarantine, inbox: what became of every delivered reading."""

    def watermarks(self, points: Sequence[int]) -> pl.DataFrame:
        """WATERMARK_SCHEMA rows of those points that have one."""
        ...

    def record_intent(self, lease: Lease, intent: Intent) -> None:
        """First commit. Raises LeaseLost when the lease's epoch is not the current one."""
        ...

    def book(self, lease: Lease, booking: Booking) -> None:
        """Third commit, all or nothing; strikes the intent unless `intents_left` keeps rows of it. Dirty
        days are upserted with a new generation; watermarks and last_seen only grow. Raises LeaseLost."""
        ...

    def open_intents(self, partition: int) -> list[Intent]:
        """Intents of the partition that were never struck, oldest first."""
        ...

    def put_inbox(self, entry: InboxEntry) -> int:
        """Keep a delivery for the holder; the id of the entry. The same idempotency key: the first one's."""
        ...

    def put_inbox_all(self, entries: Sequence[InboxEntry]) -> None:
        """Keep all of these deliveries, in their order, or none."""
        ...

    def take_inbox(self, partition: int, limit: int) -> list[InboxEntry]:
        """The oldest entries not yet booked. They stay until a Booking names them in `inbox_done`."""
        ...

    def device_statuses(self, enterprise: str) -> list[DeviceStatus]:
        """The last status of each of the enterprise's devices that ever sent one."""
        ...

    def upload_receipt(self, inbox_id: int) -> Mapping[str, Any] | None:
        """{"inbox_id", "state": "waiting"|"booked", "accepted_at", "enterprise", "submitted_by",
        "receipt": …|None}; None if there is no such upload."""
        ...

    def inbox_size(self) -> int:
        """Entries waiting, all partitions."""
        ...

    def ledger(
        self, *, enterprise: str | None = None, from_day: int | None = None, to_day: int | None = None
    ) -> pl.DataFrame:
        """day (Int32, of booking) + LEDGER_SCHEMA, summed, sorted by all but count. `to_day` exclusive."""
        ...

    def quarantine_page(
        self,
        *,
        enterprise: str | None = None,
        reason: str | None = None,
        before_id: int | None = None,
        limit: int = 100,
    ) -> list[Mapping[str, Any]]:
        """Newest entries first: quarantine_id, every field of QuarantineEntry but raw, `has_raw` (bool),
        `count` (int), `last_at`; struck ones are gone."""
        ...

    def quarantine_raw(self, quarantine_id: int) -> tuple[Mapping[str, Any], bytes | None] | None:
        """One entry (as in `quarantine_page`) with its raw bytes; None if there is none."""
        ...

    def corrections(self, points: Sequence[int], limit: int = 1000) -> pl.DataFrame:
        """CORRECTIONS_SCHEMA rows, newest first."""
        ...
