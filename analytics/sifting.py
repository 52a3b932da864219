"""Sifting: most reads of a register say nothing that their neighbours don't say.

Where a register simply counts on, read after read, the energy of an hour is its last read less its first one. So
one pass over all reads, a few comparisons each, finds the *plain* ones; of those only the first and last in
an hour or day are kept, and only what is left over, a few reads in a hundred, is looked at closely
(`registers`, `repairs`). A read is called plain only if every closer look would leave it as it is.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from analytics.integers import milli_from_micro
from analytics.intervals import LENGTH, Interval, bucket_of
from analytics.repairs import LONGEST_RUN
from analytics.specs import point_specs
from nengshao.domain.units import PointKind
from nengshao.frames import SEGMENTS, Contract, conform

READS: Final = Contract(
    "READS",
    {
        "point": pl.Int64,
        "ts": pl.Int64,
        "value": pl.Int64,  # 10⁻⁶ canonical unit
        "nth": pl.Int64,  # number among the valid register reads given, those that were sifted out counted
        "is_plain": pl.Boolean,  # the time since the read before is measured, its energy the difference
    },
    key=("point", "ts"),
)

_LARGEST: Final = 2**36
"""10⁻³ units an hour: a larger capacity is taken as this, so that no product overflows; what is then no longer
plain is looked at closely, with the capacity that it has."""

_DOUBT: Final = LONGEST_RUN + 2
"""How many reads before a jump may be part of what it ends: a run, the read before it and the one before that."""


def sifted_reads(readings: pl.LazyFrame, points: pl.DataFrame, meter_changes: pl.DataFrame) -> pl.LazyFrame:
    """READS: the valid reads of register points without those between two plain ones of the same hour.

    `readings`: READINGS winners, sorted by (point, ts).
    """
    since, before = pl.col("ts").shift(), pl.col("value").shift()
    length, rise = pl.col("ts") - pl.col("since"), pl.col("value") - pl.col("before")
    # A difference that wraps around is no rise; the second comparison sees it.
    counts_on = (pl.col("value") >= pl.col("before")) & rise.is_between(0, length * pl.col("most_per_s"))
    is_in_era = (pl.col("since") >= pl.col("era_from")) & (pl.col("ts") < pl.col("era_to"))
    is_near_jump = pl.col("jumps").shift(-_DOUBT) > pl.col("jumps").shift(2, fill_value=0)
    return (
        readings.filter("valid")
        .select("point", "ts", "value")
        .join(_eras(points, meter_changes).lazy(), on="point", maintain_order="left")
        .with_columns(since=since, before=before, is_next=pl.col("point") == pl.col("point").shift())
        .with_columns(is_plain=pl.col("is_next") & counts_on & is_in_era)
        .with_columns(
            jumps=(pl.col("is_next") & ~pl.col("is_plain")).cum_sum(),
            is_plain=pl.col("is_plain") & (length <= pl.col("longest")),
        )
        .with_row_index("nth")
        .with_columns(
            pl.col("nth").cast(pl.Int64),
            is_plain=(pl.col("is_plain") & ~is_near_jump).fill_null(value=False),
        )
        .select(list(READS.schema))
        .pipe(_without_midst, "hour")
    )


def plain_segments(reads: pl.LazyFrame, interval: Interval) -> pl.LazyFrame:
    """SEGMENTS of the plain reads, those in the same hour or day of a point joined into one."""
    level = milli_from_micro(pl.col("value"))
    pairs = _without_midst(reads, interval).with_columns(
        start=pl.col("ts").shift(), amount=level - level.shift()
    )
    segments = pairs.filter("is_plain").select(
        "point", "start", end="ts", amount="amount", quality=pl.lit("measured")
    )
    return conform(segments, SEGMENTS)


def reads_in_doubt(reads: pl.LazyFrame) -> pl.LazyFrame:
    """READS that are not plain, and the read before each stretch of them, with `is_context` for these."""
    followed = pl.col("is_plain").shift(-1, fill_value=True)
    return reads.filter(~pl.col("is_plain") | ~followed).rename({"is_plain": "is_context"})


def _without_midst(reads: pl.LazyFrame, interval: Interval) -> pl.LazyFrame:
    """READS without those between two plain pairs of the same interval: the pair across them says the same."""
    length = LENGTH[interval]
    bucket = bucket_of(pl.col("ts") - 1, length)
    is_within = pl.col("is_plain") & (pl.col("ts").shift() >= pl.col("bucket"))
    is_midst = (
        pl.col("is_within") & pl.col("is_within").shift(-1) & (pl.col("bucket") == pl.col("bucket").shift(-1))
    )
    return (
        reads.with_columns(bucket=bucket)
        .with_columns(is_within=is_within)
        .filter(~is_midst.fill_null(value=False))
        .select(list(READS.schema))
    )


def _eras(points: pl.DataFrame, meter_changes: pl.DataFrame) -> pl.DataFrame:
    """Per register point the last time [era_from, era_to) in which neither its row nor its meter changed, the
    longest measured pair and the fastest plausible rise there. Reads of earlier eras are never plain."""
    changed = meter_changes.group_by("point").agg(changed_after=pl.col("at").max() + 1)
    per_s = pl.col("capacity").fill_null(_LARGEST).clip(0, _LARGEST) * 1000 // 3600  # null: no limit is known
    return (
        point_specs(points)
        .filter(pl.col("kind") == PointKind.REGISTER)
        .group_by("point", maintain_order=True)
        .last()
        .join(changed, on="point", how="left")
        .select(
            "point",
            era_from=pl.max_horizontal("valid_from", "changed_after"),
            era_to="reads_to",
            longest=3 * pl.col("cadence_s") // 2,
            most_per_s=per_s,
        )
    )
