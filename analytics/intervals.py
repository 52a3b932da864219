"""From stretches of time to hours and days.

Splitting is cumulative, round(A·k/n) − round(A·(k−1)/n) counted from the stretch's own start: the parts add
up to A whatever window is asked, and cutting a window in two adds up.
"""

from __future__ import annotations

from typing import Final, Literal

import polars as pl

from analytics.integers import narrow, rounded_quotient, wide
from nengshao.domain.time import DAY_S, LOCAL_OFFSET_S
from nengshao.frames import Contract, conform

Interval = Literal["hour", "day"]

LENGTH: Final[dict[Interval, int]] = {"hour": 3600, "day": DAY_S}
"""Seconds."""

QUALITY: Final = pl.Enum(["measured", "spread", "estimated", "block"])
"""Of a part; "spread": of a measured figure whose period is longer than the bucket. An Enum, since it is
compared in every row several times: text would cost four times as much."""

PARTS: Final = Contract(
    "PARTS",
    {
        "point": pl.Int64,
        "duty": pl.Int64,  # row number of the point's duty
        "bucket": pl.Int64,  # start of the hour or day
        "start": pl.Int64,  # half-open [start, end) within the bucket
        "end": pl.Int64,
        "amount": pl.Int64,  # 10⁻³ canonical unit; null for a block's part: its place is not known
        "quality": QUALITY,
        "pending_from": pl.Int64,  # of the duty
    },
    key=("point", "start"),
)

USE: Final = Contract(
    "USE",
    {
        "point": pl.Int64,
        "start": pl.Int64,  # of the hour or day
        "amount": pl.Int64,  # 10⁻³ canonical unit, measured + estimated; null if there is neither
        "measured_s": pl.Int64,
        "estimated_s": pl.Int64,
        "block_s": pl.Int64,  # covered by blocks only: no amount, counts as missing
    },
    key=("point", "start"),
)


def parts_per_interval(
    segments: pl.LazyFrame, duties: pl.DataFrame, interval: Interval, start: int, end: int
) -> pl.LazyFrame:
    """PARTS: segments cut at the borders of hours or days, within [start, end) and the points' duty.

    `duties`: `specs.point_duties`. A measured segment longer than the interval is spread: estimated. A
    missing one has no parts.
    """
    length = LENGTH[interval]
    duty = duties.with_row_index("duty").select(
        "point",
        pl.col("duty").cast(pl.Int64),
        pl.max_horizontal("on_from", start).alias("low"),
        pl.min_horizontal("on_to", end).alias("high"),
        "pending_from",
    )
    is_measured, is_block = pl.col("quality") == "measured", pl.col("quality") == "block"
    quality = pl.when(is_measured).then(_quality("measured")).when(is_block).then(_quality("block"))
    on_duty = (
        segments.filter(pl.col("quality") != "missing", pl.col("end") > start, pl.col("start") < end)
        .with_columns(
            bucket=bucket_of(pl.col("start"), length),
            amount=pl.when(~is_block).then("amount"),
            quality=quality.otherwise(_quality("estimated")),
        )
        .join(duty.lazy(), on="point")
    )
    # Nearly all segments lie within one bucket: only the others pay for being cut.
    is_whole = (
        (pl.col("start") >= pl.col("low"))
        & (pl.col("end") <= pl.col("high"))
        & (pl.col("end") <= pl.col("bucket") + length)
    )
    parts = [on_duty.filter(is_whole), _cut(on_duty.filter(~is_whole), length)]
    return conform(pl.union([part.select(list(PARTS.schema)) for part in parts]), PARTS)


def _cut(segments: pl.LazyFrame, length: int) -> pl.LazyFrame:
    """Segments within [low, high), one row a bucket, their amounts split cumulatively."""
    seg_length = pl.col("end") - pl.col("start")
    is_spread = is_part("measured") & (seg_length > length)
    first = bucket_of(pl.max_horizontal("start", "low"), length)
    last = bucket_of(pl.min_horizontal("end", "high") - 1, length)
    return (
        segments.filter(pl.col("start") < pl.col("high"), pl.col("end") > pl.col("low"))
        .with_columns(
            seg_start=pl.col("start"),
            seg_length=seg_length,
            seg_amount=pl.col("amount"),
            quality=pl.when(is_spread).then(_quality("spread")).otherwise("quality"),
            bucket=pl.int_ranges(first, last + 1, length, dtype=pl.Int64),
        )
        .explode("bucket", empty_as_null=False)
        .with_columns(
            start=pl.max_horizontal("start", "bucket", "low"),
            end=pl.min_horizontal("end", pl.col("bucket") + length, "high"),
        )
        .with_columns(amount=narrow(_amount_until(pl.col("end")) - _amount_until(pl.col("start"))))
    )


def _amount_until(instant: pl.Expr) -> pl.Expr:
    elapsed = instant - pl.col("seg_start")
    return rounded_quotient(wide("seg_amount") * elapsed, pl.col("seg_length"))


def bucket_of(instant: pl.Expr, length: int) -> pl.Expr:
    """Start of the hour or day (by its `LENGTH`) that holds the instant, by the local clock."""
    return (instant + LOCAL_OFFSET_S) // length * length - LOCAL_OFFSET_S


def use_per_interval(
    segments: pl.LazyFrame, duties: pl.DataFrame, interval: Interval, start: int, end: int
) -> pl.LazyFrame:
    """USE: energy and covered time per point and hour or day of [start, end). Intervals without any
    coverage have no row: missing is never zero."""
    grouped = (
        parts_per_interval(segments, duties, interval, start, end)
        .group_by("point", "bucket")
        .agg(**covered_seconds())
    )
    return conform(grouped.with_columns(start="bucket").pipe(with_known_amount), USE)


def covered_seconds() -> dict[str, pl.Expr]:
    """Aggregates of PARTS: amount, and seconds by quality."""
    length = pl.col("end") - pl.col("start")
    return {
        "amount": pl.col("amount").sum(),
        **{f"{q}_s": seconds_if(is_part(q), length) for q in ("measured", "spread", "block")},
        "estimated_s": seconds_if(is_part("estimated") | is_part("spread"), length),
    }


def is_part(quality: str) -> pl.Expr:
    """Whether a row of PARTS is of this quality."""
    return pl.col("quality") == _quality(quality)


def seconds_if(condition: pl.Expr, seconds: pl.Expr) -> pl.Expr:
    """Sum of `seconds` where `condition` holds; a filter within an aggregate costs three times as much."""
    return pl.when(condition).then(seconds).otherwise(0).sum()


def _quality(name: str) -> pl.Expr:
    return pl.lit(name, dtype=QUALITY)


def with_known_amount(use: pl.LazyFrame) -> pl.LazyFrame:
    """The frame with `amount` null where no second is measured or estimated (a sum of nothing is 0)."""
    return use.with_columns(amount=pl.when(pl.col("measured_s") + pl.col("estimated_s") > 0).then("amount"))
