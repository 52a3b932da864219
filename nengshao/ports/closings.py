"""Closing (结账): figures that only a person may change any more (BOOKKEEPING §7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Closings(Protocol):
    """Closed periods, and what later results propose for them."""

    def close_period(  # noqa: PLR0917 - what is closed, and who says so
        self, enterprise: str, first_day: int, end_day: int, by: str, reason: str, at: int
    ) -> int:
        """Freeze the figures of these days; the id of the closing.

        Raises: ConfigError if a day of them has no result, is not published, or is closed already."""
        ...

    def closings(self, enterprise: str) -> list[Mapping[str, Any]]:
        """closing_id, enterprise, first_day, end_day, closed_by, closed_at, reason; oldest first."""
        ...

    def proposals(
        self, enterprises: Sequence[str] | None = None, *, state: str | None = None, limit: int = 1000
    ) -> list[Mapping[str, Any]]:
        """proposal_id, enterprise, day, made_at, cause, before, after (as in a Revision), state ("open",
        "accepted", "rejected", "withdrawn"), decided_by, decided_at, reason; newest first."""
        ...

    def decide_proposal(  # noqa: PLR0917 - which, and who decides what
        self, proposal_id: int, *, accept: bool, by: str, reason: str, at: int
    ) -> bool:
        """Accept or reject an open proposal; False if it is not open any more.

        Accepting puts its figures in force, writes a revision (cause "accepted", with who and why) and makes
        the enterprise due for judgement and projection, its regions' day dirty, all in one transaction."""
        ...
