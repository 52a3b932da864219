"""The broker's side of ingest: the only place here that knows paho.

A persistent session at QoS 1 with manual acknowledgement: the broker keeps a message until the books have
it. paho's own reconnect is off; the worker connects again only after it has renewed its lease, because two
clients of one id that reconnect by themselves throw each other out for ever.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ingest.buffered_client import BufferedClient, Published
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


@dataclass(slots=True)
class _Opening:
    """How far a connection has come; of its network thread."""

    connection: int
    answers: queue.SimpleQueue[str]  # "": good; else the problem
    is_open: bool = False


class Subscriber:
    """One MQTT session under a stable client id."""

    def __init__(self, settings: MqttSettings, client_id: str) -> None:
        self._settings, self._client_id = settings, client_id
        self._filters: Sequence[str] = _ALL
        self._queue: queue.SimpleQueue[list[Delivery]] = queue.SimpleQueue()
        # Each is counted up by one thread alone.
        self._received = self._acknowledged = self._received_bytes = self._acknowledged_bytes = 0
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._client: BufferedClient | None = None
        self._connection = 0
        self._is_connected = self._is_subscribed = self._is_leaving = False

    @property
    def is_connected(self) -> bool:
        """Whether the session is up: what the broker kept for us is coming."""
        return self._is_connected

    @property
    def is_subscribed(self) -> bool:
        """Whether the broker has confirmed the subscription too: from now on it keeps what comes."""
        return self._is_connected and self._is_subscribed

    @property
    def has_more(self) -> bool:
        """Whether messages wait to be taken."""
        return not self._queue.empty()

    @property
    def unacknowledged(self) -> int:
        """Messages that came on this connection and are neither in the books nor on our disk."""
        return self._received - self._acknowledged

    def connect(self, filters: Sequence[str] | None = None, *, is_clean: bool = False) -> None:
        """Open the session and subscribe; the broker then sends what it kept for us.

        `filters`: the topics of the partition's own enterprises; None: everybody's, by wildcard. `is_clean`:
        the broker forgets what it kept, and forgets the session with the connection.
        Raises: StoreUnavailable when the broker cannot be reached or refuses us.
        """
        self.disconnect()
        self._filters = _ALL if filters is None else filters
        self._connection += 1
        client = self._client = self._new_client(self._connection, is_clean=is_clean)
        try:
            code = client.connect(
                self._settings.host,
                self._settings.port,
                keepalive=self._settings.keepalive_s,
                **self._session_arguments(is_clean=is_clean),
            )
        except (OSError, ValueError) as exc:
            self._client = None
            raise StoreUnavailable(f"broker {self._settings.host}:{self._settings.port}: {exc}") from exc
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise StoreUnavailable(f"broker: {code.name}")
        client.loop_start()
        self._wait_answered()

    def unsubscribe(self) -> None:
        """Have nothing more put into our queue at the broker. If all that has come when this returns has been
        acknowledged before, the queue is empty.

        For a broker takes a client's packets in their order, and sends what an acknowledgement lets it send
        before it answers the next one. Raises: StoreUnavailable.
        """
        if self._client is None or not self._is_connected:
            raise StoreUnavailable("broker: not connected")
        if self._filters:
            self._is_leaving = True  # the answer comes behind all that the broker sends before it
            self._client.unsubscribe(list(self._filters))
            self._wait_answered()
            self._is_leaving = False

    def end_session(self) -> None:
        """Have the broker forget the session with all that it keeps for it. Raises: StoreUnavailable."""
        self.connect((), is_clean=True)
        self.disconnect()

    def _wait_answered(self) -> None:
        try:
            problem = self._answers.get(timeout=_CONNECT_TIMEOUT_S)
        except queue.Empty:
            problem = "no answer"
        if problem:
            self.disconnect()
            raise StoreUnavailable(f"broker: {problem}")

    def take(self, timeout_s: float) -> list[Delivery]:
        """The next messages, those that came together; waiting up to `timeout_s` for them. None: empty."""
        try:
            deliveries = self._queue.get(timeout=timeout_s) if timeout_s > 0 else self._queue.get_nowait()
        except queue.Empty:
            return []
        return deliveries

    def ack(self, deliveries: Iterable[Delivery]) -> None:
        """Let the broker forget these. Those of an earlier connection are passed over:
        it sends them again.
        """
        client = self._client
        if client is not None:
            current = [delivery for delivery in deliveries if delivery.connection == self._connection]
            client.ack_all([d.mid for d in current])
            self._acknowledged += len(current)
            self._acknowledged_bytes += sum(len(d.message.payload) for d in current)

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send at QoS 1; False if there is no connection (a device then asks again by resending)."""
        client = self._client
        if client is None or not self._is_connected:
            return False
        return client.publish(topic, payload, qos=1).rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def disconnect(self) -> None:
        """Close the connection; the session, and what is not acknowledged, stays with the broker."""
        client, self._client, self._is_connected = self._client, None, False
        self._is_subscribed = self._is_leaving = False
        if client is not None:
            client.disconnect()
            client.loop_stop()
        self._queue = queue.SimpleQueue()
        self._received = self._acknowledged = self._received_bytes = self._acknowledged_bytes = 0
        self._answers = queue.SimpleQueue()

    def _new_client(self, connection: int, *, is_clean: bool) -> BufferedClient:
        is_v5 = self._settings.protocol == "5"
        client = BufferedClient(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=None if is_v5 else is_clean,
            userdata=_Opening(connection, self._answers),
            protocol=MQTTProtocolVersion.MQTTv5 if is_v5 else MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        client.on_disconnect = self._on_disconnect
        client.on_published = self._receiver(connection)
        client.may_read = self._has_room
        client.max_queued_messages_set(0)
        if self._settings.username is not None:
            client.username_pw_set(self._settings.username, _secret(self._settings.password_file))
        if self._settings.ca_file is not None:
            client.tls_set(ca_certs=str(self._settings.ca_file))
        return client

    def _receiver(self, connection: int) -> Callable[[Sequence[Published]], None]:
        """Puts what comes on this connection into this connection's queue, the next one has its own."""
        arrivals = self._queue

        def receive(published: Sequence[Published]) -> None:
            arrivals.put([Delivery(Message(p.topic, p.payload), p.mid, connection) for p in published])
            if connection == self._connection:
                self._received += len(published)
                self._received_bytes += sum(len(p.payload) for p in published)

        return receive

    def _has_room(self) -> bool:
        """Whether more may be held in memory: a slow store slows the broker, it does not fill us."""
        held = self._received_bytes - self._acknowledged_bytes
        return self._is_leaving or held < self._settings.max_unacknowledged_bytes

    def _session_arguments(self, *, is_clean: bool) -> dict[str, Any]:
        if self._settings.protocol != "5":
            return {}
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho has no types here
        properties.SessionExpiryInterval = 0 if is_clean else self._settings.session_expiry_s
        properties.ReceiveMaximum = self._settings.receive_maximum
        return {"clean_start": is_clean, "properties": properties}

    def _on_connect(
        self, client: Client, opening: _Opening, flags: ConnectFlags, reason: ReasonCode, properties: Any
    ) -> None:
        if reason.is_failure:
            return opening.answers.put(str(reason))
        _LOG.info("connected to the broker, session %s", "resumed" if flags.session_present else "new")
        if self._filters:
            client.subscribe([(topic_filter, 1) for topic_filter in self._filters])
        else:  # a partition without enterprises; an empty SUBSCRIBE is against the protocol
            self._is_subscribed = True
        # Of a session that it kept, a broker may confirm the subscription only after its messages.
        if flags.session_present or not self._filters:
            self._open(opening)
        return None

    def _on_subscribe(
        self, client: Client, opening: _Opening, mid: int, reasons: list[ReasonCode], properties: Any
    ) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            self._is_connected = False
            return opening.answers.put("subscription refused: " + ", ".join(refused))
        self._is_subscribed = True
        return self._open(opening)

    def _open(self, opening: _Opening) -> None:
        """The session is up: let who opened it go on. Only this thread says so, and when it has ended."""
        if not opening.is_open and opening.connection == self._connection:
            opening.is_open = self._is_connected = True
            opening.answers.put("")

    @staticmethod
    def _on_unsubscribe(client: Client, opening: _Opening, mid: int, reasons: Any, properties: Any) -> None:
        opening.answers.put("")

    def _on_disconnect(
        self, client: Client, opening: _Opening, flags: DisconnectFlags, reason: ReasonCode, properties: Any
    ) -> None:
        if opening.connection == self._connection:
            self._is_connected = False
            opening.answers.put(str(reason))


def _secret(path: Path | None) -> str | None:
    return None if path is None else read_secret(path)
