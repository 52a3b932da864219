"""`nengshao test-rules`: tests as data beside the rules, through the judge and state machine of live cycles.

[[test]]                                    # in a *.test.toml beside the rules
rule = "total-energy-ahead-of-pace"         # of the same directory
title = "连续两天超前才预警"
region = "430621"                           # optional: where the enterprise is
subject = "2025/calorific/total"            # optional
series = [
  { day = 2025-03-01, value = 1.06 },                               # a figure to the end of that day
  { day = 2025-03-02, value = 1.06, low = 1.04, high = inf },       # inf: unbounded; no value: unknown
  { at = 2025-03-03T12:00:00, value = 1.06, coverage = 0.8 },       # to that instant, Asia/Shanghai
  { day = 2025-03-02, value = 0.99, corrects = true },              # the figure of a day was revised
]
steps = [                                   # every step of its alerts, in order; [] if there is none
  { day = 2025-03-01, state = "pending", severity = "orange", reason = "breached" },  # level: ""
]
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import polars as pl
from rich.console import Console

from analytics.factor_library import key_problems, read_rows
from analytics.lifecycle import advance, endings
from analytics.rulebook_loader import SHIPPED, SHIPPED_LOCAL, TESTS, load_sheet
from analytics.rules import judgements_of
from nengshao.domain.alerts import Alert, AlertState, Step
from nengshao.domain.errors import RuleError
from nengshao.domain.rules import Measure, Rule, Severity, Verdict
from nengshao.domain.time import DAY_S, LOCAL_ZONE, instant_of, local_text
from nengshao.frames import MEASURES

_ENTERPRISE: Final = "enterprise"
_TEST_KEYS: Final = (frozenset({"rule", "title", "series", "steps"}), frozenset({"region", "subject"}))
_ROW_KEYS: Final = (
    frozenset[str](),
    frozenset({"day", "at", "value", "low", "high", "coverage", "corrects"}),
)
_STEP_KEYS: Final = (frozenset({"state", "severity", "reason"}), frozenset({"day", "at", "level"}))
_CHOICES: Final = {"state": AlertState, "severity": Severity, "reason": Step}

_ALWAYS_KNOWN: Final = frozenset({Measure.SILENT_SECONDS})
"""Measures whose figure is never 数据不足."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A step of an alert, as a test expects or finds it. `at`: the end of the figure that took it."""

    at: int
    state: str
    severity: str
    level: str
    reason: str

    def __str__(self) -> str:
        """As people read it."""
        level = f" {self.level}" if self.level else ""
        return f"{local_text(self.at)} {self.state} {self.severity}{level} {self.reason}"


@dataclass(frozen=True, slots=True)
class Case:
    """One test of one rule. `series`: MEASURES and whether they correct, one row after another."""

    rule: str
    title: str
    region: str
    series: tuple[tuple[pl.DataFrame, bool], ...]
    expected: tuple[Taken, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a case did: the steps its alerts took, and what the rule said of its figures."""

    case: Case
    steps: tuple[Taken, ...]
    verdicts: frozenset[Verdict]

    @property
    def is_right(self) -> bool:
        """Whether exactly the expected steps were taken."""
        return self.steps == self.case.expected


@dataclass(frozen=True, slots=True)
class Report:
    """The tests of one rule of one directory. `gaps`: what no test shows."""

    directory: Path
    rule: Rule
    outcomes: tuple[Outcome, ...]
    gaps: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        """Whether every test holds and none is lacking."""
        return not self.gaps and all(outcome.is_right for outcome in self.outcomes)


def shipped_rulebooks() -> list[Path]:
    """The directories that ship: the national rulebook, and those of places."""
    return [SHIPPED, *sorted(path for path in SHIPPED_LOCAL.iterdir() if path.is_dir())]


def check_rulebook(directory: Path) -> list[Report]:
    """The directory's tests, run on the rules of that directory alone, disabled ones included; by rule.

    Raises: RuleError with every problem of its files at once.
    """
    rules = load_sheet(directory).rules
    problems: list[str] = []
    cases = _cases(directory, rules, problems)
    if problems:
        raise RuleError(problems)
    reports = []
    for name in sorted(rules):
        rule = replace(rules[name], is_enabled=True)
        outcomes = tuple(_run(case, rule) for case in cases if case.rule == name)
        reports.append(Report(directory, rule, outcomes, tuple(_gaps(rule, outcomes))))
    return reports


def print_reports(reports: Sequence[Report], out: Console) -> None:
    """A line per rule, under its directory; below a rule that is not right, what is wrong."""
    for directory, group in groupby(reports, key=lambda report: report.directory):
        out.print(str(directory), highlight=False)
        for report in group:
            mark = "[green]✓[/]" if report.is_right else "[red]✗[/]"
            out.print(f"  {mark} {report.rule.name} ({len(report.outcomes)})", highlight=False)
            for line in _faults(report):
                out.print(f"      {line}", highlight=False, markup=False)


def _faults(report: Report) -> Iterator[str]:
    yield from report.gaps
    for outcome in (outcome for outcome in report.outcomes if not outcome.is_right):
        yield outcome.case.title
        yield from (f"  期望 / expected: {step}" for step in outcome.case.expected)
        yield from (f"  实际 / got:      {step}" for step in outcome.steps)


def _run(case: Case, rule: Rule) -> Outcome:
    """The case as cycles would see it: each row is judged and its alerts move on before the next."""
    alerts: list[Alert] = []
    taken: list[Taken] = []
    verdicts: set[Verdict] = set()
    for measures, corrects in case.series:
        at = measures["at"][0]
        judged = judgements_of(measures, [rule], region_of={_ENTERPRISE: case.region}, corrects=corrects)
        verdicts |= {judgement.verdict for judgement in judged}
        given = judged if corrects else [*judged, *endings(alerts, judged, at=at)]
        moved, steps = advance(alerts, given, {rule.name: rule}, at)
        alerts = [alert for alert in moved if alert.is_open]
        taken += [
            Taken(at, step.alert.state, step.alert.severity, step.alert.level, step.reason) for step in steps
        ]
    return Outcome(case, tuple(taken), frozenset(verdicts))


def _gaps(rule: Rule, outcomes: Sequence[Outcome]) -> list[str]:
    """What the rule's tests together do not show: every band firing, no breach, and 数据不足."""
    verdicts = {verdict for outcome in outcomes for verdict in outcome.verdicts}
    fired = {step.severity for o in outcomes for step in o.steps if step.state == AlertState.FIRING}
    gaps = [f"没有测试使其发出{band.severity.zh}预警 / no test fires it in {band.severity}"
            for band in rule.bands if band.severity not in fired]  # fmt: skip
    if Verdict.OK not in verdicts:
        gaps.append("没有不越限的测试 / no test stays within its limits")
    if Verdict.INSUFFICIENT not in verdicts and rule.measure not in _ALWAYS_KNOWN:
        gaps.append("没有数据不足的测试 / no test has insufficient data")
    return gaps


def _cases(directory: Path, rules: Mapping[str, Rule], problems: list[str]) -> list[Case]:
    cases = []
    for path in sorted(directory.glob(f"*{TESTS}")):
        for number, row in enumerate(read_rows(path, "test", problems), start=1):
            label = f"{path.name}: test {number} ({row.get('title', '?')})"
            wrong = key_problems(row, *_TEST_KEYS) or _test_problems(row, rules)
            problems.extend(f"{label}: {line}" for line in wrong)
            if not wrong:
                cases.append(_case(row, rules[row["rule"]]))
    return cases


def _case(row: Mapping[str, Any], rule: Rule) -> Case:
    subject = row.get("subject", "subject")
    return Case(
        rule=rule.name,
        title=row["title"],
        region=row.get("region", ""),
        series=tuple((_measures(rule, subject, r), r.get("corrects", False)) for r in row["series"]),
        expected=tuple(
            Taken(_instant(s), s["state"], s["severity"], s.get("level", ""), s["reason"])
            for s in row["steps"]
        ),
    )


def _measures(rule: Rule, subject: str, row: Mapping[str, Any]) -> pl.DataFrame:
    value = row.get("value")
    figures = {
        "value": value,
        "low": _bound(row.get("low", value)),
        "high": _bound(row.get("high", value)),
        "coverage": row.get("coverage"),
    }
    facts = {"enterprise": _ENTERPRISE, "measure": rule.measure.value, "subject": subject}
    known = facts | figures | {"at": _instant(row), "is_confirmed": True}
    return pl.DataFrame([known], schema=dict(MEASURES.schema), strict=False)


def _bound(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _instant(row: Mapping[str, Any]) -> int:
    if "day" in row:
        return instant_of(row["day"]) + DAY_S
    moment: dt.datetime = row["at"]
    return int((moment if moment.tzinfo else moment.replace(tzinfo=LOCAL_ZONE)).timestamp())


def _test_problems(test: Mapping[str, Any], rules: Mapping[str, Rule]) -> list[str]:
    problems = [
        f"{key} must be text"
        for key in ("rule", "title", "region", "subject")
        if not isinstance(test.get(key, ""), str)
    ]
    if test["rule"] not in list(rules):
        problems.append(f"no rule {test['rule']!r} in this directory")
    for key, allowed in (("series", _ROW_KEYS), ("steps", _STEP_KEYS)):
        rows = test[key]
        if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
            problems.append(f"{key} must be a list of tables")
            continue
        for number, row in enumerate(rows, start=1):
            wrong = key_problems(row, *allowed) or [*_time_problems(row), *_row_problems(row)]
            problems += [f"{key} {number}: {line}" for line in wrong]
    return problems if problems or test["series"] else ["series is empty"]


def _time_problems(row: Mapping[str, Any]) -> list[str]:
    if ("day" in row) == ("at" in row):
        return ["either day or at is needed"]
    if "day" in row and (isinstance(row["day"], dt.datetime) or not isinstance(row["day"], dt.date)):
        return ["day must be a date, without quotes"]
    if "at" in row and not isinstance(row["at"], dt.datetime):
        return ["at must be a date and time, without quotes"]
    return []


def _row_problems(row: Mapping[str, Any]) -> list[str]:
    """Of the values of a series' row or of a step."""
    problems = [
        f"{key} must be a number"
        for key in ("value", "low", "high", "coverage")
        if type(row.get(key, 0)) not in (int, float)
    ]
    problems += [
        f"{key} {row[key]!r} is none of {', '.join(allowed)}"
        for key, allowed in _CHOICES.items()
        if key in row and row[key] not in list(allowed)
    ]
    if not isinstance(row.get("corrects", False), bool):
        problems.append("corrects must be true or false")
    if not isinstance(row.get("level", ""), str):
        problems.append("level must be text")
    return problems
