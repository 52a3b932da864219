"""Receipts: what a device is told about each of its messages, one publish per device and batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import polars as pl

from nengshao.domain.readings import Reason
from nengshao.domain.time import iso_text
from nengshao.wire import (
    RECEIPT,
    Message,
    MessageReceipt,
    Receipt,
    RejectedItem,
    Topic,
    parse_topic,
    payload_digest,
)


def message_receipts(
    messages: Sequence[Message], sequences: Mapping[int, int], rows: pl.DataFrame, rejected: pl.DataFrame
) -> list[MessageReceipt]:
    """One receipt per message, in order.

    Columns in: rows: message, outcome; rejected: message, index (null: the whole message), reason, detail.
    """
    receipts = [
        MessageReceipt(payload_digest(message.payload), sequences.get(number))
        for number, message in enumerate(messages)
    ]
    counts = rows.group_by("message", "outcome").len()
    for number, outcome, count in counts.iter_rows():
        setattr(receipts[number], outcome, count)
    for number, index, reason, detail in rejected.select("message", "index", "reason", "detail").iter_rows():
        receipts[number].rejected.append(RejectedItem(reason, Reason(reason).zh, index, detail))
    return receipts


def device_receipts(
    messages: Sequence[Message], receipts: Sequence[MessageReceipt], booked_at: int
) -> list[tuple[str, Receipt]]:
    """(topic, receipt) per device. A message whose topic names no device has nobody to be told."""
    by_topic: dict[str, list[MessageReceipt]] = defaultdict(list)
    for message, receipt in zip(messages, receipts, strict=True):
        topic = parse_topic(message.topic)
        if topic is not None:
            by_topic[str(Topic(topic.enterprise, topic.device, RECEIPT))].append(receipt)
    booked = iso_text(booked_at)
    return [(topic, Receipt(booked, parts)) for topic, parts in by_topic.items()]
