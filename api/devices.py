"""Devices: which serve an enterprise, when each was last heard, and how its clock stands."""

from __future__ import annotations

import datetime as dt

import polars as pl
from fastapi import APIRouter
from pydantic import BaseModel, Field

from api import figures
from api.auth import Caller
from api.enterprises import Code
from api.ports import Services

router = APIRouter(prefix="/v1/enterprises", tags=["端设备 devices"])


class Device(BaseModel):
    """一台端设备的一段登记及其现状 / one dated registration of a device, and how the device is."""

    device: str = Field(description="端设备统一编码 / device code")
    name: str
    cadence_s: int | None = Field(
        description="上报周期，秒；空：人工填报 / null: a person enters its figures"
    )
    valid_from: dt.datetime
    valid_to: dt.datetime | None = Field(description="空：在用 / null: on duty")
    status: str | None = Field(
        description="设备最后自报的状态 online/offline；空：从未自报 / null: never said"
    )
    status_at: dt.datetime | None = Field(description="状态的时间 / when it said so")
    last_seen: dt.datetime | None = Field(description="最后一次收到合格数据 / last accepted delivery")
    clock_skew_s: int | None = Field(
        description="设备时钟超前的秒数，负为落后（可能只是送得晚）；取近 6 至 12 小时内最新鲜的报文；"
        "空：尚不知道 / s ahead of ours, below zero behind, by the freshest message of the last 6 to 12 hours"
    )
    clock_seen_at: dt.datetime | None = Field(description="偏差最近一次更新 / when that was last updated")


class Devices(BaseModel):
    """一家用能单位的端设备 / the devices of an enterprise."""

    enterprise: str
    devices: list[Device]


@router.get("/{code}/devices", summary="端设备与时钟 / devices and their clocks")
def list_devices(service: Services, caller: Caller, code: Code) -> Devices:
    """登记的全部端设备，含已停用的各段 / every dated registration, past ones included."""
    service.enterprise(caller, code)
    state = service.state
    own = pl.col("enterprise") == code
    seen = dict(state.last_seen(service.partition_of(code)).filter(own).select("device", "at").iter_rows())
    statuses = {status.device: status for status in state.device_statuses(code)}
    clocks = {clock.device: clock for clock in state.device_clocks(code)}
    devices = []
    for row in state.registry().devices.filter(own).iter_rows(named=True):
        status, clock = statuses.get(row["device"]), clocks.get(row["device"])
        devices.append(
            Device(
                device=row["device"],
                name=row["name"],
                cadence_s=row["cadence_s"],
                valid_from=figures.moment(row["valid_from"]),
                valid_to=figures.instant(row["valid_to"]),
                status=status.state if status else None,
                status_at=figures.moment(status.at) if status else None,
                last_seen=figures.instant(seen.get(row["device"])),
                clock_skew_s=clock.skew_s if clock else None,
                clock_seen_at=figures.moment(clock.at) if clock else None,
            )
        )
    return Devices(enterprise=code, devices=devices)
