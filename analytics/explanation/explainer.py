"""The explainer: everything that opens a figure, with the law it needs. Pure: frames in, trees out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl

from analytics.conversion import factor_classes, factor_rows
from analytics.explanation import quality
from analytics.explanation.intensities import Intensities
from analytics.explanation.nodes import Node
from analytics.explanation.norms import norm_problem
from analytics.explanation.regions import region_tree
from analytics.explanation.spans import Span, used_in_spans, year_to_date
from analytics.explanation.statistics import Window, stated_leaves, stated_sum
from analytics.explanation.targets import duty_of, progress_tree
from analytics.explanation.totals import total_tree
from analytics.law import Law
from analytics.quota import quota_subject
from nengshao.domain.codes import is_region_code
from nengshao.domain.factors import Basis, Factor
from nengshao.domain.rules import Measure
from nengshao.domain.time import accounting_day, date_of, day_number
from nengshao.domain.units import Scope
from nengshao.registry import Registry

Frames = Mapping[str, pl.DataFrame]
"""What is at rest about a subject, by the name of its contract: POINT_DAYS, BLOCKS, ENTERPRISE_DAYS,
SCOPE_DAYS, STATISTICS of the days that `days_needed` names; PROGRESS, INTENSITY; LAST_SEEN of its devices.
Of a region also what its key units have; BLOCKS under the region's code as well."""

Row = Mapping[str, Any]
Asked = tuple[str, Basis, Scope, int, int]
"""A subject, a basis, a scope, and the accounting days [first, end)."""

_PROGRESS: Final = (Measure.PROGRESS_RATIO, Measure.QUOTA_RATIO, Measure.PROJECTED_RATIO)


def days_needed(at: int, base_years: Iterable[int] = ()) -> tuple[int, int]:
    """The accounting days [first, end) that opening a figure which reaches to the instant `at` may look at:
    its year, the year before, and the base years of the subject's targets."""
    end = accounting_day(at - 1) + 1
    return day_number(dt.date(min(date_of(end - 1).year - 1, *base_years, 9999), 1, 1)), end


@dataclass(frozen=True, slots=True)
class Explainer:
    """Opens figures by the law it is given. `members`: a region's key units, as rows of enterprise, name."""

    law: Law

    def used(self, asked: Iterable[Asked], frames: Frames) -> list[dict[str, Any]]:
        """used_g, low_g, high_g, is_confirmed, coverage of spans, in their order (`spans.used_in_spans`)."""
        return used_in_spans([(row[0], _span(row)) for row in asked], frames)

    def to_date(
        self, codes: Sequence[str], frames: Frames, registry: Registry, *, year: int, today: int
    ) -> list[dict[str, Any]]:
        """Each enterprise's year up to its last complete day, on every basis (`spans.year_to_date`)."""
        mine = registry.enterprises.filter(pl.col("enterprise").is_in(list(codes)))
        return year_to_date(frames, mine, year=year, today=today)

    def of_region(self, region: str, frames: Frames) -> Frames:
        """The frames with the blocks of the key units, whose alone they hold, as the region's as well."""
        blocks = frames["BLOCKS"]
        return {**frames, "BLOCKS": pl.concat([blocks, blocks.with_columns(enterprise=pl.lit(region))])}

    def total(self, asked: Asked, frames: Frames, registry: Registry) -> Node:
        """An enterprise's total, opened."""
        return self._total(asked[0], _span(asked), frames, registry)

    def region(self, asked: Asked, frames: Frames, members: Sequence[Row], others: int = 0) -> Node:
        """The sum of a region's key units, opened; `others`: how many more there are than `members`."""
        return region_tree(asked[0], _span(asked), frames=frames, members=members, others=others)

    def progress(
        self, row: Row, measure: Measure, frames: Frames, registry: Registry, members: Sequence[Row] = ()
    ) -> Node:
        """A PROGRESS row as one of the measures that rules look at, opened."""
        subject, used = row["enterprise"], None
        if row["as_of_day"] is not None:
            first, _ = duty_of(subject, row["year"], registry)
            span = Span(first, row["as_of_day"] + 1, Basis(row["basis"]), Scope(row["scope"]), is_whole=True)
            used = (
                region_tree(subject, span, frames=frames, members=members)
                if is_region_code(subject)
                else self._total(subject, span, frames, registry)
            )
        return progress_tree(row, measure, used, registry=registry, frames=frames)

    def intensity(self, row: Row, frames: Frames, registry: Registry) -> Node:
        """An INTENSITY row, opened."""
        return self._intensities(row["enterprise"], frames, registry).tree(row)

    def stated(self, asked: Window, statistics: pl.DataFrame) -> Node | None:
        """What is stated of exactly these days, opened; None if it is not, or not of all of them."""
        leaves = stated_leaves(statistics, asked)
        is_whole = bool(leaves) and leaves[-1]["facts"]["to"] == date_of(asked[-1]).isoformat()
        return stated_sum("所报 / as stated", leaves) if is_whole else None

    def norm_problem(self, row: Row, statistics: pl.DataFrame) -> str:
        """Why an INTENSITY row's limits cannot be said (`norm_limits`); "": nothing is in the way."""
        return norm_problem(row, self.law.norms, statistics)

    def measure(
        self, row: Row, frames: Frames, registry: Registry, members: Sequence[Row] = ()
    ) -> Node | None:
        """A MEASURES row, opened; None if the PROGRESS or INTENSITY row that it was made of is gone."""
        measure = Measure(row["measure"])
        if measure in _PROGRESS:
            quota = _of_subject(frames["PROGRESS"], row, quota_subject)
            return None if quota is None else self.progress(quota, measure, frames, registry, members)
        if measure in _INTENSITY:
            figure = _of_subject(frames["INTENSITY"], row, _intensity_subject)
            opened = self._intensities(row["enterprise"], frames, registry)
            return None if figure is None else opened.measure(row, figure)
        return self._quality(measure, row, frames, _registry_of(row["enterprise"], registry))

    def _quality(self, measure: Measure, row: Row, frames: Frames, registry: Registry) -> Node:
        days, blocks = frames["POINT_DAYS"], frames["BLOCKS"]
        if measure is Measure.SILENT_SECONDS:
            return quality.silence_tree(row, registry=registry, last_seen=frames["LAST_SEEN"])
        if measure is Measure.MISSING_WORKING_DAYS:
            calendar = self.law.calendar
            return quality.dark_days_tree(row, point_days=days, registry=registry, calendar=calendar)
        if measure is Measure.COMPLETENESS:
            return quality.completeness_tree(row, point_days=days, registry=registry)
        tree = quality.balance_tree if measure is Measure.BALANCE_RESIDUAL else quality.deviation_tree
        return tree(row, point_days=days, blocks=blocks, registry=registry)

    def _total(self, enterprise: str, span: Span, frames: Frames, registry: Registry) -> Node:
        mine = _registry_of(enterprise, registry)
        return total_tree(enterprise, span, frames=frames, registry=mine, factors=self._factors(mine))

    def _intensities(self, subject: str, frames: Frames, registry: Registry) -> Intensities:
        mine = _registry_of(subject, registry)
        return Intensities(frames, mine, self._factors(mine), self.law.norms)

    def _factors(self, registry: Registry) -> dict[str, Factor]:
        classes = factor_classes(
            registry.points, registry.enterprises, registry.heating_values, self.law.factors
        )
        return factor_rows(self.law.factors, classes)


_INTENSITY: Final = (
    Measure.INTENSITY_RATIO, Measure.INTENSITY_CHANGE, Measure.INTENSITY_STATE, Measure.NORM_RATIO,
    Measure.BASELINE_RATIO, Measure.REDUCTION_COMPLETION, Measure.REDUCTION_GAP,
)  # fmt: skip


def _span(asked: Asked) -> Span:
    """Whole months are asked as a whole: a month's figure is then measured, not spread."""
    _, basis, scope, first, end = asked
    is_whole = first < end and date_of(first).day == 1 and date_of(end).day == 1
    return Span(first, end, basis, scope, is_whole=is_whole)


def _of_subject(frame: pl.DataFrame, row: Row, subject_of: Callable[[Row], str]) -> Row | None:
    """The row of PROGRESS or INTENSITY that a MEASURES row is about."""
    rows = frame.filter(pl.col("enterprise") == row["enterprise"]).iter_rows(named=True)
    return next((found for found in rows if subject_of(found) == row["subject"]), None)


def _intensity_subject(row: Row) -> str:
    """As `measures_of_intensity` names it."""
    return f"{row['period']}/{row['basis']}/{row['scope']}/{row['denominator']}"


def _registry_of(subject: str, registry: Registry) -> Registry:
    """The subject's own rows of what the trees look up."""
    mine = pl.col("enterprise") == subject
    points = registry.points.filter(mine)
    return replace(
        registry,
        points=points,
        enterprises=registry.enterprises.filter(mine),
        heating_values=registry.heating_values.filter(mine),
        virtual_terms=registry.virtual_terms.join(points.select("point").unique(), on="point", how="semi"),
        product_shares=registry.product_shares.filter(mine),
        intensity_targets=registry.intensity_targets.filter(mine),
    )
