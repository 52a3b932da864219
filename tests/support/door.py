"""A door to the ingestor at the subscriber's place: messages in the batches that a test wants."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from ingest.subscriber import Delivery
from nengshao.wire import Message, Receipt, decode_receipt


class Door:
    """Hands over whole batches; remembers what was acknowledged and receipted."""

    def __init__(self) -> None:
        self.is_connected = False
        self.acknowledged = 0
        self.receipts: list[Receipt] = []
        self._waiting: deque[list[Delivery]] = deque()  # an empty one: the end of a batch

    def put(self, messages: Sequence[Message]) -> None:
        """One batch."""
        self._waiting.append([Delivery(message, 0, 0) for message in messages])
        self._waiting.append([])

    @property
    def has_more(self) -> bool:
        """Whether messages are not taken yet."""
        return any(self._waiting)

    @property
    def unacknowledged(self) -> int:
        return sum(map(len, self._waiting))

    @property
    def is_subscribed(self) -> bool:
        return self.is_connected

    def connect(self, _filters: Sequence[str] | None = None) -> None:
        self.is_connected = True

    def disconnect(self) -> None:
        self.is_connected = False

    def take(self, _timeout_s: float) -> list[Delivery]:
        return self._waiting.popleft() if self._waiting else []

    def ack(self, deliveries: Iterable[Delivery]) -> None:
        self.acknowledged += len(list(deliveries))

    def publish(self, _topic: str, payload: bytes) -> bool:
        self.receipts.append(decode_receipt(payload))
        return True
