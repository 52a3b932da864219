"""单位GDP能耗 and its carbon twin: regions' intensities, of stated figures alone.

The sum of a region's key units is never used here: it is a measure of its own.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from analytics.integers import narrow, wide
from analytics.statistics import WINDOW, quantity_over
from nengshao.domain.factors import Basis
from nengshao.domain.targets import Indicator
from nengshao.domain.units import Scope

STATED_AS: Final = pl.DataFrame(
    [
        (Basis.EQUIVALENT.value, Indicator.ENERGY_CONSUMPTION.value, "tce", 1_000),
        (Basis.CARBON.value, Indicator.CARBON_EMISSION.value, "tCO2", 1_000),
    ],
    schema={"basis": pl.String, "indicator": pl.String, "unit": pl.String, "grams": pl.Int64},
    orient="row",
)
"""As what a region's total is stated, in the unit of `statistics.in_force`, and how many g 10⁻³ of it is."""

RECIPES: Final = pl.DataFrame(
    [(scope.value, 1, scope.value, 1) for scope in Scope]
    + [
        (scope.value, 2, item.value, sign)
        for scope, deducted in (
            (Scope.EXCLUDING_FEEDSTOCK, [Scope.FEEDSTOCK]),
            (Scope.EXCLUDING_NON_FOSSIL, [Scope.NON_FOSSIL]),
            (Scope.NET, [Scope.FEEDSTOCK, Scope.NON_FOSSIL]),
        )
        for item, sign in [(Scope.TOTAL, 1), *((part, -1) for part in deducted)]
    ],
    schema={"scope": pl.String, "recipe": pl.Int32, "item": pl.String, "part": pl.Int64},
    orient="row",
)
"""What a scope's total is made of: its own statement or, second best, the total and what is deducted."""


def region_figures(rows: pl.DataFrame, statistics: pl.DataFrame) -> pl.DataFrame:
    """The rows with the latest day to which both GDP and the energy of the scope are stated.

    Columns in:  enterprise (the region), denominator, scope, basis, first_day, limit_day; STATISTICS.
    Columns out: those + end_day, quantity, unit, quantity_confirmed, energy, low, high, energy_confirmed,
                 coverage (null: does not apply).
    Units:       quantity 10⁻³ of `unit`; energy g of standard coal (等价值) or of CO2.
    Missing:     a scope that is not stated itself is the total less what it excludes, if that is stated: what
                 nobody stated is unknown, not nothing. Then, and without GDP, end_day is first_day and the
                 figures are null. Any denominator but GDP has none.
    Source:      DOMAIN 4.5: (E_total − E_feedstock) / GDP; the notice itself was not seen.
    """
    key = ["enterprise", "denominator", "scope", "basis", "first_day", "limit_day"]
    asked = rows.filter(pl.col("denominator") == Indicator.GDP_COMPARABLE).select(key).unique()
    ends = _stated_ends(asked, statistics)
    product = ends.with_columns(indicator=pl.lit(Indicator.GDP_COMPARABLE.value), item=pl.lit(""))
    known = (
        _over(product, statistics)
        .drop("indicator", "item")
        .rename({"is_confirmed": "quantity_confirmed"})
        .join(_energy(ends, statistics), on=[*key, "end_day"])
        .sort("end_day")
        .unique(key, keep="last", maintain_order=True)
    )
    return rows.join(known, on=key, how="left", maintain_order="left").with_columns(
        pl.coalesce("end_day", "first_day").alias("end_day"),
        pl.col("quantity_confirmed", "energy_confirmed").fill_null(value=False),
        low="energy", high="energy", coverage=pl.lit(None, pl.Float64),
    )  # fmt: skip


def _stated_ends(asked: pl.DataFrame, statistics: pl.DataFrame) -> pl.DataFrame:
    """The rows asked × the days within them (end_day, exclusive) on which a stated GDP ends."""
    stated = statistics.filter(pl.col("indicator") == Indicator.GDP_COMPARABLE)
    ends = stated.select("end_day", enterprise="subject").unique()
    return asked.join(ends, on="enterprise").filter(
        pl.col("end_day") > pl.col("first_day"), pl.col("end_day") <= pl.col("limit_day")
    )


def _over(asked: pl.DataFrame, statistics: pl.DataFrame) -> pl.DataFrame:
    """Those of the rows (with indicator and item) over whose very days [first_day, end_day) something is
    stated, with quantity, unit, is_confirmed."""
    windows = asked.with_columns(subject="enterprise")
    stated = quantity_over(statistics, windows).filter(
        pl.col("reached_day") == pl.col("end_day"), pl.col("quantity").is_not_null()
    )
    return windows.join(stated.drop("reached_day"), on=WINDOW).drop("subject")


def _energy(ends: pl.DataFrame, statistics: pl.DataFrame) -> pl.DataFrame:
    """`ends` + energy, energy_confirmed, by the first recipe of which every part is stated."""
    parts = (
        ends.join(RECIPES, on="scope")
        .join(STATED_AS.select("basis", "indicator").unique(), on="basis")
        .with_columns(parts=pl.len().over(*ends.columns, "recipe"))
    )
    return (
        _over(parts, statistics)
        .join(STATED_AS, on=["basis", "indicator", "unit"])
        .group_by(*ends.columns, "recipe")
        .agg(
            energy=narrow((wide("quantity") * pl.col("grams") * pl.col("part")).sum()),
            energy_confirmed=pl.col("is_confirmed").all(),
            is_complete=pl.len() == pl.col("parts").first(),
        )
        .filter("is_complete")
        .sort("recipe")
        .unique(ends.columns, keep="first", maintain_order=True)
        .drop("recipe", "is_complete")
    )
