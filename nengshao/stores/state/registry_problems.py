"""What is wrong with a registry: every problem at once, none assumed away. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import chain
from typing import Final

import polars as pl

from nengshao.domain.codes import is_credit_code
from nengshao.domain.factors import Basis, Confidence
from nengshao.domain.targets import Profile, TargetLevel
from nengshao.domain.units import Carrier, PointKind, Role, Scope, Unit, Use
from nengshao.registry import CONTRACTS, Registry
from nengshao.stores.state.registry_counting import counted_twice
from nengshao.stores.state.registry_graphs import circles
from nengshao.stores.state.registry_points import FOR_EVER, names_of, point_problems

_DATED: Final = {
    "devices": ("enterprise", "device"),
    "points": ("point",),
    "virtual_terms": ("point", "term"),
    "heating_values": ("enterprise", "carrier"),
    "products": ("enterprise", "product"),
    "product_shares": ("enterprise", "product", "point"),
}
"""Tables of dated rows, and what must not have two rows at a time."""

_SUBJECT_TABLES: Final = ("quotas", "quota_plans", "intensity_targets")
_ENTERPRISE_TABLES: Final = ("devices", "points", "heating_values", "products", "product_shares")
_POINT_TABLES: Final = {
    "virtual_terms": ("point", "term"), "meter_changes": ("point",), "product_shares": ("point",),
}  # fmt: skip

_AIM: Final[dict[str, type[StrEnum]]] = {"basis": Basis, "scope": Scope}
_WORDS: Final[dict[str, dict[str, type[StrEnum]]]] = {
    "points": {"carrier": Carrier, "kind": PointKind, "role": Role, "use": Use, "unit": Unit},
    "heating_values": {"carrier": Carrier, "confidence": Confidence},
    "quotas": {**_AIM, "level": TargetLevel, "profile": Profile, "confidence": Confidence},
    "quota_plans": _AIM,
    "intensity_targets": {**_AIM, "level": TargetLevel, "confidence": Confidence},
}
"""Columns of closed vocabularies."""


def registry_problems(registry: Registry) -> list[str]:
    """A line, Chinese then English, for everything that forbids using the registry; [] if nothing does."""
    return list(
        chain(
            _missing_or_repeated_keys(registry),
            _unknown_words(registry),
            _bad_credit_codes(registry.enterprises),
            _bad_regions(registry.regions),
            _unknown_subjects(registry),
            _unknown_points(registry),
            _empty_validity(registry),
            *(_overlapping(name, getattr(registry, name), of) for name, of in _DATED.items()),
            point_problems(registry),
            counted_twice(registry.points, registry.virtual_terms),
            _bad_heating_values(registry.heating_values),
            _bad_products(registry.products),
            _bad_shares(registry),
            _plans_without_months(registry),
            _bad_targets(registry),
        )
    )


# ------------------------------------------------------------------------------ keys, words, names


def _missing_or_repeated_keys(registry: Registry) -> Iterator[str]:
    for name, contract in CONTRACTS.items():
        frame: pl.DataFrame = getattr(registry, name)
        keys = frame.select(contract.key)
        if keys.filter(pl.any_horizontal(pl.all().is_null())).height:
            yield f"{name}: 主键有空值 / a key column is empty"
        twice = keys.filter(keys.is_duplicated()).unique(maintain_order=True)
        yield from (f"{name} {_text(key)}: 主键重复 / the key appears twice" for key in twice.iter_rows())


def _unknown_words(registry: Registry) -> Iterator[str]:
    for name, columns in _WORDS.items():
        for column, vocabulary in columns.items():
            words: pl.Series = getattr(registry, name)[column].drop_nulls().unique().sort()
            known = {member.value for member in vocabulary}
            yield from (
                f"{name} {column} {word}: 取值未定义 / must be one of {', '.join(vocabulary)}"
                for word in words
                if word not in known
            )


def _bad_credit_codes(enterprises: pl.DataFrame) -> list[str]:
    codes = enterprises["enterprise"].drop_nulls()
    return [
        f"enterprises {code}: 统一社会信用代码有误 / not a valid unified social credit code"
        for code in codes
        if not is_credit_code(code)
    ]


def _bad_regions(regions: pl.DataFrame) -> list[str]:
    above = regions.drop_nulls("parent")
    unknown = above.join(regions, left_on="parent", right_on="code", how="anti")
    numbers = regions.select("code").unique().sort("code").with_row_index("number")
    edges = (
        above.join(numbers, on="code")
        .join(numbers.select(parent="code", target="number"), on="parent")
        .select(source=pl.col("number").cast(pl.Int64), target=pl.col("target").cast(pl.Int64))
    )
    codes = numbers["code"]
    return [
        *(
            f"regions {code}: 上级 {parent} 未登记 / its parent {parent} is not registered"
            for code, parent in unknown.select("code", "parent").sort("code").iter_rows()
        ),
        *(
            f"regions: 上级成环 / circle: {' → '.join(codes[node] for node in [*circle, circle[0]])}"
            for circle in circles(edges)
        ),
    ]


# -------------------------------------------------------------------------------------- references


def _unknown_subjects(registry: Registry) -> Iterator[str]:
    enterprises, regions = set(registry.enterprises["enterprise"]), set(registry.regions["code"])
    for name in (*_ENTERPRISE_TABLES, *_SUBJECT_TABLES):
        known, chinese, english = enterprises, "企业", "enterprise"
        if name in _SUBJECT_TABLES:
            known, chinese, english = enterprises | regions, "企业或行政区划", "enterprise or region"
        named = getattr(registry, name)["enterprise"].drop_nulls().unique(maintain_order=True)
        yield from (
            f"{name}: {chinese} {code} 未登记 / unknown {english} {code}"
            for code in named
            if code not in known
        )


def _unknown_points(registry: Registry) -> Iterator[str]:
    for name, columns in _POINT_TABLES.items():
        frame: pl.DataFrame = getattr(registry, name)
        named = pl.concat([frame.select(point=column) for column in columns]).unique()
        orphans = named.join(registry.points, on="point", how="anti")["point"].drop_nulls().sort()
        yield from (f"{name}: 计量点 {point} 未登记 / unknown point {point}" for point in orphans)


# ----------------------------------------------------------------------------------------- validity


def _empty_validity(registry: Registry) -> Iterator[str]:
    spans = {name: ("valid_from", "valid_to") for name in _DATED}
    for name, (start, end) in {**spans, "enterprises": ("active_from", "active_to")}.items():
        empty = getattr(registry, name).filter(pl.col(end) <= pl.col(start))
        yield from (
            f"{name} {_text(row)}: 有效期为空 / {end} is not after {start}"
            for row in empty.select(CONTRACTS[name].key).iter_rows()
        )


def _overlapping(name: str, frame: pl.DataFrame, identity: tuple[str, ...]) -> list[str]:
    """Each row is compared with the furthest end before it, so that a long row is seen past a short one."""
    ends = pl.col("valid_to").fill_null(FOR_EVER)
    ordered = frame.sort(*identity, "valid_from").with_columns(
        reached=ends.shift(1).cum_max().over(identity, order_by="valid_from")
    )
    late = (
        ordered.filter(pl.col("valid_from") < pl.col("reached")).select(identity).unique(maintain_order=True)
    )
    return [f"{name} {_text(row)}: 有效期重叠 / dated rows overlap" for row in late.iter_rows()]


# --------------------------------------------------------------- heating values, products, targets


def _bad_heating_values(values: pl.DataFrame) -> Iterator[str]:
    fuels = [carrier.value for carrier in Carrier if carrier.is_fuel]
    faults = (
        (pl.col("heat_j") <= 0, "热值须大于零 / it must be above 0"),
        (~pl.col("carrier").is_in(fuels), "该品种不是燃料 / it is no fuel and has no heating value"),
    )
    for fault, wrong in faults:
        for enterprise, carrier in values.filter(fault).select("enterprise", "carrier").iter_rows():
            yield f"heating_values {enterprise}/{carrier}: {wrong}"


def _bad_products(products: pl.DataFrame) -> Iterator[str]:
    for row in products.filter(pl.col("unit") == "").iter_rows(named=True):
        yield f"products {row['enterprise']}/{row['product']}: 缺少计量单位 / no unit"
    units = (
        products.group_by("enterprise", "product").agg(pl.col("unit").n_unique()).filter(pl.col("unit") > 1)
    )
    for enterprise, product, _ in units.sort("enterprise", "product").iter_rows():
        yield f"products {enterprise}/{product}: 单位前后不同 / its unit changes; give it another id"


def _bad_shares(registry: Registry) -> Iterator[str]:
    shares = registry.product_shares
    unknown = shares.join(registry.products, on=["enterprise", "product"], how="anti")
    for enterprise, product in unknown.select("enterprise", "product").unique().sort(pl.all()).iter_rows():
        yield f"product_shares {enterprise}/{product}: 产品未登记 / unknown product"
    owners = (
        registry.points.select("point", owner="enterprise")
        .unique()
        .join(names_of(registry.points), on="point")
    )
    foreign = shares.join(owners, on="point").filter(pl.col("owner") != pl.col("enterprise"))
    for row in foreign.iter_rows(named=True):
        yield (
            f"product_shares {row['enterprise']}/{row['product']}: 计量点 {row['name']} 属于其他企业"
            " / a point of another enterprise"
        )
    for row in shares.filter((pl.col("num") == 0) | (pl.col("den") <= 0)).iter_rows(named=True):
        yield (
            f"product_shares {row['enterprise']}/{row['product']}: 份额不得为零，分母须为正"
            " / a share is 0, or divided by 0"
        )


_AIM_KEY: Final = ("enterprise", "year", "basis", "scope")


def _plans_without_months(registry: Registry) -> list[str]:
    """A quota that follows a plan needs all twelve months, and something in them."""
    plans = registry.quota_plans.group_by(_AIM_KEY).agg(
        months=pl.col("month").filter(pl.col("month").is_between(1, 12)).n_unique(),
        planned=pl.col("planned_g").sum(),
        least=pl.col("planned_g").min(),
    )
    planned = registry.quotas.filter(pl.col("profile") == Profile.PLAN).select(_AIM_KEY).unique()
    whole = plans.filter(pl.col("months") == 12, pl.col("planned") > 0, pl.col("least") >= 0)
    bad = planned.join(whole, on=_AIM_KEY, how="anti").sort(_AIM_KEY)
    return [
        f"quotas {_text(key)}: profile 为 plan 须有 12 个月的 quota_plans，合计大于零"
        " / needs a plan of 12 months that is not all 0"
        for key in bad.iter_rows()
    ]


_TARGET_FAULTS: Final = (
    (
        pl.col("target_mg").is_null() == pl.col("reduction_ppm").is_null(),
        "目标值与下降率须且只须填一个 / exactly one of target_kg and reduction_percent",
    ),
    (
        pl.col("reduction_ppm").is_null() != pl.col("base_year").is_null(),
        "下降率须有基期年份，目标值则不填 / base_year goes with reduction_percent, and only with it",
    ),
    (pl.col("base_year") >= pl.col("year"), "基期年份须早于目标年份 / base_year must be before year"),
    (pl.col("target_mg") <= 0, "目标值须大于零 / target_kg must be above 0"),
    (pl.col("reduction_ppm") >= 1_000_000, "下降率须小于 100 % / a reduction below 100 %"),
)


def _bad_targets(registry: Registry) -> Iterator[str]:
    targets, key = registry.intensity_targets, CONTRACTS["intensity_targets"].key
    for fault, wrong in _TARGET_FAULTS:
        for row in targets.filter(fault).select(key).iter_rows():
            yield f"intensity_targets {_text(row)}: {wrong}"
    products = registry.products.select(
        "enterprise", denominator=pl.concat_str(pl.lit("product:"), "product")
    ).unique()
    named = targets.filter(pl.col("denominator").str.starts_with("product:"))
    for row in named.join(products, on=["enterprise", "denominator"], how="anti").select(key).iter_rows():
        yield f"intensity_targets {_text(row)}: 产品未登记 / unknown product"


def _text(key: tuple[object, ...]) -> str:
    return "/".join(str(part) for part in key)
