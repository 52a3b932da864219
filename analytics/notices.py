"""What people are told when an alert fires, gets worse, ends or is corrected. Chinese first, then English."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

from analytics.explanation import UNCONFIRMED_LABEL
from nengshao.domain.alerts import AlertState, Step, Transition
from nengshao.domain.rules import Rule, Severity
from nengshao.domain.time import local_text
from nengshao.ports import Notice
from nengshao.registry import Registry, named_subject, subject_names

_TOLD: Final = {
    Step.HELD: ("fired", "{colour}预警", "{colour} alert"),
    Step.ESCALATED: ("escalated", "升级为{colour}预警", "raised to {colour} alert"),
    Step.ENDED: ("resolved", "{colour}预警解除", "{colour} alert resolved"),
    Step.RULE_WITHDRAWN: ("resolved", "{colour}预警解除", "{colour} alert resolved"),
    Step.CORRECTED: ("corrected", "{colour}预警更正", "{colour} alert corrected"),
}
"""Of the steps to and from firing those that people are told: reason, Chinese, English. Easing is not."""


def notices_of(
    transitions: Iterable[Transition], rules: Mapping[str, Rule], registry: Registry, *, as_of: int
) -> list[Notice]:
    """A notice for every alert that fires or gets worse, and for the end of every one that had fired."""
    told = [
        step
        for step in transitions
        if step.reason in _TOLD and AlertState.FIRING in (step.before, step.alert.state)
    ]
    if not told:
        return []
    names = dict(registry.regions.select("code", "name").iter_rows())
    names |= dict(registry.enterprises.select("enterprise", "name").iter_rows())
    below = subject_names(registry, {step.alert.enterprise for step in told})
    notices = []
    for step in told:
        enterprise = step.alert.enterprise
        subject = named_subject(step.alert.subject, below[enterprise])
        rule, name = rules.get(step.alert.rule), names.get(enterprise, "")
        notices.append(_notice(step, rule, (name or enterprise, subject), as_of))
    return notices


def _notice(step: Transition, rule: Rule | None, names: tuple[str, str], as_of: int) -> Notice:
    """`names`: what people call the enterprise or region, and what is judged of it."""
    name, judged = names
    alert = step.alert
    reason, word_zh, word_en = _TOLD[step.reason]
    severity = Severity(alert.severity)
    word_zh, word_en = word_zh.format(colour=severity.zh), word_en.format(colour=severity.value)
    if alert.level:
        word_zh, word_en = f"{word_zh}（{alert.level}）", f"{word_en} ({alert.level})"
    if step.reason is Step.ESCALATED:
        reason = f"{reason}/{severity}"  # each colour is told once, however often the alert eases in between
    summary_zh, summary_en = (rule.summary_zh, rule.summary_en) if rule else (alert.rule, alert.rule)
    moment = local_text(alert.seen_at)
    lines = [
        f"{name}（{alert.enterprise}）：{word_zh}，{summary_zh}（{judged}），截至 {moment}",
        f"{name} ({alert.enterprise}): {word_en}, {summary_en} ({judged}), as of {moment}",
    ]
    if not alert.is_confirmed:
        lines.append(UNCONFIRMED_LABEL)
    # The step's own event time is part of the id: an alert that fires again later is told again.
    identity = f"{alert.alert_id}/{reason}/{alert.ended_at or alert.fired_at}"
    return Notice(
        notice_id=hashlib.sha256(identity.encode()).hexdigest()[:32],
        alert_id=alert.alert_id,
        enterprise=alert.enterprise,
        group=f"{alert.enterprise}/{alert.rule}",
        reason=reason,
        subject=f"【{word_zh}】{name} {summary_zh} / {word_en}: {summary_en}",
        body="\n".join(lines),
        made_at=as_of,
    )
