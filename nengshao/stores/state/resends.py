"""The journal of resend requests: written with the booking that found the gap, worked off by the asker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.domain.resends import Gap, Resend, ResendState, with_found
from nengshao.domain.time import DAY_S
from nengshao.ports import Lease
from nengshao.stores.state.bulk import run_many, select_among
from nengshao.stores.state.leases import check_lease
from nengshao.stores.state.part import Part
from nengshao.stores.state.schema import resends

_KEPT_S: Final = 396 * DAY_S
"""How long an ended request is remembered: as long as devices may reach back (13 months)."""

_WAITING: Final = resends.c.settled_at.is_(None)


class SqlResends(Part):
    """Working off what bookings found missing."""

    def due_resends(self, partition: int, now: int, limit: int) -> list[Resend]:
        """Requests that have not ended and whose `next_at` has come, the longest due first."""
        query = (
            sa.select(resends)
            .where(resends.c.partition == partition, _WAITING, resends.c.next_at <= now)
            .order_by(resends.c.next_at, resends.c.resend_id)
            .limit(limit)
        )
        with self._db.reading() as connection:
            return [_resend_of(row) for row in connection.execute(query).mappings()]

    def note_resends(self, lease: Lease, noted: Sequence[Resend]) -> None:
        """Replace these requests by what has become of them. Raises: LeaseLost."""
        with self._db.writing() as connection:
            check_lease(connection, lease)
            _update(connection, noted)
            ended = [resend.settled_at for resend in noted if resend.settled_at is not None]
            if ended:
                old = sa.and_(
                    resends.c.partition == lease.partition, resends.c.settled_at < max(ended) - _KEPT_S
                )
                connection.execute(sa.delete(resends).where(old))

    def resends(
        self,
        enterprise: str,
        *,
        state: ResendState | None = None,
        before_id: int | None = None,
        limit: int = 100,
    ) -> list[Resend]:
        """An enterprise's requests, newest first."""
        query = sa.select(resends).where(resends.c.enterprise == enterprise)
        if state is not None:
            query = query.where(resends.c.state == state.value)
        if before_id is not None:
            query = query.where(resends.c.resend_id < before_id)
        with self._db.reading() as connection:
            rows = connection.execute(query.order_by(resends.c.resend_id.desc()).limit(limit)).mappings()
            return [_resend_of(row) for row in rows]


def write_gaps(connection: Connection, frame: pl.DataFrame, at: int, partition: Callable[[str], int]) -> None:
    """Add GAPS_SCHEMA rows to the journal: to requests that wait already, else as requests of their own."""
    if frame.is_empty():
        return
    found: dict[tuple[str, str], list[Resend]] = defaultdict(list)
    for row in frame.iter_rows(named=True):
        gap = Gap(row["point"], row["start"], row["end"], row["cadence_s"])
        device = (row["enterprise"], row["device"])
        found[device].append(Resend(*device, (gap,), at, row["due_at"]))
    waiting = _waiting(connection, {enterprise for enterprise, _ in found})
    changed = [one for device in sorted(found) for one in with_found(waiting[device], found[device])]
    _update(connection, [one for one in changed if one.resend_id])
    new = [_row_of(one) | {"partition": partition(one.enterprise)} for one in changed if not one.resend_id]
    run_many(connection, sa.insert(resends), new)


def _waiting(connection: Connection, enterprises: set[str]) -> dict[tuple[str, str], list[Resend]]:
    """Requests of these enterprises' devices that have not ended, oldest first."""
    rows = select_among(connection, sa.select(resends).where(_WAITING), resends.c.enterprise, enterprises)
    waiting: dict[tuple[str, str], list[Resend]] = defaultdict(list)
    for one in sorted((_resend_of(row._mapping) for row in rows), key=lambda one: one.resend_id):
        waiting[one.enterprise, one.device].append(one)
    return waiting


def _update(connection: Connection, changed: Sequence[Resend]) -> None:
    rows = [_row_of(one) | {"of_id": one.resend_id} for one in changed]
    run_many(connection, sa.update(resends).where(resends.c.resend_id == sa.bindparam("of_id")), rows)


def _row_of(resend: Resend) -> dict[str, Any]:
    return {
        "enterprise": resend.enterprise,
        "device": resend.device,
        "state": resend.state.value,
        "start": resend.start,
        "end": resend.end,
        "found_at": resend.found_at,
        "next_at": resend.next_at,
        "attempts": resend.attempts,
        "in_vain": resend.in_vain,
        "gaps": [[gap.point, gap.start, gap.end, gap.cadence_s] for gap in resend.gaps],
        "asked_at": resend.asked_at,
        "settled_at": resend.settled_at,
        "missing": resend.missing,
    }


def _resend_of(row: Any) -> Resend:
    return Resend(
        enterprise=row["enterprise"],
        device=row["device"],
        gaps=tuple(Gap(*gap) for gap in row["gaps"]),
        found_at=row["found_at"],
        next_at=row["next_at"],
        state=ResendState(row["state"]),
        attempts=row["attempts"],
        in_vain=row["in_vain"],
        asked_at=row["asked_at"],
        settled_at=row["settled_at"],
        missing=row["missing"],
        resend_id=row["resend_id"],
    )
