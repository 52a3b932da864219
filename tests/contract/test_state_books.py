"""The books: intents, bookings, ledger, inbox, watermarks. All or nothing, and nothing twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from nengshao.domain.codes import partition_of
from nengshao.domain.errors import StoreRejected
from nengshao.domain.readings import Source
from nengshao.domain.time import day_start
from nengshao.frames import READINGS
from nengshao.ports import (
    CORRECTIONS_SCHEMA,
    DIRTY_SCHEMA,
    LAST_SEEN_SCHEMA,
    LEDGER_SCHEMA,
    WATERMARK_SCHEMA,
    Booking,
    DeviceStatus,
    InboxEntry,
    Intent,
)
from nengshao.registry import DEVICES
from nengshao.stores.state import SqlStateStore
from tests.support.state import (
    BACKENDS,
    A,
    B,
    booked,
    credit_code,
    leased,
    opened,
    registry_of,
    rows,
    state_url,
    typed,
)


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStateStore]:
    with opened(state_url(request, tmp_path)) as store:
        store.save_registry(registry_of(A, B), at=1)
        yield store


READ = typed(
    READINGS.schema, (-(2**63), 1_700_000_000, 1_700_000_060, 2**62, True, 4), (7, 1, 2, -3, False, 5)
)
DIRTY = typed(DIRTY_SCHEMA, (A, 20_000, True), (B, 20_001, False))


def intent(intent_id: str, readings: pl.DataFrame = READ, dirty: pl.DataFrame = DIRTY) -> Intent:
    return Intent(intent_id, 0, 1, 1_700_000_000, readings, dirty)


def upload(key: str, **fields: Any) -> InboxEntry:
    given: dict[str, Any] = {
        "source": Source.API,
        "enterprise": A,
        "device": "manual",
        "topic": "",
        "format": "csv",
        "raw": b"\x00\xffbytes",
        "accepted_at": 1_700_000_000,
        "idempotency_key": key,
        "submitted_by": "clerk",
    }
    return InboxEntry(**given | fields)


# ---------------------------------------------------------------------------------------------- intents


def test_an_intent_comes_back_with_exactly_its_rows(store: SqlStateStore) -> None:
    lease = leased(store)
    store.record_intent(lease, intent("i2"))
    store.record_intent(lease, intent("i1", READINGS.empty(), DIRTY.clear()))
    first, second = store.open_intents(0)
    assert (first.intent_id, first.partition, first.epoch, first.made_at) == ("i2", 0, 1, 1_700_000_000)
    assert_frame_equal(first.readings, READ)
    assert_frame_equal(first.dirty, DIRTY)
    assert_frame_equal(second.readings, READINGS.empty())
    assert_frame_equal(second.dirty, DIRTY.clear())
    assert store.open_intents(1) == []


def test_an_intent_recorded_again_after_an_unanswered_commit_is_one_intent(store: SqlStateStore) -> None:
    lease = leased(store)
    store.record_intent(lease, intent("i1"))
    store.record_intent(lease, intent("i1", READ.head(1)))
    (kept,) = store.open_intents(0)
    assert_frame_equal(kept.readings, READ.head(1))


def test_booking_strikes_its_intent(store: SqlStateStore) -> None:
    lease = leased(store)
    store.record_intent(lease, intent("i1"))
    store.record_intent(lease, intent("i2"))
    store.book(lease, Booking(at=1, intent_id="i1"))
    assert [left.intent_id for left in store.open_intents(0)] == ["i2"]


def test_an_intent_keeps_the_rows_still_open_and_is_struck_when_none_are(store: SqlStateStore) -> None:
    lease = leased(store)
    for name in ("own", "other", "done"):
        store.record_intent(lease, intent(name))
    left = {"own": READ.head(1), "other": READ.tail(1), "done": READ.clear()}
    store.book(lease, Booking(at=1, intent_id="own", intents_left=left))
    own, other = store.open_intents(0)
    assert_frame_equal(own.readings, READ.head(1))
    assert_frame_equal(own.dirty, DIRTY)
    assert_frame_equal(other.readings, READ.tail(1))
    store.book(lease, Booking(at=1, intents_left={"own": READ.clear(), "other": READ.clear()}))
    assert store.open_intents(0) == []


def test_a_booking_sent_again_after_an_unanswered_commit_counts_once(store: SqlStateStore) -> None:
    lease = leased(store)
    store.record_intent(lease, intent("i1"))
    booking = Booking(at=1, intent_id="i1", ledger=booked(A, "stored", 2))
    store.book(lease, booking)
    store.book(lease, booking)
    store.record_intent(lease, intent("i1"))
    assert store.ledger()["count"].to_list() == [2]
    assert store.open_intents(0) == []


# ----------------------------------------------------------------------------------------------- ledger


def test_the_ledger_folds_bookings_into_accounting_days(store: SqlStateStore) -> None:
    lease = leased(store)
    midnight = day_start(20_000)
    for at in (midnight - 1, midnight, midnight + 86_399):
        store.book(lease, Booking(at=at, ledger=booked(A, "stored", 2).vstack(booked(A, "stored", 3))))
    assert store.ledger().select("day", "count").rows() == [(19_999, 5), (20_000, 10)]
    assert store.ledger().schema == pl.Schema({"day": pl.Int32, **LEDGER_SCHEMA})


def test_the_ledger_is_sorted_and_filtered(store: SqlStateStore) -> None:
    lease = leased(store)
    ledger = pl.concat([booked(name, outcome, 1) for name in (B, A) for outcome in ("stored", "duplicate")])
    store.book(lease, Booking(at=day_start(10), ledger=ledger))
    store.book(lease, Booking(at=day_start(11), ledger=ledger))
    keys = store.ledger().select("day", "enterprise", "source", "outcome", "reason").rows()
    assert keys == sorted(keys)
    assert len(keys) == 8
    assert store.ledger(enterprise=A)["enterprise"].unique().to_list() == [A]
    assert store.ledger(from_day=11)["day"].unique().to_list() == [11]
    assert store.ledger(to_day=11)["day"].unique().to_list() == [10]
    assert store.ledger(enterprise=credit_code(99)).is_empty()


def test_senders_that_are_not_registered_share_one_line(store: SqlStateStore) -> None:
    lease = leased(store)
    made_up = [booked(name, "quarantined", 1, "unknown_enterprise") for name in ("x", "y\0", "企业", "")]
    store.book(lease, Booking(at=0, ledger=pl.concat([*made_up, booked(A, "stored", 1)])))
    assert store.ledger().select("enterprise", "count").rows() == [("", 4), (A, 1)]


def test_counts_beyond_32_bits_add_up(store: SqlStateStore) -> None:
    lease = leased(store)
    for _ in range(2):
        store.book(lease, Booking(at=0, ledger=booked(A, "stored", 2**40)))
    assert store.ledger()["count"].to_list() == [2**41]


# -------------------------------------------------------------------------------------------- atomicity


def test_a_booking_that_fails_leaves_nothing(store: SqlStateStore) -> None:
    lease = leased(store)
    store.record_intent(lease, intent("i1"))
    inbox_id = store.put_inbox(upload("k1"))
    impossible = typed(CORRECTIONS_SCHEMA, (1, 2, 3, 4, None))
    booking = Booking(
        at=1,
        intent_id="i1",
        ledger=booked(A, "stored", 1),
        corrections=impossible,
        dirty=DIRTY,
        watermarks=typed(WATERMARK_SCHEMA, (1, 10)),
        last_seen=typed(LAST_SEEN_SCHEMA, (A, "d1", 10)),
        inbox_done={inbox_id: "{}"},
    )
    with pytest.raises(StoreRejected):
        store.book(lease, booking)
    assert store.ledger().is_empty()
    assert store.watermarks([1]).is_empty()
    assert store.last_seen(0).is_empty()
    assert store.claim_dirty(0, 10).is_empty()
    assert [left.intent_id for left in store.open_intents(0)] == ["i1"]
    assert [left.inbox_id for left in store.take_inbox(0, 10)] == [inbox_id]


def test_an_empty_booking_is_no_booking(store: SqlStateStore) -> None:
    store.book(leased(store), Booking(at=1))
    assert store.ledger().is_empty()
    assert store.claim_dirty(0, 10).is_empty()


# ------------------------------------------------------------------------- watermarks, last seen, corrections


def test_watermarks_never_fall(store: SqlStateStore) -> None:
    lease = leased(store)
    for values in ((10, 20, 30), (5, 25, 30)):
        frame = typed(WATERMARK_SCHEMA, *zip((-1, 2, 2**62), values, strict=True), (2, 1))
        store.book(lease, Booking(at=1, watermarks=frame))
    found = store.watermarks([2**62, 2, -1, 2, 99])
    assert_frame_equal(found, typed(WATERMARK_SCHEMA, (-1, 10), (2, 25), (2**62, 30)))
    assert store.watermarks([]).is_empty()


def test_a_hundred_thousand_watermarks_can_be_asked_for(store: SqlStateStore) -> None:
    store.book(leased(store), Booking(at=1, watermarks=typed(WATERMARK_SCHEMA, (77_777, 1))))
    assert store.watermarks(range(100_000)).rows() == [(77_777, 1)]


def test_last_seen_only_grows_and_belongs_to_its_partition(store: SqlStateStore) -> None:
    lease = leased(store)
    store.book(lease, Booking(at=1, last_seen=typed(LAST_SEEN_SCHEMA, (B, "d", 5), (A, "d", 9), (A, "d", 7))))
    store.book(lease, Booking(at=1, last_seen=typed(LAST_SEEN_SCHEMA, (B, "d", 6), (A, "d", 8))))
    assert store.last_seen(0).rows() == [(A, "d", 9), (B, "d", 6)]
    assert store.last_seen(1).is_empty()


def test_the_last_status_of_each_registered_device_is_kept(store: SqlStateStore) -> None:
    devices = [{"enterprise": A, "device": name, "cadence_s": 900, "valid_from": 0} for name in ("d2", "d1")]
    store.save_registry(registry_of(A, B, devices=rows(DEVICES, *devices)), at=2)
    lease = leased(store)
    first = [
        DeviceStatus(A, "d2", "offline", 10),
        DeviceStatus(A, "d2", "online", 9),
        DeviceStatus(A, "d1", "online", 5),
        DeviceStatus(A, "made\0up", "online", 5),
        DeviceStatus(B, "d1", "online", 5),
        DeviceStatus("\ud800", "d1", "online", 5),
    ]
    store.book(lease, Booking(at=1, statuses=first))
    store.book(lease, Booking(at=1, statuses=[DeviceStatus(A, "d2", "online", 8)]))
    store.book(lease, Booking(at=1, statuses=[DeviceStatus(A, "d1", "off\0line", 5)]))
    expected = [DeviceStatus(A, "d1", "off\ufffdline", 5), DeviceStatus(A, "d2", "offline", 10)]
    assert store.device_statuses(A) == expected
    assert store.device_statuses(B) == []


def test_corrections_are_kept_once_newest_first(store: SqlStateStore) -> None:
    lease = leased(store)
    store.book(
        lease, Booking(at=1, corrections=typed(CORRECTIONS_SCHEMA, (1, 10, 11, 5, 4), (2, 10, 11, 9, 8)))
    )
    store.book(
        lease, Booking(at=2, corrections=typed(CORRECTIONS_SCHEMA, (1, 20, 21, 6, 2), (1, 10, 11, 5, 4)))
    )
    assert store.corrections([1]).rows() == [(1, 20, 21, 6, 2), (1, 10, 11, 5, 4)]
    assert store.corrections([1, 2], limit=2).rows() == [(1, 20, 21, 6, 2), (2, 10, 11, 9, 8)]
    assert_frame_equal(store.corrections([]), pl.DataFrame(schema=dict(CORRECTIONS_SCHEMA)))


# ------------------------------------------------------------------------------------------------ inbox


def test_an_upload_waits_until_it_is_booked_and_then_has_its_receipt(store: SqlStateStore) -> None:
    lease = leased(store)
    inbox_id = store.put_inbox(upload("k1"))
    (waiting,) = store.take_inbox(0, 10)
    assert waiting == upload("k1", inbox_id=inbox_id)
    assert store.upload_receipt(inbox_id) == {
        "inbox_id": inbox_id,
        "state": "waiting",
        "accepted_at": 1_700_000_000,
        "enterprise": A,
        "submitted_by": "clerk",
        "receipt": None,
    }
    assert store.inbox_size() == 1
    store.book(lease, Booking(at=1, inbox_done={inbox_id: json.dumps({"stored": 3, "说明": "好"})}))
    receipt = store.upload_receipt(inbox_id)
    assert receipt is not None
    assert (receipt["state"], receipt["receipt"]) == ("booked", {"stored": 3, "说明": "好"})
    assert (store.take_inbox(0, 10), store.inbox_size()) == ([], 0)


def test_an_idempotency_key_names_one_upload_for_ever(store: SqlStateStore) -> None:
    first = store.put_inbox(upload("k1", raw=b"first"))
    assert store.put_inbox(upload("k1", raw=b"second", accepted_at=5)) == first
    (kept,) = store.take_inbox(0, 10)
    assert (kept.raw, kept.accepted_at) == (b"first", 1_700_000_000)
    store.book(leased(store), Booking(at=1, inbox_done={first: "{}"}))
    assert store.put_inbox(upload("k1")) == first
    assert store.take_inbox(0, 10) == []


def test_uploads_are_taken_oldest_first_by_the_partition_of_their_enterprise(tmp_path: Path) -> None:
    whose = [next(c for c in map(credit_code, range(99)) if partition_of(c, 2) == n) for n in range(2)]
    with opened(f"sqlite:///{tmp_path / 'two.db'}", partitions=2) as parted:
        ids = [parted.put_inbox(upload(f"k{n}", enterprise=whose[n % 2], quarantine_id=n)) for n in range(6)]
        assert [taken.inbox_id for taken in parted.take_inbox(0, 2)] == [ids[0], ids[2]]
        assert [taken.quarantine_id for taken in parted.take_inbox(1, 10)] == [1, 3, 5]
        assert parted.inbox_size() == 6


def test_an_upload_that_never_was_has_no_receipt(store: SqlStateStore) -> None:
    assert store.upload_receipt(404) is None
