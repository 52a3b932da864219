"""Factor files: what is read from them, what a county lays over them, and what is refused."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction
from pathlib import Path

import pytest

from analytics.factor_library import load_factors
from nengshao.domain.errors import ConfigError, FactorMissing
from nengshao.domain.factors import Basis, Confidence, overlapping_rows
from nengshao.domain.units import Carrier

DAY = dt.date(2025, 1, 1)
COAL = """
[[factor]]
id = "county/coal"
carrier = "raw_coal"
basis = "calorific"
kgce_per_unit = "5/7"
edition = "county"
source = "measured"
confidence = "official"
valid_from = 2021-04-01
"""
FUEL = """
[[factor]]
id = "x/lignite"
carrier = "lignite"
basis = "carbon"
unit = "t"
ncv = "14"
carbon_content = "0.028"
oxidation = "0.96"
edition = "e"
source = "s"
confidence = "copied"
valid_from = 2020-01-01
"""
GRID = """
[defaults]
edition = "e"
source = "s"
confidence = "transcribed"
valid_from = 2025-01-01
valid_to = 2026-01-01

[[factor]]
id = "grid/{region}"
carrier = "electricity"
basis = "carbon"
unit = "1e4kWh"
[factor.kgco2_per_unit]
"430000" = "5000"
"430600" = "4000"
"""
CONSTANT = """
[[constant]]
name = "standard_coal"
value = "29307.6"
unit = "kJ/kgce"
edition = "e"
source = "s"
confidence = "official"
"""


def write(folder: Path, text: str, name: str = "a.toml") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def empty(folder: Path) -> Path:
    path = folder / "nothing"
    path.mkdir()
    return path


def problems_of(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_factors([write(folder, text)])
    return "\n".join(caught.value.problems)


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    text = """[[factor]]
id = "x"
carrier = "moonlight"
basis = "calorific"
kgce_per_unit = 0.1
edition = "e"
source = " "
confidence = "sure"
valid_from = "2021-04-01"
note = 1

[[factor]]
id = "y"
colour = "blue"

[[elsewhere]]
a = 1
"""
    write(tmp_path, "[[factor]", "broken.toml")
    with pytest.raises(ConfigError) as caught:
        load_factors([write(tmp_path, text), tmp_path / "nowhere"])
    said = "\n".join(caught.value.problems)
    for part in (
        "a.toml: factor 1 (x): carrier 'moonlight' is none of electricity",
        "source must be text",
        "confidence 'sure' is none of official",
        "valid_from must be a date",
        "note must be text",
        "factor 2 (y): unknown key colour",
        "missing key carrier",
        "unknown key elsewhere",
        "broken.toml: ",
        "no such directory",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"5/7"', "0.7", "must be a decimal or fraction written as text"),
        ('"5/7"', '"much"', "'much' is not a number"),
        ('"5/7"', '"1/0"', "is not a number"),
        ('"5/7"', '"-1"', "is negative"),
        ('"5/7"', '"0"', "no note says why"),
        ('"5/7"', '"1/9223372036854775808"', "no fraction of two 64-bit integers"),
        ("kgce_per_unit", "kgco2_per_unit", "missing key kgce_per_unit"),
        ("kgce_per_unit", "kgco2_per_unit", "key kgco2_per_unit does not belong"),
        ('"calorific"', '"carbon"', "missing key unit"),
        ("2021-04-01", "2021-04-01\nvalid_to = 2021-04-01", "valid_to must be after valid_from"),
        ("2021-04-01", "2021-04-01T00:00:00", "valid_from must be a date"),
        ('basis = "calorific"', 'basis = "calorific"\nunit = "GJ"', "raw_coal is not measured in GJ"),
        ('basis = "calorific"', 'basis = "calorific"\nunit = "lb"', "unit 'lb' is none of"),
        ('basis = "calorific"', 'basis = "calorific"\nregion = "湖南"', "region '湖南' is no 行政区划代码"),
        ('basis = "calorific"', 'basis = "calorific"\nregion = 430000', "region 430000 is no 行政区划代码"),
    ],
)
def test_a_row_with_a_mistake_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert said in problems_of(tmp_path, COAL.replace(old, new))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FUEL.replace('oxidation = "0.96"\n', ""), "missing key oxidation"),
        (FUEL.replace('"0.96"', '"96"'), "oxidation '96' is more than all"),
        (FUEL.replace('"14"', '{ "430000" = "14" }'), "ncv must be a decimal"),
        (FUEL + 'kgco2_per_unit = "1"\n', "key ncv does not belong to this row"),
        (GRID.replace('"430600"', '"Yueyang"'), "'Yueyang' is no 行政区划代码"),
        (GRID.replace("[factor.k", 'region = "430000"\n[factor.k'), "exclude each other"),
        (GRID.replace("{region}", "one"), "factor id grid/one is used twice"),
        (GRID.replace("valid_to", "until"), "defaults: unknown key until"),
        ("defaults = 1\n", "[defaults] must be a table"),
        ("factor = 1\n", "[[factor]] must be a list of tables"),
        (COAL + COAL, "the same carrier, basis, region and valid_from as county/coal"),
        (CONSTANT + CONSTANT, "the name is used twice"),
        (CONSTANT.replace("standard_coal", "pi"), "name 'pi' is none of standard_coal"),
        (CONSTANT.replace("kJ/kgce", "kcal"), "unit must be kJ/kgce"),
        (CONSTANT.replace('"29307.6"', "29307.6"), "value must be a decimal"),
        (CONSTANT.replace('source = "s"\n', ""), "missing key source"),
    ],
)
def test_what_belongs_together_must_be_together(tmp_path: Path, text: str, said: str) -> None:
    assert said in problems_of(tmp_path, text)


def test_a_county_value_replaces_the_row_of_the_same_date_and_may_not_overlap_its_own(tmp_path: Path) -> None:
    found = load_factors([write(tmp_path, COAL)]).at(Carrier.RAW_COAL, Basis.CALORIFIC, DAY)
    assert (found.factor_id, found.per_unit) == ("county/coal", Fraction(5, 7))
    later = COAL.replace("2021-04-01", "2022-04-01").replace("county/coal", "county/coal-2")
    assert "overlap" in problems_of(tmp_path, COAL + later)


def test_a_county_value_for_the_county_leaves_the_country_as_it_is(tmp_path: Path) -> None:
    local = COAL.replace("2021-04-01", '2022-04-01\nregion = "430621"')
    table = load_factors([write(tmp_path, local)])
    assert table.at(Carrier.RAW_COAL, Basis.CALORIFIC, DAY, "430621").factor_id == "county/coal"
    assert table.at(Carrier.RAW_COAL, Basis.CALORIFIC, DAY, "430600").per_unit == Fraction("0.7143")
    before = dt.date(2022, 3, 31)
    assert table.at(Carrier.RAW_COAL, Basis.CALORIFIC, before, "430621").per_unit == Fraction("0.7143")


def test_fuels_are_made_of_their_parts_exactly(tmp_path: Path) -> None:
    # 14 GJ/t × 0.028 tC/GJ × 0.96 × 44/12 = 0.392 × 0.96 × 11/3 = 0.37632 × 11/3 = 1.37984 tCO2/t
    table = load_factors(shipped=write(tmp_path, FUEL))
    row = table.at(Carrier.LIGNITE, Basis.CARBON, DAY)
    assert row.per_unit == Fraction("1.37984")  # kg per kg
    assert row.parts == (("ncv", "14"), ("unit", "t"), ("carbon_content", "0.028"), ("oxidation", "0.96"))
    with pytest.raises(FactorMissing, match=r"no calorific factor for lignite on 2025-01-01$"):
        table.at(Carrier.LIGNITE, Basis.CALORIFIC, DAY)


def test_a_table_by_region_makes_a_row_for_each_with_the_defaults_of_the_file(tmp_path: Path) -> None:
    table = load_factors(shipped=write(tmp_path, GRID))
    city = table.at(Carrier.ELECTRICITY, Basis.CARBON, DAY, "430621")
    assert (city.factor_id, city.per_unit, city.region) == ("grid/430600", Fraction("0.4"), "430600")
    assert (city.confidence, city.valid_to) == (Confidence.TRANSCRIBED, dt.date(2026, 1, 1))
    assert table.at(Carrier.ELECTRICITY, Basis.CARBON, DAY, "431000").factor_id == "grid/430000"
    with pytest.raises(FactorMissing):
        table.at(Carrier.ELECTRICITY, Basis.CARBON, DAY, "440000")
    with pytest.raises(FactorMissing):
        table.at(Carrier.ELECTRICITY, Basis.CARBON, dt.date(2026, 1, 1), "430621")


def test_a_row_says_otherwise_than_the_defaults(tmp_path: Path) -> None:
    own = GRID.replace('unit = "1e4kWh"', 'unit = "1e4kWh"\nconfidence = "official"\nvalid_to = 2025-07-01')
    table = load_factors(shipped=write(tmp_path, own))
    row = table.at(Carrier.ELECTRICITY, Basis.CARBON, DAY, "430000")
    assert (row.confidence, row.valid_to) == (Confidence.OFFICIAL, dt.date(2025, 7, 1))


def test_zero_is_a_factor_if_it_says_why(tmp_path: Path) -> None:
    text = COAL.replace('"5/7"', '"0"\nnote = "not counted: …"')
    table = load_factors(shipped=write(tmp_path, text))
    assert table.at(Carrier.RAW_COAL, Basis.CALORIFIC, DAY).per_unit == 0


def test_a_county_may_lay_its_own_constant_over_the_shipped_one(tmp_path: Path) -> None:
    shipped, own = load_factors().standard_coal, load_factors([write(tmp_path, CONSTANT)]).standard_coal
    assert shipped is not None
    assert own is not None
    assert (shipped.value, shipped.confidence) == (Fraction(29307), Confidence.COPIED)
    assert (own.value, own.confidence) == (Fraction("29307.6"), Confidence.OFFICIAL)


def test_an_empty_library_has_nothing(tmp_path: Path) -> None:
    table = load_factors(shipped=empty(tmp_path))
    assert (table.rows, table.standard_coal) == ((), None)


def test_rows_that_touch_do_not_overlap(tmp_path: Path) -> None:
    older = COAL.replace("2021-04-01", "2020-01-01\nvalid_to = 2021-04-01").replace("county/coal", "older")
    rows = load_factors(shipped=write(tmp_path, COAL + older)).rows
    assert overlapping_rows(rows) == []
    assert [row.factor_id for row in rows] == ["older", "county/coal"]


@pytest.mark.parametrize(
    ("span", "left"),
    [
        ('valid_from = 2025-01-01', [("2021-04-01", "2025-01-01", "")]),
        (
            'valid_from = 2025-01-01\nvalid_to = 2026-01-01',
            [("2021-04-01", "2025-01-01", ""), ("2026-01-01", None, "@2026-01-01")],
        ),
        ('valid_from = 2021-04-01\nvalid_to = 2026-01-01', [("2026-01-01", None, "")]),
        ('valid_from = 2021-04-01', []),
        ('valid_from = 2008-06-01', []),
    ],
)  # fmt: skip
def test_an_overlay_row_rules_its_own_days_and_the_row_below_the_others(
    tmp_path: Path, span: str, left: list[tuple[str, str | None, str]]
) -> None:
    (tmp_path / "county.toml").write_text(
        '[[factor]]\nid = "county/heat"\ncarrier = "heat"\nbasis = "calorific"\nkgce_per_unit = "0.035"\n'
        f'edition = "e"\nsource = "s"\nconfidence = "official"\n{span}\n',
        encoding="utf-8",
    )
    shipped = next(
        row
        for row in load_factors().rows
        if (row.carrier, row.basis, row.valid_to) == (Carrier.HEAT, Basis.CALORIFIC, None)
    )
    rows = [
        (row.valid_from.isoformat(), row.valid_to and row.valid_to.isoformat(), row.factor_id)
        for row in load_factors([tmp_path]).rows
        if row.factor_id.startswith(shipped.factor_id)
    ]
    assert rows == [(first, end, shipped.factor_id + suffix) for first, end, suffix in left]
