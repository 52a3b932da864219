"""Any registry, written as tables and read again, is the same registry."""

from __future__ import annotations

from fractions import Fraction
from functools import reduce
from operator import or_
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from nengshao.domain.codes import PointKey
from nengshao.domain.factors import Basis, Confidence
from nengshao.domain.readings import MICRO
from nengshao.domain.targets import Profile, TargetLevel
from nengshao.domain.units import Carrier, PointKind, Role, Scope, Unit, Use, canonical_unit, to_canonical
from nengshao.registry import CONTRACTS, Registry
from nengshao.registry_tables import registry_of, tables_of
from tests.support import plants

Row = dict[str, Any]

ONE, TWO = plants.credit_code(1), plants.credit_code(2)
KEYS = [
    PointKey(ONE, "0000000002330011", 0, "01"),
    PointKey(ONE, "0000000002330011", 0, "T"),
    PointKey(ONE, "0100000001010011", 2, "00"),
    PointKey(TWO, "0100000001010011", 1, "-9"),
]
REGIONS = ["430000", "430600", "430621"]


def word_of(vocabulary: Any) -> st.SearchStrategy[str]:
    return st.sampled_from([member.value for member in vocabulary])


def merged(*parts: st.SearchStrategy[Row]) -> st.SearchStrategy[Row]:
    return st.tuples(*parts).map(lambda drawn: reduce(or_, drawn))


def row(**columns: st.SearchStrategy[Any]) -> st.SearchStrategy[Row]:
    return st.fixed_dictionaries(columns)


def validity(start: int, length: int | None) -> Row:
    return {"valid_from": start, "valid_to": None if length is None else start + length}


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8)
IDS = st.text("ABCxyz0189_-", min_size=1, max_size=6)
INSTANTS, SECONDS = st.integers(0, 2**32), st.integers(0, 10**7)
AMOUNTS, SIZES = st.integers(0, 10**15), st.integers(1, 10**12)
YEARS = st.integers(1990, 2200)
VALID = st.builds(validity, INSTANTS, st.none() | SIZES.map(lambda size: size % 10**9 + 1))
ORIGIN = row(source=NAMES, confidence=word_of(Confidence))
AIM = row(
    enterprise=st.sampled_from([ONE, TWO, *REGIONS]), year=YEARS, basis=word_of(Basis), scope=word_of(Scope)
)
ENTERPRISE = row(enterprise=st.sampled_from([ONE, TWO]))
SHARE = (
    st.fractions(-100, 100, max_denominator=700)
    .filter(bool)
    .map(lambda share: {"num": share.numerator, "den": share.denominator})
)
MATES = st.sampled_from(
    [(key, other) for key in KEYS for other in KEYS if key.enterprise == other.enterprise]
)

TABLES: dict[str, st.SearchStrategy[Row]] = {
    "devices": merged(ENTERPRISE, row(device=IDS, name=NAMES, cadence_s=st.none() | SECONDS), VALID),
    "virtual_terms": merged(MATES.map(lambda m: {"point": m[0].point, "term": m[1].point}), SHARE, VALID),
    "heating_values": merged(ENTERPRISE, row(carrier=word_of(Carrier), heat_j=SIZES), ORIGIN, VALID),
    "products": merged(
        ENTERPRISE, row(product=IDS, name=NAMES, unit=st.sampled_from(["t", "m2"])),
        row(norm=st.just("") | IDS), VALID,
    ),
    "product_shares": merged(
        st.sampled_from(KEYS).map(lambda key: {"enterprise": key.enterprise, "point": key.point}),
        row(product=IDS), SHARE, VALID,
    ),
    "quotas": merged(
        AIM, row(level=word_of(TargetLevel), quota_g=AMOUNTS, profile=word_of(Profile)), ORIGIN
    ),
    "quota_plans": merged(AIM, row(month=st.integers(1, 12), planned_g=AMOUNTS)),
    "intensity_targets": merged(
        AIM,
        row(
            denominator=st.sampled_from(["product:p1", "gdp_comparable", "value_added"]),
            level=word_of(TargetLevel),
            target_mg=st.none() | SIZES,
            reduction_ppm=st.none() | st.integers(-(10**6), 10**6),
            base_year=st.none() | YEARS,
        ),
        ORIGIN,
    ),
}  # fmt: skip


@st.composite
def specifications(draw: st.DrawFn, key: PointKey, start: int, end: int | None) -> Row:
    carrier = draw(st.sampled_from(Carrier))
    unit = draw(st.sampled_from([unit for unit in Unit if canonical_unit(unit) is carrier.unit]))
    ratio = Fraction(draw(st.integers(1, 5000)), draw(st.integers(1, 50)))
    display, size = ratio * to_canonical(unit) * MICRO, draw(st.none() | st.integers(1, 10**3))
    facts = {
        "point": key.point, "enterprise": key.enterprise, "data_code": key.data_code,
        "stat_type": key.stat_type, "meter": key.meter, "carrier": carrier.value, "unit": unit.value,
        "ratio_num": ratio.numerator, "ratio_den": ratio.denominator, "valid_from": start, "valid_to": end,
        "register_modulus": None if size is None else size * display.numerator,
    }  # fmt: skip
    others = row(
        name=NAMES, device=st.just("") | IDS, kind=word_of(PointKind), role=word_of(Role), use=word_of(Use),
        parent=st.sampled_from([None, *(k.point for k in KEYS if k.enterprise == key.enterprise)]),
        feeds_total=st.booleans(), cadence_s=SECONDS, grace_s=SECONDS, max_estimate_s=SECONDS,
        capacity=st.none() | SIZES, expected_daily=st.none() | AMOUNTS,
    )  # fmt: skip
    return facts | draw(others)


@st.composite
def points(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    """Rows of every point, one to three that meet; and a meter change within one row and where two meet."""
    rows, changes = [], []
    for key in KEYS:
        cuts = sorted(draw(st.sets(INSTANTS, min_size=2, max_size=4)))
        ends = [*cuts[1:-1], draw(st.sampled_from([cuts[-1], None]))]
        own = [draw(specifications(key, *period)) for period in zip(cuts, ends, strict=False)]
        inside = own[-1]["valid_from"] + 1
        instants = {r["valid_from"] for r in own[1:]} | ({inside} - {own[-1]["valid_to"]})
        rows += own
        changes += [
            {"point": key.point, "at": at, "closing": draw(AMOUNTS), "opening": draw(AMOUNTS)}
            for at in sorted(instants)
        ]
    return rows, changes


@st.composite
def registries(draw: st.DrawFn) -> Registry:
    rows = {name: draw(st.lists(strategy, max_size=3)) for name, strategy in TABLES.items()}
    rows["points"], rows["meter_changes"] = draw(points())
    rows["regions"] = [
        {"code": code, "name": draw(NAMES), "parent": draw(st.sampled_from([None, *REGIONS]))}
        for code in REGIONS
    ]
    rows["enterprises"] = [
        {"enterprise": code, "name": draw(NAMES), "region": REGIONS[2], "industry": draw(IDS),
         "dialect": draw(IDS), "active_from": draw(INSTANTS), "active_to": draw(st.none() | INSTANTS)}
        for code in (ONE, TWO)
    ]  # fmt: skip
    return Registry(0, **{name: frame(name, rows[name]) for name in CONTRACTS})


def frame(name: str, rows: list[Row]) -> pl.DataFrame:
    key = CONTRACTS[name].key
    found = pl.DataFrame(rows, schema=dict(CONTRACTS[name].schema))
    return found.unique(key, keep="first", maintain_order=True).sort(key)


@settings(max_examples=100, deadline=None)
@given(registries())
def test_an_export_of_any_registry_imports_to_the_same(registry: Registry) -> None:
    again = registry_of(tables_of(registry))
    for name in CONTRACTS:
        assert getattr(again, name).equals(getattr(registry, name)), name
