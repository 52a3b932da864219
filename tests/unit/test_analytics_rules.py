"""Rules as data, and what a rule says of bounds."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analytics.rulebook_loader import load_rulebook
from analytics.rules import judge, judgements_of
from analytics.silence import device_silence, measures_of_silence
from nengshao.domain.errors import RuleError
from nengshao.domain.factors import Confidence
from nengshao.domain.rules import Band, Judgement, Operator, Rule, Severity, Verdict
from nengshao.domain.time import DAY_S, instant_of
from nengshao.frames import MEASURES
from tests.support import metering as m

RULES = {rule.name: rule for rule in load_rulebook()}
PACE = RULES["total-energy-ahead-of-pace"]  # > 1.05, coverage 0.9
COLOURS = (Severity.YELLOW, Severity.ORANGE, Severity.RED)


def measured(value: float | None, *, at: int = m.T0, **more: Any) -> pl.DataFrame:
    """A MEASURES row on the pace of a base target, exactly known."""
    row = {
        "enterprise": m.ENTERPRISE, "measure": "progress_ratio", "subject": "2025/calorific/total",
        "at": at, "value": value, "low": value, "high": value, "coverage": 1.0, "is_confirmed": True,
    }  # fmt: skip
    return pl.DataFrame([row | more], schema=dict(MEASURES.schema))


def judged(measures: pl.DataFrame, rule: Rule = PACE, *, region: str = "430621") -> list[Judgement]:
    return judgements_of(measures, [rule], region_of={m.ENTERPRISE: region})


@pytest.mark.parametrize(
    ("value", "low", "high", "coverage", "verdict"),
    [
        (1.00, 1.00, 1.00, 1.0, Verdict.OK),
        (1.05, 1.05, 1.05, 1.0, Verdict.OK),  # above, not at
        (1.06, 1.06, 1.06, 1.0, Verdict.BREACH),
        (1.06, 1.04, 1.10, 1.0, Verdict.INSUFFICIENT),  # only some values breach
        (1.00, 0.99, 1.06, 1.0, Verdict.INSUFFICIENT),
        (1.10, 1.06, None, 0.2, Verdict.BREACH),  # however much is missing, it breaches
        (1.00, 0.99, None, 1.0, Verdict.INSUFFICIENT),  # unbounded above
        (1.00, None, 1.02, 1.0, Verdict.OK),
        (1.10, None, 1.20, 1.0, Verdict.INSUFFICIENT),
        (0.50, 0.50, 0.50, 0.89, Verdict.INSUFFICIENT),  # coverage below the rule's minimum
        (0.50, 0.50, 0.50, None, Verdict.OK),  # coverage does not apply
        (None, None, None, None, Verdict.INSUFFICIENT),
        (None, 0.90, 1.00, 1.0, Verdict.INSUFFICIENT),
    ],
)
def test_a_rule_fires_only_if_every_value_within_the_bounds_breaches(
    value: float | None, low: float | None, high: float | None, coverage: float | None, verdict: Verdict
) -> None:
    assert judge(PACE, value=value, low=low, high=high, coverage=coverage).verdict is verdict


@pytest.mark.parametrize(
    ("op", "low", "high", "verdict"),
    [
        (Operator.BELOW, 0.8, 0.9, Verdict.BREACH),
        (Operator.BELOW, 0.8, 1.2, Verdict.INSUFFICIENT),
        (Operator.BELOW, None, 0.9, Verdict.BREACH),
        (Operator.BELOW, 1.1, None, Verdict.OK),
        (Operator.AT_MOST, 0.9, 1.0, Verdict.BREACH),
        (Operator.AT_LEAST, 1.0, 1.1, Verdict.BREACH),
        (Operator.AT_LEAST, 0.9, 1.0, Verdict.INSUFFICIENT),
    ],
)
def test_bounds_work_in_both_directions(
    op: Operator, low: float | None, high: float | None, verdict: Verdict
) -> None:
    rule = replace(PACE, op=op, bands=(Band(1.0, Severity.RED),))
    assert judge(rule, value=1.0, low=low, high=high, coverage=1.0).verdict is verdict


@pytest.mark.parametrize(
    ("low", "high", "band", "ceiling"),
    [
        (1.0, 1.0, 0, 0),
        (1.0, 1.5, 0, 0),  # at the second threshold, not above it
        (1.0, 1.6, 0, 1),  # surely the first, perhaps the second
        (1.6, 1.9, 1, 1),
        (1.6, 2.0, 1, 2),  # the third is reached at its threshold
        (1.0, None, 0, 2),
        (2.0, None, 2, 2),
    ],
)
def test_a_breach_is_as_bad_as_is_sure_and_says_how_bad_it_may_be(
    low: float, high: float | None, band: int, ceiling: int
) -> None:
    bands = (
        Band(1.0, Severity.YELLOW, op=Operator.AT_LEAST), Band(1.5, Severity.ORANGE),
        Band(2.0, Severity.RED, op=Operator.AT_LEAST),
    )  # fmt: skip
    rule = replace(PACE, op=Operator.ABOVE, bands=bands)
    assert judge(rule, value=low, low=low, high=high, coverage=1.0) == (Verdict.BREACH, band, ceiling)


def test_falling_bands_get_worse_downwards() -> None:
    bands = tuple(Band(limit, colour) for limit, colour in zip((1.0, 0.9, 0.5), COLOURS, strict=True))
    rule = replace(PACE, op=Operator.BELOW, bands=bands)
    assert judge(rule, value=0.7, low=0.4, high=0.8, coverage=1.0) == (Verdict.BREACH, 1, 2)
    assert judge(rule, value=0.95, low=0.95, high=0.95, coverage=1.0) == (Verdict.BREACH, 0, 0)
    assert judge(rule, value=1.0, low=0.99, high=1.0, coverage=1.0).verdict is Verdict.INSUFFICIENT


def test_too_little_coverage_leaves_a_worse_band_possible() -> None:
    bands = (Band(1.0, Severity.ORANGE), Band(2.0, Severity.RED))
    rule = replace(PACE, bands=bands)
    assert judge(rule, value=1.5, low=1.5, high=1.5, coverage=0.5) == (Verdict.BREACH, 0, 1)


def test_a_judgement_carries_the_figures_it_rests_on() -> None:
    (given,) = judged(measured(1.2, low=1.1, high=1.3, coverage=0.95))
    assert given == Judgement(
        PACE.name, m.ENTERPRISE, "2025/calorific/total", Verdict.BREACH, m.T0, 1.2, 1.1, 1.3, 0.95,
        is_confirmed=False,  # the figure is, the rule is not
    )  # fmt: skip
    official = replace(PACE, confidence=Confidence.OFFICIAL)
    assert judged(measured(1.2), official)[0].is_confirmed
    assert not judged(measured(1.2, is_confirmed=False), official)[0].is_confirmed


def test_a_figure_that_is_no_number_is_unknown() -> None:
    assert judged(measured(float("nan")))[0].verdict is Verdict.INSUFFICIENT


def test_rules_look_at_their_own_measure_and_a_disabled_one_at_nothing() -> None:
    assert {j.rule for j in judgements_of(measured(1.2), RULES.values(), region_of={})} == {PACE.name}
    assert judged(measured(1.2), replace(PACE, is_enabled=False)) == []
    assert judgements_of(MEASURES.empty(), RULES.values(), region_of={}) == []


@pytest.mark.parametrize(
    ("at", "applies"),
    [
        (instant_of(dt.date(2025, 7, 1)), True),  # the figure's last day is 30 June, Asia/Shanghai
        (instant_of(dt.date(2025, 7, 1)) + 1, False),
        (instant_of(dt.date(2025, 6, 1)), False),
        (instant_of(dt.date(2025, 6, 1)) + 1, True),
        (instant_of(dt.date(2024, 7, 1)), True),
    ],
)
def test_a_rule_of_a_month_looks_at_the_figures_last_day(at: int, *, applies: bool) -> None:
    assert bool(judged(measured(1.2, at=at), replace(PACE, months=(6,)))) is applies


@pytest.mark.parametrize(
    ("regions", "region", "applies"),
    [
        ((), "", True),
        (("430600",), "430621", True),
        (("430000",), "430621", True),
        (("110000", "430621"), "430621", True),
        (("430602",), "430621", False),
        (("430621",), "430600", False),  # the county's rule is not the city's
        (("430000",), "", False),  # nobody knows where the enterprise is
    ],
)
def test_a_rule_of_a_region_applies_within_it(
    regions: tuple[str, ...], region: str, *, applies: bool
) -> None:
    assert bool(judged(measured(1.2), replace(PACE, regions=regions), region=region)) is applies


def test_a_regions_own_figures_are_its_own() -> None:
    assert judged(measured(1.2, enterprise="430621"), replace(PACE, regions=("430600",)))
    assert not judged(measured(1.2, enterprise="430621"), replace(PACE, regions=("330000",)))


def test_a_rule_of_some_subjects_leaves_the_others_alone() -> None:
    assert judged(measured(1.2, subject="2025/carbon/net"))
    assert not judged(measured(1.2, subject="2025/carbon/net/incentive"))


@pytest.mark.parametrize(
    ("pattern", "subject", "applies"),
    [
        ("", "2025/carbon/net", True),
        ("*", "device", True),
        ("*", "2025/carbon/net", False),  # `*` is one part
        ("*/carbon/*", "2025/carbon/net", True),
        ("*/carbon/*", "2025/calorific/net", False),
        ("202?/*/*", "2025/carbon/net", True),
        ("*/*/*/*", "2025/carbon/net", False),
    ],
)
def test_a_pattern_is_matched_part_by_part(pattern: str, subject: str, *, applies: bool) -> None:
    assert bool(judged(measured(1.2, subject=subject), replace(PACE, subjects=pattern))) is applies


# ------------------------------------------------------------------------------------- rules as data

ROW = """[[rule]]
name = "total-energy-ahead-of-pace"
measure = "progress_ratio"
op = ">="
threshold = 1.0
hold = "6h"
min_coverage = 0.5
severity = "red"
legal_basis = "县文件"
confidence = "official"
summary_zh = "超"
summary_en = "over"
"""

BANDS = ROW.replace("threshold = 1.0\n", "").replace(
    'severity = "red"',
    """bands = [
  { threshold = 1.0, severity = "yellow", level = "一级" },
  { threshold = 1.1, op = ">", severity = "red", level = "二级" },
]""",
)


def test_the_shipped_rules_that_nobody_confirmed_say_that_they_are_no_basis_for_enforcement() -> None:
    confirmed = {rule.name for rule in RULES.values() if Confidence(rule.confidence).is_confirmed}
    assert confirmed == {"product-norm-exceeded"}  # a mandatory standard's limit value, transcribed
    assert all("不作为执法依据" in RULES[name].legal_basis for name in set(RULES) - confirmed)


def test_a_county_lays_its_rule_over_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "county.toml").write_text(ROW, encoding="utf-8")
    rules = {rule.name: rule for rule in load_rulebook([tmp_path])}
    assert rules["total-energy-ahead-of-pace"].hold_s == 6 * 3600
    assert rules["total-energy-ahead-of-pace"].bands == (Band(1.0, Severity.RED),)
    assert set(rules) == set(RULES)


def test_bands_keep_colour_and_printed_level_apart(tmp_path: Path) -> None:
    (tmp_path / "county.toml").write_text(BANDS, encoding="utf-8")
    rule = next(rule for rule in load_rulebook([tmp_path]) if rule.name == PACE.name)
    assert rule.bands == (
        Band(1.0, Severity.YELLOW, "一级"),
        Band(1.1, Severity.RED, "二级", Operator.ABOVE),
    )
    assert (rule.threshold, rule.severity) == (1.0, Severity.YELLOW)


def test_a_county_says_where_when_and_of_what_its_rule_is(tmp_path: Path) -> None:
    reach = 'months = [1, 12]\nregions = ["430621"]\nsubjects = "*/*/total"\nenabled = false\n'
    (tmp_path / "county.toml").write_text(ROW + reach, encoding="utf-8")
    rule = next(rule for rule in load_rulebook([tmp_path]) if rule.name == PACE.name)
    assert (rule.months, rule.regions, rule.subjects) == ((1, 12), ("430621",), "*/*/total")
    assert not rule.is_enabled


def test_a_county_switches_a_shipped_rule_off_by_its_name_alone(tmp_path: Path) -> None:
    off = '[[rule]]\nname = "{}"\nenabled = false\n'
    (tmp_path / "county.toml").write_text(off.format("device-silent"), encoding="utf-8")
    rules = {rule.name: rule for rule in load_rulebook([tmp_path])}
    assert rules["device-silent"] == replace(RULES["device-silent"], is_enabled=False)
    (tmp_path / "county.toml").write_text(off.format("no-such-rule"), encoding="utf-8")
    with pytest.raises(RuleError, match="no-such-rule, but no earlier directory has it"):
        load_rulebook([tmp_path])


def test_tests_beside_the_rules_are_no_rules(tmp_path: Path) -> None:
    (tmp_path / "county.test.toml").write_text("[[test]]\n", encoding="utf-8")
    assert load_rulebook([tmp_path]) == load_rulebook()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("op =", "operator =", ["unknown key operator", "missing key op"]),
        ('"progress_ratio"', '"mood"', ["measure 'mood' is none of"]),
        ("= 1.0", '= "much"', ["neither a number"]),
        ("= 1.0", '= "2h"', ["neither a number"]),  # a duration, but no measure in seconds
        ("= 1.0", "= nan", ["neither a number"]),
        ('"6h"', '"soon"', ["not a duration"]),
        ("0.5", "50", ["not within 0 … 1"]),
        ('"official"', '"sure"', ["confidence 'sure' is none of"]),
        ('"red"', '"blue"', ["severity 'blue' is none of"]),
        ("[[rule]]", "other = 1\n[[rule]]", ["unknown key other"]),
        ("[[rule]]", "[[rule", ["county.toml"]),
        ('op = ">="', 'op = ">="\nmonths = [0]', ["months [0]"]),
        ('op = ">="', 'op = ">="\nmonths = []', ["months []"]),
        ('op = ">="', 'op = ">="\nregions = ["Yueyang"]', ["regions ['Yueyang']"]),
        ('op = ">="', 'op = ">="\nsubjects = 1', ["subjects must be text"]),
        ('op = ">="', 'op = ">="\nenabled = "no"', ["enabled must be true or false"]),
        ("threshold = 1.0", "bands = []", ["unknown key severity"]),
        ("[[rule]]", ROW + "[[rule]]", ["the name is used twice"]),
    ],
)
def test_a_rulebook_with_a_mistake_is_refused(tmp_path: Path, old: str, new: str, said: list[str]) -> None:
    (tmp_path / "county.toml").write_text(ROW.replace(old, new), encoding="utf-8")
    with pytest.raises(RuleError) as caught:
        load_rulebook([tmp_path])
    assert all(any(text in problem for problem in caught.value.problems) for text in said)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("1.1", "1.0", "from the mildest threshold to the worst"),
        ("1.1", "0.9", "from the mildest threshold to the worst"),
        ('op = ">", severity', 'op = "<", severity', "points the other way"),
        ('"yellow"', '"red"', "a worse band must have a worse colour"),
        ("level =", "grade =", "band 1: unknown key grade"),
        ("threshold = 1.1,", "", "band 2: missing key threshold"),
        ('op = ">=', 'op = "=>', "op '=>' is none of"),
        ("bands = [", "bands = [1,", "bands must be a list of tables"),
        ('confidence = "official"', 'confidence = "official"\nthreshold = 1.0', "unknown key threshold"),
    ],
)
def test_bands_with_a_mistake_are_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "county.toml").write_text(BANDS.replace(old, new), encoding="utf-8")
    with pytest.raises(RuleError) as caught:
        load_rulebook([tmp_path])
    assert any(said in problem for problem in caught.value.problems), caught.value.problems


def test_every_problem_of_every_directory_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(ROW.replace('"6h"', '"soon"'), encoding="utf-8")
    (tmp_path / "b.toml").write_text(BANDS.replace("1.1", "0.9"), encoding="utf-8")
    with pytest.raises(RuleError) as caught:
        load_rulebook([tmp_path, tmp_path / "nowhere"])
    text = "\n".join(caught.value.problems)
    assert all(said in text for said in ("a.toml", "not a duration", "b.toml", "worst", "no such directory"))


# --------------------------------------------------------------------------------------------- silence


def test_a_device_is_silent_from_when_its_next_delivery_was_due() -> None:
    now = m.T0 + 10_000
    devices = m.devices((m.ENTERPRISE, "A"), (m.ENTERPRISE, "B"), (m.ENTERPRISE, "C"))
    devices = devices.with_columns(
        cadence_s=pl.Series([900, 900, None]),
        valid_to=pl.Series([None, None, None], dtype=pl.Int64),
    )
    seen = m.last_seen((m.ENTERPRISE, "A", now - 600))
    silence = device_silence(seen, devices, m.enterprises(), now=now)
    assert silence.select("device", "last_seen", "silent_seconds").rows() == [
        ("A", now - 600, 0),
        ("B", m.T0, 10_000 - 900),  # never heard since its duty began; C is a person
    ]
    measures = measures_of_silence(silence, at=now)
    assert measures.rows() == [
        (m.ENTERPRISE, "silent_seconds", "A", now, 0.0, 0.0, 0.0, None, True),
        (m.ENTERPRISE, "silent_seconds", "B", now, 9100.0, 9100.0, 9100.0, None, True),
    ]
    verdicts = [j.verdict for j in judgements_of(measures, RULES.values(), region_of={})]
    assert verdicts == [Verdict.OK, Verdict.BREACH]


def test_devices_off_duty_are_not_silent() -> None:
    devices = m.devices((m.ENTERPRISE, "A")).with_columns(valid_to=pl.lit(m.T0 + 5000, pl.Int64))
    assert device_silence(m.last_seen(), devices, m.enterprises(), now=m.T0 + 5000).is_empty()
    devices = m.devices((m.ENTERPRISE, "A"))
    gone = m.enterprises(active_to=m.T0 + 5000)
    assert device_silence(m.last_seen(), devices, gone, now=m.T0 + 5000).is_empty()


def test_without_devices_nothing_is_measured() -> None:
    silence = device_silence(m.last_seen(), m.devices(), m.enterprises(), now=m.T0 + DAY_S)
    assert measures_of_silence(silence, at=m.T0 + DAY_S).equals(MEASURES.empty())
