"""Days: from claimed dirty days to committed results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from analytics.assessment import Results, assess
from analytics.cycle.facts import Facts, registry_of
from analytics.cycle.gathering import read_around
from analytics.law import Law
from analytics.regions import members_of
from analytics.revisions import Days, cause_of, changed_days, corrected_factors, published_pairs
from analytics.worklist import Window, days_without_results, register_reach, whole_periods, windows_of
from nengshao.domain.time import day_start
from nengshao.ports import AssessmentCommit, Lease, ReadingStore, Revision, StateStore

_PAIR: Final = ["enterprise", "day"]


@dataclass(frozen=True, slots=True)
class Done:
    """A window that was computed and committed."""

    days: int
    revisions: int
    results: Results


class DayWork:
    """Computes the days of one partition, in portions that fit into memory."""

    def __init__(
        self,
        state: StateStore,
        readings: ReadingStore,
        law: Law,
        *,
        partition: int,
        batch_days: int,
        chunk_days: int,
        span_days: int,
    ) -> None:
        self._state, self._readings, self._law = state, readings, law
        self._partition, self._batch_days = partition, batch_days
        self._chunk_days, self._span_days = chunk_days, span_days

    def assess_due(self, lease: Lease, facts: Facts) -> Iterator[Done]:
        """Compute every day up to today that is dirty, has no result, or has pending time that is over."""
        missing = days_without_results(
            facts.registry.enterprises, self._state.last_days(self._partition), today=facts.today
        )
        if not missing.is_empty():
            self._state.mark_dirty(missing)
        rechecked: set[tuple[str, int]] = set()
        while True:
            self._mark_rechecks(facts.as_of, rechecked)
            claimed = self._state.claim_dirty(self._partition, self._batch_days)
            claimed = claimed.filter(pl.col("day") <= facts.today)
            if claimed.is_empty():
                return
            planned = whole_periods(claimed, facts.registry.points, today=facts.today)
            for window in self.windows(planned):
                yield from self._assess_window(lease, facts, window, claimed, planned)

    def windows(self, days: pl.DataFrame) -> list[Window]:
        """enterprise, day rows in portions."""
        return windows_of(days, span_days=self._span_days, chunk_days=self._chunk_days)

    def assessed(self, facts: Facts, window: Window) -> Results:
        """A window computed from the stored readings, without committing anything."""
        return self._run(facts, window, self._gathered(facts, window))

    def _mark_rechecks(self, now: int, seen: set[tuple[str, int]]) -> None:
        due = self._state.due_rechecks(self._partition, now, self._batch_days)
        fresh = [pair for pair in due.select(_PAIR).iter_rows() if pair not in seen]
        seen.update(fresh)
        if fresh:
            rows = pl.DataFrame(fresh, schema={"enterprise": pl.String, "day": pl.Int32}, orient="row")
            self._state.mark_dirty(rows.with_columns(late=pl.lit(value=False)))

    def _assess_window(
        self, lease: Lease, facts: Facts, window: Window, claimed: pl.DataFrame, planned: pl.DataFrame
    ) -> Iterator[Done]:
        """The window, after the neighbouring days that its register reads reach."""
        reads = self._gathered(facts, window)
        mine = claimed.filter(_within(window))
        points = facts.points_of(window.enterprises)
        reached = register_reach(mine, reads, points, today=facts.today)
        # The neighbours first: the claim is what makes a cycle that died here do them again.
        for other in self.windows(reached.join(planned, on=_PAIR, how="anti")):
            yield self._committed(lease, facts, other, self.assessed(facts, other), mine.clear())
        yield self._committed(lease, facts, window, self._run(facts, window, reads), mine)

    def _gathered(self, facts: Facts, window: Window) -> pl.DataFrame:
        points = facts.points_of(window.enterprises)
        return read_around(self._readings, points, window, latest=facts.as_of)

    def _run(self, facts: Facts, window: Window, readings: pl.DataFrame) -> Results:
        return assess(
            readings.lazy(),
            registry_of(facts.registry, window.enterprises),
            self._law.factors,
            window=(window.first_day, window.end_day),
            as_of=facts.as_of,
        ).collect()

    def _committed(
        self, lease: Lease, facts: Facts, window: Window, results: Results, claimed: pl.DataFrame
    ) -> Done:
        of_window = (list(window.enterprises), window.first_day, window.end_day)
        before, points = self._state.enterprise_days(*of_window), self._state.point_days(*of_window)
        span = day_start(window.first_day), day_start(window.end_day)
        blocks = self._state.blocks(list(window.enterprises), *span)
        revisions = self._revisions((before, points, blocks), results)
        spans = pl.DataFrame({"enterprise": list(window.enterprises)}).with_columns(
            start=pl.lit(day_start(window.first_day), pl.Int64),
            end=pl.lit(day_start(window.end_day), pl.Int64),
        )
        self._state.commit_assessment(
            lease,
            AssessmentCommit(
                at=facts.as_of,
                claimed=claimed.select(*_PAIR, "generation"),
                point_days=results.point_days,
                enterprise_days=results.enterprise_days,
                blocks=results.blocks,
                block_spans=spans,
                revisions=revisions,
                scope_days=results.scope_days,
                events=results.events,
                regions=self._regions_of(window.enterprises),
                changed=changed_pairs(before, results.enterprise_days, revisions),
                also_due=newly_settled(points, results.point_days),
            ),
        )
        size = len(window.enterprises) * (window.end_day - window.first_day)
        return Done(size, len(revisions), results)

    def _revisions(self, was: Days, results: Results) -> list[Revision]:
        """What was published of the days and is now different."""
        published = published_pairs(was[0])
        if published.is_empty():
            return []

        def within(days: pl.DataFrame, points: pl.DataFrame, blocks: pl.DataFrame) -> Days:
            of_days = (frame.join(published, on=_PAIR, how="semi") for frame in (days, points))
            return (*of_days, blocks)  # type: ignore[return-value]  # two frames and one are three

        now = (results.enterprise_days, results.point_days, results.blocks)
        changes = changed_days(within(*was), within(*now))
        corrected = corrected_factors(self._state.restatements()) if changes else {}
        return [
            Revision(enterprise, day, cause_of(old, new, corrected), old, new)
            for enterprise, day, old, new in changes
        ]

    def _regions_of(self, enterprises: Sequence[str]) -> dict[str, list[str]]:
        registry = self._state.registry()
        mine = registry.enterprises.filter(pl.col("enterprise").is_in(list(enterprises)))
        found = members_of(registry.regions, mine).group_by("enterprise", maintain_order=True).agg("region")
        return dict(found.iter_rows())


def newly_settled(before: pl.DataFrame, after: pl.DataFrame) -> list[str]:
    """Enterprises of points whose days without anything pending are new or different: what is missing of a
    point is judged although another point, a month's coal, keeps the enterprise's day open."""
    was, now = (frame.filter(pl.col("pending_s") == 0) for frame in (before, after))
    differing = [
        one.join(other, on=one.columns, how="anti", nulls_equal=True)["enterprise"]
        for one, other in ((was, now), (now, was))
    ]
    return sorted({*differing[0], *differing[1]})


def changed_pairs(before: pl.DataFrame, after: pl.DataFrame, revisions: Sequence[Revision]) -> pl.DataFrame:
    """enterprise, day of the days whose published figures are new, different, or published no more.

    Only they concern rules and regions: a day that is still open is nobody's verdict yet.
    """
    was, now = (frame.filter("published").drop("recheck_at") for frame in (before, after))
    differing = [
        one.join(other, on=one.columns, how="anti", nulls_equal=True).select(_PAIR)
        for one, other in ((was, now), (now, was))
    ]
    schema = {"enterprise": pl.String, "day": pl.Int32}
    revised = pl.DataFrame([(r.enterprise, r.day) for r in revisions], schema=schema, orient="row")
    return pl.concat([*differing, revised]).unique().sort(_PAIR)


def _within(window: Window) -> pl.Expr:
    return pl.col("enterprise").is_in(list(window.enterprises)) & pl.col("day").is_between(
        window.first_day, window.end_day, closed="left"
    )
