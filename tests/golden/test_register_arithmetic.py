"""What meters, months and stores come to, worked by hand (pencil or a pocket calculator), not by our code.

Rules: a register's size, closing and opening reads, ratios and blocks are our own; that the change of a stock
is part of what was consumed follows GB/T 2589 (clause not seen). Coefficients: GB/T 2589, annex A (not seen;
public copies and transcriptions): electricity 0.1229 kgce/kWh, raw coal 0.7143 kgce/kg.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl

from analytics.assessment import Results, assess
from analytics.factor_library import load_factors
from analytics.usage import used_to_date
from nengshao.domain.factors import Basis
from nengshao.domain.time import day_number, day_start
from nengshao.domain.units import Scope
from tests.support import metering as m

D, H, Q = 86_400, 3600, 900
KWH = 1_000_000  # 10⁻⁶ kWh
JAN_30, FEB_1 = dt.date(2025, 1, 30), dt.date(2025, 2, 1)


def at(date: dt.date, seconds: int = 0) -> int:
    return day_start(day_number(date)) + seconds


def run(
    frame: pl.DataFrame, points: pl.DataFrame, first: dt.date, days: int, changes: pl.DataFrame | None = None
) -> Results:
    changed = {} if changes is None else {"meter_changes": changes}
    world = m.registry(points, enterprises=m.enterprises(active_from=0), **changed)
    window = (day_number(first), day_number(first) + days)
    return assess(
        frame.lazy(), world, load_factors(), window=window, as_of=day_start(window[1]) + 99 * D
    ).collect()


def electricity(**more: Any) -> dict[str, Any]:
    return m.point(1, valid_from=at(JAN_30), **more)


def events(results: Results) -> list[tuple[int, str]]:
    return results.events.select("ts", "event").rows()


def test_a_dial_of_six_digits_rolls_over() -> None:
    # Dial 999 997 -> 000 004 -> 000 009 at a ratio of 40: 7 and 5 steps, 12 × 40 = 480 kWh. The register's
    # size is 1 000 000 × 40 kWh; 1 200 kW let 300 kWh through in a quarter of an hour, the first step is 280.
    dial = [999_997, 4, 9]
    reads = m.readings(1, [(at(JAN_30, i * Q), d * 40 * KWH) for i, d in enumerate(dial)])
    spec = electricity(ratio_num=40, register_modulus=40_000_000 * KWH, capacity=1_200_000)
    results = run(reads, m.points(spec), JAN_30, 1)
    row = results.point_days.row(0, named=True)
    assert (row["amount"], row["measured_s"], row["calorific_g"]) == (480_000, 2 * Q, 58_992)  # 480 × 122.9 g
    assert events(results) == [(at(JAN_30, Q), "rollover")]


def test_the_same_fall_is_missing_where_the_capacity_does_not_let_it_through() -> None:
    # 900 kW let 225 kWh through in a quarter of an hour, 450 in two: neither 280 nor 480 can be a rollover,
    # and it is not zero either. The last step, 200 kWh, is as good as ever.
    reads = m.readings(1, [(at(JAN_30, i * Q), d * 40 * KWH) for i, d in enumerate([999_997, 4, 9])])
    spec = electricity(ratio_num=40, register_modulus=40_000_000 * KWH, capacity=900_000)
    results = run(reads, m.points(spec), JAN_30, 1)
    row = results.point_days.row(0, named=True)
    assert (row["amount"], row["measured_s"], row["missing_s"]) == (200_000, Q, D - Q)
    assert row["gap_high"] == 21_375_000  # 900 kW × 23.75 h
    assert events(results) == [(at(JAN_30, Q), "fall")]


def test_a_rise_is_bounded_by_the_capacity_where_the_dial_may_have_gone_round() -> None:
    # A dial of four digits, ratio 40: size 400 000 kWh. 06:00 dial 1 000, later dial 1 250: 250 × 40 = 10 000
    # kWh, or 410 000 if it went round. 41 000 kW let just so much through in 10 h: nothing of the day is
    # certain, 24 h × 41 000 kW = 984 000 kWh the most. A quarter of an hour less lets 399 750 through, so the
    # 10 000 are exact: a block, longer than 4 h; then 14.25 h × 41 000 kW = 584 250 kWh are open.
    spec = electricity(ratio_num=40, register_modulus=400_000 * KWH, capacity=41_000_000)
    for length, high, blocks, told in (
        (10 * H, 984_000_000, [], [(at(JAN_30, 16 * H), "uncertain_rise")]),
        (10 * H - Q, 584_250_000, [10_000_000], []),
    ):
        pairs = [(at(JAN_30, 6 * H), 1_000 * 40 * KWH), (at(JAN_30, 6 * H + length), 1_250 * 40 * KWH)]
        results = run(m.readings(1, pairs), m.points(spec), JAN_30, 1)
        row = results.point_days.row(0, named=True)
        assert (row["amount"], row["missing_s"], row["gap_low"], row["gap_high"]) == (None, D, 0, high)
        assert results.blocks["amount"].to_list() == blocks
        assert events(results) == told


def test_a_meter_is_replaced_between_two_reads() -> None:
    # 10:00 old meter 12 345.6; 10:10 it closes at 12 350.2 and the new one opens at 3.0; 10:15 new meter 5.5:
    # 4.6 + 2.5 = 7.1 kWh.
    reads = m.readings(1, [(at(JAN_30, 10 * H), 12_345_600_000), (at(JAN_30, 10 * H + Q), 5_500_000)])
    change = m.changes((1, at(JAN_30, 10 * H + 600), 12_350_200_000, 3_000_000))
    results = run(reads, m.points(electricity()), JAN_30, 1, change)
    row = results.point_days.row(0, named=True)
    assert (row["amount"], row["measured_s"]) == (7_100, Q)
    assert events(results) == [(at(JAN_30, 10 * H + 600), "replacement")]


CHANGED_AT = 12 * H
TWO_RATIOS = m.points(
    electricity(ratio_num=40) | {"valid_to": at(JAN_30, CHANGED_AT)},
    electricity(ratio_num=60) | {"valid_from": at(JAN_30, CHANGED_AT)},
)
# The dial counts on, 100 -> 104, a step a quarter of an hour; screening takes the ratio of the instant.
DIAL = m.readings(
    1,
    [
        (at(JAN_30, CHANGED_AT + (i - 2) * Q), (100 + i) * (40 if i < 2 else 60) * KWH)
        for i in range(5)
    ],
)  # fmt: skip


def test_current_transformers_are_changed_and_the_registry_knows_both_reads() -> None:
    # Noon: the dial stood at 102, 4 080 kWh by the old ratio, 6 120 by the new. 2 × 40 + 2 × 60 = 200 kWh.
    change = m.changes((1, at(JAN_30, CHANGED_AT), 4_080 * KWH, 6_120 * KWH))
    results = run(DIAL, TWO_RATIOS, JAN_30, 1, change)
    assert results.point_days.select("amount", "measured_s").row(0) == (200_000, 4 * Q)
    assert events(results) == [(at(JAN_30, CHANGED_AT), "replacement")]


def test_current_transformers_are_changed_and_nobody_read_the_meter() -> None:
    # 4 040 -> 6 120 is no energy: that quarter of an hour is missing. 40 before it, 2 × 60 after it.
    results = run(DIAL, TWO_RATIOS, JAN_30, 1)
    assert results.point_days.select("amount", "measured_s").row(0) == (160_000, 3 * Q)
    assert events(results) == [(at(JAN_30, CHANGED_AT), "ratio_change")]


def used(results: Results, first: dt.date, days: int) -> tuple[Any, ...]:
    first_day = day_number(first)
    found = used_to_date(
        results.enterprise_days.lazy(), results.scope_days.lazy(), results.blocks.lazy(),
        basis=Basis.CALORIFIC, scope=Scope.TOTAL, first_day=first_day, end_day=first_day + days,
    )  # fmt: skip
    return found.select("low_g", "used_g", "high_g").collect().row(0)


def test_a_block_across_a_months_end_counts_from_nothing_to_all_on_either_side() -> None:
    # 10 kWh a quarter of an hour from 30 January on; silent from 18:00 on the 31st to 06:00 on 1 February,
    # when it shows 600 kWh more: 12 hours are more than the 4 that are interpolated.
    # January: 96 + 72 quarters, 1 680 kWh = 206 472 g; 1 February: 72, 720 kWh = 88 488 g; block: 73 740 g.
    silent, back = 96 + 72, 96 + 96 + 24
    pairs = [(n, 10 * n) for n in range(silent + 1)]
    pairs += [(n, 10 * silent + 600 + 10 * (n - back)) for n in range(back, back + 73)]
    reads = m.readings(1, [(at(JAN_30, n * Q), kwh * KWH) for n, kwh in pairs])
    results = run(reads, m.points(electricity()), JAN_30, 3)
    assert results.blocks.select("start", "end", "amount", "calorific_g").rows() == [
        (at(JAN_30, silent * Q), at(JAN_30, back * Q), 600_000, 73_740)
    ]
    assert used(results, JAN_30, 2) == (206_472, 206_472, 280_212)
    assert used(results, FEB_1, 1) == (88_488, 88_488, 162_228)
    assert used(results, JAN_30, 3) == (368_700, 368_700, 368_700)  # wholly inside: exact


COAL = {"carrier": "raw_coal", "unit": "t", "cadence_s": None, "valid_from": 0, "capacity": 50_000_000}
T_IN_G, T_IN_MICRO = 1_000_000, 1_000_000_000


def test_a_months_coal_lies_evenly_over_the_29_days_of_february() -> None:
    # 2 900 t: 100 t, 71 430 kgce a day, each of them estimated; the month is what was told, 2 071.47 tce
    leap = dt.date(2024, 2, 1)
    spec = m.point(1, kind="amount", stat_type=2, **COAL)
    results = run(m.readings(1, [(at(leap), 2_900 * T_IN_MICRO)]), m.points(spec), leap, 30)
    days = results.point_days
    assert days["amount"].to_list() == [100 * T_IN_G] * 29 + [None]
    assert days["calorific_g"].to_list() == [71_430_000] * 29 + [None]
    assert days.select("measured_s", "estimated_s", "spread_s").head(29).unique().rows() == [(0, D, D)]
    assert days["calorific_g"].sum() == 2_071_470_000


def test_what_was_burnt_is_the_opening_stock_and_the_purchases_less_the_closing_stock() -> None:
    # 500 t on 1 February, 2 000 t bought, 380.5 t on 1 March: 2 119.5 t, 1 513.95885 tce.
    # A day: 119 500 kg / 29 and 2 000 000 kg / 29, each rounded to grams so that the month adds up.
    leap = dt.date(2024, 2, 1)
    bought = m.point(1, kind="amount", stat_type=2, **COAL)
    store = m.point(2, kind="stock", stat_type=2, **COAL)
    reads = [
        m.readings(1, [(at(leap), 2_000 * T_IN_MICRO)]),
        m.readings(2, [(at(leap), 500 * T_IN_MICRO), (at(dt.date(2024, 3, 1)), 380_500_000_000)]),
    ]
    results = run(pl.concat(reads), m.points(bought, store), leap, 29)
    burnt = results.point_days.group_by("point").agg(pl.col("amount").sum()).sort("point")
    assert burnt.rows() == [(1, 2_000 * T_IN_G), (2, 119_500_000)]
    total = int(results.enterprise_days["calorific_g"].sum())
    assert abs(total - 1_513_958_850) <= 29  # at most a gram per point × day, halves either way
    assert results.enterprise_days.select("missing_w", "pending_w").unique().rows() == [(0, 0)]


def test_a_store_that_grew_takes_from_what_was_bought() -> None:
    # 300 t -> 420 t while 1 000 t came in: 880 t were burnt; a missing stock-take could be off to either side
    march = dt.date(2025, 3, 1)
    bought = m.point(1, kind="amount", stat_type=2, **COAL)
    store = m.point(2, kind="stock", stat_type=2, **COAL)
    reads = [
        m.readings(1, [(at(march), 1_000 * T_IN_MICRO)]),
        m.readings(2, [(at(march), 300 * T_IN_MICRO), (at(dt.date(2025, 4, 1)), 420 * T_IN_MICRO)]),
    ]
    points = m.points(bought, store)
    results = run(pl.concat(reads), points, march, 31)
    assert results.point_days["amount"].sum() == 880 * T_IN_G
    open_month = run(reads[0], points, march, 31).point_days.filter(pl.col("point") == 2)
    # 50 t an hour: 1 200 t a day in or out of the store
    assert open_month.select("amount", "gap_low", "gap_high").unique().rows() == [
        (None, -1_200 * T_IN_G, 1_200 * T_IN_G)
    ]
