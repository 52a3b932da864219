"""The ingest worker of one partition: lease, three doors, and the order in which nothing is lost.

Lines 2, 3 and 7 of the life of a reading. What comes goes through the bookkeeper; then it is acknowledged,
then receipted. Under load the next batch is prepared and the one before booked meanwhile. What fails is
repeated or spooled: nothing is acknowledged that is neither in the books nor on our disk.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Final

from ingest.batching import BYTES_PER_READING, size_of
from ingest.bookings import Bookings
from ingest.bookkeeper import Bookkeeper
from ingest.inbox import batch_of_entry, batch_of_orphans, hand_over, is_orphan
from ingest.preparing import Prepared, Preparing, decoded_batch, limits_of
from ingest.receipts import device_receipts
from ingest.resends import Resends
from ingest.spool import Spool, SpoolFull
from ingest.subscriber import Delivery, Subscriber
from ingest.subscriptions import Announcement, filters_of
from nengshao.domain.errors import LeaseLost, StoreUnavailable
from nengshao.domain.readings import Source
from nengshao.ports import Booking, Clock, InboxEntry, Lease, ReadingStore, StateStore
from nengshao.registry import Registry
from nengshao.settings import Dialect, IngestSettings
from nengshao.telemetry import Telemetry
from nengshao.wire import Message, MessageReceipt, encode_receipt

_LOG: Final = logging.getLogger(__name__)
_IDLE_S: Final = 0.05
_BACKOFF_S: Final = (0.2, 5.0)  # first and longest pause while a store is away
_ORPHANS: Final = 500  # messages that spools gave away, at once; each is as large as a message may be
_REGISTRY_S: Final = 1.0  # how soon a changed registry is noticed


class Ingestor:
    """Takes one partition's readings from the door to the books."""

    def __init__(
        self,
        state: StateStore,
        readings: ReadingStore,
        clock: Clock,
        telemetry: Telemetry,
        *,
        partition: int,
        partitions: int,
        holder: str,
        settings: IngestSettings,
        dialects: Mapping[str, Dialect],
        spool_dir: Path,
        subscriber: Subscriber | None,
    ) -> None:
        self._state, self._clock, self._telemetry = state, clock, telemetry
        self._partition, self._partitions, self._holder = partition, partitions, holder
        self._settings = settings
        self._limits = limits_of(settings)
        self._books = Bookkeeper(state, readings, clock, telemetry, settings=settings, dialects=dialects)
        self._resends = Resends(state, readings, clock, telemetry, settings)
        self._spool = Spool(spool_dir, settings.spool_max_bytes)
        self._subscriber = subscriber
        self._preparing = (
            None if subscriber is None else Preparing(subscriber, self._books, clock, telemetry, settings)
        )
        self._filters = filters_of(Registry(), partition, partitions)
        self._announced = Announcement(state, subscriber)
        self._lease: Lease | None = None
        self._backoff = self._connect_pause = 0.0  # the last pauses
        self._renew_at = self._retry_at = self._connect_at = 0.0  # monotonic
        self._bookings = Bookings(self._books)
        self._is_unsure = False  # a commit was not answered: what the books hold must be read again

    # ------------------------------------------------------------------------------------ the loop

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then finish what is in hand and give the lease back."""
        while not stop.is_set():
            if not self.step(wait_s=0.1):
                stop.wait(_IDLE_S)
        self.close()

    def step(self, *, wait_s: float = 0.0) -> bool:
        """One turn: hold the lease, then one batch from the spool, the inbox or the broker.

        Whether anything was done. Stores that are away only cost time here, never a message.
        """
        try:
            lease = self._held_lease()
            if lease is None:
                return self._hand_over_spool()
            if self._subscriber is not None and not self._is_pausing:
                self._resends.step(lease, self._subscriber.publish)
            done = self._drain_spool(lease) | self._take_inbox(lease)
            # Nobody waits at one door while another has more to give.
            return self._take_messages(lease, 0.0 if done else wait_s) | done
        except LeaseLost:
            _LOG.warning("partition %d has passed to another holder", self._partition)
            self._let_go()
        except StoreUnavailable as exc:
            self._pause(exc)
        return False

    def close(self) -> None:
        """Disconnect and give the lease back; what is not acknowledged stays with the broker."""
        lease = self._lease
        with suppress(LeaseLost):
            self._finish()
        self._let_go()
        if lease is not None:
            try:
                self._state.release_lease(lease)
            except StoreUnavailable:
                _LOG.info("lease of partition %d left to expire", self._partition)
        self._bookings.close()
        if self._preparing is not None:
            self._preparing.close()

    @property
    def is_ready(self) -> bool:
        """Whether the partition is ours and the broker keeps its messages for us from now on."""
        return self._lease is not None and (self._subscriber is None or self._subscriber.is_subscribed)

    @property
    def lease(self) -> Lease | None:
        """Our right to write, if we have it."""
        return self._lease

    @property
    def in_flight(self) -> int:
        """Messages taken from the broker that are not in the books: memory and spool."""
        return self.in_memory + self._spool.count

    @property
    def spool(self) -> Spool:
        """Messages on our disk that are not in the books."""
        return self._spool

    @property
    def in_memory(self) -> int:
        """Messages taken from the broker that are neither in the books nor on our disk."""
        return self._subscriber.unacknowledged if self._subscriber is not None else 0

    @property
    def _is_pausing(self) -> bool:
        """Whether the books cannot be trusted or asked yet."""
        return self._is_unsure or time.monotonic() < self._retry_at

    def _pause(self, exc: StoreUnavailable) -> None:
        self._is_unsure = True
        self._backoff = _longer(self._backoff)
        self._retry_at = time.monotonic() + (exc.retry_after or self._backoff)
        self._telemetry.retries.labels("ingest").inc()
        _LOG.warning("a store is away, next try in %.1f s: %s", exc.retry_after or self._backoff, exc)

    # ----------------------------------------------------------------------------------- the lease

    def _held_lease(self) -> Lease | None:
        """The lease, if the partition is ours: then settled, and connected; renewed in good time."""
        now = time.monotonic()
        if self._lease is None:
            self._lease = self._new_lease(now)
        elif now >= self._renew_at:
            self._renew(self._lease, now)
        if self._lease is not None:
            self._clear_doubt(now)
            self._connect(self._lease, now)
        return self._lease

    def _new_lease(self, now: float) -> Lease | None:
        if now < max(self._retry_at, self._renew_at):
            return None
        ttl_s = self._settings.lease_ttl_s
        self._renew_at = now + min(_REGISTRY_S, ttl_s / 3)
        lease = self._state.take_share("ingest", self._partition, self._holder, ttl_s)
        if lease is not None:
            self._telemetry.lease_held.labels("ingest", str(self._partition)).set(1)
            self._follow_registry()
            self._books.read_books(self._partition)
            self._books.settle_open_intents(lease)
            self._is_unsure = False
        return lease

    def _renew(self, lease: Lease, now: float) -> bool:
        """Prolong the lease and follow the registry; whether it could be done. If not, that is no reason to
        stop taking messages: they go to the spool, and every commit checks the epoch.
        """
        ttl_s = self._settings.lease_ttl_s
        self._renew_at = now + min(_REGISTRY_S, ttl_s / 3)
        try:
            self._lease = self._state.renew_share(lease, ttl_s)
            self._follow_registry()
            self._announced.note(self._lease)
        except StoreUnavailable as exc:
            _LOG.warning("lease of partition %d not renewed: %s", self._partition, exc)
            self._telemetry.retries.labels("lease").inc()
            return False
        return True

    def _clear_doubt(self, now: float) -> None:
        """After an unanswered commit: read the books again, as soon as they answer."""
        if self._is_unsure and now >= self._retry_at and self._finish():
            try:
                self._books.read_books(self._partition)
                self._is_unsure = False
            except StoreUnavailable as exc:
                self._pause(exc)

    def _let_go(self) -> None:
        self._lease = None
        self._put_down()
        self._telemetry.lease_held.labels("ingest", str(self._partition)).set(0)
        if self._subscriber is not None:
            self._subscriber.disconnect()

    def _put_down(self) -> None:
        """Forget what the broker has sent and we have not acknowledged: it sends it again."""
        if not self._bookings.drop():
            self._is_unsure = True  # memory counts it as booked
        if self._preparing is not None:
            self._preparing.put_down()

    def _connect(self, lease: Lease, now: float) -> None:
        """Open the broker's session, once the lease is renewed: we may have lost both to the next holder."""
        if self._subscriber is None or self._subscriber.is_connected or now < self._connect_at:
            return
        self._put_down()
        if not self._renew(lease, now):
            return
        try:
            self._subscriber.connect(self._filters)
            self._connect_pause = 0.0
        except StoreUnavailable as exc:
            self._connect_pause = _longer(self._connect_pause)
            self._connect_at = time.monotonic() + self._connect_pause
            self._telemetry.retries.labels("broker").inc()
            _LOG.warning("next try to connect in %.1f s: %s", self._connect_pause, exc)

    def _follow_registry(self) -> None:
        registry = self._books.read_registry()
        if registry is None or self._subscriber is None:
            return
        self._announced.version = registry.version
        self._resends.follow(registry)
        filters = filters_of(registry, self._partition, self._partitions)
        if filters != self._filters:
            self._filters = filters
            self._subscriber.disconnect()  # the next turn subscribes to the new set

    # ----------------------------------------------------------------------------- door 1: broker

    def _take_messages(self, lease: Lease, wait_s: float) -> bool:
        """A batch from the broker into the books; into the spool if a store is away or the spool waits."""
        if self._subscriber is None or self._preparing is None or not self._subscriber.is_connected:
            return False
        if self._settings.spool_first:
            return self._spool_a_batch(self._subscriber, self._preparing, wait_s)
        prepared = self._preparing.take(wait_s)
        if prepared is None:
            return self._bookings.is_under_way and self._finish()
        self._preparing.begin_another()
        if not self._write_and_book(lease, prepared):
            self._spool_deliveries(self._subscriber, prepared.deliveries)
        if not self._preparing.has_another:
            self._finish()
        return True

    def _write_and_book(self, lease: Lease, prepared: Prepared) -> bool:
        """Write a batch while the one before it is booked, then begin its booking. False: to the spool."""
        if self._is_pausing or self._spool.count:
            self._finish()
            return False
        try:
            unbooked = self._books.write(lease, prepared.screened)
        except StoreUnavailable as exc:
            self._finish()  # the one before it may have gone well
            self._pause(exc)
            return False
        if not self._finish():  # this one was judged as if the one before it were booked
            return False
        self._bookings.begin(lease, prepared, unbooked)
        return True

    def _finish(self) -> bool:
        """Wait for the booking that is under way; then acknowledge, then receipt. Whether the books have all
        that was written; if not, its messages are in the spool. Raises: LeaseLost.
        """
        pending = self._bookings.take()
        if pending is None or self._subscriber is None:
            return True
        deliveries = pending.prepared.deliveries
        try:
            receipts = pending.receipts()
        except StoreUnavailable as exc:
            self._pause(exc)
            self._spool_deliveries(self._subscriber, deliveries)
            return False
        self._subscriber.ack(deliveries)
        self._send_receipts(pending.prepared.screened.batch.messages, receipts)
        return True

    def _send_receipts(self, messages: Sequence[Message], receipts: Sequence[MessageReceipt]) -> None:
        """Best effort: a device whose receipt is lost sends again, and gets another."""
        if self._subscriber is not None:
            for topic, receipt in device_receipts(messages, receipts, self._clock.now()):
                self._subscriber.publish(topic, encode_receipt(receipt))

    # ------------------------------------------------------------------------------ door 2: spool

    def _spool_deliveries(self, subscriber: Subscriber, deliveries: Sequence[Delivery]) -> bool:
        """Put messages on our disk, then let the broker forget them. A full spool: neither."""
        now = self._clock.now()
        try:
            self._spool.append([(d.message, now) for d in deliveries])
        except SpoolFull:
            if self._preparing is not None:
                self._preparing.hold_back(deliveries)
            time.sleep(_IDLE_S)
            return False
        subscriber.ack(deliveries)
        return True

    def _spool_a_batch(self, subscriber: Subscriber, preparing: Preparing, wait_s: float) -> bool:
        """Everything that comes goes to our disk first; until a batch is there, the broker may send on.

        For a broker that sends few messages before it waits for us: with each such handful in a batch of its
        own, the batches' fixed costs would be most of what we do.
        """
        size, deadline = 0, 0.0
        while size < self._settings.batch_rows * BYTES_PER_READING:
            deliveries = preparing.take_raw(wait_s if size == 0 else max(0.0, deadline - time.monotonic()))
            if not deliveries or not self._spool_deliveries(subscriber, deliveries):
                break
            deadline = deadline or time.monotonic() + self._settings.batch_age_ms / 1000
            size += size_of(deliveries)
        return size > 0

    def _drain_spool(self, lease: Lease) -> bool:
        """One batch from the spool into the books, oldest first."""
        if not self._spool.count or self._is_pausing or not self._finish():
            return False
        batch = self._spool.head(self._settings.batch_rows * BYTES_PER_READING)
        if not batch:  # the rest is damaged: counted as torn, and not to be had
            self._spool.give_up()
            return False
        arrivals = ((spooled.message, spooled.arrived_at) for spooled in batch)
        decoded = decoded_batch(arrivals, self._limits)
        receipts = self._books.book_batch(lease, decoded)
        self._spool.settle(batch)
        self._backoff = 0.0
        self._send_receipts(decoded.messages, receipts)
        return True

    def _hand_over_spool(self) -> bool:
        """The partition is another's: its holder finds in the inbox what we had spooled for it."""
        if not self._spool.count or time.monotonic() < self._retry_at:
            return False
        return hand_over(self._spool, self._state, self._settings.batch_rows * BYTES_PER_READING)

    # ------------------------------------------------------------------------------ door 3: inbox

    def _take_inbox(self, lease: Lease) -> bool:
        """One upload or replay, or what spools gave away, into the books."""
        if self._is_pausing:
            return False
        entries = self._state.take_inbox(self._partition, 1)
        if not entries or not self._finish():
            return False
        if is_orphan(entries[0]):
            several = takewhile(is_orphan, self._state.take_inbox(self._partition, _ORPHANS))
            batch = batch_of_orphans(list(several), self._limits)
            self._send_receipts(batch.messages, self._books.book_batch(lease, batch))
        else:
            self._book_entry(lease, entries[0])
        return True

    def _book_entry(self, lease: Lease, entry: InboxEntry) -> None:
        batch = batch_of_entry(self._state, entry, self._limits)
        if batch is None:
            gone = {entry.inbox_id: json.dumps({"gone": True})}
            return self._books.book(lease, Booking(self._clock.now(), inbox_done=gone))
        receipts = self._books.book_batch(lease, batch)
        if entry.source is Source.MQTT:
            self._send_receipts(batch.messages, receipts)
        return None


def _longer(pause_s: float) -> float:
    """The next pause: doubling, between the first and the longest."""
    first, longest = _BACKOFF_S
    return min(longest, pause_s * 2 or first)
