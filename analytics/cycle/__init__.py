"""The assessment cycle: the only package here that sees a store.

Dirty days in; readings of what they need; `assess`; results, revisions and the clearing of exactly what was
claimed in one transaction (`days`); then verdicts, alerts and notices in another (`judging`); then the
projections (`projecting`). `gathering` reads a window with enough around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analytics.cycle.days import DayWork
from analytics.cycle.facts import Facts, Law, own_registry
from analytics.cycle.judging import Judging
from analytics.cycle.projecting import Projecting
from nengshao.domain.errors import StoreUnavailable
from nengshao.domain.factors import FactorTable
from nengshao.domain.rules import Rule
from nengshao.domain.time import accounting_day
from nengshao.ports import Clock, Lease, ReadingStore, ResultStore, StateStore

__all__ = ["Cycle", "CycleReport"]


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

    def __init__(  # noqa: PLR0917 - the list of what it depends on
        self,
        state: StateStore,
        readings: ReadingStore,
        results: ResultStore,
        clock: Clock,
        factors: FactorTable,
        rules: Sequence[Rule],
        *,
        partition: int = 0,
        partitions: int = 1,
        batch_days: int = 20_000,
        chunk_days: int = 4_000,
        span_days: int = 31,
    ) -> None:
        law = Law(factors, {rule.name: rule for rule in rules})
        self._state, self._clock = state, clock
        self._partition, self._partitions = partition, partitions
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
        as_of = self._clock.now()
        registry = own_registry(self._state.registry(), self._partition, self._partitions)
        facts = Facts(registry, as_of, accounting_day(as_of))
        self._projecting.begin()
        days = revisions = 0
        for done in self._days.assess_due(lease, facts):
            days, revisions = days + done.days, revisions + done.revisions
            self._projecting.keep_load(done.results)
        judged, steps = self._judging.judge_due(lease, facts)
        steps += self._judging.judge_silence(lease, facts)
        try:
            projected, is_projected = self._projecting.project_due(facts), True
        except StoreUnavailable:
            projected, is_projected = 0, False
        return CycleReport(as_of, days, revisions, judged, steps, projected, is_projected)
