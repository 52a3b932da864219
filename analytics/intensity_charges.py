"""What the figures of an enterprise or a product are made of: day series, and which part of each.

A series is an enterprise's totals in a scope, or what one point used in one role and use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from analytics.scopes import scope_sign
from analytics.specs import FOREVER
from nengshao.domain.factors import Basis
from nengshao.domain.time import accounting_day
from nengshao.domain.units import Carrier, Scope
from nengshao.frames import Contract

ELECTRICITY: Final = "electricity"
"""The `basis` of figures that count kWh of electricity instead of a mass."""

POINT_GAPS: Final = Contract(
    "POINT_GAPS",
    {
        "enterprise": pl.String,
        "point": pl.Int64,
        "day": pl.Int32,
        **{f"{basis}_gap_{side}": pl.Int64() for basis in Basis for side in ("low", "high")},
    },
    key=("enterprise", "point", "day"),
)
"""gap_low and gap_high of POINT_DAYS as masses by the day's factor, rounded away from zero (`totals.gap_of`):
≤ 0 and ≥ 0; null: unbounded. Needed of the days on which one of the two is not 0."""

MASS: Final = "mass"
SERIES: Final = ("enterprise", "source")
CHARGED: Final = ("enterprise", "denominator", "scope", "counted")
EXCLUDING: Final = (Scope.EXCLUDING_FEEDSTOCK, Scope.EXCLUDING_NON_FOSSIL, Scope.NET)

_NEVER_ENDS: Final = 2**31 - 1
_ALWAYS: Final = {
    "den": pl.lit(1, pl.Int64),
    "from_day": pl.lit(0, pl.Int32),
    "to_day": pl.lit(_NEVER_ENDS, pl.Int32),
}


@dataclass(frozen=True, slots=True)
class EnergyFacts:
    """What was used. `point_days`, `point_gaps` are needed of the points that products are charged with, and
    of electricity points on the boundary where a norm limits kWh of a product without shares."""

    enterprise_days: pl.DataFrame  # ENTERPRISE_DAYS
    scope_days: pl.DataFrame  # SCOPE_DAYS
    blocks: pl.DataFrame  # BLOCKS
    point_days: pl.DataFrame  # POINT_DAYS
    point_gaps: pl.DataFrame  # POINT_GAPS
    confirmed_factors: frozenset[str] = frozenset()  # factor_ids that an inspector may rest a case on


def energy_charges(rows: pl.DataFrame, product_shares: pl.DataFrame, facts: EnergyFacts) -> pl.DataFrame:
    """Which series the figures asked are made of, and what part of each.

    Columns in:  enterprise, denominator, scope, basis; PRODUCT_SHARES.
    Columns out: enterprise, denominator, scope, counted ("mass" or "electricity"), source, num, den,
                 from_day, to_day. Of a product with shares: its points, whatever side of the boundary they
                 are on, as far as their use counts in the scope. Else the enterprise's series of the scope.
    Missing:     source is null for a point that has no POINT_DAYS.
    """
    asked = rows.with_columns(counted=counted()).select(CHARGED).unique(maintain_order=True)
    shares = _shares_in_days(product_shares)
    others = asked.join(shares, on=["enterprise", "denominator"], how="anti", maintain_order="left")
    sources = _point_sources(facts.point_days)
    columns = [*CHARGED, "source", "num", "den", "from_day", "to_day"]
    parts = [
        _shares_of_points(asked.join(shares, on=["enterprise", "denominator"]), sources),
        _boundary_electricity(others.filter(pl.col("counted") == ELECTRICITY), sources),
        _totals(others.filter(pl.col("counted") == MASS), facts.scope_days),
    ]
    return pl.concat([part.select(columns) for part in parts]).filter(pl.col("num") != 0)


def _shares_of_points(shares: pl.DataFrame, sources: pl.DataFrame) -> pl.DataFrame:
    """A share says by its own sign whether it adds or takes off; the side of the boundary does not matter."""
    is_electric = pl.coalesce(pl.col("carrier") == Carrier.ELECTRICITY, pl.lit(value=True))
    return (
        shares.join(sources.drop("sign"), on=["enterprise", "point"], how="left")
        .filter((pl.col("counted") == MASS) | is_electric)
        .with_columns(sign=pl.lit(1, pl.Int8))
        .with_columns(num=pl.col("num") * _scope_coefficient())
    )


def _boundary_electricity(others: pl.DataFrame, sources: pl.DataFrame) -> pl.DataFrame:
    electric = sources.filter(pl.col("carrier") == Carrier.ELECTRICITY)
    return others.join(electric, on="enterprise").with_columns(num=_scope_coefficient(), **_ALWAYS)


def _totals(others: pl.DataFrame, scope_days: pl.DataFrame) -> pl.DataFrame:
    """The enterprise's own series of the scope. Without a point of another use than energy there is none:
    then every scope that excludes something is the total."""
    own = scope_days.select("enterprise", "scope").unique().with_columns(source=scope_source())
    excludes = pl.col("scope").is_in([scope.value for scope in (Scope.TOTAL, *EXCLUDING)])
    total = pl.when(excludes).then(pl.lit(f"scope/{Scope.TOTAL}"))
    return (
        others.join(own, on=["enterprise", "scope"], how="left")
        .with_columns(num=pl.lit(1, pl.Int64), source=pl.coalesce("source", total), **_ALWAYS)
        .drop_nulls("source")
    )


def charged_spans(product_shares: pl.DataFrame) -> pl.DataFrame:
    """enterprise, denominator, from_day, to_day: the days without a hole on which a product has shares.

    Before and after them it is not known what the product should be charged with."""
    shares = _shares_in_days(product_shares).sort("enterprise", "denominator", "from_day")
    product = ["enterprise", "denominator"]
    begins = pl.col("from_day") > pl.col("to_day").cum_max().shift(1).over(product)
    return (
        shares.with_columns(run=begins.cast(pl.Int32).cum_sum().over(product))
        .group_by(*product, pl.coalesce("run", 0).alias("run"), maintain_order=True)
        .agg(pl.col("from_day").min(), pl.col("to_day").max())
        .drop("run")
    )


def unshared_among_others(
    rows: pl.DataFrame, product_shares: pl.DataFrame, products: pl.DataFrame
) -> pl.DataFrame:
    """The rows of products without shares over whose days another product of the enterprise is registered:
    nobody has said which part of the enterprise's total is theirs.

    Columns in: enterprise, denominator, first_day, end_day (exclusive) and others; PRODUCT_SHARES; PRODUCTS.
    """
    others = products.select(
        "enterprise",
        other=pl.format("product:{}", "product"),
        other_first=accounting_day(pl.col("valid_from")),
        other_end=accounting_day(pl.col("valid_to").fill_null(FOREVER) - 1) + 1,
    )
    return (
        rows.filter(pl.col("denominator").str.starts_with("product:"))
        .join(_shares_in_days(product_shares), on=["enterprise", "denominator"], how="anti")
        .join(others, on="enterprise")
        .filter(
            pl.col("other") != pl.col("denominator"),
            pl.col("other_first") < pl.col("end_day"),
            pl.col("other_end") > pl.col("first_day"),
        )
        .select(rows.columns)
        .unique()
    )


def _shares_in_days(product_shares: pl.DataFrame) -> pl.DataFrame:
    """Shares with the days at whose start they are in force, as the terms of virtual points are.

    Rows of an equal share that follow one another are one: a block across their border is wholly in it."""
    share = ["enterprise", "denominator", "point", "num", "den"]
    rows = product_shares.select(
        "enterprise", "point", "num", "den",
        denominator=pl.format("product:{}", "product"),
        from_day=_first_day_at_or_after("valid_from"),
        to_day=pl.coalesce(_first_day_at_or_after("valid_to"), pl.lit(_NEVER_ENDS, pl.Int32)),
    ).sort(*share, "from_day")  # fmt: skip
    goes_on = pl.coalesce(pl.col("from_day") == pl.col("to_day").shift(1).over(share), pl.lit(value=False))
    return (
        rows.with_columns(run=(~goes_on).cast(pl.Int32).cum_sum().over(share))
        .group_by(*share, "run", maintain_order=True)
        .agg(pl.col("from_day").min(), pl.col("to_day").max())
        .drop("run")
    )


def _first_day_at_or_after(instant: str) -> pl.Expr:
    return (accounting_day(pl.col(instant) - 1) + 1).cast(pl.Int32)


def counted() -> pl.Expr:
    """What the row's basis counts: masses, whichever, or electricity."""
    return pl.when(pl.col("basis") == ELECTRICITY).then(pl.lit(ELECTRICITY)).otherwise(pl.lit(MASS))


def point_source() -> pl.Expr:
    """The series a row of a point belongs to: its role and use may change with the time."""
    return pl.format("{}/{}/{}", "point", "use", "sign")


def scope_source() -> pl.Expr:
    """The series a row of an enterprise's totals in a scope belongs to."""
    return pl.format("scope/{}", "scope")


def _scope_coefficient() -> pl.Expr:
    """How a point with the row's `sign` and `use` counts in the row's `scope`: +1, −1 or 0."""
    signs = [pl.when(pl.col("scope") == scope).then(scope_sign(scope)) for scope in Scope]
    return pl.coalesce(signs).cast(pl.Int64)


def _point_sources(point_days: pl.DataFrame) -> pl.DataFrame:
    kinds = point_days.select("enterprise", "point", "use", "sign", "carrier").unique(maintain_order=True)
    return kinds.with_columns(source=point_source())
