"""Batches from the broker, got ready for the books: gathered, decoded, screened, one ahead of the booking.

None of it asks a store, so the next batch is prepared in another thread while the one before is written and
booked. Nothing is prepared ahead when nothing more has come: without a backlog all happens in one thread, in
order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from ingest.batching import Batch, gather, size_of, split_statuses
from ingest.bookkeeper import Bookkeeper, Screened
from ingest.subscriber import Delivery, Subscriber
from nengshao.domain.readings import Source
from nengshao.ports import Clock
from nengshao.settings import IngestSettings
from nengshao.telemetry import Telemetry
from nengshao.wire import Limits, Message, decode

_RAW_BYTES: Final = 1 << 20  # of what goes to the disk in one piece
_MOMENT_S: Final = 0.001  # between packets that were sent together


@dataclass(frozen=True, slots=True)
class Prepared:
    """Messages from the broker, decoded and screened."""

    deliveries: Sequence[Delivery]
    screened: Screened


class Preparing:
    """What one subscriber delivers, as batches."""

    def __init__(
        self,
        subscriber: Subscriber,
        books: Bookkeeper,
        clock: Clock,
        telemetry: Telemetry,
        settings: IngestSettings,
    ) -> None:
        self._subscriber, self._books, self._clock = subscriber, books, clock
        self._telemetry, self._settings = telemetry, settings
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="nengshao-ahead")
        self._ahead: Future[Prepared | None] | None = None
        self._held_back: Sequence[Delivery] = ()

    def take(self, wait_s: float) -> Prepared | None:
        """The next batch: what was held back, else what was got ready meanwhile, else what comes in time."""
        if self._held_back:
            held_back, self._held_back = self._held_back, ()
            return self._prepared(held_back)
        ahead, self._ahead = self._ahead, None
        prepared = None if ahead is None else ahead.result()
        return prepared or self._gathered(wait_s)

    def take_raw(self, wait_s: float) -> Sequence[Delivery]:
        """What was held back, else what has come; nothing is decoded, and nothing prepared ahead."""
        held_back, self._held_back = self._held_back, ()
        if held_back:
            return held_back
        deliveries = self._subscriber.take(wait_s)
        while 0 < size_of(deliveries) < _RAW_BYTES and (more := self._subscriber.take(_MOMENT_S)):
            deliveries += more
        self._telemetry.messages.inc(len(deliveries))
        return deliveries

    def begin_another(self) -> None:
        """If more has come, get it ready while the last batch is booked."""
        if self._ahead is None and self._subscriber.has_more:
            self._ahead = self._beside.submit(self._gathered, 0.0)

    @property
    def has_another(self) -> bool:
        """Whether another batch is on its way already."""
        return self._ahead is not None

    def hold_back(self, deliveries: Sequence[Delivery]) -> None:
        """There is no place for these: they come again at the next `take`."""
        self._held_back = [*self._held_back, *deliveries]

    def put_down(self) -> None:
        """Forget what was taken: on the next connection the broker sends it again."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.result()
        self._held_back = ()

    def close(self) -> None:
        """End the thread beside."""
        self._beside.shutdown()

    def _gathered(self, wait_s: float) -> Prepared | None:
        deliveries = gather(
            self._subscriber,
            max_rows=self._settings.batch_rows,
            max_age_s=self._settings.batch_age_ms / 1000,
            max_idle_s=self._settings.batch_idle_ms / 1000,
            wait_s=wait_s,
        )
        self._telemetry.messages.inc(len(deliveries))
        return self._prepared(deliveries) if deliveries else None

    def _prepared(self, deliveries: Sequence[Delivery]) -> Prepared:
        now = self._clock.now()
        arrivals = ((delivery.message, now) for delivery in deliveries)
        return Prepared(deliveries, self._books.screened(decoded_batch(arrivals, limits_of(self._settings))))


def limits_of(settings: IngestSettings) -> Limits:
    """What a message may be."""
    return Limits(settings.max_message_bytes, settings.max_readings, settings.max_unpacked_bytes)


def decoded_batch(arrivals: Iterable[tuple[Message, int]], limits: Limits) -> Batch:
    """Messages from devices, each with the time it arrived, decoded together."""
    data, arrived, statuses = split_statuses(arrivals)
    return Batch(Source.MQTT, data, decode(data, limits), statuses=statuses, arrived=arrived)
