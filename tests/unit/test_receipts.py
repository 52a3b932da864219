"""Receipts: one per message, in publishes that a broker lets through."""

from __future__ import annotations

import polars as pl

from ingest.batching import rejected_frame
from ingest.receipts import device_receipts, message_receipts
from nengshao.wire import Form, Limits, Message, decode, encode_receipt
from tests.support import plants

MIB = 1 << 20  # deploy/mosquitto: max_packet_size


def told(messages: list[Message]) -> list[tuple[str, bytes, int]]:
    """(topic, payload, messages) of each publish for messages of which whatever could be read is stored."""
    decoded = decode(messages, Limits())
    rows = decoded.readings.select("message", pl.lit("stored").alias("outcome"))
    receipts = message_receipts(messages, decoded.sequences, rows, rejected_frame(decoded))
    return [
        (topic, encode_receipt(receipt), len(receipt.messages))
        for topic, receipt in device_receipts(messages, receipts, plants.START)
    ]


def test_a_device_that_sends_a_long_backlog_is_told_in_several_publishes() -> None:
    # One reading per message: a batch of 20 000 rows holds 12 000 of them, whose one receipt was 1.4 MB.
    messages = [plants.message(1, [plants.item(plants.START + n, 1.0)], n) for n in range(12_000)]
    publishes = told(messages)
    assert {topic for topic, _, _ in publishes} == {plants.topic(1, leaf="receipt")}
    assert max(len(payload) for _, payload, _ in publishes) < MIB / 4
    assert sum(count for _, _, count in publishes) == 12_000


def test_messages_full_of_rejections_are_told_in_several_publishes() -> None:
    bad = [plants.item(plants.START, float(n), meter="." * 200) for n in range(5_000)]
    publishes = told([plants.message(1, bad[:n], n, form=Form.COMPACT) for n in (1_000, 4_999, 5_000)])
    assert [count for _, _, count in publishes] == [1, 1, 1]
    assert max(len(payload) for _, payload, _ in publishes) < MIB / 2


def test_each_device_has_a_publish_of_its_own() -> None:
    good = [plants.item(plants.START, 1.0)]
    publishes = told([plants.message(1, good, 1), plants.message(2, good, 1), plants.message(1, good, 2)])
    assert [(topic, count) for topic, _, count in publishes] == [
        (plants.topic(1, leaf="receipt"), 2),
        (plants.topic(2, leaf="receipt"), 1),
    ]
