"""The rows of the registry's tables: which cells each has, and how they become the registry's integers.

A row's cells are read one by one (`nengshao.registry_cells`), each problem told; only then is put together
what several cells make: a point's id, a quantity in the row's unit and ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from nengshao.domain.codes import PointKey
from nengshao.domain.errors import ConfigError
from nengshao.domain.factors import Basis, Confidence
from nengshao.domain.readings import MICRO, StatType
from nengshao.domain.targets import Profile, TargetLevel
from nengshao.domain.time import DAY_S
from nengshao.domain.units import (
    MILLI,
    Carrier,
    PointKind,
    Role,
    Scope,
    Unit,
    Use,
    canonical_unit,
    to_canonical,
)
from nengshao.registry_cells import (
    BOOLEAN,
    CODE,
    COEFFICIENT,
    CREDIT_CODE,
    DATA_CODE,
    DENOMINATOR,
    INSTANT,
    MONTH,
    RATIO,
    REGION,
    REQUIRED,
    SECONDS,
    SUBJECT,
    TAG,
    TEXT,
    YEAR,
    Cell,
    integer,
    number,
    one_of,
    scaled,
    whole,
)

Row = Mapping[str, str]
Values = dict[str, Any]
Say = Callable[[str, str], None]
"""Takes a column and what is wrong with its cell."""

_IDENTITY: Final = {
    "enterprise": CREDIT_CODE,
    "data_code": DATA_CODE,
    "stat_type": integer(min(StatType), max(StatType)),
    "meter": CODE.or_empty("00"),
}
_TAG: Final = ("data_code", "stat_type", "meter")
_VALIDITY: Final = {"valid_from": INSTANT, "valid_to": INSTANT.or_empty()}
_ORIGIN: Final = {"source": TEXT, "confidence": one_of(Confidence)}
_AIM: Final = {"enterprise": SUBJECT, "year": YEAR, "basis": one_of(Basis), "scope": one_of(Scope)}
_LEVEL: Final = one_of(TargetLevel).or_empty(TargetLevel.BASE.value)
_TONNES: Final = scaled(number(), 1_000_000)  # g

_CELLS: Final[dict[str, dict[str, Cell]]] = {
    "regions": {"code": REGION, "name": TEXT, "parent": REGION.or_empty()},
    "enterprises": {
        "enterprise": CREDIT_CODE,
        "name": TEXT,
        "region": REGION,
        "industry": CODE,
        "dialect": CODE.or_empty("national"),
        "active_from": INSTANT,
        "active_to": INSTANT.or_empty(),
    },
    "devices": {
        "enterprise": CREDIT_CODE,
        "device": CODE,
        "name": TEXT,
        "cadence_s": SECONDS.or_empty(),
        **_VALIDITY,
    },
    "points": {
        **_IDENTITY,
        "name": TEXT,
        "device": CODE.or_empty(""),
        "carrier": one_of(Carrier),
        "kind": one_of(PointKind),
        "role": one_of(Role),
        "use": one_of(Use).or_empty(Use.ENERGY.value),
        "parent": TAG.or_empty(),
        "feeds_total": BOOLEAN,
        "unit": one_of(Unit),
        "ratio": RATIO,
        "cadence_s": SECONDS.or_empty(DAY_S),
        "grace_s": SECONDS,
        "max_estimate_s": SECONDS.or_empty(0),
        "capacity_per_hour": number(above=0).or_empty(),
        "register_size": number(above=0).or_empty(),
        "expected_per_day": number().or_empty(),
        **_VALIDITY,
    },
    "virtual_terms": {
        **_IDENTITY,
        **{f"term_{name}": _IDENTITY[name] for name in _TAG},
        "coefficient": COEFFICIENT,
        **_VALIDITY,
    },
    "meter_changes": {**_IDENTITY, "at": INSTANT, "closing": number(), "opening": number()},
    "heating_values": {
        "enterprise": CREDIT_CODE,
        "carrier": one_of(Carrier),
        "kj_per_unit": scaled(number(above=0), 1000),
        **_ORIGIN,
        **_VALIDITY,
    },
    "products": {
        "enterprise": CREDIT_CODE,
        "product": CODE,
        "name": TEXT,
        "unit": CODE,
        "norm": CODE.or_empty(""),
        **_VALIDITY,
    },
    "product_shares": {
        "enterprise": CREDIT_CODE,
        "product": CODE,
        **{name: _IDENTITY[name] for name in _TAG},
        "share": COEFFICIENT,
        **_VALIDITY,
    },
    "quotas": {
        **_AIM,
        "level": _LEVEL,
        "quota_t": _TONNES,
        "profile": one_of(Profile),
        **_ORIGIN,
    },
    "quota_plans": {**_AIM, "month": MONTH, "planned_t": _TONNES},
    "intensity_targets": {
        **_AIM,
        "denominator": DENOMINATOR,
        "level": _LEVEL,
        "target_kg": scaled(number(above=0), 1_000_000).or_empty(),
        "reduction_percent": scaled(number(least=-1000), 10_000).or_empty(),
        "base_year": YEAR.or_empty(),
        **_ORIGIN,
    },
}

COLUMNS: Final = {name: tuple(columns) for name, columns in _CELLS.items()}
"""The columns of each table, in file order."""

REQUIRED_COLUMNS: Final = {
    name: tuple(column for column, cell in columns.items() if cell.empty is REQUIRED)
    for name, columns in _CELLS.items()
}
"""The columns of each table that must be there, with every cell filled. The others may be left out."""

_KEPT_AS: Final = {
    "kj_per_unit": "heat_j",
    "quota_t": "quota_g",
    "planned_t": "planned_g",
    "target_kg": "target_mg",
    "reduction_percent": "reduction_ppm",
}
"""Where a file's column, scaled, has another name in the registry."""


# ------------------------------------------------------------------------------------------ points


@dataclass(frozen=True, slots=True)
class Points:
    """Rows of points in the registry's form, by id; `broken`: ids of rows that could not be read."""

    rows: dict[int, list[Mapping[str, Any]]] = field(default_factory=dict)
    broken: set[int] = field(default_factory=set)

    def add(self, point: int, row: Mapping[str, Any]) -> None:
        """Remember a row that could be read."""
        self.rows.setdefault(point, []).append(row)

    def tag(self, point: int) -> tuple[str, int, str]:
        """The point within its enterprise: data code, stat type, meter."""
        row = self.rows[point][0]
        return row["data_code"], row["stat_type"], row["meter"]

    def around(self, point: int, at: int) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
        """The rows in force just before an instant and from it on; None: there is none on one side."""
        rows = self.rows[point]
        before = [r for r in rows if r["valid_from"] < at and (r["valid_to"] is None or at <= r["valid_to"])]
        after = [r for r in rows if r["valid_from"] <= at and (r["valid_to"] is None or at < r["valid_to"])]
        return (before[0], after[0]) if before and after else None


def _point_of(values: Mapping[str, Any], prefix: str = "") -> int:
    return PointKey(values["enterprise"], *(values[prefix + name] for name in _TAG)).point


def _display_scale(row: Mapping[str, Any]) -> Fraction:
    """10⁻⁶ canonical units in one unit of the meter's display: the ratio applies to the register."""
    return Fraction(row["ratio_num"], row["ratio_den"]) * to_canonical(Unit(row["unit"])) * MICRO


def _milli_scale(row: Mapping[str, Any]) -> Fraction:
    return to_canonical(Unit(row["unit"])) * MILLI


# ------------------------------------------------------------------------------------------ reading


class Reader:
    """Reads the rows of one table; what cannot be read is appended to `problems`."""

    def __init__(self, table: str, points: Points, problems: list[str]) -> None:
        self._table, self._points, self._problems = table, points, problems
        self._cells = [(column, cell, _KEPT_AS.get(column, column)) for column, cell in _CELLS[table].items()]

    def read(self, line: int, row: Row) -> Values | None:
        """The row by the contract's columns; None if it cannot be read, or is blank."""
        if not any(map(str.strip, row.values())):
            return None
        known = len(self._problems)

        def say(column: str, wrong: str) -> None:
            value = row.get(column) or ""
            self._problems.append(f'{self._table} 第 {line} 行 line {line}, {column} "{value}": {wrong}')

        values = self._read_cells(row, say)
        if self._table in _COMPLETE and len(self._problems) == known:
            _COMPLETE[self._table](values, self._points, say)
        is_read = len(self._problems) == known
        if self._table == "points":
            self._remember(values, is_read=is_read)
        return values if is_read else None

    def _read_cells(self, row: Row, say: Say) -> Values:
        values: Values = {}
        for column, cell, kept in self._cells:
            text = row.get(column) or ""
            try:
                if text.strip():
                    values[kept] = cell.read(text)
                elif cell.empty is REQUIRED:
                    say(column, "必填 / required")
                else:
                    values[kept] = cell.empty
            except ValueError as exc:
                say(column, str(exc))
        return values

    def _remember(self, values: Values, *, is_read: bool) -> None:
        if is_read:
            self._points.add(values["point"], values)
        elif _IDENTITY.keys() <= values.keys():
            self._points.broken.add(_point_of(values))


def _whole_cell(values: Values, column: str, scale: Fraction, say: Say) -> int | None:
    if values[column] is None:
        return None
    try:
        return whole(values[column] * scale)
    except ValueError as exc:
        say(column, str(exc))
        return None


def _complete_point(values: Values, _: Points, say: Say) -> None:
    carrier, unit = Carrier(values["carrier"]), Unit(values["unit"])
    if canonical_unit(unit) is not carrier.unit:
        say("unit", f"该单位不计量{carrier.zh} / does not measure {carrier}")
    ratio, parent = values["ratio"], values["parent"]
    values["point"] = _point_of(values)
    values["parent"] = None if parent is None else PointKey(values["enterprise"], *parent).point
    values["ratio_num"], values["ratio_den"] = ratio.numerator, ratio.denominator
    values["capacity"] = _whole_cell(values, "capacity_per_hour", _milli_scale(values), say)
    values["expected_daily"] = _whole_cell(values, "expected_per_day", _milli_scale(values), say)
    values["register_modulus"] = _whole_cell(values, "register_size", _display_scale(values), say)


def _known_point(values: Values, points: Points, say: Say, prefix: str = "") -> int:
    point = _point_of(values, prefix)
    if point not in points.rows and point not in points.broken:
        tag = TAG.write(tuple(values[prefix + name] for name in _TAG))
        say(f"{prefix}data_code", f"计量点 {tag} 不在 points 表中 / {tag} is not in the points table")
    return point


def _complete_term(values: Values, points: Points, say: Say) -> None:
    values["point"] = _known_point(values, points, say)
    values["term"] = _known_point(values, points, say, "term_")
    values["num"], values["den"] = values["coefficient"].as_integer_ratio()


def _complete_share(values: Values, points: Points, say: Say) -> None:
    values["point"] = _known_point(values, points, say)
    values["num"], values["den"] = values["share"].as_integer_ratio()


def _complete_change(values: Values, points: Points, say: Say) -> None:
    point = values["point"] = _known_point(values, points, say)
    if point not in points.rows:
        return
    rows = points.around(point, values["at"])
    if rows is not None:
        for column, spec in zip(("closing", "opening"), rows, strict=True):
            values[column] = _whole_cell(values, column, _display_scale(spec), say)
    elif point not in points.broken:
        say("at", "该时刻前后没有有效的计量点参数 / no row of the point is in force before and from then on")


_COMPLETE: Final[dict[str, Callable[[Values, Points, Say], None]]] = {
    "points": _complete_point,
    "virtual_terms": _complete_term,
    "meter_changes": _complete_change,
    "product_shares": _complete_share,
}
"""What more than one cell goes into."""


# ------------------------------------------------------------------------------------------ writing


def written(name: str, row: Mapping[str, Any], points: Points) -> dict[str, str]:
    """A row of the registry as the cells of its file.

    Raises: ConfigError for a meter change at an instant at which no row of its point is in force.
    """
    values = {**row, **_TAKE_APART[name](row, points)} if name in _TAKE_APART else row
    shown = ((column, cell, values[_KEPT_AS.get(column, column)]) for column, cell in _CELLS[name].items())
    return {column: "" if value is None else cell.write(value) for column, cell, value in shown}


def _in_units(value: int | None, scale: Fraction) -> Fraction | None:
    return None if value is None else value / scale


def _take_point_apart(row: Mapping[str, Any], points: Points) -> Values:
    return {
        "ratio": Fraction(row["ratio_num"], row["ratio_den"]),
        "parent": None if row["parent"] is None else points.tag(row["parent"]),
        "capacity_per_hour": _in_units(row["capacity"], _milli_scale(row)),
        "expected_per_day": _in_units(row["expected_daily"], _milli_scale(row)),
        "register_size": _in_units(row["register_modulus"], _display_scale(row)),
    }


def _identity(point: int, points: Points) -> Values:
    tag = dict(zip(_TAG, points.tag(point), strict=True))
    return {"enterprise": points.rows[point][0]["enterprise"], **tag}


def _take_term_apart(row: Mapping[str, Any], points: Points) -> Values:
    term = {f"term_{name}": value for name, value in _identity(row["term"], points).items()}
    return _identity(row["point"], points) | term | {"coefficient": Fraction(row["num"], row["den"])}


def _take_share_apart(row: Mapping[str, Any], points: Points) -> Values:
    return _identity(row["point"], points) | {"share": Fraction(row["num"], row["den"])}


def _take_change_apart(row: Mapping[str, Any], points: Points) -> Values:
    specs = points.around(row["point"], row["at"])
    if specs is None:
        raise ConfigError(
            [f"meter_changes {row['point']}: 该时刻没有有效的参数 / no row is in force at {row['at']}"]
        )
    scales = zip(("closing", "opening"), specs, strict=True)
    return _identity(row["point"], points) | {
        column: _in_units(row[column], _display_scale(spec)) for column, spec in scales
    }


_TAKE_APART: Final[dict[str, Callable[[Mapping[str, Any], Points], Values]]] = {
    "points": _take_point_apart,
    "virtual_terms": _take_term_apart,
    "meter_changes": _take_change_apart,
    "product_shares": _take_share_apart,
}
