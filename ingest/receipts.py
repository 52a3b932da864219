"""Receipts: what a device is told about each of its messages, one publish per device and batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

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

_DETAILS: Final = 20  # rejections of one message that say more than the reason
_ENTRIES: Final = 1_000  # messages and rejections of one publish, of some 100 bytes, at most 1 kB each


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
        told = receipts[number].rejected
        told.append(RejectedItem(reason, Reason(reason).zh, index, detail if len(told) < _DETAILS else ""))
    return receipts


def device_receipts(
    messages: Sequence[Message], receipts: Sequence[MessageReceipt], booked_at: int
) -> list[tuple[str, Receipt]]:
    """(topic, receipt) per device, several where one would be large: a broker ends the connection at a packet
    beyond its limit. A message whose topic names no device has nobody to be told."""
    parts: dict[tuple[str, int], list[MessageReceipt]] = defaultdict(list)
    size: dict[str, int] = defaultdict(int)
    for message, receipt in zip(messages, receipts, strict=True):
        place = parse_topic(message.topic)
        if place is not None:
            topic = str(Topic(place.enterprise, place.device, RECEIPT))
            parts[topic, size[topic] // _ENTRIES].append(receipt)
            size[topic] += 1 + len(receipt.rejected)
    booked = iso_text(booked_at)
    return [(topic, Receipt(booked, part)) for (topic, _), part in parts.items()]
