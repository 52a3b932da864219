"""The books of one partition: from a decoded batch to the third commit, and nothing acknowledged before.

Lines 4 to 6 of the life of a reading: screening, intent, store write, booking. What a predecessor left
unbooked is settled first. The holder of the partition's lease is the only one who calls this.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import polars as pl

from ingest.batching import Batch, owner_of, quarantine_entries, rejected_frame
from ingest.clocks import STAMPS_SCHEMA, Clocks, latest_of_devices, with_future
from ingest.gaps import Expectations, GapLimits, Refusals
from ingest.inbox import with_believable_versions
from ingest.outcomes import TAIL_SCHEMA, Outcomes, merged_watermarks, outcomes_of
from ingest.receipts import message_receipts
from ingest.screening import Screen, TimeLimits
from ingest.settlement import OpenIntents
from nengshao.domain.errors import StoreRejected
from nengshao.domain.readings import Outcome, Reason, Source
from nengshao.domain.time import DAY_S
from nengshao.frames import READINGS
from nengshao.ports import (
    LEDGER_SCHEMA,
    WATERMARK_SCHEMA,
    Booking,
    Clock,
    Intent,
    Lease,
    ReadingStore,
    StateStore,
)
from nengshao.registry import Registry
from nengshao.settings import Dialect, IngestSettings
from nengshao.telemetry import Telemetry
from nengshao.wire import Decoded, MessageReceipt

_LOG: Final = logging.getLogger(__name__)
_NOBODY: Final = pl.DataFrame(schema=STAMPS_SCHEMA)
_VERSION_KEY: Final = ["point", "ts", "version"]


@dataclass(frozen=True, slots=True)
class Screened:
    """A batch and what screening makes of it: READINGS + message, index, enterprise, device, kind;
    REJECTED_SCHEMA; REFUSED_SCHEMA."""

    batch: Batch
    accepted: pl.DataFrame
    rejected: pl.DataFrame
    refused: pl.DataFrame


@dataclass(frozen=True, slots=True)
class _Written:
    """A batch whose rows are in the store: what became of each, what was refused, under which intent."""

    outcomes: Outcomes
    rejected: pl.DataFrame
    intent_id: str | None


@dataclass(frozen=True, slots=True)
class Unbooked:
    """A batch that needs only its third commit. What memory knows already counts it as booked."""

    batch: Batch
    written: _Written
    booking: Booking
    started: float


class Bookkeeper:
    """Books batches under a lease. Keeps in memory what only the holder may: watermarks and open intents."""

    def __init__(
        self,
        state: StateStore,
        readings: ReadingStore,
        clock: Clock,
        telemetry: Telemetry,
        *,
        settings: IngestSettings,
        dialects: Mapping[str, Dialect],
    ) -> None:
        self._state, self._readings, self._clock, self._telemetry = state, readings, clock, telemetry
        self._settings = settings
        self._clocks = Clocks(telemetry, settings.clock_limit_s)
        self._valid_numbers = {name: dialect.valid for name, dialect in dialects.items()}
        self._follow(Registry())
        self._forget()

    def _forget(self) -> None:
        self._watermarks = pl.DataFrame(schema=TAIL_SCHEMA)
        self._open = OpenIntents()
        self._refusals = Refusals()
        self._clocks.forget()

    # ---------------------------------------------------------------------------- what it goes by

    def read_registry(self) -> Registry | None:
        """Follow the registry; the new one if it has changed since the last call."""
        if self._state.registry_version() == self._registry_version:
            return None
        registry = self._state.registry()
        self._follow(registry)
        return registry

    def _follow(self, registry: Registry) -> None:
        self._screen = Screen(registry, self._valid_numbers)
        self._expectations = Expectations(registry)
        self._owners = registry.points.select("point", "enterprise", "kind").unique("point")
        self._registry_version = registry.version

    def read_books(self, partition: int) -> None:
        """What the books hold, from the books: after a take-over, and after a commit that was not answered.

        It may have gone through all the same; its rows would be stored twice if we went by memory.
        """
        self._forget()
        self._open = OpenIntents(self._state.open_intents(partition))

    def _known_watermarks(self, points: pl.Series) -> pl.DataFrame:
        """TAIL_SCHEMA of these points, from memory; the books are asked once per point and lease."""
        wanted = points.to_frame("point")
        unknown = wanted.join(self._watermarks, on="point", how="anti")["point"]
        if not unknown.is_empty():
            loaded = self._state.watermarks(unknown.to_list())
            asked = unknown.to_frame("point").join(loaded, on="point", how="left")
            nobody_knows = pl.lit(None, dtype=pl.Boolean).alias("tail_valid")
            self._watermarks = pl.concat([self._watermarks, asked.with_columns(nobody_knows)])
        return self._watermarks.join(wanted, on="point", how="semi").drop_nulls("watermark")

    # ------------------------------------------------------------------------------------ booking

    def book_batch(self, lease: Lease, batch: Batch) -> list[MessageReceipt]:
        """Screen, write and book a batch. See `book_screened`."""
        return self.book_screened(lease, self.screened(batch))

    def book_screened(self, lease: Lease, screened: Screened) -> list[MessageReceipt]:
        """Write and book a batch; one receipt per message. On return the books have it.

        Raises: StoreUnavailable (nothing is lost: the caller still has the messages; call `read_books`
        before the next batch), LeaseLost.
        """
        return self.commit(lease, self.write(lease, screened))

    def write(self, lease: Lease, screened: Screened) -> Unbooked:
        """Judge, intend and write a batch, as if all that was written before it were booked.

        If one of those turns out not to be, this one must not be committed: call `read_books`, and begin
        again with both. Raises: StoreUnavailable, LeaseLost.
        """
        started = time.perf_counter()
        batch = screened.batch
        if self._open.contradict(screened.accepted):  # of two values the greater stands: both must be known
            self.settle_open_intents(lease)
        written = self._written(lease, screened.accepted, screened.rejected)
        booking = self._booking(batch, written, self._gaps(written.outcomes, screened.refused))
        self._note(booking, written.outcomes.tails)
        self._refusals.note(screened.refused)
        return Unbooked(batch, written, booking, started)

    def commit(self, lease: Lease, unbooked: Unbooked) -> list[MessageReceipt]:
        """The third commit of a batch; one receipt per message. Another thread may do it while the next batch
        is written: it touches nothing that writing one does. Raises: StoreUnavailable, LeaseLost.
        """
        batch, written = unbooked.batch, unbooked.written
        receipts = message_receipts(
            batch.messages, batch.decoded.sequences, written.outcomes.rows, written.rejected
        )
        self._commit(lease, replace(unbooked.booking, inbox_done=_inbox_done(batch, receipts)))
        self._telemetry.batch_seconds.observe(time.perf_counter() - unbooked.started)
        return receipts

    def book(self, lease: Lease, booking: Booking, tails: pl.DataFrame | None = None) -> None:
        """The third commit, and what memory and metrics take from it. `tails`: its TAIL_SCHEMA, if any."""
        self._commit(lease, booking)
        self._note(booking, tails)

    def _note(self, booking: Booking, tails: pl.DataFrame | None) -> None:
        """What memory knows of the books from now on."""
        self._open.booked(booking.intent_id, booking.intents_left)
        if tails is not None:
            self._watermarks = merged_watermarks(self._watermarks, tails)

    def _commit(self, lease: Lease, booking: Booking) -> None:
        self._state.book(lease, booking)
        for row in booking.ledger.iter_rows(named=True):
            self._telemetry.readings.labels(row["source"], row["outcome"], row["reason"]).inc(row["count"])

    def screened(self, batch: Batch) -> Screened:
        """A batch against the registry and the limits. Asks no store: another thread may do it beforehand."""
        raw = batch.decoded.readings
        if batch.inbox is not None and batch.inbox.quarantine_id is not None:
            raw = with_believable_versions(raw, batch.inbox.accepted_at, self._settings.future_limit_s)
        past_s = None if batch.by_person else self._settings.past_limit_days * DAY_S
        limits = TimeLimits(self._clock.now(), self._settings.future_limit_s, past_s)
        screened = self._screen.screened(raw, limits, by_person=batch.by_person)
        rejected = pl.concat([rejected_frame(batch.decoded), screened.rejected])
        if batch.only_indexes:
            wanted = pl.col("index").is_in(sorted(batch.only_indexes))
            alone = _of_indexes(rejected, sorted(batch.only_indexes))
            return Screened(batch, screened.accepted.filter(wanted), alone, screened.refused)
        return Screened(batch, screened.accepted, rejected, screened.refused)

    def _written(self, lease: Lease, accepted: pl.DataFrame, rejected: pl.DataFrame) -> _Written:
        """Intent and store write; rows that the store will never take join the rejected."""
        outcomes = self._outcomes(accepted)
        if outcomes.to_write.is_empty():
            return _Written(outcomes, rejected, None)
        intent_id = self._open.covering(outcomes.to_write) or self._record_intent(lease, outcomes)
        try:
            self._readings.write(outcomes.to_write)
        except StoreRejected as exc:
            refused = outcomes.to_write[list(exc.rows)].select(_VERSION_KEY)
            outcomes = self._outcomes(accepted.join(refused, on=_VERSION_KEY, how="anti"))
            bad = accepted.join(refused, on=_VERSION_KEY, how="semi")
            rejected = pl.concat([rejected, _refused_by_store(bad, str(exc), rejected.schema)])
        return _Written(outcomes, rejected, intent_id)

    def _outcomes(self, accepted: pl.DataFrame) -> Outcomes:
        """Outcomes against the books; looks up only what is behind a watermark or in an open intent."""
        earliest = accepted.group_by("point").agg(pl.col("ts").min())
        watermarks = self._known_watermarks(earliest["point"])
        keys, is_behind = accepted[["point", "ts"]], pl.col("ts") <= pl.col("watermark")
        late = (
            earliest.lazy().join(watermarks.lazy(), on="point").filter(is_behind).select("point", "watermark")
        )
        marks, looked_up = late.collect(), self._open.keys_among(keys)
        if not marks.is_empty():
            behind = keys.join(marks, on="point").filter(is_behind)
            looked_up = pl.concat([looked_up, behind.select("point", "ts")])
        booked = READINGS.empty()
        if not looked_up.is_empty():
            booked = self._open.without_unbooked(self._readings.versions(looked_up.unique()))
        return outcomes_of(accepted, booked, watermarks)

    def _record_intent(self, lease: Lease, outcomes: Outcomes) -> str:
        intent = Intent(
            uuid.uuid4().hex,
            lease.partition,
            lease.epoch,
            self._clock.now(),
            outcomes.to_write,
            outcomes.dirty,
        )
        self._state.record_intent(lease, intent)
        self._open.add(intent)  # until it is booked: if the write fails now, it stays open
        return intent.intent_id

    def _booking(self, batch: Batch, written: _Written, gaps: pl.DataFrame) -> Booking:
        now, entry, outcomes = self._clock.now(), batch.inbox, written.outcomes
        heard = latest_of_devices(outcomes.rows) if batch.source is Source.MQTT else _NOBODY
        came = max(batch.arrived, default=now)  # what waited in a spool says nothing of now
        replayed = None if entry is None else entry.quarantine_id
        return Booking(
            at=now,
            intent_id=written.intent_id,
            ledger=_ledger(batch, outcomes, written.rejected),
            corrections=outcomes.corrections,
            quarantine=quarantine_entries(
                batch, written.rejected, raw_cap=self._settings.raw_cap_message, now=now
            ),
            dirty=outcomes.dirty,
            watermarks=outcomes.tails.select(list(WATERMARK_SCHEMA)),
            last_seen=heard.select("enterprise", "device", pl.lit(came, dtype=pl.Int64).alias("at")),
            clocks=self._clocks.news(with_future(heard, batch.decoded.readings, written.rejected), came),
            gaps=gaps,
            statuses=batch.statuses,
            replayed=() if replayed is None else (replayed,),
            intents_left=self._open.left_after(outcomes.rows, booked_intent=written.intent_id),
        )

    def _gaps(self, outcomes: Outcomes, refused: pl.DataFrame | None = None) -> pl.DataFrame:
        """What these rows show to be missing before them, as GAPS_SCHEMA. What was refused is not missing."""
        reach_s = self._settings.resend_reach_days * DAY_S
        limits = GapLimits(self._clock.now(), self._settings.resend_grace_s, reach_s)
        rows, watermarks = self._refusals.counted(outcomes.rows, outcomes.watermarks, refused)
        return self._expectations.gaps(rows, watermarks, limits)

    # --------------------------------------------------------------------------------- settlement

    def settle_open_intents(self, lease: Lease) -> None:
        """Book what a predecessor wrote and did not book: a delivery of its own."""
        for intent in self._open.intents():
            rows = self._open.rows(intent.intent_id)
            stored = self._readings.versions(rows.select("point", "ts").unique())
            found = rows.join(stored, on=list(READINGS.schema), how="semi")
            if not found.is_empty():
                self._settle(lease, intent, found, stored)

    def _settle(self, lease: Lease, intent: Intent, found: pl.DataFrame, stored: pl.DataFrame) -> None:
        owned = found.join(self._owners, on="point", how="left").with_columns(
            pl.col("enterprise").fill_null("")  # the point has left the registry meanwhile
        )
        watermarks = self._known_watermarks(found["point"].unique())
        outcomes = outcomes_of(owned, self._open.without_unbooked(stored), watermarks)
        dirty = pl.concat([outcomes.dirty, intent.dirty])
        nothing = Batch(Source.SETTLEMENT, (), Decoded(pl.DataFrame(), {}, ()))
        booking = Booking(
            at=self._clock.now(),
            ledger=_ledger(nothing, outcomes, rejected_frame(nothing.decoded)),
            corrections=outcomes.corrections,
            dirty=dirty.group_by("enterprise", "day").agg(pl.col("late").any()),
            watermarks=outcomes.tails.select(list(WATERMARK_SCHEMA)),
            gaps=self._gaps(outcomes),
            intents_left=self._open.left_after(outcomes.rows, booked_intent=None),
        )
        self.book(lease, booking, outcomes.tails)
        _LOG.info("settled %d readings that a predecessor left unbooked", found.height)


def _of_indexes(rejected: pl.DataFrame, indexes: list[int]) -> pl.DataFrame:
    """The rejections of these readings of a replayed message. One of the whole message is one of each:
    none of them may leave the quarantine unnoticed.
    """
    whole = rejected.filter(pl.col("index").is_null())
    each = whole.drop("index").join(pl.DataFrame({"index": indexes}, schema={"index": pl.Int32}), how="cross")
    alone = rejected.filter(pl.col("index").is_in(indexes))
    return pl.concat([alone, each.select(rejected.columns)])


def _refused_by_store(rows: pl.DataFrame, detail: str, schema: pl.Schema) -> pl.DataFrame:
    """Accepted rows as rejections, because the store will never take them."""
    reason = pl.lit(Reason.STORE_REJECTED.value).alias("reason")
    return rows.select("message", "index", reason, pl.lit(detail[:200]).alias("detail")).cast(schema)


def _inbox_done(batch: Batch, receipts: Sequence[MessageReceipt]) -> dict[int, str]:
    """What the inbox keeps of its entries. An orphan's receipt is its device's: nobody asks here for it."""
    done = {orphan.inbox_id: "[]" for orphan in batch.orphans}
    if batch.inbox is not None:
        done[batch.inbox.inbox_id] = msgspec.json.encode(list(receipts)).decode()
    return done


def _ledger(batch: Batch, outcomes: Outcomes, rejected: pl.DataFrame) -> pl.DataFrame:
    """LEDGER_SCHEMA of a batch: every delivered reading once."""
    source = batch.source.value
    accepted = outcomes.rows.group_by("enterprise", "outcome").len()
    counts = [(enterprise, source, outcome, "", count) for enterprise, outcome, count in accepted.iter_rows()]
    refused = Counter(
        (owner_of(batch, batch.messages[number])[0], reason)
        for number, reason in zip(rejected["message"], rejected["reason"], strict=True)
    )
    quarantined = Outcome.QUARANTINED.value
    counts += [(enterprise, source, quarantined, reason, n) for (enterprise, reason), n in refused.items()]
    if batch.repeats:
        counts.append((batch.enterprise, source, Outcome.DUPLICATE.value, "", batch.repeats))
    return pl.DataFrame(sorted(counts), schema=dict(LEDGER_SCHEMA), orient="row")
