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
        "role": pl.String,  # Role: input, output (boundary), sub or recovered (inside)
        "use": pl.String,  # Use: in which scopes the point counts
        "parent": pl.Int64,  # the meter that this one is a sub-meter of; null: none
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

VIRTUAL_TERMS: Final = Contract(
    "VIRTUAL_TERMS",
    {
        "point": pl.Int64,  # of kind "virtual"
        "term": pl.Int64,  # a point of the same enterprise and carrier, possibly virtual itself
        "num": pl.Int64,  # coefficient as a fraction; may be negative
        "den": pl.Int64,  # > 0
        "valid_from": pl.Int64,
        "valid_to": pl.Int64,  # null: in force
    },
    key=("point", "term", "valid_from"),
)
"""What virtual points are made of: virtual = Σ num/den × term, day by day."""

HEATING_VALUES: Final = Contract(
    "HEATING_VALUES",
    {
        "enterprise": pl.String,
        "carrier": pl.String,
        "heat_j": pl.Int64,  # measured 低位发热量, J per canonical unit (kg, m³)
        "source": pl.String,  # the test report
        "confidence": pl.String,  # Confidence
        "valid_from": pl.Int64,
        "valid_to": pl.Int64,  # null: in force
    },
    key=("enterprise", "carrier", "valid_from"),
)
"""An enterprise's own measured heating values; they go before the standards' defaults."""

PRODUCTS: Final = Contract(
    "PRODUCTS",
    {
        "enterprise": pl.String,
        "product": pl.String,  # its id within the enterprise
        "name": pl.String,
        "unit": pl.String,  # of its output: t, m2, kWh, …
        "norm": pl.String,  # id in analytics/norms; "": none
        "valid_from": pl.Int64,
        "valid_to": pl.Int64,  # null: in force
    },
    key=("enterprise", "product", "valid_from"),
)

PRODUCT_SHARES: Final = Contract(
    "PRODUCT_SHARES",
    {
        "enterprise": pl.String,
        "product": pl.String,
        "point": pl.Int64,
        "num": pl.Int64,  # which part of the point's energy the product is charged with; may be negative
        "den": pl.Int64,  # > 0
        "valid_from": pl.Int64,
        "valid_to": pl.Int64,  # null: in force
    },
    key=("enterprise", "product", "point", "valid_from"),
)
"""Whose energy a product is charged with. A product without any row is charged with the enterprise's total."""

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
        "enterprise": pl.String,  # or a region's code
        "year": pl.Int32,
        "basis": pl.String,  # Basis
        "scope": pl.String,  # Scope
        "level": pl.String,  # TargetLevel: base or incentive
        "quota_g": pl.Int64,  # g of standard coal, or of CO2, in the accounting year
        "profile": pl.String,  # Profile: how the quota spreads over the year
        "source": pl.String,  # the document that sets it
        "confidence": pl.String,  # Confidence
    },
    key=("enterprise", "year", "basis", "scope", "level"),
)

QUOTA_PLANS: Final = Contract(
    "QUOTA_PLANS",
    {
        "enterprise": pl.String,
        "year": pl.Int32,
        "basis": pl.String,
        "scope": pl.String,
        "month": pl.Int32,  # 1 … 12
        "planned_g": pl.Int64,  # what the enterprise plans to use in the month
    },
    key=("enterprise", "year", "basis", "scope", "month"),
)
"""The shape of quotas with profile "plan"; a plan need not add up to the quota, it is scaled to it."""

INTENSITY_TARGETS: Final = Contract(
    "INTENSITY_TARGETS",
    {
        "enterprise": pl.String,  # or a region's code
        "year": pl.Int32,
        "basis": pl.String,
        "scope": pl.String,
        "denominator": pl.String,  # "product:<id>", or the Indicator of a value: "output_value_comparable", …
        "level": pl.String,  # TargetLevel
        "target_mg": pl.Int64,  # mg of coal or CO2 per unit of the denominator (t, 1e4CNY, …); null: see next
        "reduction_ppm": pl.Int64,  # reduction against the base year, 10⁻⁶; null: `target_mg` says it
        "base_year": pl.Int32,  # of the reduction; null with `target_mg`
        "source": pl.String,
        "confidence": pl.String,
    },
    key=("enterprise", "year", "basis", "scope", "denominator", "level"),
)

STATISTICS: Final = Contract(
    "STATISTICS",
    {
        "subject": pl.String,  # an enterprise, or a region's code
        "indicator": pl.String,  # Indicator
        "item": pl.String,  # product id, "<product>/<parameter>", a Basis; "" if the indicator has none
        "first_day": pl.Int32,
        "end_day": pl.Int32,  # exclusive
        "version": pl.Int64,  # when it was accepted; the highest that was not rejected stands
        "value": pl.Int64,  # 10⁻³ of `unit`
        "unit": pl.String,  # t, 1e4CNY, tce, ratio, …
        "state": pl.String,  # StatisticState
        "source": pl.String,
        "submitted_by": pl.String,
        "decided_by": pl.String,  # "" until somebody decided
        "decided_at": pl.Int64,  # null until then
        "note": pl.String,  # a reason given with the decision
    },
    key=("subject", "indicator", "item", "first_day", "version"),
)
"""Dated figures that people state: output, 产值, 增加值, GDP, a region's total. Every version is kept."""

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
        "use": pl.String,  # Use
        "amount": pl.Int64,  # 10⁻³ canonical unit, measured + estimated
        "measured_s": pl.Int64,
        "estimated_s": pl.Int64,
        "spread_s": pl.Int64,  # of estimated_s: an exact figure of a longer period, spread over its days
        "missing_s": pl.Int64,
        "pending_s": pl.Int64,
        "gap_low": pl.Int64,  # ≤ 0: at most this less in missing time outside blocks; null: unbounded
        "gap_high": pl.Int64,  # ≥ 0: at most this more; null: unbounded
        "weight_g_day": pl.Int64,  # standard coal (calorific) the point is expected to carry a day
        "calorific_g": pl.Int64,  # amount as g standard coal, 当量值; null: no factor
        "equivalent_g": pl.Int64,  # 等价值; null: no factor
        "carbon_g": pl.Int64,  # g CO2; null: no factor
        "calorific_factor": pl.String,  # factor_id; null: no factor
        "equivalent_factor": pl.String,
        "carbon_factor": pl.String,
        "recheck_at": pl.Int64,  # when pending time next becomes missing; null: nothing pending
    },
    key=("enterprise", "point", "day"),
)

BLOCKS: Final = Contract(
    "BLOCKS",
    {
        "enterprise": pl.String,
        "via": pl.Int64,  # the point that counts it: `point` itself, or a virtual point that it is a term of
        "point": pl.Int64,
        "start": pl.Int64,
        "end": pl.Int64,
        "sign": pl.Int8,  # of `via`
        "use": pl.String,
        "amount": pl.Int64,  # exact over [start, end), 10⁻³ canonical unit
        "calorific_g": pl.Int64,
        "equivalent_g": pl.Int64,
        "carbon_g": pl.Int64,
    },
    key=("enterprise", "via", "point", "start"),
)
"""Long gaps of registers: atoms of the bounds at every level."""

_TOTALS: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "calorific_g": pl.Int64,  # inputs − outputs, g standard coal; null: a factor is missing
    "equivalent_g": pl.Int64,
    "carbon_g": pl.Int64,  # g CO2
    "calorific_gap_low": pl.Int64,  # ≤ 0: what missing time could take away; null: unbounded
    "calorific_gap_high": pl.Int64,  # ≥ 0: what it could add; null: unbounded
    "equivalent_gap_low": pl.Int64,
    "equivalent_gap_high": pl.Int64,
    "carbon_gap_low": pl.Int64,
    "carbon_gap_high": pl.Int64,
    "measured_w": pl.Int64,  # weight × seconds, points that count; shares are taken when shown
    "estimated_w": pl.Int64,
    "spread_w": pl.Int64,  # of estimated_w: measured, as soon as the longer period is asked as a whole
    "missing_w": pl.Int64,
    "pending_w": pl.Int64,
    "lowest_point": pl.Int64,  # the counting point with the least measured share
    "missing_points": pl.String,  # comma-separated ids of the counting points with missing time
    "no_factor": pl.String,  # comma-separated carrier:basis without a factor; "" if none
    "calorific_confirmed": pl.Boolean,  # every factor used is confirmed
    "equivalent_confirmed": pl.Boolean,
    "carbon_confirmed": pl.Boolean,
    "published": pl.Boolean,  # nothing of the day is pending
    "recheck_at": pl.Int64,
}

ENTERPRISE_DAYS: Final = Contract(
    "ENTERPRISE_DAYS",
    {"enterprise": pl.String, "day": pl.Int32, **_TOTALS},
    key=("enterprise", "day"),
)
"""Scope "total". A region's rows are of the same form, its code as `enterprise`: the sum of its key units."""

SCOPE_DAYS: Final = Contract(
    "SCOPE_DAYS",
    {"enterprise": pl.String, "day": pl.Int32, "scope": pl.String, **_TOTALS},
    key=("enterprise", "day", "scope"),
)
"""The scopes other than "total", of enterprises that have a point with a use other than energy. For others
every deduction is nothing, and every scope that excludes something is the total."""

PROGRESS: Final = Contract(
    "PROGRESS",
    {
        "enterprise": pl.String,
        "year": pl.Int32,
        "basis": pl.String,
        "scope": pl.String,
        "level": pl.String,
        "quota_g": pl.Int64,
        "quota_confirmed": pl.Boolean,
        "as_of_day": pl.Int32,  # last day up to which nothing is pending
        "used_g": pl.Int64,  # to the end of as_of_day; null: a factor is missing
        "low_g": pl.Int64,  # bounds of used_g; null: unbounded
        "high_g": pl.Int64,
        "due_g": pl.Int64,  # what the profile allows by the end of as_of_day; null: no profile to go by
        "pace": pl.Float64,  # used_g / due_g
        "pace_low": pl.Float64,
        "pace_high": pl.Float64,
        "projected_g": pl.Int64,  # what the whole year is expected to come to; null: not enough to say
        "projected_low_g": pl.Int64,  # 80 % interval
        "projected_high_g": pl.Int64,
        "projection": pl.String,  # Projection: by what method; "" if none
        "is_confirmed": pl.Boolean,  # every factor used, and the quota, is confirmed
        "coverage": pl.Float64,  # measured + estimated share to the end of as_of_day
    },
    key=("enterprise", "year", "basis", "scope", "level"),
)

INTENSITY: Final = Contract(
    "INTENSITY",
    {
        "enterprise": pl.String,  # or a region's code: then of statistics alone
        "denominator": pl.String,  # as in INTENSITY_TARGETS
        "basis": pl.String,
        "scope": pl.String,
        "period": pl.String,  # "2025", "2025-03": a year (to date) or a month
        "first_day": pl.Int32,
        "end_day": pl.Int32,  # exclusive: how far energy and denominator both reach
        "is_whole": pl.Boolean,  # whether that is the whole period
        "energy_g": pl.Int64,  # null: a factor is missing, or nothing was measured
        "low_g": pl.Int64,  # bounds; null: unbounded
        "high_g": pl.Int64,
        "quantity": pl.Int64,  # of the denominator, 10⁻³ of `unit`
        "unit": pl.String,
        "intensity": pl.Float64,  # kg per unit; null: unknown, or nothing was made
        "intensity_low": pl.Float64,
        "intensity_high": pl.Float64,
        "previous": pl.Float64,  # the same days a year before; null: unknown
        "change": pl.Float64,  # (intensity − previous) / previous
        "chain": pl.Float64,  # against the month before; null for a year
        "target": pl.Float64,  # kg per unit, base level; null: none is set
        "target_confirmed": pl.Boolean,
        "state": pl.String,  # IntensityState; "" if it cannot be said
        "norm": pl.String,  # id; "" if none applies
        "limit_1": pl.Float64,  # kg per unit after the norm's corrections; null: the norm has none
        "limit_2": pl.Float64,
        "limit_3": pl.Float64,
        "benchmark": pl.Float64,  # 标杆水平
        "baseline": pl.Float64,  # 基准水平
        "grade": pl.String,  # "1" | "2" | "3" | "over"; "" if it cannot be said
        "gap": pl.Float64,  # kg per unit above limit 3 (< 0: below)
        "gap_g": pl.Int64,  # the same for the whole quantity
        "norm_confirmed": pl.Boolean,
        "is_confirmed": pl.Boolean,  # factors and denominator
        "coverage": pl.Float64,
    },
    key=("enterprise", "denominator", "basis", "scope", "period"),
)

MEASURES: Final = Contract(
    "MEASURES",
    {
        "enterprise": pl.String,  # or a region's code
        "measure": pl.String,  # Measure
        "subject": pl.String,  # what below the enterprise: a quota, a device, a point, a product
        "at": pl.Int64,  # the instant up to which the figure reaches
        "value": pl.Float64,  # null: unknown
        "low": pl.Float64,  # bounds; null: unbounded
        "high": pl.Float64,
        "coverage": pl.Float64,  # null: does not apply
        "is_confirmed": pl.Boolean,
    },
    key=("enterprise", "measure", "subject", "at"),
)
"""What rules look at: every figure of every kind in one form."""

METER_EVENTS: Final = Contract(
    "METER_EVENTS",
    {
        "enterprise": pl.String,
        "point": pl.Int64,
        "ts": pl.Int64,  # of the read that shows it, or of the replacement
        "event": pl.String,  # registers.EVENTS
    },
    key=("enterprise", "point", "ts", "event"),
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
