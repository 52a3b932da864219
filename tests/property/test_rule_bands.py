"""Bands and bounds: a ruling says no more than is sure and no less than is possible, whatever is true."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from analytics.rulebook_loader import load_rulebook
from analytics.rules import judge
from nengshao.domain.rules import Band, Operator, Rule, Severity, Verdict

RULE = next(rule for rule in load_rulebook() if rule.name == "total-over-target")
NUMBERS = st.integers(-20, 20).map(lambda n: n / 4)  # exact, and often equal to a threshold
UPWARD, DOWNWARD = (Operator.ABOVE, Operator.AT_LEAST), (Operator.BELOW, Operator.AT_MOST)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    ops = draw(st.sampled_from((UPWARD, DOWNWARD)))
    limits = sorted(draw(st.sets(NUMBERS, min_size=1, max_size=3)), reverse=ops is DOWNWARD)
    bands = tuple(
        Band(limit, severity, op=draw(st.sampled_from(ops)))
        for limit, severity in zip(limits, Severity, strict=False)
    )
    return replace(RULE, op=ops[0], bands=bands)


@given(rules(), st.lists(NUMBERS, min_size=3, max_size=3).map(sorted), st.sampled_from([1.0, 0.5, None]))
def test_the_true_value_lies_between_what_is_sure_and_what_is_possible(
    rule: Rule, numbers: list[float], coverage: float | None
) -> None:
    low, true, high = numbers
    ruling = judge(rule, value=true, low=low, high=high, coverage=coverage)
    exact = judge(rule, value=true, low=true, high=true, coverage=None)
    if ruling.verdict is Verdict.BREACH:
        assert exact.verdict is Verdict.BREACH
        assert ruling.band <= exact.band <= ruling.ceiling
    if ruling.verdict is Verdict.OK:
        assert exact.verdict is Verdict.OK
    assert exact.verdict is not Verdict.INSUFFICIENT
    assert exact.band == exact.ceiling


@given(rules(), st.lists(NUMBERS, min_size=4, max_size=4).map(sorted))
def test_knowing_less_never_turns_a_verdict_into_its_opposite(rule: Rule, numbers: list[float]) -> None:
    widest_low, low, high, widest_high = numbers
    known = judge(rule, value=low, low=low, high=high, coverage=None)
    vague = judge(rule, value=low, low=widest_low, high=widest_high, coverage=None)
    assert vague.verdict in (known.verdict, Verdict.INSUFFICIENT)
    if vague.verdict is Verdict.BREACH:
        assert vague.band <= known.band <= known.ceiling <= vague.ceiling
