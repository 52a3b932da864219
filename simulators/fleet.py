"""The fleet: seeded enterprises with their registry, messages, uploads, and the truth of it all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Final

import polars as pl

from nengshao.domain.codes import PointKey
from nengshao.domain.factors import Basis, Confidence
from nengshao.domain.time import instant_of
from nengshao.domain.units import Carrier, Role
from simulators.codes import COUNTY, REGIONS, fictitious_credit_code
from simulators.faults import FaultRecord, Plan, change_slot_of, schedule
from simulators.injection import plan_of
from simulators.loads import Run
from simulators.manual import Entry, Upload, entries_of, entry_records, upload_of
from simulators.plants import PLANTS, SLOT_S, SLOTS_A_DAY, DeviceSpec, PlantSpec, Story
from simulators.stream import Outgoing, Stream, in_order
from simulators.tables import QUOTA_SOURCE, Row, Tables, change_rows, device_row, point_row
from simulators.traces import Line, Trace, trace_of
from simulators.truth import truth_of

# Only to size the fictitious quotas: kgce per canonical unit, rounded; electricity at equivalent value is a
# round figure. What is *assessed* comes from the factor tables of analytics/.
_SIZING_KGCE: Final = {
    Carrier.ELECTRICITY: Fraction("0.1229"),
    Carrier.NATURAL_GAS: Fraction("1.3300"),
    Carrier.RAW_COAL: Fraction("0.7143"),
    Carrier.DIESEL: Fraction("1.4571"),
    Carrier.HEAT: Fraction("0.0341"),
}
_SIZING_EQUIVALENT_KWH: Final = Fraction("0.3")


@dataclass(frozen=True, slots=True)
class _Enterprise:
    """A plant of the fleet, with everything that is drawn for it."""

    plant: PlantSpec
    code: str
    lines: tuple[tuple[Line, Plan], ...]  # devices
    desks: tuple[tuple[Line, tuple[Entry, ...]], ...]  # people

    @property
    def traces(self) -> list[Trace]:
        """Every point, devices' first."""
        return [trace for line, _ in (*self.lines, *self.desks) for trace in line.traces]


class Fleet:
    """Enterprises that live through `days` days from `start`, drawn from `seed`.

    The truth depends on `seed`, `start` and `days`; `faulty` and `per_message` (quarters of an hour that a
    device collects for one message: 1 live, 96 once a day) change only how it is told. Registers roll over in
    a fleet without faults, too; only faulty ones have records.

    Raises: ValueError if a faulty run is too short to keep its faults apart (below 66 days once a day,
    30 days live), or for an unknown plant.
    """

    def __init__(
        self,
        seed: int,
        *,
        start: dt.date = dt.date(2025, 1, 1),
        days: int = 365,
        faulty: bool = True,
        plants: Sequence[str] = ("cement", "steel", "datacentre"),
        per_message: int = 1,
    ) -> None:
        unknown = set(plants) - set(PLANTS)
        if unknown:
            raise ValueError(f"unknown plants: {', '.join(sorted(unknown))}")
        self.start, self.days, self.faulty, self.per_message = start, days, faulty, per_message
        self._seed = seed
        self._enterprises = [self._enterprise(PLANTS[slug]) for slug in plants]
        self._streams = [Stream(line, plan) for e in self._enterprises for line, plan in e.lines]

    # ------------------------------------------------------------------------------------- drawing

    def _rng(self, *names: str) -> Random:
        return Random("/".join((str(self._seed), *names)))

    def _enterprise(self, plant: PlantSpec) -> _Enterprise:
        code = fictitious_credit_code(plant.number)
        flows = plant.loads(Run(f"{self._seed}/{plant.slug}", self.start, self.days))
        lines = [self._device(plant, code, d, flows) for d in plant.devices if not d.by_hand]
        desks = [self._desk(plant, code, d, flows) for d in plant.devices if d.by_hand]
        return _Enterprise(plant, code, tuple(lines), tuple(desks))

    def _device(
        self, plant: PlantSpec, code: str, device: DeviceSpec, flows: dict[str, list[int]]
    ) -> tuple[Line, Plan]:
        specs = [spec for spec in plant.points if spec.device == device.device]
        rng = self._rng(plant.slug, device.device, "faults")
        faults = []
        if self.faulty:
            replaces = any(spec.story is Story.IS_REPLACED for spec in specs)
            slots = self.days * SLOTS_A_DAY
            faults = schedule(slots, self.days, replaces=replaces, per_message=self.per_message, rng=rng)
        changes = {spec.load: change_slot_of(faults, spec.story) for spec in specs}
        line = self._line(plant, code, device, flows, changes)
        return line, plan_of(line, faults, rng) if self.faulty else Plan()

    def _desk(
        self, plant: PlantSpec, code: str, device: DeviceSpec, flows: dict[str, list[int]]
    ) -> tuple[Line, tuple[Entry, ...]]:
        line = self._line(plant, code, device, flows, {})
        rng = self._rng(plant.slug, device.device, "entries")
        return line, tuple(entries_of(line, self.start, self.days, rng, faulty=self.faulty))

    def _line(
        self,
        plant: PlantSpec,
        code: str,
        device: DeviceSpec,
        flows: dict[str, list[int]],
        changes: dict[str, int | None],
    ) -> Line:
        traces = []
        for spec in plant.points:
            if spec.device == device.device:
                key = PointKey(code, spec.data_code, int(spec.stat_type), spec.meter)
                rng = self._rng(plant.slug, device.device, spec.load)
                traces.append(
                    trace_of(
                        spec,
                        key,
                        flows[spec.load],
                        start=self.start,
                        change_slot=changes.get(spec.load),
                        rng=rng,
                    )
                )
        lag = self._rng(plant.slug, device.device, "lag").randint(3, 240)
        return Line(
            enterprise=code,
            device=device.device,
            valid=plant.valid,
            prints_codes=plant.prints_codes,
            per_message=self.per_message,
            lag_s=lag,
            traces=tuple(traces),
        )

    # ------------------------------------------------------------------------------------ telling

    @property
    def devices(self) -> list[tuple[str, str]]:
        """(enterprise, device) of everything that publishes."""
        return [(line.enterprise, line.device) for e in self._enterprises for line, _ in e.lines]

    @property
    def end(self) -> int:
        """The instant at which the run ends."""
        return instant_of(self.start + dt.timedelta(days=self.days))

    def messages(self, start: int, end: int) -> Iterator[Outgoing]:
        """What the devices publish in [start, end), in order; the same bytes however the run is cut."""
        first, last = instant_of(self.start), self.end + 2 * 86_400
        return in_order(self._streams, max(start, first), min(end, last))

    def uploads(self, start: int, end: int) -> Iterator[Upload]:
        """What people hand in in [start, end), in order; the last month's comes after the run's end."""
        desks = [(line, entry) for e in self._enterprises for line, entries in e.desks for entry in entries]
        tables = [upload_of(line, entry) for line, entry in desks if start <= entry.at < end]
        return iter(sorted(tables, key=lambda upload: (upload.at, upload.enterprise, upload.name)))

    # -------------------------------------------------------------------------------------- truth

    def truth(self) -> pl.DataFrame:
        """TRUTH_SCHEMA: the true amount of every point and day of the run."""
        return truth_of(trace for e in self._enterprises for trace in e.traces)

    @property
    def fault_records(self) -> list[FaultRecord]:
        """Every fault as it concerned each point, by time."""
        records = [r for e in self._enterprises for _, plan in e.lines for r in plan.records]
        records += [r for e in self._enterprises for line, all_ in e.desks for r in entry_records(line, all_)]
        return sorted(records, key=lambda r: (r.start, r.point, r.fault))

    # ----------------------------------------------------------------------------------- registry

    def registry_tables(self) -> Tables:
        """The registry as the tables that people fill in; meter changes of the whole run included."""
        enterprises = self._enterprises
        return {
            "regions": [dict(row) for row in REGIONS],
            "enterprises": [self._enterprise_row(e) for e in enterprises],
            "devices": [self._device_row(e, device) for e in enterprises for device in e.plant.devices],
            "points": [row for e in enterprises for row in self._point_rows(e)],
            "meter_changes": [row for e in enterprises for trace in e.traces for row in change_rows(trace)],
            "quotas": [self._quota_row(e) for e in enterprises],
        }

    @property
    def _validity(self) -> Row:
        return {"valid_from": self.start.isoformat(), "valid_to": ""}

    def _enterprise_row(self, e: _Enterprise) -> Row:
        return {
            "enterprise": e.code,
            "name": e.plant.name,
            "region": COUNTY,
            "industry": e.plant.industry,
            "dialect": e.plant.dialect,
            "active_from": self.start.isoformat(),
            "active_to": "",
        }

    def _device_row(self, e: _Enterprise, device: DeviceSpec) -> Row:
        cadence_s = None if device.by_hand else self.per_message * SLOT_S
        return device_row(e.code, device.device, device.name, cadence_s) | self._validity

    def _point_rows(self, e: _Enterprise) -> Iterator[Row]:
        for by_hand, lines in ((False, e.lines), (True, e.desks)):
            for line, _ in lines:
                for trace in line.traces:
                    yield point_row(trace, per_message=self.per_message, by_hand=by_hand) | self._validity

    def _quota_row(self, e: _Enterprise) -> Row:
        return {
            "enterprise": e.code,
            "year": str(self.start.year),
            "basis": e.plant.basis.value,
            "scope": "综合能源消费量",
            "quota_tce": str(_quota_tce(e, self.days)),
            "profile": "linear",
            "source": QUOTA_SOURCE,
            "confidence": Confidence.RECALLED.value,
        }


def _quota_tce(e: _Enterprise, days: int) -> int:
    """The annual quota that puts the plant at its pace, to 10 tce."""
    kgce = Fraction(0)
    for trace in e.traces:
        sign = {Role.INPUT: 1, Role.OUTPUT: -1, Role.SUB: 0}[trace.spec.role]
        factor = _SIZING_KGCE[trace.spec.carrier]
        if e.plant.basis is Basis.EQUIVALENT and trace.spec.carrier is Carrier.ELECTRICITY:
            factor = _SIZING_EQUIVALENT_KWH
        kgce += sign * factor * Fraction(trace.energy(0, trace.slots), 1000)
    return max(10, round(kgce / 1000 * 365 / days / e.plant.pace / 10) * 10)
