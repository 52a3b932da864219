"""Sifting: most reads of a register say nothing that their neighbours don't say.

Where a register simply counts on, the energy of an hour is its last read less its first one. So one pass over
all reads, a few comparisons each, finds the *plain* ones; of those only the first and last of an hour or day
are kept, and only what is left, a few reads in a hundred, is looked at closely (`registers`, `repairs`).
A read is called plain only if every closer look would leave it as it is.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from analytics.integers import milli_from_micro, narrow, wide
from analytics.intervals import LENGTH, Interval, bucket_of
from analytics.repairs import LONGEST_RUN
from analytics.specs import FOREVER, point_specs
from nengshao.domain.units import PointKind
from nengshao.frames import SEGMENTS, Contract, conform

READS: Final = Contract(
    "READS",
    {
        "point": pl.Int64,
        "ts": pl.Int64,
        "value": pl.Int64,  # 10⁻⁶ canonical unit
        "is_plain": pl.Boolean,  # the time since the read before is measured, its energy the difference
    },
    key=("point", "ts"),
)

_LARGEST: Final = 2**36
"""10⁻³ units an hour: a larger capacity is taken as this, so that no product overflows. What is then no
longer plain is looked at closely, with the capacity that it has."""

_DOUBT: Final = LONGEST_RUN + 2
"""How many reads back a jump can throw doubt: on a run, the read before it, and the one before that."""


def sifted_reads(
    readings: pl.LazyFrame, points: pl.DataFrame, meter_changes: pl.DataFrame, enterprises: pl.DataFrame
) -> pl.LazyFrame:
    """READS: the valid reads of register points, without those in the midst of plain ones of the same hour.

    `readings`: READINGS winners, each point's together in order. `enterprises`: ENTERPRISES; where an
    enterprise's activity begins or ends no read may be left out, since it counts from there only.
    """
    since, before = pl.col("ts").shift(), pl.col("value").shift()
    length, rise = pl.col("ts") - pl.col("since"), pl.col("value") - pl.col("before")
    # A difference that wraps around is no rise: the first comparison sees it.
    counts_on = (pl.col("value") >= pl.col("before")) & rise.is_between(0, length * pl.col("most_per_s"))
    jumps = pl.col("jumps")  # how many there were so far; a read is in doubt if there are some around it
    is_sure, next_is_sure = (jumps.shift(-n) == jumps.shift(2, fill_value=0) for n in (_DOUBT, _DOUBT + 1))
    return (
        readings.filter("valid")
        .select("point", "ts", "value")
        .join(_eras(points, meter_changes, enterprises).lazy(), on="point", maintain_order="left")
        .with_columns(
            since=since,
            before=before,
            is_next=pl.col("point") == pl.col("point").shift(),
            is_within=_spans_no_border("hour"),
        )
        .with_columns(is_plain=pl.col("is_next") & counts_on & (pl.col("since") >= pl.col("era_from")))
        .with_columns(
            jumps=(pl.col("is_next") & ~pl.col("is_plain")).fill_null(value=False).cum_sum(),
            is_plain=pl.col("is_plain") & (length <= pl.col("longest")),
        )
        .with_columns(
            is_plain=(pl.col("is_plain") & is_sure).fill_null(value=False),
            is_midst=pl.col("is_plain") & pl.col("is_plain").shift(-1) & next_is_sure & pl.col("is_within"),
        )
        .filter(~pl.col("is_midst").fill_null(value=False))
        .select(list(READS.schema))
    )


def days_sifted(reads: pl.LazyFrame) -> pl.LazyFrame:
    """READS without those in the midst of plain ones of the same day: for days that is enough."""
    is_midst = pl.col("is_plain") & pl.col("is_plain").shift(-1) & _spans_no_border("day")
    return reads.filter(~is_midst.fill_null(value=False))


def plain_segments(reads: pl.LazyFrame) -> pl.LazyFrame:
    """SEGMENTS that end with a plain read, from the read kept before it."""
    level = milli_from_micro(pl.col("value"))
    segments = (
        reads.with_columns(start=pl.col("ts").shift(), end="ts", amount=level - level.shift())
        .filter("is_plain")
        .with_columns(quality=pl.lit("measured"))
    )
    return conform(segments, SEGMENTS)


def reads_in_doubt(reads: pl.LazyFrame) -> pl.LazyFrame:
    """READS that are not plain, and the read before each stretch of them: that one with `is_context`."""
    is_followed_by_plain = pl.col("is_plain").shift(-1, fill_value=True)
    return reads.filter(~(pl.col("is_plain") & is_followed_by_plain)).rename({"is_plain": "is_context"})


def _spans_no_border(interval: Interval) -> pl.Expr:
    """Whether the reads before and after lie in one hour or day, or on its borders."""
    first, last = pl.col("ts").shift(), pl.col("ts").shift(-1) - 1
    return bucket_of(first, LENGTH[interval]) == bucket_of(last, LENGTH[interval])


def _eras(points: pl.DataFrame, meter_changes: pl.DataFrame, enterprises: pl.DataFrame) -> pl.DataFrame:
    """Per register point since when it is on duty and neither its row nor its meter has changed, and for that
    time the longest measured pair and the fastest plausible rise. Reads before `era_from` are never plain."""
    # Within this time no register goes round: what takes longer may have, and is looked at closely.
    turn = (wide("register_modulus") * 3600 - 1) // (wide("capacity") * 1000)
    longest = narrow(pl.min_horizontal(wide("cadence_s") * 3 // 2, turn))
    changed = meter_changes.group_by("point").agg(changed_after=pl.col("at").max() + 1)
    capacity = pl.col("capacity").fill_null(_LARGEST).clip(0, _LARGEST)  # null: no limit is known
    return (
        point_specs(points)
        .filter(pl.col("kind") == PointKind.REGISTER)
        .group_by("point", maintain_order=True)
        .last()
        .join(changed, on="point", how="left")
        .join(enterprises.select("enterprise", "active_from", "active_to"), on="enterprise", how="left")
        .select(
            "point",
            # What has ended is looked at closely, so that no read needs a comparison with an end.
            era_from=pl.when(pl.col("valid_to") >= FOREVER, pl.col("active_to").is_null())
            .then(pl.max_horizontal("valid_from", "changed_after", "active_from"))
            .otherwise(FOREVER),
            longest=longest,
            most_per_s=capacity * 1000 // 3600,
        )
    )
