"""The registry's tables: exact integers, every problem at once, and an export that imports again."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter

from nengshao.domain.codes import PointKey, credit_code_check_character
from nengshao.domain.errors import ConfigError
from nengshao.domain.time import instant_of
from nengshao.registry_tables import COLUMNS, loose_ends, read_tables, registry_of, tables_of, write_tables

BODY = "91990001MA0000001"
E = BODY + credit_code_check_character(BODY)
POINT = {
    "enterprise": E, "data_code": "00-00-0000-023300-11", "stat_type": "0", "meter": "01", "name": "进线一",
    "device": "d1", "carrier": "electricity", "kind": "register", "role": "input", "feeds_total": "true",
    "unit": "MWh", "ratio": "35/0.1", "cadence_s": "900", "grace_s": "600", "max_estimate_s": "7200",
    "capacity_per_hour": "12.5", "register_size": "100000", "expected_per_day": "200.25",
    "valid_from": "2025-01-01", "valid_to": "",
}  # fmt: skip
TABLES = {
    "regions": [{"code": "990001", "name": "虚构县", "parent": ""}],
    "enterprises": [
        {"enterprise": E, "name": "一厂", "region": "990001", "industry": "C30", "dialect": "",
         "active_from": "2025-01-01", "active_to": "2026-01-01T00:00:00+08:00"}
    ],
    "devices": [
        {"enterprise": E, "device": "d1", "name": "采集器", "cadence_s": "900", "valid_from": "2025-01-01",
         "valid_to": ""},
        {"enterprise": E, "device": "hand", "name": "填报", "cadence_s": "", "valid_from": "2025-01-01",
         "valid_to": ""},
    ],
    "points": [POINT],
    "meter_changes": [
        {"enterprise": E, "data_code": "0000000002330011", "stat_type": "0", "meter": "01",
         "at": "2025-06-01 10:00:00", "closing": "99123.4", "opening": "0.1"}
    ],
    "quotas": [
        {"enterprise": E, "year": "2025", "basis": "calorific", "scope": "total", "quota_tce": "12345.678",
         "profile": "linear", "source": "虚构文件", "confidence": "official"}
    ],
}  # fmt: skip


def test_human_units_become_exact_integers() -> None:
    registry = registry_of(TABLES)
    row = registry.points.row(0, named=True)
    assert row["point"] == PointKey(E, "0000000002330011", 0, "01").point
    assert (row["ratio_num"], row["ratio_den"]) == (350, 1)
    assert row["capacity"] == 12_500_000  # 12.5 MWh/h = 12 500 kWh/h in 10⁻³
    assert row["expected_daily"] == 200_250_000
    assert row["register_modulus"] == 100_000 * 350 * 1000 * 10**6
    change = registry.meter_changes.row(0, named=True)
    assert change["closing"] == 991_234 * 35 * 10**9
    assert registry.quotas["quota_g"].to_list() == [12_345_678_000]
    assert registry.enterprises["active_to"].to_list() == [instant_of(dt.date(2026, 1, 1))]
    assert registry.devices["cadence_s"].to_list() == [900, None]


def test_an_export_imports_to_the_same_registry(tmp_path: Path) -> None:
    registry = registry_of(TABLES)
    write_tables(tables_of(registry), tmp_path)
    again = registry_of(read_tables(tmp_path))
    for name in COLUMNS:
        assert getattr(again, name).equals(getattr(registry, name)), name


def test_a_workbook_with_one_sheet_per_table_imports_too(tmp_path: Path) -> None:
    path = tmp_path / "registry.xlsx"
    with xlsxwriter.Workbook(path) as book:
        for name, columns in COLUMNS.items():
            sheet = book.add_worksheet(name)
            sheet.write_row(0, 0, columns)
            for number, row in enumerate(TABLES[name], start=1):
                for place, column in enumerate(columns):
                    sheet.write_string(number, place, row[column])
    again = registry_of(read_tables(path))
    assert again.points.equals(registry_of(TABLES).points)


BAD = [
    ("points", {"unit": "GJ"}, "does not measure"),
    ("points", {"data_code": "33"}, "not a data code"),
    ("points", {"stat_type": "4"}, "StatType"),
    ("points", {"enterprise": BODY + "!"}, "credit code"),
    ("points", {"ratio": "0"}, "above 0"),
    ("points", {"ratio": "1/0"}, "above 0"),
    ("points", {"feeds_total": "yes"}, "neither true nor false"),
    ("points", {"capacity_per_hour": "0.0000001"}, "finer"),
    ("points", {"valid_from": "2025-13-01"}, "month"),
    ("quotas", {"basis": ""}, "Basis"),
    ("quotas", {"profile": "seasonal"}, "not known"),
    ("quotas", {"confidence": "sure"}, "Confidence"),
    ("meter_changes", {"meter": "09"}, "not in the points table"),
]


@pytest.mark.parametrize(
    ("table", "change", "words"), BAD, ids=[f"{t}-{next(iter(c))}-{n}" for n, (t, c, _) in enumerate(BAD)]
)
def test_a_bad_cell_names_its_table_and_line(table: str, change: dict[str, str], words: str) -> None:
    tables = TABLES | {table: [TABLES[table][0] | change]}
    with pytest.raises(ConfigError) as raised:
        registry_of(tables)
    problem = next(p for p in raised.value.problems if p.startswith(f"{table}, line 2"))
    assert words in problem


def test_every_problem_is_reported_at_once() -> None:
    tables = TABLES | {"points": [POINT | {"unit": "GJ"}, POINT | {"ratio": "-1"}], "meter_changes": []}
    with pytest.raises(ConfigError) as raised:
        registry_of(tables)
    assert len(raised.value.problems) == 2


def test_unknown_and_missing_columns_are_refused(tmp_path: Path) -> None:
    pl.DataFrame({"code": ["1"], "name": ["x"], "colour": ["red"]}).write_csv(tmp_path / "regions.csv")
    with pytest.raises(ConfigError) as raised:
        read_tables(tmp_path)
    assert raised.value.problems == ("regions: unknown column colour", "regions: column parent is missing")


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "regions.csv").write_bytes("code,name,parent\n990001,虚构县,\n".encode("gbk"))
    with pytest.raises(ConfigError) as raised:
        read_tables(tmp_path)
    assert raised.value.problems[0].startswith("regions: ")


def test_what_a_registry_names_and_does_not_hold_is_listed() -> None:
    assert loose_ends(registry_of(TABLES)) == []
    broken = TABLES | {"regions": [], "devices": TABLES["devices"][1:]}
    lines = loose_ends(registry_of(broken))
    assert len(lines) == 2
    assert "d1" in lines[0]
    assert "990001" in lines[1]
