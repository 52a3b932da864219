"""docs/law-as-data.md: the county that it builds loads, and its rules' tests hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from analytics.law import load_law
from nengshao.ruletests import check_rulebook
from nengshao.settings import load_settings

TEXT: Final = (Path(__file__).parents[2] / "docs" / "law-as-data.md").read_text(encoding="utf-8")
FILES: Final = dict(re.findall(r"^```toml\n# (\S+\.toml)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
CALENDAR: Final = re.findall(r"^```toml\n(\[\[year\]\].*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def county(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory as the page builds it, from where its commands are typed."""
    [made] = re.findall(r"^mkdir -p (.+)$", TEXT, re.MULTILINE)
    for name in made.split():
        (tmp_path / name).mkdir(parents=True)
    for name, content in FILES.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "county"


def test_the_county_of_the_page_loads(county: Path) -> None:
    dirs = load_settings(county / "nengshao.toml").assess
    law = load_law(
        factor_dirs=dirs.factor_dirs,
        norm_dirs=dirs.norm_dirs,
        calendar_dirs=dirs.calendar_dirs,
        rulebook_dirs=dirs.rulebook_dirs,
    )
    assert not law.rules["quota-nearly-used"].is_enabled
    assert "county/electricity/equivalent/2025" in {row.factor_id for row in law.factors.rows}


def test_the_tests_of_its_rules_hold_and_lack_nothing(county: Path) -> None:
    reports = check_rulebook(county / "rules")
    assert [(report.rule.name, report.is_right) for report in reports] == [("quota-nearly-used", True)]


def test_the_calendar_of_the_page_loads(county: Path) -> None:
    [year] = CALENDAR
    (county / "calendars" / "2027.toml").write_text(year, encoding="utf-8")
    assert load_law(calendar_dirs=[county / "calendars"]).calendar.years[2027]
