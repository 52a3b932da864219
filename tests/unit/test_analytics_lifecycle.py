"""The state machine of alerts, case by case: b breach, i insufficient data, o ok, c a correcting ok."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analytics.lifecycle import advance, endings
from analytics.rules import load_rulebook
from nengshao.domain.alerts import Alert, AlertState, Transition
from nengshao.domain.rules import Judgement, Rule, Verdict

RULE: Rule = next(rule for rule in load_rulebook() if rule.name == "total-energy-ahead-of-pace")
RULES = {RULE.name: RULE}  # hold: 2 d
D = 86_400
VERDICTS = {"b": Verdict.BREACH, "i": Verdict.INSUFFICIENT, "o": Verdict.OK, "c": Verdict.OK}


def judgement(letter: str, day: float, subject: str = "s") -> Judgement:
    return Judgement(
        RULE.name, "E", subject, VERDICTS[letter], round(day * D), 1.0, 1.0, 1.0, 1.0,
        is_confirmed=True, corrects=letter == "c",
    )  # fmt: skip


def play(story: str, rules: dict[str, Rule] | None = None) -> tuple[list[Alert], list[Transition]]:
    """One cycle a day, each with the story's next letter; `.` is a day without a judgement."""
    alerts: list[Alert] = []
    steps: list[Transition] = []
    for day, letter in enumerate(story):
        given = [] if letter == "." else [judgement(letter, day)]
        alerts, taken = advance(alerts, given, rules or RULES, day * D)
        steps += taken
    return alerts, steps


@pytest.mark.parametrize(
    ("story", "states"),
    [
        ("o", []),
        ("i", []),
        ("b", ["pending"]),
        ("bb", ["pending"]),
        ("bbb", ["pending", "firing"]),
        ("b.b", ["pending", "firing"]),  # two days of event time, however many cycles
        ("bo", ["pending", "resolved"]),
        ("bobb", ["pending", "resolved", "pending"]),  # the hold begins anew
        ("bbbo", ["pending", "firing", "resolved"]),
        ("bibb", ["pending"]),  # only b→b counts: one day
        ("bibbb", ["pending", "firing"]),  # 数据不足 paused the hold and forgot nothing
        ("bbbiiii", ["pending", "firing"]),  # and never resolves
        ("bbbio", ["pending", "firing", "resolved"]),
    ],
)
def test_an_alert_goes_through_its_states(story: str, states: list[str]) -> None:
    _, steps = play(story)
    assert [step.alert.state.value for step in steps] == states


def test_insufficient_data_is_a_flag_beside_the_state() -> None:
    (alert,), _ = play("bbbi")
    assert (alert.state, alert.is_insufficient) == (AlertState.FIRING, True)
    (alert,), _ = play("bbbib")
    assert (alert.state, alert.is_insufficient) == (AlertState.FIRING, False)


def test_an_ok_that_corrects_the_breach_closes_it_as_corrected() -> None:
    alerts, _ = play("bbb")
    (ended,), (step,) = advance(alerts, [judgement("c", 2)], RULES, 9 * D)
    assert (ended.state, step.reason, step.before) == (AlertState.CORRECTED, "corrected", AlertState.FIRING)


def test_a_correction_of_an_earlier_period_corrects_and_an_ok_of_a_later_one_resolves() -> None:
    alerts, _ = play("bbb")
    assert advance(alerts, [judgement("c", 1)], RULES, 0)[0][0].state is AlertState.CORRECTED
    assert advance(alerts, [judgement("o", 3)], RULES, 0)[0][0].state is AlertState.RESOLVED


def test_an_older_judgement_without_a_correction_is_passed_over() -> None:
    alerts, _ = play("bbb")
    assert advance(alerts, [judgement("o", 1)], RULES, 0) == (alerts, [])


def test_the_same_judgement_twice_changes_nothing() -> None:
    alerts, _ = play("bb")
    assert advance(alerts, [judgement("b", 1)] * 3, RULES, 0) == (alerts, [])


def test_a_rule_without_hold_fires_at_once_through_pending() -> None:
    rules = {RULE.name: replace(RULE, hold_s=0)}
    (alert,), steps = play("b", rules)
    assert [s.alert.state.value for s in steps] == ["pending", "firing"]
    assert alert.fired_at == 0


def test_an_alert_has_the_same_id_wherever_it_is_computed() -> None:
    assert play("bb")[0][0].alert_id == play("bbb")[0][0].alert_id
    assert play("bb")[0][0].alert_id != play(".bb")[0][0].alert_id


def test_subjects_do_not_touch_each_other() -> None:
    given = [judgement("b", 0, "x"), judgement("b", 0, "y"), judgement("o", 1, "x")]
    alerts, _ = advance([], given, RULES, 0)
    assert {a.subject: a.state for a in alerts} == {"x": AlertState.RESOLVED, "y": AlertState.PENDING}


def test_the_order_in_which_judgements_are_given_does_not_matter() -> None:
    given = [judgement("b", 0), judgement("b", 1), judgement("b", 2)]
    assert advance([], given, RULES, 0) == advance([], given[::-1], RULES, 0)


def test_an_alert_whose_rule_was_withdrawn_is_resolved() -> None:
    alerts, _ = play("bbb")
    (ended,), (step,) = advance(alerts, [], {}, 5 * D)
    assert (ended.state, step.reason) == (AlertState.RESOLVED, "rule_withdrawn")


def test_an_alert_whose_subject_is_gone_ends() -> None:
    alerts, _ = play("bbb")
    ends = endings(alerts, [], at=5 * D)
    assert advance(alerts, ends, RULES, 5 * D)[0][0].state is AlertState.RESOLVED
    assert endings(alerts, [judgement("b", 3)], at=5 * D) == []


def test_the_confirmation_of_the_last_breach_is_the_alerts() -> None:
    unsure = replace(judgement("b", 1), is_confirmed=False)
    (alert,), _ = advance(play("b")[0], [unsure], RULES, 0)
    assert not alert.is_confirmed
