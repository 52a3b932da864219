"""Judging: how subjects stand, verdicts, alerts, explanations and notices, in one transaction."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from analytics.balance import first_day_of_balance
from analytics.cycle.explaining import Explaining
from analytics.cycle.facts import Facts, registry_of
from analytics.cycle.history import figures_of
from analytics.law import Law
from analytics.lifecycle import advance, endings
from analytics.notices import notices_of
from analytics.rules import judgements_of
from analytics.silence import device_silence, measures_of_silence
from analytics.standing import Figures, Standing, measures_on, standing_of
from nengshao.domain.alerts import Alert
from nengshao.domain.rules import Judgement, Measure, Rule, Verdict
from nengshao.domain.time import DAY_S, accounting_day, day_number
from nengshao.frames import MEASURES, PROGRESS
from nengshao.ports import JudgementCommit, Lease, StateStore
from nengshao.registry import Registry

_ENTERPRISES_AT_ONCE: Final = 500  # two years of their days fit in memory
_MONTH: Final = re.compile(r"\d{4}-\d{2}/", re.ASCII)
_KEY: Final = list(MEASURES.key)
_SUBJECT: Final = ["enterprise", "measure", "subject"]
_FIGURES: Final = ["value", "low", "high"]


class Judging:
    """Judges the enterprises of one partition, or the regions."""

    def __init__(self, state: StateStore, law: Law, *, partition: int) -> None:
        self._state, self._law, self._partition = state, law, partition
        self._explaining = Explaining(state, law, partition=partition)
        self._rules, self._silence_rules = (
            {
                name: rule
                for name, rule in law.rules.items()
                if (rule.measure is Measure.SILENT_SECONDS) is is_silence
            }
            for is_silence in (False, True)
        )

    def judge_due(self, lease: Lease, facts: Facts) -> tuple[int, int]:
        """Every subject of which something published or stated has changed: (subjects, steps)."""
        due = self._state.due_judgements(self._partition)
        names = sorted(due)
        steps = 0
        for start in range(0, len(names), _ENTERPRISES_AT_ONCE):
            chunk = {name: due[name] for name in names[start : start + _ENTERPRISES_AT_ONCE]}
            steps += self._judge_chunk(lease, facts, chunk)
        return len(names), steps

    def _judge_chunk(self, lease: Lease, facts: Facts, due: Mapping[str, int]) -> int:
        registry = registry_of(facts.registry, list(due))
        active = [a for a in self._open_alerts(self._rules) if a.enterprise in due]
        recent_from = min([first_day_of_balance(facts.today), *_months_of(active)])
        figures = figures_of(
            self._state, registry, list(due), today=facts.today, recent_from=recent_from, alerts=active
        )
        standing = standing_of(figures, registry, self._law, today=facts.today)
        before = self._state.measures(list(due))
        revised = self._revised(figures, registry, standing, before, active)
        region_of = _regions(facts)
        rules = self._rules.values()
        now = judgements_of(standing.measures, rules, region_of=region_of)
        judgements = [
            *judgements_of(revised, rules, region_of=region_of, corrects=True),
            *self._missed(figures, registry, before, now, region_of),
            *now,
        ]
        # What is judged no more, a quota that was withdrawn or an enterprise that left: its alert ends.
        judgements += endings(active, judgements, at=facts.as_of)
        alerts, steps = advance(active, judgements, self._rules, facts.as_of)
        frames = {"PROGRESS": standing.progress, "INTENSITY": standing.intensity}
        commit = JudgementCommit(
            at=facts.as_of,
            enterprises=due,
            progress=standing.progress,
            intensity=standing.intensity,
            measures=standing.measures,
            alerts=_changed(active, alerts),
            transitions=steps,
            explanations=self._explaining.explanations(
                steps, judgements, self._rules, facts.registry, frames
            ),
            notices=notices_of(steps, self._law.rules, facts.registry, as_of=facts.as_of),
        )
        self._state.commit_judgement(lease, commit)
        return len(steps)

    def _missed(
        self,
        figures: Figures,
        registry: Registry,
        before: pl.DataFrame,
        now: Sequence[Judgement],
        region_of: Mapping[str, str],
    ) -> list[Judgement]:
        """Judgements of the days between the last one judged and now, as far back as a hold reaches: a breach
        lasts in event time, however seldom a cycle runs."""
        last = {(e, m, s): at for e, m, s, at in before.select(_KEY).iter_rows()}
        missed: dict[tuple[Rule, int], set[tuple[str, str]]] = {}
        for judgement in now:
            rule = self._rules[judgement.rule]
            known = last.get((judgement.enterprise, rule.measure.value, judgement.subject), 0)
            since = max(known, judgement.at - rule.hold_s - DAY_S)
            if judgement.verdict is Verdict.BREACH and rule.hold_s:
                for day in range(accounting_day(since), accounting_day(judgement.at - 1)):
                    missed.setdefault((rule, day), set()).add((judgement.enterprise, judgement.subject))
        found: list[Judgement] = []
        for (rule, day), subjects in sorted(missed.items(), key=lambda item: (item[0][1], item[0][0].name)):
            measures = measures_on(figures, registry, self._law, rule.measure, today=day)
            found += [
                judgement
                for judgement in judgements_of(measures, [rule], region_of=region_of)
                if (judgement.enterprise, judgement.subject) in subjects
            ]
        return found

    def _revised(
        self,
        figures: Figures,
        registry: Registry,
        standing: Standing,
        before: pl.DataFrame,
        active: Sequence[Alert],
    ) -> pl.DataFrame:
        """MEASURES judged last time whose figures have changed since, as they are now: they correct.

        What was judged on an earlier day is looked at again where an alert stands on it.
        """
        stood_on = pl.DataFrame(
            [(a.enterprise, self._rules[a.rule].measure.value, a.subject) for a in active],
            schema=dict.fromkeys(_SUBJECT, pl.String), orient="row",
        )  # fmt: skip
        moved_on = before.join(standing.measures, on=_KEY, how="anti").join(stood_on, on=_SUBJECT, how="semi")
        days = moved_on.select("measure", day=accounting_day(pl.col("at") - 1)).unique().sort(pl.all())
        again = [
            measures_on(figures, registry, self._law, Measure(measure), today=day)
            for measure, day in days.iter_rows()
        ]
        now = pl.concat([standing.measures, *again]).unique(_KEY, maintain_order=True)
        known = now.join(before.select(_KEY), on=_KEY, how="semi")
        return known.join(before, on=[*_KEY, *_FIGURES], how="anti", nulls_equal=True)

    def judge_silence(self, lease: Lease, facts: Facts) -> int:
        """Silence of every device, in every cycle; alerts of withdrawn rules end here too."""
        seen = self._state.last_seen(self._partition)
        silence = device_silence(seen, facts.registry.devices, facts.registry.enterprises, now=facts.as_of)
        measures = measures_of_silence(silence, at=facts.as_of)
        rules = self._silence_rules
        judgements = judgements_of(measures, rules.values(), region_of=_regions(facts))
        known = self._open_alerts(rules)
        withdrawn = [a for a in self._state.open_alerts(self._partition) if a.rule not in self._law.rules]
        judgements += endings(known, judgements, at=facts.as_of)
        alerts, steps = advance([*known, *withdrawn], judgements, rules, facts.as_of)
        if not (changed := _changed([*known, *withdrawn], alerts)):
            return 0
        commit = JudgementCommit(
            at=facts.as_of,
            enterprises={},
            progress=PROGRESS.empty(),
            alerts=changed,
            transitions=steps,
            explanations=self._explaining.explanations(steps, judgements, rules, facts.registry, {}),
            notices=notices_of(steps, self._law.rules, facts.registry, as_of=facts.as_of),
        )
        self._state.commit_judgement(lease, commit)
        return len(steps)

    def _open_alerts(self, rules: Mapping[str, Rule]) -> list[Alert]:
        return [alert for alert in self._state.open_alerts(self._partition) if alert.rule in rules]


def _months_of(alerts: Sequence[Alert]) -> list[int]:
    """First days of the months that alerts are about (`2025-03/…`): these are judged until they end."""
    months = {alert.subject[:7] for alert in alerts if _MONTH.match(alert.subject)}
    return [day_number(dt.date.fromisoformat(f"{month}-01")) for month in months]


def _regions(facts: Facts) -> dict[str, str]:
    return dict(facts.everyone.select("enterprise", "region").iter_rows())


def _changed(before: Sequence[Alert], after: Sequence[Alert]) -> list[Alert]:
    known = set(before)
    return [alert for alert in after if alert not in known]
