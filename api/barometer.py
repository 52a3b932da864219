"""The barometer (晴雨表): how regions stand against their intensity targets, by colour."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api import figures
from api.auth import Caller
from api.ports import Row, Service, Services
from api.regions import RegionCode
from nengshao.domain.alerts import Alert, AlertState
from nengshao.domain.codes import REGION_PARTITION, region_chain
from nengshao.domain.factors import Basis
from nengshao.domain.rules import Measure, Rule, Severity
from nengshao.domain.targets import Indicator
from nengshao.domain.time import accounting_day, date_of

router = APIRouter(prefix="/v1/regions", tags=["地区 regions"])

_MEASURES: Final = (Measure.REDUCTION_COMPLETION, Measure.REDUCTION_GAP, Measure.INTENSITY_STATE)
GREEN: Final = "green"


class Reading(BaseModel):
    """一个地区的晴雨 / how one region stands."""

    code: str
    name: str
    colour: str | None = Field(
        description="red 红 orange 橙 yellow 黄 green 绿；空：数据不足或没有适用规则 / null: cannot be said"
    )
    colour_zh: str
    level: str = Field(description="当地文件所印的级，与颜色无固定对应 / the level that the locality prints")
    rule: str | None = Field(description="判定所依据的规则 / the rule that says it")
    as_of: dt.datetime | None = Field(description="数字所及的时间 / the figures reach up to here")
    completion: float | None = Field(
        description="能耗强度降低率完成率，多项取最差 / energy: actual over target reduction, the worst"
    )
    gap_pp: float | None = Field(
        description="能耗强度降低率缺口，百分点，多项取最大 / energy: lacking reduction, pp, the largest"
    )
    carbon_completion: float | None = Field(description="碳排放强度降低率完成率 / the same of CO2")
    carbon_gap_pp: float | None = Field(description="碳排放强度降低率缺口，百分点 / the same of CO2, pp")
    labels: list[str] = Field(description="必须随晴雨显示的标注 / labels to be shown with it")


class Barometer(BaseModel):
    """一个地区及其下辖各地区的晴雨表 / a region and the regions within it."""

    region: str
    own: Reading = Field(description="本地区 / the region itself")
    regions: list[Reading]


_COLOURS_ZH: Final = {**{severity.value: severity.zh for severity in Severity}, GREEN: "绿色"}


def reading_of(region: Row, rows: Sequence[Row], alerts: Sequence[Alert], rules: Sequence[Rule]) -> Reading:
    """A region's colour: that of its worst firing alert; green, if a rule applies and none fires.

    `rows`: its MEASURES of intensity targets, of the latest year; `alerts`: of that year. Without a known
    figure, or while an alert is 数据不足, nothing is said.
    """
    firing = sorted(
        (alert for alert in alerts if alert.state is AlertState.FIRING),
        key=lambda alert: Severity(alert.severity).rank,
    )
    worst = firing[-1] if firing else None
    is_open = not rows or any(row["value"] is None for row in rows) or any(a.is_insufficient for a in alerts)
    green = GREEN if rules and not is_open else None
    colour = worst.severity if worst else green
    is_confirmed = worst.is_confirmed if worst else all(row["is_confirmed"] for row in rows)
    energy, carbon = ([row for row in rows if _is_carbon(row) is wanted] for wanted in (False, True))
    return Reading(
        code=region["code"],
        name=region["name"],
        colour=colour,
        colour_zh=figures.INSUFFICIENT if colour is None else _COLOURS_ZH[colour],
        level=worst.level if worst else "",
        rule=worst.rule if worst else None,
        as_of=figures.instant(max((row["at"] for row in rows), default=None)),
        completion=figures.rounded(_worst(energy, Measure.REDUCTION_COMPLETION, min)),
        gap_pp=figures.rounded(_worst(energy, Measure.REDUCTION_GAP, max)),
        carbon_completion=figures.rounded(_worst(carbon, Measure.REDUCTION_COMPLETION, min)),
        carbon_gap_pp=figures.rounded(_worst(carbon, Measure.REDUCTION_GAP, max)),
        labels=[
            *([] if is_confirmed else [figures.NOT_EVIDENCE]),
            *([figures.INSUFFICIENT] if is_open else []),
        ],
    )


def _is_carbon(row: Row) -> bool:
    return bool(row["subject"].split("/")[1] == Basis.CARBON)


def _worst(rows: Sequence[Row], measure: Measure, worst_of: Callable[[list[float]], float]) -> float | None:
    """Unknown if one of them is: that one may be the worst."""
    values = [row["value"] for row in rows if row["measure"] == measure]
    return None if not values or None in values else worst_of(values)


def _year(subject: str) -> str:
    return subject.split("/", maxsplit=1)[0]


def targets_of(rows: Sequence[Row]) -> list[Row]:
    """Of MEASURES rows those of 单位 GDP 能耗 against its target, of the latest year that has any."""
    found = [
        row
        for row in rows
        if row["measure"] in _MEASURES and row["subject"].endswith(f"/{Indicator.GDP_COMPARABLE}")
    ]
    latest = max((_year(row["subject"]) for row in found), default="")
    return [row for row in found if _year(row["subject"]) == latest]


def rules_for(rules: Mapping[str, Rule], region: str, rows: Sequence[Row]) -> list[Rule]:
    """The rules that have a say on these rows: on their measure, in their month, in the region."""
    months = {(row["measure"], date_of(accounting_day(row["at"] - 1)).month) for row in rows}
    around = set(region_chain(region))
    return [
        rule
        for rule in rules.values()
        if rule.is_enabled
        and (not rule.regions or around.intersection(rule.regions))
        and any(rule.measure == measure and month in (rule.months or (month,)) for measure, month in months)
    ]


def read_barometer(service: Service, code: str) -> list[Reading]:
    """How the region stands, and after it those within, by code."""
    known = service.directory().regions
    within = sorted(
        (row for row in known.values() if row["parent"] == code), key=lambda row: str(row["code"])
    )
    regions = [known[code], *within]
    codes = [row["code"] for row in regions]
    measures = service.state.measures(codes).to_dicts()
    rules = service.facts.rules
    alerts = [
        alert
        for alert in service.state.open_alerts(REGION_PARTITION)
        if alert.rule in rules
        and rules[alert.rule].measure in _MEASURES
        and alert.subject.endswith(f"/{Indicator.GDP_COMPARABLE}")
    ]
    found = []
    for region in regions:
        rows = targets_of([row for row in measures if row["enterprise"] == region["code"]])
        years = {_year(row["subject"]) for row in rows}
        own = [
            alert for alert in alerts if alert.enterprise == region["code"] and _year(alert.subject) in years
        ]
        found.append(reading_of(region, rows, own, rules_for(rules, region["code"], rows)))
    return found


@router.get("/{code}/barometer", summary="晴雨表 / barometer of the region and those within")
def show_barometer(service: Services, caller: Caller, code: RegionCode) -> Barometer:
    """本地区与下辖各地区能耗强度目标的红、橙、黄、绿；级另列 / colours; the printed level apart."""
    service.region(caller, code)
    own, *within = read_barometer(service, code)
    return Barometer(region=code, own=own, regions=within)
