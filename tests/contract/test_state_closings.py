"""Closed days keep their figures; what is new is proposed, and a person decides. On SQLite and PostgreSQL."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from nengshao.domain.codes import REGION_PARTITION
from nengshao.domain.errors import ConfigError, LeaseLost
from nengshao.domain.time import DAY_S, day_number, day_start
from nengshao.frames import BLOCKS, ENTERPRISE_DAYS, SCOPE_DAYS
from nengshao.ports import DIRTY_SCHEMA, Revision
from nengshao.registry import ENTERPRISES, REGIONS
from nengshao.stores.state import SqlStateStore
from tests.support.state import (
    BACKENDS,
    NO_SPANS,
    A,
    B,
    commit_of,
    day_row,
    enterprise_row,
    leased,
    opened,
    registry_of,
    rows,
    state_url,
    typed,
)

COUNTY, CITY = "990101", "990100"
HOUR = 3_600


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStateStore]:
    with opened(state_url(request, tmp_path)) as store:
        yield store


def day(number: int, grams: int | None, enterprise: str = A, **columns: Any) -> dict[str, Any]:
    """A published day of so many grams on every basis."""
    every = {"calorific_g": grams, "equivalent_g": grams, "carbon_g": grams}
    return day_row(enterprise, number, **every | columns)


def point(number: int, amount: int | None, day: int, **columns: Any) -> dict[str, Any]:
    key = {"enterprise": A, "point": number, "day": day}
    return key | {"carrier": "electricity", "sign": 1, "amount": amount} | columns


def block(start: int, end: int, grams: int | None, **columns: Any) -> dict[str, Any]:
    fixed = {"enterprise": A, "via": 7, "point": 7, "start": start, "end": end, "sign": 1}
    return fixed | {"amount": 1, "calorific_g": grams, "equivalent_g": grams, "carbon_g": grams} | columns


def span(first: int, end: int, enterprise: str = A) -> tuple[str, int, int]:
    return enterprise, day_start(first), day_start(end)


def commit(store: SqlStateStore, *days: Mapping[str, Any], **fields: Any) -> None:
    """Commit these days, and blocks in place of those that touch them."""
    numbers = [row["day"] for row in days]
    spans = [span(min(numbers), max(numbers) + 1)] if numbers else []
    blocks = rows(BLOCKS, *fields.pop("blocks", ()))
    given = {"blocks": blocks, "block_spans": typed(NO_SPANS.schema, *spans)} | fields
    store.commit_assessment(leased(store, "assess"), commit_of(*days, **given))


def close(store: SqlStateStore, first: int, end: int, enterprise: str = A, at: int = 9) -> int:
    return store.close_period(enterprise, first, end, "王会计", "月度结账", at)


def grams(store: SqlStateStore, first: int, end: int) -> list[tuple[int, int | None]]:
    return store.enterprise_days([A], first, end).select("day", "calorific_g").rows()


def open_ones(store: SqlStateStore) -> list[Mapping[str, Any]]:
    return store.proposals([A], state="open")


def decide(store: SqlStateStore, number: int, *, accept: bool, at: int = 20) -> bool:
    return store.decide_proposal(number, accept=accept, by="李审核", reason="补报属实", at=at)


def pending(store: SqlStateStore) -> list[tuple[Any, ...]]:
    return store.pending_difference([A, B], 0, 40_000).rows()


# --------------------------------------------------------------------------------------------- closing


def test_a_closing_has_its_days_its_person_and_its_reason(store: SqlStateStore) -> None:
    commit(store, *(day(number, 1) for number in range(1, 6)))
    second, first = close(store, 3, 6, at=10), close(store, 1, 3, at=11)
    assert store.closings(A) == [
        {
            "closing_id": number,
            "enterprise": A,
            "first_day": first_day,
            "end_day": end_day,
            "closed_by": "王会计",
            "closed_at": at,
            "reason": "月度结账",
        }
        for number, first_day, end_day, at in [(second, 3, 6, 10), (first, 1, 3, 11)]
    ]
    assert store.closings(B) == []


def test_everything_that_forbids_closing_is_listed_at_once_and_nothing_closed(store: SqlStateStore) -> None:
    first = day_number(dt.date(2024, 2, 1))
    leap, end = first + 28, first + 29
    unpublished = {first + 3, first + 4, first + 7}
    days = [day(n, 1, published=n not in unpublished) for n in range(first, end) if n not in {first, leap}]
    commit(store, *days)
    close(store, first + 10, first + 12)
    with pytest.raises(ConfigError) as refused:
        close(store, first, end)
    assert refused.value.problems == (
        f"{A} 2024-02-01 … 2024-02-01: 没有结果 / no result",
        f"{A} 2024-02-29 … 2024-02-29: 没有结果 / no result",
        f"{A} 2024-02-04 … 2024-02-05: 尚未发布 / not published yet",
        f"{A} 2024-02-08 … 2024-02-08: 尚未发布 / not published yet",
        f"{A} 2024-02-11 … 2024-02-12: 已结账 / closed already",
    )
    assert len(store.closings(A)) == 1
    with pytest.raises(ConfigError, match="period is empty"):
        close(store, first + 5, first + 5)


def test_a_leap_february_is_closed_with_its_29th(store: SqlStateStore) -> None:
    first = day_number(dt.date(2024, 2, 1))
    commit(store, *(day(number, 1) for number in range(first, first + 30)))
    close(store, first, day_number(dt.date(2024, 3, 1)))
    commit(store, day(first + 28, 2), day(first + 29, 2))
    assert grams(store, first + 28, first + 30) == [(first + 28, 1), (first + 29, 2)]


def test_a_region_is_closed_like_an_enterprise(store: SqlStateStore) -> None:
    commit(store, day(1, 5, COUNTY))
    close(store, 1, 2, COUNTY)
    commit(store, day(1, 6, COUNTY))
    assert store.enterprise_days([COUNTY], 0, 9)["calorific_g"].to_list() == [5]
    assert store.pending_difference([COUNTY], 0, 9).rows() == [(COUNTY, 1, 1, 1, 1)]


# -------------------------------------------------------------------------------------------- proposing


def test_a_closed_day_keeps_every_figure_and_the_new_ones_are_proposed(store: SqlStateStore) -> None:
    scope = {"scope": "net", "calorific_g": 60, "published": True}
    before = (day(1, 100), [point(7, 10, 1), point(8, 5, 1)], {"enterprise": A, "day": 1} | scope)
    after = (day(1, 120), [point(7, 12, 1)], before[2] | {"calorific_g": 70})
    for figures, closes in ((before, True), (after, False)):
        commit(store, figures[0], points=figures[1], scope_days=rows(SCOPE_DAYS, figures[2]))
        if closes:
            close(store, 1, 2)
    assert_frame_equal(store.enterprise_days([A], 0, 9), rows(ENTERPRISE_DAYS, before[0]))
    assert store.point_days([A], 0, 9).select("point", "amount").rows() == [(7, 10), (8, 5)]
    assert store.scope_days([A], 0, 9)["calorific_g"].to_list() == [60]
    [proposal] = store.proposals()
    assert {name: proposal[name] for name in ("enterprise", "day", "made_at", "state", "cause")} == {
        "enterprise": A,
        "day": 1,
        "made_at": 5_000,
        "state": "open",
        "cause": "late_data",
    }
    assert (proposal["decided_by"], proposal["decided_at"], proposal["reason"]) == (None, None, None)
    for side, figures in (("before", before), ("after", after)):
        content = proposal[side]
        assert content["enterprise_day"]["calorific_g"] == figures[0]["calorific_g"]
        assert [row["amount"] for row in content["point_days"]] == [row["amount"] for row in figures[1]]
        assert [row["calorific_g"] for row in content["scope_days"]] == [figures[2]["calorific_g"]]
        assert content["blocks"] == []


def test_open_days_beside_a_closed_one_change_as_ever(store: SqlStateStore) -> None:
    lease = leased(store, "assess")
    store.commit_assessment(lease, commit_of(*(day(number, 1) for number in (1, 2, 3))))
    close(store, 2, 3)
    store.clear_projections(store.due_projections(0, 10))
    judged = store.due_judgements(0)[A]
    store.mark_dirty(typed(DIRTY_SCHEMA, *((A, number, False) for number in (1, 2, 3))))
    revisions = [Revision(A, number, "correction", {}, {}) for number in (1, 2, 3)]
    changed = commit_of(
        *(day(number, 4) for number in (1, 2, 3)),
        revisions=revisions,
        claimed=store.claim_dirty(0, 10),
        regions={A: [COUNTY, CITY]},
    )
    store.commit_assessment(lease, changed)
    assert grams(store, 0, 9) == [(1, 4), (2, 1), (3, 4)]
    assert [row["day"] for row in store.revisions(A, 0, 9)] == [1, 3]
    assert [(row["day"], row["cause"]) for row in store.proposals()] == [(2, "correction")]
    assert store.claim_dirty(0, 10).is_empty()
    assert set(store.due_projections(0, 10)) == {(A, 1), (A, 3)}
    assert store.due_judgements(0)[A] > judged
    regions = store.claim_dirty(REGION_PARTITION, 10).select("enterprise", "day").rows()
    assert regions == [(CITY, 1), (COUNTY, 1), (CITY, 3), (COUNTY, 3)]


def test_what_is_proposed_again_is_one_proposal_and_something_else_another(store: SqlStateStore) -> None:
    commit(store, day(1, 1))
    close(store, 1, 2)
    for _ in range(2):
        commit(store, day(1, 2), at=6_000)
    [first] = store.proposals()
    commit(store, day(1, 3), at=7_000)
    newer, older = store.proposals()
    assert (older["proposal_id"], older["state"], older["decided_at"]) == (
        first["proposal_id"],
        "withdrawn",
        7_000,
    )
    assert (newer["state"], newer["after"]["enterprise_day"]["calorific_g"]) == ("open", 3)
    assert not decide(store, first["proposal_id"], accept=True)
    commit(store, day(1, 1), at=8_000)
    assert [row["state"] for row in store.proposals()] == ["withdrawn", "withdrawn"]
    assert grams(store, 0, 9) == [(1, 1)]


def test_when_to_look_again_is_no_figure_and_is_kept_up_to_date(store: SqlStateStore) -> None:
    commit(store, day(1, 1, recheck_at=50), points=[point(7, 1, 1, recheck_at=50)])
    close(store, 1, 2)
    commit(store, day(1, 1, published=False, recheck_at=None), points=[point(7, 1, 1)])
    assert store.proposals() == []
    assert store.due_rechecks(0, 99, 9).is_empty()
    assert store.enterprise_days([A], 0, 9)["published"].to_list() == [True]


def test_a_closed_day_that_has_no_figures_any_more_is_proposed_to_go(store: SqlStateStore) -> None:
    commit(store, day(1, 8), points=[point(7, 1, 1)])
    close(store, 1, 2)
    store.mark_dirty(typed(DIRTY_SCHEMA, (A, 1, False)))
    commit(store, claimed=store.claim_dirty(0, 9))
    [proposal] = open_ones(store)
    assert proposal["after"] == {"enterprise_day": None, "point_days": [], "scope_days": [], "blocks": []}
    assert pending(store) == [(A, 1, -8, -8, -8)]
    assert decide(store, proposal["proposal_id"], accept=True)
    assert store.enterprise_days([A], 0, 9).is_empty()
    assert store.point_days([A], 0, 9).is_empty()


def test_empty_answers_and_empty_commits(store: SqlStateStore) -> None:
    commit(store)
    assert store.proposals() == []
    assert store.proposals([]) == []
    assert store.pending_difference([A], 0, 9).schema == pl.Schema(
        {
            "enterprise": pl.String,
            "day": pl.Int32,
            "calorific_g": pl.Int64,
            "equivalent_g": pl.Int64,
            "carbon_g": pl.Int64,
        }
    )
    assert not decide(store, 1, accept=True)


def test_proposals_are_listed_newest_first_by_enterprise_and_state(store: SqlStateStore) -> None:
    both = [(number, name) for number in (1, 2, 3) for name in (A, B)]
    commit(store, *(day(number, 1, name) for number, name in both))
    for name in (A, B):
        close(store, 1, 4, name)
    commit(store, *(day(number, 2, name) for number, name in both))
    every = store.proposals()
    assert [row["proposal_id"] for row in every] == sorted(
        (row["proposal_id"] for row in every), reverse=True
    )
    assert len(every) == 6
    assert {row["enterprise"] for row in store.proposals([B])} == {B}
    assert store.proposals(limit=2) == every[:2]
    decide(store, every[0]["proposal_id"], accept=False)
    assert store.proposals(state="rejected") == [store.proposals()[0]]
    assert len(store.proposals([A, B], state="open", limit=9)) == 5


# ------------------------------------------------------------------------------------------- deciding


def test_accepted_figures_are_in_force_with_a_revision_that_says_who_and_why(store: SqlStateStore) -> None:
    regions = rows(REGIONS, {"code": COUNTY, "parent": CITY}, {"code": CITY})
    members = rows(ENTERPRISES, enterprise_row(A, region=COUNTY))
    store.save_registry(registry_of(A, regions=regions, enterprises=members), at=1)
    net = {"enterprise": A, "day": 1, "scope": "net"}
    commit(store, day(1, 100), points=[point(7, 10, 1), point(8, 1, 1)])
    close(store, 1, 2)
    commit(store, day(1, 2**60), points=[point(7, -(2**62), 1)], scope_days=rows(SCOPE_DAYS, net))
    store.clear_projections(store.due_projections(0, 9))
    judged = store.due_judgements(0)[A]
    [proposal] = open_ones(store)
    assert decide(store, proposal["proposal_id"], accept=True)
    assert grams(store, 0, 9) == [(1, 2**60)]
    assert store.point_days([A], 0, 9).select("point", "amount").rows() == [(7, -(2**62))]
    assert store.scope_days([A], 0, 9)["scope"].to_list() == ["net"]
    [revision] = store.revisions(A, 0, 9)
    assert revision == {
        "enterprise": A,
        "day": 1,
        "seq": 1,
        "made_at": 20,
        "cause": "accepted",
        "before": proposal["before"],
        "after": proposal["after"],
        "decided_by": "李审核",
        "reason": "补报属实",
        "replaced_at": 5_000,  # when the commit before the closing was made
    }
    assert store.proposals() == [
        {**proposal, "state": "accepted", "decided_by": "李审核", "decided_at": 20, "reason": "补报属实"}
    ]
    assert set(store.due_projections(0, 9)) == {(A, 1)}
    assert store.due_judgements(0)[A] > judged
    dirty = store.claim_dirty(REGION_PARTITION, 9).select("enterprise", "day").rows()
    assert dirty == [(CITY, 1), (COUNTY, 1)]
    assert not decide(store, proposal["proposal_id"], accept=False)
    assert pending(store) == []


def test_rejected_figures_are_not_proposed_again_but_others_are(store: SqlStateStore) -> None:
    commit(store, day(1, 1))
    close(store, 1, 2)
    commit(store, day(1, 2))
    assert decide(store, open_ones(store)[0]["proposal_id"], accept=False)
    commit(store, day(1, 2))
    assert open_ones(store) == []
    commit(store, day(1, 3))
    assert len(open_ones(store)) == 1
    commit(store, day(1, 2))
    assert open_ones(store) == []  # and the other one is withdrawn
    assert sorted(row["state"] for row in store.proposals()) == ["rejected", "withdrawn"]
    assert grams(store, 0, 9) == [(1, 1)]
    assert store.revisions(A, 0, 9) == []


def test_what_was_rejected_is_proposed_again_once_other_figures_are_in_force(store: SqlStateStore) -> None:
    commit(store, day(1, 1))
    close(store, 1, 2)
    for figure, accept in ((2, False), (3, True)):
        commit(store, day(1, figure))
        assert decide(store, open_ones(store)[0]["proposal_id"], accept=accept)
    commit(store, day(1, 2))
    [again] = open_ones(store)
    assert (again["before"]["enterprise_day"]["calorific_g"], pending(store)) == (3, [(A, 1, -1, -1, -1)])


# --------------------------------------------------------------------------------------------- blocks


def test_a_block_of_closed_days_stays_in_force_and_goes_with_the_days_that_share_it(
    store: SqlStateStore,
) -> None:
    """Three closed days in one gap of 70 g; the meter then sends what it had kept: 10, 40 and 20 g."""
    gap = block(day_start(1) + HOUR, day_start(4) - HOUR, 70)
    commit(store, day(1, 0), day(2, None), day(3, 5), day(5, 9), blocks=[gap])
    close(store, 1, 4)
    commit(store, day(1, 10), day(2, 40), day(3, 25))
    assert_frame_equal(store.blocks([A], 0, 10 * DAY_S), rows(BLOCKS, gap))
    assert pending(store) == [(A, 1, -60, -60, -60), (A, 2, 40, 40, 40), (A, 3, 20, 20, 20)]
    numbers = [row["proposal_id"] for row in open_ones(store)]
    assert decide(store, numbers[1], accept=True)
    assert [row["state"] for row in store.proposals()] == ["accepted"] * 3
    assert grams(store, 1, 6) == [(1, 10), (2, 40), (3, 25), (5, 9)]
    assert store.blocks([A], 0, 10 * DAY_S).is_empty()
    assert [row["day"] for row in store.revisions(A, 0, 9)] == [1, 2, 3]
    assert not decide(store, numbers[0], accept=True)


def test_days_that_share_a_block_are_rejected_together_and_others_left_alone(store: SqlStateStore) -> None:
    gap = block(day_start(1) + HOUR, day_start(3) - HOUR, 70)
    commit(store, day(1, 0), day(2, 0), day(3, 3), blocks=[gap])
    close(store, 1, 4)
    shorter = block(day_start(2), day_start(3) - HOUR, 50)
    commit(store, day(1, 20), day(2, 0), day(3, 4), blocks=[shorter])
    assert [row["day"] for row in open_ones(store)] == [3, 2, 1]
    assert decide(store, open_ones(store)[2]["proposal_id"], accept=False)
    assert [(row["day"], row["state"]) for row in store.proposals()] == [
        (3, "open"),
        (2, "rejected"),
        (1, "rejected"),
    ]
    assert_frame_equal(store.blocks([A], 0, 10 * DAY_S), rows(BLOCKS, gap))
    assert pending(store) == [(A, 3, 1, 1, 1)]


def test_a_block_inside_a_closed_day_is_replaced_by_its_two_halves_when_accepted(
    store: SqlStateStore,
) -> None:
    start = day_start(1)
    commit(store, day(1, 0), blocks=[block(start, start + 20 * HOUR, 70)])
    close(store, 1, 2)
    halves = [block(start, start + 10 * HOUR, 30), block(start + 10 * HOUR, start + 20 * HOUR, 40, sign=-1)]
    commit(store, day(1, 0), blocks=halves)
    assert pending(store) == [(A, 1, -80, -80, -80)]  # 30 − 40 instead of 70
    assert decide(store, open_ones(store)[0]["proposal_id"], accept=True)
    assert_frame_equal(store.blocks([A], 0, 10 * DAY_S), rows(BLOCKS, *halves))
    commit(store, day(1, 0), blocks=halves)
    assert open_ones(store) == []


def test_a_block_that_reaches_into_an_open_day_follows_the_latest_results(store: SqlStateStore) -> None:
    """A gap over midnight, 70 g; the kept reads arrive when the first day is closed: 30 g of it, and 40 g.

    In force are 0 + 45 g, 30 g wait: nothing is counted twice, and the sum is that of the latest results.
    """
    gap = block(day_start(2) - HOUR, day_start(2) + HOUR, 70)
    commit(store, day(1, 0), day(2, 5), blocks=[gap])
    close(store, 1, 2)
    commit(store, day(1, 30), day(2, 45))
    assert grams(store, 1, 3) == [(1, 0), (2, 45)]
    assert store.blocks([A], 0, 10 * DAY_S).is_empty()
    assert pending(store) == [(A, 1, 30, 30, 30)]
    assert decide(store, open_ones(store)[0]["proposal_id"], accept=True)
    assert grams(store, 1, 3) == [(1, 30), (2, 45)]


def test_a_block_over_two_closed_periods_lies_in_closed_days_as_a_whole(store: SqlStateStore) -> None:
    gap = block(day_start(2) - HOUR, day_start(2) + HOUR, 70)
    commit(store, day(1, 0), day(2, 5), blocks=[gap])
    close(store, 2, 3)
    close(store, 1, 2)
    commit(store, day(1, 30), day(2, 45))
    assert_frame_equal(store.blocks([A], 0, 10 * DAY_S), rows(BLOCKS, gap))
    assert pending(store) == [(A, 1, -40, -40, -40), (A, 2, 40, 40, 40)]


def test_a_longer_block_that_comes_over_one_of_closed_days_waits_with_them(store: SqlStateStore) -> None:
    """The read that ended a gap within a closed day proves wrong: the gap now ends in the open day, 90 g.

    Whether the open day is committed before the closed one or with it, the 70 g in force count once.
    """
    start, end = day_start(1) + HOUR, day_start(1) + 20 * HOUR
    short = block(start, end, 70)
    commit(store, day(1, 3), day(2, 25), blocks=[short])
    close(store, 1, 2)
    longer = block(start, day_start(2) + HOUR, 90)
    for committed in ([day(2, 5)], [day(1, 3), day(2, 5)]):
        commit(store, *committed, blocks=[longer])
        assert_frame_equal(store.blocks([A], 0, 10 * DAY_S), rows(BLOCKS, short))
    assert pending(store) == [(A, 1, 20, 20, 20)]
    assert decide(store, open_ones(store)[0]["proposal_id"], accept=True)
    assert_frame_equal(store.blocks([A], 0, 10 * DAY_S), rows(BLOCKS, longer))
    assert grams(store, 1, 3) == [(1, 3), (2, 5)]


# ------------------------------------------------------------------------------------------ difference


def test_a_difference_is_unknown_only_where_a_factor_is_missing(store: SqlStateStore) -> None:
    commit(store, day(1, 10), day(2, None), day(3, 10), day(4, 10, B))
    for name, first, end in ((A, 1, 4), (B, 4, 5)):
        close(store, first, end, name)
    lacking: dict[str, Any] = {"carbon_g": None, "no_factor": "heat:carbon"}
    unknown_block = block(day_start(3), day_start(3) + 9, 5, equivalent_g=None)
    commit(store, day(1, 12, **lacking), day(2, 7), day(3, 10), day(4, 9, B), blocks=[unknown_block])
    assert pending(store) == sorted(
        [(A, 1, 2, 2, None), (A, 2, 7, 7, 7), (A, 3, 5, None, 5), (B, 4, -1, -1, -1)]
    )
    assert store.pending_difference([A], 2, 3).rows() == [(A, 2, 7, 7, 7)]
    assert store.pending_difference([], 0, 9).is_empty()


# --------------------------------------------------------------------------------------- many and at once


def test_a_closed_leap_year_is_proposed_and_accepted_day_by_day(store: SqlStateStore) -> None:
    first, end = day_number(dt.date(2024, 1, 1)), day_number(dt.date(2025, 1, 1))
    days = range(first, end)
    commit(store, *(day(number, 10) for number in days), points=[point(7, 1, number) for number in days])
    close(store, first, end)
    commit(store, *(day(number, 11) for number in days), points=[point(7, 2, number) for number in days])
    assert store.pending_difference([A], first, end)["calorific_g"].sum() == 366
    for row in store.proposals([A], state="open", limit=3):
        assert decide(store, row["proposal_id"], accept=True)
    assert store.enterprise_days([A], first, end)["calorific_g"].sum() == 366 * 10 + 3
    assert store.pending_difference([A], first, end)["calorific_g"].sum() == 363


def decide_days(store: SqlStateStore, first: int, end: int, *, accept: bool) -> list[int]:
    return store.decide_proposals(A, first, end, accept=accept, by="李审核", reason="月度复核", at=20)


def test_the_proposals_of_a_period_are_decided_at_once_and_each_is_recorded(store: SqlStateStore) -> None:
    commit(store, *(day(number, 10) for number in range(1, 6)))
    close(store, 1, 6)
    commit(store, *(day(number, 11) for number in range(1, 6)))
    numbers = {row["day"]: row["proposal_id"] for row in open_ones(store)}
    assert decide_days(store, 2, 5, accept=True) == sorted(numbers[number] for number in (2, 3, 4))
    assert grams(store, 1, 6) == [(1, 10), (2, 11), (3, 11), (4, 11), (5, 10)]
    assert [row["day"] for row in open_ones(store)] == [5, 1]
    for number in (2, 3, 4):
        row = store.proposal(numbers[number])
        assert row is not None
        said = (row["state"], row["decided_by"], row["decided_at"], row["reason"])
        assert said == ("accepted", "李审核", 20, "月度复核")
    found = [(r["day"], r["cause"], r["decided_by"]) for r in store.revisions(A, 0, 9)]
    assert sorted(found) == [(number, "accepted", "李审核") for number in (2, 3, 4)]
    assert decide_days(store, 2, 5, accept=False) == []  # done again: nothing is open there
    assert grams(store, 2, 5) == [(2, 11), (3, 11), (4, 11)]


def test_what_shares_a_block_with_the_period_is_decided_with_it(store: SqlStateStore) -> None:
    commit(store, *(day(number, 1) for number in range(1, 5)))
    close(store, 1, 5)
    commit(store, *(day(number, 2) for number in (1, 4)), blocks=[block(day_start(2), day_start(4), 7)])
    commit(store, day(1, 2), day(2, 2), day(3, 2), day(4, 2), blocks=[block(day_start(2), day_start(4), 7)])
    assert len(decide_days(store, 2, 3, accept=False)) == 2
    assert [row["day"] for row in open_ones(store)] == [4, 1]


def test_nothing_of_another_enterprise_or_of_other_days_is_decided(store: SqlStateStore) -> None:
    assert decide_days(store, 0, 9, accept=True) == []
    commit(store, day(1, 1))
    close(store, 1, 2)
    commit(store, day(1, 2))
    assert decide_days(store, 2, 9, accept=True) == []
    assert store.decide_proposals(B, 0, 9, accept=True, by="a", reason="b", at=1) == []
    assert len(open_ones(store)) == 1


def test_a_proposal_is_found_by_its_id_and_older_ones_by_the_last_seen(store: SqlStateStore) -> None:
    assert store.proposal(1) is None
    commit(store, *(day(number, 10) for number in range(1, 6)))
    close(store, 1, 6)
    commit(store, *(day(number, 11) for number in range(1, 6)))
    every = store.proposals()
    assert store.proposal(every[2]["proposal_id"]) == every[2]
    assert store.proposals(before=every[1]["proposal_id"], limit=2) == every[2:4]
    assert store.proposals([A], state="open", before=every[3]["proposal_id"]) == every[4:]


def test_a_commit_under_an_old_epoch_proposes_nothing(store: SqlStateStore) -> None:
    commit(store, day(1, 1))
    close(store, 1, 2)
    old = leased(store, "assess")
    store.release_lease(old)
    leased(store, "assess", holder="successor")
    with pytest.raises(LeaseLost):
        store.commit_assessment(old, commit_of(day(1, 2)))
    assert store.proposals() == []


def test_of_many_decisions_at_once_exactly_one_counts(store: SqlStateStore) -> None:
    commit(store, day(1, 1))
    close(store, 1, 2)
    commit(store, day(1, 2))
    number = open_ones(store)[0]["proposal_id"]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda turn: decide(store, number, accept=turn % 2 == 0), range(4)))
    assert sum(done) == 1
    [proposal] = store.proposals()
    accepted = done.index(True) % 2 == 0
    assert proposal["state"] == ("accepted" if accepted else "rejected")
    assert grams(store, 0, 9) == [(1, 2 if accepted else 1)]
    assert len(store.revisions(A, 0, 9)) == accepted


@pytest.mark.parametrize("turn", range(4))
def test_a_decision_and_a_newer_result_at_once_have_one_outcome(store: SqlStateStore, turn: int) -> None:
    """Accepted first: the newer result is proposed against it. Withdrawn first: nothing was accepted."""
    commit(store, day(1, 1))
    close(store, 1, 2)
    commit(store, day(1, 2))
    number, lease = open_ones(store)[0]["proposal_id"], leased(store, "assess")
    together = threading.Barrier(2)

    def renew() -> None:
        together.wait()
        store.commit_assessment(lease, commit_of(day(1, 3)))

    def accept() -> bool:
        together.wait()
        return decide(store, number, accept=True)

    with ThreadPoolExecutor(2) as pool:
        renewal, decision = pool.submit(renew), pool.submit(accept)
        renewal.result()
        accepted = decision.result()
    in_force = 2 if accepted else 1
    assert grams(store, 0, 9) == [(1, in_force)]
    [left] = open_ones(store)
    assert left["before"]["enterprise_day"]["calorific_g"] == in_force
    assert left["after"]["enterprise_day"]["calorific_g"] == 3
    assert len(store.revisions(A, 0, 9)) == accepted


def test_what_is_closed_while_results_come_stays_as_it_was_closed(store: SqlStateStore) -> None:
    commit(store, day(1, 0))
    lease = leased(store, "assess")
    started = threading.Event()

    def recompute() -> None:
        for figure in range(1, 30):
            store.commit_assessment(lease, commit_of(day(1, figure)))
            started.set()

    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(recompute)
        started.wait(10)
        close(store, 1, 2)
        closed_as = grams(store, 0, 9)
        work.result()
    assert grams(store, 0, 9) == closed_as
    [(_, figure)] = closed_as
    assert pending(store) == ([] if figure == 29 else [(A, 1, 29 - figure, 29 - figure, 29 - figure)])  # type: ignore[operator]  # it was given


def test_two_people_who_close_the_same_day_at_once_close_it_once(store: SqlStateStore) -> None:
    commit(store, day(1, 0), day(2, 0))

    def close_it(first: int) -> bool:
        try:
            close(store, first, 3)
        except ConfigError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(close_it, (1, 2, 1, 2)))
    assert sum(done) == 1
    assert len(store.closings(A)) == 1
