"""Explanations at the edges: nothing there, no factor, many gaps, regions, what is gone."""

from __future__ import annotations

import copy
import datetime as dt
from dataclasses import replace
from fractions import Fraction
from typing import Any

import polars as pl
import pytest

from analytics.assessment import Results, assess
from analytics.calendar_library import Calendar
from analytics.explanation import Explainer, days_needed, explain_measure
from analytics.explanation.totals import MOST_BLOCKS
from analytics.law import Law
from nengshao.domain.factors import Basis, Confidence, Constant, FactorTable
from nengshao.domain.norms import NormTable
from nengshao.domain.rules import Band, Judgement, Measure, Operator, Rule, Severity, Verdict
from nengshao.domain.time import day_number, day_start
from nengshao.domain.units import Scope
from nengshao.frames import (
    BLOCKS,
    ENTERPRISE_DAYS,
    HEATING_VALUES,
    INTENSITY,
    INTENSITY_TARGETS,
    PROGRESS,
    QUOTAS,
    SCOPE_DAYS,
    STATISTICS,
)
from nengshao.registry import Registry
from tests.support import metering as m
from tests.support.plant import PLANT, Plant, plant
from tests.support.trees import Tree, beside, faults, of_kind

D = 86_400
REGION = "430600"
NO_NORMS = NormTable((), ())
LAW = Law(m.FACTORS, NO_NORMS, Calendar(), {})


def run(
    registry: Registry, *reads: pl.DataFrame, days: int = 1, first: int = m.DAY, law: Law = LAW
) -> Results:
    readings = pl.concat([m.readings(0, []), *reads]).sort("point", "ts").lazy()
    return assess(
        readings, registry, law.factors, window=(first, first + days), as_of=m.T0 + 999 * D
    ).collect()


def frames_of(results: Results, **others: pl.DataFrame) -> dict[str, pl.DataFrame]:
    return {
        "POINT_DAYS": results.point_days, "BLOCKS": results.blocks, "SCOPE_DAYS": results.scope_days,
        "ENTERPRISE_DAYS": results.enterprise_days, "STATISTICS": STATISTICS.empty(),
        "PROGRESS": PROGRESS.empty(), "INTENSITY": INTENSITY.empty(),
    } | others  # fmt: skip


def total(
    registry: Registry, results: Results, days: int = 1, first: int = m.DAY, law: Law = LAW, **asked: Any
) -> Tree:
    basis, scope = asked.get("basis", Basis.CALORIFIC), asked.get("scope", Scope.TOTAL)
    return Explainer(law).total(
        (m.ENTERPRISE, basis, scope, first, first + days), frames_of(results), registry
    )


def steady(number: int, kwh: float = 10, *, gone: range = range(0), days: int = 1) -> pl.DataFrame:
    pairs = m.kwh(*(i * kwh for i in range(96 * days + 1)))
    return m.readings(number, [pair for i, pair in enumerate(pairs) if i not in gone])


# --------------------------------------------------------------------------------------------- proofs


def test_a_tree_that_does_not_add_up_is_found_out() -> None:
    registry = m.registry(m.points(m.point(1), m.point(2)))
    tree = total(registry, run(registry, steady(1), steady(2)))
    assert faults(tree) == []
    for path, field, value in (
        ((0,), "exact", 1), ((0, 0), "exact_low", 1), ((0, 0, 1), "value", 0.2),
        ((0, 0), "is_confirmed", False),
    ):  # fmt: skip
        tampered = copy.deepcopy(tree)
        node: Any = tampered
        for step in path:
            node = node["children"][step]
        node[field] = value
        assert faults(tampered) != []


# --------------------------------------------------------------------------------------------- totals


def test_an_enterprise_without_points_is_unknown_and_not_zero() -> None:
    registry = m.registry(m.points())
    tree = total(registry, run(registry))
    assert (tree["value"], tree["exact"], tree["coverage"], tree["children"]) == (None, None, None, [])
    assert (tree["exact_low"], tree["exact_high"]) == (0, 0)  # nothing could have been


def test_a_carrier_without_a_factor_leaves_the_whole_unknown_and_is_named() -> None:
    registry = m.registry(m.points(m.point(1), m.point(2, carrier="coke", unit="kg")))
    tree = total(registry, run(registry, steady(1), steady(2)))
    assert (tree["value"], tree["low"], tree["high"]) == (None, None, None)
    (lacking,) = of_kind(tree, "no_factor")
    assert lacking["name"] == "焦炭：缺当量值系数 / no calorific factor"
    assert tree["because"] == ["缺系数 / no factor"]
    assert faults(tree) == []


def test_a_day_on_which_nothing_was_measured_has_bounds_alone() -> None:
    registry = m.registry(m.points(m.point(1)))
    tree = total(registry, run(registry))
    # 1 000 kWh an hour for a day × 0.1229
    assert (tree["value"], tree["exact_low"], tree["exact_high"]) == (None, 0, 2_949_600)
    assert tree["coverage"]["missing"] == 1.0
    assert faults(tree) == []


def test_without_a_capacity_what_is_missing_is_unbounded() -> None:
    registry = m.registry(m.points(m.point(1, capacity=None), m.point(2)))
    tree = total(registry, run(registry, steady(2)))
    assert (tree["exact"], tree["exact_low"], tree["exact_high"]) == (117_984, 117_984, None)
    assert faults(tree) == []


def test_what_an_output_misses_could_only_take_away() -> None:
    registry = m.registry(m.points(m.point(1), m.point(2, role="output")))
    tree = total(registry, run(registry, steady(1)))
    assert tree["exact_high"] - tree["exact"] == 0
    assert tree["exact"] - tree["exact_low"] == 2_949_600
    assert faults(tree) == []


def test_a_new_factor_is_a_leaf_of_its_own_with_the_days_it_holds_for() -> None:
    old = m.factor(m.Carrier.ELECTRICITY, Basis.CALORIFIC, "0.1", valid_to=dt.date(2025, 1, 2))
    new = m.factor(m.Carrier.ELECTRICITY, Basis.CALORIFIC, "0.2", valid_from=dt.date(2025, 1, 2))
    law = replace(LAW, factors=FactorTable((old, new)))
    registry = m.registry(m.points(m.point(1)))
    tree = total(registry, run(registry, steady(1, days=3), days=3, law=law), days=3, law=law)
    assert [(c["exact"], c["facts"]["from"], c["facts"]["to"]) for c in of_kind(tree, "conversion")] == [
        (96_000, "2025-01-01", "2025-01-02"), (384_000, "2025-01-02", "2025-01-04"),
    ]  # fmt: skip  # 960 kWh a day
    assert faults(tree) == []


def test_a_factor_that_has_left_the_library_is_named_until_the_days_are_restated() -> None:
    registry = m.registry(m.points(m.point(1), m.point(2)))
    results = run(registry, steady(1))
    tree = total(registry, results, law=replace(LAW, factors=FactorTable(())))
    assert tree["exact"] == 117_984
    assert tree["exact_high"] is None  # what the silent meter missed cannot be converted any more
    assert tree["because"] == [
        "系数已不在库，待重算 / factor no longer in the library: electricity/calorific/2008-06-01"
    ]


def test_an_own_heating_value_is_a_factor_with_its_test_report() -> None:
    coal = Constant(
        "standard_coal", Fraction(29307), "kJ/kgce", "GB/T 2589", "clause not seen", Confidence.COPIED
    )
    law = replace(LAW, factors=replace(m.FACTORS, standard_coal=coal))
    heat = pl.DataFrame(
        [(m.ENTERPRISE, "raw_coal", 29_307_000, "化验单 7", "official", m.T0, None)],
        schema=dict(HEATING_VALUES.schema), orient="row",
    )  # fmt: skip
    point = m.point(1, carrier="raw_coal", unit="kg", kind="amount", stat_type=1)
    registry = m.registry(m.points(point), heating_values=heat)
    results = run(registry, m.readings(1, [(m.T0, 5_000_000)]), law=law)
    (factor,) = of_kind(total(registry, results, law=law), "factor")
    assert (factor["value"], factor["source"]) == (1.0, "化验单 7; clause not seen")
    assert factor["facts"]["parts"] == {"heat": "29307000", "standard_coal": "29307"}
    assert factor["because"] == [f"系数 / factor {factor['name']}: copied"]  # the constant is


def test_many_long_gaps_are_shown_up_to_a_limit_and_their_rest_as_one() -> None:
    registry = m.registry(m.points(m.point(1, max_estimate_s=0)))
    pairs = [pair for i, pair in enumerate(m.kwh(*(float(i) for i in range(96 * 3 + 1)))) if i % 4 == 0]
    tree = total(registry, run(registry, m.readings(1, pairs), days=3), days=3)
    (point,) = tree["children"]
    blocks = [child for child in point["children"] if child["kind"] == "block"]
    assert (len(blocks), blocks[-1]["name"]) == (MOST_BLOCKS + 1, "其余 22 块 / 22 more")
    assert tree["exact"] == sum(block["exact"] for block in blocks) == 72 * 492  # 4 kWh, rounded 491.6 g each
    assert faults(tree) == []


def test_the_29th_of_february_is_a_day_of_its_quarter() -> None:
    leap = day_number(dt.date(2024, 2, 29))
    points = m.points(m.point(1, kind="amount", stat_type=1, valid_from=day_start(leap)))
    registry = m.registry(points, enterprises=m.enterprises(active_from=day_start(leap)))
    results = run(registry, m.readings(1, [(day_start(leap), 1_000_000_000)]), first=leap)
    tree = total(registry, results, first=leap)
    assert (tree["exact"], tree["facts"]["from"], tree["facts"]["to"]) == (
        122_900,
        "2024-02-29",
        "2024-03-01",
    )


def test_what_was_published_and_no_longer_follows_from_the_points_is_said() -> None:
    registry = m.registry(m.points(m.point(1)))
    results = run(registry, steady(1))
    published = results.enterprise_days.with_columns(calorific_g=pl.col("calorific_g") + 7)
    tree = total(registry, replace(results, enterprise_days=published))
    (residual,) = of_kind(tree, "residual")
    assert (residual["exact"], tree["exact"]) == (7, 117_991)
    assert faults(tree) == []


def test_a_certificate_is_deducted_where_the_non_fossil_part_is() -> None:
    registry = m.registry(m.points(m.point(1), m.point(2, use="certificate")))
    results = run(registry, steady(1), steady(2, 1))
    found = {
        scope: total(registry, results, scope=scope) for scope in (Scope.TOTAL, Scope.NON_FOSSIL, Scope.NET)
    }
    # 960 and 96 kWh × 0.1229, in g
    assert [tree["exact"] for tree in found.values()] == [117_984, 11_798, 106_186]
    assert [faults(tree) for tree in found.values()] == [[], [], []]


# ------------------------------------------------------------------------------------------- targets


@pytest.fixture(scope="module")
def works() -> Plant:
    return plant()


def progress_row(works: Plant) -> dict[str, Any]:
    return works.standing.progress.row(0, named=True)


def test_before_the_first_complete_day_there_is_a_quota_and_nothing_used(works: Plant) -> None:
    row = progress_row(works) | {
        "as_of_day": None,
        "used_g": None,
        "due_g": 0,
        "pace": None,
        "coverage": None,
    }
    tree = works.explainer.progress(row, Measure.PROGRESS_RATIO, works.frames, works.registry)
    assert (tree["value"], tree["children"], beside(tree, "quota")["exact"]) == (None, [], 500_000_000)


def test_a_quota_that_was_withdrawn_is_confirmed_by_nothing(works: Plant) -> None:
    registry = replace(works.registry, quotas=QUOTAS.empty())
    tree = works.explainer.progress(progress_row(works), Measure.QUOTA_RATIO, works.frames, registry)
    assert tree["because"] == ["配额 / quota 2025: withdrawn"]


def test_a_profile_that_has_nothing_to_go_by_says_so(works: Plant) -> None:
    row = works.standing.progress.row(1, named=True) | {"due_g": None, "pace": None}
    days = works.frames["ENTERPRISE_DAYS"].filter(pl.col("day") >= m.DAY)  # no year before
    tree = works.explainer.progress(
        row, Measure.PROGRESS_RATIO, {**works.frames, "ENTERPRISE_DAYS": days}, works.registry
    )
    due = tree["children"][1]
    assert (tree["value"], due["value"], due["formula"]) == (
        None,
        None,
        "所选进度无依据 / the profile has nothing to go by",
    )


def test_a_figure_that_is_gone_cannot_be_opened(works: Plant) -> None:
    row = works.standing.measures.row(0, named=True)
    gone = row | {"measure": "progress_ratio", "subject": "2019/calorific/total"}
    assert works.explainer.measure(gone, works.frames, works.registry) is None
    gone |= {"measure": "norm_ratio", "subject": "2019/calorific/total/product:clinker"}
    assert works.explainer.measure(gone, works.frames, works.registry) is None


def test_a_target_that_was_withdrawn_since_cannot_be_opened(works: Plant) -> None:
    row = works.standing.measures.filter(pl.col("measure") == "reduction_gap").row(0, named=True)
    registry = replace(works.registry, intensity_targets=INTENSITY_TARGETS.empty())
    assert works.explainer.measure(row, works.frames, registry) is None
    ratio = works.standing.measures.filter(pl.col("measure") == "intensity_ratio").row(0, named=True)
    tree = works.explainer.measure(ratio, works.frames, registry)
    assert tree is not None
    assert tree["children"][1]["name"] == "未设目标 / no target"


def test_what_opening_may_look_at_begins_a_year_before_or_with_a_base_year() -> None:
    at = day_start(day_number(dt.date(2025, 1, 1)))
    assert days_needed(at) == (day_number(dt.date(2023, 1, 1)), day_number(dt.date(2025, 1, 1)))
    assert days_needed(at + 1, [2020])[0] == day_number(dt.date(2020, 1, 1))


# --------------------------------------------------------------------------------------- intensities


def test_a_product_without_its_shares_in_the_year_before_is_not_compared_with_a_guess(works: Plant) -> None:
    since = day_start(m.DAY)
    shares = works.registry.product_shares.with_columns(valid_from=pl.lit(since))
    registry = replace(works.registry, product_shares=shares)
    row = next(
        row for row in works.standing.intensity.to_dicts()
        if (row["denominator"], row["basis"], row["scope"], row["period"])
        == ("product:clinker", "calorific", "total", "2025")
    )  # fmt: skip
    tree = works.explainer.intensity(row, works.frames, registry)
    (before,) = [node for node in tree["beside"] if node["kind"] == "intensity"]
    assert before["value"] is None
    assert before["children"][0]["formula"] == "未登记分摊 / no shares registered"


def test_electricity_per_product_is_in_kwh(works: Plant) -> None:
    row = works.standing.intensity.row(0, named=True) | {
        "denominator": "product:clinker", "basis": "electricity", "scope": "total", "period": "2025-01",
        "first_day": m.DAY, "end_day": m.DAY + 31, "norm": "",
    }  # fmt: skip
    tree = works.explainer.intensity(row, works.frames, works.registry)
    energy = tree["children"][0]
    # 2/3 of 31 × 1 100 kWh, less half of 31 × 100 kWh sold; 200.001 t
    assert [leaf["exact"] for leaf in energy["children"]] == [22_733_333, -1_550_000]
    assert (energy["unit"], tree["unit"]) == ("kWh", "kWh/t")
    assert tree["value"] == 21_183_333 / 200_001
    assert faults(tree) == []


def test_what_a_norm_needs_and_nobody_stated_is_named(works: Plant) -> None:
    row = next(r for r in works.standing.intensity.to_dicts() if r["norm"] and r["period"] == "2025-01")
    stated = works.frames["STATISTICS"].filter(pl.col("indicator") != "norm_parameter")
    assert works.explainer.norm_problem(row, works.frames["STATISTICS"]) == ""
    assert works.explainer.norm_problem(row, stated) == "missing:ratio"
    assert works.explainer.norm_problem(row | {"norm": ""}, stated) == ""
    frames = {**works.frames, "STATISTICS": stated}
    norm = beside(works.explainer.intensity(row, frames, works.registry), "norm")
    assert norm["facts"]["problem"] == "missing:ratio"
    unknown = works.explainer.intensity(row | {"norm": "nothing"}, works.frames, works.registry)
    assert beside(unknown, "norm")["because"] == ["限额 / norm nothing: unknown_norm"]


# ------------------------------------------------------------------------------------------- regions


def stated(
    indicator: str, item: str, first: int, end: int, value: int, unit: str, state: str
) -> tuple[Any, ...]:
    return (REGION, indicator, item, first, end, 1, value, unit, state, "公报", "统计局", "", None, "")


QUARTERS = [day_number(dt.date(2025, month, 1)) for month in (1, 4, 7)]
STATED = pl.DataFrame(
    [
        stated("gdp_comparable", "", QUARTERS[0], QUARTERS[1], 2_000_000, "1e4CNY", "final"),
        stated("gdp_comparable", "", QUARTERS[1], QUARTERS[2], 2_000_000, "1e4CNY", "preliminary"),
        stated("energy_consumption", "total", QUARTERS[0], QUARTERS[2], 1_000_000, "tce", "final"),
        stated("energy_consumption", "feedstock", QUARTERS[0], QUARTERS[2], 10, "1e4tce", "final"),
        stated("energy_consumption", "non_fossil", QUARTERS[0], QUARTERS[2], 50_000, "tce", "final"),
    ],
    schema=dict(STATISTICS.schema),
    orient="row",
)


def region_row(scope: str) -> dict[str, Any]:
    """An INTENSITY row of the half year."""
    return dict.fromkeys(INTENSITY.schema) | {
        "enterprise": REGION, "denominator": "gdp_comparable", "basis": "equivalent", "scope": scope,
        "period": "2025", "first_day": QUARTERS[0], "end_day": QUARTERS[2], "unit": "1e4CNY", "norm": "",
    }  # fmt: skip


def test_a_regions_intensity_is_of_statistics_alone_and_a_preliminary_one_is_labelled() -> None:
    frames = {"STATISTICS": STATED}
    tree = Explainer(LAW).intensity(region_row("total"), frames, Registry())
    energy, gdp = tree["children"]
    # 1 000 tce over 4 000 × 10⁴ CNY
    assert (energy["exact"], gdp["exact"], tree["value"]) == (1_000_000_000, 4_000_000, 250.0)
    assert tree["because"] == ["统计 / statistic gdp_comparable 2025-04-01 … 2025-07-01: preliminary"]
    assert faults(tree) == []


def test_a_regions_net_energy_is_its_total_less_what_is_stated_of_the_rest() -> None:
    tree = Explainer(LAW).intensity(region_row("net"), {"STATISTICS": STATED}, Registry())
    energy = tree["children"][0]
    assert [leaf["exact"] for leaf in energy["children"]] == [1_000_000_000, -100_000_000, -50_000_000]
    assert tree["value"] == 850_000_000 / 4_000_000
    assert faults(tree) == []


def test_a_region_that_states_nothing_has_no_intensity() -> None:
    tree = Explainer(LAW).intensity(region_row("total"), {"STATISTICS": STATISTICS.empty()}, Registry())
    assert (tree["value"], tree["children"][0]["name"], tree["children"][1]["value"]) == (
        None, "未报 / not stated", None,
    )  # fmt: skip
    assert tree["label"] is not None


def day_of(code: str, grams: int | None, **columns: Any) -> dict[str, Any]:
    return {
        "enterprise": code, "day": m.DAY, "calorific_g": grams, "calorific_gap_low": 0,
        "calorific_gap_high": 0, "calorific_confirmed": True, "no_factor": "", "published": True,
    } | columns  # fmt: skip


def region_tree(*days: dict[str, Any], others: int = 0) -> Tree:
    members = [
        {"enterprise": d["enterprise"], "name": d["enterprise"]} for d in days if d["enterprise"] != REGION
    ]
    frames = {
        "ENTERPRISE_DAYS": pl.DataFrame(days, schema=dict(ENTERPRISE_DAYS.schema)),
        "SCOPE_DAYS": SCOPE_DAYS.empty(), "BLOCKS": BLOCKS.empty(),
    }  # fmt: skip
    asked = (REGION, Basis.CALORIFIC, Scope.TOTAL, m.DAY, m.DAY + 1)
    explainer = Explainer(LAW)
    return explainer.region(asked, explainer.of_region(REGION, frames), members, others)


def test_a_region_opens_into_its_key_units() -> None:
    tree = region_tree(day_of("a", 5), day_of("b", 7, calorific_confirmed=False), day_of(REGION, 12))
    assert [child["exact"] for child in tree["children"]] == [5, 7]
    assert tree["because"] == ["用能单位 / enterprise b"]
    assert "单位GDP能耗" not in tree["name"]
    assert faults(tree) == []


def test_a_region_behind_its_members_says_by_how_much_and_more_members_are_one_node() -> None:
    behind = region_tree(day_of("a", 5), day_of("b", 9), day_of(REGION, 12))
    assert [(child["kind"], child["exact"]) for child in behind["children"]] == [
        ("enterprise", 5), ("enterprise", 9), ("residual", -2),
    ]  # fmt: skip
    more = region_tree(day_of("a", 5), day_of(REGION, 12), others=3)
    assert more["children"][-1]["name"] == "其余 3 家 / 3 more key units"
    assert (more["exact"], faults(behind), faults(more)) == (12, [], [])
    unknown = region_tree(day_of("a", 5), others=3)
    assert (unknown["exact"], unknown["children"][-1]["kind"], faults(unknown)) == (None, "not_there", [])


def test_a_member_without_a_factor_leaves_the_region_unknown() -> None:
    tree = region_tree(day_of("a", 5), day_of("b", None, no_factor="coke:calorific"), day_of(REGION, None))
    assert (tree["exact"], [child["kind"] for child in tree["children"]]) == (
        None,
        ["enterprise", "no_factor"],
    )
    assert faults(tree) == []


def test_a_region_without_members_is_unknown() -> None:
    tree = region_tree()
    assert (tree["value"], tree["children"]) == (None, [])


# -------------------------------------------------------------------------------------------- alerts

RULE = Rule(
    name="pace", measure=Measure.PROGRESS_RATIO, op=Operator.ABOVE,
    bands=(Band(1.05, Severity.ORANGE, "Ⅰ级"), Band(1.2, Severity.RED, "Ⅱ级", Operator.AT_LEAST)),
    hold_s=0, min_coverage=0.9, legal_basis="某文件", confidence="recalled",
    summary_zh="超前", summary_en="ahead",
)  # fmt: skip


def test_an_alert_freezes_its_rule_with_bands_its_figure_and_its_tree(works: Plant) -> None:
    judgement = Judgement(
        rule="pace", enterprise=PLANT, subject="2025/calorific/total", verdict=Verdict.BREACH,
        at=day_start(m.DAY),
        value=1.3, low=1.25, high=None, coverage=0.97, is_confirmed=False, band=1,
    )  # fmt: skip
    row = next(r for r in works.standing.measures.to_dicts() if r["measure"] == "progress_ratio")
    tree = works.explainer.measure(row, works.frames, works.registry)
    frozen = explain_measure(judgement, RULE, tree=tree)
    assert (frozen["value"], frozen["low"], frozen["high"], frozen["coverage"]) == (1.3, 1.25, None, 0.97)
    assert frozen["rule"]["bands"] == [
        {"op": ">", "threshold": 1.05, "severity": "orange", "level": "Ⅰ级"},
        {"op": ">=", "threshold": 1.2, "severity": "red", "level": "Ⅱ级"},
    ]
    assert (frozen["band"], frozen["rule"]["legal_basis"], frozen["as_of"]) == (
        1, "某文件", "2025-01-01T00:00:00+08:00",
    )  # fmt: skip
    assert frozen["label"] == "不作为执法依据 / not a basis for enforcement"
    assert frozen["because"] == ["规则 / rule pace: recalled"]
    assert frozen["tree"] is tree


def test_an_alert_on_confirmed_things_has_no_label_even_without_a_tree() -> None:
    judgement = Judgement(
        rule="pace", enterprise=PLANT, subject="D", verdict=Verdict.BREACH, at=0,
        value=1.0, low=1.0, high=1.0,
        coverage=None, is_confirmed=True,
    )  # fmt: skip
    frozen = explain_measure(judgement, replace(RULE, confidence="official"))
    assert (frozen["label"], frozen["because"], frozen["tree"]) == (None, [], None)


def test_targets_of_other_years_are_no_target(works: Plant) -> None:
    row = next(r for r in works.standing.intensity.to_dicts() if r["target"] is not None)
    registry = replace(works.registry, intensity_targets=INTENSITY_TARGETS.empty())
    tree = works.explainer.intensity(row, works.frames, registry)
    assert [node["kind"] for node in tree["beside"] if node["kind"] == "target"] == []
