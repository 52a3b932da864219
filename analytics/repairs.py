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
    """Pairs of reads in no order, those of a wrong run replaced by one that bridges it, with `bridged`.

    `pairs`: spell, meter, start, before, start_nth, ts, value, nth, is_plausible + what `agrees` needs, in
    order within each point, and all of them near a break. `agrees`: whether `before` at `start` and `value`
    at `ts` can both be right. `bridged` (String): "stuck" or "spike"; null: a pair as it was.
    """
    numbered = _with_equal_runs(pairs.with_row_index("at").with_columns(pl.col("at").cast(pl.Int64))).cache()
    return _mended(numbered, _bridges(numbered, agrees))


def _goes_on() -> pl.Expr:
    """Whether the pair begins where the row before ends, on the same meter in the same spell."""
    same = (
        (pl.col("spell") == pl.col("spell").shift())
        & (pl.col("meter") == pl.col("meter").shift())
        & (pl.col("start") == pl.col("ts").shift())
    )
    return same.fill_null(value=False)


def _with_equal_runs(pairs: pl.LazyFrame) -> pl.LazyFrame:
    """`run_ts`, `run_nth`, `run_at`: the read since which the register has shown what it shows at the start
    of the pair, its number, and the first pair within that run."""
    begins, is_first = pl.col("value") != pl.col("before"), ~_goes_on()
    firsts = {"run_ts": "start", "run_nth": "start_nth", "run_at": "at"}
    nexts = {"run_ts": pl.col("ts"), "run_nth": pl.col("nth"), "run_at": pl.col("at") + 1}
    return pairs.with_columns(
        pl.when(begins).then(nexts[name]).when(is_first).then(first).forward_fill().alias(name)
        for name, first in firsts.items()
    ).with_columns(
        pl.when(is_first).then(first).otherwise(pl.col(name).shift()).alias(name)
        for name, first in firsts.items()
    )


def _bridges(pairs: pl.LazyFrame, agrees: pl.Expr) -> pl.LazyFrame:
    """Per break that ends a run, the pair that bridges it, `bridged`, and the first pair that it spans as
    `since_at`. Bridges that would reach behind another's end are dropped."""
    breaks = pairs.filter(~pl.col("is_plausible")).cache()
    chain = ["spell", "meter"]
    earlier = [
        breaks.with_columns(
            since_at=pl.col("at").shift(n).over(chain),
            since_ts=pl.col("start").shift(n).over(chain),
            since_value=pl.col("before").shift(n).over(chain),
            since_nth=pl.col("start_nth").shift(n).over(chain),
            bridged=pl.lit("spike"),
            rank=pl.lit(n),  # the nearest: no more is left out than needed
        )
        for n in range(1, _BREAKS_AT_ONCE + 1)
    ]
    stuck = breaks.filter(pl.col("run_ts") < pl.col("start")).with_columns(
        since_at="run_at",
        since_ts="run_ts",
        since_value="before",
        since_nth="run_nth",
        bridged=pl.lit("stuck"),
        rank=pl.lit(0),  # leaves out nothing but what said the same
    )
    return (
        pl.concat([*earlier, stuck])
        .filter(pl.col("nth") - pl.col("since_nth") - 1 <= LONGEST_RUN)
        .with_columns(start="since_ts", before="since_value")
        .filter(agrees)
        .sort("at", "rank")
        .unique("at", keep="first", maintain_order=True)
        .filter((pl.col("since_at") > pl.col("at").shift()).fill_null(value=True))
        .with_columns(is_plausible=pl.lit(value=True))
    )


def _mended(pairs: pl.LazyFrame, bridges: pl.LazyFrame) -> pl.LazyFrame:
    """The pairs with each bridge in the place of the pairs it spans."""
    spanned = bridges.select(at=pl.int_ranges("since_at", pl.col("at") + 1)).explode(
        "at", empty_as_null=False
    )
    kept = pairs.join(spanned, on="at", how="anti").with_columns(bridged=pl.lit(None, pl.String))
    return pl.concat([kept, bridges.select(kept.collect_schema().names())])
