"""Stretches of time, cut into hours and days."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl

from analytics.intervals import use_per_interval
from analytics.specs import point_duties
from nengshao.domain.time import day_number, day_start
from nengshao.frames import SEGMENTS
from tests.support import metering as m

H = 3600
D = 86_400


def use(frame: pl.LazyFrame, spec: dict[str, Any], interval: Any, start: int, end: int) -> pl.DataFrame:
    duties = point_duties(m.points(spec), m.enterprises(active_from=0), as_of=m.T0 + 999 * D)
    return use_per_interval(frame, duties, interval, start, end).collect()


def segment(start: int, end: int, amount: int | None, quality: str = "measured") -> pl.LazyFrame:
    return pl.LazyFrame([(1, start, end, amount, quality)], schema=dict(SEGMENTS.schema), orient="row")


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


def test_a_months_amount_is_spread_over_the_days_of_a_leap_february() -> None:
    first = day_start(day_number(dt.date(2024, 2, 1)))
    spec = m.point(1, valid_from=0)
    found = use(segment(first, first + 29 * D, 2_900_000), spec, "day", first, first + 31 * D)
    assert found["amount"].to_list() == [100_000] * 29
    assert found.select("measured_s", "estimated_s").unique().rows() == [(0, D)]


def test_two_duties_in_one_day_make_one_row() -> None:
    noon = m.T0 + D // 2
    duties = point_duties(
        m.points(m.point(1, valid_to=noon), m.point(1, valid_from=noon)), m.enterprises(), as_of=m.T0 + 9 * D
    )
    found = use_per_interval(segment(m.T0, m.T0 + D, 999), duties, "day", m.T0, m.T0 + D).collect()
    assert found.select("start", "amount", "measured_s").rows() == [(m.T0, 999, D)]
