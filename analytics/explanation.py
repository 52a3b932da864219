"""Explanations: what an alert rests on, opened up to points, factors and coverage. JSON-able.

Masses are in t of standard coal for people and, with suffix `_g`, as the integers that add up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from nengshao.domain.factors import Basis, CoalFactor, FactorTable
from nengshao.domain.rules import Judgement, Rule
from nengshao.domain.time import DAY_S, date_of, day_start, iso_text
from nengshao.domain.units import MILLI, Carrier

UNCONFIRMED_LABEL: Final = "不作为执法依据 / not a basis for enforcement"
"""What is shown on everything that rests on an unconfirmed factor, quota or threshold."""

_G_PER_TCE: Final = 1_000_000
_SHARES: Final = ("measured", "estimated", "missing", "pending")


def explain_progress(
    judgement: Judgement,
    rule: Rule,
    progress: Mapping[str, Any],
    *,
    point_days: pl.DataFrame,
    blocks: pl.DataFrame,
    points: pl.DataFrame,
    factors: FactorTable,
) -> dict[str, Any]:
    """An alert on quota progress. `progress`: the PROGRESS row judged; `point_days`, `blocks`: POINT_DAYS and
    BLOCKS of the enterprise in the row's year; later days than the row's as_of_day are left out."""
    basis = Basis(progress["basis"])
    end_day = progress["as_of_day"] + 1
    days = point_days.filter(pl.col("day") < end_day, pl.col("sign") != 0)
    whole = blocks.filter(pl.col("sign") != 0, pl.col("start") < day_start(end_day))
    return _common(judgement, rule) | {
        "as_of": date_of(progress["as_of_day"]).isoformat(),
        "figure": {
            "year": progress["year"],
            "basis": basis.value,
            "basis_zh": basis.zh,
            "scope": progress["scope"],
            "formula": "pace = used / due; used = Σ inputs − Σ outputs; due = quota × days elapsed / days",
            "quota_confirmed": progress["quota_confirmed"],
            **{name.removesuffix("_g") + "_tce": _tce(progress[name]) for name in _MASSES},
            **{name: progress[name] for name in _MASSES},
        },
        "points": _point_rows(days, basis, points, factors),
        "blocks": _block_rows(whole, basis, points, day_start(end_day)),
        "missing_points": sorted(str(p) for p in days.filter(pl.col("missing_s") > 0)["point"].unique()),
    }


_MASSES: Final = ("used_g", "low_g", "high_g", "due_g", "quota_g")


def explain_silence(
    judgement: Judgement, rule: Rule, silence: Mapping[str, Any], points: pl.DataFrame
) -> dict[str, Any]:
    """An alert on a silent device. `silence`: its DEVICE_SILENCE row; `points`: POINTS of the enterprise."""
    served = points.filter(
        pl.col("device") == judgement.subject,
        pl.col("valid_from") <= judgement.at,
        pl.col("valid_to").is_null() | (pl.col("valid_to") > judgement.at),
    )
    return _common(judgement, rule) | {
        "as_of": iso_text(judgement.at),
        "device": judgement.subject,
        "last_seen": iso_text(silence["last_seen"]),
        "silent_seconds": silence["silent_seconds"],
        "points": served.select("point", "name", "carrier", "data_code").sort("point").to_dicts(),
    }


def _common(judgement: Judgement, rule: Rule) -> dict[str, Any]:
    return {
        "enterprise": judgement.enterprise,
        "subject": judgement.subject,
        "value": judgement.value,
        "low": judgement.low,
        "high": judgement.high,
        "coverage": judgement.coverage,
        "rule": {
            "name": rule.name,
            "measure": rule.measure.value,
            "op": rule.op.value,
            "threshold": rule.threshold,
            "hold_s": rule.hold_s,
            "min_coverage": rule.min_coverage,
            "severity": rule.severity.value,
            "legal_basis": rule.legal_basis,
            "confidence": rule.confidence,
            "summary_zh": rule.summary_zh,
            "summary_en": rule.summary_en,
        },
        "is_confirmed": judgement.is_confirmed,
        "label": None if judgement.is_confirmed else UNCONFIRMED_LABEL,
    }


def _point_rows(
    days: pl.DataFrame, basis: Basis, points: pl.DataFrame, factors: FactorTable
) -> list[dict[str, Any]]:
    """One row per point and factor: the leaves, whose masses × sign add up to the days' part of the total.

    A month's figure counts as measured here: it is asked as a whole.
    """
    days = days.with_columns(
        measured_s=pl.col("measured_s") + pl.col("spread_s"),
        estimated_s=pl.col("estimated_s") - pl.col("spread_s"),
    )
    known = {row.factor_id: row for row in factors.rows}
    grams, factor_id = f"{basis}_g", f"{basis}_factor"
    seconds = [f"{share}_s" for share in _SHARES]
    grouped = (
        days.group_by("point", "carrier", "sign", factor_id)
        .agg(pl.when(pl.col(name).is_not_null().any()).then(pl.col(name).sum()) for name in ("amount", grams))
        .join(
            days.group_by("point", "carrier", "sign", factor_id).agg(pl.col(seconds).sum()),
            on=["point", "carrier", "sign", factor_id],
            nulls_equal=True,
        )
        .sort("point", factor_id)
    )
    names = _names(points)
    rows = []
    for row in grouped.iter_rows(named=True):
        factor = known.get(row[factor_id])
        total = sum(row[name] for name in seconds)
        rows.append(
            {
                "point": str(row["point"]),
                **names.get(row["point"], _UNNAMED),
                "carrier": row["carrier"],
                "carrier_zh": Carrier(row["carrier"]).zh,
                "sign": row["sign"],
                "amount": None if row["amount"] is None else row["amount"] / MILLI,
                "unit": Carrier(row["carrier"]).unit.value,
                "mass_g": row[grams],
                "mass_tce": _tce(row[grams]),
                "factor": None if factor is None else _factor_leaf(factor),
                "coverage": {share: row[f"{share}_s"] / total if total else None for share in _SHARES},
            }
        )
    return rows


def _factor_leaf(factor: CoalFactor) -> dict[str, str]:
    return {
        "id": factor.factor_id,
        "kgce_per_unit": str(factor.kgce_per_unit),
        "edition": factor.edition,
        "source": factor.source,
        "confidence": factor.confidence.value,
        "note": factor.note,
    }


def _block_rows(blocks: pl.DataFrame, basis: Basis, points: pl.DataFrame, end: int) -> list[dict[str, Any]]:
    names = _names(points)
    return [
        {
            "point": str(row["point"]),
            **names.get(row["point"], _UNNAMED),
            "start": iso_text(row["start"]),
            "end": iso_text(row["end"]),
            "days": (row["end"] - row["start"]) / DAY_S,
            "sign": row["sign"],
            "mass_g": row[f"{basis}_g"],
            "mass_tce": _tce(row[f"{basis}_g"]),
            "is_inside": row["end"] <= end,
        }
        for row in blocks.sort("point", "start").iter_rows(named=True)
    ]


_UNNAMED: Final = {"tag": "", "name": ""}


def _names(points: pl.DataFrame) -> dict[int, dict[str, str]]:
    """Per point what people and the API call it: `dataCode.statType.meter`, and its name."""
    tag = pl.format("{}.{}.{}", "data_code", "stat_type", "meter")  # as PointKey.tag
    rows = points.sort("valid_from").select("point", tag, "name").iter_rows()
    return {point: {"tag": tag, "name": name} for point, tag, name in rows}


def _tce(grams: int | None) -> float | None:
    return None if grams is None else grams / _G_PER_TCE
