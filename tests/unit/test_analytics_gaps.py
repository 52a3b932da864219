"""The repair clock and completeness, worked by hand: a letter per day, see `DAYS`."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from analytics.calendar_library import load_calendar, working_days
from analytics.gaps import measures_of_gaps
from nengshao.domain.time import day_number, day_start
from nengshao.frames import MEASURES, POINT_DAYS
from tests.support import metering as m

H = 3600
DAYS = {
    "m": {"measured_s": 24 * H},
    "e": {"estimated_s": 24 * H},
    "s": {"estimated_s": 24 * H, "spread_s": 24 * H},  # a month's figure, spread
    "h": {"measured_s": 12 * H, "missing_s": 12 * H},
    "x": {"missing_s": 24 * H},
    "n": {"missing_s": 6 * H},  # on duty for six hours only, all missing
    "p": {"pending_s": 24 * H},
    "q": {"measured_s": 12 * H, "pending_s": 12 * H},
    "d": {"missing_s": 12 * H, "pending_s": 12 * H},
}
CALENDAR = load_calendar()
FRI = day_number(dt.date(2025, 3, 7))  # an ordinary Friday


def days(story: str, *, end: int, point: int = 1) -> pl.DataFrame:
    """POINT_DAYS of a point, one letter a day, the last one on day `end`; `.` is a day off duty."""
    rows: list[dict[str, Any]] = [
        {"enterprise": m.ENTERPRISE, "point": point, "day": end - len(story) + 1 + number}
        | dict.fromkeys(("measured_s", "estimated_s", "spread_s", "missing_s", "pending_s"), 0)
        | DAYS[letter]
        for number, letter in enumerate(story)
        if letter != "."
    ]
    return pl.DataFrame(rows, schema=dict(POINT_DAYS.schema))


def figures(
    story: str, measure: str, *, end: int = FRI
) -> tuple[float | None, float | None, float | None, int]:
    """value, low, high and the day after the last one that the figure reaches."""
    calendar = working_days(CALENDAR, end - 60, end + 1)
    found = measures_of_gaps(days(story, end=end), m.points(m.point(1)), calendar, as_of_day=end)
    (row,) = found.filter(pl.col("measure") == measure).to_dicts()
    reached = (row["at"] - day_start(0)) // 86_400
    return row["value"], row["low"], row["high"], reached - end


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ("mmmmm", (0, 0, 0, 1)),
        ("mmmmx", (1, 1, 1, 1)),
        ("mxxxx", (4, 4, 4, 1)),  # Tuesday to Friday
        ("mxxxxxxxxx", (7, 7, 7, 1)),  # Thursday, Friday, the weekend, Monday to Friday
        ("mxxxm", (0, 0, 0, 1)),  # a run that ended
        ("mxxhx", (1, 1, 1, 1)),  # a day with anything ends it
        ("mxxex", (1, 1, 1, 1)),
        ("mxxxp", (3, 3, 3, 0)),  # today is not over: not counted, and the figure reaches to yesterday
        ("mxxxd", (3, 3, 3, 0)),
        ("mxxpp", (2, 2, 2, -1)),
        ("mxpmx", (1, 1, 1, -2)),  # after the first pending day nothing is settled
        ("xx.xx", (2, 2, 2, 1)),  # off duty in between: another run
        ("mnx", (2, 2, 2, 1)),  # every hour on duty was missing
        ("xxx", (3, 3, None, 1)),  # it may have begun before the first day given
        ("ppp", (None, None, None, -2)),  # nothing has been due yet
    ],
)
def test_the_repair_clock_counts_whole_working_days_without_any_figure(
    story: str, expected: tuple[float | None, ...]
) -> None:
    assert figures(story, "missing_working_days") == expected


def test_the_clock_stands_still_over_spring_festival() -> None:
    # Dark from Mon 27 January to Wed 5 February 2025; worked: 27 January (26th too, it was lit), 5 February.
    assert figures("m" + "x" * 10, "missing_working_days", end=day_number(dt.date(2025, 2, 5)))[0] == 2


@pytest.mark.parametrize(
    ("story", "end", "expected"),
    [
        ("mmmmmmm", dt.date(2025, 3, 7), (1.0, 1.0, 1.0, 1)),
        ("mmmmmmh", dt.date(2025, 3, 7), (156 / 168, 156 / 168, 156 / 168, 1)),  # 6 × 24 + 12 of 7 × 24 h
        ("xxxmmmm", dt.date(2025, 3, 4), (1.0, 1.0, 1.0, 1)),  # February's gap is February's
        ("me", dt.date(2025, 3, 2), (0.5, 0.5, 0.5, 1)),  # estimated is not measured
        ("ms", dt.date(2025, 3, 2), (1.0, 1.0, 1.0, 1)),  # an exact figure of a longer period is
        ("mx", dt.date(2025, 3, 2), (0.5, 0.5, 0.5, 1)),
        ("mn", dt.date(2025, 3, 2), (0.8, 0.8, 0.8, 1)),  # 24 of 24 + 6 h on duty
        ("mq", dt.date(2025, 3, 2), (1.0, 1.0, 1.0, 0)),  # an unfinished day is not looked at
        ("mmp", dt.date(2025, 3, 1), (None, None, None, 0)),  # no day of March is over
        ("m" * 29, dt.date(2024, 2, 29), (1.0, 1.0, 1.0, 1)),  # a leap year's February
        ("x" + "m" * 29, dt.date(2024, 2, 29), (1.0, 1.0, 1.0, 1)),
    ],
)
def test_completeness_is_what_was_measured_of_what_was_owed_this_month(
    story: str, end: dt.date, expected: tuple[float | None, ...]
) -> None:
    assert figures(story, "completeness", end=day_number(end)) == pytest.approx(expected, abs=1e-12)


def test_points_off_duty_and_virtual_points_owe_nothing() -> None:
    frame = pl.concat([days("mm", end=FRI - 1), days("mm", end=FRI, point=2), days("mx", end=FRI, point=3)])
    points = m.points(m.point(1), m.point(2, kind="virtual"), m.point(3))
    calendar = working_days(CALENDAR, FRI - 9, FRI + 1)
    found = measures_of_gaps(frame, points, calendar, as_of_day=FRI)
    assert found.select("measure", "subject", "value").rows() == [
        ("completeness", "3", 0.5),
        ("missing_working_days", "3", 1.0),
    ]


def test_days_after_the_day_asked_do_not_count() -> None:
    frame = days("mxm", end=FRI + 1)
    calendar = working_days(CALENDAR, FRI - 9, FRI + 2)
    found = measures_of_gaps(frame, m.points(m.point(1)), calendar, as_of_day=FRI)
    assert found["value"].to_list() == [0.5, 1.0]
    assert found["at"].unique().to_list() == [day_start(FRI + 1)]


def test_a_point_with_two_registry_rows_is_measured_once() -> None:
    points = m.points(m.point(1, valid_to=m.T0 + 9), m.point(1, valid_from=m.T0 + 9))
    found = measures_of_gaps(days("m", end=FRI), points, working_days(CALENDAR, FRI, FRI + 1), as_of_day=FRI)
    assert found.height == 2


def test_working_days_that_nobody_confirms_make_the_figure_unconfirmed() -> None:
    before = day_number(dt.date(2023, 12, 29))  # a Friday of a year without a row
    after = day_number(dt.date(2024, 1, 2))
    for story, end, is_confirmed in (("mx", before, False), ("mxxxxx", after, False), ("mx", after, True)):
        found = measures_of_gaps(
            days(story, end=end),
            m.points(m.point(1)),
            working_days(CALENDAR, end - 9, end + 1),
            as_of_day=end,
        )
        assert dict(found.select("measure", "is_confirmed").iter_rows()) == {
            "completeness": True, "missing_working_days": is_confirmed,
        }  # fmt: skip


def test_a_run_beyond_the_calendar_given_is_not_counted_as_no_working_days() -> None:
    found = measures_of_gaps(
        days("mxxx", end=FRI), m.points(m.point(1)), working_days(CALENDAR, FRI, FRI + 1), as_of_day=FRI
    )
    assert found.filter(measure="missing_working_days")["value"].to_list() == [None]


def test_nothing_gives_nothing() -> None:
    empty = measures_of_gaps(
        POINT_DAYS.empty(), m.points(), working_days(CALENDAR, FRI, FRI + 1), as_of_day=FRI
    )
    assert empty.equals(MEASURES.empty())
