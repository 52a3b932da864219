"""Rules and verdicts as values. Thresholds live in the rulebook (TOML), never here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple


class Measure(StrEnum):
    """The closed list of things a rule may look at. A rule that needs `and` is a new measure."""

    PROGRESS_RATIO = "progress_ratio"  # used / what the quota's profile allows by that day
    QUOTA_RATIO = "quota_ratio"  # used / the year's whole quota
    PROJECTED_RATIO = "projected_ratio"  # projected for the year / quota; bounds: the 80 % interval
    INTENSITY_RATIO = "intensity_ratio"  # intensity / its target
    INTENSITY_CHANGE = "intensity_change"  # against the same days of the year before; > 0: it rises
    INTENSITY_STATE = "intensity_state"  # 0 met, 1 missed but falling, 2 missed and rising
    NORM_RATIO = "norm_ratio"  # intensity / limit 3 (限定值) of the product's norm
    BASELINE_RATIO = "baseline_ratio"  # intensity / 基准水平
    REDUCTION_COMPLETION = "reduction_completion"  # actual / target reduction rate of an intensity (完成率)
    REDUCTION_GAP = "reduction_gap"  # target − actual reduction rate, percentage points
    SILENT_SECONDS = "silent_seconds"  # since a device's last accepted delivery
    MISSING_WORKING_DAYS = "missing_working_days"  # that a point's data have been missing without a break
    COMPLETENESS = "completeness"  # measured / expected time of a point in the month so far
    BALANCE_RESIDUAL = "balance_residual"  # |meter − Σ its sub-meters| / meter, by month
    SERIES_DEVIATION = "series_deviation"  # |Σ days − month| / month of one item's series

    @property
    def zh(self) -> str:
        """The measure's Chinese name."""
        return _MEASURES[self][0]

    @property
    def unit(self) -> str:
        """Of the figure and of thresholds on it; "1": a ratio, or a number that counts states."""
        return _MEASURES[self][1]


_MEASURES: Final = {
    Measure.PROGRESS_RATIO: ("用能进度比", "1"),
    Measure.QUOTA_RATIO: ("年度目标使用比", "1"),
    Measure.PROJECTED_RATIO: ("全年预计比", "1"),
    Measure.INTENSITY_RATIO: ("强度目标比", "1"),
    Measure.INTENSITY_CHANGE: ("强度同比变化", "1"),
    Measure.INTENSITY_STATE: ("强度目标状态", "1"),
    Measure.NORM_RATIO: ("能耗限额比", "1"),
    Measure.BASELINE_RATIO: ("基准水平比", "1"),
    Measure.REDUCTION_COMPLETION: ("降低率完成率", "1"),
    Measure.REDUCTION_GAP: ("降低率缺口", "pp"),
    Measure.SILENT_SECONDS: ("静默时长", "s"),
    Measure.MISSING_WORKING_DAYS: ("连续缺数工作日", "d"),
    Measure.COMPLETENESS: ("数据完整率", "1"),
    Measure.BALANCE_RESIDUAL: ("计量平衡差率", "1"),
    Measure.SERIES_DEVIATION: ("日月数据偏差率", "1"),
}


class Operator(StrEnum):
    """Comparators a rule may use."""

    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="

    @property
    def rises(self) -> bool:
        """Whether a greater figure is the worse one."""
        return self in (Operator.ABOVE, Operator.AT_LEAST)


class Severity(StrEnum):
    """How bad, in colours: the printed 级 of a locality runs both ways and is kept apart."""

    YELLOW = "yellow"
    ORANGE = "orange"
    RED = "red"

    @property
    def zh(self) -> str:
        """黄色, 橙色 or 红色."""
        return _SEVERITY_ZH[self]

    @property
    def rank(self) -> int:
        """0 for the mildest."""
        return list(Severity).index(self)


_SEVERITY_ZH: Final = {Severity.YELLOW: "黄色", Severity.ORANGE: "橙色", Severity.RED: "红色"}


@dataclass(frozen=True, slots=True)
class Band:
    """A threshold with how bad it is to be past it. `level` is what the locality prints (Ⅰ级, 一级, …)."""

    threshold: float
    severity: Severity
    level: str = ""
    op: Operator | None = None  # None: the rule's. Localities mix > and >= within one rule


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of a rulebook. `hold_s` is event time that a breach must last before it fires."""

    name: str
    measure: Measure
    op: Operator
    bands: tuple[Band, ...]  # from the mildest to the worst, each of a worse colour; at least one
    hold_s: int
    min_coverage: float
    legal_basis: str
    confidence: str
    summary_zh: str
    summary_en: str
    months: tuple[int, ...] = ()  # accounting months of the figure's last day in which it applies; (): all
    regions: tuple[str, ...] = ()  # codes within which it applies; (): everywhere
    subjects: str = ""  # a pattern of the subjects, part by part between slashes (*, ?); "": every subject
    is_enabled: bool = True  # False: it can be replayed and tested, but judges nobody

    @property
    def threshold(self) -> float:
        """The mildest band's."""
        return self.bands[0].threshold

    @property
    def severity(self) -> Severity:
        """The mildest band's."""
        return self.bands[0].severity


class Verdict(StrEnum):
    """What a rule says of a subject at an instant.

    `BREACH`: every value within the bounds breaches. `OK`: none does. `INSUFFICIENT`: only some do,
    or coverage is below the rule's minimum (数据不足).
    """

    OK = "ok"
    BREACH = "breach"
    INSUFFICIENT = "insufficient_data"


class Ruling(NamedTuple):
    """What a rule says of a figure: the verdict, and of a breach how bad it surely and possibly is."""

    verdict: Verdict
    band: int = 0  # the worst band that every value within the bounds breaches
    ceiling: int = 0  # the worst band that cannot be ruled out


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with the figures it rests on.

    `subject` is what is judged below the enterprise (a quota, a device, a point, …). `at` is event time: the
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
    band: int = 0  # of the ruling; 0 unless it is a breach
    ceiling: int = 0  # likewise
    corrects: bool = False  # the figures were revised since the last judgement of the same period
