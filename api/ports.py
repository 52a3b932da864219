"""What the service stands on: its ports, the facts it is told once, and the registry looked up by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

import polars as pl
from fastapi import Depends, Request

from api.auth import Authenticator, Principal
from api.errors import NotFound
from nengshao.domain.codes import PointKey, is_credit_code, is_region_code, partition_of
from nengshao.domain.factors import Basis, FactorTable
from nengshao.domain.norms import NormTable
from nengshao.domain.rules import Measure, Rule
from nengshao.domain.units import Scope
from nengshao.ports import Clock, ReadingStore, ResultStore, StateStore
from nengshao.registry import Registry, SubjectNames, subject_names
from nengshao.telemetry import Telemetry

Row = Mapping[str, Any]
Frames = Mapping[str, pl.DataFrame]
"""Frames by the names of their contracts."""
Asked = tuple[str, Basis, Scope, int, int]
"""An enterprise or region, a basis, a scope, and the accounting days [first, end)."""


class Arithmetic(Protocol):
    """What of `analytics` the answers need: pure, handed over by the composition root, since the rooms are
    strangers. `analytics.explanation.Explainer` has every method, and says what it needs and gives."""

    def used(self, asked: Iterable[Asked], frames: Frames) -> Sequence[Row]:
        """used_g, low_g, high_g, is_confirmed, coverage of each span, in their order."""
        ...

    def to_date(
        self, codes: Sequence[str], frames: Frames, registry: Registry, *, year: int, today: int
    ) -> Sequence[Row]:
        """enterprise, basis, as_of_day and the columns of `used`, to each enterprise's last complete day."""
        ...

    def of_region(self, region: str, frames: Frames) -> Frames:
        """The frames of a region's key units, with what of them counts as the region's."""
        ...

    def total(self, asked: Asked, frames: Frames, registry: Registry) -> Row:
        """An enterprise's total, opened."""
        ...

    def region(self, asked: Asked, frames: Frames, members: Sequence[Row], others: int = 0) -> Row:
        """The sum of a region's key units, opened."""
        ...

    def progress(
        self, row: Row, measure: Measure, frames: Frames, registry: Registry, members: Sequence[Row] = ()
    ) -> Row:
        """A PROGRESS row, opened."""
        ...

    def intensity(self, row: Row, frames: Frames, registry: Registry) -> Row:
        """An INTENSITY row, opened."""
        ...

    def measure(
        self, row: Row, frames: Frames, registry: Registry, members: Sequence[Row] = ()
    ) -> Row | None:
        """A MEASURES row, opened; None: what it was made of is gone."""
        ...

    def stated(self, asked: tuple[str, str, str, int, int], statistics: pl.DataFrame) -> Row | None:
        """What is stated (subject, indicator, item) of exactly the days [first, end), opened; else None."""
        ...

    def norm_problem(self, row: Row, statistics: pl.DataFrame) -> str:
        """Why an INTENSITY row's limits cannot be said; "": nothing is in the way."""
        ...


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
    factors: FactorTable
    norms: NormTable
    arithmetic: Arithmetic


@dataclass(frozen=True, slots=True)
class Directory:
    """One registry snapshot by name: rows of enterprises, regions, and points (all dates) per enterprise;
    `subjects`: per enterprise, what people call what is judged."""

    version: int = -1
    enterprises: Mapping[str, Row] = field(default_factory=dict)
    points: Mapping[str, list[Row]] = field(default_factory=dict)
    regions: Mapping[str, Row] = field(default_factory=dict)
    subjects: Mapping[str, SubjectNames] = field(default_factory=dict)

    def names(self, enterprise: str) -> dict[int, str]:
        """Tag of each of the enterprise's points by its id: what answers call a point."""
        return {row["point"]: tag_of(row) for row in self.points.get(enterprise, [])}

    def members(self, region: str) -> list[Row]:
        """The ENTERPRISES rows of a region's key units: in it, or in a region within it, by code."""
        found = (row for row in self.enterprises.values() if region in self._around(row["region"]))
        return sorted(found, key=lambda row: str(row["enterprise"]))

    def _around(self, region: str) -> list[str]:
        """A region and those that hold it, by what the registry says is whose parent."""
        chain: list[str] = []
        while region in self.regions and region not in chain:
            chain.append(region)
            region = self.regions[region]["parent"]
        return chain


def tag_of(row: Row) -> str:
    """`dataCode.statType.meter`: the identity of a POINTS row below its enterprise."""
    return PointKey(row["enterprise"], row["data_code"], row["stat_type"], row["meter"]).tag


def directory_of(registry: Registry) -> Directory:
    """The registry's enterprises, points and regions by name, in the registry's order."""
    points: dict[str, list[Row]] = defaultdict(list)
    for row in registry.points.iter_rows(named=True):
        points[row["enterprise"]].append(row)
    enterprises = {row["enterprise"]: row for row in registry.enterprises.iter_rows(named=True)}
    regions = {row["code"]: row for row in registry.regions.iter_rows(named=True)}
    subjects = subject_names(registry, enterprises)
    return Directory(registry.version, enterprises, points, regions, subjects)


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

    def region(self, principal: Principal, code: str) -> Row:
        """The REGIONS row of `code`. Raises: NotFound if there is none, or it is not theirs to see."""
        row = self.directory().regions.get(code)
        if row is None or not principal.may_see_regions:
            raise NotFound("没有这个行政区划", "no such region")
        return row

    def subject(self, principal: Principal, code: str) -> Row:
        """The row of an enterprise or a region. Raises: NotFound."""
        return self.region(principal, code) if is_region_code(code) else self.enterprise(principal, code)

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
