"""Figures worked by hand (pencil or a pocket calculator), not by our own code.

Coefficients: GB/T 2589, annex A. The annex pages were not seen; the values are those of public copies and
transcriptions (electricity 0.1229 kgce/kWh, raw coal 0.7143 kgce/kg in the 2008 and the 2020 edition).
Rounding: half to even, once per point × day, to whole grams.
"""

from __future__ import annotations

import csv
import datetime as dt
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

import polars as pl
import pytest

from analytics.assessment import Results, assess
from analytics.factor_library import load_factors
from nengshao.domain.factors import Basis
from nengshao.domain.time import day_number, day_start
from nengshao.domain.units import Carrier
from tests.support import metering as m

D = 86_400
STEEL_YEAR = Path(__file__).parents[2] / "simulators" / "data" / "steel_industry_2018.csv"


def run(
    frame: pl.DataFrame, spec: dict[str, object], first: dt.date, end: dt.date, **more: pl.DataFrame
) -> Results:
    world = m.registry(
        m.points(spec),
        meter_changes=more.get("changes", m.changes()),
        enterprises=m.enterprises(active_from=0),
    )
    return assess(
        frame.lazy(), world, load_factors(),
        window=(day_number(first), day_number(end)), as_of=day_start(day_number(end)) + 99 * D,
    ).collect()  # fmt: skip


def test_a_thousand_tonnes_of_coal_in_a_leap_february_are_714_3_tce() -> None:
    # 1 000 t × 0.7143 = 714.3 tce. By day: 1 000 t / 29 = 34 482 758.62… g; the running total is rounded, so
    # a day has 34 482 758 or 34 482 759 g; × 0.7143 = 24 631 034.04 or 24 631 034.75 g → …034 or …035 g.
    # 29 × 34 482 758 = 999 999 982, so 18 days have the gram more: 18 × 24 631 035 + 11 × 24 631 034
    # = 443 358 630 + 270 941 374 = 714 300 004 g.
    spec = m.point(
        1, kind="amount", stat_type=2, carrier="raw_coal", cadence_s=None, valid_from=0, capacity=None
    )  # fmt: skip
    february = dt.date(2024, 2, 1)
    start = day_start(day_number(february))
    days = run(m.readings(1, [(start, 10**12)]), spec, february, dt.date(2024, 3, 1)).point_days
    assert days.height == 29
    assert days["amount"].sum() == 10**9  # g: 1 000 t, exactly
    assert sorted(days["amount"].unique()) == [34_482_758, 34_482_759]
    assert days["calorific_g"].value_counts().sort("calorific_g").rows() == [
        (24_631_034, 11),
        (24_631_035, 18),
    ]
    assert days["calorific_g"].sum() == 714_300_004
    assert days["estimated_s"].to_list() == [D] * 29


def test_a_day_of_electricity() -> None:
    # 2 629.20 kWh × 0.1229 = 323.12868 kgce → 323 129 g
    spec = m.point(1, kind="amount", stat_type=1, valid_from=0)
    first = dt.date(2018, 6, 1)
    frame = m.readings(1, [(day_start(day_number(first)), 2_629_200_000)])
    days = run(frame, spec, first, dt.date(2018, 6, 2)).point_days.row(0, named=True)
    assert days["calorific_g"] == 323_129
    assert days["calorific_factor"] == "gbt2589-2008/electricity/calorific"
    assert days["equivalent_g"] is None  # no official equivalent value before 2021 is known to us


def test_a_rollover_of_a_six_digit_register() -> None:
    # 999 998.5 → 000 001.25 of 1 000 000: 1.5 + 1.25 = 2.75 kWh; × 0.1229 = 337.975 g → 338 g
    spec = m.point(1, register_modulus=10**12)
    frame = m.readings(1, m.kwh(999_998.5, 1.25))
    day = run(frame, spec, dt.date(2025, 1, 1), dt.date(2025, 1, 2)).point_days.row(0, named=True)
    assert (day["amount"], day["calorific_g"]) == (2_750, 338)


def test_a_meter_replacement() -> None:
    # old: 5 000.0 → closing 5 003.2; new: opening 12.0 → 14.5; 3.2 + 2.5 = 5.7 kWh; × 0.1229 = 700.53 → 701 g
    frame = m.readings(1, m.kwh(5000.0, 14.5))
    change = m.changes((1, m.T0 + 400, 5_003_200_000, 12_000_000))
    day = run(frame, m.point(1), dt.date(2025, 1, 1), dt.date(2025, 1, 2), changes=change).point_days.row(
        0, named=True
    )
    assert (day["amount"], day["calorific_g"]) == (5_700, 701)


@pytest.mark.parametrize(
    ("carrier", "basis", "day", "grams_per_unit"),
    [
        (Carrier.ELECTRICITY, Basis.CALORIFIC, dt.date(2018, 1, 1), "122.9"),
        (Carrier.ELECTRICITY, Basis.CALORIFIC, dt.date(2025, 1, 1), "122.9"),
        (Carrier.RAW_COAL, Basis.CALORIFIC, dt.date(2018, 1, 1), "714.3"),
        (Carrier.COKE, Basis.CALORIFIC, dt.date(2025, 1, 1), "971.4"),
        (Carrier.DIESEL, Basis.CALORIFIC, dt.date(2025, 1, 1), "1457.1"),
        (Carrier.NATURAL_GAS, Basis.CALORIFIC, dt.date(2025, 1, 1), "1330"),
        (Carrier.HEAT, Basis.CALORIFIC, dt.date(2025, 1, 1), "34.1"),
        (Carrier.FRESH_WATER, Basis.EQUIVALENT, dt.date(2021, 3, 31), "0.0857"),
        (Carrier.FRESH_WATER, Basis.EQUIVALENT, dt.date(2021, 4, 1), "0.2571"),
    ],
)
def test_the_library_says_what_the_copies_of_the_tables_say(
    carrier: Carrier, basis: Basis, day: dt.date, grams_per_unit: str
) -> None:
    factor = load_factors().at(carrier, basis, day)
    exact = Decimal(factor.per_unit.numerator) / Decimal(factor.per_unit.denominator)
    assert exact * 1000 == Decimal(grams_per_unit)
    assert factor.source
    assert factor.edition == ("GB/T 2589-2008" if day < dt.date(2021, 4, 1) else "GB/T 2589-2020")


def test_the_real_plants_year_is_959_636_71_kwh_and_117_939_tce() -> None:
    # 959 636.71 kWh × 0.1229 = 117 939.351… kgce; each day is rounded to a gram, so the sum may be off by
    # at most half a gram a day. The day's sums are made with Decimal here, not with our arithmetic.
    with STEEL_YEAR.open(encoding="utf-8-sig", newline="") as file:
        rows = [(r["date"], Decimal(r["Usage_kWh"])) for r in csv.DictReader(file)]
    by_day: dict[dt.date, Decimal] = {}
    pairs = []
    for label, kwh in rows:
        end = dt.datetime.strptime(label, "%d/%m/%Y %H:%M")  # noqa: DTZ007 - a label, taken as UTC+8
        minutes = end.hour * 60 + end.minute or 24 * 60  # the quarter that ends at midnight is the day's last
        by_day[end.date()] = by_day.get(end.date(), Decimal(0)) + kwh
        pairs.append((day_start(day_number(end.date())) + minutes * 60 - 900, int(kwh * 1_000_000)))
    spec = m.point(1, kind="amount", valid_from=0)
    results = run(m.readings(1, pairs), spec, dt.date(2018, 1, 1), dt.date(2019, 1, 1))
    expected = [
        int((by_day[day] * Decimal("122.9")).quantize(Decimal(1), ROUND_HALF_EVEN)) for day in sorted(by_day)
    ]
    assert results.point_days["calorific_g"].to_list() == expected
    assert results.point_days["amount"].sum() == 959_636_710
    assert round(sum(expected) / 10**6, 3) == 117.939
    assert results.point_days["measured_s"].to_list() == [D] * 365
