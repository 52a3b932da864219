"""What makes the cycle judge: published figures, statements, closings; and what it then says."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analytics.cycle.facts import registry_of
from analytics.cycle.history import figures_of
from analytics.standing import standing_of
from nengshao.domain.alerts import AlertState
from nengshao.domain.codes import credit_code_check_character
from nengshao.domain.time import day_number
from nengshao.frames import INTENSITY_TARGETS, PRODUCTS, STATISTICS
from nengshao.registry import Registry
from tests.support import metering as m
from tests.support.world import World

DAY_S = 86_400
POWER = m.registered_point(1, kind="amount", stat_type=1, grace_s=0)
FEBRUARY = day_number(dt.date(2025, 2, 1))
PRODUCT = ("clinker", "熟料", "t", "", m.T0, None)


def registered(**tables: pl.DataFrame) -> Registry:
    products = pl.DataFrame([(m.ENTERPRISE, *PRODUCT)], schema=dict(PRODUCTS.schema), orient="row")
    target = (
        m.ENTERPRISE,
        2025,
        "calorific",
        "total",
        "product:clinker",
        "base",
        10_000_000,
        None,
        None,
        "文",
        "official",
    )
    targets = pl.DataFrame([target], schema=dict(INTENSITY_TARGETS.schema), orient="row")
    return m.registry(m.points(POWER), products=products, intensity_targets=targets, **tables)


def output(tonnes: int, *, version: int = 1, state: str = "approved") -> pl.DataFrame:
    """What was made in January."""
    row = (
        m.ENTERPRISE, "output", "clinker", m.DAY, FEBRUARY, version, tonnes * 1000, "t", state, "月报",
        "企业", "", None, "",
    )  # fmt: skip
    return pl.DataFrame([row], schema=dict(STATISTICS.schema), orient="row")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, registered())
    january = [(m.T0 + day * DAY_S, 100_000_000) for day in range(31)]  # 100 kWh a day: 12.29 kgce
    made.deliver(m.readings(POWER["point"], january), *range(31))
    made.run(m.T0 + 32 * DAY_S)
    yield made
    made.state.close()


def january(world: World) -> dict[str, Any]:
    rows = world.state.intensity([m.ENTERPRISE]).filter(
        pl.col("period") == "2025-01", pl.col("basis") == "calorific"
    )
    return rows.row(0, named=True)


def alerts(world: World, rule: str) -> list[tuple[str, AlertState, str]]:
    return [(a.subject, a.state, a.severity) for a in world.state.alerts_page() if a.rule == rule]


def test_a_stated_output_makes_an_intensity_in_the_next_cycle(world: World) -> None:
    assert world.run(m.T0 + 32 * DAY_S).judged == 0
    world.state.put_statistics(output(30))
    assert world.run(m.T0 + 32 * DAY_S).judged == 1
    row = january(world)
    # 31 × 12 290 g = 380 990 g over 30 t: 12.6997 kgce/t
    assert (row["energy_g"], row["quantity"], row["is_whole"]) == (380_990, 30_000, True)
    assert row["intensity"] == pytest.approx(12.699666)


def test_a_rejected_correction_leaves_the_approved_figure_in_force(world: World) -> None:
    world.state.put_statistics(output(30))
    world.state.put_statistics(output(60, version=2, state="submitted"))
    world.run(m.T0 + 32 * DAY_S)
    assert (january(world)["quantity"], january(world)["is_confirmed"]) == (60_000, False)
    key = (m.ENTERPRISE, "output", "clinker", m.DAY, 2)
    assert world.state.decide_statistic(*key, "rejected", "监察员", "与库存不符", m.T0)
    world.run(m.T0 + 32 * DAY_S)
    assert january(world)["quantity"] == 30_000


def test_a_missed_intensity_target_fires_and_a_corrected_output_corrects_it(world: World) -> None:
    world.state.put_statistics(output(30))  # 12.7 kgce/t where 10 are allowed
    for day in (32, 40):
        world.run(m.T0 + day * DAY_S)
    (fired,) = alerts(world, "intensity-target-missed")
    # Whether it fell or rose nobody can say without the year before: it is missed, at least.
    assert fired == ("2025/calorific/total/product:clinker", AlertState.FIRING, "orange")
    world.state.put_statistics(output(50, version=2))  # 7.6 kgce/t
    world.run(m.T0 + 40 * DAY_S)
    assert {state for _, state, _ in alerts(world, "intensity-target-missed")} == {AlertState.CORRECTED}


def test_a_day_that_is_still_open_judges_nobody(world: World) -> None:
    world.deliver(m.readings(POWER["point"], []), 32)
    report = world.run(m.T0 + 32 * DAY_S + 3600)
    assert (report.days, report.judged) == (1, 0)


def test_late_data_of_a_closed_month_are_a_proposal_until_a_person_accepts_it(world: World) -> None:
    state = world.state
    state.close_period(m.ENTERPRISE, m.DAY, FEBRUARY, "局", "一月结账", m.T0)
    world.deliver(m.readings(POWER["point"], [(m.T0, 300_000_000)], version=m.T0 + 40 * DAY_S), 0)
    report = world.run(m.T0 + 33 * DAY_S)
    assert world.days(0, 1)["calorific_g"].to_list() == [12_290]
    assert state.revisions(m.ENTERPRISE, m.DAY, m.DAY + 1) == []
    (proposal,) = state.proposals([m.ENTERPRISE], state="open")
    assert proposal["day"] == m.DAY
    assert report.days >= 1
    assert state.decide_proposal(proposal["proposal_id"], accept=True, by="科长", reason="现场核实", at=m.T0)
    assert world.days(0, 1)["calorific_g"].to_list() == [36_870]
    (revision,) = state.revisions(m.ENTERPRISE, m.DAY, m.DAY + 1)
    assert (revision["cause"], revision["decided_by"], revision["reason"]) == ("accepted", "科长", "现场核实")
    assert world.run(m.T0 + 33 * DAY_S).judged == 1


# ------------------------------------------------------------------------------------ years and batching


def two_years(path: Path, **tables: pl.DataFrame) -> World:
    """A plant without any target: 100 kWh a day throughout 2025."""
    made = World(path, m.registry(m.points(POWER), products=registered().products, **tables))
    days = [(m.T0 + day * DAY_S, 100_000_000) for day in range(365)]
    made.deliver(m.readings(POWER["point"], days), *range(365))
    return made


def test_a_year_is_still_judged_after_it_has_ended(tmp_path: Path) -> None:
    world = two_years(tmp_path)
    try:
        world.run(m.T0 + 365 * DAY_S)
        year = STATISTICS.empty()
        for month in range(1, 13):
            first = dt.date(2025, month, 1)
            end = dt.date(2025 + month // 12, month % 12 + 1, 1)
            row = (
                m.ENTERPRISE, "output", "clinker", day_number(first), day_number(end), 1, 100_000, "t",
                "approved", "月报", "企业", "", None, "",
            )  # fmt: skip
            stated = pl.DataFrame([row], schema=dict(STATISTICS.schema), orient="row")
            year = pl.concat([year, stated])
        world.state.put_statistics(year.filter(pl.col("first_day") < day_number(dt.date(2025, 12, 1))))
        world.run(m.T0 + 366 * DAY_S)
        world.state.put_statistics(year.tail(1))  # December's output, stated on 10 January
        world.run(m.T0 + 375 * DAY_S)
        rows = world.state.intensity([m.ENTERPRISE]).filter(
            pl.col("period") == "2025", pl.col("basis") == "calorific"
        )
        # 365 × 12 290 g over 1 200 t
        assert rows.select("is_whole", "energy_g").rows() == [(True, 4_485_850)]
        assert rows["intensity"].item() == pytest.approx(4485.85 / 1200)
    finally:
        world.state.close()


def test_a_hold_is_event_time_however_seldom_a_cycle_runs(tmp_path: Path) -> None:
    world = World(tmp_path, m.registry(m.points(POWER), quotas=m.quota(1)))  # 2.7 kg a day are due
    try:
        days = [(m.T0 + day * DAY_S, 60_000_000) for day in range(10)]  # 7.4 kg a day
        world.deliver(m.readings(POWER["point"], days), *range(10))
        world.run(m.T0 + 10 * DAY_S)  # one cycle for all ten days
        (alert,) = [a for a in world.state.alerts_page() if a.rule == "total-energy-ahead-of-pace"]
        assert (alert.state, alert.breached_s) == (AlertState.FIRING, 2 * DAY_S)
    finally:
        world.state.close()


def test_what_is_said_of_one_does_not_depend_on_who_is_judged_beside_it(tmp_path: Path) -> None:
    other = m.ENTERPRISE[:16] + "1"
    other += credit_code_check_character(other)
    beside = m.registered_point(1, enterprise=other, kind="amount", stat_type=1, grace_s=0)
    quotas = pl.concat([m.quota(5), m.quota(9, enterprise=other, year=2023)])
    registry = m.registry(
        m.points(POWER, beside), products=registered().products, quotas=quotas,
        enterprises=m.enterprises(m.ENTERPRISE, other),
    )  # fmt: skip
    world = World(tmp_path, registry)
    try:
        for point in (POWER, beside):
            days = [(m.T0 + day * DAY_S, 100_000_000) for day in range(31)]
            world.deliver(m.readings(point["point"], days), *range(31))
        world.state.put_statistics(output(30))
        world.run(m.T0 + 40 * DAY_S)
        today = m.DAY + 40
        said = []
        for names in ([m.ENTERPRISE], [m.ENTERPRISE, other]):
            own = registry_of(world.state.registry(), names)
            figures = figures_of(world.state, own, names, today=today, recent_from=m.DAY)
            standing = standing_of(figures, own, world.law, today=today)
            frames = (standing.progress, standing.intensity, standing.measures)
            said.append([frame.filter(pl.col("enterprise") == m.ENTERPRISE) for frame in frames])
        assert all(one.equals(two) and one.height for one, two in zip(*said, strict=True))
    finally:
        world.state.close()
