"""The registry as tables that people fill in (CSV, XLSX) and back: human units in, integers out.

Every cell is text. `registry_of` reads all tables and reports every problem at once; `tables_of` is its
inverse, so that an export imports to the same registry.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import polars as pl

from nengshao.domain.codes import PointKey, is_credit_code, plain_data_code
from nengshao.domain.errors import ConfigError
from nengshao.domain.factors import Basis, Confidence
from nengshao.domain.readings import MICRO, StatType
from nengshao.domain.time import instant_of, iso_text, parse_instant
from nengshao.domain.units import MILLI, Carrier, PointKind, Role, Unit, canonical_unit, to_canonical
from nengshao.registry import CONTRACTS, Registry

Row = Mapping[str, str]
Tables = Mapping[str, Sequence[Row]]

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "regions": ("code", "name", "parent"),
    "enterprises": ("enterprise", "name", "region", "industry", "dialect", "active_from", "active_to"),
    "devices": ("enterprise", "device", "name", "cadence_s", "valid_from", "valid_to"),
    "points": (
        "enterprise", "data_code", "stat_type", "meter", "name", "device", "carrier", "kind", "role",
        "feeds_total", "unit", "ratio", "cadence_s", "grace_s", "max_estimate_s", "capacity_per_hour",
        "register_size", "expected_per_day", "valid_from", "valid_to",
    ),
    "meter_changes": ("enterprise", "data_code", "stat_type", "meter", "at", "closing", "opening"),
    "quotas": ("enterprise", "year", "basis", "scope", "quota_tce", "profile", "source", "confidence"),
}  # fmt: skip
"""The columns of each table, in file order. Empty cells mean "none"."""

_GRAMS_PER_TONNE: Final = 1_000_000


def registry_of(tables: Tables) -> Registry:
    """The registry that these tables describe (version 0).

    Units: `capacity_per_hour`, `expected_per_day` in the row's `unit`, after the ratio; `register_size`,
    `closing`, `opening` as the meter displays them, before it; `quota_tce` in t of standard coal.
    Raises: ConfigError with one line per table, row and cell that cannot be read.
    """
    problems: list[str] = []
    frames: dict[str, pl.DataFrame] = {}
    specs: dict[int, Row] = {}
    for name, contract in CONTRACTS.items():
        rows = []
        for number, row in enumerate(tables.get(name, ()), start=2):  # line 1 of the file is the header
            try:
                rows.append(_READ[name](row, specs))
            except (KeyError, ValueError, ZeroDivisionError, StopIteration) as exc:
                problems.append(f"{name}, line {number}: {_cause(exc)}")
        frames[name] = pl.DataFrame(rows, schema=dict(contract.schema), orient="row").sort(contract.key)
    if problems:
        raise ConfigError(problems)
    return Registry(version=0, **frames)


def tables_of(registry: Registry) -> dict[str, list[dict[str, str]]]:
    """The tables of a registry; `registry_of` gives the same registry back."""
    units = {row["point"]: row for row in registry.points.iter_rows(named=True)}
    return {
        name: [_WRITE[name](row, units) for row in getattr(registry, name).iter_rows(named=True)]
        for name in CONTRACTS
    }


def read_tables(folder: Path) -> dict[str, list[dict[str, str]]]:
    """The tables in a folder (`points.csv`, or `points.xlsx`, …), or the sheets of one workbook.

    Raises: ConfigError for a missing folder, unknown columns, or missing ones.
    """
    if not folder.exists():
        raise ConfigError([f"registry {folder} does not exist"])
    tables, problems = {}, []
    for name, columns in COLUMNS.items():
        try:
            frame = _read_table(folder, name)
        except pl.exceptions.PolarsError as exc:
            problems.append(
                f"{name}: 无法读取，请存为 CSV UTF-8 或 XLSX / cannot be read, save it as UTF-8: {exc}"
            )
            continue
        if frame is None:
            continue
        unknown, missing = set(frame.columns) - set(columns), set(columns) - set(frame.columns)
        problems += [f"{name}: unknown column {column}" for column in sorted(unknown)]
        problems += [f"{name}: column {column} is missing" for column in sorted(missing)]
        tables[name] = frame.with_columns(pl.all().cast(pl.String).fill_null("")).to_dicts()
    if problems or not tables:
        raise ConfigError(problems or [f"registry {folder} holds none of {', '.join(COLUMNS)}"])
    return tables


def write_tables(tables: Tables, folder: Path) -> None:
    """One CSV file per table into `folder`, made if missing; with a byte-order mark for spreadsheets."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns in COLUMNS.items():
        frame = pl.DataFrame(list(tables.get(name, ())), schema=dict.fromkeys(columns, pl.String))
        frame.write_csv(folder / f"{name}.csv", include_bom=True)


def loose_ends(registry: Registry) -> list[str]:
    """What a registry names and does not hold: a line per device or region that is missing."""
    devices = registry.devices.select("enterprise", "device").unique()
    orphans = registry.points.select("enterprise", "device").unique()
    orphans = orphans.join(devices, on=["enterprise", "device"], how="anti")
    regions = registry.enterprises.join(registry.regions, left_on="region", right_on="code", how="anti")
    return [
        *(f"端设备未登记 / unknown device {d} of {e}" for e, d in sorted(orphans.iter_rows())),
        *(
            f"行政区划未登记 / unknown region {r} of {e}"
            for e, r in regions.select("enterprise", "region").rows()
        ),
    ]


def _read_table(folder: Path, name: str) -> pl.DataFrame | None:
    if folder.is_file():
        sheets = pl.read_excel(folder, sheet_id=0, infer_schema_length=0, raise_if_empty=False)
        return sheets.get(name)
    if (folder / f"{name}.csv").is_file():
        return pl.read_csv(folder / f"{name}.csv", infer_schema=False)
    if (folder / f"{name}.xlsx").is_file():
        return pl.read_excel(folder / f"{name}.xlsx", infer_schema_length=0, raise_if_empty=False)
    return None


def _cause(exc: Exception) -> str:
    if isinstance(exc, KeyError):
        return f"column {exc} is missing"
    return str(exc) or type(exc).__name__


# ------------------------------------------------------------------------------------------ reading


def _instant(text: str) -> int:
    """A local date, or an instant with or without offset."""
    return instant_of(dt.date.fromisoformat(text)) if len(text) == 10 else parse_instant(text)


def _optional(text: str, read: Callable[[str], Any]) -> Any:
    return read(text) if text else None


def _whole(value: Fraction, what: str) -> int:
    """A scaled quantity, which must come out whole: rounding is a decision nobody may take silently."""
    if value.denominator != 1:
        raise ValueError(f"{what} is finer than the registry keeps")
    return value.numerator


def _credit_code(text: str) -> str:
    if not is_credit_code(text):
        raise ValueError(f"{text!r} is not a credit code (GB 32100-2015)")
    return text


def _ratio(text: str) -> Fraction:
    """A CT×PT ratio as people write it: `3000`, `0.1`, `35/0.1`; empty: none."""
    parts = [Fraction(part) for part in (text or "1").split("/")]
    if len(parts) > 2 or any(part <= 0 for part in parts):
        raise ValueError(f"ratio {text!r} must be a number above 0, or two of them with / between")
    return parts[0] / parts[1] if len(parts) == 2 else parts[0]


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def _key(row: Row) -> PointKey:
    code = plain_data_code(row["data_code"])
    if code is None:
        raise ValueError(f"{row['data_code']!r} is not a data code")
    stat_type = StatType(int(row["stat_type"]))
    return PointKey(_credit_code(row["enterprise"]), code, int(stat_type), row["meter"] or "00")


def _read_region(row: Row, _: dict[int, Row]) -> tuple[Any, ...]:
    return (row["code"], row["name"], row["parent"] or None)


def _read_enterprise(row: Row, _: dict[int, Row]) -> tuple[Any, ...]:
    return (
        _credit_code(row["enterprise"]), row["name"], row["region"], row["industry"],
        row["dialect"] or "national", _instant(row["active_from"]), _optional(row["active_to"], _instant),
    )  # fmt: skip


def _read_device(row: Row, _: dict[int, Row]) -> tuple[Any, ...]:
    return (
        _credit_code(row["enterprise"]), row["device"], row["name"], _optional(row["cadence_s"], int),
        _instant(row["valid_from"]), _optional(row["valid_to"], _instant),
    )  # fmt: skip


def _read_point(row: Row, specs: dict[int, Row]) -> tuple[Any, ...]:
    key, carrier, unit = _key(row), Carrier(row["carrier"]), Unit(row["unit"])
    if canonical_unit(unit) is not carrier.unit:
        raise ValueError(f"unit {unit} does not measure {carrier}")
    scale, ratio = to_canonical(unit), _ratio(row["ratio"])
    specs[key.point] = row

    def milli(text: str) -> int:
        return _whole(Fraction(text) * scale * MILLI, "capacity or expected amount")

    def micro(text: str) -> int:
        return _whole(Fraction(text) * ratio * scale * MICRO, "register_size")

    return (
        key.point, key.enterprise, key.data_code, key.stat_type, key.meter, row["name"], row["device"],
        carrier.value, PointKind(row["kind"]).value, Role(row["role"]).value, _boolean(row["feeds_total"]),
        unit.value, ratio.numerator, ratio.denominator, int(row["cadence_s"]), int(row["grace_s"]),
        int(row["max_estimate_s"] or "0"), _optional(row["capacity_per_hour"], milli),
        _optional(row["register_size"], micro), _optional(row["expected_per_day"], milli),
        _instant(row["valid_from"]), _optional(row["valid_to"], _instant),
    )  # fmt: skip


def _read_meter_change(row: Row, specs: dict[int, Row]) -> tuple[Any, ...]:
    key = _key(row)
    spec = specs.get(key.point)
    if spec is None:
        raise ValueError("meter change of a point that is not in the points table")
    scale = _ratio(spec["ratio"]) * to_canonical(Unit(spec["unit"])) * MICRO
    closing, opening = (_whole(Fraction(row[name]) * scale, name) for name in ("closing", "opening"))
    return (key.point, _instant(row["at"]), closing, opening)


def _read_quota(row: Row, _: dict[int, Row]) -> tuple[Any, ...]:
    if row["profile"] != "linear":
        raise ValueError(f"profile {row['profile']!r} is not known")
    return (
        _credit_code(row["enterprise"]), int(row["year"]), Basis(row["basis"]).value, row["scope"],
        _whole(Fraction(row["quota_tce"]) * _GRAMS_PER_TONNE, "quota_tce"), row["profile"], row["source"],
        Confidence(row["confidence"]).value,
    )  # fmt: skip


_READ: Final[dict[str, Callable[[Row, dict[int, Row]], tuple[Any, ...]]]] = {
    "regions": _read_region,
    "enterprises": _read_enterprise,
    "devices": _read_device,
    "points": _read_point,
    "meter_changes": _read_meter_change,
    "quotas": _read_quota,
}


# ------------------------------------------------------------------------------------------ writing


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _time(value: int | None) -> str:
    return "" if value is None else iso_text(value)


def _decimal(value: int | None, scale: Fraction) -> str:
    """`value` in a person's unit: a decimal where one exists, else a fraction."""
    if value is None:
        return ""
    exact = Fraction(value) / scale
    for digits in range(19):
        if (exact * 10**digits).denominator == 1:
            scaled = (exact * 10**digits).numerator
            whole, part = divmod(abs(scaled), 10**digits)
            sign = "-" if scaled < 0 else ""
            return f"{sign}{whole}.{part:0{digits}d}" if digits else f"{sign}{whole}"
    return f"{exact.numerator}/{exact.denominator}"


def _named(name: str, values: Sequence[str]) -> dict[str, str]:
    return dict(zip(COLUMNS[name], values, strict=True))


def _write_region(row: Mapping[str, Any], _: Mapping[int, Any]) -> dict[str, str]:
    return _named("regions", [row["code"], row["name"], _text(row["parent"])])


def _write_enterprise(row: Mapping[str, Any], _: Mapping[int, Any]) -> dict[str, str]:
    head = [row[c] for c in COLUMNS["enterprises"][:5]]
    return _named("enterprises", [*head, _time(row["active_from"]), _time(row["active_to"])])


def _write_device(row: Mapping[str, Any], _: Mapping[int, Any]) -> dict[str, str]:
    head = [row["enterprise"], row["device"], row["name"], _text(row["cadence_s"])]
    return _named("devices", [*head, _time(row["valid_from"]), _time(row["valid_to"])])


def _write_point(row: Mapping[str, Any], _: Mapping[int, Any]) -> dict[str, str]:
    unit, ratio = to_canonical(Unit(row["unit"])), Fraction(row["ratio_num"], row["ratio_den"])
    return _named(
        "points",
        [
            row["enterprise"], row["data_code"], str(row["stat_type"]), row["meter"], row["name"],
            row["device"], row["carrier"], row["kind"], row["role"], str(row["feeds_total"]).lower(),
            row["unit"], str(ratio), str(row["cadence_s"]), str(row["grace_s"]), str(row["max_estimate_s"]),
            _decimal(row["capacity"], unit * MILLI), _decimal(row["register_modulus"], unit * ratio * MICRO),
            _decimal(row["expected_daily"], unit * MILLI), _time(row["valid_from"]), _time(row["valid_to"]),
        ],
    )  # fmt: skip


def _write_meter_change(row: Mapping[str, Any], points: Mapping[int, Any]) -> dict[str, str]:
    spec = points[row["point"]]
    scale = Fraction(spec["ratio_num"], spec["ratio_den"]) * to_canonical(Unit(spec["unit"])) * MICRO
    head = [spec["enterprise"], spec["data_code"], str(spec["stat_type"]), spec["meter"], _time(row["at"])]
    return _named("meter_changes", [*head, _decimal(row["closing"], scale), _decimal(row["opening"], scale)])


def _write_quota(row: Mapping[str, Any], _: Mapping[int, Any]) -> dict[str, str]:
    head = [row["enterprise"], str(row["year"]), row["basis"], row["scope"]]
    tail = [_decimal(row["quota_g"], Fraction(_GRAMS_PER_TONNE)), row["profile"], row["source"]]
    return _named("quotas", [*head, *tail, row["confidence"]])


_WRITE: Final[dict[str, Callable[[Mapping[str, Any], Mapping[int, Any]], dict[str, str]]]] = {
    "regions": _write_region,
    "enterprises": _write_enterprise,
    "devices": _write_device,
    "points": _write_point,
    "meter_changes": _write_meter_change,
    "quotas": _write_quota,
}
