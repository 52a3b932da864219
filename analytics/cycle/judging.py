"""Judging: progress and silence, verdicts, alerts, explanations and notices, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from analytics.cycle.facts import Facts, Law
from analytics.explanation import explain_progress, explain_silence
from analytics.lifecycle import advance, endings
from analytics.notices import notices_of
from analytics.quota import quota_progress, year_days
from analytics.rules import judgements_from_progress, judgements_from_silence, quota_subject
from analytics.silence import device_silence
from nengshao.domain.alerts import Alert, AlertState
from nengshao.domain.rules import Judgement, Measure
from nengshao.domain.time import date_of, day_start
from nengshao.frames import PROGRESS
from nengshao.ports import JudgementCommit, Lease, StateStore

_ENTERPRISES_AT_ONCE: Final = 500  # a year of their days fits in memory


class Judging:
    """Judges the enterprises of one partition."""

    def __init__(self, state: StateStore, law: Law, *, partition: int) -> None:
        self._state, self._law, self._partition = state, law, partition

    def judge_due(self, lease: Lease, facts: Facts) -> tuple[int, int]:
        """Progress and its verdicts of every enterprise whose results changed: (enterprises, steps)."""
        due = self._state.due_judgements(self._partition)
        names = sorted(due)
        steps = 0
        for start in range(0, len(names), _ENTERPRISES_AT_ONCE):
            chunk = {name: due[name] for name in names[start : start + _ENTERPRISES_AT_ONCE]}
            steps += self._judge_chunk(lease, facts, chunk)
        return len(names), steps

    def _judge_chunk(self, lease: Lease, facts: Facts, due: Mapping[str, int]) -> int:
        names = list(due)
        quotas = facts.registry.quotas.filter(pl.col("enterprise").is_in(names))
        progress, judgements = self._progress(facts, names, quotas)
        rules = {n: r for n, r in self._law.rules.items() if r.measure is not Measure.SILENT_SECONDS}
        active = [
            alert
            for alert in self._state.open_alerts(self._partition)
            if alert.enterprise in due and alert.rule in rules
        ]
        rows = {(row["enterprise"], quota_subject(row)): row for row in progress.to_dicts()}
        # A quota that was withdrawn, or an enterprise that left, is judged no more: its alert ends.
        judgements += endings(active, judgements, at=facts.as_of)
        alerts, steps = advance(active, judgements, rules, facts.as_of)
        explanations = {
            step.alert.alert_id: self._explained(facts, step.alert, judgements, rows)
            for step in steps
            if step.alert.state is AlertState.FIRING
        }
        commit = JudgementCommit(
            at=facts.as_of,
            enterprises=due,
            progress=progress,
            alerts=_changed(active, alerts),
            transitions=steps,
            explanations=explanations,
            notices=notices_of(steps, self._law.rules, facts.registry.enterprises, as_of=facts.as_of),
        )
        self._state.commit_judgement(lease, commit)
        return len(steps)

    def _progress(
        self, facts: Facts, names: Sequence[str], quotas: pl.DataFrame
    ) -> tuple[pl.DataFrame, list[Judgement]]:
        """PROGRESS now, and judgements: first of the periods judged last time whose figures have changed
        since (they correct), then of the periods now."""
        enterprises = facts.registry.enterprises
        years = quotas.filter(pl.col("year") <= date_of(facts.today).year)["year"].unique().to_list()
        first = min((year_days(year)[0] for year in years), default=facts.today)
        days = self._state.enterprise_days(names, first, facts.today + 1).lazy()
        blocks = self._state.blocks(names, day_start(first), day_start(facts.today + 1)).lazy()
        now = quota_progress(days, blocks, quotas, enterprises, today=facts.today).collect()

        key = ["enterprise", "year", "basis", "scope"]
        previous = self._state.progress(names)
        limits = previous.drop_nulls("as_of_day").select(*key, until="as_of_day")
        again = quota_progress(
            days, blocks, quotas.join(limits, on=key), enterprises, today=facts.today
        ).collect()
        revised = again.join(
            previous, on=[*key, "quota_g", "used_g", "low_g", "high_g"], how="anti", nulls_equal=True
        )
        rules = self._law.rules.values()
        return now, [
            *judgements_from_progress(revised, rules, corrects=True),
            *judgements_from_progress(now, rules),
        ]

    def _explained(
        self,
        facts: Facts,
        alert: Alert,
        judgements: Sequence[Judgement],
        progress: Mapping[tuple[str, str], Mapping[str, Any]],
    ) -> Mapping[str, Any]:
        row = progress[alert.enterprise, alert.subject]
        first, end = year_days(row["year"])
        return explain_progress(
            _judgement_of(alert, judgements),
            self._law.rules[alert.rule],
            row,
            point_days=self._state.point_days(alert.enterprise, first, end),
            blocks=self._state.blocks([alert.enterprise], day_start(first), day_start(end)),
            points=facts.points_of([alert.enterprise]),
            factors=self._law.factors,
        )

    def judge_silence(self, lease: Lease, facts: Facts) -> int:
        """Silence of every device, in every cycle; alerts of withdrawn rules end here too."""
        silence = device_silence(
            self._state.last_seen(self._partition),
            facts.registry.devices,
            facts.registry.enterprises,
            now=facts.as_of,
        )
        judgements = judgements_from_silence(silence, self._law.rules.values(), at=facts.as_of)
        active = [
            alert
            for alert in self._state.open_alerts(self._partition)
            if alert.rule not in self._law.rules
            or self._law.rules[alert.rule].measure is Measure.SILENT_SECONDS
        ]
        known = [alert for alert in active if alert.rule in self._law.rules]
        judgements += endings(known, judgements, at=facts.as_of)
        alerts, steps = advance(active, judgements, self._law.rules, facts.as_of)
        rows = {(row["enterprise"], row["device"]): row for row in silence.to_dicts()}
        explanations = {
            step.alert.alert_id: explain_silence(
                _judgement_of(step.alert, judgements),
                self._law.rules[step.alert.rule],
                rows[step.alert.enterprise, step.alert.subject],
                facts.points_of([step.alert.enterprise]),
            )
            for step in steps
            if step.alert.state is AlertState.FIRING
        }
        commit = JudgementCommit(
            at=facts.as_of,
            enterprises={},
            progress=PROGRESS.empty(),
            alerts=_changed(active, alerts),
            transitions=steps,
            explanations=explanations,
            notices=notices_of(steps, self._law.rules, facts.registry.enterprises, as_of=facts.as_of),
        )
        if commit.alerts:
            self._state.commit_judgement(lease, commit)
        return len(steps)


def _changed(before: Sequence[Alert], after: Sequence[Alert]) -> list[Alert]:
    known = set(before)
    return [alert for alert in after if alert not in known]


def _judgement_of(alert: Alert, judgements: Sequence[Judgement]) -> Judgement:
    """The judgement that an alert has just been moved by: the last of its subject."""
    own = [
        j
        for j in judgements
        if (j.rule, j.enterprise, j.subject) == (alert.rule, alert.enterprise, alert.subject)
    ]
    return max(own, key=lambda judgement: judgement.at)
