"""Regions in the cycle: sums of published days, their targets, their alerts, across partitions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from nengshao.domain.codes import REGION_PARTITION, credit_code_check_character
from nengshao.domain.time import day_number
from nengshao.frames import STATISTICS
from nengshao.registry import REGIONS, Registry
from tests.support import metering as m
from tests.support.world import World

DAY_S = 86_400
A = m.ENTERPRISE
B = "91990100MA0000001" + credit_code_check_character("91990100MA0000001")
COUNTY, CITY = "430621", "430600"
TREE = pl.DataFrame([(CITY, "市", None), (COUNTY, "县", CITY)], schema=dict(REGIONS.schema), orient="row")
DAILY = {"kind": "amount", "stat_type": 1, "grace_s": 0}
OF_A, OF_B = m.registered_point(1, **DAILY), m.registered_point(1, enterprise=B, **DAILY)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, registered())
    yield made
    made.state.close()


def registered(**tables: pl.DataFrame) -> Registry:
    units = m.enterprises(A, B).with_columns(region=pl.lit(COUNTY))
    quotas = pl.concat([m.quota(1), m.quota(1, enterprise=CITY)])
    return m.registry(
        m.points(OF_A, OF_B), **({"enterprises": units, "regions": TREE, "quotas": quotas} | tables)
    )


def kwh(point: dict[str, Any], *values: float, version: int | None = None) -> pl.DataFrame:
    return m.readings(point["point"], m.kwh(*values, step=DAY_S), version=version)


def test_a_region_adds_up_what_its_members_have_published(world: World) -> None:
    world.deliver(kwh(OF_A, 100, 100), 0, 1)
    world.deliver(kwh(OF_B, 10, 10), 0, 1)
    world.run(m.T0 + 2 * DAY_S)
    world.run_regions()
    for region in (COUNTY, CITY):
        days = world.days(0, 2, region)
        assert days["calorific_g"].to_list() == [13_519, 13_519]  # 12 290 + 1 229
        assert days["published"].to_list() == [True, True]
    assert world.state.claim_dirty(REGION_PARTITION, 10).is_empty()


def test_an_open_day_of_a_member_is_no_news_for_its_region(world: World) -> None:
    world.run(m.T0 + DAY_S // 2)
    assert world.state.claim_dirty(REGION_PARTITION, 10).is_empty()
    assert world.run_regions().days == 0


def test_a_late_reading_of_a_member_revises_its_regions(world: World) -> None:
    world.deliver(kwh(OF_A, 100), 0)
    world.deliver(kwh(OF_B, 10), 0)
    world.run(m.T0 + DAY_S)
    world.run_regions()
    world.deliver(kwh(OF_B, 20, version=m.T0 + DAY_S), 0)
    world.run(m.T0 + DAY_S)
    report = world.run_regions()
    assert (report.days, report.revisions) == (2, 2)  # county and city
    (revision,) = world.state.revisions(CITY, m.DAY, m.DAY + 1)
    assert revision["cause"] == "member"
    assert revision["after"]["enterprise_day"]["calorific_g"] == 12_290 + 2_458


def test_a_region_is_judged_by_its_own_quota(world: World) -> None:
    for day in range(5):
        world.deliver(kwh(OF_A, *[60] * (day + 1)), day)  # 7.4 kg a day where 2.7 are due
        world.deliver(kwh(OF_B, *[60] * (day + 1)), day)
        world.run(m.T0 + (day + 1) * DAY_S)
        world.run_regions()
    progress = world.state.progress([CITY]).to_dicts()[0]
    assert progress["used_g"] == 5 * 2 * 7_374
    alerts = [a for a in world.state.open_alerts(REGION_PARTITION) if a.rule == "total-energy-ahead-of-pace"]
    assert [(a.enterprise, a.state.value) for a in alerts] == [(CITY, "firing")]
    found = world.state.alert(alerts[0].alert_id)
    assert found is not None
    assert found[2] is not None
    tree = found[2]["tree"]
    assert tree is not None


def test_gdp_and_energy_of_a_region_are_statistics_and_nothing_else(world: World) -> None:
    def stated(indicator: str, item: str, year: int, value: int, unit: str, version: int) -> tuple[Any, ...]:
        first, end = (day_number(dt.date(y, 1, 1)) for y in (year, year + 1))
        return (
            CITY,
            indicator,
            item,
            first,
            end,
            version,
            value,
            unit,
            "final",
            "公报",
            "局",
            "局",
            version,
            "",
        )

    rows = [
        stated("energy_consumption", "total", 2025, 900_000, "tce", 1),
        stated("gdp_comparable", "", 2025, 2_000_000, "1e4CNY", 1),
    ]
    world.state.put_statistics(pl.DataFrame(rows, schema=dict(STATISTICS.schema), orient="row"))
    world.run(m.T0 + 400 * DAY_S)
    world.run_regions()
    found = world.state.intensity([CITY]).filter(pl.col("period") == "2025", pl.col("scope") == "total")
    # 900 tce / 2 000 万元 = 450 kgce/万元, whatever the meters say
    assert found.filter(pl.col("basis") == "equivalent")["intensity"].to_list() == [450.0]
