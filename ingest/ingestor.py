"""The ingest worker of one partition: lease, three doors, and the order in which nothing is lost.

Lines 2, 3 and 7 of the life of a reading. One thread, one partition, one lease: what comes from the broker,
the inbox or the spool goes through the bookkeeper; then the acknowledgement, then the receipt. What fails in
between is repeated or spooled: nothing is acknowledged that is neither in the books nor on our disk, and
nothing is receipted that is not in the books.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from ingest.batching import BYTES_PER_READING, Batch, gather, split_statuses
from ingest.bookkeeper import Bookkeeper
from ingest.inbox import batch_of_entry, orphaned_entry
from ingest.receipts import device_receipts
from ingest.spool import Spool, SpoolFull
from ingest.subscriber import Delivery, Subscriber
from nengshao.domain.codes import partition_of
from nengshao.domain.errors import LeaseLost, StoreUnavailable
from nengshao.domain.readings import Source
from nengshao.ports import Booking, Clock, InboxEntry, Lease, ReadingStore, StateStore
from nengshao.settings import Dialect, IngestSettings
from nengshao.telemetry import Telemetry
from nengshao.wire import DATA, ROOT, STATUS, Limits, Message, MessageReceipt, decode, encode_receipt

_LOG: Final = logging.getLogger(__name__)
_IDLE_S: Final = 0.05
_BACKOFF_S: Final = (0.2, 5.0)  # first and longest pause while a store is away
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
        self._limits = Limits(settings.max_message_bytes, settings.max_readings)
        self._books = Bookkeeper(state, readings, clock, telemetry, settings=settings, dialects=dialects)
        self._spool = Spool(spool_dir, settings.spool_max_bytes)
        self._subscriber = subscriber
        self._filters: list[str] | None = None  # None: everybody's topics, by wildcard
        self._lease: Lease | None = None
        self._renew_at = 0.0
        self._is_unsure = False  # a commit was not answered: what the books hold must be read again
        self._backoff = 0.0
        self._retry_at = 0.0
        self._connect_pause = 0.0
        self._connect_at = 0.0
        self._held_back: list[Delivery] = []  # taken from the broker while the spool was full
        places = telemetry.in_flight
        places.labels("memory").set_function(lambda: self._in_memory)
        places.labels("spool").set_function(lambda: self._spool.count)

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
        self._let_go()
        if lease is not None:
            try:
                self._state.release_lease(lease)
            except StoreUnavailable:
                _LOG.info("lease of partition %d left to expire", self._partition)

    @property
    def is_ready(self) -> bool:
        """Whether the partition is ours and the broker keeps its messages for us from now on."""
        return self._lease is not None and (self._subscriber is None or self._subscriber.is_connected)

    @property
    def in_flight(self) -> int:
        """Messages taken from the broker that are not in the books: memory and spool."""
        return self._in_memory + self._spool.count

    @property
    def _in_memory(self) -> int:
        waiting = self._subscriber.waiting if self._subscriber is not None else 0
        return waiting + len(self._held_back)

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
            self._connect()
        return self._lease

    def _new_lease(self, now: float) -> Lease | None:
        if now < self._retry_at:
            return None
        ttl_s = self._settings.lease_ttl_s
        lease = self._state.acquire_lease("ingest", self._partition, self._holder, ttl_s)
        if lease is not None:
            self._renew_at = now + min(_REGISTRY_S, ttl_s / 3)
            self._telemetry.lease_held.labels("ingest", str(self._partition)).set(1)
            self._follow_registry()
            self._books.read_books(self._partition)
            self._books.settle_open_intents(lease)
            self._is_unsure = False
        return lease

    def _renew(self, lease: Lease, now: float) -> None:
        """Prolong the lease and follow the registry. A state store that is away is no reason to stop taking
        messages (they go to the spool): every commit checks the epoch.
        """
        ttl_s = self._settings.lease_ttl_s
        try:
            self._lease = self._state.renew_lease(lease, ttl_s)
            self._follow_registry()
        except StoreUnavailable as exc:
            _LOG.warning("lease of partition %d not renewed: %s", self._partition, exc)
            self._telemetry.retries.labels("lease").inc()
        self._renew_at = now + min(_REGISTRY_S, ttl_s / 3)

    def _clear_doubt(self, now: float) -> None:
        """After an unanswered commit: read the books again, as soon as they answer."""
        if self._is_unsure and now >= self._retry_at:
            try:
                self._books.read_books(self._partition)
                self._is_unsure = False
            except StoreUnavailable as exc:
                self._pause(exc)

    def _let_go(self) -> None:
        self._lease = None
        self._held_back = []
        self._telemetry.lease_held.labels("ingest", str(self._partition)).set(0)
        if self._subscriber is not None:
            self._subscriber.disconnect()

    def _connect(self) -> None:
        """Open the broker's session. While the broker is away, inbox and spool go on."""
        if self._subscriber is None or self._subscriber.is_connected or time.monotonic() < self._connect_at:
            return
        self._held_back = []  # they came on the old connection: the broker sends them again
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
        if registry is None or self._partitions == 1 or self._subscriber is None:
            return
        own = [e for e in registry.enterprises["enterprise"] if self._owns(e)]
        filters = [f"{ROOT}/{enterprise}/+/{leaf}" for enterprise in own for leaf in (DATA, STATUS)]
        if filters != self._filters:
            self._filters = filters
            self._subscriber.disconnect()  # the next turn subscribes to the new set

    def _owns(self, enterprise: str) -> bool:
        return partition_of(enterprise, self._partitions) == self._partition

    # ----------------------------------------------------------------------------- door 1: broker

    def _take_messages(self, lease: Lease, wait_s: float) -> bool:
        """A batch from the broker into the books; into the spool if a store is away or the spool waits."""
        if self._subscriber is None or not self._subscriber.is_connected:
            return False
        deliveries = self._held_back or self._gathered(self._subscriber, wait_s)
        if not deliveries:
            return False
        self._held_back = []
        if self._spool.count or self._is_pausing:
            self._spool_deliveries(self._subscriber, deliveries)
            return True
        try:
            receipts = self._book_messages(lease, [d.message for d in deliveries])
        except StoreUnavailable as exc:
            self._pause(exc)
            self._spool_deliveries(self._subscriber, deliveries)
            return True
        self._subscriber.ack(deliveries)
        self._send_receipts(receipts)
        return True

    def _gathered(self, subscriber: Subscriber, wait_s: float) -> list[Delivery]:
        deliveries = gather(
            subscriber,
            max_rows=self._settings.batch_rows,
            max_age_s=self._settings.batch_age_ms / 1000,
            max_idle_s=self._settings.batch_idle_ms / 1000,
            wait_s=wait_s,
        )
        self._telemetry.messages.inc(len(deliveries))
        return deliveries

    def _book_messages(self, lease: Lease, messages: Sequence[Message]) -> list[tuple[str, bytes]]:
        """Decode and book messages; the receipts to send, by topic."""
        data, statuses = split_statuses(messages, self._clock.now())
        batch = Batch(Source.MQTT, data, decode(data, self._limits), statuses=statuses)
        return self._addressed(data, self._books.book_batch(lease, batch))

    def _addressed(
        self, messages: Sequence[Message], receipts: Sequence[MessageReceipt]
    ) -> list[tuple[str, bytes]]:
        booked_at = self._clock.now()
        return [(t, encode_receipt(r)) for t, r in device_receipts(messages, receipts, booked_at)]

    def _send_receipts(self, receipts: Sequence[tuple[str, bytes]]) -> None:
        """Best effort: a device whose receipt is lost sends again, and gets another."""
        if self._subscriber is not None:
            for topic, payload in receipts:
                self._subscriber.publish(topic, payload)

    # ------------------------------------------------------------------------------ door 2: spool

    def _spool_deliveries(self, subscriber: Subscriber, deliveries: Sequence[Delivery]) -> None:
        """Put messages on our disk, then let the broker forget them. A full spool: neither."""
        now = self._clock.now()
        try:
            self._spool.append([(d.message, now) for d in deliveries])
        except SpoolFull:
            self._held_back = list(deliveries)
            time.sleep(_IDLE_S)
            return
        self._telemetry.spool_bytes.set(self._spool.size)
        subscriber.ack(deliveries)

    def _drain_spool(self, lease: Lease) -> bool:
        """One batch from the spool into the books, oldest first."""
        if not self._spool.count or self._is_pausing:
            return False
        batch = self._spool.head(self._settings.batch_rows * BYTES_PER_READING)
        if not batch:  # the rest is damaged: counted as torn, and not to be had
            self._spool.give_up()
            return False
        receipts = self._book_messages(lease, [spooled.message for spooled in batch])
        self._spool.settle(batch)
        self._telemetry.spool_bytes.set(self._spool.size)
        self._backoff = 0.0
        self._send_receipts(receipts)
        return True

    def _hand_over_spool(self) -> bool:
        """The partition is another's: its holder finds in the inbox what we had spooled for it."""
        if not self._spool.count or time.monotonic() < self._retry_at:
            return False
        batch = self._spool.head(self._settings.batch_rows * BYTES_PER_READING)
        if not batch:
            self._spool.give_up()
            return False
        for spooled in batch:
            self._state.put_inbox(orphaned_entry(spooled, self._partition))
        self._spool.settle(batch)
        return True

    # ------------------------------------------------------------------------------ door 3: inbox

    def _take_inbox(self, lease: Lease) -> bool:
        """One upload, replay or orphaned message into the books."""
        if self._is_pausing:
            return False
        entries = self._state.take_inbox(self._partition, 1)
        for entry in entries:
            self._book_entry(lease, entry)
        return bool(entries)

    def _book_entry(self, lease: Lease, entry: InboxEntry) -> None:
        only: frozenset[int] = frozenset()
        repeats = 0
        if entry.quarantine_id is not None:
            found = self._state.quarantine_raw(entry.quarantine_id)
            if found is None:  # somebody replayed it before
                gone = {entry.inbox_id: json.dumps({"gone": True})}
                return self._books.book(lease, Booking(self._clock.now(), inbox_done=gone))
            only = frozenset(found[0]["indexes"])
            repeats = found[0]["count"] - found[0]["count"] // found[0]["seen"]
        batch = replace(batch_of_entry(entry, self._limits, only), repeats=repeats)
        receipts = self._books.book_batch(lease, batch)
        if entry.source is Source.MQTT:
            self._send_receipts(self._addressed(batch.messages, receipts))
        return None


def _longer(pause_s: float) -> float:
    """The next pause: doubling, between the first and the longest."""
    first, longest = _BACKOFF_S
    return min(longest, pause_s * 2 or first)
