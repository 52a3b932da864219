"""Registers: from the states of a counter to the energy between them.

Every read that is not plain (`sifting`) is looked at with the read before and the read after it. A single
wrong read between two that agree with each other (a spike or a dip) is left out and its neighbours are
joined; so is a run of them, or a stretch in which the register stuck (`repairs`). What remains implausible
has no amount: missing, with an event for a person to confirm. Nothing is guessed: a fall is a rollover only
if the register's size and the point's capacity say so, a rise is exact only if the register cannot have gone
round besides, a replacement or another ratio only if the registry
has the two reads of that instant.

`REACH` says how far a read's influence goes, so that whoever computes a part of a series knows how many
reads around it are needed for the same result as from the whole.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from analytics.findings import FINDINGS
from analytics.integers import milli_from_micro, wide
from analytics.repairs import LONGEST_RUN, with_runs_bridged
from analytics.sifting import reads_in_doubt
from analytics.specs import point_specs
from nengshao.domain.units import PointKind
from nengshao.frames import conform

REACH: Final = 4 + 2 * LONGEST_RUN
"""A read can change segments from the (REACH - 1)th read before it to the REACHth after it: 3 and 4 for a
single spike; a bridged run spans LONGEST_RUN more, and whether it may depends on the bridge before it."""


def register_findings(checked: pl.LazyFrame) -> pl.LazyFrame:
    """FINDINGS of `checked_reads`, in no order.

    An amount is the difference of the two reads in 10⁻³ units, so that amounts add up to last − first
    exactly, plus the register's size at a rollover. "measured" up to 1.5 cadences, "estimated" up to
    `max_estimate_s`, a "block" beyond; "missing" (amount null) where the two reads cannot both be right.
    """
    rolled = pl.when(pl.col("value") < pl.col("before")).then(milli_from_micro(pl.col("register_modulus")))
    rise = milli_from_micro(pl.col("value")) - milli_from_micro(pl.col("before"))
    amount = pl.when("is_plausible").then(rise + rolled.otherwise(0))
    found = {"amount": amount, "quality": _quality(), "event": _event_of_pair(), "end": pl.col("ts")}
    parts = [
        _kept_pairs(checked).with_columns(**found),
        checked.with_columns(event=_event_of_read()).drop_nulls("event"),
    ]
    return conform(pl.concat(parts, how="diagonal"), FINDINGS)


def _quality() -> pl.Expr:
    length = pl.col("ts") - pl.col("start")
    return (
        pl.when(~pl.col("is_plausible"))
        .then(pl.lit("missing"))
        .when(2 * length <= 3 * pl.col("cadence_s"))
        .then(pl.lit("measured"))
        .when(length <= pl.col("max_estimate_s"))
        .then(pl.lit("estimated"))
        .otherwise(pl.lit("block"))
    )


def _event_of_pair() -> pl.Expr:
    rise = wide("value") - wide("before")
    falls, fits = rise < 0, rise * 3600 <= wide("capacity") * 1000 * (pl.col("ts") - pl.col("start"))
    return (
        pl.when(pl.col("bridged").is_not_null())
        .then("bridged")
        .when(pl.col("is_plausible"))
        .then(pl.when(falls).then(pl.lit("rollover")))
        .when(falls)
        .then(pl.lit("fall"))
        .when(fits)
        .then(pl.lit("uncertain_rise"))
        .otherwise(pl.lit("implausible_rise"))
    )


def _event_of_read() -> pl.Expr:
    """What a read shows by itself: it is left out, a new meter's first, or the first in another ratio."""
    is_other_spell = (pl.col("point") == _before("point")) & (pl.col("spell") != _before("spell"))
    return (
        pl.when("is_left_out")
        .then(pl.lit("spike"))
        .when("is_opening")
        .then(pl.lit("replacement"))
        .when(pl.col("is_rescaled") & is_other_spell)
        .then(pl.lit("ratio_change"))
    )


def implausible_pairs(reads: pl.LazyFrame, points: pl.DataFrame) -> pl.LazyFrame:
    """(point, ts) of reads that do not agree with the read before: where neighbours count. `reads`: READS."""
    own = _register_reads(reads_in_doubt(reads), points).with_columns(meter=pl.lit(0, pl.Int64))
    is_bad = _follows_on() & ~_agrees(_before("value"), _before("ts"), pl.col("value"), pl.col("ts"))
    return own.filter(is_bad).select("point", "ts")


def _register_reads(reads: pl.LazyFrame, points: pl.DataFrame) -> pl.LazyFrame:
    """Reads with the specification in force, in the order given. `reads`: point, ts, value, is_context."""
    specs = (
        point_specs(points)
        .filter(pl.col("kind") == PointKind.REGISTER)
        .select("point", "valid_from", "reads_to", *_SPEC)
    )
    return (
        reads.join(specs.lazy(), on="point", maintain_order="left")
        .filter(pl.col("ts") >= pl.col("valid_from"), pl.col("ts") < pl.col("reads_to"))
        .drop("valid_from", "reads_to")
    )


_SPEC: Final = ["spell", "is_rescaled", "cadence_s", "max_estimate_s", "capacity", "register_modulus"]


def checked_reads(reads: pl.LazyFrame, points: pl.DataFrame, meter_changes: pl.DataFrame) -> pl.LazyFrame:
    """The reads that are not plain, with what the registry says of them and what their neighbours say.

    `reads`: `sifting.READS`. Columns among others: `nth` (number of the read: near a jump none is left out
    of the count), `meter` (Int64: which meter of the spell), `is_opening`, `follows_on`, `is_left_out`.
    """
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
        _on_their_meters(_register_reads(reads_in_doubt(reads), points), points, meter_changes)
        .with_row_index("nth")
        .with_columns(
            pl.col("nth").cast(pl.Int64),
            follows_on=_follows_on(),
            agrees_before=agrees_before,
            agrees_past=agrees_past,
        )
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
    in_order = (
        pl.concat([own.with_columns(**plain), _registered_reads(points, meter_changes)], how="diagonal")
        .sort("point", "ts", "is_opening", "is_read")
        .with_columns(meter=pl.col("is_opening").cast(pl.Int64).cum_sum())
    )
    columns = ["point", "ts", "value", "is_context", *_SPEC, *plain]
    return pl.concat([reads.filter(~changed).with_columns(**plain).select(columns), in_order.select(columns)])


def _registered_reads(points: pl.DataFrame, meter_changes: pl.DataFrame) -> pl.LazyFrame:
    """Two reads at the instant of each replacement: the old meter's last, under the row that was in force
    until then, and the new meter's first, under the row that is from then on."""
    parts = []
    for side in ("closing", "opening"):
        in_force = pl.col("at") - 1 if side == "closing" else pl.col("at")
        changes = meter_changes.select(
            "point",
            "at",
            ts=in_force,
            value=side,
            is_context=pl.lit(value=False),
            is_read=pl.lit(value=False),
        ).with_columns(is_opening=pl.lit(side == "opening"))
        parts.append(_register_reads(changes.lazy(), points).with_columns(ts="at").drop("at"))
    return pl.concat(parts)


def _kept_pairs(checked: pl.LazyFrame) -> pl.LazyFrame:
    """Each kept read with the kept read before it on the same meter: `start`, `before`, `start_nth`,
    `is_plausible`, `bridged`.

    A read that is left out stands alone, between two kept ones that agree: past it, look two rows back.
    """
    skips = _before("is_left_out")
    last = {"start": "ts", "before": "value", "start_nth": "nth"}
    kept = {
        name: pl.when(skips).then(pl.col(of).shift(2)).otherwise(_before(of)) for name, of in last.items()
    }
    pairs = (
        checked.with_columns(is_plausible=pl.col("agrees_before") | skips, **kept)
        .filter(pl.col("follows_on"), ~pl.col("is_left_out"))
        .select("point", "ts", "value", "nth", "meter", "is_plausible", *kept, *_SPEC)
    )
    return with_runs_bridged(pairs, _agrees(pl.col("before"), pl.col("start"), pl.col("value"), pl.col("ts")))


def _follows_on() -> pl.Expr:
    """Whether the row before is a read of the same meter in the same spell."""
    same = (pl.col("spell") == _before("spell")) & (pl.col("meter") == _before("meter"))
    return (same & ~pl.col("is_context")).fill_null(value=False)


def _agrees(before: pl.Expr, since: pl.Expr, value: pl.Expr, ts: pl.Expr) -> pl.Expr:
    """Whether two reads can both be right, and say how much: a rise within capacity × time, or a rollover
    within it, in a time too short for another turn of the register.

    Where a fall had the time for a whole turn it says nothing: it may as well be a reset. Where a rise had
    the time for itself and a turn, how often it went round nobody knows.
    """
    rise, turn = wide(value) - wide(before), wide("register_modulus")
    counted = pl.when(rise < 0).then(rise + turn).otherwise(rise)
    most = wide("capacity") * 1000 * (ts - since)  # 10⁻⁶ units × seconds/hour
    is_unlimited = pl.col("capacity").is_null() & (rise >= 0)
    again = pl.when(rise < 0).then(turn).otherwise(rise + turn)
    is_certain = (most < again * 3600).fill_null(value=True)
    agrees = (counted >= 0) & (is_unlimited | ((counted * 3600 <= most) & is_certain))
    return agrees.fill_null(value=False)


def _before(column: str) -> pl.Expr:
    return pl.col(column).shift(1)


def _after(column: str) -> pl.Expr:
    return pl.col(column).shift(-1)
