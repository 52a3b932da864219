"""Figures into force: days, blocks and revisions replaced, and the to-dos that follow from it.

Every function works in its caller's transaction. Rows are locked in one order everywhere, dirty days last:
the rows of regions are shared by all partitions, and are held only while the transaction ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.frames import BLOCKS, ENTERPRISE_DAYS, POINT_DAYS, SCOPE_DAYS
from nengshao.ports import DIRTY_SCHEMA, Revision
from nengshao.stores.state.bulk import Rows, delete_each, rows_of, run_many, select_among, upsert
from nengshao.stores.state.dirty import write_dirty
from nengshao.stores.state.engine import next_generation
from nengshao.stores.state.schema import (
    blocks,
    dirty_days,
    enterprise_days,
    judge_todos,
    point_days,
    project_todos,
    revisions,
    scope_days,
)

PAIR: Final = {"enterprise": pl.String, "day": pl.Int32}
CLAIM: Final = {**PAIR, "generation": pl.Int64}


@dataclass(frozen=True, slots=True)
class Change:
    """What goes into force at once."""

    at: int
    pairs: Rows  # enterprise, day, sorted: all their rows are replaced
    point_days: pl.DataFrame
    enterprise_days: pl.DataFrame
    scope_days: pl.DataFrame
    gone_blocks: Rows  # rows of BLOCKS
    blocks: Rows
    revisions: Sequence[Revision]
    regions: Mapping[str, Sequence[str]]  # enterprise -> the regions that add its figures up
    claimed: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=CLAIM))  # dirty, now done
    changed: Rows | None = None  # the pairs whose published figures changed; None: all that are replaced
    also_due: Iterable[str] = ()  # enterprises to be judged though no day of theirs has changed

    @property
    def judged(self) -> Rows:
        """The pairs that concern rules and regions."""
        return self.pairs if self.changed is None else self.changed


def put_in_force(connection: Connection, change: Change, partition: Callable[[str], int]) -> None:
    """Replace the figures, keep the revisions, and make everything due that stands on them."""
    replaced = _computed_at(connection, change.revisions)
    _write_days(connection, change, partition)
    delete_each(connection, blocks, [{name: row[name] for name in BLOCKS.key} for row in change.gone_blocks])
    run_many(connection, sa.insert(blocks), change.blocks)
    _write_revisions(connection, change.revisions, replaced, change.at)
    _write_todos(connection, change, partition)
    # Only rows that still have the generation claimed: what was marked since stays dirty.
    delete_each(connection, dirty_days, rows_of(change.claimed, CLAIM, by=("enterprise", "day")))
    write_dirty(connection, _region_days(change), partition)


def pairs_of(*frames: pl.DataFrame) -> Rows:
    """The (enterprise, day) pairs in any of the frames, sorted."""
    every = pl.concat([frame.select(pl.col("enterprise"), pl.col("day").cast(pl.Int32)) for frame in frames])
    return rows_of(every.unique(), PAIR, by=("enterprise", "day"))


def write_judge_todos(
    connection: Connection, enterprises: Iterable[str], generation: int, partition: Callable[[str], int]
) -> None:
    """Make enterprises or regions due for judgement; the row of each stays locked till the commit."""
    statement = upsert(connection, judge_todos)
    renewed = statement.on_conflict_do_update(
        index_elements=["enterprise"], set_={"generation": statement.excluded.generation}
    )
    rows = [
        {"enterprise": name, "partition": partition(name), "generation": generation}
        for name in sorted(set(enterprises))
    ]
    run_many(connection, renewed, rows)


def _write_days(connection: Connection, change: Change, partition: Callable[[str], int]) -> None:
    for table in (point_days, enterprise_days, scope_days):
        delete_each(connection, table, change.pairs)
    run_many(connection, sa.insert(point_days), rows_of(change.point_days, POINT_DAYS.schema))
    days = rows_of(change.enterprise_days, ENTERPRISE_DAYS.schema)
    placed = [row | {"partition": partition(row["enterprise"]), "computed_at": change.at} for row in days]
    run_many(connection, sa.insert(enterprise_days), placed)
    run_many(connection, sa.insert(scope_days), rows_of(change.scope_days, SCOPE_DAYS.schema))


def _computed_at(connection: Connection, changed: Sequence[Revision]) -> dict[tuple[str, int], int]:
    """When the figures in force were computed that are revised, by enterprise and day."""
    if not changed:
        return {}
    days = [revision.day for revision in changed]
    query = sa.select(*(enterprise_days.c[name] for name in ("enterprise", "day", "computed_at")))
    of_days = query.where(enterprise_days.c.day.between(min(days), max(days)))
    names = {revision.enterprise for revision in changed}
    found = select_among(connection, of_days, enterprise_days.c.enterprise, names)
    return {(row.enterprise, row.day): row.computed_at for row in found}


def _write_revisions(
    connection: Connection, changed: Sequence[Revision], replaced: Mapping[tuple[str, int], int], at: int
) -> None:
    if not changed:
        return
    query = sa.select(revisions.c.enterprise, revisions.c.day, sa.func.max(revisions.c.seq).label("seq"))
    days = [revision.day for revision in changed]
    of_days = query.where(revisions.c.day.between(min(days), max(days)))
    grouped = of_days.group_by(revisions.c.enterprise, revisions.c.day)
    names = {revision.enterprise for revision in changed}
    found = select_among(connection, grouped, revisions.c.enterprise, names)
    last = {(row.enterprise, row.day): row.seq for row in found}
    rows = []
    for revision in changed:
        key = (revision.enterprise, revision.day)
        last[key] = last.get(key, 0) + 1
        rows.append(
            {
                "enterprise": revision.enterprise,
                "day": revision.day,
                "seq": last[key],
                "made_at": at,
                "cause": revision.cause,
                "before": dict(revision.before),
                "after": dict(revision.after),
                "decided_by": revision.decided_by,
                "reason": revision.reason,
                "replaced_at": replaced.get(key),
            }
        )
    run_many(connection, sa.insert(revisions), rows)


def _write_todos(connection: Connection, change: Change, partition: Callable[[str], int]) -> None:
    if not change.pairs and not change.also_due:
        return
    generation = next_generation(connection)
    due = {*change.also_due, *(row["enterprise"] for row in change.judged)}
    write_judge_todos(connection, due, generation, partition)
    statement = upsert(connection, project_todos)
    renewed = statement.on_conflict_do_update(
        index_elements=["enterprise", "day"], set_={"generation": statement.excluded.generation}
    )
    placed = [
        row | {"partition": partition(row["enterprise"]), "generation": generation} for row in change.pairs
    ]
    run_many(connection, renewed, placed)


def _region_days(change: Change) -> pl.DataFrame:
    """DIRTY_SCHEMA: the days of the regions that add up what has changed."""
    found = {
        (region, row["day"], False)
        for row in change.judged
        for region in change.regions.get(row["enterprise"], ())
    }
    return pl.DataFrame(sorted(found), schema=dict(DIRTY_SCHEMA), orient="row")
