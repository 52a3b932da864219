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
        self._waiting: deque[Delivery | None] = deque()  # None: the end of a batch

    def put(self, messages: Sequence[Message]) -> None:
        """One batch."""
        self._waiting.extend(Delivery(message, 0, 0) for message in messages)
        self._waiting.append(None)

    @property
    def waiting(self) -> int:
        """Messages not taken yet."""
        return sum(delivery is not None for delivery in self._waiting)

    def connect(self, _filters: Sequence[str] | None = None) -> None:
        self.is_connected = True

    def disconnect(self) -> None:
        self.is_connected = False

    def take(self, _timeout_s: float) -> Delivery | None:
        return self._waiting.popleft() if self._waiting else None

    def ack(self, deliveries: Iterable[Delivery]) -> None:
        self.acknowledged += len(list(deliveries))

    def publish(self, _topic: str, payload: bytes) -> bool:
        self.receipts.append(decode_receipt(payload))
        return True
