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
        _against(rows.filter("has_target"), Measure.INTENSITY_RATIO, "target"),
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
    "target": "target_confirmed",
    "limit_3": "norm_confirmed",
    "baseline": "baseline_confirmed",
}


def _against(rows: pl.DataFrame, measure: Measure, reference: str) -> pl.DataFrame:
    value, low, high = (
        relative(pl.col(f"intensity{end}"), pl.col(reference)) for end in ("", "_low", "_high")
    )
    return _measured(rows, measure, (value, low, high), pl.col(_CONFIRMED_BY[reference]))


def _states(rows: pl.DataFrame) -> pl.DataFrame:
    value, low, high = (state_number(f"intensity{end}", f"previous{other}") for end, other in CORNERS)
    # Without a year before a missed target is still missed: falling at best, rising at worst.
    low = pl.coalesce(low, pl.when(pl.col("intensity_low") > pl.col("target")).then(1))
    high = pl.coalesce(high, pl.when(pl.col("intensity_high") > pl.col("target")).then(2))
    # A target that is met stands without the year before.
    rests_on = pl.col("target_confirmed") & pl.coalesce("previous_confirmed", pl.lit(value=True))
    return _measured(rows, Measure.INTENSITY_STATE, (value, low, high), rests_on)


def _changes(rows: pl.DataFrame) -> pl.DataFrame:
    """(intensity − previous) / |previous|; bounds of a quotient of two bounded figures of which the divisor
    is surely on one side of 0, else none."""
    before_low, before_high = pl.col("previous_low"), pl.col("previous_high")
    side = pl.when(before_low > 0).then(1).when(before_high < 0).then(-1)
    sizes = before_low.abs(), before_high.abs()
    least, most = ([pl.col(f"intensity_{end}") / size for size in sizes] for end in ("low", "high"))
    bounded = side.is_not_null() & before_low.is_not_null() & before_high.is_not_null()
    low = pl.when(bounded & pl.col("intensity_low").is_not_null()).then(pl.min_horizontal(least) - side)
    high = pl.when(bounded & pl.col("intensity_high").is_not_null()).then(pl.max_horizontal(most) - side)
    figures = (pl.col("change"), low, high)
    return _measured(rows, Measure.INTENSITY_CHANGE, figures, pl.col("previous_confirmed"))


def _reductions(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """完成率 = actual / target reduction rate, and the gap between the two."""
    asked = pl.col("reduction_ppm") / _PPM
    base = pl.col("target") / pl.when(asked < 1).then(1 - asked)
    # The more intense, the less reduced.
    actual, low, high = (1 - pl.col(f"intensity{end}") / base for end in ("", "_high", "_low"))
    rate = pl.when(asked > 0).then(asked)
    gap = tuple((asked - each) * 100 for each in (actual, high, low))
    confirmed = pl.col("target_confirmed")
    completion = (actual / rate, low / rate, high / rate)
    return [
        _measured(rows, Measure.REDUCTION_COMPLETION, completion, confirmed),
        _measured(rows, Measure.REDUCTION_GAP, (gap[0], gap[1], gap[2]), confirmed),
    ]
