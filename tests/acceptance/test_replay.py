"""`nengshao replay`: what a rule would have done on history, to the day, without writing anything."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

from analytics.cycle.history import History
from analytics.rulebook_loader import load_rulebook
from nengshao.cli import app
from nengshao.domain.alerts import AlertState
from nengshao.domain.rules import Band, Rule, Severity
from nengshao.domain.time import DAY_S, day_number, instant_of
from nengshao.frames import ENTERPRISE_DAYS, MEASURES
from nengshao.replaying import Replay, WouldBe, print_replay, replay_rule
from tests.support import metering as m
from tests.support.state import commit_of, leased, opened
from tests.support.world import World

PACE: Rule = next(rule for rule in load_rulebook() if rule.name == "total-energy-ahead-of-pace")  # hold 2 d
FIRST = day_number(dt.date(2025, 1, 1))


def date(text: str) -> int:
    """The instant at which a day of 2025 begins."""
    return instant_of(dt.date.fromisoformat(f"2025-{text}"))


def history(*paces: float | None) -> Callable[[int], pl.DataFrame]:
    """Measures of days from FIRST on, one pace each; None: the quota is not judged that day."""

    def measures_on(day: int) -> pl.DataFrame:
        pace = paces[day - FIRST]
        row = {
            "enterprise": m.ENTERPRISE, "measure": "progress_ratio", "subject": "2025/calorific/total",
            "at": instant_of(dt.date(2025, 1, 1)) + (day - FIRST + 1) * DAY_S, "value": pace, "low": pace,
            "high": pace, "coverage": 1.0, "is_confirmed": True,
        }  # fmt: skip
        return pl.DataFrame([row] if pace is not None else [], schema=dict(MEASURES.schema))

    return measures_on


def replayed(*paces: float | None, rule: Rule = PACE) -> tuple[list[WouldBe], int]:
    days = range(FIRST, FIRST + len(paces))
    return replay_rule(rule, history(*paces), days, region_of={m.ENTERPRISE: "430621"})


def test_an_alert_fires_and_ends_on_the_days_it_would_have() -> None:
    (only,), never_held = replayed(1.0, 1.1, 1.1, 1.1, 1.2, 1.0, 1.1, 1.0)
    alert = only.alert
    assert (alert.since, alert.fired_at, alert.ended_at) == (date("01-03"), date("01-05"), date("01-07"))
    assert (alert.state, only.worst, never_held) == (AlertState.RESOLVED, Severity.ORANGE, 1)


def test_an_alert_that_would_still_fire_has_no_end() -> None:
    (only,), never_held = replayed(1.1, 1.1, 1.1)
    assert (only.alert.state, only.alert.ended_at, never_held) == (AlertState.FIRING, None, 0)


def test_the_worst_colour_is_kept_when_the_alert_eases() -> None:
    bands = (Band(1.0, Severity.YELLOW, "Ⅰ级"), Band(1.2, Severity.RED, "Ⅲ级"))
    (only,), _ = replayed(1.1, 1.3, 1.1, rule=replace(PACE, bands=bands, hold_s=0))
    assert (only.worst, only.worst_level, only.alert.severity) == (Severity.RED, "Ⅲ级", "yellow")


def test_a_disabled_rule_is_replayed_all_the_same() -> None:
    fired, _ = replayed(1.1, 1.1, 1.1, rule=replace(PACE, is_enabled=False))
    assert len(fired) == 1


def test_a_subject_that_is_judged_no_more_ends_its_alert_that_day() -> None:
    (only,), _ = replayed(1.1, 1.1, 1.1, None)
    assert (only.alert.state, only.alert.ended_at) == (AlertState.RESOLVED, date("01-05"))


def test_a_rule_of_a_month_ends_with_it() -> None:
    paces = [1.1] * 40
    (only,), _ = replayed(*paces, rule=replace(PACE, months=(1,)))
    assert (only.alert.fired_at, only.alert.ended_at) == (date("01-04"), date("02-02"))
    assert replayed(*paces, rule=replace(PACE, months=(3,))) == ([], 0)
    assert replayed(*paces, rule=replace(PACE, regions=("330000",))) == ([], 0)


def test_no_days_and_no_measures_fire_nothing() -> None:
    assert replayed() == ([], 0)
    assert replayed(None, None) == ([], 0)


# ------------------------------------------------------------------------------------------ like live


def test_a_replay_says_what_live_cycles_did(tmp_path: Path) -> None:
    # Due: 1 tce ÷ 365 ÷ 0.1229 = 22.3 kWh a day. Four days of 60 kWh, five of 6, seven dark ones from Friday
    # 10 January on, and 6 again on the 17th. Wednesday the 15th is the fourth working day without a figure.
    point = m.registered_point(1, kind="amount", stat_type=1, grace_s=0)
    world = World(tmp_path, m.registry(m.points(point), quotas=m.quota(1)))
    story = [60] * 4 + [6] * 5 + [None] * 7 + [6]
    for day, kwh in enumerate(story):
        if kwh is not None:
            frame = m.readings(point["point"], [(m.T0 + day * DAY_S, kwh * 1_000_000)])
            world.deliver(frame, day)
        world.run(m.T0 + (day + 1) * DAY_S)
    live = [alert for alert in world.state.alerts_page() if alert.fired_at is not None]
    names = ("data-missing-beyond-repair-limit", PACE.name)
    assert sorted({alert.rule for alert in live} & set(names)) == sorted(names)

    days = range(m.DAY, m.DAY + len(story))
    past = History(world.state, world.registry, world.law, first=days[0], last=days[-1])
    for name in names:
        rule = world.law.rules[name]
        fired, _ = replay_rule(
            rule, lambda day, measure=rule.measure: past.measures_on(day, measure), days,
            region_of={m.ENTERPRISE: "430600"},
        )  # fmt: skip
        assert [w.alert for w in fired] == [alert for alert in live if alert.rule == name]
    world.state.close()


# ------------------------------------------------------------------------------------------ the command


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A service's settings over the books of one enterprise: a quota of 365 tce, one a day when linear.

    Ten days of 1.1 tce, then ten of 0.5. On day 11: 11.5 of 11 due, a pace of 1.045, no longer above 1.05.
    """
    data = tmp_path / "data"
    data.mkdir()
    days = [
        {"enterprise": m.ENTERPRISE, "day": FIRST + n, "published": True, "no_factor": ""}
        | {
            name: 0
            for name, kind in ENTERPRISE_DAYS.schema.items()
            if kind == pl.Int64 and name != "recheck_at"
        }
        | {f"{basis}_confirmed": True for basis in ("calorific", "equivalent", "carbon")}
        | {"calorific_g": 1_100_000 if n < 10 else 500_000, "measured_w": 1, "lowest_point": None}
        for n in range(20)
    ]
    registry = m.registry(m.points(m.registered_point(1)), quotas=m.quota(365))
    with opened(f"sqlite:///{data / 'state.db'}") as state:
        state.save_registry(registry, at=m.T0)
        lease = leased(state, "assess")
        state.commit_assessment(lease, commit_of(*days))
    path = tmp_path / "settings.toml"
    path.write_text(f'data_dir = "{data.as_posix()}"\n', encoding="utf-8")
    return path


def run(settings: Path, *more: str, rule: str = PACE.name, to: str = "2025-01-20") -> tuple[int, str]:
    line = ["replay", "--rule", rule, "--from", "2025-01-01", "--to", to, "--settings", str(settings)]
    done = CliRunner().invoke(app, [*line, *more])
    return done.exit_code, done.output


def answered(settings: Path, *more: str, **options: Any) -> dict[str, Any]:
    code, said = run(settings, "--json", *more, **options)
    assert code == 0, said
    answer: dict[str, Any] = json.loads(said)
    return answer


def test_the_command_says_which_alerts_would_have_fired(settings: Path) -> None:
    answer = answered(settings)
    assert answer == {
        "rule": "total-energy-ahead-of-pace", "from": "2025-01-01", "to": "2025-01-20", "never_held": 0,
        "alerts": [{
            "enterprise": m.ENTERPRISE, "enterprise_name": f"企业{m.ENTERPRISE}",
            "subject": "2025/calorific/total", "subject_name": "2025/calorific/total",
            "since": "2025-01-02T00:00:00+08:00", "is_since_window_start": True,
            "fired_at": "2025-01-04T00:00:00+08:00",
            "ended_at": "2025-01-12T00:00:00+08:00", "state": "resolved",
            "worst_severity": "orange", "worst_level": "", "is_confirmed": False,
        }],
    }  # fmt: skip
    code, said = run(settings)
    assert code == 0
    assert "1 would have fired, 0 never held" in said


def test_in_a_pipe_every_alert_is_one_whole_line(settings: Path) -> None:
    code, said = run(settings)
    assert code == 0
    header, alert = (line.split("\t") for line in said.splitlines() if not line.startswith("#"))
    assert header[:3] == ["企业 enterprise", "对象 subject", "起 since"]
    assert alert == [
        f"企业{m.ENTERPRISE}（{m.ENTERPRISE}）", "2025/calorific/total",
        "2025-01-02 00:00 窗口起点（可能更早）/ at or before the window's start",
        "2025-01-04 00:00", "2025-01-12 00:00", "resolved", "橙色 orange",
    ]  # fmt: skip


def test_on_a_narrow_terminal_nothing_is_cut_either() -> None:
    out = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    fired, never_held = replayed(1.0, 1.1, 1.1, 1.1)
    days = dt.date(2025, 1, 1), dt.date(2025, 1, 4)
    print_replay(Replay(PACE, *days, tuple(fired), never_held), out)
    said = out.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    assert "…" not in said.replace(" … ", "")
    assert "窗口起点" not in said


def test_only_what_began_on_the_first_day_may_have_begun_before() -> None:
    (early,), _ = replayed(1.1, 1.1, 1.1)
    (later,), _ = replayed(1.0, 1.1, 1.1, 1.1)
    assert (early.is_since_window_start, later.is_since_window_start) == (True, False)


def test_a_rule_that_nobody_enabled_is_replayed_from_its_directory(settings: Path, tmp_path: Path) -> None:
    county = tmp_path / "county"
    county.mkdir()
    (county / "rules.toml").write_text(
        """[[rule]]
name = "county-pace"
measure = "progress_ratio"
op = ">"
bands = [{ threshold = 1.0, severity = "yellow" }, { threshold = 1.08, severity = "red", level = "一级" }]
hold = "0s"
min_coverage = 0.9
legal_basis = "县文件"
confidence = "official"
summary_zh = "超前"
summary_en = "ahead"
enabled = false
""",
        encoding="utf-8",
    )
    # n days after the tenth 11 + 0.5 n tce are used of 10 + n due: 12 of 12 on day 12, no longer above 1.0.
    (alert,) = answered(settings, "--rulebook", str(county), rule="county-pace")["alerts"]
    assert (alert["fired_at"], alert["ended_at"]) == (
        "2025-01-02T00:00:00+08:00",
        "2025-01-13T00:00:00+08:00",
    )
    assert (alert["state"], alert["worst_severity"], alert["worst_level"]) == ("resolved", "red", "一级")
    assert alert["is_confirmed"]


def test_nothing_is_written(settings: Path) -> None:
    database = settings.parent / "data" / "state.db"
    before = database.read_bytes()
    answered(settings)
    assert database.read_bytes() == before


def test_only_the_enterprises_asked_for_are_looked_at(settings: Path) -> None:
    assert len(answered(settings, "--enterprise", m.ENTERPRISE)["alerts"]) == 1
    code, said = run(settings, "--enterprise", "91350100M000100Y43")
    assert code == 2
    assert "not registered" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rule": "no-such-rule"}, "no rule"),
        ({"rule": "device-silent"}, "silence leaves no history"),
        ({"to": "2024-12-31"}, "no day"),
    ],
)
def test_what_cannot_be_replayed_is_refused(settings: Path, options: dict[str, str], said: str) -> None:
    code, output = run(settings, **options)
    assert code == 2
    assert said in output
