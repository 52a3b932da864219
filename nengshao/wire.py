"""The public contract with field devices: topics, payloads, receipts. See docs/wire.md.

Topics are `nhjc/v1/{enterprise}/{device}/{leaf}`; a `data` payload carries the eight fields of the
national upload. Decoding never raises for what a device sent: it returns columns, and rejections with
the message, the position in `data[]` and the reason.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
import polars as pl

from nengshao.domain.readings import Reason
from nengshao.domain.time import local_text, parse_instant

ROOT: Final = "nhjc/v1"
DATA: Final = "data"
STATUS: Final = "status"
RECEIPT: Final = "receipt"
COMMAND: Final = "command"

_TOPIC: Final = re.compile(rf"{ROOT}/([0-9A-Z]{{1,18}})/([A-Za-z0-9_-]{{1,64}})/([a-z]+)", re.ASCII)
_METER: Final = r"^[A-Za-z0-9_-]{1,32}$"
_NATIONAL_TIME: Final = "%Y-%m-%d %H:%M:%S"


class Item(msgspec.Struct, gc=False):
    """One element of `data[]`: one reading, in the national upload's own field names.

    `statDate` is the START of the period (a register: the instant it was read), `uploadDate` is when
    the message was made; both with offset, or local UTC+8 as `YYYY-MM-DD HH:MM:SS`.
    """

    dataCode: Annotated[str, msgspec.Meta(description="采集数据项编码：16 位，或 PP-UU-TTNN-CCEEEE-YY")]  # noqa: N815  # the national field names
    dataValue: Annotated[float, msgspec.Meta(description="数值，单位由登记表给出")]  # noqa: N815
    inputType: Annotated[int, msgspec.Meta(description="采集数据来源 1–5")]  # noqa: N815
    statType: Annotated[int, msgspec.Meta(description="采集频率：0 实时 1 日 2 月 3 年")]  # noqa: N815
    statDate: Annotated[str, msgspec.Meta(description="统计周期的起始时间；累计表为抄表时刻")]  # noqa: N815
    uploadDate: Annotated[str, msgspec.Meta(description="消息生成时间；重发时不变")]  # noqa: N815
    scope: Annotated[int, msgspec.Meta(description="数据范围：1 全厂 2 工序 3 工序单元 4 重点设备")]
    valid: Annotated[bool | int, msgspec.Meta(description="数据有效性；0/1 的含义随省份约定")]
    meter: Annotated[str, msgspec.Meta(description="表计编号；00 表示采集器已汇总", pattern=_METER)] = "00"


class DataMessage(msgspec.Struct, gc=False):
    """Payload of a `data` topic. `seq`, if sent, names the message in its receipt."""

    deviceId: str  # noqa: N815
    enterpriseCode: str  # noqa: N815
    data: list[Item]
    seq: int | None = None


class _Envelope(msgspec.Struct, gc=False):
    """A `data` payload whose items are looked at one by one, after the whole did not decode."""

    deviceId: str  # noqa: N815
    enterpriseCode: str  # noqa: N815
    data: list[msgspec.Raw]
    seq: int | None = None


class StatusMessage(msgspec.Struct):
    """Payload of a `status` topic, retained: birth when a device connects, last will when it is gone."""

    deviceId: str  # noqa: N815
    state: Annotated[str, msgspec.Meta(description="online | offline", pattern="^(online|offline)$")]
    at: str | None = None


class RejectedItem(msgspec.Struct, omit_defaults=True):
    """Why one reading of a message (or, without `index`, the whole message) was not accepted."""

    reason: str
    reason_zh: str
    index: int | None = None
    detail: str = ""


class MessageReceipt(msgspec.Struct, omit_defaults=True):
    """What became of one message: counts per outcome, and every rejection."""

    sha256: str
    seq: int | None = None
    stored: int = 0
    duplicate: int = 0
    corrected: int = 0
    superseded: int = 0
    rejected: list[RejectedItem] = msgspec.field(default_factory=list)


class Receipt(msgspec.Struct):
    """Payload of a `receipt` topic: the messages of one device that one batch booked."""

    bookedAt: str  # noqa: N815
    messages: list[MessageReceipt]


@dataclass(frozen=True, slots=True)
class Topic:
    """A parsed topic."""

    enterprise: str
    device: str
    leaf: str

    def __str__(self) -> str:
        """The topic as it stands on the wire."""
        return f"{ROOT}/{self.enterprise}/{self.device}/{self.leaf}"


def parse_topic(text: str) -> Topic | None:
    """The topic's parts; None when it does not follow the grammar."""
    match = _TOPIC.fullmatch(text)
    return Topic(*match.groups()) if match else None


@dataclass(frozen=True, slots=True)
class Message:
    """A payload as it arrived, with the topic it came on."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """What a message may be at most (settings.ingest)."""

    max_message_bytes: int = 262_144
    max_readings: int = 5_000


@dataclass(frozen=True, slots=True)
class Rejection:
    """A message (`index` None) or one of its readings that cannot be accepted."""

    message: int
    index: int | None
    reason: Reason
    detail: str = ""


RAW_SCHEMA: Final[Mapping[str, type[pl.DataType]]] = {
    "message": pl.Int32,  # position of the message in the batch
    "index": pl.Int32,  # position in data[]
    "enterprise": pl.String,
    "device": pl.String,
    "data_code": pl.String,  # 16 digits; null: not a code
    "stat_type": pl.Int64,
    "meter": pl.String,
    "ts": pl.Int64,  # null: not a time
    "version": pl.Int64,  # null: not a time
    "value": pl.Float64,  # as sent
    "valid_code": pl.Int8,  # numbers 0, 1 as sent; words: 2 false, 3 true; -1: none of these
    "input_type": pl.Int64,
    "scope": pl.Int64,
}
"""Readings as they were sent, one row each, nothing judged yet."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A batch of messages as columns, the messages' sequence numbers, and what could not be read."""

    readings: pl.DataFrame
    sequences: Mapping[int, int]
    rejections: Sequence[Rejection]


def payload_digest(payload: bytes) -> str:
    """SHA-256 of a payload: names a message that carries no sequence number."""
    return hashlib.sha256(payload).hexdigest()


_decode_message = msgspec.json.Decoder(DataMessage).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_item = msgspec.json.Decoder(Item).decode
_encode = msgspec.json.encode


class _Columns:
    """The columns of a batch while it is read; row objects end here."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.owners: list[tuple[int, str, str, int]] = []  # message, enterprise, device, count
        self.indexes: list[int] = []
        self.sequences: dict[int, int] = {}
        self.rejections: list[Rejection] = []

    def take(self, number: int, topic: Topic, seq: int | None, items: list[Item], indexes: Any) -> None:
        """Append the good items of one message."""
        self.items.extend(items)
        self.indexes.extend(indexes)
        self.owners.append((number, topic.enterprise, topic.device, len(items)))
        if seq is not None:
            self.sequences[number] = seq

    def reject(self, number: int, reason: Reason, detail: str = "", index: int | None = None) -> None:
        """Note what cannot be accepted."""
        self.rejections.append(Rejection(number, index, reason, detail[:200]))


def decode(messages: Sequence[Message], limits: Limits) -> Decoded:
    """The readings of a batch of `data` messages as RAW_SCHEMA columns, with every rejection.

    A message that is oversized, on a wrong topic, not JSON or not of the contract's shape, or that names
    another enterprise or device than its topic, is rejected whole; an item of wrong shape alone.
    """
    columns = _Columns()
    for number, message in enumerate(messages):
        _decode_one(columns, number, message, limits)
    return Decoded(_raw_frame(columns), columns.sequences, columns.rejections)


def _decode_one(columns: _Columns, number: int, message: Message, limits: Limits) -> None:
    topic = parse_topic(message.topic)
    if topic is None or topic.leaf != DATA:
        return columns.reject(number, Reason.BAD_TOPIC, message.topic)
    if len(message.payload) > limits.max_message_bytes:
        return columns.reject(number, Reason.OVERSIZED, f"{len(message.payload)} bytes")
    try:
        parsed: DataMessage | _Envelope = _decode_message(message.payload)
    except msgspec.ValidationError:
        return _decode_piecemeal(columns, number, topic, message.payload, limits)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        return columns.reject(number, Reason.NOT_JSON, str(exc))
    if not _is_from(columns, number, topic, parsed, limits):
        return None
    assert isinstance(parsed, DataMessage)  # noqa: S101  # the decoder's type
    return columns.take(number, topic, parsed.seq, parsed.data, range(len(parsed.data)))


def _decode_piecemeal(columns: _Columns, number: int, topic: Topic, payload: bytes, limits: Limits) -> None:
    """Read a message whose shape is wrong somewhere item by item, so that the good items are kept."""
    try:
        envelope = _decode_envelope(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        return columns.reject(number, Reason.BAD_SHAPE, str(exc))
    if not _is_from(columns, number, topic, envelope, limits):
        return None
    items, indexes = [], []
    for index, raw in enumerate(envelope.data):
        try:
            items.append(_decode_item(raw))
            indexes.append(index)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            columns.reject(number, Reason.BAD_SHAPE, str(exc), index)
    return columns.take(number, topic, envelope.seq, items, indexes)


def _is_from(
    columns: _Columns, number: int, topic: Topic, parsed: DataMessage | _Envelope, limits: Limits
) -> bool:
    """Whether the message belongs on its topic and has a bearable number of readings; else rejects it."""
    if parsed.enterpriseCode != topic.enterprise:
        columns.reject(number, Reason.SPOOFED_ENTERPRISE, parsed.enterpriseCode)
    elif parsed.deviceId != topic.device:
        columns.reject(number, Reason.SPOOFED_DEVICE, parsed.deviceId)
    elif len(parsed.data) > limits.max_readings:
        columns.reject(number, Reason.TOO_MANY_READINGS, str(len(parsed.data)))
    elif not parsed.data:
        columns.reject(number, Reason.BAD_SHAPE, "data is empty")
    else:
        return True
    return False


def _raw_frame(columns: _Columns) -> pl.DataFrame:
    items = columns.items
    owners = pl.DataFrame(
        columns.owners,
        schema={"message": pl.Int32, "enterprise": pl.String, "device": pl.String, "n": pl.UInt32},
        orient="row",
    )
    owner_rows = owners.select(pl.exclude("n").repeat_by("n").explode(empty_as_null=False))
    frame = pl.DataFrame(
        {
            "index": pl.Series(columns.indexes, dtype=pl.Int32),
            "code": pl.Series([i.dataCode for i in items], dtype=pl.String),
            "stat_type": _small_integers([i.statType for i in items]),
            "meter": pl.Series([i.meter for i in items], dtype=pl.String),
            "stat_date": pl.Series([i.statDate for i in items], dtype=pl.String),
            "upload_date": pl.Series([i.uploadDate for i in items], dtype=pl.String),
            "value": pl.Series([i.dataValue for i in items], dtype=pl.Float64),
            "valid_code": pl.Series([_valid_code(i.valid) for i in items], dtype=pl.Int8),
            "input_type": _small_integers([i.inputType for i in items]),
            "scope": _small_integers([i.scope for i in items]),
        }
    )
    return pl.concat([owner_rows, frame], how="horizontal").select(
        "message",
        "index",
        "enterprise",
        "device",
        _plain_code("code").alias("data_code"),
        "stat_type",
        "meter",
        instants(frame["stat_date"]).alias("ts"),
        instants(frame["upload_date"]).alias("version"),
        "value",
        "valid_code",
        "input_type",
        "scope",
    )


def _valid_code(valid: bool | int) -> int:
    """0 or 1 for a number, 2 or 3 for the words false and true, -1 for any other number."""
    if isinstance(valid, bool):
        return 3 if valid else 2
    return valid if valid in (0, 1) else -1


def _small_integers(values: list[int]) -> pl.Series:
    """Enumeration values as sent; one beyond int64 is no enumeration value and becomes -1."""
    try:
        return pl.Series(values, dtype=pl.Int64)
    except (OverflowError, pl.exceptions.PolarsError, TypeError):
        return pl.Series([v if -(2**62) < v < 2**62 else -1 for v in values], dtype=pl.Int64)


def _plain_code(column: str) -> pl.Expr:
    """The 16-digit form of a data code in either form; null if it is neither."""
    code = pl.col(column)
    printed = code.str.contains(r"^[0-9]{2}-[0-9]{2}-[0-9]{4}-[0-9]{6}-[0-9]{2}$")
    plain = code.str.contains(r"^[0-9]{16}$")
    return pl.when(plain).then(code).when(printed).then(code.str.replace_all("-", "", literal=True))


def instants(texts: pl.Series) -> pl.Series:
    """Whole UTC seconds of times in either form; null where a text is neither.

    A batch repeats few distinct times, so each distinct text is read once.
    """
    distinct = texts.unique()
    national = distinct.str.to_datetime(_NATIONAL_TIME, strict=False).dt.epoch("s") - 8 * 3600
    others = distinct.filter(national.is_null())
    seconds = pl.concat([national.drop_nulls(), pl.Series([_instant(t) for t in others], dtype=pl.Int64)])
    keys = pl.concat([distinct.filter(national.is_not_null()), others])
    return texts.replace_strict(keys, seconds, default=None, return_dtype=pl.Int64)


def _instant(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_instant(text)
    except (ValueError, OverflowError):
        return None


# -------------------------------------------------------------------------------- what others send


def encode_message(enterprise: str, device: str, items: Sequence[Item], seq: int | None) -> bytes:
    """The bytes of a `data` payload. A resend is these same bytes."""
    return _encode(DataMessage(device, enterprise, list(items), seq))


def encode_status(device: str, state: str, at: int | None) -> bytes:
    """The bytes of a `status` payload."""
    return _encode(StatusMessage(device, state, local_text(at) if at is not None else None))


def encode_receipt(receipt: Receipt) -> bytes:
    """The bytes of a `receipt` payload."""
    return _encode(receipt)


def decode_receipt(payload: bytes) -> Receipt:
    """A receipt from its bytes. Raises msgspec.DecodeError."""
    return msgspec.json.decode(payload, type=Receipt)


def decode_status(payload: bytes) -> StatusMessage | None:
    """A status from its bytes; None if it is none."""
    try:
        return msgspec.json.decode(payload, type=StatusMessage)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def json_schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """(topic leaf, JSON Schema) of every payload, generated from the types above."""
    for leaf, payload in ((DATA, DataMessage), (STATUS, StatusMessage), (RECEIPT, Receipt)):
        yield leaf, msgspec.json.schema(payload)
