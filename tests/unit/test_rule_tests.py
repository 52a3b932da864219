"""`nengshao test-rules`: what ships is tested, and what is wrong with a rulebook or its tests is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from analytics.rulebook_loader import SHIPPED_LOCAL
from nengshao.cli import app
from nengshao.domain.errors import RuleError
from nengshao.ruletests import Report, check_rulebook, shipped_rulebooks

BOOKS = shipped_rulebooks()

RULE = """[[rule]]
name = "county"
measure = "quota_ratio"
op = ">"
bands = [{ threshold = 0.9, severity = "yellow" }, { threshold = 1.0, severity = "red", level = "一级" }]
hold = "1d"
min_coverage = 0.9
legal_basis = "县文件"
confidence = "official"
summary_zh = "超"
summary_en = "over"
"""

TEST = """[[test]]
rule = "county"
title = "a story"
series = [
  { day = 2025-03-01, value = 0.9 },
  { day = 2025-03-02, value = 0.95, high = inf },
  { day = 2025-03-03, value = 0.95, coverage = 0.5 },
  { day = 2025-03-04, value = 0.8, coverage = 0.5 },
  { day = 2025-03-05, value = 1.1 },
]
steps = [
  { day = 2025-03-02, state = "pending", severity = "yellow", reason = "breached" },
  { day = 2025-03-03, state = "firing", severity = "yellow", reason = "held" },
  { day = 2025-03-05, state = "firing", severity = "red", level = "一级", reason = "escalated" },
]

[[test]]
rule = "county"
title = "no breach"
series = [{ at = 2025-03-01T12:00:00, value = 0.5 }]
steps = []
"""


def book(folder: Path, rule: str = RULE, test: str = TEST) -> Path:
    (folder / "county.toml").write_text(rule, encoding="utf-8")
    (folder / "county.test.toml").write_text(test, encoding="utf-8")
    return folder


def only(folder: Path) -> Report:
    (report,) = check_rulebook(folder)
    return report


@pytest.mark.parametrize("directory", BOOKS, ids=lambda path: path.name)
def test_every_rule_that_ships_fires_stays_silent_and_lacks_data_in_tests_that_hold(directory: Path) -> None:
    reports = check_rulebook(directory)
    assert reports
    assert [(report.rule.name, report.gaps) for report in reports if not report.is_right] == []


def test_the_rule_sets_of_places_ship_beside_the_national_one() -> None:
    assert {path.name for path in BOOKS[1:]} == {"hangzhou", "city2010", "nanjian", "ndrc_barometer"}
    assert all(path.parent == SHIPPED_LOCAL for path in BOOKS[1:])


def test_a_rulebook_is_tested_on_its_own_rules_disabled_ones_included(tmp_path: Path) -> None:
    assert only(book(tmp_path)).is_right
    assert only(book(tmp_path, rule=RULE + "enabled = false\n")).is_right


def test_a_switch_needs_no_test(tmp_path: Path) -> None:
    book(tmp_path, rule=RULE + '[[rule]]\nname = "device-silent"\nenabled = false\n')
    assert [report.rule.name for report in check_rulebook(tmp_path)] == ["county"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('state = "firing", severity = "yellow"', 'state = "pending", severity = "yellow"'),
        ('level = "一级", reason = "escalated"', 'reason = "escalated"'),
        ("day = 2025-03-05, state", "day = 2025-03-06, state"),
        ('"held"', '"breached"'),
        ("value = 1.1", "value = 1.0"),  # it never becomes red
        ("value = 0.5 }", "value = 0.95 }"),  # a step nobody expected
    ],
)
def test_a_test_holds_only_if_exactly_its_steps_are_taken(tmp_path: Path, old: str, new: str) -> None:
    report = only(book(tmp_path, test=TEST.replace(old, new)))
    assert not report.is_right
    assert not all(outcome.is_right for outcome in report.outcomes)


def test_a_rule_without_tests_or_with_gaps_in_them_is_not_right(tmp_path: Path) -> None:
    report = only(book(tmp_path, test=""))
    assert (report.is_right, len(report.gaps)) == (False, 4)  # two colours, no breach, insufficient data
    report = only(book(tmp_path, test="[[test]]" + TEST.rpartition("[[test]]")[2]))
    assert [gap.split(" / ")[1] for gap in report.gaps] == [
        "no test fires it in yellow",
        "no test fires it in red",
        "no test has insufficient data",
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('rule = "county"', 'rule = "town"', "no rule 'town' in this directory"),
        ("title =", "name =", "unknown key name"),
        ("[{ at = 2025-03-01T12:00:00, value = 0.5 }]", "{ value = 0.5 }", "series must be a list of tables"),
        ("day = 2025-03-01,", "", "series 1: either day or at is needed"),
        ("day = 2025-03-01,", 'day = "2025-03-01",', "series 1: day must be a date"),
        ("day = 2025-03-01,", "at = 2025-03-01,", "series 1: at must be a date and time"),
        ("value = 0.9 }", 'value = "0.9" }', "value must be a number"),
        ("value = 0.9 }", "worth = 0.9 }", "unknown key worth"),
        ("value = 0.9 }", "value = 0.9, corrects = 1 }", "corrects must be true or false"),
        ('"pending"', '"waiting"', "steps 1: state 'waiting' is none of"),
        ('"red", level', '"blue", level', "steps 3: severity 'blue' is none of"),
        ('"held"', '"kept"', "steps 2: reason 'kept' is none of"),
        ('level = "一级"', "level = 1", "level must be text"),
        ("series = [{ at = 2025-03-01T12:00:00, value = 0.5 }]", "series = []", "series is empty"),
        ("[[test]]", "[[test", "county.test.toml"),
    ],
)
def test_a_malformed_test_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    test = TEST.replace(old, new)
    assert test != TEST
    with pytest.raises(RuleError) as caught:
        check_rulebook(book(tmp_path, test=test))
    assert any(said in problem for problem in caught.value.problems), caught.value.problems


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["test-rules", *arguments])
    return done.exit_code, done.output


def test_the_command_tests_everything_that_ships() -> None:
    code, said = run()
    assert code == 0
    assert "device-silent" in said
    assert "hangzhou-intensity-gap-q3" in said


def test_the_command_says_what_was_expected_and_what_came(tmp_path: Path) -> None:
    assert run(str(book(tmp_path)))[0] == 0
    code, said = run(str(book(tmp_path, test=TEST.replace('"held"', '"ended"'))))
    assert code == 1
    assert "2025-03-04 00:00:00 firing yellow ended" in said
    assert "2025-03-04 00:00:00 firing yellow held" in said


def test_the_command_refuses_a_malformed_rulebook(tmp_path: Path) -> None:
    assert run(str(book(tmp_path, rule=RULE.replace('"1d"', '"soon"'))))[0] == 2
    assert run(str(book(tmp_path, test=TEST.replace("title", "name"))))[0] == 2
    assert run(str(tmp_path / "nowhere"))[0] == 2
