"""What stands on the wire: topics and payloads as types, and the bytes of what we and our simulators send."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec

from nengshao.domain.time import local_text
from nengshao.wire.commands import ResendCommand
from nengshao.wire.packing import packed

ROOT: Final = "nhjc/v1"
DATA: Final = "data"
STATUS: Final = "status"
RECEIPT: Final = "receipt"
COMMAND: Final = "command"

_TOPIC: Final = re.compile(rf"{ROOT}/([0-9A-Z]{{1,18}})/([A-Za-z0-9_-]{{1,64}})/([a-z]{{1,16}})", re.ASCII)
_LONGEST_TOPIC: Final = len(ROOT) + 1 + 18 + 1 + 64 + 1 + 16
State = Literal["online", "offline"]
METER: Final = "^[A-Za-z0-9_-]{1,32}$"


# A pattern for the decoder costs twice what all else of an item does; the columns are checked instead.
_METER = msgspec.Meta(description="表计编号；00 表示采集器已汇总", extra_json_schema={"pattern": METER})
_DATA_CODE = msgspec.Meta(description="采集数据项编码：16 位，或 PP-UU-TTNN-CCEEEE-YY")
_DATA_VALUE = msgspec.Meta(description="数值，单位由登记表给出")
_INPUT_TYPE = msgspec.Meta(description="采集数据来源 1–5")
_STAT_TYPE = msgspec.Meta(description="采集频率：0 实时 1 日 2 月 3 年")
_STAT_DATE = msgspec.Meta(description="统计周期的起始时间；累计表为抄表时刻")
_UPLOAD_DATE = msgspec.Meta(description="消息生成时间；重发时不变")
_SCOPE = msgspec.Meta(description="数据范围：1 全厂 2 工序 3 工序单元 4 重点设备")
_VALID = msgspec.Meta(description="数据有效性；0/1 的含义随省份约定")


class Item(msgspec.Struct, gc=False):
    """One element of `data[]`: one reading, in the national upload's own field names.

    `statDate` is the START of the period (a register: the instant it was read), `uploadDate` is when
    the message was made; both with offset, or local UTC+8 as `YYYY-MM-DD HH:MM:SS`.
    """

    dataCode: Annotated[str, _DATA_CODE]  # noqa: N815  # the national field names
    dataValue: Annotated[float, _DATA_VALUE]  # noqa: N815
    inputType: Annotated[int, _INPUT_TYPE]  # noqa: N815
    statType: Annotated[int, _STAT_TYPE]  # noqa: N815
    statDate: Annotated[str, _STAT_DATE]  # noqa: N815
    uploadDate: Annotated[str, _UPLOAD_DATE]  # noqa: N815
    scope: Annotated[int, _SCOPE]
    valid: Annotated[bool | int, _VALID]
    meter: Annotated[str, _METER] = "00"


class ItemColumns(msgspec.Struct, gc=False, omit_defaults=True):
    """The same readings column by column: an array has one element per reading, and what is no array
    holds for all of them. `dataValue` is always an array: it says how many readings there are.
    """

    dataCode: Annotated[str, _DATA_CODE] | list[Annotated[str, _DATA_CODE]]  # noqa: N815
    dataValue: list[Annotated[float, _DATA_VALUE]]  # noqa: N815
    inputType: Annotated[int, _INPUT_TYPE] | list[Annotated[int, _INPUT_TYPE]]  # noqa: N815
    statType: Annotated[int, _STAT_TYPE] | list[Annotated[int, _STAT_TYPE]]  # noqa: N815
    statDate: Annotated[str, _STAT_DATE] | list[Annotated[str, _STAT_DATE]]  # noqa: N815
    uploadDate: Annotated[str, _UPLOAD_DATE] | list[Annotated[str, _UPLOAD_DATE]]  # noqa: N815
    scope: Annotated[int, _SCOPE] | list[Annotated[int, _SCOPE]]
    valid: Annotated[bool | int, _VALID] | list[Annotated[bool | int, _VALID]]
    meter: Annotated[str, _METER] | list[Annotated[str, _METER]] = "00"


class DataMessage(msgspec.Struct, gc=False):
    """Payload of a `data` topic. `seq`, if sent, names the message in its receipt."""

    deviceId: str  # noqa: N815
    enterpriseCode: str  # noqa: N815
    data: list[Item]
    seq: int | None = None


class CompactMessage(msgspec.Struct, gc=False):
    """The other payload of a `data` topic: the same content, column by column."""

    deviceId: str  # noqa: N815
    enterpriseCode: str  # noqa: N815
    columns: ItemColumns
    seq: int | None = None


class StatusMessage(msgspec.Struct):
    """Payload of a `status` topic, retained: birth when a device connects, last will when it is gone."""

    deviceId: str  # noqa: N815
    state: Annotated[State, msgspec.Meta(description="online | offline")]
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
    return _parsed_topic(text) if len(text) <= _LONGEST_TOPIC else None


@lru_cache(
    maxsize=32_768
)  # of short texts only: a message's topic is read at the door, in the batch, for its receipt
def _parsed_topic(text: str) -> Topic | None:
    match = _TOPIC.fullmatch(text)
    return Topic(*match.groups()) if match else None


@dataclass(frozen=True, slots=True)
class Message:
    """A payload as it arrived, with the topic it came on."""

    topic: str
    payload: bytes


def payload_digest(payload: bytes) -> str:
    """SHA-256 of a payload as it was sent: names a message that carries no sequence number."""
    return hashlib.sha256(payload).hexdigest()


class Form(StrEnum):
    """How a `data` payload is written. A sender chooses; the receiver tells them apart by themselves."""

    PLAIN = "plain"
    COMPACT = "compact"
    GZIP = "gzip"
    COMPACT_GZIP = "compact+gzip"


def encode_message(
    enterprise: str, device: str, items: Sequence[Item], seq: int | None, form: Form = Form.PLAIN
) -> bytes:
    """The bytes of a `data` payload. A resend is these same bytes."""
    payload: DataMessage | CompactMessage
    if form in (Form.COMPACT, Form.COMPACT_GZIP):
        payload = CompactMessage(device, enterprise, _item_columns(items), seq)
    else:
        payload = DataMessage(device, enterprise, list(items), seq)
    text = msgspec.json.encode(payload)
    return packed(text) if form in (Form.GZIP, Form.COMPACT_GZIP) else text


def _item_columns(items: Sequence[Item]) -> ItemColumns:
    """Items by column; what is the same in all of them stands once (True is not the same as 1)."""
    columns: dict[str, Any] = {}
    for name in Item.__struct_fields__:
        values = [getattr(item, name) for item in items]
        is_common = name != "dataValue" and len({(type(value), value) for value in values}) == 1
        columns[name] = values[0] if is_common else values
    return ItemColumns(**columns)


def encode_status(device: str, state: State, at: int | None) -> bytes:
    """The bytes of a `status` payload."""
    return msgspec.json.encode(StatusMessage(device, state, local_text(at) if at is not None else None))


def encode_receipt(receipt: Receipt) -> bytes:
    """The bytes of a `receipt` payload."""
    return msgspec.json.encode(receipt)


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
    """(name, JSON Schema) of every payload, generated from the types above. A name is the topic's leaf;
    `compact` is the other form of `data`."""
    payloads = {
        DATA: DataMessage, "compact": CompactMessage, STATUS: StatusMessage, RECEIPT: Receipt,
        COMMAND: ResendCommand,
    }  # fmt: skip
    for name, payload in payloads.items():
        yield name, msgspec.json.schema(payload)
