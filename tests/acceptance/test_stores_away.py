"""A store goes away and comes back: into the spool, out of it, receipts after the booking, nothing twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nengshao.ports import Booking
from nengshao.stage import embedded_broker, free_port
from simulators.publisher import DevicePublisher
from tests.support import pacing, plants, troubled
from tests.support.crash import Crash, Crashing, Unreliable
from tests.support.house import House, Process, booked, house


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, pacing.registry(), now=plants.START) as made:
        made.clock.move_to(pacing.day_end(1))
        yield made


@contextmanager
def running(home: House, port: str) -> Iterator[tuple[Process, DevicePublisher, Unreliable]]:
    """A process one of whose stores can be sent away, and devices whose first day is booked."""
    stores: list[Unreliable] = []

    def wrap(real: Any) -> Unreliable:
        stores.append(Unreliable(real))
        return stores[0]

    process, devices = home.start(**{port: wrap}), home.devices()
    process.get_ready()
    devices.publish(pacing.messages(0))
    process.ingest_all(devices)
    yield process, devices, stores[0]
    devices.close()
    process.close()


def spool(process: Process, sent: int) -> None:
    """Step until all that was sent is on our disk, none of it only in memory."""
    process.step_until(lambda: process.ingestor.in_flight >= sent and not process.subscriber.has_more)


def check_two_days(process: Process, devices: DevicePublisher) -> None:
    """Both days are booked once, receipted, computed; nothing is open or waits."""
    assert booked(process.state)["stored"] == process.readings.count() == pacing.readings_in(2)
    assert devices.unreceipted == process.in_flight == 0
    assert process.state.open_intents(0) == []
    process.assess()
    days = process.state.enterprise_days([pacing.ENTERPRISE], pacing.FIRST_DAY, pacing.FIRST_DAY + 2)
    assert days["calorific_g"].to_list() == [pacing.DAILY_G] * 2


@pytest.mark.parametrize("port", ["readings", "state"])
def test_while_a_store_is_away_messages_are_spooled_and_not_receipted(home: House, port: str) -> None:
    with running(home, port) as (process, devices, store):
        receipted = devices.receipts.messages
        store.go()
        sent = devices.publish(pacing.messages(1))
        spool(process, sent)
        assert store.refused >= 1
        assert devices.unreceipted == sent  # on our disk is not in the books
        assert devices.receipts.messages == receipted
        store.come_back()
        process.ingest_all(devices)
        check_two_days(process, devices)


def test_what_is_in_the_spool_when_the_process_dies_is_booked_by_the_next(home: House) -> None:
    with running(home, "readings") as (first, senders, store):
        store.go()
        sent = senders.publish(pacing.messages(1))
        spool(first, sent)
        first.die()
        senders.close()  # and its journal is lost: only our spool has the messages now
        for journal in (home.folder / "devices").glob("*.jsonl"):
            journal.unlink()
        process, devices = home.start(), home.devices()
        process.ingest_all(devices)
        check_two_days(process, devices)
        devices.close()
        process.close()


def test_a_store_away_in_mid_batch_leaves_an_intent_that_the_same_messages_close(home: House) -> None:
    with running(home, "readings") as (process, devices, store):
        store.go("write", answers_only=True)  # the rows are there, but we are told they are not
        devices.publish(pacing.messages(1))
        process.step_until(lambda: store.refused > 0)
        assert len(process.state.open_intents(0)) >= 1
        assert booked(process.state)["stored"] < process.readings.count()
        store.come_back()
        process.ingest_all(devices)
        check_two_days(process, devices)


@pytest.mark.parametrize("answers_only", [False, True], ids=["commit lost", "answer lost"])
@pytest.mark.parametrize("method", ["record_intent", "book"])
def test_an_unanswered_commit_is_never_counted_twice(home: House, method: str, answers_only: bool) -> None:
    with running(home, "state") as (process, devices, store):
        store.go(method, answers_only=answers_only)
        devices.publish(pacing.messages(1))
        process.step_until(lambda: store.refused > 0)
        store.come_back()
        process.ingest_all(devices)
        check_two_days(process, devices)


@pytest.mark.parametrize("answers_only", [False, True], ids=["commit lost", "answer lost"])
def test_a_table_whose_booking_is_not_answered_is_booked_once(home: House, answers_only: bool) -> None:
    home.clock.move_to(pacing.day_end(2))
    with running(home, "state") as (process, devices, store):
        before = booked(process.state)
        store.go("book", answers_only=answers_only)
        troubled.hand_in(process)
        process.step_until(lambda: store.refused > 0)
        store.come_back()
        process.ingest_all(devices)
        after = booked(process.state)
        assert sum(after.values()) == sum(before.values()) + 1
        assert after["stored"] == before["stored"] + 1 == process.readings.count()
        receipt = process.state.upload_receipt(1)
        assert receipt is not None
        assert receipt["receipt"][0]["stored"] == 1


def test_dying_between_the_booking_of_a_spooled_batch_and_its_settling_books_it_once(home: House) -> None:
    def is_day_one(_lease: Any, booking: Booking, *_: Any) -> bool:
        return booking.intent_id is not None

    with running(home, "readings") as (first, devices, store):
        store.go()
        sent = devices.publish(pacing.messages(1))
        spool(first, sent)
        first.die()
        process = home.start(state=lambda real: Crashing(real, "book", after=True, when=is_day_one))
        with pytest.raises(Crash):
            process.step_until(lambda: False)
        process.die()
        process = home.start()
        process.ingest_all(devices)
        check_two_days(process, devices)
        assert booked(process.state)["duplicate"] >= 48  # the spool's batch came again
        process.close()


@pytest.mark.parametrize("missing", ["registry_version", "open_intents", "watermarks"])
def test_a_state_store_that_goes_away_in_mid_take_over_only_delays_it(home: House, missing: str) -> None:
    home.settings = home.settings.model_copy(update={"lease_ttl_s": 15.0})  # a renewal would hide it
    stores: list[Unreliable] = []

    def wrap(real: Any) -> Unreliable:
        stores.append(Unreliable(real))
        stores[0].go(missing)
        return stores[0]

    process, devices = home.start(state=wrap), home.devices()
    process.step_until(lambda: stores[0].refused > 0 or process.ingestor.is_ready)
    devices.publish(pacing.messages(0))
    process.step_until(lambda: stores[0].refused > 0)
    stores[0].come_back()
    process.get_ready()
    devices.publish(pacing.messages(1))
    process.ingest_all(devices)
    check_two_days(process, devices)
    devices.close()
    process.close()


def test_a_reading_store_that_is_away_at_take_over_leaves_no_intent_open_for_ever(home: House) -> None:
    process, devices = home.start(state=_dying_before_the_first_booking), home.devices()
    process.get_ready()
    devices.publish(pacing.messages(0))
    with pytest.raises(Crash):
        process.ingest_all(devices)
    process.die()
    devices.close()
    stores: list[Unreliable] = []

    def wrap(real: Any) -> Unreliable:
        stores.append(Unreliable(real))
        stores[0].go()
        return stores[0]

    home.port = free_port()
    with embedded_broker(home.port):  # another broker, no devices: only the intent knows of the rows
        process = home.start(readings=wrap)
        process.step_until(lambda: stores[0].refused > 0)
        stores[0].come_back()
        process.get_ready()
        process.step_until(lambda: not process.ingestor.step(wait_s=0.3))
        assert booked(process.state) == {"stored": process.readings.count()}
        assert process.readings.count() > 0
        assert process.state.open_intents(0) == []
        process.close()


def _dying_before_the_first_booking(state: Any) -> Crashing:
    return Crashing(state, "book", after=False, when=lambda _lease, booking: booking.intent_id is not None)
