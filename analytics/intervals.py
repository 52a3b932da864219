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
        "cell": pl.Int64,  # duty × hour or day, see `cell_of`
        "start": pl.Int64,  # half-open [start, end) within the bucket
        "end": pl.Int64,
        "amount": pl.Int64,  # 10⁻³ canonical unit; null for a block's part: its place is not known
        "quality": QUALITY,
        "pending_from": pl.Int64,  # of the duty
    },
    key=("cell", "start"),
)

_INSTANTS: Final = 2**38
"""More than there are seconds until FOREVER."""

USE: Final = Contract(
    "USE",
    {
        "enterprise": pl.String,
        "point": pl.Int64,
        "start": pl.Int64,  # of the hour or day
        "amount": pl.Int64,  # 10⁻³ canonical unit, measured + estimated; null if there is neither
        "measured_s": pl.Int64,
        "estimated_s": pl.Int64,
        "block_s": pl.Int64,  # covered by blocks only: no amount, counts as missing
    },
    key=("enterprise", "point", "start"),
)


def cell_of(duty: pl.Expr, bucket: pl.Expr) -> pl.Expr:
    """One number for a duty (its row number) and the start of an hour or day: to group, join and sort by one
    integer costs half as much as by two columns."""
    return duty.cast(pl.Int64) * _INSTANTS + bucket


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
        cell_of(pl.col("duty"), pl.lit(0)).alias("duty"),
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
    celled = [part.with_columns(cell=pl.col("duty") + pl.col("bucket")) for part in parts]
    return conform(pl.union([part.select(list(PARTS.schema)) for part in celled]), PARTS)


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
    """USE, sorted by key: energy and covered time per point and hour or day of [start, end).

    Intervals without any coverage have no row: missing is never zero. `duties`: `specs.point_duties`.
    """
    parts = parts_per_interval(segments, duties, interval, start, end)
    fills = pl.col("end") - pl.col("start") == LENGTH[interval]  # nothing else is in its interval then
    whole = parts.filter(fills).select("cell", "amount", **_seconds())
    added = parts.filter(~fills).group_by("cell").agg(**covered_seconds())
    owner = duties.select("enterprise", "point", duty=pl.int_range(pl.len()))
    by_cell = (
        pl.concat([whole, added.select(whole.collect_schema().names())])
        .sort("cell")  # duties are in the order of the key
        .with_columns(duty=pl.col("cell") // _INSTANTS, start=pl.col("cell") % _INSTANTS)
        .join(owner.lazy(), on="duty", maintain_order="left")
    )
    if owner["point"].is_duplicated().any():
        sums = pl.col("amount", *_seconds()).sum()
        by_cell = by_cell.group_by(USE.key).agg(sums).sort(USE.key)
    return conform(by_cell.pipe(with_known_amount), USE)


def _seconds() -> dict[str, pl.Expr]:
    """Seconds of PARTS by quality; "spread" is estimated, too."""
    length = pl.col("end") - pl.col("start")
    is_estimated = is_part("estimated") | is_part("spread")
    of = {"measured_s": is_part("measured"), "spread_s": is_part("spread"), "block_s": is_part("block")}
    return {
        name: pl.when(is_it).then(length).otherwise(0)
        for name, is_it in (of | {"estimated_s": is_estimated}).items()
    }


def covered_seconds() -> dict[str, pl.Expr]:
    """Aggregates of PARTS: amount, and seconds by quality."""
    return {"amount": pl.col("amount").sum()} | {name: seconds.sum() for name, seconds in _seconds().items()}


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
