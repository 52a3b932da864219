"""What waits in the inbox is booked like anything from the broker."""

from __future__ import annotations

from dataclasses import replace

from ingest.inbox import batch_of_orphans, is_orphan, orphaned_entry
from ingest.spool import Spooled
from nengshao.domain.readings import Source
from nengshao.ports import DeviceStatus
from nengshao.wire import Limits, Message, encode_status
from tests.support import plants

ARRIVED = plants.START + 60


def test_a_status_from_an_orphaned_spool_is_a_status_of_its_arrival_and_no_bad_topic() -> None:
    # A store is away and a device connects: its birth is spooled. Then the spool goes to the inbox.
    message = Message(plants.topic(1, leaf="status"), encode_status(plants.DEVICE, "online", ARRIVED))
    entry = orphaned_entry(Spooled(message, ARRIVED, 1, 0))
    batch = batch_of_orphans([entry], Limits())
    assert batch.statuses == [DeviceStatus(plants.credit_code(1), plants.DEVICE, "online", ARRIVED)]
    assert not batch.messages
    assert not batch.decoded.rejections


def test_a_reading_from_an_orphaned_spool_is_a_reading() -> None:
    message = plants.message(1, [plants.item(plants.START, 1.0)])
    entry = orphaned_entry(Spooled(message, ARRIVED, 1, 0))
    batch = batch_of_orphans([entry], Limits())
    assert (batch.messages, batch.statuses) == ([message], [])
    assert batch.decoded.readings.height == 1


def test_an_upload_is_no_orphan_whoever_hands_it_in() -> None:
    # An orphan is one whatever its payload is; a replay of it later is a replay.
    orphan = orphaned_entry(Spooled(plants.message(1, [plants.item(plants.START, 1.0)]), ARRIVED, 1, 0))
    assert is_orphan(orphan)
    assert not is_orphan(replace(orphan, source=Source.API))
    assert not is_orphan(replace(orphan, quarantine_id=7))


def test_orphans_are_booked_together_each_with_its_own_arrival_and_a_status_among_them() -> None:
    first, second = (plants.message(n, [plants.item(plants.START, 1.0)]) for n in (1, 2))
    status = Message(plants.topic(1, leaf="status"), encode_status(plants.DEVICE, "online", ARRIVED))
    spooled = [Spooled(m, ARRIVED + n, 1, 0) for n, m in enumerate((first, status, second))]
    batch = batch_of_orphans([orphaned_entry(one) for one in spooled], Limits())
    assert (batch.messages, batch.arrived) == ([first, second], [ARRIVED, ARRIVED + 2])
    assert len(batch.statuses) == 1
    assert batch.decoded.readings.height == 2
