"""Regions: the sum of their key units with its share, their targets and intensities, and the barometer."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path
from fastapi import Query as InQuery
from pydantic import BaseModel, Field

from api import figures
from api.auth import Caller
from api.energy import read_last_day
from api.enterprises import ProgressList, ProgressQuery, read_progress
from api.explanations import ExplanationQuery, Node, explain, read_region_days, shown
from api.intensity import Intensities, IntensityQuery, read_intensities
from api.paging import NEXT, Days, Limit, Offset, Query, Window, slice_of, window_of
from api.ports import Row, Service, Services
from api.totals import Totals, read_pending, read_totals
from nengshao.domain.factors import Basis
from nengshao.domain.targets import Indicator
from nengshao.domain.units import Scope

router = APIRouter(prefix="/v1/regions", tags=["地区 regions"])

RegionCode = Annotated[str, Path(description="行政区划代码 / code of the administrative division")]

_MOST_DAYS: Final = 731
"""Longest window of a region: every key unit's days of it are read."""


class Region(BaseModel):
    """一个行政区划 / an administrative division."""

    code: str
    name: str
    parent: str | None = Field(description="上级；空：最上级 / what holds it; null: the top")
    enterprises: int = Field(description="其中的重点用能单位数，含下级 / key units in it")


class Regions(BaseModel):
    """行政区划列表 / a page of regions."""

    regions: list[Region]
    next: int | None = Field(description=NEXT)


class RegionQuery(Query):
    """Which regions."""

    parent: Annotated[str | None, Field(max_length=6, description="其下级 / those that it holds")] = None
    cursor: Offset = 0
    limit: Limit = 100


class Share(BaseModel):
    """重点用能单位之和占全地区的份额 / how much of the region's stated total its key units are."""

    basis: Basis = Field(description="equivalent 等价值（地区能源消费总量按此统计）或 carbon / basis")
    stated_t: float = Field(description="地区所报总量，tce 或 tCO2 / the region's total as stated")
    share: float | None = Field(description="份额；空：重点用能单位之和未知 / null: their sum is not known")
    source: str = Field(description="来源 / source of the statement")
    is_confirmed: bool = Field(description="均为最终核实数 / every statement is final")
    label: str | None = Field(description="初步核算数不作为执法依据 / label of a preliminary figure")


class RegionTotals(Totals):
    """重点用能单位之和；不是地区能耗，更不是单位 GDP 能耗 / the sum of key units, not the region's energy."""

    enterprises: int = Field(description="重点用能单位数 / key units")
    shares: list[Share] = Field(description="所报期间与所问完全一致时才有 / if stated of exactly these days")


@router.get("", summary="行政区划 / regions")
def list_regions(service: Services, caller: Caller, query: Annotated[RegionQuery, InQuery()]) -> Regions:
    """只有可见全部用能单位者能看 / for those who may see every enterprise."""
    directory = service.directory()
    known = sorted(directory.regions.items()) if caller.may_see_regions else []
    rows = [row for _, row in known if query.parent in (None, row["parent"])]
    page, following = slice_of(rows, query.cursor, query.limit)
    return Regions(
        regions=[
            Region(
                code=row["code"],
                name=row["name"],
                parent=row["parent"],
                enterprises=len(directory.members(row["code"])),
            )
            for row in page
        ],
        next=following,
    )


@router.get("/{code}/totals", summary="重点用能单位之和 / sum of the key units")
def show_totals(
    service: Services, caller: Caller, code: RegionCode, query: Annotated[Days, InQuery()]
) -> RegionTotals:
    """各口径、各基准，及其占地区所报总量的份额；至多两年 / with its share of the region's stated total."""
    service.region(caller, code)
    window = window_of(query, last_day=read_last_day(service, code), days=31, most=_MOST_DAYS)
    members = service.directory().members(code)
    codes = [row["enterprise"] for row in members]
    totals = read_totals(service, code, window, read_region_days(service, code, members, window))
    return RegionTotals(
        **dict(totals) | {"pending": read_pending(service, codes, window)},
        enterprises=len(members),
        shares=read_shares(service, code, window, totals),
    )


_STATED: Final = {
    Basis.EQUIVALENT: (Indicator.ENERGY_CONSUMPTION, {"tce": 1, "1e4tce": 10_000}),
    Basis.CARBON: (Indicator.CARBON_EMISSION, {"tCO2": 1, "1e4tCO2": 10_000}),
}
"""As what a region states its total on a basis, and how many t its units are."""


def read_shares(service: Service, code: str, window: Window, totals: Totals) -> list[Share]:
    """The key units' sum over what the region states of exactly the same days."""
    statistics = service.state.statistics([code], window.first, window.end)
    total = next(row for row in totals.scopes if row.scope is Scope.TOTAL)
    sums = {Basis.EQUIVALENT: total.equivalent.tce, Basis.CARBON: total.carbon.t}
    found = []
    for basis, (indicator, units) in _STATED.items():
        asked = (code, indicator.value, Scope.TOTAL.value, window.first, window.end)
        stated = service.facts.arithmetic.stated(asked, statistics)
        if stated is not None and stated["value"]:
            found.append(share_of(basis, sums[basis], stated, units[stated["unit"]]))
    return found


def share_of(basis: Basis, summed: float | None, stated: Row, tonnes: int) -> Share:
    """The share of a sum in a stated total, opened into its statistics."""
    total = stated["value"] * tonnes
    return Share(
        basis=basis,
        stated_t=total,
        share=None if summed is None else figures.rounded(summed / total),
        source="；".join(dict.fromkeys(leaf["source"] for leaf in stated["children"])),
        is_confirmed=stated["is_confirmed"],
        label=figures.label_for(stated["is_confirmed"]),
    )


@router.get("/{code}/progress", summary="地区年度目标的进度 / progress against the region's targets")
def list_progress(
    service: Services, caller: Caller, code: RegionCode, query: Annotated[ProgressQuery, InQuery()]
) -> ProgressList:
    """按重点用能单位之和 / of the sum of its key units."""
    service.region(caller, code)
    return read_progress(service, code, query.year)


@router.get("/{code}/intensity", summary="单位 GDP 能耗 / energy and carbon per GDP")
def list_intensities(
    service: Services, caller: Caller, code: RegionCode, query: Annotated[IntensityQuery, InQuery()]
) -> Intensities:
    """只由统计数据得出，不用重点用能单位之和 / of statistics alone, never of the sum of key units."""
    service.region(caller, code)
    return read_intensities(service, code, query)


@router.get(
    "/{code}/explanation", response_model_exclude_unset=True, summary="打开一个地区的数字 / open a figure"
)
def show_explanation(
    service: Services, caller: Caller, code: RegionCode, query: Annotated[ExplanationQuery, InQuery()]
) -> Node:
    """合计与进度打开到各用能单位，强度打开到统计数据 / down to key units, or to statistics."""
    service.region(caller, code)
    return shown(explain(service, code, query))
