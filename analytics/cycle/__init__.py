"""The assessment cycle: the only package here that sees a store.

Dirty days in; readings of what they need; `assess`; results, revisions and the clearing of exactly what was
claimed in one transaction (`days`); then verdicts, alerts and notices in another (`judging`); then the
projections (`projecting`). `gathering` reads a window with enough around it; `restating` marks what a changed
factor reaches. Regions are a partition of their own (`regions`): their days are sums of their members'.
"""

from __future__ import annotations

from dataclasses import dataclass

from analytics.cycle.days import DayWork
from analytics.cycle.facts import Facts, own_registry
from analytics.cycle.judging import Judging
from analytics.cycle.projecting import Projecting
from analytics.cycle.regions import RegionDays
from analytics.cycle.restating import Restating
from analytics.law import Law
from nengshao.domain.codes import REGION_PARTITION
from nengshao.domain.errors import StoreUnavailable
from nengshao.domain.time import accounting_day
from nengshao.ports import Clock, Lease, ReadingStore, ResultStore, StateStore

__all__ = ["Cycle", "CycleReport", "RegionCycle"]


@dataclass(frozen=True, slots=True)
class CycleReport:
    """What one cycle did. `is_projected` False: the ResultStore was away, its to-dos remain."""

    as_of: int
    days: int  # enterprise-days computed
    revisions: int
    judged: int  # enterprises
    steps: int  # of alerts
    projected: int  # enterprise-days
    is_projected: bool


class Cycle:
    """One partition's assessment.

    `batch_days`: dirty enterprise-days claimed at once. `chunk_days`: enterprise-days read and computed at
    once; it bounds memory (4 000 days × 10 points × 96 readings are 3.8 M readings). `span_days`: longest
    run of days in one chunk.
    """

    def __init__(
        self,
        state: StateStore,
        readings: ReadingStore,
        results: ResultStore,
        clock: Clock,
        law: Law,
        *,
        partition: int = 0,
        partitions: int = 1,
        batch_days: int = 20_000,
        chunk_days: int = 4_000,
        span_days: int = 31,
    ) -> None:
        self._state, self._clock = state, clock
        self._partition, self._partitions = partition, partitions
        self._restating = Restating(state, law)
        self._days = DayWork(
            state,
            readings,
            law,
            partition=partition,
            batch_days=batch_days,
            chunk_days=chunk_days,
            span_days=span_days,
        )
        self._judging = Judging(state, law, partition=partition)
        self._projecting = Projecting(state, results, self._days, partition=partition, batch_days=batch_days)

    def run_once(self, lease: Lease) -> CycleReport:
        """Everything that is due now: days, judgements, projections.

        Raises: LeaseLost when another holder has the partition; StoreUnavailable when readings or state are
        away, then what is committed stays and the rest is still due. The ResultStore's absence is reported.
        """
        facts = _facts(self._state, self._clock, self._partition, self._partitions)
        self._restating.restate(self._state.registry(), at=facts.as_of)
        self._projecting.begin()
        days = revisions = 0
        for done in self._days.assess_due(lease, facts):
            days, revisions = days + done.days, revisions + done.revisions
            self._projecting.keep_load(done.results)
        judged, steps = self._judging.judge_due(lease, facts)
        steps += self._judging.judge_silence(lease, facts)
        projected = _projected(self._projecting, facts)
        return CycleReport(facts.as_of, days, revisions, judged, steps, projected or 0, projected is not None)


class RegionCycle:
    """The assessment of the regions: their days are sums, all else is as an enterprise's."""

    def __init__(
        self, state: StateStore, results: ResultStore, clock: Clock, law: Law, *, batch_days: int = 20_000
    ) -> None:
        self._state, self._clock = state, clock
        self._days = RegionDays(state, partition=REGION_PARTITION, batch_days=batch_days)
        self._judging = Judging(state, law, partition=REGION_PARTITION)
        self._projecting = Projecting(state, results, None, partition=REGION_PARTITION, batch_days=batch_days)

    def run_once(self, lease: Lease) -> CycleReport:
        """Everything that is due now. Raises: LeaseLost, StoreUnavailable."""
        facts = _facts(self._state, self._clock, REGION_PARTITION, 1)
        days, revisions = self._days.assess_due(lease, facts)
        judged, steps = self._judging.judge_due(lease, facts)
        projected = _projected(self._projecting, facts)
        return CycleReport(facts.as_of, days, revisions, judged, steps, projected or 0, projected is not None)


def _facts(state: StateStore, clock: Clock, partition: int, partitions: int) -> Facts:
    as_of = clock.now()
    registry = state.registry()
    own = own_registry(registry, partition, partitions)
    return Facts(own, as_of, accounting_day(as_of), registry.enterprises)


def _projected(projecting: Projecting, facts: Facts) -> int | None:
    """How many enterprise-days were projected; None: the ResultStore is away."""
    try:
        return projecting.project_due(facts)
    except StoreUnavailable:
        return None
