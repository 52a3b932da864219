"""Dirty days in, results, verdicts and alerts out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl

from nengshao.domain.alerts import Alert, Transition
from nengshao.frames import INTENSITY, MEASURES, METER_EVENTS, SCOPE_DAYS
from nengshao.ports.leases import Lease
from nengshao.ports.people import Notice


@dataclass(frozen=True, slots=True)
class Revision:
    """A published figure that changed: what it was, what it is, why."""

    enterprise: str
    day: int
    cause: str  # "late_data" | "correction" | "factor" | "registry" | "time" | "accepted" (a proposal was)
    before: Mapping[str, Any]  # the ENTERPRISE_DAYS row and the POINT_DAYS rows that changed
    after: Mapping[str, Any]
    decided_by: str | None = None  # who accepted the proposal; None: it followed from the data
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class AssessmentCommit:
    """Results of one cycle over the claimed days, and the clearing of exactly what was claimed."""

    at: int
    claimed: pl.DataFrame  # enterprise, day, generation
    point_days: pl.DataFrame  # POINT_DAYS, replacing all rows of the (enterprise, day) pairs in them
    enterprise_days: pl.DataFrame  # ENTERPRISE_DAYS, replacing the same
    blocks: pl.DataFrame  # BLOCKS
    block_spans: pl.DataFrame  # enterprise, start, end: what overlaps them, or one of `blocks`, is replaced
    revisions: Sequence[Revision] = ()
    scope_days: pl.DataFrame = field(default_factory=SCOPE_DAYS.empty)  # replacing the same days' rows
    events: pl.DataFrame = field(default_factory=METER_EVENTS.empty)  # replacing those within block_spans
    regions: Mapping[str, Sequence[str]] = field(default_factory=dict)  # enterprise -> regions that add it up
    changed: pl.DataFrame | None = None  # enterprise, day of published figures that changed; None: all days
    also_due: Sequence[str] = ()  # enterprises to be judged for another reason


@dataclass(frozen=True, slots=True)
class JudgementCommit:
    """What the rules said: progress, alerts as they stand now, the steps they took, and whom to tell."""

    at: int
    enterprises: Mapping[str, int]  # judged enterprise -> generation of its to-do that is cleared
    progress: pl.DataFrame  # PROGRESS, replacing all rows of those enterprises
    alerts: Sequence[Alert]
    transitions: Sequence[Transition]
    explanations: Mapping[str, Mapping[str, Any]]  # alert_id -> frozen figures, when it fires
    notices: Sequence[Notice] = ()
    intensity: pl.DataFrame = field(default_factory=INTENSITY.empty)  # replacing all of those enterprises
    measures: pl.DataFrame = field(default_factory=MEASURES.empty)  # what was judged, replacing likewise


class Assessments(Protocol):
    """Dirty days in, results out, in one transaction checked by lease epoch."""

    def mark_dirty(self, dirty: pl.DataFrame) -> None:
        """Upsert DIRTY_SCHEMA rows with a new generation each."""
        ...

    def claim_dirty(self, partition: int, limit: int) -> pl.DataFrame:
        """Up to `limit` dirty days of the partition's enterprises, oldest day first: enterprise, day, late,
        generation (Int64). Claiming changes nothing; `commit_assessment` clears a row only if its
        generation is still the one given."""
        ...

    def due_rechecks(self, partition: int, now: int, limit: int) -> pl.DataFrame:
        """enterprise, day of results whose recheck_at has come."""
        ...

    def last_days(self, partition: int) -> pl.DataFrame:
        """enterprise, first_day, last_day (Int32) of the results there are."""
        ...

    def point_days(self, enterprises: Sequence[str], from_day: int, to_day: int) -> pl.DataFrame:
        """POINT_DAYS rows with from_day <= day < to_day, sorted by key."""
        ...

    def enterprise_days(self, enterprises: Sequence[str], from_day: int, to_day: int) -> pl.DataFrame:
        """ENTERPRISE_DAYS rows with from_day <= day < to_day, sorted by key."""
        ...

    def blocks(self, enterprises: Sequence[str], start: int, end: int) -> pl.DataFrame:
        """BLOCKS that overlap [start, end), sorted by key."""
        ...

    def scope_days(self, enterprises: Sequence[str], from_day: int, to_day: int) -> pl.DataFrame:
        """SCOPE_DAYS rows with from_day <= day < to_day, sorted by key."""
        ...

    def commit_assessment(self, lease: Lease, commit: AssessmentCommit) -> None:
        """All or nothing; the enterprises become due for judgement and projection, the days of their regions
        (`regions`) dirty. Raises LeaseLost.

        Days that were closed (结账) keep their figures and get no revision: what is new beside them becomes
        an open proposal, in the place of the day's earlier one. An open proposal is withdrawn when what is in
        force is right again. What was rejected is not proposed again."""
        ...

    def meter_events(
        self, enterprises: Sequence[str], start: int, end: int, *, only_open: bool = False
    ) -> list[Mapping[str, Any]]:
        """METER_EVENTS rows with start <= ts < end and confirmed_by, confirmed_at, note (null: still open),
        newest first. An event that a later assessment finds again keeps what a person said of it."""
        ...

    def confirm_event(  # noqa: PLR0917 - the key of an event, and who says what of it
        self, enterprise: str, point: int, ts: int, event: str, by: str, note: str, at: int
    ) -> bool:
        """A person has looked at it; False if there is no such event."""
        ...

    def revisions(self, enterprise: str, from_day: int, to_day: int) -> list[Mapping[str, Any]]:
        """enterprise, day, seq, made_at, cause, before, after, decided_by, reason (both null but for cause
        "accepted"), replaced_at (when the figure it replaces was put in force; null: none was); oldest first.
        """
        ...

    def due_judgements(self, partition: int) -> dict[str, int]:
        """Enterprises whose results changed since they were judged -> generation of that to-do."""
        ...

    def due_projections(self, partition: int, limit: int) -> dict[tuple[str, int], int]:
        """(enterprise, day) whose figures are not in the ResultStore yet -> generation."""
        ...

    def clear_projections(self, done: Mapping[tuple[str, int], int]) -> None:
        """Strike them, each only if its generation is still the one given."""
        ...

    def commit_judgement(self, lease: Lease, commit: JudgementCommit) -> None:
        """All or nothing: progress, alerts, history, outbox; to-dos cleared by generation."""
        ...

    def progress(self, enterprises: Sequence[str] | None = None) -> pl.DataFrame:
        """PROGRESS rows, all or of those enterprises, sorted by key."""
        ...

    def intensity(self, enterprises: Sequence[str] | None = None) -> pl.DataFrame:
        """INTENSITY rows, all or of those enterprises, sorted by key."""
        ...

    def measures(self, enterprises: Sequence[str] | None = None) -> pl.DataFrame:
        """MEASURES rows as last judged, sorted by key."""
        ...

    def open_alerts(self, partition: int) -> list[Alert]:
        """Pending and firing alerts of the partition's enterprises, sorted by alert_id."""
        ...

    def last_seen(self, partition: int) -> pl.DataFrame:
        """LAST_SEEN_SCHEMA of the partition's devices."""
        ...

    def alerts_page(
        self,
        *,
        enterprises: Sequence[str] | None = None,
        states: Sequence[str] | None = None,
        before: str | None = None,
        limit: int = 100,
    ) -> list[Alert]:
        """Alerts, newest `since` first; `before` is the alert_id the last page ended with."""
        ...

    def alert(self, alert_id: str) -> tuple[Alert, list[Mapping[str, Any]], Mapping[str, Any] | None] | None:
        """One alert, its history (at, before, after, reason) and its frozen explanation, if it ever fired."""
        ...
