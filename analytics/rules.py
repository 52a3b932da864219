"""Rules: load them, and judge figures by them. Pure values in, verdicts out.

[[rule]]
name = "total-energy-ahead-of-pace"
measure = "progress_ratio"      # nengshao.domain.rules.Measure, a closed list
op = ">"                        # > | >= | < | <=
threshold = 1.05                # a number; for a measure in seconds also "2h"
hold = "2d"                     # event time a breach must last before it fires: s, m, h, d
min_coverage = 0.9              # below: 数据不足, unless every value within the bounds breaches
severity = "orange"             # yellow | orange | red
legal_basis = "…"
confidence = "recalled"         # official | transcribed | copied | recalled
summary_zh = "…"
summary_en = "…"
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from analytics.factor_library import key_problems, read_rows
from nengshao.domain.errors import RuleError
from nengshao.domain.factors import Confidence
from nengshao.domain.rules import Judgement, Measure, Operator, Rule, Severity, Verdict
from nengshao.domain.time import DAY_S, day_start

SHIPPED: Final = Path(__file__).parent / "rulebook"
"""The rulebook that ships with Nengshao."""

_TEXTS: Final = ("name", "legal_basis", "summary_zh", "summary_en")
_CHOICES: Final = {"measure": Measure, "op": Operator, "severity": Severity, "confidence": Confidence}
_KEYS: Final = frozenset({*_TEXTS, *_CHOICES, "threshold", "hold", "min_coverage"})
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": DAY_S}
_DURATION: Final = re.compile(r"(\d+)([smhd])", re.ASCII)
_COMPARE: Final[dict[Operator, Callable[[float, float], bool]]] = {
    Operator.ABOVE: operator.gt,
    Operator.AT_LEAST: operator.ge,
    Operator.BELOW: operator.lt,
    Operator.AT_MOST: operator.le,
}


def load_rulebook(overlays: Sequence[Path] = (), *, shipped: Path = SHIPPED) -> tuple[Rule, ...]:
    """Every rule of every `*.toml` (not `*.test.toml`) in the shipped rulebook and in the overlays, by name.

    A rule replaces one of the same name in an earlier directory.
    Raises: RuleError with every problem at once.
    """
    problems: list[str] = []
    rules: dict[str, Rule] = {}
    for directory in (shipped, *overlays):
        if not directory.is_dir():
            problems.append(f"no such directory: {directory}")
        rules |= _rules_of_directory(directory, problems)
    if problems:
        raise RuleError(problems)
    return tuple(rules[name] for name in sorted(rules))


def judge(
    rule: Rule, *, value: float | None, low: float | None, high: float | None, coverage: float | None
) -> Verdict:
    """What a rule says of a figure whose true value lies within [low, high]; None: unbounded or unknown.

    BREACH if every value within the bounds breaches: then missing data are no excuse. INSUFFICIENT if only
    some do, if the value is unknown, or if coverage is below the rule's minimum. Else OK.
    """
    rises = rule.op in (Operator.ABOVE, Operator.AT_LEAST)
    mildest, worst = (low, high) if rises else (high, low)
    breaches = _COMPARE[rule.op]
    if mildest is not None and breaches(mildest, rule.threshold):
        return Verdict.BREACH
    if value is None or worst is None or breaches(worst, rule.threshold):
        return Verdict.INSUFFICIENT
    if coverage is not None and coverage < rule.min_coverage:
        return Verdict.INSUFFICIENT
    return Verdict.OK


def judgements_from_progress(
    progress: pl.DataFrame, rules: Iterable[Rule], *, corrects: bool = False
) -> list[Judgement]:
    """One judgement per PROGRESS row that has a day to stand on, and rule on `progress_ratio`.

    `at` is the end of the row's as_of_day; the subject is `quota_subject`.
    """
    rows = progress.drop_nulls("as_of_day").to_dicts()
    return [
        Judgement(
            rule=rule.name,
            enterprise=row["enterprise"],
            subject=quota_subject(row),
            verdict=judge(
                rule,
                value=row["pace"], low=row["pace_low"], high=row["pace_high"],
                coverage=row["coverage"],
            ),
            at=day_start(row["as_of_day"] + 1),
            value=row["pace"],
            low=row["pace_low"],
            high=row["pace_high"],
            coverage=row["coverage"],
            is_confirmed=row["is_confirmed"] and _is_confirmed(rule),
            corrects=corrects,
        )
        for rule in rules if rule.measure is Measure.PROGRESS_RATIO
        for row in rows
    ]  # fmt: skip


def judgements_from_silence(silence: pl.DataFrame, rules: Iterable[Rule], *, at: int) -> list[Judgement]:
    """One judgement per DEVICE_SILENCE row and rule on `silent_seconds`; the subject is the device."""
    return [
        Judgement(
            rule=rule.name,
            enterprise=enterprise,
            subject=device,
            verdict=judge(rule, value=silent, low=silent, high=silent, coverage=None),
            at=at,
            value=silent,
            low=silent,
            high=silent,
            coverage=None,
            is_confirmed=_is_confirmed(rule),
        )
        for rule in rules
        if rule.measure is Measure.SILENT_SECONDS
        for enterprise, device, silent in silence.select("enterprise", "device", "silent_seconds").iter_rows()
    ]


def quota_subject(row: Mapping[str, Any]) -> str:
    """How a quota is named in alerts: `2025/calorific/total`."""
    return f"{row['year']}/{row['basis']}/{row['scope']}"


def _is_confirmed(rule: Rule) -> bool:
    return Confidence(rule.confidence).is_confirmed


def _rules_of_directory(directory: Path, problems: list[str]) -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    paths = [path for path in sorted(directory.glob("*.toml")) if not path.name.endswith(".test.toml")]
    for path in paths:
        for number, row in enumerate(read_rows(path, "rule", problems), start=1):
            label = f"{path.name}: rule {number} ({row.get('name', '?')})"
            wrong = key_problems(row, _KEYS, frozenset()) or _value_problems(row)
            problems.extend(f"{label}: {line}" for line in wrong)
            if wrong:
                continue
            if row["name"] in found:
                problems.append(f"{label}: the name is used twice")
            found[row["name"]] = _rule(row)
    return found


def _rule(row: Mapping[str, Any]) -> Rule:
    return Rule(
        name=row["name"],
        measure=Measure(row["measure"]),
        op=Operator(row["op"]),
        threshold=_threshold(row) or 0.0,
        hold_s=duration_s(row["hold"]) or 0,
        min_coverage=float(row["min_coverage"]),
        severity=Severity(row["severity"]),
        legal_basis=row["legal_basis"],
        confidence=row["confidence"],
        summary_zh=row["summary_zh"],
        summary_en=row["summary_en"],
    )


def _value_problems(row: Mapping[str, Any]) -> list[str]:
    problems = [
        f"{key} must be text" for key in _TEXTS if not (isinstance(row[key], str) and row[key].strip())
    ]
    for key, allowed in _CHOICES.items():
        values = [member.value for member in allowed]
        if row[key] not in values:
            problems.append(f"{key} {row[key]!r} is none of {', '.join(values)}")
    if _threshold(row) is None:
        problems.append(f"threshold {row['threshold']!r} is neither a number nor, for seconds, a duration")
    if duration_s(row["hold"]) is None:
        problems.append(f"hold {row['hold']!r} is not a duration such as 2d, 6h, 30m, 0s")
    share = row["min_coverage"]
    if not _is_number(share) or not 0 <= share <= 1:
        problems.append(f"min_coverage {share!r} is not within 0 … 1")
    return problems


def _threshold(row: Mapping[str, Any]) -> float | None:
    value = row["threshold"]
    if _is_number(value):
        return float(value)
    if row["measure"] == Measure.SILENT_SECONDS:
        return duration_s(value)
    return None


def duration_s(text: object) -> int | None:
    """Seconds of a duration; None if it is none.

    >>> duration_s("2d"), duration_s("90m"), duration_s("soon")
    (172800, 5400, None)
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    return int(match[1]) * _SECONDS[match[2]] if match else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
