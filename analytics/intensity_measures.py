"""What rules look at of intensities: MEASURES of whole months and of the year to date."""

from __future__ import annotations

from typing import Final

import polars as pl

from analytics.intensity import CORNERS, relative, state_number
from nengshao.domain.rules import Measure
from nengshao.domain.targets import TargetLevel
from nengshao.domain.time import day_start
from nengshao.frames import MEASURES

_TARGET: Final = ("enterprise", "denominator", "basis", "scope", "period")
_PPM: Final = 1_000_000


def measures_of_intensity(intensity: pl.DataFrame, targets: pl.DataFrame) -> pl.DataFrame:
    """MEASURES of the intensity's years to date and whole months.

    Columns in:  intensity.RESULT; INTENSITY_TARGETS.
    Columns out: MEASURES; the subject is `2025-03/calorific/total/product:clinker`, `at` the end of the
                 figure's last day. Against targets: only years, only the base level. A reduction rate is that
                 against the target's base year, for figures whose target is one.
    Units:       ratios; REDUCTION_GAP percentage points. Above a reference below 0 (converter gas recovered)
                 a ratio is above 1 as well: intensity.relative.
    Missing:     value null: a target or norm is set and the figure, or what it is held against, is not known.
                 A change without a year before is left out.
    """
    set_for = targets.filter(pl.col("level") == TargetLevel.BASE).select(
        *_TARGET[:-1], "reduction_ppm",
        period=pl.col("year").cast(pl.String), has_target=pl.lit(value=True),
    )  # fmt: skip
    is_year = ~pl.col("period").str.contains("-", literal=True)
    rows = intensity.filter(is_year | pl.col("is_whole")).join(
        set_for, on=_TARGET, how="left", maintain_order="left"
    )
    found = [
        _against_target(rows.filter("has_target")),
        _states(rows.filter("has_target")),
        _changes(rows.drop_nulls("previous")),
        _against(rows.filter(pl.col("norm") != ""), Measure.NORM_RATIO, "limit_3"),
        _against(rows.drop_nulls("baseline"), Measure.BASELINE_RATIO, "baseline"),
        *_reductions(rows.drop_nulls("reduction_ppm")),
    ]
    return pl.concat(found).sort(*MEASURES.key)


def _measured(
    rows: pl.DataFrame, measure: Measure, figures: tuple[pl.Expr, pl.Expr, pl.Expr], rests_on: pl.Expr
) -> pl.DataFrame:
    """MEASURES of the rows: value, low and high, confirmed if the figure and what it `rests_on` is."""
    value, low, high = figures
    return rows.select(
        "enterprise",
        measure=pl.lit(measure.value),
        subject=pl.format("{}/{}/{}/{}", "period", "basis", "scope", "denominator"),
        at=day_start(pl.col("end_day").cast(pl.Int64)),
        value=value.cast(pl.Float64),
        low=low.cast(pl.Float64),
        high=high.cast(pl.Float64),
        coverage="coverage",
        is_confirmed=pl.col("is_confirmed") & rests_on,
    )


_CONFIRMED_BY: Final = {
    "limit_3": "norm_confirmed",
    "baseline": "baseline_confirmed",
}


def _against_target(rows: pl.DataFrame) -> pl.DataFrame:
    low, high, side = _quotient_bounds("target")
    # As `relative` has it: of a target below 0 the same distance on the same side.
    figures = (relative(pl.col("intensity"), pl.col("target")), low + (1 - side), high + (1 - side))
    return _measured(rows, Measure.INTENSITY_RATIO, _landed(*figures), pl.col("target_confirmed"))


def _against(rows: pl.DataFrame, measure: Measure, reference: str) -> pl.DataFrame:
    value, low, high = (
        relative(pl.col(f"intensity{end}"), pl.col(reference)) for end in ("", "_low", "_high")
    )
    return _measured(rows, measure, (value, low, high), pl.col(_CONFIRMED_BY[reference]))


def _states(rows: pl.DataFrame) -> pl.DataFrame:
    value, low, high = (state_number(end, other) for end, other in CORNERS)
    # Without a year before a missed target is still missed: falling at best, rising at worst.
    low = pl.coalesce(low, pl.when(pl.col("intensity_low") > pl.col("target_high")).then(1))
    high = pl.coalesce(high, pl.when(pl.col("intensity_high") > pl.col("target_low")).then(2))
    # A target that is met stands without the year before.
    rests_on = pl.col("target_confirmed") & pl.coalesce("previous_confirmed", pl.lit(value=True))
    return _measured(rows, Measure.INTENSITY_STATE, (value, low, high), rests_on)


def _changes(rows: pl.DataFrame) -> pl.DataFrame:
    """(intensity − previous) / |previous|; bounds of a quotient of two bounded figures of which the divisor
    is surely on one side of 0, else none."""
    low, high, side = _quotient_bounds("previous")
    figures = _landed(pl.col("change"), low - side, high - side)
    return _measured(rows, Measure.INTENSITY_CHANGE, figures, pl.col("previous_confirmed"))


def _reductions(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """完成率 = actual / target reduction rate, and the gap between the two; both against the base year's
    figure, with its bounds. Of a figure that is not above 0 there is no rate."""
    asked = pl.col("reduction_ppm") / _PPM
    kept = pl.when(asked < 1).then(1 - asked)
    bases = [f"target{end}" for end in ("", "_low", "_high")]
    based = rows.with_columns(pl.when(pl.col(name) > 0).then(pl.col(name) / kept) for name in bases)
    least, most, _ = _quotient_bounds("target")
    # The more intense, the less reduced.
    actual, low, high = 1 - pl.col("intensity") / pl.col("target"), 1 - most, 1 - least
    rate = pl.when(asked > 0).then(asked)
    confirmed = pl.col("target_confirmed")
    completion = _landed(actual / rate, low / rate, high / rate)
    gap = _landed(*((asked - each) * 100 for each in (actual, high, low)))
    return [
        _measured(based, Measure.REDUCTION_COMPLETION, completion, confirmed),
        _measured(based, Measure.REDUCTION_GAP, gap, confirmed),
    ]


def _quotient_bounds(divisor: str) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """The least and the most that intensity / |divisor| can be, and the side of 0 (1, −1) that the divisor is
    on. Null unless both bounds of the divisor are known and on one side."""
    low, high = pl.col(f"{divisor}_low"), pl.col(f"{divisor}_high")
    side = pl.when(low.is_null() | high.is_null()).then(None).when(low > 0).then(1).when(high < 0).then(-1)
    quotients = {
        end: [pl.col(f"intensity_{end}") / size.abs() for size in (low, high)] for end in ("low", "high")
    }
    least = pl.when(side.is_not_null()).then(pl.min_horizontal(quotients["low"]))
    most = pl.when(side.is_not_null()).then(pl.max_horizontal(quotients["high"]))
    return least, most, side


def _landed(value: pl.Expr, low: pl.Expr, high: pl.Expr) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """The three to 12 places: differences of ratios have noise in the last ones (1 − 0.967 is not 0.033), and
    a figure exactly at a cut that a document prints must land on the side the document says."""
    rounded = [each.round(12) for each in (value, low, high)]
    return rounded[0], rounded[1], rounded[2]
