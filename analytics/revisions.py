"""Revisions: published figures that changed, with what they were and why (BOOKKEEPING §7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from nengshao.domain.factors import Basis
from nengshao.frames import ENTERPRISE_DAYS, POINT_DAYS

_NO_FIGURES: Final = ("recheck_at", "published")
_ENTERPRISE_FIGURES: Final = [name for name in ENTERPRISE_DAYS.schema if name not in _NO_FIGURES]
_POINT_FIGURES: Final = [name for name in POINT_DAYS.schema if name not in _NO_FIGURES]
_SHARES: Final = ("measured_s", "estimated_s", "missing_s", "pending_s")


def published_pairs(days: pl.DataFrame) -> pl.DataFrame:
    """enterprise, day of the published rows of ENTERPRISE_DAYS."""
    return days.filter("published").select("enterprise", "day")


def changed_days(
    before: tuple[pl.DataFrame, pl.DataFrame], after: tuple[pl.DataFrame, pl.DataFrame]
) -> list[tuple[str, int, Mapping[str, Any], Mapping[str, Any]]]:
    """enterprise, day, before, after of every day whose figures differ.

    Each pair is (ENTERPRISE_DAYS, POINT_DAYS) of the same days; the point rows kept are those that differ.
    When pending time turns missing that is no figure of a published day, and no revision.
    """
    days = [_by_day(frame, _ENTERPRISE_FIGURES) for frame in (before[0], after[0])]
    points = [_by_day(frame, _POINT_FIGURES) for frame in (before[1], after[1])]
    changes: list[tuple[str, int, Mapping[str, Any], Mapping[str, Any]]] = []
    for key in sorted(days[0]):
        rows: list[dict[str, Any]] = [
            {"enterprise_day": next(iter(d.get(key, [])), None), "point_days": p.get(key, [])}
            for d, p in zip(days, points, strict=True)
        ]
        same = [row for row in rows[0]["point_days"] if row in rows[1]["point_days"]]
        if rows[0]["enterprise_day"] == rows[1]["enterprise_day"] and len(same) == max(
            len(row["point_days"]) for row in rows
        ):
            continue
        was, now = (
            row | {"point_days": [point for point in row["point_days"] if point not in same]} for row in rows
        )
        changes.append((*key, was, now))
    return changes


def cause_of(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Why a day changed, by what of it changed: "factor" | "registry" | "late_data" | "correction".

    Other factor rows, or another mass of the same amount: "factor". Another carrier, sign, weight, or time
    on duty: "registry". Another coverage: "late_data". Other amounts over the same coverage: "correction".
    """
    was, now = ({row["point"]: row for row in figures["point_days"]} for figures in (before, after))
    pairs = [(was[point], now[point]) for point in was if point in now]
    if was.keys() != now.keys():
        return "registry"
    if any(_is_converted_anew(a, z, basis) for a, z in pairs for basis in Basis):
        return "factor"
    if any(_registered(a) != _registered(z) for a, z in pairs):
        return "registry"
    if any(a[share] != z[share] for a, z in pairs for share in _SHARES):
        return "late_data"
    return "correction"


def _is_converted_anew(a: Mapping[str, Any], z: Mapping[str, Any], basis: Basis) -> bool:
    """Whether another factor was used, or the same row after it had been corrected."""
    is_same_amount = (a["carrier"], a["amount"]) == (z["carrier"], z["amount"])
    is_same_row = a[f"{basis}_factor"] == z[f"{basis}_factor"]
    return not is_same_row or (is_same_amount and a[f"{basis}_g"] != z[f"{basis}_g"])


def _registered(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["carrier"], row["sign"], row["weight_g_day"], sum(row[share] for share in _SHARES)


def _by_day(frame: pl.DataFrame, columns: list[str]) -> dict[tuple[str, int], list[dict[str, Any]]]:
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in frame.select(columns).iter_rows(named=True):
        found.setdefault((row["enterprise"], row["day"]), []).append(row)
    return found
