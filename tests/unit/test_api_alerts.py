"""Alerts as an inspector asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nengshao.domain.alerts import Alert, AlertState, Step, Transition
from nengshao.domain.time import parse_instant
from nengshao.frames import POINTS, PROGRESS
from nengshao.ports import JudgementCommit
from nengshao.registry import ENTERPRISES
from nengshao.stores.state import SqlStateStore
from tests.support.service import PACE_RULE, Api, ScopedAuthenticator, is_problem, served
from tests.support.state import A, B, enterprise_row, leased, point_row, registry_of, rows

SINCE = parse_instant("2025-02-01T00:00:00+08:00")
DAY = 86_400

EXPLANATION: dict[str, Any] = {
    "value": 1.2000000001,
    "coverage": 0.98,
    "rule": {"measure": "progress_ratio", "threshold": 1.05, "legal_basis": "发出时的依据"},
    "tree": {
        "children": [
            {"kind": "total", "name": "总量", "value": 117.9394511, "unit": "tce", "point": 2**60 + 1}
        ],
        "beside": [{"kind": "projection", "name": "全年预计", "value": None, "unit": "tce"}],
    },
}


def alert(number: int, enterprise: str = A, **fields: Any) -> Alert:
    given: dict[str, Any] = {
        "alert_id": f"alert-{number}",
        "rule": PACE_RULE.name,
        "enterprise": enterprise,
        "subject": "2025/calorific",
        "state": AlertState.FIRING,
        "severity": "orange",
        "level": "Ⅰ级",
        "since": SINCE + number * DAY,
        "seen_at": SINCE + (number + 3) * DAY,
        "breached_s": 3 * DAY,
        "is_insufficient": False,
        "is_confirmed": False,
        "fired_at": SINCE + (number + 2) * DAY,
    }
    return Alert(**given | fields)


def judge(state: SqlStateStore, *alerts: Alert, explanations: Mapping[str, Any] | None = None) -> None:
    steps = [Transition(a, None, Step.BREACHED, a.since) for a in alerts if a.state is AlertState.PENDING]
    for a in alerts:
        if a.state is AlertState.FIRING:
            pending = replace(a, state=AlertState.PENDING)
            steps += [Transition(pending, None, Step.BREACHED, a.since)]
            steps += [Transition(a, AlertState.PENDING, Step.HELD, a.fired_at or 0)]
    state.commit_judgement(
        leased(state, "assess"),
        JudgementCommit(
            at=SINCE, enterprises={}, progress=PROGRESS.empty(), alerts=alerts, transitions=steps,
            explanations=explanations or {},
        ),
    )  # fmt: skip


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with served(tmp_path) as service:
        named = rows(ENTERPRISES, enterprise_row(A, name="甲水泥厂"), enterprise_row(B, name="乙钢厂"))
        service.state.save_registry(registry_of(A, B, enterprises=named), at=SINCE)
        yield service


def test_a_list_says_what_was_found_since_when_and_with_which_labels(api: Api) -> None:
    judge(api.state, alert(1, is_insufficient=True))
    assert api.get("/v1/alerts").json() == {
        "alerts": [
            {
                "id": "alert-1",
                "rule": "total-energy-ahead-of-quota",
                "enterprise": A,
                "enterprise_name": "甲水泥厂",
                "subject": "2025/calorific",
                "subject_name": "2025/calorific",
                "state": "firing",
                "state_zh": "预警中",
                "severity": "orange",
                "severity_zh": "橙色",
                "level": "Ⅰ级",
                "since": "2025-02-02T00:00:00+08:00",
                "as_of": "2025-02-05T00:00:00+08:00",
                "fired_at": "2025-02-04T00:00:00+08:00",
                "ended_at": None,
                "is_insufficient": True,
                "is_confirmed": False,
                "labels": ["不作为执法依据 / not a basis for enforcement", "数据不足 / insufficient data"],
            }
        ],
        "next": None,
    }


def test_a_point_that_is_judged_is_shown_by_its_name(api: Api) -> None:
    point = point_row(A, name="一号进线")
    enterprises = rows(ENTERPRISES, enterprise_row(A), enterprise_row(B))
    registry = registry_of(A, B, enterprises=enterprises, points=rows(POINTS, point))
    api.state.save_registry(registry, at=SINCE)
    judge(api.state, alert(1, subject=str(point["point"])), alert(2, subject="gone"))
    shown = api.get("/v1/alerts").json()["alerts"]
    assert [(row["subject"], row["subject_name"]) for row in shown] == [
        ("gone", "gone"),
        (str(point["point"]), f"一号进线（{point['data_code']}.{point['stat_type']}.{point['meter']}）"),
    ]


def test_an_alert_that_rests_on_confirmed_values_has_no_label(api: Api) -> None:
    judge(api.state, alert(1, is_confirmed=True))
    assert api.get("/v1/alerts").json()["alerts"][0]["labels"] == []


def test_pages_follow_one_another_until_there_are_no_more(api: Api) -> None:
    judge(api.state, *(alert(number) for number in range(5)))
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        page = api.get("/v1/alerts", limit=2, **({"cursor": cursor} if cursor else {})).json()
        seen += [item["id"] for item in page["alerts"]]
        cursor, pages = page["next"], pages + 1
    assert seen == [f"alert-{number}" for number in (4, 3, 2, 1, 0)]
    assert pages == 3


def test_alerts_are_narrowed_by_state_and_enterprise(api: Api) -> None:
    others = [alert(3, state=AlertState.PENDING), alert(4, state=AlertState.RESOLVED)]
    judge(api.state, alert(1), alert(2, B), *others)

    def ids(query: str) -> list[str]:
        return [item["id"] for item in api.get(f"/v1/alerts?{query}").json()["alerts"]]

    assert ids("state=firing") == ["alert-2", "alert-1"]
    assert ids("state=pending&state=resolved") == ["alert-4", "alert-3"]
    assert ids(f"enterprise={B}") == ["alert-2"]
    assert ids("enterprise=nobody") == []


@pytest.mark.parametrize("query", ["state=loud", "limit=1001", "limit=0", "cursor=no-such-alert"])
def test_a_question_that_cannot_be_answered_is_refused(api: Api, query: str) -> None:
    assert api.get(f"/v1/alerts?{query}").status_code == 422


def test_one_alert_carries_rule_legal_basis_figures_with_units_coverage_and_history(api: Api) -> None:
    judge(api.state, alert(1), explanations={"alert-1": EXPLANATION})
    detail = api.get("/v1/alerts/alert-1").json()
    assert detail["legal_basis"] == "发出时的依据"
    assert detail["rule_facts"]["threshold"] == 1.05
    assert detail["rule_facts"]["unit"] == "1"
    assert detail["coverage"] == 0.98
    assert detail["as_of"] == "2025-02-05T00:00:00+08:00"
    assert detail["explanation"]["tree"]["children"][0]["point"] == str(2**60 + 1)
    assert [(band["threshold"], band["op"], band["severity"], band["level"])
            for band in detail["rule_facts"]["bands"]] == [
        (1.05, ">", "orange", "Ⅰ级"), (1.1, ">=", "red", "Ⅱ级"),
    ]  # fmt: skip
    assert [(f["name"], f["value"], f["unit"]) for f in detail["figures"]] == [
        ("value", 1.2, "1"),
        ("threshold", 1.05, "1"),
        ("coverage", 0.98, "1"),
        ("total", 117.939451, "tce"),
        ("projection", None, "tce"),
    ]
    assert [(step["before"], step["after"], step["reason"]) for step in detail["history"]] == [
        (None, "pending", "breached"),
        ("pending", "firing", "held"),
    ]


def test_an_alert_that_never_fired_has_no_explanation_yet(api: Api) -> None:
    judge(api.state, alert(1, state=AlertState.PENDING, fired_at=None))
    detail = api.get("/v1/alerts/alert-1").json()
    assert (detail["explanation"], detail["figures"], detail["coverage"]) == (None, [], None)
    assert detail["fired_at"] is None


def test_silence_is_shown_in_seconds(api: Api) -> None:
    explanation = {"value": 7200.0, "rule": {"measure": "silent_seconds"}}
    judge(api.state, alert(1, rule="device-silent"), explanations={"alert-1": explanation})
    figures = api.get("/v1/alerts/alert-1").json()["figures"]
    assert [(figure["name"], figure["value"], figure["unit"]) for figure in figures] == [
        ("value", 7200.0, "s")
    ]


def test_an_alert_that_fired_before_it_was_explained_cites_its_rule(api: Api) -> None:
    judge(api.state, alert(1))
    assert api.get("/v1/alerts/alert-1").json()["legal_basis"] == "虚构依据，仅供测试"


def test_an_alert_of_a_rule_that_is_gone_still_opens(api: Api) -> None:
    judge(
        api.state, alert(1, rule="an-old-rule"), explanations={"alert-1": {"rule": {"legal_basis": "旧依据"}}}
    )
    detail = api.get("/v1/alerts/alert-1").json()
    assert (detail["rule_facts"], detail["legal_basis"]) == (None, "旧依据")


def test_an_unknown_alert_is_not_found(api: Api) -> None:
    assert is_problem(api.get("/v1/alerts/nothing"), 404, "not-found")


def test_a_caller_sees_the_alerts_of_their_own_enterprises_only(api: Api) -> None:
    judge(api.state, alert(1, A), alert(2, B))
    api.authenticator = ScopedAuthenticator(B)
    assert [item["id"] for item in api.get("/v1/alerts").json()["alerts"]] == ["alert-2"]
    assert api.get("/v1/alerts", enterprise=A).json()["alerts"] == []
    assert is_problem(api.get("/v1/alerts/alert-1"), 404, "not-found")
    assert api.get("/v1/alerts/alert-2").status_code == 200
    assert is_problem(api.get("/v1/alerts", cursor="alert-1"), 422, "bad-request")
