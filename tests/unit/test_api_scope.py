"""Every route of the service, walked: nobody is let in without a token, and nobody sees another's enterprise.

A route that is not in the table below fails the test: whoever adds one says how it is asked for something
that is somebody else's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from api.auth import TokenAuthenticator
from nengshao.domain.alerts import Alert, AlertState
from nengshao.domain.readings import Source
from nengshao.domain.time import day_number
from nengshao.frames import PROGRESS
from nengshao.ports import Booking, InboxEntry, JudgementCommit
from nengshao.registry import ENTERPRISES
from tests.support.plant import PLANT
from tests.support.service import TOKEN, Api, ScopedAuthenticator, is_problem
from tests.support.state import B, enterprise_row, entry, leased, rows
from tests.support.works import AT, CITY, keep_region, recommit, works_served

OPEN = {("GET", "/health/live"), ("GET", "/health/ready")}
FOR_EVERYBODY = {("GET", "/v1/factors"), ("GET", "/v1/norms"), ("GET", "/metrics")}
"""What has no enterprise in it."""

BASIS = {"measure": "total", "basis": "carbon"}
CLOSING = {"first": "2025-02-01", "end": "2025-03-01", "reason": "x"}
DECISION = {
    "subject": PLANT, "indicator": "output", "item": "clinker", "first": "2025-01-01", "version": 1,
    "state": "approved", "reason": "x",
}  # fmt: skip
_HEAD = "subject,indicator,item,first,end,value,unit,source"
STATISTIC = f"{_HEAD}\n{PLANT},output,clinker,2025-05-01,2025-06-01,1,t,x\n"
CONFIRMATION = {"point_id": "1", "ts": "2025-01-01T00:00:00+08:00", "event": "fall", "note": "x"}

_OWN = f"/v1/enterprises/{PLANT}"
FOREIGN: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("GET", "/v1/alerts/{alert_id}"): ("/v1/alerts/a", {}),
    ("GET", "/v1/enterprises/{code}"): (_OWN, {}),
    ("GET", "/v1/enterprises/{code}/closings"): (f"{_OWN}/closings", {}),
    ("POST", "/v1/enterprises/{code}/closings"): (f"{_OWN}/closings", {"json": CLOSING}),
    ("GET", "/v1/enterprises/{code}/energy"): (f"{_OWN}/energy", {}),
    ("GET", "/v1/enterprises/{code}/explanation"): (f"{_OWN}/explanation", {"params": BASIS}),
    ("GET", "/v1/enterprises/{code}/intensity"): (f"{_OWN}/intensity", {}),
    ("GET", "/v1/enterprises/{code}/measures"): (f"{_OWN}/measures", {}),
    ("GET", "/v1/enterprises/{code}/meter-events"): (f"{_OWN}/meter-events", {}),
    ("GET", "/v1/enterprises/{code}/devices"): (f"{_OWN}/devices", {}),
    ("GET", "/v1/enterprises/{code}/resends"): (f"{_OWN}/resends", {}),
    ("POST", "/v1/enterprises/{code}/meter-events/confirmations"): (
        f"{_OWN}/meter-events/confirmations", {"json": CONFIRMATION},
    ),
    ("GET", "/v1/enterprises/{code}/points"): (f"{_OWN}/points", {}),
    ("GET", "/v1/enterprises/{code}/progress"): (f"{_OWN}/progress", {}),
    ("GET", "/v1/enterprises/{code}/revisions"): (f"{_OWN}/revisions", {}),
    ("GET", "/v1/enterprises/{code}/revisions/{date}/{seq}/readings"): (
        f"{_OWN}/revisions/2025-01-20/1/readings", {},
    ),
    ("GET", "/v1/enterprises/{code}/totals"): (f"{_OWN}/totals", {}),
    ("POST", "/v1/enterprises/{code}/proposals/decisions"): (
        f"{_OWN}/proposals/decisions", {"json": CLOSING | {"accept": True}},
    ),
    ("POST", "/v1/proposals/{proposal_id}/decision"): (
        "/v1/proposals/1/decision", {"json": {"accept": True, "reason": "x"}},
    ),
    ("GET", "/v1/quarantine/{entry_id}"): ("/v1/quarantine/1", {}),
    ("POST", "/v1/quarantine/{entry_id}/replay"): ("/v1/quarantine/1/replay", {}),
    ("POST", "/v1/readings"): (
        f"/v1/readings?enterprise={PLANT}", {"content": b"x", "headers": {"Content-Type": "text/csv"}},
    ),
    ("GET", "/v1/regions/{code}/barometer"): (f"/v1/regions/{CITY}/barometer", {}),
    ("GET", "/v1/regions/{code}/explanation"): (f"/v1/regions/{CITY}/explanation", {"params": BASIS}),
    ("GET", "/v1/regions/{code}/intensity"): (f"/v1/regions/{CITY}/intensity", {}),
    ("GET", "/v1/regions/{code}/progress"): (f"/v1/regions/{CITY}/progress", {}),
    ("GET", "/v1/regions/{code}/totals"): (f"/v1/regions/{CITY}/totals", {}),
    ("GET", "/v1/statistics"): ("/v1/statistics", {"params": {"subject": PLANT}}),
    ("POST", "/v1/statistics"): (
        "/v1/statistics", {"content": STATISTIC.encode(), "headers": {"Content-Type": "text/csv"}},
    ),
    ("POST", "/v1/statistics/decisions"): ("/v1/statistics/decisions", {"json": DECISION}),
    ("GET", "/v1/uploads/{upload_id}"): ("/v1/uploads/1", {}),
}  # fmt: skip
"""How each route that names a thing is asked for one of the plant's."""

LISTS = {
    ("GET", path)
    for path in (
        "/v1/alerts", "/v1/broker-denials", "/v1/enterprises", "/v1/ledger", "/v1/proposals",
        "/v1/quarantine", "/v1/regions",
        "/v1/restatements",
    )
}  # fmt: skip
"""Routes that list what is the caller's."""


def furnish(api: Api, works: Any) -> None:
    """Something of the plant's behind every route."""
    keep_region(api.state, works)
    day = day_number(dt.date(2025, 1, 15))
    recommit(api.state, works, day + 5, 1)
    api.state.close_period(PLANT, day, day + 1, "王会计", "月结", AT)
    recommit(api.state, works, day, 1)
    alert = Alert(
        "a", "r", PLANT, "2025/calorific/total", AlertState.FIRING, "red", AT, AT, 0, False, True, fired_at=AT
    )
    judged = JudgementCommit(
        at=AT, enterprises={}, progress=PROGRESS.empty(), alerts=[alert], transitions=[],
        explanations={"a": {}},
    )  # fmt: skip
    api.state.commit_judgement(leased(api.state, "assess"), judged)
    api.state.book(leased(api.state), Booking(at=AT, quarantine=[entry(enterprise=PLANT)]))
    api.state.put_inbox(InboxEntry(Source.API, PLANT, "", "", "csv", b"x", AT, "key", submitted_by="企业"))
    registry = api.state.registry()
    other = rows(ENTERPRISES, enterprise_row(B, name="乙厂", region=CITY)).select(
        registry.enterprises.columns
    )
    api.state.save_registry(replace(registry, enterprises=registry.enterprises.vstack(other)), at=AT)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with works_served(tmp_path_factory.mktemp("scope")) as (api, works):
        furnish(api, works)
        yield api


def operations(api: Api) -> set[tuple[str, str]]:
    paths = api.app.openapi()["paths"]
    return {(method.upper(), path) for path, methods in paths.items() for method in methods}


def test_every_route_is_accounted_for(served: Api) -> None:
    assert operations(served) == {*FOREIGN, *LISTS, *FOR_EVERYBODY, *OPEN}


@pytest.mark.parametrize("route", sorted(FOREIGN), ids=" ".join)
def test_another_enterprise_is_not_found(served: Api, route: tuple[str, str]) -> None:
    path, options = FOREIGN[route]
    served.authenticator = ScopedAuthenticator(B)
    assert is_problem(served.send(route[0], path, **options), 404, "not-found")
    served.token = None
    assert is_problem(served.send(route[0], path, **options), 401, "not-authenticated")
    served.token = TOKEN


@pytest.mark.parametrize("route", sorted(route for route in FOREIGN if route[0] == "GET"), ids=" ".join)
def test_the_same_is_there_for_whoever_may_see_it(served: Api, route: tuple[str, str]) -> None:
    path, options = FOREIGN[route]
    served.authenticator = TokenAuthenticator.for_token(TOKEN)
    assert served.send("GET", path, **options).status_code == 200


@pytest.mark.parametrize("route", sorted(LISTS), ids=" ".join)
def test_a_list_names_nothing_of_another_enterprise(served: Api, route: tuple[str, str]) -> None:
    served.authenticator = TokenAuthenticator.for_token(TOKEN)
    everything = served.get(route[1])
    served.authenticator = ScopedAuthenticator(B)
    own = served.get(route[1])
    assert (everything.status_code, own.status_code) == (200, 200)
    assert PLANT not in own.text
    assert CITY not in own.text.replace(f'"region":"{CITY}"', "")  # B's own region


@pytest.mark.parametrize(
    "route",
    [("GET", path) for path in ("/v1/alerts", "/v1/enterprises", "/v1/proposals", "/v1/quarantine")],
    ids=" ".join,
)
def test_a_list_names_it_for_whoever_may_see_it(served: Api, route: tuple[str, str]) -> None:
    served.authenticator = TokenAuthenticator.for_token(TOKEN)
    assert PLANT in served.get(route[1]).text
