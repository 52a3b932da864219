"""What does not change during a cycle: the partition's registry, the law as data, and the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from nengshao.domain.codes import partition_of
from nengshao.domain.factors import FactorTable
from nengshao.domain.rules import Rule
from nengshao.registry import Registry


@dataclass(frozen=True, slots=True)
class Law:
    """Factors, and rules by name."""

    factors: FactorTable
    rules: Mapping[str, Rule]


@dataclass(frozen=True, slots=True)
class Facts:
    """One cycle's registry, instant and accounting day."""

    registry: Registry
    as_of: int
    today: int

    def points_of(self, enterprises: Sequence[str]) -> pl.DataFrame:
        """POINTS of these enterprises."""
        return self.registry.points.filter(pl.col("enterprise").is_in(list(enterprises)))


def own_registry(registry: Registry, partition: int, partitions: int) -> Registry:
    """The registry of one partition's enterprises."""
    names = registry.enterprises["enterprise"]
    own = [name for name in names if partition_of(name, partitions) == partition]
    mine = pl.col("enterprise").is_in(own)
    return Registry(
        registry.version,
        registry.regions,
        registry.enterprises.filter(mine),
        registry.devices.filter(mine),
        registry.points.filter(mine),
        registry.meter_changes,
        registry.quotas.filter(mine),
    )
