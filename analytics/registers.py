"""Registers: from the states of a counter to the energy between them.

Every read is looked at with the read before and the read after it. A single wrong read between two that
agree with each other (a spike or a dip) is left out and its neighbours are joined; so is a run of them, or
a stretch in which the register stuck (`repairs`). What remains implausible has no amount: missing, with an
event for a person to confirm. Nothing is guessed: a fall is a rollover only if the register's size and the
point's capacity say so, a replacement only if the registry has it.

`REACH` says how far a read's influence goes, so that whoever computes a part of a series knows how many
reads around it are needed for the same result as from the whole.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from analytics.integers import milli_from_micro, wide
from analytics.repairs import LONGEST_RUN, with_runs_bridged
from analytics.specs import point_specs
from nengshao.domain.units import PointKind
from nengshao.frames import SEGMENTS, Contract, conform

EVENTS: Final = Contract(
    "EVENTS",
    {
        "point": pl.Int64,
        "ts": pl.Int64,  # of the read that shows it, or of the replacement
        "event": pl.String,  # "rollover" | "replacement" | "spike" | "stuck" | "fall" | "implausible_rise"
    },
    key=("point", "ts", "event"),
)
"""What happened to registers. A "spike" (up or down) is left out, a "stuck" stretch bridged; a "fall" or
"implausible_rise" leaves the time before it without an amount."""

REACH: Final = 4 + 2 * LONGEST_RUN
"""A read can change segments from the (REACH - 1)th read before it to the REACHth after it: 3 and 4 for a
single spike; a bridged run spans LONGEST_RUN more, and whether it may depends on the bridge before it."""


def deltas_from_registers(
    readings: pl.LazyFrame, points: pl.DataFrame, meter_changes: pl.DataFrame
) -> pl.LazyFrame:
    """SEGMENTS between the reads of register points.

    `readings`: READINGS winners, sorted by (point, ts); invalid ones are passed over. An amount is the
    difference of the two reads in 10⁻³ units, so that amounts add up to last − first exactly, plus the
    register's size at a rollover. "measured" up to 1.5 cadences, "estimated" up to `max_estimate_s`, a
    "block" beyond; "missing" (amount null) where the two reads cannot both be right.
    """
    length = pl.col("ts") - pl.col("start")
    quality = (
        pl.when(~pl.col("is_plausible"))
        .then(pl.lit("missing"))
        .when(2 * length <= 3 * pl.col("cadence_s"))
        .then(pl.lit("measured"))
        .when(length <= pl.col("max_estimate_s"))
        .then(pl.lit("estimated"))
        .otherwise(pl.lit("block"))
    )
    rolled = pl.when(pl.col("value") < pl.col("before")).then(milli_from_micro(pl.col("register_modulus")))
    rise = milli_from_micro(pl.col("value")) - milli_from_micro(pl.col("before"))
    amount = pl.when("is_plausible").then(rise + rolled.otherwise(0))
    pairs = _kept_pairs(_checked_reads(readings, points, meter_changes))
    segments = pairs.select("point", "start", end="ts", amount=amount, quality=quality)
    return conform(segments, SEGMENTS)


def register_events(
    readings: pl.LazyFrame, points: pl.DataFrame, meter_changes: pl.DataFrame
) -> pl.LazyFrame:
    """EVENTS of the same reads, sorted by key."""
    checked = _checked_reads(readings, points, meter_changes)
    falls = pl.col("value") < pl.col("before")
    found = (
        pl.when(pl.col("bridged").is_not_null())
        .then("bridged")
        .when(pl.col("is_plausible"))
        .then(pl.when(falls).then(pl.lit("rollover")))
        .when(falls)
        .then(pl.lit("fall"))
        .otherwise(pl.lit("implausible_rise"))
    )
    parts = [
        _kept_pairs(checked).select("point", "ts", event=found).drop_nulls("event"),
        checked.filter("is_left_out").select("point", "ts", event=pl.lit("spike")),
        checked.filter("is_opening").select("point", "ts", event=pl.lit("replacement")),
    ]
    return conform(pl.concat(parts).sort("point", "ts", "event"), EVENTS)


def implausible_pairs(readings: pl.LazyFrame, points: pl.DataFrame) -> pl.LazyFrame:
    """(point, ts) of valid register reads that do not agree with the read before: where neighbours count."""
    reads = _register_reads(readings, points).with_columns(meter=pl.lit(0, pl.Int64))
    is_bad = _follows_on() & ~_agrees(_before("value"), _before("ts"), pl.col("value"), pl.col("ts"))
    return reads.filter(is_bad).select("point", "ts")


def _register_reads(readings: pl.LazyFrame, points: pl.DataFrame) -> pl.LazyFrame:
    """Valid reads with the specification in force, in the order given."""
    specs = (
        point_specs(points)
        .filter(pl.col("kind") == PointKind.REGISTER)
        .select(
            "point", "spell", "valid_from", "reads_to",
            "cadence_s", "max_estimate_s", "capacity", "register_modulus",
        )
    )  # fmt: skip
    return (
        readings.filter("valid")
        .select("point", "ts", "value")
        .join(specs.lazy(), on="point", maintain_order="left")
        .filter(pl.col("ts") >= pl.col("valid_from"), pl.col("ts") < pl.col("reads_to"))
        .drop("valid_from", "reads_to")
    )


def _checked_reads(readings: pl.LazyFrame, points: pl.DataFrame, meter_changes: pl.DataFrame) -> pl.LazyFrame:
    """Reads with `meter` (Int64: which meter of the spell), `is_opening`, and `is_left_out`."""
    agrees_before = _agrees(_before("value"), _before("ts"), pl.col("value"), pl.col("ts"))
    agrees_past = _agrees(pl.col("value").shift(2), pl.col("ts").shift(2), pl.col("value"), pl.col("ts"))
    is_candidate = (
        pl.col("is_read")
        & pl.col("follows_on")
        & _after("follows_on").fill_null(value=False)
        & _after("agrees_past")
        & ~(pl.col("agrees_before") & _after("agrees_before"))
    )
    # Of two neighbouring candidates only the earlier is left out: which of them is wrong cannot be known,
    # and the chain of dependencies stays short.
    return (
        _on_their_meters(_register_reads(readings, points), points, meter_changes)
        .with_columns(follows_on=_follows_on(), agrees_before=agrees_before, agrees_past=agrees_past)
        .with_columns(is_candidate=is_candidate)
        .with_columns(is_left_out=pl.col("is_candidate") & ~_before("is_candidate").fill_null(value=False))
    )


def _on_their_meters(reads: pl.LazyFrame, points: pl.DataFrame, meter_changes: pl.DataFrame) -> pl.LazyFrame:
    """Reads with the closing and opening reads of replacements among them, each meter under its number.

    Only points that had a replacement are sorted anew; the others keep the order they came in.
    """
    plain = {"meter": pl.lit(0, pl.Int64), "is_read": pl.lit(value=True), "is_opening": pl.lit(value=False)}
    if meter_changes.is_empty():
        return reads.with_columns(**plain)
    changed = pl.col("point").is_in(meter_changes["point"].unique().implode())
    # A read at the very instant of a replacement gives way to the registry's two.
    border = meter_changes.lazy().select("point", ts="at")
    own = reads.filter(changed).join(border, on=["point", "ts"], how="anti")
    registered = _registered_reads(points, meter_changes)
    in_order = (
        pl.concat([own.with_columns(**plain), registered], how="diagonal")
        .sort("point", "ts", "is_opening", "is_read")
        .with_columns(meter=pl.col("is_opening").cast(pl.Int64).cum_sum())
    )
    return pl.concat([reads.filter(~changed).with_columns(**plain), in_order.select(_columns_of(plain))])


def _columns_of(plain: dict[str, pl.Expr]) -> list[str]:
    return [
        "point", "ts", "value", "spell", "cadence_s", "max_estimate_s", "capacity", "register_modulus", *plain
    ]  # fmt: skip


def _registered_reads(points: pl.DataFrame, meter_changes: pl.DataFrame) -> pl.LazyFrame:
    """Two reads at the instant of each replacement: the old meter's last, then the new meter's first."""
    changes = meter_changes.select("point", ts="at", closing="closing", opening="opening").with_columns(
        valid=pl.lit(value=True)
    )
    parts = [
        _register_reads(changes.with_columns(value=pl.col(side)).lazy(), points).with_columns(
            meter=pl.lit(0, pl.Int64),
            is_read=pl.lit(value=False),
            is_opening=pl.lit(value=side == "opening"),
        )
        for side in ("closing", "opening")
    ]
    return pl.concat(parts)


def _kept_pairs(checked: pl.LazyFrame) -> pl.LazyFrame:
    """Each kept read with the kept read before it on the same meter: `start`, `before`, `is_plausible`,
    `bridged`.

    A read that is left out stands alone, between two kept ones that agree: past it, look two rows back.
    """
    skips = _before("is_left_out")
    start = pl.when(skips).then(pl.col("ts").shift(2)).otherwise(_before("ts"))
    before = pl.when(skips).then(pl.col("value").shift(2)).otherwise(_before("value"))
    pairs = checked.with_columns(
        start=start, before=before, is_plausible=pl.col("agrees_before") | skips
    ).filter(pl.col("follows_on"), ~pl.col("is_left_out"))
    return with_runs_bridged(pairs, _agrees(pl.col("before"), pl.col("start"), pl.col("value"), pl.col("ts")))


def _follows_on() -> pl.Expr:
    """Whether the row before is a read of the same meter in the same spell."""
    same = (pl.col("spell") == _before("spell")) & (pl.col("meter") == _before("meter"))
    return same.fill_null(value=False)


def _agrees(before: pl.Expr, since: pl.Expr, value: pl.Expr, ts: pl.Expr) -> pl.Expr:
    """Whether two reads can both be right: a rise within capacity × time, or a rollover within it."""
    rise = value - before
    counted = pl.when(rise < 0).then(rise + pl.col("register_modulus")).otherwise(rise)
    most = wide("capacity") * 1000 * (ts - since)  # 10⁻⁶ units × seconds/hour
    is_unlimited = pl.col("capacity").is_null() & (rise >= 0)
    agrees = (counted >= 0) & (is_unlimited | (wide(counted) * 3600 <= most))
    return agrees.fill_null(value=False)


def _before(column: str) -> pl.Expr:
    return pl.col(column).shift(1)


def _after(column: str) -> pl.Expr:
    return pl.col(column).shift(-1)
