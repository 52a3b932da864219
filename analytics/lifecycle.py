"""The one state machine of alerts. Live cycles, replays and rule tests all call `advance`.

    (none) ──breach──▶ pending ──held for hold_s of event time──▶ firing ──ok──▶ resolved
                          │                                          │
                          └──ok──▶ resolved (it never fired)         └──ok, by a correction──▶ corrected 更正

数据不足 is a flag beside the state: it pauses the hold, resolves nothing and forgets nothing. Severity and
level follow the worst band that the breach has surely reached, until it has surely left it: while firing, a
rise is a step (escalated), a fall another (eased).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from nengshao.domain.alerts import Alert, AlertState, Step, Transition
from nengshao.domain.rules import Judgement, Rule, Severity, Verdict

_Key = tuple[str, str, str]  # rule, enterprise, subject


def advance(
    active: Sequence[Alert], judgements: Sequence[Judgement], rules: Mapping[str, Rule], as_of: int
) -> tuple[list[Alert], list[Transition]]:
    """The alerts as they stand after these judgements, sorted by id, and the steps taken, in event time.

    Judgements are taken in the order of their `at`; one that is older than what an alert has already seen
    counts only if it corrects it. A breach's hold grows by the event time between two successive breaches
    of a subject. `as_of` dates the steps. An alert whose rule is not in `rules`, or is disabled, is resolved,
    whatever was judged by it.
    """
    rules = {name: rule for name, rule in rules.items() if rule.is_enabled}
    alerts = {alert.alert_id: alert for alert in active}
    opened = {_key(alert): alert for alert in active if alert.is_open}
    transitions: list[Transition] = []
    for key in [key for key, alert in opened.items() if alert.rule not in rules]:
        orphan = opened.pop(key)
        ended = replace(orphan, state=AlertState.RESOLVED, ended_at=orphan.seen_at)
        alerts[ended.alert_id] = ended
        transitions.append(Transition(ended, orphan.state, Step.RULE_WITHDRAWN, as_of))
    for judgement in sorted((j for j in judgements if j.rule in rules), key=_event_order):
        key = _key(judgement)
        before = opened.get(key)
        steps = _steps(before, judgement, rules[judgement.rule], as_of)
        for alert, step in steps:
            alerts[alert.alert_id] = alert
            opened[key] = alert
            if step is not None:
                transitions.append(step)
        if key in opened and not opened[key].is_open:
            del opened[key]
    return [alerts[name] for name in sorted(alerts)], transitions


def endings(active: Iterable[Alert], judgements: Iterable[Judgement], *, at: int) -> list[Judgement]:
    """An OK for every open alert whose subject is no longer judged: a device that has left its duty, a rule
    whose months are over. A judgement that only corrects an earlier period does not keep it open."""
    judged = {_key(judgement) for judgement in judgements if not judgement.corrects}
    return [
        Judgement(
            rule=alert.rule,
            enterprise=alert.enterprise,
            subject=alert.subject,
            verdict=Verdict.OK,
            at=max(at, alert.seen_at),
            value=None,
            low=None,
            high=None,
            coverage=None,
            is_confirmed=alert.is_confirmed,
        )
        for alert in active
        if alert.is_open and _key(alert) not in judged
    ]


def alert_id_of(rule: str, enterprise: str, subject: str, since: int) -> str:
    """The id of the alert that began at `since`: the same wherever and whenever it is computed."""
    return hashlib.sha256(f"{rule}\n{enterprise}\n{subject}\n{since}".encode()).hexdigest()[:32]


def _steps(
    alert: Alert | None, judgement: Judgement, rule: Rule, as_of: int
) -> list[tuple[Alert, Transition | None]]:
    """What one judgement does: the alert after it, with the step if it took one."""
    if alert is None:
        return _opened(judgement, rule, as_of) if judgement.verdict is Verdict.BREACH else []
    if judgement.at < alert.seen_at and not judgement.corrects:
        return []
    if judgement.verdict is Verdict.OK:
        return [_ended(alert, judgement, as_of)]
    if judgement.verdict is Verdict.INSUFFICIENT:
        seen_at = max(alert.seen_at, judgement.at)
        return [(replace(alert, seen_at=seen_at, is_insufficient=True), None)]
    return [_held(alert, judgement, rule, as_of)]


def _worst(alert: Alert, judgement: Judgement, rule: Rule) -> tuple[str, str]:
    """Severity and level after a breach: those of the alert's band, raised to what is sure and lowered to
    what is possible. The figure of an earlier period says nothing of now."""
    if judgement.at < alert.seen_at:
        return alert.severity, alert.level
    before = [n for n, band in enumerate(rule.bands) if band.severity == alert.severity]
    band = rule.bands[max(judgement.band, min(*before, judgement.ceiling)) if before else judgement.band]
    return band.severity.value, band.level


def _opened(judgement: Judgement, rule: Rule, as_of: int) -> list[tuple[Alert, Transition | None]]:
    pending = Alert(
        alert_id=alert_id_of(rule.name, judgement.enterprise, judgement.subject, judgement.at),
        rule=rule.name,
        enterprise=judgement.enterprise,
        subject=judgement.subject,
        state=AlertState.PENDING,
        severity=rule.bands[judgement.band].severity.value,
        level=rule.bands[judgement.band].level,
        since=judgement.at,
        seen_at=judgement.at,
        breached_s=0,
        is_insufficient=False,
        is_confirmed=judgement.is_confirmed,
    )
    steps: list[tuple[Alert, Transition | None]] = [
        (pending, Transition(pending, None, Step.BREACHED, as_of))
    ]
    return [*steps, _held(pending, judgement, rule, as_of)] if rule.hold_s == 0 else steps


def _held(alert: Alert, judgement: Judgement, rule: Rule, as_of: int) -> tuple[Alert, Transition | None]:
    """A breach goes on. Time that ends or begins without sufficient data does not count towards the hold."""
    elapsed = 0 if alert.is_insufficient else max(0, judgement.at - alert.seen_at)
    severity, level = _worst(alert, judgement, rule)
    held = replace(
        alert,
        severity=severity,
        level=level,
        seen_at=max(alert.seen_at, judgement.at),
        breached_s=alert.breached_s + elapsed,
        is_insufficient=False,
        is_confirmed=judgement.is_confirmed,
    )
    if alert.state is AlertState.PENDING:
        if held.breached_s < rule.hold_s:
            return held, None
        firing = replace(held, state=AlertState.FIRING, fired_at=held.seen_at)
        return firing, Transition(firing, AlertState.PENDING, Step.HELD, as_of)
    worse_by = Severity(severity).rank - Severity(alert.severity).rank
    if worse_by == 0:
        return held, None
    reason = Step.ESCALATED if worse_by > 0 else Step.EASED
    return held, Transition(held, AlertState.FIRING, reason, as_of)


def _ended(alert: Alert, judgement: Judgement, as_of: int) -> tuple[Alert, Transition | None]:
    """An OK ends an alert. One that corrects what the breach was seen in says there was no breach."""
    is_correction = judgement.corrects and judgement.at <= alert.seen_at
    state = AlertState.CORRECTED if is_correction else AlertState.RESOLVED
    ended = replace(
        alert,
        state=state,
        seen_at=max(alert.seen_at, judgement.at),
        is_insufficient=False,
        ended_at=judgement.at,
    )
    reason = Step.CORRECTED if is_correction else Step.ENDED
    return ended, Transition(ended, alert.state, reason, as_of)


def _key(subject: Alert | Judgement) -> _Key:
    return subject.rule, subject.enterprise, subject.subject


def _event_order(judgement: Judgement) -> tuple[int, bool, _Key]:
    return judgement.at, not judgement.corrects, _key(judgement)
