"""Pages and windows: how much one answer may hold, and which days it is about."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.errors import BadRequest
from nengshao.domain.time import date_of, day_number, day_start

MAX_LIMIT: Final = 1000

MOST_DAYS: Final = 3660
"""Longest window of what is summed up: ten years."""


def _year_or_month(text: str) -> str:
    """Raises: ValueError if it is neither, so that a slip of the pen is not answered with an empty list."""
    if re.fullmatch(r"(199\d|2[01]\d\d)(-(0[1-9]|1[0-2]))?", text, re.ASCII) is None:
        raise ValueError("须为年或月，如 2025、2025-03 / must be a year or a month, as in 2025, 2025-03")
    return text


Period = Annotated[str, AfterValidator(_year_or_month)]

Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, description="每页条数 / rows per page")]
EnterpriseFilter = Annotated[
    str | None, Field(max_length=18, description="统一社会信用代码 / unified social credit code")
]

CURSOR: Final = "上一页给出的 next / `next` of the last page"
NEXT: Final = "下一页的 cursor；没有更多时为空 / cursor of the next page, null at the end"


class Query(BaseModel):
    """Query parameters of an operation; one that it does not know is refused, not passed over."""

    model_config = ConfigDict(extra="forbid")


class Days(Query):
    """Query parameters that name accounting days."""

    since: dt.date | None = Field(None, alias="from", description="起始核算日（含）/ first accounting day")
    to: dt.date | None = Field(None, description="截止核算日（不含）/ accounting day after the last")


_FIRST_DAY: Final = day_number(dt.date(1990, 1, 1))
_LAST_DAY: Final = day_number(dt.date(2200, 1, 1))

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Window:
    """Accounting days `first <= day < end`."""

    first: int
    end: int

    @property
    def start(self) -> int:
        """The instant at which the first day begins, seconds."""
        return day_start(self.first)

    @property
    def is_whole_months(self) -> bool:
        """Whether it begins and ends with a month: a month's figure is then measured, not spread."""
        return date_of(self.first).day == 1 and date_of(self.end).day == 1

    @property
    def stop(self) -> int:
        """The instant at which the last day ends, seconds."""
        return day_start(self.end)


def window_of(asked: Days, *, last_day: int, days: int, most: int) -> Window:
    """The days asked for; without `to` up to `last_day` inclusive, without `from` the last `days`.

    Raises: BadRequest if the window is empty, longer than `most` days, or in no year that can hold data.
    """
    end = last_day + 1 if asked.to is None else day_number(asked.to)
    first = end - days if asked.since is None else day_number(asked.since)
    return window_between(first, end, most=most)


def window_between(first: int, end: int, *, most: int) -> Window:
    """The days from `first` up to `end`. Raises: BadRequest as `window_of` does."""
    if first < _FIRST_DAY or end > _LAST_DAY:
        raise BadRequest("日期须在 1990 至 2200 年之间", "dates must be between 1990 and 2200")
    if first >= end:
        raise BadRequest("from 必须早于 to", "from must be before to")
    if end - first > most:
        raise BadRequest(f"时间范围最长 {most} 天", f"the window may have at most {most} days")
    return Window(first, end)


Offset = Annotated[int, Field(ge=0, le=10_000_000, description=CURSOR)]
"""Cursor of a list that is read as a whole: how many of its rows have been shown."""


def slice_of(rows: Sequence[T], offset: int, limit: int) -> tuple[list[T], int | None]:
    """The rows from `offset` on, at most `limit`, and the offset of the next page; None: that was all."""
    end = offset + limit
    return list(rows[offset:end]), end if end < len(rows) else None


def page_of(found: Sequence[T], limit: int) -> tuple[Sequence[T], T | None]:
    """The page, and its last row if more follow; `found` was asked for with `limit + 1`."""
    return (found[:limit], found[limit - 1]) if len(found) > limit else (found, None)
