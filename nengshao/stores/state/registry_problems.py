"""What is wrong with a registry: every problem at once, none assumed away. Pure."""

from __future__ import annotations

from itertools import chain
from typing import Final

import polars as pl

from nengshao.domain.codes import PointKey, is_credit_code
from nengshao.registry import CONTRACTS, Registry

_IDENTITY: Final = ("enterprise", "data_code", "stat_type", "meter")
_FOR_EVER: Final = 2**62


def registry_problems(registry: Registry) -> list[str]:
    """A line, Chinese then English, for everything that forbids using the registry; [] if nothing does."""
    return list(
        chain(
            _missing_or_repeated_keys(registry),
            _bad_credit_codes(registry.enterprises),
            _unknown_references(registry),
            _wrong_point_ids(registry.points),
            _shared_point_ids(registry.points),
            _empty_validity("points", registry.points),
            _empty_validity("devices", registry.devices),
            _overlapping("points", registry.points, ("point",)),
            _overlapping("devices", registry.devices, ("enterprise", "device")),
            _rival_totals(registry.points),
        )
    )


def _missing_or_repeated_keys(registry: Registry) -> list[str]:
    problems = []
    for name, contract in CONTRACTS.items():
        frame: pl.DataFrame = getattr(registry, name)
        keys = frame.select(contract.key)
        if keys.filter(pl.any_horizontal(pl.all().is_null())).height:
            problems.append(f"{name}: 主键有空值 / a key column is empty")
        twice = keys.filter(keys.is_duplicated()).unique(maintain_order=True)
        problems += [f"{name} {_text(key)}: 主键重复 / the key appears twice" for key in twice.iter_rows()]
    return problems


def _bad_credit_codes(enterprises: pl.DataFrame) -> list[str]:
    codes = enterprises["enterprise"].drop_nulls()
    return [
        f"enterprises {code}: 统一社会信用代码有误 / not a valid unified social credit code"
        for code in codes
        if not is_credit_code(code)
    ]


def _unknown_references(registry: Registry) -> list[str]:
    known = set(registry.enterprises["enterprise"])
    problems = []
    for name in ("devices", "points", "quotas"):
        named = getattr(registry, name)["enterprise"].drop_nulls().unique(maintain_order=True)
        problems += [
            f"{name}: 企业 {code} 未登记 / unknown enterprise {code}" for code in named if code not in known
        ]
    orphans = (
        registry.meter_changes.join(registry.points, on="point", how="anti")["point"].drop_nulls().unique()
    )
    return problems + [
        f"meter_changes: 计量点 {point} 未登记 / unknown point {point}" for point in orphans.sort()
    ]


def _wrong_point_ids(points: pl.DataFrame) -> list[str]:
    identities = points.select("point", *_IDENTITY).drop_nulls().unique(maintain_order=True)
    keyed = ((point, PointKey(*identity)) for point, *identity in identities.iter_rows())
    return [
        f"points {point}: 编号应为 {key.point} / the id of {key.enterprise}/{key.tag} is {key.point}"
        for point, key in keyed
        if point != key.point
    ]


def _shared_point_ids(points: pl.DataFrame) -> list[str]:
    identities = points.select("point", *_IDENTITY).unique()
    shared = identities.group_by("point").len().filter(pl.col("len") > 1)["point"].drop_nulls().sort()
    return [f"points {point}: 不同计量点编号相同 / two identities have this id" for point in shared]


def _empty_validity(name: str, frame: pl.DataFrame) -> list[str]:
    key = CONTRACTS[name].key
    empty = frame.filter(pl.col("valid_to") <= pl.col("valid_from"))
    return [
        f"{name} {_text(row)}: 有效期为空 / valid_to is not after valid_from"
        for row in empty.select(key).iter_rows()
    ]


def _overlapping(name: str, frame: pl.DataFrame, identity: tuple[str, ...]) -> list[str]:
    """Each row is compared with the furthest end before it, so that a long row is seen past a short one."""
    ends = pl.col("valid_to").fill_null(_FOR_EVER)
    ordered = frame.sort(*identity, "valid_from").with_columns(
        reached=ends.shift(1).cum_max().over(identity, order_by="valid_from")
    )
    late = (
        ordered.filter(pl.col("valid_from") < pl.col("reached")).select(identity).unique(maintain_order=True)
    )
    return [f"{name} {_text(row)}: 有效期重叠 / dated rows overlap" for row in late.iter_rows()]


def _rival_totals(points: pl.DataFrame) -> list[str]:
    item = ["enterprise", "data_code"]
    feeding = points.filter("feeds_total").select(
        *item, "stat_type", "valid_from", valid_to=pl.col("valid_to").fill_null(_FOR_EVER)
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


def _text(key: tuple[object, ...]) -> str:
    return "/".join(str(part) for part in key)
