"""Health: is the process alive, and can it do its work. The only routes open to everybody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from api.ports import Services
from nengshao.domain.errors import NengshaoError

router = APIRouter(prefix="/health", tags=["健康 health"])


class Liveness(BaseModel):
    """进程在运行 / the process is alive."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """各部分是否就绪 / whether each part is ready."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, Literal["ok", "unavailable"]] = Field(description="逐项结果 / result per part")


def run_checks(checks: Mapping[str, Callable[[], None]]) -> Readiness:
    """Ask every part, and say of each whether it answered; why it did not is for the logs."""
    results = {name: _result(check) for name, check in checks.items()}
    is_ready = all(result == "ok" for result in results.values())
    return Readiness(status="ok" if is_ready else "unavailable", checks=results)


def _result(check: Callable[[], None]) -> Literal["ok", "unavailable"]:
    try:
        check()
    except (NengshaoError, OSError):
        return "unavailable"
    return "ok"


@router.get("/live", summary="存活 / liveness")
def live() -> Liveness:
    """进程在运行 / the process is alive."""
    return Liveness()


@router.get(
    "/ready", summary="就绪 / readiness",
    responses={503: {"model": Readiness, "description": "未就绪 / not ready"}},
)  # fmt: skip
def ready(service: Services, response: Response) -> Readiness:
    """各部分均可用时 200，否则 503 / 200 when every part answers, else 503."""
    readiness = run_checks(service.ports.checks)
    response.status_code = 200 if readiness.status == "ok" else 503
    return readiness
