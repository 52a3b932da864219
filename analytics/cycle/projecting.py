"""Projections: what the ResultStore shows, brought up to date with the books."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from analytics.assessment import Results
from analytics.cycle.days import DayWork
from analytics.cycle.facts import Facts
from nengshao.domain.alerts import AlertState
from nengshao.domain.errors import StoreUnavailable
from nengshao.ports import ResultStore, StateStore

_PAIR: Final = ["enterprise", "day"]
_ENTERPRISES_AT_ONCE: Final = 500  # written together


class Projecting:
    """Writes load and figures of one partition."""

    def __init__(
        self,
        state: StateStore,
        results: ResultStore,
        days: DayWork | None,  # None: subjects without readings of their own, so without load
        *,
        partition: int,
        batch_days: int,
    ) -> None:
        self._state, self._results, self._days = state, results, days
        self._partition, self._batch_days = partition, batch_days
        self._loaded: set[tuple[str, int]] = set()  # days whose load this cycle has written already

    def begin(self) -> None:
        """A new cycle: what an earlier one wrote may be out of date."""
        self._loaded.clear()

    def keep_load(self, results: Results) -> None:
        """The load while it is at hand. If the store is away, `project_due` computes it again later."""
        try:
            self._results.write_load(results.load)
        except StoreUnavailable:
            return
        self._loaded.update(results.enterprise_days.select(_PAIR).iter_rows())

    def project_due(self, facts: Facts) -> int:
        """Bring the ResultStore up to date; the number of enterprise-days. Raises: StoreUnavailable."""
        total = 0
        while due := self._state.due_projections(self._partition, self._batch_days):
            pairs = pl.DataFrame(list(due), schema={"enterprise": pl.String, "day": pl.Int32}, orient="row")
            if self._days is not None:
                self._load_again(self._days, facts, pairs.filter([pair not in self._loaded for pair in due]))
            self._write_figures(facts, pairs)
            self._state.clear_projections(due)
            total += len(due)
        return total

    def _load_again(self, days: DayWork, facts: Facts, lacking: pl.DataFrame) -> None:
        for window in days.windows(lacking):
            self._results.write_load(days.assessed(facts, window).load)

    def _write_figures(self, facts: Facts, pairs: pl.DataFrame) -> None:
        names = pairs["enterprise"].unique().sort().to_list()
        alerts = self._alert_counts(facts.as_of, names)
        for start in range(0, len(names), _ENTERPRISES_AT_ONCE):
            chunk = names[start : start + _ENTERPRISES_AT_ONCE]
            own = pairs.filter(pl.col("enterprise").is_in(chunk))
            first, last = own["day"].min(), own["day"].max()
            days = self._state.enterprise_days(chunk, first, last + 1)  # type: ignore[arg-type,operator]  # Int32 columns
            self._results.write_figures(
                days.join(own, on=_PAIR, how="semi"),
                self._state.progress(chunk),
                alerts.filter(pl.col("enterprise").is_in(chunk)),
                self._state.intensity(chunk),
            )

    def _alert_counts(self, at: int, names: Sequence[str]) -> pl.DataFrame:
        """enterprise, at, firing, insufficient: a row for each of these enterprises."""
        counts = {name: [0, 0] for name in names}
        for alert in self._state.open_alerts(self._partition):
            if alert.enterprise in counts:
                counts[alert.enterprise][0] += alert.state is AlertState.FIRING
                counts[alert.enterprise][1] += alert.is_insufficient
        schema = {"enterprise": pl.String, "at": pl.Int64, "firing": pl.Int64, "insufficient": pl.Int64}
        return pl.DataFrame([(name, at, *both) for name, both in counts.items()], schema=schema, orient="row")
