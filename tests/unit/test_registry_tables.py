"""The registry's tables: exact integers, every problem at once, and an export that imports again."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xlsxwriter

from nengshao.domain.codes import PointKey, credit_code_check_character
from nengshao.domain.errors import ConfigError
from nengshao.domain.time import instant_of
from nengshao.registry import CONTRACTS
from nengshao.registry_rows import COLUMNS
from nengshao.registry_tables import loose_ends, read_tables, registry_of, tables_of, write_tables

BODY = "91990001MA0000001"
E = BODY + credit_code_check_character(BODY)
CODE = "0000000002330011"
INCOMER = {"enterprise": E, "data_code": CODE, "stat_type": "0", "meter": "01"}
ALWAYS = {"valid_from": "2025-01-01", "valid_to": ""}
POINT = {
    "enterprise": E, "data_code": "00-00-0000-023300-11", "stat_type": "0", "meter": "01", "name": "进线一",
    "device": "d1", "carrier": "electricity", "kind": "register", "role": "input", "use": "energy",
    "parent": "", "feeds_total": "true", "unit": "MWh", "ratio": "35/0.1", "cadence_s": "900",
    "grace_s": "600", "max_estimate_s": "7200", "capacity_per_hour": "12.5", "register_size": "100000",
    "expected_per_day": "200.25", "valid_from": "2025-01-01", "valid_to": "",
}  # fmt: skip
VIRTUAL = POINT | {
    "meter": "T", "name": "合计", "device": "", "kind": "virtual", "role": "sub", "feeds_total": "false",
    "ratio": "", "register_size": "", "parent": f"{CODE}.0.01", "max_estimate_s": "", "use": "",
}  # fmt: skip
AIM = {"enterprise": E, "year": "2025", "basis": "calorific", "scope": "total"}
ORIGIN = {"source": "虚构文件", "confidence": "official"}
TARGET = AIM | ORIGIN | {"denominator": "product:p1", "level": "", "target_kg": "16.25",
                         "reduction_percent": "", "base_year": ""}  # fmt: skip
TABLES: dict[str, list[dict[str, str]]] = {
    "regions": [{"code": "990001", "name": "虚构县", "parent": ""}],
    "enterprises": [
        {"enterprise": E, "name": "一厂", "region": "990001", "industry": "C30", "dialect": "",
         "active_from": "2025-01-01", "active_to": "2026-01-01T00:00:00+08:00"}
    ],
    "devices": [
        {"enterprise": E, "device": "d1", "name": "采集器", "cadence_s": "900"} | ALWAYS,
        {"enterprise": E, "device": "hand", "name": "填报", "cadence_s": ""} | ALWAYS,
    ],
    "points": [POINT, VIRTUAL],
    "virtual_terms": [
        {"enterprise": E, "data_code": CODE, "stat_type": "0", "meter": "T", "term_data_code": CODE,
         "term_stat_type": "0", "term_meter": "01", "coefficient": "-1/3"} | ALWAYS
    ],
    "meter_changes": [INCOMER | {"at": "2025-06-01 10:00:00", "closing": "99123.4", "opening": "0.1"}],
    "heating_values": [
        {"enterprise": E, "carrier": "raw_coal", "kj_per_unit": "20934.5"} | ORIGIN | ALWAYS
    ],
    "products": [
        {"enterprise": E, "product": "p1", "name": "产品一", "unit": "t", "norm": ""} | ALWAYS
    ],
    "product_shares": [INCOMER | {"product": "p1", "share": "0.6"} | ALWAYS],
    "quotas": [AIM | ORIGIN | {"level": "", "quota_t": "12,345.678", "profile": "plan"}],
    "quota_plans": [AIM | {"month": "12", "planned_t": "1028.5"}],
    "intensity_targets": [
        TARGET,
        TARGET | {"enterprise": "990001", "denominator": "gdp_comparable", "level": "incentive",
                  "target_kg": "", "reduction_percent": "13.5", "base_year": "2020"},
    ],
}  # fmt: skip


def problems_of(tables: dict[str, list[dict[str, str]]]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        registry_of(tables)
    return raised.value.problems


def test_human_units_become_exact_integers() -> None:
    registry = registry_of(TABLES)
    row = registry.points.row(by_predicate=pl.col("meter") == "01", named=True)
    assert row["point"] == PointKey(E, CODE, 0, "01").point
    assert (row["ratio_num"], row["ratio_den"]) == (350, 1)
    assert row["capacity"] == 12_500_000  # 12.5 MWh/h = 12 500 kWh/h in 10⁻³
    assert row["expected_daily"] == 200_250_000
    assert row["register_modulus"] == 100_000 * 350 * 1000 * 10**6
    change = registry.meter_changes.row(0, named=True)
    assert change["closing"] == 991_234 * 35 * 10**9
    assert registry.quotas["quota_g"].to_list() == [12_345_678_000]
    assert registry.enterprises["active_to"].to_list() == [instant_of(dt.date(2026, 1, 1))]
    assert registry.devices["cadence_s"].to_list() == [900, None]
    assert registry.heating_values["heat_j"].to_list() == [20_934_500]  # 20 934.5 kJ
    assert registry.quota_plans["planned_g"].to_list() == [1_028_500_000]


def test_what_a_row_names_becomes_the_point_that_it_means() -> None:
    registry = registry_of(TABLES)
    virtual, incomer = (PointKey(E, CODE, 0, meter).point for meter in ("T", "01"))
    assert registry.virtual_terms.row(0)[:4] == (virtual, incomer, -1, 3)
    assert registry.product_shares.row(0)[:5] == (E, "p1", incomer, 3, 5)
    parents = dict(registry.points.select("meter", "parent").iter_rows())
    assert parents == {"T": incomer, "01": None}


def test_a_target_is_a_figure_or_a_reduction() -> None:
    targets = registry_of(TABLES).intensity_targets
    columns = ["enterprise", "level", "target_mg", "reduction_ppm", "base_year"]
    assert targets.select(columns).sort("enterprise").rows() == [
        (E, "base", 16_250_000, None, None),  # 16.25 kg
        ("990001", "incentive", None, 135_000, 2020),  # 13.5 %
    ]


def test_empty_cells_and_columns_that_are_left_out_mean_the_same() -> None:
    left_out = ("use", "parent", "level", "dialect", "norm", "max_estimate_s", "valid_to", "active_to")
    shorter = {
        name: [{c: v for c, v in row.items() if c not in left_out} for row in rows]
        for name, rows in TABLES.items()
    }
    emptied = {
        name: [row | {c: "" for c in row if c in left_out} for row in rows] for name, rows in TABLES.items()
    }
    for name in CONTRACTS:
        assert getattr(registry_of(shorter), name).equals(getattr(registry_of(emptied), name)), name
    row = registry_of(shorter).points.row(0, named=True)
    assert (row["use"], row["parent"], row["valid_to"]) == ("energy", None, None)
    assert registry_of(shorter).quotas["level"].to_list() == ["base"]


def test_a_registry_of_the_old_tables_alone_is_read() -> None:
    old = {name: TABLES[name] for name in ("regions", "enterprises", "devices", "points", "meter_changes")}
    assert registry_of(old).products.is_empty()
    assert registry_of(old).meter_changes.height == 1


# ------------------------------------------------------------------- ratio, unit and meter changes


def changed(old: dict[str, str], new: dict[str, str], closing: str, opening: str) -> dict[str, Any]:
    """The one change of a point whose row ends on 2025-06-01 10:00, where the next begins."""
    at = "2025-06-01 10:00:00"
    rows = [POINT | old | {"valid_to": at}, POINT | new | {"valid_from": at}]
    change = INCOMER | {"at": at, "closing": closing, "opening": opening}
    tables = {"points": rows, "meter_changes": [change]}
    registry = registry_of(tables)
    again = registry_of(tables_of(registry))
    assert again.points.equals(registry.points)
    assert again.meter_changes.equals(registry.meter_changes)
    return registry.meter_changes.row(0, named=True) | {
        "moduli": registry.points["register_modulus"].to_list()
    }


def test_a_ct_ratio_change_is_read_with_the_ratio_before_and_the_ratio_after() -> None:
    kwh = {"unit": "kWh", "register_size": "10000"}
    found = changed(kwh | {"ratio": "3000"}, kwh | {"ratio": "4000"}, "812.50", "812.50")
    assert found["closing"] == 2_437_500 * 10**6  # 812.5 × 3000 kWh
    assert found["opening"] == 3_250_000 * 10**6  # 812.5 × 4000 kWh
    assert found["moduli"] == [30_000_000 * 10**6, 40_000_000 * 10**6]  # 10 000 × each ratio


def test_a_unit_change_is_read_with_the_unit_before_and_the_unit_after() -> None:
    found = changed({"unit": "MWh", "ratio": "1"}, {"unit": "kWh", "ratio": "1"}, "12.5", "3")
    assert found["closing"] == 12_500 * 10**6  # kWh
    assert found["opening"] == 3 * 10**6


def test_a_change_within_one_row_has_one_ratio() -> None:
    rows = [POINT | {"unit": "kWh", "ratio": "20"}]
    change = INCOMER | {"at": "2025-06-01", "closing": "5", "opening": "1"}
    found = registry_of({"points": rows, "meter_changes": [change]}).meter_changes
    assert found.select("closing", "opening").row(0) == (100 * 10**6, 20 * 10**6)


@pytest.mark.parametrize("at", ["2025-01-01", "2024-12-31 23:59:59", "2025-07-01"])
def test_a_change_needs_a_row_in_force_on_both_sides(at: str) -> None:
    point = POINT | {"valid_to": "2025-07-01"}
    change = INCOMER | {"at": at, "closing": "5", "opening": "1"}
    (problem,) = problems_of({"points": [point], "meter_changes": [change]})
    assert f'line 2, at "{at}"' in problem


# ------------------------------------------------------------------------------ files and sheets


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
                sheet.write_row(number, 0, [row.get(column, "") for column in columns])
    registry = registry_of(read_tables(path))
    for name in COLUMNS:
        assert getattr(registry, name).equals(getattr(registry_of(TABLES), name)), name


def test_cells_that_a_spreadsheet_has_made_dates_numbers_and_booleans_are_read(tmp_path: Path) -> None:
    path = tmp_path / "points.xlsx"
    with xlsxwriter.Workbook(path) as book:
        sheet, day = book.add_worksheet("points"), book.add_format({"num_format": "yyyy/m/d"})
        sheet.write_row(0, 0, COLUMNS["points"])
        for column, name in enumerate(COLUMNS["points"]):
            sheet.write(1, column, POINT[name])
        cells = {name: COLUMNS["points"].index(name) for name in COLUMNS["points"]}
        sheet.write_datetime(1, cells["valid_from"], dt.date(2025, 1, 1), day)
        sheet.write_boolean(1, cells["feeds_total"], True)
        sheet.write_number(1, cells["stat_type"], 0)
        sheet.write_number(1, cells["cadence_s"], 900)
        sheet.write_number(1, cells["capacity_per_hour"], 12.5)
    tables = TABLES | {"points": [POINT]}
    tables = {name: tables[name] for name in ("points", "meter_changes")}
    found = registry_of(read_tables(tmp_path))
    assert found.points.equals(registry_of(tables).points)


CELLS = [
    ("valid_from", "2025/1/1"), ("valid_from", "2025-1-1"), ("valid_from", " 2025.01.01 "),
    ("valid_from", "2025年1月1日"), ("valid_from", "2025/1/1 0:00"), ("valid_from", "2024-12-31T16:00:00Z"),
    ("valid_from", "２０２５－０１－０１"), ("feeds_total", "TRUE"), ("feeds_total", "是"),
    ("feeds_total", " True "), ("capacity_per_hour", "１２．５"), ("capacity_per_hour", " 12.50 "),
    ("register_size", "100,000"), ("register_size", "１００，０００.０"), ("cadence_s", "900.0"),
    ("ratio", "350"), ("ratio", "３５／０.１"), ("ratio", "3,500/10"), ("meter", "０１"), ("device", " d1"),
    ("unit", "ＭＷｈ"), ("stat_type", "０"), ("name", " 进线一 "),
]  # fmt: skip


@pytest.mark.parametrize(("column", "text"), CELLS, ids=[f"{c}={t}" for c, t in CELLS])
def test_a_cell_may_be_written_in_more_ways_than_one(column: str, text: str) -> None:
    written = registry_of({"points": [POINT | {column: text}]})
    assert written.points.equals(registry_of({"points": [POINT]}).points)


def test_no_is_false_in_both_languages() -> None:
    for word in ("否", "FALSE", "false"):
        assert registry_of({"points": [POINT | {"feeds_total": word}]}).points["feeds_total"].to_list() == [
            False
        ]


def test_blank_rows_are_passed_over_and_still_counted() -> None:
    blank = dict.fromkeys(POINT, " ")
    assert registry_of({"points": [blank, POINT, blank]}).points.height == 1
    (problem,) = problems_of({"points": [blank, POINT | {"unit": "kg"}]})
    assert problem.startswith('points 第 3 行 line 3, unit "kg"')


# -------------------------------------------------------------------------------- what is refused

BAD = [
    ("points", {"unit": "GJ"}, "does not measure"),
    ("points", {"unit": "kwh"}, "must be one of kWh"),
    ("points", {"data_code": "33"}, "not a data code"),
    ("points", {"data_code": "2330011"}, "format the column as text"),  # a spreadsheet dropped the zeros
    ("points", {"stat_type": "4"}, "from 0 to 3"),
    ("points", {"enterprise": BODY + "!"}, "credit code"),
    ("points", {"ratio": "0"}, "above 0"),
    ("points", {"ratio": "1/0"}, "divided by zero"),
    ("points", {"ratio": "1/2/3"}, "not a number"),
    ("points", {"feeds_total": "yes"}, "neither true nor false"),
    ("points", {"capacity_per_hour": "0.0000001"}, "finer"),
    ("points", {"capacity_per_hour": "1,5"}, "not a number"),  # 1.5, or 15?
    ("points", {"capacity_per_hour": "0"}, "above 0"),
    ("points", {"capacity_per_hour": "1e30"}, "too large"),
    ("points", {"expected_per_day": "-1"}, "below 0"),
    ("points", {"cadence_s": "15.5"}, "whole number"),
    ("points", {"valid_from": "2025-13-01"}, "not a date"),
    ("points", {"valid_from": "45658"}, "not a date"),  # a date's serial number
    ("points", {"valid_from": ""}, "required"),
    ("points", {"carrier": "electrisity"}, "one of electricity"),
    ("points", {"role": "inside"}, "recovered"),
    ("points", {"use": "fuel"}, "feedstock"),
    ("points", {"parent": "33.0.01"}, "not a data code"),
    ("points", {"parent": CODE}, "data_code.stat_type.meter"),
    ("regions", {"code": "99"}, "region code"),
    ("quotas", {"basis": ""}, "required"),
    ("quotas", {"basis": "当量"}, "carbon"),
    ("quotas", {"scope": "综合能源消费量"}, "excluding_feedstock"),
    ("quotas", {"profile": "seasonal"}, "last_year"),
    ("quotas", {"level": "best"}, "incentive"),
    ("quotas", {"confidence": "sure"}, "recalled"),
    ("quotas", {"enterprise": "99"}, "credit code"),
    ("quota_plans", {"month": "13"}, "from 1 to 12"),
    ("heating_values", {"kj_per_unit": "0"}, "above 0"),
    ("heating_values", {"kj_per_unit": "0.0001"}, "finer"),
    ("virtual_terms", {"coefficient": ""}, "required"),
    ("virtual_terms", {"coefficient": "a"}, "not a number"),
    ("virtual_terms", {"term_meter": "09"}, "not in the points table"),
    ("product_shares", {"meter": "09"}, "not in the points table"),
    ("intensity_targets", {"denominator": "output"}, "product:"),
    ("intensity_targets", {"denominator": "product:"}, "product:"),
    ("intensity_targets", {"reduction_percent": "0.00001"}, "finer"),
    ("meter_changes", {"meter": "09"}, "not in the points table"),
    ("meter_changes", {"closing": "-1"}, "below 0"),
]


@pytest.mark.parametrize(
    ("table", "change", "words"), BAD, ids=[f"{t}-{next(iter(c))}-{n}" for n, (t, c, _) in enumerate(BAD)]
)
def test_a_bad_cell_names_its_table_line_column_and_value(
    table: str, change: dict[str, str], words: str
) -> None:
    ((column, value),) = change.items()
    problem = problems_of(TABLES | {table: [TABLES[table][0] | change]})[0]
    place, _, what = problem.partition(": ")
    column = column.replace("meter", "data_code") if "points table" in words else column
    value = CODE if "points table" in words else value
    assert place == f'{table} 第 2 行 line 2, {column} "{value}"'
    chinese, _, english = what.partition(" / ")
    assert words in english
    assert any("\u4e00" <= character <= "\u9fff" for character in chinese)


def test_every_problem_is_reported_at_once() -> None:
    bad = POINT | {"unit": "GJ", "capacity_per_hour": "0.00000001"}
    worse = POINT | {"ratio": "-1", "valid_from": "soon", "carrier": "sun", "name": " "}
    lines = problems_of(TABLES | {"points": [bad, worse], "meter_changes": []})
    found = [line.partition(" line ")[2].partition(' "')[0] for line in lines if line.startswith("points")]
    assert found == [
        "2, unit", "2, capacity_per_hour", "3, name", "3, carrier", "3, ratio", "3, valid_from",
    ]  # fmt: skip


def test_a_point_that_cannot_be_read_is_not_reported_again_by_the_rows_that_name_it() -> None:
    (problem,) = problems_of(TABLES | {"points": [POINT | {"unit": "sack"}, VIRTUAL]})
    assert problem.startswith("points 第 2 行")


def test_unknown_and_missing_columns_are_refused(tmp_path: Path) -> None:
    pl.DataFrame({"code": ["1"], "parent": ["x"], "colour": ["red"]}).write_csv(tmp_path / "regions.csv")
    with pytest.raises(ConfigError) as raised:
        read_tables(tmp_path)
    assert raised.value.problems == (
        "regions: 未知的列 / unknown column colour",
        "regions: 缺少列 / column name is missing",
    )


def test_a_folder_that_is_not_there_or_holds_nothing_is_named(tmp_path: Path) -> None:
    for folder, words in ((tmp_path / "nowhere", "does not exist"), (tmp_path, "holds none of")):
        with pytest.raises(ConfigError, match=words):
            read_tables(folder)


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "regions.csv").write_bytes("code,name,parent\n990001,虚构县,\n".encode("gbk"))
    with pytest.raises(ConfigError) as raised:
        read_tables(tmp_path)
    (problem,) = raised.value.problems
    assert problem.startswith("regions: 文件不是 UTF-8（第 2 行起")


def test_what_a_registry_names_and_does_not_hold_is_listed() -> None:
    assert loose_ends(registry_of(TABLES)) == []
    broken = TABLES | {"regions": [], "devices": TABLES["devices"][1:]}
    lines = loose_ends(registry_of(broken))
    assert len(lines) == 2  # a virtual point has no device
    assert "d1" in lines[0]
    assert "990001" in lines[1]


def test_a_change_of_ratio_without_its_two_reads_is_listed() -> None:
    at = "2025-06-01 10:00:00"
    rows = [POINT | {"valid_to": at}, POINT | {"valid_from": at, "ratio": "400"}]
    same = [POINT | {"valid_to": at}, POINT | {"valid_from": at, "device": "hand"}]
    change = INCOMER | {"at": at, "closing": "5", "opening": "5"}
    tables = {name: TABLES[name] for name in ("regions", "enterprises", "devices")}
    (line,) = loose_ends(registry_of(tables | {"points": rows}))
    assert f"{E}/{CODE}.0.01 at {at}" in line
    assert loose_ends(registry_of(tables | {"points": rows, "meter_changes": [change]})) == []
    assert loose_ends(registry_of(tables | {"points": same})) == []


def test_a_misspelt_file_is_refused_before_it_empties_its_table(tmp_path: Path) -> None:
    (tmp_path / "regions.csv").write_text("code,name,parent\n990001,县,\n", encoding="utf-8")
    (tmp_path / "point.csv").write_text("enterprise\n", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("not a table", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"point\.csv") as refused:
        read_tables(tmp_path)
    assert len(refused.value.problems) == 1
