"""How long points have been dark, and how complete their month is: missing data are an alert of their own.

Both figures reach to the end of a point's last *settled* day: the days before the first one that still has
pending time. A virtual point sends nothing, so it owes nothing: its terms do.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from nengshao.domain.rules import Measure
from nengshao.domain.time import day_start
from nengshao.domain.units import PointKind
from nengshao.frames import MEASURES, conform

_POINT: Final = ["enterprise", "point"]


def measures_of_gaps(
    point_days: pl.DataFrame, points: pl.DataFrame, working_days: pl.DataFrame, *, as_of_day: int
) -> pl.DataFrame:
    """MEASURES MISSING_WORKING_DAYS and COMPLETENESS of every point on duty on `as_of_day`; subject: its id.

    Missing working days: whole working days in the unbroken run of dark days up to the last settled one. A
    dark day has missing time and nothing measured or estimated; 0 as soon as a day has anything. A run that
    reaches back to the point's first day given may be longer: no upper bound. Repair is due within 3 working
    days (a copy of a provincial rule; clause not seen). Completeness: measured time, exact amounts of longer
    periods included, ÷ all but pending time, over the settled days of as_of_day's month (≥ 90 % in a copy of
    the programme's quality rules; clause not seen). Without a settled day both are unknown (null).

    `point_days`: POINT_DAYS, every day of duty up to `as_of_day` from the first of its month or earlier.
    `working_days`: `calendar_library.working_days` over the same days.
    """
    senders = points.filter(pl.col("kind") != PointKind.VIRTUAL)
    first_pending = pl.col("day").filter(pl.col("pending_s") > 0).min().over("point")
    days = (
        point_days.filter(pl.col("day") <= as_of_day)
        .join(senders, on="point", how="semi")
        .filter((pl.col("day") == as_of_day).any().over("point"))
        .with_columns(is_settled=pl.col("day") < first_pending.fill_null(as_of_day + 1))
        .join(working_days, on="day", how="left")
        .sort("point", "day")
    )
    rows = [_missing_working_days(days), _completeness(days, as_of_day)]
    return conform(pl.concat(rows).lazy(), MEASURES).sort(*MEASURES.key).collect()


def _missing_working_days(days: pl.DataFrame) -> pl.DataFrame:
    is_dark = (pl.col("missing_s") > 0) & (pl.col("measured_s") == 0) & (pl.col("estimated_s") == 0)
    is_lit = pl.col("is_settled") & ~is_dark
    # A run begins after the last lit day, and after days off duty, which have no row.
    resumes = pl.col("day").diff().over("point").fill_null(2) > 1
    last_lit = pl.col("day").filter(is_lit).max().over("point")
    last_resumed = pl.col("day").filter(resumes).max().over("point")
    in_run = pl.col("is_settled") & (pl.col("day") > last_lit.fill_null(-1)) & (pl.col("day") >= last_resumed)
    is_known = pl.col("is_settled").any() & pl.col("is_working").filter("in_run").is_not_null().all()
    is_open = (pl.col("in_run") & (pl.col("day") == pl.col("day").first())).any()
    count = pl.col("is_working").filter("in_run").sum().cast(pl.Float64)
    return (
        days.with_columns(in_run=in_run)
        .group_by(_POINT)
        .agg(
            at=_at(),
            value=pl.when(is_known).then(count),
            is_open=is_open,
            is_confirmed=pl.col("is_confirmed").filter("in_run").all(),
        )
        .with_columns(low="value", high=pl.when(~pl.col("is_open")).then("value"))
        .pipe(_as_measures, Measure.MISSING_WORKING_DAYS)
    )


def _completeness(days: pl.DataFrame, as_of_day: int) -> pl.DataFrame:
    first_of_month = pl.lit(as_of_day, pl.Int32).cast(pl.Date).dt.truncate("1mo").cast(pl.Int32)
    counts = pl.col("is_settled") & (pl.col("day") >= first_of_month)
    measured = (pl.col("measured_s") + pl.col("spread_s")).filter(counts).sum()
    owed = pl.sum_horizontal("measured_s", "estimated_s", "missing_s").filter(counts).sum()
    share = pl.when(owed > 0).then(measured / owed)
    return (
        days.group_by(_POINT)
        .agg(at=_at(), value=share)
        .with_columns(low="value", high="value", is_confirmed=True)
        .pipe(_as_measures, Measure.COMPLETENESS)
    )


def _at() -> pl.Expr:
    """The end of the last settled day; the start of the first day given if there is none."""
    settled = pl.col("day").filter("is_settled").max() + 1
    return day_start(pl.coalesce(settled, pl.col("day").min()).cast(pl.Int64))


def _as_measures(rows: pl.DataFrame, measure: Measure) -> pl.DataFrame:
    return rows.select(
        "enterprise",
        measure=pl.lit(measure.value),
        subject=pl.col("point").cast(pl.String),
        at="at",
        value="value",
        low="low",
        high="high",
        coverage=pl.lit(None, pl.Float64),
        is_confirmed="is_confirmed",
    )
