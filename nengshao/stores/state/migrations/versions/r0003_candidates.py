"""Who asks for a share of the leases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "candidates",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("kind", "holder")),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("since", "expires_at")),
        sa.PrimaryKeyConstraint("kind", "holder"),
    )
