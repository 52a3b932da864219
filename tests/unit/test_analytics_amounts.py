"""Amounts, powers and stock-takes: the time that each speaks for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from analytics.amounts import amount_findings, power_findings, stock_findings
from analytics.findings import events_of, segments_of
from nengshao.domain.time import day_number, day_start
from tests.support import metering as m

H = 3600
D = 86_400
Look = Callable[[pl.LazyFrame, pl.DataFrame], pl.LazyFrame]


def segments(look: Look, reads: pl.DataFrame, *specs: dict[str, Any]) -> pl.DataFrame:
    return segments_of(look(reads.lazy(), m.points(*specs))).collect().sort("point", "start")


def events(look: Look, reads: pl.DataFrame, *specs: dict[str, Any]) -> list[tuple[Any, ...]]:
    return events_of(look(reads.lazy(), m.points(*specs))).collect().sort("ts", "event").rows()


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
    found = segments(amount_findings, m.readings(1, [(first, 7_000_000)]), spec)
    assert found.rows() == [(1, first, last, 7000, "measured")]


def test_a_power_is_multiplied_by_its_time() -> None:
    spec = m.point(1, kind="power")
    found = segments(power_findings, m.readings(1, [(m.T0, 100_000_000)]), spec)
    assert found.rows() == [(1, m.T0, m.T0 + 900, 25_000, "measured")]  # 100 kW × ¼ h = 25 kWh


def test_amounts_that_overlap_count_every_second_once() -> None:
    spec = m.point(1, kind="amount")
    reads = m.readings(1, [(m.T0, 9_000_000), (m.T0 + 600, 6_000_000), (m.T0 + 1500, 9_000_000)])
    found = segments(amount_findings, reads, spec)
    assert [(a - m.T0, b - m.T0) for a, b in found.select("start", "end").iter_rows()] == [
        (0, 600), (600, 1500), (1500, 2400)
    ]  # fmt: skip


def test_of_two_figures_of_one_period_the_later_reading_stands() -> None:
    spec = m.point(1, kind="amount", stat_type=2, cadence_s=None)
    reads = m.readings(1, [(m.T0, 1_000_000), (m.T0 + D, 2_000_000)])
    found = segments(amount_findings, reads, spec)
    assert found["amount"].to_list() == [2000]


@pytest.mark.parametrize(
    ("look", "spec", "most"),
    [
        # 1 000 kWh an hour: 250 kWh a quarter of an hour, 24 000 a day, 744 000 in January
        (amount_findings, m.point(1, kind="amount"), 250),
        (amount_findings, m.point(1, kind="amount", stat_type=1, cadence_s=None), 24_000),
        (amount_findings, m.point(1, kind="amount", stat_type=2, cadence_s=None), 744_000),
        (power_findings, m.point(1, kind="power"), 1_000),
    ],
    ids=["quarter", "day", "month", "power"],
)
def test_what_the_rated_capacity_cannot_pass_is_missing_with_an_event(
    look: Look, spec: dict[str, Any], most: int
) -> None:
    fits, exceeds = most * 1_000_000, most * 1_000_000 + 1
    assert segments(look, m.readings(1, [(m.T0, fits)]), spec)["quality"].to_list() == ["measured"]
    found = segments(look, m.readings(1, [(m.T0, exceeds)]), spec)
    assert found.select("amount", "quality").rows() == [(None, "missing")]
    assert events(look, m.readings(1, [(m.T0, exceeds)]), spec) == [(1, m.T0, "implausible_amount")]


@pytest.mark.parametrize("capacity", [None, 1_000_000, 2**62])
def test_a_negative_amount_is_missing_with_an_event(capacity: int | None) -> None:
    spec = m.point(1, kind="amount", capacity=capacity)
    assert segments(amount_findings, m.readings(1, [(m.T0, -1)]), spec)["quality"].to_list() == ["missing"]
    assert events(amount_findings, m.readings(1, [(m.T0, -1)]), spec) == [(1, m.T0, "implausible_amount")]


def test_without_a_capacity_no_amount_is_too_large() -> None:
    spec = m.point(1, kind="amount", capacity=None)
    found = segments(amount_findings, m.readings(1, [(m.T0, 9 * 10**18)]), spec)
    assert found["amount"].to_list() == [9 * 10**15]


def test_an_amount_whose_period_is_cut_short_is_judged_by_its_whole_period() -> None:
    # 240 kWh fit into a quarter of an hour at 1 000 kW, not into the 10 minutes left of it
    spec = m.point(1, kind="amount")
    found = segments(amount_findings, m.readings(1, [(m.T0, 240_000_000), (m.T0 + 600, 0)]), spec)
    assert found["amount"].to_list() == [240_000, 0]


def day_of(value: int, *others: tuple[int, int]) -> pl.DataFrame:
    """A day of quarter hours of this value, but for (quarter, value)."""
    values = dict.fromkeys(range(96), value) | dict(others)
    return m.readings(1, [(m.T0 + i * 900, v) for i, v in values.items()])


@pytest.mark.parametrize(("look", "kind"), [(amount_findings, "amount"), (power_findings, "power")])
def test_the_same_figure_all_day_long_is_told_and_kept(look: Look, kind: str) -> None:
    spec = m.point(1, kind=kind)
    assert events(look, day_of(7_000_000), spec) == [(1, m.T0 + 95 * 900, "stuck")]
    assert set(segments(look, day_of(7_000_000), spec)["quality"]) == {"measured"}
    assert events(look, day_of(7_000_000, (50, 7_000_001)), spec) == []
    assert events(look, day_of(0), spec) == []  # a plant that stands still
    gap = day_of(7_000_000).filter(pl.col("ts") != m.T0 + 50 * 900)
    assert events(look, gap, spec) == []


def test_days_of_equal_daily_figures_are_nothing_to_tell() -> None:
    spec = m.point(1, kind="amount", stat_type=1, cadence_s=None)
    assert events(amount_findings, m.readings(1, [(m.T0 + i * D, 5_000_000) for i in range(99)]), spec) == []


STOCK = m.point(1, kind="stock", stat_type=2, cadence_s=None, carrier="raw_coal", valid_from=0)


def stock_takes(*tonnes: float, days: tuple[dt.date, ...]) -> pl.DataFrame:
    at = [day_start(day_number(date)) for date in days]
    return m.readings(1, [(ts, round(t * 10**9)) for ts, t in zip(at, tonnes, strict=True)])


def test_a_stock_take_says_what_left_the_store_since_the_one_before() -> None:
    days = (dt.date(2024, 2, 1), dt.date(2024, 3, 1), dt.date(2024, 4, 1))
    found = segments(stock_findings, stock_takes(500, 380.5, 420, days=days), STOCK)
    starts = [day_start(day_number(date)) for date in days]
    assert found.rows() == [
        (1, starts[0], starts[1], 119_500_000, "measured"),  # a leap year's February: 119.5 t in g
        (1, starts[1], starts[2], -39_500_000, "measured"),  # the store grew
    ]
    assert (starts[1] - starts[0]) // D == 29


def test_one_stock_take_alone_says_nothing() -> None:
    assert segments(stock_findings, stock_takes(500, days=(dt.date(2024, 2, 1),)), STOCK).is_empty()


def test_a_stock_take_that_is_invalid_is_passed_over() -> None:
    days = (dt.date(2024, 2, 1), dt.date(2024, 2, 10), dt.date(2024, 3, 1))
    reads = stock_takes(500, 9, 400, days=days).with_columns(valid=pl.Series([True, False, True]))
    assert segments(stock_findings, reads, STOCK)["amount"].to_list() == [100_000_000]


def test_stock_takes_of_two_stores_and_of_two_times_in_force_do_not_mix() -> None:
    at = [m.T0 + i * 30 * D for i in range(4)]
    rows = [STOCK | {"valid_from": at[0], "valid_to": at[1] + 1}, STOCK | {"valid_from": at[2]}]
    reads = m.readings(1, [(ts, (9 - i) * 10**9) for i, ts in enumerate(at)])
    other = m.readings(2, [(at[0], 7 * 10**9), (at[3], 1 * 10**9)])
    found = segments(
        stock_findings, pl.concat([reads, other]), *rows, STOCK | {"point": 2, "valid_from": at[0]}
    )
    assert found.select("point", "start", "amount").rows() == [
        (1, at[0], 1_000_000), (1, at[2], 1_000_000), (2, at[0], 6_000_000)
    ]  # fmt: skip
