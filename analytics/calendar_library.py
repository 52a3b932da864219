"""Load calendars from TOML: the one that ships, and what a county lays over it.

[[year]]
year = 2025
source = "…"                    # the notice that says it; what was seen of it
confidence = "official"         # official | transcribed | copied | recalled
off = [{ first = 2025-01-28, last = 2025-02-04 }]   # optional: holidays, the last day included
on = [2025-01-26, 2025-02-08]                       # optional: weekend days that are worked

An overlay's row decides the days it names; the others of its year stay as they were.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from analytics.factor_library import key_problems, read_rows
from nengshao.domain.errors import ConfigError
from nengshao.domain.factors import Confidence
from nengshao.domain.time import date_of, day_number

SHIPPED: Final = Path(__file__).parent / "calendars"
"""The calendar that ships with Nengshao: China's public holidays."""

_REQUIRED: Final = frozenset({"year", "source", "confidence"})
_OPTIONAL: Final = frozenset({"off", "on"})
_SATURDAY: Final = 5


@dataclass(frozen=True, slots=True)
class Calendar:
    """Which days are worked against what their weekday says, and of which years that is known."""

    is_worked: Mapping[int, bool] = field(default_factory=dict)  # accounting day -> whether it is worked
    years: Mapping[int, bool] = field(default_factory=dict)  # year -> whether every row of it is confirmed


def load_calendar(overlays: Sequence[Path] = (), *, shipped: Path = SHIPPED) -> Calendar:
    """Every row of every `*.toml` of the shipped calendar and the overlays, later directories over earlier.

    Raises: ConfigError with every problem at once: unknown or missing keys, values that mean nothing, a day
    that is both, a directory that does not exist.
    """
    problems: list[str] = []
    is_worked: dict[int, bool] = {}
    years: dict[int, bool] = {}
    for directory in (shipped, *overlays):
        if not directory.is_dir():
            problems.append(f"no such directory: {directory}")
        for path in sorted(directory.glob("*.toml")):
            for number, row in enumerate(read_rows(path, "year", problems), start=1):
                wrong = key_problems(row, _REQUIRED, _OPTIONAL) or _value_problems(row)
                problems.extend(f"{path.name}: year {number} ({row.get('year', '?')}): {w}" for w in wrong)
                if not wrong:
                    is_worked |= _days_of(row)
                    is_confirmed = Confidence(row["confidence"]).is_confirmed
                    years[row["year"]] = years.get(row["year"], True) and is_confirmed
    if problems:
        raise ConfigError(problems)
    return Calendar(is_worked, years)


def working_days(calendar: Calendar, first_day: int, end_day: int) -> pl.DataFrame:
    """day (Int32), is_working, is_confirmed of every accounting day of [first_day, end_day).

    A day that no row names is worked on Monday to Friday. `is_confirmed`: the rows of its year are; False for
    a year without any, where only the weekday is known.
    """
    days = range(first_day, end_day)
    dates = [date_of(day) for day in days]
    return pl.DataFrame(
        {
            "day": days,
            "is_working": [
                calendar.is_worked.get(day, date.weekday() < _SATURDAY)
                for day, date in zip(days, dates, strict=True)
            ],
            "is_confirmed": [calendar.years.get(date.year, False) for date in dates],
        },
        schema={"day": pl.Int32, "is_working": pl.Boolean, "is_confirmed": pl.Boolean},
    )


def _days_of(row: Mapping[str, Any]) -> dict[int, bool]:
    off = {
        day: False
        for span in row.get("off", [])
        for day in range(day_number(span["first"]), day_number(span["last"]) + 1)
    }
    return off | {day_number(date): True for date in row.get("on", [])}


def _value_problems(row: Mapping[str, Any]) -> list[str]:
    problems = []
    if type(row["year"]) is not int:
        return [f"year {row['year']!r} is not a year"]
    if not (isinstance(row["source"], str) and row["source"].strip()):
        problems.append("source must be text")
    if row["confidence"] not in [level.value for level in Confidence]:
        problems.append(f"confidence {row['confidence']!r} is none of {', '.join(Confidence)}")
    off, on = row.get("off", []), row.get("on", [])
    if not (isinstance(off, list) and all(_is_span(span, row["year"]) for span in off)):
        return [*problems, "off must be a list of {first, last}: dates of the year, in order"]
    if not (isinstance(on, list) and all(_is_day_of(date, row["year"]) for date in on)):
        return [*problems, "on must be a list of dates of the year"]
    both = [date for date in on if any(span["first"] <= date <= span["last"] for span in off)]
    return problems + [f"{date} is both off and on" for date in both]


def _is_span(span: object, year: int) -> bool:
    return (
        isinstance(span, Mapping)
        and set(span) == {"first", "last"}
        and _is_day_of(span["first"], year)
        and _is_day_of(span["last"], year)
        and span["first"] <= span["last"]
    )


def _is_day_of(date: object, year: int) -> bool:
    return isinstance(date, dt.date) and not isinstance(date, dt.datetime) and date.year == year
