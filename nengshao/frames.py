"""Column contracts: the frames that travel between the rooms, one line of meaning per column.

Every quantity is an integer and its name or its line says the scale. Times are UTC, whole seconds since
1970. `day` columns are accounting-day numbers (Asia/Shanghai). A contract is checked on the lazy schema:
columns, types and order; extra columns are dropped by `conform`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from nengshao.domain.errors import FrameContractError


@dataclass(frozen=True, slots=True)
class Contract:
    """A named frame: its schema in order, and the columns it is sorted and unique by."""

    name: str
    schema: Mapping[str, pl.DataType | type[pl.DataType]]
    key: tuple[str, ...]

    def empty(self) -> pl.DataFrame:
        """A frame of this contract without rows."""
        return pl.DataFrame(schema=dict(self.schema))


def conform(frame: pl.LazyFrame, contract: Contract) -> pl.LazyFrame:
    """`frame` with exactly the contract's columns in its order.

    Raises: FrameContractError naming every missing or mistyped column.
    """
    actual = frame.collect_schema()
    problems = [
        f"{name}: {actual.get(name, 'missing')} instead of {dtype}"
        for name, dtype in contract.schema.items()
        if actual.get(name) != dtype
    ]
    if problems:
        raise FrameContractError(f"{contract.name}: " + ", ".join(problems))
    return frame.select(list(contract.schema))


READINGS: Final = Contract(
    "READINGS",
    {
        "point": pl.Int64,  # PointKey.point
        "ts": pl.Int64,  # register: instant read; amount, power: start of the period
        "version": pl.Int64,  # uploadDate, seconds; the highest wins
        "value": pl.Int64,  # 10⁻⁶ canonical unit (register, amount), 10⁻⁶ unit per hour (power)
        "valid": pl.Boolean,  # False: kept, never summed
        "input_type": pl.Int8,  # 数据采集来源, InputType
    },
    key=("point", "ts"),
)
"""Winning readings have one row per (point, ts); stored readings one per (point, ts, version)."""

WINNER_ORDER: Final = ("version", "value", "valid", "input_type")
"""Which of two readings of one (point, ts) wins: the greater in this order, never the later to arrive."""

POINTS: Final = Contract(
    "POINTS",
    {
        "point": pl.Int64,
        "enterprise": pl.String,
        "data_code": pl.String,  # 16 digits
        "stat_type": pl.Int8,
        "meter": pl.String,
        "name": pl.String,  # what people call it
        "device": pl.String,  # deviceId that serves the point while this row is in force
        "carrier": pl.String,  # Carrier
        "kind": pl.String,  # PointKind
        "role": pl.String,  # Role: input, output (boundary) or sub
        "feeds_total": pl.Boolean,  # exactly one stat_type of an item feeds totals
        "unit": pl.String,  # Unit of dataValue as sent (power: that unit per hour)
        "ratio_num": pl.Int64,  # CT×PT ratio as a fraction, applied to dataValue
        "ratio_den": pl.Int64,
        "cadence_s": pl.Int64,  # of real-time series; day, month and year series follow the calendar
        "grace_s": pl.Int64,  # after a period's end, before it counts as missing
        "max_estimate_s": pl.Int64,  # longest gap of a register that is interpolated
        "capacity": pl.Int64,  # rated, 10⁻³ canonical unit per hour; null: not known
        "register_modulus": pl.Int64,  # register returns to 0 at this, 10⁻⁶ canonical; null: never
        "expected_daily": pl.Int64,  # 10⁻³ canonical unit a day: the point's weight in coverage
        "valid_from": pl.Int64,
        "valid_to": pl.Int64,  # null: in force
    },
    key=("point", "valid_from"),
)
"""Dated specifications of points; the rows of one point never overlap."""

METER_CHANGES: Final = Contract(
    "METER_CHANGES",
    {
        "point": pl.Int64,
        "at": pl.Int64,  # the instant of the replacement
        "closing": pl.Int64,  # last read of the old meter, 10⁻⁶ canonical
        "opening": pl.Int64,  # first read of the new meter, 10⁻⁶ canonical
    },
    key=("point", "at"),
)

QUOTAS: Final = Contract(
    "QUOTAS",
    {
        "enterprise": pl.String,
        "year": pl.Int32,
        "basis": pl.String,  # Basis
        "scope": pl.String,  # what is counted, e.g. including or excluding feedstock
        "quota_g": pl.Int64,  # g of standard coal in the accounting year
        "profile": pl.String,  # how the quota spreads over the year: "linear"
        "source": pl.String,  # the document that sets it
        "confidence": pl.String,  # Confidence
    },
    key=("enterprise", "year", "basis", "scope"),
)

SEGMENTS: Final = Contract(
    "SEGMENTS",
    {
        "point": pl.Int64,
        "start": pl.Int64,
        "end": pl.Int64,  # half-open [start, end)
        "amount": pl.Int64,  # 10⁻³ canonical unit; null: unknown (missing)
        "quality": pl.String,  # "measured" | "estimated" | "block" | "missing"
    },
    key=("point", "start"),
)
"""Stretches of a point's time with the energy that flowed in them. A block's amount is exact but its
place within [start, end) is not known; a missing stretch has no amount."""

POINT_DAYS: Final = Contract(
    "POINT_DAYS",
    {
        "enterprise": pl.String,
        "point": pl.Int64,
        "day": pl.Int32,
        "carrier": pl.String,
        "sign": pl.Int8,  # +1 input, -1 output, 0 inside the boundary
        "amount": pl.Int64,  # 10⁻³ canonical unit, measured + estimated
        "measured_s": pl.Int64,
        "estimated_s": pl.Int64,
        "spread_s": pl.Int64,  # of estimated_s: an exact figure of a longer period, spread over its days
        "missing_s": pl.Int64,
        "pending_s": pl.Int64,
        "gap_high": pl.Int64,  # at most this more in missing time outside blocks; null: unbounded
        "weight_g_day": pl.Int64,  # standard coal (calorific) the point is expected to carry a day
        "calorific_g": pl.Int64,  # amount as g standard coal, 当量值; null: no factor
        "equivalent_g": pl.Int64,  # 等价值; null: no factor
        "calorific_factor": pl.String,  # factor_id; null: no factor
        "equivalent_factor": pl.String,
        "recheck_at": pl.Int64,  # when pending time next becomes missing; null: nothing pending
    },
    key=("enterprise", "point", "day"),
)

BLOCKS: Final = Contract(
    "BLOCKS",
    {
        "enterprise": pl.String,
        "point": pl.Int64,
        "start": pl.Int64,
        "end": pl.Int64,
        "sign": pl.Int8,
        "amount": pl.Int64,  # exact over [start, end), 10⁻³ canonical unit
        "calorific_g": pl.Int64,
        "equivalent_g": pl.Int64,
    },
    key=("enterprise", "point", "start"),
)
"""Long gaps of registers: atoms of the bounds at every level."""

ENTERPRISE_DAYS: Final = Contract(
    "ENTERPRISE_DAYS",
    {
        "enterprise": pl.String,
        "day": pl.Int32,
        "calorific_g": pl.Int64,  # inputs − outputs, g standard coal; null: a factor is missing
        "equivalent_g": pl.Int64,
        "calorific_gap_low": pl.Int64,  # ≤ 0: what missing outputs could take away; null: unbounded
        "calorific_gap_high": pl.Int64,  # ≥ 0: what missing inputs could add; null: unbounded
        "equivalent_gap_low": pl.Int64,
        "equivalent_gap_high": pl.Int64,
        "measured_w": pl.Int64,  # weight × seconds, boundary points; shares are taken when shown
        "estimated_w": pl.Int64,
        "spread_w": pl.Int64,  # of estimated_w: measured, as soon as the longer period is asked as a whole
        "missing_w": pl.Int64,
        "pending_w": pl.Int64,
        "lowest_point": pl.Int64,  # the feeding point with the least measured share
        "missing_points": pl.String,  # comma-separated ids of the feeding points with missing time
        "no_factor": pl.String,  # comma-separated carrier:basis without a factor; "" if none
        "calorific_confirmed": pl.Boolean,  # every factor used is confirmed
        "equivalent_confirmed": pl.Boolean,
        "published": pl.Boolean,  # nothing of the day is pending
        "recheck_at": pl.Int64,
    },
    key=("enterprise", "day"),
)

PROGRESS: Final = Contract(
    "PROGRESS",
    {
        "enterprise": pl.String,
        "year": pl.Int32,
        "basis": pl.String,
        "scope": pl.String,
        "quota_g": pl.Int64,
        "quota_confirmed": pl.Boolean,
        "as_of_day": pl.Int32,  # last day up to which nothing is pending
        "used_g": pl.Int64,  # to the end of as_of_day; null: a factor is missing
        "low_g": pl.Int64,  # bounds of used_g; null: unbounded
        "high_g": pl.Int64,
        "due_g": pl.Int64,  # what the profile allows by the end of as_of_day
        "pace": pl.Float64,  # used_g / due_g
        "pace_low": pl.Float64,
        "pace_high": pl.Float64,
        "is_confirmed": pl.Boolean,  # every factor used, and the quota, is confirmed
        "coverage": pl.Float64,  # measured + estimated share to the end of as_of_day
    },
    key=("enterprise", "year", "basis", "scope"),
)

LOAD: Final = Contract(
    "LOAD",
    {
        "enterprise": pl.String,
        "point": pl.Int64,
        "start": pl.Int64,  # of the hour
        "amount": pl.Int64,  # 10⁻³ canonical unit within the hour, measured + estimated
        "covered_s": pl.Int64,  # how much of the hour has a figure; never filled up with zero
    },
    key=("enterprise", "point", "start"),
)

DEVICE_SILENCE: Final = Contract(
    "DEVICE_SILENCE",
    {
        "enterprise": pl.String,
        "device": pl.String,
        "last_seen": pl.Int64,  # last accepted delivery, or the start of duty if there was none
        "silent_seconds": pl.Int64,
    },
    key=("enterprise", "device"),
)
