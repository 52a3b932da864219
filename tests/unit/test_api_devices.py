"""An enterprise's devices with their clocks, and what its devices are asked to send again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nengshao.domain.resends import ResendState
from nengshao.domain.time import iso_text
from nengshao.ports import CLOCKS_SCHEMA, GAPS_SCHEMA, LAST_SEEN_SCHEMA, Booking, DeviceStatus
from nengshao.registry_tables import registry_of
from tests.support import plants
from tests.support.service import NOW, Api, ScopedAuthenticator, is_problem, served
from tests.support.state import leased, typed

A, B = plants.credit_code(1), plants.credit_code(2)
Q = plants.CADENCE_S
FROM = NOW - 4 * 3600


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    tables = plants.tables(2, 1)
    tables["devices"].append(plants.device_row(1, device="desk", name="手工", cadence_s=""))
    with served(tmp_path) as service:
        service.state.save_registry(registry_of(tables), at=NOW)
        yield service


def book(api: Api, **parts: Any) -> None:
    api.state.book(leased(api.state), Booking(NOW, **parts))


def point_of(api: Api) -> int:
    points = api.state.registry().points
    return int(points.filter(points["enterprise"] == A)["point"].item())


def miss(api: Api, *hours: int) -> None:
    """Gaps of an hour each, so many hours after the first."""
    point = point_of(api)
    rows = [(A, "d1", point, FROM + h * 3600, FROM + (h + 1) * 3600, Q, NOW + 60) for h in hours]
    book(api, gaps=typed(GAPS_SCHEMA, *rows))


def test_a_device_shows_when_it_was_heard_what_it_said_and_how_its_clock_stands(api: Api) -> None:
    book(
        api,
        last_seen=typed(LAST_SEEN_SCHEMA, (A, "d1", NOW - 5), (B, "d1", NOW)),
        statuses=[DeviceStatus(A, "d1", "online", NOW - 9)],
        clocks=typed(CLOCKS_SCHEMA, (A, "d1", 5, -7), (B, "d1", 5, 999)),
    )
    shown = api.get(f"/v1/enterprises/{A}/devices").json()
    assert shown["enterprise"] == A
    desk, collector = sorted(shown["devices"], key=lambda device: device["device"], reverse=True)
    if desk["device"] != "desk":
        desk, collector = collector, desk
    assert collector == {
        "device": "d1", "name": "采集器", "cadence_s": Q, "valid_from": "2025-01-01T00:00:00+08:00",
        "valid_to": None, "status": "online", "status_at": iso_text(NOW - 9),
        "last_seen": iso_text(NOW - 5), "clock_skew_s": -7, "clock_seen_at": iso_text(NOW),
    }  # fmt: skip
    nothing = ("cadence_s", "status", "status_at", "last_seen", "clock_skew_s", "clock_seen_at")
    assert {desk[name] for name in nothing} == {None}


def test_a_request_shows_its_gaps_and_how_it_stands(api: Api) -> None:
    miss(api, 0)
    [asked] = [replace(one.asked(NOW + 60), missing=3) for one in api.state.resends(A)]
    api.state.note_resends(leased(api.state), [asked])
    shown = api.get(f"/v1/enterprises/{A}/resends").json()
    span = {"start": iso_text(FROM), "end": iso_text(FROM + 3600)}
    assert shown == {
        "enterprise": A,
        "resends": [
            {
                "id": asked.resend_id, "device": "d1", "state": "asked", "state_zh": "已请求", **span,
                "gaps": [{"point": f"{plants.ELECTRICITY}.0.00", **span, "readings": 4}],
                "found_at": iso_text(NOW), "attempts": 1, "asked_at": iso_text(NOW + 60),
                "next_at": iso_text(NOW + 120), "missing": 3, "settled_at": None,
            }
        ],
        "next": None,
    }  # fmt: skip
    api.state.note_resends(leased(api.state), [asked.ended(ResendState.FILLED, NOW + 90)])
    [ended] = api.get(f"/v1/enterprises/{A}/resends").json()["resends"]
    assert (ended["state_zh"], ended["next_at"], ended["settled_at"]) == ("已补齐", None, iso_text(NOW + 90))


def test_requests_come_in_pages_newest_first_and_by_state(api: Api) -> None:
    miss(api, 0, 2, 4)
    first = api.get(f"/v1/enterprises/{A}/resends", limit=2).json()
    second = api.get(f"/v1/enterprises/{A}/resends", limit=2, cursor=first["next"]).json()
    starts = [row["start"] for page in (first, second) for row in page["resends"]]
    assert starts == [iso_text(FROM + hour * 3600) for hour in (4, 2, 0)]
    assert second["next"] is None
    assert api.get(f"/v1/enterprises/{A}/resends", state="filled").json()["resends"] == []
    assert len(api.get(f"/v1/enterprises/{A}/resends", state="open").json()["resends"]) == 3


@pytest.mark.parametrize("noun", ["devices", "resends"])
def test_another_enterprise_s_are_not_to_be_seen(api: Api, noun: str) -> None:
    miss(api, 0)
    api.authenticator = ScopedAuthenticator(B)
    assert is_problem(api.get(f"/v1/enterprises/{A}/{noun}"), 404, "not-found")
    assert api.get(f"/v1/enterprises/{B}/{noun}").json()[noun] == [] or noun == "devices"
    api.token = None
    assert api.get(f"/v1/enterprises/{B}/{noun}").status_code == 401
