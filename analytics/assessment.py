"""The calculation on one page: from readings to what every point and enterprise used, hour by hour and day
by day, with coverage and bounds.

    readings ─┬─ registers: deltas ─┐
              ├─ amounts: periods ──┼─ segments ─┬─ coverage ─ virtual points ─ × factors ─┬─ point_days
              ├─ powers × time ─────┤            │                                         ├─ enterprise_days
              └─ stock-takes ───────┘            │                                         └─ scope_days
                                                 ├─ blocks (long gaps of registers)
                                                 └─ load (hours)

Pure: frames and facts in, lazy frames out; `Assessment.collect` is where the plan is run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from analytics.amounts import amount_findings, power_findings, stock_findings
from analytics.conversion import (
    FactorClasses,
    factor_classes,
    factor_spans,
    factors_per_day,
    few_to_coal_and_carbon,
    to_coal_and_carbon,
)
from analytics.coverage import coverage_per_day
from analytics.findings import FINDINGS, events_of, segments_of
from analytics.intervals import use_per_interval
from analytics.registers import checked_reads, register_findings
from analytics.sifting import days_sifted, plain_segments, sifted_reads
from analytics.specs import point_duties
from analytics.totals import enterprise_totals, scope_totals, with_weights
from analytics.virtuals import (
    blocks_of_virtual_points,
    in_force_at_start,
    terms_multiplied_out,
    with_virtual_points,
)
from nengshao.domain.errors import FrameContractError
from nengshao.domain.factors import FactorTable
from nengshao.domain.time import accounting_day, day_start
from nengshao.domain.units import PointKind
from nengshao.frames import BLOCKS, LOAD, METER_EVENTS, POINT_DAYS, conform
from nengshao.registry import Registry


@dataclass(frozen=True, slots=True)
class Results:
    """An assessment that was run: the same frames with their rows, each sorted by its key."""

    point_days: pl.DataFrame
    blocks: pl.DataFrame
    enterprise_days: pl.DataFrame
    scope_days: pl.DataFrame
    load: pl.DataFrame
    events: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Frames:
    """BLOCKS (overlapping the window), LOAD, METER_EVENTS, and from `figures` the others, lazily."""

    figures: pl.LazyFrame  # POINT_DAYS + the columns of conversion.FACTOR_DAYS
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

    @property
    def scope_days(self) -> pl.LazyFrame:
        """SCOPE_DAYS, sorted by key."""
        return scope_totals(self.figures)


@dataclass(frozen=True, slots=True)
class Assessment:
    """A plan in steps: what the readings say, a few rows in a hundred of them, and what follows from it.

    As one plan it takes twice as long (measured): Polars runs parts that several frames share more than once.
    """

    reads: pl.LazyFrame  # sifting.READS of registers
    others: pl.LazyFrame  # FINDINGS about every other kind of point
    registry: Registry
    factors: FactorTable
    window: tuple[int, int]
    as_of: int

    def frames(self) -> Frames:
        """Run the first steps; what follows from them, lazily."""
        reads, others = pl.collect_all([self.reads, self.others], engine="streaming")
        points, changes = self.registry.points, self.registry.meter_changes
        checked = checked_reads(reads.lazy(), points, changes).collect().rechunk()
        registers = register_findings(checked.lazy()).collect()
        return _frames(reads.lazy(), pl.concat([others, registers]).lazy(), self)

    def collect(self) -> Results:
        """Run the plan; totals are made from the point × day rows that it gave.

        Raises: FrameContractError when a quantity does not fit into 64 bits.
        """
        try:
            frames = self.frames()
            figures, blocks, load, events = pl.collect_all(
                [frames.figures, frames.blocks, frames.load, frames.events], engine="streaming"
            )
            run = replace(frames, figures=figures.lazy())
            point_days, enterprise_days, scope_days = pl.collect_all(
                [run.point_days, run.enterprise_days, run.scope_days]
            )
        except pl.exceptions.InvalidOperationError as exc:
            if "conversion from" not in str(exc):  # only the strict cast of an Int128 is an overflow
                raise
            raise FrameContractError(f"a quantity overflowed: {exc}") from exc
        return Results(point_days, blocks, enterprise_days, scope_days, load, events)


def assess(
    readings: pl.LazyFrame,
    registry: Registry,
    factors: FactorTable,
    *,
    window: tuple[int, int],
    as_of: int,
) -> Assessment:
    """The assessment of the accounting days `window[0] <= day < window[1]`, as known at `as_of`.

    `readings`: READINGS winners of these points, each point's together in order, from far enough before the
    window to far enough after it (`registers.REACH` reads; a month's or year's figure from its start).
    `registry`: of the enterprises asked.
    """
    points = registry.points
    by_kind = {
        PointKind.AMOUNT: amount_findings,
        PointKind.POWER: power_findings,
        PointKind.STOCK: stock_findings,
    }
    # To look for a kind that no point has would only cost time.
    others = [readings.pipe(by_kind[kind], points) for kind in by_kind if kind in set(points["kind"])]
    return Assessment(
        reads=readings.pipe(sifted_reads, points, registry.meter_changes, registry.enterprises),
        others=pl.union([FINDINGS.empty().lazy(), *others]),
        registry=registry,
        factors=factors,
        window=window,
        as_of=as_of,
    )


def _frames(reads: pl.LazyFrame, findings: pl.LazyFrame, asked: Assessment) -> Frames:
    first_day, end_day = asked.window
    start, end = day_start(first_day), day_start(end_day)
    registry, factors = asked.registry, asked.factors
    points = registry.points
    classes = factor_classes(points, registry.enterprises, registry.heating_values, factors)
    duties = point_duties(points, registry.enterprises, as_of=asked.as_of).join(
        classes.of, on=["enterprise", "carrier"], maintain_order="left"
    )
    metered = duties.filter(pl.col("kind") != PointKind.VIRTUAL)
    terms = terms_multiplied_out(registry.virtual_terms)
    factor_days = factors_per_day(factors, classes, first_day=first_day, end_day=end_day)

    segments = findings.pipe(segments_of)
    by_hour = pl.concat([segments, reads.pipe(plain_segments)])
    by_day = pl.concat([segments, reads.pipe(days_sifted).pipe(plain_segments)])
    figures = (
        by_day.pipe(coverage_per_day, metered, first_day=first_day, end_day=end_day)
        .pipe(with_virtual_points, duties, terms, first_day=first_day, end_day=end_day)
        .pipe(to_coal_and_carbon, factor_days)
        .pipe(with_weights)
    )
    blocks = segments.pipe(blocks_of, duties, terms, factors, classes, start=start, end=end)
    load = by_hour.pipe(use_per_interval, metered, "hour", start, end).pipe(load_of)
    events = findings.pipe(events_of).pipe(events_within, points, start=start, end=end)
    return Frames(figures=figures, blocks=blocks, load=load, events=events)


def blocks_of(
    segments: pl.LazyFrame,
    duties: pl.DataFrame,
    terms: pl.DataFrame,
    factors: FactorTable,
    classes: FactorClasses,
    *,
    start: int,
    end: int,
) -> pl.LazyFrame:
    """BLOCKS that overlap [start, end), whole, in coal and CO2 by the factors of the day they start in.

    A block counts as the registry row says that is in force when it starts, to its end.
    """
    spec = duties.select(
        "point", "enterprise", "carrier", "sign", "use", "factor_class", "valid_from", "valid_to"
    )
    found = (
        segments.filter(pl.col("quality") == "block", pl.col("start") < end, pl.col("end") > start)
        .select("point", "start", "end", "amount")
        .cache()
    )
    parts = [
        found.join(spec.lazy(), on="point").filter(in_force_at_start()).with_columns(via="point"),
        blocks_of_virtual_points(found, duties, terms),
    ]
    dated = pl.concat(parts, how="diagonal").with_columns(day=accounting_day(pl.col("start")).cast(pl.Int32))
    # Blocks may start long before the window: factors from the first day of any point's validity on.
    starts = duties["valid_from"]
    first_day = accounting_day(int(starts.min())) if starts.len() else accounting_day(end)  # type: ignore[arg-type]  # an Int64 column's least value
    spans = factor_spans(factors, classes, first_day=first_day, end_day=accounting_day(end) + 1)
    return conform(few_to_coal_and_carbon(dated, spans), BLOCKS).sort(*BLOCKS.key)


def events_within(events: pl.LazyFrame, points: pl.DataFrame, *, start: int, end: int) -> pl.LazyFrame:
    """METER_EVENTS within [start, end) from `findings.EVENTS`."""
    owner = points.select("point", "enterprise").unique()
    within = events.filter(pl.col("ts") >= start, pl.col("ts") < end).join(owner.lazy(), on="point")
    return conform(within, METER_EVENTS).sort(*METER_EVENTS.key)


def load_of(use: pl.LazyFrame) -> pl.LazyFrame:
    """LOAD from hourly `intervals.USE`; hours covered by nothing but a block are left out."""
    covered = use.with_columns(covered_s=pl.col("measured_s") + pl.col("estimated_s"))
    return conform(covered.filter(pl.col("covered_s") > 0), LOAD)
