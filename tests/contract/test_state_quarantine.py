"""Quarantine: bounded whatever is sent, counts exact whatever is bounded, taken back once by a replay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nengshao.domain.readings import Reason, Source
from nengshao.domain.time import day_start
from nengshao.ports import Booking, QuarantineEntry
from nengshao.stores.state import SqlStateStore
from tests.support.state import (
    BACKENDS,
    A,
    B,
    booked,
    credit_code,
    entry,
    leased,
    opened,
    registry_of,
    state_url,
)

CAPS = {
    "raw_cap_message": 100,
    "raw_cap_device": 250,
    "row_cap_device": 5,
    "raw_cap_total": 600,
    "row_cap_total": 12,
}


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStateStore]:
    with opened(state_url(request, tmp_path), **CAPS) as store:
        store.save_registry(registry_of(A, B), at=1)
        yield store


def book(store: SqlStateStore, *entries: QuarantineEntry, at: int = 1_000) -> None:
    """Book the entries and the ledger lines they stand for."""
    lease = leased(store)
    ledger = Booking(at=at).ledger
    for each in entries:
        ledger = ledger.vstack(
            booked(each.enterprise, "quarantined", each.count, each.reason.value, each.source.value)
        )
    store.book(lease, Booking(at=at, ledger=ledger, quarantine=entries))


def total(store: SqlStateStore) -> int:
    return sum(row["count"] for row in store.quarantine_page(limit=10_000))


def raw_bytes(store: SqlStateStore) -> int:
    found = (store.quarantine_raw(row["quarantine_id"]) for row in store.quarantine_page(limit=10_000))
    return sum(len(each[1] or b"") for each in found if each)


def test_an_entry_is_listed_with_everything_but_its_raw_bytes(store: SqlStateStore) -> None:
    book(store, entry(indexes=(1, 3)))
    (row,) = store.quarantine_page()
    fields = {name: getattr(entry(indexes=(1, 3)), name) for name in QuarantineEntry.__dataclass_fields__}
    del fields["raw"]
    assert row == fields | {
        "quarantine_id": row["quarantine_id"],
        "has_raw": True,
        "count": 2,
        "seen": 1,
        "last_at": 1_000,
    }
    assert isinstance(row["reason"], Reason)
    assert isinstance(row["source"], Source)
    assert store.quarantine_raw(row["quarantine_id"]) == (row, b"0123456789")
    assert store.quarantine_raw(404) is None


def test_pages_go_from_new_to_old_and_are_filtered(store: SqlStateStore) -> None:
    book(store, entry("1"), entry("2", enterprise=B, reason=Reason.BAD_VALUE), entry("3"))
    assert [row["sha256"] for row in store.quarantine_page()] == ["3", "2", "1"]
    first = store.quarantine_page(limit=1)
    assert [row["sha256"] for row in store.quarantine_page(before_id=first[-1]["quarantine_id"])] == [
        "2",
        "1",
    ]
    assert [row["sha256"] for row in store.quarantine_page(enterprise=A)] == ["3", "1"]
    assert [row["sha256"] for row in store.quarantine_page(reason="bad_value")] == ["2"]
    assert store.quarantine_page(enterprise=credit_code(9)) == []


def test_the_same_message_again_is_counted_and_not_kept_again(store: SqlStateStore) -> None:
    book(store, entry(indexes=(0, 1)), entry(indexes=(0, 1), arrived_at=1_005))
    book(store, entry(indexes=(0, 1), arrived_at=1_009))
    (row,) = store.quarantine_page()
    assert (row["seen"], row["count"], row["arrived_at"], row["last_at"]) == (3, 6, 1_000, 1_009)
    assert store.ledger()["count"].to_list() == [6]


@pytest.mark.parametrize(
    "other",
    [
        {"sha256": "bb"},
        {"reason": Reason.BAD_VALUE},
        {"device": "d2"},
        {"enterprise": B},
        {"indexes": (1,)},
        {"source": Source.API},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_differs_is_an_entry_of_its_own(store: SqlStateStore, other: dict[str, Any]) -> None:
    book(store, entry(), entry(**other))
    assert [row["seen"] for row in store.quarantine_page()] == [1, 1]


def test_the_same_message_on_another_day_is_an_entry_of_its_own(store: SqlStateStore) -> None:
    book(store, entry(), at=day_start(10))
    book(store, entry(), at=day_start(11))
    assert [row["seen"] for row in store.quarantine_page()] == [1, 1]


def test_a_message_beyond_its_cap_leaves_hash_size_and_count_but_no_bytes(store: SqlStateStore) -> None:
    book(store, entry(raw=b"x" * 101, size=101), entry("bb", raw=b"x" * 100, size=100), entry("cc", raw=None))
    shown = {row["sha256"]: (row["has_raw"], row["size"]) for row in store.quarantine_page()}
    assert shown == {"aa": (False, 101), "bb": (True, 100), "cc": (False, 10)}


def test_a_device_keeps_only_so_many_raw_bytes(store: SqlStateStore) -> None:
    book(store, *(entry(str(n), raw=b"x" * 90) for n in range(2)))
    book(store, *(entry(str(n), raw=b"x" * 90) for n in range(2, 5)), entry("other", device="d2"))
    has_raw = {row["sha256"]: row["has_raw"] for row in store.quarantine_page()}
    assert has_raw == {"0": True, "1": True, "2": False, "3": False, "4": False, "other": True}


def test_a_device_beyond_its_rows_folds_by_reason_with_exact_counts(store: SqlStateStore) -> None:
    book(store, *(entry(str(n)) for n in range(4)))
    book(store, *(entry(str(n), indexes=(0, 1, 2)) for n in range(4, 8)), entry("x", reason=Reason.FUTURE))
    book(store, entry("0"), entry("9"))
    rows = store.quarantine_page()
    single = {row["sha256"]: row["count"] for row in rows if row["sha256"]}
    folded = {row["reason"]: (row["count"], row["seen"], row["has_raw"]) for row in rows if not row["sha256"]}
    assert single == {"0": 2, "1": 1, "2": 1, "3": 1, "4": 3}
    assert folded == {Reason.UNKNOWN_POINT: (10, 4, False), Reason.FUTURE: (1, 1, False)}
    assert total(store) == store.ledger()["count"].sum() == 19


def test_made_up_senders_cannot_grow_the_table_beyond_the_total(store: SqlStateStore) -> None:
    for turn in range(4):
        flood = [
            entry(f"{turn}-{n}", enterprise=f"fake-{turn}-{n}", device=f"dev-{n}", raw=b"x" * 90)
            for n in range(50)
        ]
        book(store, *flood)
    book(store, entry("real"))
    rows = store.quarantine_page(limit=1_000)
    assert len(rows) == CAPS["row_cap_total"] + 2  # one fold for all who are not registered, one for A
    assert raw_bytes(store) <= CAPS["raw_cap_total"]
    assert total(store) == 201
    assert store.ledger().select("enterprise", "count").rows() == [("", 200), (A, 1)]
    folds = {row["enterprise"]: row["count"] for row in rows if not row["sha256"]}
    assert folds == {"": 200 - CAPS["row_cap_total"], A: 1}


def test_what_a_replay_strikes_makes_room_again(store: SqlStateStore) -> None:
    for turn in range(3):
        book(store, *(entry(f"{turn}-{n}", raw=b"x" * 50) for n in range(5)))
        rows = store.quarantine_page()
        assert [row["has_raw"] for row in rows] == [True] * 5
        store.book(leased(store), Booking(at=1_000, replayed=[row["quarantine_id"] for row in rows]))
    assert store.quarantine_page() == []
    assert store.ledger().is_empty()


def test_a_replay_takes_its_counts_back_from_the_day_they_were_booked_once(store: SqlStateStore) -> None:
    book(store, entry("a", indexes=(0, 1)), entry("b"), at=day_start(10))
    book(store, entry("a", indexes=(0, 1)), at=day_start(10))
    struck = [row["quarantine_id"] for row in store.quarantine_page() if row["sha256"] == "a"]
    replay = Booking(
        at=day_start(12), ledger=booked(A, "stored", 2, source="replay"), replayed=[*struck, *struck]
    )
    store.book(leased(store), replay)
    assert store.ledger().select("day", "outcome", "count").rows() == [
        (10, "quarantined", 1),
        (12, "stored", 2),
    ]
    assert [row["sha256"] for row in store.quarantine_page()] == ["b"]
    store.book(leased(store), Booking(at=day_start(13), replayed=struck))
    assert store.ledger()["count"].sum() == 3


def test_a_replay_takes_from_the_line_of_the_unregistered_even_if_they_have_registered_since(
    store: SqlStateStore,
) -> None:
    newcomer = credit_code(3)
    book(store, entry("n", enterprise=newcomer, reason=Reason.UNKNOWN_ENTERPRISE), at=day_start(10))
    assert store.ledger()["enterprise"].to_list() == [""]
    store.save_registry(registry_of(A, B, newcomer), at=2)
    (row,) = store.quarantine_page()
    ledger = booked(newcomer, "stored", 1, source="replay")
    store.book(leased(store), Booking(at=day_start(11), ledger=ledger, replayed=[row["quarantine_id"]]))
    assert store.ledger().select("enterprise", "outcome", "count").rows() == [(newcomer, "stored", 1)]


def test_a_replay_that_fails_again_is_back_in_quarantine(store: SqlStateStore) -> None:
    book(store, entry("a"), at=day_start(10))
    (row,) = store.quarantine_page()
    store.book(
        leased(store),
        Booking(
            at=day_start(10),
            ledger=booked(A, "quarantined", 1, "unknown_point"),
            quarantine=[entry("a", arrived_at=2_000)],
            replayed=[row["quarantine_id"]],
        ),
    )
    (again,) = store.quarantine_page()
    assert (again["seen"], again["count"], again["has_raw"], again["arrived_at"]) == (1, 1, True, 2_000)
    assert store.ledger()["count"].to_list() == [1]


def test_names_that_no_database_can_hold_are_kept_as_far_as_they_can_be(store: SqlStateStore) -> None:
    nasty = entry("n", enterprise="a\0b", device="\ud800x", topic="t" * 5_000, detail="\0\udfff" * 5_000)
    lease = leased(store)
    store.book(lease, Booking(at=1, quarantine=[nasty]))
    (row,) = store.quarantine_page()
    assert row["enterprise"] == "a\ufffdb"
    assert row["device"] == "?x"
    assert (len(row["topic"]), len(row["detail"])) == (512, 1_000)


def test_ten_thousand_different_bad_messages_are_booked_at_once(store: SqlStateStore) -> None:
    flood = [entry(str(n), device=f"d{n % 100}") for n in range(10_000)]
    store.book(leased(store), Booking(at=1, quarantine=flood))
    assert total(store) == 10_000
    assert len(store.quarantine_page(limit=1_000)) == CAPS["row_cap_total"] + 1
