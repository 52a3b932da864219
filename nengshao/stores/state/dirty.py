"""Dirty days: what has to be computed again, each with the generation of its last change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from nengshao.domain.codes import REGION_PARTITION
from nengshao.ports import DIRTY_SCHEMA
from nengshao.stores.state.bulk import columns_of, frame_of, selected, upsert
from nengshao.stores.state.engine import next_generation
from nengshao.stores.state.part import Part
from nengshao.stores.state.schema import dirty_days

_CLAIMED: Final = {**DIRTY_SCHEMA, "generation": pl.Int64}


class SqlDirtyDays(Part):
    """Marking and claiming."""

    def mark_dirty(self, dirty: pl.DataFrame) -> None:
        """Upsert DIRTY_SCHEMA rows; every one gets a generation that no claim has seen."""
        if dirty.is_empty():
            return
        with self._db.writing() as connection:
            write_dirty(connection, dirty, self._placing(connection))

    def claim_dirty(self, partition: int, limit: int) -> pl.DataFrame:
        """Up to `limit` dirty days, oldest first: enterprise, day, late, generation. Changes nothing."""
        query = sa.select(*columns_of(dirty_days, _CLAIMED)).where(dirty_days.c.partition == partition)
        ordered = query.order_by(dirty_days.c.day, dirty_days.c.enterprise).limit(limit)
        with self._db.reading() as connection:
            return frame_of(connection.execute(ordered), _CLAIMED)


def write_dirty(connection: Connection, dirty: pl.DataFrame, partition: Callable[[str], int]) -> None:
    """Mark the days within a transaction. `late` stays true until the day is cleared.

    Enterprises before regions, as in every transaction that locks dirty days of both.
    """
    if dirty.is_empty():
        return
    once = dirty.group_by("enterprise", "day").agg(pl.col("late").any())
    partitions = [partition(enterprise) for enterprise in once["enterprise"]]
    rows = once.select(
        *DIRTY_SCHEMA,
        pl.Series("partition", partitions, dtype=pl.Int32),
        pl.lit(next_generation(connection)).alias("generation"),
    ).sort(pl.col("partition") == REGION_PARTITION, "enterprise", "day")
    connection.execute(marking(connection).from_select(rows.columns, selected(connection, dirty_days, rows)))


def marking(connection: Connection) -> sqlite.Insert | postgresql.Insert:
    """INSERT of dirty days that keeps an older `late` and takes the newer generation."""
    statement = upsert(connection, dirty_days)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["enterprise", "day"],
        set_={"late": sa.or_(dirty_days.c.late, new.late), "generation": new.generation},
    )
