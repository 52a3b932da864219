"""The law as data: conversion factors, norms, and what changes of them have restated."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi import Query as InQuery
from pydantic import BaseModel, Field

from api import figures
from api.auth import Caller
from api.paging import NEXT, Limit, Offset, Query, slice_of
from api.ports import Row, Services
from nengshao.domain.factors import Basis, Confidence, Factor
from nengshao.domain.norms import LEVELS, Norm, NormIndicator, parameters_of
from nengshao.domain.units import Carrier, Unit

router = APIRouter(prefix="/v1", tags=["依据 law"])


class FactorRow(BaseModel):
    """一行折算系数 / a conversion factor."""

    id: str
    carrier: Carrier
    carrier_zh: str
    basis: Basis
    basis_zh: str
    per_unit: float = Field(description="每标准单位折 kgce 或 kgCO2 / kgce or kgCO2 per canonical unit")
    fraction: str = Field(description="同上，准确的分数 / the same, exactly")
    unit: Unit = Field(description="标准单位 / canonical unit")
    region: str = Field(description="适用的行政区划；空串：全国 / where; empty: the whole country")
    valid_from: dt.date
    valid_to: dt.date | None = Field(description="空：有效 / null: in force")
    edition: str = Field(description="版本 / edition")
    source: str = Field(description="来源 / source")
    confidence: Confidence = Field(description="可信度 / confidence")
    label: str | None = Field(description="标注 / label to be shown with what rests on it")
    parts: dict[str, str] = Field(
        description="由什么得来，如低位发热量、含碳量、氧化率 / what it was made of"
    )
    note: str


class Factors(BaseModel):
    """折算系数 / conversion factors."""

    factors: list[FactorRow]
    next: int | None = Field(description=NEXT)


class FactorQuery(Query):
    """Which factors."""

    carrier: Carrier | None = Field(None, description="能源品种 / carrier")
    basis: Basis | None = None
    on: dt.date | None = Field(None, description="该日有效的 / those valid on that day")
    region: Annotated[str | None, Field(max_length=6, description="空串：全国 / empty: the country")] = None
    cursor: Offset = 0
    limit: Limit = 100


class NormRow(BaseModel):
    """一项能耗限额的一个版本 / an edition of a norm."""

    id: str
    indicator: NormIndicator
    standard: str = Field(description="标准号 / standard")
    product_zh: str
    product_en: str
    indicator_zh: str
    unit: str = Field(description="标准所印单位 / unit as printed")
    levels: dict[str, float | None] = Field(
        description="1、2、3 级，kg（电 kWh）每单位产品；空：未规定 / kg (kWh) per unit; null: none"
    )
    benchmark: float | None = Field(description="标杆水平，单位同上 / 标杆")
    baseline: float | None = Field(description="基准水平，单位同上 / 基准")
    benchmark_source: str
    parameters: list[str] = Field(description="修正所需参数 / what its corrections need to know")
    valid_from: dt.date
    source: str
    confidence: Confidence
    label: str | None
    unsupported: str = Field(description="为何不据此判定；空串：据此判定 / why nothing is judged by it")
    note: str


class Norms(BaseModel):
    """能耗限额 / norms."""

    norms: list[NormRow]
    next: int | None = Field(description=NEXT)


class NormQuery(Query):
    """Which norms."""

    id: Annotated[str | None, Field(max_length=100, description="限额标识 / id of the norm")] = None
    cursor: Offset = 0
    limit: Limit = 100


class Restatement(BaseModel):
    """一次系数变更及其影响 / a change of factors and what it restated."""

    id: int
    made_at: dt.datetime
    days: int = Field(description="需重算的用能单位·日 / enterprise-days marked to be computed anew")
    changes: list[dict[str, Any]] = Field(description="各系数变更前后 / each factor before and after")


class Restatements(BaseModel):
    """由新到旧 / newest first."""

    restatements: list[Restatement]
    next: int | None = Field(description=NEXT)


class RestatementQuery(Query):
    """Which part of the list."""

    cursor: Offset = 0
    limit: Limit = 100


def factor_row(factor: Factor) -> FactorRow:
    """A factor of the library."""
    return FactorRow(
        id=factor.factor_id,
        carrier=factor.carrier,
        carrier_zh=factor.carrier.zh,
        basis=factor.basis,
        basis_zh=factor.basis.zh,
        per_unit=float(factor.per_unit),
        fraction=str(factor.per_unit),
        unit=factor.carrier.unit,
        region=factor.region,
        valid_from=factor.valid_from,
        valid_to=factor.valid_to,
        edition=factor.edition,
        source=factor.source,
        confidence=factor.confidence,
        label=figures.label_for(factor.confidence.is_confirmed),
        parts=dict(factor.parts),
        note=factor.note,
    )


def norm_row(norm: Norm) -> NormRow:
    """A norm of the library."""
    levels = zip(LEVELS, norm.limits, strict=True)
    return NormRow(
        id=norm.norm_id,
        indicator=norm.indicator,
        standard=norm.standard,
        product_zh=norm.product_zh,
        product_en=norm.product_en,
        indicator_zh=norm.indicator_zh,
        unit=norm.unit,
        levels={str(level): None if limit is None else float(limit) for level, limit in levels},
        benchmark=None if norm.benchmark is None else float(norm.benchmark),
        baseline=None if norm.baseline is None else float(norm.baseline),
        benchmark_source=norm.benchmark_source,
        parameters=list(parameters_of(norm)),
        valid_from=norm.valid_from,
        source=norm.source,
        confidence=norm.confidence,
        label=figures.label_for(norm.confidence.is_confirmed),
        unsupported=norm.unsupported,
        note=norm.note,
    )


def restatement_of(row: Row) -> Restatement:
    """A restatement as the StateStore gives it."""
    return Restatement(
        id=row["restatement_id"],
        made_at=figures.moment(row["made_at"]),
        days=row["days"],
        changes=list(row["changes"]),
    )


@router.get("/factors", summary="折算系数库 / conversion factors")
def list_factors(service: Services, _caller: Caller, query: Annotated[FactorQuery, InQuery()]) -> Factors:
    """按品种、基准、地区与日期；企业实测热值见登记表 / measured heating values are in the registry."""
    rows = [
        factor
        for factor in service.facts.factors.rows
        if query.carrier in (None, factor.carrier)
        and query.basis in (None, factor.basis)
        and query.region in (None, factor.region)
        and (query.on is None or factor.is_valid_on(query.on))
    ]
    page, following = slice_of(rows, query.cursor, query.limit)
    return Factors(factors=[factor_row(factor) for factor in page], next=following)


@router.get("/norms", summary="能耗限额 / norms of products")
def list_norms(service: Services, _caller: Caller, query: Annotated[NormQuery, InQuery()]) -> Norms:
    """各版本的限额、标杆与基准水平及修正参数 / every edition."""
    rows = [norm for norm in service.facts.norms.rows if query.id in (None, norm.norm_id)]
    page, following = slice_of(rows, query.cursor, query.limit)
    return Norms(norms=[norm_row(norm) for norm in page], next=following)


@router.get("/restatements", summary="系数变更与重算 / changes of factors and what they restated")
def list_restatements(
    service: Services, caller: Caller, query: Annotated[RestatementQuery, InQuery()]
) -> Restatements:
    """关于全部用能单位，只有可见全部者能看 / about every enterprise: for those who may see all of them."""
    found = [restatement_of(row) for row in service.state.restatements()] if caller.may_see_regions else []
    page, following = slice_of(found, query.cursor, query.limit)
    return Restatements(restatements=page, next=following)
