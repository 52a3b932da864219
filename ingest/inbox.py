"""Deliveries that came by file, API, replay or from an orphaned spool: as batches like any other."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from ingest.batching import BYTES_PER_READING, Batch, split_statuses
from ingest.spool import Spool, Spooled
from ingest.tables import decode_table
from nengshao.domain.errors import ReadingRejected
from nengshao.domain.readings import VERSION_LEAD_S, VERSION_SPAN, Source
from nengshao.ports import InboxEntry, StateStore
from nengshao.settings import IngestSettings
from nengshao.wire import (
    DATA,
    RAW_SCHEMA,
    Decoded,
    Limits,
    Message,
    Rejection,
    Topic,
    decode,
    device_named,
    parse_topic,
    payload_digest,
)

_PARTITION = re.compile(r"[0-9]+\.[0-9]+")  # what our spools' folders are called
_TABLES = ("csv", "xlsx")
_SPOOL = "spool"  # who hands in what a spool had to give away
_TABLE_TOPIC = "upload/"  # stands for the topic of a table in the quarantine
_MAX_TABLE_ROWS = 200_000  # a year of quarter hours of five points; a person can cut a longer table


def batch_of_entry(state: StateStore, entry: InboxEntry, limits: Limits) -> Batch | None:
    """The batch of one inbox entry; a table that cannot be read is one rejection. None: the replay of what
    somebody has replayed before. Raises: StoreUnavailable.
    """
    if entry.quarantine_id is None:
        return _batch(entry, limits, frozenset())
    found = state.quarantine_raw(entry.quarantine_id)
    if found is None:
        return None
    refused = found[0]
    repeats = refused["count"] - refused["count"] // refused["seen"]
    return replace(_batch(entry, limits, frozenset(refused["indexes"])), repeats=repeats)


def _batch(entry: InboxEntry, limits: Limits, only_indexes: frozenset[int]) -> Batch:
    table_format = _table_format(entry)
    by_person = entry.source in (Source.FILE, Source.API) or table_format is not None
    if table_format is not None:
        messages = [Message(_TABLE_TOPIC + table_format, entry.raw)]
        decoded = _decoded_table(entry, table_format)
    else:
        messages = [Message(entry.topic or _upload_topic(entry, limits), entry.raw)]
        most = max(limits.max_message_bytes, len(entry.raw))
        decoded = decode(messages, replace(limits, max_message_bytes=most))
    return Batch(
        entry.source, messages, decoded, by_person=by_person, enterprise=entry.enterprise, inbox=entry,
        only_indexes=only_indexes, arrived=[entry.accepted_at],
    )  # fmt: skip


def is_orphan(entry: InboxEntry) -> bool:
    """Whether the entry is a message that a spool had to give away."""
    return entry.source is Source.MQTT and entry.submitted_by == _SPOOL and entry.quarantine_id is None


def batch_of_orphans(orphans: Sequence[InboxEntry], limits: Limits) -> Batch:
    """Messages of spools, together, as they would have been booked without the detour."""
    arrivals = ((Message(orphan.topic, orphan.raw), orphan.accepted_at) for orphan in orphans)
    messages, arrived, statuses = split_statuses(arrivals)
    decoded = decode(messages, limits)
    return Batch(Source.MQTT, messages, decoded, statuses=statuses, arrived=arrived, orphans=orphans)


def hand_over(spool: Spool, state: StateStore, max_bytes: int) -> bool:
    """Put a batch of a spool into the inbox, where the holders find it; whether there was one."""
    batch = spool.head(max_bytes)
    if not batch:  # the rest is damaged: counted as torn, and not to be had
        spool.give_up()
        return False
    state.put_inbox_all([orphaned_entry(spooled) for spooled in batch])
    spool.settle(batch)
    return True


def hand_over_strangers(
    folder: Path, own: Collection[str], state: StateStore, settings: IngestSettings
) -> None:
    """Empty every spool of `folder` that has another name: its partition is no more."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if _PARTITION.fullmatch(path.name) and path.name not in own:
            spool = Spool(path, settings.spool_max_bytes)
            while hand_over(spool, state, settings.batch_rows * BYTES_PER_READING):
                pass
            shutil.rmtree(path)


def orphaned_entry(spooled: Spooled) -> InboxEntry:
    """A spooled message for the inbox: its partition has passed to another holder."""
    message = spooled.message
    topic, named = parse_topic(message.topic), message.topic.encode() + b"\0" + message.payload
    return InboxEntry(
        source=Source.MQTT,
        enterprise=topic.enterprise if topic else "",
        device=topic.device if topic else "",
        topic=message.topic,
        format="wire",
        raw=message.payload,
        accepted_at=spooled.arrived_at,
        idempotency_key=f"spool:{payload_digest(named)}:{spooled.arrived_at}",
        submitted_by=_SPOOL,
    )


def _table_format(entry: InboxEntry) -> str | None:
    """csv or xlsx for a table, also when it comes back from quarantine; None for a message."""
    name = entry.topic.removeprefix(_TABLE_TOPIC) if entry.topic.startswith(_TABLE_TOPIC) else entry.format
    return name if name in _TABLES else None


def with_believable_versions(raw: pl.DataFrame, arrived_at: int, future_limit_s: int) -> pl.DataFrame:
    """For a replay: a version that could not be believed becomes the arrival time kept with the raw bytes.

    So a replay never beats a newer version: it is at most as young as its arrival.
    """
    lead = pl.col("version") - pl.col("ts") + VERSION_LEAD_S
    unbelievable = (lead < 0) | (lead >= VERSION_SPAN) | (pl.col("version") > arrived_at + future_limit_s)
    version = pl.when(unbelievable).then(pl.lit(arrived_at, dtype=pl.Int64)).otherwise(pl.col("version"))
    return raw.with_columns(version.alias("version"))


def _decoded_table(entry: InboxEntry, table_format: str) -> Decoded:
    try:
        return decode_table(entry.raw, table_format, entry.enterprise, entry.accepted_at, _MAX_TABLE_ROWS)
    except ReadingRejected as exc:
        return Decoded(
            pl.DataFrame(schema=dict(RAW_SCHEMA)), {}, [Rejection(0, None, exc.reason, exc.detail)]
        )


def _upload_topic(entry: InboxEntry, limits: Limits) -> str:
    """The topic that an uploaded message would have come on."""
    return str(Topic(entry.enterprise, device_named(entry.raw, limits) or "upload", DATA))
