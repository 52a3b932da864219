"""What forbids using a registry: one line per problem, Chinese first, naming the row."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import polars as pl
import pytest

from analytics import virtuals
from nengshao.registry import Registry
from nengshao.registry_tables import registry_of
from nengshao.stores.state import registry_points
from nengshao.stores.state.registry_graphs import circles, unpeeled
from nengshao.stores.state.registry_problems import registry_problems
from tests.support import plants

E, F = plants.credit_code(1), plants.credit_code(2)
CODE = plants.ELECTRICITY
ALWAYS = {"valid_from": "2025-01-01", "valid_to": ""}
AIM = {"enterprise": E, "year": "2025", "basis": "calorific", "scope": "total"}
ORIGIN = {"source": "虚构，仅供测试", "confidence": "official"}
Tables = dict[str, list[dict[str, str]]]


def virtual(meter: str, number: int = 1, **changes: str) -> dict[str, str]:
    fixed = {"kind": "virtual", "device": "", "role": "sub", "register_size": "", "ratio": ""}
    return plants.point_row(number, meter, **fixed | changes)


def term(meter: str, of: str, coefficient: str = "1", number: int = 1, **changes: str) -> dict[str, str]:
    return {
        "enterprise": plants.credit_code(number), "data_code": CODE, "stat_type": "0", "meter": meter,
        "term_data_code": CODE, "term_stat_type": "0", "term_meter": of, "coefficient": coefficient,
    } | ALWAYS | changes  # fmt: skip


def product(**changes: str) -> dict[str, str]:
    return {"enterprise": E, "product": "p", "name": "产品", "unit": "t", "norm": ""} | ALWAYS | changes


def share(**changes: str) -> dict[str, str]:
    point = {"enterprise": E, "product": "p", "data_code": CODE, "stat_type": "0", "meter": "01"}
    return point | {"share": "1"} | ALWAYS | changes


def heat(**changes: str) -> dict[str, str]:
    return {"enterprise": E, "carrier": "raw_coal", "kj_per_unit": "20934"} | ORIGIN | ALWAYS | changes


def quota(**changes: str) -> dict[str, str]:
    return AIM | ORIGIN | {"level": "base", "quota_t": "1000", "profile": "linear"} | changes


def plan(months: range, planned: str = "10") -> list[dict[str, str]]:
    return [AIM | {"month": str(month), "planned_t": planned} for month in months]


def target(**changes: str) -> dict[str, str]:
    fixed = {"denominator": "product:p", "level": "base", "target_kg": "100", "reduction_percent": "",
             "base_year": ""}  # fmt: skip
    return AIM | ORIGIN | fixed | changes


SOUND: Tables = {
    "regions": [
        {"code": "430000", "name": "省", "parent": ""},
        {"code": "430621", "name": "县", "parent": "430000"},
    ],
    "enterprises": [plants.enterprise_row(1), plants.enterprise_row(2)],
    "devices": [plants.device_row(1), plants.device_row(2)],
    "points": [
        plants.point_row(1, "01"), plants.point_row(1, "02"), plants.point_row(2, "01"),
        plants.point_row(1, "03", role="sub", parent=f"{CODE}.0.T"), plants.coal_row(1),
        virtual("T"), virtual("U"),
    ],
    "virtual_terms": [term("T", "01"), term("T", "02"), term("U", "T", "1/3"), term("U", "03", "-1")],
    "heating_values": [heat(valid_to="2025-07-01"), heat(valid_from="2025-07-01")],
    "products": [product(valid_to="2025-07-01"), product(valid_from="2025-07-01")],
    "product_shares": [share(), share(meter="03", share="-1/4")],
    "quotas": [
        quota(), quota(level="incentive"), quota(enterprise="430621"),
        quota(basis="carbon", profile="plan"),
    ],
    "quota_plans": [row | {"basis": "carbon"} for row in plan(range(1, 13))],
    "intensity_targets": [
        target(), target(level="incentive", target_kg="", reduction_percent="13.5", base_year="2020"),
        target(enterprise="430621", denominator="gdp_comparable"),
    ],
}  # fmt: skip


def problems(**tables: list[dict[str, str]]) -> list[str]:
    return registry_problems(registry_of(SOUND | tables))


def points(*rows: dict[str, str]) -> list[dict[str, str]]:
    return [*SOUND["points"], *rows]


def test_a_sound_registry_has_no_problem() -> None:
    assert problems() == []
    assert registry_problems(Registry()) == []


TAG = f"{E}/{CODE}.0"
BAD: list[tuple[str, Tables, list[str]]] = [
    ("a term of another carrier", {
        "points": points(virtual("V")),
        "virtual_terms": [*SOUND["virtual_terms"],
                          term("V", "00", term_data_code=plants.COAL, term_stat_type="2")],
    }, [f"virtual_terms {TAG}.V: 与组成项 {E}/{plants.COAL}.2.00 品种不同"]),
    ("a virtual point without terms", {"points": points(virtual("V"))},
     [f"points {TAG}.V: 虚拟点没有组成项"]),
    ("terms that begin when the virtual point has ended", {
        "points": points(virtual("V", valid_to="2025-07-01")),
        "virtual_terms": [*SOUND["virtual_terms"], term("V", "01", valid_from="2025-07-01")],
    }, [f"points {TAG}.V: 虚拟点没有组成项"]),
    ("terms of a metered point", {"virtual_terms": [*SOUND["virtual_terms"], term("01", "02")]},
     [f"virtual_terms {TAG}.01: 有组成项但不是虚拟点"]),
    ("a coefficient of nothing", {"virtual_terms": [*SOUND["virtual_terms"][1:], term("T", "01", "0")]},
     [f"virtual_terms {TAG}.T: 系数不得为零"]),
    ("terms that overlap", {
        "virtual_terms": [*SOUND["virtual_terms"], term("T", "01", valid_from="2025-07-01")],
    }, ["virtual_terms ", "有效期重叠"]),
    ("a circle of virtual points", {"virtual_terms": [*SOUND["virtual_terms"], term("T", "U")]},
     ["virtual_terms: 虚拟点成环", f"{TAG}.T", f"{TAG}.U", " → "]),
    ("a virtual point of itself", {"virtual_terms": [*SOUND["virtual_terms"], term("T", "T")]},
     [f"circle: {TAG}.T → {TAG}.T"]),
    ("a virtual point with a device", {
        "points": points(virtual("V", device="d1")),
        "virtual_terms": [*SOUND["virtual_terms"], term("V", "01")],
    }, [f"points {TAG}.V: 虚拟点没有端设备"]),
    ("a metered point without a device", {"points": points(plants.point_row(1, "09", device=""))},
     [f"points {TAG}.09: 缺少端设备"]),
    ("a total that counts what counts itself", {
        "points": points(virtual("V", role="input")),
        "virtual_terms": [*SOUND["virtual_terms"], term("V", "01")],
    }, [f"virtual_terms {TAG}.V: 与组成项 {TAG}.01 重复计入合计"]),
    ("a total of a total that counts what counts itself", {
        "points": points(virtual("W"), virtual("V", role="input")),
        "virtual_terms": [*SOUND["virtual_terms"], term("W", "01", "1/2"), term("V", "W")],
    }, [f"virtual_terms {TAG}.V: 与组成项 {TAG}.01 重复计入合计"]),
    ("an output of less than nothing", {  # −(−1 × 01) + 01: 01 counts twice
        "points": points(virtual("V", role="output")),
        "virtual_terms": [*SOUND["virtual_terms"], term("V", "01", "-1")],
    }, [f"virtual_terms {TAG}.V: 与组成项 {TAG}.01 重复计入合计"]),
    ("a total that takes away only part of what it holds twice", {  # W = 01; V = W − 1/2 × 01 = 1/2 × 01
        "points": points(virtual("W"), virtual("V", role="input")),
        "virtual_terms": [
            *SOUND["virtual_terms"], term("W", "01"), term("V", "W"), term("V", "01", "-1/2"),
        ],
    }, [f"virtual_terms {TAG}.V: 与组成项 {TAG}.01 重复计入合计"]),
    ("a total that holds what counts once it is no longer taken away", {
        "points": points(virtual("W"), virtual("V", role="input")),
        "virtual_terms": [
            *SOUND["virtual_terms"], term("W", "01"), term("V", "W"),
            term("V", "01", "-1", valid_to="2025-07-01"),
        ],
    }, [f"virtual_terms {TAG}.V: 与组成项 {TAG}.01 重复计入合计"]),
    ("a meter that counts below one that counts", {
        "points": points(plants.point_row(1, "09", parent=f"{CODE}.0.01")),
    }, [f"points {TAG}.09: 与上级 {TAG}.01 重复计入合计"]),
    ("a meter that counts below one that counts, another between them", {
        "points": points(plants.point_row(1, "08", role="sub", parent=f"{CODE}.0.01"),
                         plants.point_row(1, "09", parent=f"{CODE}.0.08")),
    }, [f"points {TAG}.09: 与上级 {TAG}.01 重复计入合计"]),
    ("a stock taken every quarter of an hour", {"points": points(plants.point_row(1, "09", kind="stock"))},
     [f"points {TAG}.09: 盘点的间隔不得短于一日"]),
    ("a real-time series without a cadence", {"points": points(plants.point_row(1, "09", cadence_s="0"))},
     [f"points {TAG}.09: 实时序列的间隔"]),
    ("a certificate that counts", {"points": points(plants.point_row(1, "09", use="certificate"))},
     [f"points {TAG}.09: 绿证只能是内部项"]),
    ("a parent that nobody has registered", {
        "points": points(plants.point_row(1, "09", parent=f"{CODE}.0.77")),
    }, [f"points {TAG}.09: 上级计量点未登记"]),
    ("a parent of another carrier", {
        "points": points(plants.point_row(1, "09", parent=f"{plants.COAL}.2.00")),
    }, [f"points {TAG}.09: 与上级 {E}/{plants.COAL}.2.00 品种不同"]),
    ("parents in a circle", {
        "points": points(plants.point_row(1, "08", parent=f"{CODE}.0.09"),
                         plants.point_row(1, "09", parent=f"{CODE}.0.08")),
    }, ["points: 上级成环", f"{TAG}.08", f"{TAG}.09"]),
    ("a product whose unit changes", {
        "products": [product(valid_to="2025-07-01"), product(valid_from="2025-07-01", unit="m2")],
    }, [f"products {E}/p: 单位前后不同"]),
    ("a product with two rows at a time", {"products": [product(), product(valid_from="2025-07-01")]},
     [f"products {E}/p: 有效期重叠"]),
    ("a share of a product that is not registered", {"product_shares": [share(product="q")]},
     [f"product_shares {E}/q: 产品未登记"]),
    ("a share of nothing", {"product_shares": [share(share="0")]}, [f"product_shares {E}/p: 份额不得为零"]),
    ("heating values that overlap", {"heating_values": [heat(), heat(valid_from="2025-07-01")]},
     [f"heating_values {E}/raw_coal: 有效期重叠"]),
    ("a heating value of electricity", {"heating_values": [heat(carrier="electricity")]},
     [f"heating_values {E}/electricity: 该品种不是燃料"]),
    ("a quota of an unknown region", {"quotas": [quota(enterprise="430622")]},
     ["quotas: 企业或行政区划 430622 未登记"]),
    ("a plan of eleven months", {"quotas": [quota(profile="plan")], "quota_plans": plan(range(1, 12))},
     [f"quotas {E}/2025/calorific/total: profile 为 plan"]),
    ("a plan of nothing", {"quotas": [quota(profile="plan")], "quota_plans": plan(range(1, 13), "0")},
     [f"quotas {E}/2025/calorific/total: profile 为 plan"]),
    ("a target without a figure", {"intensity_targets": [target(target_kg="")]},
     [f"intensity_targets {E}/2025/calorific/total/product:p/base: 目标值与下降率"]),
    ("a target with two figures", {
        "intensity_targets": [target(reduction_percent="3", base_year="2020")],
    }, ["目标值与下降率须且只须填一个"]),
    ("a reduction without a base year", {
        "intensity_targets": [target(target_kg="", reduction_percent="3")],
    }, ["下降率须有基期年份"]),
    ("a base year without a reduction", {"intensity_targets": [target(base_year="2020")]},
     ["下降率须有基期年份"]),
    ("a base year that is still to come", {
        "intensity_targets": [target(target_kg="", reduction_percent="3", base_year="2025")],
    }, ["基期年份须早于目标年份"]),
    ("a reduction of everything", {
        "intensity_targets": [target(target_kg="", reduction_percent="100", base_year="2020")],
    }, ["下降率须小于 100 %"]),
    ("a target per unit of an unknown product", {"intensity_targets": [target(denominator="product:q")]},
     [f"intensity_targets {E}/2025/calorific/total/product:q/base: 产品未登记"]),
    ("a region in an unknown one", {
        "regions": [*SOUND["regions"], {"code": "430622", "name": "县", "parent": "440000"}],
    }, ["regions 430622: 上级 440000 未登记"]),
    ("regions in a circle", {
        "regions": [SOUND["regions"][0] | {"parent": "430621"}, SOUND["regions"][1]],
    }, ["regions: 上级成环 / circle: 430000 → 430621 → 430000"]),
    ("an enterprise that ends before it begins", {
        "enterprises": [plants.enterprise_row(1, active_to="2024-01-01"), plants.enterprise_row(2)],
    }, [f"enterprises {E}: 有效期为空 / active_to is not after active_from"]),
]  # fmt: skip


@pytest.mark.parametrize(("tables", "words"), [(t, w) for _, t, w in BAD], ids=[name for name, _, _ in BAD])
def test_a_problem_is_one_line_that_names_its_row(tables: Tables, words: list[str]) -> None:
    (problem,) = problems(**tables)
    assert all(word in problem for word in words), problem
    assert " / " in problem


def test_what_belongs_to_another_enterprise_is_refused() -> None:
    registry = registry_of(SOUND)
    theirs = registry.points.filter(pl.col("enterprise") == F)["point"].item()
    ours = registry.points.filter(pl.col("enterprise") == E, pl.col("meter") == "03")["point"].item()
    broken = Registry(
        **frames(registry)
        | {
            "points": registry.points.with_columns(
                parent=pl.when(pl.col("point") == ours).then(theirs).otherwise("parent")
            ),
            "virtual_terms": registry.virtual_terms.with_columns(
                term=pl.when(pl.col("term") == ours).then(theirs).otherwise("term")
            ),
            "product_shares": registry.product_shares.with_columns(
                point=pl.when(pl.col("point") == ours).then(theirs).otherwise("point")
            ),
        }
    )
    theirs_too = f"{F}/{CODE}.0.01 不属于同一企业 / it and its"
    parents, terms, shares = registry_problems(broken)
    assert parents.startswith(f"points {TAG}.03: 与上级 {theirs_too} parent")
    assert terms.startswith(f"virtual_terms {TAG}.U: 与组成项 {theirs_too} term")
    assert shares.startswith(f"product_shares {E}/p: 计量点 {F}/{CODE}.0.01 属于其他企业")


def test_a_word_outside_its_vocabulary_is_refused_whoever_writes_the_frame() -> None:
    registry = registry_of(SOUND)
    broken = Registry(
        **frames(registry)
        | {
            "quotas": registry.quotas.with_columns(profile=pl.lit("seasonal"), scope=pl.lit("all")),
            "points": registry.points.with_columns(use=pl.lit("heating")),
        }
    )
    found = registry_problems(broken)
    assert found[:3] == [
        "points use heating: 取值未定义 / must be one of energy, feedstock, non_fossil, certificate",
        "quotas scope all: 取值未定义 / must be one of total, feedstock, non_fossil, excluding_feedstock, "
        "excluding_non_fossil, net",
        "quotas profile seasonal: 取值未定义 / must be one of linear, last_year, plan",
    ]


def test_the_registry_lets_in_what_the_analytics_multiply_out() -> None:
    assert registry_points.DEEPEST == virtuals.DEEPEST == 8


@pytest.mark.parametrize(("length", "is_too_deep"), [(8, False), (9, True)])
def test_virtual_points_stand_on_one_another_eight_deep_at_most(length: int, *, is_too_deep: bool) -> None:
    meters = ["01", *(f"V{n}" for n in range(length))]
    chain = [term(upper, lower) for lower, upper in pairwise(meters)]
    found = problems(
        points=points(*(virtual(meter) for meter in meters[1:])),
        virtual_terms=SOUND["virtual_terms"] + chain,
    )
    assert bool(found) is is_too_deep
    assert all(f"virtual_terms {TAG}.V8: 虚拟点嵌套超过 8 层" in line for line in found)


def test_what_is_counted_once_is_accepted() -> None:
    """A rest (total − part) beside its part; and a total that counts from when its parts no longer do."""
    rest = [virtual("R", role="input"), plants.point_row(1, "M", feeds_total="false")]
    later = [
        plants.point_row(1, "A", valid_to="2025-07-01"),
        plants.point_row(1, "A", valid_from="2025-07-01", role="sub"),
        virtual("S", role="input", valid_from="2025-07-01"),
    ]
    terms = [term("R", "M"), term("R", "01", "-1"), term("S", "A")]
    assert problems(points=points(*rest, *later), virtual_terms=SOUND["virtual_terms"] + terms) == []


def test_what_cancels_out_or_counts_the_other_way_is_accepted() -> None:
    """V = (01 + M) − 01 = M; an output beside its input; a meter below one that counts at another time."""
    rows = [
        plants.point_row(1, "M", feeds_total="false"), virtual("W"), virtual("V", role="input"),
        plants.point_row(1, "O", role="output", parent=f"{CODE}.0.01"),
        plants.point_row(1, "A", valid_to="2025-07-01"),
        plants.point_row(1, "B", parent=f"{CODE}.0.A", role="sub", valid_to="2025-07-01"),
        plants.point_row(1, "B", parent=f"{CODE}.0.A", valid_from="2025-07-01"),
    ]  # fmt: skip
    terms = [term("W", "01"), term("W", "M"), term("V", "W"), term("V", "01", "-1")]
    assert problems(points=points(*rows), virtual_terms=SOUND["virtual_terms"] + terms) == []


def frames(registry: Registry) -> dict[str, Any]:
    return {name: getattr(registry, name) for name in registry.__slots__}


def test_circles_are_found_and_what_leads_into_them_is_not() -> None:
    edges = pl.DataFrame(
        [(1, 2), (2, 3), (3, 1), (0, 1), (7, 7), (4, 5), (5, 6)], schema=["source", "target"], orient="row"
    )
    assert circles(edges) == [[1, 2, 3], [7]]
    assert circles(edges.filter(pl.col("source") > 3, pl.col("source") < 7)) == []
    assert unpeeled(edges, 1).sort("source").rows() == [(0, 1), (1, 2), (2, 3), (3, 1), (4, 5), (7, 7)]
