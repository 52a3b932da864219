"""Every table of the state. Tables that hold a contract's frame take their columns from the contract.

Integers are 64 bits wide. Instants are UTC seconds, `day` columns accounting-day numbers. `partition` is
`partition_of(enterprise)`, kept to query by.
"""

from __future__ import annotations

from typing import Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, Table, Text

from nengshao import frames
from nengshao.frames import Contract
from nengshao.registry import CONTRACTS

metadata: Final = sa.MetaData()

SERIAL: Final = BigInteger().with_variant(Integer, "sqlite")
"""An id the database gives, growing with time. SQLite counts only in a column called INTEGER."""

_TYPES: Final[dict[Any, Any]] = {
    pl.Int8: BigInteger,
    pl.Int32: BigInteger,
    pl.Int64: BigInteger,
    pl.Float64: Double,
    pl.Boolean: Boolean,
    pl.String: Text,
}


def _big(name: str, **options: Any) -> Column[Any]:
    return Column(name, BigInteger, nullable=False, **options)


def _text(name: str, **options: Any) -> Column[Any]:
    return Column(name, Text, nullable=False, **options)


def _key(name: str) -> Column[Any]:
    return Column(name, Text, primary_key=True)


def _big_key(name: str) -> Column[Any]:
    return Column(name, BigInteger, primary_key=True, autoincrement=False)


def _serial(name: str) -> Column[Any]:
    return Column(name, SERIAL, primary_key=True, autoincrement=True)


def _contract_table(
    name: str, contract: Contract, *extra: sa.schema.SchemaItem, key: tuple[str, ...] = ()
) -> Table:
    """A table with the contract's columns, its key (in the order of `key`, if given) as primary key."""
    parts = key or contract.key
    columns = [
        Column(column, _TYPES[dtype], nullable=column not in parts)
        for column, dtype in contract.schema.items()
    ]
    return Table(name, metadata, *columns, *extra, sa.PrimaryKeyConstraint(*parts))


# ------------------------------------------------------------------------------------ the store itself

settings: Final = Table(
    "settings",
    metadata,
    _key("name"),  # "partitions", "registry_version", "generation" (SQLite's stand-in for the sequence)
    _big("value"),
)

GENERATIONS: Final = sa.Sequence("generations", metadata=metadata, data_type=BigInteger)
"""PostgreSQL's counter of generations; SQLite has no sequences and counts in `settings`."""

leases: Final = Table(
    "leases",
    metadata,
    _key("kind"),  # "ingest" | "assess"
    _big_key("partition"),
    _text("holder"),  # "" when given back
    _big("epoch"),  # changes of holder so far
    Column("expires_at", Double, nullable=False),  # the store's clock
)

# ----------------------------------------------------------------------------------------------- books

intents: Final = Table(
    "intents",
    metadata,
    _serial("seq"),
    _text("intent_id", unique=True),
    _big("partition"),
    _big("epoch"),
    _big("made_at"),
    Column("readings", LargeBinary, nullable=False),  # READINGS as Arrow IPC, zstd; empty once struck
    Column("dirty", LargeBinary, nullable=False),  # DIRTY_SCHEMA likewise
    Column("is_struck", Boolean, nullable=False),  # kept for a while: a booking sent again is known by it
    Index("intents_of_partition", "partition", "is_struck", "seq"),
)

ledger: Final = Table(
    "ledger",
    metadata,
    _big_key("day"),  # of booking
    _key("enterprise"),  # "" for every sender that is not registered
    _key("source"),
    _key("outcome"),
    _key("reason"),
    _big("count"),
)

corrections: Final = Table(
    "corrections",
    metadata,
    _serial("correction_id"),
    _big("point"),
    _big("ts"),
    _big("version"),
    _big("kept"),
    _big("lost"),
    sa.UniqueConstraint("point", "ts", "version", "lost", name="corrections_once"),
)

quarantine: Final = Table(
    "quarantine",
    metadata,
    _serial("quarantine_id"),
    _text("fingerprint", unique=True),  # of what makes two deliveries the same entry
    _text("enterprise"),
    _text("device"),
    _text("source"),
    _text("topic"),
    _text("reason"),
    _text("detail"),
    _text("sha256"),  # "" in a fold: a row that sums up what the caps no longer let in one by one
    _big("size"),
    Column("raw", LargeBinary),  # null beyond the caps
    _text("indexes"),  # JSON list
    _big("arrived_at"),  # of the first
    _big("last_at"),  # of the last
    _big("seen"),  # deliveries
    _big("count"),  # delivered readings
    _big("day"),  # of booking: with the next column, the ledger row that a replay takes from
    _text("ledger_enterprise"),
    Index("quarantine_of_enterprise", "enterprise", "quarantine_id"),
    sqlite_autoincrement=True,  # an id that was struck by a replay must never name another entry
)

quarantine_usage: Final = Table(
    "quarantine_usage",
    metadata,
    _key("sender"),  # enterprise/device, or "total"
    _big("rows"),
    _big("raw_bytes"),
)

inbox: Final = Table(
    "inbox",
    metadata,
    _serial("inbox_id"),
    _text("idempotency_key", unique=True),
    _big("partition"),
    _text("source"),
    _text("enterprise"),
    _text("device"),
    _text("topic"),
    _text("format"),
    Column("raw", LargeBinary),  # null once booked
    _big("accepted_at"),
    _text("submitted_by"),
    Column("quarantine_id", BigInteger),
    Column("receipt", Text),  # JSON; null while waiting
    Index("inbox_waiting", "partition", "inbox_id", sqlite_where=sa.text("receipt IS NULL"),
          postgresql_where=sa.text("receipt IS NULL")),
)  # fmt: skip

watermarks: Final = Table("watermarks", metadata, _big_key("point"), _big("watermark"))

last_seen: Final = Table(
    "last_seen",
    metadata,
    _key("enterprise"),
    _key("device"),
    _big("partition"),
    _big("at"),
    Index("last_seen_of_partition", "partition"),
)

device_statuses: Final = Table(
    "device_statuses",
    metadata,
    _key("enterprise"),
    _key("device"),
    _text("state"),  # as the device says: "online", "offline"
    _big("at"),
)

# ----------------------------------------------------------------------------------------- assessments

dirty_days: Final = Table(
    "dirty_days",
    metadata,
    _key("enterprise"),
    _big_key("day"),
    _big("partition"),
    Column("late", Boolean, nullable=False),
    _big("generation"),
    Index("dirty_days_of_partition", "partition", "day"),
)

judge_todos: Final = Table(
    "judge_todos",
    metadata,
    _key("enterprise"),
    _big("partition"),
    _big("generation"),
    Index("judge_todos_of_partition", "partition"),
)

project_todos: Final = Table(
    "project_todos",
    metadata,
    _key("enterprise"),
    _big_key("day"),
    _big("partition"),
    _big("generation"),
    Index("project_todos_of_partition", "partition", "day"),
)

point_days: Final = _contract_table(
    "point_days", frames.POINT_DAYS, key=("enterprise", "day", "point")
)  # day first: they are replaced and read by enterprise and day

enterprise_days: Final = _contract_table(
    "enterprise_days",
    frames.ENTERPRISE_DAYS,
    _big("partition"),
    Index("enterprise_days_to_recheck", "partition", "recheck_at"),
)

blocks: Final = _contract_table("blocks", frames.BLOCKS)

revisions: Final = Table(
    "revisions",
    metadata,
    _key("enterprise"),
    _big_key("day"),
    _big_key("seq"),  # 1, 2, … per enterprise and day
    _big("made_at"),
    _text("cause"),
    Column("before", sa.JSON, nullable=False),
    Column("after", sa.JSON, nullable=False),
)

progress: Final = _contract_table("progress", frames.PROGRESS)

alerts: Final = Table(
    "alerts",
    metadata,
    _key("alert_id"),
    _big("partition"),
    _text("rule"),
    _text("enterprise"),
    _text("subject"),
    _text("state"),
    _text("severity"),
    _big("since"),
    _big("seen_at"),
    _big("breached_s"),
    Column("is_insufficient", Boolean, nullable=False),
    Column("is_confirmed", Boolean, nullable=False),
    Column("fired_at", BigInteger),
    Column("ended_at", BigInteger),
    Index("alerts_by_age", "since", "alert_id"),
    Index("alerts_of_partition", "partition", "state"),
)

alert_events: Final = Table(
    "alert_events",
    metadata,
    _serial("event_id"),
    _text("alert_id"),
    _big("at"),
    _text("before"),  # "" for an alert's first step
    _text("after"),
    _text("reason"),
    sa.UniqueConstraint("alert_id", "at", "before", "after", name="alert_events_once"),
)

explanations: Final = Table(
    "explanations", metadata, _key("alert_id"), Column("figures", sa.JSON, nullable=False), _big("frozen_at")
)

# -------------------------------------------------------------------------------------------- registry

registry_tables: Final = {name: _contract_table(name, contract) for name, contract in CONTRACTS.items()}

# ---------------------------------------------------------------------------------------------- outbox

notices: Final = Table(
    "notices",
    metadata,
    _serial("seq"),
    _text("notice_id", unique=True),
    _text("alert_id"),
    _text("enterprise"),
    _text("group"),
    _text("reason"),
    _text("subject"),
    _text("body"),
    _big("made_at"),
    Column("outcome", Text),  # null while it still waits
    Index("notices_of_alert", "alert_id", "reason"),
    Index("notices_waiting", "seq", sqlite_where=sa.text("outcome IS NULL"),
          postgresql_where=sa.text("outcome IS NULL")),
)  # fmt: skip

deliveries: Final = Table(
    "deliveries",
    metadata,
    _serial("delivery_id"),
    _text("notice_id"),
    _text("channel"),
    _text("outcome"),
    _text("detail"),
    _big("at"),
    sa.ForeignKeyConstraint(["notice_id"], ["notices.notice_id"], name="deliveries_notice"),
    Index("deliveries_of_notice", "notice_id", "channel"),
)
