"""Closing, proposals, meter events, and the readings behind a revision, over HTTP."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from nengshao.domain.time import day_number, day_start
from nengshao.frames import METER_EVENTS, READINGS
from nengshao.ports import Revision
from tests.support.plant import PLANT, Plant
from tests.support.service import Api, is_problem
from tests.support.state import commit_of, leased
from tests.support.works import AT, recommit, works_served

PATH = f"/v1/enterprises/{PLANT}"
DAY = day_number(dt.date(2025, 1, 15))
JANUARY = {"first": "2025-01-01", "end": "2025-02-01", "reason": "月结"}


@pytest.fixture
def works(tmp_path: Path) -> Iterator[tuple[Api, Plant]]:
    with works_served(tmp_path) as both:
        yield both


def point_id(works: Plant, name: str) -> int:
    found: int = next(row["point"] for row in works.registry.points.to_dicts() if row["name"] == name)
    return found


# ------------------------------------------------------------------------------------------ closings


def test_a_period_is_closed_with_person_and_reason(works: tuple[Api, Plant]) -> None:
    api, _ = works
    answer = api.post(f"{PATH}/closings", json=JANUARY)
    assert answer.status_code == 201
    closing = {
        "id": answer.json()["id"], "enterprise": PLANT, "first": "2025-01-01", "end": "2025-02-01",
        "closed_by": "token", "closed_at": "2025-04-10T09:00:00+08:00", "reason": "月结",
    }  # fmt: skip
    assert answer.json() == closing
    assert api.get(f"{PATH}/closings").json() == {"enterprise": PLANT, "closings": [closing]}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (JANUARY | {"first": "2025-02-01"}, 422),
        (JANUARY | {"first": "0001-01-01"}, 422),
        (JANUARY | {"reason": ""}, 422),
        (JANUARY | {"by": "somebody else"}, 422),
        ({"first": "2025-01-01", "end": "2025-02-01"}, 422),
        (JANUARY | {"first": "2023-01-01"}, 409),
        (JANUARY | {"end": "2025-05-01"}, 409),
    ],
)
def test_what_cannot_be_closed_is_refused(
    works: tuple[Api, Plant], body: dict[str, Any], status: int
) -> None:
    response = works[0].post(f"{PATH}/closings", json=body)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    if status == 409:
        assert "没有结果" in response.json()["detail"]


def test_what_comes_after_closing_waits_for_a_person(works: tuple[Api, Plant]) -> None:
    api, plant = works
    api.post(f"{PATH}/closings", json=JANUARY)
    recommit(api.state, plant, DAY, 1_000_000)
    (proposal,) = api.get("/v1/proposals").json()["proposals"]
    assert (proposal["enterprise"], proposal["date"], proposal["state"]) == (PLANT, "2025-01-15", "open")
    assert proposal["cause_zh"] == "迟到数据"
    assert [proposal[side]["calorific_tce"] for side in ("before", "after")] == [0.986205, 1.986205]
    path = f"/v1/proposals/{proposal['id']}/decision"
    decided = api.post(path, json={"accept": True, "reason": "补报属实"})
    assert decided.json() == {
        "id": proposal["id"], "state": "accepted", "decided_by": "token",
        "decided_at": "2025-04-10T09:00:00+08:00",
    }  # fmt: skip
    assert api.get("/v1/proposals").json()["proposals"] == []
    (kept,) = api.get("/v1/proposals", state="accepted", enterprise=PLANT).json()["proposals"]
    assert (kept["decided_by"], kept["reason"]) == ("token", "补报属实")
    (revision,) = api.get(f"{PATH}/revisions", from_="2025-01-15", to="2025-01-16").json()["revisions"]
    assert (revision["cause_zh"], revision["decided_by"], revision["reason"]) == (
        "接受更正建议", "token", "补报属实",
    )  # fmt: skip
    again = api.post(path, json={"accept": False, "reason": "再想"})
    assert is_problem(again, 409, "already-decided")
    assert "由 token 于 2025-04-10 09:00:00 决定：接受" in again.json()["detail"]
    nobody = api.post("/v1/proposals/999/decision", json={"accept": True, "reason": "?"})
    assert is_problem(nobody, 404, "not-found")


def test_a_withdrawn_proposal_says_that_something_else_came(works: tuple[Api, Plant]) -> None:
    api, plant = works
    api.post(f"{PATH}/closings", json=JANUARY)
    recommit(api.state, plant, DAY, 1)
    recommit(api.state, plant, DAY, 2)
    (old,) = api.get("/v1/proposals", state="withdrawn").json()["proposals"]
    answer = api.post(f"/v1/proposals/{old['id']}/decision", json={"accept": True, "reason": "看过旧的"})
    assert is_problem(answer, 409, "already-decided")
    assert "已撤回" in answer.json()["detail"]


def test_the_proposals_of_a_period_are_decided_by_one_call_with_one_reason(works: tuple[Api, Plant]) -> None:
    api, plant = works
    api.post(f"{PATH}/closings", json=JANUARY)
    for day in (DAY, DAY + 1, DAY + 2):
        recommit(api.state, plant, day, 1_000_000)
    ids = {row["date"]: row["id"] for row in api.get("/v1/proposals").json()["proposals"]}
    body = {"first": "2025-01-15", "end": "2025-01-17", "accept": True, "reason": "一月补报，已核"}
    path = f"{PATH}/proposals/decisions"
    assert api.post(path, json=body).json() == {
        "enterprise": PLANT, "ids": [ids["2025-01-15"], ids["2025-01-16"]], "state": "accepted",
        "decided_by": "token", "decided_at": "2025-04-10T09:00:00+08:00",
    }  # fmt: skip
    kept = api.get("/v1/proposals", state="accepted").json()["proposals"]
    assert [(row["date"], row["reason"]) for row in kept] == [
        ("2025-01-16", "一月补报，已核"), ("2025-01-15", "一月补报，已核"),
    ]  # fmt: skip
    assert [row["date"] for row in api.get("/v1/proposals").json()["proposals"]] == ["2025-01-17"]
    assert api.post(path, json=body | {"accept": False}).json()["ids"] == []
    for wrong in ({"end": "2025-01-15"}, {"reason": ""}, {"first": "0001-01-01"}, {"by": "me"}):
        assert api.post(path, json=body | wrong).status_code == 422


def test_proposals_are_paged(works: tuple[Api, Plant]) -> None:
    api, plant = works
    api.post(f"{PATH}/closings", json=JANUARY)
    for day in (DAY, DAY + 1, DAY + 2):
        recommit(api.state, plant, day, 1_000_000)
    first = api.get("/v1/proposals", limit=2).json()
    assert [row["date"] for row in first["proposals"]] == ["2025-01-17", "2025-01-16"]
    rest = api.get("/v1/proposals", limit=2, cursor=first["next"]).json()
    assert ([row["date"] for row in rest["proposals"]], rest["next"]) == (["2025-01-15"], None)


def test_a_rejected_proposal_changes_nothing(works: tuple[Api, Plant]) -> None:
    api, plant = works
    api.post(f"{PATH}/closings", json=JANUARY)
    recommit(api.state, plant, DAY, 1_000_000)
    (proposal,) = api.get("/v1/proposals").json()["proposals"]
    api.post(f"/v1/proposals/{proposal['id']}/decision", json={"accept": False, "reason": "不属实"})
    day = api.get(f"{PATH}/energy", from_="2025-01-15", to="2025-01-16").json()["days"][0]
    assert day["calorific"]["tce"] == 0.986205
    assert api.get("/v1/proposals", state="loud").status_code == 422


# -------------------------------------------------------------------------------------------- events


def test_events_wait_for_a_person_to_say_what_they_were(works: tuple[Api, Plant]) -> None:
    api, plant = works
    grid, ts = point_id(plant, "进线"), day_start(DAY)
    event = {"enterprise": PLANT, "point": grid, "ts": ts, "event": "fall"}
    span = pl.DataFrame({"enterprise": [PLANT], "start": [ts], "end": [ts + 1]})
    events = pl.DataFrame([event], schema=dict(METER_EVENTS.schema))
    api.state.commit_assessment(leased(api.state, "assess"), commit_of(events=events, block_spans=span))
    (shown,) = api.get(f"{PATH}/meter-events", open="true").json()["events"]
    assert shown == {
        "point": "0000000000000001.0.00", "point_id": str(grid), "ts": "2025-01-15T00:00:00+08:00",
        "event": "fall", "confirmed_by": None, "confirmed_at": None, "note": None,
    }  # fmt: skip
    said = {"point_id": str(grid), "ts": shown["ts"], "event": "fall", "note": "换表未登记"}
    path = f"{PATH}/meter-events/confirmations"
    assert api.post(path, json=said).status_code == 204
    assert api.get(f"{PATH}/meter-events", open="true").json()["events"] == []
    (kept,) = api.get(f"{PATH}/meter-events").json()["events"]
    assert (kept["confirmed_by"], kept["note"]) == ("token", "换表未登记")
    assert is_problem(api.post(path, json=said | {"event": "spike"}), 404, "not-found")
    for wrong in ({"ts": "2025-01-15T00:00:00"}, {"point_id": "one"}, {"note": ""}):
        assert api.post(path, json=said | wrong).status_code == 422


# ---------------------------------------------------------------------------------- revision readings


def test_a_revision_shows_the_readings_uploaded_since_the_figure_was_computed(
    works: tuple[Api, Plant],
) -> None:
    # The figures were computed at nine (AT). What came a second before is late, but was reckoned with.
    api, plant = works
    roof, ts = point_id(plant, "光伏"), day_start(DAY)
    late = [(roof, ts, AT - 1, 55_000_000, True, 5), (roof, ts, AT + 1, 60_000_000, True, 5)]
    api.readings.write(pl.DataFrame(late, schema=dict(READINGS.schema), orient="row"))
    recommit(api.state, plant, DAY, 1_229)
    shown = api.get(f"{PATH}/revisions/2025-01-15/1/readings").json()
    assert (shown["since"], shown["is_cut"]) == ("2025-04-10T09:00:00+08:00", False)
    first, *rest = shown["readings"]
    assert first == {
        "point": "0000000000000007.1.00", "name": "光伏", "ts": "2025-01-15T00:00:00+08:00",
        "uploaded_at": "2025-04-10T09:00:01+08:00", "value": 60.0, "unit": "kWh", "valid": True,
        "is_winner": True, "is_new": True,
    }  # fmt: skip
    # The versions it beat, and the days before and after.
    assert [(row["ts"][:10], row["value"], row["is_winner"], row["is_new"]) for row in rest] == [
        ("2025-01-14", 50.0, True, False), ("2025-01-15", 50.0, False, False),
        ("2025-01-15", 55.0, False, False), ("2025-01-16", 50.0, True, False),
    ]  # fmt: skip


def test_since_is_the_revision_before(works: tuple[Api, Plant]) -> None:
    api, plant = works
    recommit(api.state, plant, DAY, 1)
    recommit(api.state, plant, DAY, 2)
    shown = api.get(f"{PATH}/revisions/2025-01-15/2/readings").json()
    assert shown["since"] == "2025-04-10T09:01:00+08:00"
    assert {row["is_new"] for row in shown["readings"]} == {False}


def test_a_revision_of_a_virtual_point_shows_what_it_is_made_of(works: tuple[Api, Plant]) -> None:
    api, plant = works
    coal = point_id(plant, "原煤")
    rows = plant.results.point_days.filter(pl.col("point") == coal, pl.col("day") == DAY).to_dicts()
    side = {"enterprise_day": None, "point_days": rows}
    day = plant.results.enterprise_days.filter(pl.col("day") == DAY)
    commit = commit_of(
        *day.to_dicts(), points=plant.results.point_days.filter(pl.col("day") == DAY).to_dicts(),
        revisions=[Revision(PLANT, DAY, "correction", side, side)],
    )  # fmt: skip
    api.state.commit_assessment(leased(api.state, "assess"), commit)
    shown = api.get(f"{PATH}/revisions/2025-01-15/1/readings").json()
    assert {row["name"] for row in shown["readings"]} == {"一号秤", "二号秤"}


@pytest.mark.parametrize(
    "path", ["2025-01-15/2", "2025-01-14/1", "2025-01-15/0", "someday/1", "2025-01-15/x"]
)
def test_a_revision_that_there_is_not_has_no_readings(works: tuple[Api, Plant], path: str) -> None:
    api, plant = works
    recommit(api.state, plant, DAY, 1)
    assert api.get(f"{PATH}/revisions/{path}/readings").status_code in (404, 422)
