"""The ports: what the rooms need of the outside, with the promises every implementation keeps.

One contract suite per port (tests/contract) runs on every implementation, the real servers included.
Only the classes of `nengshao.domain.errors` escape an implementation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl

from nengshao.domain.alerts import Alert, Transition
from nengshao.domain.readings import Reason, Source
from nengshao.registry import Registry


class Clock(Protocol):
    """The one source of event time: screening, periods and holds. Leases use the StateStore's time."""

    def now(self) -> int:
        """The present instant, UTC, whole seconds."""
        ...


# ---------------------------------------------------------------------------------------- readings


class ReadingStore(Protocol):
    """Every version of every reading, for ever.

    Promises: writing the same rows twice equals once; two concurrent writers of different versions of a
    reading both survive; of two values of one version the greater stands when one writer writes them in
    ascending order (the point's owner sees to that). `StoreUnavailable`: nothing or some of the rows may
    have been written, write all again. `StoreRejected`: the rows it names can never be stored, all others
    have been.
    """

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

    def write_figures(self, days: pl.DataFrame, progress: pl.DataFrame, alerts: pl.DataFrame) -> None:
        """Store what dashboards show. `days`: ENTERPRISE_DAYS; `progress`: PROGRESS; `alerts`: columns
        enterprise (String), at (Int64), firing (Int64), insufficient (Int64)."""
        ...

    def close(self) -> None:
        """Release what is held. Safe to call twice."""
        ...


# ------------------------------------------------------------------------------------------- leases


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write one partition's books (kind "ingest") or results (kind "assess").

    `epoch` grows with every change of holder; a commit under an older epoch raises LeaseLost.
    """

    kind: str
    partition: int
    holder: str
    epoch: int
    expires_at: float  # StateStore time, seconds


class Leases(Protocol):
    """Who may write. Time is the StateStore's own (database time on PostgreSQL)."""

    def acquire_lease(self, kind: str, partition: int, holder: str, ttl_s: float) -> Lease | None:
        """The lease if it is free, expired, or this holder's own (then with the same epoch); else None."""
        ...

    def renew_lease(self, lease: Lease, ttl_s: float) -> Lease:
        """The lease, prolonged. Raises LeaseLost if it has passed to another holder."""
        ...

    def release_lease(self, lease: Lease) -> None:
        """Give it back, if it is still ours."""
        ...


# -------------------------------------------------------------------------------------------- books


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
    """A raw delivery by file, API, replay or orphaned spool, waiting for its partition's holder."""

    source: Source
    enterprise: str
    device: str
    topic: str  # wire topic, or "" for a table
    format: str  # "wire" | "csv" | "xlsx" | "json"
    raw: bytes
    accepted_at: int  # stamped once; the version of readings that carry none
    idempotency_key: str
    partition: int
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


# -------------------------------------------------------------------------------------- assessments


@dataclass(frozen=True, slots=True)
class Revision:
    """A published figure that changed: what it was, what it is, why."""

    enterprise: str
    day: int
    cause: str  # "late_data" | "correction" | "factor" | "registry" | "time"
    before: Mapping[str, Any]  # the ENTERPRISE_DAYS row and the POINT_DAYS rows that changed
    after: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AssessmentCommit:
    """Results of one cycle over the claimed days, and the clearing of exactly what was claimed."""

    at: int
    claimed: pl.DataFrame  # enterprise, day, generation
    point_days: pl.DataFrame  # POINT_DAYS, replacing all rows of the (enterprise, day) pairs in them
    enterprise_days: pl.DataFrame  # ENTERPRISE_DAYS, replacing the same
    blocks: pl.DataFrame  # BLOCKS
    block_spans: pl.DataFrame  # enterprise, start, end: blocks that overlap are replaced by `blocks`
    revisions: Sequence[Revision] = ()


@dataclass(frozen=True, slots=True)
class JudgementCommit:
    """What the rules said: progress, alerts as they stand now, the steps they took, and whom to tell."""

    at: int
    enterprises: Mapping[str, int]  # judged enterprise -> generation of its to-do that is cleared
    progress: pl.DataFrame  # PROGRESS, replacing all rows of those enterprises
    alerts: Sequence[Alert]
    transitions: Sequence[Transition]
    explanations: Mapping[str, Mapping[str, Any]]  # alert_id -> frozen figures, when it fires
    notices: Sequence[Notice] = ()


class Assessments(Protocol):
    """Dirty days in, results out, in one transaction checked by lease epoch."""

    def mark_dirty(self, dirty: pl.DataFrame) -> None:
        """Upsert DIRTY_SCHEMA rows with a new generation each."""
        ...

    def claim_dirty(self, partition: int, limit: int) -> pl.DataFrame:
        """Up to `limit` dirty days of the partition's enterprises, oldest day first: enterprise, day, late,
        generation (Int64). Claiming changes nothing; `commit_assessment` clears a row only if its
        generation is still the one given."""
        ...

    def due_rechecks(self, partition: int, now: int, limit: int) -> pl.DataFrame:
        """enterprise, day of results whose recheck_at has come."""
        ...

    def last_days(self, partition: int) -> pl.DataFrame:
        """enterprise, first_day, last_day (Int32) of the results there are."""
        ...

    def point_days(self, enterprise: str, from_day: int, to_day: int) -> pl.DataFrame:
        """POINT_DAYS rows with from_day <= day < to_day, sorted by key."""
        ...

    def enterprise_days(self, enterprises: Sequence[str], from_day: int, to_day: int) -> pl.DataFrame:
        """ENTERPRISE_DAYS rows with from_day <= day < to_day, sorted by key."""
        ...

    def blocks(self, enterprises: Sequence[str], start: int, end: int) -> pl.DataFrame:
        """BLOCKS that overlap [start, end), sorted by key."""
        ...

    def commit_assessment(self, lease: Lease, commit: AssessmentCommit) -> None:
        """All or nothing; the enterprises become due for judgement and projection. Raises LeaseLost."""
        ...

    def revisions(self, enterprise: str, from_day: int, to_day: int) -> list[Mapping[str, Any]]:
        """enterprise, day, seq, made_at, cause, before, after; oldest first."""
        ...

    def due_judgements(self, partition: int) -> dict[str, int]:
        """Enterprises whose results changed since they were judged -> generation of that to-do."""
        ...

    def due_projections(self, partition: int, limit: int) -> dict[tuple[str, int], int]:
        """(enterprise, day) whose figures are not in the ResultStore yet -> generation."""
        ...

    def clear_projections(self, done: Mapping[tuple[str, int], int]) -> None:
        """Strike them, each only if its generation is still the one given."""
        ...

    def commit_judgement(self, lease: Lease, commit: JudgementCommit) -> None:
        """All or nothing: progress, alerts, history, outbox; to-dos cleared by generation."""
        ...

    def progress(self, enterprises: Sequence[str] | None = None) -> pl.DataFrame:
        """PROGRESS rows, all or of those enterprises, sorted by key."""
        ...

    def open_alerts(self, partition: int) -> list[Alert]:
        """Pending and firing alerts of the partition's enterprises, sorted by alert_id."""
        ...

    def last_seen(self, partition: int) -> pl.DataFrame:
        """LAST_SEEN_SCHEMA of the partition's devices."""
        ...

    def alerts_page(
        self,
        *,
        enterprises: Sequence[str] | None = None,
        states: Sequence[str] | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> list[Alert]:
        """Alerts, newest `since` first; `before` is the alert_id the last page ended with."""
        ...

    def alert(self, alert_id: str) -> tuple[Alert, list[Mapping[str, Any]], Mapping[str, Any] | None] | None:
        """One alert, its history (at, before, after, reason) and its frozen explanation, if it ever fired."""
        ...


# -------------------------------------------------------------------------------------------- state


class RegistryStore(Protocol):
    """The registry at rest."""

    def registry(self) -> Registry:
        """The present snapshot; cheap when `registry_version` has not changed."""
        ...

    def registry_version(self) -> int:
        """Grows with every `save_registry`; 0 when nothing was ever saved."""
        ...

    def save_registry(self, registry: Registry, *, at: int) -> None:
        """Replace the registry. Days whose facts changed become dirty: every result day of the enterprises
        whose rows differ (cause "registry")."""
        ...


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell somebody: an outbox row. `group` names what may be told together."""

    notice_id: str
    alert_id: str
    enterprise: str
    group: str
    reason: str  # "fired" | "resolved" | "corrected"
    subject: str
    body: str
    made_at: int


class Outbox(Protocol):
    """The transactional outbox and the log of what was told."""

    def undelivered(self, limit: int) -> list[Notice]:
        """Notices not delivered or given up yet, oldest first."""
        ...

    def log_delivery(self, notice_id: str, channel: str, outcome: str, detail: str, at: int) -> None:
        """Append to the log; "delivered", "muted" and "refused" end the notice, "deferred" keeps it."""
        ...

    def was_told(self, alert_id: str, reason: str, channel: str) -> bool:
        """Whether this step of this alert was delivered on this channel before."""
        ...


class StateStore(Leases, Books, Assessments, RegistryStore, Outbox, Protocol):
    """Registry, books, results, alerts: SQLite (embedded) or PostgreSQL."""

    def migrate(self) -> None:
        """Bring the schema to this version (Alembic)."""
        ...

    def ping(self) -> None:
        """Raises StoreUnavailable if the store does not answer."""
        ...

    def close(self) -> None:
        """Release what is held. Safe to call twice."""
        ...


class Notifier(Protocol):
    """One channel to people."""

    @property
    def name(self) -> str:
        """The channel's name in logs and settings."""
        ...

    def deliver(self, subject: str, body: str) -> None:
        """Tell it. Raises DeliveryDeferred (retry) or DeliveryRefused (permanent)."""
        ...
