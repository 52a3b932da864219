"""Points: what is measured where, by which device, in which unit."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api import figures
from api.auth import Caller
from api.enterprises import Code
from api.ports import Row, Services, tag_of
from nengshao.domain.codes import printed_data_code
from nengshao.domain.units import Carrier, PointKind, Role, Unit, Use, canonical_unit

router = APIRouter(prefix="/v1/enterprises", tags=["计量点 points"])


class Term(BaseModel):
    """虚拟计量点的一项 / a term of a virtual point."""

    point: str = Field(description="计量点标识 / dataCode.statType.meter")
    coefficient: str = Field(description="系数，分数 / a fraction")
    valid_from: dt.datetime
    valid_to: dt.datetime | None = Field(description="空：有效 / null: in force")


class Point(BaseModel):
    """一个计量点的一段登记，量值为标准单位 / one dated registration; canonical units."""

    point: str = Field(description="计量点标识 / dataCode.statType.meter")
    data_code: str = Field(description="采集数据项编码 / data code as printed")
    name: str
    device: str = Field(description="端设备统一编码 / device that serves the point")
    carrier: Carrier = Field(description="能源品种 / carrier")
    carrier_zh: str
    unit: Unit = Field(description="品种的标准单位 / canonical unit of the carrier")
    sent_unit: Unit = Field(description="上传数值的单位 / unit of dataValue as sent")
    kind: PointKind = Field(
        description="register 累计表 amount 周期用量 power 平均功率 stock 盘点 virtual 虚拟 / what it sends"
    )
    role: Role = Field(
        description="input 输入 output 输出（边界）sub 内部 recovered 回收自用 / where it stands"
    )
    use: Use = Field(description="energy 能源 feedstock 原料用能 non_fossil 非化石 certificate 绿证 / use")
    parent: str | None = Field(description="上级计量点；空：没有 / the meter that it is a sub-meter of")
    terms: list[Term] = Field(description="虚拟计量点的构成 / what a virtual point is made of")
    feeds_total: bool = Field(description="计入总量 / whether it feeds totals")
    stat_type: int = Field(description="采集频率：0 实时 1 日 2 月 3 年 / statType")
    cadence_s: int | None = Field(description="实时数据的上传周期，秒 / cadence of a real-time series, s")
    grace_s: int = Field(description="周期结束后多久算缺失，秒 / grace after a period's end, s")
    max_estimate_s: int = Field(description="可插值的最长缺口，秒 / longest gap that is interpolated, s")
    capacity: float | None = Field(description="额定能力，标准单位每小时；空：未知 / rated, unit per hour")
    expected_daily: float | None = Field(description="每日期望用量，标准单位 / expected a day")
    ratio: str = Field(description="倍率 CT×PT / ratio applied to dataValue, a fraction")
    valid_from: dt.datetime
    valid_to: dt.datetime | None = Field(description="空：有效 / null: in force")


class Points(BaseModel):
    """一家用能单位的计量点 / the points of an enterprise."""

    enterprise: str
    points: list[Point]


def term_of(row: Row, names: Mapping[int, str]) -> Term:
    """A VIRTUAL_TERMS row."""
    return Term(
        point=names.get(row["term"], str(row["term"])),
        coefficient=f"{row['num']}/{row['den']}",
        valid_from=figures.moment(row["valid_from"]),
        valid_to=figures.instant(row["valid_to"]),
    )


def point_of(row: Row, names: Mapping[int, str], terms: Iterable[Row]) -> Point:
    """A POINTS row in natural units; `names`: tags of points by id, `terms`: its VIRTUAL_TERMS."""
    carrier, sent = Carrier(row["carrier"]), Unit(row["unit"])
    return Point(
        point=tag_of(row),
        data_code=printed_data_code(row["data_code"]),
        name=row["name"],
        device=row["device"],
        carrier=carrier,
        carrier_zh=carrier.zh,
        unit=canonical_unit(sent),
        sent_unit=sent,
        kind=PointKind(row["kind"]),
        role=Role(row["role"]),
        use=Use(row["use"]),
        parent=None if row["parent"] is None else names.get(row["parent"], str(row["parent"])),
        terms=[term_of(term, names) for term in terms],
        feeds_total=row["feeds_total"],
        stat_type=row["stat_type"],
        cadence_s=row["cadence_s"],
        grace_s=row["grace_s"],
        max_estimate_s=row["max_estimate_s"],
        capacity=figures.from_milli(row["capacity"]),
        expected_daily=figures.from_milli(row["expected_daily"]),
        ratio=f"{row['ratio_num']}/{row['ratio_den']}",
        valid_from=figures.moment(row["valid_from"]),
        valid_to=figures.instant(row["valid_to"]),
    )


@router.get("/{code}/points", summary="计量点 / points of an enterprise")
def list_points(service: Services, caller: Caller, code: Code) -> Points:
    """登记的全部计量点，含已失效的各段 / every dated registration, past ones included."""
    service.enterprise(caller, code)
    names = service.directory().names(code)
    terms: dict[int, list[Row]] = defaultdict(list)
    for term in service.state.registry().virtual_terms.iter_rows(named=True):
        terms[term["point"]].append(term)
    rows = service.directory().points.get(code, [])
    return Points(enterprise=code, points=[point_of(row, names, terms[row["point"]]) for row in rows])
