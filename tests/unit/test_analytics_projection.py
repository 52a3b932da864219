"""The projection of a year: worked by hand where it can be, and what it must never do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

from analytics.profiles import calendar_of
from analytics.projection import with_projection
from tests.support import metering as m
from tests.support import quotas as q

D = 86_400
YEAR = q.number(2025)
LAST = q.number(2024)

Figures = Sequence[int | None]


def projected(this: Figures, last: Figures | None = None, **changes: Any) -> dict[str, Any]:
    """The projection from this year's days up to now and last year's from its 1 January on."""
    used = sum(g for g in this if g is not None)
    facts: dict[str, Any] = {
        "first_day": YEAR, "duty_end": q.number(2026), "used_g": used, "low_g": used, "high_g": used,
        "as_of_day": YEAR + len(this) - 1,
    }  # fmt: skip
    facts |= changes
    days = ("first_day", "duty_end", "as_of_day")
    series = pl.LazyFrame([{"series": 1} | facts]).with_columns(pl.col(days).cast(pl.Int32))

    def daily(first: int, figures: Figures) -> pl.LazyFrame:
        rows = [(1, first + i, g) for i, g in enumerate(figures)]
        schema = {"series": pl.Int64, "day": pl.Int32, "g": pl.Int64}
        return pl.LazyFrame(rows, schema=schema, orient="row")

    before = daily(LAST, last or []).with_columns(is_whole=True, is_confirmed=True)
    calendar = calendar_of(series, daily(YEAR, this), before)
    (row,) = with_projection(series, calendar).collect().to_dicts()
    return row


def interval(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["projection"], row["projected_low_g"], row["projected_g"], row["projected_high_g"]


# ---------------------------------------------------------------------------------- worked by hand


def test_a_steady_first_year_goes_on_as_it_was() -> None:
    """28 days of 1000 g, 337 to come: 365 000 g. Three weeks lay 0 from the ratio (1000 g a day) before them:
    (8 × 100² + 3 × 0) / 11 = 7272.73, and the season nobody has seen 150² × 337/365 = 20 773.97; the root of
    the sum, 167.471, × 337 days = 56 438 g."""
    found = projected([1000] * 28)
    assert interval(found) == ("linear", 365_000 - 56_438, 365_000, 365_000 + 56_438)


def test_recent_weeks_count_for_more() -> None:
    """9 weeks: one of 2000 g a day, then eight of 1000. The first's weight is a half of the last's, 2⁻¹ = x⁸:
    1 + x + … + x⁸ = (1 − x⁹) / (1 − x) = 0.541498 / 0.082996 = 6.5244, the ratio 1000 × (1 + 0.5 / 6.5244) =
    1076.6 g a day; what was used over the days gone by is 1111.1."""
    x = 0.5 ** (1 / 8)
    ratio = 1000 * (1 + x**8 / sum(x**k for k in range(9)))
    found = projected([2000] * 7 + [1000] * 56)
    assert found["projected_g"] == 70_000 + round(302 * ratio)
    assert ratio == pytest.approx(1076.6, abs=0.05)


def test_a_year_30_percent_up_is_believed_by_half_after_eight_weeks() -> None:
    """Last year 1000 g every day, this year 1300 g. After 8 weeks the ratio is 1 + 0.3 × 8/16 = 1.15: 56 days
    × 1300 + 309 × 1150 = 428 150 g. After n weeks it was 1 + 0.3 n/(n + 8), so that weeks 2 … 8 lay 0.3 × 8 /
    (n + 8) from it, n = 1 … 7: .267 .240 .218 .200 .185 .171 .160, median .2. The half width: √((8 × (0.1 ×
    1.3)² + 7 × (1.9 × 0.2)²) / 15) = √0.0764 = 0.276405; × 309 000 = 85 409 g."""
    found = projected([1300] * 56, [1000] * 366)
    assert interval(found) == ("blend", 428_150 - 85_409, 428_150, 428_150 + 85_409)


def test_before_the_first_full_week_last_year_stands_as_it_was() -> None:
    """3 days of 2000 g, then last year's 362 × 1000 g, ± 10 %."""
    found = projected([2000] * 3, [1000] * 366)
    assert interval(found) == ("last_year", 368_000 - 36_200, 368_000, 368_000 + 36_200)


def test_of_last_year_s_shape_a_share_is_taken() -> None:
    """On duty for 8 weeks. Last year four weeks of 500 g a day, then four of 1500 g: V = 0.25, the share 0.25
    / (0.25 + 0.0225) = 0.917431, so the reference is 1000 ∓ 458.7: 541 and 1459 g. This year 28 × 500 g:
    500/541 = 0.924214, after 4 weeks 1 − 0.075786 × 4/12 = 0.974738; × 28 × 1459 = 39 820; + 14 000."""
    found = projected([500] * 28, [500] * 28 + [1500] * 28, duty_end=YEAR + 56)
    assert (found["projection"], found["projected_g"]) == ("blend", 53_820)


# ------------------------------------------------------------------------------------ last year


def heating(first: int, days: int) -> Figures:
    """A works that heats from mid-October to mid-March."""
    shape = [math.cos(2 * math.pi * (i - 15) / 365) for i in range(first, first + days)]
    return [round(1_000_000 * max(0.02, x)) for x in shape]


def test_a_season_comes_back() -> None:
    """At the end of March a heating works has used more than half of its year; linear says twice as much."""
    whole = heating(0, 365)
    year = sum(g for g in whole if g is not None)
    found = projected(heating(0, 90), [*whole, 20_000])
    assert found["projection"] == "blend"
    assert found["projected_g"] == pytest.approx(year, rel=0.05)
    assert sum(g or 0 for g in whole[:90]) / 90 * 365 > 1.9 * year


def test_a_stop_that_was_at_another_time_last_year_is_no_lasting_change() -> None:
    """Four weeks of maintenance, in February this year, in May last year; the year comes to 337 000 g. After
    77 days linear says 365 × 49/77 = 232 000 g, 31 % off; last year's rest × 49/77 is 36 % off. A week's stop
    is taken for 30 % less, and May's stop for one that may come again: 15 % off."""
    running, stopped = [1000], [0]
    this: Figures = running * 45 + stopped * 28 + running * 4
    last: Figures = running * 120 + stopped * 28 + running * 218
    found = projected(this, last)
    assert found["projected_g"] == pytest.approx(337_000, rel=0.15)


@pytest.mark.parametrize(
    ("last", "method"),
    [
        ([1000] * 366, "blend"),
        ([1000] * 330, "blend"),  # 329 of 365 days are known: 90.1 %
        ([1000] * 329, "linear"),  # 328: 89.9 %
        ([None, 1000] * 183, "linear"),
        ([0] * 366, "linear"),
        ([1000] * 365 + [-1], "linear"),  # outputs can exceed inputs: ratios say nothing
        ([3001] * 366, "linear"),  # it was another plant
        ([333] * 366, "linear"),
        ([3000] * 366, "blend"),
    ],
)
def test_which_last_year_can_be_used(last: Figures, method: str) -> None:
    assert projected([1000] * 56, last)["projection"] == method


def test_before_eight_weeks_a_stop_may_be_all_there_is_to_compare() -> None:
    assert projected([100] * 55, [1000] * 366)["projection"] == "blend"


def test_unknown_days_of_last_year_count_as_its_average() -> None:
    whole = projected([1000] * 56, [1000] * 366)
    assert interval(projected([1000] * 56, [1000] * 100 + [None] * 20 + [1000] * 246)) == interval(whole)


# ---------------------------------------------------------------------------- what it must never do


def test_with_nothing_to_go_by_nothing_is_projected() -> None:
    assert interval(projected([1000] * 6)) == ("", None, None, None)
    assert interval(projected([None] * 28)) == ("", None, None, None)
    unknown = projected([1000] * 28, used_g=None, low_g=None, high_g=None)
    assert interval(unknown) == ("", None, None, None)


def test_an_unmeasured_day_does_not_make_the_rest_of_the_year_smaller() -> None:
    gap = projected([1000] * 10 + [None] * 4 + [1000] * 14)
    assert gap["projected_g"] == 24_000 + 337_000


def test_the_bounds_of_what_was_used_widen_the_interval() -> None:
    plain = projected([1000] * 28)
    wider = projected([1000] * 28, low_g=27_000, high_g=33_000)
    assert wider["projected_g"] == plain["projected_g"]
    assert wider["projected_low_g"] == plain["projected_low_g"] - 1000
    assert wider["projected_high_g"] == plain["projected_high_g"] + 5000
    unbounded = projected([1000] * 28, high_g=None)
    assert interval(unbounded)[1:] == (plain["projected_low_g"], plain["projected_g"], None)


def test_nothing_is_projected_below_what_was_used() -> None:
    this: Figures = ([5000] * 7 + [0] * 7) * 4
    found = projected(this)
    assert found["projected_low_g"] == sum(g or 0 for g in this)


def test_where_outputs_exceed_inputs_the_year_may_fall_below_what_was_used() -> None:
    """The mirror of the steady year."""
    found = projected([-1000] * 28)
    assert interval(found) == ("linear", -365_000 - 56_438, -365_000, -365_000 + 56_438)


def test_the_interval_narrows_to_nothing_at_the_end_of_the_year() -> None:
    last: Figures = [900, 1100] * 183
    widths = []
    for days in (28, 91, 182, 273, 364, 365):
        found = projected(([1000, 1100, 900] * 122)[:days], last)
        widths.append(found["projected_high_g"] - found["projected_low_g"])
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == 0


@pytest.mark.parametrize("year", [2024, 2025, 2028])
def test_a_leap_year_s_projection_has_366_days(year: int) -> None:
    days = 366 if year % 4 == 0 else 365
    rows = q.days(q.number(year), [1000] * 59)
    row = q.progress(rows, [q.quota(1, year=year)])
    assert row["projected_g"] == days * 1000


def test_a_year_that_begins_on_the_way_is_projected_over_its_days_on_duty() -> None:
    own = m.enterprises(active_from=m.T0 + 181 * D)
    row = q.progress(q.days(YEAR + 181, [1000] * 14), [q.quota(1)], enterprises=own)
    assert row["projected_g"] == 184_000


def test_a_block_counts_in_the_days_it_covers() -> None:
    """Two weeks of nothing but a block of 14 000 g are two weeks of 1000 g a day."""
    rows = q.days(YEAR, [1000] * 14 + [None] * 14 + [1000] * 14)
    start = m.T0 + 14 * D
    row = q.progress(rows, [q.quota(1)], blocks=[q.block(start, start + 14 * D, 14_000)])
    assert row["used_g"] == 42_000
    assert row["projected_g"] == 365_000


def test_each_quota_has_the_projection_of_its_own_scope() -> None:
    scopes = q.days(YEAR, [400] * 28, scope="net")
    quotas = [q.quota(1), q.quota(1, scope="net"), q.quota(1, scope="feedstock")]
    rows = q.progress_rows(q.days(YEAR, [1000] * 28), quotas, scopes=scopes)
    found = dict(rows.select("scope", "projected_g").rows())
    assert found == {"total": 365_000, "net": 146_000, "feedstock": 0}
