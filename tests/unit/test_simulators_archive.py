"""What simulated devices keep, and how they answer when they are asked for it again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from nengshao.clock import SteppedClock
from nengshao.domain.time import DAY_S, iso_text
from nengshao.stage import embedded_broker, free_port
from nengshao.wire import Topic
from nengshao.wire.commands import ResendPoint, encode_resend
from simulators.archive import KEPT_DAYS, Answers, Archive
from simulators.publisher import DevicePublisher
from simulators.stream import Outgoing
from tests.support import plants

Q, START = plants.CADENCE_S, plants.START
E = plants.credit_code(1)
HERE = Topic(E, plants.DEVICE, "command")
METER = ResendPoint(plants.ELECTRICITY, 0, "00")


def made(quarter: int, *, device: str = plants.DEVICE, meter: str = "00", reads: int = 1) -> Outgoing:
    """A message with the reads of so many quarters, the last of them this one."""
    ts = START + quarter * Q
    items = [plants.item(ts - n * Q, float(quarter - n), meter=meter, upload=ts + 9) for n in range(reads)]
    sent = plants.message(1, items, quarter, device)
    return Outgoing(E, device, ts + 9, sent.topic, sent.payload, quarter)


def command(first: int, end: int, *points: ResendPoint, number: int = 1) -> bytes:
    """A request for the reads of the quarters [first, end)."""
    return encode_resend(number, iso_text(START + first * Q), iso_text(START + end * Q), points or (METER,))


def answered(archive: Archive, *commands: bytes, topic: Topic = HERE) -> list[Outgoing]:
    """Everything that comes of these commands, at leisure."""
    answers, messages = Answers(archive, per_second=1000), list[Outgoing]()
    assert [answers.take(topic, one) for one in commands] == [True] * len(commands)
    for second in range(1, 50):
        messages += answers.due(float(second), 1000)
    return messages


@pytest.fixture(params=["memory", "file"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Archive:
    return Archive(None if request.param == "memory" else tmp_path / "archive.db")


def test_what_is_asked_for_comes_as_the_bytes_of_then_and_in_their_order(archive: Archive) -> None:
    sent = [made(n) for n in range(1200)]
    for one in sent:
        archive.put(one)
    assert answered(archive, command(100, 104)) == sent[100:104]
    assert answered(archive, command(0, 1200)) == sent  # more than is read at once
    assert answered(archive, command(5, 6), command(3, 4, number=2)) == [sent[5], sent[3]]


def test_a_message_is_sent_whole_if_it_holds_one_of_the_readings(archive: Archive) -> None:
    for one in (made(3, reads=4), made(7, reads=4)):
        archive.put(one)
    assert [one.seq for one in answered(archive, command(2, 3))] == [3]
    assert [one.seq for one in answered(archive, command(3, 5))] == [3, 7]
    assert answered(archive, command(8, 99)) == []


def test_other_points_devices_and_enterprises_are_not_sent(archive: Archive) -> None:
    for one in (made(1), made(1, device="d2"), made(1, meter="02")):
        archive.put(one)
    assert answered(archive, command(0, 9)) == [made(1)]
    assert answered(archive, command(0, 9, ResendPoint(plants.ELECTRICITY, 0, "02"))) == [made(1, meter="02")]
    assert answered(archive, command(0, 9, ResendPoint(plants.ELECTRICITY, 1))) == []
    assert (
        answered(archive, command(0, 9), topic=Topic(plants.credit_code(2), plants.DEVICE, "command")) == []
    )


def test_half_a_year_is_kept_and_no_more(archive: Archive) -> None:
    day = DAY_S // Q
    for quarter in (0, day, (KEPT_DAYS + 1) * day):
        archive.put(made(quarter))
    archive.put(Outgoing(E, plants.DEVICE, START, made(1).topic, b'{"data":', 1))  # garbled: of no use
    assert [one.seq for one in answered(archive, command(0, 10**5))] == [day, (KEPT_DAYS + 1) * day]


def test_what_a_device_has_kept_outlives_its_process(tmp_path: Path) -> None:
    first = Archive(tmp_path / "archive.db")
    first.put(made(1))
    first.close()
    again = Archive(tmp_path / "archive.db")
    again.put(made(1))
    assert answered(again, command(0, 9)) == [made(1)]


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b'{"command":"reboot"}', command(1, 2).replace(b"resend", b"erase!"), command(2, 2),
     command(1, 2).replace(b"2025", b"20x5"), command(1, 2).replace(b'"id":1', b'"id":"1"'),
     encode_resend(1, iso_text(START), iso_text(START + 1), [])],
)  # fmt: skip
def test_what_is_no_request_is_passed_over(payload: bytes) -> None:
    assert not Answers(Archive(), 10).take(HERE, payload)


def test_answers_keep_their_pace_and_no_more_requests_wait_than_so_many() -> None:
    archive = Archive()
    for quarter in range(100):
        archive.put(made(quarter))
    answers = Answers(archive, per_second=10)
    assert answers.take(HERE, command(0, 100))
    assert answers.take(HERE, command(0, 100))  # asked again meanwhile: it is the same request
    counts = [len(answers.due(50.0 + tick, 1000)) for tick in (0.0, 0.5, 1.0, 5.0, 5.05)]
    assert counts == [10, 5, 5, 10, 0]
    assert len(answers.due(9.0 + 50, 3)) == 3  # no more than there is room for
    taken = [answers.take(HERE, command(0, 9, number=n)) for n in range(2, 20)]
    assert taken == [True] * 15 + [False] * 3


def test_a_device_answers_over_the_broker_and_only_what_is_asked_of_it(tmp_path: Path) -> None:
    port = free_port()
    heard: list[bytes] = []
    with embedded_broker(port):
        platform = mqtt.Client(CallbackAPIVersion.VERSION2, "platform")
        platform.on_message = lambda _client, _data, message: heard.append(message.payload)
        listening = threading.Event()
        platform.on_subscribe = lambda *_: listening.set()
        platform.connect("127.0.0.1", port)
        platform.loop_start()
        platform.subscribe("nhjc/v1/+/+/data", qos=1)
        assert listening.wait(8.0)
        clock, archive = SteppedClock(START), Archive(tmp_path / "archive.db")
        with DevicePublisher("127.0.0.1", port, clock=clock, archive=archive) as devices:
            devices.lose(made(n) for n in range(4))
            devices.publish([made(4)])
            assert devices.wait_connected(8.0)
            within(lambda: heard == [made(4).payload])
            for topic in (Topic(E, "d2", "command"), HERE):
                platform.publish(str(topic), command(1, 3), qos=1)
            platform.publish(str(HERE), b"not a command", qos=1)
            within(lambda: len(heard) >= 3)
            time.sleep(0.3)
            assert heard == [made(n).payload for n in (4, 1, 2)]
            assert devices.unreceipted == 3
        platform.disconnect()
        platform.loop_stop()


def within(is_so: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10.0
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)
