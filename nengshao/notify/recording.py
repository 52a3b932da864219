"""The notifier that ships for tests and rehearsals: it remembers what it was given, and fails on request."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from nengshao.domain.errors import DeliveryDeferred, DeliveryError, DeliveryRefused


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as it was delivered."""

    subject: str
    body: str


class RecordingNotifier:
    """A channel whose messages can be looked at: `deliveries`; `attempts` counts the failed ones too."""

    def __init__(self, name: str = "recording") -> None:
        self.name = name
        self.attempts = 0
        self._lock = threading.Lock()
        self._delivered: list[Delivery] = []
        self._fails_with: type[DeliveryError] | None = None

    @property
    def deliveries(self) -> list[Delivery]:
        """What was delivered so far."""
        with self._lock:
            return list(self._delivered)

    def defer(self) -> None:
        """From now on be busy: every delivery raises DeliveryDeferred."""
        self._fails_with = DeliveryDeferred

    def refuse(self) -> None:
        """From now on take nothing: every delivery raises DeliveryRefused."""
        self._fails_with = DeliveryRefused

    def accept(self) -> None:
        """From now on deliver again."""
        self._fails_with = None

    def deliver(self, subject: str, body: str) -> None:
        """Remember the message, or fail as was asked for."""
        with self._lock:
            self.attempts += 1
            if self._fails_with is not None:
                raise self._fails_with(f"{self.name} was told to fail")
            self._delivered.append(Delivery(subject, body))
