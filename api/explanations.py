"""Explanations: any figure of an enterprise or region opened into what it was made of, in one call."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from fastapi import Query as InQuery
from pydantic import BaseModel, Field

from api import figures
from api.auth import Caller
from api.energy import read_last_day
from api.enterprises import Code
from api.errors import BadRequest, NotFound
from api.intensity import IntensityBasis
from api.masses import read_days
from api.paging import MOST_DAYS, Days, Period, Window, window_of
from api.ports import Asked, Frames, Row, Service, Services
from nengshao.domain.codes import is_region_code
from nengshao.domain.factors import Basis
from nengshao.domain.rules import Measure
from nengshao.domain.targets import TargetLevel
from nengshao.domain.time import accounting_day, date_of, day_number
from nengshao.domain.units import Scope

router = APIRouter(prefix="/v1/enterprises", tags=["说明 explanations"])

MOST_MEMBERS: Final = 1000
"""Key units of a region that are shown one by one; the rest is one node."""


class NodeCoverage(BaseModel):
    """数据覆盖 / how much of the time has data."""

    measured: float | None = Field(None, description="实测份额 / measured share, 0–1")
    estimated: float | None = Field(None, description="估算份额 / estimated share, 0–1")
    missing: float | None = Field(None, description="缺失份额 / missing share, 0–1")
    pending: float | None = Field(None, description="未到期份额 / not yet due, 0–1")
    covered: float | None = Field(None, description="实测与估算份额 / measured and estimated share, 0–1")
    days: int | None = Field(None, description="天数 / days")


class Node(BaseModel):
    """一个数字，及其构成：sum 的各项 exact 相加等于本项 / a figure and what it is made of.

    In a sum the children's `exact` (integers, in `exact_unit`) add up to the node's; what is not known is in
    its bounds.
    """

    kind: str = Field(description="total、point、conversion、factor、block、gap、statistic、quota…")
    name: str
    value: float | None = Field(description="所示数字；空：未知 / as shown; null: unknown")
    unit: str
    op: str = Field(
        description="与下级的关系：sum、product、quotient、difference…；空串：叶 / how it is made"
    )
    formula: str | None = Field(None, description="公式 / formula")
    low: float | None = Field(None, description="下界；空：无界 / lower bound; null: unbounded")
    high: float | None = Field(None, description="上界；空：无界 / upper bound; null: unbounded")
    exact: int | None = Field(None, description="同一数字的整数 / the same figure as an integer")
    exact_low: int | None = None
    exact_high: int | None = None
    exact_unit: str | None = Field(None, description="整数的单位 / unit of the integers")
    coverage: NodeCoverage | None = None
    is_confirmed: bool = Field(description="可作执法依据 / an inspector may rest a case on it")
    label: str | None = Field(description="不作为执法依据 / label to be shown with the figure")
    because: list[str] = Field(description="哪些依据尚未确认 / what of it is not confirmed")
    source: str | None = Field(None, description="依据或来源 / source")
    edition: str | None = Field(None, description="版本 / edition")
    confidence: str | None = Field(None, description="可信度 / confidence")
    facts: dict[str, Any] | None = Field(None, description="其他事实 / what else belongs to it")
    children: list[Node] = Field(description="构成，按公式次序 / what it is made of, in formula order")
    beside: list[Node] | None = Field(None, description="并列参考，不计入 / shown with it, no part of it")


class ExplanationQuery(Days):
    """Which figure."""

    measure: Literal["total", "progress", "intensity"] | Measure = Field(
        description="total 合计 progress 配额进度 intensity 强度，或规则所看的指标 / what to open"
    )
    basis: IntensityBasis | None = Field(
        None, description="折算基准，从不默认：calorific、equivalent、carbon / basis, never defaulted"
    )
    scope: Scope = Field(Scope.TOTAL, description="统计口径 / what is counted")
    year: Annotated[int | None, Field(ge=1990, le=2200, description="配额年度 / year of the quota")] = None
    level: TargetLevel = Field(TargetLevel.BASE, description="基本目标或激励目标 / kind of target")
    denominator: Annotated[str | None, Field(max_length=200, description="强度的分母 / of the intensity")] = (
        None
    )
    period: Period | None = Field(None, description="强度的时期：年或月 / of the intensity")
    subject: Annotated[str | None, Field(max_length=300, description="指标的对象 / of the measure")] = None


def explain(service: Service, code: str, query: ExplanationQuery) -> Row:
    """The tree of the figure that is asked for. Raises: BadRequest (a parameter is missing), NotFound."""
    if query.measure == "total":
        return explain_total(service, code, query)
    if query.measure == "progress":
        return _explain_progress(service, code, query)
    if query.measure == "intensity":
        return _explain_intensity(service, code, query)
    return _explain_measure(service, code, Measure(query.measure), query)


def explain_total(service: Service, code: str, query: ExplanationQuery) -> Row:
    """A total of any days, opened."""
    basis = _mass_basis(query)
    window = window_of(query, last_day=read_last_day(service, code), days=31, most=MOST_DAYS)
    asked: Asked = (code, basis, query.scope, window.first, window.end)
    arithmetic = service.facts.arithmetic
    if is_region_code(code):
        members = service.directory().members(code)
        frames = read_region_days(service, code, members, window)
        shown = members[:MOST_MEMBERS]
        return arithmetic.region(asked, frames, shown, len(members) - len(shown))
    frames = read_days(service, [code], window) | {
        "POINT_DAYS": service.state.point_days([code], window.first, window.end)
    }
    return arithmetic.total(asked, frames, service.state.registry())


def _explain_progress(service: Service, code: str, query: ExplanationQuery) -> Row:
    basis = _mass_basis(query)
    year = _given(query.year, "year")
    wanted = {"year": year, "basis": basis, "scope": query.scope, "level": query.level}
    row = _only(service.state.progress([code]).to_dicts(), wanted)
    at = day_number(dt.date(year + 1, 1, 1)) if row["as_of_day"] is None else row["as_of_day"] + 1
    frames = read_evidence(service, code, _years_before(service, code, at))
    return service.facts.arithmetic.progress(
        row, Measure.PROGRESS_RATIO, frames, service.state.registry(), _members(service, code)
    )


def _explain_intensity(service: Service, code: str, query: ExplanationQuery) -> Row:
    wanted = {
        "basis": _basis(query),
        "scope": query.scope,
        "denominator": _given(query.denominator, "denominator"),
        "period": _given(query.period, "period"),
    }
    row = _only(service.state.intensity([code]).to_dicts(), wanted)
    frames = read_evidence(service, code, _years_before(service, code, row["end_day"]))
    return service.facts.arithmetic.intensity(row, frames, service.state.registry())


def _explain_measure(service: Service, code: str, measure: Measure, query: ExplanationQuery) -> Row:
    wanted = {"measure": measure, "subject": _given(query.subject, "subject")}
    row = _only(service.state.measures([code]).to_dicts(), wanted)
    frames = read_evidence(service, code, _years_before(service, code, accounting_day(row["at"] - 1) + 1))
    members = _members(service, code)
    tree = service.facts.arithmetic.measure(row, frames, service.state.registry(), members)
    if tree is None:
        raise NotFound("没有这个数字", "no such figure")
    return tree


# --------------------------------------------------------------------------------- what it is read from


def read_evidence(service: Service, code: str, window: Window) -> Frames:
    """Everything at rest about an enterprise or region that a tree may need, of these days."""
    state = service.state
    days = (
        read_region_days(service, code, service.directory().members(code), window)
        if is_region_code(code)
        else read_days(service, [code], window)
    )
    return {
        **days,
        "POINT_DAYS": state.point_days([code], window.first, window.end),
        "STATISTICS": state.statistics([code], window.first, window.end),
        "PROGRESS": state.progress([code]),
        "INTENSITY": state.intensity([code]),
        "LAST_SEEN": state.last_seen(service.partition_of(code)),
    }


def read_region_days(service: Service, code: str, members: Sequence[Row], window: Window) -> Frames:
    """The days of a region and of its first key units; blocks of all of them, under the region's code too."""
    codes = [row["enterprise"] for row in members]
    own = read_days(service, [code, *codes[:MOST_MEMBERS]], window)
    own["BLOCKS"] = service.state.blocks(codes, window.start, window.stop)
    return service.facts.arithmetic.of_region(code, own)


def _members(service: Service, code: str) -> list[Row]:
    return service.directory().members(code)[:MOST_MEMBERS] if is_region_code(code) else []


def _years_before(service: Service, code: str, end_day: int) -> Window:
    """From the year before that of the day before `end_day`, or an earlier base year of a target, on."""
    targets = service.state.registry().intensity_targets.iter_rows(named=True)
    bases = [row["base_year"] for row in targets if row["enterprise"] == code and row["base_year"]]
    first = min([date_of(end_day - 1).year - 1, *bases])
    return Window(day_number(dt.date(first, 1, 1)), end_day)


# ------------------------------------------------------------------------------------- what was asked


def _basis(query: ExplanationQuery) -> str:
    if query.basis is None:
        raise BadRequest(
            "必须给出 basis（calorific 当量值、equivalent 等价值、carbon 二氧化碳），折算基准从不默认",
            "basis is required (calorific, equivalent, carbon): it is never defaulted",
        )
    return query.basis


def _mass_basis(query: ExplanationQuery) -> Basis:
    basis = _basis(query)
    if basis not in list(Basis):
        raise BadRequest("basis 应为 calorific、equivalent 或 carbon", "basis is none of a mass")
    return Basis(basis)


def _given(value: Any, name: str) -> Any:
    if value is None:
        raise BadRequest(f"必须给出 {name}", f"{name} is required")
    return value


def _only(rows: Sequence[Row], wanted: Row) -> Row:
    found = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    if not found:
        raise NotFound("没有这个数字", "no such figure")
    return found[0]


def shown(tree: Row) -> Node:
    """The tree as the answer has it; the ids of points are text already."""
    return Node.model_validate(figures.with_text_ids(tree))


@router.get("/{code}/explanation", response_model_exclude_unset=True, summary="打开一个数字 / open a figure")
def show_explanation(
    service: Services, caller: Caller, code: Code, query: Annotated[ExplanationQuery, InQuery()]
) -> Node:
    """从合计、进度、强度或指标直到计量点、系数（版本、来源、可信度）与缺失 / down to meters and factors.

    total 须给 basis、from、to（至多十年）；progress 须给 basis、year；intensity 须给 basis、denominator、
    period；其他指标须给 subject（见 measures）。
    """
    service.enterprise(caller, code)
    return shown(explain(service, code, query))
