"""What does not change during a cycle: the partition's registry and the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from nengshao.domain.codes import partition_of
from nengshao.registry import Registry


@dataclass(frozen=True, slots=True)
class Facts:
    """One cycle's registry, instant and accounting day. `everyone`: ENTERPRISES of every partition."""

    registry: Registry
    as_of: int
    today: int
    everyone: pl.DataFrame

    def points_of(self, enterprises: Sequence[str]) -> pl.DataFrame:
        """POINTS of these enterprises."""
        return self.registry.points.filter(pl.col("enterprise").is_in(list(enterprises)))


def own_registry(registry: Registry, partition: int, partitions: int) -> Registry:
    """The registry of one partition's enterprises, or of the regions."""
    names = [*registry.enterprises["enterprise"], *registry.regions["code"]]
    own = [name for name in names if partition_of(name, partitions) == partition]
    return registry_of(registry, own)


def registry_of(registry: Registry, names: Sequence[str]) -> Registry:
    """The rows of these enterprises or regions; regions and what hangs on points are kept whole."""
    mine = pl.col("enterprise").is_in(list(names))
    tables = (
        "enterprises", "devices", "points", "heating_values", "products", "product_shares",
        "quotas", "quota_plans", "intensity_targets",
    )  # fmt: skip
    own = {name: getattr(registry, name).filter(mine) for name in tables}
    points = own["points"].select("point").unique()
    return replace(
        registry,
        **own,
        meter_changes=registry.meter_changes.join(points, on="point", how="semi"),
        virtual_terms=registry.virtual_terms.join(points, on="point", how="semi"),
    )
