"""The HTTP service put together: routers, the one table of errors, the guard at the door."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Depends, FastAPI

from api import (
    alerts,
    barometer,
    closings,
    denials,
    devices,
    docs,
    energy,
    enterprises,
    errors,
    explanations,
    health,
    intensity,
    law,
    ledger,
    measures,
    meter_events,
    metrics,
    points,
    quarantine,
    readings,
    regions,
    resends,
    revision_readings,
    revisions,
    statistics,
    totals,
)
from api.auth import current_principal
from api.errors import MEDIA_TYPE, Problem
from api.ports import ApiFacts, ApiPorts, Service
from nengshao.ports import Clock

__all__ = ["ApiFacts", "ApiPorts", "create_api"]

VERSION: Final = "1"
"""Of the HTTP contract, not of the program: it changes when an answer is no longer compatible."""

_DESCRIPTION: Final = (
    "重点用能单位能耗监测与双控预警。能耗以吨标准煤（tce）计，逐项注明当量值或等价值；"
    "缺失从不当作零；标注“不作为执法依据”的数字依据尚未确认。时间为东八区。"
    " / Energy monitoring of key energy-consuming enterprises: figures in tce name their basis, what is"
    " missing is never zero, and a figure that rests on something unconfirmed says so. Times are UTC+8."
)

_GUARDED: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Problem, "description": text}
    for status, text in {
        401: "需要访问令牌 / authentication required",
        422: "参数不符合要求 / parameters not valid",
        503: "暂不可用 / unavailable, see Retry-After",
    }.items()
}

_NOT_FOUND: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": Problem, "description": "未找到 / not found"}
}

_UPLOAD: Final = {"413": "内容过大 / too large", "415": "格式无法识别 / unknown format"}
_NOT_ALLOWED: Final = "无权办理 / not allowed"
_OWN_PROBLEMS: Final[dict[tuple[str, str], dict[str, str]]] = {
    ("/v1/readings", "post"): _UPLOAD,
    ("/v1/statistics", "post"): {**_UPLOAD, "403": _NOT_ALLOWED, "409": "期间部分重叠 / periods overlap"},
    ("/v1/statistics/decisions", "post"): {"403": _NOT_ALLOWED, "409": "无法办理 / not possible"},
    ("/v1/enterprises/{code}/closings", "post"): {"403": _NOT_ALLOWED, "409": "无法结账 / not possible"},
    ("/v1/enterprises/{code}/meter-events/confirmations", "post"): {"403": _NOT_ALLOWED},
    ("/v1/enterprises/{code}/proposals/decisions", "post"): {"403": _NOT_ALLOWED},
    ("/v1/proposals/{proposal_id}/decision", "post"): {"403": _NOT_ALLOWED, "409": "已经办理 / decided"},
    ("/v1/quarantine/{entry_id}/replay", "post"): {"409": "无法重放 / cannot be replayed"},
}


class NengshaoApi(FastAPI):
    """FastAPI whose document says of errors what is really sent: `application/problem+json`."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document; made once."""
        if self.openapi_schema is None:
            self.openapi_schema = with_problems(super().openapi())
        return self.openapi_schema


def with_problems(document: dict[str, Any]) -> dict[str, Any]:
    """The document with every error answer as problem+json, and each operation's own errors added."""
    schema = {"$ref": "#/components/schemas/Problem"}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            answers = operation["responses"]
            for status, text in _OWN_PROBLEMS.get((path, method), {}).items():
                answers[status] = {"description": text, "content": {"application/json": {"schema": schema}}}
            for answer in answers.values():
                content = answer.get("content", {})
                if content.get("application/json", {}).get("schema") == schema:
                    answer["content"] = {MEDIA_TYPE: {"schema": schema}}
    return document


def create_api(ports: ApiPorts, facts: ApiFacts, clock: Clock) -> FastAPI:
    """The service as an ASGI application. It owns none of the ports and closes none of them."""
    app = NengshaoApi(
        title="能哨 Nengshao", version=VERSION, description=_DESCRIPTION,
        docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False,
    )  # fmt: skip
    app.state.service = Service(ports, facts, clock)
    errors.install(app)
    app.add_middleware(metrics.CountRequests, requests=ports.telemetry.http_requests)
    app.include_router(health.router)
    app.include_router(docs.router)
    app.include_router(_guarded())
    return app


def _guarded() -> APIRouter:
    """Every route that needs a caller: the guard stands here too, so no handler can be left without it."""
    guarded = APIRouter(dependencies=[Depends(current_principal)], responses=_GUARDED)
    for noun in (
        alerts, enterprises, points, energy, totals, explanations, intensity, measures, meter_events,
        revisions, revision_readings, closings, statistics, regions, barometer, readings, quarantine,
        devices, resends,
    ):  # fmt: skip
        guarded.include_router(noun.router, responses=_NOT_FOUND)
    for noun in (law, ledger, denials, metrics):
        guarded.include_router(noun.router)
    return guarded
