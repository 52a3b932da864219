"""Which days are closed (结账), and what hangs together with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.domain.time import accounting_day
from nengshao.stores.state.bulk import Row, select_among
from nengshao.stores.state.schema import closings

Spans = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class ClosedDays:
    """Closed spans of accounting days [first, end) by enterprise; neighbours are joined."""

    spans: Mapping[str, Spans]

    def covers(self, enterprise: str, first_day: int, end_day: int) -> bool:
        """Whether every day of [first_day, end_day) is closed."""
        return any(first <= first_day and end_day <= end for first, end in self.spans.get(enterprise, ()))

    def has(self, enterprise: str, day: int) -> bool:
        """Whether the day is closed."""
        return self.covers(enterprise, day, day + 1)

    def holds(self, block: Row) -> bool:
        """Whether a block, a row of BLOCKS, lies in closed days as a whole."""
        return self.covers(block["enterprise"], *days_of_block(block))


def days_of_block(block: Row) -> tuple[int, int]:
    """The accounting days [first, end) that a block touches."""
    return accounting_day(block["start"]), accounting_day(block["end"] - 1) + 1


def read_closed(
    connection: Connection, enterprises: Iterable[str], first_day: int, end_day: int
) -> ClosedDays:
    """What is closed of [first_day, end_day): long histories of closings are not read."""
    query = sa.select(closings.c.enterprise, closings.c.first_day, closings.c.end_day).where(
        closings.c.first_day < end_day, closings.c.end_day > first_day
    )
    spans: dict[str, Spans] = {}
    for name, first, end in sorted(select_among(connection, query, closings.c.enterprise, enterprises)):
        mine = spans.setdefault(name, [])
        if mine and mine[-1][1] == first:
            mine[-1] = (mine[-1][0], end)
        else:
            mine.append((first, end))
    return ClosedDays(spans)
