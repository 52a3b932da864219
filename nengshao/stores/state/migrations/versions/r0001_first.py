"""The first schema: leases, books, quarantine, results, alerts, closings, statistics, law, registry.

Written out, not taken from `schema.py`: a revision says what was, whatever the schema becomes later. A test
compares the two.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table of an empty database."""
    _create_own()
    _create_leases_and_books()
    _create_devices_quarantine_and_inbox()
    _create_todos()
    _create_days()
    _create_blocks_events_and_revisions()
    _create_judgements()
    _create_alerts()
    _create_closings()
    _create_statistics_and_law()
    _create_outbox()
    _create_enterprises()
    _create_points()
    _create_products()
    _create_targets()


def _columns(kind: Any, *names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=nullable) for name in names]


_big = partial(_columns, sa.BigInteger)
_text = partial(_columns, sa.Text)
_bool = partial(_columns, sa.Boolean)
_double = partial(_columns, sa.Double)
_blob = partial(_columns, sa.LargeBinary)
_json = partial(_columns, sa.JSON)


def _serial(name: str) -> sa.Column[Any]:
    # SQLite gives ids only to a column called INTEGER.
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=True)


def _create_own() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(sa.schema.CreateSequence(sa.Sequence("generations", data_type=sa.BigInteger)))
    op.create_table(
        "settings",
        *_text("name"),
        *_big("value"),
        sa.PrimaryKeyConstraint("name"),
    )
    op.execute(
        sa.text(
            "INSERT INTO settings (name, value) VALUES ('generation', 0), ('registry_version', 0), ('law', 0)"
        )
    )


def _create_leases_and_books() -> None:
    op.create_table(
        "leases",
        *_text("kind"),
        *_big("partition"),
        *_text("holder"),
        *_big("epoch"),
        *_double("expires_at"),
        sa.PrimaryKeyConstraint("kind", "partition"),
    )
    op.create_table(
        "intents",
        _serial("seq"),
        *_text("intent_id"),
        *_big("partition", "epoch", "made_at"),
        *_blob("readings", "dirty"),
        *_bool("is_struck"),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("intent_id"),
    )
    op.create_index("intents_of_partition", "intents", ["partition", "is_struck", "seq"])
    op.create_table(
        "ledger",
        *_big("day"),
        *_text("enterprise", "source", "outcome", "reason"),
        *_big("count"),
        sa.PrimaryKeyConstraint("day", "enterprise", "source", "outcome", "reason"),
    )
    op.create_table(
        "corrections",
        _serial("correction_id"),
        *_big("point", "ts", "version", "kept", "lost"),
        sa.PrimaryKeyConstraint("correction_id"),
        sa.UniqueConstraint("point", "ts", "version", "lost", name="corrections_once"),
    )
    op.create_table(
        "watermarks",
        *_big("point", "watermark"),
        sa.PrimaryKeyConstraint("point"),
    )
    op.create_table(
        "last_seen",
        *_text("enterprise", "device"),
        *_big("partition", "at"),
        sa.PrimaryKeyConstraint("enterprise", "device"),
    )
    op.create_index("last_seen_of_partition", "last_seen", ["partition"])


def _create_devices_quarantine_and_inbox() -> None:
    op.create_table(
        "device_statuses",
        *_text("enterprise", "device", "state"),
        *_big("at"),
        sa.PrimaryKeyConstraint("enterprise", "device"),
    )
    op.create_table(
        "quarantine",
        _serial("quarantine_id"),
        *_text("fingerprint", "enterprise", "device", "source", "topic", "reason", "detail", "sha256"),
        *_big("size"),
        *_blob("raw", nullable=True),
        *_text("indexes"),
        *_big("arrived_at", "last_at", "seen", "count", "day"),
        *_text("ledger_enterprise"),
        sa.PrimaryKeyConstraint("quarantine_id"),
        sa.UniqueConstraint("fingerprint"),
        sqlite_autoincrement=True,
    )
    op.create_index("quarantine_of_enterprise", "quarantine", ["enterprise", "quarantine_id"])
    op.create_table(
        "quarantine_usage",
        *_text("sender"),
        *_big("rows", "raw_bytes"),
        sa.PrimaryKeyConstraint("sender"),
    )
    op.create_table(
        "inbox",
        _serial("inbox_id"),
        *_text("idempotency_key"),
        *_big("partition"),
        *_text("source", "enterprise", "device", "topic", "format"),
        *_blob("raw", nullable=True),
        *_big("accepted_at"),
        *_text("submitted_by"),
        *_big("quarantine_id", nullable=True),
        *_text("receipt", nullable=True),
        sa.PrimaryKeyConstraint("inbox_id"),
        sa.UniqueConstraint("idempotency_key"),
    )
    op.create_index(
        "inbox_waiting",
        "inbox",
        ["partition", "inbox_id"],
        sqlite_where=sa.text("receipt IS NULL"),
        postgresql_where=sa.text("receipt IS NULL"),
    )


def _create_todos() -> None:
    op.create_table(
        "dirty_days",
        *_text("enterprise"),
        *_big("day", "partition"),
        *_bool("late"),
        *_big("generation"),
        sa.PrimaryKeyConstraint("enterprise", "day"),
    )
    op.create_index("dirty_days_of_partition", "dirty_days", ["partition", "day"])
    op.create_table(
        "judge_todos",
        *_text("enterprise"),
        *_big("partition", "generation"),
        sa.PrimaryKeyConstraint("enterprise"),
    )
    op.create_index("judge_todos_of_partition", "judge_todos", ["partition"])
    op.create_table(
        "project_todos",
        *_text("enterprise"),
        *_big("day", "partition", "generation"),
        sa.PrimaryKeyConstraint("enterprise", "day"),
    )
    op.create_index("project_todos_of_partition", "project_todos", ["partition", "day"])


def _create_days() -> None:
    op.create_table(
        "point_days",
        *_text("enterprise"),
        *_big("point", "day"),
        *_text("carrier", "use", nullable=True),
        *_big(
            "sign",
            "amount",
            "measured_s",
            "estimated_s",
            "spread_s",
            "missing_s",
            "pending_s",
            "gap_low",
            "gap_high",
            "weight_g_day",
            "calorific_g",
            "equivalent_g",
            "carbon_g",
            nullable=True,
        ),
        *_text("calorific_factor", "equivalent_factor", "carbon_factor", nullable=True),
        *_big("recheck_at", nullable=True),
        sa.PrimaryKeyConstraint("enterprise", "day", "point"),
    )
    op.create_table(
        "enterprise_days",
        *_text("enterprise"),
        *_big("day"),
        *_totals(),
        *_big("partition", "computed_at"),
        sa.PrimaryKeyConstraint("enterprise", "day"),
    )
    op.create_index("enterprise_days_to_recheck", "enterprise_days", ["partition", "recheck_at"])
    op.create_table(
        "scope_days",
        *_text("enterprise"),
        *_big("day"),
        *_text("scope"),
        *_totals(),
        sa.PrimaryKeyConstraint("enterprise", "day", "scope"),
    )


def _totals() -> list[sa.Column[Any]]:
    return [
        *_big(
            "calorific_g",
            "equivalent_g",
            "carbon_g",
            "calorific_gap_low",
            "calorific_gap_high",
            "equivalent_gap_low",
            "equivalent_gap_high",
            "carbon_gap_low",
            "carbon_gap_high",
            "measured_w",
            "estimated_w",
            "spread_w",
            "missing_w",
            "pending_w",
            "lowest_point",
            nullable=True,
        ),
        *_text("missing_points", "no_factor", nullable=True),
        *_bool("calorific_confirmed", "equivalent_confirmed", "carbon_confirmed", "published", nullable=True),
        *_big("recheck_at", nullable=True),
    ]


def _create_blocks_events_and_revisions() -> None:
    op.create_table(
        "blocks",
        *_text("enterprise"),
        *_big("via", "point", "start"),
        *_big("end", "sign", nullable=True),
        *_text("use", nullable=True),
        *_big("amount", "calorific_g", "equivalent_g", "carbon_g", nullable=True),
        sa.PrimaryKeyConstraint("enterprise", "via", "point", "start"),
    )
    op.create_table(
        "meter_events",
        *_text("enterprise"),
        *_big("point", "ts"),
        *_text("event"),
        *_text("confirmed_by", nullable=True),
        *_big("confirmed_at", nullable=True),
        *_text("note", nullable=True),
        sa.PrimaryKeyConstraint("enterprise", "point", "ts", "event"),
    )
    op.create_index("meter_events_by_time", "meter_events", ["enterprise", "ts"])
    op.create_table(
        "revisions",
        *_text("enterprise"),
        *_big("day", "seq", "made_at"),
        *_text("cause"),
        *_json("before", "after"),
        *_text("decided_by", "reason", nullable=True),
        *_big("replaced_at", nullable=True),
        sa.PrimaryKeyConstraint("enterprise", "day", "seq"),
    )


def _create_judgements() -> None:
    op.create_table(
        "progress",
        *_text("enterprise"),
        *_big("year"),
        *_text("basis", "scope", "level"),
        *_big("quota_g", nullable=True),
        *_bool("quota_confirmed", nullable=True),
        *_big("as_of_day", "used_g", "low_g", "high_g", "due_g", nullable=True),
        *_double("pace", "pace_low", "pace_high", nullable=True),
        *_big("projected_g", "projected_low_g", "projected_high_g", nullable=True),
        *_text("projection", nullable=True),
        *_bool("is_confirmed", nullable=True),
        *_double("coverage", nullable=True),
        sa.PrimaryKeyConstraint("enterprise", "year", "basis", "scope", "level"),
    )
    op.create_table(
        "intensity",
        *_text("enterprise", "denominator", "basis", "scope", "period"),
        *_big("first_day", "end_day", nullable=True),
        *_bool("is_whole", nullable=True),
        *_big("energy_g", "low_g", "high_g", "quantity", nullable=True),
        *_text("unit", nullable=True),
        *_double("intensity", "intensity_low", "intensity_high", nullable=True),
        *_double("previous", "change", "chain", "target", nullable=True),
        *_bool("target_confirmed", nullable=True),
        *_text("state", "norm", nullable=True),
        *_double("limit_1", "limit_2", "limit_3", "benchmark", "baseline", nullable=True),
        *_text("grade", nullable=True),
        *_double("gap", nullable=True),
        *_big("gap_g", nullable=True),
        *_bool("norm_confirmed", "is_confirmed", nullable=True),
        *_double("coverage", nullable=True),
        sa.PrimaryKeyConstraint("enterprise", "denominator", "basis", "scope", "period"),
    )
    op.create_table(
        "measures",
        *_text("enterprise", "measure", "subject"),
        *_big("at"),
        *_double("value", "low", "high", "coverage", nullable=True),
        *_bool("is_confirmed", nullable=True),
        sa.PrimaryKeyConstraint("enterprise", "measure", "subject", "at"),
    )


def _create_alerts() -> None:
    op.create_table(
        "alerts",
        *_text("alert_id"),
        *_big("partition"),
        *_text("rule", "enterprise", "subject", "state", "severity", "level"),
        *_big("since", "seen_at", "breached_s"),
        *_bool("is_insufficient", "is_confirmed"),
        *_big("fired_at", "ended_at", nullable=True),
        sa.PrimaryKeyConstraint("alert_id"),
    )
    op.create_index("alerts_by_age", "alerts", ["since", "alert_id"])
    op.create_index("alerts_of_partition", "alerts", ["partition", "state"])
    op.create_table(
        "alert_events",
        _serial("event_id"),
        *_text("alert_id"),
        *_big("at"),
        *_text("before", "after", "reason"),
        sa.PrimaryKeyConstraint("event_id"),
        sa.UniqueConstraint("alert_id", "at", "before", "after", "reason", name="alert_events_once"),
    )
    op.create_table(
        "explanations",
        *_text("alert_id"),
        *_json("figures"),
        *_big("frozen_at"),
        sa.PrimaryKeyConstraint("alert_id"),
    )


def _create_closings() -> None:
    op.create_table(
        "closings",
        _serial("closing_id"),
        *_text("enterprise"),
        *_big("first_day", "end_day"),
        *_text("closed_by"),
        *_big("closed_at"),
        *_text("reason"),
        sa.PrimaryKeyConstraint("closing_id"),
    )
    op.create_index("closings_of_enterprise", "closings", ["enterprise", "first_day"])
    op.create_table(
        "proposals",
        _serial("proposal_id"),
        *_text("enterprise"),
        *_big("day", "made_at"),
        *_text("cause"),
        *_json("before", "after"),
        *_text("fingerprint", "state"),
        *_text("decided_by", nullable=True),
        *_big("decided_at", nullable=True),
        *_text("reason", nullable=True),
        sa.PrimaryKeyConstraint("proposal_id"),
    )
    op.create_index("proposals_of_enterprise", "proposals", ["enterprise", "day"])
    op.create_index(
        "proposals_open",
        "proposals",
        ["enterprise", "day"],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )


def _create_statistics_and_law() -> None:
    op.create_table(
        "statistics",
        *_text("subject", "indicator", "item"),
        *_big("first_day"),
        *_big("end_day", nullable=True),
        *_big("version"),
        *_big("value", nullable=True),
        *_text("unit", "state", "source", "submitted_by", "decided_by", nullable=True),
        *_big("decided_at", nullable=True),
        *_text("note", nullable=True),
        sa.PrimaryKeyConstraint("subject", "indicator", "item", "first_day", "version"),
    )
    op.create_index("statistics_of_period", "statistics", ["subject", "end_day"])
    op.create_table(
        "known_factors",
        *_text("factor_id"),
        *_json("row"),
        sa.PrimaryKeyConstraint("factor_id"),
    )
    op.create_table(
        "restatements",
        _serial("restatement_id"),
        *_big("made_at"),
        *_json("changes"),
        *_big("days"),
        sa.PrimaryKeyConstraint("restatement_id"),
    )


def _create_outbox() -> None:
    op.create_table(
        "notices",
        _serial("seq"),
        *_text("notice_id", "alert_id", "enterprise", "group", "reason", "subject", "body"),
        *_big("made_at"),
        *_text("outcome", nullable=True),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("notice_id"),
    )
    op.create_index("notices_of_alert", "notices", ["alert_id", "reason"])
    op.create_index(
        "notices_waiting",
        "notices",
        ["seq"],
        sqlite_where=sa.text("outcome IS NULL"),
        postgresql_where=sa.text("outcome IS NULL"),
    )
    op.create_table(
        "deliveries",
        _serial("delivery_id"),
        *_text("notice_id", "channel", "outcome", "detail"),
        *_big("at"),
        sa.PrimaryKeyConstraint("delivery_id"),
        sa.ForeignKeyConstraint(["notice_id"], ["notices.notice_id"], name="deliveries_notice"),
    )
    op.create_index("deliveries_of_notice", "deliveries", ["notice_id", "channel"])


def _create_enterprises() -> None:
    op.create_table(
        "regions",
        *_text("code"),
        *_text("name", "parent", nullable=True),
        sa.PrimaryKeyConstraint("code"),
    )
    op.create_table(
        "enterprises",
        *_text("enterprise"),
        *_text("name", "region", "industry", "dialect", nullable=True),
        *_big("active_from", "active_to", nullable=True),
        sa.PrimaryKeyConstraint("enterprise"),
    )
    op.create_table(
        "devices",
        *_text("enterprise", "device"),
        *_text("name", nullable=True),
        *_big("cadence_s", nullable=True),
        *_big("valid_from"),
        *_big("valid_to", nullable=True),
        sa.PrimaryKeyConstraint("enterprise", "device", "valid_from"),
    )


def _create_points() -> None:
    op.create_table(
        "points",
        *_big("point"),
        *_text("enterprise", "data_code", nullable=True),
        *_big("stat_type", nullable=True),
        *_text("meter", "name", "device", "carrier", "kind", "role", "use", nullable=True),
        *_big("parent", nullable=True),
        *_bool("feeds_total", nullable=True),
        *_text("unit", nullable=True),
        *_big(
            "ratio_num",
            "ratio_den",
            "cadence_s",
            "grace_s",
            "max_estimate_s",
            "capacity",
            "register_modulus",
            "expected_daily",
            nullable=True,
        ),
        *_big("valid_from"),
        *_big("valid_to", nullable=True),
        sa.PrimaryKeyConstraint("point", "valid_from"),
    )
    op.create_table(
        "virtual_terms",
        *_big("point", "term"),
        *_big("num", "den", nullable=True),
        *_big("valid_from"),
        *_big("valid_to", nullable=True),
        sa.PrimaryKeyConstraint("point", "term", "valid_from"),
    )
    op.create_table(
        "meter_changes",
        *_big("point", "at"),
        *_big("closing", "opening", nullable=True),
        sa.PrimaryKeyConstraint("point", "at"),
    )
    op.create_table(
        "heating_values",
        *_text("enterprise", "carrier"),
        *_big("heat_j", nullable=True),
        *_text("source", "confidence", nullable=True),
        *_big("valid_from"),
        *_big("valid_to", nullable=True),
        sa.PrimaryKeyConstraint("enterprise", "carrier", "valid_from"),
    )


def _create_products() -> None:
    op.create_table(
        "products",
        *_text("enterprise", "product"),
        *_text("name", "unit", "norm", nullable=True),
        *_big("valid_from"),
        *_big("valid_to", nullable=True),
        sa.PrimaryKeyConstraint("enterprise", "product", "valid_from"),
    )
    op.create_table(
        "product_shares",
        *_text("enterprise", "product"),
        *_big("point"),
        *_big("num", "den", nullable=True),
        *_big("valid_from"),
        *_big("valid_to", nullable=True),
        sa.PrimaryKeyConstraint("enterprise", "product", "point", "valid_from"),
    )


def _create_targets() -> None:
    op.create_table(
        "quotas",
        *_text("enterprise"),
        *_big("year"),
        *_text("basis", "scope", "level"),
        *_big("quota_g", nullable=True),
        *_text("profile", "source", "confidence", nullable=True),
        sa.PrimaryKeyConstraint("enterprise", "year", "basis", "scope", "level"),
    )
    op.create_table(
        "quota_plans",
        *_text("enterprise"),
        *_big("year"),
        *_text("basis", "scope"),
        *_big("month"),
        *_big("planned_g", nullable=True),
        sa.PrimaryKeyConstraint("enterprise", "year", "basis", "scope", "month"),
    )
    op.create_table(
        "intensity_targets",
        *_text("enterprise"),
        *_big("year"),
        *_text("basis", "scope", "denominator", "level"),
        *_big("target_mg", "reduction_ppm", "base_year", nullable=True),
        *_text("source", "confidence", nullable=True),
        sa.PrimaryKeyConstraint("enterprise", "year", "basis", "scope", "denominator", "level"),
    )
