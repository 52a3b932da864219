"""Load conversion factors from TOML: the library that ships, and what a county lays over it.

[defaults]                      # optional: what the rows of this file say that do not say otherwise
edition = "GB/T 2589-2020"
source = "…"                    # standard, annex, table; what was seen of it
confidence = "copied"           # official | transcribed | copied | recalled
valid_from = 2021-04-01

[[factor]]
id = "gbt2589-2020/raw_coal/calorific"
carrier = "raw_coal"            # nengshao.domain.units.Carrier
basis = "calorific"             # calorific 当量值 | equivalent 等价值 | carbon 二氧化碳
unit = "kg"                     # per which of the carrier's units; with kgce_per_unit it may be left out
kgce_per_unit = "0.7143"        # a decimal or a fraction, as text, so that it stays exact
edition, source, confidence, valid_from    # as above
valid_to = 2026-01-01           # optional; exclusive
region = "430000"               # optional: 行政区划代码; the whole country if left out
note = "…"                      # optional; a factor of 0 must say why

On the basis carbon either kgco2_per_unit stands in the place of kgce_per_unit, or the fuel's ncv (GJ per
unit), carbon_content (tC/GJ) and oxidation (a fraction). A number per unit may be a table of numbers by
行政区划代码: a row for each region, whose code stands where the id says {region}.

[[constant]]
name = "standard_coal"          # the heat of standard coal; there is no other constant
value = "29307"
unit = "kJ/kgce"
edition, source, confidence, note
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from nengshao.domain.codes import is_region_code
from nengshao.domain.errors import ConfigError
from nengshao.domain.factors import (
    Basis,
    Confidence,
    Constant,
    Factor,
    FactorTable,
    kg_co2,
    overlapping_rows,
)
from nengshao.domain.units import Carrier, Unit, canonical_unit, to_canonical

Row = Mapping[str, Any]

SHIPPED: Final = Path(__file__).parent / "factors"
"""The library that ships with Nengshao."""

_COMMON: Final = frozenset({"edition", "source", "confidence", "valid_from"})
_REQUIRED: Final = _COMMON | {"id", "carrier", "basis"}
_PER_UNIT: Final = {basis: "kgce_per_unit" for basis in Basis} | {Basis.CARBON: "kgco2_per_unit"}
_CARBON_PARTS: Final = ("ncv", "carbon_content", "oxidation")
_NUMBERS: Final = frozenset({*_PER_UNIT.values(), *_CARBON_PARTS})
_OPTIONAL: Final = frozenset({"unit", "valid_to", "region", "note"}) | _NUMBERS
_CONSTANT: Final = (frozenset({"name", "value", "unit"}) | _COMMON - {"valid_from"}, frozenset({"note"}))
_CONSTANT_UNITS: Final = {"standard_coal": "kJ/kgce"}


_Key = tuple[Carrier, Basis, str, dt.date]


@dataclass(slots=True)
class _Found:
    """What the files of one directory hold, and everything that is wrong with them."""

    factors: dict[_Key, Factor] = field(default_factory=dict)
    constants: dict[str, Constant] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def load_factors(overlays: Sequence[Path] = (), *, shipped: Path = SHIPPED) -> FactorTable:
    """Every row of every `*.toml` in the shipped library and in the overlays, later directories over earlier.

    A row of an overlay rules its own days; the row below it of the same carrier, basis and region rules what
    it did not reach (the part after it as `<id>@<first day>`). A constant replaces one of the same name.
    Raises: ConfigError with every problem at once: unknown or missing keys, values that mean nothing, rows
    of one carrier, basis and region that are valid on a common day, a directory that does not exist.
    """
    found = _Found()
    for directory in (shipped, *overlays):
        if not directory.is_dir():
            found.problems.append(f"no such directory: {directory}")
        here = _rows_of_directory(directory)
        found.factors = _laid_over(found.factors, here.factors)
        found.constants |= here.constants
        found.problems += here.problems
    problems = [
        *found.problems,
        *overlapping_rows(found.factors.values()),
        *_repeated_ids(found.factors.values()),
    ]
    if problems:
        raise ConfigError(problems)
    return FactorTable(
        tuple(row for _, row in sorted(found.factors.items())), found.constants.get("standard_coal")
    )


def _laid_over(below: Mapping[_Key, Factor], above: Mapping[_Key, Factor]) -> dict[_Key, Factor]:
    rows = list(below.values())
    for row in above.values():
        place = (row.carrier, row.basis, row.region)
        rows = [
            part
            for other in rows
            for part in (
                _outside(other, row) if (other.carrier, other.basis, other.region) == place else [other]
            )
        ]
    left = {(row.carrier, row.basis, row.region, row.valid_from): row for row in rows}
    return left | dict(above)


def _outside(row: Factor, over: Factor) -> list[Factor]:
    """What is left of a row's validity outside that of another."""
    parts = []
    if row.valid_from < over.valid_from:
        ends = [date for date in (row.valid_to, over.valid_from) if date is not None]
        parts.append(replace(row, valid_to=min(ends)))
    if over.valid_to is not None and (row.valid_to is None or over.valid_to < row.valid_to):
        if row.valid_from >= over.valid_to:
            return [row]
        resumed = f"{row.factor_id}@{over.valid_to}" if parts else row.factor_id
        parts.append(replace(row, factor_id=resumed, valid_from=over.valid_to))
    return parts


def read_rows(path: Path, table: str, problems: list[str]) -> list[Row]:
    """The `[[table]]` rows of one TOML file; what is wrong with the file itself goes to `problems`."""
    return _rows_in(_document(path, frozenset({table}), problems), table, path, problems)


def key_problems(row: Row, required: frozenset[str], optional: frozenset[str]) -> list[str]:
    """A line for every key that is unknown or missing in a row."""
    unknown = [f"unknown key {key}" for key in sorted(set(row) - required - optional)]
    return unknown + [f"missing key {key}" for key in sorted(required - set(row))]


def _document(path: Path, known: frozenset[str], problems: list[str]) -> Row:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        problems.append(f"{path.name}: {exc}")
        return {}
    problems.extend(f"{path.name}: unknown key {key}" for key in sorted(set(document) - known))
    return document


def _rows_in(document: Row, table: str, path: Path, problems: list[str]) -> list[Row]:
    rows = document.get(table, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        problems.append(f"{path.name}: [[{table}]] must be a list of tables")
        return []
    return rows


def _rows_of_directory(directory: Path) -> _Found:
    found = _Found()
    for path in sorted(directory.glob("*.toml")):
        document = _document(path, frozenset({"defaults", "factor", "constant"}), found.problems)
        defaults = _defaults(document, path, found.problems)
        for number, row in enumerate(_rows_in(document, "factor", path, found.problems), start=1):
            label = f"{path.name}: factor {number} ({row.get('id', '?')})"
            _add_factors(found, {**defaults, **row}, label)
        for number, row in enumerate(_rows_in(document, "constant", path, found.problems), start=1):
            _add_constant(found, row, f"{path.name}: constant {number} ({row.get('name', '?')})")
    return found


def _defaults(document: Row, path: Path, problems: list[str]) -> Row:
    defaults = document.get("defaults", {})
    if not isinstance(defaults, dict):
        problems.append(f"{path.name}: [defaults] must be a table")
        return {}
    problems += [
        f"{path.name}: defaults: unknown key {key}" for key in sorted(set(defaults) - _COMMON - {"valid_to"})
    ]
    return defaults


def _add_factors(found: _Found, row: Row, label: str) -> None:
    wrong = key_problems(row, _REQUIRED, _OPTIONAL) or _value_problems(row) or _number_problems(row)
    if wrong:
        found.problems.extend(f"{label}: {line}" for line in wrong)
        return
    for factor in _factors(row):
        key = (factor.carrier, factor.basis, factor.region, factor.valid_from)
        if key in found.factors:
            other = found.factors[key].factor_id
            found.problems.append(f"{label}: the same carrier, basis, region and valid_from as {other}")
        if not _is_usable(factor):
            found.problems.append(f"{label}: {factor.per_unit} is no fraction of two 64-bit integers")
        found.factors[key] = factor


def _factors(row: Row) -> Iterator[Factor]:
    """The row's factors: one, or one for each region of its table of numbers."""
    carrier, basis = Carrier(row["carrier"]), Basis(row["basis"])
    unit = Unit(row.get("unit", carrier.unit))
    parts: tuple[tuple[str, str], ...] = ()
    if "ncv" in row:
        numbers = {row.get("region", ""): kg_co2(*(Fraction(row[key]) for key in _CARBON_PARTS))}
        parts = (("ncv", row["ncv"]), ("unit", unit.value), *((key, row[key]) for key in _CARBON_PARTS[1:]))
    else:
        given = row[_PER_UNIT[basis]]
        by_region = given if isinstance(given, dict) else {row.get("region", ""): given}
        numbers = {region: Fraction(text) for region, text in by_region.items()}
    for region, number in numbers.items():
        yield Factor(
            factor_id=row["id"].replace("{region}", region),
            carrier=carrier,
            basis=basis,
            per_unit=number / to_canonical(unit),
            edition=row["edition"],
            source=row["source"],
            confidence=Confidence(row["confidence"]),
            valid_from=row["valid_from"],
            valid_to=row.get("valid_to"),
            region=region,
            note=row.get("note", ""),
            parts=parts,
        )


def _value_problems(row: Row) -> list[str]:
    """A line for every value of a row (with the right keys) that cannot be used, but its numbers."""
    problems = _common_problems(row, texts=("id", "edition", "source"))
    for key, allowed in (("carrier", Carrier), ("basis", Basis), ("unit", Unit)):
        if key in row and row[key] not in list(allowed):
            problems.append(f"{key} {row[key]!r} is none of {', '.join(allowed)}")
    problems += [
        f"{key} must be a date"
        for key in ("valid_from", "valid_to")
        if not _is_date(row.get(key, dt.date.max))
    ]
    if problems:
        return problems
    if row.get("valid_to", dt.date.max) <= row["valid_from"]:
        problems.append("valid_to must be after valid_from")
    if "region" in row and not (_is_text(row["region"]) and is_region_code(row["region"])):
        problems.append(f"region {row['region']!r} is no 行政区划代码")
    if "unit" not in row and row["basis"] == Basis.CARBON:
        problems.append("missing key unit")
    if "unit" in row and canonical_unit(Unit(row["unit"])) is not Carrier(row["carrier"]).unit:
        problems.append(f"{row['carrier']} is not measured in {row['unit']}")
    return problems


def _common_problems(row: Row, texts: Iterable[str]) -> list[str]:
    problems = [f"{key} must be text" for key in texts if not _is_text(row[key])]
    if row["confidence"] not in list(Confidence):
        problems.append(f"confidence {row['confidence']!r} is none of {', '.join(Confidence)}")
    if not isinstance(row.get("note", ""), str):
        problems.append("note must be text")
    return problems


def _number_problems(row: Row) -> list[str]:
    """A line for every number of a row (with the right values) that is missing, out of place or no number."""
    per_unit, given = _PER_UNIT[row["basis"]], _NUMBERS & set(row)
    by_parts = row["basis"] == Basis.CARBON and per_unit not in given
    expected = {*_CARBON_PARTS} if by_parts else {per_unit}
    problems = [f"key {key} does not belong to this row" for key in sorted(given - expected)]
    problems += [f"missing key {key}" for key in sorted(expected - given)]
    for key in sorted(given & expected):
        numbers = {"": row[key]}
        if key == per_unit and isinstance(row[key], dict):
            numbers = row[key]
            problems += [
                f"{key}: {area!r} is no 行政区划代码" for area in numbers if not is_region_code(area)
            ]
            problems += ["region and a table by region exclude each other"] * ("region" in row)
        problems += [line for text in numbers.values() for line in _number_problem(key, text, row)]
    return problems


def _number_problem(key: str, text: object, row: Row) -> list[str]:
    if not isinstance(text, str):
        return [f"{key} must be a decimal or fraction written as text, so that it stays exact"]
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        return [f"{key} {text!r} is not a number"]
    if value < 0:
        return [f"{key} {text!r} is negative"]
    if value == 0 and not row.get("note"):
        return [f"{key} is 0 and no note says why the carrier is not counted"]
    return [f"oxidation {text!r} is more than all"] if key == "oxidation" and value > 1 else []


def _is_usable(factor: Factor) -> bool:
    return max(factor.per_unit.numerator, factor.per_unit.denominator) < 2**63


def _add_constant(found: _Found, row: Row, label: str) -> None:
    wrong = key_problems(row, *_CONSTANT) or _constant_problems(row)
    if wrong:
        found.problems.extend(f"{label}: {line}" for line in wrong)
        return
    if row["name"] in found.constants:
        found.problems.append(f"{label}: the name is used twice")
    found.constants[row["name"]] = Constant(
        name=row["name"],
        value=Fraction(row["value"]),
        unit=row["unit"],
        edition=row["edition"],
        source=row["source"],
        confidence=Confidence(row["confidence"]),
        note=row.get("note", ""),
    )


def _constant_problems(row: Row) -> list[str]:
    problems = _common_problems(row, texts=("edition", "source"))
    if row["name"] not in _CONSTANT_UNITS:
        return [*problems, f"name {row['name']!r} is none of {', '.join(_CONSTANT_UNITS)}"]
    if row["unit"] != _CONSTANT_UNITS[row["name"]]:
        problems.append(f"unit must be {_CONSTANT_UNITS[row['name']]}")
    return problems + _number_problem("value", row["value"], {})


def _repeated_ids(rows: Iterable[Factor]) -> list[str]:
    seen: set[str] = set()
    problems = []
    for row in rows:
        if row.factor_id in seen:
            problems.append(f"factor id {row.factor_id} is used twice")
        seen.add(row.factor_id)
    return problems


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_date(value: object) -> bool:
    return isinstance(value, dt.date) and not isinstance(value, dt.datetime)
