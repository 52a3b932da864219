"""The registry at rest: a snapshot out, all problems at once, and the days that a change makes dirty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from nengshao.domain.errors import ConfigError, FrameContractError
from nengshao.frames import METER_CHANGES, POINTS, QUOTAS
from nengshao.registry import CONTRACTS, DEVICES, ENTERPRISES, REGIONS, Registry
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
    fixed = {"enterprise": enterprise, "year": 2025, "basis": "calorific", "scope": "all", "quota_g": 2**60}
    return fixed | columns


FULL = registry_of(
    A,
    B,
    regions=rows(REGIONS, {"code": "99", "name": "某省"}, {"code": "9901", "name": "某市", "parent": "99"}),
    devices=rows(DEVICES, device(A), device(B, cadence_s=None, valid_to=5)),
    meter_changes=rows(METER_CHANGES, {"point": POINT_A, "at": 5, "closing": 2**61, "opening": 0}),
    quotas=rows(QUOTAS, quota(A), quota(A, basis="equivalent")),
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
        f"quotas {A}/2025/calorific/all: 主键重复",
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
    ],
    ids=["a point changed", "a point gone", "a meter replaced", "activity changed"],
)
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


def test_saving_the_same_again_marks_nothing(store: SqlStateStore) -> None:
    store.save_registry(FULL, at=1)
    store.commit_assessment(leased(store, "assess"), commit_of(day_row(A, 1)))
    before = store.due_judgements(0)
    store.save_registry(FULL, at=2)
    assert store.registry_version() == 2
    assert store.claim_dirty(0, 10).is_empty()
    assert store.due_judgements(0) == before
