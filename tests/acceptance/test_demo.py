"""`nengshao demo --once --json` as a user runs it, twice over one folder, and `nengshao check`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

NENGSHAO = Path(sys.executable).with_name("nengshao")
OUTCOMES = ("stored", "duplicate", "corrected", "superseded", "quarantined")
NUMBER, TEXT, LIST, TABLE = (int, float), (str,), (list,), (dict,)
NONE = (type(None),)
ENTERPRISE_TYPES: dict[str, tuple[type, ...]] = {
    "code": TEXT, "name": TEXT, "tce_calorific": NUMBER + NONE, "tce_equivalent": NUMBER + NONE,
    "quota_tce": NUMBER, "quota_basis": TEXT, "pace": NUMBER, "as_of": TEXT, "coverage": TABLE,
    "alerts": LIST,
}  # fmt: skip


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The console script in a folder of its own, without settings of the machine's."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NENGSHAO_")}
    return subprocess.run(
        [NENGSHAO, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def first(folder: Path) -> tuple[dict[str, Any], float]:
    """The first run's report, and how long it took."""
    return demo(folder)


def demo(folder: Path) -> tuple[dict[str, Any], float]:
    started = time.monotonic()
    done = run(folder, "demo", "--once", "--json", "--data", "data", "--port", "0")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), time.monotonic() - started


def test_the_report_has_the_shape_that_was_promised(first: tuple[dict[str, Any], float]) -> None:
    report, _ = first
    assert set(report) == {"enterprises", "ledger", "in_flight"}
    assert len(report["enterprises"]) == 4  # the real plant and the fleet of three
    for row in report["enterprises"]:
        assert {
            name: isinstance(row[name], types) for name, types in ENTERPRISE_TYPES.items()
        } == dict.fromkeys(ENTERPRISE_TYPES, True)
        assert set(row["coverage"]) == {"measured", "estimated", "missing", "pending"}
        assert sum(row["coverage"].values()) == pytest.approx(1.0, abs=1e-5)
        assert row["quota_basis"] in ("calorific", "equivalent")
    assert set(report["ledger"]) == {"received", *OUTCOMES}
    assert all(type(count) is int for count in report["ledger"].values())
    assert type(report["in_flight"]) is int


def test_the_ledger_balances_and_nothing_is_under_way(first: tuple[dict[str, Any], float]) -> None:
    ledger = first[0]["ledger"]
    assert ledger["received"] == sum(ledger[outcome] for outcome in OUTCOMES) > 300_000
    assert min(ledger["duplicate"], ledger["corrected"], ledger["quarantined"]) > 0
    assert first[0]["in_flight"] == 0


def test_the_real_plant_has_its_117_939_tce(first: tuple[dict[str, Any], float]) -> None:
    plant = next(row for row in first[0]["enterprises"] if "光阳" in row["name"])
    assert round(plant["tce_calorific"], 3) == 117.939
    assert plant["tce_equivalent"] is None  # no factor for 2018: never a guess
    assert plant["coverage"] == {"measured": 1.0, "estimated": 0.0, "missing": 0.0, "pending": 0.0}
    assert plant["as_of"] == "2018-12-31"


def test_somebody_of_the_fleet_is_ahead_of_its_pace(first: tuple[dict[str, Any], float]) -> None:
    firing = [a for row in first[0]["enterprises"] for a in row["alerts"] if a["state"] == "firing"]
    assert "total-energy-ahead-of-pace" in {alert["rule"] for alert in firing}


def test_a_second_run_continues_and_changes_no_figure(
    folder: Path, first: tuple[dict[str, Any], float]
) -> None:
    report, seconds = demo(folder)
    assert report == first[0]
    assert seconds < first[1]  # nothing is played again


def test_check_finds_a_shipped_installation_in_order(tmp_path: Path) -> None:
    done = run(tmp_path, "check")
    assert done.returncode == 0, done.stderr
    assert "total-energy-ahead-of-pace" in done.stdout


def test_check_refuses_settings_and_lists_every_problem(tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('partition = 3\n[mqtt]\nport = "none"\n[ingest]\nbatch_rows = 0\n', encoding="utf-8")
    done = run(tmp_path, "check", "--settings", str(settings))
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("✗")]
    assert sorted(line.split()[1].rstrip(":") for line in lines) == [
        "ingest.batch_rows",
        "mqtt.port",
        "partition",
    ]
