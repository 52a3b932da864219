"""The ledger and the quarantine, over HTTP."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from nengshao.domain.readings import Outcome, Reason, Source
from nengshao.frames import READINGS
from nengshao.ports import DENIALS_SCHEMA, Booking
from tests.support.service import NOW, Api, ScopedAuthenticator, is_problem, served
from tests.support.state import A, B, booked, entry, leased, registry_of, rows

DAY = 86_400


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with served(tmp_path) as service:
        service.state.save_registry(registry_of(A, B), at=NOW)
        yield service


def book(api: Api, *frames: pl.DataFrame, at: int = NOW, **fields: Any) -> None:
    ledger = pl.concat(frames) if frames else booked(A, "stored", 0).clear()
    api.state.book(leased(api.state), Booking(at=at, ledger=ledger, **fields))


def quarantine(api: Api, *entries: Any) -> list[int]:
    """Ids of these entries, in their order."""
    book(api, quarantine=entries)
    page = api.state.quarantine_page(limit=1000)
    by_digest = {row["sha256"]: row["quarantine_id"] for row in page}
    return [by_digest[item.sha256] for item in entries]


def test_the_ledger_adds_up_and_says_what_is_still_under_way(api: Api) -> None:
    book(
        api, booked(A, "stored", 10), booked(A, "duplicate", 2), booked(B, "corrected", 3),
        booked(B, "superseded", 1), booked("", "quarantined", 4, reason="not_json"),
    )  # fmt: skip
    shown = api.get("/v1/ledger").json()
    assert shown["totals"] == {
        "received": 20, "stored": 10, "duplicate": 2, "corrected": 3, "superseded": 1, "quarantined": 4,
    }  # fmt: skip
    assert (shown["balanced"], shown["in_flight"], shown["proof"]) == (True, 3, None)
    assert {row["outcome"] for row in shown["rows"]} == {outcome.value for outcome in Outcome}
    assert {
        "date": "2025-03-10", "enterprise": "", "source": "mqtt", "outcome": "quarantined",
        "reason": "not_json", "count": 4,
    } in shown["rows"]  # fmt: skip


def test_an_empty_ledger_is_balanced(api: Api) -> None:
    shown = api.get("/v1/ledger").json()
    assert (shown["totals"]["received"], shown["balanced"], shown["rows"]) == (0, True, [])


def test_an_outcome_that_is_none_of_the_five_unbalances_the_books(api: Api) -> None:
    book(api, booked(A, "stored", 1), booked(A, "vanished", 2))
    shown = api.get("/v1/ledger").json()
    assert (shown["totals"]["received"], shown["balanced"]) == (3, False)


def test_a_negative_count_unbalances_the_books(api: Api) -> None:
    book(api, booked(A, "stored", -1))
    assert api.get("/v1/ledger").json()["balanced"] is False


def test_the_ledger_is_narrowed_by_enterprise_and_day_of_booking(api: Api) -> None:
    book(api, booked(A, "stored", 1), booked(B, "stored", 2))
    book(api, booked(A, "stored", 4), at=NOW + DAY)

    def received(query: str) -> int:
        total: int = api.get(f"/v1/ledger?{query}").json()["totals"]["received"]
        return total

    assert received("") == 7
    assert received(f"enterprise={A}") == 5
    assert received("to=2025-03-11") == 3
    assert received(f"enterprise={A}&from=2025-03-11&to=2025-03-12") == 4
    assert received("enterprise=nobody") == 0


@pytest.mark.parametrize("in_store", [1, 2])
def test_the_proof_counts_what_the_store_really_holds(api: Api, in_store: int) -> None:
    book(api, booked(A, "stored", 2))
    one = {"point": 1, "version": NOW, "value": 1, "valid": True, "input_type": 4}
    api.readings.write(rows(READINGS, *({"ts": NOW + n} | one for n in range(in_store))))
    assert api.get("/v1/ledger?proof=true").json()["proof"] == {
        "stored": 2, "distinct_readings": in_store, "is_equal": in_store == 2,
    }  # fmt: skip


@pytest.mark.parametrize("query", [f"enterprise={A}", "from=2025-01-01", "to=2025-01-01"])
def test_a_part_of_the_ledger_proves_nothing(api: Api, query: str) -> None:
    assert api.get(f"/v1/ledger?proof=true&{query}").json()["proof"] is None


def test_a_caller_sees_the_ledger_of_their_own_enterprises_only(api: Api) -> None:
    book(api, booked(A, "stored", 1), booked(B, "stored", 2), booked("", "quarantined", 4, reason="not_json"))
    api.authenticator = ScopedAuthenticator(B)
    assert api.get("/v1/ledger").json()["totals"]["received"] == 2
    assert api.get(f"/v1/ledger?enterprise={A}").json()["totals"]["received"] == 0
    assert api.get("/v1/ledger?proof=true").json()["proof"] is None


def test_the_quarantine_says_what_was_not_accepted_and_why(api: Api) -> None:
    (number,) = quarantine(api, entry("ab", indexes=(0, 3), arrived_at=NOW))
    assert api.get("/v1/quarantine").json() == {
        "entries": [
            {
                "id": number, "enterprise": A, "device": "d1", "source": "mqtt",
                "topic": f"nhjc/v1/{A}/d1/data",
                "reason": "unknown_point", "reason_zh": "计量点未登记", "detail": "no such point",
                "indexes": [0, 3],
                "count": 2, "sha256": "ab", "size": 10, "has_raw": True,
                "arrived_at": "2025-03-10T09:00:00+08:00", "last_at": "2025-03-10T09:00:00+08:00",
            }
        ],
        "next": None,
    }  # fmt: skip


def test_the_quarantine_pages_from_new_to_old_and_narrows(api: Api) -> None:
    ids = quarantine(
        api,
        entry("a1"),
        entry("a2", reason=Reason.FUTURE),
        entry("b1", enterprise=B),
        entry("a3"),
        entry("a4"),
    )
    seen: list[int] = []
    cursor = None
    while not seen or cursor is not None:
        page = api.get("/v1/quarantine", limit=2, **({"cursor": cursor} if cursor else {})).json()
        seen += [item["id"] for item in page["entries"]]
        cursor = page["next"]
    assert seen == sorted(ids, reverse=True)
    assert [item["id"] for item in api.get("/v1/quarantine?reason=future").json()["entries"]] == [ids[1]]
    assert [item["id"] for item in api.get(f"/v1/quarantine?enterprise={B}").json()["entries"]] == [ids[2]]


@pytest.mark.parametrize("query", ["reason=bored", "limit=1001", "cursor=0", "cursor=x"])
def test_a_question_to_the_quarantine_that_makes_no_sense_is_refused(api: Api, query: str) -> None:
    assert is_problem(api.get(f"/v1/quarantine?{query}"), 422, "validation")


@pytest.mark.parametrize(("raw", "text"), [("{“坏”".encode(), "{“坏”"), (b"\xff\x00", None)])
def test_an_entry_shows_its_raw_bytes(api: Api, raw: bytes, text: str | None) -> None:
    (number,) = quarantine(api, entry("ab", raw=raw, size=len(raw)))
    shown = api.get(f"/v1/quarantine/{number}").json()
    assert (base64.b64decode(shown["raw_base64"]), shown["raw_text"]) == (raw, text)


def test_a_replay_puts_the_bytes_into_the_inbox_with_their_first_arrival_time(api: Api) -> None:
    (number,) = quarantine(api, entry("ab", raw=b"{}", arrived_at=NOW - DAY))
    response = api.post(f"/v1/quarantine/{number}/replay")
    (kept,) = api.state.take_inbox(0, 10)
    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/uploads/{kept.inbox_id}"
    assert (response.json()["state"], response.json()["enterprise"]) == ("waiting", A)
    assert (kept.source, kept.quarantine_id, kept.format, kept.raw) == (Source.REPLAY, number, "wire", b"{}")
    assert (kept.accepted_at, kept.topic, kept.submitted_by) == (NOW - DAY, f"nhjc/v1/{A}/d1/data", "token")


@pytest.mark.parametrize("table", ["csv", "xlsx"])
def test_an_entry_of_a_table_is_replayed_as_one(api: Api, table: str) -> None:
    (number,) = quarantine(api, entry("ab", topic=f"upload/{table}", device="", source=Source.API))
    assert api.post(f"/v1/quarantine/{number}/replay").status_code == 202
    assert [kept.format for kept in api.state.take_inbox(0, 10)] == [table]


def test_a_replay_asked_for_twice_happens_once(api: Api) -> None:
    (number,) = quarantine(api, entry("ab"))
    first, second = (api.post(f"/v1/quarantine/{number}/replay").json() for _ in range(2))
    assert first == second
    assert len(api.state.take_inbox(0, 10)) == 1


def test_an_entry_that_comes_back_after_its_replay_can_be_replayed_again(api: Api) -> None:
    (number,) = quarantine(api, entry("ab"))
    first = api.post(f"/v1/quarantine/{number}/replay").json()["id"]
    # Booked as quarantined anew; SQLite may give the freed id to the new entry.
    book(api, booked(A, "quarantined", 1, reason="unknown_point", source="replay"), replayed=[number],
         inbox_done={first: "{}"}, quarantine=[entry("cd")])  # fmt: skip
    (again,) = (row["quarantine_id"] for row in api.state.quarantine_page())
    response = api.post(f"/v1/quarantine/{again}/replay")
    assert response.status_code == 202
    assert response.json()["state"] == "waiting"
    assert response.json()["id"] != first


def test_an_entry_whose_bytes_were_not_kept_cannot_be_replayed(api: Api) -> None:
    (number,) = quarantine(api, entry("ab", raw=None))
    assert api.get(f"/v1/quarantine/{number}").json()["raw_base64"] is None
    assert is_problem(api.post(f"/v1/quarantine/{number}/replay"), 409, "not-replayable")
    assert api.state.take_inbox(0, 10) == []


def test_an_entry_that_is_gone_is_not_found(api: Api) -> None:
    assert is_problem(api.get("/v1/quarantine/77"), 404, "not-found")
    assert is_problem(api.post("/v1/quarantine/77/replay"), 404, "not-found")


def test_a_caller_sees_and_replays_entries_of_their_own_enterprises_only(api: Api) -> None:
    mine, second, other, nobodys = quarantine(
        api, entry("b1", enterprise=B), entry("b2", enterprise=B), entry("a1"), entry("n1", enterprise="")
    )
    api.authenticator = ScopedAuthenticator(B)
    assert [item["id"] for item in api.get("/v1/quarantine").json()["entries"]] == [second, mine]
    for number in (other, nobodys):
        assert is_problem(api.get(f"/v1/quarantine/{number}"), 404, "not-found")
        assert is_problem(api.post(f"/v1/quarantine/{number}/replay"), 404, "not-found")
    assert api.state.take_inbox(0, 10) == []
    assert api.post(f"/v1/quarantine/{mine}/replay").status_code == 202


def test_a_caller_of_several_enterprises_gets_one_page_of_all_of_them(api: Api) -> None:
    digests = [hashlib.sha256(bytes([n])).hexdigest() for n in range(6)]
    ids = quarantine(api, *(entry(digest, enterprise=(A, B)[n % 2]) for n, digest in enumerate(digests)))
    api.authenticator = ScopedAuthenticator(A, B)
    page = api.get("/v1/quarantine?limit=4").json()
    assert [item["id"] for item in page["entries"]] == sorted(ids, reverse=True)[:4]
    rest = api.get(f"/v1/quarantine?limit=4&cursor={page['next']}").json()
    assert ([item["id"] for item in rest["entries"]], rest["next"]) == (sorted(ids)[1::-1], None)


def test_what_the_broker_refused_is_shown_by_day_enterprise_and_kind(api: Api) -> None:
    today = NOW // DAY
    counted = [(today, A, "publish", 3), (today + 1, A, "publish", 1), (today, B, "connect", 2)]
    counted.append((today, "no such code", "connect", 5))
    schema = {"day": pl.Int32, **DENIALS_SCHEMA}
    api.state.book_denials("log", "1", pl.DataFrame(counted, schema=schema, orient="row"))
    shown = api.get("/v1/broker-denials").json()
    assert [(row["enterprise"], row["kind"], row["count"]) for row in shown] == [
        ("", "connect", 5), (A, "publish", 3), (B, "connect", 2), (A, "publish", 1),
    ]  # fmt: skip
    assert shown[1]["kind_zh"] == "拒绝上报"
    of_one = api.get(f"/v1/broker-denials?enterprise={A}&from={shown[3]['date']}").json()
    assert of_one == shown[3:]


def test_an_enterprise_sees_its_own_refusals_only(tmp_path: Path) -> None:
    with served(tmp_path, authenticator=ScopedAuthenticator(A)) as api:
        api.state.save_registry(registry_of(A, B), at=NOW)
        rows_of_both = [(1, A, "publish", 3), (1, B, "connect", 2), (1, "", "connect", 1)]
        schema = {"day": pl.Int32, **DENIALS_SCHEMA}
        api.state.book_denials("log", "1", pl.DataFrame(rows_of_both, schema=schema, orient="row"))
        assert [row["enterprise"] for row in api.get("/v1/broker-denials").json()] == [A]
