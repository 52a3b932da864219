"""The registry at rest: a snapshot out, all problems at once, and the days that a change makes dirty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from nengshao.domain.codes import REGION_PARTITION
from nengshao.domain.errors import ConfigError, FrameContractError
from nengshao.frames import METER_CHANGES, POINTS, QUOTAS
from nengshao.registry import CONTRACTS, DEVICES, ENTERPRISES, Registry
from nengshao.stores.state import SqlStateStore
from tests.support.state import (
    BACKENDS,
    A,
    B,
    commit_of,
    credit_code,
    day_row,
    enterprise_row,
    leased,
    opened,
    point_row,
    registry_of,
    rows,
    state_url,
)


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return state_url(request, tmp_path)


@pytest.fixture
def store(url: str) -> Iterator[SqlStateStore]:
    with opened(url) as store:
        yield store


POINT_A: int = point_row(A)["point"]


def device(enterprise: str, **columns: Any) -> dict[str, Any]:
    return {"enterprise": enterprise, "device": "d1", "cadence_s": 900, "valid_from": 0} | columns


def quota(enterprise: str, **columns: Any) -> dict[str, Any]:
    key = {"enterprise": enterprise, "year": 2025, "basis": "calorific", "scope": "total", "level": "base"}
    return key | {"quota_g": 2**60, "profile": "linear"} | columns


def table(name: str, *given: dict[str, Any]) -> dict[str, pl.DataFrame]:
    return {name: rows(CONTRACTS[name], *given)}


VIRTUAL = point_row(A, "0000000002330019", kind="virtual", feeds_total=False)
TERM = {"point": VIRTUAL["point"], "term": POINT_A, "num": -1, "den": 2**40, "valid_from": 0}
HEAT = {"enterprise": A, "carrier": "raw_coal", "heat_j": 2**50, "confidence": "official", "valid_from": 0}
PRODUCT = {"enterprise": A, "product": "steel", "unit": "t", "norm": "", "valid_from": 0}
SHARE = {"enterprise": A, "product": "steel", "point": POINT_A, "num": 1, "den": 3, "valid_from": 0}
PLAN = {"enterprise": A, "year": 2025, "basis": "carbon", "scope": "net", "month": 2, "planned_g": 2**60}
TARGET = {
    "enterprise": A,
    "year": 2025,
    "basis": "carbon",
    "scope": "total",
    "denominator": "product:steel",
    "level": "incentive",
    "target_mg": 2**60,
}
PROVINCE, CITY, COUNTY, OTHER = "990000", "990100", "990101", "990102"
REGION_ROWS = (
    {"code": PROVINCE, "name": "某省"},
    {"code": CITY, "name": "某市", "parent": PROVINCE},
    {"code": COUNTY, "name": "某县", "parent": CITY},
    {"code": OTHER, "name": "邻县", "parent": CITY},
)

FULL = registry_of(
    A,
    B,
    **table("regions", *REGION_ROWS),
    **table("devices", device(A), device(B, cadence_s=None, valid_to=5)),
    **table("points", point_row(A, use="feedstock"), point_row(B), VIRTUAL | {"parent": POINT_A}),
    **table("virtual_terms", TERM),
    **table("meter_changes", {"point": POINT_A, "at": 5, "closing": 2**61, "opening": 0}),
    **table("heating_values", HEAT),
    **table("products", PRODUCT),
    **table("product_shares", SHARE),
    **table("quotas", quota(A), quota(A, basis="equivalent"), quota(COUNTY, level="incentive")),
    **table("quota_plans", PLAN),
    **table("intensity_targets", TARGET),
)


def test_a_registry_comes_back_as_it_was_saved(store: SqlStateStore) -> None:
    store.save_registry(FULL, at=1)
    found = store.registry()
    assert found.version == 1
    for name, contract in CONTRACTS.items():
        assert_frame_equal(getattr(found, name), getattr(FULL, name).sort(contract.key))


def test_an_empty_store_has_an_empty_registry_of_version_0(store: SqlStateStore) -> None:
    assert store.registry_version() == 0
    assert store.registry().version == 0
    assert_frame_equal(store.registry().points, POINTS.empty())


def test_a_snapshot_is_read_once_per_version_by_every_process(store: SqlStateStore, url: str) -> None:
    store.save_registry(FULL, at=1)
    first = store.registry()
    assert store.registry() is first
    with opened(url) as other:
        other.save_registry(registry_of(A), at=2)
    assert store.registry_version() == 2
    assert store.registry().version == 2
    assert store.registry().enterprises["enterprise"].to_list() == [A]


def test_saving_replaces_every_row(store: SqlStateStore) -> None:
    store.save_registry(FULL, at=1)
    store.save_registry(Registry(), at=2)
    assert store.registry().version == 2
    assert all(getattr(store.registry(), name).is_empty() for name in CONTRACTS)


def test_every_problem_is_listed_at_once_and_nothing_saved(store: SqlStateStore) -> None:
    bad_code, unknown = "919999990000000019", credit_code(77)
    gas = "0000000002330012"
    points = rows(
        POINTS,
        point_row(A, valid_to=100),
        point_row(A, valid_from=99),
        point_row(A, stat_type=1, valid_from=50, valid_to=60),
        point_row(unknown),
        point_row(B, point=12345),
        point_row(B, gas, point=12345),
        point_row(B, "0000000002330013", valid_from=9, valid_to=9),
    )
    broken = registry_of(
        enterprises=rows(ENTERPRISES, enterprise_row(A), enterprise_row(B), enterprise_row(bad_code)),
        points=points,
        devices=rows(DEVICES, device(unknown), device(A), device(A, valid_from=7)),
        quotas=rows(QUOTAS, quota(unknown), quota(A), quota(A)),
        meter_changes=rows(METER_CHANGES, {"point": 404, "at": 1, "closing": 1, "opening": 0}),
    )
    with pytest.raises(ConfigError) as refused:
        store.save_registry(broken, at=1)
    problems = "\n".join(refused.value.problems)
    for expected in (
        f"enterprises {bad_code}: 统一社会信用代码有误",
        f"unknown enterprise {unknown}",
        "unknown point 404",
        f"the id of {B}/{gas}.0.00 is {point_row(B, gas)['point']}",
        "points 12345: 不同计量点编号相同",
        f"points {POINT_A}: 有效期重叠",
        f"devices {A}/d1: 有效期重叠",
        f"points {A}/0000000002330011: statType 0 与 1 同时计入合计",
        "有效期为空",
        f"quotas {A}/2025/calorific/total/base: 主键重复",
    ):
        assert expected in problems
    assert sum("unknown enterprise" in problem for problem in refused.value.problems) == 3
    assert store.registry_version() == 0


def test_what_only_looks_like_a_problem_is_accepted(store: SqlStateStore) -> None:
    points = rows(
        POINTS,
        point_row(A, valid_to=100),
        point_row(A, valid_from=100, valid_to=200),
        point_row(A, valid_from=300),
        point_row(A, stat_type=1, feeds_total=False),
        point_row(A, stat_type=2, valid_from=200, valid_to=300),
        point_row(A, meter="01"),
    )
    clashing = points.filter(pl.col("meter") == "00")
    store.save_registry(registry_of(A, points=clashing), at=1)
    with pytest.raises(ConfigError, match="statType 0 与 2"):
        store.save_registry(registry_of(A, points=points), at=1)


def test_a_long_row_overlaps_past_a_short_one(store: SqlStateStore) -> None:
    points = rows(
        POINTS,
        point_row(A, valid_from=0, valid_to=100),
        point_row(A, valid_from=10, valid_to=20),
        point_row(A, valid_from=50, valid_to=60),
    )
    with pytest.raises(ConfigError, match="有效期重叠") as refused:
        store.save_registry(registry_of(A, points=points), at=1)
    assert len(refused.value.problems) == 1


def test_a_frame_of_another_shape_is_our_bug(store: SqlStateStore) -> None:
    with pytest.raises(FrameContractError, match="POINTS"):
        store.save_registry(Registry(points=pl.DataFrame({"point": [1]})), at=1)


@pytest.mark.parametrize(
    "change",
    [
        {"points": rows(POINTS, point_row(A, ratio_num=40), point_row(B))},
        {"points": rows(POINTS, point_row(B))},
        {"meter_changes": rows(METER_CHANGES, {"point": POINT_A, "at": 5, "closing": 1, "opening": 0})},
        {"enterprises": rows(ENTERPRISES, enterprise_row(A, active_to=99), enterprise_row(B))},
        {"enterprises": rows(ENTERPRISES, enterprise_row(A, region="990101"), enterprise_row(B))},
        table("points", point_row(A, use="non_fossil"), point_row(B)),
        table("points", point_row(A), point_row(B), VIRTUAL) | table("virtual_terms", TERM),
        table("heating_values", HEAT),
    ],
    ids=[
        "a point changed", "a point gone", "a meter replaced", "activity changed", "moved", "another use",
        "a virtual point", "a heating value",
    ],
)  # fmt: skip
def test_result_days_of_an_enterprise_whose_facts_changed_are_dirty(
    store: SqlStateStore, change: dict[str, pl.DataFrame]
) -> None:
    store.save_registry(registry_of(A, B), at=1)
    lease = leased(store, "assess")
    store.commit_assessment(lease, commit_of(day_row(A, 3), day_row(A, 1), day_row(B, 1)))
    before = max(store.due_judgements(0).values())
    store.save_registry(registry_of(A, B, **change), at=2)
    assert store.claim_dirty(0, 10).select("enterprise", "day", "late").rows() == [
        (A, 1, False),
        (A, 3, False),
    ]
    assert all(generation > before for generation in store.claim_dirty(0, 10)["generation"])
    assert store.due_judgements(0)[A] > before
    assert store.due_judgements(0)[B] == before


def test_a_day_that_is_dirty_already_stays_late_under_its_new_generation(store: SqlStateStore) -> None:
    store.save_registry(registry_of(A), at=1)
    store.commit_assessment(leased(store, "assess"), commit_of(day_row(A, 1)))
    store.mark_dirty(pl.DataFrame({"enterprise": [A], "day": [1], "late": [True]}))
    claimed = store.claim_dirty(0, 10)
    store.save_registry(registry_of(A, points=rows(POINTS, point_row(A, ratio_num=2))), at=2)
    store.commit_assessment(leased(store, "assess"), commit_of(day_row(A, 1), claimed=claimed))
    assert store.claim_dirty(0, 10)["late"].to_list() == [True]


def test_a_new_quota_or_device_is_judged_without_computing_a_day_again(store: SqlStateStore) -> None:
    store.save_registry(registry_of(A, B), at=1)
    store.commit_assessment(leased(store, "assess"), commit_of(day_row(A, 1), day_row(B, 1)))
    before = store.due_judgements(0)
    store.save_registry(
        registry_of(A, B, quotas=rows(QUOTAS, quota(A)), devices=rows(DEVICES, device(B))), at=2
    )
    after = store.due_judgements(0)
    assert after[A] > before[A]
    assert after[B] > before[B]
    assert store.claim_dirty(0, 10).is_empty()


@pytest.mark.parametrize(
    ("change", "due"),
    [
        (table("products", PRODUCT), {A}),
        (table("products", PRODUCT) | table("product_shares", SHARE), {A}),
        (table("quotas", quota(A), quota(COUNTY)), {A, COUNTY}),
        (table("quota_plans", PLAN), {A}),
        (table("intensity_targets", TARGET | {"denominator": "value_added"}), {A}),
        (table("intensity_targets", TARGET | {"enterprise": PROVINCE, "denominator": "gdp"}), {PROVINCE}),
        (table("regions", *REGION_ROWS[:3], REGION_ROWS[3] | {"name": "新名"}), {OTHER}),
    ],
    ids=["product", "share", "quotas", "plan", "target", "target of a region", "name of a region"],
)
def test_what_goes_into_no_daily_figure_is_only_judged_again(
    store: SqlStateStore, change: dict[str, pl.DataFrame], due: set[str]
) -> None:
    county = table("enterprises", enterprise_row(A, region=COUNTY), enterprise_row(B))
    fixed = county | table("regions", *REGION_ROWS)
    store.save_registry(registry_of(A, B, **fixed), at=1)
    store.commit_assessment(leased(store, "assess"), commit_of(day_row(A, 1), day_row(B, 1)))
    before = store.due_judgements(0) | store.due_judgements(REGION_PARTITION)
    store.save_registry(registry_of(A, B, **fixed | change), at=2)
    after = store.due_judgements(0) | store.due_judgements(REGION_PARTITION)
    assert {name for name in after if after[name] != before[name]} == due
    assert {COUNTY, OTHER, PROVINCE} & due <= set(store.due_judgements(REGION_PARTITION))
    assert store.claim_dirty(0, 10).is_empty()
    assert store.claim_dirty(REGION_PARTITION, 10).is_empty()


def test_an_enterprise_that_moves_makes_its_days_dirty_in_the_regions_it_joins_and_leaves(
    store: SqlStateStore,
) -> None:
    regions = table("regions", *REGION_ROWS)
    here = table("enterprises", enterprise_row(A, region=COUNTY), enterprise_row(B, region=COUNTY))
    there = table("enterprises", enterprise_row(A, region=OTHER), enterprise_row(B, region=COUNTY))
    store.save_registry(registry_of(A, B, **regions, **here), at=1)
    commit = commit_of(day_row(A, 1), day_row(A, 59), day_row(B, 2), day_row(COUNTY, 3))
    store.commit_assessment(leased(store, "assess"), commit)
    store.save_registry(registry_of(A, B, **regions, **there), at=2)
    assert store.claim_dirty(REGION_PARTITION, 10).select("enterprise", "day", "late").rows() == [
        (COUNTY, 1, False),
        (OTHER, 1, False),
        (COUNTY, 59, False),
        (OTHER, 59, False),
    ]  # the city that holds both has the same sum as before
    assert store.claim_dirty(0, 10)["enterprise"].unique().to_list() == [A]


def test_a_region_that_comes_under_another_makes_its_members_days_dirty_there(store: SqlStateStore) -> None:
    members = table("enterprises", enterprise_row(A, region=COUNTY), enterprise_row(B, region=OTHER))
    store.save_registry(registry_of(A, B, **table("regions", *REGION_ROWS), **members), at=1)
    store.commit_assessment(leased(store, "assess"), commit_of(day_row(A, 1), day_row(B, 2)))
    moved = table("regions", *REGION_ROWS[:3], REGION_ROWS[3] | {"parent": PROVINCE})
    store.save_registry(registry_of(A, B, **moved, **members), at=2)
    claimed = store.claim_dirty(REGION_PARTITION, 10)
    assert claimed.select("enterprise", "day").rows() == [(CITY, 2)]
    assert store.claim_dirty(0, 10).is_empty()
    alone = table("enterprises", enterprise_row(A, region=COUNTY))
    store.save_registry(registry_of(A, **moved, **alone), at=3)
    claimed = store.claim_dirty(REGION_PARTITION, 10)
    assert claimed.select("enterprise", "day").rows() == [(PROVINCE, 2), (CITY, 2), (OTHER, 2)]


def test_saving_the_same_again_marks_nothing(store: SqlStateStore) -> None:
    store.save_registry(FULL, at=1)
    store.commit_assessment(leased(store, "assess"), commit_of(day_row(A, 1)))
    before = store.due_judgements(0)
    store.save_registry(FULL, at=2)
    assert store.registry_version() == 2
    assert store.claim_dirty(0, 10).is_empty()
    assert store.due_judgements(0) == before
