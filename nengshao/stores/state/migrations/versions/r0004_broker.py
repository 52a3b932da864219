"""What the broker refused, how far its log is read, and by which registry each session subscribes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "broker_denials",
        sa.Column("day", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("enterprise", "kind")),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("day", "enterprise", "kind"),
    )
    op.create_table(
        "broker_logs",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("source", "position")),
        sa.PrimaryKeyConstraint("source"),
    )
    names = ("epoch", "partition", "registry_version")
    op.create_table(
        "subscriptions",
        *(sa.Column(name, sa.BigInteger, nullable=False, autoincrement=False) for name in names),
        sa.PrimaryKeyConstraint("epoch", "partition"),
    )
