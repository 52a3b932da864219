"""What becomes of accepted readings: outcomes for the ledger, rows for the store, days to compute anew.

Pure. Which of two values of a reading wins is decided by the data (frames.WINNER_ORDER), never by arrival;
here it is only decided what the books call it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from nengshao.domain.readings import Outcome
from nengshao.domain.time import accounting_day
from nengshao.domain.units import PointKind
from nengshao.frames import READINGS, WINNER_ORDER
from nengshao.ports import CORRECTIONS_SCHEMA, DIRTY_SCHEMA, WATERMARK_SCHEMA

_KEY: Final = ["point", "ts"]
_ROW: Final = [*_KEY, *WINNER_ORDER]
_ODD: Final = 0x9E3779B97F4A7C1  # spreads points far apart; any odd number would do
_BOOKED: Final = [f"booked_{column}" for column in WINNER_ORDER]


TAIL_SCHEMA: Final = {**WATERMARK_SCHEMA, "tail_valid": pl.Boolean}
"""Watermarks, with whether the reading there is valid; null: not known (the books do not say)."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """`rows`: what was accepted + `outcome`. `to_write`: READINGS the store must take. `corrections`:
    CORRECTIONS_SCHEMA. `dirty`: DIRTY_SCHEMA. `watermarks`: TAIL_SCHEMA, as they stood before; `tails`: as
    these rows leave them."""

    rows: pl.DataFrame
    to_write: pl.DataFrame
    corrections: pl.DataFrame
    dirty: pl.DataFrame
    watermarks: pl.DataFrame
    tails: pl.DataFrame


def outcomes_of(accepted: pl.DataFrame, booked: pl.DataFrame, watermarks: pl.DataFrame) -> Outcomes:
    """The outcome of every accepted reading, against what the books already hold.

    `accepted`: READINGS + enterprise, kind (and whatever travels along). `booked`: READINGS, every booked
    version of the looked-up keys. `watermarks`: TAIL_SCHEMA of the points that have one.
    """
    in_order = _in_order(accepted, watermarks) if booked.is_empty() else None
    if in_order is not None:
        return in_order
    judged = _judged(accepted.with_row_index("row"), booked)
    new = judged.filter(pl.col("outcome") != Outcome.DUPLICATE.value)
    to_write, corrections = _conflicts_settled(new, booked)
    latest = _latest_each(judged)
    dirty = _dirty_days(_changed(new), latest, watermarks)
    rows = judged.sort("row").drop("row")
    return Outcomes(rows, to_write, corrections, dirty, watermarks, _tails(latest))


def _in_order(accepted: pl.DataFrame, watermarks: pl.DataFrame) -> Outcomes | None:
    """Outcomes of a batch in which nothing has to be compared, as nearly all have nothing: every reading is
    valid, ahead of its point's watermark and there once. None if it is not such a batch.

    It says what `outcomes_of` would say without it, from one look at each point instead of each reading.
    """
    if not accepted["valid"].all() or _may_repeat(accepted):
        return None
    first, last = pl.col("ts").min().alias("since"), pl.col("ts").max().alias("until")
    is_register = pl.col("kind") == PointKind.REGISTER
    follows_valid = ~is_register | pl.col("tail_valid").fill_null(value=False)
    is_ahead = pl.col("watermark").is_null() | ((pl.col("since") > pl.col("watermark")) & follows_valid)
    spans = (
        accepted.lazy()
        .group_by("point")
        .agg(pl.col("enterprise", "kind").first(), first, last)
        .join(watermarks.lazy(), on="point", how="left")
        .with_columns(is_ahead.alias("is_ahead"), pl.lit(value=True).alias("tail_valid"))
        .collect()
    )
    if not spans["is_ahead"].all():
        return None
    since = pl.coalesce("watermark", "since").alias("since")
    of_registers = _days_of(spans.lazy().filter(is_register).with_columns(since))
    of_others = accepted.lazy().filter(~is_register).select("enterprise", _day_of("ts").alias("day"))
    dirty = pl.concat([of_registers, of_others]).unique().sort("enterprise", "day")
    stored = pl.repeat(Outcome.STORED.value, accepted.height, dtype=pl.String, eager=True)
    return Outcomes(
        accepted.hstack([stored.alias("outcome")]),
        accepted[list(READINGS.schema)],
        pl.DataFrame(schema=dict(CORRECTIONS_SCHEMA)),
        dirty.with_columns(pl.lit(value=False).alias("late")).collect(),
        watermarks,
        spans[["point", "until", "tail_valid"]].rename({"until": "watermark"}),
    )


def _may_repeat(accepted: pl.DataFrame) -> bool:
    """Whether two rows may be of one (point, ts); that two others look alike is next to impossible."""
    blended = accepted.select(pl.col("point") * _ODD + pl.col("ts")).to_series()  # wraps around, as it may
    return blended.n_unique() < accepted.height


def _day_of(column: str) -> pl.Expr:
    return accounting_day(pl.col(column)).cast(pl.Int32)


def _days_of(spans: pl.LazyFrame) -> pl.LazyFrame:
    """enterprise, day of every accounting day from `since` to `until`."""
    days = pl.int_ranges(_day_of("since"), _day_of("until") + 1, dtype=pl.Int32)
    return spans.select("enterprise", days.alias("day")).explode("day", empty_as_null=False)


def _judged(rows: pl.DataFrame, booked: pl.DataFrame) -> pl.DataFrame:
    """Outcomes against the booked winner, and against the batch's own other rows in ascending order."""
    winners = _winners(booked).rename(dict(zip(WINNER_ORDER, _BOOKED, strict=True)))
    known = booked.select(_ROW).unique().with_columns(pl.lit(value=True).alias("known"))
    joined = rows.join(winners, on=_KEY, how="left").join(known, on=_ROW, how="left")
    joined = joined.sort(*_ROW, "row").with_columns(
        (pl.col("known").fill_null(value=False) | (pl.int_range(pl.len()).over(_ROW) > 0)).alias("again")
    )
    nth = pl.col("again").not_().cum_sum().over(_KEY)  # 1 for the first new row of a reading
    return joined.with_columns(
        pl.when("again")
        .then(pl.lit(Outcome.DUPLICATE.value))
        .when(pl.col("booked_version").is_null() & (nth == 1))
        .then(pl.lit(Outcome.STORED.value))
        .when(_beats_booked())
        .then(pl.lit(Outcome.CORRECTED.value))
        .otherwise(pl.lit(Outcome.SUPERSEDED.value))
        .alias("outcome")
    ).drop("known", "again")


def _winners(readings: pl.DataFrame) -> pl.DataFrame:
    return readings.select(_ROW).sort(_ROW).unique(_KEY, keep="last")


def _beats_booked() -> pl.Expr:
    """Whether a row is greater than the booked winner in WINNER_ORDER (or none is booked)."""
    beats = pl.lit(value=False)
    for column, booked in reversed(list(zip(WINNER_ORDER, _BOOKED, strict=True))):
        ours, theirs = pl.col(column), pl.col(booked)
        beats = (ours > theirs) | ((ours == theirs) & beats)
    return pl.col("booked_version").is_null() | beats


def _conflicts_settled(new: pl.DataFrame, booked: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Of several values of one version the greater stands: rows to write, and the lesser ones kept aside."""
    version = [*_KEY, "version"]
    incoming = new.select(list(READINGS.schema)).with_columns(pl.lit(value=True).alias("incoming"))
    stored = booked.join(incoming, on=version, how="semi").with_columns(pl.lit(value=False).alias("incoming"))
    stored = stored.select(incoming.columns)
    if stored.is_empty() and not incoming.select(version).is_duplicated().any():
        return incoming.drop("incoming"), pl.DataFrame(schema=dict(CORRECTIONS_SCHEMA))
    every = pl.concat([stored, incoming]).sort([*_ROW, "incoming"], descending=False)
    greatest = every.unique(version, keep="last")
    lesser = every.join(greatest.select(*version, pl.col("value").alias("kept")), on=version).filter(
        pl.col("value") != pl.col("kept")
    )
    corrections = lesser.select(*version, "kept", pl.col("value").alias("lost")).unique().sort(pl.all())
    return greatest.filter("incoming").drop("incoming").sort(_KEY), corrections


def _changed(new: pl.DataFrame) -> pl.DataFrame:
    """The readings whose winning value is another than before: their intervals must be computed anew."""
    latest = new.filter(pl.col("outcome") != Outcome.SUPERSEDED.value).sort(_ROW).unique(_KEY, keep="last")
    first = pl.col("booked_version").is_null() & pl.col("valid")
    other = (pl.col("value") != pl.col("booked_value")) & (pl.col("valid") | pl.col("booked_valid"))
    flipped = pl.col("valid") != pl.col("booked_valid")
    return latest.filter(first | (other | flipped).fill_null(value=False))


def _latest_each(judged: pl.DataFrame) -> pl.DataFrame:
    """point, ts, `stands_valid`: whether what stands at each of the batch's instants is valid."""
    ours = judged.sort(_ROW).group_by("point", "ts", maintain_order=True).last()
    loses = pl.col("outcome").is_in([Outcome.SUPERSEDED.value, Outcome.DUPLICATE.value])
    stands = pl.when(loses & pl.col("booked_version").is_not_null()).then("booked_valid").otherwise("valid")
    return ours.select("point", "ts", stands.alias("stands_valid"))


def _dirty_days(changed: pl.DataFrame, latest: pl.DataFrame, watermarks: pl.DataFrame) -> pl.DataFrame:
    """The accounting days that a changed reading touches.

    An amount or power: the day its period starts in (the cycle widens it to the period). A register read that
    follows a valid one: every day since that. Any other register read (at or behind the watermark, or behind
    one that is not valid or not known to be): its day, marked late, so that the cycle looks for the valid
    reads on both sides of it.
    """
    if changed.is_empty():
        return pl.DataFrame(schema=dict(DIRTY_SCHEMA))
    before = latest.sort("point", "ts").select(
        "point",
        "ts",
        pl.col("ts").shift().over("point").alias("ts_before"),
        pl.col("stands_valid").shift().over("point").alias("valid_before"),
    )
    rows = changed.join(before, on=["point", "ts"], how="left").join(watermarks, on="point", how="left")
    is_ahead = pl.col("watermark").is_null() | (pl.col("ts") > pl.col("watermark"))
    in_batch = pl.col("ts_before").is_not_null() & (
        pl.col("watermark").is_null() | (pl.col("ts_before") > pl.col("watermark"))
    )
    since = pl.when(in_batch).then("ts_before").otherwise("watermark")
    follows_valid = (
        pl.when(in_batch)
        .then("valid_before")
        .otherwise(pl.when(pl.col("watermark").is_null()).then(pl.lit(value=True)).otherwise("tail_valid"))
    )
    is_register = pl.col("kind") == PointKind.REGISTER
    late = is_register & ~(is_ahead & follows_valid.fill_null(value=False))
    first = pl.when(is_register & ~late).then(since).fill_null(pl.col("ts"))
    days = pl.int_ranges(accounting_day(first), accounting_day(pl.col("ts")) + 1, dtype=pl.Int32)
    return (
        rows.select("enterprise", days.alias("day"), late.alias("late"))
        .explode("day", empty_as_null=False)
        .group_by("enterprise", "day")
        .agg(pl.col("late").any())
        .sort("enterprise", "day")
    )


def _tails(latest: pl.DataFrame) -> pl.DataFrame:
    """The latest instant per point, as TAIL_SCHEMA."""
    return (
        latest.sort("point", "ts")
        .group_by("point", maintain_order=True)
        .last()
        .rename({"ts": "watermark", "stands_valid": "tail_valid"})
    )


def merged_watermarks(known: pl.DataFrame, news: pl.DataFrame) -> pl.DataFrame:
    """The later watermark of each point; where they are equal, the newer word on whether it is valid."""
    before = news.lazy().join(known.lazy(), on="point", how="left", suffix="_known")
    is_older = pl.col("watermark") < pl.col("watermark_known")  # null, and so not older, if none was known
    newest = before.select(
        "point",
        *(
            pl.when(is_older).then(f"{name}_known").otherwise(name).alias(name)
            for name in ("watermark", "tail_valid")
        ),
    )
    return pl.concat([known.lazy().join(news.lazy(), on="point", how="anti"), newest]).collect()
