"""Does it add up? A meter against its sub-meters, an item's finer series against its coarser one, by month.

Both are looked at for whole accounting months in which nothing is pending any more. A residual is a figure of
its own: nothing is ever corrected by it.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import polars as pl

from nengshao.domain.rules import Measure
from nengshao.domain.time import date_of, day_number, day_start
from nengshao.frames import MEASURES, conform

_SIDES: Final = ("known", "low", "high")


def measures_of_balance(
    point_days: pl.DataFrame, blocks: pl.DataFrame, points: pl.DataFrame, *, as_of_day: int
) -> pl.DataFrame:
    """MEASURES BALANCE_RESIDUAL and SERIES_DEVIATION of every whole month up to `as_of_day`.

    Residual: |meter − Σ sub-meters| / meter; subject `2025-03/<tag of the meter>`. Deviation: |Σ finer −
    coarser| / coarser of one item (dataCode), its feeding series, whichever of the two that is, against each
    other one; of several finer ones only the one next to it; subject `2025-03/<dataCode>.<statType of the
    coarser>`. Daily sum against monthly figure: at most 5 % (a copy of
    the programme's quality rules; clause not seen). Bounds run over what is missing on either side; a figure
    of nothing has no ratio, and no row.

    `point_days`: POINT_DAYS from the first day of a month on. `blocks`: BLOCKS of the same time.
    """
    months = _months(point_days, blocks, points, as_of_day)
    rows = [_residuals(months, points), _deviations(months, points)]
    return conform(pl.concat(rows).lazy(), MEASURES).sort(*MEASURES.key).collect()


def _months(
    point_days: pl.DataFrame, blocks: pl.DataFrame, points: pl.DataFrame, as_of_day: int
) -> pl.DataFrame:
    """enterprise, point, month (Date), known, low, high (10⁻³ units; null: unknown, unbounded), covered_s,
    all_s of months that are whole and have nothing pending."""
    month = pl.col("day").cast(pl.Date).dt.truncate("1mo")
    seconds = pl.sum_horizontal("measured_s", "estimated_s", "missing_s", "pending_s")
    days = (
        point_days.with_columns(month=month, on_s=seconds)
        .group_by("enterprise", "point", "month")
        .agg(
            known=pl.when(pl.col("amount").is_not_null().any()).then(pl.col("amount").sum()),
            below=pl.when(pl.col("gap_low").is_not_null().all()).then(pl.col("gap_low").sum()),
            above=pl.when(pl.col("gap_high").is_not_null().all()).then(pl.col("gap_high").sum()),
            is_settled=(pl.col("pending_s") == 0).all(),
            covered_s=(pl.col("measured_s") + pl.col("estimated_s")).sum(),
            all_s=pl.col("on_s").sum(),
        )
    )
    end = pl.col("month").dt.offset_by("1mo").cast(pl.Int32)
    whole = days.filter("is_settled").with_columns(end_day=end).filter(pl.col("end_day") <= as_of_day + 1)
    return _with_blocks(whole, blocks.filter(pl.col("via") == pl.col("point")))


def _with_blocks(months: pl.DataFrame, blocks: pl.DataFrame) -> pl.DataFrame:
    """A block inside the month is known exactly; of one across its border anything up to all may be in it."""
    first, end = (
        day_start(pl.col("month").cast(pl.Int32).cast(pl.Int64)),
        day_start(pl.col("end_day").cast(pl.Int64)),
    )
    spans = months.select("point", "month", since=first, until=end)
    is_inside = (pl.col("start") >= pl.col("since")) & (pl.col("end") <= pl.col("until"))
    found = (
        blocks.select("point", "start", "end", "amount")
        .join(spans, on="point")
        .filter(pl.col("start") < pl.col("until"), pl.col("end") > pl.col("since"))
        .group_by("point", "month")
        .agg(
            inside=pl.col("amount").filter(is_inside).sum(),
            across=pl.col("amount").filter(~is_inside).sum(),
            has_inside=is_inside.any(),
        )
    )
    joined = months.join(found, on=["point", "month"], how="left")
    # A month without a block has nothing to add from blocks: no figure is replaced.
    inside, across = pl.col("inside").fill_null(0), pl.col("across").fill_null(0)
    measured = pl.col("known").is_not_null() | pl.col("has_inside").fill_null(value=False)
    base = pl.col("known").fill_null(0) + inside  # of what is measured at all: see `known`
    return joined.with_columns(
        known=pl.when(measured).then(base),
        low=base + pl.col("below"),
        high=base + pl.col("above") + across,
    ).select("enterprise", "point", "month", "end_day", *_SIDES, "covered_s", "all_s")


def _residuals(months: pl.DataFrame, points: pl.DataFrame) -> pl.DataFrame:
    latest = points.unique("point", keep="last", maintain_order=True)
    tag = pl.format("{}.{}.{}", "data_code", "stat_type", "meter")
    parents = latest.select(meter="point", item=tag)
    children = latest.drop_nulls("parent").select("point", meter="parent")
    below = _summed(months.join(children, on="point"), ["meter", "month"])
    both = months.join(parents, left_on="point", right_on="meter").join(
        below, left_on=["point", "month"], right_on=["meter", "month"], suffix="_sub"
    )
    return _ratios(both, Measure.BALANCE_RESIDUAL, whole="", parts="_sub")


def _deviations(months: pl.DataFrame, points: pl.DataFrame) -> pl.DataFrame:
    series = points.unique("point", keep="last", maintain_order=True).select(
        "point", "data_code", "stat_type", "feeds_total"
    )
    key = ["enterprise", "data_code", "stat_type", "feeds_total", "month", "end_day"]
    sums = _summed(months.join(series, on="point"), key)
    item_month = ["enterprise", "data_code", "month", "end_day"]
    both = (
        sums.join(sums, on=item_month, suffix="_sub")
        .filter(
            pl.col("stat_type") > pl.col("stat_type_sub"), pl.col("feeds_total") != pl.col("feeds_total_sub")
        )
        .sort("stat_type_sub")
        .unique([*item_month, "stat_type"], keep="last", maintain_order=True)
    )
    item = pl.format("{}.{}", "data_code", "stat_type")
    return _ratios(both.with_columns(item=item), Measure.SERIES_DEVIATION, whole="", parts="_sub")


def _summed(months: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    return months.group_by(key).agg(
        *(pl.when(pl.col(side).is_not_null().all()).then(pl.col(side).sum()).alias(side) for side in _SIDES),
        pl.col("covered_s", "all_s").sum(),
    )


def _ratios(both: pl.DataFrame, measure: Measure, *, whole: str, parts: str) -> pl.DataFrame:
    """|1 − parts / whole| with its bounds, as MEASURES."""
    known, low, high = (
        1 - pl.col(f"{part}{parts}") / pl.when(pl.col(f"{base}{whole}") > 0).then(f"{base}{whole}")
        for part, base in (("known", "known"), ("high", "low"), ("low", "high"))
    )
    crosses = (low <= 0) & (high >= 0)
    covered, every = (pl.col(name) + pl.col(f"{name}{parts}") for name in ("covered_s", "all_s"))
    return both.filter(pl.col("known").is_null() | (pl.col("known") != 0)).select(
        "enterprise",
        measure=pl.lit(measure.value),
        subject=pl.format("{}/{}", pl.col("month").dt.strftime("%Y-%m"), "item"),
        at=day_start(pl.col("end_day").cast(pl.Int64)),
        value=known.abs(),
        low=pl.when(crosses).then(0.0).otherwise(pl.min_horizontal(low.abs(), high.abs())),
        high=pl.when(low.is_not_null() & high.is_not_null()).then(pl.max_horizontal(low.abs(), high.abs())),
        coverage=covered / pl.when(every > 0).then(every),
        is_confirmed=pl.lit(value=True),
    )


def first_day_of_balance(as_of_day: int) -> int:
    """First day of the accounting month before that of `as_of_day`: from here on POINT_DAYS are needed."""
    this_month = date_of(as_of_day).replace(day=1)
    return day_number((this_month - dt.timedelta(days=1)).replace(day=1))
