"""The short set of scenarios, with a seed drawn afresh; `make chaos` plays the long one."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from influxdb_client.client.influxdb_client import InfluxDBClient

from tests.chaos.runner import audited, bring_to_rest, run
from tests.chaos.scenarios import Scenario, random_kills, short_set, small
from tests.chaos.stack import TARGETS, Servers, Stack
from tests.servers.influx import Influx
from tests.servers.mosquitto import Mosquitto
from tests.servers.plugin import _private
from tests.servers.postgres import Postgres
from tests.support.site import Site

pytestmark = pytest.mark.live

CHANCE = random.SystemRandom()  # any seed must do; pytest-randomly would choose the same one again


@pytest.fixture(scope="module")
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """Servers of this module alone, to kill; one set for all of it, since their start takes longest."""
    with (
        _private(Mosquitto, request) as mosquitto,
        _private(Influx, request) as influx,
        _private(Postgres, request) as postgres,
    ):
        yield Servers(mosquitto, influx, postgres)


@pytest.fixture
def seed() -> int:
    """Drawn afresh and printed with the verdict: with it the scenario can be repeated."""
    return CHANCE.randrange(10**6)


@pytest.mark.parametrize("scenario", short_set(), ids=lambda scenario: scenario.name)
def test_nothing_is_lost_or_double_and_totals_are_exact(
    scenario: Scenario, seed: int, servers: Servers, tmp_path: Path
) -> None:
    result = run(scenario, seed, tmp_path, servers)
    print(result.line())
    assert result.is_ok, f"{result.line()}\n{result.trace}"


def test_kills_cost_nothing_and_the_audit_sees_what_is_taken_away_or_counted_twice(
    seed: int, servers: Servers, tmp_path: Path
) -> None:
    scenario = small(random_kills(len(TARGETS)))
    print(f"{scenario.name} seed={seed}")
    with Stack(tmp_path, servers, scenario.plan(seed)) as stack:
        bring_to_rest(scenario, stack)
        before = audited(stack)
        assert before.is_ok, before
        assert stack.kills == len(TARGETS)
        take_a_reading_away(stack.site)
        assert audited(stack).lost == 1
        count_a_reading_twice(stack.site)
        after = audited(stack)
        assert (after.double, after.is_ok) == (1, False)


def take_a_reading_away(site: Site) -> None:
    """Delete one row of the readings' bucket, as nobody ever should."""
    code, point, _, _, time_ns = site.stored_readings().sort("time").row(100)
    at = dt.datetime.fromtimestamp(time_ns // 10**9, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    instant = f"{at}.{time_ns % 10**9:09d}Z"
    with InfluxDBClient(site.influx.url, site.influx.token, org=site.influx.org) as client:
        client.delete_api().delete(
            instant, instant, f'enterprise="{code}" AND point="{point}"', bucket=site.readings_bucket
        )


def count_a_reading_twice(site: Site) -> None:
    """Let the ledger say that one reading more was stored."""
    url = (site.folder / "state_url").read_text().replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url) as connection:
        connection.execute(
            "UPDATE ledger SET count = count + 1 WHERE ctid = "
            "(SELECT ctid FROM ledger WHERE outcome = 'stored' LIMIT 1)"
        )
