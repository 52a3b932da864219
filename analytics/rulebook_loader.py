"""Load rules from TOML: the rulebook that ships, and what a county lays over it.

[[rule]]
name = "total-energy-ahead-of-pace"
measure = "progress_ratio"      # nengshao.domain.rules.Measure, a closed list
op = ">"                        # > | >= | < | <=
threshold = 1.05                # a number; for a measure in seconds also "2h"
severity = "orange"             # yellow | orange | red
level = "二级"                   # optional: what the locality prints
hold = "2d"                     # event time a breach must last before it fires: s, m, h, d
min_coverage = 0.9              # below: 数据不足, unless every value within the bounds breaches
legal_basis = "…"
confidence = "recalled"         # official | transcribed | copied | recalled
summary_zh = "…"
summary_en = "…"
months = [6]                    # optional: accounting months of the figure's last day; none: all
regions = ["330100"]            # optional: codes within which it applies; none: everywhere
subjects = "*/*/total"          # optional: pattern of the subjects, part by part between slashes; none: all
enabled = false                 # optional: can be tested and replayed, judges nobody

Instead of threshold, severity and level, from the mildest to the worst, each of a worse colour:

bands = [{threshold = 0.3, severity = "yellow", level = "Ⅰ级"}, {threshold = 2.0, op = ">", severity = "red"}]

A band's `op` is the rule's unless it says otherwise, in the same direction. A row of nothing but `name` and
`enabled = false` switches off the rule of that name in an earlier directory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from analytics.factor_library import key_problems, read_rows
from nengshao.domain.codes import is_region_code
from nengshao.domain.errors import RuleError
from nengshao.domain.factors import Confidence
from nengshao.domain.rules import Band, Measure, Operator, Rule, Severity
from nengshao.domain.time import DAY_S

SHIPPED: Final = Path(__file__).parent / "rulebook"
"""The rulebook that ships with Nengshao and judges everywhere."""

SHIPPED_LOCAL: Final = SHIPPED / "local"
"""Rule sets of places, one directory each: in force only where the settings name their directory."""

TESTS: Final = ".test.toml"
"""How the names of files with tests end; everything else that ends in .toml holds rules."""

_TEXTS: Final = ("name", "legal_basis", "summary_zh", "summary_en")
_CHOICES: Final = {"measure": Measure, "op": Operator, "confidence": Confidence}
_REQUIRED: Final = frozenset({*_TEXTS, *_CHOICES, "hold", "min_coverage"})
_ONE_BAND: Final = frozenset({"threshold", "severity"})
_BANDS: Final = frozenset({"bands"})
_OPTIONAL: Final = frozenset({"months", "regions", "subjects", "enabled"})
_SWITCH_OFF: Final = frozenset({"name", "enabled"})
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": DAY_S}
_DURATION: Final = re.compile(r"(\d+)([smhd])", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sheet:
    """What one directory says: its rules by name, and the names of those it switches off."""

    rules: Mapping[str, Rule] = field(default_factory=dict)
    switched_off: Sequence[str] = ()


def load_rulebook(overlays: Sequence[Path] = (), *, shipped: Path = SHIPPED) -> tuple[Rule, ...]:
    """The rules of the shipped rulebook and of the overlays, disabled ones included, by name.

    A rule replaces one of the same name in an earlier directory.
    Raises: RuleError with every problem at once.
    """
    problems: list[str] = []
    rules: dict[str, Rule] = {}
    for directory in (shipped, *overlays):
        sheet = _sheet(directory, problems)
        for name in sheet.switched_off:
            if name not in rules:
                problems.append(f"{directory}: switches off {name}, but no earlier directory has it")
                continue
            rules[name] = replace(rules[name], is_enabled=False)
        rules |= sheet.rules
    if problems:
        raise RuleError(problems)
    return tuple(rules[name] for name in sorted(rules))


def load_sheet(directory: Path) -> Sheet:
    """What one directory alone says, in every `*.toml` that is no test.

    Raises: RuleError with every problem at once.
    """
    problems: list[str] = []
    sheet = _sheet(directory, problems)
    if problems:
        raise RuleError(problems)
    return sheet


def duration_s(text: object) -> int | None:
    """Seconds of a duration; None if it is none.

    >>> duration_s("2d"), duration_s("90m"), duration_s("soon")
    (172800, 5400, None)
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    return int(match[1]) * _SECONDS[match[2]] if match else None


def _sheet(directory: Path, problems: list[str]) -> Sheet:
    rules: dict[str, Rule] = {}
    switched_off: list[str] = []
    if not directory.is_dir():
        problems.append(f"no such directory: {directory}")
    for path in sorted(path for path in directory.glob("*.toml") if not path.name.endswith(TESTS)):
        for number, row in enumerate(read_rows(path, "rule", problems), start=1):
            label = f"{path.name}: rule {number} ({row.get('name', '?')})"
            is_switch = set(row) == _SWITCH_OFF and row["enabled"] is False
            wrong = [] if is_switch else _key_problems(row) or _value_problems(row)
            problems.extend(f"{label}: {line}" for line in wrong)
            if wrong:
                continue
            if row["name"] in rules or row["name"] in switched_off:
                problems.append(f"{label}: the name is used twice")
            if is_switch:
                switched_off.append(row["name"])
            else:
                rules[row["name"]] = _rule(row)
    return Sheet(rules, switched_off)


def _rule(row: Mapping[str, Any]) -> Rule:
    return Rule(
        name=row["name"],
        measure=Measure(row["measure"]),
        op=Operator(row["op"]),
        bands=tuple(_band(row["measure"], band) for band in _band_rows(row)),
        hold_s=duration_s(row["hold"]) or 0,
        min_coverage=float(row["min_coverage"]),
        legal_basis=row["legal_basis"],
        confidence=row["confidence"],
        summary_zh=row["summary_zh"],
        summary_en=row["summary_en"],
        months=tuple(row.get("months", ())),
        regions=tuple(row.get("regions", ())),
        subjects=row.get("subjects", ""),
        is_enabled=row.get("enabled", True),
    )


def _band_rows(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The bands of a row in either form; a single threshold is a band."""
    if "bands" in row:
        return list(row["bands"])
    return [{key: row[key] for key in ("threshold", "severity", "level") if key in row}]


def _band(measure: str, band: Mapping[str, Any]) -> Band:
    threshold = _threshold(measure, band["threshold"])
    op = Operator(band["op"]) if "op" in band else None
    return Band(threshold or 0.0, Severity(band["severity"]), band.get("level", ""), op)


def _key_problems(row: Mapping[str, Any]) -> list[str]:
    has_bands = "bands" in row
    wanted, more = (_BANDS, frozenset[str]()) if has_bands else (_ONE_BAND, frozenset({"level"}))
    return key_problems(row, _REQUIRED | wanted, _OPTIONAL | more)


def _value_problems(row: Mapping[str, Any]) -> list[str]:
    """A line for every value of a row (with the right keys) that cannot be used."""
    problems = [f"{key} must be text" for key in _TEXTS if not _is_text(row[key])]
    for key, allowed in _CHOICES.items():
        problems += _choice_problems(key, row[key], allowed)
    if duration_s(row["hold"]) is None:
        problems.append(f"hold {row['hold']!r} is not a duration such as 2d, 6h, 30m, 0s")
    share = row["min_coverage"]
    if not _is_number(share) or not 0 <= share <= 1:
        problems.append(f"min_coverage {share!r} is not within 0 … 1")
    return problems + _reach_problems(row) + _bands_problems(row)


def _reach_problems(row: Mapping[str, Any]) -> list[str]:
    """Of where, when and to what a rule applies."""
    problems = []
    months, regions = row.get("months", [1]), row.get("regions", ["000000"])
    if not _is_list_of(months, lambda month: type(month) is int and 1 <= month <= 12):
        problems.append(f"months {months!r} is not a list of 1 … 12")
    if not _is_list_of(regions, lambda code: isinstance(code, str) and is_region_code(code)):
        problems.append(f"regions {regions!r} is not a list of six-digit codes")
    if not _is_text(row.get("subjects", "*")):
        problems.append("subjects must be text")
    if not isinstance(row.get("enabled", True), bool):
        problems.append("enabled must be true or false")
    return problems


def _bands_problems(row: Mapping[str, Any]) -> list[str]:
    bands = row.get("bands", [{}])
    if not _is_list_of(bands, lambda band: isinstance(band, Mapping)):
        return ["bands must be a list of tables with at least one"]
    problems = []
    for number, band in enumerate(_band_rows(row), start=1):
        wrong = key_problems(band, _ONE_BAND, frozenset({"level", "op"})) or _band_problems(row, band)
        problems += [f"band {number}: {line}" if "bands" in row else line for line in wrong]
    return problems or _order_problems(row)


def _band_problems(row: Mapping[str, Any], band: Mapping[str, Any]) -> list[str]:
    problems = _choice_problems("severity", band["severity"], Severity)
    if _threshold(row["measure"], band["threshold"]) is None:
        problems.append(f"threshold {band['threshold']!r} is neither a number nor, for seconds, a duration")
    if not isinstance(band.get("level", ""), str):
        problems.append("level must be text")
    return problems + _choice_problems("op", band.get("op", row["op"]), Operator)


def _order_problems(row: Mapping[str, Any]) -> list[str]:
    """Bands go from the mildest to the worst: strictly on in the direction of `op`, strictly worse."""
    if row["op"] not in list(Operator) or row["measure"] not in list(Measure):
        return []  # said already
    rises = Operator(row["op"]).rises
    bands = [_band(row["measure"], band) for band in _band_rows(row)]
    problems = []
    if any(band.op is not None and band.op.rises is not rises for band in bands):
        problems.append("a band's op points the other way than the rule's")
    pairs = list(pairwise(bands))
    if any(b.threshold <= a.threshold if rises else b.threshold >= a.threshold for a, b in pairs):
        problems.append("bands must go from the mildest threshold to the worst")
    if any(worse.severity.rank <= mild.severity.rank for mild, worse in pairs):
        problems.append("a worse band must have a worse colour")
    return problems


def _choice_problems(key: str, value: object, allowed: type[StrEnum]) -> list[str]:
    values = [member.value for member in allowed]
    return [] if value in values else [f"{key} {value!r} is none of {', '.join(values)}"]


def _threshold(measure: object, value: Any) -> float | None:
    seconds = duration_s(value) if measure == Measure.SILENT_SECONDS else None
    number = value if _is_number(value) else seconds
    return None if number is None else float(number)


def _is_list_of(value: object, is_one: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and bool(value) and all(is_one(item) for item in value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
