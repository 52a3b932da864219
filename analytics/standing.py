"""How subjects stand: progress, intensity, and every measure that a rule may look at, as of a day.

Live cycles, corrections of what was judged before, and replays all ask here, so that they see the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import polars as pl

from analytics.balance import measures_of_balance
from analytics.calendar_library import working_days
from analytics.conversion import FactorClasses, factor_classes, factor_rows, factors_per_day
from analytics.gaps import measures_of_gaps
from analytics.intensity import energy_intensity
from analytics.intensity_charges import POINT_GAPS, EnergyFacts
from analytics.intensity_measures import measures_of_intensity
from analytics.law import Law
from analytics.quota import measures_of_progress, quota_progress
from analytics.totals import gap_of
from nengshao.domain.alerts import Alert
from nengshao.domain.factors import Basis, FactorTable
from nengshao.domain.rules import Measure
from nengshao.domain.time import date_of
from nengshao.frames import INTENSITY, MEASURES
from nengshao.registry import Registry


@dataclass(frozen=True, slots=True)
class Figures:
    """What the books hold of some enterprises or regions from `first_year_of` on.

    `point_days`: of every point from `recent_from` on, and of products' points from the first year on.
    """

    enterprise_days: pl.DataFrame
    scope_days: pl.DataFrame
    blocks: pl.DataFrame
    point_days: pl.DataFrame
    statistics: pl.DataFrame
    recent_from: int
    asked: Asked


@dataclass(frozen=True, slots=True)
class Standing:
    """PROGRESS, INTENSITY and MEASURES (all but silence) of the same subjects on the same day."""

    progress: pl.DataFrame
    intensity: pl.DataFrame
    measures: pl.DataFrame


Asked = frozenset[tuple[str, int]]
"""(enterprise or region, year): whose earlier years are judged besides this one and the one before."""


def asked_years(registry: Registry, open_alerts: Iterable[Alert] = ()) -> Asked:
    """The years with a target, and those that an open alert is about: it ends by its figures, not by time."""
    targets = [registry.quotas, registry.intensity_targets]
    named = {row for frame in targets for row in frame.select("enterprise", "year").iter_rows()}
    alerts = ((alert.enterprise, _YEAR.match(alert.subject)) for alert in open_alerts)
    return frozenset(named | {(enterprise, int(found[0])) for enterprise, found in alerts if found})


_YEAR: Final = re.compile(r"\d{4}(?=[-/])", re.ASCII)


def years_of(asked: Asked, *, today: int) -> list[int]:
    """The years that are looked at: this one, the one before (its last figures are stated after it has
    ended), and the earlier ones asked."""
    this_year = date_of(today).year
    return sorted({this_year - 1, this_year, *(year for _, year in asked if year <= this_year)})


def standing_of(figures: Figures, registry: Registry, law: Law, *, today: int) -> Standing:
    """How the registry's enterprises and regions stand by the end of accounting day `today`.

    What is said of one does not depend on which others are asked with it.
    """
    progress = _progress(figures, registry, today)
    result = _intensity(figures, registry, law, today)
    measures = [
        measures_of_progress(progress.lazy()).collect(),
        measures_of_intensity(result, registry.intensity_targets),
        _measures_of_points(figures, registry, law, today),
    ]
    intensity = result.select(list(INTENSITY.schema))
    return Standing(progress, intensity, pl.concat(measures).sort(*MEASURES.key))


_OF_PROGRESS: Final = (Measure.PROGRESS_RATIO, Measure.QUOTA_RATIO, Measure.PROJECTED_RATIO)
_OF_POINTS: Final = (
    Measure.MISSING_WORKING_DAYS, Measure.COMPLETENESS, Measure.BALANCE_RESIDUAL, Measure.SERIES_DEVIATION
)  # fmt: skip


def measures_on(
    figures: Figures, registry: Registry, law: Law, measure: Measure, *, today: int
) -> pl.DataFrame:
    """MEASURES of one measure alone, as `standing_of` has them; none of silence, which leaves no figures."""
    if measure is Measure.SILENT_SECONDS:
        return MEASURES.empty()
    if measure in _OF_PROGRESS:
        found = measures_of_progress(_progress(figures, registry, today).lazy()).collect()
    elif measure in _OF_POINTS:
        found = _measures_of_points(figures, registry, law, today)
    else:
        intensity = _intensity(figures, registry, law, today)
        found = measures_of_intensity(intensity, registry.intensity_targets)
    return found.filter(pl.col("measure") == measure).sort(*MEASURES.key)


def _progress(figures: Figures, registry: Registry, today: int) -> pl.DataFrame:
    frames = (figures.enterprise_days, figures.scope_days, figures.blocks)
    days, scopes, blocks = (frame.lazy() for frame in frames)
    quotas, plans = registry.quotas, registry.quota_plans
    return quota_progress(days, scopes, blocks, quotas, plans, registry.enterprises, today=today).collect()


def _intensity(figures: Figures, registry: Registry, law: Law, today: int) -> pl.DataFrame:
    """intensity.RESULT."""
    classes = factor_classes(registry.points, registry.enterprises, registry.heating_values, law.factors)
    rows = factor_rows(law.factors, classes).values()
    energy = EnergyFacts(
        figures.enterprise_days,
        figures.scope_days,
        figures.blocks,
        figures.point_days,
        _point_gaps(figures.point_days, classes, law.factors),
        frozenset(row.factor_id for row in rows if row.confidence.is_confirmed),
    )
    years = years_of(figures.asked, today=today)
    found = energy_intensity(energy, figures.statistics, registry, law.norms, years=years, today=today)
    own = pl.DataFrame(
        sorted(figures.asked), schema={"enterprise": pl.String, "year": pl.Int32}, orient="row"
    )
    dated = found.with_columns(year=pl.col("period").str.slice(0, 4).cast(pl.Int32))
    recent = dated.filter(pl.col("year") >= date_of(today).year - 1)
    earlier = dated.join(recent, on=INTENSITY.key, how="anti").join(
        own, on=["enterprise", "year"], how="semi"
    )
    return pl.concat([recent, earlier]).drop("year").sort(*INTENSITY.key)


def _point_gaps(point_days: pl.DataFrame, classes: FactorClasses, factors: FactorTable) -> pl.DataFrame:
    """intensity_charges.POINT_GAPS of the days on which something is missing outside blocks."""
    open_days = point_days.filter(
        (pl.col("gap_low").ne_missing(0) | pl.col("gap_high").ne_missing(0)).fill_null(value=True)
    )
    if open_days.is_empty():
        return POINT_GAPS.empty()
    first, end = int(open_days["day"].min()), int(open_days["day"].max()) + 1  # type: ignore[arg-type]  # an Int32 column's least and greatest
    factor_days = factors_per_day(factors, classes, first_day=first, end_day=end)
    gaps = {f"{basis}_gap_{side}": gap_of(side, basis) for basis in Basis for side in ("low", "high")}
    return (
        open_days.select("enterprise", "point", "day", "carrier", "gap_low", "gap_high")
        .join(classes.of, on=["enterprise", "carrier"])
        .join(factor_days, on=["factor_class", "day"], how="left")
        .select("enterprise", "point", "day", **gaps)
    )


def _measures_of_points(figures: Figures, registry: Registry, law: Law, today: int) -> pl.DataFrame:
    """What is missing, and what does not add up, since `recent_from`."""
    recent = figures.point_days.filter(pl.col("day") >= figures.recent_from, pl.col("day") <= today)
    calendar = working_days(law.calendar, figures.recent_from, today + 1)
    return pl.concat(
        [
            measures_of_gaps(recent, registry.points, calendar, as_of_day=today),
            measures_of_balance(recent, figures.blocks, registry.points, as_of_day=today),
        ]
    )


def first_year_of(registry: Registry, asked: Asked, *, today: int) -> int:
    """The first year whose figures are looked at: every year is held against the one before, and against the
    base year of its reduction targets."""
    base_years: list[int] = registry.intensity_targets["base_year"].drop_nulls().to_list()
    return min([*base_years, *(year - 1 for year in years_of(asked, today=today))])
