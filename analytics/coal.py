"""Standard coal: physical amounts × dated factors, on both bases side by side.

One Int128 product, one rounding half to even, one strict cast, at point × day (BOOKKEEPING §5).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import polars as pl

from analytics.integers import narrow, rounded_quotient, wide
from nengshao.domain.errors import FactorMissing
from nengshao.domain.factors import Basis, CoalFactor, FactorTable
from nengshao.domain.time import date_of
from nengshao.domain.units import Carrier
from nengshao.frames import Contract

FACTOR_DAYS: Final = Contract(
    "FACTOR_DAYS",
    {
        "carrier": pl.String,
        "day": pl.Int32,
        "calorific_num": pl.Int64,  # kgce per canonical unit = g per 10⁻³ unit; null: no factor
        "calorific_den": pl.Int64,
        "calorific_factor": pl.String,  # factor_id
        "calorific_confirmed": pl.Boolean,
        "equivalent_num": pl.Int64,
        "equivalent_den": pl.Int64,
        "equivalent_factor": pl.String,
        "equivalent_confirmed": pl.Boolean,
    },
    key=("carrier", "day"),
)


def factors_per_day(factors: FactorTable, *, first_day: int, end_day: int) -> pl.DataFrame:
    """FACTOR_DAYS of every carrier and day of [first_day, end_day). Without a row: nulls, never a guess."""
    spans = pl.DataFrame(
        [
            {"carrier": carrier.value, "first": first, "end": end}
            | {
                key: value
                for basis in Basis
                for key, value in _columns(factors, carrier, basis, first).items()
            }
            for carrier in Carrier
            for first, end in _unchanged_spans(factors, carrier, first_day, end_day)
        ],
        schema={"carrier": pl.String, "first": pl.Int32, "end": pl.Int32}
        | {name: dtype for name, dtype in FACTOR_DAYS.schema.items() if name not in FACTOR_DAYS.key},
    )
    daily = spans.with_columns(day=pl.int_ranges("first", "end", dtype=pl.Int32))
    return daily.explode("day", empty_as_null=False).select(list(FACTOR_DAYS.schema))


def to_standard_coal(frame: pl.LazyFrame, factor_days: pl.DataFrame) -> pl.LazyFrame:
    """`frame` (carrier, day, amount in 10⁻³ canonical unit, …) with calorific_g and equivalent_g (g of
    standard coal; null: amount unknown or no factor) and the columns of FACTOR_DAYS.

    Overflow fails when the plan is run.
    """
    return frame.join(
        factor_days.lazy(), on=["carrier", "day"], how="left", maintain_order="left"
    ).with_columns(coal_of("amount", basis).alias(f"{basis}_g") for basis in Basis)


def coal_of(amount: str, basis: Basis) -> pl.Expr:
    """g of standard coal of a column in 10⁻³ canonical unit, from the row's FACTOR_DAYS columns."""
    product = wide(amount) * wide(f"{basis}_num")
    return narrow(rounded_quotient(product, pl.col(f"{basis}_den")))


def _unchanged_spans(
    factors: FactorTable, carrier: Carrier, first_day: int, end_day: int
) -> list[tuple[int, int]]:
    """[first_day, end_day) cut where a row of the carrier begins or ends."""
    epoch = date_of(0)
    rows = [row for row in factors.rows if row.carrier is carrier]
    dates = [row.valid_from for row in rows] + [row.valid_to for row in rows if row.valid_to is not None]
    borders = {(date - epoch).days for date in dates}
    cuts = [first_day, *sorted(day for day in borders if first_day < day < end_day), end_day]
    return list(pairwise(cuts))


def _columns(factors: FactorTable, carrier: Carrier, basis: Basis, day: int) -> dict[str, object]:
    row = factor_on(factors, carrier, basis, day)
    if row is None:
        return {}
    return {
        f"{basis}_num": row.kgce_per_unit.numerator,
        f"{basis}_den": row.kgce_per_unit.denominator,
        f"{basis}_factor": row.factor_id,
        f"{basis}_confirmed": row.confidence.is_confirmed,
    }


def factor_on(factors: FactorTable, carrier: Carrier, basis: Basis, day: int) -> CoalFactor | None:
    """The row valid on an accounting day; None where there is none."""
    try:
        return factors.at(carrier, basis, date_of(day))
    except FactorMissing:
        return None
