"""Results of the assessment: days, blocks, revisions, and the to-dos that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.frames import BLOCKS, ENTERPRISE_DAYS, POINT_DAYS
from nengshao.ports import AssessmentCommit, Lease, Revision
from nengshao.stores.state.bulk import (
    Row,
    columns_of,
    delete_each,
    frame_of,
    rows_of,
    run_many,
    select_among,
    upsert,
)
from nengshao.stores.state.engine import next_generation
from nengshao.stores.state.leases import check_lease
from nengshao.stores.state.part import Part
from nengshao.stores.state.schema import (
    blocks,
    dirty_days,
    enterprise_days,
    judge_todos,
    point_days,
    project_todos,
    revisions,
)

_PAIR: Final = {"enterprise": pl.String, "day": pl.Int32}
_SPAN: Final = {"enterprise": pl.String, "first_day": pl.Int32, "last_day": pl.Int32}


class SqlAssessments(Part):
    """Dirty days in, results out."""

    def commit_assessment(self, lease: Lease, commit: AssessmentCommit) -> None:
        """All or nothing. Replaced are the days in the frames and the claimed ones: a day that was claimed
        and has no rows any more loses its old ones. Raises: LeaseLost.
        """
        pairs = _pairs(commit.claimed, commit.enterprise_days, commit.point_days)
        with self._db.writing() as connection:
            check_lease(connection, lease)
            _clear_claimed(connection, commit.claimed)
            self._write_days(connection, commit, pairs)
            _write_blocks(connection, commit.blocks, commit.block_spans)
            _write_revisions(connection, commit.revisions, commit.at)
            self._write_todos(connection, commit, pairs)

    def _write_days(self, connection: Connection, commit: AssessmentCommit, pairs: list[Row]) -> None:
        delete_each(connection, point_days, pairs)
        delete_each(connection, enterprise_days, pairs)
        run_many(connection, sa.insert(point_days), rows_of(commit.point_days, POINT_DAYS.schema))
        days = rows_of(commit.enterprise_days, ENTERPRISE_DAYS.schema)
        placed = [row | {"partition": self._partition(row["enterprise"])} for row in days]
        run_many(connection, sa.insert(enterprise_days), placed)

    def _write_todos(self, connection: Connection, commit: AssessmentCommit, pairs: list[Row]) -> None:
        named = {row["enterprise"] for row in pairs} | {
            *commit.blocks["enterprise"],
            *commit.block_spans["enterprise"],
        }
        if not named:
            return
        mark = {"generation": next_generation(connection)}
        places = {enterprise: mark | {"partition": self._partition(enterprise)} for enterprise in named}
        judged = [{"enterprise": enterprise} | places[enterprise] for enterprise in sorted(named)]
        write_judge_todos(connection, judged)
        statement = upsert(connection, project_todos)
        renewed = statement.on_conflict_do_update(
            index_elements=["enterprise", "day"], set_={"generation": statement.excluded.generation}
        )
        run_many(connection, renewed, [row | places[row["enterprise"]] for row in pairs])

    def due_rechecks(self, partition: int, now: int, limit: int) -> pl.DataFrame:
        """enterprise, day of results whose recheck_at has come, longest due first."""
        due = sa.and_(enterprise_days.c.partition == partition, enterprise_days.c.recheck_at <= now)
        query = sa.select(*columns_of(enterprise_days, _PAIR)).where(due)
        ordered = query.order_by(
            enterprise_days.c.recheck_at, enterprise_days.c.enterprise, enterprise_days.c.day
        )
        return self._read(ordered.limit(limit), _PAIR)

    def last_days(self, partition: int) -> pl.DataFrame:
        """enterprise, first_day, last_day of the results there are, sorted by enterprise."""
        enterprise, day = enterprise_days.c.enterprise, enterprise_days.c.day
        query = sa.select(enterprise, sa.func.min(day), sa.func.max(day))
        of_partition = query.where(enterprise_days.c.partition == partition).group_by(enterprise)
        return self._read(of_partition, _SPAN).sort("enterprise")

    def point_days(self, enterprise: str, from_day: int, to_day: int) -> pl.DataFrame:
        """POINT_DAYS rows with from_day <= day < to_day, sorted by key."""
        query = sa.select(*columns_of(point_days, POINT_DAYS.schema)).where(
            point_days.c.enterprise == enterprise, point_days.c.day >= from_day, point_days.c.day < to_day
        )
        return self._read(query, POINT_DAYS.schema).sort(POINT_DAYS.key)

    def enterprise_days(self, enterprises: Sequence[str], from_day: int, to_day: int) -> pl.DataFrame:
        """ENTERPRISE_DAYS rows with from_day <= day < to_day, sorted by key."""
        query = sa.select(*columns_of(enterprise_days, ENTERPRISE_DAYS.schema)).where(
            enterprise_days.c.day >= from_day, enterprise_days.c.day < to_day
        )
        with self._db.reading() as connection:
            rows = select_among(connection, query, enterprise_days.c.enterprise, enterprises)
        return frame_of(rows, ENTERPRISE_DAYS.schema).sort(ENTERPRISE_DAYS.key)

    def blocks(self, enterprises: Sequence[str], start: int, end: int) -> pl.DataFrame:
        """BLOCKS that overlap [start, end), sorted by key."""
        query = sa.select(*columns_of(blocks, BLOCKS.schema)).where(
            blocks.c.start < end, blocks.c.end > start
        )
        with self._db.reading() as connection:
            rows = select_among(connection, query, blocks.c.enterprise, enterprises)
        return frame_of(rows, BLOCKS.schema).sort(BLOCKS.key)

    def revisions(self, enterprise: str, from_day: int, to_day: int) -> list[Mapping[str, Any]]:
        """enterprise, day, seq, made_at, cause, before, after; oldest first."""
        query = sa.select(revisions).where(
            revisions.c.enterprise == enterprise, revisions.c.day >= from_day, revisions.c.day < to_day
        )
        ordered = query.order_by(revisions.c.made_at, revisions.c.day, revisions.c.seq)
        with self._db.reading() as connection:
            return [dict(row) for row in connection.execute(ordered).mappings()]

    def due_judgements(self, partition: int) -> dict[str, int]:
        """Enterprises whose results changed since they were judged -> generation of that to-do."""
        query = sa.select(judge_todos).where(judge_todos.c.partition == partition)
        with self._db.reading() as connection:
            rows = connection.execute(query.order_by(judge_todos.c.enterprise))
            return {row.enterprise: row.generation for row in rows}

    def due_projections(self, partition: int, limit: int) -> dict[tuple[str, int], int]:
        """(enterprise, day) whose figures are not in the ResultStore yet -> generation, oldest day first."""
        query = sa.select(project_todos).where(project_todos.c.partition == partition)
        ordered = query.order_by(project_todos.c.day, project_todos.c.enterprise).limit(limit)
        with self._db.reading() as connection:
            return {(row.enterprise, row.day): row.generation for row in connection.execute(ordered)}

    def clear_projections(self, done: Mapping[tuple[str, int], int]) -> None:
        """Strike them, each only if its generation is still the one given."""
        rows = [{"enterprise": name, "day": day, "generation": done[name, day]} for name, day in sorted(done)]
        if rows:
            with self._db.writing() as connection:
                delete_each(connection, project_todos, rows)

    def _read(self, query: sa.Select[Any], schema: Mapping[str, Any]) -> pl.DataFrame:
        with self._db.reading() as connection:
            return frame_of(connection.execute(query), schema)


def write_judge_todos(connection: Connection, rows: Sequence[Row]) -> None:
    """Make enterprises due for judgement; `rows`: enterprise, partition, generation, sorted."""
    statement = upsert(connection, judge_todos)
    renewed = statement.on_conflict_do_update(
        index_elements=["enterprise"], set_={"generation": statement.excluded.generation}
    )
    run_many(connection, renewed, rows)


def _pairs(*frames: pl.DataFrame) -> list[Row]:
    every = pl.concat([frame.select(pl.col("enterprise"), pl.col("day").cast(pl.Int32)) for frame in frames])
    return rows_of(every.unique(), _PAIR, by=("enterprise", "day"))


def _clear_claimed(connection: Connection, claimed: pl.DataFrame) -> None:
    """Only rows that still have the generation claimed: what was marked since stays dirty."""
    delete_each(
        connection, dirty_days, rows_of(claimed, {**_PAIR, "generation": pl.Int64}, by=("enterprise", "day"))
    )


def _write_blocks(connection: Connection, frame: pl.DataFrame, spans: pl.DataFrame) -> None:
    of_span = sa.delete(blocks).where(
        blocks.c.enterprise == sa.bindparam("of_enterprise"),
        blocks.c.start < sa.bindparam("span_end"),
        blocks.c.end > sa.bindparam("span_start"),
    )
    overlapping = [
        {"of_enterprise": enterprise, "span_start": start, "span_end": end}
        for enterprise, start, end in spans.select("enterprise", "start", "end").sort(pl.all()).iter_rows()
    ]
    run_many(connection, of_span, overlapping)
    run_many(connection, sa.insert(blocks), rows_of(frame, BLOCKS.schema))


def _write_revisions(connection: Connection, changed: Sequence[Revision], at: int) -> None:
    if not changed:
        return
    query = sa.select(revisions.c.enterprise, revisions.c.day, sa.func.max(revisions.c.seq).label("seq"))
    grouped = query.group_by(revisions.c.enterprise, revisions.c.day)
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
            }
        )
    run_many(connection, sa.insert(revisions), rows)
