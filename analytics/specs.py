"""What the registry says of points, prepared for the arithmetic: spells, slots and duty.

A *spell* is an unbroken run of specification rows of one point and kind, of a register also of one ratio and
unit: within it readings follow one another, across its border they don't. A *slot* is one period in which a
point owes a figure. *Duty* is the time in which a point is expected to deliver: its validity within its
enterprise's activity.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from nengshao.domain.readings import StatType
from nengshao.domain.time import LOCAL_OFFSET_S, accounting_day, day_start
from nengshao.domain.units import PointKind, Role

FOREVER: Final = 253_402_300_800
"""Stands for an open end: 10000-01-01T00:00:00Z."""

_GRIDS: Final = {
    StatType.REAL_TIME: "cadence",
    StatType.DAY: "1d",
    StatType.MONTH: "1mo",
    StatType.YEAR: "1y",
}


def point_specs(points: pl.DataFrame) -> pl.DataFrame:
    """POINTS with `valid_to` closed (FOREVER), and more per row.

    - `spell` (Int64): unbroken run of rows of one point and kind, `spell_end` its last instant. A register's
      figures jump where its ratio or unit changes, so there its spell ends, and in the row that follows
      `is_rescaled` is true;
    - `reads_to`: readings with `valid_from <= ts < reads_to` belong to the row. A register's closing read
      at the very end of a spell still counts, unless another row of the point begins there;
    - `grid`: "cadence" | "1d" | "1mo" | "1y", what its slots follow. Registers follow their cadence;
    - `sign`: +1 input, -1 output, 0 what does not add to the total (inside, or only reconciling).
    """
    is_register = pl.col("kind") == PointKind.REGISTER
    is_read_at_instants = pl.col("kind").is_in([PointKind.REGISTER, PointKind.STOCK])
    same_point = pl.col("point") == pl.col("point").shift(-1)
    continues = (
        (pl.col("point") == pl.col("point").shift())
        & (pl.col("kind") == pl.col("kind").shift())
        & (pl.col("valid_from") == pl.col("valid_to").shift())
    )
    scale = ("unit", "ratio_num", "ratio_den")
    is_rescaled = is_register & pl.any_horizontal(pl.col(c) != pl.col(c).shift() for c in scale)
    is_followed = same_point & (pl.col("valid_to") == pl.col("valid_from").shift(-1))
    return (
        points.with_columns(pl.col("valid_to").fill_null(FOREVER))
        .sort("point", "valid_from")
        .with_columns(
            spell=(~continues | is_rescaled).fill_null(value=True).cast(pl.Int64).cum_sum(),
            is_rescaled=(continues & is_rescaled).fill_null(value=False),
            reads_to=pl.col("valid_to")
            + (is_read_at_instants & ~is_followed.fill_null(value=False)).cast(pl.Int64),
            grid=pl.when(is_register)
            .then(pl.lit("cadence"))
            .otherwise(
                pl.col("stat_type").replace_strict(
                    {int(k): v for k, v in _GRIDS.items()}, return_dtype=pl.String
                )
            ),
            sign=_sign(),
        )
        .with_columns(spell_end=pl.col("valid_to").max().over("spell"))
    )


def point_duties(points: pl.DataFrame, enterprises: pl.DataFrame, *, as_of: int) -> pl.DataFrame:
    """`point_specs` of points on duty, and when they are, sorted by (enterprise, point, valid_from).

    - `on_from`, `on_to`: the row's validity within its enterprise's activity;
    - `pending_from`: uncovered time from here on is not yet due at `as_of`; earlier it is missing. It is
      the start of the first slot whose end plus grace has not passed.
    """
    activity = enterprises.select("enterprise", "active_from", pl.col("active_to").fill_null(FOREVER))
    return (
        point_specs(points)
        .join(activity, on="enterprise")
        .with_columns(
            on_from=pl.max_horizontal("valid_from", "active_from"),
            on_to=pl.min_horizontal("valid_to", "active_to"),
            pending_from=slot_start(as_of - pl.col("grace_s")),
        )
        .filter(pl.col("on_from") < pl.col("on_to"))
        .drop("active_from", "active_to")
        .sort("enterprise", "point", "valid_from")
    )


def slot_start(instant: pl.Expr) -> pl.Expr:
    """Start of the slot that holds `instant`, by the row's `grid` and `cadence_s`.

    All slots are those of the local clock (Asia/Shanghai).
    """
    date = accounting_day(instant).cast(pl.Int32).cast(pl.Date)
    cadence = pl.col("cadence_s")
    return (
        pl.when(pl.col("grid") == "cadence")
        .then((instant + LOCAL_OFFSET_S) // cadence * cadence - LOCAL_OFFSET_S)
        .when(pl.col("grid") == "1d")
        .then(_instant(date))
        .when(pl.col("grid") == "1mo")
        .then(_instant(date.dt.truncate("1mo")))
        .otherwise(_instant(date.dt.truncate("1y")))
    )


def slot_end(instant: pl.Expr) -> pl.Expr:
    """End of the slot that holds `instant` (see `slot_start`)."""
    date = accounting_day(instant).cast(pl.Int32).cast(pl.Date)
    cadence = pl.col("cadence_s")
    return (
        pl.when(pl.col("grid") == "cadence")
        .then(((instant + LOCAL_OFFSET_S) // cadence + 1) * cadence - LOCAL_OFFSET_S)
        .when(pl.col("grid") == "1d")
        .then(_instant(date.dt.offset_by("1d")))
        .when(pl.col("grid") == "1mo")
        .then(_instant(date.dt.truncate("1mo").dt.offset_by("1mo")))
        .otherwise(_instant(date.dt.truncate("1y").dt.offset_by("1y")))
    )


def _instant(date: pl.Expr) -> pl.Expr:
    return day_start(date.cast(pl.Int32).cast(pl.Int64))


def _sign() -> pl.Expr:
    return (
        pl.when(~pl.col("feeds_total") | pl.col("role").is_in([Role.SUB, Role.RECOVERED]))
        .then(0)
        .when(pl.col("role") == Role.OUTPUT)
        .then(-1)
        .otherwise(1)
        .cast(pl.Int8)
    )
