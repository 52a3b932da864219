"""Decoding: payloads into columns, and rejections. It never raises for what a device sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import polars as pl
from msgspec import UNSET, UnsetType

from nengshao.domain.errors import ReadingRejected
from nengshao.domain.readings import Reason
from nengshao.wire.columns import Gathered, Rejection
from nengshao.wire.contract import DATA, Item, ItemColumns, Message, Topic, parse_topic
from nengshao.wire.packing import GZIP_BEGINNING, unpacked

_INT64: Final = range(-(2**63), 2**63)
_UNREADABLE: Final = (msgspec.DecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a message may be at most (settings.ingest)."""

    max_message_bytes: int = 262_144
    max_readings: int = 5_000
    max_unpacked_bytes: int = 2_097_152


@dataclass(frozen=True, slots=True)
class Decoded:
    """A batch of messages as columns, the messages' sequence numbers, and what could not be read."""

    readings: pl.DataFrame
    sequences: Mapping[int, int]
    rejections: Sequence[Rejection]


class _Sent(msgspec.Struct, gc=False):
    """A `data` payload of either form."""

    deviceId: str  # noqa: N815
    enterpriseCode: str  # noqa: N815
    data: list[Item] | UnsetType = UNSET
    columns: ItemColumns | UnsetType = UNSET
    seq: int | None = None


class _Envelope(msgspec.Struct, gc=False):
    """A `data` payload whose items are looked at one by one, after the whole did not decode."""

    deviceId: str  # noqa: N815
    enterpriseCode: str  # noqa: N815
    data: list[msgspec.Raw] | UnsetType = UNSET
    columns: dict[str, msgspec.Raw] | UnsetType = UNSET
    seq: int | None = None


class _Sender(msgspec.Struct):
    """The part of a payload that says which device it speaks for."""

    deviceId: str = ""  # noqa: N815


_decode_sent = msgspec.json.Decoder(_Sent).decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_item = msgspec.json.Decoder(Item).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_sender = msgspec.json.Decoder(_Sender).decode


def decode(messages: Sequence[Message], limits: Limits) -> Decoded:
    """The readings of a batch of `data` messages as RAW_SCHEMA columns, with every rejection.

    A message that is oversized, on a wrong topic, not JSON or not of the contract's shape, or that names
    another enterprise or device than its topic, is rejected whole; an item of wrong shape alone.
    """
    gathered = Gathered()
    for number, message in enumerate(messages):
        try:
            _gather(gathered, number, message, limits)
        except ReadingRejected as exc:
            gathered.reject(number, exc.reason, exc.detail)
    return Decoded(gathered.frame(), gathered.sequences, gathered.rejections)


def device_named(payload: bytes, limits: Limits) -> str:
    """The device that a payload says it is from; "" where it does not."""
    try:
        return _decode_sender(_text(payload, limits)).deviceId
    except (ReadingRejected, *_UNREADABLE):
        return ""


def _gather(gathered: Gathered, number: int, message: Message, limits: Limits) -> None:
    """Read one message. Raises: ReadingRejected if it is rejected whole."""
    topic = parse_topic(message.topic)
    if topic is None or topic.leaf != DATA:
        raise ReadingRejected(Reason.BAD_TOPIC, message.topic)
    if len(message.payload) > limits.max_message_bytes:
        raise ReadingRejected(Reason.OVERSIZED, f"{len(message.payload)} bytes")
    text = _text(message.payload, limits)
    try:
        sent = _decode_sent(text)
    except msgspec.ValidationError:
        return _gather_piecemeal(gathered, number, topic, text, limits)
    except _UNREADABLE as exc:
        raise ReadingRejected(Reason.NOT_JSON, str(exc)) from exc
    if sent.columns is UNSET:
        _check(topic, sent, len(sent.data or ()), limits)
        gathered.take(number, topic, sent.data or ())
    else:
        _check(topic, sent, _rows(msgspec.structs.asdict(sent.columns)), limits)
        gathered.take_columns(number, topic, sent.columns)
    return _note_sequence(gathered, number, sent.seq)


def _gather_piecemeal(gathered: Gathered, number: int, topic: Topic, text: bytes, limits: Limits) -> None:
    """Read a message whose shape is wrong somewhere item by item, so that the good items are kept."""
    try:
        _decode_raw(text)  # what is no JSON is called so, whatever is wrong before it
        envelope = _decode_envelope(text)
        columns = {} if envelope.columns is UNSET else _raw_columns(envelope.columns)
    except (msgspec.ValidationError, RecursionError) as exc:
        raise ReadingRejected(Reason.BAD_SHAPE, str(exc)) from exc
    except msgspec.DecodeError as exc:
        raise ReadingRejected(Reason.NOT_JSON, str(exc)) from exc
    items = envelope.data or ()
    _check(topic, envelope, len(items) if envelope.columns is UNSET else _rows(columns), limits)
    for index, raw in enumerate(items or _raw_items(columns)):
        try:
            gathered.take(number, topic, [_decode_item(raw)], index)
        except _UNREADABLE as exc:
            gathered.reject(number, Reason.BAD_SHAPE, str(exc), index)
    return _note_sequence(gathered, number, envelope.seq)


def _text(payload: bytes, limits: Limits) -> bytes:
    """The JSON text of a payload. Raises: ReadingRejected."""
    is_packed = payload.startswith(GZIP_BEGINNING)
    text = unpacked(payload, limits.max_unpacked_bytes) if is_packed else payload
    try:
        text.isascii() or text.decode()  # the decoder does not look into fields that it passes over
    except UnicodeDecodeError as exc:
        raise ReadingRejected(Reason.NOT_JSON, str(exc)) from exc
    return text


def _check(topic: Topic, sent: _Sent | _Envelope, readings: int, limits: Limits) -> None:
    """Raises: ReadingRejected if a message is not in one of both forms, or not from whom its topic says, or
    has too many readings."""
    if (sent.data is UNSET) == (sent.columns is UNSET):
        raise ReadingRejected(Reason.BAD_SHAPE, "either data or columns")
    if not readings:
        raise ReadingRejected(Reason.BAD_SHAPE, "there are no readings")
    if sent.enterpriseCode != topic.enterprise:
        raise ReadingRejected(Reason.SPOOFED_ENTERPRISE, sent.enterpriseCode)
    if sent.deviceId != topic.device:
        raise ReadingRejected(Reason.SPOOFED_DEVICE, sent.deviceId)
    if readings > limits.max_readings:
        raise ReadingRejected(Reason.TOO_MANY_READINGS, str(readings))


def _note_sequence(gathered: Gathered, number: int, seq: int | None) -> None:
    """A number beyond int64 counts nothing: its message is named by its bytes alone."""
    if seq is not None and seq in _INT64:
        gathered.sequences[number] = seq


def _rows(columns: Mapping[str, object]) -> int:
    """How many readings the columns of a compact message hold. Raises: ReadingRejected if they disagree."""
    values = columns.get("dataValue")
    if not isinstance(values, list):
        raise ReadingRejected(Reason.BAD_SHAPE, "columns.dataValue is no array")
    for name, column in columns.items():
        if isinstance(column, list) and len(column) != len(values):
            raise ReadingRejected(
                Reason.BAD_SHAPE,
                f"columns.{name} has {len(column)} elements, columns.dataValue {len(values)}",
            )
    return len(values)


def _raw_columns(columns: Mapping[str, msgspec.Raw]) -> dict[str, bytes | list[msgspec.Raw]]:
    """The columns that we know, of which nothing is known yet but which are arrays."""
    known = {name: bytes(columns[name]) for name in Item.__struct_fields__ if name in columns}
    return {name: _decode_array(text) if text.startswith(b"[") else text for name, text in known.items()}


def _raw_items(columns: Mapping[str, bytes | list[msgspec.Raw]]) -> Iterator[bytes]:
    """Each reading of a compact message as the element of `data[]` that it stands for."""
    for index in range(_rows(columns)):
        fields = (
            b'"%s":%s' % (name.encode(), bytes(column[index]) if isinstance(column, list) else column)
            for name, column in columns.items()
        )
        yield b"{%s}" % b",".join(fields)
