"""Alerts as values: the states an alert goes through and what moves it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AlertState(StrEnum):
    """States of `analytics.lifecycle`. 数据不足 is a flag beside the state, never a state."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"
    CORRECTED = "corrected"  # 更正: later data showed there had been no breach


class Step(StrEnum):
    """Why an alert moved."""

    BREACHED = "breached"  # it began
    HELD = "held"  # the breach lasted for the rule's hold: it fires
    ESCALATED = "escalated"  # while firing, the figure is surely past a worse band's threshold
    EASED = "eased"  # while firing, the figure is surely no longer past the worse band's
    ENDED = "ended"  # the breach is over, or its subject is judged no more
    CORRECTED = "corrected"  # later data showed there had been no breach
    RULE_WITHDRAWN = "rule_withdrawn"  # the rule was taken out of the rulebook, or switched off


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert: rule × enterprise × subject, from its first breach to its end.

    `severity` and `level` are those of the worst band that its breach has surely reached and not surely left.
    `breached_s` is how much event time the breach has lasted (the hold), which 数据不足 pauses.
    `seen_at` is the event time of the last judgement taken into account.
    """

    alert_id: str
    rule: str
    enterprise: str
    subject: str
    state: AlertState
    severity: str
    since: int
    seen_at: int
    breached_s: int
    is_insufficient: bool
    is_confirmed: bool
    level: str = ""  # the printed 级 of the band, where the rule's locality prints one
    fired_at: int | None = None
    ended_at: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it still waits for something: pending or firing."""
        return self.state in (AlertState.PENDING, AlertState.FIRING)


@dataclass(frozen=True, slots=True)
class Transition:
    """A step of an alert: from one state (None: it did not exist) to another or the same, with the reason."""

    alert: Alert
    before: AlertState | None
    reason: Step
    at: int
