"""The registry: who is monitored, through which devices and points, against which quotas — as frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import polars as pl

from nengshao.frames import METER_CHANGES, POINTS, QUOTAS, Contract

REGIONS: Final = Contract(
    "REGIONS",
    {"code": pl.String, "name": pl.String, "parent": pl.String},  # 行政区划代码; parent null: top
    key=("code",),
)

ENTERPRISES: Final = Contract(
    "ENTERPRISES",
    {
        "enterprise": pl.String,  # 统一社会信用代码
        "name": pl.String,
        "region": pl.String,
        "industry": pl.String,  # GB/T 4754 class
        "dialect": pl.String,  # how its province reads the wire (settings.dialects)
        "active_from": pl.Int64,  # outside [active_from, active_to) nothing is expected
        "active_to": pl.Int64,  # null: still active
    },
    key=("enterprise",),
)

DEVICES: Final = Contract(
    "DEVICES",
    {
        "enterprise": pl.String,
        "device": pl.String,  # deviceId 端设备统一编码
        "name": pl.String,
        "cadence_s": pl.Int64,  # how often it reports; null: a person enters its figures, never silent
        "valid_from": pl.Int64,
        "valid_to": pl.Int64,  # null: in duty
    },
    key=("enterprise", "device", "valid_from"),
)

CONTRACTS: Final[dict[str, Contract]] = {
    "regions": REGIONS,
    "enterprises": ENTERPRISES,
    "devices": DEVICES,
    "points": POINTS,
    "meter_changes": METER_CHANGES,
    "quotas": QUOTAS,
}
"""The registry's tables by name: the names of its files, of the state tables and of `Registry`'s fields."""


@dataclass(frozen=True, slots=True)
class Registry:
    """A consistent snapshot of the registry. `version` grows with every change."""

    version: int = 0
    regions: pl.DataFrame = field(default_factory=REGIONS.empty)
    enterprises: pl.DataFrame = field(default_factory=ENTERPRISES.empty)
    devices: pl.DataFrame = field(default_factory=DEVICES.empty)
    points: pl.DataFrame = field(default_factory=POINTS.empty)
    meter_changes: pl.DataFrame = field(default_factory=METER_CHANGES.empty)
    quotas: pl.DataFrame = field(default_factory=QUOTAS.empty)
