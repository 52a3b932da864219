"""Judgements in, alerts out: replaced, remembered, told once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal

from nengshao.domain.alerts import Alert, AlertState, Step, Transition
from nengshao.domain.codes import REGION_PARTITION
from nengshao.domain.errors import StoreRejected
from nengshao.frames import INTENSITY, MEASURES, PROGRESS
from nengshao.ports import JudgementCommit, Notice
from nengshao.stores.state import SqlStateStore
from tests.support.state import BACKENDS, A, B, commit_of, day_row, leased, opened, rows, state_url

COUNTY = "990101"


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStateStore]:
    with opened(state_url(request, tmp_path)) as store:
        yield store


def alert(alert_id: str = "a1", **fields: Any) -> Alert:
    given: dict[str, Any] = {
        "rule": "ahead-of-pace",
        "enterprise": A,
        "subject": "2025/calorific",
        "state": AlertState.FIRING,
        "severity": "orange",
        "level": "三级",
        "since": 100,
        "seen_at": 200,
        "breached_s": 2**40,
        "is_insufficient": False,
        "is_confirmed": True,
        "fired_at": 150,
        "ended_at": None,
    }
    return Alert(alert_id=alert_id, **given | fields)


def notice(notice_id: str = "n1", **fields: Any) -> Notice:
    given: dict[str, Any] = {
        "alert_id": "a1",
        "enterprise": A,
        "group": f"{A}/quota",
        "reason": "fired",
        "subject": "能耗超进度",
        "body": "…",
        "made_at": 7,
    }
    return Notice(notice_id=notice_id, **given | fields)


def progress(enterprise: str, year: int, **columns: Any) -> dict[str, Any]:
    return {
        "enterprise": enterprise,
        "year": year,
        "basis": "calorific",
        "scope": "total",
        "level": "base",
        "pace": 1.25,
    } | columns


def judged(store: SqlStateStore, **fields: Any) -> None:
    given: dict[str, Any] = {
        "at": 300,
        "enterprises": {},
        "progress": PROGRESS.empty(),
        "alerts": (),
        "transitions": (),
        "explanations": {},
    }
    store.commit_judgement(leased(store, "assess"), JudgementCommit(**given | fields))


# --------------------------------------------------------------------------------------------- judgement


def test_progress_of_the_judged_is_replaced_and_of_others_kept(store: SqlStateStore) -> None:
    first = rows(PROGRESS, progress(A, 2024), progress(A, 2025, used_g=2**60), progress(B, 2025))
    judged(store, enterprises={A: 1, B: 1}, progress=first)
    assert_frame_equal(store.progress(), first.sort(PROGRESS.key))
    judged(store, enterprises={A: 1}, progress=rows(PROGRESS, progress(A, 2025, pace=None)))
    assert store.progress().select("enterprise", "year", "pace").rows() == [(A, 2025, None), (B, 2025, 1.25)]
    assert store.progress([B])["enterprise"].to_list() == [B]
    assert_frame_equal(store.progress([]), PROGRESS.empty())


def intensity(enterprise: str, period: str, **columns: Any) -> dict[str, Any]:
    key = {"enterprise": enterprise, "denominator": "product:steel", "basis": "carbon", "scope": "net"}
    return key | {"period": period, "quantity": 2**60, "intensity": 0.1, "is_whole": False} | columns


def measure(enterprise: str, at: int, **columns: Any) -> dict[str, Any]:
    key = {"enterprise": enterprise, "measure": "pace", "subject": "2025/carbon", "at": at}
    return key | {"value": 1.25, "low": float("-inf"), "is_confirmed": True} | columns


def test_intensity_and_measures_of_the_judged_are_replaced_and_of_others_kept(store: SqlStateStore) -> None:
    first = rows(INTENSITY, intensity(A, "2024"), intensity(A, "2024-02"), intensity(B, "2024", grade="over"))
    seen = rows(MEASURES, measure(A, 2**40), measure(A, 5, subject=""), measure(COUNTY, 5, value=None))
    judged(store, enterprises={A: 1, B: 1, COUNTY: 1}, intensity=first, measures=seen)
    assert_frame_equal(store.intensity(), first.sort(INTENSITY.key))
    assert_frame_equal(store.measures(), seen.sort(MEASURES.key))
    judged(store, enterprises={A: 1}, intensity=rows(INTENSITY, intensity(A, "2025", target=0.5)))
    assert store.intensity().select("enterprise", "period", "target").rows() == [
        (A, "2025", 0.5),
        (B, "2024", None),
    ]
    assert store.intensity([B])["grade"].to_list() == ["over"]
    assert store.measures()["enterprise"].to_list() == [COUNTY]
    assert_frame_equal(store.intensity([]), INTENSITY.empty())
    assert_frame_equal(store.measures([A]), MEASURES.empty())


def test_a_step_that_leaves_the_state_is_kept_beside_another_of_the_same_instant(
    store: SqlStateStore,
) -> None:
    worse = alert(severity="red", level="四级")
    steps = [
        Transition(alert(), AlertState.FIRING, Step.EASED, 150),
        Transition(worse, AlertState.FIRING, Step.ESCALATED, 150),
        Transition(worse, AlertState.FIRING, Step.ESCALATED, 160),
    ]
    for _ in range(2):
        judged(store, alerts=[worse], transitions=steps)
    found = store.alert("a1")
    assert found is not None
    assert found[0] == worse
    assert [(step["at"], step["reason"]) for step in found[1]] == [
        (150, Step.EASED),
        (150, Step.ESCALATED),
        (160, Step.ESCALATED),
    ]


def test_a_judgement_strikes_its_to_do_only_if_nothing_changed_since(store: SqlStateStore) -> None:
    lease = leased(store, "assess")
    store.commit_assessment(lease, commit_of(day_row(A, 1), day_row(B, 1)))
    due = store.due_judgements(0)
    store.commit_assessment(lease, commit_of(day_row(A, 2)))
    judged(store, enterprises=due)
    assert set(store.due_judgements(0)) == {A}
    assert store.due_judgements(0)[A] > due[A]


def test_an_alert_has_its_present_state_its_history_and_its_frozen_figures(store: SqlStateStore) -> None:
    pending = alert(state=AlertState.PENDING, fired_at=None)
    judged(store, alerts=[pending], transitions=[Transition(pending, None, Step.BREACHED, 100)])
    firing = alert()
    step = Transition(firing, AlertState.PENDING, Step.HELD, 150)
    judged(store, alerts=[firing], transitions=[step], explanations={"a1": {"used_g": 2**60, "说明": "冻结"}})
    resolved = alert(state=AlertState.RESOLVED, ended_at=250, is_insufficient=True)
    ended = Transition(resolved, AlertState.FIRING, Step.ENDED, 250)
    judged(store, alerts=[resolved], transitions=[ended], explanations={"a1": {"used_g": 0}})
    assert store.alert("a1") == (
        resolved,
        [
            {"at": 100, "before": None, "after": AlertState.PENDING, "reason": Step.BREACHED},
            {"at": 150, "before": AlertState.PENDING, "after": AlertState.FIRING, "reason": Step.HELD},
            {"at": 250, "before": AlertState.FIRING, "after": AlertState.RESOLVED, "reason": Step.ENDED},
        ],
        {"used_g": 2**60, "说明": "冻结"},
    )
    assert store.alert("a2") is None


def test_an_alert_that_never_fired_has_no_frozen_figures(store: SqlStateStore) -> None:
    judged(store, alerts=[alert()])
    assert store.alert("a1") == (alert(), [], None)


def test_a_judgement_sent_again_after_an_unanswered_commit_is_one(store: SqlStateStore) -> None:
    steps = [Transition(alert(), None, Step.BREACHED, 100)]
    for _ in range(2):
        judged(store, alerts=[alert()], transitions=steps, notices=[notice()])
    found = store.alert("a1")
    assert found is not None
    assert len(found[1]) == 1
    assert store.undelivered(10) == [notice()]


def test_a_judgement_that_fails_leaves_nothing(store: SqlStateStore) -> None:
    twice = rows(PROGRESS, progress(A, 2025), progress(A, 2025))
    with pytest.raises(StoreRejected):
        judged(store, enterprises={A: 1}, progress=twice, alerts=[alert()], notices=[notice()])
    assert store.alert("a1") is None
    assert store.undelivered(10) == []


def test_open_alerts_are_those_pending_and_firing(store: SqlStateStore) -> None:
    states = {
        "d": AlertState.PENDING,
        "b": AlertState.FIRING,
        "c": AlertState.RESOLVED,
        "a": AlertState.CORRECTED,
    }
    judged(store, alerts=[alert(name, state=state) for name, state in states.items()])
    assert [found.alert_id for found in store.open_alerts(0)] == ["b", "d"]
    assert store.open_alerts(1) == []


def test_alerts_of_regions_are_in_the_partition_of_regions(store: SqlStateStore) -> None:
    judged(store, alerts=[alert("r", enterprise=COUNTY), alert("e")])
    assert [found.alert_id for found in store.open_alerts(REGION_PARTITION)] == ["r"]
    assert [found.alert_id for found in store.open_alerts(0)] == ["e"]


def test_pages_of_alerts_go_from_new_to_old_without_gap_or_overlap(store: SqlStateStore) -> None:
    given = [alert(f"a{n}", since=n // 2, enterprise=A if n % 2 else B) for n in range(9)]
    judged(store, alerts=given)
    pages: list[Alert] = []
    while page := store.alerts_page(before=pages[-1].alert_id if pages else None, limit=2):
        pages += page
    assert pages == sorted(given, key=lambda each: (each.since, each.alert_id), reverse=True)
    assert {each.enterprise for each in store.alerts_page(enterprises=[A])} == {A}
    assert store.alerts_page(enterprises=[]) == []
    assert store.alerts_page(states=["resolved"]) == []
    assert len(store.alerts_page(states=["firing", "pending"])) == 9
    assert store.alerts_page(before="never-was") == []


# ------------------------------------------------------------------------------------------------ outbox


def test_a_notice_waits_until_it_is_told_or_given_up(store: SqlStateStore) -> None:
    judged(store, notices=[notice("n3"), notice("n1"), notice("n2", reason="resolved"), notice("n4")])
    assert [each.notice_id for each in store.undelivered(10)] == ["n3", "n1", "n2", "n4"]
    assert store.undelivered(1) == [notice("n3")]
    outcomes = {"n1": "delivered", "n2": "refused", "n3": "deferred", "n4": "muted"}
    for notice_id, outcome in outcomes.items():
        store.log_delivery(notice_id, "console", outcome, "…", 9)
    assert [each.notice_id for each in store.undelivered(10)] == ["n3"]
    store.log_delivery("n3", "console", "delivered", "", 10)
    assert store.undelivered(10) == []


def test_a_notice_that_was_told_is_not_put_out_again(store: SqlStateStore) -> None:
    judged(store, notices=[notice()])
    store.log_delivery("n1", "console", "delivered", "", 9)
    judged(store, notices=[replace(notice(), body="again")])
    assert store.undelivered(10) == []


def test_what_was_told_is_known_by_alert_reason_and_channel(store: SqlStateStore) -> None:
    judged(store, notices=[notice()])
    store.log_delivery("n1", "mail", "deferred", "", 8)
    assert not store.was_told("a1", "fired", "mail")
    store.log_delivery("n1", "mail", "delivered", "", 9)
    assert store.was_told("a1", "fired", "mail")
    assert not store.was_told("a1", "resolved", "mail")
    assert not store.was_told("a1", "fired", "console")
    assert not store.was_told("a2", "fired", "mail")
