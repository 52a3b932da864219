"""Batches: what one pass from the door to the books carries, and how deliveries are gathered into one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from ingest.subscriber import Delivery, Subscriber
from nengshao.domain.readings import Reason, Source
from nengshao.ports import DeviceStatus, InboxEntry, QuarantineEntry
from nengshao.wire import STATUS, Decoded, Message, decode_status, parse_topic, payload_digest, plain_size

BYTES_PER_READING: Final = 150  # of JSON on the wire, about: a batch is measured before it is decoded
REJECTED_SCHEMA: Final = {
    "message": pl.Int32,
    "index": pl.Int32,  # null: the whole message
    "reason": pl.String,
    "detail": pl.String,
}


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages of one source with their readings as columns."""

    source: Source
    messages: Sequence[Message]
    decoded: Decoded
    by_person: bool = False
    enterprise: str = ""  # of an upload, which has no topic
    inbox: InboxEntry | None = None
    only_indexes: frozenset[int] = frozenset()  # a replay of some readings of a message
    repeats: int = 0  # a replay: readings of further deliveries of the same bytes, which are taken back too
    statuses: Sequence[DeviceStatus] = field(default=())
    arrived: Sequence[int] = ()  # when each message came, if not now
    orphans: Sequence[InboxEntry] = ()  # entries of the inbox that these messages are, besides `inbox`


def gather(
    subscriber: Subscriber, *, max_rows: int, max_age_s: float, max_idle_s: float, wait_s: float
) -> list[Delivery]:
    """Deliveries up to about `max_rows` readings or `max_age_s` after the first; empty if none came.

    Nothing for `max_idle_s` ends a batch early: a broker that has as much in flight as it allows itself waits
    for our acknowledgements, and we must not wait for it meanwhile.
    """
    batch = subscriber.take(wait_s)
    size = size_of(batch)
    deadline = time.monotonic() + max_age_s
    while batch and size < max_rows * BYTES_PER_READING:
        more = subscriber.take(max(0.0, min(max_idle_s, deadline - time.monotonic())))
        if not more:
            break
        batch += more
        size += size_of(more)
    return batch


def size_of(deliveries: Sequence[Delivery]) -> int:
    """Bytes of the messages as plain JSON: what a batch is measured by."""
    return sum(plain_size(delivery.message.payload) for delivery in deliveries)


def split_statuses(
    arrivals: Iterable[tuple[Message, int]],
) -> tuple[list[Message], list[int], list[DeviceStatus]]:
    """Data messages, when each arrived, and the device statuses among the rest. A status that is none stays
    with the data, where its topic rejects it."""
    data, arrived, statuses = [], [], []
    for message, at in arrivals:
        topic = parse_topic(message.topic)
        status = decode_status(message.payload) if topic is not None and topic.leaf == STATUS else None
        if topic is not None and status is not None and status.deviceId == topic.device:
            statuses.append(DeviceStatus(topic.enterprise, topic.device, status.state, at))
        else:
            data.append(message)
            arrived.append(at)
    return data, arrived, statuses


def rejected_frame(decoded: Decoded) -> pl.DataFrame:
    """The decoder's rejections as columns."""
    rows = [(r.message, r.index, r.reason.value, r.detail) for r in decoded.rejections]
    return pl.DataFrame(rows, schema=REJECTED_SCHEMA, orient="row")


def quarantine_entries(
    batch: Batch, rejected: pl.DataFrame, *, raw_cap: int, now: int
) -> list[QuarantineEntry]:
    """One entry per message and reason, with the raw bytes up to the cap."""
    groups = rejected.group_by("message", "reason", maintain_order=True).agg(
        pl.col("index").drop_nulls(), pl.col("detail").first()
    )
    entries = []
    for number, reason, indexes, detail in groups.iter_rows():
        message = batch.messages[number]
        enterprise, device = owner_of(batch, message)
        payload = message.payload
        entries.append(
            QuarantineEntry(
                enterprise=enterprise,
                device=device,
                source=batch.source,
                topic=message.topic[:512],
                reason=Reason(reason),
                detail=detail or "",
                sha256=payload_digest(payload),
                size=len(payload),
                raw=payload if len(payload) <= raw_cap else None,
                indexes=tuple(indexes),
                arrived_at=batch.arrived[number] if batch.arrived else now,
            )
        )
    return entries


def owner_of(batch: Batch, message: Message) -> tuple[str, str]:
    """(enterprise, device) that a message claims to be from; "" where it does not say."""
    topic = parse_topic(message.topic)
    return (topic.enterprise, topic.device) if topic is not None else (batch.enterprise, "")
