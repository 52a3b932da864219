"""Event time."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """The one source of event time: screening, periods and holds. Leases use the StateStore's time."""

    def now(self) -> int:
        """The present instant, UTC, whole seconds."""
        ...
