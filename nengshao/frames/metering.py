"""Frames of metering: readings, what is measured where, and the energy of points."""

from __future__ import annotations

from typing import Final

import polars as pl

from nengshao.frames.contract import Contract

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
