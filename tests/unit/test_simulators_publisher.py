import json
import socket
import threading
import time

import paho.mqtt.client as mqtt
import pytest
from iotcore import Broker
from paho.mqtt.enums import CallbackAPIVersion

from nengshao.clock import SteppedClock
from nengshao.wire import MessageReceipt, Receipt, RejectedItem, encode_receipt, parse_topic, payload_digest
from simulators.keeping import Keep, Patience, read_journal
from simulators.publisher import DevicePublisher
from simulators.stream import Outgoing

ENTERPRISE = "91990101M000000194"
HASTY = Patience(first_s=0.2, max_s=0.4)
WAIT_S = 8.0


def outgoing(seq: int, device: str = "dev-1") -> Outgoing:
    topic = f"nhjc/v1/{ENTERPRISE}/{device}/data"
    return Outgoing(ENTERPRISE, device, seq, topic, f'{{"seq":{seq},"d":"{device}"}}'.encode(), seq)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Platform:
    """The other side: takes messages from the broker and answers with receipts, as far as it is told to."""

    def __init__(self, port: int, *, deaf_to: int = 0) -> None:
        self.payloads: list[bytes] = []
        self.statuses: dict[str, list[str]] = {}
        self._deaf_to = deaf_to  # how many of the first deliveries get no receipt
        self._heard = threading.Condition()
        ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "platform")
        self._client.on_connect = lambda client, *_: client.subscribe("nhjc/v1/#", qos=1)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = lambda _client, _data, message: self._take(message)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert ready.wait(WAIT_S)

    def __enter__(self):
        return self

    def __exit__(self, *_exc: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait_for(self, what) -> bool:
        with self._heard:
            return self._heard.wait_for(what, WAIT_S)

    def _take(self, message: mqtt.MQTTMessage) -> None:
        topic = parse_topic(message.topic)
        with self._heard:
            if topic.leaf == "status":
                self.statuses.setdefault(topic.device, []).append(json.loads(message.payload)["state"])
            elif topic.leaf == "data":
                self.payloads.append(message.payload)
                if len(self.payloads) > self._deaf_to:
                    self._answer(topic.device, message.payload)
            self._heard.notify_all()

    def _answer(self, device: str, payload: bytes) -> None:
        seq = json.loads(payload)["seq"]
        rejected = [RejectedItem("future", "时间在将来", 0)] if seq % 10 == 0 else []
        receipt = MessageReceipt(payload_digest(payload), seq, stored=3, rejected=rejected)
        topic = f"nhjc/v1/{ENTERPRISE}/{device}/receipt"
        self._client.publish(topic, encode_receipt(Receipt("2025-01-01T00:00:00+08:00", [receipt])), qos=1)


@pytest.fixture(scope="module")
def broker_port():
    with Broker(port=free_port(), listen="127.0.0.1") as broker:
        yield broker.port


@pytest.mark.parametrize("shared", [True, False])
def test_every_message_is_let_go_at_its_receipt(broker_port, shared):
    clock = SteppedClock(1_735_660_800)
    with Platform(broker_port) as platform:
        with DevicePublisher("127.0.0.1", broker_port, clock=clock, shared=shared, in_flight=5) as publisher:
            sent = [outgoing(n, f"dev-{n % 3}") for n in range(1, 41)]
            assert publisher.publish(sent) == 40
            assert publisher.wait_receipted(WAIT_S)
            assert sorted(platform.payloads) == sorted(m.payload for m in sent)
            assert (publisher.receipts.messages, publisher.receipts.stored) == (40, 120)
            assert publisher.receipts.rejected == {"future": 4}
        devices = {f"dev-{n}" for n in range(3)}
        assert platform.wait_for(lambda: all(platform.statuses[d][-1] == "offline" for d in devices))
        assert all("online" in platform.statuses[d] for d in devices)


def test_a_message_without_a_receipt_is_sent_again_as_the_same_bytes(broker_port):
    with (
        Platform(broker_port, deaf_to=3) as platform,
        DevicePublisher("127.0.0.1", broker_port, clock=SteppedClock(0), patience=HASTY) as publisher,
    ):
        publisher.publish([outgoing(1), outgoing(2)])
        assert publisher.wait_receipted(WAIT_S)
        assert platform.payloads.count(outgoing(1).payload) >= 2
        assert set(platform.payloads) == {outgoing(1).payload, outgoing(2).payload}


def test_what_a_dead_process_had_no_receipt_for_is_sent_by_the_next(broker_port, tmp_path):
    with DevicePublisher("127.0.0.1", free_port(), clock=SteppedClock(0), journal_dir=tmp_path) as publisher:
        publisher.publish([outgoing(1), outgoing(2)])  # nobody listens there
        assert not publisher.wait_receipted(0.05)
        assert publisher.unreceipted == 2
    with (
        Platform(broker_port) as platform,
        DevicePublisher("127.0.0.1", broker_port, clock=SteppedClock(0), journal_dir=tmp_path) as publisher,
    ):
        assert publisher.wait_receipted(WAIT_S)
        assert platform.payloads == [outgoing(1).payload, outgoing(2).payload]
    assert not list(read_journal(tmp_path / f"{ENTERPRISE}.dev-1.jsonl"))


def test_a_broker_that_comes_later_gets_everything():
    port = free_port()
    with DevicePublisher("127.0.0.1", port, clock=SteppedClock(0), patience=HASTY) as publisher:
        publisher.publish([outgoing(1)])
        with Broker(port=port, listen="127.0.0.1"), Platform(port) as platform:
            assert publisher.wait_connected(WAIT_S)
            assert publisher.wait_receipted(WAIT_S)
            assert set(platform.payloads) == {outgoing(1).payload}


def test_publish_waits_while_too_much_is_in_flight_and_ends_when_it_is_closed():
    publisher = DevicePublisher("127.0.0.1", free_port(), clock=SteppedClock(0), in_flight=2)
    sent = []
    worker = threading.Thread(target=lambda: sent.append(publisher.publish(outgoing(n) for n in range(9))))
    worker.start()
    deadline = time.monotonic() + WAIT_S
    while publisher.unreceipted < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    publisher.close()
    worker.join(WAIT_S)
    assert sent == [2]


def test_the_wait_for_a_receipt_doubles_up_to_its_limit():
    keep = Keep(None, Patience(first_s=60, max_s=200))
    assert keep.put(outgoing(1), now=0.0)
    assert not keep.put(outgoing(1), now=10.0)
    due = [now for now in range(0, 1000, 10) if keep.due(now)]
    assert due == [60, 180, 380, 580, 780, 980]


def test_a_receipt_names_a_message_by_its_digest_or_by_its_number():
    keep = Keep(None, Patience())
    for number in (1, 2, 3):
        keep.put(outgoing(number), now=0.0)
    assert keep.settle(MessageReceipt(payload_digest(outgoing(2).payload)))
    assert keep.settle(MessageReceipt("", seq=3))
    assert not keep.settle(MessageReceipt("", seq=3))
    assert keep.waiting() == [outgoing(1)]


def test_a_torn_line_of_a_journal_costs_nothing_that_was_sent(tmp_path):
    journal = tmp_path / "a.jsonl"
    keep = Keep(journal, Patience())
    for number in (1, 2):
        keep.put(outgoing(number), now=0.0)
    keep.settle(MessageReceipt(payload_digest(outgoing(1).payload)))
    keep.close()
    journal.write_bytes(journal.read_bytes() + b'{"kept":{"enterp')
    assert list(read_journal(journal)) == [outgoing(2)]
    again = Keep(journal, Patience())
    assert again.settle(MessageReceipt(payload_digest(outgoing(2).payload)))
    again.close()
    assert journal.read_bytes() == b""
