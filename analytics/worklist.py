"""Which days must be computed, in which portions, from which readings. Pure.

Ingest marks the day of a reading. Figures reach further: a month's figure over its month, an amount that
crosses midnight into the next day, a register read to its neighbours (`registers.REACH`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from analytics.registers import REACH, implausible_pairs
from analytics.sifting import sifted_reads
from analytics.specs import FOREVER, point_specs, slot_end
from nengshao.domain.time import DAY_S, accounting_day, day_start
from nengshao.domain.units import PointKind
from nengshao.frames import METER_CHANGES
from nengshao.ports import DIRTY_SCHEMA
from nengshao.registry import ENTERPRISES

_PAIR: Final = ["enterprise", "day"]


@dataclass(frozen=True, slots=True)
class Window:
    """Enterprises whose accounting days [first_day, end_day) are computed together."""

    first_day: int
    end_day: int
    enterprises: tuple[str, ...]


def days_without_results(enterprises: pl.DataFrame, results: pl.DataFrame, *, today: int) -> pl.DataFrame:
    """DIRTY_SCHEMA: active days up to today before the first and after the last result of each enterprise.

    `results`: enterprise, first_day, last_day (Int32).
    """
    first = accounting_day(pl.col("active_from"))
    end = pl.min_horizontal(accounting_day(pl.col("active_to").fill_null(FOREVER) - 1), today) + 1
    spans = enterprises.join(results, on="enterprise", how="left").select(
        "enterprise",
        older=pl.int_ranges(first, pl.min_horizontal("first_day", end), dtype=pl.Int32),
        newer=pl.int_ranges(pl.max_horizontal(pl.col("last_day") + 1, first), end, dtype=pl.Int32),
    )
    # Without any result, `older` is everything up to today and `newer` the same: unique() makes it one.
    wanted = (
        spans.unpivot(["older", "newer"], index="enterprise", value_name="day").explode("day").drop_nulls()
    )
    return wanted.unique(_PAIR).with_columns(late=pl.lit(value=False)).select(list(DIRTY_SCHEMA)).sort(_PAIR)


def whole_periods(dirty: pl.DataFrame, points: pl.DataFrame, *, today: int) -> pl.DataFrame:
    """enterprise, day: the dirty days and the days up to today that an amount of theirs reaches.

    A month's or year's figure that begins on a dirty day reaches over its whole period; an amount of a
    cadence that does not divide the day reaches as many days on as it is long.
    """
    specs = point_specs(points).filter(pl.col("kind") != PointKind.REGISTER)
    midnight = day_start(pl.col("day").cast(pl.Int64))
    in_cadence = pl.col("grid") == "cadence"
    divides = DAY_S % pl.col("cadence_s") == 0
    kinds = specs.filter(pl.col("grid").is_in(["1mo", "1y"]) | (in_cadence & ~divides)).select(
        "enterprise", "grid", "cadence_s"
    )
    last = (
        pl.when(in_cadence)
        .then(accounting_day(slot_end(midnight + DAY_S - 1) - 1))
        .otherwise(accounting_day(slot_end(midnight) - 1))
    )
    starts_period = in_cadence | (_period_start(pl.col("grid")) == pl.col("day"))
    reached = (
        dirty.select(_PAIR)
        .join(kinds.unique(), on="enterprise")
        .filter(starts_period)
        .select("enterprise", day=pl.int_ranges("day", pl.min_horizontal(last, today) + 1, dtype=pl.Int32))
        .explode("day", empty_as_null=False)
    )
    return pl.concat([dirty.select(_PAIR), reached]).unique().sort(_PAIR)


def register_reach(
    dirty: pl.DataFrame, readings: pl.DataFrame, points: pl.DataFrame, *, today: int
) -> pl.DataFrame:
    """enterprise, day: other days up to today whose segments the dirty days' reads can change.

    `readings`: READINGS, each point's together and sorted by time, with REACH valid reads around the dirty
    days. A late register read reaches
    from the 3rd read before its day to the 4th after. One in order reaches back only where reads around it
    do not agree: whether one of them is a spike is decided by its neighbours. A stock-take reaches from the
    one before it to the one after it.
    """
    sifted = sifted_reads(readings.lazy(), points, METER_CHANGES.empty(), ENTERPRISES.empty())
    doubtful = implausible_pairs(sifted, points).collect()
    late = dirty.filter("late")
    # Most points have neither: what is far from cheap is done for the others only.
    is_asked = pl.col("enterprise").is_in(late["enterprise"].unique().implode()) | pl.col("point").is_in(
        doubtful["point"].unique().implode()
    )
    reads = _numbered_reads(readings, points.filter(is_asked))
    spans = pl.concat(
        [
            _late_spans(late, reads),
            _doubtful_spans(dirty, doubtful, reads),
            _stock_spans(dirty, readings, points),
        ]
    )
    return (
        spans.with_columns(day=pl.int_ranges("first", pl.min_horizontal("last", today) + 1, dtype=pl.Int32))
        .explode("day", empty_as_null=False)
        .select(_PAIR)
        .unique()
        .join(dirty, on=_PAIR, how="anti")
        .sort(_PAIR)
    )


def windows_of(days: pl.DataFrame, *, span_days: int, chunk_days: int) -> list[Window]:
    """The days in portions: runs of days cut at multiples of `span_days`, enterprises with the same run
    together, at most `chunk_days` enterprise-days each. Oldest first."""
    runs = (
        days.select(_PAIR)
        .unique()
        .sort(_PAIR)
        .with_columns(
            run=pl.col("day") - pl.int_range(pl.len()).over("enterprise"), piece=pl.col("day") // span_days
        )
        .group_by("enterprise", "run", "piece")
        .agg(first=pl.col("day").min(), end=pl.col("day").max() + 1)
        .group_by("first", "end")
        .agg(pl.col("enterprise").sort())
        .sort("first", "end")
    )
    windows = []
    for first, end, names in runs.select("first", "end", "enterprise").iter_rows():
        size = max(1, chunk_days // (end - first))
        windows += [Window(first, end, tuple(names[i : i + size])) for i in range(0, len(names), size)]
    return windows


def _period_start(grid: pl.Expr) -> pl.Expr:
    date = pl.col("day").cast(pl.Date)
    start = pl.when(grid == "1mo").then(date.dt.truncate("1mo")).otherwise(date.dt.truncate("1y"))
    return start.cast(pl.Int32)


def _numbered_reads(readings: pl.DataFrame, points: pl.DataFrame) -> pl.DataFrame:
    """Valid register reads with enterprise, day, and their number `nth` within the point."""
    registers = (
        points.filter(pl.col("kind") == PointKind.REGISTER).select("point", "enterprise").unique("point")
    )
    return (
        readings.filter("valid")
        .join(registers, on="point", maintain_order="left")
        .select("enterprise", "point", "ts", day=accounting_day(pl.col("ts")).cast(pl.Int32))
        .with_columns(nth=pl.int_range(pl.len()).over("point"))
    )


def _late_spans(late: pl.DataFrame, reads: pl.DataFrame) -> pl.DataFrame:
    """enterprise, first, last: from the read before each late day to the read after it, and REACH around."""
    owners = reads.select("enterprise", "point").unique()
    edges = (
        late.select(_PAIR)
        .join(owners, on="enterprise")
        .with_columns(start=day_start(pl.col("day").cast(pl.Int64)))
        .with_columns(end=day_start(pl.col("day").cast(pl.Int64) + 1))
    )
    # The number of reads before an instant is the number of the first read at or after it.
    ranked = reads.select("point", "ts", "nth")
    before = edges.sort("start").join_asof(
        ranked.sort("ts"), left_on="start", right_on="ts", by="point", strategy="backward",
        allow_exact_matches=False, check_sortedness=False,
    )  # fmt: skip
    both = before.rename({"nth": "nth_before"}).drop("ts").sort("end").join_asof(
        ranked.sort("ts"), left_on="end", right_on="ts", by="point", strategy="forward",
        check_sortedness=False,
    )  # fmt: skip
    return _span_of_numbers(
        both.with_columns(since=pl.col("nth_before") - (REACH - 2), until=pl.col("nth") + (REACH - 1)), reads
    )


def _stock_spans(dirty: pl.DataFrame, readings: pl.DataFrame, points: pl.DataFrame) -> pl.DataFrame:
    """enterprise, first, last: from the stock-take before each dirty day with one to the one after it."""
    stocks = points.filter(pl.col("kind") == PointKind.STOCK).select("point", "enterprise").unique("point")
    takes = readings.join(stocks, on="point").with_columns(day=accounting_day(pl.col("ts")).cast(pl.Int32))
    edges = (
        takes.join(dirty.select(_PAIR), on=_PAIR, how="semi")
        .select("enterprise", "point", "day")
        .unique()
        .with_columns(start=day_start(pl.col("day").cast(pl.Int64)))
        .with_columns(end=pl.col("start") + DAY_S)
    )
    told = takes.filter("valid").select("point", "ts").sort("ts")
    before = edges.sort("start").join_asof(
        told.rename({"ts": "before"}), left_on="start", right_on="before", by="point", strategy="backward",
        allow_exact_matches=False, check_sortedness=False,
    )  # fmt: skip
    both = before.sort("end").join_asof(
        told.rename({"ts": "after"}), left_on="end", right_on="after", by="point", strategy="forward",
        check_sortedness=False,
    )  # fmt: skip
    return both.select(
        "enterprise",
        first=pl.coalesce(accounting_day(pl.col("before")).cast(pl.Int32), "day"),
        last=pl.coalesce(accounting_day(pl.col("after")).cast(pl.Int32), "day"),
    )


def _doubtful_spans(dirty: pl.DataFrame, doubtful: pl.DataFrame, reads: pl.DataFrame) -> pl.DataFrame:
    """enterprise, first, last: REACH reads to either side of the `doubtful` (point, ts), which do not agree
    with the read before, if dirty days are among them."""
    in_doubt = reads.join(doubtful, on=["point", "ts"], how="semi")
    spans = _span_of_numbers(
        in_doubt.with_columns(since=pl.col("nth") - REACH, until=pl.col("nth") + REACH), reads
    )
    touched = (
        spans.with_row_index("span")
        .join(dirty.select(_PAIR), on="enterprise")
        .filter(pl.col("day").is_between("first", "last"))
        .select("span")
        .unique()
    )
    return spans.with_row_index("span").join(touched, on="span", how="semi").drop("span")


def _span_of_numbers(rows: pl.DataFrame, reads: pl.DataFrame) -> pl.DataFrame:
    """enterprise, first, last: the days of the reads numbered `since` and `until`, as far as they exist.

    Where there are fewer reads, the first and last there are; a row without reads on a side ends at its day.
    """
    limits = reads.group_by("point").agg(low=pl.col("nth").min(), high=pl.col("nth").max())
    clipped = rows.join(limits, on="point").with_columns(
        since=pl.max_horizontal("since", "low"), until=pl.min_horizontal("until", "high")
    )
    days = reads.select("point", "nth", found="day")
    return (
        clipped.join(days.rename({"nth": "since", "found": "first_read"}), on=["point", "since"], how="left")
        .join(days.rename({"nth": "until", "found": "last_read"}), on=["point", "until"], how="left")
        .select(
            "enterprise",
            first=pl.min_horizontal("day", "first_read"),
            last=pl.max_horizontal("day", "last_read"),
        )
    )
