"""Runs of wrong reads: a register that stuck and caught up, or spoke another unit for a while.

The reads on both sides of such a run give its energy exactly, though not where within it the energy flowed:
one segment from the last good read before the run to the first good one after it takes its place.
Bounded: a run has at most `LONGEST_RUN` reads, so that what a read can change stays near it.
"""

from __future__ import annotations

from typing import Final

import polars as pl

LONGEST_RUN: Final = 48
"""Most reads that are left out at once: half a day of quarter hours."""

_BREAKS_AT_ONCE: Final = 8
"""How many earlier breaks are tried as the beginning of a run: within it every read may disagree anew."""


def with_runs_bridged(pairs: pl.LazyFrame, agrees: pl.Expr) -> pl.LazyFrame:
    """Pairs of reads, those of a wrong run replaced by one that bridges it; column `bridged` added.

    `pairs`: point, spell, meter, start, before, ts, value, is_plausible + what `agrees` needs, sorted within
    each point. `agrees`: whether `before` at `start` and `value` at `ts` can both be right. `bridged`
    (String): "stuck" or "spike"; null: a pair as it was. Points without a break are passed through.
    """
    pairs = pairs.cache()
    broken = pairs.filter(~pl.col("is_plausible")).select("point").unique()
    untouched = pairs.join(broken, on="point", how="anti").with_columns(bridged=pl.lit(None, pl.String))
    troubled = pairs.join(broken, on="point", how="semi", maintain_order="left").with_row_index("at")
    troubled = _with_equal_runs(troubled.with_columns(pl.col("at").cast(pl.Int64)))
    mended = _mended(troubled, _bridges(troubled, agrees))
    return pl.concat([untouched, mended.select(untouched.collect_schema().names())])


def _same_chain() -> pl.Expr:
    """Whether the row before is of the same meter in the same spell."""
    same = (pl.col("spell") == pl.col("spell").shift()) & (pl.col("meter") == pl.col("meter").shift())
    return same.fill_null(value=False)


def _with_equal_runs(pairs: pl.LazyFrame) -> pl.LazyFrame:
    """`run_ts`, `run_at`: the read since which the register has shown what it shows at the start of the pair,
    and the first pair within that run."""
    begins = pl.col("value") != pl.col("before")
    is_first = ~_same_chain()
    run_ts = pl.when(begins).then("ts").when(is_first).then("start")
    run_at = pl.when(begins).then(pl.col("at") + 1).when(is_first).then("at")
    return pairs.with_columns(run_ts=run_ts.forward_fill(), run_at=run_at.forward_fill()).with_columns(
        run_ts=pl.when(is_first).then("start").otherwise(pl.col("run_ts").shift()),
        run_at=pl.when(is_first).then("at").otherwise(pl.col("run_at").shift()),
    )


def _bridges(pairs: pl.LazyFrame, agrees: pl.Expr) -> pl.LazyFrame:
    """at, since_at, since_ts, since_value, bridged: per break that ends a run, the first pair to be left out
    and the read that the bridge starts from. Bridges that would reach behind another's end are dropped."""
    breaks = pairs.filter(~pl.col("is_plausible"))
    chain = ["spell", "meter"]
    earlier = [
        breaks.with_columns(
            since_at=pl.col("at").shift(n).over(chain),
            since_ts=pl.col("start").shift(n).over(chain),
            since_value=pl.col("before").shift(n).over(chain),
            bridged=pl.lit("spike"),
            rank=pl.lit(n),  # the nearest: no more is left out than needed
        )
        for n in range(1, _BREAKS_AT_ONCE + 1)
    ]
    stuck = breaks.filter(pl.col("run_ts") < pl.col("start")).with_columns(
        since_at="run_at",
        since_ts="run_ts",
        since_value="before",
        bridged=pl.lit("stuck"),
        rank=pl.lit(0),  # leaves out nothing but what said the same
    )
    return (
        pl.concat([*earlier, stuck])
        .filter(pl.col("at") - pl.col("since_at") <= LONGEST_RUN)
        .with_columns(start="since_ts", before="since_value")
        .filter(agrees)
        .sort("at", "rank")
        .unique("at", keep="first", maintain_order=True)
        .filter((pl.col("since_at") > pl.col("at").shift()).fill_null(value=True))
        .select("at", "since_at", "since_ts", "since_value", "bridged")
    )


def _mended(pairs: pl.LazyFrame, bridges: pl.LazyFrame) -> pl.LazyFrame:
    """The pairs with each bridge in the place of the pairs it spans."""
    is_bridge = pl.col("since_at").is_not_null()
    return (
        pairs.join(bridges, on="at", how="left", maintain_order="left")
        .with_columns(spanned_from=pl.col("since_at").backward_fill())
        .filter(is_bridge | (pl.col("at") < pl.col("spanned_from")).fill_null(value=True))
        .with_columns(
            start=pl.when(is_bridge).then("since_ts").otherwise("start"),
            before=pl.when(is_bridge).then("since_value").otherwise("before"),
            is_plausible=pl.col("is_plausible") | is_bridge,
        )
    )
