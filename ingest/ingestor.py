"""The ingest worker of one partition: from deliveries to books, in the order that loses nothing.

Lines 2 to 7 of the life of a reading. One thread, one partition, one lease: intent, store write, booking,
then the acknowledgement, then the receipt. Whatever fails in between is repeated or spooled; nothing is
acknowledged that is neither in the books nor on our disk, and nothing is receipted that is not in the books.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from ingest.batching import (
    BYTES_PER_READING,
    Batch,
    gather,
    owner_of,
    quarantine_entries,
    rejected_frame,
    split_statuses,
)
from ingest.inbox import batch_of_entry, with_believable_versions
from ingest.outcomes import Outcomes, advanced_watermarks, outcomes_of
from ingest.receipts import device_receipts, message_receipts
from ingest.screening import Screen, TimeLimits
from ingest.settlement import OpenIntents
from ingest.spool import Spool, SpoolFull
from ingest.subscriber import Delivery, Subscriber
from nengshao.domain.codes import partition_of
from nengshao.domain.errors import LeaseLost, StoreRejected, StoreUnavailable
from nengshao.domain.readings import Outcome, Reason, Source
from nengshao.frames import READINGS
from nengshao.ports import (
    LAST_SEEN_SCHEMA,
    LEDGER_SCHEMA,
    WATERMARK_SCHEMA,
    Booking,
    Clock,
    InboxEntry,
    Intent,
    Lease,
    ReadingStore,
    StateStore,
)
from nengshao.settings import Dialect, IngestSettings
from nengshao.telemetry import Telemetry
from nengshao.wire import DATA, ROOT, STATUS, Limits, Message, MessageReceipt, decode, encode_receipt

_LOG: Final = logging.getLogger(__name__)
_IDLE_S: Final = 0.05
_BACKOFF_S: Final = (0.2, 5.0)  # first and longest pause while a store is away
_REGISTRY_S: Final = 1.0  # how soon a changed registry is noticed
_VERSION_KEY: Final = ["point", "ts", "version"]


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
        self._state, self._readings, self._clock, self._telemetry = state, readings, clock, telemetry
        self._partition, self._partitions, self._holder = partition, partitions, holder
        self._settings, self._dialects = settings, dialects
        self._limits = Limits(settings.max_message_bytes, settings.max_readings)
        self._spool = Spool(spool_dir, settings.spool_max_bytes)
        self._spooled = self._spool.count > 0
        self._subscriber = subscriber
        self._filters: list[str] | None = None
        self._lease: Lease | None = None
        self._renew_at = 0.0
        self._open = OpenIntents()
        self._is_unsure = False  # a commit was not answered: what the books hold must be read again
        self._watermarks = pl.DataFrame(schema=dict(WATERMARK_SCHEMA))
        self._screen: Screen | None = None
        self._registry_version = -1
        self._registry_points = pl.DataFrame()
        self._backoff = 0.0
        self._retry_at = 0.0
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
            if not self._hold_lease():
                return False
            done = self._drain_spool() | self._take_inbox() | self._take_messages(wait_s)
        except LeaseLost:
            _LOG.warning("partition %d has passed to another holder", self._partition)
            self._let_go()
            return False
        except StoreUnavailable as exc:
            self._pause(exc)
            return False
        return done

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

    # ----------------------------------------------------------------------------- lease, registry

    def _hold_lease(self) -> bool:
        """Whether the partition is ours, settled, and connected; renews in good time."""
        now = time.monotonic()
        if now < self._retry_at and self._lease is None:
            return False
        if self._lease is None:
            self._lease = self._state.acquire_lease(
                "ingest", self._partition, self._holder, self._settings.lease_ttl_s
            )
            if self._lease is None:
                return False
            self._renew_at = now + min(_REGISTRY_S, self._settings.lease_ttl_s / 3)
            self._take_over()
        elif now >= self._renew_at:
            self._renew(now)
        self._clear_doubt(now)
        if self._subscriber is not None and not self._subscriber.is_connected:
            self._connect()
        return True

    def _renew(self, now: float) -> None:
        """Prolong the lease and follow the registry. A state store that is away is no reason to stop taking
        messages (they go to the spool): every commit checks the epoch.
        """
        assert self._lease is not None  # noqa: S101  # the caller looked
        try:
            self._lease = self._state.renew_lease(self._lease, self._settings.lease_ttl_s)
            self._refresh_registry()
        except StoreUnavailable as exc:
            _LOG.warning("lease of partition %d not renewed: %s", self._partition, exc)
            self._telemetry.retries.labels("lease").inc()
        self._renew_at = now + min(_REGISTRY_S, self._settings.lease_ttl_s / 3)

    def _clear_doubt(self, now: float) -> None:
        """After an unanswered commit: read the books again, as soon as they answer."""
        if self._is_unsure and now >= self._retry_at:
            try:
                self._read_books()
            except StoreUnavailable as exc:
                self._pause(exc)

    def _take_over(self) -> None:
        self._telemetry.lease_held.labels("ingest", str(self._partition)).set(1)
        self._refresh_registry()
        self._read_books()
        self._settle_open_intents()

    def _read_books(self) -> None:
        """What the books hold, from the books: after a take-over, and after a commit that was not answered.

        It may have gone through all the same; its rows would then be stored twice if we went by memory.
        """
        self._watermarks = pl.DataFrame(schema=dict(WATERMARK_SCHEMA))
        self._open = OpenIntents(self._state.open_intents(self._partition))
        self._is_unsure = False

    def _let_go(self) -> None:
        self._lease = None
        self._held_back = []
        self._telemetry.lease_held.labels("ingest", str(self._partition)).set(0)
        if self._subscriber is not None:
            self._subscriber.disconnect()

    def _connect(self) -> None:
        if time.monotonic() < self._retry_at or self._subscriber is None:
            return
        self._held_back = []  # they came on the old connection: the broker sends them again
        self._subscriber.connect(self._filters)
        self._backoff = 0.0

    def _refresh_registry(self) -> None:
        if self._state.registry_version() == self._registry_version:
            return
        registry = self._state.registry()
        self._screen = Screen(registry, {name: d.valid for name, d in self._dialects.items()})
        self._registry_points = registry.points.select("point", "enterprise", "kind").unique("point")
        self._registry_version = registry.version
        if self._partitions > 1 and self._subscriber is not None:
            own = [e for e in registry.enterprises["enterprise"] if self._owns(e)]
            filters = [f"{ROOT}/{e}/+/{leaf}" for e in own for leaf in (DATA, STATUS)]
            if filters != self._filters:
                self._filters = filters
                self._subscriber.disconnect()  # the next turn subscribes to the new set

    def _owns(self, enterprise: str) -> bool:
        return partition_of(enterprise, self._partitions) == self._partition

    # ------------------------------------------------------------------------------- the three doors

    def _take_messages(self, wait_s: float) -> bool:
        """A batch from the broker into the books; into the spool if a store is away or the spool waits."""
        if self._subscriber is None or not self._subscriber.is_connected:
            return False
        deliveries = self._held_back or gather(
            self._subscriber,
            max_rows=self._settings.batch_rows,
            max_age_s=self._settings.batch_age_ms / 1000,
            max_idle_s=self._settings.batch_idle_ms / 1000,
            wait_s=wait_s,
        )
        if not deliveries:
            return False
        self._telemetry.messages.inc(0 if self._held_back else len(deliveries))
        self._held_back = []
        if self._spooled or self._is_unsure:
            self._spool_deliveries(deliveries)
            return True
        try:
            receipts = self._book_messages([d.message for d in deliveries], Source.MQTT)
        except StoreUnavailable as exc:
            self._spool_deliveries(deliveries)
            self._pause(exc)
            return True
        self._subscriber.ack(deliveries)
        self._send_receipts(receipts)
        return True

    def _spool_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Put messages on our disk, then let the broker forget them. A full spool: neither."""
        assert self._subscriber is not None  # noqa: S101  # deliveries come from it
        now = self._clock.now()
        try:
            self._spool.append([(d.message, now) for d in deliveries])
        except SpoolFull:
            self._held_back = list(deliveries)
            time.sleep(_IDLE_S)
            return
        self._spooled = True
        self._telemetry.spool_bytes.set(self._spool.size)
        self._subscriber.ack(deliveries)

    def _drain_spool(self) -> bool:
        """One batch from the spool into the books, oldest first."""
        if not self._spooled or self._is_unsure or time.monotonic() < self._retry_at:
            return False
        batch = self._spool.head(self._settings.batch_rows * BYTES_PER_READING)
        if not batch:
            self._spooled = False
            return False
        receipts = self._book_messages([s.message for s in batch], Source.MQTT)
        self._spool.settle(batch)
        self._spooled = self._spool.count > 0
        self._telemetry.spool_bytes.set(self._spool.size)
        self._backoff = 0.0
        self._send_receipts(receipts)
        return True

    def _take_inbox(self) -> bool:
        """One upload or replay into the books."""
        if self._is_unsure or time.monotonic() < self._retry_at:
            return False
        entries = self._state.take_inbox(self._partition, 1)
        for entry in entries:
            self._book_entry(entry)
        return bool(entries)

    def _book_entry(self, entry: InboxEntry) -> None:
        only: frozenset[int] = frozenset()
        if entry.quarantine_id is not None:
            found = self._state.quarantine_raw(entry.quarantine_id)
            if found is None:  # somebody replayed it before
                self._book(
                    Booking(self._clock.now(), inbox_done={entry.inbox_id: json.dumps({"gone": True})})
                )
                return
            only = frozenset(found[0]["indexes"])
        self._book_batch(batch_of_entry(entry, self._limits, only))

    # -------------------------------------------------------------------------------- to the books

    def _book_messages(self, messages: Sequence[Message], source: Source) -> list[tuple[str, bytes]]:
        """Decode, screen, write and book messages; the receipts to send, by topic."""
        data, statuses = split_statuses(messages, self._clock.now())
        batch = Batch(source, data, decode(data, self._limits), statuses=statuses)
        receipts = self._book_batch(batch)
        booked_at = self._clock.now()
        return [(t, encode_receipt(r)) for t, r in device_receipts(data, receipts, booked_at)]

    def _book_batch(self, batch: Batch) -> list[MessageReceipt]:
        """Screening, intent, store write, booking. Returns once the books have it."""
        started = time.perf_counter()
        accepted, rejected = self._screened(batch)
        outcomes, rejected, intent_id = self._written(accepted, rejected)
        receipts = message_receipts(batch.messages, batch.decoded.sequences, outcomes.rows, rejected)
        booking = self._booking(batch, outcomes, rejected, intent_id, receipts)
        self._book(booking)
        self._telemetry.batch_seconds.observe(time.perf_counter() - started)
        self._count(batch, outcomes, rejected)
        return receipts

    def _screened(self, batch: Batch) -> tuple[pl.DataFrame, pl.DataFrame]:
        assert self._screen is not None  # noqa: S101  # set when the lease was taken
        raw = batch.decoded.readings
        if batch.inbox is not None and batch.inbox.quarantine_id is not None:
            raw = with_believable_versions(raw, batch.inbox.accepted_at, self._settings.future_limit_s)
        past_s = None if batch.by_person else self._settings.past_limit_days * 86_400
        limits = TimeLimits(self._clock.now(), self._settings.future_limit_s, past_s)
        screened = self._screen.screened(raw, limits, by_person=batch.by_person)
        rejected = pl.concat([rejected_frame(batch.decoded), screened.rejected])
        if batch.only_indexes:
            wanted = pl.col("index").is_in(sorted(batch.only_indexes))
            return screened.accepted.filter(wanted), rejected.filter(wanted)
        return screened.accepted, rejected

    def _written(
        self, accepted: pl.DataFrame, rejected: pl.DataFrame
    ) -> tuple[Outcomes, pl.DataFrame, str | None]:
        """Intent and store write; rows that the store will never take join the rejected."""
        outcomes = self._outcomes(accepted)
        if outcomes.to_write.is_empty():
            return outcomes, rejected, None
        intent_id = self._record_intent(outcomes)
        try:
            self._readings.write(outcomes.to_write)
        except StoreRejected as exc:
            refused = outcomes.to_write[list(exc.rows)].select(_VERSION_KEY)
            bad = accepted.join(refused, on=_VERSION_KEY, how="semi")
            reason = pl.lit(Reason.STORE_REJECTED.value).alias("reason")
            bad_rows = bad.select("message", "index", reason, pl.lit(str(exc)[:200]).alias("detail"))
            outcomes = self._outcomes(accepted.join(refused, on=_VERSION_KEY, how="anti"))
            rejected = pl.concat([rejected, bad_rows.cast(rejected.schema)])
        return outcomes, rejected, intent_id

    def _outcomes(self, accepted: pl.DataFrame) -> Outcomes:
        """Outcomes against the books; looks up only what is behind a watermark or in an open intent."""
        watermarks = self._known_watermarks(accepted["point"].unique())
        keys = accepted.select("point", "ts").unique()
        behind = keys.join(watermarks, on="point").filter(pl.col("ts") <= pl.col("watermark"))
        looked_up = pl.concat([behind.select("point", "ts"), self._open.keys_among(keys)]).unique()
        booked = READINGS.empty()
        if not looked_up.is_empty():
            booked = self._open.without_unbooked(self._readings.versions(looked_up))
        return outcomes_of(accepted, booked, watermarks)

    def _record_intent(self, outcomes: Outcomes) -> str:
        lease = self._require_lease()
        intent = Intent(
            uuid.uuid4().hex,
            self._partition,
            lease.epoch,
            self._clock.now(),
            outcomes.to_write,
            outcomes.dirty,
        )
        self._state.record_intent(lease, intent)
        self._open.add(intent)  # until it is booked: if the write fails now, it stays open
        return intent.intent_id

    def _booking(
        self,
        batch: Batch,
        outcomes: Outcomes,
        rejected: pl.DataFrame,
        intent_id: str | None,
        receipts: Sequence[MessageReceipt],
    ) -> Booking:
        now = self._clock.now()
        entry = batch.inbox
        arrived_at = now if entry is None else entry.accepted_at
        return Booking(
            at=now,
            intent_id=intent_id,
            ledger=_ledger(batch, outcomes, rejected),
            corrections=outcomes.corrections,
            quarantine=quarantine_entries(
                batch, rejected, raw_cap=self._settings.raw_cap_message, arrived_at=arrived_at
            ),
            dirty=outcomes.dirty,
            watermarks=advanced_watermarks(outcomes.rows),
            last_seen=_last_seen(batch, outcomes.rows, now),
            statuses=batch.statuses,
            inbox_done={}
            if entry is None
            else {entry.inbox_id: msgspec.json.encode(list(receipts)).decode()},
            replayed=() if entry is None or entry.quarantine_id is None else (entry.quarantine_id,),
            intents_left=self._open.left_after(outcomes.rows, booked_intent=intent_id),
        )

    def _book(self, booking: Booking) -> None:
        self._state.book(self._require_lease(), booking)
        self._open.booked(booking.intent_id, booking.intents_left)
        self._watermarks = _latest(self._watermarks, booking.watermarks)

    def _settle_open_intents(self) -> None:
        """Book what a predecessor wrote and did not book: a delivery of its own."""
        for intent in self._open.intents():
            rows = self._open.rows(intent.intent_id)
            stored = self._readings.versions(rows.select("point", "ts").unique())
            found = rows.join(stored, on=list(READINGS.schema), how="semi")
            if found.is_empty():
                continue
            found = found.join(self._registry_points, on="point", how="left")
            watermarks = self._known_watermarks(found["point"].unique())
            outcomes = outcomes_of(found, self._open.without_unbooked(stored), watermarks)
            batch = Batch(Source.SETTLEMENT, (), decode((), self._limits))
            dirty = (
                pl.concat([outcomes.dirty, intent.dirty])
                .group_by("enterprise", "day")
                .agg(pl.col("late").any())
            )
            self._book(
                Booking(
                    at=self._clock.now(),
                    ledger=_ledger(batch, outcomes, rejected_frame(batch.decoded)),
                    corrections=outcomes.corrections,
                    dirty=dirty,
                    watermarks=advanced_watermarks(outcomes.rows),
                    intents_left=self._open.left_after(outcomes.rows, booked_intent=None),
                )
            )
            self._count(batch, outcomes, rejected_frame(batch.decoded))
            _LOG.info("settled %d readings that a predecessor left unbooked", found.height)

    def _known_watermarks(self, points: pl.Series) -> pl.DataFrame:
        """WATERMARK_SCHEMA of these points, from memory; the books are asked once per point and lease."""
        wanted = points.to_frame("point")
        unknown = wanted.join(self._watermarks, on="point", how="anti")["point"]
        if not unknown.is_empty():
            loaded = self._state.watermarks(unknown.to_list())
            asked = unknown.to_frame("point").join(loaded, on="point", how="left")
            self._watermarks = pl.concat([self._watermarks, asked])
        return self._watermarks.join(wanted, on="point", how="semi").drop_nulls("watermark")

    # ------------------------------------------------------------------------------------ afterwards

    def _send_receipts(self, receipts: Sequence[tuple[str, bytes]]) -> None:
        if self._subscriber is None:
            return
        for topic, payload in receipts:
            self._subscriber.publish(topic, payload)

    def _count(self, batch: Batch, outcomes: Outcomes, rejected: pl.DataFrame) -> None:
        for row in _ledger(batch, outcomes, rejected).iter_rows(named=True):
            self._telemetry.readings.labels(row["source"], row["outcome"], row["reason"]).inc(row["count"])

    def _pause(self, exc: StoreUnavailable) -> None:
        self._is_unsure = True
        first, longest = _BACKOFF_S
        self._backoff = min(longest, self._backoff * 2 or first)
        self._retry_at = time.monotonic() + (exc.retry_after or self._backoff)
        self._telemetry.retries.labels("ingest").inc()
        _LOG.warning("a store is away, next try in %.1f s: %s", self._backoff, exc)

    def _require_lease(self) -> Lease:
        if self._lease is None:
            raise LeaseLost(f"partition {self._partition} is not ours")
        return self._lease


def _ledger(batch: Batch, outcomes: Outcomes, rejected: pl.DataFrame) -> pl.DataFrame:
    """LEDGER_SCHEMA of a batch: every delivered reading once."""
    source = pl.lit(batch.source.value).alias("source")
    booked = outcomes.rows.group_by("enterprise", "outcome").agg(pl.len().cast(pl.Int64).alias("count"))
    owners = [owner_of(batch, message)[0] for message in batch.messages]
    refused = rejected.with_columns(
        pl.col("message")
        .replace_strict(list(range(len(owners))), owners, default="", return_dtype=pl.String)
        .alias("enterprise")
    )
    refused = refused.group_by("enterprise", "reason").agg(pl.len().cast(pl.Int64).alias("count"))
    columns = list(LEDGER_SCHEMA)
    return pl.concat(
        [
            booked.with_columns(source, pl.lit("").alias("reason")).select(columns),
            refused.with_columns(source, pl.lit(Outcome.QUARANTINED.value).alias("outcome")).select(columns),
        ]
    ).sort(columns)


def _last_seen(batch: Batch, rows: pl.DataFrame, now: int) -> pl.DataFrame:
    """When each device last delivered something acceptable, as LAST_SEEN_SCHEMA."""
    if batch.source is not Source.MQTT:
        return pl.DataFrame(schema=dict(LAST_SEEN_SCHEMA))
    devices = rows.select("enterprise", "device").unique().sort("enterprise", "device")
    return devices.with_columns(pl.lit(now, dtype=pl.Int64).alias("at"))


def _latest(known: pl.DataFrame, news: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([known, news]).group_by("point").agg(pl.col("watermark").max())
