"""Factor classes, factors per day, masses, measured heating values, and what a change of a factor reaches."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import polars as pl
import pytest

from analytics.conversion import (
    FACTOR_DAYS,
    FACTOR_SPANS,
    FactorClass,
    FactorClasses,
    changed_factors,
    factor_classes,
    factor_on,
    factor_records,
    factor_rows,
    factor_spans,
    factors_per_day,
    few_to_coal_and_carbon,
    to_coal_and_carbon,
)
from analytics.factor_gaps import factor_gaps
from nengshao.domain.factors import Basis, Confidence, Constant, Factor, FactorTable
from nengshao.domain.time import day_number, instant_of
from nengshao.domain.units import Carrier
from nengshao.frames import HEATING_VALUES
from tests.support import metering as m

COAL_HEAT = Constant("standard_coal", Fraction(29307), "kJ/kgce", "e", "k", Confidence.OFFICIAL)
PARTS = (("ncv", "20"), ("unit", "t"), ("carbon_content", "0.03"), ("oxidation", "0.9"))
LAST_YEAR, NEW_YEAR = dt.date(2024, 1, 1), dt.date(2025, 1, 1)


def coal(basis: Basis, value: str, **more: Any) -> Factor:
    return m.factor(Carrier.RAW_COAL, basis, value, **more)


TABLE = FactorTable(
    (
        coal(Basis.CALORIFIC, "0.7"),
        coal(Basis.EQUIVALENT, "0.7"),
        coal(Basis.CARBON, "1.98", parts=PARTS, confidence=Confidence.COPIED, valid_to=NEW_YEAR),
        coal(Basis.CARBON, "2.2", parts=(*PARTS[:3], ("oxidation", "1")), valid_from=NEW_YEAR),
        m.factor(Carrier.ELECTRICITY, Basis.CALORIFIC, "0.1229"),
        replace(
            m.factor(Carrier.ELECTRICITY, Basis.CARBON, "0.5"), factor_id="grid/430000", region="430000"
        ),
    ),
    COAL_HEAT,
)  # fmt: skip


def heat(
    kj: int, first: dt.date, end: dt.date | None = None, *, enterprise: str = m.ENTERPRISE,
    carrier: str = "raw_coal", confidence: str = "official",
) -> tuple[Any, ...]:  # fmt: skip
    """A row of HEATING_VALUES."""
    until = None if end is None else instant_of(end)
    return (enterprise, carrier, kj * 1000, "report", confidence, instant_of(first), until)


def heating(*rows: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(HEATING_VALUES.schema), orient="row")


def classes_of(
    pairs: Sequence[tuple[str, str]], *rows: tuple[Any, ...], regions: dict[str, str] | None = None
) -> FactorClasses:
    """Classes of (enterprise, carrier) points; enterprises are in 岳阳 unless `regions` says otherwise."""
    points = m.points(*(m.point(n, enterprise=e, carrier=c) for n, (e, c) in enumerate(pairs)))
    enterprises = m.enterprises(*{e for e, _ in pairs})
    if regions:
        enterprises = enterprises.with_columns(pl.col("enterprise").replace_strict(regions).alias("region"))
    return factor_classes(points, enterprises, heating(*rows), TABLE)


def test_points_of_one_carrier_and_region_share_a_class() -> None:
    pairs = [("A", "electricity"), ("A", "electricity"), ("B", "electricity"), ("B", "raw_coal")]
    found = classes_of(pairs, regions={"A": "430621", "B": "430100"})
    assert found.of.rows() == [("A", "electricity", 0), ("B", "electricity", 0), ("B", "raw_coal", 1)]
    assert found.of.schema["factor_class"] == pl.Int32
    assert found.rows == (
        FactorClass(Carrier.ELECTRICITY, "430000"),  # both are in the province that has a row of its own
        FactorClass(Carrier.RAW_COAL, ""),  # the library does not tell regions of coal apart
    )


def test_another_region_and_an_enterprise_of_nowhere_are_classes_of_their_own_only_where_it_matters() -> None:
    pairs = [("A", "electricity"), ("B", "electricity"), ("A", "raw_coal"), ("B", "raw_coal")]
    found = classes_of(pairs, regions={"A": "430621", "B": "110101"})
    assert [kind.region for kind in found.rows] == ["430000", "", ""]
    points = m.points(m.point(1, enterprise="X", carrier="electricity"))
    lost = factor_classes(points, m.enterprises("A"), heating(), TABLE)
    assert lost.rows == (FactorClass(Carrier.ELECTRICITY, ""),)
    assert TABLE.narrowest(Carrier.HEAT, "430621") == ""  # no row anywhere


def test_an_enterprise_that_measured_has_a_class_of_its_own() -> None:
    pairs = [("A", "raw_coal"), ("B", "raw_coal"), ("C", "raw_coal"), ("A", "electricity")]
    rows = [
        heat(20_000, NEW_YEAR, enterprise="A"),
        heat(21_000, NEW_YEAR, enterprise="A", carrier="electricity"),
    ]
    found = classes_of(pairs, *rows)
    numbers = dict(
        found.of.filter(pl.col("carrier") == "raw_coal").select("enterprise", "factor_class").rows()
    )
    assert numbers["B"] == numbers["C"] != numbers["A"]
    assert found.rows[numbers["A"]].measured[0].heat_j == 20_000_000
    power = found.of.filter(pl.col("carrier") == "electricity")["factor_class"].item()
    assert found.rows[power].measured == ()  # nothing is burnt: no heating value


def test_nobody_has_no_classes() -> None:
    found = factor_classes(m.points(), m.enterprises("A"), heating(), TABLE)
    assert (found.of.height, found.rows) == (0, ())
    assert dict(factors_per_day(TABLE, found, first_day=0, end_day=9).schema) == dict(FACTOR_DAYS.schema)


def test_factors_stand_on_every_day_and_nulls_where_there_is_none() -> None:
    found = classes_of([("A", "electricity")])
    last = day_number(NEW_YEAR) + 2
    days = factors_per_day(TABLE, found, first_day=day_number(NEW_YEAR), end_day=last)
    assert days["day"].to_list() == [last - 2, last - 1]
    assert days.select("carbon_num", "carbon_den", "carbon_factor", "carbon_confirmed").row(0) == (
        1, 2, "grid/430000", True,
    )  # fmt: skip
    assert days["equivalent_num"].null_count() == days["equivalent_confirmed"].null_count() == 2


def test_spans_cover_the_window_and_are_cut_where_a_factor_changes() -> None:
    found = classes_of([("A", "raw_coal")])
    first, end = day_number(LAST_YEAR), day_number(NEW_YEAR) + 10
    spans = factor_spans(TABLE, found, first_day=first, end_day=end)
    assert list(spans.schema) == list(FACTOR_SPANS.schema)
    assert spans.select("first_day", "end_day").rows() == [(first, end - 10), (end - 10, end)]
    by_day = factors_per_day(TABLE, found, first_day=first, end_day=end)
    assert by_day["carbon_num"].to_list() == [99] * 366 + [11] * 10  # 1.98 = 99/50, 2.2 = 11/5


def frame(*rows: tuple[int | None, int, int | None]) -> pl.LazyFrame:
    schema = {"factor_class": pl.Int32, "day": pl.Int32, "amount": pl.Int64}
    return pl.LazyFrame(rows, schema=schema, orient="row")


def test_masses_are_exact_rounded_once_half_to_even_and_null_where_unknown() -> None:
    table = FactorTable((m.factor(Carrier.ELECTRICITY, Basis.CALORIFIC, "0.5"),))
    kinds = FactorClasses(pl.DataFrame(), (FactorClass(Carrier.ELECTRICITY, ""),))
    days = factors_per_day(table, kinds, first_day=m.DAY, end_day=m.DAY + 1)
    amounts = [1, 3, 5, -1, -3, 2**62, None]
    rows = frame(*((0, m.DAY, amount) for amount in amounts), (None, m.DAY, 4), (0, m.DAY + 1, 4))
    masses = to_coal_and_carbon(rows, days).collect().sort("day", "factor_class", "amount", nulls_last=True)
    assert masses["calorific_g"].to_list() == [-2, 0, 0, 2, 2, 2**61, None, None, None]
    assert masses["carbon_g"].null_count() == masses.height


def test_an_overflow_fails_instead_of_wrapping() -> None:
    table = FactorTable((m.factor(Carrier.ELECTRICITY, Basis.CALORIFIC, "3"),))
    kinds = FactorClasses(pl.DataFrame(), (FactorClass(Carrier.ELECTRICITY, ""),))
    days = factors_per_day(table, kinds, first_day=m.DAY, end_day=m.DAY + 1)
    with pytest.raises(pl.exceptions.InvalidOperationError, match="conversion from"):
        to_coal_and_carbon(frame((0, m.DAY, 2**62)), days).collect()


def test_by_days_or_by_spans_is_the_same() -> None:
    found = classes_of(
        [("A", "raw_coal"), ("A", "electricity")], heat(19_000, LAST_YEAR, NEW_YEAR, enterprise="A")
    )
    window = {"first_day": day_number(LAST_YEAR) - 3, "end_day": day_number(NEW_YEAR) + 3}
    rows = frame(*((kind, day, 1000 + day) for kind in (0, 1) for day in range(*window.values())))
    by_day = to_coal_and_carbon(rows, factors_per_day(TABLE, found, **window)).collect()
    spans = factor_spans(TABLE, found, **window)
    by_span = few_to_coal_and_carbon(rows, spans).collect()
    key = ["factor_class", "day"]
    assert by_day.sort(key).equals(by_span.select(by_day.columns).sort(key))
    outside = few_to_coal_and_carbon(
        frame((0, 0, 1), (None, window["first_day"], 1)), factor_spans(TABLE, found, **window)
    )
    assert outside.collect().is_empty()


def measured_class(*rows: tuple[Any, ...]) -> FactorClass:
    [kind] = classes_of([(m.ENTERPRISE, "raw_coal")], *rows).rows
    return kind


def test_a_measured_value_of_the_year_is_cut_where_the_default_changes() -> None:
    # 21 980.25 kJ/kg ÷ 29 307 kJ/kgce = 0.75 kgce/kg. CO2: 21.98025 GJ/t × 0.03 × 0.9 × 44/12 = 2.17604475
    # and, with the oxidation of 1 from 2025 on, 2.4178275 tCO2/t.
    row = (m.ENTERPRISE, "raw_coal", 21_980_250, "report", "official", instant_of(dt.date(2024, 7, 1)), None)
    kind = measured_class(row)
    found = factor_rows(TABLE, FactorClasses(pl.DataFrame(), (kind,)))
    own = {
        key.removeprefix(f"measured/{m.ENTERPRISE}/raw_coal/"): row
        for key, row in found.items()
        if "measured" in key
    }
    assert set(own) == {
        "2024-07-01/calorific", "2024-07-01/equivalent", "2024-07-01/carbon", "2025-01-01/carbon",
    }  # fmt: skip
    assert own["2024-07-01/calorific"].per_unit == own["2024-07-01/equivalent"].per_unit == Fraction(3, 4)
    assert own["2024-07-01/carbon"].per_unit == Fraction("2.17604475")
    assert own["2025-01-01/carbon"].per_unit == Fraction("2.4178275")
    assert own["2024-07-01/carbon"].valid_to == NEW_YEAR
    assert own["2025-01-01/carbon"].valid_to is None
    assert dict(own["2025-01-01/carbon"].parts) == {
        "heat": "21980250",
        "carbon_content": "0.03",
        "oxidation": "1",
    }
    assert set(found) - {row.factor_id for row in TABLE.rows} == {row.factor_id for row in own.values()}


@pytest.mark.parametrize(
    ("own", "coal_is", "carbon_is"),
    [
        ("official", "official", "copied"),
        ("recalled", "recalled", "recalled"),
        ("copied", "copied", "copied"),
    ],
)
def test_a_measured_factor_is_no_better_known_than_what_it_is_made_of(
    own: str, coal_is: str, carbon_is: str
) -> None:
    kind = measured_class(heat(20_000, LAST_YEAR, confidence=own))
    day = day_number(LAST_YEAR)
    found = [factor_on(TABLE, kind, basis, day) for basis in (Basis.CALORIFIC, Basis.CARBON)]
    assert [row and row.confidence for row in found] == [coal_is, carbon_is]
    unsure = replace(TABLE, standard_coal=replace(COAL_HEAT, confidence=Confidence.RECALLED))
    row = factor_on(unsure, kind, Basis.CALORIFIC, day)
    assert row is not None
    assert row.confidence is Confidence.RECALLED


def test_of_two_measured_values_that_follow_each_other_each_has_its_days() -> None:
    kind = measured_class(heat(20_000, LAST_YEAR, NEW_YEAR), heat(22_000, NEW_YEAR))
    heats = []
    for day in (day_number(LAST_YEAR) - 1, day_number(NEW_YEAR) - 1, day_number(NEW_YEAR)):
        row = factor_on(TABLE, kind, Basis.EQUIVALENT, day)
        assert row is not None
        heats.append(dict(row.parts).get("heat"))
    assert heats == [None, "20000000", "22000000"]


def test_without_what_it_needs_a_measured_value_makes_nothing_up() -> None:
    kind = measured_class(heat(20_000, LAST_YEAR))
    day = day_number(LAST_YEAR)
    assert factor_on(FactorTable(TABLE.rows), kind, Basis.CALORIFIC, day) is None  # no heat of standard coal
    assert factor_on(FactorTable((), COAL_HEAT), kind, Basis.CARBON, day) is None  # no carbon content
    whole = coal(Basis.CARBON, "2")  # a default that does not say what it is made of stays as it is
    assert factor_on(FactorTable((whole,), COAL_HEAT), kind, Basis.CARBON, day) is whole
    alone = factor_on(FactorTable((), COAL_HEAT), kind, Basis.CALORIFIC, day)
    assert alone is not None
    assert alone.per_unit == Fraction(20_000, 29_307)


def test_gaps_of_the_factors_are_told_by_carrier_basis_and_days() -> None:
    since, until = dt.date(2023, 12, 31), dt.date(2024, 3, 1)
    rows = [
        m.point(1, carrier="raw_coal", valid_from=instant_of(since), valid_to=instant_of(LAST_YEAR)),
        m.point(2, carrier="raw_coal", valid_from=instant_of(LAST_YEAR), valid_to=instant_of(until)),
        m.point(3, carrier="electricity", valid_from=instant_of(since)),
        m.point(4, carrier="heat", valid_from=instant_of(since), role="sub"),
    ]
    table = FactorTable(
        tuple(row for row in TABLE.rows if row.basis is not Basis.CARBON or row.region), COAL_HEAT
    )
    assert factor_gaps(m.registry(m.points(*rows)), table) == [
        "电力 等价值 2023-12-31 …",
        "原煤 二氧化碳 2023-12-31 … 2024-02-29",
    ]
    assert factor_gaps(m.registry(m.points()), table) == []


def records(*rows: Factor, heat_is: str = "29307") -> dict[str, dict[str, Any]]:
    return factor_records(FactorTable(rows, replace(COAL_HEAT, value=Fraction(heat_is))))


BASE = coal(Basis.CALORIFIC, "0.7", valid_from=LAST_YEAR)


def days_of(span: tuple[str, str, int, int | None]) -> tuple[str, str, dt.date, dt.date | None]:
    carrier, region, first, end = span
    epoch = dt.date(1970, 1, 1)
    return carrier, region, epoch + dt.timedelta(first), None if end is None else epoch + dt.timedelta(end)


def test_records_are_json_and_compare_equal_after_they_were_stored() -> None:
    known = factor_records(TABLE)
    assert json.loads(json.dumps(known)) == known
    assert known["grid/430000"] == {
        "carrier": "electricity", "basis": "carbon", "per_unit": "1/2", "edition": "test", "source": "test",
        "confidence": "transcribed", "valid_from": "2008-06-01", "valid_to": None, "region": "430000",
        "note": "", "parts": [],
    }  # fmt: skip
    changes, spans = changed_factors(json.loads(json.dumps(known)), known)
    assert (changes, spans.height) == ([], 0)


@pytest.mark.parametrize(
    ("after", "kind", "fields", "spans"),
    [
        ([], "removed", [], [(LAST_YEAR, None)]),
        ([replace(BASE, per_unit=Fraction(1))], "changed", ["per_unit"], [(LAST_YEAR, None)]),
        ([replace(BASE, confidence=Confidence.COPIED)], "changed", ["confidence"], [(LAST_YEAR, None)]),
        ([replace(BASE, source="seen", note="n", edition="e")], "changed", ["edition", "note", "source"], []),
        ([replace(BASE, valid_to=NEW_YEAR)], "changed", ["valid_to"], [(NEW_YEAR, None)]),
        ([replace(BASE, valid_from=NEW_YEAR)], "changed", ["valid_from"], [(LAST_YEAR, NEW_YEAR)]),
        (
            [replace(BASE, valid_from=dt.date(2023, 1, 1), valid_to=NEW_YEAR, source="seen")],
            "changed", ["source", "valid_from", "valid_to"],
            [(dt.date(2023, 1, 1), LAST_YEAR), (NEW_YEAR, None)],
        ),
    ],
)  # fmt: skip
def test_a_change_reaches_exactly_the_days_that_rest_on_it(
    after: list[Factor], kind: str, fields: list[str], spans: list[tuple[dt.date, dt.date | None]]
) -> None:
    changes, found = changed_factors(records(BASE), records(*after))
    assert [(row["factor"], row["change"], row["fields"]) for row in changes] == [
        (BASE.factor_id, kind, fields)
    ]
    assert changes[0]["before"] == records(BASE)[BASE.factor_id]
    assert [days_of(row) for row in found.rows()] == [("raw_coal", "", *span) for span in spans]


def test_a_new_row_of_a_region_reaches_that_region() -> None:
    local = replace(BASE, factor_id="county", region="430621", valid_to=NEW_YEAR)
    changes, found = changed_factors(records(BASE), records(BASE, local))
    assert [(row["change"], row["before"]) for row in changes] == [("added", None)]
    assert [days_of(row) for row in found.rows()] == [("raw_coal", "430621", LAST_YEAR, NEW_YEAR)]


def test_a_row_that_moves_reaches_where_it_was_and_where_it_is() -> None:
    moved = replace(BASE, region="430000", valid_to=NEW_YEAR)
    _, found = changed_factors(records(BASE), records(moved))
    assert [days_of(row) for row in found.rows()] == [
        ("raw_coal", "", LAST_YEAR, None),
        ("raw_coal", "430000", LAST_YEAR, NEW_YEAR),
    ]


def test_the_heat_of_standard_coal_concerns_every_fuel() -> None:
    changes, found = changed_factors(records(BASE), records(BASE, heat_is="29308"))
    assert [row["factor"] for row in changes] == ["constant/standard_coal"]
    assert set(found["carrier"]) == {carrier.value for carrier in Carrier if carrier.is_fuel}
    assert found["end_day"].null_count() == found.height


def test_books_that_know_nothing_yet_learn_everything() -> None:
    changes, found = changed_factors({}, records(BASE))
    assert {row["change"] for row in changes} == {"added"}
    assert ("raw_coal", "", day_number(LAST_YEAR), None) in found.rows()
