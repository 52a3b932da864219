"""Progress against quotas: the last complete day, bounds from atoms, the linear profile."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from analytics.quota import quota_progress
from nengshao.domain.time import day_number
from nengshao.frames import BLOCKS, ENTERPRISE_DAYS
from tests.support import metering as m

D = 86_400


def day(offset: int, g: int | None = 1000, **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "enterprise": m.ENTERPRISE, "day": m.DAY + offset, "calorific_g": g, "equivalent_g": g,
        "calorific_gap_low": 0, "calorific_gap_high": 0, "equivalent_gap_low": 0, "equivalent_gap_high": 0,
        "measured_w": 100, "estimated_w": 0, "missing_w": 0, "pending_w": 0, "lowest_point": 1,
        "missing_points": "", "no_factor": "", "calorific_confirmed": True, "equivalent_confirmed": False,
        "published": True, "recheck_at": None,
    }  # fmt: skip
    return row | more


def block(start: int, end: int, g: int | None, sign: int = 1) -> tuple[Any, ...]:
    return (m.ENTERPRISE, 1, m.T0 + start, m.T0 + end, sign, 1, g, g)


def progress(
    days: list[dict[str, Any]], blocks: list[tuple[Any, ...]] | None = None, **more: Any
) -> dict[str, Any]:
    frame = quota_progress(
        pl.LazyFrame(days, schema=dict(ENTERPRISE_DAYS.schema)),
        pl.LazyFrame(blocks or [], schema=dict(BLOCKS.schema), orient="row"),
        more.get("quotas", m.quota(365)),
        more.get("enterprises", m.enterprises(active_from=0)),
        today=m.DAY + more.get("today", 300),
    ).collect()
    return frame.row(0, named=True)


def test_progress_ends_at_the_last_day_before_anything_unpublished() -> None:
    days = [day(0), day(1), day(2, published=False), day(3)]
    row = progress(days)
    assert (row["as_of_day"], row["used_g"], row["due_g"]) == (m.DAY + 1, 2000, 2_000_000)


def test_an_absent_day_ends_it_as_well() -> None:
    assert progress([day(0), day(2)])["as_of_day"] == m.DAY


def test_before_the_first_full_day_nothing_is_used_and_nothing_due() -> None:
    row = progress([day(0, published=False)])
    assert [row[k] for k in ("as_of_day", "used_g", "due_g", "pace", "coverage")] == [
        None,
        None,
        0,
        None,
        None,
    ]


def test_today_limits_it() -> None:
    assert progress([day(0), day(1), day(2)], today=1)["as_of_day"] == m.DAY + 1


def test_gaps_add_up_day_by_day() -> None:
    days = [day(0, calorific_gap_low=-10, calorific_gap_high=50), day(1, calorific_gap_high=5, missing_w=100)]
    row = progress(days)
    assert (row["low_g"], row["used_g"], row["high_g"]) == (1990, 2000, 2055)
    assert row["coverage"] == pytest.approx(2 / 3)
    assert row["pace_high"] == 2055 / 2_000_000


def test_an_unbounded_gap_leaves_the_other_bound() -> None:
    row = progress([day(0, calorific_gap_high=None)])
    assert (row["low_g"], row["high_g"], row["pace_high"]) == (1000, None, None)


@pytest.mark.parametrize(
    ("start", "end", "sign", "expected"),
    [
        (3600, 7200, 1, (2700, 2700, 2700)),  # inside: belongs to the value and both bounds
        (D, 3 * D, 1, (2000, 2000, 2700)),  # across the end of as_of_day
        (-D, D, 1, (2000, 2000, 2700)),  # across the start of the year
        (D, 3 * D, -1, (1300, 2000, 2000)),  # an output across
        (0, 2 * D, -1, (1300, 1300, 1300)),
        (5 * D, 6 * D, 1, (2000, 2000, 2000)),  # beyond
        (0, D, 0, (2000, 2000, 2000)),  # of a sub-meter
    ],
)
def test_a_block_counts_by_where_it_lies(start: int, end: int, sign: int, expected: tuple[int, ...]) -> None:
    row = progress([day(0), day(1)], [block(start, end, 700, sign)])
    assert (row["low_g"], row["used_g"], row["high_g"]) == expected


def test_a_missing_factor_makes_it_unknown_not_small() -> None:
    row = progress([day(0), day(1, None, no_factor="heat:calorific")])
    assert [row[k] for k in ("used_g", "low_g", "high_g", "pace")] == [None] * 4
    row = progress([day(0)], [block(0, 3600, None)])
    assert row["used_g"] is None


def test_a_day_without_any_measurement_is_left_to_the_bounds() -> None:
    row = progress([day(0), day(1, None, calorific_gap_high=9000)])
    assert (row["low_g"], row["used_g"], row["high_g"]) == (1000, 1000, 10_000)


def test_a_leap_year_has_366_days() -> None:
    first = day_number(dt.date(2024, 1, 1)) - m.DAY
    row = progress([day(first)], quotas=m.quota(366, year=2024))
    assert row["due_g"] == 1_000_000


def test_the_quota_of_a_partly_active_year_spreads_over_the_days_on_duty() -> None:
    own = m.enterprises(active_from=m.T0 + 10 * D, active_to=m.T0 + 20 * D)
    row = progress([day(i) for i in range(10, 15)], enterprises=own, quotas=m.quota(10))
    assert (row["as_of_day"], row["due_g"]) == (m.DAY + 14, 5_000_000)


def test_each_basis_stands_for_itself() -> None:
    row = progress(
        [day(0, equivalent_g=5, no_factor="heat:calorific")], quotas=m.quota(1, basis="equivalent")
    )
    assert (row["used_g"], row["is_confirmed"]) == (5, False)


def test_an_unconfirmed_quota_is_unconfirmed_progress() -> None:
    quotas = m.quota(1).with_columns(confidence=pl.lit("copied"))
    row = progress([day(0)], quotas=quotas)
    assert (row["quota_confirmed"], row["is_confirmed"]) == (False, False)


def test_a_quota_of_a_year_to_come_is_not_listed() -> None:
    frame = quota_progress(
        ENTERPRISE_DAYS.empty().lazy(),
        BLOCKS.empty().lazy(),
        m.quota(1, year=2026),
        m.enterprises(),
        today=m.DAY,
    ).collect()
    assert frame.is_empty()
