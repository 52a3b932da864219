"""Load conversion factors from TOML: the library that ships, and what a county lays over it.

[[factor]]
id = "gbt2589-2020/raw_coal/calorific"
carrier = "raw_coal"            # nengshao.domain.units.Carrier
basis = "calorific"             # calorific 当量值 | equivalent 等价值
kgce_per_unit = "0.7143"        # per canonical unit; a decimal or a fraction, as text
edition = "GB/T 2589-2020"
source = "…"                    # standard, annex, table; what was seen of it
confidence = "copied"           # official | transcribed | copied | recalled
valid_from = 2021-04-01
valid_to = 2026-01-01           # optional; exclusive
note = "…"                      # optional
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from nengshao.domain.errors import ConfigError
from nengshao.domain.factors import Basis, CoalFactor, Confidence, FactorTable, overlapping_rows
from nengshao.domain.units import Carrier

SHIPPED: Final = Path(__file__).parent / "factors"
"""The library that ships with Nengshao."""

_REQUIRED: Final = frozenset(
    {"id", "carrier", "basis", "kgce_per_unit", "edition", "source", "confidence", "valid_from"}
)
_OPTIONAL: Final = frozenset({"valid_to", "note"})


def load_factors(overlays: Sequence[Path] = (), *, shipped: Path = SHIPPED) -> FactorTable:
    """Every row of every `*.toml` in the shipped library and in the overlays, later directories over earlier.

    A row replaces one of the same carrier, basis and `valid_from`.
    Raises: ConfigError with every problem at once: unknown or missing keys, values that mean nothing, rows
    of one carrier and basis that are valid on a common day, a directory that does not exist.
    """
    problems: list[str] = []
    rows: dict[tuple[Carrier, Basis, dt.date], CoalFactor] = {}
    for directory in (shipped, *overlays):
        if not directory.is_dir():
            problems.append(f"no such directory: {directory}")
        rows |= _rows_of_directory(directory, problems)
    problems += overlapping_rows(rows.values())
    problems += _repeated_ids(rows.values())
    if problems:
        raise ConfigError(problems)
    return FactorTable(tuple(sorted(rows.values(), key=lambda r: (r.carrier, r.basis, r.valid_from))))


def read_rows(path: Path, table: str, problems: list[str]) -> list[Mapping[str, Any]]:
    """The `[[table]]` rows of one TOML file; what is wrong with the file itself goes to `problems`."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        problems.append(f"{path.name}: {exc}")
        return []
    problems.extend(f"{path.name}: unknown key {key}" for key in sorted(set(document) - {table}))
    rows = document.get(table, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        problems.append(f"{path.name}: [[{table}]] must be a list of tables")
        return []
    return rows


def key_problems(row: Mapping[str, Any], required: frozenset[str], optional: frozenset[str]) -> list[str]:
    """A line for every key that is unknown or missing in a row."""
    unknown = [f"unknown key {key}" for key in sorted(set(row) - required - optional)]
    return unknown + [f"missing key {key}" for key in sorted(required - set(row))]


def _rows_of_directory(
    directory: Path, problems: list[str]
) -> dict[tuple[Carrier, Basis, dt.date], CoalFactor]:
    found: dict[tuple[Carrier, Basis, dt.date], CoalFactor] = {}
    for path in sorted(directory.glob("*.toml")):
        for number, row in enumerate(read_rows(path, "factor", problems), start=1):
            label = f"{path.name}: factor {number} ({row.get('id', '?')})"
            factor = _factor(row, label, problems)
            if factor is None:
                continue
            key = (factor.carrier, factor.basis, factor.valid_from)
            if key in found:
                problems.append(f"{label}: the same carrier, basis and valid_from as {found[key].factor_id}")
            found[key] = factor
    return found


def _factor(row: Mapping[str, Any], label: str, problems: list[str]) -> CoalFactor | None:
    wrong = key_problems(row, _REQUIRED, _OPTIONAL) or _value_problems(row)
    if wrong:
        problems.extend(f"{label}: {line}" for line in wrong)
        return None
    return CoalFactor(
        factor_id=row["id"],
        carrier=Carrier(row["carrier"]),
        basis=Basis(row["basis"]),
        kgce_per_unit=Fraction(row["kgce_per_unit"]),
        edition=row["edition"],
        source=row["source"],
        confidence=Confidence(row["confidence"]),
        valid_from=row["valid_from"],
        valid_to=row.get("valid_to"),
        note=row.get("note", ""),
    )


def _value_problems(row: Mapping[str, Any]) -> list[str]:
    """A line for every value of a row (with the right keys) that cannot be used."""
    problems = [f"{key} must be text" for key in ("id", "edition", "source") if not _is_text(row[key])]
    for key, allowed in (("carrier", Carrier), ("basis", Basis), ("confidence", Confidence)):
        if row[key] not in [member.value for member in allowed]:
            problems.append(f"{key} {row[key]!r} is none of {', '.join(member.value for member in allowed)}")
    problems += [
        f"{key} must be a date" for key in ("valid_from", "valid_to") if key in row and not _is_date(row[key])
    ]
    if not problems and "valid_to" in row and row["valid_to"] <= row["valid_from"]:
        problems.append("valid_to must be after valid_from")
    return problems + _number_problems(row["kgce_per_unit"])


def _number_problems(text: object) -> list[str]:
    if not isinstance(text, str):
        return ["kgce_per_unit must be a decimal or fraction written as text, so that it stays exact"]
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        return [f"kgce_per_unit {text!r} is not a number"]
    if value <= 0 or max(value.numerator, value.denominator) >= 2**63:
        return [f"kgce_per_unit {text!r} is not a positive fraction of two 64-bit integers"]
    return []


def _repeated_ids(rows: Iterable[CoalFactor]) -> list[str]:
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
