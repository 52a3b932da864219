"""The state machine of alerts, case by case: b breach, i insufficient data, o ok, c a correcting ok."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from analytics.lifecycle import advance, endings
from analytics.notices import notices_of
from analytics.rulebook_loader import load_rulebook
from nengshao.domain.alerts import Alert, AlertState, Transition
from nengshao.domain.rules import Band, Judgement, Rule, Severity, Verdict
from nengshao.ports import Notice
from tests.support import metering as m

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


def test_an_alert_whose_rule_is_switched_off_is_resolved() -> None:
    alerts, _ = play("bbb")
    off = {RULE.name: replace(RULE, is_enabled=False)}
    (ended,), (step,) = advance(alerts, endings(alerts, [], at=5 * D), off, 5 * D)
    assert (ended.state, step.reason) == (AlertState.RESOLVED, "rule_withdrawn")


def test_an_alert_whose_subject_is_gone_ends() -> None:
    alerts, _ = play("bbb")
    ends = endings(alerts, [], at=5 * D)
    assert advance(alerts, ends, RULES, 5 * D)[0][0].state is AlertState.RESOLVED
    assert endings(alerts, [judgement("b", 3)], at=5 * D) == []


def test_a_judgement_that_only_corrects_an_earlier_period_keeps_no_alert_open() -> None:
    alerts, _ = play("bbb")
    revised = replace(judgement("b", 2), corrects=True)
    (end,) = endings(alerts, [revised], at=5 * D)
    assert advance(alerts, [revised, end], RULES, 5 * D)[0][0].state is AlertState.RESOLVED


def test_the_confirmation_of_the_last_breach_is_the_alerts() -> None:
    unsure = replace(judgement("b", 1), is_confirmed=False)
    (alert,), _ = advance(play("b")[0], [unsure], RULES, 0)
    assert not alert.is_confirmed


# ------------------------------------------------------------------------------------------- severities

BANDS = (
    Band(1.0, Severity.YELLOW, "Ⅰ"), Band(1.1, Severity.ORANGE, "Ⅱ"), Band(1.2, Severity.RED, "Ⅲ"),
)  # fmt: skip
BANDED = {RULE.name: replace(RULE, bands=BANDS, hold_s=0)}


def breach(band: int, day: float, ceiling: int | None = None) -> Judgement:
    return replace(judgement("b", day), band=band, ceiling=band if ceiling is None else ceiling)


def colours(*given: Judgement, rules: dict[str, Rule] = BANDED) -> list[tuple[str, str, str]]:
    """What each step says of one judgement a cycle: reason, severity, level."""
    alerts: list[Alert] = []
    steps: list[Transition] = []
    for judged in given:
        alerts, taken = advance(alerts, [judged], rules, judged.at)
        steps += taken
    return [(step.reason, step.alert.severity, step.alert.level) for step in steps]


def test_severity_and_level_follow_the_worst_band_surely_breached() -> None:
    assert colours(breach(0, 0), breach(2, 1), breach(2, 2), breach(1, 3), judgement("o", 4)) == [
        ("breached", "yellow", "Ⅰ"),
        ("held", "yellow", "Ⅰ"),
        ("escalated", "red", "Ⅲ"),
        ("eased", "orange", "Ⅱ"),
        ("ended", "orange", "Ⅱ"),
    ]


def test_an_alert_begins_as_bad_as_is_sure() -> None:
    assert colours(breach(1, 0, ceiling=2)) == [("breached", "orange", "Ⅱ"), ("held", "orange", "Ⅱ")]


def test_what_may_still_be_as_bad_is_not_eased() -> None:
    doubtful = breach(0, 1, ceiling=2)
    assert colours(breach(2, 0), doubtful)[2:] == []
    assert colours(breach(2, 0), breach(0, 1, ceiling=1))[2:] == [("eased", "orange", "Ⅱ")]
    assert colours(breach(2, 0), judgement("i", 1), breach(2, 2))[2:] == []


def test_a_pending_alert_fires_in_the_colour_it_has_by_then() -> None:
    held = {RULE.name: replace(RULE, bands=BANDS, hold_s=2 * D)}
    story = [breach(0, 0), breach(2, 1), breach(1, 2), breach(1, 3)]
    assert colours(*story, rules=held) == [("breached", "yellow", "Ⅰ"), ("held", "orange", "Ⅱ")]


def test_a_revision_of_an_earlier_period_says_nothing_of_how_bad_it_is_now() -> None:
    alerts, _ = advance([], [breach(1, 0), breach(2, 3)], BANDED, 3 * D)
    earlier = replace(breach(0, 1), corrects=True)
    assert advance(alerts, [earlier], BANDED, 4 * D) == (alerts, [])
    same = replace(breach(0, 3), corrects=True)
    assert [step.reason for step in advance(alerts, [same], BANDED, 4 * D)[1]] == ["eased"]


def test_a_rule_whose_colours_changed_gives_its_open_alerts_the_new_ones() -> None:
    alerts, _ = advance([], [breach(0, 0)], BANDED, 0)
    redder = {RULE.name: replace(RULE, bands=(Band(1.0, Severity.RED, "一级"),), hold_s=0)}
    (alert,), (step,) = advance(alerts, [breach(0, 1)], redder, D)
    assert (alert.severity, alert.level, step.reason) == ("red", "一级", "escalated")
    renamed = {RULE.name: replace(RULE, bands=(Band(1.0, Severity.YELLOW, "一级"),), hold_s=0)}
    (alert,), steps = advance(alerts, [breach(0, 1)], renamed, D)
    assert (alert.severity, alert.level, steps) == ("yellow", "一级", [])


# --------------------------------------------------------------------------------------------- notices

REGISTRY = m.registry(
    m.points(m.point(7, enterprise="E", name="进线")),
    enterprises=m.enterprises("E").with_columns(name=pl.lit("一钢")),
    devices=m.devices(("E", "D7")).with_columns(name=pl.lit("一号采集器")),
)


def told(*given: Judgement) -> list[Notice]:
    """What people are told over one cycle per judgement."""
    alerts: list[Alert] = []
    notices: list[Notice] = []
    for judged in given:
        moved, steps = advance(alerts, [judged], BANDED, judged.at)
        alerts = [alert for alert in moved if alert.is_open]
        notices += notices_of(steps, BANDED, REGISTRY, as_of=judged.at)
    return notices


def test_people_are_told_of_colour_and_printed_level_and_not_of_easing() -> None:
    notices = told(breach(0, 0), breach(2, 1), breach(1, 2), judgement("o", 3))
    assert [(notice.reason, notice.subject.split(" ")[0]) for notice in notices] == [
        ("fired", "【黄色预警（Ⅰ）】一钢"),
        ("escalated/red", "【升级为红色预警（Ⅲ）】一钢"),
        ("resolved", "【橙色预警解除（Ⅱ）】一钢"),
    ]
    chinese, english = notices[1].body.splitlines()
    assert chinese.startswith("一钢（E）：升级为红色预警（Ⅲ），")
    assert english.startswith("一钢 (E): raised to red alert (Ⅲ), ")


@pytest.mark.parametrize(
    ("subject", "shown"),
    [
        ("7", "进线（0000000000000007.0.00）"),  # a point by its id: whole days without data
        ("2025-03/0000000000000007.0.00", "2025-03/进线（0000000000000007.0.00）"),
        ("D7", "一号采集器（D7）"),
        ("2025/calorific/total", "2025/calorific/total"),
        ("8", "8"),  # no longer registered
    ],
)
def test_people_are_told_the_names_of_points_and_devices(subject: str, shown: str) -> None:
    (notice,) = told(replace(breach(0, 0), subject=subject))
    chinese, english = notice.body.splitlines()
    assert f"，限值（{shown}），" in chinese.replace(RULE.summary_zh, "限值")
    assert f" ({shown}), as of " in english


def test_an_unconfirmed_alert_says_so_and_a_corrected_one_is_told_as_a_correction() -> None:
    (fired,) = told(replace(breach(0, 0), is_confirmed=False))
    assert "不作为执法依据" in fired.body.splitlines()[-1]
    _, corrected = told(breach(0, 0), judgement("c", 0))
    assert (corrected.reason, corrected.subject[:8]) == ("corrected", "【黄色预警更正（")


def test_each_colour_is_told_once_however_often_the_alert_eases_in_between() -> None:
    story = [breach(0, 0), breach(1, 1), breach(0, 2), breach(1, 3), breach(2, 4)]
    ids = [(notice.reason, notice.notice_id) for notice in told(*story)]
    assert [reason for reason, _ in ids] == ["fired", "escalated/orange", "escalated/orange", "escalated/red"]
    assert len({notice_id for _, notice_id in ids}) == 3  # the outbox keeps one notice of an id


def test_an_alert_that_never_fired_is_not_told_of() -> None:
    pending = {RULE.name: replace(RULE, bands=BANDS)}
    alerts, steps = advance([], [breach(0, 0), judgement("o", 1)], pending, D)
    assert alerts[0].state is AlertState.RESOLVED
    assert notices_of(steps, pending, REGISTRY, as_of=D) == []
