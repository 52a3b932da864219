"""The same content in every form: stored once, told by receipts that name the bytes as they were sent."""

from __future__ import annotations

from pathlib import Path

from nengshao.domain.readings import Source
from nengshao.ports import InboxEntry
from nengshao.wire import Form, encode_message
from simulators.stream import Outgoing
from tests.support import plants
from tests.support.house import booked, house

NOW = plants.START + 3600
TIMES = [plants.START + 900 * n for n in range(3)]
ITEMS = [plants.item(ts, ts % 7_000.5, meter=meter) for ts in TIMES for meter in ("00", "01")]


def sent(form: Form, seq: int) -> Outgoing:
    """The content as a message that bears no number: only its bytes name it."""
    owner = plants.credit_code(1), plants.DEVICE
    return Outgoing(*owner, NOW, plants.topic(1), encode_message(*owner, ITEMS, None, form), seq)


def test_what_came_in_one_form_is_a_duplicate_in_every_other(tmp_path: Path) -> None:
    with house(tmp_path, plants.registry(1, 2), now=NOW) as home:
        process, devices = home.start(), home.devices()
        process.get_ready()
        for seq, form in enumerate(Form):
            devices.publish([sent(form, seq)])
            process.ingest_all(devices)  # until the receipt has come that names these very bytes
        assert booked(process.state) == {"stored": 6, "duplicate": 18}
        assert process.readings.count() == 6

        upload = sent(Form.COMPACT_GZIP, 9)  # the same by hand: an upload has no topic to tell the device
        entry = InboxEntry(
            source=Source.API, enterprise=upload.enterprise, device="", topic="", format="wire",
            raw=upload.payload, accepted_at=NOW, idempotency_key="k", submitted_by="p",
        )  # fmt: skip
        number = process.state.put_inbox(entry)
        process.step_until(lambda: process.state.inbox_size() == 0)
        assert process.state.upload_receipt(number)["receipt"][0]["duplicate"] == 6
        devices.close()
        process.close()
