"""The plant of `tests.support.plant` at rest in a state store, in a region, behind the HTTP service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl

from analytics.regions import members_of, region_scope_totals, region_totals
from nengshao.domain.codes import REGION_PARTITION, PointKey
from nengshao.domain.factors import Basis
from nengshao.domain.time import day_start
from nengshao.frames import PRODUCT_SHARES
from nengshao.ports import AssessmentCommit, JudgementCommit, Revision
from nengshao.registry import REGIONS, Registry
from nengshao.stores.state import SqlStateStore
from tests.support import plant as world
from tests.support.service import Api, served
from tests.support.state import leased, rows

CITY, COUNTY, OTHER = "430600", "430621", "430623"
AT = day_start(world.TODAY) + 9 * 3600


def at_rest() -> Registry:
    """The plant's registry as a store takes it, in a county: points under the ids that identities have."""
    points = world.POINTS
    ids = {
        row["point"]: PointKey(row["enterprise"], row["data_code"], row["stat_type"], row["meter"]).point
        for row in points.iter_rows(named=True)
    }

    def renamed(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
        return frame.with_columns(
            pl.col(c).replace_strict(ids, default=None, return_dtype=pl.Int64) for c in columns
        )

    registry = world.REGISTRY
    regions = rows(
        REGIONS,
        {"code": CITY, "name": "某市", "parent": None},
        {"code": COUNTY, "name": "某县", "parent": CITY},
        {"code": OTHER, "name": "邻县", "parent": CITY},
    )
    return replace(
        registry,
        regions=regions,
        enterprises=registry.enterprises.with_columns(region=pl.lit(COUNTY)),
        points=renamed(points, "point", "parent").sort("point", "valid_from"),
        virtual_terms=renamed(registry.virtual_terms, "point", "term"),
        product_shares=renamed(registry.product_shares, "point").select(list(PRODUCT_SHARES.schema)),
    )


def readings_at_rest(registry: Registry) -> pl.DataFrame:
    """The plant's readings under the same ids."""
    names = dict(zip(world.POINTS["name"], world.POINTS["point"], strict=True))
    ids = {names[row["name"]]: row["point"] for row in registry.points.iter_rows(named=True)}
    return world.made().with_columns(pl.col("point").replace_strict(ids)).sort("point", "ts")


def keep(state: SqlStateStore, works: world.Plant) -> None:
    """Commit the plant's figures and how it stands, as a cycle does; the region sums it up."""
    results, standing = works.results, works.standing
    spans = pl.DataFrame(
        {"enterprise": [world.PLANT], "start": [day_start(world.FIRST)], "end": [AT]},
        schema={"enterprise": pl.String, "start": pl.Int64, "end": pl.Int64},
    )
    none = pl.DataFrame(schema={"enterprise": pl.String, "day": pl.Int32, "generation": pl.Int64})
    commit = AssessmentCommit(
        at=AT,
        claimed=none,
        point_days=results.point_days,
        enterprise_days=results.enterprise_days,
        blocks=results.blocks,
        block_spans=spans,
        scope_days=results.scope_days,
        events=results.events,
    )
    lease = leased(state, "assess", 0)
    state.commit_assessment(lease, commit)
    state.put_statistics(world.statistics())
    judged = JudgementCommit(
        at=AT, enterprises={world.PLANT: 0}, progress=standing.progress, alerts=[], transitions=[],
        explanations={}, intensity=standing.intensity, measures=standing.measures,
    )  # fmt: skip
    state.commit_judgement(lease, judged)


@contextmanager
def works_served(folder: Path) -> Iterator[tuple[Api, world.Plant]]:
    """The service over a store that holds the plant, and the plant; the clock shows its day."""
    registry = at_rest()
    readings = readings_at_rest(registry)
    with served(folder, law=world.LAW) as api:
        api.clock.move_to(AT)
        api.state.save_registry(registry, at=AT)
        api.readings.write(readings)
        works = world.plant(registry, readings=readings)
        keep(api.state, works)
        yield api, works


def recommit(state: SqlStateStore, works: world.Plant, day: int, grams_more: int) -> None:
    """One day computed anew: the roof made more of everything. A published day gets a revision."""
    roof = next(row["point"] for row in works.registry.points.to_dicts() if row["name"] == "光伏")
    points = works.results.point_days.filter(pl.col("day") == day)
    masses = [f"{basis}_g" for basis in Basis]
    is_roof = pl.col("point") == roof
    new_points = points.with_columns(
        pl.when(is_roof).then(pl.col(m) + grams_more).otherwise(m) for m in masses
    )
    days = works.results.enterprise_days.filter(pl.col("day") == day)
    new_days = days.with_columns(pl.col(mass) + grams_more for mass in masses)
    sides = [
        {"enterprise_day": d.row(0, named=True), "point_days": p.filter(is_roof).to_dicts()}
        for d, p in ((days, points), (new_days, new_points))
    ]
    commit = AssessmentCommit(
        at=AT + 60,
        claimed=pl.DataFrame(schema={"enterprise": pl.String, "day": pl.Int32, "generation": pl.Int64}),
        point_days=new_points,
        enterprise_days=new_days,
        blocks=works.results.blocks.clear(),
        block_spans=pl.DataFrame(schema={"enterprise": pl.String, "start": pl.Int64, "end": pl.Int64}),
        scope_days=works.results.scope_days.filter(pl.col("day") == day),
        revisions=[Revision(world.PLANT, day, "late_data", *sides)],
    )
    state.commit_assessment(leased(state, "assess", 0), commit)


def keep_region(state: SqlStateStore, works: world.Plant) -> None:
    """Sum the plant up for its county and city, as the regions' cycle does."""
    registry, results = works.registry, works.results
    members = members_of(registry.regions, registry.enterprises)
    days = results.enterprise_days.select("day")
    asked = pl.concat([days.select(enterprise=pl.lit(code), day="day") for code in (CITY, COUNTY)])
    commit = AssessmentCommit(
        at=AT,
        claimed=pl.DataFrame(schema={"enterprise": pl.String, "day": pl.Int32, "generation": pl.Int64}),
        point_days=results.point_days.clear(),
        enterprise_days=region_totals(results.enterprise_days, members, registry.enterprises, asked),
        blocks=results.blocks.clear(),
        block_spans=pl.DataFrame(schema={"enterprise": pl.String, "start": pl.Int64, "end": pl.Int64}),
        scope_days=region_scope_totals(results.scope_days, results.enterprise_days, members, asked),
    )
    state.commit_assessment(leased(state, "assess", REGION_PARTITION), commit)
