"""Which regions add up an enterprise's figures: its own and those above it, as far as they are registered."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from nengshao.registry import Registry
from nengshao.stores.state.schema import registry_tables


def memberships(registry: Registry) -> pl.DataFrame:
    """enterprise, region: a row for each region that adds the enterprise up."""
    parents = dict(registry.regions.select("code", "parent").iter_rows())
    rows = [
        (enterprise, code)
        for enterprise, region in registry.enterprises.select("enterprise", "region").iter_rows()
        for code in _chain(region, parents)
    ]
    return pl.DataFrame(rows, schema={"enterprise": pl.String, "region": pl.String}, orient="row")


def read_regions_of(connection: Connection, enterprise: str) -> list[str]:
    """The regions that add up one enterprise, the nearest first."""
    regions, enterprises = registry_tables["regions"], registry_tables["enterprises"]
    parents = {row.code: row.parent for row in connection.execute(sa.select(regions))}
    query = sa.select(enterprises.c.region).where(enterprises.c.enterprise == enterprise)
    return _chain(connection.execute(query).scalar(), parents)


def _chain(region: str | None, parents: Mapping[str, str | None]) -> list[str]:
    chain: list[str] = []
    while region is not None and region in parents and region not in chain:  # a ring ends, too
        chain.append(region)
        region = parents[region]
    return chain
