"""Cells of the registry's tables: what a person may write in one, and how it is written back.

A cell is text, as a CSV file or a spreadsheet gives it. Codes and numbers may hold full-width characters
and surrounding blanks; names are only stripped. What is wrong is said in Chinese first, then English.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum, StrEnum
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

from nengshao.domain.codes import is_credit_code, is_region_code, plain_data_code
from nengshao.domain.targets import Indicator
from nengshao.domain.time import day_number, instant_of, iso_text, parse_instant

MOST: Final = 2**63 - 1
"""The largest integer that the registry keeps."""


class _Required(Enum):
    REQUIRED = "required"


REQUIRED: Final = _Required.REQUIRED
"""An empty cell is refused."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A kind of cell. `read` raises ValueError saying what is wrong; `empty` is what an empty cell means."""

    read: Callable[[str], Any]
    write: Callable[[Any], str] = str
    empty: Any = REQUIRED

    def or_empty(self, meaning: Any = None) -> Cell:
        """The same, where an empty cell means `meaning`."""
        return Cell(self.read, self.write, meaning)


def _plain(text: str) -> str:
    """Half-width, without blanks around it: `１２ ` is `12`."""
    return unicodedata.normalize("NFKC", text).strip()


def _cached(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """The same few texts stand in thousands of rows."""
    return lru_cache(maxsize=4096)(read)


# ------------------------------------------------------------------------------------------ codes


def _credit_code(text: str) -> str:
    code = _plain(text)
    if not is_credit_code(code):
        raise ValueError("统一社会信用代码有误（GB 32100-2015：18 位，末位校验） / not a valid credit code")
    return code


def _region(text: str) -> str:
    code = _plain(text)
    if not is_region_code(code):
        raise ValueError("不是 6 位行政区划代码 / not a region code of 6 digits")
    return code


def _subject(text: str) -> str:
    return _plain(text) if is_region_code(_plain(text)) else _credit_code(text)


def _data_code(text: str) -> str:
    code = plain_data_code(_plain(text))
    if code is None:
        raise ValueError(
            "不是采集数据项编码（16 位数字；在表格软件中请设为文本）"
            " / not a data code (16 digits; format the column as text)"
        )
    return code


def _tag(text: str) -> tuple[str, int, str]:
    parts = _plain(text).split(".")
    if len(parts) != 3 or parts[1] not in ("0", "1", "2", "3") or not parts[2]:
        raise ValueError("应写作 数据项编码.采集频率.表计编号 / must be data_code.stat_type.meter")
    return _data_code(parts[0]), int(parts[1]), parts[2]


_PRODUCT: Final = "product:"
_VALUES: Final = (
    Indicator.OUTPUT_VALUE, Indicator.OUTPUT_VALUE_COMPARABLE, Indicator.VALUE_ADDED,
    Indicator.VALUE_ADDED_COMPARABLE, Indicator.GDP_COMPARABLE,
)  # fmt: skip


def _denominator(text: str) -> str:
    word = _plain(text)
    if word not in _VALUES and not (word.startswith(_PRODUCT) and len(word) > len(_PRODUCT)):
        words = ", ".join(_VALUES)
        raise ValueError(f"应为 product:产品编号，或 {words} 之一 / must be product:<id> or one of {words}")
    return word


CREDIT_CODE: Final = Cell(_cached(_credit_code))
REGION: Final = Cell(_cached(_region))
SUBJECT: Final = Cell(_cached(_subject))
"""An enterprise's credit code, or a region's code."""
DATA_CODE: Final = Cell(_cached(_data_code))
TAG: Final = Cell(_cached(_tag), lambda tag: ".".join(map(str, tag)))
"""A point within its enterprise: (data code, stat type, meter), written `0000000002330011.0.01`."""
DENOMINATOR: Final = Cell(_cached(_denominator))
"""What an intensity is divided by: a product's output, or a value."""
CODE: Final = Cell(_cached(_plain))
TEXT: Final = Cell(str.strip)


# ------------------------------------------------------------------------------------------ numbers

_GROUPED: Final = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?", re.ASCII)
_NUMBER: Final = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d{1,2})?", re.ASCII)


def exact_number(text: str) -> Fraction:
    """`1200.5`, `1,200.5`, `１２００．５`, `1.2E6`, exactly.

    Raises: ValueError for anything else, `1,5` included: is it 1.5 or 15?
    """
    plain = _plain(text)
    if _GROUPED.fullmatch(plain):
        plain = plain.replace(",", "")
    if not _NUMBER.fullmatch(plain):
        raise ValueError("不是数字 / not a number")
    return Fraction(plain)


def _quotient(text: str) -> Fraction:
    """`3000`, `0.1`, `35/0.1`, `1/3`."""
    top, slash, bottom = _plain(text).partition("/")
    below = exact_number(bottom) if slash else Fraction(1)
    if below == 0:
        raise ValueError("分母为零 / divided by zero")
    return exact_number(top) / below


def _ratio(text: str) -> Fraction:
    ratio = _quotient(text)
    if ratio <= 0:
        raise ValueError("变比须大于零 / the ratio must be above 0")
    return within(ratio)


def _coefficient(text: str) -> Fraction:
    return within(_quotient(text))


def within(fraction: Fraction) -> Fraction:
    """`fraction`, if both of its integers can be kept. Raises: ValueError."""
    if max(abs(fraction.numerator), fraction.denominator) > MOST:
        raise ValueError("数字过大或过细 / too large, or too fine")
    return fraction


def whole(quantity: Fraction) -> int:
    """A scaled quantity, which must come out whole: rounding is a decision nobody may take silently.

    Raises: ValueError if it does not, or is too large.
    """
    if quantity.denominator != 1:
        raise ValueError("比登记表保存的精度更细 / finer than the registry keeps")
    return within(quantity).numerator


def decimal(exact: Fraction) -> str:
    """A decimal where one of 18 digits exists, else a fraction: `0.25`, `1/3`."""
    for digits in range(19):
        scaled = exact * 10**digits
        if scaled.denominator == 1:
            integer, part = divmod(abs(scaled.numerator), 10**digits)
            sign = "-" if exact < 0 else ""
            return f"{sign}{integer}.{part:0{digits}d}" if digits else f"{sign}{integer}"
    return f"{exact.numerator}/{exact.denominator}"


def number(least: int | None = 0, *, above: int | None = None) -> Cell:
    """A number, read and written as a Fraction; at least `least`, and greater than `above`."""

    def read(text: str) -> Fraction:
        value = _quotient(text)
        if above is not None and value <= above:
            raise ValueError(f"须大于 {above} / must be above {above}")
        if least is not None and value < least:
            raise ValueError(f"不得小于 {least} / must not be below {least}")
        return value

    return Cell(_cached(read), decimal)


def scaled(cell: Cell, scale: int) -> Cell:
    """A number that is kept as an integer in 1/`scale` of what is written."""
    return Cell(
        _cached(lambda text: whole(cell.read(text) * scale)),
        lambda value: decimal(Fraction(value, scale)),
        cell.empty,
    )


def integer(least: int, most: int) -> Cell:
    """A whole number between two others, both included."""

    def read(text: str) -> int:
        value = exact_number(text)
        if value.denominator != 1 or not least <= value <= most:
            raise ValueError(f"须为 {least} 至 {most} 的整数 / must be a whole number from {least} to {most}")
        return value.numerator

    return Cell(_cached(read))


RATIO: Final = Cell(_cached(_ratio), decimal, Fraction(1))
COEFFICIENT: Final = Cell(_cached(_coefficient), decimal)
SECONDS: Final = integer(0, 10 * 366 * 86_400)
YEAR: Final = integer(1990, 2200)
MONTH: Final = integer(1, 12)


# ---------------------------------------------------------------------------- instants, words


_DATE: Final = re.compile(r"(\d{4})(?:-|/|\.|年)(\d{1,2})(?:-|/|\.|月)(\d{1,2})日?(?:[ T]+(.+))?", re.ASCII)
_CLOCK: Final = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d)(?:\.0+)?)?", re.ASCII)


def _instant(text: str) -> int:
    """A date (its first instant, UTC+8), or an instant with or without offset."""
    for read in (_spreadsheet_instant, parse_instant):
        try:
            return read(_plain(text))
        except ValueError:
            continue
    raise ValueError(
        "不是日期或时间，如 2025-01-01、2025/1/1 8:00 / not a date or time, as in 2025-01-01 08:00:00"
    )


def _spreadsheet_instant(text: str) -> int:
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    midnight = instant_of(dt.date(*(int(part) for part in match.groups()[:3])))
    return midnight + _clock(match[4]) if match[4] else midnight


def _clock(text: str) -> int:
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise ValueError(text)
    hour, minute, second = (int(part or 0) for part in match.groups())
    clock = dt.time(hour, minute, second)
    return clock.hour * 3600 + clock.minute * 60 + clock.second


INSTANT: Final = Cell(_cached(_instant), iso_text)

_PERIOD: Final = re.compile(
    r"((?:19|20|21)\d\d)(?:年|(?:-|/|年)(0?[1-9]|1[0-2])月?|[-年]?Q([1-4]))?", re.ASCII | re.IGNORECASE
)


def _period(text: str) -> tuple[int, int]:
    """The accounting days [first, end) of a year, a quarter or a month."""
    match = _PERIOD.fullmatch(_plain(text))
    if match is None:
        raise ValueError("不是期间，如 2025、2025Q1、2025-03 / not a period, as in 2025, 2025Q1, 2025-03")
    year, month, quarter = (int(part or 0) for part in match.groups())
    first, months = (month, 1) if month else (3 * quarter - 2, 3) if quarter else (1, 12)
    year_after, month_after = divmod(12 * year + first - 1 + months, 12)
    return day_number(dt.date(year, first, 1)), day_number(dt.date(year_after, month_after + 1, 1))


PERIOD: Final = Cell(_cached(_period))

_TRUE: Final = ("true", "是")
_FALSE: Final = ("false", "否")


def _boolean(text: str) -> bool:
    word = _plain(text).lower()
    if word not in _TRUE + _FALSE:
        raise ValueError("应为 true/false 或 是/否 / neither true nor false")
    return word in _TRUE


BOOLEAN: Final = Cell(_cached(_boolean), lambda value: str(value).lower())


_FEW: Final = 12


def one_of(members: Iterable[StrEnum]) -> Cell:
    """One word of a closed vocabulary."""
    words = [member.value for member in members]

    def read(text: str) -> str:
        word = _plain(text)
        if word not in words:
            likely = words if len(words) <= _FEW else get_close_matches(word, words, n=3, cutoff=0.0)
            more = "" if len(words) <= _FEW else " …"
            raise ValueError(
                f"应为 {'、'.join(likely)}{more} 之一 / must be one of {', '.join(likely)}{more}"
            )
        return word

    return Cell(_cached(read))
