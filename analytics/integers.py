"""Integer arithmetic on columns: exact products, one rounding half to even (BOOKKEEPING §5)."""

from __future__ import annotations

import polars as pl

from nengshao.domain.readings import MICRO
from nengshao.domain.units import MILLI

_MICRO_PER_MILLI = MICRO // MILLI


def rounded_quotient(product: pl.Expr, divisor: pl.Expr) -> pl.Expr:
    """`product / divisor` as Int128, rounded half to even; `divisor` > 0.

    The caller makes the product in Int128: Polars wraps Int64 silently.
    """
    wide = divisor.cast(pl.Int128)
    floor = product // wide
    twice = (product - floor * wide) * 2
    goes_up = (twice > wide) | ((twice == wide) & (floor & 1 == 1))
    return floor + goes_up.cast(pl.Int128)


def rounded_up_quotient(product: pl.Expr, divisor: pl.Expr) -> pl.Expr:
    """`product / divisor` as Int128, rounded up: for upper bounds, which must not be too low."""
    wide_divisor = divisor.cast(pl.Int128)
    return (product + wide_divisor - 1) // wide_divisor


def milli_from_micro(value: pl.Expr) -> pl.Expr:
    """10⁻³ units from 10⁻⁶ units (Int64), rounded half to even.

    Differences of values rounded so telescope: their sum is the last minus the first, exactly.
    """
    floor = value // _MICRO_PER_MILLI
    rest = value - floor * _MICRO_PER_MILLI
    half = _MICRO_PER_MILLI // 2
    goes_up = (rest > half) | ((rest == half) & (floor & 1 == 1))  # `% 2` costs six times as much
    return floor + goes_up.cast(pl.Int64)


def wide(column: str | pl.Expr) -> pl.Expr:
    """A quantity as Int128, before it is multiplied."""
    return (pl.col(column) if isinstance(column, str) else column).cast(pl.Int128)


def narrow(quantity: pl.Expr) -> pl.Expr:
    """An Int128 result as Int64; overflow fails when the plan is run (`Assessment.collect`)."""
    return quantity.cast(pl.Int64, strict=True)
