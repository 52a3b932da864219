"""Codes that name things on the wire: enterprises, data items, points."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

# GB 32100-2015: 31 characters (no I, O, S, V, Z); weight of position i is 3^i mod 31.
_CREDIT_ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_CREDIT_WEIGHTS: Final = tuple(pow(3, i, 31) for i in range(17))

_PRINTED_DATA_CODE: Final = re.compile(r"(\d\d)-(\d\d)-(\d{4})-(\d{6})-(\d\d)", re.ASCII)
_PLAIN_DATA_CODE: Final = re.compile(r"\d{16}", re.ASCII)


def credit_code_check_character(body: str) -> str:
    """Check character for the first 17 characters of a 统一社会信用代码.

    Raises: ValueError for a character outside the code's alphabet.
    Source: GB 32100-2015 (clause not seen; rule as implemented by public validators).
    """
    total = sum(_CREDIT_ALPHABET.index(c) * w for c, w in zip(body, _CREDIT_WEIGHTS, strict=True))
    return _CREDIT_ALPHABET[(31 - total % 31) % 31]


def is_credit_code(text: str) -> bool:
    """Whether `text` is an 18-character 统一社会信用代码 whose check character is right.

    >>> is_credit_code("91350100M000100Y43"), is_credit_code("91350100M000100Y44")
    (True, False)
    """
    if len(text) != 18 or any(c not in _CREDIT_ALPHABET for c in text):
        return False
    return credit_code_check_character(text[:17]) == text[17]


def plain_data_code(text: str) -> str | None:
    """The 16-digit form of a 采集数据项编码, from it or from the printed `PP-UU-TTNN-CCEEEE-YY`; else None.

    >>> plain_data_code("04-01-0000-040200-30")
    '0401000004020030'
    """
    if _PLAIN_DATA_CODE.fullmatch(text):
        return text
    match = _PRINTED_DATA_CODE.fullmatch(text)
    return "".join(match.groups()) if match else None


def printed_data_code(plain: str) -> str:
    """The printed form `PP-UU-TTNN-CCEEEE-YY` of a 16-digit code."""
    return f"{plain[:2]}-{plain[2:4]}-{plain[4:8]}-{plain[8:14]}-{plain[14:]}"


@dataclass(frozen=True, slots=True)
class PointKey:
    """What a point *is*: enterprise + dataCode + statType + meter."""

    enterprise: str
    data_code: str
    stat_type: int
    meter: str = "00"

    @property
    def tag(self) -> str:
        """The part of the identity below the enterprise: `0000000002330011.0.00`."""
        return f"{self.data_code}.{self.stat_type}.{self.meter}"

    @property
    def point(self) -> int:
        """A stable signed 64-bit id of the identity, the same on every machine and in every store.

        The registry refuses two identities with one id, so a collision can never mix two meters.
        """
        digest = hashlib.sha256(f"{self.enterprise}/{self.tag}".encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)

    @classmethod
    def of(cls, enterprise: str, tag: str) -> PointKey:
        """The key from an enterprise and a `tag`."""
        data_code, stat_type, meter = tag.split(".", 2)
        return cls(enterprise, data_code, int(stat_type), meter)


_REGION_CODE: Final = re.compile(r"\d{6}", re.ASCII)

REGION_PARTITION: Final = -1
"""Regions are a partition of their own: their figures are made of enterprises of every other one."""


def is_region_code(text: str) -> bool:
    """Whether `text` has the form of a 行政区划代码 (GB/T 2260): six digits.

    >>> is_region_code("430621"), is_region_code("91350100M000100Y43")
    (True, False)
    """
    return _REGION_CODE.fullmatch(text) is not None


def region_chain(code: str) -> tuple[str, ...]:
    """A region's code, then those of the regions that hold it, the whole country ("") last.

    >>> region_chain("430621"), region_chain("430000"), region_chain("")
    (('430621', '430600', '430000', ''), ('430000', ''), ('',))
    """
    wider = [code, code[:4] + "00", code[:2] + "0000"] if is_region_code(code) else [code]
    return tuple(dict.fromkeys([*filter(None, wider), ""]))


def partition_of(enterprise: str, partitions: int) -> int:
    """The partition an enterprise belongs to, of `partitions`; stable across machines and versions.

    A region's code belongs to `REGION_PARTITION`.
    """
    if is_region_code(enterprise):
        return REGION_PARTITION
    digest = hashlib.sha256(enterprise.encode()).digest()
    return int.from_bytes(digest[:4], "big") % partitions
