"""Due by each profile, worked by hand. The profiles are our own method, so no clause of a standard stands
behind them; what they must do is in analytics/profiles.py."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import metering as m
from tests.support import quotas as q

D = 86_400


def due(year: int, month: int, day: int, quota: dict[str, Any], **more: Any) -> int | None:
    """What is due by the end of a date, with every day of the year up to it published at 1 g."""
    end = q.number(year, month, day)
    first = q.number(year)
    rows = [*more.pop("last", []), *q.days(first, [1] * (end - first + 1))]
    row = q.progress(rows, [quota | {"year": year}], **more)
    assert row["as_of_day"] == end
    found: int | None = row["due_g"]
    return found


# --------------------------------------------------------------------------------------- linear


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ((2025, 1, 31), 84_931_507),  # 10⁹ × 31 / 365 = 84 931 506.85
        ((2025, 12, 31), 1_000_000_000),
        ((2024, 1, 31), 84_699_454),  # 10⁹ × 31 / 366 = 84 699 453.55
        ((2024, 2, 29), 163_934_426),  # 10⁹ × 60 / 366 = 163 934 426.2
        ((2028, 2, 29), 163_934_426),
        ((2028, 12, 31), 1_000_000_000),
    ],
)
def test_linear_is_days_gone_by_over_days_of_the_year(date: tuple[int, int, int], expected: int) -> None:
    assert due(*date, q.quota(1_000_000_000)) == expected


def test_linear_counts_days_on_duty_only_and_rounds_half_to_even() -> None:
    """On duty on 30 and 31 December: of 3 g half a day's worth is 1.5 -> 2, of 5 g 2.5 -> 2."""
    first = q.number(2025, 12, 30)
    own = m.enterprises(active_from=m.T0 + (first - q.number(2025)) * D)
    for quota, expected in ((3, 2), (5, 2)):
        assert q.progress(q.days(first, [1]), [q.quota(quota)], enterprises=own)["due_g"] == expected


# ------------------------------------------------------------------------------------ last year

Y2024 = q.number(2024)
HALVES = [2] * 182 + [1] * 184  # 2024: 2 g a day to 30 June, then 1 g
HALVES[59] = 1000  # 29 February 2024, which no day of 2025 stands for


def by_last_year(quota: int, *date: int, last: list[dict[str, Any]], **more: Any) -> int | None:
    year, month, day = date
    return due(year, month, day, q.quota(quota, profile="last_year"), last=last, **more)


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        # The 365 likes of 2025's days: 181 × 2 g + 184 × 1 g = 546 g.
        ((2025, 3, 31), 180_000),  # 90 × 2 / 546 of 546 000
        ((2025, 6, 30), 362_000),
        ((2025, 7, 1), 363_000),
        ((2025, 12, 31), 546_000),
    ],
)
def test_last_year_s_shape_leaves_out_its_29th_of_february(date: tuple[int, int, int], expected: int) -> None:
    assert by_last_year(546_000, *date, last=q.days(Y2024, HALVES)) == expected


@pytest.mark.parametrize(("day", "expected"), [(28, 68), (29, 78)])
def test_the_28th_of_february_stands_for_the_29th_too(day: int, expected: int) -> None:
    """2027: 1 g a day, 10 g on 28 February. The likes of 2028's 366 days come to 364 + 10 + 10 = 384 g; to
    28 February 31 + 27 + 10 = 68 g, to the 29th 78 g."""
    last = [1] * 365
    last[58] = 10
    assert by_last_year(384, 2028, 2, day, last=q.days(q.number(2027), last)) == expected


def test_a_block_of_last_year_is_spread_over_its_days() -> None:
    """2024: nothing measured from 11 to 20 January, of which a block says 20 g, and 1 g every other day. The
    likes of 2025: 10 + 20 + 345 = 375 g; by 15 January 10 + 10 = 20 g."""
    figures: list[int | None] = [1] * 366
    figures[10:20] = [None] * 10
    start = m.T0 + (Y2024 - m.DAY + 10) * D
    found = by_last_year(
        375, 2025, 1, 15, last=q.days(Y2024, figures), blocks=[q.block(start, start + 10 * D, 20)]
    )
    assert found == 20


@pytest.mark.parametrize(
    "changes", [{"published": False}, {"calorific_g": None, "no_factor": "heat:calorific"}], ids=list
)
def test_a_block_does_not_stand_for_a_day_that_is_not_known(changes: dict[str, Any]) -> None:
    start = m.T0 + (Y2024 - m.DAY + 125) * D
    row = q.progress(
        [*unknown(**changes), *q.days(q.number(2025), [1])],
        [q.quota(365, profile="last_year")],
        blocks=[q.block(start, start + D, 20)],
    )
    assert row["due_g"] is None


def unknown(**changes: Any) -> list[dict[str, Any]]:
    """2024 with one day (5 May) that is not as it should be."""
    rows = q.days(Y2024, [1] * 366)
    rows[125] |= changes
    return rows


@pytest.mark.parametrize(
    "last",
    [
        [],
        q.days(q.number(2024, 1, 2), [1] * 365),  # from 2 January on
        q.days(Y2024, [1] * 365),  # to 30 December
        unknown(calorific_g=None),
        unknown(published=False),
        unknown(calorific_gap_high=900),
        unknown(calorific_gap_low=-1),
        unknown(calorific_gap_high=None),
        q.days(Y2024, [0] * 366),  # nothing used: no shape
        q.days(Y2024, [-1] * 366),
    ],
    ids=[
        "none",
        "late",
        "short",
        "null day",
        "unpublished day",
        "gap",
        "gap of an output",
        "unbounded",
        "nothing",
        "more out than in",
    ],
)
def test_a_last_year_that_is_not_whole_says_nothing(last: list[dict[str, Any]]) -> None:
    row = q.progress([*last, *q.days(q.number(2025), [1])], [q.quota(365, profile="last_year")])
    assert (row["used_g"], row["due_g"], row["pace"]) == (1, None, None)


def test_a_gap_that_no_day_s_like_has_on_its_basis_leaves_the_shape() -> None:
    """On 5 May 2024 only CO2 may be lacking; 29 February is no day's like. 1 of 365 g by 1 January."""
    last = unknown(carbon_gap_high=900)
    last[59] |= {"calorific_gap_high": 900}
    assert by_last_year(365, 2025, 1, 1, last=last) == 1


@pytest.mark.parametrize(
    ("profile", "day", "expected"),
    [("last_year", 125, False), ("last_year", 59, True), ("linear", 125, True)],
)
def test_what_rests_on_an_unconfirmed_last_year_is_unconfirmed(
    profile: str, day: int, *, expected: bool
) -> None:
    """5 May 2024 is a like, 29 February none."""
    last = q.days(Y2024, [1] * 366)
    last[day] |= {"calorific_confirmed": False}
    row = q.progress([*last, *q.days(q.number(2025), [1])], [q.quota(365, profile=profile)])
    assert (row["due_g"], row["is_confirmed"]) == (1, expected)


def test_only_the_likes_of_days_on_duty_are_needed() -> None:
    """On duty to 31 January 2025. Last January 30 days of 1 g, then 10 g: by the 30th 30 of 40 g."""
    own = m.enterprises(active_from=0, active_to=m.T0 + 31 * D)
    last = q.days(Y2024, [1] * 30 + [10])
    assert by_last_year(80, 2025, 1, 30, last=last, enterprises=own) == 60


# ----------------------------------------------------------------------------------------- plan

STAIRS = [5 * month for month in range(1, 13)]  # 5, 10, … 60 g: 390 g in the year


def by_plan(quota: int, *date: int, plans: list[dict[str, Any]], **more: Any) -> int | None:
    year, month, day = date
    return due(year, month, day, q.quota(quota, profile="plan"), plans=plans, **more)


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ((2025, 1, 31), 10),  # 5 of 390, scaled to 780
        ((2025, 3, 10), 40),  # 5 + 10 + 15 × 10/31 = 19.84 of 390; × 2 = 39.68
        ((2025, 2, 14), 20),  # 5 + 10 × 14/28 = 10
        ((2025, 12, 31), 780),
    ],
)
def test_a_plan_is_scaled_to_the_quota_and_linear_within_a_month(
    date: tuple[int, int, int], expected: int
) -> None:
    assert by_plan(780, *date, plans=q.plan(STAIRS)) == expected


def test_in_a_leap_year_february_has_29_days() -> None:
    """5 + 10 × 14/29 = 9.83 of 390; of 39 000 982.76."""
    assert by_plan(39_000, 2028, 2, 14, plans=q.plan(STAIRS, year=2028)) == 983


def test_a_plan_with_a_month_missing_says_nothing() -> None:
    assert by_plan(780, 2025, 1, 31, plans=q.plan(STAIRS[:11])) is None
    assert by_plan(780, 2025, 1, 31, plans=q.plan([0] * 12)) is None
    assert by_plan(780, 2025, 1, 31, plans=q.plan(STAIRS, scope="net")) is None


def test_a_month_in_part_on_duty_is_planned_for_those_days() -> None:
    """On duty from 11 November: 20 days for November's 55 g, then December's 60 g. By 15 November 5 of 20
    days: 13.75 of 115 g; of 1150 137.5 -> 138 (half to even)."""
    first = q.number(2025, 11, 11)
    own = m.enterprises(active_from=m.T0 + (first - q.number(2025)) * D)
    plans = [row for row in q.plan(STAIRS) if row["month"] > 10]
    row = q.progress(q.days(first, [1] * 5), [q.quota(1150, profile="plan")], plans=plans, enterprises=own)
    assert row["due_g"] == 138


def test_a_plan_is_one_for_base_and_incentive() -> None:
    quotas = [q.quota(780, profile="plan"), q.quota(390, profile="plan", level="incentive")]
    rows = q.progress_rows(q.days(q.number(2025), [1] * 31), quotas, plans=q.plan(STAIRS))
    assert rows["due_g"].to_list() == [10, 5]


# --------------------------------------------------------------------------------- carbon, scopes


def test_a_carbon_quota_without_non_fossil_energy() -> None:
    """266 g CO2 a day of which 66 g are of non-fossil energy: 200 g × 73 days = 14 600 g. Due by 14 March,
    day 73 of 365: a fifth of 100 000 g."""
    first = q.number(2025)
    scopes = q.days(first, [1] * 73, scope="excluding_non_fossil", carbon_g=200)
    row = q.progress(
        q.days(first, [1] * 73, carbon_g=266),
        [q.quota(100_000, basis="carbon", scope="excluding_non_fossil")],
        scopes=scopes,
    )
    assert (row["as_of_day"], row["used_g"], row["due_g"]) == (q.number(2025, 3, 14), 14_600, 20_000)
    assert row["pace"] == 0.73
