"""What of a commit goes into force, and what is held back because its day is closed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.frames import BLOCKS
from nengshao.ports import AssessmentCommit
from nengshao.stores.state.bulk import Row, Rows, columns_of, frame_of, rows_of, select_in_spans
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

BlocksOf = Mapping[tuple[str, int, int], Rows]
"""Blocks by enterprise, `via` and point."""


def hold_back(connection: Connection, commit: AssessmentCommit) -> Change:
    """The change that the commit makes, after what it says of closed days has become proposals."""
    pairs = pairs_of(commit.claimed, commit.enterprise_days, commit.point_days, commit.scope_days)
    new = rows_of(commit.blocks, BLOCKS.schema)
    there = _blocks_in_the_way(connection, commit.block_spans, new)
    closed = _closed_around(connection, pairs, [*there, *new])
    held = [(row["enterprise"], row["day"]) for row in pairs if closed.has(**row)]
    kept = [row for row in there if closed.holds(row)]
    gone = [row for row in there if not closed.holds(row)]
    # A new block that comes over one that stays has to wait with it, wherever it ends.
    in_the_way = _by_point(kept)
    waits = [closed.holds(row) or _meets(row, in_the_way) for row in new]
    put = [row for row, has_to_wait in zip(new, waits, strict=True) if not has_to_wait]
    if held:
        proposed = [row for row, has_to_wait in zip(new, waits, strict=True) if has_to_wait]
        _propose(connection, commit, held, (kept, proposed))
    changed = None if commit.changed is None else pairs_of(commit.changed)
    return Change(
        at=commit.at,
        pairs=[row for row in pairs if not closed.has(**row)],
        point_days=_without(commit.point_days, held),
        enterprise_days=_without(commit.enterprise_days, held),
        scope_days=_without(commit.scope_days, held),
        gone_blocks=gone,
        blocks=put,
        revisions=[each for each in commit.revisions if not closed.has(each.enterprise, each.day)],
        regions=commit.regions,
        claimed=commit.claimed,
        changed=None if changed is None else [row for row in changed if not closed.has(**row)],
        also_due={*commit.also_due, *_owners_of_differing(gone, put), *(name for name, _ in held)},
    )


def _propose(
    connection: Connection, commit: AssessmentCommit, held: Sequence[Pair], blocks: tuple[Rows, Rows]
) -> None:
    """What the commit says of closed days; `blocks`: theirs in force, and those that came instead."""
    before = read_days_in_force(connection, held, blocks[0])
    after = DayFigures(commit.enterprise_days, commit.point_days, commit.scope_days, blocks[1])
    causes = {(each.enterprise, each.day): each.cause for each in commit.revisions}
    # Without a revision only blocks or scopes have moved: reads came late.
    of_held = {pair: causes.get(pair, "late_data") for pair in held}
    write_proposals(connection, before, after, of_held, commit.at)
    renew_rechecks(connection, commit.enterprise_days, held)


def _blocks_in_the_way(connection: Connection, spans: pl.DataFrame, new: Rows) -> Rows:
    """Blocks in force within the spans, and beyond them those that a new one of their point comes over."""
    extents = [(row["enterprise"], row["start"], row["end"]) for row in new]
    schema = {"enterprise": pl.String, "start": pl.Int64, "end": pl.Int64}
    over, of_new = _read(connection, pl.DataFrame(extents, schema=schema, orient="row")), _by_point(new)
    found = [*_read(connection, spans), *(row for row in over if _meets(row, of_new))]
    return list({tuple(row[name] for name in BLOCKS.key): row for row in found}.values())


def _read(connection: Connection, spans: pl.DataFrame) -> Rows:
    query = sa.select(*columns_of(blocks, BLOCKS.schema))
    found = select_in_spans(connection, query, blocks.c.enterprise, (blocks.c.start, blocks.c.end), spans)
    return rows_of(frame_of(found, BLOCKS.schema), BLOCKS.schema, by=BLOCKS.key)


def _by_point(rows: Rows) -> BlocksOf:
    found: dict[tuple[str, int, int], list[Row]] = {}
    for row in rows:
        found.setdefault((row["enterprise"], row["via"], row["point"]), []).append(row)
    return found


def _meets(row: Row, others: BlocksOf) -> bool:
    """Whether the block has time in common with another of its point."""
    same = others.get((row["enterprise"], row["via"], row["point"]), ())
    return any(row["start"] < other["end"] and row["end"] > other["start"] for other in same)


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


def _without(frame: pl.DataFrame, held: Iterable[Pair]) -> pl.DataFrame:
    pairs = pl.DataFrame(list(held), schema=PAIR, orient="row")
    return frame.join(pairs, on=list(PAIR), how="anti", maintain_order="left")
