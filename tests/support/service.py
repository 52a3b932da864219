"""The HTTP service over a real state store, and a client that speaks to it in process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from analytics.calendar_library import Calendar
from analytics.explanation import Explainer
from analytics.law import Law
from api.auth import Authenticator, Principal, TokenAuthenticator
from api.service import ApiFacts, ApiPorts, create_api
from nengshao.clock import SteppedClock
from nengshao.domain.factors import FactorTable
from nengshao.domain.norms import NormTable
from nengshao.domain.rules import Band, Measure, Operator, Rule, Severity
from nengshao.domain.time import parse_instant
from nengshao.ports import StateStore
from nengshao.stores.memory import MemoryReadingStore, MemoryResultStore
from nengshao.stores.state import SqlStateStore
from nengshao.telemetry import Telemetry
from tests.support.state import opened

TOKEN = "let-me-in"
NOW = parse_instant("2025-03-10T09:00:00+08:00")

PACE_RULE = Rule(
    name="total-energy-ahead-of-quota",
    measure=Measure.PROGRESS_RATIO,
    op=Operator.ABOVE,
    bands=(Band(1.05, Severity.ORANGE, "Ⅰ级"), Band(1.1, Severity.RED, "Ⅱ级", Operator.AT_LEAST)),
    hold_s=2 * 86_400,
    min_coverage=0.95,
    legal_basis="虚构依据，仅供测试",
    confidence="copied",
    summary_zh="用能超前",
    summary_en="ahead of its pace",
)


NO_LAW = Law(FactorTable(()), NormTable((), ()), Calendar(), {})


class ScopedAuthenticator:
    """Knows one caller, who may see some enterprises: an identity as a later issue will bring."""

    def __init__(self, *enterprises: str) -> None:
        self._principal = Principal("inspector", frozenset(enterprises))

    def principal_of(self, credential: str) -> Principal | None:
        return self._principal if credential == TOKEN else None


@dataclass
class Api:
    """A service and its parts. Requests carry the token unless `token` says otherwise."""

    state: SqlStateStore
    authenticator: Authenticator | None = field(default_factory=lambda: TokenAuthenticator.for_token(TOKEN))
    readings: MemoryReadingStore = field(default_factory=MemoryReadingStore)
    results: MemoryResultStore = field(default_factory=MemoryResultStore)
    telemetry: Telemetry = field(default_factory=Telemetry)
    clock: SteppedClock = field(default_factory=lambda: SteppedClock(NOW))
    checks: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    token: str | None = TOKEN
    partitions: int = 1
    max_upload_bytes: int = 10_000
    law: Law = NO_LAW
    _app: tuple[Authenticator | None, FastAPI] | None = None

    @property
    def app(self) -> FastAPI:
        """A service over these parts; made anew when another authenticator has been put in."""
        if self._app is None or self._app[0] is not self.authenticator:
            self._app = (self.authenticator, self.app_over(self.state))
        return self._app[1]

    def app_over(self, state: StateStore) -> FastAPI:
        """A service over another state store."""
        ports = ApiPorts(
            state=state, readings=self.readings, results=self.results, telemetry=self.telemetry,
            checks=self.checks or {"state": state.ping}, in_flight=lambda: 3,
        )  # fmt: skip
        facts = ApiFacts(
            authenticator=self.authenticator, max_upload_bytes=self.max_upload_bytes,
            partitions=self.partitions, rules={PACE_RULE.name: PACE_RULE, **self.law.rules},
            factors=self.law.factors, norms=self.law.norms, arithmetic=Explainer(self.law),
        )  # fmt: skip
        return create_api(ports, facts, self.clock)

    def get(self, path: str, **params: Any) -> httpx.Response:
        """The answer to a GET; a parameter `from_` is sent as `from`."""
        # httpx lets even an empty `params` replace the query that stands in the path.
        given = {name.rstrip("_"): value for name, value in params.items()} or None
        return self.send("GET", path, params=given)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.send("POST", path, **options)

    def send(self, method: str, path: str, *, app: FastAPI | None = None, **options: Any) -> httpx.Response:
        """The answer to a request, the token in its headers."""
        headers = dict(options.pop("headers", {}))
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        return asyncio.run(_request(app or self.app, method, path, headers=headers, **options))


async def _request(app: FastAPI, method: str, path: str, **options: Any) -> httpx.Response:
    # Unplanned errors are looked at as a client would see them: as an answer.
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://nengshao.test") as client:
        return await client.request(method, path, **options)


@contextmanager
def served(folder: Path, **parts: Any) -> Iterator[Api]:
    """An Api over a new SQLite state in `folder`."""
    with opened(f"sqlite:///{folder / 'state.db'}", parts.get("partitions", 1)) as state:
        yield Api(state, **parts)


def is_problem(response: httpx.Response, status: int, slug: str) -> bool:
    """Whether the answer is the problem of that name, whole and in its media type."""
    body = response.json()
    return (
        response.status_code == body.get("status") == status
        and response.headers["content-type"] == "application/problem+json"
        and body["type"] == f"urn:nengshao:problem:{slug}"
        and bool(body["title"] and body["title_zh"] and body["detail"])
        and body["instance"] == response.request.url.path
    )


class Chunks:
    """A body in chunks that counts how many of them were taken."""

    def __init__(self, size: int, count: int, prefix: bytes = b"") -> None:
        self.size, self.count, self.prefix, self.taken = size, count, prefix, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.prefix
        for _ in range(self.count):
            self.taken += 1
            yield b"x" * self.size
