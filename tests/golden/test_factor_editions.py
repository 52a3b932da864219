"""Factors worked by hand (pencil or a pocket calculator), not by our own code.

No page of a standard was seen: wherever one is named, read "clause not seen". How well a value is known:
[A] official text or national press, [B] transcribed by a public program, [C] copied page, [M] memory.
- GB/T 2589, annexes A and B: [C], [B] or [M] row by row; 2020 edition in force from 2021-04-01 [A].
- 1 kgce = 29 307 kJ [C].
- Fuels: NCV × carbon content × oxidation × 44/12 with the defaults of the 指南 for 工业其他行业 [B].
- Grid: 电力平均二氧化碳排放因子 of 2021 to 2023, national [A], provinces [B]. Heat: 0.11 tCO2/GJ [B].
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import polars as pl
import pytest

from analytics.conversion import (
    FactorClass,
    FactorClasses,
    factor_classes,
    factor_rows,
    factor_spans,
    factors_per_day,
    to_coal_and_carbon,
)
from analytics.factor_library import load_factors
from nengshao.domain.errors import FactorMissing
from nengshao.domain.factors import Basis, Confidence
from nengshao.domain.time import accounting_day, date_of, day_number, instant_of
from nengshao.domain.units import Carrier, Unit, to_canonical
from nengshao.frames import HEATING_VALUES
from nengshao.registry import ENTERPRISES

LIBRARY: Final = load_factors()
PLANT: Final = "A PLANT"
YUEYANG_COUNTY: Final = "430621"  # 岳阳县, in 湖南 430000


def masses(
    carrier: Carrier, amount: int, unit: Unit, *days: dt.date, region: str = YUEYANG_COUNTY, heat: Any = ()
) -> list[dict[str, Any]]:
    """The whole way of one amount on each of these days: from the plant's registry to g by basis."""
    points = pl.DataFrame({"enterprise": [PLANT], "carrier": [carrier.value]})
    row = (PLANT, "", region, "", "", 0, None)
    enterprises = pl.DataFrame([row], schema=dict(ENTERPRISES.schema), orient="row")
    heating_values = pl.DataFrame(heat, schema=dict(HEATING_VALUES.schema), orient="row")
    classes = factor_classes(points, enterprises, heating_values, LIBRARY)
    numbers = [day_number(day) for day in days]
    factor_days = factors_per_day(LIBRARY, classes, first_day=min(numbers), end_day=max(numbers) + 1)
    frame = pl.LazyFrame(
        {"factor_class": 0, "day": numbers, "amount": amount * int(to_canonical(unit)) * 1000},
        schema={"factor_class": pl.Int32, "day": pl.Int32, "amount": pl.Int64},
    )
    return to_coal_and_carbon(frame, factor_days).sort("day").collect().to_dicts()


def test_a_thousand_tonnes_of_bituminous_coal_are_2_071_509_tco2() -> None:
    # 23.204 GJ/t × 0.02618 tC/GJ = 0.60748072; × 0.93 = 0.5649570696 tC/t; × 44/12 = 2.0715092552 tCO2/t
    # 1 000 t: 2 071.509 255 2 t = 2 071 509 255.2 g. Coal: 一般烟煤 0.7143 kgce/kg [M].
    [row] = masses(Carrier.BITUMINOUS_COAL, 1000, Unit.TONNE, dt.date(2024, 7, 1))
    assert row["carbon_g"] == 2_071_509_255
    assert row["calorific_g"] == row["equivalent_g"] == 714_300_000
    assert (row["carbon_confirmed"], row["calorific_confirmed"]) == (True, False)
    [factor] = [row for row in LIBRARY.rows if row.factor_id == "ghg-guide/bituminous_coal/carbon"]
    assert dict(factor.parts) == {
        "ncv": "23.204", "unit": "t", "carbon_content": "0.02618", "oxidation": "0.93",
    }  # fmt: skip


def test_natural_gas_by_volume_and_heat() -> None:
    # 389.31 GJ/10⁴m³ × 0.0153 = 5.956443; × 0.99 = 5.89687857; × 44/12 = 21.62188809 tCO2/10⁴m³
    # 1 000 m³: 2.162188809 t = 2 162 188.809 g
    [gas] = masses(Carrier.NATURAL_GAS, 1000, Unit.CUBIC_METRE, dt.date(2022, 1, 1))
    assert (gas["carbon_g"], gas["calorific_g"]) == (2_162_189, 1_330_000)
    # 100 GJ × 0.11 = 11 t; × 34.1 kgce/GJ = 3 410 kgce
    [heat] = masses(Carrier.HEAT, 100, Unit.GJ, dt.date(2022, 1, 1))
    assert (heat["carbon_g"], heat["calorific_g"], heat["equivalent_g"]) == (11_000_000, 3_410_000, None)


def test_lng_keeps_the_doubt_about_its_heating_value() -> None:
    # 41.868 × 0.0153 = 0.6405804; × 0.99 = 0.634174596; × 44/12 = 2.325306852 tCO2/t: far below the usual
    [row] = masses(Carrier.LNG, 1, Unit.TONNE, dt.date(2022, 1, 1))
    assert row["carbon_g"] == 2_325_307
    assert not row["carbon_confirmed"]
    assert "51.44" in LIBRARY.at(Carrier.LNG, Basis.CARBON, dt.date(2022, 1, 1)).note


def test_electricity_in_hunan_changes_its_co2_at_the_turn_of_the_year_in_shanghai() -> None:
    # 湖南: 2022 0.4900, 2023 0.4976 kgCO2/kWh. 10 000 kWh: 4 900 kg, 4 976 kg; coal 1 229 kgce in both.
    # 2022 ends at 2022-12-31T16:00:00Z: the second before still belongs to it.
    midnight = int(dt.datetime(2022, 12, 31, 16, tzinfo=dt.UTC).timestamp())
    days = [date_of(accounting_day(instant)) for instant in (midnight - 1, midnight)]
    assert days == [dt.date(2022, 12, 31), dt.date(2023, 1, 1)]
    old, new = masses(Carrier.ELECTRICITY, 10_000, Unit.KWH, *days)
    assert (old["carbon_g"], new["carbon_g"]) == (4_900_000, 4_976_000)
    assert (old["calorific_g"], new["calorific_g"]) == (1_229_000, 1_229_000)
    assert new["carbon_factor"] == "grid-2023/430000/electricity/carbon"
    assert new["carbon_confirmed"]


def test_the_national_factors_of_2021_and_2022_are_not_swapped() -> None:
    for year, factor in ((2021, "0.5568"), (2022, "0.5366"), (2023, "0.5306")):
        row = LIBRARY.at(Carrier.ELECTRICITY, Basis.CARBON, dt.date(year, 6, 30))
        assert (row.per_unit, row.confidence) == (Fraction(factor), Confidence.OFFICIAL)


@pytest.mark.parametrize(
    ("region", "year", "factor"),
    [
        ("370000", 2022, "0.6410"),  # 山东
        ("130000", 2021, "0.7901"),  # 河北
        ("630000", 2021, "0.1326"),  # 青海
        ("500000", 2022, "0.5227"),  # 重庆
        ("510000", 2023, "0.1564"),  # 四川
        ("440000", 2023, "0.4419"),  # 广东
        ("650000", 2023, "0.6021"),  # 新疆
    ],
)
def test_provinces_by_code(region: str, year: int, factor: str) -> None:
    row = LIBRARY.at(Carrier.ELECTRICITY, Basis.CARBON, dt.date(year, 12, 31), region)
    assert (row.per_unit, row.confidence) == (Fraction(factor), Confidence.TRANSCRIBED)


def test_a_leap_day_is_a_day_and_2024_has_only_what_was_carried_forward() -> None:
    # 2024-02-29, 湖南, 1 000 kWh × 0.4976 (2023, carried forward) = 497.6 kg
    days = [dt.date(2024, 2, 28), dt.date(2024, 2, 29), dt.date(2024, 3, 1)]
    rows = masses(Carrier.ELECTRICITY, 1000, Unit.KWH, *days)
    assert [date_of(row["day"]) for row in rows] == days
    assert [row["carbon_g"] for row in rows] == [497_600] * 3
    assert {row["carbon_factor"] for row in rows} == {"grid-2023/430000/electricity/carbon/carried-forward"}
    assert not any(row["carbon_confirmed"] for row in rows)
    classes = FactorClasses(pl.DataFrame(), (FactorClass(Carrier.ELECTRICITY, "430000"),))
    year = factors_per_day(LIBRARY, classes, first_day=day_number(dt.date(2024, 1, 1)), end_day=20089)
    assert date_of(20089) == dt.date(2025, 1, 1)
    assert year.height == year["day"].n_unique() == 366


def test_a_county_takes_its_province_and_a_province_without_a_value_is_not_confirmed() -> None:
    day = dt.date(2023, 5, 1)

    def at(region: str) -> tuple[Fraction, bool]:
        row = LIBRARY.at(Carrier.ELECTRICITY, Basis.CARBON, day, region)
        return row.per_unit, row.confidence.is_confirmed

    assert at("430621") == at("430600") == at("430000") == (Fraction("0.4976"), True)
    assert at("") == (Fraction("0.5306"), True)
    assert at("540102") == (Fraction("0.5306"), False)  # 拉萨: nothing was published for 西藏
    assert at("999999") == at("")


def test_before_2021_there_is_no_grid_factor_and_the_mass_is_unknown() -> None:
    [row] = masses(Carrier.ELECTRICITY, 1, Unit.KWH, dt.date(2020, 12, 31))
    assert (row["calorific_g"], row["equivalent_g"], row["carbon_g"]) == (123, None, None)  # 122.9 g
    assert row["carbon_factor"] is None
    with pytest.raises(FactorMissing, match=r"no carbon factor for electricity on 2020-12-31 in 430000"):
        LIBRARY.at(Carrier.ELECTRICITY, Basis.CARBON, dt.date(2020, 12, 31), "430000")


def test_fresh_water_trebles_with_the_2020_edition() -> None:
    # 0.0857 kgce/t until 2021-03-31, 0.2571 from 2021-04-01; 1 000 t: 85.7 kgce, 257.1 kgce
    old, new = masses(Carrier.FRESH_WATER, 1000, Unit.TONNE, dt.date(2021, 3, 31), dt.date(2021, 4, 1))
    assert (old["equivalent_g"], new["equivalent_g"]) == (85_700, 257_100)
    # Annex B has equivalent values only: on the other bases it is not counted, and says so.
    assert [old["calorific_g"], new["calorific_g"], old["carbon_g"], new["carbon_g"]] == [0, 0, 0, 0]
    note = LIBRARY.at(Carrier.FRESH_WATER, Basis.CALORIFIC, dt.date(2021, 4, 1)).note
    assert note == "Not counted: Annex B gives equivalent values only."


def measured(kj: int, first: dt.date, end: dt.date | None, confidence: str = "official") -> tuple[Any, ...]:
    """A HEATING_VALUES row of the plant's coal."""
    until = None if end is None else instant_of(end)
    return (PLANT, "bituminous_coal", kj * 1000, "报告 17", confidence, instant_of(first), until)


def test_measured_coal_goes_before_the_default() -> None:
    # 20 000 kJ/kg ÷ 29 307 kJ/kgce = 0.682 430 818 576 kgce/kg; 1 000 t: 682 430 818.576 g.
    # CO2: 20 GJ/t × 0.02618 × 0.93 = 0.486948; × 44/12 = 1.785476 tCO2/t
    heat = [measured(20_000, dt.date(2024, 3, 1), dt.date(2024, 3, 2))]
    days = [dt.date(2024, 2, 29), dt.date(2024, 3, 1), dt.date(2024, 3, 2)]
    before, within, after = masses(Carrier.BITUMINOUS_COAL, 1000, Unit.TONNE, *days, heat=heat)
    assert within["calorific_g"] == within["equivalent_g"] == 682_430_819
    assert within["carbon_g"] == 1_785_476_000
    assert before["calorific_g"] == after["calorific_g"] == 714_300_000
    assert before["carbon_g"] == after["carbon_g"] == 2_071_509_255
    assert within["calorific_factor"] == f"measured/{PLANT}/bituminous_coal/2024-03-01/calorific"
    assert within["carbon_factor"] == f"measured/{PLANT}/bituminous_coal/2024-03-01/carbon"
    # 29 307 kJ/kgce itself is only copied; the carbon content is transcribed.
    assert (within["calorific_confirmed"], within["carbon_confirmed"]) == (False, True)


# tCO2 per t or per 10⁴ m³, four places: NCV × carbon content × oxidation × 44/12 with a calculator.
# A list by another hand has 无烟煤 2.32, 烟煤 2.07, 型煤 1.94, 焦炭 2.85, 褐煤 1.42, 洗精煤 2.28,
# 燃料油 3.05, 柴油 3.15, 汽油 3.04, 煤油 3.15, 焦炉煤气 8.58.
EMISSION_FACTORS: Final = {
    "anthracite": "2.3228", "bituminous_coal": "2.0715", "lignite": "1.4241", "washed_coal": "2.2818",
    "other_washed_coal": "1.2886", "briquette": "1.9360", "coke": "2.8518", "crude_oil": "3.0783",
    "fuel_oil": "3.0472", "gasoline": "3.0425", "diesel": "3.1451", "kerosene": "3.1517", "naphtha": "2.9488",
    "petroleum_coke": "3.0633", "other_petroleum_products": "2.8883", "coal_tar": "2.6446",
    "crude_benzol": "3.4109", "refinery_dry_gas": "3.0423", "lpg": "2.9538", "lng": "2.3253",
    "natural_gas": "21.6219", "coke_oven_gas_low": "8.5828", "coke_oven_gas_high": "8.5828",
    "blast_furnace_gas": "9.6865", "converter_gas": "14.3210", "carbide_furnace_gas": "15.9470",
    "other_coal_gas": "2.3179",
}  # fmt: skip


@pytest.mark.parametrize(("carrier", "expected"), EMISSION_FACTORS.items())
def test_fuels_emit_what_was_worked_out_elsewhere(carrier: str, expected: str) -> None:
    row = LIBRARY.at(Carrier(carrier), Basis.CARBON, dt.date(2023, 1, 1))
    unit = Unit(dict(row.parts)["unit"])
    tonnes = row.per_unit * to_canonical(unit) / 1000
    assert round(Decimal(tonnes.numerator) / Decimal(tonnes.denominator), 4) == Decimal(expected)


# GB/T 2589-2020, annexes A and B: kgce per t or per 1 000 m³.
PER_THOUSAND: Final = {
    "raw_coal": "714.3", "washed_coal": "900", "dry_clean_coal": "1014.3", "middlings": "285.7",
    "coal_slime_low": "285.7", "coal_slime_high": "428.6", "coal_gangue": "285.7", "coke": "971.4",
    "coal_tar": "1142.9", "crude_benzol": "1428.6", "crude_oil": "1428.6", "fuel_oil": "1428.6",
    "gasoline": "1471.4", "kerosene": "1471.4", "diesel": "1457.1", "lpg": "1714.3",
    "refinery_dry_gas": "1571.4", "lng": "1757.2", "natural_gas": "1330", "natural_gas_low": "1100",
    "gas_field_gas": "1214.3", "coal_mine_gas_low": "500", "coal_mine_gas_high": "571.4",
    "coke_oven_gas_low": "571.4", "coke_oven_gas_high": "614.3", "blast_furnace_gas": "128.6",
    "producer_gas": "178.6", "heavy_oil_catalytic_gas": "657.1", "heavy_oil_thermal_gas": "1214.3",
    "gas_from_coke": "557.1", "pressure_gasification_gas": "514.3", "water_gas": "357.1",
    "methanol": "679.4", "ethanol": "914.4", "hydrogen": "332.9", "biogas_low": "714.3",
    "biogas_high": "828.6",
    "fresh_water": "0.2571", "softened_water": "0.4857", "deoxygenated_water": "0.9714",
    "compressed_air": "40", "blast_air": "30", "oxygen": "400", "nitrogen_byproduct": "400",
    "nitrogen": "671.4", "carbon_dioxide": "214.3", "acetylene": "8314.3", "calcium_carbide": "2078.6",
}  # fmt: skip


@pytest.mark.parametrize(("carrier", "expected"), PER_THOUSAND.items())
def test_annexes_a_and_b_on_the_equivalent_basis(carrier: str, expected: str) -> None:
    row = LIBRARY.at(Carrier(carrier), Basis.EQUIVALENT, dt.date(2024, 1, 1))
    assert row.per_unit * 1000 == Fraction(expected)
    assert row.edition == "GB/T 2589-2020"


OPEN: Final = (dt.date(2018, 1, 1), dt.date(2027, 1, 1))
EDITION_2020: Final = dt.date(2021, 4, 1)
COAL: Final = (Basis.CALORIFIC, Basis.EQUIVALENT)

# Every (carrier, basis, from, to) without a factor, and why. Nothing else may lack one.
_ONLY_2020 = "dry_clean_coal natural_gas_low methanol ethanol hydrogen biogas_low biogas_high"
_NOT_IN_THE_GUIDE = (
    "raw_coal coking_coal dry_clean_coal middlings coal_slime_low coal_slime_high coal_gangue residual_oil"
    " lubricating_oil paraffin_wax solvent_oil petroleum_asphalt coalbed_methane coal_mine_gas_low"
    " coal_mine_gas_high producer_gas heavy_oil_catalytic_gas heavy_oil_thermal_gas gas_from_coke"
    " pressure_gasification_gas water_gas methanol ethanol hydrogen biogas_low biogas_high municipal_waste"
    " industrial_waste steam_low_pressure waste_heat"
)
NO_FACTOR: Final = [
    ("no row in the 2008 edition, and none recalled of statistics", _ONLY_2020, COAL, OPEN[0], EDITION_2020),
    ("only in the 2008 edition", "residual_oil", COAL, EDITION_2020, OPEN[1]),
    ("only in the 2008 edition", "steam_low_pressure", COAL[:1], EDITION_2020, OPEN[1]),
    ("statistics give a range (0.4643 … 0.9)", "other_washed_coal", COAL, *OPEN),
    ("only in the CO2 table", "carbide_furnace_gas", COAL, *OPEN),
    ("no official yearly value; the constant in use is of the 2020 wording",
     "electricity own_non_fossil_electricity", COAL[1:], OPEN[0], EDITION_2020),
    ("depends on the plant that made it", "heat steam_low_pressure", COAL[1:], *OPEN),
    ("recovered: it was counted when it came in", "waste_heat", COAL[1:], *OPEN),
    ("no row among the defaults of the 指南", _NOT_IN_THE_GUIDE, (Basis.CARBON,), *OPEN),
    ("the first notice is of 2021", "electricity", (Basis.CARBON,), OPEN[0], dt.date(2021, 1, 1)),
]  # fmt: skip


def days_without_a_factor() -> Iterator[tuple[str, str, int]]:
    """(carrier, basis, day) of the open period in 湖南 for which the library has nothing."""
    kinds = tuple(FactorClass(carrier, LIBRARY.narrowest(carrier, YUEYANG_COUNTY)) for carrier in Carrier)
    first, end = map(day_number, OPEN)
    days = factors_per_day(LIBRARY, FactorClasses(pl.DataFrame(), kinds), first_day=first, end_day=end)
    for basis in Basis:
        for number, day in days.filter(pl.col(f"{basis}_num").is_null()).select("factor_class", "day").rows():
            yield kinds[number].carrier.value, basis.value, day


def test_every_open_day_has_a_factor_or_a_reason_why_not() -> None:
    reasoned = {
        (carrier, basis.value, day)
        for _, carriers, bases, first, end in NO_FACTOR
        for carrier in carriers.split()
        for basis in bases
        for day in range(day_number(first), day_number(end))
    }
    assert set(days_without_a_factor()) == reasoned


def test_no_day_has_two_factors() -> None:
    first, end = map(day_number, OPEN)
    seen = set()
    for row in LIBRARY.rows:
        last = end if row.valid_to is None else min(end, day_number(row.valid_to))
        for day in range(max(first, day_number(row.valid_from)), last):
            key = (row.carrier, row.basis, row.region, day)
            assert key not in seen, row.factor_id
            seen.add(key)


def test_every_province_has_a_grid_factor_of_its_own_for_every_day_since_2021() -> None:
    rows = [row for row in LIBRARY.rows if (row.carrier, row.basis) == (Carrier.ELECTRICITY, Basis.CARBON)]
    provinces = {row.region for row in rows if row.region}
    assert len(provinces) == 31
    kinds = tuple(FactorClass(Carrier.ELECTRICITY, region) for region in sorted(provinces))
    spans = factor_spans(
        LIBRARY, FactorClasses(pl.DataFrame(), kinds),
        first_day=day_number(dt.date(2021, 1, 1)), end_day=day_number(OPEN[1]),
    )  # fmt: skip
    ids = dict(spans.group_by("factor_class").agg(pl.col("carbon_factor").unique()).rows())
    for number, kind in enumerate(kinds):
        assert all(kind.region in factor for factor in ids[number])
        assert len(ids[number]) == 4  # 2021, 2022, 2023, carried forward


def test_every_factor_says_where_it_comes_from_and_a_zero_says_why() -> None:
    classes = FactorClasses(pl.DataFrame(), ())
    for row in factor_rows(LIBRARY, classes).values():
        assert row.source
        assert row.edition
        assert row.per_unit > 0 or (row.note and row.confidence is Confidence.RECALLED)
