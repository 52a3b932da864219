"""Norms and their corrections worked by hand, not by our own code.

The standards' texts were not seen: figures and rules of correction are those of a public program that
transcribes them; each case names the table it is from.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from analytics.norm_limits import norm_limits
from nengshao.domain.norms import NormIndicator
from tests.support import intensities as w
from tests.support import metering as m

YEAR = ("2026-08-01", "2026-09-01")


def limits(
    norm: str,
    stats: list[dict[str, Any]],
    *,
    indicator: str = "energy",
    span: tuple[str, str] = YEAR,
    unit: str | None = "t",
) -> dict[str, Any]:
    """`norm_limits` of one product; limits in kg (kWh) per unit."""
    rows = pl.DataFrame(
        [(m.ENTERPRISE, "p", norm, indicator, w.at(span[0]), w.at(span[1]), unit)],
        schema={
            "enterprise": pl.String, "product": pl.String, "norm": pl.String, "indicator": pl.String,
            "first_day": pl.Int32, "end_day": pl.Int32, "unit": pl.String,
        },
        orient="row",
    )  # fmt: skip
    row = norm_limits(rows, w.NORMS, w.statistics(stats)).row(0, named=True)
    figures = ("limit_1", "limit_2", "limit_3", "benchmark", "baseline")
    return row | {name: None if row[name] is None else round(row[name] / 1e6, 6) for name in figures}


def parameter(
    name: str, value: float, unit: str = "%", span: tuple[str, str] = YEAR, **changes: Any
) -> dict[str, Any]:
    return w.stated("norm_parameter", f"p/{name}", *span, value, unit=unit, **changes)


def three(row: dict[str, Any]) -> tuple[float | None, ...]:
    return (row["limit_1"], row["limit_2"], row["limit_3"])


@pytest.mark.parametrize(
    ("norm", "indicator", "day", "expected"),
    [
        ("cement", "energy", "2022-11-01", (80, 87, 94)),  # GB 16780-2021, table 1
        ("clinker", "energy", "2022-11-01", (100, 107, 117)),  # table 2
        ("clinker", "electricity", "2022-11-01", (48, 57, 61)),
        ("cement_preparation", "electricity", "2022-11-01", (26, 29, 34)),  # table 3
        ("flat_glass_le500", "energy", "2020-05-01", (None, None, 14)),  # GB 21340-2019, table 1
        ("converter", "energy", "2026-07-01", (-30, -28, -12)),  # GB 21256-2025, table 4
        ("eaf_lt50", "energy", "2026-07-01", (61, None, 86)),  # table 5
        ("aluminium_liquid_ac", "electricity", "2024-01-01", (12_950, 13_000, 13_350)),  # GB 21346-2022
        (
            "power_sub_300",
            "energy",
            "2025-04-01",
            (0.309, 0.285, 0.321),
        ),  # GB 21258-2024, as printed
        ("data_centre", "electricity", "2022-11-01", (1.2, 1.3, 1.5)),  # GB 40879-2021
    ],
)
def test_limits_as_transcribed_from_the_day_they_came_into_force(
    norm: str, indicator: str, day: str, expected: tuple[float | None, ...]
) -> None:
    date = dt.date.fromisoformat(day)
    row = w.NORMS.in_force(norm, NormIndicator(indicator), date)
    assert row is not None
    assert tuple(None if each is None else float(each) for each in row.limits) == expected
    assert w.NORMS.in_force(norm, NormIndicator(indicator), date - dt.timedelta(days=1)) is None


@pytest.mark.parametrize(
    ("grade", "expected"),
    [
        (58, (378.44, 387.44, 432.44)),  # 3 + 4 × 3.61 = 17.44
        (55, (382.05, 391.05, 436.05)),  # 7 points below 62 count as 5: 3 + 18.05 = 21.05
        (65, (364, 373, 418)),  # nothing is taken off above 62: 3
    ],
)
def test_a_blast_furnace_by_ore_and_grade(grade: float, expected: tuple[float, ...]) -> None:
    # GB 21256-2025, table 3: 361 / 370 / 415; 10 % of rare-earth ore × 0.3 = 3; 3.61 per point below 62 %
    stats = [
        parameter("rare_earth_ore_ratio", 10), parameter("vanadium_titanium_ore_ratio", 0),
        parameter("laterite_nickel_ore_ratio", 0), parameter("feed_grade", grade),
    ]  # fmt: skip
    assert three(limits("blast_furnace", stats)) == expected


def test_an_arc_furnace_of_stainless_steel_with_hot_metal() -> None:
    # GB 21256-2025, table 5: first × 1.10, then −0.8 per point of hot metal: 67.1 − 24; none; 94.6 − 24
    stats = [
        parameter("eaf_steel_factor", 1.1, "ratio"), parameter("hot_metal_ratio", 30),
        parameter("eaf_steel_addition", 0, "kgce/t"),
    ]  # fmt: skip
    row = limits("eaf_lt50", stats)
    assert three(row) == (43.1, None, 70.6)
    assert (row["open_2"], row["norm_problem"]) == (False, "")  # the standard has no level 2
    assert (row["benchmark"], row["baseline"]) == (67, 86)  # as printed, uncorrected


def test_coke_by_fuel_coal_age_and_quenching() -> None:
    # GB 21342-2025, table 1: 110 / 110 / 135; half the time mixed gas 4.00, volatile matter 24 % 4.25,
    # moisture 11 % 3.67: 11.92 for all; age 2.50 for 1 and 3; wet quenching of all of it 46.46 for 3:
    # 110 + 11.92 + 2.5 = 124.42; 121.92; 135 + 11.92 + 2.5 + 46.46 = 195.88
    stats = [
        parameter("mixed_gas_ratio", 0.5, "ratio"), parameter("coking_volatile_addition", 4.25, "kgce/t"),
        parameter("coal_moisture", 11), parameter("oven_age_addition", 2.5, "kgce/t"),
        parameter("wet_quenching_ratio", 1, "ratio"),
    ]  # fmt: skip
    assert three(limits("coke_top_charged", stats)) == (124.42, 121.92, 195.88)


def test_level_2_of_coke_stands_without_the_age_of_the_ovens() -> None:
    stats = [
        parameter("mixed_gas_ratio", 0, "ratio"), parameter("coking_volatile_addition", 0, "kgce/t"),
        parameter("coal_moisture", 10), parameter("wet_quenching_ratio", 0, "ratio"),
    ]  # fmt: skip
    row = limits("coke_top_charged", stats)
    assert three(row) == (None, 110, None)
    assert (row["open_1"], row["open_2"], row["open_3"]) == (True, False, True)
    assert row["norm_problem"] == "missing:oven_age_addition"


def test_the_electricity_of_ferrosilicon_by_ore() -> None:
    # GB 21341-2022, table 1: 40 kWh/t less per point above 98 %, more below: 97 %: + 40
    row = limits("ferrosilicon", [parameter("ore_grade", 97)], indicator="electricity")
    assert three(row) == (8090, 8340, 8440)


def test_flat_glass_is_multiplied_by_all_its_factors() -> None:
    # GB 21340-2019, table 2: 1.1 × 1.05 × 1 × 1 = 1.155; 9.5 / 11.5 / 13.5 become 10.9725 / 13.2825 / 15.5925
    stats = [
        parameter("capacity_use_factor", 1.1, "ratio"), parameter("glass_thickness_factor", 1.05, "ratio"),
        parameter("glass_iron_factor", 1, "ratio"), parameter("line_adjustment_factor", 1, "ratio"),
    ]  # fmt: skip
    assert three(limits("flat_glass_500_800", stats, unit="重箱")) == (10.9725, 13.2825, 15.5925)
    row = limits("flat_glass_le500", stats, unit="重箱")
    assert (three(row), row["norm_problem"]) == ((None, None, 16.17), "")


def test_a_power_unit_with_a_factor_and_air_cooling() -> None:
    # GB 21258-2024, 5.3 and table 2: 268 × 1.02 + 5 = 278.36; 276 × 1.02 = 281.52; 283 × 1.02 + 5 = 293.66
    stats = [parameter("power_factor", 1.02, "ratio"), parameter("power_addition", 5, "gce/kWh")]
    assert three(limits("power_usc_1000", stats, unit="kWh")) == (0.27836, 0.28152, 0.29366)


def test_sun_dried_salt() -> None:
    # GB 29140-2024, table 1: 145 / 160 / 200 × 1.18 = 171.1 / 188.8 / 236
    row = limits("soda_ash_combined_light", [parameter("salt_factor", 1.18, "ratio")])
    assert three(row) == (171.1, 188.8, 236)


TWO_MONTHS = ("2026-08-01", "2026-10-01")
LOW = parameter("altitude", 60, "m", ("2020-01-01", "2100-01-01"))


def by_month(*values: float | None) -> list[dict[str, Any]]:
    spans = (("2026-08-01", "2026-09-01"), ("2026-09-01", "2026-10-01"))
    pairs = zip(spans, values, strict=True)
    return [parameter("clinker_ratio", value, span=span) for span, value in pairs if value is not None]


def output(*values: float) -> list[dict[str, Any]]:
    spans = (("2026-08-01", "2026-09-01"), ("2026-09-01", "2026-10-01"))
    return [w.stated("output", "p", *span, value) for span, value in zip(spans, values, strict=True)]


def test_the_mean_of_two_months_is_weighed_by_their_output() -> None:
    # (70 × 10 000 + 76 × 30 000) / 40 000 = 74.5 %: 0.5 points: 80 − 0.55; 87 − 0.575; 94 − 0.6
    stats = [LOW, *by_month(70, 76), *output(10_000, 30_000)]
    row = limits("cement", stats, span=TWO_MONTHS)
    assert (three(row), row["norm_confirmed"]) == ((79.45, 86.425, 93.4), True)


def test_a_mean_rests_on_the_outputs_that_weigh_it_and_one_statement_does_not() -> None:
    unseen = [row | {"state": "submitted"} for row in output(10_000, 30_000)[1:]]
    outputs = [*output(10_000, 30_000)[:1], *unseen]
    row = limits("cement", [LOW, *by_month(70, 76), *outputs], span=TWO_MONTHS)
    assert (three(row), row["norm_confirmed"]) == ((79.45, 86.425, 93.4), False)
    whole = [LOW, parameter("clinker_ratio", 75, span=TWO_MONTHS), *outputs]
    assert limits("cement", whole, span=TWO_MONTHS)["norm_confirmed"] is True


@pytest.mark.parametrize(
    "stats",
    [
        [*by_month(70, None), *output(1, 1)],  # a month is not stated
        [*by_month(70, 76), *output(1, 1)[:1]],  # the output of a month is not known
        [*by_month(70, 76), *output(0, 0)],  # nothing to weigh by
        [parameter("clinker_ratio", 70, "ratio", TWO_MONTHS)],  # in another unit
        [parameter("clinker_ratio", 70, span=("2026-01-01", "2027-01-01"))],  # the year's mean is not theirs
        [parameter("clinker_ratio", 70, span=TWO_MONTHS, state="rejected")],
        [],
    ],
)
def test_a_mean_that_cannot_be_worked_out_is_missing(stats: list[dict[str, Any]]) -> None:
    row = limits("cement", [LOW, *stats], span=TWO_MONTHS)
    assert (three(row), row["norm_problem"]) == ((None, None, None), "missing:clinker_ratio")


def test_one_statement_of_the_whole_period_needs_no_weights() -> None:
    row = limits("cement", [LOW, parameter("clinker_ratio", 75, span=TWO_MONTHS)], span=TWO_MONTHS)
    assert three(row) == (80, 87, 94)


@pytest.mark.parametrize(
    ("stats", "limit_3", "problem"),
    [
        ([], None, "missing:altitude"),
        ([parameter("altitude", 1500, "m")], 117.0, ""),  # not above: the pressure does not matter
        ([parameter("altitude", 1500.001, "m")], None, "missing:air_pressure"),
        ([parameter("air_pressure", 80_000, "Pa")], None, "missing:altitude"),
        (
            # 80 000 / 101 325 × 0.211 = 0.166592648…; 1.179 − it = 1.012407352…; × 117 = 118.451660
            [parameter("altitude", 1600, "m"), parameter("air_pressure", 80_000, "Pa")], 118.451660, "",
        ),
    ],
)  # fmt: skip
def test_the_altitude_touches_level_3_alone(
    stats: list[dict[str, Any]], limit_3: float | None, problem: str
) -> None:
    # GB 16780-2021, 5.3
    row = limits("clinker", stats)
    assert three(row) == (100, 107, limit_3)
    assert (row["open_3"], row["norm_problem"]) == (limit_3 is None, problem)


def test_of_two_constants_the_one_of_the_shorter_period_holds() -> None:
    stats = [LOW, parameter("altitude", 1600, "m", ("2026-01-01", "2027-01-01"))]
    assert limits("clinker", stats)["norm_problem"] == "missing:air_pressure"


def test_a_constant_holds_only_where_it_was_stated_of_every_day() -> None:
    row = limits("clinker", [parameter("altitude", 60, "m", ("2026-08-02", "2027-01-01"))])
    assert row["norm_problem"] == "missing:altitude"


def test_an_unconfirmed_parameter_makes_the_limits_unconfirmed() -> None:
    stats = [LOW, parameter("clinker_ratio", 75, state="submitted")]
    assert limits("cement", stats)["norm_confirmed"] is False


@pytest.mark.parametrize(
    ("norm", "span", "unit", "problem"),
    [
        ("no_such", YEAR, "t", "unknown_norm"),
        ("converter", ("2026-06-01", "2026-07-01"), "t", "not_in_force"),
        ("converter", ("2026-06-30", "2026-08-01"), "t", "edition_begins:2026-07-01"),
        ("converter", ("2026-06-30", "2026-07-02"), "t", "edition_begins:2026-07-01"),
        ("coal_underground", YEAR, "t", "unsupported"),  # annex B converts the actual figure
        ("sintering", YEAR, "1e4t", "unit:1e4t"),
    ],
)
def test_what_is_in_the_way_is_said(norm: str, span: tuple[str, str], unit: str, problem: str) -> None:
    row = limits(norm, [], span=span, unit=unit)
    assert (three(row), row["norm_problem"]) == ((None, None, None), problem)
    assert (row["open_1"], row["open_2"], row["open_3"]) == (True, True, True)
    assert (row["benchmark"], row["baseline"]) == (None, None)


def test_a_norm_from_memory_is_not_confirmed() -> None:
    row = limits("data_centre", [], indicator="electricity", unit="kWh")
    assert (three(row), row["norm_confirmed"]) == ((1.2, 1.3, 1.5), False)
    row = limits("caustic_soda_30", [])
    assert (row["norm_confirmed"], row["baseline"], row["baseline_confirmed"]) == (True, 350, False)
