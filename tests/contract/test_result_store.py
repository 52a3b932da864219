"""What `nengshao.ports.ResultStore` promises, on every implementation, the real InfluxDB included."""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from influxdb_client.client.influxdb_client import InfluxDBClient

from nengshao.domain.errors import StoreRejected, StoreUnavailable
from nengshao.domain.time import day_number, day_start
from nengshao.frames import ENTERPRISE_DAYS, INTENSITY, LOAD, PROGRESS, Contract
from nengshao.ports import ResultStore
from nengshao.stores.duckdb import open_duckdb
from nengshao.stores.figures import ALERT_COUNTS, FIGURES
from nengshao.stores.influx import InfluxResultStore
from nengshao.stores.memory import MemoryResultStore

T = 1_735_660_800  # 2025-01-01 00:00 Asia/Shanghai
DAY = 20_089  # that day
STEEL, CEMENT = "91350100M000100Y43", "91990000MA0000001X"

TAGS = ("enterprise", "point", "denominator", "basis", "scope", "level", "period")

PointNamed = Callable[[str], int]


def load_rows(*rows: tuple[str, int, int, int | None, int]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=dict(LOAD.schema), orient="row")


def row_of(contract: Contract, **values: Any) -> pl.DataFrame:
    """One row; what is not given is null."""
    given = {name: [values.get(name)] for name in contract.schema}
    return pl.DataFrame(given, schema=dict(contract.schema))


def day_row(day: int = DAY, **values: Any) -> pl.DataFrame:
    weights = {"measured_w": 900, "estimated_w": 50, "missing_w": 40, "pending_w": 10}
    grams = {"calorific_g": 1_500_000, "equivalent_g": 2_750_000, "carbon_g": 4_100_000}
    known = {"enterprise": STEEL, **grams, **weights}
    return row_of(ENTERPRISE_DAYS, **(known | {"day": day} | values))


def progress_row(**values: Any) -> pl.DataFrame:
    known = {
        "enterprise": STEEL,
        "year": 2025,
        "basis": "calorific",
        "scope": '全厂, "含"原料',
        "level": "base",
        "quota_g": 1_000_000_000,
        "as_of_day": DAY,
        "used_g": 2_500_000,
        "due_g": 2_000_000,
        "projected_g": 980_000_000,
        "projected_low_g": 900_000_000,
        "projected_high_g": 1_050_000_000,
        "pace": 1.25,
        "coverage": 0.95,
    }
    return row_of(PROGRESS, **(known | values))


def intensity_row(**values: Any) -> pl.DataFrame:
    known = {
        "enterprise": STEEL,
        "denominator": "product:钢坯 1",
        "basis": "calorific",
        "scope": "total",
        "period": "2025-03",
        "intensity": 550.25,
        "intensity_low": 540.0,
        "intensity_high": 561.5,
        "target": 545.0,
    }
    return row_of(INTENSITY, **(known | values))


def alert_row(firing: int, insufficient: int, at: int = T) -> pl.DataFrame:
    return row_of(ALERT_COUNTS, enterprise=STEEL, at=at, firing=firing, insufficient=insufficient)


def write(store: ResultStore, **figures: pl.DataFrame) -> None:
    """Write some of the figures."""
    empty = {"days": ENTERPRISE_DAYS, "progress": PROGRESS, "alerts": ALERT_COUNTS, "intensity": INTENSITY}
    store.write_figures(**{name: contract.empty() for name, contract in empty.items()} | figures)


# ------------------------------------------------------------------------------- load, on all stores


def test_load_comes_back_exactly_sorted_and_half_open(result_store: ResultStore, point: PointNamed) -> None:
    gas, power, named = point("gas"), point("power"), point("a meter with a name")
    steel = [
        (STEEL, p, T + h * 3600, amount, covered)
        for p in sorted([gas, named])
        for h, amount, covered in [(0, 2**53 + 1, 3600), (1, -7, 1800), (2, 0, 1), (3, 5, 3600)]
    ]
    result_store.write_load(load_rows(*reversed(steel), (CEMENT, power, T, 9, 3600)))
    assert result_store.load(STEEL, T, T + 3 * 3600).rows() == [row for row in steel if row[2] < T + 3 * 3600]
    assert result_store.load(STEEL, T + 3600, T + 3601).rows() == [row for row in steel if row[2] == T + 3600]
    assert result_store.load(CEMENT, T, T + 1).rows() == [(CEMENT, power, T, 9, 3600)]
    assert result_store.load("nobody", T, T + 3600).equals(LOAD.empty())
    assert result_store.load(STEEL, T, T).equals(LOAD.empty())


def test_a_load_row_replaces_the_row_of_its_hour(result_store: ResultStore, point: PointNamed) -> None:
    gas = point("gas")
    result_store.write_load(load_rows((STEEL, gas, T, 100, 3600), (STEEL, gas, T + 3600, 200, 3600)))
    result_store.write_load(load_rows((STEEL, gas, T, 40, 900)))
    assert result_store.load(STEEL, T, T + 7200).rows() == [
        (STEEL, gas, T, 40, 900),
        (STEEL, gas, T + 3600, 200, 3600),
    ]


def test_an_amount_that_is_no_longer_known_is_missing_not_the_old_one(
    result_store: ResultStore, point: PointNamed
) -> None:
    gas = point("gas")
    result_store.write_load(load_rows((STEEL, gas, T, 100, 3600), (STEEL, gas, T + 3600, 7, 60)))
    result_store.write_load(load_rows((STEEL, gas, T, None, 0)))
    assert result_store.load(STEEL, T, T + 7200).rows() == [
        (STEEL, gas, T, None, 0),
        (STEEL, gas, T + 3600, 7, 60),
    ]


def test_empty_frames_are_written_without_a_trace(result_store: ResultStore) -> None:
    result_store.write_load(LOAD.empty())
    result_store.write_figures(*(contract.empty() for contract in FIGURES))
    assert result_store.load(STEEL, T, T + 3600).equals(LOAD.empty())


def test_figures_can_be_written_again_at_will(result_store: ResultStore) -> None:
    for _ in range(2):
        result_store.write_figures(day_row(), progress_row(), alert_row(2, 1), intensity_row())
    unknown = intensity_row(intensity=None, target=None)
    result_store.write_figures(day_row(equivalent_g=None), progress_row(pace=None), alert_row(0, 0), unknown)


def test_closing_twice_is_harmless(result_store: ResultStore) -> None:
    result_store.close()
    result_store.close()


# ------------------------------------------------------------------------------- figures, in each store


def test_memory_shows_the_last_figures_of_each_key() -> None:
    store, better = MemoryResultStore(), intensity_row(intensity=1.0)
    store.write_figures(day_row(), progress_row(), alert_row(2, 1), intensity_row())
    store.write_figures(day_row(calorific_g=None), progress_row(used_g=9), alert_row(0, 0), better)
    assert store.days.equals(day_row(calorific_g=None))
    assert store.progress.equals(progress_row(used_g=9))
    assert store.alerts.equals(alert_row(0, 0))
    assert store.intensity.equals(better)


def test_duckdb_keeps_the_last_figures_of_each_key_in_its_file(tmp_path: Path, point: PointNamed) -> None:
    database = open_duckdb(tmp_path / "a.duckdb")
    load = load_rows((STEEL, point("gas"), T, 1, 3600))
    database.results.write_load(load)
    two_days, better = pl.concat([day_row(), day_row(DAY + 1)]), intensity_row(intensity=1.0)
    database.results.write_figures(two_days, progress_row(), alert_row(2, 1), intensity_row())
    database.results.write_figures(day_row(calorific_g=None), progress_row(used_g=9), alert_row(0, 0), better)
    database.close()
    again = open_duckdb(tmp_path / "a.duckdb")
    assert again.results.load(STEEL, T, T + 1).equals(load)
    with again.cursor() as cursor:
        days = cursor.sql("SELECT * FROM enterprise_day ORDER BY day").pl()
        assert days.equals(pl.concat([day_row(calorific_g=None), day_row(DAY + 1)]))
        assert cursor.sql("SELECT * FROM progress").pl().equals(progress_row(used_g=9))
        assert cursor.sql("SELECT * FROM alert").pl().equals(alert_row(0, 0))
        assert cursor.sql("SELECT * FROM intensity").pl().equals(better)
    again.close()


def fields_in_influx(
    request: pytest.FixtureRequest, measurement: str
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What Grafana would see: (seconds, the TAGS as far as present) -> fields."""
    server, bucket = request.getfixturevalue("influx"), request.getfixturevalue("influx_bucket")
    flux = (
        f'from(bucket: "{bucket}") |> range(start: 0) |> filter(fn: (r) => r._measurement == "{measurement}")'
    )
    seen: dict[tuple[Any, ...], dict[str, Any]] = {}
    with InfluxDBClient(url=server.url, token=server.token, org=server.org) as client:
        for table in client.query_api().query(flux):
            for record in table.records:
                tags = [record.values[t] for t in TAGS if t in record.values]
                key = (int(record.get_time().timestamp()), *tags)
                seen.setdefault(key, {})[record.get_field()] = record.get_value()
    return seen


def test_influx_shows_load_in_natural_units(
    influx_results: InfluxResultStore, request: pytest.FixtureRequest, point: PointNamed
) -> None:
    influx_results.write_load(load_rows((STEEL, point("gas"), T, 1_234_567, 900)))
    assert fields_in_influx(request, "load") == {
        (T, STEEL, "0000000002330011.0.00"): {
            "amount": 1234.567,  # m3
            "covered": 0.25,
            "amount_milli": 1_234_567,
            "covered_s": 900,
        }
    }


def test_influx_shows_figures_in_natural_units(
    influx_results: InfluxResultStore, request: pytest.FixtureRequest
) -> None:
    influx_results.write_figures(day_row(), progress_row(), alert_row(2, 1, at=T + 59), intensity_row())
    assert fields_in_influx(request, "enterprise_day") == {
        (T, STEEL): {
            "tce_calorific": 1.5,
            "tce_equivalent": 2.75,
            "tco2": 4.1,
            "measured": 0.9,
            "estimated": 0.05,
            "missing": 0.04,
            "pending": 0.01,
        }
    }
    assert fields_in_influx(request, "progress") == {
        (T, STEEL, "calorific", '全厂, "含"原料', "base"): {
            "tce_used": 2.5,
            "quota_tce": 1000.0,
            "tce_due": 2.0,
            "tce_projected": 980.0,
            "tce_projected_low": 900.0,
            "tce_projected_high": 1050.0,
            "pace": 1.25,
            "coverage": 0.95,
        }
    }
    assert fields_in_influx(request, "alert") == {(T + 59, STEEL): {"firing": 2, "insufficient": 1}}
    march = day_start(day_number(dt.date(2025, 3, 1)))
    assert fields_in_influx(request, "intensity") == {
        (march, STEEL, "product:钢坯 1", "calorific", "total", "2025-03"): {
            "intensity": 550.25,
            "low": 540.0,
            "high": 561.5,
            "target": 545.0,
        }
    }


def test_influx_names_the_unit_of_carbon_and_keeps_the_levels_apart(
    influx_results: InfluxResultStore, request: pytest.FixtureRequest
) -> None:
    levels = [progress_row(basis="carbon", scope="net", level=level) for level in ("base", "incentive")]
    year = intensity_row(period="2024", denominator="output_value_comparable")
    write(influx_results, progress=pl.concat(levels), intensity=year)
    progress = fields_in_influx(request, "progress")
    assert set(progress) == {(T, STEEL, "carbon", "net", level) for level in ("base", "incentive")}
    assert progress[T, STEEL, "carbon", "net", "base"] == {
        "tco2_used": 2.5,
        "quota_tco2": 1000.0,
        "tco2_due": 2.0,
        "tco2_projected": 980.0,
        "tco2_projected_low": 900.0,
        "tco2_projected_high": 1050.0,
        "pace": 1.25,
        "coverage": 0.95,
    }
    assert [key[0] for key in fields_in_influx(request, "intensity")] == [T - 366 * 86_400]  # a leap year


def test_influx_shows_a_figure_that_is_not_known_as_absent_even_if_it_was_known(
    influx_results: InfluxResultStore, request: pytest.FixtureRequest
) -> None:
    both = pl.concat([progress_row(), progress_row(scope="net", basis="equivalent")])
    write(influx_results, days=pl.concat([day_row(), day_row(DAY + 1)]), progress=both)
    write(influx_results, intensity=pl.concat([intensity_row(), intensity_row(period="2025")]))
    no_weights = dict.fromkeys(["measured_w", "estimated_w", "missing_w", "pending_w"], 0)
    unknown = [
        progress_row(used_g=None, pace=float("inf")),
        progress_row(scope="net", basis="equivalent", pace=None),
    ]
    for _ in range(2):
        write(influx_results, days=day_row(calorific_g=None, **no_weights), progress=pl.concat(unknown))
        write(influx_results, intensity=intensity_row(target=None))
    days = fields_in_influx(request, "enterprise_day")
    assert days[T, STEEL] == {"tce_equivalent": 2.75, "tco2": 4.1}
    assert days[T + 86_400, STEEL]["tce_calorific"] == 1.5
    progress = fields_in_influx(request, "progress")
    known = {"quota_tce", "tce_due", "tce_projected", "tce_projected_low", "tce_projected_high", "coverage"}
    assert set(progress[T, STEEL, "calorific", '全厂, "含"原料', "base"]) == known
    assert set(progress[T, STEEL, "equivalent", "net", "base"]) == known | {"tce_used"}
    intensity = {key[-1]: set(fields) for key, fields in fields_in_influx(request, "intensity").items()}
    assert intensity == {
        "2025-03": {"intensity", "low", "high"},
        "2025": {"intensity", "low", "high", "target"},
    }


def test_influx_forgets_figures_of_more_enterprises_than_a_query_can_name(
    influx_results: InfluxResultStore, request: pytest.FixtureRequest
) -> None:
    names = [f"E{number:03}" for number in range(250)]
    write(influx_results, days=pl.concat(day_row(enterprise=name) for name in names))
    write(influx_results, days=pl.concat(day_row(enterprise=name, carbon_g=None) for name in names))
    days = fields_in_influx(request, "enterprise_day")
    assert len(days) == 250
    assert all(set(fields) & {"tco2", "tce_calorific"} == {"tce_calorific"} for fields in days.values())


def test_influx_forgets_progress_that_turned_out_to_be_ahead_of_itself(
    influx_results: InfluxResultStore, request: pytest.FixtureRequest
) -> None:
    new_year = day_number(dt.date(2026, 1, 1))
    for as_of, year in [(DAY, 2025), (DAY + 5, 2025), (DAY + 9, 2025), (new_year, 2026)]:
        write(influx_results, progress=progress_row(as_of_day=as_of, year=year))
    write(influx_results, progress=progress_row(as_of_day=DAY + 9, level="incentive"))
    write(influx_results, progress=progress_row(as_of_day=DAY + 9, basis="carbon"))
    write(influx_results, progress=progress_row(as_of_day=DAY + 4, used_g=7_000_000))
    write(influx_results, progress=progress_row(as_of_day=DAY + 3, basis="carbon"))
    left = {(key[0], *key[-3:]) for key in fields_in_influx(request, "progress")}
    scope = '全厂, "含"原料'
    assert left == {
        (T, "calorific", scope, "base"),
        (day_start(DAY + 4), "calorific", scope, "base"),
        (day_start(new_year), "calorific", scope, "base"),
        (day_start(DAY + 9), "calorific", scope, "incentive"),
        (day_start(DAY + 3), "carbon", scope, "base"),
    }


def test_influx_shows_no_progress_of_a_year_without_a_complete_day(
    influx_results: InfluxResultStore, request: pytest.FixtureRequest
) -> None:
    new_year = day_number(dt.date(2026, 1, 1))
    pending = progress_row(as_of_day=None, used_g=None, due_g=None, pace=None, coverage=None)
    for row in (
        progress_row(),
        progress_row(as_of_day=DAY + 5),
        progress_row(as_of_day=new_year, year=2026),
        pending,
    ):
        write(influx_results, progress=row)
    assert [key[0] for key in fields_in_influx(request, "progress")] == [day_start(new_year)]


def test_influx_rejects_load_of_a_point_it_has_no_name_for(
    influx_results: InfluxResultStore, point: PointNamed
) -> None:
    known = (STEEL, point("gas"), T, 1, 3600)
    with pytest.raises(StoreRejected) as rejection:
        influx_results.write_load(load_rows((STEEL, 42, T, 1, 3600), known))
    assert rejection.value.rows == (0,)
    assert influx_results.load(STEEL, T, T + 1).rows() == [known]


def test_influx_that_is_down_is_unavailable(identities: pl.DataFrame, point: PointNamed) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        store = InfluxResultStore(url, "t", "o", "b", identities=lambda: identities)
        with pytest.raises(StoreUnavailable):
            store.write_load(load_rows((STEEL, point("gas"), T, 1, 3600)))
        with pytest.raises(StoreUnavailable):
            store.write_figures(day_row(calorific_g=None), progress_row(), alert_row(1, 0), intensity_row())
        with pytest.raises(StoreUnavailable):
            store.load(STEEL, T, T + 1)
        store.close()
