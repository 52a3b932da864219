"""Closings and decisions: figures that only a person may change any more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.domain.errors import ConfigError
from nengshao.domain.time import date_of
from nengshao.stores.state.bulk import chunks, select_among
from nengshao.stores.state.closed import read_closed
from nengshao.stores.state.in_force import put_in_force
from nengshao.stores.state.leases import lock_lease
from nengshao.stores.state.part import Part
from nengshao.stores.state.proposals import accepted, difference, hanging_together
from nengshao.stores.state.regions import read_regions_of
from nengshao.stores.state.schema import closings, enterprise_days, proposals

_DIFFERENCES: Final = {
    "enterprise": pl.String,
    "day": pl.Int32,
    "calorific_g": pl.Int64,
    "equivalent_g": pl.Int64,
    "carbon_g": pl.Int64,
}


_SHOWN: Final = [column for column in proposals.c if column.name != "fingerprint"]


class SqlClosings(Part):
    """`nengshao.ports.Closings`. Closing and deciding take turns with the partition's commits."""

    def close_period(  # noqa: PLR0917 - what is closed, and who says so
        self, enterprise: str, first_day: int, end_day: int, by: str, reason: str, at: int
    ) -> int:
        """Freeze the figures of these days; the id of the closing. Raises: ConfigError with all problems."""
        row = {
            "enterprise": enterprise,
            "first_day": first_day,
            "end_day": end_day,
            "closed_by": by,
            "closed_at": at,
            "reason": reason,
        }
        with self._db.writing() as connection:
            lock_lease(connection, "assess", self._placing(connection)(enterprise))
            if problems := list(_obstacles(connection, enterprise, first_day, end_day)):
                raise ConfigError(problems)
            statement = sa.insert(closings).values(row).returning(closings.c.closing_id)
            return int(connection.execute(statement).scalar_one())

    def closings(self, enterprise: str) -> list[Mapping[str, Any]]:
        """closing_id, enterprise, first_day, end_day, closed_by, closed_at, reason; oldest first."""
        query = sa.select(closings).where(closings.c.enterprise == enterprise)
        with self._db.reading() as connection:
            rows = connection.execute(query.order_by(closings.c.closed_at, closings.c.closing_id)).mappings()
            return [dict(row) for row in rows]

    def proposal(self, proposal_id: int) -> Mapping[str, Any] | None:
        """As `proposals` gives it, whatever its state; None: there is none."""
        query = sa.select(*_SHOWN).where(proposals.c.proposal_id == proposal_id)
        with self._db.reading() as connection:
            row = connection.execute(query).mappings().first()
            return None if row is None else dict(row)

    def proposals(
        self,
        enterprises: Sequence[str] | None = None,
        *,
        state: str | None = None,
        before: int | None = None,
        limit: int = 1000,
    ) -> list[Mapping[str, Any]]:
        """Every column but the fingerprint, newest first; `before`: older than that one."""
        query = sa.select(*_SHOWN).order_by(proposals.c.proposal_id.desc()).limit(limit)
        if before is not None:
            query = query.where(proposals.c.proposal_id < before)
        if state is not None:
            query = query.where(proposals.c.state == state)
        with self._db.reading() as connection:
            if enterprises is None:
                rows = list(connection.execute(query))
            else:
                rows = select_among(connection, query, proposals.c.enterprise, enterprises)
        newest = sorted(rows, key=lambda row: -row.proposal_id)[:limit]
        return [dict(row._mapping) for row in newest]

    def pending_difference(self, enterprises: Sequence[str], first_day: int, end_day: int) -> pl.DataFrame:
        """enterprise, day, calorific_g, equivalent_g, carbon_g of open proposals: proposed − in force."""
        query = sa.select(proposals.c.enterprise, proposals.c.day, proposals.c.before, proposals.c.after)
        asked = query.where(
            proposals.c.state == "open", proposals.c.day >= first_day, proposals.c.day < end_day
        )
        with self._db.reading() as connection:
            found = select_among(connection, asked, proposals.c.enterprise, enterprises)
        rows = [(row.enterprise, row.day, *difference(row.day, row.before, row.after)) for row in found]
        return pl.DataFrame(rows, schema=_DIFFERENCES, orient="row").sort("enterprise", "day")

    def decide_proposal(self, proposal_id: int, *, accept: bool, by: str, reason: str, at: int) -> bool:
        """Accept or reject it, with the open ones that hang together with it by a block; False if it is not
        open any more."""
        with self._db.writing() as connection:
            owner = sa.select(proposals.c.enterprise).where(proposals.c.proposal_id == proposal_id)
            enterprise = connection.execute(owner).scalar()
            if enterprise is None:
                return False
            rows = self._open_and_locked(connection, enterprise)
            verdict = _Verdict(accept, by, reason, at)
            return bool(self._decide(connection, hanging_together(rows, [proposal_id]), verdict))

    def decide_proposals(
        self, enterprise: str, first_day: int, end_day: int, *, accept: bool, by: str, reason: str, at: int
    ) -> list[int]:
        """Decide all open proposals of these days, and what hangs together with them; their ids, sorted."""
        with self._db.writing() as connection:
            rows = self._open_and_locked(connection, enterprise)
            asked = [row.proposal_id for row in rows if first_day <= row.day < end_day]
            verdict = _Verdict(accept, by, reason, at)
            return self._decide(connection, hanging_together(rows, asked), verdict)

    def _open_and_locked(self, connection: Connection, enterprise: str) -> list[Any]:
        lock_lease(connection, "assess", self._placing(connection)(enterprise))
        query = sa.select(proposals).where(proposals.c.enterprise == enterprise, proposals.c.state == "open")
        return list(connection.execute(query.order_by(proposals.c.day)))

    def _decide(self, connection: Connection, rows: Sequence[Any], verdict: _Verdict) -> list[int]:
        """Decide these open proposals of one enterprise."""
        if rows and verdict.accept:
            change = accepted(
                rows, by=verdict.by, reason=verdict.reason, at=verdict.at,
                regions=read_regions_of(connection, rows[0].enterprise),
            )  # fmt: skip
            put_in_force(connection, change, self._placing(connection))
        numbers = sorted(row.proposal_id for row in rows)
        said = {
            "state": "accepted" if verdict.accept else "rejected",
            "decided_by": verdict.by,
            "decided_at": verdict.at,
            "reason": verdict.reason,
        }
        for some in chunks(numbers):
            connection.execute(sa.update(proposals).where(proposals.c.proposal_id.in_(some)).values(said))
        return numbers


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What a person said of proposals, and when."""

    accept: bool
    by: str
    reason: str
    at: int


def _obstacles(connection: Connection, enterprise: str, first_day: int, end_day: int) -> Iterator[str]:
    """A line, Chinese then English, for everything that forbids closing these days."""
    if first_day >= end_day:
        yield f"{enterprise}: 期间为空 / the period is empty"
        return
    c = enterprise_days.c
    query = sa.select(c.day, c.published).where(
        c.enterprise == enterprise, c.day >= first_day, c.day < end_day
    )
    published = {row.day: row.published for row in connection.execute(query)}
    closed = read_closed(connection, [enterprise], first_day, end_day)
    days = range(first_day, end_day)
    lacks = (
        ("没有结果 / no result", [day for day in days if day not in published]),
        ("尚未发布 / not published yet", [day for day in days if published.get(day) is False]),
        ("已结账 / closed already", [day for day in days if closed.has(enterprise, day)]),
    )
    for lack, found in lacks:
        for first, last in _runs(found):
            yield f"{enterprise} {date_of(first)} … {date_of(last)}: {lack}"


def _runs(days: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last day of each run of days without a gap."""
    for _, run in groupby(enumerate(days), key=lambda item: item[1] - item[0]):
        found = [day for _, day in run]
        yield found[0], found[-1]
