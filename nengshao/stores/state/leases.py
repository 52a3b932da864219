"""Who may write: leases on the store's own clock, and the check that every commit makes."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.domain.errors import LeaseLost
from nengshao.ports import Lease
from nengshao.stores.state.bulk import upsert
from nengshao.stores.state.engine import store_time
from nengshao.stores.state.part import Part, fixed_partitioning
from nengshao.stores.state.schema import candidates, leases


class SqlLeases(Part):
    """`nengshao.ports.Leases`."""

    def acquire_lease(self, kind: str, partition: int, holder: str, ttl_s: float) -> Lease | None:
        """The lease if it is free, expired or this holder's own; a new holder has a new epoch.

        None if the number of partitions is not the one that this process works by.
        """
        with self._db.writing() as connection:
            row = lock_lease(connection, kind, partition)
            now = store_time(connection)  # after the wait for the row
            if row.holder != holder and row.expires_at > now:
                return None
            if fixed_partitioning(connection).epoch != self._partitions.epoch:
                return None
            return grant_lease(connection, Lease(kind, partition, holder, row.epoch, now + ttl_s), row.holder)

    def renew_lease(self, lease: Lease, ttl_s: float) -> Lease:
        """The lease, prolonged, even if it had expired. Raises: LeaseLost if another holder has it."""
        with self._db.writing() as connection:
            check_lease(connection, lease, for_update=True)
            expires_at = store_time(connection) + ttl_s
            return prolong_lease(connection, lease, expires_at)

    def release_lease(self, lease: Lease) -> None:
        """Give it back, if it is still ours: from now on nobody commits under its epoch. Its holder goes."""
        with self._db.writing() as connection:
            free_lease(connection, lease)
            gone = sa.and_(candidates.c.kind == lease.kind, candidates.c.holder == lease.holder)
            connection.execute(sa.delete(candidates).where(gone))

    def held_leases(self, kind: str) -> tuple[float, list[Lease]]:
        """The store's time, and the leases of that kind that somebody holds now, by partition."""
        with self._db.reading() as connection:
            now = store_time(connection)
            held = sa.and_(leases.c.kind == kind, leases.c.holder != "", leases.c.expires_at > now)
            rows = connection.execute(sa.select(leases).where(held).order_by(leases.c.partition))
            return now, [Lease(**row) for row in rows.mappings()]


def lock_lease(connection: Connection, kind: str, partition: int) -> Any:
    """holder, epoch, expires_at of a lease, whoever has it. Till this transaction ends nobody commits under
    it."""
    blank = {"kind": kind, "partition": partition, "holder": "", "epoch": 0, "expires_at": 0.0}
    connection.execute(upsert(connection, leases).values(blank).on_conflict_do_nothing())
    query = sa.select(leases.c.holder, leases.c.epoch, leases.c.expires_at).where(_same(kind, partition))
    return connection.execute(query.with_for_update()).one()


def check_lease(connection: Connection, lease: Lease, *, for_update: bool = False) -> None:
    """Make sure that the lease has not passed on, and cannot before this transaction has ended.

    An expired lease that nobody took is still good. Raises: LeaseLost.
    """
    query = sa.select(leases.c.epoch).where(_same(lease.kind, lease.partition), _held(lease))
    if connection.execute(query.with_for_update(read=not for_update)).first() is None:
        raise LeaseLost(f"{lease.kind} {lease.partition}: epoch {lease.epoch} of {lease.holder} is over")


def grant_lease(connection: Connection, lease: Lease, before: str) -> Lease:
    """Write the lease, under the next epoch if it was another's `before`; it has been locked."""
    epoch = lease.epoch + (before != lease.holder)
    granted = Lease(lease.kind, lease.partition, lease.holder, epoch, lease.expires_at)
    _write(connection, granted)
    return granted


def prolong_lease(connection: Connection, lease: Lease, expires_at: float) -> Lease:
    """The lease until later; it has been checked."""
    renewed = Lease(lease.kind, lease.partition, lease.holder, lease.epoch, expires_at)
    _write(connection, renewed)
    return renewed


def free_lease(connection: Connection, lease: Lease) -> None:
    """Let anybody have it, if it is still this holder's."""
    ours = sa.and_(_same(lease.kind, lease.partition), _held(lease))
    connection.execute(sa.update(leases).where(ours).values(holder="", expires_at=0.0))


def _same(kind: str, partition: int) -> sa.ColumnElement[bool]:
    return sa.and_(leases.c.kind == kind, leases.c.partition == partition)


def _held(lease: Lease) -> sa.ColumnElement[bool]:
    return sa.and_(leases.c.holder == lease.holder, leases.c.epoch == lease.epoch)


def _write(connection: Connection, lease: Lease) -> None:
    values = {"holder": lease.holder, "epoch": lease.epoch, "expires_at": lease.expires_at}
    connection.execute(sa.update(leases).where(_same(lease.kind, lease.partition)).values(values))
