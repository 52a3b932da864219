"""Deliveries that came by file, API, replay or from an orphaned spool: as batches like any other."""

from __future__ import annotations

import msgspec
import polars as pl

from ingest.batching import Batch
from ingest.spool import Spooled
from ingest.tables import decode_table
from nengshao.domain.errors import ReadingRejected
from nengshao.domain.readings import VERSION_LEAD_S, VERSION_SPAN, Source
from nengshao.ports import InboxEntry
from nengshao.wire import (
    DATA,
    RAW_SCHEMA,
    Decoded,
    Limits,
    Message,
    Rejection,
    Topic,
    decode,
    parse_topic,
    payload_digest,
)

_TABLES = ("csv", "xlsx")
_TABLE_TOPIC = "upload/"  # stands for the topic of a table in the quarantine
_MAX_TABLE_ROWS = 200_000  # a year of quarter hours of five points; a person can cut a longer table


class _Sender(msgspec.Struct):
    """The part of a JSON upload that says which device it speaks for."""

    deviceId: str = ""  # noqa: N815  # the national field name


def batch_of_entry(entry: InboxEntry, limits: Limits, only_indexes: frozenset[int]) -> Batch:
    """The batch of one inbox entry; a table that cannot be read is one rejection."""
    table_format = _table_format(entry)
    by_person = entry.source in (Source.FILE, Source.API) or table_format is not None
    if table_format is not None:
        message = Message(_TABLE_TOPIC + table_format, entry.raw)
        decoded = _decoded_table(entry, table_format)
    else:
        message = Message(entry.topic or _upload_topic(entry), entry.raw)
        decoded = decode(
            [message], Limits(max(limits.max_message_bytes, len(entry.raw)), limits.max_readings)
        )
    return Batch(
        entry.source, [message], decoded, by_person=by_person, enterprise=entry.enterprise, inbox=entry,
        only_indexes=only_indexes,
    )  # fmt: skip


def orphaned_entry(spooled: Spooled, partition: int) -> InboxEntry:
    """A spooled message for the inbox of a partition that has passed to another holder."""
    message = spooled.message
    topic = parse_topic(message.topic)
    return InboxEntry(
        source=Source.MQTT,
        enterprise=topic.enterprise if topic else "",
        device=topic.device if topic else "",
        topic=message.topic,
        format="wire",
        raw=message.payload,
        accepted_at=spooled.arrived_at,
        idempotency_key=f"spool:{message.topic}:{payload_digest(message.payload)}:{spooled.arrived_at}",
        partition=partition,
        submitted_by="spool",
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


def _upload_topic(entry: InboxEntry) -> str:
    """The topic that a JSON upload's message would have come on."""
    try:
        device = msgspec.json.decode(entry.raw, type=_Sender).deviceId
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        device = ""
    return str(Topic(entry.enterprise, device or "upload", DATA))
