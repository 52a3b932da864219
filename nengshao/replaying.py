"""`nengshao replay`: what a rule would have done on the figures in force, before anyone enables it.

Day by day, through the judge and the state machine of live cycles. Nothing is written.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import polars as pl
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from analytics.cycle.facts import registry_of
from analytics.cycle.history import History
from analytics.law import load_law
from analytics.lifecycle import advance, endings
from analytics.rules import judgements_of
from nengshao.app import open_state_store
from nengshao.domain.alerts import Alert, AlertState
from nengshao.domain.errors import ConfigError
from nengshao.domain.rules import Measure, Rule, Severity
from nengshao.domain.time import DAY_S, day_number, day_start, iso_text, local_text
from nengshao.registry import Registry, SubjectNames, named_subject, subject_names
from nengshao.settings import Settings

MeasuresOn = Callable[[int], pl.DataFrame]
"""MEASURES of the rule's measure as known at the end of an accounting day, per the figures in force."""


@dataclass(frozen=True, slots=True)
class WouldBe:
    """An alert that would have fired, as it would stand now, with the worst it reached while firing.

    `is_since_window_start`: it began on the first day looked at, so that it may have begun before.
    """

    alert: Alert
    worst: Severity
    worst_level: str
    is_since_window_start: bool


@dataclass(frozen=True, slots=True)
class Replay:
    """What a rule would have done from `first` to `last`. `never_held`: alerts that never fired. `names` of
    enterprises and regions, `subjects`: per enterprise, what people call what is judged."""

    rule: Rule
    first: dt.date
    last: dt.date
    fired: tuple[WouldBe, ...]
    never_held: int
    names: Mapping[str, str] = field(default_factory=dict)
    subjects: Mapping[str, SubjectNames] = field(default_factory=dict)

    def names_of(self, alert: Alert) -> tuple[str, str]:
        """What people call the alert's enterprise, and its subject."""
        subject = named_subject(alert.subject, self.subjects.get(alert.enterprise, {}))
        return self.names.get(alert.enterprise, ""), subject


def replay_rule(
    rule: Rule, measures_on: MeasuresOn, days: Iterable[int], *, region_of: Mapping[str, str]
) -> tuple[list[WouldBe], int]:
    """The alerts that the rule, enabled or not, would have fired on these accounting days, in the order of
    their beginning, and how many others never held. Each day is judged at its end."""
    rule = replace(rule, is_enabled=True)
    known: dict[str, Alert] = {}
    worst: dict[str, Alert] = {}  # as it stood when its colour was the worst
    active: list[Alert] = []
    asked = list(days)
    first_at = day_start(asked[0]) if asked else 0
    for day in asked:
        end = day_start(day + 1)
        recent = measures_on(day).filter(pl.col("at") >= first_at)  # what ended before is no news
        judged = judgements_of(recent, [rule], region_of=region_of)
        alerts, steps = advance(active, [*judged, *endings(active, judged, at=end)], {rule.name: rule}, end)
        known |= {alert.alert_id: alert for alert in alerts}
        for alert in (step.alert for step in steps if step.alert.state is AlertState.FIRING):
            seen = worst.setdefault(alert.alert_id, alert)
            if Severity(alert.severity).rank > Severity(seen.severity).rank:
                worst[alert.alert_id] = alert
        active = [alert for alert in alerts if alert.is_open]
    first_end = first_at + DAY_S  # at which the first day is judged
    fired = [
        WouldBe(known[name], Severity(w.severity), w.level, known[name].since <= first_end)
        for name, w in worst.items()
    ]
    fired.sort(key=lambda would_be: (would_be.alert.since, would_be.alert.enterprise, would_be.alert.subject))
    return fired, len(known) - len(fired)


def replay_on_history(
    settings: Settings,
    name: str,
    *,
    rulebooks: Sequence[Path],
    first: dt.date,
    last: dt.date,
    enterprises: Collection[str],
) -> Replay:
    """The rule of that name, of the rulebooks in the settings or these, on the figures that are in force.

    `enterprises`: of these enterprises or regions only; none: of all.
    Raises: ConfigError for an unknown rule or enterprise, or an empty range of days.
    """
    dirs = settings.assess
    law = load_law(
        factor_dirs=dirs.factor_dirs,
        norm_dirs=dirs.norm_dirs,
        calendar_dirs=dirs.calendar_dirs,
        rulebook_dirs=[*dirs.rulebook_dirs, *rulebooks],
    )
    state = open_state_store(settings)
    try:
        registry = state.registry()
        known = [*registry.enterprises["enterprise"], *registry.regions["code"]]
        problems = [f"登记表没有 / not registered: {code}" for code in sorted(set(enterprises) - set(known))]
        if not known:
            problems.append("登记表为空，请用 --settings / nothing is registered, try --settings")
        problems += _rule_problems(law.rules, name)
        if last < first:
            problems.append(f"{first} … {last}: 没有一天 / no day")
        if problems:
            raise ConfigError(problems)
        rule, days = law.rules[name], range(day_number(first), day_number(last) + 1)
        history = History(
            state, registry_of(registry, list(enterprises) or known), law, first=days[0], last=days[-1]
        )
        fired, never_held = replay_rule(
            rule,
            lambda day: history.measures_on(day, rule.measure),
            days,
            region_of=dict(registry.enterprises.select("enterprise", "region").iter_rows()),
        )
        names, subjects = _names_of(registry, fired)
        return Replay(rule, first, last, tuple(fired), never_held, names, subjects)
    finally:
        state.close()


def _names_of(
    registry: Registry, fired: Iterable[WouldBe]
) -> tuple[Mapping[str, str], Mapping[str, SubjectNames]]:
    names = dict(registry.regions.select("code", "name").iter_rows())
    names |= dict(registry.enterprises.select("enterprise", "name").iter_rows())
    return names, subject_names(registry, {would_be.alert.enterprise for would_be in fired})


def _rule_problems(rules: Mapping[str, Rule], name: str) -> list[str]:
    if name not in rules:
        return [f"没有规则 / no rule {name}: {', '.join(rules)}"]
    if rules[name].measure is Measure.SILENT_SECONDS:
        return [f"{name}: 静默不留历史，无法回放 / silence leaves no history to replay"]
    return []


def as_json(replayed: Replay) -> dict[str, Any]:
    """The replay as JSON-able values; instants with their offset."""
    return {
        "rule": replayed.rule.name,
        "from": replayed.first.isoformat(),
        "to": replayed.last.isoformat(),
        "never_held": replayed.never_held,
        "alerts": [_alert_as_json(replayed, would_be) for would_be in replayed.fired],
    }


def _alert_as_json(replayed: Replay, would_be: WouldBe) -> dict[str, Any]:
    alert = would_be.alert
    name, subject = replayed.names_of(alert)
    return {
        "enterprise": alert.enterprise,
        "enterprise_name": name,
        "subject": alert.subject,
        "subject_name": subject,
        "since": iso_text(alert.since),
        "is_since_window_start": would_be.is_since_window_start,
        "fired_at": _iso(alert.fired_at),
        "ended_at": _iso(alert.ended_at),
        "state": alert.state.value,
        "worst_severity": would_be.worst.value,
        "worst_level": would_be.worst_level,
        "is_confirmed": alert.is_confirmed,
    }


_COLUMNS: Final = (
    "企业 enterprise", "对象 subject", "起 since", "发出 fired", "止 ended", "状态 state", "最重 worst"
)  # fmt: skip
_WINDOW_START: Final = "窗口起点（可能更早）/ at or before the window's start"


def print_replay(replayed: Replay, out: Console) -> None:
    """The replay as a table; where nobody looks, a line per alert with tabs between its columns."""
    rule = replayed.rule
    title = f"{rule.name}：{replayed.first} … {replayed.last}"
    caption = (
        f"{len(replayed.fired)} 条会发出，{replayed.never_held} 条未满持续时间 / "
        f"{len(replayed.fired)} would have fired, {replayed.never_held} never held"
    )
    rows = [_cells(replayed, would_be) for would_be in replayed.fired]
    summary = f"{rule.summary_zh} / {rule.summary_en}"
    if out.is_terminal:
        table = Table(*(Column(name, overflow="fold") for name in _COLUMNS), title=title, caption=caption)
        for cells in rows:
            table.add_row(*(Text(cell) for cell in cells))
        out.print(summary, highlight=False)
        out.print(table)
    else:
        lines = [f"# {title}", f"# {summary}", "\t".join(_COLUMNS), *map("\t".join, rows), f"# {caption}"]
        out.file.write("\n".join(lines) + "\n")  # the console itself would make spaces of the tabs


def _cells(replayed: Replay, would_be: WouldBe) -> list[str]:
    alert = would_be.alert
    name, subject = replayed.names_of(alert)
    since, *later = (
        local_text(at)[:16] if at else "" for at in (alert.since, alert.fired_at, alert.ended_at)
    )
    return [
        f"{name}（{alert.enterprise}）" if name else alert.enterprise,
        subject,
        f"{since} {_WINDOW_START}" if would_be.is_since_window_start else since,
        *later,
        alert.state.value,
        f"{would_be.worst.zh} {would_be.worst} {would_be.worst_level}".strip(),
    ]


def _iso(at: int | None) -> str | None:
    return None if at is None else iso_text(at)
