"""Several processes and several partitions: each holds about as many leases as the next."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.domain.errors import LeaseLost
from nengshao.ports import Lease, Partitioning
from nengshao.stores.state.bulk import upsert
from nengshao.stores.state.engine import store_time
from nengshao.stores.state.leases import (
    check_lease,
    free_lease,
    grant_lease,
    lock_lease,
    prolong_lease,
)
from nengshao.stores.state.part import Part, fixed_partitioning
from nengshao.stores.state.schema import candidates, leases

REPARTITION: Final = "repartition"
"""Kind of the one lease whose holder may change the number of partitions."""

_ASKS: Final = 2 / 3
"""Part of a lease's time for which a candidate is believed to be there: gone before its leases are, or a
survivor would wait for the dead to take one."""

_COMES: Final = 1 / 2
"""Part of a lease's time for which a newcomer leaves alone what has run out: after the store itself was away
everybody's lease has, and a holder who is well renews his within that time."""


class SqlSharing(Part):
    """Taking and giving back shares; see `nengshao.ports.Partitions`."""

    def take_share(self, kind: str, partition: int, holder: str, ttl_s: float) -> Lease | None:
        """The lease, if it is this candidate's turn."""
        with self._db.writing() as connection:
            row = lock_lease(connection, kind, partition)
            now = store_time(connection)
            if (partitions := self._open_to(connection, holder)) is None:
                return None
            since = _ask(connection, kind, holder, now, ttl_s)
            if row.holder != holder and row.expires_at > now:
                return None
            if row.holder != holder and partitions.announced is None:
                is_early = row.holder != "" and since > now - _COMES * ttl_s
                if is_early or not self._is_next(connection, kind, holder, now):
                    return None
            return grant_lease(connection, Lease(kind, partition, holder, row.epoch, now + ttl_s), row.holder)

    def renew_share(self, lease: Lease, ttl_s: float) -> Lease:
        """The lease, prolonged. Raises: LeaseLost, also if it was one too many."""
        with self._db.writing() as connection:
            check_lease(connection, lease, for_update=True)
            now = store_time(connection)
            partitions = self._open_to(connection, lease.holder)
            if partitions is not None:
                _ask(connection, lease.kind, lease.holder, now, ttl_s)
                if partitions.announced is not None or not self._has_too_many(connection, lease, now):
                    return prolong_lease(connection, lease, now + ttl_s)
            free_lease(connection, lease)
        raise LeaseLost(f"{lease.kind} {lease.partition}: given back")

    def _open_to(self, connection: Connection, holder: str) -> Partitioning | None:
        """The partitioning, if it is the one that this process works by and nobody is about to change it;
        to who is about to, for himself alone.
        """
        now = fixed_partitioning(connection)
        query = sa.select(leases.c.holder).where(leases.c.kind == REPARTITION)
        is_barred = now.announced is not None and connection.execute(query).scalar() != holder
        return None if is_barred or now.epoch != self._partitions.epoch else now

    def _is_next(self, connection: Connection, kind: str, holder: str, now: float) -> bool:
        """Whether no other candidate holds fewer."""
        loads = self._loads(connection, kind, now)
        return loads.get(holder, 0) <= min(loads.values(), default=0)

    def _has_too_many(self, connection: Connection, lease: Lease, now: float) -> bool:
        """Whether another candidate would hold fewer even with one more, and with all that are free."""
        loads = self._loads(connection, lease.kind, now)
        free = self._partitions.count - sum(loads.values())
        return loads.get(lease.holder, 0) >= min(loads.values(), default=0) + free + 2

    def _loads(self, connection: Connection, kind: str, now: float) -> dict[str, int]:
        """How many partitions each candidate holds."""
        held = sa.and_(
            leases.c.kind == candidates.c.kind,
            leases.c.holder == candidates.c.holder,
            leases.c.expires_at > now,
            leases.c.partition < self._partitions.count,
        )
        query = (
            sa.select(candidates.c.holder, sa.func.count(leases.c.partition))
            .select_from(candidates.outerjoin(leases, held))
            .where(candidates.c.kind == kind, candidates.c.expires_at > now)
            .group_by(candidates.c.holder)
        )
        return {row[0]: row[1] for row in connection.execute(query)}


def _ask(connection: Connection, kind: str, holder: str, now: float, ttl_s: float) -> float:
    """Be a candidate, from now on for a while; since when it has been one without a break."""
    statement = upsert(connection, candidates)
    new: Any = statement.excluded
    since = sa.case((candidates.c.expires_at > now, candidates.c.since), else_=new.since)
    standing = statement.on_conflict_do_update(
        index_elements=["kind", "holder"], set_={"since": since, "expires_at": new.expires_at}
    ).returning(candidates.c.since)
    row = {"kind": kind, "holder": holder, "since": now, "expires_at": now + _ASKS * ttl_s}
    return float(connection.execute(standing, row).scalar_one())
