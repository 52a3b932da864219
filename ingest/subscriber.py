"""The broker's side of ingest: the only place here that knows paho.

A persistent session at QoS 1 with manual acknowledgement: the broker keeps a message until the books have
it. paho's own reconnect is off; the worker connects again only after it has renewed its lease, because two
clients of one id that reconnect by themselves throw each other out for ever.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from nengshao.domain.errors import StoreUnavailable
from nengshao.settings import MqttSettings, read_secret
from nengshao.wire import DATA, ROOT, STATUS, Message

_LOG: Final = logging.getLogger(__name__)
_CONNECT_TIMEOUT_S: Final = 10.0
_ALL: Final = (f"{ROOT}/+/+/{DATA}", f"{ROOT}/+/+/{STATUS}")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as the broker handed it over. Acknowledged only on the connection it came on."""

    message: Message
    mid: int
    connection: int


class Subscriber:
    """One MQTT session under a stable client id."""

    def __init__(self, settings: MqttSettings, client_id: str) -> None:
        self._settings, self._client_id = settings, client_id
        self._filters: Sequence[str] = _ALL
        self._queue: queue.SimpleQueue[Delivery | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._client: Client | None = None
        self._connection = 0
        self._is_connected = False

    @property
    def is_connected(self) -> bool:
        """Whether the session is up and subscribed."""
        return self._is_connected

    @property
    def waiting(self) -> int:
        """Messages received and not yet taken by the worker."""
        return self._queue.qsize()

    def connect(self, filters: Sequence[str] | None = None) -> None:
        """Open the session and subscribe; the broker then sends what it kept for us.

        `filters`: the topics of the partition's own enterprises; None: everybody's, by wildcard.
        Raises: StoreUnavailable when the broker cannot be reached or refuses us.
        """
        self.disconnect()
        self._filters = _ALL if filters is None else filters
        self._connection += 1
        client = self._client = self._new_client(self._connection)
        try:
            code = client.connect(
                self._settings.host,
                self._settings.port,
                keepalive=self._settings.keepalive_s,
                **self._session_arguments(),
            )
        except (OSError, ValueError) as exc:
            self._client = None
            raise StoreUnavailable(f"broker {self._settings.host}:{self._settings.port}: {exc}") from exc
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise StoreUnavailable(f"broker: {code.name}")
        client.loop_start()
        self._wait_subscribed()

    def _wait_subscribed(self) -> None:
        try:
            problem = self._answers.get(timeout=_CONNECT_TIMEOUT_S)
        except queue.Empty:
            problem = "no answer"
        if problem:
            self.disconnect()
            raise StoreUnavailable(f"broker: {problem}")
        self._is_connected = True

    def take(self, timeout_s: float) -> Delivery | None:
        """The next message, waiting up to `timeout_s` for it."""
        try:
            return self._queue.get(timeout=timeout_s) if timeout_s > 0 else self._queue.get_nowait()
        except queue.Empty:
            return None

    def ack(self, deliveries: Iterable[Delivery]) -> None:
        """Let the broker forget these. Those of an earlier connection are passed over:
        it sends them again.
        """
        client = self._client
        for delivery in deliveries:
            if client is not None and delivery.connection == self._connection:
                client.ack(delivery.mid, 1)

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send at QoS 1; False if there is no connection (a device then asks again by resending)."""
        client = self._client
        if client is None or not self._is_connected:
            return False
        return client.publish(topic, payload, qos=1).rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def disconnect(self) -> None:
        """Close the connection; the session, and what is not acknowledged, stays with the broker."""
        client, self._client, self._is_connected = self._client, None, False
        if client is not None:
            client.disconnect()
            client.loop_stop()
        self._queue = queue.SimpleQueue()
        self._answers = queue.SimpleQueue()

    def _new_client(self, connection: int) -> Client:
        is_v5 = self._settings.protocol == "5"
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=None if is_v5 else False,
            userdata=(connection, self._queue, self._answers),
            protocol=MQTTProtocolVersion.MQTTv5 if is_v5 else MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = _on_message
        client.max_queued_messages_set(0)
        if self._settings.username is not None:
            client.username_pw_set(self._settings.username, _secret(self._settings.password_file))
        if self._settings.ca_file is not None:
            client.tls_set(ca_certs=str(self._settings.ca_file))
        return client

    def _session_arguments(self) -> dict[str, Any]:
        if self._settings.protocol != "5":
            return {}
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho has no types here
        properties.SessionExpiryInterval = self._settings.session_expiry_s
        properties.ReceiveMaximum = self._settings.receive_maximum
        return {"clean_start": False, "properties": properties}

    def _on_connect(
        self, client: Client, userdata: Any, flags: ConnectFlags, reason: ReasonCode, properties: Any
    ) -> None:
        if reason.is_failure:
            userdata[2].put(str(reason))
            return
        _LOG.info("connected to the broker, session %s", "resumed" if flags.session_present else "new")
        client.subscribe([(topic_filter, 1) for topic_filter in self._filters])

    @staticmethod
    def _on_subscribe(
        client: Client, userdata: Any, mid: int, reasons: list[ReasonCode], properties: Any
    ) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        userdata[2].put("subscription refused: " + ", ".join(refused) if refused else "")

    def _on_disconnect(
        self, client: Client, userdata: Any, flags: DisconnectFlags, reason: ReasonCode, properties: Any
    ) -> None:
        if userdata[0] == self._connection:
            self._is_connected = False
            userdata[2].put(str(reason))


def _on_message(client: Client, userdata: Any, message: MQTTMessage) -> None:
    try:
        topic = message.topic
    except UnicodeDecodeError:
        topic = message._topic.decode(errors="replace")
    userdata[1].put(Delivery(Message(topic, bytes(message.payload)), message.mid, userdata[0]))


def _secret(path: Path | None) -> str | None:
    return None if path is None else read_secret(path)
