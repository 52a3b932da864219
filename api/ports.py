"""What the service stands on: its ports, the facts it is told once, and the registry looked up by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from api.auth import Authenticator, Principal
from api.errors import NotFound
from nengshao.domain.codes import PointKey, is_credit_code, partition_of
from nengshao.domain.rules import Rule
from nengshao.ports import Clock, ReadingStore, ResultStore, StateStore
from nengshao.registry import Registry
from nengshao.telemetry import Telemetry

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ApiPorts:
    """Everything of the outside that a handler may touch. `checks` raise when they are not ready."""

    state: StateStore
    readings: ReadingStore
    results: ResultStore
    telemetry: Telemetry
    checks: Mapping[str, Callable[[], None]]
    in_flight: Callable[[], int]  # readings between the door and the books


@dataclass(frozen=True, slots=True)
class ApiFacts:
    """What does not change while the service runs.

    Without an `authenticator` only the health routes answer. `rules` by name, so that an alert's answer
    carries the legal basis of its rule.
    """

    authenticator: Authenticator | None
    max_upload_bytes: int
    partitions: int
    rules: Mapping[str, Rule]


@dataclass(frozen=True, slots=True)
class Directory:
    """One registry snapshot by name: rows of enterprises, and rows of points (all dates) per enterprise."""

    version: int = -1
    enterprises: Mapping[str, Row] = field(default_factory=dict)
    points: Mapping[str, list[Row]] = field(default_factory=dict)

    def names(self, enterprise: str) -> dict[int, str]:
        """Tag of each of the enterprise's points by its id: what answers call a point."""
        return {row["point"]: tag_of(row) for row in self.points.get(enterprise, [])}


def tag_of(row: Row) -> str:
    """`dataCode.statType.meter`: the identity of a POINTS row below its enterprise."""
    return PointKey(row["enterprise"], row["data_code"], row["stat_type"], row["meter"]).tag


def directory_of(registry: Registry) -> Directory:
    """The registry's enterprises and points by name, in the registry's order."""
    points: dict[str, list[Row]] = defaultdict(list)
    for row in registry.points.iter_rows(named=True):
        points[row["enterprise"]].append(row)
    enterprises = {row["enterprise"]: row for row in registry.enterprises.iter_rows(named=True)}
    return Directory(registry.version, enterprises, points)


class Service:
    """Ports, facts and clock of one application, with the directory kept for as long as it is true."""

    def __init__(self, ports: ApiPorts, facts: ApiFacts, clock: Clock) -> None:
        self.ports = ports
        self.facts = facts
        self.clock = clock
        self._directory = Directory()

    @property
    def state(self) -> StateStore:
        """The StateStore, which nearly every handler reads."""
        return self.ports.state

    def directory(self) -> Directory:
        """The present registry by name; read anew only when its version has changed."""
        known = self._directory
        if known.version != self.state.registry_version():
            # Two requests may both read it: the answers are the same, and the last one is kept.
            self._directory = known = directory_of(self.state.registry())
        return known

    def enterprise(self, principal: Principal, code: str) -> Row:
        """The ENTERPRISES row of `code`.

        Raises: NotFound if there is none, if `code` is no credit code, or if it is not the principal's to
        see: which of the three it is stays with us.
        """
        row = self.directory().enterprises.get(code) if is_credit_code(code) else None
        if row is None or not principal.may_see(code):
            raise NotFound("没有这个用能单位", "no such enterprise")
        return row

    def partition_of(self, enterprise: str) -> int:
        """The partition whose holder books what comes from that enterprise."""
        return partition_of(enterprise, self.facts.partitions)

    def partitions_of(self, enterprises: Iterable[str]) -> list[int]:
        """The partitions that these enterprises are in, each once."""
        return sorted({self.partition_of(code) for code in enterprises})


async def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Services = Annotated[Service, Depends(_service)]
"""Parameter type of a handler that needs the service's ports, facts or clock."""
