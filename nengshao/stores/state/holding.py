"""What of a commit goes into force, and what is held back because its day is closed."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.frames import BLOCKS
from nengshao.ports import AssessmentCommit
from nengshao.stores.state.bulk import Rows, columns_of, frame_of, rows_of, select_in_spans
from nengshao.stores.state.closed import ClosedDays, days_of_block, read_closed
from nengshao.stores.state.in_force import PAIR, Change, pairs_of
from nengshao.stores.state.proposals import (
    DayFigures,
    Pair,
    read_days_in_force,
    renew_rechecks,
    write_proposals,
)
from nengshao.stores.state.schema import blocks


def hold_back(connection: Connection, commit: AssessmentCommit) -> Change:
    """The change that the commit makes, after what it says of closed days has become proposals."""
    pairs = pairs_of(commit.claimed, commit.enterprise_days, commit.point_days, commit.scope_days)
    there, new = _blocks_there(connection, commit.block_spans), rows_of(commit.blocks, BLOCKS.schema)
    closed = _closed_around(connection, pairs, [*there, *new])
    held = [pair for pair in _tuples(pairs) if closed.has(*pair)]
    if held:
        before = read_days_in_force(connection, held, [row for row in there if closed.holds(row)])
        after = DayFigures(
            commit.enterprise_days,
            commit.point_days,
            commit.scope_days,
            [row for row in new if closed.holds(row)],
        )
        causes = {(each.enterprise, each.day): each.cause for each in commit.revisions}
        # Without a revision only blocks or scopes have moved: reads came late.
        write_proposals(
            connection, before, after, {pair: causes.get(pair, "late_data") for pair in held}, commit.at
        )
        renew_rechecks(connection, commit.enterprise_days, held)
    gone, put = ([row for row in rows if not closed.holds(row)] for rows in (there, new))
    changed = None if commit.changed is None else pairs_of(commit.changed)
    return Change(
        at=commit.at,
        pairs=[row for row in pairs if not closed.has(row["enterprise"], row["day"])],
        point_days=_without(commit.point_days, held),
        enterprise_days=_without(commit.enterprise_days, held),
        scope_days=_without(commit.scope_days, held),
        gone_blocks=gone,
        blocks=put,
        revisions=[each for each in commit.revisions if not closed.has(each.enterprise, each.day)],
        regions=commit.regions,
        claimed=commit.claimed,
        changed=None if changed is None else [row for row in changed if not closed.has(*row.values())],
        also_due={*_owners_of_differing(gone, put), *(name for name, _ in held)},
    )


def _blocks_there(connection: Connection, spans: pl.DataFrame) -> Rows:
    query = sa.select(*columns_of(blocks, BLOCKS.schema))
    found = select_in_spans(connection, query, blocks.c.enterprise, (blocks.c.start, blocks.c.end), spans)
    return rows_of(frame_of(found, BLOCKS.schema), BLOCKS.schema, by=BLOCKS.key)


def _closed_around(connection: Connection, pairs: Rows, around: Rows) -> ClosedDays:
    """What is closed of the days of the pairs, and of those that the blocks touch."""
    days = [(row["enterprise"], row["day"], row["day"] + 1) for row in pairs]
    days += [(row["enterprise"], *days_of_block(row)) for row in around]
    if not days:
        return ClosedDays({})
    names, firsts, ends = zip(*days, strict=True)
    return read_closed(connection, names, min(firsts), max(ends))


def _owners_of_differing(gone: Rows, put: Rows) -> set[str]:
    """Enterprises of the blocks that are in one of the two only."""
    sides = [{tuple(row[name] for name in BLOCKS.schema) for row in rows} for rows in (gone, put)]
    place = list(BLOCKS.schema).index("enterprise")
    return {values[place] for values in sides[0] ^ sides[1]}


def _tuples(pairs: Rows) -> list[Pair]:
    return [(row["enterprise"], row["day"]) for row in pairs]


def _without(frame: pl.DataFrame, held: Iterable[Pair]) -> pl.DataFrame:
    pairs = pl.DataFrame(list(held), schema=PAIR, orient="row")
    return frame.join(pairs, on=list(PAIR), how="anti", maintain_order="left")
