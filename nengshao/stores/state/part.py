"""What every part of the store stands on."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.domain.codes import partition_of
from nengshao.ports import Partitioning
from nengshao.stores.state.engine import Database
from nengshao.stores.state.schema import settings

COUNT, EPOCH, ANNOUNCED = "partitions", "partitions_epoch", "partitions_announced"
"""Rows of `settings` that say how enterprises are shared out. They are only ever updated: who has waited for
a lock on them would not see rows that came meanwhile.
"""

_QUERY: Final = sa.select(settings.c.name, settings.c.value).where(
    settings.c.name.in_((COUNT, EPOCH, ANNOUNCED))
)


class Part:
    """A part of the StateStore: one database, and the partitions that this process works by."""

    def __init__(self, database: Database, partitions: int) -> None:
        """`partitions`: for a new database; `migrate` replaces it by the number of an old one."""
        self._db: Final = database
        self._partitions = Partitioning(partitions)

    def _partition(self, enterprise: str) -> int:
        """For those who hold a lease: theirs is over before the number changes. Others ask `_placing`."""
        return _cached_partition(enterprise, self._partitions.count)

    def _placing(self, connection: Connection) -> Callable[[str], int]:
        """Where an enterprise's rows belong, by a number that cannot change before this transaction ends."""
        return partial(_cached_partition, partitions=fixed_partitioning(connection).count)


def write_partitioning(connection: Connection, now: Partitioning) -> None:
    """Let this hold; the rows have been locked."""
    for name, value in ((COUNT, now.count), (EPOCH, now.epoch), (ANNOUNCED, now.announced or 0)):
        connection.execute(sa.update(settings).where(settings.c.name == name).values(value=value))


def read_partitioning(connection: Connection) -> Partitioning:
    """What holds now."""
    return _partitioning(connection, _QUERY)


def fixed_partitioning(connection: Connection, *, for_update: bool = False) -> Partitioning:
    """What holds until this writing transaction has ended; `for_update`: it is the one that changes it."""
    return _partitioning(connection, _QUERY.with_for_update(read=not for_update))


def _partitioning(connection: Connection, query: sa.Select[tuple[str, int]]) -> Partitioning:
    found = {row.name: row.value for row in connection.execute(query)}
    return Partitioning(found[COUNT], found[EPOCH], found[ANNOUNCED] or None)


@lru_cache(maxsize=100_000)
def _cached_partition(enterprise: str, partitions: int) -> int:
    return partition_of(enterprise, partitions)
