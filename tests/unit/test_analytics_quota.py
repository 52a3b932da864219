"""Progress against quotas: the last complete day, bounds from atoms, every basis, scope and level."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from analytics.quota import measures_of_progress, quota_subject
from analytics.scopes import scope_sign
from analytics.usage import used_to_date
from nengshao.domain.factors import Basis
from nengshao.domain.time import day_start
from nengshao.domain.units import Scope, Use
from nengshao.frames import MEASURES, PROGRESS
from tests.support import metering as m
from tests.support import quotas as q

D = 86_400
YEAR = q.number(2025)


def test_progress_ends_at_the_last_day_before_anything_unpublished() -> None:
    days = [q.day(YEAR), q.day(YEAR + 1), q.day(YEAR + 2, published=False), q.day(YEAR + 3)]
    row = q.progress(days, [q.quota(365_000_000)])
    assert (row["as_of_day"], row["used_g"], row["due_g"]) == (YEAR + 1, 2000, 2_000_000)


def test_an_absent_day_ends_it_as_well() -> None:
    assert q.progress([q.day(YEAR), q.day(YEAR + 2)], [q.quota(1)])["as_of_day"] == YEAR


def test_on_new_year_s_day_nothing_is_published_nothing_used_and_nothing_due() -> None:
    row = q.progress([q.day(YEAR, published=False)], [q.quota(365)], today=YEAR)
    names = ("as_of_day", "used_g", "due_g", "pace", "coverage", "projected_g", "projection", "is_confirmed")
    assert [row[name] for name in names] == [None, None, 0, None, None, None, "", False]


def test_at_the_end_of_the_year_everything_is_due_and_the_projection_is_what_was_used() -> None:
    row = q.progress(q.days(YEAR, [1000] * 365), [q.quota(730_000)])
    names = ("as_of_day", "due_g", "pace", "projected_low_g", "projected_g", "projected_high_g")
    assert [row[name] for name in names] == [YEAR + 364, 730_000, 0.5, 365_000, 365_000, 365_000]


def test_today_limits_it() -> None:
    assert q.progress(q.days(YEAR, [1] * 3), [q.quota(1)], today=YEAR + 1)["as_of_day"] == YEAR + 1


def test_gaps_add_up_day_by_day() -> None:
    days = [
        q.day(YEAR, calorific_gap_low=-10, calorific_gap_high=50),
        q.day(YEAR + 1, calorific_gap_high=5, missing_w=100),
    ]
    row = q.progress(days, [q.quota(365_000_000)])
    assert (row["low_g"], row["used_g"], row["high_g"]) == (1990, 2000, 2055)
    assert row["coverage"] == pytest.approx(2 / 3)
    assert row["pace_high"] == 2055 / 2_000_000


def test_an_unbounded_gap_leaves_the_other_bound() -> None:
    row = q.progress(q.days(YEAR, [1000] * 7, calorific_gap_high=None), [q.quota(365)])
    assert [row[name] for name in ("high_g", "pace_high", "projected_high_g")] == [None] * 3
    assert row["low_g"] == 7000 < row["projected_low_g"]


@pytest.mark.parametrize(
    ("start", "end", "sign", "expected"),
    [
        (3600, 7200, 1, (2700, 2700, 2700)),  # inside: belongs to the value and both bounds
        (D, 3 * D, 1, (2000, 2000, 2700)),  # across the end of as_of_day
        (-D, D, 1, (2000, 2000, 2700)),  # across the start of the year
        (D, 3 * D, -1, (1300, 2000, 2000)),  # an output across
        (0, 2 * D, -1, (1300, 1300, 1300)),
        (5 * D, 6 * D, 1, (2000, 2000, 2000)),  # beyond
        (0, D, 0, (2000, 2000, 2000)),  # of a sub-meter
    ],
)
def test_a_block_counts_by_where_it_lies(start: int, end: int, sign: int, expected: tuple[int, ...]) -> None:
    blocks = [q.block(m.T0 + start, m.T0 + end, 700, sign=sign)]
    row = q.progress(q.days(YEAR, [1000, 1000]), [q.quota(1)], blocks=blocks)
    assert (row["low_g"], row["used_g"], row["high_g"]) == expected


def test_a_missing_factor_makes_it_unknown_not_small() -> None:
    row = q.progress([q.day(YEAR), q.day(YEAR + 1, None, no_factor="heat:calorific")], [q.quota(1)])
    assert [row[k] for k in ("used_g", "low_g", "high_g", "pace", "projected_g")] == [None] * 5
    row = q.progress([q.day(YEAR)], [q.quota(1)], blocks=[q.block(m.T0, m.T0 + 3600, None)])
    assert row["used_g"] is None


def test_a_basis_lacks_only_its_own_factors() -> None:
    """`carbon` is the end of an item of the list, never a part of a name in it."""
    days = [q.day(YEAR, no_factor="carbon:calorific,carbonised_coal:equivalent")]
    quotas = [q.quota(1, basis=basis.value) for basis in Basis]
    found = {row["basis"]: row["used_g"] for row in q.progress_rows(days, quotas).to_dicts()}
    assert found == {"calorific": None, "equivalent": None, "carbon": 1000}
    days = [q.day(YEAR, no_factor="heat:calorific,heat:carbon")]
    found = {row["basis"]: row["used_g"] for row in q.progress_rows(days, quotas).to_dicts()}
    assert found == {"calorific": None, "equivalent": 1000, "carbon": None}


def test_a_day_without_any_measurement_is_left_to_the_bounds() -> None:
    row = q.progress([q.day(YEAR), q.day(YEAR + 1, None, calorific_gap_high=9000)], [q.quota(1)])
    assert (row["low_g"], row["used_g"], row["high_g"]) == (1000, 1000, 10_000)


def test_the_quota_of_a_year_that_begins_on_the_way_spreads_over_the_days_on_duty() -> None:
    own = m.enterprises(active_from=m.T0 + 10 * D, active_to=m.T0 + 20 * D)
    days = q.days(YEAR + 10, [1000] * 5)
    row = q.progress(days, [q.quota(10_000_000)], enterprises=own)
    assert (row["as_of_day"], row["due_g"]) == (YEAR + 14, 5_000_000)


def test_each_basis_has_its_own_figure() -> None:
    days = q.days(YEAR, [1000], equivalent_g=2500, carbon_g=2660, carbon_confirmed=False)
    quotas = [q.quota(365_000, basis=basis.value) for basis in Basis]
    found = q.progress_rows(days, quotas).select("basis", "used_g", "due_g", "is_confirmed").rows()
    assert found == [
        ("calorific", 1000, 1000, True),
        ("carbon", 2660, 1000, False),
        ("equivalent", 2500, 1000, True),
    ]


def test_an_incentive_has_the_figures_of_the_base_and_a_pace_of_its_own() -> None:
    quotas = [q.quota(730_000), q.quota(365_000, level="incentive")]
    base, incentive = q.progress_rows(q.days(YEAR, [1000] * 10), quotas).to_dicts()
    assert (base["level"], base["pace"]) == ("base", 0.5)
    assert (incentive["level"], incentive["pace"]) == ("incentive", 1.0)
    assert base["projected_g"] == incentive["projected_g"] == 365_000


def test_an_unconfirmed_quota_is_unconfirmed_progress() -> None:
    row = q.progress([q.day(YEAR)], [q.quota(1, confidence="copied")])
    assert (row["quota_confirmed"], row["is_confirmed"]) == (False, False)


def test_a_quota_of_a_year_to_come_or_of_nobody_is_not_listed() -> None:
    assert q.progress_rows([], [q.quota(1, year=2026)], today=YEAR).is_empty()
    assert q.progress_rows([], [q.quota(1, enterprise="nobody")]).is_empty()


def test_a_region_is_judged_like_an_enterprise_and_is_always_on_duty() -> None:
    rows = q.days(YEAR, [1000] * 2, enterprise="430600")
    row = q.progress(rows, [q.quota(365_000, enterprise="430600")], enterprises=m.enterprises())
    assert (row["used_g"], row["due_g"], row["pace"]) == (2000, 2000, 1.0)


# ------------------------------------------------------------------------------------------- scopes

SIGNS = {
    # (sign, use): total, feedstock, non_fossil, excluding_feedstock, excluding_non_fossil, net
    (1, Use.ENERGY): (1, 0, 0, 1, 1, 1),
    (-1, Use.ENERGY): (-1, 0, 0, -1, -1, -1),
    (0, Use.ENERGY): (0, 0, 0, 0, 0, 0),
    (1, Use.FEEDSTOCK): (1, 1, 0, 0, 1, 0),
    (-1, Use.FEEDSTOCK): (-1, -1, 0, 0, -1, 0),  # feedstock that leaves again is deducted less
    (0, Use.FEEDSTOCK): (0, 0, 0, 0, 0, 0),
    (1, Use.NON_FOSSIL): (1, 0, 1, 1, 0, 0),
    (-1, Use.NON_FOSSIL): (-1, 0, -1, -1, 0, 0),
    (0, Use.NON_FOSSIL): (0, 0, 0, 0, 0, 0),
    (1, Use.CERTIFICATE): (0, 0, 1, 0, -1, -1),
    (0, Use.CERTIFICATE): (0, 0, 1, 0, -1, -1),
}


def test_how_a_point_counts_in_a_scope() -> None:
    rows = [(sign, use.value) for sign, use in SIGNS]
    frame = pl.DataFrame(rows, schema={"sign": pl.Int8, "use": pl.String}, orient="row")
    found = frame.select(scope_sign(scope).alias(scope.value) for scope in Scope)
    assert found.rows() == list(SIGNS.values())
    assert set(found.dtypes) == {pl.Int8()}


def all_scopes(g: int = 365_000) -> list[dict[str, Any]]:
    return [q.quota(g, scope=scope.value) for scope in Scope]


def used_by_scope(**more: Any) -> dict[str, tuple[int | None, ...]]:
    rows = q.progress_rows(more.pop("rows"), all_scopes(), **more)
    return {r["scope"]: (r["low_g"], r["used_g"], r["high_g"]) for r in rows.to_dicts()}


def test_each_scope_has_its_own_days() -> None:
    scopes = [
        q.day(YEAR, g, scope=scope)
        for scope, g in {
            "feedstock": 300, "non_fossil": 200, "excluding_feedstock": 700, "excluding_non_fossil": 800,
            "net": 500,
        }.items()
    ]  # fmt: skip
    found = used_by_scope(rows=[q.day(YEAR)], scopes=scopes)
    assert {scope: used for scope, (_, used, _) in found.items()} == {
        "total": 1000, "feedstock": 300, "non_fossil": 200, "excluding_feedstock": 700,
        "excluding_non_fossil": 800, "net": 500,
    }  # fmt: skip


def test_where_no_point_has_another_use_the_total_is_every_scope_and_nothing_is_deducted() -> None:
    rows = [q.day(YEAR, calorific_gap_high=50, no_factor="", calorific_confirmed=True)]
    found = used_by_scope(rows=rows)
    whole, nothing = (1000, 1000, 1050), (0, 0, 0)
    assert found == {
        "total": whole, "feedstock": nothing, "non_fossil": nothing, "excluding_feedstock": whole,
        "excluding_non_fossil": whole, "net": whole,
    }  # fmt: skip


def test_a_use_that_begins_during_the_year_is_deducted_from_then_on() -> None:
    scopes = [q.day(YEAR + 1, 600, scope="net"), q.day(YEAR + 1, 400, scope="feedstock")]
    found = used_by_scope(rows=q.days(YEAR, [1000, 1000]), scopes=scopes)
    assert found["net"][1] == 1600
    assert found["feedstock"][1] == 400


def test_a_missing_factor_in_the_total_says_nothing_of_a_deduction_that_is_not_there() -> None:
    found = used_by_scope(rows=[q.day(YEAR, None, no_factor="heat:calorific")])
    assert found["total"] == found["net"] == (None, None, None)
    assert found["feedstock"] == (0, 0, 0)


@pytest.mark.parametrize(
    ("use", "sign", "expected"),
    [
        # on top of 1000 a day of every scope but the two deductions, which have 0
        ("energy", 1, {"total": 1700, "feedstock": 0, "non_fossil": 0, "net": 1700}),
        ("feedstock", 1, {"total": 1700, "feedstock": 700, "excluding_feedstock": 1000, "net": 1000}),
        ("non_fossil", 1, {"total": 1700, "non_fossil": 700, "excluding_non_fossil": 1000, "net": 1000}),
        ("certificate", 0, {"total": 1000, "non_fossil": 700, "excluding_non_fossil": 300, "net": 300}),
        ("certificate", 1, {"total": 1000, "non_fossil": 700, "excluding_feedstock": 1000, "net": 300}),
    ],
)
def test_a_block_counts_in_a_scope_by_its_use(use: str, sign: int, expected: dict[str, int]) -> None:
    blocks = [q.block(m.T0, m.T0 + D, 700, sign=sign, use=use)]
    found = used_by_scope(rows=[q.day(YEAR)], blocks=blocks)
    assert {scope: found[scope][1] for scope in expected} == expected


def test_a_certificate_across_the_border_can_only_take_away_from_what_excludes_it() -> None:
    blocks = [q.block(m.T0 - D, m.T0 + D, 700, use="certificate")]
    found = used_by_scope(rows=[q.day(YEAR)], blocks=blocks)
    assert found["total"] == (1000, 1000, 1000)
    assert found["net"] == (300, 1000, 1000)
    assert found["non_fossil"] == (0, 0, 700)


# --------------------------------------------------------------------------------- without a quota


def to_date(
    rows: list[dict[str, Any]], *, basis: Basis = Basis.CALORIFIC, scope: Scope = Scope.TOTAL
) -> pl.DataFrame:
    """Of the first two days of the year."""
    return used_to_date(
        *q.frames(rows, [], []), basis=basis, scope=scope, first_day=YEAR, end_day=YEAR + 2
    ).collect()


def test_the_figure_to_date_needs_no_quota_and_no_published_day() -> None:
    rows = q.days(YEAR - 1, [1000] * 4, published=False, carbon_g=7)
    assert to_date(rows).rows() == [(m.ENTERPRISE, 2000, 2000, 2000, True, 1.0)]
    assert to_date(rows, basis=Basis.CARBON)["used_g"].to_list() == [14]
    assert to_date(rows, scope=Scope.FEEDSTOCK)["used_g"].to_list() == [0]


def test_without_a_day_of_the_span_the_figure_to_date_is_unknown() -> None:
    assert to_date([q.day(YEAR - 1)]).rows() == [(m.ENTERPRISE, None, None, None, False, None)]


# ----------------------------------------------------------------------------------------- measures


def measured(**changes: Any) -> pl.DataFrame:
    row: dict[str, Any] = {
        "enterprise": m.ENTERPRISE, "year": 2025, "basis": "carbon", "scope": "net", "level": "base",
        "quota_g": 1000, "quota_confirmed": True, "as_of_day": YEAR, "used_g": 100, "low_g": 90,
        "high_g": None, "due_g": 50, "pace": 2.0, "pace_low": 1.8, "pace_high": None, "projected_g": 900,
        "projected_low_g": 800, "projected_high_g": 1200, "projection": "blend", "is_confirmed": False,
        "coverage": 0.75,
    }  # fmt: skip
    frame = pl.LazyFrame([row | changes], schema=dict(PROGRESS.schema))
    return measures_of_progress(frame).collect()


def test_progress_gives_three_measures_that_reach_to_the_end_of_its_day() -> None:
    frame = measured()
    assert frame.select("measure", "value", "low", "high").rows() == [
        ("progress_ratio", 2.0, 1.8, None),
        ("projected_ratio", 0.9, 0.8, 1.2),
        ("quota_ratio", 0.1, 0.09, None),
    ]
    same = {"enterprise": m.ENTERPRISE, "subject": "2025/carbon/net", "at": day_start(YEAR + 1)}
    same |= {"coverage": 0.75, "is_confirmed": False}
    assert frame.select(list(same)).unique().to_dicts() == [same]
    assert frame.schema == pl.Schema(MEASURES.schema)


def test_the_subject_of_a_measure_is_the_name_of_its_quota() -> None:
    assert measured(level="incentive")["subject"].unique().to_list() == [
        quota_subject({"year": 2025, "basis": "carbon", "scope": "net", "level": "incentive"})
    ]


def test_without_a_day_there_is_nothing_to_measure() -> None:
    assert measured(as_of_day=None).is_empty()


def test_a_quota_of_nothing_has_no_ratio() -> None:
    assert measured(quota_g=0).filter(measure="quota_ratio")["value"].to_list() == [None]
