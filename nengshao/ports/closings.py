"""Closing (结账): figures that only a person may change any more (BOOKKEEPING §7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import polars as pl


class Closings(Protocol):
    """Closed periods, and what later results propose for them.

    A block that lies in closed days as a whole is theirs. One that reaches into an open day follows the
    latest results, since the open day does (kept, it would count again what was since measured there); only
    where it comes over a block of closed days it waits with them."""

    def close_period(  # noqa: PLR0917 - what is closed, and who says so
        self, enterprise: str, first_day: int, end_day: int, by: str, reason: str, at: int
    ) -> int:
        """Freeze the figures of these days; the id of the closing.

        Raises: ConfigError if a day of them has no result, is not published, or is closed already."""
        ...

    def closings(self, enterprise: str) -> list[Mapping[str, Any]]:
        """closing_id, enterprise, first_day, end_day, closed_by, closed_at, reason; oldest first."""
        ...

    def proposal(self, proposal_id: int) -> Mapping[str, Any] | None:
        """One of any state, as `proposals` gives it; None: there is none."""
        ...

    def proposals(
        self,
        enterprises: Sequence[str] | None = None,
        *,
        state: str | None = None,
        before: int | None = None,
        limit: int = 1000,
    ) -> list[Mapping[str, Any]]:
        """proposal_id, enterprise, day, made_at, cause, before (in force), after, state ("open", "accepted",
        "rejected", "withdrawn": something else came), decided_by, decided_at, reason; newest first,
        those older than `before` (an id) if it is given.

        before, after: "enterprise_day" (null: no figures), "point_days" and "scope_days" with every row of
        the day, and "blocks": those that touch it and lie in closed days as a whole."""
        ...

    def decide_proposal(self, proposal_id: int, *, accept: bool, by: str, reason: str, at: int) -> bool:
        """Accept or reject an open proposal; False if it is not open any more.

        Open proposals of other days that share a block with it are decided with it. Accepting puts the
        figures in force, writes a revision for each day (cause "accepted", with who and why) and makes the
        enterprise due for judgement and projection, its regions' day dirty, all in one transaction."""
        ...

    def decide_proposals(
        self, enterprise: str, first_day: int, end_day: int, *, accept: bool, by: str, reason: str, at: int
    ) -> list[int]:
        """Decide every open proposal of these days as `decide_proposal` does, all in one transaction: the ids
        of those decided, sorted. None is open any more: done again it decides nothing."""
        ...

    def pending_difference(self, enterprises: Sequence[str], first_day: int, end_day: int) -> pl.DataFrame:
        """enterprise, day, calorific_g, equivalent_g, carbon_g (Int64) of the days with an open proposal,
        sorted: what a sum over days and blocks would gain by it; null where a factor is missing.

        In force + pending = the latest results. A block is reckoned to the day it begins in."""
        ...
