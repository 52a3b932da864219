"""Working days as data: the shipped calendar, and what a county lays over it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from analytics.calendar_library import Calendar, load_calendar, working_days
from nengshao.domain.errors import ConfigError
from nengshao.domain.time import date_of, day_number

CN = load_calendar()

ROW = """[[year]]
year = 2025
source = "s"
confidence = "copied"
off = [{ first = 2025-01-28, last = 2025-02-04 }]
"""


def worked(calendar: Calendar, first: str, end: str) -> list[str]:
    """The working days of [first, end), as MM-DD."""
    frame = working_days(calendar, day(first), day(end))
    return [date_of(number).strftime("%m-%d") for number in frame.filter("is_working")["day"]]


def day(text: str) -> int:
    return day_number(dt.date.fromisoformat(text))


def test_holidays_are_off_and_the_weekend_days_that_make_up_for_them_are_worked() -> None:
    # 春节 2025: off from Tue 28 January to Tue 4 February; Sun 26 January and Sat 8 February are worked.
    assert worked(CN, "2025-01-24", "2025-02-11") == [
        "01-24", "01-26", "01-27", "02-05", "02-06", "02-07", "02-08", "02-10",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("year", "days"),
    [
        # 2024: 52 × 7 + Mon, Tue: 262 weekdays. Weekdays off: 1 Jan; 春节 12–16 Feb; 清明 4, 5 Apr; 劳动
        # 1–3 May; 端午 10 Jun; 中秋 16, 17 Sep; 国庆 1–4, 7 Oct: 19. Weekend days worked: 8.
        # 262 − 19 + 8 = 251.
        (2024, 251),
        # 2025: 52 × 7 + Wed: 261 weekdays. Weekdays off: 1, 28–31 Jan; 3, 4 Feb; 4 Apr; 1, 2, 5 May; 2 Jun;
        # 1–3, 6–8 Oct: 18. Weekend days worked: 5. 261 − 18 + 5 = 248.
        (2025, 248),
        # 2026: 52 × 7 + Thu: 261 weekdays. Weekdays off: 1, 2 Jan; 16–20, 23 Feb; 6 Apr; 1, 4, 5 May; 19 Jun;
        # 25 Sep; 1, 2, 5–7 Oct: 19. Weekend days worked: 6. 261 − 19 + 6 = 248.
        (2026, 248),
    ],
)
def test_a_year_has_as_many_working_days_as_the_notice_leaves_it(year: int, days: int) -> None:
    assert len(worked(CN, f"{year}-01-01", f"{year + 1}-01-01")) == days


def test_only_weekend_days_make_up_for_holidays() -> None:
    made_up = [date_of(number) for number, is_worked in CN.is_worked.items() if is_worked]
    assert len(made_up) == 8 + 5 + 6
    assert all(date.weekday() >= 5 for date in made_up)


def test_a_year_without_a_row_is_weekdays_only_and_says_that_nothing_confirms_it() -> None:
    frame = working_days(CN, day("2023-12-30"), day("2024-01-03"))
    assert frame.rows() == [
        (day("2023-12-30"), False, False),  # Saturday
        (day("2023-12-31"), False, False),
        (day("2024-01-01"), False, True),
        (day("2024-01-02"), True, True),
    ]
    assert len(worked(CN, "2029-10-01", "2029-10-08")) == 5  # nobody knows when 国庆节 is off


def test_no_days_are_no_days() -> None:
    assert working_days(CN, 20_000, 20_000).is_empty()


def test_a_county_adds_its_own_days(tmp_path: Path) -> None:
    (tmp_path / "county.toml").write_text(
        """[[year]]
year = 2025
source = "自治县通知"
confidence = "copied"
off = [{ first = 2025-03-31, last = 2025-04-01 }]
on = [2025-04-05]
""",
        encoding="utf-8",
    )
    calendar = load_calendar([tmp_path])
    assert worked(calendar, "2025-03-29", "2025-04-08") == ["04-02", "04-03", "04-05", "04-07"]
    frame = working_days(calendar, day("2024-12-31"), day("2025-01-02"))
    assert frame["is_confirmed"].to_list() == [True, False]  # the county's row is only a copy


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("on = [2025-01-29]", "2025-01-29 is both off and on"),
        ("on = [2024-01-29]", "on must be a list of dates of the year"),
        ('on = ["2025-01-26"]', "on must be a list of dates"),
        ("on = [2025-01-26T00:00:00]", "on must be a list of dates"),
        ("closed = []", "unknown key closed"),
    ],
)
def test_a_calendar_with_a_mistake_is_refused(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "a.toml").write_text(ROW + line, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_calendar([tmp_path])
    assert any(said in problem for problem in caught.value.problems)


def test_all_problems_of_calendars_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        """[[year]]
year = 2025
source = ""
confidence = "sure"
off = [{ first = 2025-02-04, last = 2025-01-28 }]

[[year]]
year = "2026"
source = "s"
confidence = "copied"
""",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        load_calendar([tmp_path, tmp_path / "nowhere"])
    text = "\n".join(caught.value.problems)
    for said in (
        "source must be text",
        "'sure' is none of",
        "in order",
        "is not a year",
        "no such directory",
    ):
        assert said in text
