"""The calculation on one page: from readings to what every point and enterprise used, hour by hour and day
by day, with coverage and bounds.

    readings ─┬─ registers: deltas ─┐
              ├─ amounts: periods ──┼─ segments ─┬─ × coverage × factors ── point_days ── enterprise_days
              └─ powers × time ─────┘            ├─ blocks (long gaps of registers)
                                                 └─ load (hours)

Pure: frames and facts in, lazy frames out; `Assessment.collect` is where the plan is run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from analytics.coal import factors_per_day, to_standard_coal
from analytics.coverage import coverage_per_day
from analytics.intervals import segments_from_amounts, segments_from_powers, use_per_interval
from analytics.registers import deltas_from_registers, register_events
from analytics.specs import point_duties
from analytics.totals import enterprise_totals, with_weights
from nengshao.domain.errors import FrameContractError
from nengshao.domain.factors import FactorTable
from nengshao.domain.time import accounting_day, day_start
from nengshao.frames import BLOCKS, LOAD, POINT_DAYS, conform


@dataclass(frozen=True, slots=True)
class Results:
    """An assessment that was run: the same frames with their rows, each sorted by its key."""

    point_days: pl.DataFrame
    blocks: pl.DataFrame
    enterprise_days: pl.DataFrame
    load: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Assessment:
    """BLOCKS (overlapping the window), LOAD, `registers.EVENTS`, and from `figures` the others, lazily."""

    figures: pl.LazyFrame  # POINT_DAYS + the columns of coal.FACTOR_DAYS
    blocks: pl.LazyFrame
    load: pl.LazyFrame
    events: pl.LazyFrame

    @property
    def point_days(self) -> pl.LazyFrame:
        """POINT_DAYS, sorted by key."""
        return conform(self.figures, POINT_DAYS).sort(*POINT_DAYS.key)

    @property
    def enterprise_days(self) -> pl.LazyFrame:
        """ENTERPRISE_DAYS, sorted by key."""
        return enterprise_totals(self.figures)

    def collect(self) -> Results:
        """Run the plan, all but the events; totals are made from the point × day rows that it gave.

        Raises: FrameContractError when a quantity does not fit into 64 bits.
        """
        try:
            figures, blocks, load = pl.collect_all([self.figures, self.blocks, self.load], engine="streaming")
            run = replace(self, figures=figures.lazy())
            point_days, enterprise_days = pl.collect_all([run.point_days, run.enterprise_days])
        except pl.exceptions.InvalidOperationError as exc:
            if "conversion from" not in str(exc):  # only the strict cast of an Int128 is an overflow
                raise
            raise FrameContractError(f"a quantity overflowed: {exc}") from exc
        return Results(point_days, blocks, enterprise_days, load)


def assess(
    readings: pl.LazyFrame,
    points: pl.DataFrame,
    meter_changes: pl.DataFrame,
    enterprises: pl.DataFrame,
    factors: FactorTable,
    *,
    window: tuple[int, int],
    as_of: int,
) -> Assessment:
    """The assessment of the accounting days `window[0] <= day < window[1]`, as known at `as_of`.

    `readings`: READINGS winners of these points, sorted by (point, ts), from far enough before the window
    to far enough after it (`registers.REACH` reads; a month's or year's figure from its start). `points`,
    `meter_changes`, `enterprises`: registry contracts.
    """
    first_day, end_day = window
    start, end = day_start(first_day), day_start(end_day)
    duties = point_duties(points, enterprises, as_of=as_of)
    factor_days = factors_per_day(factors, first_day=first_day, end_day=end_day)

    # Cached: days, hours and blocks ask for different columns, so Polars sees no plan that they share.
    segments = pl.union(
        [
            readings.pipe(deltas_from_registers, points, meter_changes),
            readings.pipe(segments_from_amounts, points),
            readings.pipe(segments_from_powers, points),
        ]
    ).cache()
    figures = (
        segments.pipe(coverage_per_day, duties, first_day=first_day, end_day=end_day)
        .pipe(to_standard_coal, factor_days)
        .pipe(with_weights)
    )
    blocks = segments.pipe(blocks_of, duties, factors, start=start, end=end)
    load = segments.pipe(use_per_interval, duties, "hour", start, end).pipe(load_of, duties)
    events = readings.pipe(register_events, points, meter_changes)
    return Assessment(
        figures=figures,
        blocks=blocks,
        load=load,
        events=events.filter(pl.col("ts") >= start, pl.col("ts") < end),
    )


def blocks_of(
    segments: pl.LazyFrame, duties: pl.DataFrame, factors: FactorTable, *, start: int, end: int
) -> pl.LazyFrame:
    """BLOCKS that overlap [start, end), whole, in standard coal by the factors of the day they start in."""
    spec = duties.unique("point", keep="last", maintain_order=True).select(
        "point", "enterprise", "carrier", "sign"
    )
    found = (
        segments.filter(pl.col("quality") == "block", pl.col("start") < end, pl.col("end") > start)
        .join(spec.lazy(), on="point")
        .with_columns(day=accounting_day(pl.col("start")).cast(pl.Int32))
    )
    return conform(_in_coal_of_start(found, duties, factors, end), BLOCKS).sort(*BLOCKS.key)


def _in_coal_of_start(
    blocks: pl.LazyFrame, duties: pl.DataFrame, factors: FactorTable, end: int
) -> pl.LazyFrame:
    """Blocks may start long before the window: factors from the first day of any point's validity on."""
    starts = duties["valid_from"]
    first_day = accounting_day(int(starts.min())) if starts.len() else accounting_day(end)  # type: ignore[arg-type]  # an Int64 column's least value
    return to_standard_coal(
        blocks, factors_per_day(factors, first_day=first_day, end_day=accounting_day(end) + 1)
    )


def load_of(use: pl.LazyFrame, duties: pl.DataFrame) -> pl.LazyFrame:
    """LOAD from hourly `intervals.USE`; hours covered by nothing but a block are left out."""
    owner = (
        duties.unique("point", maintain_order=True).select("point", "enterprise").sort("enterprise", "point")
    )
    rows = (
        use.with_columns(covered_s=pl.col("measured_s") + pl.col("estimated_s"))
        .filter(pl.col("covered_s") > 0)
        .join(owner.with_row_index("place").lazy(), on="point")
        .sort("place", "start")  # the order of (enterprise, point, start), without comparing text
    )
    return conform(rows, LOAD)
