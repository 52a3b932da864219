"""Enterprise totals from boundary points: inputs − outputs, each with bounds and coverage.

Points inside the boundary (sign 0) never add: no energy is counted twice.
"""

from __future__ import annotations

import polars as pl

from analytics.coal import coal_of
from analytics.integers import narrow, rounded_up_quotient, wide
from nengshao.domain.factors import Basis
from nengshao.frames import ENTERPRISE_DAYS, conform


def with_weights(point_days: pl.LazyFrame) -> pl.LazyFrame:
    """The frame with `weight_g_day`: what a point is expected to carry a day, g of standard coal, at least 1.

    On the calorific basis; where that has no factor (a working medium such as water), on the equivalent
    one. Null if neither has: such a point is in no share, but among `no_factor`.
    """
    weight = pl.coalesce(coal_of("expected_daily", basis) for basis in (Basis.CALORIFIC, Basis.EQUIVALENT))
    # max_horizontal passes over nulls; an unknown weight must stay unknown.
    return point_days.with_columns(
        weight_g_day=pl.when(weight.is_not_null()).then(pl.max_horizontal(weight, 1))
    )


def enterprise_totals(point_days: pl.LazyFrame) -> pl.LazyFrame:
    """ENTERPRISE_DAYS from point × day rows: POINT_DAYS + the columns of FACTOR_DAYS.

    A total is null if a feeding point has no factor, or if nothing at all was measured; a point whose
    amount is unknown is left to the bounds and the coverage. `gap_low` ≤ 0 ≤ `gap_high` are null if
    unbounded. `published`: nothing of a feeding point is pending. `recheck_at`: of any point.
    """
    feeds = pl.col("sign") != 0
    bases = [_basis_columns(basis) for basis in Basis]
    grouped = (
        point_days.with_columns(pl.col("calorific_confirmed", "equivalent_confirmed").fill_null(value=False))
        .with_columns(_gap_columns())
        .sort("enterprise", "day", "point")
        .group_by("enterprise", "day", maintain_order=True)
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
    return conform(grouped, ENTERPRISE_DAYS)


def _gap_columns() -> list[pl.Expr]:
    """`{basis}_gap`: what the missing time could have carried at most, g; 0 if nothing is missing."""
    return [
        pl.when(pl.col("gap_high") == 0)
        .then(0)
        .otherwise(narrow(rounded_up_quotient(wide("gap_high") * wide(f"{b}_num"), pl.col(f"{b}_den"))))
        .alias(f"{b}_gap")
        for b in Basis
    ]


def _basis_columns(basis: Basis) -> dict[str, pl.Expr]:
    feeds, grams = pl.col("sign") != 0, pl.col(f"{basis}_g")
    has_factors = pl.col(f"{basis}_factor").filter(feeds).is_not_null().all()
    is_known = has_factors & grams.filter(feeds).is_not_null().any()
    signed = (grams * pl.col("sign").cast(pl.Int64)).filter(feeds).sum()
    gap_in = pl.col(f"{basis}_gap").filter(pl.col("sign") == 1)
    gap_out = pl.col(f"{basis}_gap").filter(pl.col("sign") == -1)
    return {
        f"{basis}_g": pl.when(is_known).then(signed),
        f"{basis}_gap_low": pl.when(gap_out.is_not_null().all()).then(-gap_out.sum()),
        f"{basis}_gap_high": pl.when(gap_in.is_not_null().all()).then(gap_in.sum()),
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
