"""The norm library: every row sound, every problem at once, a county's rows over the shipped ones."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction
from pathlib import Path

import pytest

from analytics.norm_library import load_norms
from nengshao.domain.errors import ConfigError
from nengshao.domain.factors import Confidence
from nengshao.domain.norms import FactorCorrection, LinearCorrection, NormIndicator, parameters_of

GOOD = """
[[norm]]
id = "brick"
indicator = "energy"
standard = "DB 1"
product_zh = "砖"
product_en = "Bricks"
indicator_zh = "单位产品综合能耗"
unit = "kgce/t"
limits = ["", "40", "50"]
source = "a county"
confidence = "official"
valid_from = 2025-01-01
"""

PARAMETER = """
[[parameter]]
id = "moisture"
zh = "含水率"
en = "moisture"
unit = "%"
kind = "mean"
"""


def county(folder: Path, text: str, name: str = "county.toml") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def problems_of(folder: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load_norms([folder])
    return caught.value.problems


def test_every_shipped_row_says_where_it_is_from() -> None:
    table = load_norms()
    assert len(table.rows) == 63
    for norm in table.rows:
        assert norm.standard in norm.source
        assert norm.product_zh
        assert norm.product_en
        assert (norm.benchmark is None and norm.baseline is None) or norm.benchmark_source
    assert not [norm for norm in table.rows if norm.confidence is Confidence.OFFICIAL]  # nobody saw a text


def test_every_shipped_parameter_is_one_that_a_norm_asks_for() -> None:
    table = load_norms()
    asked = {name for norm in table.rows for name in parameters_of(norm)}
    assert asked == {each.parameter_id for each in table.parameters}


def test_a_county_adds_and_replaces_rows_with_corrections_of_its_own(tmp_path: Path) -> None:
    corrections = """
[[norm.corrections]]
kind = "linear"
parameter = "moisture"
per_unit = ["0", "0.5", "1/2"]
base = "8"
highest = "0"

[[norm.corrections]]
kind = "factor"
parameter = "air_pressure"
offset = "1"
slope = "-1/3"
levels = [2, 3]
when_parameter = "altitude"
when_above = "1500"
"""
    county(tmp_path, PARAMETER, "parameters.toml")
    stricter = GOOD.replace('"brick"', '"cement"').replace("2025-01-01", "2022-11-01")
    table = load_norms([county(tmp_path, GOOD + corrections + stricter)])
    brick = table.in_force("brick", NormIndicator.ENERGY, dt.date(2025, 1, 1))
    assert brick is not None
    assert brick.limits == (None, 40, 50)
    assert brick.corrections == (
        LinearCorrection(
            "moisture", (Fraction(0), Fraction(1, 2), Fraction(1, 2)), base=Fraction(8), highest=Fraction(0)
        ),
        FactorCorrection("air_pressure", Fraction(1), Fraction(-1, 3), (2, 3), "altitude", Fraction(1500)),
    )
    assert parameters_of(brick) == ("moisture", "altitude", "air_pressure")
    cement = table.in_force("cement", NormIndicator.ENERGY, dt.date(2025, 6, 1))
    assert cement is not None
    assert cement.limits == (None, 40, 50)
    assert len(table.rows) == 64


def test_of_two_editions_the_one_in_force_on_the_day_counts(tmp_path: Path) -> None:
    later = GOOD.replace("2025-01-01", "2026-07-01").replace('"50"', '"45"')
    table = load_norms([county(tmp_path, GOOD + later)])

    def limit_3(day: dt.date) -> Fraction | None:
        found = table.in_force("brick", NormIndicator.ENERGY, day)
        return found.limits[2] if found else None

    days = (dt.date(2024, 12, 31), dt.date(2025, 1, 1), dt.date(2026, 6, 30), dt.date(2026, 7, 1))
    assert [limit_3(day) for day in days] == [None, 50, 50, 45]


def test_grams_per_kilowatt_hour_become_kilograms() -> None:
    norm = load_norms().in_force("power_usc_1000", NormIndicator.ENERGY, dt.date(2026, 1, 1))
    assert norm is not None
    assert norm.limits == (Fraction(268, 1000), Fraction(276, 1000), Fraction(283, 1000))
    addition = norm.corrections[1]
    assert isinstance(addition, LinearCorrection)
    assert addition.per_unit == (Fraction(1, 1000), 0, Fraction(1, 1000))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (('id = "brick"\n', ""), "missing key id"),
        (("standard", "standart"), "unknown key standart"),
        (('"energy"', '"heat"'), "indicator 'heat' is none of energy, electricity"),
        (('"official"', '"sure"'), "confidence 'sure' is none of"),
        (('unit = "kgce/t"', 'unit = "kWh/t"'), "unit 'kWh/t' is none that energy is limited in"),
        (('unit = "kgce/t"', 'unit = "kgce"'), "unit 'kgce' is none that energy is limited in"),
        (('unit = "kgce/t"', 'unit = "kgce/t/d"'), "unit 'kgce/t/d' is none that"),
        (('["", "40", "50"]', '["40", "50"]'), "limits must be three texts"),
        (('["", "40", "50"]', '["", "40", ""]'), "3级 (限定值) is missing"),
        (('["", "40", "50"]', '["", "60", "50"]'), "2级 60 is above 3级 50"),
        (('["", "40", "50"]', "[30, 40, 50]"), "limits must be a decimal or fraction written as text"),
        (('"50"]', '"fifty"]'), "limits 'fifty' is not a number"),
        (('"50"]', '"50.00001"]'), "limits '50.00001' is finer or greater than can be kept"),
        (("2025-01-01", '"2025"'), "valid_from must be a date"),
        (("2025-01-01", "2025-01-01T00:00:00Z"), "valid_from must be a date"),
        (('"DB 1"', '" "'), "standard must be text"),
        (("confidence =", 'baseline = "50"\nconfidence ='), "need benchmark_source and benchmark_confidence"),
        (
            ("confidence =", 'benchmark_source = "x"\nbenchmark_confidence = "copied"\nconfidence ='),
            "belong to a benchmark or baseline",
        ),
        (("confidence =", "note = 3\nconfidence ="), "note must be text"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused(tmp_path: Path, change: tuple[str, str], problem: str) -> None:
    assert GOOD.count(change[0]) >= 1
    found = problems_of(county(tmp_path, GOOD.replace(*change, 1)))
    assert all(line.startswith("county.toml: norm 1 (") for line in found)
    assert any(problem in line for line in found)


@pytest.mark.parametrize(
    ("correction", "problem"),
    [
        ('kind = "square"', "kind 'square' is none of linear, factor"),
        ('kind = "linear"\nparameter = "altitude"', "missing key per_unit"),
        ('kind = "linear"\nparameter = "altitude"\nper_unit = ["1"]', "per_unit must be three texts"),
        ('kind = "factor"\nparameter = "altitude"\nper_unit = ["1"]', "unknown key per_unit"),
        ('kind = "factor"\nparameter = "altitude"\nlevels = [4]', "levels must be a list of 1, 2, 3"),
        ('kind = "factor"\nparameter = "altitude"\nslope = 2', "slope must be a decimal or fraction written"),
        ('kind = "factor"\nparameter = "altitude"\nwhen_above = "1"', "belong together"),
        ('kind = "factor"\nparameter = ""', "parameter must be text"),
    ],
)
def test_a_correction_that_cannot_be_used_is_refused(tmp_path: Path, correction: str, problem: str) -> None:
    [found] = problems_of(county(tmp_path, f"{GOOD}\n[[norm.corrections]]\n{correction}\n"))
    assert "correction 1: " in found
    assert problem in found


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    unknown = f'{GOOD}\n[[norm.corrections]]\nkind = "factor"\nparameter = "weather"\n'
    other = GOOD.replace("kgce/t", "kgce/m2").replace("2025-01-01", "2026-01-01")
    county(tmp_path, unknown + GOOD + other)
    county(
        tmp_path, '[[parameter]]\nid = "x"\nzh = "x"\nen = "x"\nunit = "%"\nkind = "sum"\n', "parameters.toml"
    )
    county(tmp_path, "[[rule]]", "b.toml")
    found = problems_of(tmp_path)
    assert [line for line in found if "kind 'sum' is none of mean, constant" in line]
    assert [line for line in found if "unknown key rule" in line]
    assert [line for line in found if "the same id, indicator and valid_from twice" in line]
    assert [line for line in found if "per m2" in line]
    with pytest.raises(ConfigError, match="no such directory"):
        load_norms([tmp_path / "nowhere"])


def test_a_parameter_that_nobody_defined_is_refused(tmp_path: Path) -> None:
    text = f'{GOOD}\n[[norm.corrections]]\nkind = "factor"\nparameter = "weather"\n'
    [found] = problems_of(county(tmp_path, text))
    assert found == "norm brick/energy/2025-01-01: nobody defined the parameter weather"


def test_a_parameter_twice_is_refused(tmp_path: Path) -> None:
    assert "the id is used twice" in problems_of(county(tmp_path, PARAMETER * 2, "parameters.toml"))[0]


def test_corrections_must_be_tables(tmp_path: Path) -> None:
    [found] = problems_of(county(tmp_path, GOOD + "corrections = [1]\n"))
    assert "[[norm.corrections]] must be a list of tables" in found
