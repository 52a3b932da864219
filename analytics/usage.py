"""What was used in a span of days, on any basis and in any scope: the figure, its bounds, its coverage.

A *series* is an enterprise's (or region's) days on one basis and in one scope, as a row of columns `series`
(its number), `enterprise`, `basis`, `scope`, and the accounting days [`first_day`, `end_day`) that are asked.

Bounds come from atoms, never from adding bounds (BOOKKEEPING §6): each day's gap, and each block. A block
wholly inside the span has an exact amount and belongs to the value and to both bounds; of one across its
border anything between nothing and all counts, so it is in the bounds only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import polars as pl

from analytics.integers import narrow, rounded_quotient, wide
from analytics.scopes import scope_sign
from nengshao.domain.factors import Basis
from nengshao.domain.time import DAY_S, accounting_day, day_start
from nengshao.domain.units import Scope
from nengshao.frames import SCOPE_DAYS

_SERIES: Final = ("series", "enterprise", "basis", "scope", "first_day", "end_day")
_WEIGHTS: Final = ("measured_w", "estimated_w", "missing_w", "pending_w")
_DEDUCTIONS: Final = (Scope.FEEDSTOCK.value, Scope.NON_FOSSIL.value)


def used_to_date(
    enterprise_days: pl.LazyFrame,
    scope_days: pl.LazyFrame,
    blocks: pl.LazyFrame,
    *,
    basis: Basis,
    scope: Scope,
    first_day: int,
    end_day: int,
) -> pl.LazyFrame:
    """One row per enterprise of `enterprise_days`: what the days [first_day, end_day) came to, in g.

    Columns: enterprise, used_g, low_g, high_g, is_confirmed (every factor used is), coverage (measured +
    estimated share). The figure is null if a factor is missing or nothing was measured; a bound is null
    where unbounded. Days without a row say nothing; whether a day is published is the caller's question.
    """
    span = {"first_day": pl.lit(first_day, pl.Int32), "end_day": pl.lit(end_day, pl.Int32)}
    series = (
        enterprise_days.select("enterprise")
        .unique()
        .sort("enterprise")
        .with_row_index("series")
        .with_columns(basis=pl.lit(str(basis)), scope=pl.lit(str(scope)), **span)
    )
    days = days_of_series(series, enterprise_days, scope_days)
    columns = ("enterprise", "used_g", "low_g", "high_g", "is_confirmed", "coverage")
    return with_used(series, days, blocks).sort("enterprise").select(columns)


def days_of_series(
    series: pl.LazyFrame, enterprise_days: pl.LazyFrame, scope_days: pl.LazyFrame
) -> pl.LazyFrame:
    """series × day within its span, of its own basis and scope.

    Columns: series, day, g, gap_low, gap_high (null: unknown, unbounded), confirmed, has_factors, published,
    and the weights of the coverage. Only enterprises with a use other than energy have SCOPE_DAYS: on a day
    without its row nothing is deducted, so that the total is the figure and a deduction is nothing.
    """
    spans = series.select(_SERIES)
    columns, key = list(SCOPE_DAYS.schema), list(SCOPE_DAYS.key)
    totals = enterprise_days.with_columns(scope=pl.lit(str(Scope.TOTAL))).select(columns)
    own = pl.union([totals, scope_days.select(columns)]).join(spans, on=["enterprise", "scope"])
    without = (
        totals.drop("scope")
        .join(spans.filter(pl.col("scope") != Scope.TOTAL), on="enterprise")
        .join(scope_days.select(key), on=key, how="anti")
    )
    days = pl.union([_of_basis(own), _of_basis(without).with_columns(_nothing_if_deduction())])
    return days.filter(pl.col("day") >= pl.col("first_day"), pl.col("day") < pl.col("end_day"))


def with_used(series: pl.LazyFrame, days: pl.LazyFrame, blocks: pl.LazyFrame) -> pl.LazyFrame:
    """`series` with used_g, low_g, high_g, is_confirmed and coverage of `days` (`days_of_series` rows) and of
    BLOCKS. A series whose `end_day` is null has used nothing yet: nulls, and not confirmed."""
    joined = series.join(_sums_of_days(days), on="series", how="left").join(
        _sums_of_blocks(series, blocks), on="series", how="left"
    )
    # A series without blocks has nothing to add from blocks: no figure is replaced.
    inside, low, high = (pl.col(name).fill_null(0) for name in ("inside_g", "across_low", "across_high"))
    is_known = pl.col("has_factors") & ~pl.col("blocks_unknown").fill_null(value=False)
    base = pl.when(is_known).then(pl.col("days_g") + inside)
    return joined.with_columns(
        used_g=pl.when(pl.col("is_measured") | pl.col("inside_g").is_not_null()).then(base),
        low_g=base + pl.col("gap_low") + low,
        high_g=base + pl.col("gap_high") + high,
        is_confirmed=pl.col("confirmed").fill_null(value=False),
        coverage=pl.col("covered_w") / pl.when(pl.col("all_w") > 0).then("all_w"),
    )


def daily_totals(series: pl.LazyFrame, days: pl.LazyFrame, blocks: pl.LazyFrame) -> pl.LazyFrame:
    """series, day, g: each day's figure with every block spread evenly over its time; null: unknown.

    For shapes over time only: the place of a block's energy within the block is not known. A day without a
    row in `days`, or that lacks a factor, is unknown, whatever blocks say of it. Further columns: is_whole
    (no time is missing outside blocks), is_confirmed (every factor of the day's row is).
    """
    parts = _parts_of_blocks(_blocks_of_series(series, blocks))
    is_known = pl.col("g").is_not_null().any() & ~pl.col("is_unknown").any() & pl.col("is_day").any()
    has_no_gap = pl.col("gap_low").eq_missing(0) & pl.col("gap_high").eq_missing(0)
    own = days.select(
        "series",
        "day",
        "g",
        is_unknown=~pl.col("has_factors"),
        is_day=pl.lit(value=True),
        is_whole=has_no_gap,
        is_confirmed=pl.col("confirmed"),
    )
    return (
        pl.union([own, parts])
        .group_by("series", "day")
        .agg(
            g=pl.when(is_known).then(pl.col("g").sum()),
            is_whole=pl.col("is_whole").all(),
            is_confirmed=pl.col("is_confirmed").all(),
        )
    )


def _of_basis(days: pl.LazyFrame) -> pl.LazyFrame:
    return days.select(
        *_SERIES,
        "day",
        g=_by_basis(lambda basis: pl.col(f"{basis}_g")),
        gap_low=_by_basis(lambda basis: pl.col(f"{basis}_gap_low")),
        gap_high=_by_basis(lambda basis: pl.col(f"{basis}_gap_high")),
        confirmed=_by_basis(lambda basis: pl.col(f"{basis}_confirmed")),
        has_factors=_by_basis(_has_factors),
        **{name: pl.col(name) for name in ("published", *_WEIGHTS)},
    )


def _by_basis(column: Callable[[Basis], pl.Expr]) -> pl.Expr:
    """The column of the row's own basis."""
    return pl.coalesce(pl.when(pl.col("basis") == basis).then(column(basis)) for basis in Basis)


def _has_factors(basis: Basis) -> pl.Expr:
    """Whether no item of the list `carrier:basis` ends in this basis."""
    return ~(pl.col("no_factor") + ",").str.contains(f":{basis},", literal=True)


def _nothing_if_deduction() -> list[pl.Expr]:
    """Where no point has such a use, what is deducted is known to be 0: no figure is replaced."""
    is_deduction = pl.col("scope").is_in(_DEDUCTIONS)
    return [
        pl.when(~is_deduction).then(pl.col("g", "gap_low", "gap_high", *_WEIGHTS)).otherwise(0),
        (is_deduction | pl.col("confirmed")).alias("confirmed"),
        (is_deduction | pl.col("has_factors")).alias("has_factors"),
    ]


def _sums_of_days(days: pl.LazyFrame) -> pl.LazyFrame:
    covered = pl.col("measured_w") + pl.col("estimated_w")
    return days.group_by("series").agg(
        days_g=pl.col("g").sum(),
        is_measured=pl.col("g").is_not_null().any(),
        gap_low=pl.when(pl.col("gap_low").is_not_null().all()).then(pl.col("gap_low").sum()),
        gap_high=pl.when(pl.col("gap_high").is_not_null().all()).then(pl.col("gap_high").sum()),
        has_factors=pl.col("has_factors").all(),
        confirmed=pl.col("confirmed").all(),
        covered_w=covered.sum(),
        all_w=(covered + pl.col("missing_w") + pl.col("pending_w")).sum(),
    )


def _blocks_of_series(series: pl.LazyFrame, blocks: pl.LazyFrame) -> pl.LazyFrame:
    """The blocks that touch a series' span and count in its scope, with `g` and `signed` of its basis."""
    span = series.select(
        "series", "enterprise", "basis", "scope",
        since=day_start(pl.col("first_day").cast(pl.Int64)),
        until=day_start(pl.col("end_day").cast(pl.Int64)),
    )  # fmt: skip
    sign = pl.coalesce(pl.when(pl.col("scope") == scope).then(scope_sign(scope)) for scope in Scope)
    return (
        blocks.join(span, on="enterprise")
        .filter(pl.col("start") < pl.col("until"), pl.col("end") > pl.col("since"))
        .with_columns(g=_by_basis(lambda basis: pl.col(f"{basis}_g")), sign=sign.cast(pl.Int64))
        .filter(pl.col("sign") != 0)
        .with_columns(signed=pl.col("g") * pl.col("sign"))
    )


def _sums_of_blocks(series: pl.LazyFrame, blocks: pl.LazyFrame) -> pl.LazyFrame:
    """Per series: blocks wholly inside (signed), what those across its border can take away or add, and
    whether any of them has no factor."""
    is_inside = (pl.col("start") >= pl.col("since")) & (pl.col("end") <= pl.col("until"))
    return (
        _blocks_of_series(series, blocks)
        .with_columns(is_inside=is_inside)
        .group_by("series")
        .agg(
            inside_g=pl.when(pl.col("is_inside").any()).then(pl.col("signed").filter("is_inside").sum()),
            across_low=pl.min_horizontal("signed", 0).filter(~pl.col("is_inside")).sum(),
            across_high=pl.max_horizontal("signed", 0).filter(~pl.col("is_inside")).sum(),
            blocks_unknown=pl.col("g").is_null().any(),
        )
    )


def _parts_of_blocks(blocks: pl.LazyFrame) -> pl.LazyFrame:
    """series, day, g, is_unknown (no factor): blocks cut at midnight, split cumulatively (BOOKKEEPING §5)."""
    first, last = accounting_day(pl.col("start")), accounting_day(pl.col("end") - 1)
    midnight = day_start(pl.col("day").cast(pl.Int64))

    def until(instant: pl.Expr) -> pl.Expr:
        elapsed = instant.clip(pl.col("start"), pl.col("end")) - pl.col("start")
        return narrow(rounded_quotient(wide("signed") * elapsed, pl.col("end") - pl.col("start")))

    return (
        blocks.with_columns(day=pl.int_ranges(first, last + 1, dtype=pl.Int32))
        .explode("day", empty_as_null=False)
        .select(
            "series",
            "day",
            g=until(midnight + DAY_S) - until(midnight),
            is_unknown=pl.col("g").is_null(),
            is_day=pl.lit(value=False),
            is_whole=pl.lit(value=True),
            is_confirmed=pl.lit(value=True),
        )
    )
