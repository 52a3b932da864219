"""The cycle on real stores: SQLite for the state, memory for readings and results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analytics.assessment import assess
from analytics.factor_library import load_factors
from nengshao.domain.alerts import AlertState
from nengshao.domain.errors import StoreUnavailable
from nengshao.registry import Registry
from nengshao.stores.memory import MemoryResultStore
from tests.support import metering as m
from tests.support.world import World

DAY_S = 86_400
POINT = m.registered_point(1)
DAILY = m.registered_point(1, kind="amount", stat_type=1, grace_s=0)


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Any]:
    made: list[World] = []

    def make(registry: Registry, results: Any = None) -> World:
        made.append(World(tmp_path, registry, results))
        return made[-1]

    yield make
    for world in made:
        world.state.close()


def steady(days: int, kwh_per_quarter: float = 1.0, first: int = 0) -> pl.DataFrame:
    count = days * 96 + 1
    start = m.T0 + first * DAY_S
    base = first * 96 * kwh_per_quarter
    return m.readings(POINT["point"], m.kwh(*(base + i * kwh_per_quarter for i in range(count)), start=start))


def registered(**tables: pl.DataFrame) -> Registry:
    quotas = m.quota(10)
    return m.registry(m.points(POINT), quotas=quotas, devices=m.devices((m.ENTERPRISE, "D")), **tables)


def all_nodes(tree: Any) -> list[Any]:
    return [tree, *(part for child in tree["children"] for part in all_nodes(child))]


def test_a_first_cycle_gives_every_active_day_a_result_even_without_readings(make_world: Any) -> None:
    world = make_world(registered())
    report = world.run(m.T0 + 3 * DAY_S)
    days = world.days()
    assert report.days == 4
    assert days["day"].to_list() == [m.DAY, m.DAY + 1, m.DAY + 2, m.DAY + 3]
    assert days["calorific_g"].to_list() == [None] * 4  # missing is never zero
    assert days["published"].to_list() == [True, True, False, False]  # an hour's grace after midnight


def test_readings_become_tce_progress_and_load(make_world: Any) -> None:
    world = make_world(registered())
    world.deliver(steady(2), 0, 1, 2, heard=m.T0 + 2 * DAY_S)
    world.run(m.T0 + 2 * DAY_S + 3600)
    days = world.days()
    # 96 kWh × 0.1229 kgce/kWh = 11.7984 kgce
    assert days["calorific_g"].to_list()[:2] == [11_798, 11_798]
    progress = world.state.progress([m.ENTERPRISE]).to_dicts()[0]
    assert progress["as_of_day"] == m.DAY + 1
    assert progress["used_g"] == 23_596
    assert progress["due_g"] == round(10_000_000 * 2 / 365)
    load = world.results.load(m.ENTERPRISE, m.T0, m.T0 + DAY_S)
    assert load["amount"].to_list() == [4_000] * 24
    assert world.results.days.height == 3
    assert world.state.due_projections(0, 10) == {}


def test_a_second_cycle_without_news_does_nothing(make_world: Any) -> None:
    world = make_world(registered())
    world.deliver(steady(2), 0, 1, 2, heard=m.T0 + 2 * DAY_S)
    world.run(m.T0 + 2 * DAY_S + 3600)
    report = world.run(m.T0 + 2 * DAY_S + 3600)
    assert (report.days, report.judged, report.steps, report.projected) == (0, 0, 0, 0)


def test_pending_time_turns_missing_without_any_message(make_world: Any) -> None:
    world = make_world(registered())
    world.run(m.T0 + 1800)
    assert world.days()["missing_w"][0] == 0
    world.run(m.T0 + 3600 + 1800)
    weight = 294_960  # 2 400 kWh a day × 0.1229
    assert world.days()["missing_w"][0] == 1800 * weight


def test_late_data_revise_a_published_day_and_say_so(make_world: Any) -> None:
    world = make_world(registered())
    everything = steady(3)
    inside = (pl.col("ts") > m.T0 + DAY_S + 3600) & (pl.col("ts") < m.T0 + DAY_S + 10 * 3600)
    world.deliver(everything.filter(~inside), 0, 1, 2, 3)
    world.run(m.T0 + 3 * DAY_S + 3600)
    assert world.state.blocks([m.ENTERPRISE], m.T0, m.T0 + 9 * DAY_S)["amount"].to_list() == [36_000]
    world.deliver(everything.filter(inside), 1, late=True)
    report = world.run(m.T0 + 3 * DAY_S + 3600)
    assert report.revisions == 1
    revision = world.state.revisions(m.ENTERPRISE, m.DAY, m.DAY + 9)[0]
    assert (revision["day"], revision["cause"]) == (m.DAY + 1, "late_data")
    assert revision["before"]["enterprise_day"]["calorific_g"] == round(60 * 122.9)
    assert revision["after"]["enterprise_day"]["calorific_g"] == 11_798
    assert world.state.blocks([m.ENTERPRISE], m.T0, m.T0 + 9 * DAY_S).is_empty()


def test_a_corrected_amount_is_a_correction(make_world: Any) -> None:
    world = make_world(m.registry(m.points(DAILY)))
    world.deliver(m.readings(DAILY["point"], [(m.T0, 5_000_000)]), 0)
    world.run(m.T0 + DAY_S)
    world.deliver(m.readings(DAILY["point"], [(m.T0, 7_000_000)], version=m.T0 + 100), 0)
    world.run(m.T0 + DAY_S)
    revisions = world.state.revisions(m.ENTERPRISE, m.DAY, m.DAY + 1)
    assert [r["cause"] for r in revisions] == ["correction"]


def test_a_months_figure_fills_all_days_of_its_month(make_world: Any) -> None:
    coal = m.registered_point(
        2,
        kind="amount",
        stat_type=2,
        carrier="raw_coal",
        unit="kg",
        capacity=None,
        cadence_s=None,
        grace_s=10 * DAY_S,
    )
    world = make_world(m.registry(m.points(coal)))
    world.run(m.T0 + 35 * DAY_S)
    assert world.days(0, 31)["published"].to_list() == [False] * 31
    world.deliver(
        m.readings(coal["point"], [(m.T0, 31_000_000_000)]), 0
    )  # 31 t for January, entered in February
    world.run(m.T0 + 36 * DAY_S)
    january = world.days(0, 31)
    assert january["calorific_g"].to_list() == [714_300] * 31
    assert january["published"].to_list() == [True] * 31
    assert january["estimated_w"].min() == january["estimated_w"].max() > 0


def test_a_device_falls_silent_and_speaks_again(make_world: Any) -> None:
    world = make_world(registered())
    world.deliver(steady(1), 0, heard=m.T0 + DAY_S)
    world.run(m.T0 + DAY_S + 7200)
    assert world.state.open_alerts(0) == []  # not yet: due after a quarter hour, then two hours
    world.run(m.T0 + DAY_S + 7200 + 901)
    (alert,) = world.state.open_alerts(0)
    assert (alert.rule, alert.subject, alert.state) == ("device-silent", "D", AlertState.FIRING)
    assert not alert.is_confirmed
    found = world.state.alert(alert.alert_id)
    assert found is not None
    assert found[2] is not None
    assert found[2]["label"].startswith("不作为执法依据")
    assert str(POINT["point"]) in str(found[2]["tree"])  # it names the points that the device serves
    world.deliver(steady(1).tail(1), 1, heard=m.T0 + DAY_S + 8200)
    world.run(m.T0 + DAY_S + 8300)
    assert world.state.open_alerts(0) == []
    assert [notice.reason for notice in world.state.undelivered(10)] == ["fired", "resolved"]


def test_a_total_ahead_of_pace_fires_after_its_hold_and_opens_up(make_world: Any) -> None:
    world = make_world(m.registry(m.points(POINT), quotas=m.quota(1)))  # due: 2.74 kg a day
    world.deliver(steady(6, 0.3), *range(7))  # uses 3.5 kg a day
    world.run(m.T0 + DAY_S + 7200)  # two days are known: the first breach is a day old
    assert [a.state for a in world.state.open_alerts(0)] == [AlertState.PENDING]
    world.run(m.T0 + 2 * DAY_S + 7200)
    (alert,) = world.state.open_alerts(0)
    assert (alert.state, alert.breached_s) == (AlertState.FIRING, 2 * DAY_S)
    found = world.state.alert(alert.alert_id)
    assert found is not None
    assert found[2] is not None
    used = world.state.progress([m.ENTERPRISE])["used_g"].item()
    (total,) = [part for part in all_nodes(found[2]["tree"]) if part["kind"] == "total"]
    assert total["exact"] == used
    assert any(part["name"] == "gbt2589-2020/electricity/calorific" for part in all_nodes(total))


def test_late_data_that_undo_an_alert_correct_it(make_world: Any) -> None:
    world = make_world(m.registry(m.points(DAILY), quotas=m.quota(1)))
    for day in range(4):
        world.deliver(
            m.readings(DAILY["point"], [(m.T0 + day * DAY_S, 60_000_000)]), day
        )  # 60 kWh where 22 are due
        world.run(m.T0 + (day + 1) * DAY_S)
    assert [a.state for a in world.state.open_alerts(0)] == [AlertState.FIRING]
    fixed = [(m.T0 + day * DAY_S, 6_000_000) for day in range(4)]
    world.deliver(m.readings(DAILY["point"], fixed, version=m.T0 + 9 * DAY_S), *range(4))
    world.run(m.T0 + 4 * DAY_S)
    assert world.state.open_alerts(0) == []
    assert [a.state for a in world.state.alerts_page()] == [AlertState.CORRECTED]


class Away(MemoryResultStore):
    """A result store that cannot be reached."""

    is_away = True

    def write_load(self, load: pl.DataFrame) -> None:
        if self.is_away:
            raise StoreUnavailable("away")
        super().write_load(load)

    def write_figures(self, *frames: pl.DataFrame) -> None:
        if self.is_away:
            raise StoreUnavailable("away")
        super().write_figures(*frames)


def test_projections_are_made_up_for_when_the_result_store_is_back(make_world: Any) -> None:
    world = make_world(registered(), Away())
    world.deliver(steady(1), 0, 1)
    report = world.run(m.T0 + DAY_S + 3600)
    assert not report.is_projected
    assert world.days()["calorific_g"][0] == 11_798
    world.results.is_away = False
    report = world.run(m.T0 + DAY_S + 3600)
    assert (report.is_projected, report.projected) == (True, 2)
    assert world.results.load(m.ENTERPRISE, m.T0, m.T0 + DAY_S).height == 24


def test_days_outside_activity_have_no_results(make_world: Any) -> None:
    own = m.enterprises(active_from=m.T0 + DAY_S, active_to=m.T0 + 3 * DAY_S)
    world = make_world(registered(enterprises=own))
    world.deliver(steady(5), *range(6))
    world.run(m.T0 + 9 * DAY_S)
    assert world.days()["day"].to_list() == [m.DAY + 1, m.DAY + 2]


def test_a_day_in_the_future_waits_for_its_time(make_world: Any) -> None:
    world = make_world(registered())
    world.deliver(steady(1), 5)
    report = world.run(m.T0 + 3600)
    assert report.days == 1
    assert world.state.claim_dirty(0, 10)["day"].to_list() == [m.DAY + 5]


def test_portions_of_any_size_give_what_the_whole_series_gives(make_world: Any) -> None:
    world = make_world(registered())
    values = [float(i) for i in range(96 * 8 + 1)]
    values[95], values[97], values[96 * 3], values[500] = 4000.0, 2.0, 9.0, 9999.0  # spikes near midnight
    gone = set(range(400, 480)) | set(range(600, 610))
    frame = m.readings(POINT["point"], [pair for i, pair in enumerate(m.kwh(*values)) if i not in gone])
    for start in range(0, 9):  # day by day, in order, a cycle after each
        piece = frame.filter(
            pl.col("ts") >= m.T0 + start * DAY_S - 1, pl.col("ts") < m.T0 + (start + 1) * DAY_S
        )
        world.deliver(piece, *range(max(0, start - 1), start + 1))  # as ingest marks reads in order
        world.run(m.T0 + (start + 1) * DAY_S - 1)
    world.run(m.T0 + 9 * DAY_S)
    whole = assess(
        frame.lazy(), world.registry, load_factors(),
        window=(m.DAY, m.DAY + 9), as_of=m.T0 + 9 * DAY_S,
    ).collect()  # fmt: skip
    now = world.state.point_days([m.ENTERPRISE], m.DAY, m.DAY + 9)
    figures = ["day", "amount", "measured_s", "estimated_s", "calorific_g"]
    assert now.select(figures).head(8).equals(whole.point_days.select(figures).head(8))
    assert world.state.blocks([m.ENTERPRISE], m.T0, m.T0 + 9 * DAY_S).equals(whole.blocks)
