"""Column contracts: the frames that travel between the rooms, one line of meaning per column.

Every quantity is an integer and its name or its line says the scale. Times are UTC, whole seconds since
1970. `day` columns are accounting-day numbers (Asia/Shanghai). A contract is checked on the lazy schema:
columns, types and order; extra columns are dropped by `conform`.
"""

from __future__ import annotations

from nengshao.frames.contract import Contract, conform
from nengshao.frames.metering import (
    BLOCKS,
    DEVICE_SILENCE,
    HEATING_VALUES,
    LOAD,
    METER_CHANGES,
    METER_EVENTS,
    POINT_DAYS,
    POINTS,
    READINGS,
    SEGMENTS,
    VIRTUAL_TERMS,
    WINNER_ORDER,
)
from nengshao.frames.results import (
    ENTERPRISE_DAYS,
    INTENSITY,
    MEASURES,
    PROGRESS,
    SCOPE_DAYS,
)
from nengshao.frames.targets import (
    INTENSITY_TARGETS,
    PRODUCT_SHARES,
    PRODUCTS,
    QUOTA_PLANS,
    QUOTAS,
    STATISTICS,
)

__all__ = [
    "BLOCKS",
    "DEVICE_SILENCE",
    "ENTERPRISE_DAYS",
    "HEATING_VALUES",
    "INTENSITY",
    "INTENSITY_TARGETS",
    "LOAD",
    "MEASURES",
    "METER_CHANGES",
    "METER_EVENTS",
    "POINTS",
    "POINT_DAYS",
    "PRODUCTS",
    "PRODUCT_SHARES",
    "PROGRESS",
    "QUOTAS",
    "QUOTA_PLANS",
    "READINGS",
    "SCOPE_DAYS",
    "SEGMENTS",
    "STATISTICS",
    "VIRTUAL_TERMS",
    "WINNER_ORDER",
    "Contract",
    "conform",
]
