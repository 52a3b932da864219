"""Regions: a partition of their own, due as soon as one of their members has changed. On both databases."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from nengshao.domain.codes import REGION_PARTITION, partition_of
from nengshao.domain.errors import LeaseLost
from nengshao.domain.time import day_number
from nengshao.frames import SCOPE_DAYS
from nengshao.ports import DIRTY_SCHEMA
from nengshao.stores.state import SqlStateStore
from tests.support.state import (
    BACKENDS,
    A,
    B,
    commit_of,
    credit_code,
    day_row,
    leased,
    opened,
    rows,
    state_url,
    typed,
)

COUNTY, CITY, OTHER = "990101", "990100", "990102"


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return state_url(request, tmp_path)


@pytest.fixture
def store(url: str) -> Iterator[SqlStateStore]:
    with opened(url) as store:
        yield store


def due(store: SqlStateStore) -> list[tuple[str, int]]:
    return store.claim_dirty(REGION_PARTITION, 9_999).select("enterprise", "day").rows()


def pairs(*given: tuple[str, int]) -> pl.DataFrame:
    return typed({"enterprise": pl.String, "day": pl.Int32}, *given)


def test_the_regions_of_a_committed_enterprise_are_due_on_its_days(store: SqlStateStore) -> None:
    new_year = day_number(dt.date(2025, 1, 1))
    days = [day_row(A, new_year - 1), day_row(A, new_year), day_row(B, new_year)]
    regions = {A: [COUNTY, CITY], B: [CITY, OTHER], credit_code(9): ["990199"]}
    store.commit_assessment(leased(store, "assess"), commit_of(*days, regions=regions))
    assert due(store) == [
        (CITY, new_year - 1),
        (COUNTY, new_year - 1),
        (CITY, new_year),
        (COUNTY, new_year),
        (OTHER, new_year),
    ]
    assert store.claim_dirty(0, 9).is_empty()


def test_only_what_has_changed_makes_regions_and_rules_due(store: SqlStateStore) -> None:
    lease = leased(store, "assess")
    store.commit_assessment(lease, commit_of(day_row(A, 1), day_row(A, 2), day_row(B, 1)))
    judged = store.due_judgements(0)
    days = (day_row(A, 1), day_row(A, 2), day_row(B, 1))
    again = commit_of(*days, regions={A: [COUNTY], B: [COUNTY]}, changed=pairs((A, 2)))
    store.commit_assessment(lease, again)
    assert due(store) == [(COUNTY, 2)]
    assert store.due_judgements(0)[A] > judged[A]
    assert store.due_judgements(0)[B] == judged[B]
    store.commit_assessment(lease, commit_of(*days, regions={A: [COUNTY]}, changed=pairs()))
    assert due(store) == [(COUNTY, 2)]


def test_a_days_that_are_claimed_and_gone_are_due_in_their_regions(store: SqlStateStore) -> None:
    lease = leased(store, "assess")
    store.commit_assessment(lease, commit_of(day_row(A, 1)))
    store.mark_dirty(typed(DIRTY_SCHEMA, (A, 1, False)))
    store.commit_assessment(lease, commit_of(claimed=store.claim_dirty(0, 9), regions={A: [COUNTY]}))
    assert due(store) == [(COUNTY, 1)]


def test_a_regions_results_are_those_of_its_partition_however_many_there_are(
    url: str,
) -> None:
    with opened(url, partitions=3) as store:
        lease = leased(store, "assess", REGION_PARTITION)
        scopes = rows(SCOPE_DAYS, {"enterprise": COUNTY, "day": 1, "scope": "net", "carbon_g": 2**62})
        days = (day_row(COUNTY, 1), day_row(COUNTY, 3), day_row(CITY, 2))
        store.commit_assessment(lease, commit_of(*days, scope_days=scopes))
        assert store.last_days(REGION_PARTITION).rows() == [(CITY, 2, 2), (COUNTY, 1, 3)]
        assert store.enterprise_days([COUNTY, CITY], 0, 9).select("enterprise", "day").rows() == [
            (CITY, 2),
            (COUNTY, 1),
            (COUNTY, 3),
        ]
        assert store.scope_days([COUNTY], 0, 9)["carbon_g"].to_list() == [2**62]
        assert set(store.due_judgements(REGION_PARTITION)) == {COUNTY, CITY}
        assert set(store.due_projections(REGION_PARTITION, 9)) == {(COUNTY, 1), (COUNTY, 3), (CITY, 2)}
        assert store.due_rechecks(REGION_PARTITION, 2**40, 9).is_empty()
        for partition in range(3):
            assert store.last_days(partition).is_empty()
            assert store.due_judgements(partition) == {}
            assert store.due_projections(partition, 9) == {}


def test_a_member_that_changes_between_claim_and_commit_leaves_the_region_due(store: SqlStateStore) -> None:
    member, region = leased(store, "assess"), leased(store, "assess", REGION_PARTITION)
    store.commit_assessment(member, commit_of(day_row(A, 1), regions={A: [COUNTY]}))
    claimed = store.claim_dirty(REGION_PARTITION, 9)
    store.commit_assessment(member, commit_of(day_row(A, 1), regions={A: [COUNTY]}))
    store.commit_assessment(region, commit_of(day_row(COUNTY, 1), claimed=claimed))
    assert due(store) == [(COUNTY, 1)]
    later = store.claim_dirty(REGION_PARTITION, 9)
    store.commit_assessment(region, commit_of(day_row(COUNTY, 1), claimed=later))
    assert due(store) == []


def test_a_member_commit_that_is_lost_leaves_no_region_due(store: SqlStateStore) -> None:
    old = leased(store, "assess")
    store.release_lease(old)
    leased(store, "assess", holder="successor")
    with pytest.raises(LeaseLost):
        store.commit_assessment(old, commit_of(day_row(A, 1), regions={A: [COUNTY]}))
    assert due(store) == []
    assert store.enterprise_days([A], 0, 9).is_empty()


def test_partitions_that_commit_into_one_region_at_once_never_lose_a_change(url: str) -> None:
    """Two workers of enterprises and one of the region, on connections of their own: whatever the region's
    worker clears, the last sum it wrote is that of the members' last figures."""
    codes = [next(code for code in map(credit_code, range(99)) if partition_of(code, 2) == n) for n in (0, 1)]
    is_over = threading.Event()

    def members(partition: int) -> None:
        with opened(url, partitions=2) as store:
            lease = leased(store, "assess", partition, f"worker {partition}")
            for turn in range(20):
                days = [day_row(codes[partition], day, calorific_g=turn + 1) for day in (1, 2)]
                commit = commit_of(*days, regions={codes[partition]: [CITY, COUNTY]})
                store.commit_assessment(lease, commit)

    def add_up(store: SqlStateStore, lease: Any) -> bool:
        claimed = store.claim_dirty(REGION_PARTITION, 9)
        if claimed.is_empty():
            return False
        days = store.enterprise_days(codes, 0, 9).group_by("day").agg(pl.col("calorific_g").sum())
        sums = dict(days.iter_rows())
        found = [day_row(name, day, calorific_g=sums[day]) for name, day, *_ in claimed.iter_rows()]
        store.commit_assessment(lease, commit_of(*found, claimed=claimed))
        return True

    def region() -> None:
        with opened(url, partitions=2) as store:
            lease = leased(store, "assess", REGION_PARTITION, "region")
            while not is_over.is_set():
                add_up(store, lease)
            while add_up(store, lease):
                pass

    with opened(url, partitions=2) as store, ThreadPoolExecutor(3) as pool:
        summing = pool.submit(region)
        list(pool.map(members, (0, 1)))
        is_over.set()
        summing.result()
        assert due(store) == []
        found = store.enterprise_days([CITY, COUNTY], 0, 9)
        assert found.select("enterprise", "day", "calorific_g").rows() == [
            (CITY, 1, 40),
            (CITY, 2, 40),
            (COUNTY, 1, 40),
            (COUNTY, 2, 40),
        ]
