"""Frames of targets, and of what people state: products, quotas, intensity targets, statistics."""

from __future__ import annotations

from typing import Final

import polars as pl

from nengshao.frames.contract import Contract

PRODUCTS: Final = Contract(
    "PRODUCTS",
    {
        "enterprise": pl.String,
        "product": pl.String,  # its id within the enterprise
        "name": pl.String,
        "unit": pl.String,  # of its output: t, m2, kWh, …
        "norm": pl.String,  # id in analytics/norms; "": none
        "valid_from": pl.Int64,
        "valid_to": pl.Int64,  # null: in force
    },
    key=("enterprise", "product", "valid_from"),
)

PRODUCT_SHARES: Final = Contract(
    "PRODUCT_SHARES",
    {
        "enterprise": pl.String,
        "product": pl.String,
        "point": pl.Int64,
        "num": pl.Int64,  # which part of the point's energy the product is charged with; may be negative
        "den": pl.Int64,  # > 0
        "valid_from": pl.Int64,
        "valid_to": pl.Int64,  # null: in force
    },
    key=("enterprise", "product", "point", "valid_from"),
)
"""Whose energy a product is charged with. One without any row is charged with the enterprise's total."""

QUOTAS: Final = Contract(
    "QUOTAS",
    {
        "enterprise": pl.String,  # or a region's code
        "year": pl.Int32,
        "basis": pl.String,  # Basis
        "scope": pl.String,  # Scope
        "level": pl.String,  # TargetLevel: base or incentive
        "quota_g": pl.Int64,  # g of standard coal, or of CO2, in the accounting year
        "profile": pl.String,  # Profile: how the quota spreads over the year
        "source": pl.String,  # the document that sets it
        "confidence": pl.String,  # Confidence
    },
    key=("enterprise", "year", "basis", "scope", "level"),
)

QUOTA_PLANS: Final = Contract(
    "QUOTA_PLANS",
    {
        "enterprise": pl.String,
        "year": pl.Int32,
        "basis": pl.String,
        "scope": pl.String,
        "month": pl.Int32,  # 1 … 12
        "planned_g": pl.Int64,  # what the enterprise plans to use in the month
    },
    key=("enterprise", "year", "basis", "scope", "month"),
)
"""The shape of quotas with profile "plan"; a plan need not add up to the quota, it is scaled to it."""

INTENSITY_TARGETS: Final = Contract(
    "INTENSITY_TARGETS",
    {
        "enterprise": pl.String,  # or a region's code
        "year": pl.Int32,
        "basis": pl.String,
        "scope": pl.String,
        "denominator": pl.String,  # "product:<id>", or an Indicator such as "value_added"
        "level": pl.String,  # TargetLevel
        "target_mg": pl.Int64,  # mg of coal or CO2 per unit of the denominator (t, 1e4CNY, …); null: see next
        "reduction_ppm": pl.Int64,  # reduction against the base year, 10⁻⁶; null: `target_mg` says it
        "base_year": pl.Int32,  # of the reduction; null with `target_mg`
        "source": pl.String,
        "confidence": pl.String,
    },
    key=("enterprise", "year", "basis", "scope", "denominator", "level"),
)

STATISTICS: Final = Contract(
    "STATISTICS",
    {
        "subject": pl.String,  # an enterprise, or a region's code
        "indicator": pl.String,  # Indicator
        "item": pl.String,  # product id, "<product>/<parameter>", a Basis; "" if the indicator has none
        "first_day": pl.Int32,
        "end_day": pl.Int32,  # exclusive
        "version": pl.Int64,  # when it was accepted; the highest that was not rejected stands
        "value": pl.Int64,  # 10⁻³ of `unit`
        "unit": pl.String,  # t, 1e4CNY, tce, ratio, …
        "state": pl.String,  # StatisticState
        "source": pl.String,
        "submitted_by": pl.String,
        "decided_by": pl.String,  # "" until somebody decided
        "decided_at": pl.Int64,  # null until then
        "note": pl.String,  # a reason given with the decision
    },
    key=("subject", "indicator", "item", "first_day", "version"),
)
"""Dated figures that people state: output, 产值, 增加值, GDP, a region's total. Every version is kept."""
