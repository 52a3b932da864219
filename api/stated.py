"""Stated figures as people hand them in, JSON or a table: read cell by cell, checked against the registry.

Every problem of every row is told at once; a file with one is refused as a whole.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from api.bodies import Content
from api.errors import RowsNotValid
from nengshao.domain.codes import is_region_code
from nengshao.domain.norms import NormTable, ParameterKind
from nengshao.domain.targets import Indicator, StatisticState
from nengshao.domain.time import accounting_day, date_of, day_number
from nengshao.domain.units import MILLI, Scope
from nengshao.registry import Registry
from nengshao.registry_cells import (
    CODE,
    INSTANT,
    PERIOD,
    REQUIRED,
    SUBJECT,
    TEXT,
    Cell,
    number,
    one_of,
    scaled,
)
from nengshao.tables import FIRST_ROW, read_table

MOST_ROWS: Final = 10_000
_MOST_PROBLEMS: Final = 100
_FIRST_DAY: Final = day_number(dt.date(1990, 1, 1))
_LAST_DAY: Final = day_number(dt.date(2200, 1, 1))
KEY: Final = ("subject", "indicator", "item", "first_day", "end_day")
"""What one figure is stated of; its versions have it in common."""

Row = Mapping[str, Any]

_DATE: Final = Cell(lambda text: accounting_day(INSTANT.read(text)), empty=None)
CELLS: Final[dict[str, Cell]] = {
    "subject": SUBJECT,
    "indicator": one_of(Indicator),
    "item": CODE.or_empty(""),
    "first": _DATE,
    "end": _DATE,
    "last": _DATE,
    "period": PERIOD.or_empty(),
    "value": scaled(number(least=None), MILLI),
    "unit": CODE,
    "source": TEXT,
    "state": one_of(StatisticState).or_empty(""),
}
"""The columns of a table of statistics; `state` is for regions.

A row says its period in one of three ways: `first` and `end`, the day after the last; `first` and `last`, the
last day itself; or `period`, a year, quarter or month.
"""

_ONE_WAY: Final = (
    "期间须为三者之一：first 与 end（不含该日）、first 与 last（含该日）、period（如 2025-03、2025Q1、2025）"
    " / the period must be one of: first and end (exclusive), first and last (inclusive), period"
)

_VALUE_UNITS: Final = ("CNY", "1e4CNY", "1e8CNY")
_VALUES: Final = (
    Indicator.OUTPUT_VALUE, Indicator.OUTPUT_VALUE_COMPARABLE, Indicator.VALUE_ADDED,
    Indicator.VALUE_ADDED_COMPARABLE,
)  # fmt: skip
_OF_ENTERPRISES: Final = (Indicator.OUTPUT, Indicator.NORM_PARAMETER, *_VALUES)
_OF_REGIONS: Final = (
    Indicator.GDP_COMPARABLE, Indicator.ENERGY_CONSUMPTION, Indicator.CARBON_EMISSION, *_VALUES,
)  # fmt: skip
_REGION_STATES: Final = (StatisticState.PRELIMINARY, StatisticState.FINAL)
_UNITS: Final[dict[Indicator, tuple[str, ...]]] = {
    **dict.fromkeys((*_VALUES, Indicator.GDP_COMPARABLE), _VALUE_UNITS),
    Indicator.ENERGY_CONSUMPTION: ("tce", "1e4tce"),
    Indicator.CARBON_EMISSION: ("tCO2", "1e4tCO2"),
}


def rows_of(content: Content) -> list[Row]:
    """The rows of an upload: subject, indicator, item, first_day, end_day, value (10⁻³), unit, source, state,
    and which row it is: of a list counted from 1, of a table its line in the file.

    Raises: RowsNotValid.
    """
    texts = _json_rows(content.raw) if content.format == "json" else _table_rows(content)
    if not texts or len(texts) > MOST_ROWS:
        raise RowsNotValid([f"须有 1 至 {MOST_ROWS} 行 / there must be 1 to {MOST_ROWS} rows"])
    problems: list[str] = []
    rows = [_read(line, text, problems) for line, text in texts]
    _refuse(problems)
    return rows


def check(rows: Sequence[Row], registry: Registry, norms: NormTable, today: int) -> None:
    """Raises: RowsNotValid with every row that states what its subject cannot, in another unit, twice, or of
    a period that has not ended by the beginning of `today`.
    """
    units = _units_of(registry, norms)
    seen: set[tuple[Any, ...]] = set()
    problems: list[str] = []
    for row in rows:
        wrong = list(_problems_of(row, units))
        if row["end_day"] > today and not _is_constant(row, norms):
            wrong.append(f"期间尚未结束（至 {date_of(row['end_day'] - 1)}）/ the period has not ended yet")
        key = tuple(row[name] for name in KEY)
        if key in seen:
            wrong.append("同一期间报了两次 / the same period twice")
        seen.add(key)
        problems += [f"第 {row['line']} 行 row {row['line']}: {each}" for each in wrong]
    _refuse(problems)


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise RowsNotValid(problems[:_MOST_PROBLEMS])


# ------------------------------------------------------------------------------------------ reading


def _json_rows(raw: bytes) -> list[tuple[int, Mapping[str, str]]]:
    try:
        rows = json.loads(raw, parse_float=str, parse_int=str)
    except (ValueError, RecursionError) as exc:
        raise RowsNotValid(["不是有效的 JSON / not JSON"]) from exc
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise RowsNotValid(["须为对象的列表 / must be a list of objects"])
    texts = [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]
    return list(enumerate(texts, start=1))


def _table_rows(content: Content) -> list[tuple[int, Mapping[str, str]]]:
    try:
        table = read_table(content.raw, content.format)
    except ValueError as exc:
        raise RowsNotValid([str(exc)]) from exc
    rows = enumerate(table.iter_rows(named=True), start=FIRST_ROW)
    return [(line, row) for line, row in rows if any(value.strip() for value in row.values())]


def _read(line: int, row: Mapping[str, str], problems: list[str]) -> Row:
    found: dict[str, Any] = {"line": line}
    where = f"第 {line} 行 row {line}"
    problems += [f"{where}: 未知的列 / unknown column {name}" for name in row if name not in CELLS]
    for name, cell in CELLS.items():
        text = row.get(name, "")
        try:
            found[name] = cell.read(text) if text.strip() else cell.empty
        except ValueError as exc:
            problems.append(f'{where}, {name} "{text[:40]}": {exc}')
            continue
        if found[name] is REQUIRED:
            problems.append(f"{where}, {name}: 必填 / required")
    if {"first", "end", "last", "period"} <= found.keys():
        days = _days_of(*(found.pop(name) for name in ("first", "end", "last", "period")))
        found["first_day"], found["end_day"] = days or (None, None)
        if days is None:
            problems.append(f"{where}: {_ONE_WAY}")
    return found


def _days_of(
    first: int | None, end: int | None, last: int | None, period: tuple[int, int] | None
) -> tuple[int, int] | None:
    """[first, end) of the one way in which a row says its period; None if there is none, or another."""
    if period is not None:
        return period if (first, end, last) == (None, None, None) else None
    if first is None:
        return None
    if end is None:
        return None if last is None else (first, last + 1)
    return (first, end) if last is None else None


# ----------------------------------------------------------------------------------------- checking


def _units_of(registry: Registry, norms: NormTable) -> Callable[[Row], tuple[str, ...] | None]:
    """In which units a row's item may be stated; None: there is no such item."""
    products = {(row["enterprise"], row["product"]): row["unit"] for row in registry.products.to_dicts()}
    parameters = {parameter.parameter_id: parameter.unit for parameter in norms.parameters}

    def units(row: Row) -> tuple[str, ...] | None:
        indicator, item = Indicator(row["indicator"]), row["item"]
        if indicator is Indicator.OUTPUT:
            unit = products.get((row["subject"], item))
        elif indicator is Indicator.NORM_PARAMETER:
            product, _, parameter = item.rpartition("/")
            unit = parameters.get(parameter) if (row["subject"], product) in products else None
        elif indicator in (Indicator.ENERGY_CONSUMPTION, Indicator.CARBON_EMISSION):
            return _UNITS[indicator] if item in list(Scope) else None
        else:
            return None if item else _UNITS[indicator]
        return None if unit is None else (unit,)

    return units


def _problems_of(row: Row, units: Callable[[Row], tuple[str, ...] | None]) -> Iterable[str]:
    is_region, indicator = is_region_code(row["subject"]), Indicator(row["indicator"])
    if indicator not in (_OF_REGIONS if is_region else _OF_ENTERPRISES):
        yield "该对象不报此指标 / not an indicator of this subject"
        return
    allowed = units(row)
    if allowed is None:
        yield f"没有这个分项 / no such item: {row['item']}"
    elif row["unit"] not in allowed:
        yield f"单位应为 / unit must be {', '.join(allowed)}"
    if row["value"] < 0 and indicator is not Indicator.NORM_PARAMETER:
        yield "不得为负 / must not be below 0"
    if not _is_period(row["first_day"], row["end_day"]):
        yield "期间须在 1990 至 2200 年之间且不为空 / not a period"
    if row["state"] not in (_REGION_STATES if is_region else ("",)):
        yield "state：地区须为 preliminary 或 final，企业留空 / regions: preliminary or final; else empty"


def _is_constant(row: Row, norms: NormTable) -> bool:
    """Whether it is a norm's parameter that holds on each day, known before its period ends."""
    constants = {each.parameter_id for each in norms.parameters if each.kind is ParameterKind.CONSTANT}
    is_parameter = row["indicator"] == Indicator.NORM_PARAMETER
    return is_parameter and row["item"].rpartition("/")[2] in constants


def _is_period(first: int, end: int) -> bool:
    return _FIRST_DAY <= first < end <= _LAST_DAY
