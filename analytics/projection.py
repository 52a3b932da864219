"""What a year is expected to come to, with an interval that should hold the outcome four times in five.

A year's end is what was used so far, plus the remaining days of a *reference* year × how this year compares.

- The reference is last year's days, drawn towards its average day ("blend"): a share V / (V + 15 %²) of its
  own shape is taken, V being the variance of its four-week means relative to their mean. A year that hardly
  swings says little about the next one's swings; a heating season says nearly everything. Days of last year
  that are not known count as its average day. Without a usable last year the reference is flat ("linear").
- How this year compares is the mean of its full weeks over the reference's, a week's weight halving every 8
  weeks. With a last year, a week further than 30 % from the median week counts as 30 % from it, so that a
  stop for maintenance, which last year had at another time, does not pass for a lasting change; and the ratio
  is drawn towards 1, after n weeks by 8 / (n + 8). Before the first full week it is 1 ("last_year").
- The interval comes from the series' own forecast errors: how far each week lay from the ratio of the weeks
  before it. 1.90 × their median is the 80 % half width (of a normal distribution), pooled with a prior half
  width of 10 % that counts as much as 8 weeks. A series without a last year may also have a season that
  nobody has seen: up to 15 % more, by the share of the year that is still to come. All of it is a share of
  what the remaining days are expected to come to, so it is nothing at the end of the year.

The constants were chosen on simulated plants; tests/benches/projection.py scores them on unseen ones, and
docs/performance.md has the figures. It is an estimate: floats inside, rounded once; integers are added up
before they become floats, and in order of time, so that the same rows in any order give the same figure.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from nengshao.domain.targets import Projection

_WEEK: Final = 7
_FOUR_WEEKS: Final = 28
_MEMORY: Final = 8
"""Weeks: after which a week's weight is half, and what a prior counts for."""

_OUTLIER: Final = 0.30
_OWN_SWING: Final = 0.15
"""Of a four-week mean, relative: as likely this year's own as last year's coming back."""

_PRIOR_HALF_WIDTH: Final = 0.10
_UNSEEN_SEASON: Final = 0.15
_HALF_WIDTHS_A_MEDIAN: Final = 1.90  # 1.2816 / 0.6745: the 80 % half width over the median absolute deviation
_ENOUGH_DAYS: Final = 0.9
_SAME_PLANT: Final = 3.0


def with_projection(series: pl.LazyFrame, calendar: pl.LazyFrame) -> pl.LazyFrame:
    """`series` (series, used_g, low_g, high_g) with projected_g, projected_low_g, projected_high_g (g in the
    whole year, 80 % interval) and projection (the method; "" if none).

    `calendar`: `profiles.calendar_of`, its days in any order. Last year is used if at least 90 % of its days
    are known, no day of either year is negative, and from 8 weeks on this year is neither over three times
    last year nor under a third of it. The interval is widened by the bounds of what was used so far: what was
    lost in missing time is in those, not in the projection. Nothing is projected below what was used, unless
    a day has come to less than nothing (outputs above inputs). Null: a factor is missing, nothing was
    measured, or there is neither a full week nor a usable last year; a bound is null where unbounded.
    """
    days = calendar.sort("series", "day").pipe(_with_reference).cache()
    figures = _rest_of(days).join(_comparison_of(days), on="series", how="left").with_columns(_expectations())
    low = pl.col("low_g") + pl.col("rest_g") - pl.col("half_g")
    projected = pl.col("used_g") + pl.col("rest_g")
    return series.join(figures, on="series", how="left").with_columns(
        projected_g=projected,
        projected_low_g=pl.when("is_signed").then(low).otherwise(low.clip("low_g")),
        projected_high_g=pl.col("high_g") + pl.col("rest_g") + pl.col("half_g"),
        projection=pl.when(projected.is_not_null()).then("projection").otherwise(pl.lit("")),
    )


def _with_reference(days: pl.LazyFrame) -> pl.LazyFrame:
    """The calendar with place (day 0, 1, … of the series), all_days, elapsed, is_signed, uses_last and
    reference: g of the reference year, or 1 a day where it is flat."""
    mean = pl.col("last_sum") / pl.col("last_days")
    of_last_year = pl.coalesce(pl.col("last_g").cast(pl.Float64), mean)
    # Too short a year shows no shape of its own: none of it is taken.
    drawn = mean + pl.col("own_shape").fill_null(0.0) * (of_last_year - mean)
    reference = _whole(pl.when("uses_last").then(drawn).otherwise(1.0))
    placed = days.with_columns(place=pl.int_range(pl.len()).over("series"))
    return (
        placed.join(_facts_of(days), on="series")
        .join(_own_shape_of(placed), on="series", how="left")
        .with_columns(reference=reference)
    )


def _facts_of(days: pl.LazyFrame) -> pl.LazyFrame:
    in_both = pl.col("g").is_not_null() & pl.col("last_g").is_not_null()
    this, last = pl.col("this_sum"), pl.col("same_sum")
    is_same_plant = (this <= _SAME_PLANT * last) & (last <= _SAME_PLANT * this)
    facts = days.group_by("series").agg(
        all_days=pl.len().cast(pl.Int64),
        elapsed=pl.col("is_past").sum().cast(pl.Int64),
        last_days=pl.col("last_g").count().cast(pl.Int64),
        last_sum=pl.col("last_g").sum(),
        is_signed=((pl.col("g") < 0) | (pl.col("last_g") < 0)).any(),
        this_sum=pl.col("g").filter(in_both).sum(),
        same_sum=pl.col("last_g").filter(in_both).sum(),
    )
    return facts.with_columns(
        uses_last=(pl.col("last_days") >= _ENOUGH_DAYS * pl.col("all_days"))
        & (pl.col("last_sum") > 0)
        & ~pl.col("is_signed")
        & ((pl.col("elapsed") < _MEMORY * _WEEK) | is_same_plant)
    )


def _own_shape_of(placed: pl.LazyFrame) -> pl.LazyFrame:
    """series, own_shape: the share of last year's shape that is taken; null with under four weeks of it.

    The variance relative to the mean is n Σx² / (Σx)² − 1, in integers up to the one division.
    """
    x, n = pl.col("mean_g").cast(pl.Int128), pl.len().cast(pl.Int128)
    total = x.sum()
    variance = (n * (x * x).sum() - total * total).cast(pl.Float64) / (total * total).cast(pl.Float64)
    return (
        placed.group_by("series", pl.col("place") // _FOUR_WEEKS)
        .agg(days=pl.len(), mean_g=pl.col("last_g").sum() // pl.col("last_g").count())
        .filter(pl.col("days") == _FOUR_WEEKS, pl.col("mean_g").is_not_null())
        .group_by("series")
        .agg(own_shape=pl.when(total > 0).then(variance / (variance + _OWN_SWING**2)))
    )


def _comparison_of(days: pl.LazyFrame) -> pl.LazyFrame:
    """series, ratio, scale (how large a week is over its reference), weeks, errors and median_error, as the
    full weeks gone by show them; a series without one has no row."""
    weeks = (
        days.with_columns(week=pl.col("place") // _WEEK)
        .filter(pl.col("g").is_not_null(), pl.col("week") < pl.col("elapsed") // _WEEK)
        .group_by("series", "week")
        .agg(pl.col("g", "reference").sum(), pl.col("uses_last").first())
        .filter(pl.col("reference") > 0)
        .sort("series", "week")
        .with_columns(q=pl.col("g") / pl.col("reference"), weeks=pl.int_range(1, pl.len() + 1).over("series"))
    )
    median = pl.col("q").median().over("series")
    band = pl.when("uses_last").then(_OUTLIER * median.abs()).otherwise(float("inf"))
    trust = pl.when("uses_last").then(pl.col("weeks") / (pl.col("weeks") + _MEMORY)).otherwise(1.0)
    prior = pl.when("uses_last").then(1.0).otherwise(0.0)
    usual = pl.col("q").clip(median - band, median + band)
    return (
        weeks.with_columns(usual=usual)
        .with_columns(ratio=prior + trust * (_recent("usual") - prior), scale=_recent(pl.col("usual").abs()))
        .with_columns(error=(pl.col("q") - pl.col("ratio").shift().over("series")).abs())
        .group_by("series")
        .agg(
            pl.col("ratio", "scale", "weeks").last(),
            errors=pl.col("error").count(),
            median_error=pl.col("error").median(),
        )
    )


def _recent(column: str | pl.Expr) -> pl.Expr:
    """Mean up to each week, weighed by the reference and by how recent a week is."""
    value = pl.col(column) if isinstance(column, str) else column
    weighed = (value * pl.col("reference")).ewm_mean(half_life=_MEMORY).over("series")
    return weighed / pl.col("reference").ewm_mean(half_life=_MEMORY).over("series")


def _rest_of(days: pl.LazyFrame) -> pl.LazyFrame:
    return days.group_by("series").agg(
        pl.col("all_days", "elapsed", "uses_last", "is_signed").first(),
        reference=pl.col("reference").filter(~pl.col("is_past")).sum(),
    )


def _expectations() -> list[pl.Expr]:
    """rest_g and half_g of the remaining days, and the method."""
    is_first_week = pl.col("weeks").is_null() & pl.col("uses_last")
    ratio, scale = (pl.when(is_first_week).then(1.0).otherwise(name) for name in ("ratio", "scale"))
    # Without an error there is none to pool: the prior stands alone.
    errors, median = pl.col("errors").fill_null(0), pl.col("median_error").fill_null(0.0)
    own = errors * (_HALF_WIDTHS_A_MEDIAN * median) ** 2
    pooled = (_MEMORY * (_PRIOR_HALF_WIDTH * scale) ** 2 + own) / (_MEMORY + errors)
    to_come = 1 - pl.col("elapsed") / pl.col("all_days")
    season = pl.when("uses_last").then(0.0).otherwise((_UNSEEN_SEASON * scale) ** 2 * to_come)
    method = (
        pl.when(is_first_week)
        .then(pl.lit(str(Projection.LAST_YEAR)))
        .when("uses_last")
        .then(pl.lit(str(Projection.BLEND)))
        .otherwise(pl.lit(str(Projection.LINEAR)))
    )
    is_over = pl.col("elapsed") == pl.col("all_days")
    rest = {"rest_g": ratio * pl.col("reference"), "half_g": (pooled + season).sqrt() * pl.col("reference")}
    return [
        *(_whole(pl.when(~is_over).then(grams).otherwise(0.0)).alias(name) for name, grams in rest.items()),
        method.alias("projection"),
    ]


def _whole(grams: pl.Expr) -> pl.Expr:
    return grams.round(0, mode="half_to_even").cast(pl.Int64)
