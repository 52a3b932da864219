"""Proposals: what is new beside closed figures, waiting for a person (BOOKKEEPING §7).

What hangs together is decided together. A block that lies in closed days as a whole is theirs: it stays in
force with them, and is replaced with them. A block that reaches into an open day follows the latest results
like that day: were the old one kept, what has since been measured in the open day would count twice. So,
until somebody rejects one, what is in force and the open proposals add up to the latest results.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.domain.factors import Basis
from nengshao.frames import BLOCKS, ENTERPRISE_DAYS, POINT_DAYS, SCOPE_DAYS, Contract
from nengshao.ports import Revision
from nengshao.stores.state.bulk import Row, Rows, columns_of, frame_of, rows_of, run_many, select_among
from nengshao.stores.state.closed import days_of_block
from nengshao.stores.state.in_force import PAIR, Change
from nengshao.stores.state.schema import enterprise_days, point_days, proposals, scope_days

Pair = tuple[str, int]
Content = dict[str, Any]
BlockKey = tuple[Any, ...]

_NO_FIGURES: Final = frozenset({"recheck_at", "published"})


@dataclass(frozen=True, slots=True)
class DayFigures:
    """The figures of some days: frames of their rows, and the rows of the blocks that are theirs."""

    enterprise_days: pl.DataFrame
    point_days: pl.DataFrame
    scope_days: pl.DataFrame
    blocks: Rows

    def contents(self, pairs: Sequence[Pair]) -> dict[Pair, Content]:
        """By day: "enterprise_day" (None: no figures), "point_days", "scope_days", "blocks", each sorted."""
        found: dict[Pair, Content] = {
            pair: {"enterprise_day": None, "point_days": [], "scope_days": [], "blocks": []} for pair in pairs
        }
        for row in _rows(self.enterprise_days, ENTERPRISE_DAYS, found):
            found[row["enterprise"], row["day"]]["enterprise_day"] = row
        for row in _rows(self.point_days, POINT_DAYS, found):
            found[row["enterprise"], row["day"]]["point_days"].append(row)
        for row in _rows(self.scope_days, SCOPE_DAYS, found):
            found[row["enterprise"], row["day"]]["scope_days"].append(row)
        for row in sorted(self.blocks, key=lambda row: [row[name] for name in BLOCKS.key]):
            for day in range(*days_of_block(row)):
                if (row["enterprise"], day) in found:
                    found[row["enterprise"], day]["blocks"].append(row)
        return found


def read_days_in_force(connection: Connection, pairs: Sequence[Pair], held: Rows) -> DayFigures:
    """What is in force of these days, at least one; `held`: the blocks that are theirs."""
    tables = ((enterprise_days, ENTERPRISE_DAYS), (point_days, POINT_DAYS), (scope_days, SCOPE_DAYS))
    days, points, scopes = (_read(connection, table, contract, pairs) for table, contract in tables)
    return DayFigures(days, points, scopes, held)


def write_proposals(
    connection: Connection, before: DayFigures, after: DayFigures, causes: Mapping[Pair, str], at: int
) -> None:
    """Propose, for each day that is a key of `causes`, what differs from what is in force.

    An open proposal that says the same stays, one that says something else is withdrawn: whoever decides
    it has not seen the new one. What was rejected over the same figures is not proposed again.
    """
    pairs = sorted(causes)
    was, now = before.contents(pairs), after.contents(pairs)
    wanted = {
        pair: _fingerprint(was[pair], now[pair])
        for pair in pairs
        if _figures(was[pair]) != _figures(now[pair])
    }
    known = _known(connection, pairs)
    gone = [
        {"gone": row.proposal_id}
        for row in known
        if row.state == "open" and wanted.get((row.enterprise, row.day)) != row.fingerprint
    ]
    said = {(row.enterprise, row.day, row.fingerprint) for row in known}
    new = [
        {
            "enterprise": pair[0],
            "day": pair[1],
            "made_at": at,
            "cause": causes[pair],
            "before": was[pair],
            "after": now[pair],
            "fingerprint": fingerprint,
            "state": "open",
        }
        for pair, fingerprint in wanted.items()
        if (*pair, fingerprint) not in said
    ]
    withdrawn = sa.update(proposals).where(proposals.c.proposal_id == sa.bindparam("gone"))
    run_many(connection, withdrawn.values(state="withdrawn", decided_at=at), gone)
    run_many(connection, sa.insert(proposals), new)


def renew_rechecks(connection: Connection, after: pl.DataFrame, pairs: Sequence[Pair]) -> None:
    """When to look again is no figure: a closed day would be due for ever if it kept its old time."""
    found = {(name, day): at for name, day, at in after.select("enterprise", "day", "recheck_at").iter_rows()}
    statement = (
        sa.update(enterprise_days)
        .where(
            enterprise_days.c.enterprise == sa.bindparam("of_enterprise"),
            enterprise_days.c.day == sa.bindparam("of_day"),
        )
        .values(recheck_at=sa.bindparam("at"))
    )
    rows = [{"of_enterprise": name, "of_day": day, "at": found.get((name, day))} for name, day in pairs]
    run_many(connection, statement, rows)


def hanging_together(rows: Sequence[Any], asked: Collection[int]) -> list[Any]:
    """Of one enterprise's open proposals, those asked for and those that share blocks with them.

    One of them alone would leave a block in force beside figures that were made without it, or neither.
    """
    keys = {row.proposal_id: _block_keys(row) for row in rows}
    found = keys.keys() & set(asked)
    while True:
        touched = set[BlockKey]().union(*(keys[number] for number in found))
        reached = {number for number in keys if number in found or touched & keys[number]}
        if reached == found:
            return [row for row in rows if row.proposal_id in found]
        found = reached


def accepted(rows: Sequence[Any], *, by: str, reason: str, at: int, regions: Sequence[str]) -> Change:
    """The change that puts these proposals of one enterprise into force."""
    enterprise, after = rows[0].enterprise, [row.after for row in rows]
    days = [side["enterprise_day"] for side in after if side["enterprise_day"]]
    return Change(
        at=at,
        pairs=[{"enterprise": enterprise, "day": row.day} for row in rows],
        enterprise_days=_frame(days, ENTERPRISE_DAYS),
        point_days=_frame(list(chain(*(side["point_days"] for side in after))), POINT_DAYS),
        scope_days=_frame(list(chain(*(side["scope_days"] for side in after))), SCOPE_DAYS),
        gone_blocks=_distinct_blocks([*(row.before for row in rows), *after]),
        blocks=_distinct_blocks(after),
        revisions=[
            Revision(enterprise, row.day, "accepted", row.before, row.after, by, reason) for row in rows
        ],
        regions={enterprise: regions},
    )


def difference(day: int, before: Content, after: Content) -> tuple[int | None, ...]:
    """What each basis's sum gains by the proposal of a day, g; null where a factor is missing.

    A block is reckoned to the day it begins in.
    """
    sides = [[_adds(day, side, basis) for side in (before, after)] for basis in Basis]
    return tuple(None if was is None or now is None else now - was for was, now in sides)


def _adds(day: int, side: Content, basis: Basis) -> int | None:
    """What a sum takes from one day and its blocks. A day on which nothing was measured adds nothing."""
    mine = [row for row in side["blocks"] if days_of_block(row)[0] == day and row["sign"] != 0]
    figures = side["enterprise_day"] or {}
    if f":{basis}" in (figures.get("no_factor") or "") or any(row[f"{basis}_g"] is None for row in mine):
        return None
    grams: int = figures.get(f"{basis}_g") or 0
    of_blocks: int = sum(row["sign"] * row[f"{basis}_g"] for row in mine)
    return grams + of_blocks


def _block_keys(row: Any) -> set[BlockKey]:
    return {_block_key(block) for side in (row.before, row.after) for block in side["blocks"]}


def _block_key(block: Row) -> BlockKey:
    return tuple(block[name] for name in BLOCKS.key)


def _distinct_blocks(sides: Iterable[Content]) -> Rows:
    """Each block once: it stands in the proposal of every day that it touches."""
    return list({_block_key(block): block for side in sides for block in side["blocks"]}.values())


def _frame(rows: Rows, contract: Contract) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(contract.schema))


def _known(connection: Connection, pairs: Sequence[Pair]) -> list[Any]:
    """Proposals of these days that are open, or were rejected."""
    c = proposals.c
    days, wanted = [day for _, day in pairs], set(pairs)
    query = sa.select(c.proposal_id, c.enterprise, c.day, c.state, c.fingerprint).where(
        c.state.in_(("open", "rejected")), c.day.between(min(days), max(days))
    )
    found = select_among(connection, query, c.enterprise, {name for name, _ in pairs})
    return [row for row in found if (row.enterprise, row.day) in wanted]


def _read(connection: Connection, table: sa.Table, contract: Contract, pairs: Sequence[Pair]) -> pl.DataFrame:
    days = [day for _, day in pairs]
    query = sa.select(*columns_of(table, contract.schema)).where(table.c.day.between(min(days), max(days)))
    rows = select_among(connection, query, table.c.enterprise, {name for name, _ in pairs})
    wanted = pl.DataFrame(pairs, schema=PAIR, orient="row")
    return frame_of(rows, contract.schema).join(wanted, on=list(PAIR), how="semi")


def _rows(frame: pl.DataFrame, contract: Contract, wanted: Mapping[Pair, Content]) -> list[Row]:
    pairs = pl.DataFrame(list(wanted), schema=PAIR, orient="row")
    return rows_of(frame.join(pairs, on=list(PAIR), how="semi"), contract.schema, by=contract.key)


def _figures(content: Any) -> Any:
    """The content without what is no figure."""
    if isinstance(content, dict):
        return {name: _figures(value) for name, value in content.items() if name not in _NO_FIGURES}
    if isinstance(content, list):
        return [_figures(value) for value in content]
    return content


def _fingerprint(was: Content, now: Content) -> str:
    said = json.dumps([_figures(was), _figures(now)], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()
