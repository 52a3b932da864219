"""Restating: a factor row that changed makes exactly the days dirty that rest on it.

A new edition applies from its day on and changes nothing before it; a corrected row restates the past. What
changed, and how many days it reached, is kept as a restatement.
"""

from __future__ import annotations

import polars as pl

from analytics.conversion import changed_factors, factor_records
from analytics.law import Law
from analytics.specs import FOREVER
from nengshao.domain.codes import region_chain
from nengshao.domain.time import accounting_day
from nengshao.ports import StateStore
from nengshao.registry import Registry


class Restating:
    """Compares the library with what the books know, once per life of a process: it is read once."""

    def __init__(self, state: StateStore, law: Law) -> None:
        self._state, self._law, self._is_done = state, law, False

    def restate(self, registry: Registry, *, at: int) -> None:
        """Mark the days of every partition: whichever process sees the change first does it for all."""
        if self._is_done:
            return
        known, now = self._state.known_factors(), factor_records(self._law.factors)
        changes, spans = changed_factors(known, now)
        if changes:
            # Before the first assessment nothing rests on any factor: the library is only remembered.
            if not known:
                changes, spans = [], spans.clear()
            self._state.restate(now, changes, days_of(spans, registry, until=accounting_day(at)), at)
        self._is_done = True


def days_of(spans: pl.DataFrame, registry: Registry, *, until: int) -> pl.DataFrame:
    """DIRTY_SCHEMA: the days up to `until` on which enterprises within the spans' regions have a point of the
    spans' carriers. `spans`: conversion.CHANGED_SPANS."""
    regions = pl.DataFrame(
        [(code, area) for code in registry.enterprises["region"].unique() for area in region_chain(code)],
        schema={"code": pl.String, "region": pl.String},
        orient="row",
    )
    within = registry.enterprises.select("enterprise", code="region").join(regions, on="code")
    points = registry.points.select(
        "enterprise",
        "carrier",
        since=accounting_day(pl.col("valid_from")),
        before=accounting_day(pl.col("valid_to").fill_null(FOREVER) - 1) + 1,
    )
    first = pl.max_horizontal("first_day", "since").cast(pl.Int32)
    end = pl.min_horizontal(pl.col("end_day").fill_null(until + 1), "before", until + 1).cast(pl.Int32)
    return (
        spans.join(within, on="region")
        .join(points, on=["enterprise", "carrier"])
        .select("enterprise", first=first, end=end)
        .filter(pl.col("first") < pl.col("end"))
        .select("enterprise", day=pl.int_ranges("first", "end", dtype=pl.Int32))
        .explode("day", empty_as_null=False)
        .unique()
        .with_columns(late=pl.lit(value=False))
        .sort("enterprise", "day")
    )
