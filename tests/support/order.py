"""A stream that goes on while things happen, and a witness of the order in which it gets into the books."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, overload

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from nengshao.wire import RECEIPT, ROOT, decode_receipt, parse_topic
from simulators.stream import Outgoing
from tests.servers.mosquitto import Mosquitto


class Paced(Sequence[Outgoing]):
    """Messages that come at `rate` per second, the last tenth only when there is no more need to wait."""

    def __init__(self, messages: Sequence[Outgoing], rate: float) -> None:
        self._messages, self._rate = messages, rate
        self._hurry = threading.Event()

    def hurry(self) -> None:
        """Let the rest go as fast as it can."""
        self._hurry.set()

    def __len__(self) -> int:
        return len(self._messages)

    @overload
    def __getitem__(self, index: int) -> Outgoing: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Outgoing]: ...
    def __getitem__(self, index: Any) -> Any:
        return self._messages[index]

    def __iter__(self) -> Iterator[Outgoing]:
        held_back = len(self._messages) * 9 // 10
        for number, message in enumerate(self._messages):
            self._hurry.wait(None if number >= held_back else 1 / self._rate)
            yield message


class Witness:
    """Listens to every receipt, and remembers for each device the messages that were news, in their order.

    A receipt may be lost with its sender; the message that is sent again is then no news. So of what it has
    seen the numbers must grow, though some may be missing.
    """

    def __init__(self, mosquitto: Mosquitto, name: str) -> None:
        self.news: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._is_up = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, f"witness-{name}")
        self._client.on_connect = lambda client, *_: client.subscribe(f"{ROOT}/+/+/{RECEIPT}", qos=1)
        self._client.on_subscribe = lambda *_: self._is_up.set()
        self._client.on_message = lambda _client, _data, message: self._take(message)
        self._client.connect(mosquitto.host, mosquitto.port)
        self._client.loop_start()

    def __enter__(self) -> Witness:
        assert self._is_up.wait(30)
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def assert_order(self, devices: int) -> None:
        """Every device was heard of, and nothing older was news after something newer."""
        assert len(self.news) == devices
        late = {device: numbers for device, numbers in self.news.items() if numbers != sorted(numbers)}
        assert not late, late

    def _take(self, message: mqtt.MQTTMessage) -> None:
        topic = parse_topic(message.topic)
        assert topic is not None
        news = self.news[topic.enterprise, topic.device]
        for receipt in decode_receipt(bytes(message.payload)).messages:
            if receipt.stored and receipt.seq is not None:
                news.append(receipt.seq)


def has_session(mosquitto: Mosquitto, client_id: str) -> bool:
    """Whether the broker keeps a session for this client; afterwards it does not."""
    found: list[bool] = []
    answered = threading.Event()

    def on_connect(_client: Any, _data: Any, flags: Any, _code: Any, _properties: Any) -> None:
        found.append(bool(flags.session_present))
        answered.set()

    # A resumed session can only be seen by resuming it, and ended by connecting once more without it.
    for is_clean in (False, True):
        answered.clear()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, clean_session=is_clean)
        client.on_connect = on_connect
        client.connect(mosquitto.host, mosquitto.port)
        client.loop_start()
        assert answered.wait(30)
        client.disconnect()
        client.loop_stop()
    return found[0]
