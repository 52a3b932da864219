"""Rules and factors as data, and what a rule says of bounds."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest

from analytics.factor_library import load_factors
from analytics.rules import judge, judgements_from_silence, load_rulebook
from analytics.silence import device_silence
from nengshao.domain.errors import ConfigError, RuleError
from nengshao.domain.factors import Basis, Confidence
from nengshao.domain.rules import Operator, Verdict
from nengshao.domain.units import Carrier
from tests.support import metering as m

RULES = {rule.name: rule for rule in load_rulebook()}
PACE = RULES["total-energy-ahead-of-pace"]  # > 1.05, coverage 0.9


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
        (None, None, None, None, Verdict.INSUFFICIENT),
    ],
)
def test_a_rule_fires_only_if_every_value_within_the_bounds_breaches(
    value: float | None, low: float | None, high: float | None, coverage: float | None, verdict: Verdict
) -> None:
    assert judge(PACE, value=value, low=low, high=high, coverage=coverage) is verdict


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
    rule = replace(PACE, op=op, threshold=1.0)
    assert judge(rule, value=1.0, low=low, high=high, coverage=1.0) is verdict


def test_the_shipped_rules_say_that_they_are_no_basis_for_enforcement() -> None:
    assert set(RULES) == {"total-energy-ahead-of-pace", "device-silent"}
    for rule in RULES.values():
        assert "不作为执法依据" in rule.legal_basis
        assert not Confidence(rule.confidence).is_confirmed


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


def test_a_county_lays_its_rule_over_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "county.toml").write_text(ROW, encoding="utf-8")
    rules = {rule.name: rule for rule in load_rulebook([tmp_path])}
    assert rules["total-energy-ahead-of-pace"].hold_s == 6 * 3600
    assert "device-silent" in rules


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("op =", "operator =", ["unknown key operator", "missing key op"]),
        ('"progress_ratio"', '"mood"', ["measure 'mood' is none of"]),
        ("1.0", '"much"', ["neither a number"]),
        ('"6h"', '"soon"', ["not a duration"]),
        ("0.5", "50", ["not within 0 … 1"]),
        ('"official"', '"sure"', ["confidence 'sure' is none of"]),
        ("[[rule]]", "other = 1\n[[rule]]", ["unknown key other"]),
        ("[[rule]]", "[[rule", ["county.toml"]),
    ],
)
def test_a_rulebook_with_a_mistake_is_refused(tmp_path: Path, old: str, new: str, said: list[str]) -> None:
    (tmp_path / "county.toml").write_text(ROW.replace(old, new), encoding="utf-8")
    with pytest.raises(RuleError) as caught:
        load_rulebook([tmp_path])
    assert all(any(text in problem for problem in caught.value.problems) for text in said)


def test_all_problems_of_a_factor_library_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        """[[factor]]
id = "x"
carrier = "moonlight"
basis = "calorific"
kgce_per_unit = 0.1
edition = "e"
source = "s"
confidence = "copied"
valid_from = 2021-04-01

[[factor]]
id = "y"
colour = "blue"
""",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        load_factors([tmp_path, tmp_path / "nowhere"])
    text = "\n".join(caught.value.problems)
    for said in (
        "moonlight",
        "written as text",
        "unknown key colour",
        "missing key carrier",
        "no such directory",
    ):
        assert said in text


def test_a_county_value_replaces_the_row_of_the_same_date_and_may_not_overlap(tmp_path: Path) -> None:
    row = """[[factor]]
id = "county/coal"
carrier = "raw_coal"
basis = "calorific"
kgce_per_unit = "5/7"
edition = "county"
source = "measured"
confidence = "official"
valid_from = 2021-04-01
"""
    (tmp_path / "a.toml").write_text(row, encoding="utf-8")
    found = load_factors([tmp_path]).at(Carrier.RAW_COAL, Basis.CALORIFIC, dt.date(2025, 1, 1))
    assert (found.factor_id, found.kgce_per_unit) == ("county/coal", Fraction(5, 7))
    (tmp_path / "a.toml").write_text(row.replace("2021-04-01", "2022-04-01"), encoding="utf-8")
    with pytest.raises(ConfigError, match="overlap"):
        load_factors([tmp_path])


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
    verdicts = [j.verdict for j in judgements_from_silence(silence, RULES.values(), at=now)]
    assert verdicts == [Verdict.OK, Verdict.BREACH]


def test_devices_off_duty_are_not_silent() -> None:
    devices = m.devices((m.ENTERPRISE, "A")).with_columns(valid_to=pl.lit(m.T0 + 5000, pl.Int64))
    assert device_silence(m.last_seen(), devices, m.enterprises(), now=m.T0 + 5000).is_empty()
    devices = m.devices((m.ENTERPRISE, "A"))
    gone = m.enterprises(active_to=m.T0 + 5000)
    assert device_silence(m.last_seen(), devices, gone, now=m.T0 + 5000).is_empty()
