"""What every part of the store stands on."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from nengshao.domain.codes import partition_of
from nengshao.stores.state.engine import Database


class Part:
    """A part of the StateStore: one database, and the number of partitions that it was set up with."""

    def __init__(self, database: Database, partitions: int) -> None:
        """`partitions` is what `migrate` writes into a new database and demands of an old one."""
        self._db: Final = database
        self._partitions: Final = partitions

    def _partition(self, enterprise: str) -> int:
        return _cached_partition(enterprise, self._partitions)


@lru_cache(maxsize=100_000)
def _cached_partition(enterprise: str, partitions: int) -> int:
    return partition_of(enterprise, partitions)
