"""Revisions: published figures that changed, with what they were and why (BOOKKEEPING §7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from typing import Any, Final

import polars as pl

from nengshao.domain.factors import Basis
from nengshao.domain.time import accounting_day
from nengshao.frames import BLOCKS, ENTERPRISE_DAYS, POINT_DAYS

_NO_FIGURES: Final = ("recheck_at", "published")
_ENTERPRISE_FIGURES: Final = [name for name in ENTERPRISE_DAYS.schema if name not in _NO_FIGURES]
_POINT_FIGURES: Final = [name for name in POINT_DAYS.schema if name not in _NO_FIGURES]
_BLOCK_FIGURES: Final = [*BLOCKS.schema, "day"]
_SHARES: Final = ("measured_s", "estimated_s", "missing_s", "pending_s")


def published_pairs(days: pl.DataFrame) -> pl.DataFrame:
    """enterprise, day of the published rows of ENTERPRISE_DAYS."""
    return days.filter("published").select("enterprise", "day")


Days = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]
"""ENTERPRISE_DAYS, POINT_DAYS and BLOCKS of the same days."""


def changed_days(before: Days, after: Days) -> list[tuple[str, int, Mapping[str, Any], Mapping[str, Any]]]:
    """enterprise, day, before, after of every day whose figures differ; a block belongs to the day it starts.

    The point and block rows kept are those that differ. When pending time turns missing that is no figure of
    a published day, and no revision.
    """
    days = [_by_day(frame, _ENTERPRISE_FIGURES) for frame in (before[0], after[0])]
    parts = [
        {
            "point_days": _by_day(frames[1], _POINT_FIGURES),
            "blocks": _by_day(_dated(frames[2]), _BLOCK_FIGURES),
        }
        for frames in (before, after)
    ]
    changes: list[tuple[str, int, Mapping[str, Any], Mapping[str, Any]]] = []
    for key in sorted(days[0]):
        was, now = (
            {"enterprise_day": next(iter(of_day.get(key, [])), None)}
            | {name: rows.get(key, []) for name, rows in own.items()}
            for of_day, own in zip(days, parts, strict=True)
        )
        if was != now:
            changes.append((*key, *_differing(was, now)))
    return changes


def _differing(was: dict[str, Any], now: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both without the point and block rows that are the same."""
    kept = (
        one
        | {name: [row for row in one[name] if row not in other[name]] for name in ("point_days", "blocks")}
        for one, other in ((was, now), (now, was))
    )
    before, after = kept
    return before, after


def _dated(blocks: pl.DataFrame) -> pl.DataFrame:
    return blocks.with_columns(day=accounting_day(pl.col("start")).cast(pl.Int32))


Corrected = Mapping[str, Sequence[Fraction]]
"""By factor id: everything the row has said under that id, oldest first."""


def corrected_factors(restatements: Iterable[Mapping[str, Any]]) -> Corrected:
    """The factor rows that were corrected under their own id. `restatements`: newest first."""
    said: dict[str, list[Fraction]] = {}
    for restatement in reversed(list(restatements)):
        for change in restatement["changes"]:
            if "per_unit" in change["fields"]:
                sides = (Fraction(change[side]["per_unit"]) for side in ("before", "after"))
                said.setdefault(change["factor"], []).extend(sides)
    return said


def cause_of(before: Mapping[str, Any], after: Mapping[str, Any], corrected: Corrected) -> str:
    """Why a day changed, by what of it changed: "factor" | "registry" | "late_data" | "correction".

    Other factor rows, another mass of the same amount, or where nothing was measured another weight as a
    corrected row makes it: "factor". Another carrier, sign, weight, or time on duty: "registry". Another
    coverage: "late_data". Other amounts over the same coverage: "correction".
    """
    was, now = ({row["point"]: row for row in figures["point_days"]} for figures in (before, after))
    pairs = [(was[point], now[point]) for point in was if point in now]
    if was.keys() != now.keys():
        return "registry"
    is_anew = (_is_weighed_anew(a, z, corrected) for a, z in pairs)
    if any(_is_converted_anew(a, z, basis) for a, z in pairs for basis in Basis) or any(is_anew):
        return "factor"
    blocks = [
        (a, z) for a in before.get("blocks", ()) for z in after.get("blocks", ())
        if (a["via"], a["point"], a["start"], a["amount"]) == (z["via"], z["point"], z["start"], z["amount"])
    ]  # fmt: skip
    if any(a["use"] == z["use"] and a["sign"] == z["sign"] for a, z in blocks):
        return "factor"  # of the same block nothing else is left that can differ
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


def _is_weighed_anew(a: Mapping[str, Any], z: Mapping[str, Any], corrected: Corrected) -> bool:
    """Whether the weights differ, but not the expected amount: as one of the row's factors was corrected."""
    was, now = a["weight_g_day"], z["weight_g_day"]
    if was == now or None in (was, now):
        return False
    ids = {z[f"{basis}_factor"] for basis in (Basis.CALORIFIC, Basis.EQUIVALENT)}
    pairs = [pair for name in ids for pair in combinations(corrected.get(name, ()), 2)]
    # Each weight is expected × factor, rounded to a gram.
    return any(p != q and abs(was * q - now * p) * 2 <= p + q for p, q in pairs)


def _registered(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["carrier"], row["sign"], row["weight_g_day"], sum(row[share] for share in _SHARES)


def _by_day(frame: pl.DataFrame, columns: list[str]) -> dict[tuple[str, int], list[dict[str, Any]]]:
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in frame.select(columns).iter_rows(named=True):
        found.setdefault((row["enterprise"], row["day"]), []).append(row)
    return found
