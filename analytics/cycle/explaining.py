"""Explanations of alerts that fire: what they rest on, opened and frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from analytics.cycle.history import blocks_of_regions
from analytics.explanation.alerts import explain_measure
from analytics.explanation.explainer import Explainer, Frames, days_needed
from analytics.explanation.nodes import Node
from analytics.law import Law
from analytics.regions import members_of
from nengshao.domain.alerts import Alert, AlertState, Transition
from nengshao.domain.codes import is_region_code
from nengshao.domain.rules import Judgement, Rule
from nengshao.domain.time import day_start
from nengshao.ports import StateStore
from nengshao.registry import Registry


class Explaining:
    """Opens the figures that alerts fire on. Only few do at a time: what they need is read for each."""

    def __init__(self, state: StateStore, law: Law, *, partition: int) -> None:
        self._state, self._partition = state, partition
        self._explainer = Explainer(law)

    def explanations(
        self,
        steps: Sequence[Transition],
        judgements: Sequence[Judgement],
        rules: Mapping[str, Rule],
        registry: Registry,
        standing: Frames,
    ) -> dict[str, Mapping[str, Any]]:
        """alert_id -> explanation of every alert that fires here. `standing`: PROGRESS, INTENSITY."""
        found: dict[str, Mapping[str, Any]] = {}
        for alert in (step.alert for step in steps if step.alert.state is AlertState.FIRING):
            judgement, rule = judgement_of(alert, judgements), rules[alert.rule]
            tree = self._tree(judgement, rule, registry, standing)
            found[alert.alert_id] = explain_measure(judgement, rule, tree=tree)
        return found

    def _tree(self, judgement: Judgement, rule: Rule, registry: Registry, standing: Frames) -> Node | None:
        row = {
            "enterprise": judgement.enterprise,
            "measure": rule.measure.value,
            "subject": judgement.subject,
            "at": judgement.at,
            "value": judgement.value,
            "low": judgement.low,
            "high": judgement.high,
            "coverage": judgement.coverage,
            "is_confirmed": judgement.is_confirmed,
        }
        mine = registry.intensity_targets.filter(pl.col("enterprise") == judgement.enterprise)
        base_years = mine["base_year"].drop_nulls().to_list()
        frames = {**standing, **self._frames(judgement.enterprise, days_needed(judgement.at, base_years))}
        return self._explainer.measure(row, frames, registry, self._members(judgement.enterprise))

    def _frames(self, subject: str, days: tuple[int, int]) -> dict[str, pl.DataFrame]:
        first, end = days
        span = day_start(first), day_start(end)
        names = [subject, *(member["enterprise"] for member in self._members(subject))]
        own_blocks = self._state.blocks(names, *span)
        regional = blocks_of_regions(self._state, [subject] if is_region_code(subject) else [], span)
        return {
            "ENTERPRISE_DAYS": self._state.enterprise_days(names, first, end),
            "SCOPE_DAYS": self._state.scope_days(names, first, end),
            "BLOCKS": pl.concat([own_blocks, regional]),
            "POINT_DAYS": self._state.point_days([subject], first, end),
            "STATISTICS": self._state.statistics([subject], first, end),
            "LAST_SEEN": self._state.last_seen(self._partition),
        }

    def _members(self, subject: str) -> Sequence[Mapping[str, Any]]:
        if not is_region_code(subject):
            return []
        registry = self._state.registry()
        members = members_of(registry.regions, registry.enterprises).filter(pl.col("region") == subject)
        return registry.enterprises.join(members, on="enterprise", how="semi").to_dicts()


def judgement_of(alert: Alert, judgements: Sequence[Judgement]) -> Judgement:
    """The judgement that an alert has just been moved by: the last of its subject."""
    own = [
        j
        for j in judgements
        if (j.rule, j.enterprise, j.subject) == (alert.rule, alert.enterprise, alert.subject)
    ]
    return max(own, key=lambda judgement: judgement.at)
