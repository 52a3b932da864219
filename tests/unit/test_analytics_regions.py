"""Regions as sums of their key units."""

from __future__ import annotations

from typing import Any

import polars as pl

from analytics.regions import members_of, region_blocks, region_scope_totals, region_totals
from nengshao.frames import BLOCKS, ENTERPRISE_DAYS, SCOPE_DAYS
from nengshao.registry import REGIONS
from tests.support import metering as m

TREE = pl.DataFrame(
    [
        ("430000", "省", None),
        ("430600", "市", "430000"),
        ("430621", "县", "430600"),
        ("430602", "区", "430600"),
    ],
    schema=dict(REGIONS.schema),
    orient="row",
)
A, B, C = "A", "B", "C"


def units(**regions: str) -> pl.DataFrame:
    return m.enterprises(*regions).with_columns(
        region=pl.col("enterprise").replace_strict(regions, return_dtype=pl.String)
    )


UNITS = units(A="430621", B="430602")
MEMBERS = members_of(TREE, UNITS)


def day(name: str, number: int = 0, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(ENTERPRISE_DAYS.schema)
    return row | {
        "enterprise": name, "day": m.DAY + number, "calorific_g": 100, "equivalent_g": 250, "carbon_g": 600,
        "calorific_gap_low": 0, "calorific_gap_high": 0, "equivalent_gap_low": 0, "equivalent_gap_high": 0,
        "carbon_gap_low": 0, "carbon_gap_high": 0, "measured_w": 10, "estimated_w": 0, "spread_w": 0,
        "missing_w": 0, "pending_w": 0, "missing_points": "", "no_factor": "", "calorific_confirmed": True,
        "equivalent_confirmed": False, "carbon_confirmed": True, "published": True,
    } | changes  # fmt: skip


def days(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(ENTERPRISE_DAYS.schema), orient="row")


def asked(*pairs: tuple[str, int]) -> pl.DataFrame:
    rows = [(code, m.DAY + number) for code, number in pairs]
    return pl.DataFrame(rows, schema={"enterprise": pl.String, "day": pl.Int32}, orient="row")


def total(*rows: dict[str, Any], region: str = "430600", enterprises: pl.DataFrame = UNITS) -> dict[str, Any]:
    members = members_of(TREE, enterprises)
    return region_totals(days(*rows), members, enterprises, asked((region, 0))).row(0, named=True)


def test_an_enterprise_belongs_to_its_county_its_city_and_its_province() -> None:
    assert MEMBERS.filter(pl.col("enterprise") == A)["region"].to_list() == ["430000", "430600", "430621"]
    assert members_of(TREE, units(C="999999")).is_empty()  # an unregistered region has no figures


def test_a_region_is_the_sum_of_its_members_on_every_basis() -> None:
    row = total(day(A), day(B, calorific_g=7))
    assert (row["calorific_g"], row["equivalent_g"], row["carbon_g"]) == (107, 500, 1200)
    assert (row["enterprise"], row["measured_w"], row["published"]) == ("430600", 20, True)
    assert (row["calorific_confirmed"], row["equivalent_confirmed"]) == (True, False)
    assert total(day(A), day(B, calorific_g=7), region="430621")["calorific_g"] == 100


def test_a_member_without_a_figure_is_in_the_bounds_and_never_zero() -> None:
    row = total(day(A), day(B, calorific_g=None, calorific_gap_high=90))
    assert (row["calorific_g"], row["calorific_gap_high"]) == (100, 90)
    assert total(day(A), day(B, calorific_g=None, calorific_gap_high=None))["calorific_gap_high"] is None
    assert total(day(A, calorific_g=None), day(B, calorific_g=None))["calorific_g"] is None


def test_a_member_without_a_factor_leaves_that_basis_unknown_and_is_named() -> None:
    row = total(day(A), day(B, calorific_g=None, no_factor="coke:calorific,heat:equivalent"))
    assert (row["calorific_g"], row["equivalent_g"], row["carbon_g"]) == (None, None, 1200)
    assert row["no_factor"] == "coke:calorific,heat:equivalent"


def test_a_day_is_open_until_every_member_on_duty_has_published_it() -> None:
    assert not total(day(A), day(B, published=False))["published"]
    assert not total(day(A))["published"]  # B has no row yet
    left = UNITS.with_columns(active_to=pl.when(pl.col("enterprise") == B).then(m.T0))
    assert total(day(A), enterprises=left)["published"]  # B has left before the day


def test_scopes_of_members_that_have_none_are_their_totals() -> None:
    base = day(A)
    scopes = {
        "feedstock": 30,
        "non_fossil": 0,
        "excluding_feedstock": 70,
        "excluding_non_fossil": 100,
        "net": 70,
    }
    rows = [base | {"scope": scope, "calorific_g": grams} for scope, grams in scopes.items()]
    own = pl.DataFrame(rows, schema=dict(SCOPE_DAYS.schema), orient="row")
    both = days(base, day(B, calorific_g=7))
    found = region_scope_totals(own, both, MEMBERS, asked(("430600", 0), ("430602", 0)))
    assert dict(found.select("scope", "calorific_g").iter_rows()) == {
        "feedstock": 30, "non_fossil": 0, "excluding_feedstock": 77, "excluding_non_fossil": 107, "net": 77,
    }  # fmt: skip
    assert found["enterprise"].unique().to_list() == ["430600"]  # B's own district has nothing to deduct


def test_what_a_member_has_none_of_does_not_hang_on_its_factors_nor_on_its_coverage() -> None:
    """B has no CO2 factor, confirms nothing, is open above and half unmeasured: its feedstock is 0 all the
    same, so that the region's 300 g of A are known, confirmed and covered. Without the feedstock B's total is
    in it, and so is what it lacks."""
    a = day(A, carbon_g=1000, carbon_confirmed=True, equivalent_confirmed=True)
    b = day(B, carbon_g=None, carbon_gap_high=None, carbon_confirmed=False, no_factor="lignite:carbon",
            measured_w=5, missing_w=5)  # fmt: skip
    scopes = {"feedstock": 300, "non_fossil": 0, "excluding_feedstock": 700}
    rows = [a | {"scope": scope, "carbon_g": grams} for scope, grams in scopes.items()]
    own = pl.DataFrame(rows, schema=dict(SCOPE_DAYS.schema), orient="row")
    found = region_scope_totals(own, days(a, b), MEMBERS, asked(("430600", 0)))
    columns = ("carbon_g", "carbon_gap_high", "carbon_confirmed", "no_factor", "measured_w", "missing_w")
    by_scope = {row["scope"]: tuple(row[name] for name in columns) for row in found.to_dicts()}
    assert by_scope == {
        "feedstock": (300, 0, True, "", 10, 0),
        "non_fossil": (0, 0, True, "", 10, 0),
        "excluding_feedstock": (None, None, False, "lignite:carbon", 15, 5),
    }


def test_what_a_member_has_none_of_is_open_as_long_as_its_day_is() -> None:
    """A day that is not published may still turn out to have feedstock in it."""
    own = pl.DataFrame([day(A) | {"scope": "feedstock"}], schema=dict(SCOPE_DAYS.schema), orient="row")
    found = region_scope_totals(own, days(day(A), day(B, published=False)), MEMBERS, asked(("430600", 0)))
    assert found["published"].to_list() == [False]


def test_blocks_of_members_are_the_regions_too() -> None:
    row: dict[str, Any] = dict.fromkeys(BLOCKS.schema, 1) | {"enterprise": A, "use": "energy"}
    held = pl.DataFrame([row], schema=dict(BLOCKS.schema), orient="row")
    assert region_blocks(held, MEMBERS, ["430600"])["enterprise"].to_list() == ["430600"]
    assert region_blocks(held, MEMBERS, ["430602"]).is_empty()


def test_nothing_asked_gives_nothing() -> None:
    assert region_totals(days(), MEMBERS, UNITS, asked()).is_empty()
    assert region_scope_totals(SCOPE_DAYS.empty(), days(day(A)), MEMBERS, asked(("430600", 0))).is_empty()
