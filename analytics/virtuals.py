"""Virtual points: dated linear combinations of other points, with their coverage and bounds.

A combination is data (VIRTUAL_TERMS), not a language: virtual = Σ num/den × term, day by day. A term may be
virtual itself; the terms are multiplied out first, so that only metered points are ever added.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

import polars as pl

from analytics.coverage import DESCRIBING, duty_days
from analytics.integers import narrow, rounded_quotient, rounded_up_quotient, wide
from analytics.specs import FOREVER
from nengshao.domain.time import day_start
from nengshao.domain.units import PointKind
from nengshao.frames import VIRTUAL_TERMS

DEEPEST: Final = 8
"""How many virtual points may stand on one another; the registry refuses more, and cycles."""

_SHARES: Final = ("measured", "estimated", "missing", "pending")


def terms_multiplied_out(terms: pl.DataFrame) -> pl.DataFrame:
    """VIRTUAL_TERMS whose every term is metered: nested virtual points replaced by what they are made of.

    Validity is that common to the whole chain. Terms deeper than `DEEPEST` are left out: the registry
    does not let them in.
    """
    own: dict[int, list[dict[str, Any]]] = {}
    for row in terms.iter_rows(named=True):
        own.setdefault(row["point"], []).append(row)
    flat = [leaf for point in sorted(own) for leaf in _leaves(point, own, DEEPEST)]
    return pl.DataFrame(flat, schema=dict(VIRTUAL_TERMS.schema), orient="row").unique(maintain_order=True)


def _leaves(point: int, own: dict[int, list[dict[str, Any]]], depth: int) -> list[dict[str, Any]]:
    found = []
    for row in own[point] if depth else ():
        if row["term"] not in own:
            found.append(row)
            continue
        for leaf in _leaves(row["term"], own, depth - 1):
            share = Fraction(row["num"], row["den"]) * Fraction(leaf["num"], leaf["den"])
            since = max(row["valid_from"], leaf["valid_from"])
            ends = [end for end in (row["valid_to"], leaf["valid_to"]) if end is not None]
            until = min(ends, default=None)
            if until is None or since < until:
                found.append(
                    {
                        "point": point, "term": leaf["term"],
                        "num": share.numerator, "den": share.denominator,
                        "valid_from": since, "valid_to": until,
                    }
                )  # fmt: skip
    return found


def with_virtual_points(
    days: pl.LazyFrame, duties: pl.DataFrame, terms: pl.DataFrame, *, first_day: int, end_day: int
) -> pl.LazyFrame:
    """`coverage.coverage_per_day` with the rows of virtual points below.

    `terms`: `terms_multiplied_out`; those valid at the start of a day count for the day. The amount is that
    of the terms that are known, each product rounded once, and null if none is; what is not known of the
    others is in gap_low and gap_high, which a negative coefficient swaps. A second of the virtual point is
    covered as its terms are, weighed by coefficient and expected energy; missing and pending are rounded up.
    """
    virtual = duties.filter(pl.col("kind") == PointKind.VIRTUAL)
    if virtual.is_empty():
        return days
    asked = (
        duty_days(virtual, first_day, end_day)
        .group_by("enterprise", "point", "day")
        .agg(pl.col(DESCRIBING).sort_by("on_from").last(), on_s=(pl.col("on_to") - pl.col("on_from")).sum())
    )
    made = (
        asked.lazy()
        .join(_terms_by_day(terms, first_day, end_day).lazy(), on=["point", "day"])
        .join(days.select(_TERM_COLUMNS), on=["term", "day"], how="left")
        .with_columns(_scaled(side) for side in ("low", "high"))
        .with_columns(amount=_times("amount"), weight=_term_weight())
        .group_by("enterprise", "point", "day", *DESCRIBING, "on_s")
        .agg(
            amount=pl.when(pl.col("amount").is_not_null().any()).then(pl.col("amount").sum()),
            gap_low=_bounded("low"),
            gap_high=_bounded("high"),
            recheck_at=pl.col("recheck_at").min(),
            weight=pl.col("weight").sum(),
            **{f"{share}_s": _weighed(share) for share in _SHARES},
        )
        .pipe(_in_own_seconds)
    )
    return pl.concat([days, made.select(days.collect_schema().names())], how="vertical")


_TERM_COLUMNS: Final = [
    pl.col("point").alias("term"),
    "day",
    "amount",
    "gap_low",
    "gap_high",
    "recheck_at",
    pl.col("expected_daily").alias("term_expected"),
    *(f"{share}_s" for share in _SHARES),
]


def _terms_by_day(terms: pl.DataFrame, first_day: int, end_day: int) -> pl.DataFrame:
    """point, day, term, num, den of the terms in force at the start of each day."""
    day = pl.DataFrame({"day": pl.int_range(first_day, end_day, dtype=pl.Int32, eager=True)})
    starts = day.with_columns(at=day_start(pl.col("day").cast(pl.Int64)))
    return (
        terms.with_columns(pl.col("valid_to").fill_null(FOREVER))
        .join_where(starts, pl.col("valid_from") <= pl.col("at"), pl.col("at") < pl.col("valid_to"))
        .select("point", "day", "term", "num", "den")
    )


def _times(column: str) -> pl.Expr:
    return narrow(rounded_quotient(wide(column) * pl.col("num"), pl.col("den")))


def _scaled(side: str) -> pl.Expr:
    """A bound of the term as a bound of the virtual point, rounded away from zero."""
    other = "high" if side == "low" else "low"
    bound = pl.when(pl.col("num") > 0).then(f"gap_{side}").otherwise(f"gap_{other}")
    size = narrow(rounded_up_quotient(wide(bound).abs() * pl.col("num").abs(), pl.col("den")))
    return (-size if side == "low" else size).alias(f"scaled_{side}")


def _bounded(side: str) -> pl.Expr:
    """A term without any row that day says nothing at all: unbounded."""
    column = pl.col(f"scaled_{side}")
    return pl.when(column.is_not_null().all()).then(column.sum())


def _term_weight() -> pl.Expr:
    """How much of the virtual point's energy the term is expected to be, at least 1: 10⁻³ units a day."""
    expected = wide(pl.max_horizontal(pl.col("term_expected"), 1)) * pl.col("num").abs()
    return pl.max_horizontal(narrow(expected // pl.col("den")), 1)


def _weighed(share: str) -> pl.Expr:
    """Σ weight × seconds. A term without any row that day was not on duty: all of the day is missing."""
    absent = pl.col("on_s") if share == "missing" else pl.lit(0, pl.Int64)
    # Seconds of coverage, not quantities.
    return (wide(pl.col(f"{share}_s").fill_null(absent)) * pl.col("weight")).sum()


def _in_own_seconds(days: pl.LazyFrame) -> pl.LazyFrame:
    """The weighed shares as seconds that add up to the time on duty, nothing flattered by rounding."""
    rounded = {
        f"{share}_s": pl.min_horizontal(
            narrow(rounded_up_quotient(pl.col(f"{share}_s"), pl.col("weight"))), "on_s"
        )
        for share in ("estimated", "missing", "pending")
    }
    rest = pl.col("on_s") - pl.col("pending_s")
    return (
        days.with_columns(**rounded)
        .with_columns(missing_s=pl.min_horizontal("missing_s", rest))
        .with_columns(estimated_s=pl.min_horizontal("estimated_s", rest - pl.col("missing_s")))
        .with_columns(
            measured_s=rest - pl.col("missing_s") - pl.col("estimated_s"), spread_s=pl.lit(0, pl.Int64)
        )
    )


def blocks_of_virtual_points(blocks: pl.LazyFrame, duties: pl.DataFrame, terms: pl.DataFrame) -> pl.LazyFrame:
    """Blocks of terms as blocks of the virtual points that they are part of.

    `blocks`: point, start, end, amount. Result: via (the virtual point), enterprise, carrier, sign, use,
    factor_class of it, point, start, end, amount × coefficient (negative for a negative one). The terms and
    the registry row in force at the block's start count for all of it.
    """
    virtual = duties.filter(pl.col("kind") == PointKind.VIRTUAL)
    what = ["enterprise", "carrier", "sign", "use", "factor_class"]
    owner = virtual.select(*what, "valid_from", "valid_to", via="point")
    in_force = terms.with_columns(pl.col("valid_to").fill_null(FOREVER)).rename({"point": "via"})
    return (
        blocks.join(in_force.lazy(), left_on="point", right_on="term")
        .filter(in_force_at_start())
        .drop("valid_from", "valid_to")
        .join(owner.lazy(), on="via")
        .filter(in_force_at_start())
        .with_columns(amount=_times("amount"))
        .select("via", *what, "point", "start", "end", "amount")
    )


def in_force_at_start() -> pl.Expr:
    """Whether the row's validity holds its `start`."""
    return (pl.col("valid_from") <= pl.col("start")) & (pl.col("start") < pl.col("valid_to"))
