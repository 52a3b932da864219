"""What is asked of every message that a device may send: topic and payload go through decoding, screening and
the receipt, and must come to the oracle's verdict. Used by the fuzzer, the corpus and the property tests."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import polars as pl

from ingest.batching import rejected_frame
from ingest.receipts import message_receipts
from ingest.screening import Screen, TimeLimits
from nengshao.domain.readings import Reason
from nengshao.wire import RAW_SCHEMA, Decoded, Limits, Message, Receipt, decode, encode_receipt
from nengshao.wire.packing import GZIP_BEGINNING
from tests.fuzz.oracle import Verdict, verdict
from tests.support import plants

LIMITS: Final = Limits(max_message_bytes=20_000, max_readings=100, max_unpacked_bytes=20_000)
SCREEN: Final = Screen(plants.registry(2, 3), {"national": 1})
TIMES: Final = TimeLimits(plants.START + 86_400, 3_600, 396 * 86_400)


def message_of(data: bytes) -> Message:
    """The message of a fuzzer's input: topic, line feed, payload."""
    topic, _, payload = data.partition(b"\n")
    return Message(topic.decode("utf-8", "replace"), payload)


def judge(message: Message) -> Verdict:
    """The oracle's verdict. Fails unless decoding comes to it, at every repetition, however it is packed; and
    unless every reading is in the receipt once.
    """
    expected = _expected(message)
    batch = [message, message, Message(message.topic, gzip.compress(message.payload, 1))]
    if expected.is_open or message.payload.startswith(GZIP_BEGINNING) or expected.reason is Reason.OVERSIZED:
        batch.pop()
    decoded = decode(batch, LIMITS)
    assert decoded.readings.schema == pl.Schema(RAW_SCHEMA)
    read = defaultdict(list)
    for number, index in decoded.readings.select("message", "index").iter_rows():
        read[number].append(index)
    for number in range(len(batch)):
        refused = [(r.index, r.reason) for r in decoded.rejections if r.message == number]
        assert expected.is_open or (read[number], refused) == _outcome(expected)
        assert read[number] or refused
    if not decoded.readings.is_empty():
        book(batch, decoded)
    return expected


def _expected(message: Message) -> Verdict:
    return verdict(
        message.topic, message.payload, max_bytes=LIMITS.max_message_bytes,
        max_unpacked=LIMITS.max_unpacked_bytes, max_readings=LIMITS.max_readings,
    )  # fmt: skip


def _outcome(expected: Verdict) -> tuple[list[int], list[tuple[int | None, Reason]]]:
    """The indexes that are read, and (index, reason) of what is refused."""
    if expected.reason is not None:
        return [], [(None, expected.reason)]
    read = [n for n, is_item in enumerate(expected.is_item) if is_item]
    refused = [n for n, is_item in enumerate(expected.is_item) if not is_item]
    return read, [(n, Reason.BAD_SHAPE) for n in refused]


def book(batch: Sequence[Message], decoded: Decoded) -> None:
    """Screen what was read and make the receipts: each reading is in them once."""
    screened = SCREEN.screened(decoded.readings, TIMES)
    both = pl.concat([frame.select("message", "index") for frame in (screened.accepted, screened.rejected)])
    assert sorted(both.rows()) == decoded.readings.select("message", "index").rows()
    assert screened.accepted["value"].null_count() == screened.accepted["ts"].null_count() == 0
    rows = screened.accepted.select("message", pl.lit("stored").alias("outcome"))
    rejected = pl.concat([rejected_frame(decoded), screened.rejected])
    receipts = message_receipts(batch, decoded.sequences, rows, rejected)
    told = json.loads(encode_receipt(Receipt("", receipts)))["messages"]
    per_message = [receipt.get("stored", 0) + len(receipt.get("rejected", ())) for receipt in told]
    assert min(per_message) > 0
    assert sum(per_message) == decoded.readings.height + len(decoded.rejections)
