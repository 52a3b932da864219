"""paho's client, reading ahead: what the broker sends by the thousands is taken out of one buffer.

paho reads a packet by receives of one byte, waits in `select` before each, and an acknowledgement from
another thread wakes its loop. After an outage messages come by the tens of thousands a second. So here one
receive fetches what there is; PUBLISH packets that lie whole in it are handed on together, everything else
goes paho's way; and a batch's acknowledgements are one write.

Packet format: MQTT 3.1.1 §2.2, §3.3; MQTT 5.0 §2.1, §3.3.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion

_FETCH: Final = 1 << 18  # bytes asked of the socket at once
_PACKETS: Final = 1_000  # most packets of paho's way before its loop writes and looks after its keep-alive
_PUBLISH: Final = 0x30
_PUBACK: Final = b"\x40\x02"
_CONTINUES: Final = 0x80  # in a byte of a variable length: another one follows
_LONGEST_LENGTH: Final = 4  # bytes of a remaining length
_PAUSE_S: Final = 0.05  # how soon it is asked again whether reading may go on


class Published(NamedTuple):
    """A PUBLISH packet. `mid` 0: QoS 0, nothing to acknowledge."""

    topic: str
    payload: bytes
    mid: int


class BufferedClient(Client):
    """A `Client` that gives messages of QoS 0 and 1 to `on_published`, as many at a time as have come."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.on_published: Callable[[Sequence[Published]], None] = lambda _: None
        self.may_read: Callable[[], bool] = lambda: True
        self._has_acknowledged = threading.Event()
        self.on_message = _hand_on

    def _create_socket(self) -> Any:
        return _ReadAhead(super()._create_socket())

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Handle everything that can be had without waiting, in the order it came; nothing, if we may not.

        What is left unread fills the connection, and the broker waits: its own bound on what is in flight is
        not to be relied on (Mosquitto 2.0.11 sends on after the first acknowledgement).
        """
        self._has_acknowledged.clear()
        if not self.may_read():
            self._has_acknowledged.wait(_PAUSE_S)
            self._is_alive()  # it is we who do not listen
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        for _ in range(_PACKETS):
            self._take_published()
            code = super().loop_read(max_packets)
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS or not self._has_fetched():
                return code
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def ack_all(self, mids: Iterable[int]) -> None:
        """Acknowledge these messages of QoS 1 with one write."""
        packets = b"".join(_PUBACK + mid.to_bytes(2, "big") for mid in mids if mid)
        if packets:
            self._packet_queue(_PUBACK[0], packets, 0, 1)
        self._has_acknowledged.set()

    def _take_published(self) -> None:
        reader = self._sock
        if isinstance(reader, _ReadAhead) and self._in_packet["command"] == 0:  # paho is between packets
            published = reader.published(has_properties=self._protocol == MQTTProtocolVersion.MQTTv5)
            if published:
                self._is_alive()
                self.on_published(published)

    def _is_alive(self) -> None:
        """The broker need not prove by a ping that it is there."""
        with self._msgtime_mutex:
            self._last_bytes_received = time.monotonic()

    def _has_fetched(self) -> bool:
        reader = self._sock
        return isinstance(reader, _ReadAhead) and reader.has_fetched


def _hand_on(client: Client, _userdata: Any, message: MQTTMessage) -> None:
    """A message that came paho's way, since it lay across two receives."""
    assert isinstance(client, BufferedClient)  # noqa: S101  # nobody else has this callback
    topic = bytes(message._topic).decode(errors="replace")
    client.on_published([Published(topic, bytes(message.payload), message.mid if message.qos else 0)])


class _ReadAhead:
    """A socket whose `recv` is answered from what one larger receive fetched.

    `pending`, as a TLS socket has it, tells paho's loop not to wait while something is left.
    """

    def __init__(self, under: Any) -> None:
        self._under = under
        self._fetched = b""
        self._at = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._under, name)

    @property
    def has_fetched(self) -> bool:
        """Whether something fetched has not been asked for yet."""
        return self._at < len(self._fetched)

    def pending(self) -> int:
        """Bytes that can be had without waiting."""
        under = getattr(self._under, "pending", None)
        return len(self._fetched) - self._at + (under() if under is not None else 0)

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes. Raises as the socket does when there is nothing."""
        if not self.has_fetched:
            self._fetched, self._at = self._under.recv(max(size, _FETCH)), 0
        taken = self._fetched[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def published(self, *, has_properties: bool) -> list[Published]:
        """The PUBLISH packets that lie whole at the beginning of what is left; the rest stays."""
        found = []
        while (extent := self._publish_ahead()) is not None:
            start, end = extent
            found.append(_parsed(self._fetched, self._at, start, end, has_properties=has_properties))
            self._at = end
        return found

    def _publish_ahead(self) -> tuple[int, int] | None:
        """Where the next packet's variable header and the packet itself end, if it is such a one."""
        fetched, at = self._fetched, self._at
        if at >= len(fetched) or fetched[at] & 0xF0 != _PUBLISH:
            return None
        length, start = _variable_length(fetched, at + 1)
        end = start + length
        return (start, end) if start > 0 and end <= len(fetched) else None


def _variable_length(data: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer at `at`, and where it ends; end -1 where it is not whole (or none)."""
    length = 0
    for count in range(_LONGEST_LENGTH):
        if at + count >= len(data):
            break
        byte = data[at + count]
        length |= (byte & ~_CONTINUES) << (7 * count)
        if not byte & _CONTINUES:
            return length, at + count + 1
    return 0, -1


def _parsed(data: bytes, at: int, start: int, end: int, *, has_properties: bool) -> Published:
    """The PUBLISH packet whose fixed header is at `at` and whose rest is [start, end)."""
    body = start + 2 + int.from_bytes(data[start : start + 2], "big")
    topic = data[start + 2 : body].decode(errors="replace")
    mid = 0
    if data[at] & 0x06:
        mid, body = int.from_bytes(data[body : body + 2], "big"), body + 2
    if has_properties:
        length, body = _variable_length(data, body)
        body += length
    return Published(topic, data[body:end], mid)
