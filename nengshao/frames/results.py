"""Frames of results: totals in every scope, progress, intensity, and the measures that rules look at."""

from __future__ import annotations

from typing import Final

import polars as pl

from nengshao.frames.contract import Contract

_TOTALS: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "calorific_g": pl.Int64,  # inputs − outputs, g standard coal; null: a factor is missing
    "equivalent_g": pl.Int64,
    "carbon_g": pl.Int64,  # g CO2
    "calorific_gap_low": pl.Int64,  # ≤ 0: what missing time could take away; null: unbounded
    "calorific_gap_high": pl.Int64,  # ≥ 0: what it could add; null: unbounded
    "equivalent_gap_low": pl.Int64,
    "equivalent_gap_high": pl.Int64,
    "carbon_gap_low": pl.Int64,
    "carbon_gap_high": pl.Int64,
    "measured_w": pl.Int64,  # weight × seconds, points that count; shares are taken when shown
    "estimated_w": pl.Int64,
    "spread_w": pl.Int64,  # of estimated_w: measured, as soon as the longer period is asked as a whole
    "missing_w": pl.Int64,
    "pending_w": pl.Int64,
    "lowest_point": pl.Int64,  # the counting point with the least measured share
    "missing_points": pl.String,  # comma-separated ids of the counting points with missing time
    "no_factor": pl.String,  # comma-separated carrier:basis without a factor; "" if none
    "calorific_confirmed": pl.Boolean,  # every factor used is confirmed
    "equivalent_confirmed": pl.Boolean,
    "carbon_confirmed": pl.Boolean,
    "published": pl.Boolean,  # nothing of the day is pending
    "recheck_at": pl.Int64,
}

ENTERPRISE_DAYS: Final = Contract(
    "ENTERPRISE_DAYS",
    {"enterprise": pl.String, "day": pl.Int32, **_TOTALS},
    key=("enterprise", "day"),
)
"""Scope "total". A region's rows are of the same form, its code as `enterprise`: the sum of its key units."""

SCOPE_DAYS: Final = Contract(
    "SCOPE_DAYS",
    {"enterprise": pl.String, "day": pl.Int32, "scope": pl.String, **_TOTALS},
    key=("enterprise", "day", "scope"),
)
"""The scopes other than "total", of enterprises that have a point with a use other than energy. For others
every deduction is nothing, and every scope that excludes something is the total."""

PROGRESS: Final = Contract(
    "PROGRESS",
    {
        "enterprise": pl.String,
        "year": pl.Int32,
        "basis": pl.String,
        "scope": pl.String,
        "level": pl.String,
        "quota_g": pl.Int64,
        "quota_confirmed": pl.Boolean,
        "as_of_day": pl.Int32,  # last day up to which nothing is pending
        "used_g": pl.Int64,  # to the end of as_of_day; null: a factor is missing
        "low_g": pl.Int64,  # bounds of used_g; null: unbounded
        "high_g": pl.Int64,
        "due_g": pl.Int64,  # what the profile allows by the end of as_of_day; null: no profile to go by
        "pace": pl.Float64,  # used_g / due_g
        "pace_low": pl.Float64,
        "pace_high": pl.Float64,
        "projected_g": pl.Int64,  # what the whole year is expected to come to; null: not enough to say
        "projected_low_g": pl.Int64,  # 80 % interval
        "projected_high_g": pl.Int64,
        "projection": pl.String,  # Projection: by what method; "" if none
        "is_confirmed": pl.Boolean,  # every factor used, and the quota, is confirmed
        "coverage": pl.Float64,  # measured + estimated share to the end of as_of_day
    },
    key=("enterprise", "year", "basis", "scope", "level"),
)

INTENSITY: Final = Contract(
    "INTENSITY",
    {
        "enterprise": pl.String,  # or a region's code: then of statistics alone
        "denominator": pl.String,  # as in INTENSITY_TARGETS
        "basis": pl.String,
        "scope": pl.String,
        "period": pl.String,  # "2025", "2025-03": a year (to date) or a month
        "first_day": pl.Int32,
        "end_day": pl.Int32,  # exclusive: how far energy and denominator both reach
        "is_whole": pl.Boolean,  # whether that is the whole period
        "energy_g": pl.Int64,  # null: a factor is missing, or nothing was measured
        "low_g": pl.Int64,  # bounds; null: unbounded
        "high_g": pl.Int64,
        "quantity": pl.Int64,  # of the denominator, 10⁻³ of `unit`
        "unit": pl.String,
        "intensity": pl.Float64,  # kg per unit; null: unknown, or nothing was made
        "intensity_low": pl.Float64,
        "intensity_high": pl.Float64,
        "previous": pl.Float64,  # the same days a year before; null: unknown
        "change": pl.Float64,  # (intensity − previous) / previous
        "chain": pl.Float64,  # against the month before; null for a year
        "target": pl.Float64,  # kg per unit, base level; null: none is set
        "target_confirmed": pl.Boolean,
        "state": pl.String,  # IntensityState; "" if it cannot be said
        "norm": pl.String,  # id; "" if none applies
        "limit_1": pl.Float64,  # kg per unit after the norm's corrections; null: the norm has none
        "limit_2": pl.Float64,
        "limit_3": pl.Float64,
        "benchmark": pl.Float64,  # 标杆水平
        "baseline": pl.Float64,  # 基准水平
        "grade": pl.String,  # "1" | "2" | "3" | "over"; "" if it cannot be said
        "gap": pl.Float64,  # kg per unit above limit 3 (< 0: below)
        "gap_g": pl.Int64,  # the same for the whole quantity
        "norm_confirmed": pl.Boolean,
        "is_confirmed": pl.Boolean,  # factors and denominator
        "coverage": pl.Float64,
    },
    key=("enterprise", "denominator", "basis", "scope", "period"),
)

MEASURES: Final = Contract(
    "MEASURES",
    {
        "enterprise": pl.String,  # or a region's code
        "measure": pl.String,  # Measure
        "subject": pl.String,  # what below the enterprise: a quota, a device, a point, a product
        "at": pl.Int64,  # the instant up to which the figure reaches
        "value": pl.Float64,  # null: unknown
        "low": pl.Float64,  # bounds; null: unbounded
        "high": pl.Float64,
        "coverage": pl.Float64,  # null: does not apply
        "is_confirmed": pl.Boolean,
    },
    key=("enterprise", "measure", "subject", "at"),
)
"""What rules look at: every figure of every kind in one form."""
