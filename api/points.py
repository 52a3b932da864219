"""Points: what is measured where, by which device, in which unit."""

from __future__ import annotations

import datetime as dt

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api import figures
from api.auth import Caller
from api.enterprises import Code
from api.ports import Row, Services, tag_of
from nengshao.domain.codes import printed_data_code
from nengshao.domain.units import Carrier, PointKind, Role, Unit, canonical_unit

router = APIRouter(prefix="/v1/enterprises", tags=["计量点 points"])


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
    kind: PointKind = Field(description="register 累计表 amount 周期用量 power 平均功率 / what it sends")
    role: Role = Field(description="input 输入 output 输出（边界）sub 内部 / where it stands")
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


def point_of(row: Row) -> Point:
    """A POINTS row in natural units."""
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
    return Points(enterprise=code, points=[point_of(row) for row in service.directory().points.get(code, [])])
