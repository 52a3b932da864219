"""What people state of a period: output, 产值, GDP. Which versions count, and how far they reach."""

from __future__ import annotations

from typing import Final

import polars as pl

from analytics.integers import narrow, rounded_quotient, wide
from nengshao.domain.targets import Indicator, StatisticState

_SERIES: Final = ("subject", "indicator", "item")
WINDOW: Final = (*_SERIES, "first_day", "end_day")
_CONFIRMED: Final = [state.value for state in StatisticState if state.is_confirmed]

_VALUES: Final = (
    Indicator.OUTPUT_VALUE, Indicator.OUTPUT_VALUE_COMPARABLE, Indicator.VALUE_ADDED,
    Indicator.VALUE_ADDED_COMPARABLE, Indicator.GDP_COMPARABLE,
)  # fmt: skip
_UNITS: Final = pl.DataFrame(
    [
        (indicator.value, unit, to, times, over)
        for indicators, to, units in (
            (_VALUES, "1e4CNY", (("CNY", 1, 10_000), ("1e4CNY", 1, 1), ("1e8CNY", 10_000, 1))),
            ((Indicator.ENERGY_CONSUMPTION,), "tce", (("tce", 1, 1), ("1e4tce", 10_000, 1))),
            ((Indicator.CARBON_EMISSION,), "tCO2", (("tCO2", 1, 1), ("1e4tCO2", 10_000, 1))),
        )
        for indicator in indicators
        for unit, times, over in units
    ],
    schema={
        "indicator": pl.String, "unit": pl.String, "to": pl.String, "times": pl.Int64, "over": pl.Int64,
    },
    orient="row",
)  # fmt: skip
"""In which units money, coal and carbon may be stated, and what each is of the one that figures are in."""


def in_force(statistics: pl.DataFrame) -> pl.DataFrame:
    """The STATISTICS rows that count: of each subject, indicator, item and period the highest version that
    was not rejected, sorted by these; money in 1e4CNY (targets are per 万元), coal in tce, carbon in tCO2.

    Periods that start on one day and end on different ones stand side by side: cumulative figures
    (1—3月, 1—6月, the year) are stated like that. 10⁻³ 万元 is 10 yuan: what is stated in yuan is rounded to
    that, half to even. Money, coal or carbon in any other unit says nothing: its row is left out.
    """
    rows = (
        statistics.filter(pl.col("state") != StatisticState.REJECTED)
        .sort(*WINDOW, "version")
        .unique(WINDOW, keep="last", maintain_order=True)
    )
    is_as_stated = ~pl.col("indicator").is_in(_UNITS["indicator"].unique().implode())
    converted = narrow(rounded_quotient(wide("value") * wide("times"), pl.col("over")))
    return (
        rows.join(_UNITS, on=["indicator", "unit"], how="left", maintain_order="left")
        .filter(pl.col("to").is_not_null() | is_as_stated)
        .with_columns(
            value=pl.coalesce(converted, "value"),
            unit=pl.coalesce("to", "unit"),
        )
        .select(statistics.columns)
    )


def quantity_over(statistics: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """How much is stated from the start of each window on, without a hole.

    Columns in:  STATISTICS; windows: subject, indicator, item, first_day, end_day (Int32, exclusive).
    Columns out: the distinct windows + quantity (Int64), unit, reached_day (Int32), is_confirmed.
    Units:       quantity in 10⁻³ of `unit`.
    Missing:     reached_day is where the statement ends; first_day, and quantity null, if nothing is stated
                 from there. A stated 0 is 0. Only whole periods within the window count. A figure in another
                 unit than the first ends the run.
    """
    distinct = windows.select(WINDOW).unique(maintain_order=True)
    sums = (
        stated_periods(statistics, distinct)
        .group_by(WINDOW)
        .agg(
            quantity=pl.col("value").sum(),
            unit=pl.col("unit").first(),
            reached=pl.col("stated_end").max(),
            is_confirmed=pl.col("is_confirmed").all(),
        )
    )
    return (
        distinct.join(sums, on=WINDOW, how="left", maintain_order="left")
        .with_columns(
            reached_day=pl.coalesce("reached", "first_day"), is_confirmed=pl.coalesce("is_confirmed", False)
        )
        .drop("reached")
    )


def stated_periods(statistics: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """The stated periods that fill each window from its start, one after another: the longest that fit.

    Columns out: those of the (distinct) windows + stated_first, stated_end (Int32), value (10⁻³ of `unit`),
    unit, is_confirmed. A period within a longer stated one is part of it and is left out. Nothing comes
    after a hole, nor after two periods that overlap in part.
    """
    stated = in_force(statistics).select(
        *_SERIES, "value", "unit",
        year=_year("first_day"), stated_first="first_day", stated_end="end_day",
        is_confirmed=pl.col("state").is_in(_CONFIRMED),
    )  # fmt: skip
    touched = pl.int_ranges(_year("first_day"), _year(pl.col("end_day") - 1) + 1, dtype=pl.Int32)
    # Joined year by year: a window of a month must not meet every day that was ever stated.
    by_year = windows.with_row_index("window").with_columns(year=touched).explode("year", empty_as_null=False)
    longest = (
        by_year.join(stated, on=[*_SERIES, "year"])
        .filter(pl.col("stated_first") >= pl.col("first_day"), pl.col("stated_end") <= pl.col("end_day"))
        .sort("window", "stated_first", "stated_end", descending=[False, False, True])
        .filter(pl.col("stated_end") > _before(pl.col("stated_end").cum_max()))
    )
    follows = (pl.col("stated_first") == _before(pl.col("stated_end"))) & (
        pl.col("unit") == pl.col("unit").first().over("window")
    )
    return longest.filter(follows.cum_min().over("window")).drop("window", "year")


def _before(end: pl.Expr) -> pl.Expr:
    """`end` of the row before in the window; at its first row, where the window starts."""
    return pl.coalesce(end.shift(1).over("window"), pl.col("first_day"))


def _year(day: str | pl.Expr) -> pl.Expr:
    return (pl.col(day) if isinstance(day, str) else day).cast(pl.Date).dt.year()
