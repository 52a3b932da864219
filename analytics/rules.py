"""What rules say of figures. Pure: MEASURES in, judgements out; `rulebook_loader` reads the rules."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

import polars as pl

from nengshao.domain.codes import is_region_code, region_chain
from nengshao.domain.factors import Confidence
from nengshao.domain.rules import Band, Judgement, Operator, Rule, Ruling, Verdict
from nengshao.domain.time import accounting_day, date_of

_COMPARE: Final[dict[Operator, Callable[[float, float], bool]]] = {
    Operator.ABOVE: operator.gt,
    Operator.AT_LEAST: operator.ge,
    Operator.BELOW: operator.lt,
    Operator.AT_MOST: operator.le,
}


def judge(
    rule: Rule, *, value: float | None, low: float | None, high: float | None, coverage: float | None
) -> Ruling:
    """What a rule says of a figure whose true value lies within [low, high]; None: unbounded or unknown.

    BREACH if every value within the bounds is past the mildest band: then missing data are no excuse; with
    the worst band that all of them are past, and the worst that one of them may be past. INSUFFICIENT if
    only some are past the mildest, if the value is unknown, or if coverage is below the rule's minimum.
    """
    verdicts = [
        _verdict(rule, band, value=value, low=low, high=high, coverage=coverage) for band in rule.bands
    ]
    if verdicts[0] is not Verdict.BREACH:
        return Ruling(verdicts[0])
    sure = max(n for n, verdict in enumerate(verdicts) if verdict is Verdict.BREACH)
    possible = max(n for n, verdict in enumerate(verdicts) if verdict is not Verdict.OK)
    return Ruling(Verdict.BREACH, sure, possible)


def judgements_of(
    measures: pl.DataFrame, rules: Iterable[Rule], *, region_of: Mapping[str, str], corrects: bool = False
) -> list[Judgement]:
    """One judgement per MEASURES row and enabled rule on its measure that applies to it.

    A rule applies in its `months` (of the figure's last day, the one before `at`), within its `regions` and
    to its `subjects`. `region_of`: enterprise -> region code; a region's figures are its own. `corrects`: the
    figures were revised since they were last judged. A judgement is confirmed if figure and rule are.
    """
    figures = ("value", "low", "high", "coverage")
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in measures.with_columns(pl.col(figures).fill_nan(None)).iter_rows(named=True):
        rows.setdefault(row["measure"], []).append(row)
    return [
        _judgement(rule, row, corrects=corrects)
        for rule in rules
        if rule.is_enabled
        for row in rows.get(rule.measure, [])
        if _applies(rule, row, region_of)
    ]


def _verdict(
    rule: Rule,
    band: Band,
    *,
    value: float | None,
    low: float | None,
    high: float | None,
    coverage: float | None,
) -> Verdict:
    """As if the band were the rule's only one."""
    op = band.op or rule.op
    mildest, worst = (low, high) if op.rises else (high, low)
    is_past = _COMPARE[op]
    if mildest is not None and is_past(mildest, band.threshold):
        return Verdict.BREACH
    if value is None or worst is None or is_past(worst, band.threshold):
        return Verdict.INSUFFICIENT
    if coverage is not None and coverage < rule.min_coverage:
        return Verdict.INSUFFICIENT
    return Verdict.OK


def _applies(rule: Rule, row: Mapping[str, Any], region_of: Mapping[str, str]) -> bool:
    if rule.months and date_of(accounting_day(row["at"] - 1)).month not in rule.months:
        return False
    if rule.regions:
        subject = row["enterprise"]
        code = subject if is_region_code(subject) else region_of.get(subject, "")
        if not set(rule.regions).intersection(region_chain(code)):
            return False
    return not rule.subjects or _matches(row["subject"], rule.subjects)


def _matches(subject: str, pattern: str) -> bool:
    """Part by part between slashes: `*/*/*` is a base target (year/basis/scope), not `…/incentive`."""
    parts, patterns = subject.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _judgement(rule: Rule, row: Mapping[str, Any], *, corrects: bool) -> Judgement:
    ruling = judge(rule, value=row["value"], low=row["low"], high=row["high"], coverage=row["coverage"])
    return Judgement(
        rule=rule.name,
        enterprise=row["enterprise"],
        subject=row["subject"],
        verdict=ruling.verdict,
        at=row["at"],
        value=row["value"],
        low=row["low"],
        high=row["high"],
        coverage=row["coverage"],
        is_confirmed=row["is_confirmed"] and Confidence(rule.confidence).is_confirmed,
        band=ruling.band,
        ceiling=ruling.ceiling,
        corrects=corrects,
    )
