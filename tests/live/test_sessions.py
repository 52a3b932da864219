"""Sessions at a real Mosquitto: how one knows that a queue is empty, and how a session ends."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from ingest.subscriber import Subscriber
from nengshao.settings import MqttSettings
from tests.servers.mosquitto import Mosquitto
from tests.support.order import has_session

pytestmark = pytest.mark.live

MESSAGES = 3_000
IN_FLIGHT = 40


@pytest.fixture
def code() -> str:
    """An enterprise that no other test speaks for: sessions outlive their test."""
    return f"T{uuid.uuid4().hex[:17].upper()}"


@pytest.fixture(params=["5", "3.1.1"])
def session(request: pytest.FixtureRequest, mosquitto: Mosquitto, code: str) -> Callable[[], Subscriber]:
    """Makes a client of one and the same session."""
    settings = MqttSettings(
        host=mosquitto.host, port=mosquitto.port, protocol=request.param, receive_maximum=IN_FLIGHT
    )
    return lambda: Subscriber(settings, f"session-{code}")


def publish(mosquitto: Mosquitto, code: str, first: int, count: int) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(count)
    client.connect(mosquitto.host, mosquitto.port)
    client.loop_start()
    sent = [client.publish(f"nhjc/v1/{code}/d1/data", str(n), qos=1) for n in range(first, first + count)]
    for one in sent:
        one.wait_for_publish(30)
    client.disconnect()
    client.loop_stop()


def drained(subscriber: Subscriber) -> list[int]:
    """What comes until nothing is unacknowledged after an unsubscription."""
    found: list[int] = []
    while True:
        subscriber.unsubscribe()
        if not subscriber.unacknowledged:
            return found
        deliveries = subscriber.take(0.01)
        found += [int(delivery.message.payload) for delivery in deliveries]
        subscriber.ack(deliveries)


def test_a_queue_is_empty_once_all_is_acknowledged_and_the_broker_has_answered(
    mosquitto: Mosquitto, session: Callable[[], Subscriber], code: str
) -> None:
    filters = [f"nhjc/v1/{code}/+/data"]
    subscriber = session()
    subscriber.connect(filters)
    subscriber.disconnect()
    publish(mosquitto, code, 0, MESSAGES)
    subscriber.connect(filters)
    assert drained(subscriber) == list(range(MESSAGES))
    publish(mosquitto, code, MESSAGES, 10)  # nobody subscribes
    assert subscriber.take(0.3) == []
    subscriber.disconnect()
    again = session()
    again.connect(())
    assert again.take(0.3) == []
    again.end_session()


def test_a_session_that_is_ended_keeps_nothing(
    mosquitto: Mosquitto, session: Callable[[], Subscriber], code: str
) -> None:
    subscriber = session()
    subscriber.connect([f"nhjc/v1/{code}/+/data"])
    subscriber.disconnect()
    publish(mosquitto, code, 0, 10)
    subscriber.end_session()
    assert not has_session(mosquitto, f"session-{code}")


def test_a_partition_without_enterprises_has_a_session_all_the_same(
    mosquitto: Mosquitto, session: Callable[[], Subscriber], code: str
) -> None:
    subscriber = session()
    subscriber.connect(())
    assert subscriber.is_connected
    subscriber.unsubscribe()
    subscriber.disconnect()
    assert has_session(mosquitto, f"session-{code}")


def test_what_is_held_in_memory_is_bounded_whatever_the_broker_sends(mosquitto: Mosquitto, code: str) -> None:
    # Mosquitto 2.0.11 sends on after the first acknowledgement, beyond what it may have in flight.
    settings = MqttSettings(
        host=mosquitto.host, port=mosquitto.port, max_unacknowledged_bytes=100, keepalive_s=3
    )
    subscriber = Subscriber(settings, f"bounded-{code}")
    subscriber.connect([f"nhjc/v1/{code}/+/data"])
    subscriber.disconnect()
    publish(mosquitto, code, 0, 20_000)  # several receives, and more than the connection's own buffers hold
    subscriber.connect([f"nhjc/v1/{code}/+/data"])
    first = subscriber.take(5.0)
    subscriber.ack(first[:1])
    time.sleep(7.0)  # longer than the keep-alive: who does not read is not taken for dead
    assert subscriber.is_connected
    assert subscriber.unacknowledged < 10_000
    subscriber.ack(first[1:])
    found = list(first)
    while len(found) < 20_000 and (more := subscriber.take(20.0)):
        subscriber.ack(more)
        found += more
    numbers = [int(delivery.message.payload) for delivery in found]
    assert sorted(numbers) == list(range(20_000))
    subscriber.end_session()
