"""Grafana's dashboard on the real InfluxDB: our store writes, its own queries read with its own token."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from nengshao.domain.codes import PointKey
from nengshao.domain.time import accounting_day, day_start
from nengshao.frames import ENTERPRISE_DAYS, INTENSITY, LOAD, PROGRESS, Contract
from nengshao.stores.influx import InfluxResultStore
from tests.servers.influx import Influx
from tests.servers.server import DEPLOY

pytestmark = pytest.mark.live

DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "nengshao.json").read_text(encoding="utf-8"))
RESULTS = "nengshao-results"
HAS_CURL = shutil.which("curl") is not None

STEEL, CEMENT = "91350100M000100Y43", "91990000MA0000001X"
POWER = PointKey(STEEL, "0401000004020030", 0)
GAS = PointKey(STEEL, "0000000002330011", 0)
DAY = accounting_day(int(dt.datetime(2025, 3, 1, 12, tzinfo=dt.UTC).timestamp()))
START, STOP = day_start(DAY - 1), day_start(DAY + 10)

KILN_DAY_G = 412_350_000  # 412.35 tce a day
POWER_HOUR = 18_250_000  # 18 250 kWh, in 10⁻³ kWh


@dataclass(frozen=True)
class Stack:
    """A bucket, our store on it with the service's token, and Grafana's token."""

    bucket: str
    results: InfluxResultStore
    grafana: InfluxDBClient


@pytest.fixture
def stack(influx: Influx, influx_bucket: str, tmp_path: Path) -> Iterator[Stack]:
    """A running InfluxDB with the tokens that make-tokens.sh makes; the buckets are this test's own."""
    service, grafana = tokens(influx, influx_bucket, tmp_path)
    results = InfluxResultStore(influx.url, service, influx.org, influx_bucket, identities=identities)
    results.ensure_bucket()
    with InfluxDBClient(influx.url, grafana, org=influx.org) as reader:
        yield Stack(influx_bucket, results, reader)
    results.close()
    influx.delete_bucket(readings_bucket(influx_bucket))


def tokens(influx: Influx, bucket: str, folder: Path) -> tuple[str, str]:
    """The service's token and Grafana's. Without curl, which the script needs, both are the owner's."""
    if not HAS_CURL:
        return influx.token, influx.token
    (folder / "influx_admin_token").write_text(influx.token, encoding="utf-8")
    environment = {
        "SECRETS_DIR": str(folder),
        "INFLUX_URL": influx.url,
        "INFLUX_ORG": influx.org,
        "RESULTS_BUCKET": bucket,
        "READINGS_BUCKET": readings_bucket(bucket),
    }
    subprocess.run(["sh", str(DEPLOY / "make-tokens.sh")], env=os.environ | environment, check=True)
    names = ("influx_token", "grafana_influx_token")
    service, grafana = ((folder / name).read_text(encoding="utf-8").strip() for name in names)
    return service, grafana


def readings_bucket(results_bucket: str) -> str:
    return f"{results_bucket}-readings"


def identities() -> pl.DataFrame:
    rows = [(key.point, key.enterprise, key.tag) for key in (POWER, GAS)]
    return pl.DataFrame(
        rows, schema={"point": pl.Int64, "enterprise": pl.String, "tag": pl.String}, orient="row"
    )


def test_every_query_of_the_dashboard_gets_rows_from_the_real_influxdb(stack: Stack) -> None:
    write_results(stack)
    asked = list(queries())
    assert len(asked) > 10
    without_rows = [title for title, flux, interval in asked if not rows_of(stack, flux, interval)]
    assert without_rows == []


def test_table_shows_the_last_figures_of_each_basis_and_leaves_the_unknown_empty(stack: Stack) -> None:
    write_results(stack)
    rows = rows_of(stack, *one_query("双控进度：用能与配额"))
    seen = {(row["enterprise"], row["basis"]): row for row in rows}
    assert set(seen) == {(STEEL, "calorific"), (STEEL, "equivalent"), (CEMENT, "calorific")}
    steel = seen[STEEL, "calorific"]
    assert steel["quota_tce"] == 150_000.0
    assert steel["tce_used"] == pytest.approx(10 * 412.35)
    assert steel["_time"].timestamp() == day_start(DAY + 9)
    # On the last day a factor was missing: what was used until the day before must not stand in for it.
    assert seen[CEMENT, "calorific"].get("tce_used") is None
    assert seen[CEMENT, "calorific"]["quota_tce"] == 80_000.0


def test_load_is_the_mean_while_covered_and_a_gap_is_neither_zero_nor_bridged(stack: Stack) -> None:
    write_results(stack)
    rows = rows_of(stack, *one_query("负荷（各计量点）"))
    power = {row["_time"].timestamp(): row["_value"] for row in rows if row["point"] == POWER.tag}
    hours = [power[day_start(DAY) + 3600 * hour] for hour in range(6)]
    assert hours == [18_250.0, 18_250.0, None, None, 18_250.0, 18_250.0]


def test_a_factor_that_is_missing_leaves_a_day_without_a_bar(stack: Stack) -> None:
    write_results(stack)
    calorific, equivalent = (
        [row["_value"] for row in rows_of(stack, flux, interval)]
        for title, flux, interval in queries()
        if title == "每日用能（吨标准煤）"
    )
    assert calorific == pytest.approx([412.35] * 10)
    assert len(equivalent) == 9


def test_enterprises_with_figures_are_offered_for_choice(stack: Stack) -> None:
    write_results(stack)
    assert [row["_value"] for row in rows_of(stack, *one_query("enterprise"))] == [STEEL, CEMENT]


@pytest.mark.skipif(not HAS_CURL, reason="make-tokens.sh needs curl")
def test_token_of_grafana_reads_results_and_can_do_nothing_else(stack: Stack) -> None:
    write_results(stack)
    with pytest.raises(ApiException) as refusal:
        stack.grafana.write_api(SYNCHRONOUS).write(stack.bucket, record="load,point=a amount=0 0")
    assert refusal.value.status in {401, 403, 404}
    with pytest.raises(ApiException, match="could not find bucket"):
        ask(stack, f'from(bucket: "{readings_bucket(stack.bucket)}") |> range(start: 0)')


def queries() -> Iterator[tuple[str, str, str]]:
    """(title, Flux, smallest window) of everything that the dashboard asks InfluxDB for."""
    for variable in DASHBOARD["templating"]["list"]:
        yield variable["name"], variable["query"], "1h"
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            if target["datasource"]["uid"] == RESULTS:
                yield panel["title"], target["query"], panel.get("interval", "10m")


def one_query(title: str) -> tuple[str, str]:
    (found,) = [(flux, interval) for name, flux, interval in queries() if name == title]
    return found


def rows_of(stack: Stack, flux: str, interval: str) -> list[dict[str, Any]]:
    """What a query yields when Grafana has filled in its variables."""
    values = {
        '"results"': f'"{stack.bucket}"',
        "v.timeRangeStart": dt.datetime.fromtimestamp(START, dt.UTC).isoformat(),
        "v.timeRangeStop": dt.datetime.fromtimestamp(STOP, dt.UTC).isoformat(),
        "v.windowPeriod": interval,
        "${enterprise}": STEEL,
    }
    for name, value in values.items():
        flux = flux.replace(name, value)
    assert not re.search(r"\$|\bv\.", flux), f"a variable that only Grafana knows: {flux}"
    return ask(stack, flux)


def ask(stack: Stack, flux: str) -> list[dict[str, Any]]:
    return [record.values for table in stack.grafana.query_api().query(flux) for record in table.records]


def write_results(stack: Stack) -> None:
    """Ten days of a steel works, of which one lacks a factor and one hour its data, and a cement works."""
    stack.results.write_load(frame(LOAD, [load for hour in range(48) for load in loads(hour)]))
    for number in range(10):
        day = DAY + number
        at = day_start(day) + 43_200
        counts = [(STEEL, at, 1, 0), (CEMENT, at, 0, 1)]
        alerts = pl.DataFrame(counts, schema=["enterprise", "at", "firing", "insufficient"], orient="row")
        days = frame(ENTERPRISE_DAYS, [enterprise_day(day, has_factor=number != 4)])
        stack.results.write_figures(
            days, frame(PROGRESS, progresses(number)), alerts, frame(INTENSITY, [intensity()])
        )


def loads(hour: int) -> Iterator[dict[str, Any]]:
    start = day_start(DAY) + 3600 * hour
    covered = 1800 if hour == 1 else 3600  # half an hour of the second is missing, and all of the next two
    if hour not in {2, 3}:
        amount = POWER_HOUR * covered // 3600
        yield {
            "enterprise": STEEL,
            "point": POWER.point,
            "start": start,
            "amount": amount,
            "covered_s": covered,
        }
    yield {"enterprise": STEEL, "point": GAS.point, "start": start, "amount": 2_400_000, "covered_s": 3600}


def enterprise_day(day: int, *, has_factor: bool) -> dict[str, Any]:
    return {
        "enterprise": STEEL,
        "day": day,
        "calorific_g": KILN_DAY_G,
        "equivalent_g": 2 * KILN_DAY_G if has_factor else None,
        "calorific_gap_low": 0,
        "calorific_gap_high": 0,
        "equivalent_gap_low": 0,
        "equivalent_gap_high": 0,
        "carbon_g": 3 * KILN_DAY_G,
        "carbon_gap_low": 0,
        "carbon_gap_high": 0,
        "carbon_confirmed": True,
        "measured_w": 84_600,
        "estimated_w": 1_200,
        "missing_w": 600,
        "pending_w": 0,
        "lowest_point": POWER.point,
        "missing_points": str(POWER.point),
        "no_factor": "" if has_factor else "electricity:equivalent",
        "calorific_confirmed": True,
        "equivalent_confirmed": False,
        "published": True,
        "recheck_at": None,
    }


def progresses(number: int) -> list[dict[str, Any]]:
    used = KILN_DAY_G * (number + 1)
    return [
        progress(STEEL, number, "calorific", 150_000_000_000, used),
        progress(STEEL, number, "equivalent", 310_000_000_000, 2 * used),
        progress(CEMENT, number, "calorific", 80_000_000_000, None if number == 9 else used // 3),
    ]


def progress(enterprise: str, number: int, basis: str, quota: int, used: int | None) -> dict[str, Any]:
    due = quota * (number + 1) // 365
    pace = None if used is None else used / due
    return {
        "enterprise": enterprise,
        "year": 2025,
        "basis": basis,
        "scope": "all",
        "level": "base",
        "projected_g": quota - 1_000_000,
        "projected_low_g": quota - 2_000_000,
        "projected_high_g": quota + 1_000_000,
        "projection": "linear",
        "quota_g": quota,
        "quota_confirmed": True,
        "as_of_day": DAY + number,
        "used_g": used,
        "low_g": used,
        "high_g": used,
        "due_g": due,
        "pace": pace,
        "pace_low": pace,
        "pace_high": pace,
        "is_confirmed": True,
        "coverage": 85_800 / 86_400,
    }


def intensity() -> dict[str, Any]:
    """March's, held against a target."""
    row: dict[str, Any] = dict.fromkeys(INTENSITY.schema)
    return row | {
        "enterprise": STEEL, "denominator": "product:steel", "basis": "calorific", "scope": "total",
        "period": "2025-03", "first_day": DAY, "end_day": DAY + 10, "is_whole": False, "intensity": 550.5,
        "intensity_low": 550.0, "intensity_high": 551.0, "target": 540.0,
    }  # fmt: skip


def frame(contract: Contract, rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(contract.schema))
