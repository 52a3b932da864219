"""What should become of a message, by another road: the standard library's json and zlib, and docs/wire.md.

Slow, and written without looking at nengshao.wire: where both agree on every message that a fuzzer can think
of, no refusal is unexplained and nothing is accepted that should not be.
"""

from __future__ import annotations

import json
import re
import struct
import sys
import zlib
from dataclasses import dataclass
from typing import Any, Final

from nengshao.domain.readings import Reason

DEEP: Final = 150  # nesting that either parser may refuse
_TOPIC: Final = re.compile(r"nhjc/v1/(?P<enterprise>[0-9A-Z]{1,18})/(?P<device>[A-Za-z0-9_-]{1,64})/data")
_METER: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_FIELDS: Final = (
    "dataCode", "dataValue", "inputType", "statType", "statDate", "uploadDate", "scope", "valid", "meter"
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """The message is refused whole for `reason`; or, reading by reading, has the contract's shape or not."""

    reason: Reason | None = None
    is_item: tuple[bool, ...] = ()
    is_open: bool = False  # nested deep, or a key repeated: RFC 8259 leaves both to the reader


def verdict(topic: str, payload: bytes, *, max_bytes: int, max_unpacked: int, max_readings: int) -> Verdict:
    """What should become of a message."""
    place = _TOPIC.fullmatch(topic)
    if place is None:
        return Verdict(Reason.BAD_TOPIC)
    if len(payload) > max_bytes:
        return Verdict(Reason.OVERSIZED)
    text = gunzipped(payload, max_unpacked) if payload.startswith(b"\x1f\x8b") else payload
    if isinstance(text, Reason):
        return Verdict(text)
    return _of_text(text, place["enterprise"], place["device"], max_readings)


def _of_text(text: bytes, enterprise: str, device: str, max_readings: int) -> Verdict:
    if max(text.count(b"["), text.count(b"{")) > DEEP:
        return Verdict(is_open=True)
    try:
        return _of_parsed(parsed(text), enterprise, device, max_readings)
    except Repeated:
        return Verdict(is_open=True)
    except ValueError:
        return Verdict(Reason.NOT_JSON)


def gunzipped(payload: bytes, most: int) -> bytes | Reason:
    """The content of one whole gzip member with nothing behind it, after RFC 1952."""
    try:
        start = _header_size(payload)
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        text = inflate.decompress(payload[start:], most + 1)
        if len(text) > most:
            return Reason.OVERSIZED
        crc, size = struct.unpack("<II", inflate.unused_data)
    except (zlib.error, struct.error, IndexError):
        return Reason.BAD_GZIP
    is_whole = inflate.eof and crc == zlib.crc32(text) and size == len(text)
    return text if is_whole else Reason.BAD_GZIP


def _header_size(payload: bytes) -> int:
    """Where the deflate stream begins. Raises: struct.error or IndexError for a header that is none."""
    method, flags = payload[2], payload[3]
    if method != 8 or flags & 0xE0:
        raise IndexError
    end = 10
    if flags & 4:
        end += 2 + struct.unpack_from("<H", payload, end)[0]
    for flag in (8, 16):  # name, comment
        if flags & flag:
            end = payload.find(b"\0", end) + 1
            if not end:
                raise IndexError
    if flags & 2:
        if struct.unpack_from("<H", payload, end)[0] != zlib.crc32(payload[:end]) & 0xFFFF:
            raise IndexError
        end += 2
    return end


def parsed(text: bytes) -> Any:
    """The JSON value of a text. Raises: ValueError if it is none by RFC 8259."""
    if text.startswith(b"\xef\xbb\xbf"):
        raise ValueError
    value = json.loads(
        text.decode(), parse_int=_integer, parse_constant=_no_number, object_pairs_hook=_object
    )
    json.dumps(value, ensure_ascii=False).encode()  # fails for half a surrogate, which is no character
    return value


class Repeated(Exception):
    """A key occurs twice in an object."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise Repeated
    return value


def _integer(digits: str) -> int:
    return int(digits) if len(digits) < 400 else (-1 if digits.startswith("-") else 1) * 10**400


def _no_number(name: str) -> None:
    raise ValueError(name)


def _of_parsed(sent: Any, enterprise: str, device: str, max_readings: int) -> Verdict:
    items = _items(sent) if _has_shape(sent) else None
    if items is None:
        return Verdict(Reason.BAD_SHAPE)
    if sent["enterpriseCode"] != enterprise:
        return Verdict(Reason.SPOOFED_ENTERPRISE)
    if sent["deviceId"] != device:
        return Verdict(Reason.SPOOFED_DEVICE)
    if len(items) > max_readings:
        return Verdict(Reason.TOO_MANY_READINGS)
    return Verdict(is_item=tuple(is_item(item) for item in items))


def _items(sent: dict[str, Any]) -> list[Any] | None:
    """The readings of a message in one of both forms; None if it has not one, or has none."""
    if ("data" in sent) == ("columns" in sent):
        return None
    return (sent["data"] if "data" in sent else _rows(sent["columns"])) or None


def _has_shape(sent: Any) -> bool:
    return (
        isinstance(sent, dict)
        and isinstance(sent.get("deviceId"), str)
        and isinstance(sent.get("enterpriseCode"), str)
        and (sent.get("seq") is None or _is_integer(sent["seq"]))
        and isinstance(sent.get("data", []), list)
        and isinstance(sent.get("columns", {}), dict)
    )


def _rows(columns: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The readings of a compact message; None if its arrays don't say which value belongs to which."""
    known = {name: column for name, column in columns.items() if name in _FIELDS}
    values = known.get("dataValue")
    if not isinstance(values, list):
        return None
    if any(isinstance(column, list) and len(column) != len(values) for column in known.values()):
        return None
    return [
        {name: column[n] if isinstance(column, list) else column for name, column in known.items()}
        for n in range(len(values))
    ]


def is_item(item: Any) -> bool:
    """Whether a value has the shape of a reading."""
    if not isinstance(item, dict):
        return False
    texts = [item.get(name) for name in ("dataCode", "statDate", "uploadDate")]
    integers = [item.get(name) for name in ("inputType", "statType", "scope")]
    value, valid, meter = item.get("dataValue"), item.get("valid"), item.get("meter", "00")
    return (
        all(isinstance(text, str) for text in texts)
        and all(_is_integer(integer) for integer in integers)
        and (_is_integer(value) or isinstance(value, float))
        and abs(value) <= sys.float_info.max
        and (isinstance(valid, bool) or _is_integer(valid))
        and isinstance(meter, str)
        and _METER.fullmatch(meter) is not None
    )


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
