"""Profiles: which part of a year's quota is due by the end of a day.

- linear: the days gone by over the days on duty.
- last_year: what the same calendar days of the year before came to, over what all of them came to.
- plan: the enterprise's planned months, scaled to the quota, linear within a month.

A share is a fraction of two integers; the quota is multiplied and rounded once. Where a profile has nothing
to go by there is no share: no figure is better than a wrong one, and no profile falls back to another.
"""

from __future__ import annotations

import polars as pl

from analytics.integers import narrow, rounded_quotient, wide
from nengshao.domain.targets import Profile

_PLAN_KEY = ("enterprise", "year", "basis", "scope")


def calendar_of(series: pl.LazyFrame, this_year: pl.LazyFrame, last_year: pl.LazyFrame) -> pl.LazyFrame:
    """Every day of each series' duty, with what it came to and what its day of the year before came to.

    `series`: series, first_day, duty_end, as_of_day (null: no day yet). `this_year`: series, day and g;
    `last_year`: is_whole and is_confirmed too, as `usage.daily_totals` gives them. Columns out: series, day,
    is_past (up to as_of_day), g (null: to come, or unknown), last_g, last_is_whole, last_is_confirmed (null:
    unknown). What a day's like is in the year before: `same_day_last_year`.
    """
    return (
        series.select("series", "as_of_day", day=pl.int_ranges("first_day", "duty_end", dtype=pl.Int32))
        .explode("day", empty_as_null=False)
        .with_columns(
            is_past=(pl.col("day") <= pl.col("as_of_day")).fill_null(value=False),
            last_day=same_day_last_year(pl.col("day")),
        )
        .join(this_year.select("series", "day", "g"), on=["series", "day"], how="left")
        .join(
            last_year.select("series", pl.col("day", "g", "is_whole", "is_confirmed").name.prefix("last_")),
            on=["series", "last_day"],
            how="left",
        )
        .select(
            "series",
            "day",
            "is_past",
            "last_g",
            "last_is_whole",
            "last_is_confirmed",
            g=pl.when("is_past").then("g"),
        )
    )


def same_day_last_year(day: pl.Expr) -> pl.Expr:
    """The accounting day of the same date a year before; of 29 February the 28th.

    So a 29 February of the year before is no day's like.
    """
    return day.cast(pl.Date).dt.offset_by("-1y").cast(pl.Int32)


def with_due(quotas: pl.LazyFrame, calendar: pl.LazyFrame, plans: pl.LazyFrame) -> pl.LazyFrame:
    """`quotas` (series, enterprise, year, basis, scope, profile, quota_g) with due_g: g by the end of
    as_of_day, rounded half to even; 0 before the first full day; null: the profile has nothing to go by.
    due_confirmed: whether every factor behind it is, null where there is no due_g.

    `calendar`: `calendar_of`. "last_year" needs the like of every day of it published, known and without
    missing time outside blocks, "plan" a QUOTA_PLANS row for every month in it; a plan is one for all levels
    of a quota. A year before, or a plan, that comes to nothing or to more output than input has no shape.
    """
    months = quotas.select("series", *_PLAN_KEY).unique()
    shares = pl.union(
        [_linear(calendar), _last_year(calendar), _plan(calendar, plans.join(months, on=_PLAN_KEY))]
    )
    due = narrow(rounded_quotient(wide("quota_g") * pl.col("part"), pl.col("whole")))
    return quotas.join(shares, on=["series", "profile"], how="left").with_columns(due_g=due)


def _linear(calendar: pl.LazyFrame) -> pl.LazyFrame:
    return _shares(
        calendar.group_by("series").agg(part=pl.col("is_past").sum(), whole=pl.len()), Profile.LINEAR
    )


def _last_year(calendar: pl.LazyFrame) -> pl.LazyFrame:
    # A day without a like is not whole: null is not known to be.
    known = (pl.col("last_g").is_not_null() & pl.col("last_is_whole").fill_null(value=False)).all()
    sums = calendar.group_by("series").agg(
        part=pl.col("last_g").filter("is_past").sum(),
        whole=pl.when(known).then(pl.col("last_g").sum()),
        due_confirmed=pl.col("last_is_confirmed").all(),
    )
    return _shares(sums, Profile.LAST_YEAR, confirmed=pl.col("due_confirmed"))


def _plan(calendar: pl.LazyFrame, plans: pl.LazyFrame) -> pl.LazyFrame:
    """The month that as_of_day falls into is gone by in part: its days are the fraction's common divisor."""
    months = (
        calendar.with_columns(month=pl.col("day").cast(pl.Date).dt.month().cast(pl.Int32))
        .group_by("series", "month")
        .agg(gone=pl.col("is_past").sum().cast(pl.Int64), days=pl.len().cast(pl.Int64))
        .join(plans.select("series", "month", "planned_g"), on=["series", "month"], how="left")
    )
    is_partial = (pl.col("gone") > 0) & (pl.col("gone") < pl.col("days"))
    divisor = pl.max_horizontal(pl.col("days").filter(is_partial).max(), 1)
    gone_by = pl.when(is_partial).then(0).when(pl.col("gone") > 0).then("planned_g").otherwise(0)
    in_part = (wide("planned_g") * pl.col("gone")).filter(is_partial).sum()
    known = pl.col("planned_g").is_not_null().all()
    sums = months.group_by("series").agg(
        part=gone_by.sum().cast(pl.Int128) * divisor + in_part,
        whole=pl.when(known).then(pl.col("planned_g").sum().cast(pl.Int128) * divisor),
    )
    return _shares(sums, Profile.PLAN)


def _shares(sums: pl.LazyFrame, profile: Profile, *, confirmed: pl.Expr | bool = True) -> pl.LazyFrame:
    return sums.filter(pl.col("whole") > 0).select(
        "series",
        pl.col("part", "whole").cast(pl.Int128),
        profile=pl.lit(str(profile)),
        due_confirmed=confirmed,
    )
