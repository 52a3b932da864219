"""A small metered world for tests of analytics/: one row of everything, and readings in plain words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import polars as pl

from nengshao.domain.codes import PointKey, credit_code_check_character
from nengshao.domain.factors import Basis, Confidence, Factor, FactorTable
from nengshao.domain.time import day_number, day_start
from nengshao.domain.units import Carrier
from nengshao.frames import METER_CHANGES, POINTS, QUOTAS, READINGS
from nengshao.ports import LAST_SEEN_SCHEMA
from nengshao.registry import DEVICES, ENTERPRISES, Registry

ENTERPRISE = "91990100MA0000000" + credit_code_check_character("91990100MA0000000")
"""A code whose division (99) does not exist."""

DAY = day_number(dt.date(2025, 1, 1))
T0 = day_start(DAY)
QUARTER = 900


def point(number: int, **changes: Any) -> dict[str, Any]:
    """A POINTS row: an electricity register on the boundary, read every quarter of an hour."""
    row: dict[str, Any] = {
        "point": number, "enterprise": ENTERPRISE, "data_code": f"{number:016d}", "stat_type": 0,
        "meter": "00", "name": f"点{number}", "device": "D", "carrier": "electricity", "kind": "register",
        "role": "input", "use": "energy", "parent": None,
        "feeds_total": True, "unit": "kWh", "ratio_num": 1, "ratio_den": 1,
        "cadence_s": QUARTER, "grace_s": 3600, "max_estimate_s": 4 * 3600, "capacity": 1_000_000,
        "register_modulus": None, "expected_daily": 2_400_000, "valid_from": T0, "valid_to": None,
    }  # fmt: skip
    return row | changes


def registered_point(number: int, **changes: Any) -> dict[str, Any]:
    """The same row under the id that its identity has: what a registry at rest accepts."""
    row = point(number, **changes)
    return row | {
        "point": PointKey(row["enterprise"], row["data_code"], row["stat_type"], row["meter"]).point
    }


def points(*rows: dict[str, Any]) -> pl.DataFrame:
    """POINTS of these rows."""
    return pl.DataFrame(rows, schema=dict(POINTS.schema))


def readings(number: int, pairs: Iterable[tuple[int, int]], *, version: int | None = None) -> pl.DataFrame:
    """READINGS of one point from (ts, value in 10⁻⁶), all valid, each uploaded at its own time."""
    rows = [(number, ts, ts if version is None else version, value, True, 4) for ts, value in pairs]
    return pl.DataFrame(rows, schema=dict(READINGS.schema), orient="row").sort("point", "ts")


def kwh(*values: float, start: int = T0, step: int = QUARTER) -> list[tuple[int, int]]:
    """(ts, 10⁻⁶ kWh) of values one step apart; None is a read that never came."""
    return [(start + i * step, round(v * 1_000_000)) for i, v in enumerate(values) if v is not None]


def changes(*rows: tuple[int, int, int, int]) -> pl.DataFrame:
    """METER_CHANGES of (point, at, closing, opening)."""
    return pl.DataFrame(rows, schema=dict(METER_CHANGES.schema), orient="row")


def enterprises(*names: str, active_from: int = T0, active_to: int | None = None) -> pl.DataFrame:
    """ENTERPRISES of these names, default ENTERPRISE, active from T0 on."""
    rows = [
        (name, f"企业{name}", "430600", "3011", "national", active_from, active_to)
        for name in names or (ENTERPRISE,)
    ]
    return pl.DataFrame(rows, schema=dict(ENTERPRISES.schema), orient="row")


def devices(*names: tuple[str, str]) -> pl.DataFrame:
    """DEVICES of (enterprise, device), reporting every quarter of an hour from T0 on."""
    rows = [(enterprise, device, device, QUARTER, T0, None) for enterprise, device in names]
    return pl.DataFrame(rows, schema=dict(DEVICES.schema), orient="row")


def quota(
    tce: int, *, basis: str = "calorific", enterprise: str = ENTERPRISE, year: int = 2025
) -> pl.DataFrame:
    """QUOTAS with one row, officially confirmed."""
    row = (enterprise, year, basis, "total", "base", tce * 1_000_000, "linear", "a document", "official")
    return pl.DataFrame([row], schema=dict(QUOTAS.schema), orient="row")


def factor(carrier: Carrier, basis: Basis, value: str, **more: Any) -> Factor:
    """A factor row, transcribed, valid for ever since 2008."""
    facts: dict[str, Any] = {
        "edition": "test", "source": "test", "confidence": Confidence.TRANSCRIBED,
        "valid_from": dt.date(2008, 6, 1),
    }  # fmt: skip
    facts |= more
    name = f"{carrier}/{basis}/{facts['valid_from']}"
    return Factor(factor_id=name, carrier=carrier, basis=basis, per_unit=Fraction(value), **facts)


FACTORS = FactorTable(
    (
        factor(Carrier.ELECTRICITY, Basis.CALORIFIC, "0.1229"),
        factor(Carrier.ELECTRICITY, Basis.EQUIVALENT, "0.3", confidence=Confidence.RECALLED),
        factor(Carrier.RAW_COAL, Basis.CALORIFIC, "0.7143"),
        factor(Carrier.RAW_COAL, Basis.EQUIVALENT, "0.7143"),
        factor(Carrier.ELECTRICITY, Basis.CARBON, "0.5"),
        factor(Carrier.RAW_COAL, Basis.CARBON, "2"),
    )
)


def registry(pts: pl.DataFrame, **tables: pl.DataFrame) -> Registry:
    """A registry of these points; other tables by name."""
    base: dict[str, Any] = {"points": pts, "enterprises": enterprises()}
    return Registry(**(base | tables))


def last_seen(*rows: tuple[str, str, int]) -> pl.DataFrame:
    """LAST_SEEN_SCHEMA of (enterprise, device, at)."""
    return pl.DataFrame(rows, schema=dict(LAST_SEEN_SCHEMA), orient="row")
