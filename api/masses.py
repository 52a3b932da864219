"""Masses as they are shown, standard coal on one basis or CO2, with bounds and label; how they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, Field

from api import figures
from api.paging import Window
from api.ports import Asked, Frames, Service
from nengshao.domain.factors import Basis
from nengshao.domain.units import Scope

Row = Mapping[str, Any]


class Coal(BaseModel):
    """一个折标基准下的标准煤 / standard coal on one basis."""

    tce: float | None = Field(description="吨标准煤；空：缺折标系数或无数据 / null: no factor or no data")
    low_tce: float | None = Field(description="下界，tce；空：无界或未知 / lower bound; null: unbounded")
    high_tce: float | None = Field(description="上界，tce；空：无界或未知 / upper bound; null: unbounded")
    is_confirmed: bool = Field(description="所用系数均已确认 / every factor used is confirmed")
    label: str | None = Field(description="标注 / label to be shown with the figure")


class Carbon(BaseModel):
    """二氧化碳 / CO2."""

    t: float | None = Field(
        description="吨二氧化碳 tCO2；空：缺排放因子或无数据 / null: no factor or no data"
    )
    low_t: float | None = Field(description="下界，tCO2；空：无界或未知 / lower bound; null: unbounded")
    high_t: float | None = Field(description="上界，tCO2；空：无界或未知 / upper bound; null: unbounded")
    is_confirmed: bool = Field(description="所用因子均已确认 / every factor used is confirmed")
    label: str | None = Field(description="标注 / label to be shown with the figure")


class Masses(BaseModel):
    """同一能耗的三种折算 / the same energy on both bases, and its carbon."""

    calorific: Coal = Field(description="当量值 / calorific basis")
    equivalent: Coal = Field(description="等价值 / equivalent basis")
    carbon: Carbon = Field(description="二氧化碳 / CO2")


class ScopeMasses(Masses):
    """一个统计口径 / one scope."""

    scope: Scope = Field(description="统计口径 / what is counted")
    scope_zh: str


def masses_of(used: Mapping[Basis, Row]) -> dict[str, Any]:
    """The fields of `Masses`, of rows with used_g, low_g, high_g, is_confirmed."""
    return {
        "calorific": coal_of(used[Basis.CALORIFIC]),
        "equivalent": coal_of(used[Basis.EQUIVALENT]),
        "carbon": carbon_of(used[Basis.CARBON]),
    }


def coal_of(used: Row) -> Coal:
    """Standard coal of a row with used_g, low_g, high_g, is_confirmed."""
    value, low, high = _tonnes(used)
    return Coal(tce=value, low_tce=low, high_tce=high, **_confidence(used))


def carbon_of(used: Row) -> Carbon:
    """CO2 of such a row."""
    value, low, high = _tonnes(used)
    return Carbon(t=value, low_t=low, high_t=high, **_confidence(used))


def _tonnes(used: Row) -> tuple[float | None, float | None, float | None]:
    return figures.tonnes(used["used_g"]), figures.tonnes(used["low_g"]), figures.tonnes(used["high_g"])


def _confidence(used: Row) -> dict[str, Any]:
    is_confirmed = bool(used["is_confirmed"])
    return {"is_confirmed": is_confirmed, "label": figures.label_for(is_confirmed)}


UNKNOWN: Final[Row] = {"used_g": None, "low_g": None, "high_g": None, "is_confirmed": False}
"""Nothing is known: there are no days."""


def read_days(service: Service, codes: Sequence[str], window: Window) -> dict[str, Any]:
    """ENTERPRISE_DAYS, SCOPE_DAYS and BLOCKS of enterprises or regions: what figures of days are made of."""
    return {
        "ENTERPRISE_DAYS": service.state.enterprise_days(codes, window.first, window.end),
        "SCOPE_DAYS": service.state.scope_days(codes, window.first, window.end),
        "BLOCKS": service.state.blocks(codes, window.start, window.stop),
    }


def scope_masses(
    service: Service, code: str, windows: Sequence[tuple[int, int]], scopes: Sequence[Scope], frames: Frames
) -> list[dict[Scope, Masses]]:
    """What each of the windows [first, end) came to, in each of the scopes, on every basis."""
    asked: list[Asked] = [
        (code, basis, scope, first, end) for first, end in windows for scope in scopes for basis in Basis
    ]
    used = iter(service.facts.arithmetic.used(asked, frames))
    return [
        {scope: Masses(**masses_of({basis: next(used) for basis in Basis})) for scope in scopes}
        for _ in windows
    ]
