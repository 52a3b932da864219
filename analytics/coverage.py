"""Coverage: how much of a point's day is measured, estimated, missing, or not yet due (BOOKKEEPING §6).

The four shares sum to the point's time on duty that day (86 400 s if it is whole). Blocks count as missing
time; what flowed in them is bounded by their exact amount, so `gap_high` bounds only the missing time
outside blocks. Pending time is in no bound: pace and projection end at the last day without any.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from analytics.integers import narrow, rounded_up_quotient, wide
from analytics.intervals import (
    cell_of,
    covered_seconds,
    is_part,
    parts_per_interval,
    seconds_if,
    with_known_amount,
)
from analytics.specs import slot_end
from nengshao.domain.time import DAY_S, accounting_day, day_start
from nengshao.domain.units import PointKind

DESCRIBING: Final = ("carrier", "sign", "use", "factor_class", "expected_daily")
"""What describes a point × day, from the registry row in force last."""


def coverage_per_day(
    segments: pl.LazyFrame, duties: pl.DataFrame, *, first_day: int, end_day: int
) -> pl.LazyFrame:
    """One row per point and day of [first_day, end_day) with time on duty.

    Columns: enterprise, point, day (Int32), carrier, sign, use, factor_class, expected_daily, amount (10⁻³
    canonical unit, null if nothing is covered), measured_s, estimated_s, spread_s of it, missing_s,
    pending_s, gap_low and gap_high (10⁻³ canonical unit; null: unbounded, no capacity), recheck_at (null:
    nothing pending). `duties`: `specs.point_duties` with `factor_class`; where a point has several rows in a
    day, what describes it is that of the last. Virtual points have no rows here (`virtuals`).
    """
    cell = cell_of(pl.col("duty"), day_start(pl.col("day").cast(pl.Int64)))
    days = duty_days(duties, first_day, end_day).with_columns(cell=cell)
    covered = _covered(segments, duties, first_day, end_day)
    shares = days.lazy().join(covered, on="cell", how="left").pipe(_with_shares)
    # Most points have one duty, and so one row a day: only the others pay for being added up.
    once = duties["point"].is_unique()
    if not once.all():
        several = pl.col("point").is_in(duties.filter(~once)["point"].implode())
        added = shares.filter(several).pipe(_added_up).select(_COLUMNS)
        shares = pl.concat([shares.filter(~several).select(_COLUMNS), added])
    return shares.select(_COLUMNS).pipe(with_known_amount)


_SUMMED: Final = ("amount", "measured_s", "estimated_s", "spread_s", "missing_s", "pending_s")
_COLUMNS: Final = (
    "enterprise", "point", "day", *DESCRIBING, *_SUMMED, "gap_low", "gap_high", "recheck_at"
)  # fmt: skip


def _added_up(shares: pl.LazyFrame) -> pl.LazyFrame:
    """One row per point × day of the rows that it has."""
    return shares.group_by("enterprise", "point", "day").agg(
        pl.col(DESCRIBING).sort_by("on_from").last(),
        pl.col(_SUMMED).sum(),
        gap_low=_sum_if_bounded("gap_low"),
        gap_high=_sum_if_bounded("gap_high"),
        recheck_at=pl.col("recheck_at").min(),
    )


def _sum_if_bounded(column: str) -> pl.Expr:
    return pl.when(pl.col(column).is_not_null().all()).then(pl.col(column).sum())


def _covered(segments: pl.LazyFrame, duties: pl.DataFrame, first_day: int, end_day: int) -> pl.LazyFrame:
    """Per cell: amount and seconds by quality, of them those in pending time, and where those end."""
    late = pl.col("end") - pl.max_horizontal("start", "pending_from")
    is_late, is_block = pl.col("end") > pl.col("pending_from"), is_part("block")
    return (
        parts_per_interval(segments, duties, "day", day_start(first_day), day_start(end_day))
        .group_by("cell")
        .agg(
            **covered_seconds(),
            late_s=seconds_if(is_late & ~is_block, late),
            late_block_s=seconds_if(is_late & is_block, late),
            covered_to=pl.when(~is_block).then("end").max(),
        )
    )


def duty_days(duties: pl.DataFrame, first_day: int, end_day: int) -> pl.DataFrame:
    """Every duty × day of [first_day, end_day), with the time on duty as [on_from, on_to) within the day."""
    first = pl.max_horizontal(accounting_day(pl.col("on_from")), first_day)
    end = pl.min_horizontal(accounting_day(pl.col("on_to") - 1) + 1, end_day)
    start = day_start(pl.col("day").cast(pl.Int64))
    return (
        duties.with_row_index("duty")
        .with_columns(pl.col("duty").cast(pl.Int64), first=first, end=end)
        .filter(pl.col("first") < pl.col("end"))
        .with_columns(day=pl.int_ranges("first", "end", dtype=pl.Int32))
        .explode("day", empty_as_null=False)
        .with_columns(
            on_from=pl.max_horizontal("on_from", start), on_to=pl.min_horizontal("on_to", start + DAY_S)
        )
        .drop("first", "end")
    )


def _with_shares(days: pl.LazyFrame) -> pl.LazyFrame:
    """Missing and pending seconds, the bounds of the gap, and when pending time next becomes missing."""
    due_until = pl.max_horizontal(pl.min_horizontal("on_to", "pending_from"), "on_from")
    seconds = ("measured_s", "estimated_s", "spread_s", "block_s", "late_s", "late_block_s")
    covered = pl.col("measured_s") + pl.col("estimated_s")
    missing = pl.col("due_until") - pl.col("on_from") - (covered - pl.col("late_s"))
    pending = pl.col("on_to") - pl.col("due_until") - pl.col("late_s")
    # Seconds of coverage, not quantities: a day without any part is covered for 0 seconds.
    return (
        days.with_columns(pl.col(seconds).fill_null(0), due_until=due_until)
        .with_columns(missing_s=missing, pending_s=pending)
        .with_columns(gap_high=_gap_high(), recheck_at=_recheck_at())
        # Only a stock can also grow while nobody looks: everything else counts what passes through it.
        .with_columns(
            gap_low=pl.when(pl.col("kind") == PointKind.STOCK).then(-pl.col("gap_high")).otherwise(0)
        )
    )


def _gap_high() -> pl.Expr:
    """Capacity × missing seconds outside blocks, rounded up; 0 if there are none, null without capacity."""
    outside = pl.col("missing_s") - (pl.col("block_s") - pl.col("late_block_s"))
    high = narrow(rounded_up_quotient(wide("capacity") * outside, pl.lit(3600)))
    return pl.when(outside > 0).then(high).otherwise(0)


def _recheck_at() -> pl.Expr:
    """When the first uncovered slot after `due_until` ends, plus grace.

    If coverage after `due_until` has holes its very first slot is taken: never too late, and always
    later than as_of.
    """
    since = pl.col("due_until")
    is_run = (pl.col("late_s") > 0) & (pl.col("covered_to") - since == pl.col("late_s"))
    first_open = pl.when(is_run).then("covered_to").otherwise(since)
    return pl.when(pl.col("pending_s") > 0).then(slot_end(first_open) + pl.col("grace_s"))
