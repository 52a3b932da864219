"""Telling people: the outbox and the channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell somebody: an outbox row. `group` names what may be told together."""

    notice_id: str
    alert_id: str
    enterprise: str
    group: str
    reason: str  # "fired" | "resolved" | "corrected"
    subject: str
    body: str
    made_at: int


class Outbox(Protocol):
    """The transactional outbox and the log of what was told."""

    def undelivered(self, limit: int) -> list[Notice]:
        """Notices not delivered or given up yet, oldest first."""
        ...

    def log_delivery(self, notice_id: str, channel: str, outcome: str, detail: str, at: int) -> None:
        """Append to the log; "delivered", "muted" and "refused" end the notice, "deferred" keeps it."""
        ...

    def was_told(self, alert_id: str, reason: str, channel: str) -> bool:
        """Whether this step of this alert was delivered on this channel before."""
        ...


class Notifier(Protocol):
    """One channel to people."""

    @property
    def name(self) -> str:
        """The channel's name in logs and settings."""
        ...

    def deliver(self, subject: str, body: str) -> None:
        """Tell it. Raises DeliveryDeferred (retry) or DeliveryRefused (permanent)."""
        ...
