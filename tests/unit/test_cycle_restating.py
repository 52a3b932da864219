"""A changed factor library: exactly the days that rest on it are computed again, with a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from analytics.cycle import Cycle
from analytics.law import load_law
from nengshao.ports import Lease
from tests.support import metering as m
from tests.support.world import World

DAY_S = 86_400
POWER = m.registered_point(1, kind="amount", stat_type=1, grace_s=0)
COAL = m.registered_point(
    2, kind="amount", stat_type=1, grace_s=0, carrier="raw_coal", unit="kg", capacity=None
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, m.registry(m.points(POWER, COAL)))
    for day in range(3):
        instant = m.T0 + day * DAY_S
        made.deliver(m.readings(POWER["point"], [(instant, 100_000_000)]), day)
        made.deliver(m.readings(COAL["point"], [(instant, 10_000_000)]), day)
    made.run(m.T0 + 3 * DAY_S)
    yield made
    made.state.close()


@pytest.fixture
def overlay(tmp_path: Path) -> Callable[..., Path]:
    def write(**row: str) -> Path:
        folder = tmp_path / "county"
        folder.mkdir(exist_ok=True)
        facts = {
            "id": "county/electricity/equivalent", "carrier": "electricity", "basis": "equivalent",
            "kgce_per_unit": "0.31", "edition": "县公报", "source": "县公报 2025", "confidence": "official",
        } | row  # fmt: skip
        lines = [f'{key} = "{value}"' for key, value in facts.items() if not key.startswith("valid")]
        lines += [f"{key} = {value}" for key, value in facts.items() if key.startswith("valid")]
        (folder / "factors.toml").write_text("[[factor]]\n" + "\n".join(lines) + "\n", encoding="utf-8")
        return folder

    return write


def restart(world: World, **dirs: Any) -> Any:
    """Another process with other law, one cycle, half a day later."""
    world.clock.move_to(m.T0 + 3 * DAY_S + DAY_S // 2)
    law = load_law(**dirs)
    cycle = Cycle(world.state, world.readings, world.results, world.clock, law)
    lease = world.state.acquire_lease("assess", 0, "test", 60.0)
    assert isinstance(lease, Lease)
    return cycle.run_once(lease)


def test_the_first_library_is_remembered_and_restates_nothing(world: World) -> None:
    assert world.state.restatements() == []
    assert len(world.state.known_factors()) > 300
    assert restart(world).days == 0


def test_a_corrected_row_restates_the_days_of_its_carrier_with_a_report(
    world: World, overlay: Callable[..., Path]
) -> None:
    before = world.days(0, 3)
    folder = overlay(valid_from="2021-04-01")
    report = restart(world, factor_dirs=[folder])
    assert (report.days, report.revisions) == (4, 3)  # today has been computed, and is not published
    (restatement,) = world.state.restatements()
    assert {change["factor"] for change in restatement["changes"]} >= {"county/electricity/equivalent"}
    after = world.days(0, 3)
    # 100 kWh × 0.3 and × 0.31, beside 10 kg of coal at 0.7143
    assert before["equivalent_g"].to_list() == [37_143] * 3
    assert after["equivalent_g"].to_list() == [38_143] * 3
    assert after["calorific_g"].to_list() == before["calorific_g"].to_list()
    causes = {r["cause"] for r in world.state.revisions(m.ENTERPRISE, m.DAY, m.DAY + 3)}
    assert causes == {"factor"}
    assert restart(world, factor_dirs=[folder]).days == 0  # once is enough


def test_a_new_edition_changes_nothing_before_its_day(world: World, overlay: Callable[..., Path]) -> None:
    restart(world, factor_dirs=[overlay(valid_from="2025-01-03")])
    days = world.days(0, 3)
    assert days["equivalent_g"].to_list() == [37_143, 37_143, 38_143]
    assert [r["day"] for r in world.state.revisions(m.ENTERPRISE, m.DAY, m.DAY + 9)] == [m.DAY + 2]


def test_a_row_of_another_region_or_carrier_concerns_nobody(
    world: World, overlay: Callable[..., Path]
) -> None:
    elsewhere = overlay(valid_from="2021-04-01", region="110000")
    assert restart(world, factor_dirs=[elsewhere]).days == 0
    assert len(world.state.restatements()) == 1  # the report says that no day was reached
    assert world.state.restatements()[0]["days"] == 0


def test_a_row_corrected_under_its_own_id_is_a_change_of_factor_too(
    world: World, overlay: Callable[..., Path]
) -> None:
    typed = {
        "id": "county/power",
        "basis": "carbon",
        "valid_from": "2021-01-01",
        "unit": "kWh",
        "region": "430600",
    }
    first = overlay(**typed, kgce_per_unit="")
    (first / "factors.toml").write_text(
        (first / "factors.toml")
        .read_text(encoding="utf-8")
        .replace('kgce_per_unit = ""', 'kgco2_per_unit = "0.6"'),
        encoding="utf-8",
    )
    restart(world, factor_dirs=[first])
    (first / "factors.toml").write_text(
        (first / "factors.toml").read_text(encoding="utf-8").replace("0.6", "0.7"), encoding="utf-8"
    )
    restart(world, factor_dirs=[first])
    last = world.state.revisions(m.ENTERPRISE, m.DAY, m.DAY + 1)[-1]
    assert last["cause"] == "factor"
    assert last["after"]["point_days"][0]["carbon_g"] == 70_000  # 100 kWh × 0.7


def dark_days_with(world: World, overlay: Callable[..., Path], value: str) -> None:
    """Of POWER nothing comes on the days after the third; its factor of the county's own has this value."""
    world.clock.move_to(m.T0 + 6 * DAY_S)
    folder = overlay(id="county/power", basis="calorific", kgce_per_unit=value, valid_from="2021-01-01")
    cycle = Cycle(world.state, world.readings, world.results, world.clock, load_law(factor_dirs=[folder]))
    lease = world.state.acquire_lease("assess", 0, "test", 60.0)
    assert isinstance(lease, Lease)
    cycle.run_once(lease)


def test_on_a_dark_day_the_other_weight_of_a_corrected_row_is_a_change_of_factor(
    world: World, overlay: Callable[..., Path]
) -> None:
    dark_days_with(world, overlay, "0.12")
    dark_days_with(world, overlay, "0.13")
    last = world.state.revisions(m.ENTERPRISE, m.DAY + 4, m.DAY + 5)[-1]
    # 2 400 kWh a day are expected: × 0.12 and × 0.13 kg of standard coal
    sides = [
        next(row for row in last[side]["point_days"] if row["point"] == POWER["point"])
        for side in ("before", "after")
    ]
    assert [(row["amount"], row["weight_g_day"]) for row in sides] == [(None, 288_000), (None, 312_000)]
    assert last["cause"] == "factor"


def test_on_a_dark_day_another_expectation_is_a_change_of_the_registry(
    world: World, overlay: Callable[..., Path]
) -> None:
    dark_days_with(world, overlay, "0.12")
    dark_days_with(world, overlay, "0.13")
    changed = m.registry(m.points(POWER | {"expected_daily": 4_800_000}, COAL))
    world.state.save_registry(changed, at=world.clock.now())
    dark_days_with(world, overlay, "0.13")
    last = world.state.revisions(m.ENTERPRISE, m.DAY + 4, m.DAY + 5)[-1]
    weights = [last[side]["point_days"][0]["weight_g_day"] for side in ("before", "after")]
    assert (weights, last["cause"]) == ([312_000, 624_000], "registry")
