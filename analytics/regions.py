"""Regions: the sum of their key units, day by day, in the form of an enterprise's figures.

It is a measure of its own, shown with its share of the region's stated total: 单位GDP能耗 is made of
statistics alone, never of this sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from analytics.specs import FOREVER
from nengshao.domain.factors import Basis
from nengshao.domain.time import accounting_day
from nengshao.frames import BLOCKS, ENTERPRISE_DAYS, SCOPE_DAYS, conform

_WEIGHTS: Final = [f"{share}_w" for share in ("measured", "estimated", "spread", "missing", "pending")]


def members_of(regions: pl.DataFrame, enterprises: pl.DataFrame) -> pl.DataFrame:
    """region, enterprise: every registered region with the enterprises in it or in a region within it."""
    parent = dict(regions.select("code", "parent").iter_rows())
    rows = [
        (code, name)
        for name, region in enterprises.select("enterprise", "region").iter_rows()
        for code in _chain(region, parent)
    ]
    schema = {"region": pl.String, "enterprise": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row").unique().sort("region", "enterprise")


def region_totals(
    days: pl.DataFrame, members: pl.DataFrame, enterprises: pl.DataFrame, asked: pl.DataFrame
) -> pl.DataFrame:
    """ENTERPRISE_DAYS rows of regions, the code as `enterprise`, for the region × days asked.

    `days`: ENTERPRISE_DAYS in force of the members. A total is null if a member lacks a factor on that basis,
    or if none has a figure; a member without a figure is in the bounds and the coverage. A member on duty
    that has not published the day, or has no row for it yet, keeps the region's day open.
    """
    expected = _members_on_duty(members, enterprises, asked)
    summed = _summed(days, members, asked, ["enterprise", "day"]).join(expected, on=["enterprise", "day"])
    complete = summed.with_columns(published=pl.col("published") & (pl.col("members") >= pl.col("expected")))
    return conform(complete.lazy(), ENTERPRISE_DAYS).sort(*ENTERPRISE_DAYS.key).collect()


def _members_on_duty(members: pl.DataFrame, enterprises: pl.DataFrame, asked: pl.DataFrame) -> pl.DataFrame:
    """enterprise (the region), day, expected: how many members are active on the day."""
    activity = enterprises.select(
        "enterprise",
        first=accounting_day(pl.col("active_from")),
        end=accounting_day(pl.col("active_to").fill_null(FOREVER) - 1) + 1,
    )
    spans = members.join(activity, on="enterprise").select("first", "end", enterprise="region")
    return (
        asked.join(spans, on="enterprise")
        .group_by("enterprise", "day")
        .agg(expected=((pl.col("first") <= pl.col("day")) & (pl.col("day") < pl.col("end"))).sum())
    )


def region_scope_totals(
    scope_days: pl.DataFrame, days: pl.DataFrame, members: pl.DataFrame, asked: pl.DataFrame
) -> pl.DataFrame:
    """SCOPE_DAYS rows of regions with a member that has some; the others' total stands in for what excludes
    something, since they have nothing to exclude. What they have none of is 0, whatever their factors and
    their coverage are: known, confirmed, and without weight."""
    key = ["enterprise", "day"]
    scopes = scope_days.select("scope").unique()
    plain = days.join(scope_days.select(key).unique(), on=key, how="anti").join(scopes, how="cross")
    of_plain = plain.with_columns(
        pl.when(_excludes()).then(pl.col(*_masses(), *_WEIGHTS)).otherwise(0),
        pl.when(_excludes()).then("no_factor").otherwise(pl.lit("")).alias("no_factor"),
        *(pl.col(f"{basis}_confirmed") | ~_excludes() for basis in Basis),
    )
    every = pl.concat([scope_days, of_plain.select(scope_days.columns)])
    with_scopes = scope_days.join(members, on="enterprise").select(enterprise="region", day="day").unique()
    asked = asked.join(with_scopes, on=key, how="semi")
    return conform(_summed(every, members, asked, [*key, "scope"]).lazy(), SCOPE_DAYS).collect()


def region_blocks(blocks: pl.DataFrame, members: pl.DataFrame, regions: Sequence[str]) -> pl.DataFrame:
    """BLOCKS of the members with the region's code as `enterprise`."""
    mine = members.filter(pl.col("region").is_in(list(regions)))
    named = blocks.join(mine, on="enterprise").with_columns(enterprise="region")
    return conform(named.lazy(), BLOCKS).sort(*BLOCKS.key).collect()


def _chain(region: str, parent: dict[str, str | None]) -> list[str]:
    chain: list[str] = []
    code: str | None = region
    while code in parent and code not in chain:
        chain.append(code)
        code = parent[code]
    return chain


def _excludes() -> pl.Expr:
    return pl.col("scope").is_in(["excluding_feedstock", "excluding_non_fossil", "net"])


def _masses() -> list[str]:
    return [f"{basis}_{part}" for basis in Basis for part in ("g", "gap_low", "gap_high")]


def _summed(days: pl.DataFrame, members: pl.DataFrame, asked: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    return (
        days.join(members, on="enterprise")
        .with_columns(enterprise="region")
        .join(asked, on=["enterprise", "day"], how="semi")
        .group_by(key)
        .agg(
            *(column for basis in Basis for column in _basis_sums(basis)),
            *(pl.when(pl.col(w).is_not_null().any()).then(pl.col(w).sum()).alias(w) for w in _WEIGHTS),
            lowest_point=pl.lit(None, pl.Int64),
            missing_points=pl.lit(""),  # each member's own day names them
            no_factor=pl.col("no_factor").filter(pl.col("no_factor") != "").str.split(",").explode(
                empty_as_null=False, keep_nulls=False
            ).unique().sort().str.join(","),
            published=pl.col("published").all(),
            members=pl.len(),
            recheck_at=pl.lit(None, pl.Int64),
        )
        .sort(key)
    )  # fmt: skip


def _basis_sums(basis: Basis) -> list[pl.Expr]:
    grams = pl.col(f"{basis}_g")
    has_factors = ~_lacks(basis).any()
    bounds = [
        pl.when(pl.col(name).is_not_null().all()).then(pl.col(name).sum()).alias(name)
        for name in (f"{basis}_gap_low", f"{basis}_gap_high")
    ]
    return [
        pl.when(has_factors & grams.is_not_null().any()).then(grams.sum()).alias(f"{basis}_g"),
        *bounds,
        pl.col(f"{basis}_confirmed").all(),
    ]


def _lacks(basis: Basis) -> pl.Expr:
    """Whether a point of the day has no factor on the basis; `no_factor` is `carrier:basis,…`."""
    return (pl.col("no_factor") + ",").str.contains(f":{basis},", literal=True)
