"""Rules and verdicts as values. Thresholds live in the rulebook (TOML), never here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Measure(StrEnum):
    """The closed list of things a rule may look at. A rule that needs `and` is a new measure."""

    PROGRESS_RATIO = "progress_ratio"  # tce used / tce the quota's profile allows by that day
    SILENT_SECONDS = "silent_seconds"  # since a device's last accepted delivery


class Operator(StrEnum):
    """Comparators a rule may use."""

    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="


class Severity(StrEnum):
    """How bad, in colours: the printed 级 of a locality runs both ways and is kept apart."""

    YELLOW = "yellow"
    ORANGE = "orange"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of a rulebook. `hold_s` is event time that a breach must last before it fires."""

    name: str
    measure: Measure
    op: Operator
    threshold: float
    hold_s: int
    min_coverage: float
    severity: Severity
    legal_basis: str
    confidence: str
    summary_zh: str
    summary_en: str


class Verdict(StrEnum):
    """What a rule says of a subject at an instant.

    `BREACH`: every value within the bounds breaches. `OK`: none does. `INSUFFICIENT`: only some do,
    or coverage is below the rule's minimum (数据不足).
    """

    OK = "ok"
    BREACH = "breach"
    INSUFFICIENT = "insufficient_data"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with the figures it rests on.

    `subject` is what is judged below the enterprise (a quota or a device). `at` is event time: the
    instant up to which the figures reach. `low`/`high` bound `value`; None means unbounded or unknown.
    """

    rule: str
    enterprise: str
    subject: str
    verdict: Verdict
    at: int
    value: float | None
    low: float | None
    high: float | None
    coverage: float | None
    is_confirmed: bool
    corrects: bool = False  # the figures were revised since the last judgement of the same period
