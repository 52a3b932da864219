"""The worker of one partition's assessment: its lease, its cycle, and what metrics say of it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from analytics.cycle import Cycle, RegionCycle
from nengshao.domain.alerts import AlertState
from nengshao.domain.errors import LeaseLost
from nengshao.ports import Lease, StateStore
from nengshao.telemetry import Telemetry

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Assessor:
    """One partition's cycle under its lease: claims, assesses, judges, tells."""

    cycle: Cycle | RegionCycle
    state: StateStore
    telemetry: Telemetry
    rules: Sequence[str]
    partition: int
    holder: str
    ttl_s: float

    def run_once(self, lease: Lease | None) -> Lease | None:
        """One cycle if the partition is ours; the lease as it stands afterwards."""
        held = self.telemetry.lease_held.labels("assess", str(self.partition))
        try:
            lease = self._renewed(lease)
            held.set(0 if lease is None else 1)
            if lease is not None:
                self._run(lease)
        except LeaseLost:
            _LOG.warning("assessment of partition %d has passed to another holder", self.partition)
            held.set(0)
            return None
        return lease

    def _run(self, lease: Lease) -> None:
        with self.telemetry.cycle_seconds.time():
            report = self.cycle.run_once(lease)
        self.telemetry.dirty_days.set(report.days)
        if not report.is_projected:
            self.telemetry.retries.labels("projection").inc()
        alerts = Counter((a.rule, a.state) for a in self.state.open_alerts(self.partition))
        for rule, state in product(self.rules, (AlertState.PENDING, AlertState.FIRING)):
            self.telemetry.alerts.labels(str(self.partition), rule, state.value).set(alerts[rule, state])

    def _renewed(self, lease: Lease | None) -> Lease | None:
        if lease is None:
            return self.state.acquire_lease("assess", self.partition, self.holder, self.ttl_s)
        return self.state.renew_lease(lease, self.ttl_s)
