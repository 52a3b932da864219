"""Load product norms (能耗限额) from TOML: the library that ships, and what a county lays over it.

[[norm]]
id = "cement"                       # what a product in the registry names
indicator = "energy"                # energy 综合能耗, calorific basis | electricity 电耗
standard = "GB 16780-2021"
product_zh = "水泥"
product_en = "Cement"
indicator_zh = "水泥单位产品综合能耗"
unit = "kgce/t"                     # kgce/… or gce/… for energy, kWh/… for electricity
limits = ["80", "87", "94"]         # 1, 2, 3级, as text so that they stay exact; "": the standard has none
benchmark = "…"                     # optional: 标杆水平, in the same unit, and then
baseline = "…"                      # optional: 基准水平
benchmark_source = "…"
benchmark_confidence = "recalled"
source = "…"                        # table and clause; what was seen of it
confidence = "transcribed"          # official | transcribed | copied | recalled
valid_from = 2022-11-01             # until the next edition of the same id and indicator
note = "…"                          # optional
unsupported = "…"                   # optional: why nothing is judged by this row

[[norm.corrections]]                # optional; applied in their order
kind = "linear"                     # limit + per_unit × (parameter − base)
parameter = "clinker_ratio"
per_unit = ["1.10", "1.15", "1.20"] # per level, in the norm's unit; "0": the level stays as it is
base = "75"                         # optional, 0
lowest = "-5"                       # optional: the difference counts within [lowest, highest]
highest = "0"

[[norm.corrections]]
kind = "factor"                     # limit × (offset + slope × parameter)
parameter = "air_pressure"
offset = "1.179"                    # optional, 0
slope = "-211/101325000"            # optional, 1; a fraction
levels = [3]                        # optional: all
when_parameter = "altitude"         # optional: only where this one is above `when_above`
when_above = "1500"

and in `parameters.toml`:

[[parameter]]
id = "clinker_ratio"
zh = "水泥中熟料比例"
en = "clinker share of cement"
unit = "%"                          # the unit it must be stated in
kind = "mean"                       # mean: over its period, weighted by output | constant: on each day of it
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from analytics.factor_library import key_problems, read_rows
from nengshao.domain.errors import ConfigError
from nengshao.domain.factors import Confidence
from nengshao.domain.norms import (
    LEVELS,
    Correction,
    FactorCorrection,
    LinearCorrection,
    Norm,
    NormIndicator,
    NormParameter,
    NormTable,
    ParameterKind,
    parameters_of,
    unlike_editions,
)

SHIPPED: Final = Path(__file__).parent / "norms"
"""The library that ships with Nengshao."""

PER_UNIT: Final = 1_000_000
"""Limits are whole millionths of a kg (kWh) per unit of product."""

_PARAMETERS_FILE: Final = "parameters.toml"
_TEXTS: Final = (
    "id", "standard", "product_zh", "product_en", "indicator_zh", "unit", "source",
)  # fmt: skip
_REQUIRED: Final = frozenset({*_TEXTS, "indicator", "limits", "confidence", "valid_from"})
_OPTIONAL: Final = frozenset(
    {
        "benchmark", "baseline", "benchmark_source", "benchmark_confidence", "corrections", "note",
        "unsupported",
    }
)  # fmt: skip
_PARAMETER_KEYS: Final = frozenset({"id", "zh", "en", "unit", "kind"})
_CORRECTION_KEYS: Final = {
    "linear": (frozenset({"kind", "parameter", "per_unit"}), frozenset({"base", "lowest", "highest"})),
    "factor": (
        frozenset({"kind", "parameter"}),
        frozenset({"offset", "slope", "levels", "when_parameter", "when_above"}),
    ),
}
_NUMBERS: Final = frozenset({"base", "lowest", "highest", "offset", "slope", "when_above"})

# kg or kWh of one unit that a norm is printed in; which indicator it belongs to.
_NUMERATORS: Final = {
    "kgce": (NormIndicator.ENERGY, Fraction(1)),
    "gce": (NormIndicator.ENERGY, Fraction(1, 1000)),
    "kWh": (NormIndicator.ELECTRICITY, Fraction(1)),
}


def load_norms(overlays: Sequence[Path] = (), *, shipped: Path = SHIPPED) -> NormTable:
    """Every norm and parameter of the shipped library and of the overlays, later directories over earlier.

    A row replaces one of the same id, indicator and `valid_from`; a parameter one of the same id.
    Units:  limits, benchmark and baseline in kg (kWh) per unit of product.
    Raises: ConfigError with every problem at once: unknown or missing keys, values that mean nothing,
            corrections by parameters that nobody defined, a directory that does not exist.
    """
    problems: list[str] = []
    norms: dict[str, Norm] = {}
    parameters: dict[str, NormParameter] = {}
    for directory in (shipped, *overlays):
        if not directory.is_dir():
            problems.append(f"no such directory: {directory}")
        parameters |= _parameters_of_directory(directory, problems)
        norms |= _norms_of_directory(directory, problems)
    problems += [
        f"norm {norm.edition}: nobody defined the parameter {name}"
        for norm in norms.values()
        for name in parameters_of(norm)
        if name not in parameters
    ]
    problems += unlike_editions(norms.values())
    if problems:
        raise ConfigError(problems)
    rows = sorted(norms.values(), key=lambda norm: (norm.norm_id, norm.indicator, norm.valid_from))
    return NormTable(tuple(rows), tuple(parameters[name] for name in sorted(parameters)))


def _parameters_of_directory(directory: Path, problems: list[str]) -> dict[str, NormParameter]:
    found: dict[str, NormParameter] = {}
    path = directory / _PARAMETERS_FILE
    for number, row in enumerate(read_rows(path, "parameter", problems) if path.is_file() else [], start=1):
        label = f"{path.name}: parameter {number} ({row.get('id', '?')})"
        wrong = key_problems(row, _PARAMETER_KEYS, frozenset()) or [
            *_text_problems(row, ("id", "zh", "en", "unit")),
            *_choice_problems(row, "kind", ParameterKind),
        ]
        problems.extend(f"{label}: {line}" for line in wrong)
        if not wrong:
            if row["id"] in found:
                problems.append(f"{label}: the id is used twice")
            found[row["id"]] = NormParameter(
                row["id"], row["zh"], row["en"], row["unit"], ParameterKind(row["kind"])
            )
    return found


def _norms_of_directory(directory: Path, problems: list[str]) -> dict[str, Norm]:
    found: dict[str, Norm] = {}
    for path in sorted(directory.glob("*.toml")):
        if path.name == _PARAMETERS_FILE:
            continue
        for number, row in enumerate(read_rows(path, "norm", problems), start=1):
            label = f"{path.name}: norm {number} ({row.get('id', '?')})"
            wrong = key_problems(row, _REQUIRED, _OPTIONAL) or _value_problems(row)
            problems.extend(f"{label}: {line}" for line in wrong)
            if not wrong:
                norm = _norm(row)
                if norm.edition in found:
                    problems.append(f"{label}: the same id, indicator and valid_from twice")
                found[norm.edition] = norm
    return found


def _norm(row: Mapping[str, Any]) -> Norm:
    numerator, per = row["unit"].split("/")
    scale = _NUMERATORS[numerator][1]

    def scaled(text: str) -> Fraction | None:
        return Fraction(text) * scale if text else None

    first, second, third = (scaled(text) for text in row["limits"])
    confidence = row.get("benchmark_confidence")
    return Norm(
        norm_id=row["id"],
        indicator=NormIndicator(row["indicator"]),
        standard=row["standard"],
        product_zh=row["product_zh"],
        product_en=row["product_en"],
        indicator_zh=row["indicator_zh"],
        unit=row["unit"],
        per=per,
        limits=(first, second, third),
        benchmark=scaled(row.get("benchmark", "")),
        baseline=scaled(row.get("baseline", "")),
        benchmark_source=row.get("benchmark_source", ""),
        benchmark_confidence=Confidence(confidence) if confidence else None,
        corrections=tuple(_correction(each, scale) for each in row.get("corrections", [])),
        source=row["source"],
        confidence=Confidence(row["confidence"]),
        valid_from=row["valid_from"],
        note=row.get("note", ""),
        unsupported=row.get("unsupported", ""),
    )


def _correction(row: Mapping[str, Any], scale: Fraction) -> Correction:
    numbers = {key: Fraction(row[key]) for key in _NUMBERS & set(row)}
    if row["kind"] == "linear":
        first, second, third = (Fraction(text) * scale for text in row["per_unit"])
        return LinearCorrection(row["parameter"], (first, second, third), **numbers)
    return FactorCorrection(
        row["parameter"],
        levels=tuple(row.get("levels", LEVELS)),
        when_parameter=row.get("when_parameter", ""),
        **numbers,
    )


def _value_problems(row: Mapping[str, Any]) -> list[str]:
    """A line for every value of a norm (with the right keys) that cannot be used."""
    return [
        *_text_problems(row, (*_TEXTS, *(key for key in ("note", "unsupported") if key in row))),
        *_choice_problems(row, "indicator", NormIndicator),
        *_choice_problems(row, "confidence", Confidence),
        *_unit_problems(row),
        *_limit_problems(row["limits"]),
        *_benchmark_problems(row),
        *_date_problems(row["valid_from"]),
        *_each_correction(row.get("corrections", [])),
    ]


def _text_problems(row: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    return [f"{key} must be text" for key in keys if not (isinstance(row[key], str) and row[key].strip())]


def _choice_problems(row: Mapping[str, Any], key: str, allowed: type[StrEnum]) -> list[str]:
    values = [member.value for member in allowed]
    return [] if row[key] in values else [f"{key} {row[key]!r} is none of {', '.join(values)}"]


def _unit_problems(row: Mapping[str, Any]) -> list[str]:
    numerator, _, per = str(row["unit"]).partition("/")
    indicator, _ = _NUMERATORS.get(numerator, (None, None))
    if indicator == row["indicator"] and per and "/" not in per:
        return []
    return [f"unit {row['unit']!r} is none that {row['indicator']} is limited in: kgce/…, gce/…; kWh/…"]


def _limit_problems(limits: object) -> list[str]:
    if not (isinstance(limits, list) and len(limits) == len(LEVELS)):
        return ["limits must be three texts, of 1, 2 and 3级"]
    problems = [line for text in limits if text != "" for line in _number_problems("limits", text)]
    if problems:
        return problems
    if not limits[2]:
        return ["limits: 3级 (限定值) is missing"]
    # 2级 below 1级 is printed in GB 21258-2024; a limit above 3级 is a slip of the pen.
    return [
        f"limits: {level}级 {text} is above 3级 {limits[2]}"
        for level, text in zip(LEVELS, limits, strict=True)
        if text and Fraction(text) > Fraction(limits[2])
    ]


def _benchmark_problems(row: Mapping[str, Any]) -> list[str]:
    given = [key for key in ("benchmark", "baseline") if key in row]
    problems = [line for key in given for line in _number_problems(key, row[key])]
    sourced = [key for key in ("benchmark_source", "benchmark_confidence") if key in row]
    if given and len(sourced) < 2:  # both of them
        return [*problems, "benchmark and baseline need benchmark_source and benchmark_confidence"]
    if sourced and not given:
        return [*problems, "benchmark_source and benchmark_confidence belong to a benchmark or baseline"]
    if given:
        problems += _text_problems(row, ("benchmark_source",))
        problems += _choice_problems(row, "benchmark_confidence", Confidence)
    return problems


def _date_problems(value: object) -> list[str]:
    is_date = isinstance(value, dt.date) and not isinstance(value, dt.datetime)
    return [] if is_date else ["valid_from must be a date"]


def _each_correction(corrections: object) -> list[str]:
    if not isinstance(corrections, list) or not all(isinstance(each, dict) for each in corrections):
        return ["[[norm.corrections]] must be a list of tables"]
    return [
        f"correction {number}: {line}"
        for number, each in enumerate(corrections, start=1)
        for line in _correction_problems(each)
    ]


def _correction_problems(row: Mapping[str, Any]) -> list[str]:
    if row.get("kind") not in _CORRECTION_KEYS:
        return [f"kind {row.get('kind')!r} is none of {', '.join(_CORRECTION_KEYS)}"]
    wrong = key_problems(row, *_CORRECTION_KEYS[row["kind"]])
    if wrong:
        return wrong
    checks: dict[str, Callable[[object], list[str]]] = {
        "per_unit": _per_unit_problems,
        "levels": _levels_problems,
    }
    problems = [line for key, check in checks.items() if key in row for line in check(row[key])]
    problems += [line for key in sorted(_NUMBERS & set(row)) for line in _number_problems(key, row[key])]
    problems += _text_problems(row, [key for key in ("parameter", "when_parameter") if key in row])
    if ("when_parameter" in row) != ("when_above" in row):
        problems.append("when_parameter and when_above belong together")
    return problems


def _per_unit_problems(value: object) -> list[str]:
    if not (isinstance(value, list) and len(value) == len(LEVELS)):
        return ["per_unit must be three texts, of 1, 2 and 3级"]
    return [line for text in value for line in _number_problems("per_unit", text)]


def _levels_problems(value: object) -> list[str]:
    is_right = isinstance(value, list) and bool(value) and all(level in LEVELS for level in value)
    return [] if is_right else ["levels must be a list of 1, 2, 3"]


def _number_problems(key: str, text: object) -> list[str]:
    if not isinstance(text, str):
        return [f"{key} must be a decimal or fraction written as text, so that it stays exact"]
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        return [f"{key} {text!r} is not a number"]
    is_whole = key == "slope" or (value * PER_UNIT / 1000).denominator == 1
    return [] if is_whole and abs(value) < 10**9 else [f"{key} {text!r} is finer or greater than can be kept"]
