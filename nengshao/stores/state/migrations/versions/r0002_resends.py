"""The journal of resend requests, and what is known of devices' clocks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create both tables."""
    serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    texts = [sa.Column(name, sa.Text, nullable=False) for name in ("enterprise", "device", "state")]
    given = ("partition", "start", "end", "found_at", "next_at", "attempts", "in_vain")
    later = ("asked_at", "settled_at", "missing")
    op.create_table(
        "resends",
        sa.Column("resend_id", serial, autoincrement=True),
        *texts,
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in given),
        sa.Column("gaps", sa.JSON, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=True) for name in later),
        sa.PrimaryKeyConstraint("resend_id"),
    )
    op.create_index("resends_of_enterprise", "resends", ["enterprise", "resend_id"])
    waiting = sa.text("settled_at IS NULL")
    op.create_index(
        "resends_waiting", "resends", ["partition", "next_at"],
        sqlite_where=waiting, postgresql_where=waiting,
    )  # fmt: skip
    op.create_table(
        "device_clocks",
        sa.Column("enterprise", sa.Text, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("slot", "skew_s")),
        sa.Column("before_s", sa.BigInteger, nullable=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("enterprise", "device"),
    )
