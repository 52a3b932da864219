"""Progress against annual quotas: what was used by the end of the last complete day, what was due by then,
and what the year is expected to come to.

Quotas are of enterprises and of regions alike, on any basis (standard coal or CO2) and in any scope.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from analytics.profiles import calendar_of, same_day_last_year, with_due
from analytics.projection import with_projection
from analytics.specs import FOREVER
from analytics.usage import daily_totals, days_of_series, with_used
from nengshao.domain.codes import is_region_code
from nengshao.domain.factors import Confidence
from nengshao.domain.rules import Measure
from nengshao.domain.targets import TargetLevel
from nengshao.domain.time import accounting_day, day_number, day_start
from nengshao.frames import MEASURES, PROGRESS, conform

_CONFIRMED: Final = [level.value for level in Confidence if level.is_confirmed]
_SERIES_KEY: Final = ("enterprise", "year", "basis", "scope", "until")


def quota_progress(  # noqa: PLR0917 - six frames, in the order of the calculation
    enterprise_days: pl.LazyFrame,
    scope_days: pl.LazyFrame,
    blocks: pl.LazyFrame,
    quotas: pl.DataFrame,
    plans: pl.DataFrame,
    enterprises: pl.DataFrame,
    *,
    today: int,
) -> pl.LazyFrame:
    """PROGRESS of every quota whose year has begun by accounting day `today`.

    `enterprise_days`, `scope_days`, `blocks`: of the quotas' years and of the year before each, which the
    profile "last_year" and the projection look at; a region's rows carry its code as `enterprise`. `plans`:
    QUOTA_PLANS. `as_of_day`: the last day <= today up to which every day of the year is published in the
    quota's scope; null if there is none yet, then nothing is used and nothing due. Quotas may carry a column
    `until` (Int32): no later day counts. The quota of a year in which the enterprise is active only in part
    spreads over those days; a region is always active. `used_g` (g of standard coal, or of CO2) is null if a
    factor is missing or nothing was measured; bounds are null where unbounded. `due_g`: see `profiles`;
    `projected_g`: see `projection`. `is_confirmed`: every factor of the days used, and of the days of last
    year that the profile goes by, and the quota itself.
    """
    periods = _quota_periods(quotas, enterprises, today)
    series = _series_of(periods)
    # Cached: each is asked several times, and the optimizer would otherwise plan it as often.
    days = days_of_series(series, enterprise_days, scope_days).cache()
    used = _used_by_as_of_day(series, days, blocks).cache()
    calendar = calendar_of(
        used,
        daily_totals(used, days, blocks),
        _year_before(series, enterprise_days, scope_days, blocks),
    ).cache()
    # Where nothing is due, nothing rests on what it would have been made of.
    due_confirmed = pl.col("due_confirmed").fill_null(value=True)
    figures = with_projection(used.drop("enterprise", "year", "basis", "scope", "until"), calendar)
    frame = (
        periods.lazy()
        .join(figures, on="series")
        .pipe(with_due, calendar, plans.lazy())
        .with_columns(
            is_confirmed=pl.all_horizontal("is_confirmed", "quota_confirmed", due_confirmed), **_paces()
        )
    )
    return conform(frame, PROGRESS).sort(*PROGRESS.key)


def measures_of_progress(progress: pl.LazyFrame) -> pl.LazyFrame:
    """MEASURES of PROGRESS rows: progress_ratio (used / due), quota_ratio (used / the year's quota) and
    projected_ratio (projected / quota, its bounds the 80 % interval).

    `subject`: `quota_subject`; `at`: the end of as_of_day; rows without one give none. Ratios have no unit;
    null: unknown (nothing due, no factor), or unbounded.
    """
    is_base = pl.col("level") == TargetLevel.BASE
    subject = pl.concat_str(pl.col("year").cast(pl.String), "basis", "scope", separator="/")
    subject = pl.when(is_base).then(subject).otherwise(pl.concat_str(subject, "level", separator="/"))
    quota = pl.when(pl.col("quota_g") > 0).then("quota_g")
    figures = {
        Measure.PROGRESS_RATIO: [pl.col(name) for name in ("pace", "pace_low", "pace_high")],
        Measure.QUOTA_RATIO: [pl.col(name) / quota for name in ("used_g", "low_g", "high_g")],
        Measure.PROJECTED_RATIO: [
            pl.col(name) / quota for name in ("projected_g", "projected_low_g", "projected_high_g")
        ],
    }
    rows = progress.filter(pl.col("as_of_day").is_not_null()).with_columns(
        subject=subject, at=day_start(pl.col("as_of_day").cast(pl.Int64) + 1)
    )
    measures = [
        rows.with_columns(measure=pl.lit(str(measure)), value=value, low=low, high=high)
        for measure, (value, low, high) in figures.items()
    ]
    return conform(pl.union(measures), MEASURES).sort(*MEASURES.key)


def quota_subject(row: Mapping[str, Any]) -> str:
    """How a quota (a QUOTAS or PROGRESS row) is named in alerts.

    >>> quota = {"year": 2025, "basis": "calorific", "scope": "total"}
    >>> quota_subject(quota | {"level": "base"}), quota_subject(quota | {"level": "incentive"})
    ('2025/calorific/total', '2025/calorific/total/incentive')
    """
    name = f"{row['year']}/{row['basis']}/{row['scope']}"
    return name if row["level"] == TargetLevel.BASE else f"{name}/{row['level']}"


def year_days(year: int) -> tuple[int, int]:
    """The accounting days [first, end) of a year."""
    return day_number(dt.date(year, 1, 1)), day_number(dt.date(year + 1, 1, 1))


def _quota_periods(quotas: pl.DataFrame, enterprises: pl.DataFrame, today: int) -> pl.DataFrame:
    """Quotas with the days [first_day, duty_end) of their year on duty, `until` and `series`."""
    first, end = pl.date("year", 1, 1).cast(pl.Int32), pl.date(pl.col("year") + 1, 1, 1).cast(pl.Int32)
    until = pl.min_horizontal("until", today) if "until" in quotas.columns else pl.lit(today)
    return (
        quotas.join(_activity(quotas, enterprises), on="enterprise")
        .with_columns(
            first_day=pl.max_horizontal(first, "active_first").cast(pl.Int32),
            duty_end=pl.min_horizontal(end, "active_end").cast(pl.Int32),
            until=until.cast(pl.Int32),
            quota_confirmed=pl.col("confidence").is_in(_CONFIRMED),
        )
        .filter(pl.col("first_day") < pl.col("duty_end"), pl.col("first_day") <= today)
        .with_columns(series=pl.struct(_SERIES_KEY).rank("dense").cast(pl.Int64))
    )


def _activity(quotas: pl.DataFrame, enterprises: pl.DataFrame) -> pl.DataFrame:
    """enterprise, active_first, active_end (accounting days); a region is on duty always."""
    regions = [name for name in quotas["enterprise"].unique() if is_region_code(name)]
    always = pl.DataFrame({"enterprise": regions}, schema={"enterprise": pl.String})
    activity = enterprises.select(
        "enterprise",
        active_first=accounting_day(pl.col("active_from")),
        active_end=accounting_day(pl.col("active_to").fill_null(FOREVER) - 1) + 1,
    )
    return pl.concat([activity, always], how="diagonal")


def _series_of(periods: pl.DataFrame) -> pl.LazyFrame:
    """What quotas are about, once for all levels: [first_day, end_day) are the days that may count."""
    series = periods.unique("series", maintain_order=True).select(
        "series", *_SERIES_KEY, "first_day", "duty_end"
    )
    return series.lazy().with_columns(end_day=pl.min_horizontal("duty_end", pl.col("until") + 1))


def _used_by_as_of_day(series: pl.LazyFrame, days: pl.LazyFrame, blocks: pl.LazyFrame) -> pl.LazyFrame:
    as_of = _as_of_days(days)
    spans = series.join(as_of, on="series", how="left").with_columns(end_day=pl.col("as_of_day") + 1)
    return with_used(
        spans, days.join(as_of, on="series").filter(pl.col("day") <= pl.col("as_of_day")), blocks
    )


def _as_of_days(days: pl.LazyFrame) -> pl.LazyFrame:
    """series, as_of_day: the end of the unbroken run of published days from the first day on."""
    position = pl.int_range(pl.len()).over("series", order_by="day")
    # The n-th published day is first_day + n exactly as long as no day before it is unpublished or absent.
    return (
        days.filter("published")
        .filter(pl.col("day") == pl.col("first_day") + position)
        .group_by("series")
        .agg(as_of_day=pl.col("day").max())
    )


def _year_before(
    series: pl.LazyFrame, enterprise_days: pl.LazyFrame, scope_days: pl.LazyFrame, blocks: pl.LazyFrame
) -> pl.LazyFrame:
    """`daily_totals` of the published days of the year before, in which the series' days have their likes."""
    last_day = pl.col("duty_end") - 1
    before = series.with_columns(
        first_day=same_day_last_year(pl.col("first_day")), end_day=same_day_last_year(last_day) + 1
    )
    days = days_of_series(before, enterprise_days, scope_days).filter("published")
    return daily_totals(before, days, blocks)


def _paces() -> dict[str, pl.Expr]:
    due = pl.when(pl.col("due_g") > 0).then("due_g")
    return {
        name: pl.col(column) / due
        for column, name in (("used_g", "pace"), ("low_g", "pace_low"), ("high_g", "pace_high"))
    }
