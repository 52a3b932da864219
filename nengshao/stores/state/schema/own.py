"""The store itself: its own settings, who may write, what is known of the broker."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Double, Table

from nengshao.stores.state.columns import big, big_key, key, text

metadata: Final = sa.MetaData()

# ------------------------------------------------------------------------------------ the store itself

settings: Final = Table(
    "settings",
    metadata,
    key("name"),  # "partitions…", "registry_version", "law", "generation" (SQLite has no sequences)
    big("value"),
)

GENERATIONS: Final = sa.Sequence("generations", metadata=metadata, data_type=BigInteger)
"""PostgreSQL's counter of generations; SQLite has no sequences and counts in `settings`."""

leases: Final = Table(
    "leases",
    metadata,
    key("kind"),  # "ingest" | "assess" | "notify" | "repartition"
    big_key("partition"),
    text("holder"),  # "" when given back
    big("epoch"),  # changes of holder so far
    Column("expires_at", Double, nullable=False),  # the store's clock
)

candidates: Final = Table(
    "candidates",  # who asks for a share of the leases of a kind, and so may hold as many as the next one
    metadata,
    key("kind"),
    key("holder"),
    Column("since", Double, nullable=False),  # the store's clock, as below
    Column("expires_at", Double, nullable=False),  # has not asked again until then: gone
)

# ---------------------------------------------------------------------------------------------- broker

subscriptions: Final = Table(
    "subscriptions",  # a session's, not its holder's: it outlives him at the broker
    metadata,
    big_key("epoch"),  # of the partitioning: each has sessions of its own
    big_key("partition"),
    big("registry_version"),
)

broker_denials: Final = Table(
    "broker_denials",
    metadata,
    big_key("day"),
    key("enterprise"),  # "" for every sender that is not registered
    key("kind"),  # DenialKind
    big("count"),
)

broker_logs: Final = Table(
    "broker_logs",
    metadata,
    key("source"),
    text("position"),  # up to here the log is counted
)
