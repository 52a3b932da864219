"""Dirty days in, results out: generations, replacement, revisions, to-dos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from nengshao.domain.codes import partition_of
from nengshao.domain.errors import StoreRejected
from nengshao.frames import BLOCKS, ENTERPRISE_DAYS, POINT_DAYS
from nengshao.ports import DIRTY_SCHEMA, Booking, Revision
from nengshao.stores.state import SqlStateStore
from tests.support.state import (
    BACKENDS,
    NO_SPANS,
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


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStateStore]:
    with opened(state_url(request, tmp_path)) as store:
        yield store


@pytest.fixture(params=BACKENDS)
def parted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStateStore]:
    with opened(state_url(request, tmp_path), partitions=3) as store:
        yield store


def dirty(*given: tuple[str, int, bool]) -> pl.DataFrame:
    return typed(DIRTY_SCHEMA, *given)


def point_day(enterprise: str, point: int, day: int, **columns: Any) -> dict[str, Any]:
    return {
        "enterprise": enterprise,
        "point": point,
        "day": day,
        "carrier": "electricity",
        "sign": 1,
    } | columns


def block(enterprise: str, point: int, start: int, end: int) -> dict[str, Any]:
    fixed = {"enterprise": enterprise, "via": point, "point": point, "sign": -1, "amount": 7}
    return fixed | {"start": start, "end": end}


# ----------------------------------------------------------------------------------------------- dirty


def test_dirty_days_are_claimed_oldest_first_and_stay(store: SqlStateStore) -> None:
    store.mark_dirty(dirty((B, 3, False), (A, 5, True), (A, 1, False)))
    claimed = store.claim_dirty(0, 2)
    assert claimed.select("enterprise", "day", "late").rows() == [(A, 1, False), (B, 3, False)]
    assert claimed.schema == pl.Schema({**DIRTY_SCHEMA, "generation": pl.Int64})
    assert store.claim_dirty(0, 10).height == 3


def test_marking_again_gives_a_later_generation_and_forgets_no_late_read(store: SqlStateStore) -> None:
    store.mark_dirty(dirty((A, 1, True), (A, 1, False)))
    first = store.claim_dirty(0, 10)
    store.book(leased(store), Booking(at=1, dirty=dirty((A, 1, False))))
    second = store.claim_dirty(0, 10)
    assert second["late"].to_list() == [True]
    assert second["generation"][0] > first["generation"][0]


def test_a_commit_clears_what_it_claimed(store: SqlStateStore) -> None:
    store.mark_dirty(dirty((A, 1, False), (A, 2, False)))
    claimed = store.claim_dirty(0, 1)
    store.commit_assessment(leased(store, "assess"), commit_of(day_row(A, 1), claimed=claimed))
    assert store.claim_dirty(0, 10)["day"].to_list() == [2]


def test_a_day_marked_between_claim_and_commit_stays_dirty(store: SqlStateStore) -> None:
    store.mark_dirty(dirty((A, 1, False), (A, 2, False)))
    claimed = store.claim_dirty(0, 10)
    store.mark_dirty(dirty((A, 2, True)))
    store.commit_assessment(leased(store, "assess"), commit_of(day_row(A, 1), claimed=claimed))
    assert store.claim_dirty(0, 10).select("day", "late").rows() == [(2, True)]


def test_a_day_cleared_and_marked_again_is_not_cleared_by_an_old_claim(store: SqlStateStore) -> None:
    lease = leased(store, "assess")
    store.mark_dirty(dirty((A, 1, False)))
    claimed = store.claim_dirty(0, 10)
    store.commit_assessment(lease, commit_of(claimed=claimed))
    store.mark_dirty(dirty((A, 1, False)))
    store.commit_assessment(lease, commit_of(claimed=claimed))
    assert store.claim_dirty(0, 10).height == 1


def test_partitions_see_their_own_enterprises(parted: SqlStateStore) -> None:
    codes = [credit_code(number) for number in range(12)]
    parted.mark_dirty(dirty(*((code, 1, False) for code in codes)))
    lease = leased(parted, "assess")
    parted.commit_assessment(lease, commit_of(*(day_row(code, 1, recheck_at=5) for code in codes)))
    for partition in range(3):
        own = {code for code in codes if partition_of(code, 3) == partition}
        assert own
        assert set(parted.claim_dirty(partition, 100)["enterprise"]) == own
        assert set(parted.due_rechecks(partition, 5, 100)["enterprise"]) == own
        assert set(parted.last_days(partition)["enterprise"]) == own
        assert set(parted.due_judgements(partition)) == own
        assert {name for name, _ in parted.due_projections(partition, 100)} == own


# --------------------------------------------------------------------------------------------- results


def full_row(contract: Any, **columns: Any) -> dict[str, Any]:
    """A row in which every integer is beyond 32 bits, if its type allows."""
    samples: dict[Any, Any] = {
        pl.Int8: -1,
        pl.Int32: 20_000,
        pl.Int64: -(2**62),
        pl.String: "字",
        pl.Boolean: True,
    }
    return {name: samples[dtype] for name, dtype in contract.schema.items()} | columns


def test_results_come_back_as_they_were_given(store: SqlStateStore) -> None:
    points = [full_row(POINT_DAYS, enterprise=A, day=1), point_day(A, -5, 1), point_day(A, 3, 0)]
    days = [full_row(ENTERPRISE_DAYS, enterprise=A, day=1), day_row(A, 0, published=False)]
    spans = typed(NO_SPANS.schema, (A, 0, 1_000))
    blocks = [full_row(BLOCKS, enterprise=A, start=1, end=2), block(A, 1, 5, 9)]
    commit = commit_of(*days, points=points, blocks=rows(BLOCKS, *blocks), block_spans=spans)
    store.commit_assessment(leased(store, "assess"), commit)
    assert_frame_equal(store.point_days([A], 0, 2), rows(POINT_DAYS, *points).sort(POINT_DAYS.key))
    assert_frame_equal(
        store.enterprise_days([A], 0, 2), rows(ENTERPRISE_DAYS, *days).sort("enterprise", "day")
    )
    assert_frame_equal(store.blocks([A], 0, 100), rows(BLOCKS, *blocks).sort(BLOCKS.key))


def test_empty_answers_have_their_columns(store: SqlStateStore) -> None:
    assert_frame_equal(store.point_days([A], 0, 10), POINT_DAYS.empty())
    assert_frame_equal(store.enterprise_days([], 0, 10), ENTERPRISE_DAYS.empty())
    assert_frame_equal(store.blocks([A], 0, 10), BLOCKS.empty())
    assert store.claim_dirty(0, 10).is_empty()
    assert store.due_rechecks(0, 10, 10).is_empty()
    assert store.last_days(0).is_empty()
    assert store.revisions(A, 0, 10) == []
    store.mark_dirty(dirty())
    store.clear_projections({})
    store.commit_assessment(leased(store, "assess"), commit_of())
    assert store.due_judgements(0) == {}


def test_a_days_results_are_replaced_and_other_days_kept(store: SqlStateStore) -> None:
    lease = leased(store, "assess")
    points = [point_day(A, point, day, amount=1) for point in (1, 2) for day in (1, 2)]
    store.commit_assessment(lease, commit_of(day_row(A, 1), day_row(A, 2), day_row(B, 1), points=points))
    changed = commit_of(day_row(A, 1, calorific_g=9), points=[point_day(A, 1, 1, amount=5)])
    store.commit_assessment(lease, changed)
    assert store.point_days([A], 1, 3).select("point", "day", "amount").rows() == [
        (1, 1, 5),
        (1, 2, 1),
        (2, 2, 1),
    ]
    days = store.enterprise_days([A, B], 0, 9).select("enterprise", "day", "calorific_g").rows()
    assert days == [(A, 1, 9), (A, 2, None), (B, 1, None)]
    assert store.enterprise_days([A], 1, 2)["day"].to_list() == [1]


def test_a_claimed_day_without_results_any_more_loses_its_old_ones(store: SqlStateStore) -> None:
    lease = leased(store, "assess")
    store.commit_assessment(lease, commit_of(day_row(A, 1), points=[point_day(A, 1, 1)]))
    store.mark_dirty(dirty((A, 1, False)))
    store.commit_assessment(lease, commit_of(claimed=store.claim_dirty(0, 10)))
    assert store.enterprise_days([A], 0, 9).is_empty()
    assert store.point_days([A], 0, 9).is_empty()


def test_blocks_that_overlap_the_computed_span_are_replaced(store: SqlStateStore) -> None:
    lease = leased(store, "assess")
    old = rows(BLOCKS, block(A, 1, 0, 10), block(A, 1, 10, 20), block(A, 2, 30, 40), block(B, 1, 0, 10))
    store.commit_assessment(lease, commit_of(blocks=old))
    spans = typed(NO_SPANS.schema, (A, 10, 30))
    store.commit_assessment(lease, commit_of(blocks=rows(BLOCKS, block(A, 1, 12, 14)), block_spans=spans))
    left = store.blocks([A, B], 0, 100).select("enterprise", "point", "start").rows()
    assert left == [(A, 1, 0), (A, 1, 12), (A, 2, 30), (B, 1, 0)]
    assert store.blocks([A], 10, 12).is_empty()
    assert store.blocks([A], 9, 13)["start"].to_list() == [0, 12]


def test_a_block_takes_the_place_of_those_of_its_point_that_it_comes_over(store: SqlStateStore) -> None:
    """A read between two gaps proves wrong, and only the later day is committed so far: the gaps are one."""
    lease = leased(store, "assess")
    old = rows(BLOCKS, block(A, 1, 0, 10), block(A, 1, 10, 20), block(A, 2, 0, 10), block(B, 1, 0, 10))
    store.commit_assessment(lease, commit_of(blocks=old))
    one, spans = rows(BLOCKS, block(A, 1, 0, 20)), typed(NO_SPANS.schema, (A, 15, 30))
    store.commit_assessment(lease, commit_of(blocks=one, block_spans=spans))
    left = store.blocks([A, B], 0, 100).select("enterprise", "point", "start", "end").rows()
    assert left == [(A, 1, 0, 20), (A, 2, 0, 10), (B, 1, 0, 10)]


def test_a_commit_that_fails_leaves_nothing(store: SqlStateStore) -> None:
    store.mark_dirty(dirty((A, 1, False)))
    twice = [point_day(A, 1, 1), point_day(A, 1, 1)]
    commit = commit_of(day_row(A, 1), points=twice, claimed=store.claim_dirty(0, 10))
    with pytest.raises(StoreRejected):
        store.commit_assessment(leased(store, "assess"), commit)
    assert store.claim_dirty(0, 10).height == 1
    assert store.enterprise_days([A], 0, 9).is_empty()
    assert store.due_judgements(0) == {}


def test_rechecks_are_due_when_their_time_has_come(store: SqlStateStore) -> None:
    days = [
        day_row(A, 1, recheck_at=30),
        day_row(A, 2, recheck_at=10),
        day_row(A, 3),
        day_row(B, 1, recheck_at=31),
    ]
    store.commit_assessment(leased(store, "assess"), commit_of(*days))
    assert store.due_rechecks(0, 30, 10).rows() == [(A, 2), (A, 1)]
    assert store.due_rechecks(0, 30, 1).rows() == [(A, 2)]
    assert store.due_rechecks(0, 9, 10).is_empty()
    assert store.last_days(0).rows() == [(A, 1, 3), (B, 1, 1)]


def test_revisions_are_numbered_per_day_and_keep_what_they_replace(store: SqlStateStore) -> None:
    lease = leased(store, "assess")

    def changed(day: int, cause: str) -> Revision:
        return Revision(A, day, cause, {"calorific_g": 1, "名": ["旧"]}, {"calorific_g": 2**60})

    store.commit_assessment(lease, commit_of(revisions=[changed(1, "late_data"), changed(1, "factor")], at=7))
    store.commit_assessment(lease, commit_of(revisions=[changed(2, "time"), changed(1, "correction")], at=8))
    found = store.revisions(A, 1, 3)
    assert [(row["day"], row["seq"], row["made_at"], row["cause"]) for row in found] == [
        (1, 1, 7, "late_data"),
        (1, 2, 7, "factor"),
        (1, 3, 8, "correction"),
        (2, 1, 8, "time"),
    ]
    fixed = {"enterprise", "day", "seq", "made_at", "cause", "before", "after"}
    assert set(found[0]) == fixed | {"decided_by", "reason", "replaced_at"}
    assert (found[0]["decided_by"], found[0]["reason"]) == (None, None)
    assert (found[0]["before"], found[0]["after"]) == (
        {"calorific_g": 1, "名": ["旧"]},
        {"calorific_g": 2**60},
    )
    assert store.revisions(B, 0, 9) == []


def test_a_revision_says_when_the_figure_it_replaces_was_computed(store: SqlStateStore) -> None:
    lease = leased(store, "assess")
    revision = Revision(A, 1, "late_data", {}, {})
    for at, revisions in ((3, []), (5, []), (8, [revision]), (9, [revision])):
        days = rows(ENTERPRISE_DAYS, day_row(A, 1))
        store.commit_assessment(lease, commit_of(enterprise_days=days, revisions=revisions, at=at))
    assert [row["replaced_at"] for row in store.revisions(A, 1, 2)] == [5, 8]
    store.commit_assessment(lease, commit_of(revisions=[Revision(A, 2, "late_data", {}, {})], at=9))
    assert [row["replaced_at"] for row in store.revisions(A, 2, 3)] == [None]


# --------------------------------------------------------------------------------------------- to-dos


def test_results_are_due_for_judgement_and_projection_until_struck(store: SqlStateStore) -> None:
    lease = leased(store, "assess")
    store.commit_assessment(lease, commit_of(day_row(A, 2), day_row(A, 1), day_row(B, 1)))
    assert set(store.due_judgements(0)) == {A, B}
    due = store.due_projections(0, 10)
    assert list(due) == sorted(due, key=lambda key: (key[1], key[0]))
    assert set(due) == {(A, 1), (A, 2), (B, 1)}
    assert len(store.due_projections(0, 2)) == 2
    store.commit_assessment(lease, commit_of(day_row(A, 1)))
    store.clear_projections(due)
    assert set(store.due_projections(0, 10)) == {(A, 1)}
    store.clear_projections(store.due_projections(0, 10))
    assert store.due_projections(0, 10) == {}


def test_ten_thousand_point_days_are_one_commit(store: SqlStateStore) -> None:
    points = [point_day(A, point, day, amount=point) for point in range(1_000) for day in range(10)]
    days = [day_row(A, day) for day in range(10)]
    lease = leased(store, "assess")
    for _ in range(2):
        store.commit_assessment(lease, commit_of(*days, points=points))
    assert store.point_days([A], 0, 10).height == 10_000
