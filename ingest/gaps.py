"""Gaps: instants at which a point should have been read and was not. Frames in, frames out.

A reading ahead of what is booked shows what is missing before it; nothing else does, so that a device that is
silent is a matter of silence, and a reading behind the watermark fills a gap rather than making one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from nengshao.domain.readings import Outcome, Reason, StatType
from nengshao.domain.time import DAY_S
from nengshao.domain.units import PointKind
from nengshao.ports import GAPS_SCHEMA
from nengshao.registry import Registry

_FOREVER: Final = 2**62


@dataclass(frozen=True, slots=True)
class GapLimits:
    """`now`, how long late messages are waited for beyond two cadences, and how far back devices keep."""

    now: int
    grace_s: int
    reach_s: int


class Expectations:
    """What a registry snapshot expects of points, prepared for finding gaps."""

    def __init__(self, registry: Registry) -> None:
        """Only series that a device sends by a declared cadence: a month's figure is a matter for people."""
        by_hand = registry.devices.filter(pl.col("cadence_s").is_null()).select("enterprise", "device")
        activity = registry.enterprises.select("enterprise", "active_from", "active_to")
        self._terms = (
            registry.points.filter(pl.col("kind") != PointKind.VIRTUAL, pl.col("device") != "")
            .join(by_hand, on=["enterprise", "device"], how="anti")
            .join(activity, on="enterprise")
            .select(
                "point",
                "enterprise",
                "device",
                cadence_of(pl.col("stat_type"), pl.col("cadence_s")),
                pl.max_horizontal("valid_from", "active_from").alias("since"),
                pl.min_horizontal(
                    pl.col("valid_to").fill_null(_FOREVER), pl.col("active_to").fill_null(_FOREVER)
                ).alias("until"),
            )
            .filter(pl.col("cadence_s") > 0)
        )

    def gaps(self, rows: pl.DataFrame, watermarks: pl.DataFrame, limits: GapLimits) -> pl.DataFrame:
        """GAPS_SCHEMA: what is missing before readings ahead of their points' watermarks.

        `rows`: judged readings, with the `cadence_s` of their series if they were screened; `watermarks`:
        those of their points before this batch. A point's first reading ever makes no gap.
        """
        if "cadence_s" not in rows.columns:
            cadences = self._terms.group_by("point").agg(pl.col("cadence_s").min())
            rows = rows.join(cadences, on="point", how="left")
        suspects = _suspects(rows, watermarks)
        if suspects.is_empty():
            return pl.DataFrame(schema=dict(GAPS_SCHEMA))
        return self._in_force(_missing(rows, suspects), limits)

    def _in_force(self, missing: pl.DataFrame, limits: GapLimits) -> pl.DataFrame:
        """Stretches as the registry expected them then, of the device that served the point then.

        They begin where the next reading was due; half a cadence sooner if reads do not keep to a grid.
        """
        terms = self._terms.join(missing, on="point", how="semi")
        cadence = pl.col("cadence_s")
        is_on_grid = (pl.col("end") - pl.col("before")) % cadence == 0
        due = pl.col("before") + cadence - pl.when(is_on_grid).then(0).otherwise(cadence // 2)
        start = pl.max_horizontal(due, "since", pl.lit(limits.now - limits.reach_s))
        due_at = limits.now + 2 * cadence + limits.grace_s
        return (
            missing.join(terms, on="point")
            .with_columns(start.alias("start"), pl.min_horizontal("end", "until").alias("end"))
            .filter(pl.col("end") - pl.col("start") >= cadence)
            .with_columns(due_at.alias("due_at"))
            .select(pl.col(name).cast(dtype) for name, dtype in GAPS_SCHEMA.items())
            .sort(list(GAPS_SCHEMA))
        )


REFUSED_SCHEMA: Final = {"point": pl.Int64, "ts": pl.Int64, "cadence_s": pl.Int64}
"""Readings of registered points that came at their time and were refused for what they say."""

_FOR_WHAT_THEY_SAY: Final = [
    reason.value for reason in (Reason.BAD_VERSION, Reason.BAD_VALUE, Reason.NEGATIVE, Reason.ABOVE_CAPACITY)
]


def refused(rows: pl.DataFrame) -> pl.DataFrame:
    """REFUSED_SCHEMA of screened rows."""
    named = rows.lazy().filter(pl.col("reason").is_in(_FOR_WHAT_THEY_SAY))
    cadence = cadence_of(pl.col("stat_type"), pl.col("cadence_s"))
    return named.select("point", "ts", cadence).cast(pl.Schema(REFUSED_SCHEMA)).collect()


class Refusals:
    """What came and was refused: it is not missing, and asking for it would bring the same bytes again.

    Remembered is the last of each point, by the holder alone: who takes over asks for it once more.
    """

    def __init__(self) -> None:
        self._latest = pl.DataFrame(schema={"point": pl.Int64, "refused_at": pl.Int64})

    def note(self, now: pl.DataFrame) -> None:
        """Remember REFUSED_SCHEMA rows."""
        if not now.is_empty():
            both = pl.concat([self._latest, now.select("point", refused_at="ts")])
            self._latest = both.group_by("point").agg(pl.col("refused_at").max())

    def counted(
        self, rows: pl.DataFrame, watermarks: pl.DataFrame, now: pl.DataFrame | None
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Judged rows and watermarks as `Expectations.gaps` takes them, with what was refused (in this batch:
        `now`) counted among what came.
        """
        if now is not None and not now.is_empty():
            came = now.with_columns(outcome=pl.lit(Outcome.STORED.value))
            columns = ["point", "ts", "cadence_s", "outcome"]
            rows = pl.concat([rows.select(columns), came.select(columns)])
        if not self._latest.is_empty():
            later = pl.max_horizontal("watermark", "refused_at").alias("watermark")
            watermarks = watermarks.join(self._latest, on="point", how="left").with_columns(later)
        return rows, watermarks


def cadence_of(stat_type: pl.Expr, cadence_s: pl.Expr) -> pl.Expr:
    """How often a series' readings are due, seconds; null where the calendar or a person tells."""
    return (
        pl.when(stat_type == StatType.REAL_TIME)
        .then(cadence_s)
        .when(stat_type == StatType.DAY)
        .then(DAY_S)
        .alias("cadence_s")
    )


def _suspects(rows: pl.DataFrame, watermarks: pl.DataFrame) -> pl.DataFrame:
    """point, watermark of points whose new readings do not simply follow one another and the watermark.

    The only work on a batch in order: its new readings are counted, and must span what so many span. A gap
    can hide here only behind as many reads more often than declared.
    """
    count = pl.col("count").cast(pl.Int64)
    before = pl.col("watermark").fill_null(pl.col("first") - pl.col("cadence_s"))
    too_far = 2 * (pl.col("last") - before) >= (2 * count + 1) * pl.col("cadence_s")
    return (
        rows.lazy()
        .filter(pl.col("outcome") == Outcome.STORED.value)
        .group_by("point")
        .agg(
            pl.col("ts").min().alias("first"),
            pl.col("ts").max().alias("last"),
            pl.len().alias("count"),
            pl.col("cadence_s").min(),
        )
        .filter(pl.col("cadence_s") > 0)
        .join(watermarks.lazy().select("point", "watermark"), on="point", how="left")
        .filter(pl.col("last") > before, too_far | (pl.col("first") <= before))
        .select("point", "watermark")
        .collect()
    )


def _missing(rows: pl.DataFrame, suspects: pl.DataFrame) -> pl.DataFrame:
    """point, before, end: neighbouring readings that are at least one and a half cadences apart."""
    ahead = (
        rows.select("point", "ts", "cadence_s")
        .join(suspects, on="point")
        .filter(pl.col("watermark").is_null() | (pl.col("ts") > pl.col("watermark")))
        .sort("point", "ts")
    )
    before = pl.coalesce(pl.col("ts").shift().over("point"), "watermark")
    return (
        ahead.with_columns(before.alias("before"))
        .filter(2 * (pl.col("ts") - pl.col("before")) >= 3 * pl.col("cadence_s"))
        .select("point", "before", end="ts")
    )
