"""The books of one partition: from a decoded batch to the third commit, and nothing acknowledged before.

Lines 4 to 6 of the life of a reading: screening, intent, store write, booking. What a predecessor left
unbooked is settled first. The holder of the partition's lease is the only one who calls this.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import polars as pl

from ingest.batching import Batch, owner_of, quarantine_entries, rejected_frame
from ingest.inbox import with_believable_versions
from ingest.outcomes import TAIL_SCHEMA, Outcomes, advanced_watermarks, merged_watermarks, outcomes_of
from ingest.receipts import message_receipts
from ingest.screening import Screen, TimeLimits
from ingest.settlement import OpenIntents
from nengshao.domain.errors import StoreRejected
from nengshao.domain.readings import Outcome, Reason, Source
from nengshao.domain.time import DAY_S
from nengshao.frames import READINGS
from nengshao.ports import (
    LAST_SEEN_SCHEMA,
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
_VERSION_KEY: Final = ["point", "ts", "version"]


@dataclass(frozen=True, slots=True)
class _Written:
    """A batch whose rows are in the store: what became of each, what was refused, under which intent."""

    outcomes: Outcomes
    rejected: pl.DataFrame
    intent_id: str | None


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
        self._valid_numbers = {name: dialect.valid for name, dialect in dialects.items()}
        self._follow(Registry())
        self._forget()

    def _forget(self) -> None:
        self._watermarks = pl.DataFrame(schema=TAIL_SCHEMA)
        self._open = OpenIntents()

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
        """Screen, write and book a batch; one receipt per message. On return the books have it.

        Raises: StoreUnavailable (nothing is lost: the caller still has the messages; call `read_books`
        before the next batch), LeaseLost.
        """
        started = time.perf_counter()
        accepted, rejected = self._screened(batch)
        written = self._written(lease, accepted, rejected)
        receipts = message_receipts(
            batch.messages, batch.decoded.sequences, written.outcomes.rows, written.rejected
        )
        tails = advanced_watermarks(written.outcomes.rows)
        self.book(lease, self._booking(batch, written, receipts, tails), tails)
        self._telemetry.batch_seconds.observe(time.perf_counter() - started)
        return receipts

    def book(self, lease: Lease, booking: Booking, tails: pl.DataFrame | None = None) -> None:
        """The third commit, and what memory and metrics take from it. `tails`: its TAIL_SCHEMA, if any."""
        self._state.book(lease, booking)
        self._open.booked(booking.intent_id, booking.intents_left)
        if tails is not None:
            self._watermarks = merged_watermarks(self._watermarks, tails)
        for row in booking.ledger.iter_rows(named=True):
            self._telemetry.readings.labels(row["source"], row["outcome"], row["reason"]).inc(row["count"])

    def _screened(self, batch: Batch) -> tuple[pl.DataFrame, pl.DataFrame]:
        raw = batch.decoded.readings
        if batch.inbox is not None and batch.inbox.quarantine_id is not None:
            raw = with_believable_versions(raw, batch.inbox.accepted_at, self._settings.future_limit_s)
        past_s = None if batch.by_person else self._settings.past_limit_days * DAY_S
        limits = TimeLimits(self._clock.now(), self._settings.future_limit_s, past_s)
        screened = self._screen.screened(raw, limits, by_person=batch.by_person)
        rejected = pl.concat([rejected_frame(batch.decoded), screened.rejected])
        if batch.only_indexes:
            wanted = pl.col("index").is_in(sorted(batch.only_indexes))
            return screened.accepted.filter(wanted), _of_indexes(rejected, sorted(batch.only_indexes))
        return screened.accepted, rejected

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
        watermarks = self._known_watermarks(accepted["point"].unique())
        keys = accepted.select("point", "ts").unique()
        behind = keys.join(watermarks, on="point").filter(pl.col("ts") <= pl.col("watermark"))
        looked_up = pl.concat([behind.select("point", "ts"), self._open.keys_among(keys)]).unique()
        booked = READINGS.empty()
        if not looked_up.is_empty():
            booked = self._open.without_unbooked(self._readings.versions(looked_up))
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

    def _booking(
        self, batch: Batch, written: _Written, receipts: Sequence[MessageReceipt], tails: pl.DataFrame
    ) -> Booking:
        now, entry, outcomes = self._clock.now(), batch.inbox, written.outcomes
        replayed = None if entry is None else entry.quarantine_id
        return Booking(
            at=now,
            intent_id=written.intent_id,
            ledger=_ledger(batch, outcomes, written.rejected),
            corrections=outcomes.corrections,
            quarantine=quarantine_entries(
                batch,
                written.rejected,
                raw_cap=self._settings.raw_cap_message,
                arrived_at=now if entry is None else entry.accepted_at,
            ),
            dirty=outcomes.dirty,
            watermarks=tails.select(list(WATERMARK_SCHEMA)),
            last_seen=_last_seen(batch, outcomes.rows, now),
            statuses=batch.statuses,
            inbox_done={entry.inbox_id: _receipt_text(receipts)} if entry is not None else {},
            replayed=() if replayed is None else (replayed,),
            intents_left=self._open.left_after(outcomes.rows, booked_intent=written.intent_id),
        )

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
        tails = advanced_watermarks(outcomes.rows)
        dirty = pl.concat([outcomes.dirty, intent.dirty])
        nothing = Batch(Source.SETTLEMENT, (), Decoded(pl.DataFrame(), {}, ()))
        booking = Booking(
            at=self._clock.now(),
            ledger=_ledger(nothing, outcomes, rejected_frame(nothing.decoded)),
            corrections=outcomes.corrections,
            dirty=dirty.group_by("enterprise", "day").agg(pl.col("late").any()),
            watermarks=tails.select(list(WATERMARK_SCHEMA)),
            intents_left=self._open.left_after(outcomes.rows, booked_intent=None),
        )
        self.book(lease, booking, tails)
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


def _receipt_text(receipts: Sequence[MessageReceipt]) -> str:
    return msgspec.json.encode(list(receipts)).decode()


def _ledger(batch: Batch, outcomes: Outcomes, rejected: pl.DataFrame) -> pl.DataFrame:
    """LEDGER_SCHEMA of a batch: every delivered reading once."""
    source = pl.lit(batch.source.value).alias("source")
    booked = outcomes.rows.group_by("enterprise", "outcome").agg(pl.len().cast(pl.Int64).alias("count"))
    owners = [owner_of(batch, message)[0] for message in batch.messages]
    owner = pl.col("message").replace_strict(
        list(range(len(owners))), owners, default="", return_dtype=pl.String
    )
    refused = rejected.with_columns(owner.alias("enterprise"))
    refused = refused.group_by("enterprise", "reason").agg(pl.len().cast(pl.Int64).alias("count"))
    columns = list(LEDGER_SCHEMA)
    again = pl.DataFrame(
        [(batch.enterprise, batch.source.value, Outcome.DUPLICATE.value, "", batch.repeats)],
        schema=dict(LEDGER_SCHEMA),
        orient="row",
    )
    return pl.concat(
        [
            again.filter(pl.col("count") > 0),
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
