"""The registry: who is monitored, through which devices and points, against which quotas — as frames."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from nengshao.frames import (
    HEATING_VALUES,
    INTENSITY_TARGETS,
    METER_CHANGES,
    POINTS,
    PRODUCT_SHARES,
    PRODUCTS,
    QUOTA_PLANS,
    QUOTAS,
    VIRTUAL_TERMS,
    Contract,
)

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
    "virtual_terms": VIRTUAL_TERMS,
    "meter_changes": METER_CHANGES,
    "heating_values": HEATING_VALUES,
    "products": PRODUCTS,
    "product_shares": PRODUCT_SHARES,
    "quotas": QUOTAS,
    "quota_plans": QUOTA_PLANS,
    "intensity_targets": INTENSITY_TARGETS,
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
    virtual_terms: pl.DataFrame = field(default_factory=VIRTUAL_TERMS.empty)
    meter_changes: pl.DataFrame = field(default_factory=METER_CHANGES.empty)
    heating_values: pl.DataFrame = field(default_factory=HEATING_VALUES.empty)
    products: pl.DataFrame = field(default_factory=PRODUCTS.empty)
    product_shares: pl.DataFrame = field(default_factory=PRODUCT_SHARES.empty)
    quotas: pl.DataFrame = field(default_factory=QUOTAS.empty)
    quota_plans: pl.DataFrame = field(default_factory=QUOTA_PLANS.empty)
    intensity_targets: pl.DataFrame = field(default_factory=INTENSITY_TARGETS.empty)


SubjectNames = Mapping[str, str]
"""Of one enterprise: what people call the things that parts of a subject stand for, with their codes."""


def subject_names(registry: Registry, enterprises: Collection[str]) -> Mapping[str, SubjectNames]:
    """Per enterprise its points (by id and by tag), devices and products, by the newest row of each."""
    is_asked = pl.col("enterprise").is_in(list(enterprises))
    found: dict[str, dict[str, str]] = {name: {} for name in enterprises}
    for owner, device, name in registry.devices.filter(is_asked)["enterprise", "device", "name"].iter_rows():
        found[owner][device] = _called(name, device)
    products = registry.products.filter(is_asked).select("enterprise", "product", "name")
    for owner, product, name in products.iter_rows():
        found[owner][f"product:{product}"] = _called(name, product)
    tag = pl.format("{}.{}.{}", "data_code", "stat_type", "meter")
    points = registry.points.filter(is_asked).select("enterprise", "point", "name", tag=tag)
    for owner, point, name, code in points.iter_rows():
        found[owner][str(point)] = found[owner][code] = _called(name, code)
    return found


def _called(name: str, code: str) -> str:
    return f"{name}（{code}）" if name and name != code else code


def named_subject(subject: str, names: SubjectNames) -> str:
    """A subject as people read it: the parts between its slashes that have a name by their name.

    >>> named_subject("2025-03/33.0.00", {"33.0.00": "进线（33.0.00）"})
    '2025-03/进线（33.0.00）'
    """
    return "/".join(names.get(part, part) for part in subject.split("/"))
