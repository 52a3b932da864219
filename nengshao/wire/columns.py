"""Readings as columns: what was sent, one row each, nothing judged yet; row objects end here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from nengshao.domain.readings import Reason
from nengshao.domain.time import LOCAL_OFFSET_S, parse_instant
from nengshao.wire.contract import METER, Item, ItemColumns, Topic

_NATIONAL_TIME: Final = "%Y-%m-%d %H:%M:%S"
_LONGEST_DETAIL: Final = 200
_PART_ROWS: Final = 2_000  # of these, a good megabyte of row objects

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

_RUN_SCHEMA: Final = {
    "message": pl.Int32,
    "enterprise": pl.String,
    "device": pl.String,
    "first": pl.Int32,
    "end": pl.Int32,
}


@dataclass(frozen=True, slots=True)
class Rejection:
    """A message (`index` None) or one of its readings that cannot be accepted.

    `detail` may quote what was sent: cut short, and nothing in it that a database or a screen chokes on.
    """

    message: int
    index: int | None
    reason: Reason
    detail: str = ""

    def __post_init__(self) -> None:
        detail = self.detail[:_LONGEST_DETAIL]
        if not detail.isprintable():
            detail = "".join(c if c.isprintable() else "\ufffd" for c in detail)
        object.__setattr__(self, "detail", detail)


class Gathered:
    """What was read of a batch so far, in runs that each belong to one message.

    It becomes columns part by part, while a part is in the processor's cache: that takes two thirds of the
    time that the whole batch at once would, and few row objects exist at any time.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[int, str, str, int, int]] = []  # _RUN_SCHEMA
        self._items: list[Item] = []
        self._fields = _fields_of([])
        self._parts: list[pl.DataFrame] = []
        self.sequences: dict[int, int] = {}
        self.rejections: list[Rejection] = []

    def take(self, number: int, topic: Topic, items: Sequence[Item], first: int = 0) -> None:
        """Append readings of one message, of which the first stands at position `first`."""
        self._runs.append((number, topic.enterprise, topic.device, first, first + len(items)))
        self._items.extend(items)
        if len(self._items) >= _PART_ROWS:
            self._end_part()

    def take_columns(self, number: int, topic: Topic, sent: ItemColumns) -> None:
        """Append the readings of a compact message, whose arrays are of one length."""
        if self._items:
            self._end_part()
        rows = len(sent.dataValue)
        self._runs.append((number, topic.enterprise, topic.device, 0, rows))
        for name, field in self._fields.items():
            values = getattr(sent, name)
            field.extend(values if isinstance(values, list) else [values] * rows)
        if len(self._fields["dataValue"]) >= _PART_ROWS:
            self._end_part()

    def reject(self, number: int, reason: Reason, detail: str = "", index: int | None = None) -> None:
        """Note what cannot be accepted."""
        self.rejections.append(Rejection(number, index, reason, detail))

    def frame(self) -> pl.DataFrame:
        """RAW_SCHEMA of what was gathered. A meter that is no meter's name is a rejection more."""
        self._end_part()
        frame = _raw_frame(_owners(self._runs), pl.concat(self._parts or [_part(self._fields)]))
        meters = frame["meter"].unique()
        wrong = meters.filter(~meters.str.contains(METER))
        if wrong.is_empty():
            return frame
        is_wrong = pl.col("meter").is_in(wrong.implode())
        for number, index in frame.filter(is_wrong).select("message", "index").iter_rows():
            self.reject(number, Reason.BAD_SHAPE, f"meter does not match {METER}", index)
        return frame.filter(~is_wrong)

    def _end_part(self) -> None:
        """Here row objects end. Of fields and items, the fields came first."""
        parts = (self._fields, _fields_of(self._items))
        self._parts += [_part(fields) for fields in parts if fields["dataValue"]]
        self._fields, self._items = _fields_of([]), []


def _fields_of(items: list[Item]) -> dict[str, list[Any]]:
    return {
        "dataCode": [i.dataCode for i in items],
        "dataValue": [i.dataValue for i in items],
        "inputType": [i.inputType for i in items],
        "statType": [i.statType for i in items],
        "statDate": [i.statDate for i in items],
        "uploadDate": [i.uploadDate for i in items],
        "scope": [i.scope for i in items],
        "valid": [i.valid for i in items],
        "meter": [i.meter for i in items],
    }


def _part(fields: Mapping[str, list[Any]]) -> pl.DataFrame:
    """Columns of what was sent, times and codes still as text."""
    return pl.DataFrame(
        [
            pl.Series("data_code", fields["dataCode"], dtype=pl.String),
            _small_integers("stat_type", fields["statType"]),
            pl.Series("meter", fields["meter"], dtype=pl.String),
            pl.Series("ts", fields["statDate"], dtype=pl.String),
            pl.Series("version", fields["uploadDate"], dtype=pl.String),
            pl.Series("value", fields["dataValue"], dtype=pl.Float64),
            _valid_codes(fields["valid"]),
            _small_integers("input_type", fields["inputType"]),
            _small_integers("scope", fields["scope"]),
        ]
    )


def _owners(runs: list[tuple[int, str, str, int, int]]) -> pl.DataFrame:
    """message, index, enterprise, device of every reading."""
    index = pl.int_ranges("first", "end", dtype=pl.Int32).alias("index")
    columns = dict(zip(_RUN_SCHEMA, zip(*runs, strict=True), strict=False))  # none where there are no runs
    frame = pl.DataFrame(columns, schema=_RUN_SCHEMA)  # a third of the time of a frame from rows
    return frame.select("message", index, "enterprise", "device").explode("index", empty_as_null=False)


def _raw_frame(owners: pl.DataFrame, sent: pl.DataFrame) -> pl.DataFrame:
    codes, ts, version = sent["data_code"], sent["ts"], sent["version"]
    read = sent.with_columns(_plain_codes(codes), instants(ts), instants(version))
    return owners.hstack(read)


def _valid_codes(values: list[bool | int]) -> pl.Series:
    """0 or 1 for a number, 2 or 3 for the words false and true, -1 for any other number."""
    try:
        return pl.Series("valid_code", values, dtype=pl.Boolean).cast(pl.Int8) + 2  # words only
    except TypeError:
        return pl.Series("valid_code", [_valid_code(value) for value in values], dtype=pl.Int8)


def _valid_code(valid: bool | int) -> int:
    if isinstance(valid, bool):
        return 3 if valid else 2
    return valid if valid in (0, 1) else -1


def _small_integers(name: str, values: list[int]) -> pl.Series:
    """Enumeration values as sent; one beyond int64 is no enumeration value and becomes -1."""
    try:
        return pl.Series(name, values, dtype=pl.Int64)
    except (OverflowError, pl.exceptions.PolarsError, TypeError):
        return pl.Series(name, [v if -(2**62) < v < 2**62 else -1 for v in values], dtype=pl.Int64)


def _plain_codes(codes: pl.Series) -> pl.Series:
    """The 16-digit form of data codes in either form; null where a text is neither."""
    distinct = codes.unique()  # a batch repeats few
    plain = distinct.str.contains("^[0-9]{16}$")
    if plain.all():
        return codes
    printed = distinct.str.contains("^[0-9]{2}-[0-9]{2}-[0-9]{4}-[0-9]{6}-[0-9]{2}$")
    digits = distinct.str.replace_all("-", "", literal=True).set(~(plain | printed), None)
    return codes.replace_strict(distinct, digits)


def instants(texts: pl.Series) -> pl.Series:
    """Whole UTC seconds of times in either form; null where a text is neither."""
    national = texts.str.to_datetime(_NATIONAL_TIME, strict=False).dt.epoch("s") - LOCAL_OFFSET_S
    if not national.null_count():
        return national
    others = texts.filter(national.is_null()).unique()  # a batch repeats few distinct times
    seconds = pl.Series(_instants(others), dtype=pl.Int64)
    return national.fill_null(texts.replace_strict(others, seconds, default=None, return_dtype=pl.Int64))


def _instants(texts: Iterable[str | None]) -> list[int | None]:
    return [_instant(text) for text in texts]


def _instant(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_instant(text)
    except (ValueError, OverflowError):
        return None
