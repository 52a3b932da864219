"""What is wrong with the registry's points, and with what is said of one in terms of another. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final

import polars as pl

from nengshao.domain.codes import PointKey
from nengshao.domain.readings import StatType
from nengshao.domain.time import DAY_S
from nengshao.domain.units import Carrier, PointKind, Role, Unit, Use, canonical_unit
from nengshao.registry import Registry
from nengshao.stores.state.registry_graphs import circles, unpeeled

DEEPEST: Final = 8
"""How many virtual points may stand on one another (as many as analytics.virtuals multiplies out)."""

FOR_EVER: Final = 2**62

_IDENTITY: Final = ("enterprise", "data_code", "stat_type", "meter")
_TAG: Final = pl.format("{}/{}.{}.{}", *_IDENTITY)


def point_problems(registry: Registry) -> list[str]:
    """A line, Chinese then English, for everything that forbids using the points as they are."""
    points = registry.points
    return list(
        chain(
            _wrong_ids(points),
            _shared_ids(points),
            _rival_totals(points),
            _bad_rows(points),
            _bad_parents(points),
            _bad_terms(registry.virtual_terms, points),
            _virtual_rows_without_terms(registry.virtual_terms, points),
        )
    )


def names_of(points: pl.DataFrame) -> pl.DataFrame:
    """point, name (enterprise/tag) of every point."""
    return points.select("point", *_IDENTITY).unique("point").select("point", name=_TAG)


# ------------------------------------------------------------------------------------------ identity


def _wrong_ids(points: pl.DataFrame) -> list[str]:
    identities = points.select("point", *_IDENTITY).drop_nulls().unique(maintain_order=True)
    keyed = ((point, PointKey(*identity)) for point, *identity in identities.iter_rows())
    return [
        f"points {point}: 编号应为 {key.point} / the id of {key.enterprise}/{key.tag} is {key.point}"
        for point, key in keyed
        if point != key.point
    ]


def _shared_ids(points: pl.DataFrame) -> list[str]:
    identities = points.select("point", *_IDENTITY).unique()
    shared = identities.group_by("point").len().filter(pl.col("len") > 1)["point"].drop_nulls().sort()
    return [f"points {point}: 不同计量点编号相同 / two identities have this id" for point in shared]


def _rival_totals(points: pl.DataFrame) -> list[str]:
    item = ["enterprise", "data_code"]
    feeding = (
        points.filter("feeds_total")
        .select(*item, "stat_type", "valid_from", valid_to=pl.col("valid_to").fill_null(FOR_EVER))
        .unique()
        .filter(pl.col("stat_type").n_unique().over(item) > 1)
    )
    rivals = feeding.join(feeding, on=item, suffix="_2").filter(
        pl.col("stat_type") < pl.col("stat_type_2"),
        pl.col("valid_from") < pl.col("valid_to_2"),
        pl.col("valid_from_2") < pl.col("valid_to"),
    )
    found = rivals.select(*item, "stat_type", "stat_type_2").unique().sort(pl.all())
    return [
        f"points {enterprise}/{code}: statType {one} 与 {two} 同时计入合计 / both feed totals at a time"
        for enterprise, code, one, two in found.iter_rows()
    ]


# --------------------------------------------------------------------------------------- single rows

_CANONICAL: Final = {unit.value: canonical_unit(unit).value for unit in Unit}
_CARRIER_UNIT: Final = {carrier.value: carrier.unit.value for carrier in Carrier}
_IS_VIRTUAL: Final = pl.col("kind") == PointKind.VIRTUAL
_HAS_READINGS: Final = pl.col("kind") != PointKind.VIRTUAL
_FAULTS: Final = (
    (
        pl.col("unit").replace_strict(_CANONICAL, default=None)
        != pl.col("carrier").replace_strict(_CARRIER_UNIT, default=None),
        "单位不计量该品种 / the unit does not measure the carrier",
    ),
    (pl.min_horizontal("ratio_num", "ratio_den") <= 0, "变比须大于零 / the ratio must be above 0"),
    (_HAS_READINGS & (pl.col("device") == ""), "缺少端设备 / no device; only a virtual point has none"),
    (_IS_VIRTUAL & (pl.col("device") != ""), "虚拟点没有端设备 / a virtual point has no device"),
    (
        _HAS_READINGS & (pl.col("stat_type") == StatType.REAL_TIME) & (pl.col("cadence_s") <= 0),
        "实时序列的间隔须大于零 / a real-time series needs a cadence above 0",
    ),
    (
        (pl.col("kind") == PointKind.STOCK)
        & (pl.col("stat_type") == StatType.REAL_TIME)
        & (pl.col("cadence_s") < DAY_S),
        "盘点的间隔不得短于一日 / a stock is not taken more often than daily",
    ),
    (
        (pl.col("use") == Use.CERTIFICATE) & (pl.col("role") != Role.SUB),
        "绿证只能是内部项（role sub） / a certificate adds nothing: its role must be sub",
    ),
    (
        pl.min_horizontal("capacity", "register_modulus") <= 0,
        "额定能力和表满度须大于零 / capacity and register size must be above 0",
    ),
)  # fmt: skip


def _bad_rows(points: pl.DataFrame) -> list[str]:
    return [
        f"points {name}: {wrong}"
        for fault, wrong in _FAULTS
        for name in points.filter(fault).select(name=_TAG).unique().to_series().sort()
    ]


# ------------------------------------------------------------------------------------------- parents


def _bad_parents(points: pl.DataFrame) -> list[str]:
    facts = points.select("point", "enterprise", "carrier", "parent", name=_TAG).unique()
    below = facts.filter(pl.col("parent").is_not_null())
    above = facts.select(
        parent="point", enterprise_2="enterprise", carrier_2="carrier", name_2="name"
    ).unique()
    pairs = below.join(above, on="parent", how="left")
    unknown = pairs.filter(pl.col("name_2").is_null())["name"].unique().sort()
    return [
        *(f"points {name}: 上级计量点未登记 / its parent is not registered" for name in unknown),
        *_mismatches(pairs, "points {}: 与上级 {} {} / it and its parent {} {}"),
        *_circles("points", "上级", below.select(source="point", target="parent").unique(), points),
    ]


def _mismatches(pairs: pl.DataFrame, line: str) -> list[str]:
    """Of pairs of points (name, name_2) those of another enterprise or carrier."""
    faults = (
        ("enterprise", "不属于同一企业", "are not of one enterprise"),
        ("carrier", "品种不同", "are of different carriers"),
    )
    return [
        line.format(name, name_2, chinese, name_2, english)
        for column, chinese, english in faults
        for name, name_2 in pairs.filter(pl.col(column) != pl.col(f"{column}_2"))
        .select("name", "name_2")
        .unique()
        .sort("name", "name_2")
        .iter_rows()
    ]


def _circles(table: str, what: str, edges: pl.DataFrame, points: pl.DataFrame) -> list[str]:
    found = circles(edges)
    if not found:
        return []
    tags = dict(names_of(points).iter_rows())
    ways = [" → ".join(str(tags.get(node, node)) for node in [*circle, circle[0]]) for circle in found]
    return [f"{table}: {what}成环 / circle: {way}" for way in ways]


# ------------------------------------------------------------------------------------ virtual points


def _bad_terms(terms: pl.DataFrame, points: pl.DataFrame) -> list[str]:
    names = names_of(points)
    facts = points.select("point", "enterprise", "carrier").unique().join(names, on="point")
    pairs = (
        terms.select("point", "term")
        .unique()
        .join(facts, on="point")
        .join(facts.rename(lambda column: "term" if column == "point" else f"{column}_2"), on="term")
    )
    zero = terms.filter((pl.col("num") == 0) | (pl.col("den") <= 0)).select("point").unique()
    edges = terms.select(source="point", target="term").unique()
    return [
        *_mismatches(pairs, "virtual_terms {}: 与组成项 {} {} / it and its term {} {}"),
        *(
            f"virtual_terms {name}: 系数不得为零，分母须为正 / a coefficient is 0, or divided by 0"
            for name in _named(zero, names)
        ),
        *_terms_of_metered_points(terms, points),
        *_circles("virtual_terms", "虚拟点", edges, points),
        *_too_deep(edges, names),
    ]


def _terms_of_metered_points(terms: pl.DataFrame, points: pl.DataFrame) -> list[str]:
    metered = points.filter(_HAS_READINGS).select("point", "valid_from", "valid_to", name=_TAG)
    clash = terms.join(metered, on="point", suffix="_2").filter(_overlap())
    return [
        f"virtual_terms {name}: 有组成项但不是虚拟点 / it has terms and is not of kind virtual"
        for name in clash["name"].unique().sort()
    ]


def _virtual_rows_without_terms(terms: pl.DataFrame, points: pl.DataFrame) -> list[str]:
    virtual = points.filter(_IS_VIRTUAL).select("point", "valid_from", "valid_to", name=_TAG)
    served = virtual.join(terms, on="point", suffix="_2").filter(_overlap())
    bare = virtual.join(served, on=["point", "valid_from"], how="anti")
    return [
        f"points {name}: 虚拟点没有组成项 / a virtual point without terms"
        for name in bare["name"].unique().sort()
    ]


def _too_deep(edges: pl.DataFrame, names: pl.DataFrame) -> list[str]:
    deep, endless = unpeeled(edges, DEEPEST), unpeeled(edges)
    found = deep.join(endless, on=["source", "target"], how="anti").select(point="source").unique()
    return [
        f"virtual_terms {name}: 虚拟点嵌套超过 {DEEPEST} 层 / virtual points are nested deeper than {DEEPEST}"
        for name in _named(found, names)
    ]


def _overlap() -> pl.Expr:
    """Whether two dated rows of a join (the second's columns with _2) are in force at a common time."""
    return (pl.col("valid_from") < pl.col("valid_to_2").fill_null(FOR_EVER)) & (
        pl.col("valid_from_2") < pl.col("valid_to").fill_null(FOR_EVER)
    )


def _named(points: pl.DataFrame, names: pl.DataFrame) -> Sequence[str]:
    return points.join(names, on="point")["name"].sort().to_list()
