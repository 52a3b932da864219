"""Alerts: what was found, under which rule, on which figures."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path
from fastapi import Query as InQuery
from pydantic import BaseModel, Field

from api import figures
from api.auth import Caller, Principal
from api.errors import BadRequest, NotFound
from api.paging import CURSOR, NEXT, EnterpriseFilter, Limit, Query, page_of
from api.ports import Service, Services
from nengshao.domain.alerts import Alert, AlertState
from nengshao.domain.rules import Measure, Rule, Severity
from nengshao.ports import StateStore
from nengshao.registry import named_subject

router = APIRouter(prefix="/v1/alerts", tags=["预警 alerts"])

FoundAlert = tuple[Alert, list[Mapping[str, Any]], Mapping[str, Any] | None]
"""An alert with its history and its frozen explanation, as the StateStore gives it."""

_STATE_ZH: Final = {
    AlertState.PENDING: "待定",
    AlertState.FIRING: "预警中",
    AlertState.RESOLVED: "已解除",
    AlertState.CORRECTED: "已更正",
}


class AlertSummary(BaseModel):
    """一条预警 / one alert."""

    id: str
    rule: str = Field(description="规则名 / name of the rule")
    enterprise: str = Field(description="统一社会信用代码 / unified social credit code")
    enterprise_name: str | None = Field(description="企业名称；空：已不在登记表 / null: not registered now")
    subject: str = Field(
        description="预警对象：配额、计量点或端设备 / what is judged: a quota, a point, a device"
    )
    subject_name: str = Field(
        description="预警对象，以名称表示 / the same with the names of points and devices"
    )
    state: AlertState = Field(description="状态 / state")
    state_zh: str = Field(description="状态（中文）/ state in Chinese")
    severity: Severity = Field(description="严重程度：yellow 黄 orange 橙 red 红 / severity, as a colour")
    severity_zh: str
    level: str = Field(description="当地文件所印的级，与颜色无固定对应 / the level that the locality prints")
    since: dt.datetime = Field(description="首次越限的时间（事件时间）/ first breach, event time")
    as_of: dt.datetime = Field(description="数字所及的时间（事件时间）/ the figures reach up to here")
    fired_at: dt.datetime | None = Field(
        description="所依据的数据截至何时；发出时刻见 history / event time; told: see history"
    )
    ended_at: dt.datetime | None = Field(description="解除或更正的时间 / when it ended")
    is_insufficient: bool = Field(description="数据不足 / only some values within the bounds breach")
    is_confirmed: bool = Field(description="所依据的数值均已确认 / everything it rests on is confirmed")
    labels: list[str] = Field(description="必须随预警显示的标注 / labels to be shown with the alert")


class AlertPage(BaseModel):
    """预警列表 / a page of alerts."""

    alerts: list[AlertSummary]
    next: str | None = Field(description=NEXT)


class BandFacts(BaseModel):
    """一档阈值 / a threshold and how bad it is to be past it."""

    op: str = Field(description="比较符 / comparator")
    threshold: float = Field(description="阈值，单位见规则的 unit / threshold, in the rule's `unit`")
    severity: Severity
    severity_zh: str
    level: str = Field(description="当地文件所印的级 / the level that the locality prints")


class RuleFacts(BaseModel):
    """规则与依据 / the rule and what it rests on."""

    name: str
    measure: str = Field(description="指标 / measure")
    measure_zh: str
    unit: str = Field(description="指标与阈值的单位；1 表示比值 / unit of measure and threshold; 1: a ratio")
    op: str = Field(description="比较符 / comparator")
    threshold: float = Field(description="最轻一档的阈值，单位见 unit / the mildest threshold, in `unit`")
    bands: list[BandFacts] = Field(description="各档，由轻到重 / from the mildest to the worst")
    months: list[int] = Field(description="适用的月份；空：全年 / months in which it applies; none: all")
    regions: list[str] = Field(description="适用的行政区划；空：全国 / where it applies; none: everywhere")
    hold_s: int = Field(description="持续多久才预警，秒 / how long a breach must last, s")
    min_coverage: float = Field(description="最低数据覆盖 / least coverage, 0–1")
    legal_basis: str = Field(description="依据 / legal basis")
    confidence: str = Field(description="依据的可信度 / confidence of the basis")
    summary_zh: str
    summary_en: str


class Figure(BaseModel):
    """一个带单位的数字 / a figure with its unit."""

    name: str
    name_zh: str
    value: float | None = Field(description="空：未知或无界 / null: unknown or unbounded")
    unit: str


class Step(BaseModel):
    """预警经过的一步 / a step of the alert."""

    at: dt.datetime = Field(description="事件时间 / event time")
    before: str | None = Field(description="之前的状态；首次为空 / state before; null at the first step")
    after: str
    reason: str


class AlertDetail(AlertSummary):
    """一条预警的完整说明 / one alert with its full explanation."""

    rule_facts: RuleFacts | None = Field(description="规则；空：已不在规则库 / null: not in the rulebook now")
    legal_basis: str | None = Field(description="依据 / what an inspector may cite")
    figures: list[Figure] = Field(description="所依据的数字 / the figures it rests on")
    coverage: float | None = Field(description="数据覆盖（实测与估算）/ measured and estimated share, 0–1")
    history: list[Step]
    explanation: dict[str, Any] | None = Field(
        description="发出预警时冻结的说明；空：从未发出 / frozen when it fired; null: it never did"
    )


def alert_summary(service: Service, alert: Alert) -> AlertSummary:
    """The alert as a list shows it."""
    names = service.directory().subjects.get(alert.enterprise, {})
    labels = [] if alert.is_confirmed else [figures.NOT_EVIDENCE]
    severity = Severity(alert.severity)
    return AlertSummary(
        id=alert.alert_id,
        rule=alert.rule,
        enterprise=alert.enterprise,
        enterprise_name=name_of(service, alert.enterprise),
        subject=alert.subject,
        subject_name=named_subject(alert.subject, names),
        state=alert.state,
        state_zh=_STATE_ZH[alert.state],
        severity=severity,
        severity_zh=severity.zh,
        level=alert.level,
        since=figures.moment(alert.since),
        as_of=figures.moment(alert.seen_at),
        fired_at=figures.instant(alert.fired_at),
        ended_at=figures.instant(alert.ended_at),
        is_insufficient=alert.is_insufficient,
        is_confirmed=alert.is_confirmed,
        labels=[*labels, figures.INSUFFICIENT] if alert.is_insufficient else labels,
    )


def rule_facts(rule: Rule) -> RuleFacts:
    """The rule as an alert shows it."""
    return RuleFacts(
        name=rule.name,
        measure=rule.measure.value,
        measure_zh=rule.measure.zh,
        unit=rule.measure.unit,
        op=rule.op.value,
        threshold=rule.threshold,
        bands=[
            BandFacts(
                op=(band.op or rule.op).value,
                threshold=band.threshold,
                severity=band.severity,
                severity_zh=band.severity.zh,
                level=band.level,
            )
            for band in rule.bands
        ],
        months=list(rule.months),
        regions=list(rule.regions),
        hold_s=rule.hold_s,
        min_coverage=rule.min_coverage,
        legal_basis=rule.legal_basis,
        confidence=rule.confidence,
        summary_zh=rule.summary_zh,
        summary_en=rule.summary_en,
    )


def history_step(row: Mapping[str, Any]) -> Step:
    """One row of an alert's history."""
    return Step(
        at=figures.moment(row["at"]), before=row["before"] or None, after=row["after"], reason=row["reason"]
    )


def alert_detail(
    summary: AlertSummary,
    rule: Rule | None,
    history: list[Mapping[str, Any]],
    explanation: Mapping[str, Any] | None,
) -> AlertDetail:
    """The alert with its rule, its history and the figures that were frozen when it fired."""
    frozen: Mapping[str, Any] = explanation or {}
    coverage = frozen.get("coverage")
    legal_basis = frozen.get("rule", {}).get("legal_basis")
    return AlertDetail(
        **summary.model_dump(),
        rule_facts=rule_facts(rule) if rule else None,
        legal_basis=legal_basis or (rule.legal_basis if rule else None),
        figures=figures_in(frozen),
        coverage=figures.rounded(coverage) if isinstance(coverage, float | int) else None,
        history=[history_step(row) for row in history],
        explanation=None if explanation is None else figures.with_text_ids(explanation),
    )


def figures_in(explanation: Mapping[str, Any]) -> list[Figure]:
    """The numbers that a frozen explanation rests on: the measure with its bounds and thresholds, and the
    figures that its tree is made of, one level down."""
    rule = explanation.get("rule", {})
    unit = Measure(rule["measure"]).unit if "measure" in rule else "1"
    named = [
        (name, name_zh, where[name], of_unit)
        for where, name, name_zh, of_unit in (
            (explanation, "value", "指标值", unit),
            (explanation, "low", "指标下界", unit),
            (explanation, "high", "指标上界", unit),
            (rule, "threshold", "阈值", unit),
            (explanation, "coverage", "数据覆盖", "1"),
            (rule, "min_coverage", "最低数据覆盖", "1"),
        )
        if name in where
    ]
    tree = explanation.get("tree") or {}
    parts = [
        (part["kind"], part["name"], part["value"], part["unit"])
        for part in (*tree.get("children", []), *tree.get("beside", []))
    ]
    return [
        Figure(name=name, name_zh=name_zh, value=figures.rounded(value), unit=of_unit)
        for name, name_zh, value, of_unit in (*named, *parts)
    ]


def load_visible_alert(state: StateStore, caller: Principal, alert_id: str) -> FoundAlert:
    """An alert that the caller may see, with history and explanation. Raises: NotFound."""
    found = state.alert(alert_id)
    if found is None or not caller.may_see(found[0].enterprise):
        raise NotFound("没有这条预警", "no such alert")
    return found


class AlertQuery(Query):
    """Which alerts."""

    state: list[AlertState] = Field([], description="状态，可多选；不给则全部 / states; none: all")
    enterprise: EnterpriseFilter = None
    cursor: str | None = Field(None, max_length=128, description=CURSOR)
    limit: Limit = 100


def read_page(service: Service, caller: Principal, query: AlertQuery) -> list[Alert]:
    """The alerts asked for and one more. Raises: BadRequest for a cursor that is no alert of the caller's."""
    scope = caller.scope(query.enterprise)
    if query.cursor is not None:
        last = service.state.alert(query.cursor)
        if last is None or not caller.may_see(last[0].enterprise):
            raise BadRequest("cursor 无效", "unknown cursor")
    if scope == []:
        return []
    return service.state.alerts_page(
        enterprises=scope, states=query.state or None, before=query.cursor, limit=query.limit + 1
    )


def name_of(service: Service, subject: str) -> str | None:
    """The name of an enterprise or region; None if it is no longer registered."""
    directory = service.directory()
    row = directory.enterprises.get(subject) or directory.regions.get(subject)
    return row["name"] if row else None


@router.get("", summary="预警列表 / list alerts")
def list_alerts(service: Services, caller: Caller, query: Annotated[AlertQuery, InQuery()]) -> AlertPage:
    """按首次越限时间由新到旧 / newest first breach first."""
    page, last = page_of(read_page(service, caller, query), query.limit)
    shown = [alert_summary(service, alert) for alert in page]
    return AlertPage(alerts=shown, next=last.alert_id if last else None)


@router.get("/{alert_id}", summary="一条预警的完整说明 / one alert, fully explained")
def show_alert(
    service: Services, caller: Caller, alert_id: Annotated[str, Path(max_length=128)]
) -> AlertDetail:
    """规则、依据、数字与单位、数据覆盖、历史 / rule, legal basis, figures with units, coverage, history."""
    alert, history, explanation = load_visible_alert(service.state, caller, alert_id)
    summary = alert_summary(service, alert)
    return alert_detail(summary, service.facts.rules.get(alert.rule), history, explanation)
