"""The worked example of docs/figures.md, through the calculation itself; every number is made by hand.

A cement works in 湖南 (factors of 430000), on duty since 1 April 2023. Its month, on 30 days:

    purchased coal   4 000 t, one figure for the month; measured heating value 21 980.25 kJ/kg
    stock of coal    1 000 t on 1 April, 1 200 t on 1 May: − 200 t
    electricity      167 000 kWh a day; the 17th is missing, rated capacity 10 000 kWh/h
    passed on        300 000 kWh to a neighbour, one figure for the month
    fresh water      30 000 t
    waste heat power 2 100 000 kWh, recovered for own use
"""

from __future__ import annotations

import datetime as dt
from functools import cache
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from analytics.assessment import Results, assess
from analytics.law import Law, load_law
from analytics.rules import judgements_of
from analytics.standing import Figures, Standing, asked_years, standing_of
from nengshao.domain.factors import Confidence
from nengshao.domain.rules import Verdict
from nengshao.domain.time import DAY_S, day_number, day_start
from nengshao.frames import HEATING_VALUES, PRODUCTS, STATISTICS
from nengshao.registry import Registry
from tests.support import metering as m

PAGE: Final = (Path(__file__).parents[2] / "docs" / "figures.md").read_text(encoding="utf-8")
FIRST: Final = day_number(dt.date(2023, 4, 1))
END: Final = FIRST + 30
START: Final = day_start(FIRST)
NEVER: Final = day_number(dt.date(2100, 1, 1))


def point(number: int, **changes: Any) -> dict[str, Any]:
    """A point with one figure a month, entered by a person."""
    monthly = {"kind": "amount", "stat_type": 2, "grace_s": 3 * DAY_S, "capacity": None, "valid_from": START}
    return m.point(number, **(monthly | changes))


POINTS: Final = [
    point(1, carrier="bituminous_coal", unit="t", expected_daily=120_000_000),
    point(2, carrier="bituminous_coal", unit="t", kind="stock", expected_daily=0),
    point(3, stat_type=1, capacity=10_000_000, expected_daily=160_000_000),
    point(4, role="output", expected_daily=10_000_000),
    point(5, carrier="fresh_water", unit="t", expected_daily=1_000_000_000),
    point(6, role="recovered", expected_daily=60_000_000),
]


def monthly(number: int, amount: int) -> pl.DataFrame:
    """One figure for April, in canonical units."""
    return m.readings(number, [(START, amount * 10**6)])


def readings() -> pl.DataFrame:
    stock = m.readings(2, [(START, 1_000_000 * 10**6), (day_start(END), 1_200_000 * 10**6)])
    power = [(day_start(FIRST + n), 167_000 * 10**6) for n in range(30) if n != 16]
    return pl.concat(
        [
            monthly(1, 4_000_000),
            stock,
            m.readings(3, power),
            monthly(4, 300_000),
            monthly(5, 30_000_000),
            monthly(6, 2_100_000),
        ]
    ).sort("point", "ts")


def stated(indicator: str, item: str, value: int, unit: str, end: int = END) -> dict[str, Any]:
    return {
        "subject": m.ENTERPRISE, "indicator": indicator, "item": item, "first_day": FIRST, "end_day": end,
        "version": 1, "value": value * 1000, "unit": unit, "state": "approved", "source": "April report",
        "submitted_by": "works", "decided_by": "county", "decided_at": day_start(END), "note": "",
    }  # fmt: skip


def registry() -> Registry:
    heat = (m.ENTERPRISE, "bituminous_coal", 21_980_250, "test report", "official", START, None)
    cement = (m.ENTERPRISE, "p", "水泥", "t", "cement", START, None)
    return m.registry(
        m.points(*POINTS),
        enterprises=m.enterprises(active_from=START),
        heating_values=pl.DataFrame([heat], schema=dict(HEATING_VALUES.schema), orient="row"),
        products=pl.DataFrame([cement], schema=dict(PRODUCTS.schema), orient="row"),
        quotas=m.quota(27_500, year=2023),
    )


@cache
def law() -> Law:
    return load_law()


@cache
def month() -> Results:
    as_of = day_start(END + 4)
    return assess(readings().lazy(), registry(), law().factors, window=(FIRST, END), as_of=as_of).collect()


@cache
def standing() -> Standing:
    results = month()
    statistics = pl.DataFrame(
        [
            stated("output", "p", 40_000, "t"),
            stated("norm_parameter", "p/clinker_ratio", 72, "%"),
            stated("norm_parameter", "p/altitude", 60, "m", NEVER),
        ],
        schema=dict(STATISTICS.schema),
    )
    figures = Figures(
        results.enterprise_days, results.scope_days, results.blocks, results.point_days, statistics, FIRST,
        asked_years(registry()),
    )  # fmt: skip
    return standing_of(figures, registry(), law(), today=END)


def total(column: str) -> int:
    return int(month().enterprise_days[column].sum())


def shown(*numbers: str) -> None:
    """The page says these numbers."""
    assert [number for number in numbers if number not in PAGE] == []


def test_each_point_s_month_in_standard_coal() -> None:
    # 21 980.25 / 29 307 = 0.75 kgce/kg. Coal a day: 4 000 t / 30 = 133 333 333 or …334 g, × 0.75 =
    # 99 999 999.75 or 100 000 000.5 g, both rounded (half to even) to 100 000 000 g; × 30 = 3 000 t.
    # Stock: − 200 t / 30, × 0.75 = − 5 000 000 g a day likewise; × 30 = − 150 t.
    # Electricity: 167 000 kWh × 122.9 g = 20 524 300 g; × 29 = 595 204 700 g. Passed on: 10 000 × 122.9 × 30.
    # Recovered: 70 000 × 122.9 × 30, counted nowhere.
    days = month().point_days.group_by("point").agg(pl.col("calorific_g").sum()).sort("point")
    assert days["calorific_g"].to_list() == [
        3_000_000_000, -150_000_000, 595_204_700, 36_870_000, 0, 258_090_000
    ]  # fmt: skip
    assert month().point_days.sort("point", "day")["sign"].unique(maintain_order=True).to_list() == [1, -1, 0]
    shown("3 000.0000", "−150.0000", "595.2047", "−36.8700")


def test_the_total_on_each_basis() -> None:
    # calorific: 3 000 − 150 + 595.2047 − 36.87 = 3 408.3347 tce; the water counts nothing.
    # equivalent: coal 2 850; power (4 843 000 − 300 000) × 0.3 = 1 362.9; water 30 000 t × 0.2571 kg = 7.713:
    # 4 220.613 tce.
    # carbon: 21.98025 × 0.02618 × 0.93 × 44/12 = 1.96226044245 t per t of coal. 4 000 t / 30: on 20 days
    # 133 333 333 g, × it 261 634 725 g, on 10 days …334 g, 261 634 727 g: 7 849 041 770 g. − 200 t / 30: on
    # 20 days 6 666 667 g, 13 081 737 g, on 10 days …666 g, 13 081 735 g: − 392 452 090 g. Power
    # 167 000 × 497.6 × 29 − 10 000 × 497.6 × 30 = 2 260 596 800 g. Together 9 717 186 480 g.
    assert total("calorific_g") == 3_408_334_700
    assert total("equivalent_g") == 4_220_613_000
    assert total("carbon_g") == 9_717_186_480
    shown("3 408.3347", "4 220.6130", "9 717.1865", "0.75", "0.4976", "1.96226")


def test_the_missing_day_is_in_the_bounds_and_in_the_coverage_only() -> None:
    # 10 000 kWh/h × 24 h × 122.9 g = 29 496 000 g above, nothing below.
    # Weights, g a day: coal 120 t × 0.75 = 90 000 000, stock 1, power 160 000 × 122.9 = 19 664 000, passed on
    # 1 229 000, water 1 000 t × 0.2571 = 257 100: 111 150 101. Missing: 19 664 000 / 30 of it = 0.589712 %.
    days = month().enterprise_days
    assert (days["calorific_gap_low"].sum(), days["calorific_gap_high"].sum()) == (0, 29_496_000)
    weights = {name: int(days[f"{name}_w"].sum()) for name in ("measured", "estimated", "missing", "pending")}
    assert weights["missing"] == 19_664_000 * DAY_S
    assert sum(weights.values()) == 111_150_101 * DAY_S * 30
    assert weights["pending"] == 0
    assert days["published"].all()
    shown("29.4960", "3 437.8307", "99.41 %")


def test_what_is_confirmed_of_it() -> None:
    # The heat of standard coal (29 307 kJ/kg) is a copy, so nothing made of the measured heating value is
    # confirmed; the equivalent value of electricity is assumed.
    assert month().enterprise_days["calorific_confirmed"].unique().to_list() == [False]
    coal = law().factors.standard_coal
    assert coal is not None
    assert coal.confidence is Confidence.COPIED


def test_progress() -> None:
    # 275 days are left of 2023 from 1 April on: 27 500 × 30 / 275 = 3 000 tce.
    # 3 408.3347 / 3 000 = 1.13611…; 3 437.8307 / 3 000 = 1.14594…
    row = standing().progress.row(0, named=True)
    assert row["as_of_day"] == END - 1
    assert (row["used_g"], row["due_g"]) == (3_408_334_700, 3_000_000_000)
    assert row["pace"] == row["pace_low"] == pytest.approx(1.136111567)
    assert row["pace_high"] == pytest.approx(1.145943567)
    assert row["coverage"] == pytest.approx(1 - 19_664_000 / 30 / 111_150_101)
    assert row["is_confirmed"] is False
    shown("27 500", "3 000", "1.1361", "1.1459")


def test_the_month_breaches_the_rule_on_pace_missing_day_or_not() -> None:
    # Every value within [1.1361, 1.1459] is above 1.05, and 99.41 % are covered.
    judged = judgements_of(standing().measures, law().rules.values(), region_of={m.ENTERPRISE: "430600"})
    [found] = [each for each in judged if each.rule == "total-energy-ahead-of-pace"]
    assert (found.verdict, found.is_confirmed) == (Verdict.BREACH, False)
    shown("total-energy-ahead-of-pace")


def test_the_intensity_against_the_norm() -> None:
    # 3 408.3347 / 40 000 t = 85.2083675 kgce/t; with the missing day at most 85.9457675.
    # Clinker 72 %: 80 − 3.30, 87 − 3.45, 94 − 3.60; both ends of the bounds lie between 83.55 and 90.4: 3级.
    # 85.2083675 − 90.4 = − 5.1916325; × 40 000 t = − 207.6653 tce.
    found = standing().intensity.filter(
        pl.col("period") == "2023-04", pl.col("basis") == "calorific", pl.col("scope") == "total"
    )
    row = found.row(0, named=True)
    assert row["intensity"] == row["intensity_low"] == pytest.approx(85.2083675)
    assert row["intensity_high"] == pytest.approx(85.9457675)
    assert (row["limit_1"], row["limit_2"], row["limit_3"]) == (76.7, 83.55, 90.4)
    assert (row["grade"], row["is_whole"], row["norm_confirmed"]) == ("3", True, True)
    assert (row["gap"], row["gap_g"]) == (pytest.approx(-5.1916325), -207_665_300)
    shown("85.2084", "85.9458", "83.55", "90.4", "−5.1916", "−207.6653")
