"""Metrics: what Prometheus scrapes, behind the token like every figure; and the count of requests."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth import Caller
from api.ports import Services

router = APIRouter(tags=["指标 metrics"])

UNMATCHED = "unmatched"
"""The route of a request for an address there is not; its path would make the series endless."""


@router.get(
    "/metrics", summary="Prometheus 指标 / Prometheus metrics", response_class=Response,
    responses={200: {"description": "指标", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)  # fmt: skip
def metrics(service: Services, _caller: Caller) -> Response:
    """Prometheus 文本格式 / text exposition format."""
    return Response(generate_latest(service.ports.telemetry.registry), media_type=CONTENT_TYPE_LATEST)


class CountRequests:
    """ASGI middleware that counts every answer by its route's template and status."""

    def __init__(self, app: ASGIApp, requests: Counter) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count its answer when it starts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count(scope, message["status"])
            await send(message)

        try:
            await self._app(scope, receive, counting)
        except Exception:
            self._count(scope, HTTPStatus.INTERNAL_SERVER_ERROR)  # the server's answer, made outside of us
            raise

    def _count(self, scope: Scope, status: int) -> None:
        route = getattr(scope.get("route"), "path", UNMATCHED)
        self._requests.labels(route, str(int(status))).inc()
