"""Amounts and powers in their periods, cut into hours and days."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from analytics.intervals import segments_from_amounts, segments_from_powers, use_per_interval
from analytics.specs import point_duties
from nengshao.domain.time import day_number, day_start
from nengshao.frames import SEGMENTS
from tests.support import metering as m

H = 3600
D = 86_400


def use(frame: pl.LazyFrame, spec: dict[str, Any], interval: Any, start: int, end: int) -> pl.DataFrame:
    duties = point_duties(m.points(spec), m.enterprises(active_from=0), as_of=m.T0 + 999 * D)
    return use_per_interval(frame, duties, interval, start, end).collect().sort("start")


def segment(start: int, end: int, amount: int | None, quality: str = "measured") -> pl.LazyFrame:
    return pl.LazyFrame([(1, start, end, amount, quality)], schema=dict(SEGMENTS.schema), orient="row")


@pytest.mark.parametrize(
    ("stat_type", "start", "end"),
    [
        (1, dt.date(2025, 1, 1), dt.date(2025, 1, 2)),
        (2, dt.date(2025, 1, 1), dt.date(2025, 2, 1)),
        (2, dt.date(2024, 2, 1), dt.date(2024, 3, 1)),  # a leap year's February
        (2, dt.date(2025, 12, 1), dt.date(2026, 1, 1)),
        (3, dt.date(2024, 1, 1), dt.date(2025, 1, 1)),
    ],
)
def test_an_amount_belongs_to_its_calendar_period(stat_type: int, start: dt.date, end: dt.date) -> None:
    first, last = day_start(day_number(start)), day_start(day_number(end))
    spec = m.point(1, kind="amount", stat_type=stat_type, cadence_s=None, valid_from=0)
    found = segments_from_amounts(m.readings(1, [(first, 7_000_000)]).lazy(), m.points(spec)).collect()
    assert found.rows() == [(1, first, last, 7000, "measured")]


def test_a_power_is_multiplied_by_its_time() -> None:
    spec = m.point(1, kind="power")
    found = segments_from_powers(m.readings(1, [(m.T0, 100_000_000)]).lazy(), m.points(spec)).collect()
    assert found.rows() == [(1, m.T0, m.T0 + 900, 25_000, "measured")]  # 100 kW × ¼ h = 25 kWh


def test_amounts_that_overlap_count_every_second_once() -> None:
    spec = m.point(1, kind="amount")
    reads = m.readings(1, [(m.T0, 9_000_000), (m.T0 + 600, 6_000_000), (m.T0 + 1500, 9_000_000)])
    found = segments_from_amounts(reads.lazy(), m.points(spec)).collect()
    assert [(a - m.T0, b - m.T0) for a, b in found.select("start", "end").iter_rows()] == [
        (0, 600), (600, 1500), (1500, 2400)
    ]  # fmt: skip


def test_of_two_figures_of_one_period_the_later_reading_stands() -> None:
    spec = m.point(1, kind="amount", stat_type=2, cadence_s=None)
    reads = m.readings(1, [(m.T0, 1_000_000), (m.T0 + D, 2_000_000)])
    found = segments_from_amounts(reads.lazy(), m.points(spec)).collect()
    assert found["amount"].to_list() == [2000]


def test_parts_are_cut_at_midnight_in_shanghai() -> None:
    found = use(segment(m.T0 - 600, m.T0 + 300, 900), m.point(1, valid_from=0), "day", m.T0 - D, m.T0 + D)
    assert found.select("start", "amount", "measured_s").rows() == [(m.T0 - D, 600, 600), (m.T0, 300, 300)]


def test_a_segment_longer_than_the_interval_is_estimated() -> None:
    found = use(segment(m.T0, m.T0 + D, 24_000), m.point(1), "hour", m.T0, m.T0 + D)
    assert found["amount"].to_list() == [1000] * 24
    assert found["estimated_s"].to_list() == [H] * 24
    found = use(segment(m.T0, m.T0 + D, 24_000), m.point(1), "day", m.T0, m.T0 + D)
    assert found.select("measured_s", "estimated_s").row(0) == (D, 0)


def test_a_remainder_is_spread_and_never_lost() -> None:
    found = use(segment(m.T0, m.T0 + 3 * D, 10), m.point(1), "day", m.T0, m.T0 + 3 * D)
    assert found["amount"].to_list() == [3, 4, 3]  # 3.33, 6.67, 10 rounded, then differenced


def test_a_block_covers_time_but_brings_no_amount() -> None:
    found = use(segment(m.T0, m.T0 + D, 500, "block"), m.point(1), "day", m.T0, m.T0 + D)
    assert found.select("amount", "measured_s", "estimated_s", "block_s").row(0) == (None, 0, 0, D)


def test_missing_time_has_no_row() -> None:
    assert use(segment(m.T0, m.T0 + D, None, "missing"), m.point(1), "day", m.T0, m.T0 + D).is_empty()


def test_time_before_the_point_was_in_force_does_not_count() -> None:
    spec = m.point(1, valid_from=m.T0 + H)
    found = use(segment(m.T0, m.T0 + 2 * H, 2000), spec, "day", m.T0, m.T0 + D)
    assert found.select("amount", "estimated_s", "measured_s").row(0) == (1000, 0, H)


def test_an_amount_too_big_for_64_bits_times_seconds_is_still_exact() -> None:
    big = 9 * 10**18
    found = use(segment(m.T0, m.T0 + 3 * D, big), m.point(1), "day", m.T0, m.T0 + 3 * D)
    assert found["amount"].to_list() == [big // 3] * 3
