"""What goes into the books: intents, bookings, quarantine, inbox entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from nengshao.domain.readings import Reason, Source
from nengshao.ports.resends import CLOCKS_SCHEMA, GAPS_SCHEMA


@dataclass(frozen=True, slots=True)
class Intent:
    """What a batch is about to write: first commit of three.

    It holds the exact rows, so that a successor knows of every row in the store whether it was booked.
    """

    intent_id: str
    partition: int
    epoch: int
    made_at: int
    readings: pl.DataFrame  # READINGS, the rows of the store write that are not booked yet
    dirty: pl.DataFrame  # DIRTY


DIRTY_SCHEMA: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "enterprise": pl.String,
    "day": pl.Int32,
    "late": pl.Boolean,  # a register read at or behind the watermark: neighbours' days are dirty too
}


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """A message, or some readings of one, that was not accepted, with the reason.

    `raw` is kept up to the caps; beyond them hash and count remain. `indexes`: positions in data[],
    empty when the whole message is meant (it then counts as one reading).
    """

    enterprise: str  # as the topic or upload says; "" if it does not say
    device: str
    source: Source
    topic: str  # of a table: "upload/csv" or "upload/xlsx"
    reason: Reason
    detail: str
    sha256: str
    size: int
    raw: bytes | None
    indexes: tuple[int, ...]
    arrived_at: int

    @property
    def count(self) -> int:
        """Delivered readings that the entry stands for."""
        return max(1, len(self.indexes))


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """A raw delivery by file, API, replay or orphaned spool, waiting for the holder of its enterprise's
    partition."""

    source: Source
    enterprise: str
    device: str
    topic: str  # wire topic, or "" for a table
    format: str  # "wire" | "csv" | "xlsx" | "json"
    raw: bytes
    accepted_at: int  # stamped once; the version of readings that carry none
    idempotency_key: str
    submitted_by: str = ""
    quarantine_id: int | None = None  # of a replay
    inbox_id: int = 0


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """A device's birth ("online") or last will ("offline"), as the broker handed it over."""

    enterprise: str
    device: str
    state: str
    at: int


@dataclass(frozen=True, slots=True)
class Booking:
    """Third commit of a batch: everything the books say of it, in one transaction."""

    at: int
    intent_id: str | None = None
    ledger: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict(LEDGER_SCHEMA)))
    corrections: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict(CORRECTIONS_SCHEMA)))
    quarantine: Sequence[QuarantineEntry] = ()
    dirty: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict(DIRTY_SCHEMA)))
    watermarks: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict(WATERMARK_SCHEMA)))
    last_seen: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict(LAST_SEEN_SCHEMA)))
    clocks: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict(CLOCKS_SCHEMA)))
    gaps: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict(GAPS_SCHEMA)))
    statuses: Sequence[DeviceStatus] = ()  # births and wills; those of unregistered devices are dropped
    inbox_done: Mapping[int, str] = field(default_factory=dict)  # inbox_id -> receipt (JSON)
    replayed: Sequence[int] = ()  # quarantine ids whose counts are taken back and that are struck
    intents_left: Mapping[str, pl.DataFrame] = field(default_factory=dict)  # intent -> rows still open


LEDGER_SCHEMA: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "enterprise": pl.String,
    "source": pl.String,
    "outcome": pl.String,
    "reason": pl.String,  # "" unless quarantined
    "count": pl.Int64,
}

CORRECTIONS_SCHEMA: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "point": pl.Int64,
    "ts": pl.Int64,
    "version": pl.Int64,
    "kept": pl.Int64,  # the greater value, which stands
    "lost": pl.Int64,  # the lesser value of the same version
}

WATERMARK_SCHEMA: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "point": pl.Int64,
    "watermark": pl.Int64,  # latest ts that has been booked
}

LAST_SEEN_SCHEMA: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "enterprise": pl.String,
    "device": pl.String,
    "at": pl.Int64,
}
