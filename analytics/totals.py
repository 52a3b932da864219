"""Totals from boundary points: inputs − outputs, each with bounds and coverage, in every scope.

Points inside the boundary (sign 0) never add: no energy is counted twice.
"""

from __future__ import annotations

import polars as pl

from analytics.conversion import mass_of
from analytics.integers import narrow, rounded_up_quotient, wide
from analytics.scopes import scope_sign
from nengshao.domain.factors import Basis
from nengshao.domain.units import Scope, Use
from nengshao.frames import ENTERPRISE_DAYS, SCOPE_DAYS, conform


def with_weights(point_days: pl.LazyFrame) -> pl.LazyFrame:
    """The frame with `weight_g_day`: what a point is expected to carry a day, g of standard coal, at least 1.

    On the calorific basis; where that has no factor, or does not count the carrier (a working medium such as
    water), on the equivalent one. Null if neither has a factor: such a point is in no share, but among
    `no_factor`.
    """
    calorific, equivalent = (mass_of("expected_daily", b) for b in (Basis.CALORIFIC, Basis.EQUIVALENT))
    weight = pl.when(calorific > 0).then(calorific).otherwise(pl.coalesce(equivalent, calorific))
    # max_horizontal passes over nulls; an unknown weight must stay unknown.
    return point_days.with_columns(
        weight_g_day=pl.when(weight.is_not_null()).then(pl.max_horizontal(weight, 1))
    )


def enterprise_totals(point_days: pl.LazyFrame) -> pl.LazyFrame:
    """ENTERPRISE_DAYS from point × day rows: POINT_DAYS + the columns of FACTOR_DAYS.

    A total is null if a counting point has no factor, or if nothing at all was measured; a point whose
    amount is unknown is left to the bounds and the coverage. `gap_low` ≤ 0 ≤ `gap_high` are null if
    unbounded. `published`: nothing of a counting point is pending. `recheck_at`: of any point.
    """
    signed = point_days.with_columns(sign=scope_sign(Scope.TOTAL))
    is_known = {basis: _any_known(basis) for basis in Basis}
    return conform(_totals(signed, ["enterprise", "day"], is_known), ENTERPRISE_DAYS)


def scope_totals(point_days: pl.LazyFrame) -> pl.LazyFrame:
    """SCOPE_DAYS of the same rows: one row per scope other than the total, for enterprise days with a use
    other than energy. A scope in which no point of the day counts is exactly nothing: 0, not null.
    """
    other = point_days.filter(pl.col("use") != Use.ENERGY).select("enterprise", "day").unique()
    days = point_days.join(other, on=["enterprise", "day"], how="semi")
    scopes = [
        days.with_columns(scope=pl.lit(scope.value), sign=scope_sign(scope))
        for scope in Scope
        if scope is not Scope.TOTAL
    ]
    is_known = {basis: _any_known(basis) | (pl.col("sign") == 0).all() for basis in Basis}
    return conform(_totals(pl.concat(scopes), ["enterprise", "day", "scope"], is_known), SCOPE_DAYS)


def _totals(point_days: pl.LazyFrame, key: list[str], is_known: dict[Basis, pl.Expr]) -> pl.LazyFrame:
    feeds = pl.col("sign") != 0
    bases = [_basis_columns(basis, is_known[basis]) for basis in Basis]
    return (
        point_days.with_columns(pl.col(f"{basis}_confirmed").fill_null(value=False) for basis in Basis)
        .with_columns(_gap_columns())
        .sort(*key, "point")
        .group_by(key, maintain_order=True)
        .agg(
            **{name: column for columns in bases for name, column in columns.items()},
            **_weighted_shares(),
            lowest_point=_lowest_point(),
            missing_points=pl.col("point")
            .filter(feeds & (pl.col("missing_s") > 0))
            .cast(pl.String)
            .str.join(","),
            no_factor=_no_factor(),
            published=(pl.col("pending_s").filter(feeds) == 0).all(),
            recheck_at=pl.col("recheck_at").min(),
        )
    )


def gap_of(side: str, basis: Basis) -> pl.Expr:
    """What missing time could change a point × day by, g, rounded away from zero: it must not be too narrow.

    `side`: "low" or "high". 0 if nothing is missing; null if it is unbounded, or without a factor.
    """
    size = pl.col(f"gap_{side}").abs()
    mass = narrow(rounded_up_quotient(wide(size) * wide(f"{basis}_num"), pl.col(f"{basis}_den")))
    return pl.when(size == 0).then(0).otherwise(-mass if side == "low" else mass)


def _gap_columns() -> list[pl.Expr]:
    """`{basis}_below`, `{basis}_above`: by how much the point's mass could be less or more, as it counts."""
    falls = pl.col("sign") < 0  # what is counted against the total widens the other side
    return [
        pl.when(falls).then(against).otherwise(own).alias(name)
        for b in Basis
        for name, own, against in (
            (f"{b}_below", gap_of("low", b), -gap_of("high", b)),
            (f"{b}_above", gap_of("high", b), -gap_of("low", b)),
        )
    ]


def _any_known(basis: Basis) -> pl.Expr:
    return pl.col(f"{basis}_g").filter(pl.col("sign") != 0).is_not_null().any()


def _basis_columns(basis: Basis, is_known: pl.Expr) -> dict[str, pl.Expr]:
    feeds = pl.col("sign") != 0
    has_factors = pl.col(f"{basis}_factor").filter(feeds).is_not_null().all()
    signed = (pl.col(f"{basis}_g") * pl.col("sign").cast(pl.Int64)).filter(feeds).sum()
    below, above = (pl.col(f"{basis}_{side}").filter(feeds) for side in ("below", "above"))
    return {
        f"{basis}_g": pl.when(has_factors & is_known).then(signed),
        f"{basis}_gap_low": pl.when(below.is_not_null().all()).then(below.sum()),
        f"{basis}_gap_high": pl.when(above.is_not_null().all()).then(above.sum()),
        f"{basis}_confirmed": pl.col(f"{basis}_confirmed").filter(feeds).all(),
    }


def _weighted_shares() -> dict[str, pl.Expr]:
    """Σ weight × seconds of feeding points; null if no weight is known."""
    is_weighed = (pl.col("sign") != 0) & pl.col("weight_g_day").is_not_null()
    return {
        f"{share}_w": pl.when(is_weighed.any()).then(
            (pl.col("weight_g_day") * pl.col(f"{share}_s")).filter(is_weighed).sum()
        )
        for share in ("measured", "estimated", "spread", "missing", "pending")
    }


def _lowest_point() -> pl.Expr:
    """The feeding point with the least measured share of its time on duty; the lowest id among equals."""
    on_duty = pl.sum_horizontal("measured_s", "estimated_s", "missing_s", "pending_s")
    feeds = pl.col("sign") != 0
    share = pl.col("measured_s").cast(pl.Float64) / on_duty  # to compare only
    return pl.col("point").filter(feeds).sort_by(share.filter(feeds), maintain_order=True).first()


def _no_factor() -> pl.Expr:
    lacking = [
        pl.format("{}:{}", "carrier", pl.lit(str(basis)))
        .filter((pl.col("sign") != 0) & pl.col(f"{basis}_factor").is_null())
        .unique()
        for basis in Basis
    ]
    return pl.concat_list(*(expr.implode() for expr in lacking)).list.sort().list.join(",").first()
