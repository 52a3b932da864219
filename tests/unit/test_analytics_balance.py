"""Residuals of meters and of series, by month."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

from analytics.balance import first_day_of_balance, measures_of_balance
from nengshao.domain.rules import Measure
from nengshao.domain.time import day_number, day_start
from nengshao.frames import BLOCKS, POINT_DAYS
from tests.support import metering as m

D = 86_400
FEBRUARY = day_number(dt.date(2024, 2, 1))
MARCH = day_number(dt.date(2024, 3, 1))


def point_day(number: int, day: int, amount: int | None, **changes: Any) -> dict[str, Any]:
    """A POINT_DAYS row, measured as a whole, or missing as a whole without an amount."""
    row: dict[str, Any] = dict.fromkeys(POINT_DAYS.schema)
    row |= {
        "enterprise": m.ENTERPRISE, "point": number, "day": day, "carrier": "electricity", "sign": 1,
        "use": "energy", "amount": amount, "measured_s": D, "estimated_s": 0, "spread_s": 0, "missing_s": 0,
        "pending_s": 0, "gap_low": 0, "gap_high": 0,
    }  # fmt: skip
    if amount is None:
        row |= {"measured_s": 0, "missing_s": D, "gap_high": 24_000}
    return row | changes


def month(number: int, first: int, end: int, daily: int, **changes: Any) -> list[dict[str, Any]]:
    return [point_day(number, day, daily, **changes) for day in range(first, end)]


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(POINT_DAYS.schema), orient="row")


def block(number: int, start: int, end: int, amount: int) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(BLOCKS.schema)
    return row | {
        "enterprise": m.ENTERPRISE, "via": number, "point": number, "start": start, "end": end, "sign": 1,
        "use": "energy", "amount": amount,
    }  # fmt: skip


def measured(
    days: list[dict[str, Any]],
    *points: dict[str, Any],
    blocks: Sequence[dict[str, Any]] = (),
    as_of: int = MARCH,
) -> list[dict[str, Any]]:
    held = pl.DataFrame(blocks, schema=dict(BLOCKS.schema), orient="row")
    found = measures_of_balance(frame(*days), held, m.points(*points), as_of_day=as_of)
    return found.to_dicts()


METERS = (m.point(1), m.point(2, role="sub", parent=1), m.point(3, role="sub", parent=1))


def test_what_sub_meters_do_not_see_is_the_residual_of_a_leap_february() -> None:
    # 29 days × 1 000 kWh above; 29 × (600 + 300) below: (29 000 − 26 100) / 29 000 = 0.1.
    days = month(1, FEBRUARY, MARCH, 1_000_000) + month(2, FEBRUARY, MARCH, 600_000)
    days += month(3, FEBRUARY, MARCH, 300_000)
    (row,) = measured(days, *METERS)
    assert row["measure"] == Measure.BALANCE_RESIDUAL
    assert row["subject"] == f"2024-02/{1:016d}.0.00"
    assert row["at"] == day_start(MARCH)
    assert (row["value"], row["low"], row["high"]) == pytest.approx((0.1, 0.1, 0.1))
    assert row["coverage"] == 1.0


def test_a_month_that_is_not_over_or_has_something_pending_is_not_judged() -> None:
    days = month(1, FEBRUARY, MARCH, 1_000) + month(2, FEBRUARY, MARCH, 1_000)
    assert measured(days, *METERS[:2], as_of=MARCH - 2) == []
    days[-1] |= {"pending_s": 900}
    assert measured(days, *METERS[:2]) == []


def test_missing_time_of_a_sub_meter_widens_the_bounds() -> None:
    # Sub-meters: 28 days × 1 000 Wh and a day that could have carried 0 … 24 000 Wh; the meter 29 × 1 000.
    # Known: 1 − 28/29; at most 24 000 more: 1 − 52/29 = −23/29; between them lies 0.
    days = month(1, FEBRUARY, MARCH, 1_000) + month(2, FEBRUARY, MARCH - 1, 1_000)
    days.append(point_day(2, MARCH - 1, None))
    (row,) = measured(days, *METERS[:2])
    assert row["value"] == pytest.approx(1 / 29)
    assert (row["low"], row["high"]) == pytest.approx((0.0, 23 / 29))
    assert row["coverage"] == pytest.approx(57 / 58)


def test_an_unbounded_gap_leaves_the_upper_bound_open() -> None:
    days = month(1, FEBRUARY, MARCH, 1_000) + month(2, FEBRUARY, MARCH - 1, 1_000)
    days.append(point_day(2, MARCH - 1, None, gap_high=None))
    (row,) = measured(days, *METERS[:2])
    assert row["high"] is None


def test_a_block_inside_the_month_counts_and_one_across_its_border_only_may() -> None:
    # The sub-meter was silent from the 10th to the 20th (10 000 Wh, exact) and from the 28th into March.
    days = month(1, FEBRUARY, MARCH, 1_000)
    gone = {*range(FEBRUARY + 9, FEBRUARY + 19), FEBRUARY + 27, FEBRUARY + 28}
    days += [
        point_day(2, day, None, gap_high=0) if day in gone else point_day(2, day, 1_000)
        for day in range(FEBRUARY, MARCH)
    ]
    inside = block(2, day_start(FEBRUARY + 9), day_start(FEBRUARY + 19), 10_000)
    across = block(2, day_start(FEBRUARY + 27), day_start(MARCH + 2), 5_000)
    (row,) = measured(days, *METERS[:2], blocks=[inside, across])
    # Known 17 × 1 000 + 10 000 = 27 000 of 29 000; with the block across at most 32 000.
    assert row["value"] == pytest.approx(2 / 29)
    assert (row["low"], row["high"]) == pytest.approx((0.0, 3 / 29))


def test_days_against_the_month_figure_of_the_same_item() -> None:
    item = {"data_code": "0" * 16}
    daily = m.point(1, kind="amount", stat_type=1, **item)
    monthly = m.point(2, kind="amount", stat_type=2, feeds_total=False, **item)
    # Σ days = 29 × 1 000 = 29 000; the month says 29 × 1 100 = 31 900: 2 900 / 31 900 = 1/11.
    days = month(1, FEBRUARY, MARCH, 1_000) + month(2, FEBRUARY, MARCH, 1_100, sign=0)
    (row,) = measured(days, daily, monthly)
    assert (row["measure"], row["subject"]) == (Measure.SERIES_DEVIATION, f"2024-02/{'0' * 16}.2")
    assert row["value"] == pytest.approx(1 / 11)


def test_days_that_only_reconcile_are_held_against_the_month_that_feeds() -> None:
    """Σ days = 29 × 1 000 = 29 000; the month that counts says 31 900: 1/11. The quarter hours, 29 × 500, are
    not held against it as well: the subject names one finer series, the next one."""
    item = {"data_code": "0" * 16}
    monthly = m.point(1, kind="amount", stat_type=2, **item)
    daily = m.point(2, kind="amount", stat_type=1, feeds_total=False, **item)
    quarters = m.point(3, stat_type=0, feeds_total=False, **item)
    days = month(1, FEBRUARY, MARCH, 1_100) + month(2, FEBRUARY, MARCH, 1_000, sign=0)
    days += month(3, FEBRUARY, MARCH, 500, sign=0)
    (row,) = measured(days, monthly, daily, quarters)
    assert (row["measure"], row["subject"]) == (Measure.SERIES_DEVIATION, f"2024-02/{'0' * 16}.2")
    assert row["value"] == pytest.approx(1 / 11)


def test_two_series_of_which_neither_or_both_feed_are_not_compared() -> None:
    item = {"data_code": "0" * 16, "kind": "amount"}
    days = month(1, FEBRUARY, MARCH, 1_000) + month(2, FEBRUARY, MARCH, 500)
    for feeds in (True, False):
        pair = [m.point(n, stat_type=n, feeds_total=feeds, **item) for n in (1, 2)]
        assert measured(days, *pair) == []


def test_a_meter_that_counted_nothing_has_no_ratio_and_nothing_at_all_has_no_row() -> None:
    assert measured(month(1, FEBRUARY, MARCH, 0) + month(2, FEBRUARY, MARCH, 0), *METERS[:2]) == []
    assert measured([], *METERS) == []


@pytest.mark.parametrize(
    ("day", "first"),
    [((2024, 3, 31), (2024, 2, 1)), ((2025, 1, 1), (2024, 12, 1)), ((2024, 2, 29), (2024, 1, 1))],
)
def test_the_month_before_is_needed(day: tuple[int, int, int], first: tuple[int, int, int]) -> None:
    assert first_day_of_balance(day_number(dt.date(*day))) == day_number(dt.date(*first))
