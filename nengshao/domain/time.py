"""Instants and accounting days.

Instants are whole seconds since 1970-01-01T00:00:00Z. Accounting days, months and years are those of
Asia/Shanghai: UTC+8, without daylight saving since 1992, before any data this system can hold.
"""

from __future__ import annotations

import datetime as dt
from typing import Final, TypeVar

DAY_S: Final = 86_400
LOCAL_OFFSET_S: Final = 8 * 3600
LOCAL_ZONE: Final = dt.timezone(dt.timedelta(hours=8), "Asia/Shanghai")

_EPOCH: Final = dt.date(1970, 1, 1)


N = TypeVar("N")


def accounting_day(ts: N) -> N:
    """Number of the accounting day (days since 1970-01-01) that the instant `ts` falls in.

    The one place where an instant becomes a day. Works on an int and on a Polars expression alike.

    >>> accounting_day(0), accounting_day(16 * 3600)
    (0, 1)
    """
    return (ts + LOCAL_OFFSET_S) // DAY_S  # type: ignore[operator, return-value]  # int or pl.Expr


def day_start(day: N) -> N:
    """Instant at which accounting day number `day` begins (00:00 Asia/Shanghai), in seconds."""
    return day * DAY_S - LOCAL_OFFSET_S  # type: ignore[operator, return-value]  # int or pl.Expr


def date_of(day: int) -> dt.date:
    """Calendar date of an accounting day number."""
    return _EPOCH + dt.timedelta(days=day)


def day_number(date: dt.date) -> int:
    """Accounting day number of a calendar date."""
    return (date - _EPOCH).days


def instant_of(date: dt.date) -> int:
    """Instant at which a calendar date begins in Asia/Shanghai, in seconds."""
    return day_start(day_number(date))


def local_text(ts: int) -> str:
    """An instant as people read it: `2025-03-01 08:00:00`, Asia/Shanghai."""
    return dt.datetime.fromtimestamp(ts, LOCAL_ZONE).strftime("%Y-%m-%d %H:%M:%S")


def iso_text(ts: int) -> str:
    """An instant as ISO 8601 with its offset, Asia/Shanghai."""
    return dt.datetime.fromtimestamp(ts, LOCAL_ZONE).isoformat()


def parse_instant(text: str) -> int:
    """Whole seconds of an ISO 8601 instant with offset, or of `YYYY-MM-DD[ HH:MM:SS]` taken as UTC+8.

    Raises: ValueError if the text is neither.

    >>> parse_instant("1970-01-01 08:00:00"), parse_instant("1970-01-01T00:00:01Z")
    (0, 1)
    """
    moment = dt.datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=LOCAL_ZONE)
    return int(moment.timestamp() // 1)
