"""Stated figures: every version kept, periods that never overlap in part, decisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.domain.errors import ConfigError
from nengshao.domain.targets import StatisticState
from nengshao.domain.time import date_of
from nengshao.frames import STATISTICS, conform
from nengshao.stores.state.bulk import columns_of, frame_of, rows_of, run_many, select_among
from nengshao.stores.state.engine import next_generation
from nengshao.stores.state.in_force import write_judge_todos
from nengshao.stores.state.part import Part
from nengshao.stores.state.schema import statistics

_ITEM: Final = ["subject", "indicator", "item"]
_PERIOD: Final = [*_ITEM, "first_day", "end_day"]
_DECISIONS: Final = (StatisticState.APPROVED, StatisticState.REJECTED, StatisticState.FINAL)


class SqlStatistics(Part):
    """`nengshao.ports.Statistics`."""

    def put_statistics(self, rows: pl.DataFrame) -> int:
        """Keep STATISTICS rows; the number of new ones. Raises: ConfigError, FrameContractError."""
        new = conform(rows.lazy(), STATISTICS).unique(STATISTICS.key, keep="first").collect()
        if new.is_empty():
            return 0
        with self._db.writing() as connection:
            self._make_due(connection, new["subject"])  # from here on nobody else writes these subjects'
            there = _read(connection, new["subject"], *_extent(new))
            if problems := list(_conflicts(pl.concat([there, new]))):
                raise ConfigError(problems)
            missing = new.join(there, on=STATISTICS.key, how="anti")
            run_many(
                connection, sa.insert(statistics), rows_of(missing, STATISTICS.schema, by=STATISTICS.key)
            )
        return missing.height

    def statistics(self, subjects: Sequence[str], first_day: int, end_day: int) -> pl.DataFrame:
        """STATISTICS rows, every version, of periods that overlap [first_day, end_day), sorted by key."""
        with self._db.reading() as connection:
            return _read(connection, subjects, first_day, end_day).sort(STATISTICS.key)

    def decide_statistic(  # noqa: PLR0917 - the key of a version, and who decides what
        self,
        subject: str,
        indicator: str,
        item: str,
        first_day: int,
        version: int,
        state: str,
        by: str,
        note: str,
        at: int,
    ) -> bool:
        """Approve or reject one version, or call it final; the last decision stands. False: there is none.

        Raises: ConfigError if `state` is no decision, or if a figure that had been rejected would stand
        again beside one that overlaps it in part.
        """
        if state not in _DECISIONS:
            raise ConfigError([f"不是审核结论 / not a decision: {state}"])
        key = dict(zip(STATISTICS.key, (subject, indicator, item, first_day, version), strict=True))
        same = [statistics.c[name] == value for name, value in key.items()]
        with self._db.writing() as connection:
            if connection.execute(sa.select(statistics.c.subject).where(*same)).first() is None:
                return False
            self._make_due(connection, [subject])
            said = {"state": state, "decided_by": by, "decided_at": at, "note": note}
            decided = sa.update(statistics).where(*same).values(said).returning(statistics.c.end_day)
            end_day = connection.execute(decided).scalar_one()
            if problems := list(_conflicts(_read(connection, [subject], first_day, end_day))):
                raise ConfigError(problems)
        return True

    def _make_due(self, connection: Connection, subjects: Sequence[str] | pl.Series) -> None:
        write_judge_todos(connection, subjects, next_generation(connection), self._placing(connection))


def _read(
    connection: Connection, subjects: Sequence[str] | pl.Series, first_day: int, end_day: int
) -> pl.DataFrame:
    query = sa.select(*columns_of(statistics, STATISTICS.schema)).where(
        statistics.c.end_day > first_day, statistics.c.first_day < end_day
    )
    return frame_of(select_among(connection, query, statistics.c.subject, subjects), STATISTICS.schema)


def _extent(rows: pl.DataFrame) -> tuple[int, int]:
    first, end = rows.select(pl.col("first_day").min(), pl.col("end_day").max()).row(0)
    return first, end


def _conflicts(rows: pl.DataFrame) -> Iterator[str]:
    """A line for each period of what was not rejected that is empty, or overlaps another in part."""
    standing = rows.filter(pl.col("state") != StatisticState.REJECTED).select(_PERIOD).unique().sort(_PERIOD)
    for *item, first, end in standing.filter(pl.col("first_day") >= pl.col("end_day")).iter_rows():
        yield f"{_named(item, first, end)}: 期间为空 / the period is empty"
    # The furthest end before it, so that a long period is seen past a short one.
    reached = pl.col("end_day").shift(1).cum_max().over(_ITEM)
    late = standing.with_columns(reached=reached).filter(pl.col("first_day") < pl.col("reached"))
    others = standing.select(*_ITEM, other_first="first_day", reached="end_day").unique(
        [*_ITEM, "reached"], keep="first"
    )
    for *item, first, end, other_end, other_first in late.join(others, on=[*_ITEM, "reached"]).iter_rows():
        other = f"{date_of(other_first)} … {date_of(other_end)}"
        yield f"{_named(item, first, end)}: 与 {other} 部分重叠 / overlaps it in part"


def _named(item: Sequence[str], first: int, end: int) -> str:
    return f"statistics {'/'.join(item)} {date_of(first)} … {date_of(end)}"
