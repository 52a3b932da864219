"""Publishing: devices on MQTT that keep every message until its receipt (docs/wire.md).

paho-mqtt appears here and in ingest/subscriber.py only.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from nengshao.ports import Clock
from nengshao.wire import COMMAND, RECEIPT, STATUS, State, Topic, decode_receipt, encode_status, parse_topic
from simulators.archive import Answers, Archive
from simulators.keeping import Keep, Patience, ReceiptCounts
from simulators.stream import Outgoing

_LOG: Final = logging.getLogger(__name__)

_PROTOCOLS: Final = {"3.1.1": MQTTProtocolVersion.MQTTv311, "5": MQTTProtocolVersion.MQTTv5}

Device = tuple[str, str]
"""(enterprise, device)."""


class DevicePublisher:
    """Devices that publish QoS 1, hold each message until its receipt, and send it again until then.

    One connection per device, with a retained birth and a last will of its own; `shared`: one connection for
    all (faster; only a clean close then says that the devices are gone, since a connection has one will).
    `in_flight`: most messages that may wait for receipts before `publish` waits. `journal_dir`: messages
    outlive the process there, and are sent again by the next publisher of that folder. `archive`: what the
    devices keep for good, to answer resend requests from, so many messages a second at most; the publisher
    closes it. Without one they do not listen to commands.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        clock: Clock,
        shared: bool = False,
        in_flight: int = 2000,
        patience: Patience | None = None,
        journal_dir: Path | None = None,
        credentials: tuple[str, str] | None = None,
        client_prefix: str = "device",
        protocol: str = "3.1.1",
        archive: Archive | None = None,
        answers_per_second: float = 50.0,
    ) -> None:
        self._address, self._credentials, self._prefix = (host, port), credentials, client_prefix
        self.protocol = _PROTOCOLS[protocol]
        self._clock, self._shared, self._in_flight = clock, shared, in_flight
        self._patience = patience or Patience()
        self._journal_dir, self._archive = journal_dir, archive
        self._answers = Answers(archive, answers_per_second) if archive else None
        self._changed = threading.Condition()
        self._closing = False
        self._keeps: dict[Device, Keep] = {}
        self._connections: dict[Device | None, _Connection] = {}
        self.receipts = ReceiptCounts()
        self._open(journaled_devices(journal_dir) if journal_dir else ())
        self._resender = threading.Thread(target=self._resend, name="publisher-resend", daemon=True)
        self._resender.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -------------------------------------------------------------------------------------- sending

    def publish(self, messages: Iterable[Outgoing]) -> int:
        """Send messages in order, waiting while too many have no receipt; how many were sent.

        Fewer than given only if the publisher is closed meanwhile. A message that is kept is sent, now or
        when the broker can be reached.
        """
        sent = 0
        for message in messages:
            connection = self._connection_of((message.enterprise, message.device))
            if self._archive is not None:
                self._archive.put(message)
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._kept() < self._in_flight)
                if self._closing:
                    break
                self._keeps[message.enterprise, message.device].put(message, time.monotonic())
                is_up = connection.is_up.is_set()  # if not, the connection will send it when it is
            if is_up:
                connection.send(message)
            sent += 1
        return sent

    def lose(self, messages: Iterable[Outgoing]) -> None:
        """Let messages be made and get lost behind the device, which believes them delivered: they are in its
        archive and nowhere else. So it goes with a collector that forgets at the PUBACK.
        """
        for message in messages:
            self._connection_of((message.enterprise, message.device))
            if self._archive is not None:
                self._archive.put(message)

    @property
    def unreceipted(self) -> int:
        """Messages that wait for their receipt."""
        with self._changed:
            return self._kept()

    def wait_receipted(self, timeout: float) -> bool:
        """Whether every message has its receipt, waiting for them up to `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._kept(), timeout)

    def wait_connected(self, timeout: float) -> bool:
        """Whether every connection is up, waiting for them up to `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._changed:
            connections = list(self._connections.values())
        return all(c.is_up.wait(max(0.0, deadline - time.monotonic())) for c in connections)

    def close(self) -> None:
        """Say that the devices go offline, and disconnect. What has no receipt stays in the journals."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            connections = list(self._connections.values())
        self._resender.join()
        for connection in connections:
            connection.close()
        with self._changed:
            for keep in self._keeps.values():
                keep.close()
        if self._archive is not None:
            self._archive.close()

    def _kept(self) -> int:
        return sum(len(keep) for keep in self._keeps.values())

    def _open(self, devices: Iterable[Device]) -> None:
        for device in devices:
            self._connection_of(device)

    def _connection_of(self, device: Device) -> _Connection:
        """The connection that serves a device; made, with what its journal holds, when first needed."""
        owner = None if self._shared else device
        with self._changed:
            is_new = device not in self._keeps
            if is_new:
                self._keeps[device] = self._keep_of(device)
            connection = self._connections.get(owner)
            if connection is None:
                connection = self._connections[owner] = _Connection(self, device)
        if is_new:
            connection.serve(device)
        return connection

    def _keep_of(self, device: Device) -> Keep:
        journal = self._journal_dir / f"{device[0]}.{device[1]}.jsonl" if self._journal_dir else None
        return Keep(journal, self._patience)

    def _resend(self) -> None:
        """Look for overdue receipts until closed, four times per shortest wait."""
        every = min(1.0, self._patience.first_s / 4)
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._closing, every):
                    return
                now = time.monotonic()
                due = [
                    (self._connections[None if self._shared else device], keep.due(now))
                    for device, keep in self._keeps.items()
                ]
            for connection, messages in due:
                for message in messages:
                    connection.send(message)
            self._answer(now)

    def _answer(self, now: float) -> None:
        """Send once more what was asked for. Like everything sent it is held until its receipt."""
        if self._answers is None:
            return
        with self._changed:
            room = self._in_flight - self._kept()
            messages = self._answers.due(now, room)
            for message in messages:
                self._keeps[message.enterprise, message.device].put(message, now)
        for message in messages:
            self._connection_of((message.enterprise, message.device)).send(message)

    # ------------------------------------------------------------------------ told by connections

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the broker."""
        return self._address

    @property
    def credentials(self) -> tuple[str, str] | None:
        """User name and password for the broker."""
        return self._credentials

    def client_id(self, device: Device) -> str:
        """The MQTT client id of the connection that was made for a device."""
        return f"{self._prefix}-{device[0]}-{device[1]}"

    def status(self, device: Device, state: State) -> tuple[str, bytes]:
        """Topic and payload of a device's status; a last will cannot know its time."""
        at = self._clock.now() if state == "online" else None
        return str(Topic(*device, STATUS)), encode_status(device[1], state, at)

    def backlog(self, devices: Sequence[Device], is_up: threading.Event) -> list[Outgoing]:
        """What these devices have no receipt for: sent again on every new connection, which `is_up` now.

        Both under one lock, so that a message is sent either by this or by `publish`.
        """
        with self._changed:
            is_up.set()
            now = time.monotonic()
            messages = []
            for device in devices:
                self._keeps[device].postpone(now)
                messages += self._keeps[device].waiting()
        return messages

    @property
    def hears(self) -> tuple[str, ...]:
        """What a device listens to."""
        return (RECEIPT,) if self._answers is None else (RECEIPT, COMMAND)

    def take_command(self, topic: str, payload: bytes) -> None:
        """List a resend request to one of our devices for an answer; pass over anything else."""
        place = parse_topic(topic)
        with self._changed:
            is_ours = place is not None and (place.enterprise, place.device) in self._keeps
            if (
                place is None
                or self._answers is None
                or not is_ours
                or not self._answers.take(place, payload)
            ):
                _LOG.warning("passed over a command on %s", topic)

    def take_receipt(self, topic: str, payload: bytes) -> None:
        """Let go of the messages that a receipt names, and count what it says of them."""
        place = parse_topic(topic)
        if place is None:
            return
        try:
            receipt = decode_receipt(payload)
        except msgspec.DecodeError:
            _LOG.warning("unreadable receipt on %s", topic)
            return
        with self._changed:
            keep = self._keeps.get((place.enterprise, place.device))
            for message in receipt.messages:
                self.receipts.add(message)
                if keep is not None:
                    keep.settle(message)
            self._changed.notify_all()


class _Connection:
    """A paho client and the devices that it serves; its client id and last will are the first's.

    No callback signature leaves this class.
    """

    def __init__(self, publisher: DevicePublisher, first: Device) -> None:
        self._publisher = publisher
        self._devices: list[Device] = []
        self._serving = threading.Lock()
        self.is_up = threading.Event()
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, publisher.client_id(first), protocol=publisher.protocol
        )
        if publisher.credentials is not None:
            client.username_pw_set(*publisher.credentials)
        topic, payload = publisher.status(first, "offline")
        client.will_set(topic, payload, qos=1, retain=True)
        client.max_inflight_messages_set(100)
        client.reconnect_delay_set(1, 4)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_message = self._on_message
        self._client = client
        client.connect_async(*publisher.address)
        client.loop_start()

    def serve(self, device: Device) -> None:
        """Serve one more device."""
        with self._serving:
            self._devices.append(device)
            if self.is_up.is_set():
                self._introduce(device)
                self._send_all(self._publisher.backlog([device], self.is_up))

    def send(self, message: Outgoing) -> None:
        """Send now if the connection is up; else the new connection will."""
        if self.is_up.is_set():
            self._client.publish(message.topic, message.payload, qos=1)

    def close(self) -> None:
        """Say goodbye for every device and disconnect."""
        if self.is_up.is_set():
            goodbyes = [
                self._client.publish(*self._publisher.status(device, "offline"), qos=1, retain=True)
                for device in self._devices
            ]
            for goodbye in goodbyes:
                goodbye.wait_for_publish(2.0)
        self._client.disconnect()
        self._client.loop_stop()

    def _send_all(self, messages: Sequence[Outgoing]) -> None:
        for message in messages:
            self.send(message)

    def _introduce(self, device: Device) -> None:
        """Subscribe before anything is sent, so that no receipt is missed; then the retained birth."""
        self._client.subscribe([(str(Topic(*device, leaf)), 1) for leaf in self._publisher.hears])
        self._client.publish(*self._publisher.status(device, "online"), qos=1, retain=True)

    def _on_connect(self, _client: mqtt.Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            _LOG.warning("broker refuses the connection: %s", code)
            return
        with self._serving:
            for device in self._devices:
                self._introduce(device)
            self._send_all(self._publisher.backlog(self._devices, self.is_up))

    def _on_disconnect(
        self, _client: mqtt.Client, _data: Any, _flags: Any, _code: Any, _properties: Any
    ) -> None:
        self.is_up.clear()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        is_command = message.topic.endswith(f"/{COMMAND}")
        take = self._publisher.take_command if is_command else self._publisher.take_receipt
        take(message.topic, bytes(message.payload))


def journaled_devices(folder: Path) -> list[Device]:
    """The devices that have a journal in a folder."""
    names: Mapping[str, Path] = {path.stem: path for path in sorted(folder.glob("*.jsonl"))}
    return [(enterprise, device) for enterprise, _, device in (name.partition(".") for name in names)]
