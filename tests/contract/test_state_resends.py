"""The journal of resend requests and the clocks of devices: with the booking, merged, bounded, worked off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nengshao.domain.errors import LeaseLost
from nengshao.domain.resends import MOST_WAITING, Gap, Resend, ResendState
from nengshao.domain.time import DAY_S
from nengshao.ports import CLOCKS_SCHEMA, DIRTY_SCHEMA, GAPS_SCHEMA, Booking, DeviceClock, Intent
from nengshao.stores.state import SqlStateStore
from tests.contract.test_state_books import READ
from tests.support.state import BACKENDS, A, B, leased, opened, state_url, typed

Q = 900  # a quarter of an hour
NOW, DUE = 1_000, 2_860


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStateStore]:
    with opened(state_url(request, tmp_path)) as store:
        yield store


def gaps(*found: tuple[str, str, int, int, int], due_at: int = DUE) -> Any:
    """Gaps (enterprise, device, point, start, end) of quarter-hourly series, in quarters."""
    rows = [(e, d, p, start * Q, end * Q, Q, due_at) for e, d, p, start, end in found]
    return typed(GAPS_SCHEMA, *rows)


def book(store: SqlStateStore, *found: tuple[str, str, int, int, int], at: int = NOW) -> None:
    store.book(leased(store), Booking(at, gaps=gaps(*found, due_at=at + DUE - NOW)))


def listed(store: SqlStateStore, enterprise: str = A) -> list[tuple[str, int, int, list[int]]]:
    """device, span in quarters, points of every request, oldest first."""
    found = reversed(store.resends(enterprise, limit=1000))
    return [(r.device, r.start // Q, r.end // Q, [gap.point for gap in r.gaps]) for r in found]


def test_gaps_of_one_device_and_span_are_one_request_and_those_of_others_are_their_own(
    store: SqlStateStore,
) -> None:
    book(store, (A, "d1", 7, 1, 5), (B, "d1", 9, 1, 5), (A, "d2", 6, 1, 5), (A, "d1", -8, 1, 5))
    assert listed(store) == [("d1", 1, 5, [-8, 7]), ("d2", 1, 5, [6])]
    assert store.resends(B) == [Resend(B, "d1", (Gap(9, Q, 5 * Q, Q),), NOW, DUE, resend_id=3)]
    assert store.resends("nobody") == []


def test_a_gap_joins_the_request_it_adjoins_until_that_was_sent(store: SqlStateStore) -> None:
    book(store, (A, "d1", 7, 1, 5))
    book(store, (A, "d1", 7, 6, 8), at=NOW + 9)  # one read came between: the next message was lost again
    book(store, (A, "d1", 7, 10, 12))  # two came between
    assert listed(store) == [("d1", 1, 8, [7]), ("d1", 10, 12, [7])]
    assert store.resends(A)[1].next_at == DUE  # it is not put off by what joins it
    store.note_resends(leased(store), [one.asked(DUE) for one in store.due_resends(0, DUE, 9)])
    book(store, (A, "d1", 7, 13, 15))
    assert listed(store) == [("d1", 1, 8, [7]), ("d1", 10, 12, [7]), ("d1", 13, 15, [7])]


def test_a_device_has_so_many_requests_and_no_gap_is_forgotten(store: SqlStateStore) -> None:
    many = [(A, "d1", 7, 10 * n, 10 * n + 2) for n in range(MOST_WAITING + 5)]
    book(store, *many)
    spans = listed(store)
    assert len(spans) == MOST_WAITING
    assert spans[-1] == ("d1", many[MOST_WAITING - 1][3], many[-1][4], [7])


def test_what_is_due_comes_in_its_order_and_goes_by_what_is_noted(store: SqlStateStore) -> None:
    book(store, (A, "d1", 7, 1, 5))
    book(store, (B, "d1", 7, 1, 5), at=NOW - 1)
    assert store.due_resends(0, DUE - 2, 9) == []
    first, second = store.due_resends(0, DUE, 9)
    assert (first.enterprise, second.enterprise) == (B, A)
    assert store.due_resends(0, DUE, 1) == [first]
    assert store.due_resends(1, DUE, 9) == []
    asked, filled = replace(first.asked(DUE), missing=4), second.ended(ResendState.FILLED, DUE + 1)
    store.note_resends(leased(store), [asked, filled])
    assert store.resends(B) == [asked]
    assert store.resends(A, state=ResendState.FILLED) == [filled]
    assert store.resends(A, state=ResendState.OPEN) == []
    assert store.due_resends(0, DUE + 59, 9) == []
    assert store.due_resends(0, DUE + 60, 9) == [asked]


def test_pages_go_back_from_the_newest(store: SqlStateStore) -> None:
    for n in range(3):
        book(store, (A, f"d{n}", 7, 1, 5))
    page = store.resends(A, limit=2)
    assert [one.device for one in page] == ["d2", "d1"]
    assert [one.device for one in store.resends(A, before_id=page[-1].resend_id)] == ["d0"]


def test_only_the_holder_notes_and_what_ended_long_ago_is_gone(store: SqlStateStore) -> None:
    book(store, (A, "d1", 7, 1, 5), (A, "d2", 7, 1, 5))
    lease = leased(store)
    old, new = store.due_resends(0, DUE, 9)
    store.note_resends(lease, [old.ended(ResendState.GIVEN_UP, DUE)])
    with pytest.raises(LeaseLost):
        store.note_resends(replace(lease, epoch=lease.epoch + 1), [new.asked(DUE)])
    assert [one.attempts for one in store.resends(A)] == [0, 0]
    store.note_resends(lease, [new.ended(ResendState.FILLED, DUE + 397 * DAY_S)])
    assert [one.device for one in store.resends(A)] == ["d2"]


def test_a_booking_sent_twice_finds_its_gaps_once(store: SqlStateStore) -> None:
    lease, booking = leased(store), Booking(NOW, "i1", gaps=gaps((A, "d1", 7, 1, 5)))
    store.record_intent(lease, Intent("i1", 0, lease.epoch, NOW, READ, typed(DIRTY_SCHEMA)))
    store.book(lease, booking)
    store.note_resends(lease, [store.resends(A)[0].asked(NOW)])
    store.book(lease, booking)
    assert len(store.resends(A)) == 1


def clock(store: SqlStateStore, slot: int, skew_s: int, at: int = NOW) -> list[DeviceClock]:
    store.book(leased(store), Booking(at, clocks=typed(CLOCKS_SCHEMA, (A, "d1", slot, skew_s))))
    return store.device_clocks(A)


def test_a_clock_is_the_freshest_message_of_this_window_and_the_last(store: SqlStateStore) -> None:
    assert store.device_clocks(A) == []
    assert clock(store, 5, -40) == [DeviceClock(A, "d1", -40, NOW)]
    assert clock(store, 5, 3, NOW + 1) == [DeviceClock(A, "d1", 3, NOW + 1)]
    assert clock(store, 5, -7)[0].skew_s == 3
    assert clock(store, 4, 900)[0].skew_s == 3  # late word of a window that is over
    assert clock(store, 6, -9)[0].skew_s == 3
    assert clock(store, 7, -8)[0].skew_s == -8
    assert store.device_clocks(B) == []
