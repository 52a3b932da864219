"""Where the loaded factors say nothing: what `nengshao check` tells before a total has to."""

from __future__ import annotations

from itertools import product

import polars as pl

from analytics.conversion import factor_classes, factor_spans
from nengshao.domain.factors import Basis, FactorTable
from nengshao.domain.time import accounting_day, date_of, day_number
from nengshao.domain.units import Role
from nengshao.registry import Registry


def factor_gaps(registry: Registry, factors: FactorTable) -> list[str]:
    """A line per carrier, basis and stretch of days (`first … last`, `first …` if open) on which boundary
    points are in force and some of them have no factor."""
    feeding = registry.points.filter(
        pl.col("feeds_total") & ~pl.col("role").is_in([Role.SUB, Role.RECOVERED])
    )
    if feeding.is_empty():
        return []
    classes = factor_classes(feeding, registry.enterprises, registry.heating_values, factors)
    in_force = feeding.join(classes.of, on=["enterprise", "carrier"]).select(
        "factor_class",
        first=accounting_day(pl.col("valid_from")),
        end=accounting_day(pl.col("valid_to") - 1) + 1,
    )
    dates = {row.valid_from for row in factors.rows} | {row.valid_to for row in factors.rows if row.valid_to}
    last = max([*in_force["first"], *in_force["end"].drop_nulls(), *map(day_number, dates)])
    spans = factor_spans(factors, classes, first_day=min(in_force["first"]), end_day=last + 1)
    found = []
    for carrier, basis in product(sorted({kind.carrier for kind in classes.rows}), Basis):
        own = [number for number, kind in enumerate(classes.rows) if kind.carrier is carrier]
        lacking = spans.filter(pl.col("factor_class").is_in(own) & pl.col(f"{basis}_num").is_null())
        for first, end in _merged(lacking.join(in_force.unique(), on="factor_class"), last + 1):
            until = "" if end > last else f" {date_of(end - 1)}"
            found.append(f"{carrier.zh} {basis.zh} {date_of(first)} …{until}")
    return found


def _merged(lacking: pl.DataFrame, horizon: int) -> list[tuple[int, int]]:
    """The days common to [first_day, end_day) and [first, end), as stretches that do not touch."""
    common = lacking.select(
        start=pl.max_horizontal("first_day", "first"),
        stop=pl.min_horizontal("end_day", pl.col("end").fill_null(horizon)),
    ).filter(pl.col("start") < pl.col("stop"))
    merged: list[tuple[int, int]] = []
    for start, stop in common.sort("start").iter_rows():
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged
