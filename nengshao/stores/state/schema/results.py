"""Results, judgements, closings, statistics and law, the registry, and the outbox."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, Index, Table, Text

from nengshao import frames
from nengshao.registry import CONTRACTS
from nengshao.stores.state.columns import big, big_key, json, key, of_contract, serial, text
from nengshao.stores.state.schema.own import metadata

# ----------------------------------------------------------------------------------------- assessments

dirty_days: Final = Table(
    "dirty_days",
    metadata,
    key("enterprise"),
    big_key("day"),
    big("partition"),
    Column("late", Boolean, nullable=False),
    big("generation"),
    Index("dirty_days_of_partition", "partition", "day"),
)

judge_todos: Final = Table(
    "judge_todos",
    metadata,
    key("enterprise"),
    big("partition"),
    big("generation"),
    Index("judge_todos_of_partition", "partition"),
)

project_todos: Final = Table(
    "project_todos",
    metadata,
    key("enterprise"),
    big_key("day"),
    big("partition"),
    big("generation"),
    Index("project_todos_of_partition", "partition", "day"),
)

point_days: Final = Table(
    "point_days", metadata, *of_contract(frames.POINT_DAYS, key=("enterprise", "day", "point"))
)  # day first: they are replaced and read by enterprise and day

enterprise_days: Final = Table(
    "enterprise_days",
    metadata,
    *of_contract(frames.ENTERPRISE_DAYS),
    big("partition"),
    big("computed_at"),  # when the row was last put in force
    Index("enterprise_days_to_recheck", "partition", "recheck_at"),
)

scope_days: Final = Table("scope_days", metadata, *of_contract(frames.SCOPE_DAYS))

blocks: Final = Table("blocks", metadata, *of_contract(frames.BLOCKS))

meter_events: Final = Table(
    "meter_events",
    metadata,
    *of_contract(frames.METER_EVENTS),
    Column("confirmed_by", Text),  # null: nobody has looked at it
    Column("confirmed_at", BigInteger),
    Column("note", Text),
    Index("meter_events_by_time", "enterprise", "ts"),
)

revisions: Final = Table(
    "revisions",
    metadata,
    key("enterprise"),
    big_key("day"),
    big_key("seq"),  # 1, 2, … per enterprise and day
    big("made_at"),
    text("cause"),
    json("before"),
    json("after"),
    Column("decided_by", Text),  # who accepted it; null: it followed from the data
    Column("reason", Text),
    Column("replaced_at", BigInteger),  # `computed_at` of the figure it replaces; null: there was none
)

# ----------------------------------------------------------------------------------------- judgements

progress: Final = Table("progress", metadata, *of_contract(frames.PROGRESS))

intensity: Final = Table("intensity", metadata, *of_contract(frames.INTENSITY))

measures: Final = Table("measures", metadata, *of_contract(frames.MEASURES))

alerts: Final = Table(
    "alerts",
    metadata,
    key("alert_id"),
    big("partition"),
    text("rule"),
    text("enterprise"),
    text("subject"),
    text("state"),
    text("severity"),
    text("level"),
    big("since"),
    big("seen_at"),
    big("breached_s"),
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
    serial("event_id"),
    text("alert_id"),
    big("at"),
    text("before"),  # "" for an alert's first step
    text("after"),
    text("reason"),
    sa.UniqueConstraint("alert_id", "at", "before", "after", "reason", name="alert_events_once"),
)

explanations: Final = Table("explanations", metadata, key("alert_id"), json("figures"), big("frozen_at"))

# ------------------------------------------------------------------------- closings, statistics, law

closings: Final = Table(
    "closings",
    metadata,
    serial("closing_id"),
    text("enterprise"),
    big("first_day"),
    big("end_day"),  # exclusive; the closings of one enterprise never overlap
    text("closed_by"),
    big("closed_at"),
    text("reason"),
    Index("closings_of_enterprise", "enterprise", "first_day"),
)

_OPEN: Final = sa.text("state = 'open'")

proposals: Final = Table(
    "proposals",
    metadata,
    serial("proposal_id"),
    text("enterprise"),
    big("day"),
    big("made_at"),
    text("cause"),
    json("before"),  # what is in force
    json("after"),
    text("fingerprint"),  # of both
    text("state"),  # "open" | "accepted" | "rejected" | "withdrawn"
    Column("decided_by", Text),
    Column("decided_at", BigInteger),
    Column("reason", Text),
    Index("proposals_of_enterprise", "enterprise", "day"),
    Index("proposals_open", "enterprise", "day", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
)

statistics: Final = Table(
    "statistics",
    metadata,
    *of_contract(frames.STATISTICS),
    Index("statistics_of_period", "subject", "end_day"),
)

known_factors: Final = Table("known_factors", metadata, key("factor_id"), json("row"))

restatements: Final = Table(
    "restatements", metadata, serial("restatement_id"), big("made_at"), json("changes"), big("days")
)

# -------------------------------------------------------------------------------------------- registry

registry_tables: Final = {
    name: Table(name, metadata, *of_contract(contract)) for name, contract in CONTRACTS.items()
}

# ---------------------------------------------------------------------------------------------- outbox

notices: Final = Table(
    "notices",
    metadata,
    serial("seq"),
    text("notice_id", unique=True),
    text("alert_id"),
    text("enterprise"),
    text("group"),
    text("reason"),
    text("subject"),
    text("body"),
    big("made_at"),
    Column("outcome", Text),  # null while it still waits
    Index("notices_of_alert", "alert_id", "reason"),
    Index("notices_waiting", "seq", sqlite_where=sa.text("outcome IS NULL"),
          postgresql_where=sa.text("outcome IS NULL")),
)  # fmt: skip

deliveries: Final = Table(
    "deliveries",
    metadata,
    serial("delivery_id"),
    text("notice_id"),
    text("channel"),
    text("outcome"),
    text("detail"),
    big("at"),
    sa.ForeignKeyConstraint(["notice_id"], ["notices.notice_id"], name="deliveries_notice"),
    Index("deliveries_of_notice", "notice_id", "channel"),
)
