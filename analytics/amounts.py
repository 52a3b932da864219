"""Amounts, powers and stock-takes: the time that each figure speaks for, and the energy in it.

An amount belongs to its period, a power is spread over its cadence. What lies in store is read at an instant,
and its fall from one stock-take (盘点) to the next is what left the store.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from analytics.findings import FINDINGS
from analytics.integers import milli_from_micro, narrow, rounded_quotient, wide
from analytics.specs import point_specs, slot_end, slot_start
from nengshao.domain.readings import MICRO
from nengshao.domain.time import DAY_S, accounting_day
from nengshao.domain.units import MILLI, PointKind
from nengshao.frames import conform

_HOUR_S: Final = 3600
_UNLIMITED: Final = 2**63 - 1


def amount_findings(readings: pl.LazyFrame, points: pl.DataFrame) -> pl.LazyFrame:
    """FINDINGS about amount points, each figure over its period: its cadence, or its day, month or year.

    `readings`: READINGS winners, each point's together in order; invalid ones are passed over. Should a
    figure's period begin before the one before it has ended (a changed cadence), the earlier one ends there
    and keeps its amount; of two that begin together the later reading stands. So no second counts twice.
    """
    periods = _periods(readings, points, PointKind.AMOUNT)
    return _found(periods, milli_from_micro(pl.col("value")))


def power_findings(readings: pl.LazyFrame, points: pl.DataFrame) -> pl.LazyFrame:
    """FINDINGS about power points: mean power × the time it stands for (10⁻⁶ unit per hour × seconds)."""
    energy = wide("value") * (pl.col("end") - pl.col("start"))
    divisor = pl.lit(_HOUR_S * MICRO // MILLI, pl.Int128)
    periods = _periods(readings, points, PointKind.POWER)
    return _found(periods, narrow(rounded_quotient(energy, divisor)))


def stock_findings(readings: pl.LazyFrame, points: pl.DataFrame) -> pl.LazyFrame:
    """FINDINGS about stock points: what left the store from one stock-take to the next.

    `readings`: READINGS winners, each point's together in order, what lay in store at the instant; invalid
    ones are passed over. The amount is the fall of the stock, negative where it grew: with what was bought it
    gives what was consumed. Exact over its time, so "measured". Before the first stock-take nothing is known.
    """
    specs = (
        point_specs(points)
        .filter(pl.col("kind") == PointKind.STOCK)
        .select("point", "spell", "valid_from", "reads_to")
    )
    level = milli_from_micro(pl.col("value"))
    return (
        _in_force(readings, specs)
        .with_columns(start=pl.col("ts").shift(), end="ts", amount=level.shift() - level)
        .filter(pl.col("spell") == pl.col("spell").shift())
        .with_columns(quality=pl.lit("measured"), event=pl.lit(None, pl.String))
        .pipe(conform, FINDINGS)
    )


def _in_force(readings: pl.LazyFrame, specs: pl.DataFrame) -> pl.LazyFrame:
    """Valid readings with the specification in force, in the order given."""
    return (
        readings.filter("valid")
        .select("point", "ts", "value")
        .join(specs.lazy(), on="point", maintain_order="left")
        .filter(pl.col("ts") >= pl.col("valid_from"), pl.col("ts") < pl.col("reads_to"))
    )


def _periods(readings: pl.LazyFrame, points: pl.DataFrame, kind: PointKind) -> pl.LazyFrame:
    """Readings with their period as [start, end), and `most`: the largest plausible value."""
    specs = (
        point_specs(points)
        .filter(pl.col("kind") == kind)
        .with_columns(most=_most(kind))
        .select(
            "point", "spell", "spell_end", "valid_from", "reads_to", "grid", "cadence_s", "capacity", "most"
        )
    )
    next_start = pl.when(pl.col("spell") == pl.col("spell").shift(-1)).then(pl.col("start").shift(-1))
    own_start, own_end, most = pl.col("ts"), pl.col("ts") + pl.col("cadence_s"), pl.col("most")
    if (specs["grid"] != "cadence").any():  # calendar arithmetic only where there is a calendar series
        in_cadence = pl.col("grid") == "cadence"
        own_start = pl.when(in_cadence).then(own_start).otherwise(slot_start(pl.col("ts")))
        own_end = pl.when(in_cadence).then(own_end).otherwise(slot_end(pl.col("ts")))
        if kind == PointKind.AMOUNT:
            most = pl.when(in_cadence).then(most).otherwise(_passed(pl.col("end") - pl.col("start")))
    return (
        _in_force(readings, specs)
        .with_columns(start=own_start, end=own_end)
        .with_columns(most=most)
        .with_columns(end=pl.min_horizontal("end", "spell_end", next_start))
        .filter(pl.col("start") < pl.col("end"))
    )


def _most(kind: PointKind) -> pl.Expr:
    """The largest plausible value of a series in its cadence, in 10⁻⁶ units (per hour)."""
    return _passed(pl.lit(_HOUR_S) if kind == PointKind.POWER else pl.col("cadence_s"))


def _passed(seconds: pl.Expr) -> pl.Expr:
    """What the rated capacity lets through in so many seconds, 10⁻⁶ units, rounded down."""
    passed = wide("capacity") * (MICRO // MILLI) * seconds // _HOUR_S
    return narrow(pl.min_horizontal(passed, pl.lit(_UNLIMITED, pl.Int128))).fill_null(_UNLIMITED)


def _found(periods: pl.LazyFrame, amount: pl.Expr) -> pl.LazyFrame:
    periods = periods.cache()
    is_plausible = pl.col("value").is_between(0, pl.col("most"))
    figures = periods.with_columns(
        amount=pl.when(is_plausible).then(amount),
        quality=pl.when(is_plausible).then(pl.lit("measured")).otherwise(pl.lit("missing")),
        event=pl.when(~is_plausible).then(pl.lit("implausible_amount")),
    )
    return pl.union([conform(figures, FINDINGS), _stuck_days(periods)])


def _stuck_days(periods: pl.LazyFrame) -> pl.LazyFrame:
    """FINDINGS: "stuck", at the last reading of an accounting day whose every figure is the same, not zero.

    Only of series with a figure an hour or more often: there no load stands still to the last digit. Whole
    days, so that no reading of another day matters.
    """
    figures = {"day": accounting_day(pl.col("start")), "point": pl.col("point"), "value": pl.col("value")}
    is_same = pl.all_horizontal(figure == figure.shift() for figure in figures.values())
    days = (
        periods.filter(pl.col("grid") == "cadence", pl.col("cadence_s") <= _HOUR_S)
        .filter(is_same & (pl.col("value") != 0))
        .group_by(figure.alias(name) for name, figure in figures.items())
        .agg(
            pl.col("ts", "cadence_s").max(), followed_s=(pl.col("end") - pl.col("start")).sum()
        )  # the day without the first of the figures
        .filter(pl.col("followed_s") >= DAY_S - pl.col("cadence_s"))
    )
    return conform(
        days.select(
            "point", "ts",
            start=pl.lit(None, pl.Int64), end=pl.lit(None, pl.Int64), amount=pl.lit(None, pl.Int64),
            quality=pl.lit(None, pl.String), event=pl.lit("stuck"),
        ),
        FINDINGS,
    )  # fmt: skip
