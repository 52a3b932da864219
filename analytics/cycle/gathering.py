"""Read what a window needs: its readings, and enough around it that the result is that of the whole series.

A register needs `registers.REACH` valid reads on either side; a stock one stock-take; an amount its cadence
before; a month's or year's figure the start of its period.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from analytics.registers import REACH
from analytics.specs import point_specs, slot_start
from analytics.worklist import Window
from nengshao.domain.time import DAY_S, day_start
from nengshao.domain.units import PointKind
from nengshao.frames import READINGS
from nengshao.ports import ReadingStore

_MARGIN_READS: Final = REACH + REACH // 4  # cadences scanned around a window: a fifth may be missing
_CADENCE_CLASSES: Final = (
    3_600,
    DAY_S,
    366 * DAY_S,
)  # scanned apart, so that slow points don't widen fast ones


def read_around(store: ReadingStore, points: pl.DataFrame, window: Window, *, latest: int) -> pl.DataFrame:
    """READINGS winners of these points in and around the window, each point's together, sorted by time.

    `latest`: the present instant; after it no reads are looked for one by one. Raises: StoreUnavailable.
    """
    start, end = day_start(window.first_day), day_start(window.end_day)
    stocks = points.filter(pl.col("kind") == PointKind.STOCK)["point"].unique().sort()
    specs = point_specs(points.filter(pl.col("kind") != PointKind.STOCK)).with_columns(
        period=slot_start(pl.lit(start))
    )
    parts, more = [READINGS.empty()], [READINGS.empty()]
    if stocks.len():  # from the stock-take before to the one after, however far they are
        parts.append(_scan(store, stocks, start, end))
        more.append(store.edges(stocks.to_list(), start, end))
    # Each point is scanned once: a row never stands twice in what is put together.
    long = specs.filter(pl.col("grid").is_in(["1mo", "1y"])).group_by("point").agg(pl.col("period").min())
    for (since,), group in long.group_by("period"):
        parts.append(_scan(store, group["point"], int(since), end))
    short = specs.join(long, on="point", how="anti")
    cadence = pl.when(pl.col("grid") == "1d").then(DAY_S).otherwise("cadence_s")
    slowest = short.group_by("point").agg(cadence.max().alias("cadence"))
    at_least = 0
    for limit in _CADENCE_CLASSES:
        group = slowest.filter(pl.col("cadence") > at_least, pl.col("cadence") <= limit)
        at_least = limit
        if group.is_empty():
            continue
        margin = _MARGIN_READS * int(group["cadence"].max())  # type: ignore[arg-type]  # an Int64 column
        parts.append(_scan(store, group["point"], start - margin, end + margin))
        registers = short.filter(pl.col("kind") == PointKind.REGISTER).join(group, on="point", how="semi")
        more += _more_reads(store, parts[-1], registers["point"], (start, end), margin, latest=latest)
    return _together(pl.concat(parts), pl.concat(more))


def _together(scanned: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
    """Both; only the points that have some in `more` are sorted anew."""
    is_whole = ~pl.col("point").is_in(more["point"].unique().implode())
    others = pl.concat([scanned.filter(~is_whole), more]).sort("point", "ts")
    return pl.concat([scanned.filter(is_whole), others])


def _more_reads(
    store: ReadingStore,
    scanned: pl.DataFrame,
    registers: pl.Series,
    window: tuple[int, int],
    margin: int,
    *,
    latest: int,
) -> list[pl.DataFrame]:
    """Reads further out for the registers that have fewer than REACH on a side of the window."""
    start, end = window
    valid = scanned.filter("valid")
    before = _counts(registers, valid.filter(pl.col("ts") < start))
    parts = _step_out(store, before, start - margin, margin, is_before=True)
    if end + margin <= latest + DAY_S:
        after = _counts(registers, valid.filter(pl.col("ts") >= end))
        parts += _step_out(store, after, end + margin, margin, is_before=False)
    return parts


def _step_out(
    store: ReadingStore, counts: dict[int, int], border: int, margin: int, *, is_before: bool
) -> list[pl.DataFrame]:
    """Scan outwards from `border`, from stored read to stored read, until every point has REACH of them.

    Points whose next read is about as far away are scanned together, so that one that was silent for a year
    does not make the others read a year.
    """
    parts: list[pl.DataFrame] = []
    waiting = [(border, {point: n for point, n in counts.items() if n < REACH})]
    while waiting:
        border, group = waiting.pop()
        if not group:
            continue
        edges = store.edges(list(group), border, border)
        beyond = edges.filter(pl.col("ts") < border if is_before else pl.col("ts") >= border)
        distance = (pl.col("ts") - border).abs() // margin
        for (_,), near in beyond.group_by((distance + 1).log(2).floor(), maintain_order=True):
            far = near["ts"].min() if is_before else near["ts"].max()
            reach = int(far) - margin if is_before else int(far) + margin  # type: ignore[arg-type]  # an Int64 column
            found = _scan(store, near["point"], *((reach, border) if is_before else (border, reach)))
            parts.append(found)
            more = _counts(near["point"], found.filter("valid"))
            waiting.append((reach, {p: n for p in more if (n := group[p] + more[p]) < REACH}))
    return parts


def _counts(points: pl.Series, reads: pl.DataFrame) -> dict[int, int]:
    found = dict(reads.group_by("point").len().iter_rows())
    return {point: found.get(point, 0) for point in points.unique()}


def _scan(store: ReadingStore, points: Sequence[int] | pl.Series, start: int, end: int) -> pl.DataFrame:
    return store.scan(list(dict.fromkeys(points)), start, end).collect(engine="streaming")
