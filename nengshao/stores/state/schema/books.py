"""The books: what became of every delivered reading, and what is known of devices."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, Table, Text

from nengshao.stores.state.columns import big, big_key, json, key, serial, text
from nengshao.stores.state.schema.own import metadata

# ----------------------------------------------------------------------------------------------- books

intents: Final = Table(
    "intents",
    metadata,
    serial("seq"),
    text("intent_id", unique=True),
    big("partition"),
    big("epoch"),
    big("made_at"),
    Column("readings", LargeBinary, nullable=False),  # READINGS as Arrow IPC, zstd; empty once struck
    Column("dirty", LargeBinary, nullable=False),  # DIRTY_SCHEMA likewise
    Column("is_struck", Boolean, nullable=False),  # kept for a while: a booking sent again is known by it
    Index("intents_of_partition", "partition", "is_struck", "seq"),
)

ledger: Final = Table(
    "ledger",
    metadata,
    big_key("day"),  # of booking
    key("enterprise"),  # "" for every sender that is not registered
    key("source"),
    key("outcome"),
    key("reason"),
    big("count"),
)

corrections: Final = Table(
    "corrections",
    metadata,
    serial("correction_id"),
    big("point"),
    big("ts"),
    big("version"),
    big("kept"),
    big("lost"),
    sa.UniqueConstraint("point", "ts", "version", "lost", name="corrections_once"),
)

quarantine: Final = Table(
    "quarantine",
    metadata,
    serial("quarantine_id"),
    text("fingerprint", unique=True),  # of what makes two deliveries the same entry
    text("enterprise"),
    text("device"),
    text("source"),
    text("topic"),
    text("reason"),
    text("detail"),
    text("sha256"),  # "" in a fold: a row that sums up what the caps no longer let in one by one
    big("size"),
    Column("raw", LargeBinary),  # null beyond the caps
    text("indexes"),  # JSON list
    big("arrived_at"),  # of the first
    big("last_at"),  # of the last
    big("seen"),  # deliveries
    big("count"),  # delivered readings
    big("day"),  # of booking: with the next column, the ledger row that a replay takes from
    text("ledger_enterprise"),
    Index("quarantine_of_enterprise", "enterprise", "quarantine_id"),
    sqlite_autoincrement=True,  # an id that was struck by a replay must never name another entry
)

quarantine_usage: Final = Table(
    "quarantine_usage",
    metadata,
    key("sender"),  # enterprise/device, or "total"
    big("rows"),
    big("raw_bytes"),
)

inbox: Final = Table(
    "inbox",
    metadata,
    serial("inbox_id"),
    text("idempotency_key", unique=True),
    big("partition"),
    text("source"),
    text("enterprise"),
    text("device"),
    text("topic"),
    text("format"),
    Column("raw", LargeBinary),  # null once booked
    big("accepted_at"),
    text("submitted_by"),
    Column("quarantine_id", BigInteger),
    Column("receipt", Text),  # JSON; null while waiting
    Index("inbox_waiting", "partition", "inbox_id", sqlite_where=sa.text("receipt IS NULL"),
          postgresql_where=sa.text("receipt IS NULL")),
)  # fmt: skip

watermarks: Final = Table("watermarks", metadata, big_key("point"), big("watermark"))

last_seen: Final = Table(
    "last_seen",
    metadata,
    key("enterprise"),
    key("device"),
    big("partition"),
    big("at"),
    Index("last_seen_of_partition", "partition"),
)

device_statuses: Final = Table(
    "device_statuses",
    metadata,
    key("enterprise"),
    key("device"),
    text("state"),  # as the device says: "online", "offline"
    big("at"),
)

resends: Final = Table(
    "resends",
    metadata,
    serial("resend_id"),
    text("enterprise"),
    text("device"),
    text("state"),  # ResendState
    big("partition"),
    big("start"),
    big("end"),
    big("found_at"),
    big("next_at"),
    big("attempts"),
    big("in_vain"),  # the last so many attempts brought nothing
    json("gaps"),  # [point, start, end, cadence_s] each
    Column("asked_at", BigInteger),
    Column("settled_at", BigInteger),  # null: it has not ended
    Column("missing", BigInteger),  # readings, at the last look
    Index("resends_of_enterprise", "enterprise", "resend_id"),
    Index("resends_waiting", "partition", "next_at", sqlite_where=sa.text("settled_at IS NULL"),
          postgresql_where=sa.text("settled_at IS NULL")),
)  # fmt: skip

device_clocks: Final = Table(
    "device_clocks",
    metadata,
    key("enterprise"),
    key("device"),
    big("slot"),  # number of the window
    big("skew_s"),  # greatest uploadDate − arrival in it
    Column("before_s", BigInteger),  # the same of the window before in which the device was heard
    big("at"),
)
