"""The registry as tables that people fill in (CSV, XLSX) and back: human units in, integers out.

Every cell is text. `registry_of` reads all tables and reports every problem at once; `tables_of` is its
inverse, so that an export imports to the same registry. `docs/registry.md` is the same for people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from nengshao.domain.errors import ConfigError
from nengshao.domain.time import local_text
from nengshao.domain.units import PointKind
from nengshao.frames import Contract
from nengshao.registry import CONTRACTS, Registry
from nengshao.registry_rows import COLUMNS, REQUIRED_COLUMNS, Points, Reader, Row, Values, written
from nengshao.tables import FIRST_ROW, read_table

Tables = Mapping[str, Sequence[Row]]


def registry_of(tables: Tables) -> Registry:
    """The registry that these tables describe (version 0). A table or an optional column may be missing.

    Units: `capacity_per_hour`, `expected_per_day` in the row's `unit`, after the ratio; `register_size`,
    `closing`, `opening` as the meter displays them, before it; the rest as the columns' names say.
    Raises: ConfigError with a line per cell that cannot be read: table, line of the file, column, value.
    """
    problems: list[str] = []
    points = Points()
    rows: dict[str, list[Values]] = {}
    for name in CONTRACTS:  # points come before what names them
        reader = Reader(name, points, problems)
        read = [reader.read(line, row) for line, row in enumerate(tables.get(name, ()), start=FIRST_ROW)]
        rows[name] = [values for values in read if values is not None]
    if problems:
        raise ConfigError(problems)
    return Registry(version=0, **{name: _frame(contract, rows[name]) for name, contract in CONTRACTS.items()})


def _frame(contract: Contract, rows: Sequence[Values]) -> pl.DataFrame:
    kept = [tuple(row[column] for column in contract.schema) for row in rows]
    return pl.DataFrame(kept, schema=dict(contract.schema), orient="row").sort(contract.key)


def tables_of(registry: Registry) -> dict[str, list[dict[str, str]]]:
    """The tables of a registry; `registry_of` gives the same registry back."""
    points = Points()
    for row in registry.points.sort("valid_from").iter_rows(named=True):
        points.add(row["point"], row)
    return {
        name: [written(name, row, points) for row in getattr(registry, name).iter_rows(named=True)]
        for name in CONTRACTS
    }


def read_tables(source: Path) -> dict[str, list[dict[str, str]]]:
    """The tables in a folder (`points.csv`, or `points.xlsx`, …), or the sheets of one workbook.

    Raises: ConfigError for a missing folder, files that cannot be read, unknown columns, or missing ones.
    """
    if not source.exists():
        raise ConfigError([f"登记表 {source} 不存在 / registry {source} does not exist"])
    tables: dict[str, list[dict[str, str]]] = {}
    problems = [f"不是登记表的名称 / not the name of a table: {name}" for name in _unknown_names(source)]
    for name, columns in COLUMNS.items():
        try:
            frame = _read_table(source, name)
        except ValueError as exc:
            problems.append(f"{name}: {exc}")
            continue
        if frame is None:
            continue
        unknown = sorted(set(frame.columns) - set(columns))
        missing = [column for column in REQUIRED_COLUMNS[name] if column not in frame.columns]
        problems += [f"{name}: 未知的列 / unknown column {column}" for column in unknown]
        problems += [f"{name}: 缺少列 / column {column} is missing" for column in missing]
        tables[name] = frame.to_dicts()
    if problems or not tables:
        none = f"登记表 {source} 中没有 / registry {source} holds none of {', '.join(COLUMNS)}"
        raise ConfigError(problems or [none])
    return tables


def _unknown_names(source: Path) -> list[str]:
    """Tables beside the registry's own: a misspelt name would leave one out, and empty what it replaces."""
    if source.is_file():
        return sorted(
            set(pl.read_excel(source, sheet_id=0, infer_schema_length=0, raise_if_empty=False)) - set(COLUMNS)
        )
    tables = (path for path in source.iterdir() if path.suffix in (".csv", ".xlsx"))
    return sorted(path.name for path in tables if path.stem not in COLUMNS)


def write_tables(tables: Tables, folder: Path) -> None:
    """One CSV file per table into `folder`, made if missing; with a byte-order mark for spreadsheets."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns in COLUMNS.items():
        frame = pl.DataFrame(list(tables.get(name, ())), schema=dict.fromkeys(columns, pl.String))
        frame.write_csv(folder / f"{name}.csv", include_bom=True)


def loose_ends(registry: Registry) -> list[str]:
    """What a registry needs and does not hold, a line each: devices, regions, reads of a change of ratio."""
    devices = registry.devices.select("enterprise", "device").unique()
    named = registry.points.filter(pl.col("device") != "").select("enterprise", "device").unique()
    orphans = named.join(devices, on=["enterprise", "device"], how="anti")
    regions = registry.enterprises.join(registry.regions, left_on="region", right_on="code", how="anti")
    return [
        *(f"端设备未登记 / unknown device {d} of {e}" for e, d in sorted(orphans.iter_rows())),
        *(
            f"行政区划未登记 / unknown region {r} of {e}"
            for e, r in regions.select("enterprise", "region").rows()
        ),
        *(
            f"变比或单位变更缺少读数（meter_changes）/ no reads at the change of ratio or unit of {point}"
            f" at {local_text(at)}"
            for point, at in _unread_changes(registry)
        ),
    ]


def _unread_changes(registry: Registry) -> list[tuple[str, int]]:
    """Registers whose ratio or unit changes at an instant of which no two reads are known."""
    scale = ("unit", "ratio_num", "ratio_den")
    rows = registry.points.filter(pl.col("kind") == PointKind.REGISTER).sort("point", "valid_from")
    follows = (pl.col("point") == pl.col("point").shift()) & (
        pl.col("valid_from") == pl.col("valid_to").shift()
    )
    changed = rows.filter(follows & pl.any_horizontal(pl.col(c) != pl.col(c).shift() for c in scale))
    unread = changed.join(
        registry.meter_changes, left_on=["point", "valid_from"], right_on=["point", "at"], how="anti"
    )
    tag = pl.format("{}/{}.{}.{}", "enterprise", "data_code", "stat_type", "meter")
    return unread.select(tag, "valid_from").rows()


def _read_table(source: Path, name: str) -> pl.DataFrame | None:
    if source.is_file():
        sheet = pl.read_excel(
            source, sheet_id=0, infer_schema_length=0, drop_empty_rows=False, raise_if_empty=False
        ).get(name)
        if sheet is None:
            return None
        return sheet.rename(str.strip).with_columns(pl.all().cast(pl.String).fill_null(""))
    for table_format in ("csv", "xlsx"):
        if (file := source / f"{name}.{table_format}").is_file():
            return read_table(file.read_bytes(), table_format)
    return None
