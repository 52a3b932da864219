"""The fleet: seeded enterprises with their registry, messages, uploads, and the truth of it all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

import polars as pl

from nengshao.domain.codes import PointKey
from nengshao.domain.time import instant_of
from nengshao.frames import STATISTICS
from nengshao.wire import Form
from simulators.codes import PROVINCIAL_REGIONS, fictitious_credit_code
from simulators.faults import FaultRecord, Plan, change_slot_of, schedule
from simulators.injection import plan_of
from simulators.loads import Run
from simulators.manual import Entry, Upload, entries_of, entry_records, upload_of
from simulators.plants import PLANTS, SLOT_S, SLOTS_A_DAY, DeviceSpec, PlantSpec, Story
from simulators.statements import output_by_day, plant_statements, region_statements
from simulators.stream import Outgoing, Stream, in_order
from simulators.tables import (
    Row,
    Tables,
    change_rows,
    device_row,
    identity_cells,
    point_rows,
    term_rows,
    virtual_rows,
)
from simulators.targets import REGIONS, quota_rows, target_rows
from simulators.traces import Line, Trace, trace_of
from simulators.truth import truth_of


@dataclass(frozen=True, slots=True)
class _Enterprise:
    """A plant of the fleet, with everything that is drawn for it."""

    plant: PlantSpec
    code: str
    lines: tuple[tuple[Line, Plan], ...]  # devices
    desks: tuple[tuple[Line, tuple[Entry, ...]], ...]  # people
    made: tuple[int, ...]  # the product's output of every day, 10⁻³ of its unit

    @property
    def traces(self) -> list[Trace]:
        """Every point, devices' first."""
        return [trace for line, _ in (*self.lines, *self.desks) for trace in line.traces]

    def of_loads(self, names: Iterable[str]) -> list[Trace]:
        """The points that measure these flows."""
        by_load = {trace.spec.load: trace for trace in self.traces}
        return [by_load[name] for name in names]


class Fleet:
    """Enterprises that live through `days` days from `start`, drawn from `seed`.

    The truth depends on `seed`, `start` and `days`; `faulty`, `per_message` (quarters of an hour that a
    device collects for one message: 1 live, 96 once a day) and `form` change only how it is told. Registers
    roll over in a fleet without faults, too; only faulty ones have records.

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
        form: Form = Form.PLAIN,
    ) -> None:
        unknown = set(plants) - set(PLANTS)
        if unknown:
            raise ValueError(f"unknown plants: {', '.join(sorted(unknown))}")
        self.start, self.days, self.faulty, self.per_message = start, days, faulty, per_message
        self._seed = seed
        self._enterprises = [self._enterprise(PLANTS[slug]) for slug in plants]
        self._streams = [Stream(line, plan, form) for e in self._enterprises for line, plan in e.lines]

    # ------------------------------------------------------------------------------------- drawing

    def _rng(self, *names: str) -> Random:
        return Random("/".join((str(self._seed), *names)))

    def _enterprise(self, plant: PlantSpec) -> _Enterprise:
        code = fictitious_credit_code(plant.number)
        flows = plant.loads(Run(f"{self._seed}/{plant.slug}", self.start, self.days))
        lines = [self._device(plant, code, d, flows) for d in plant.devices if not d.by_hand]
        desks = [self._desk(plant, code, d, flows) for d in plant.devices if d.by_hand]
        made = output_by_day(plant.product, flows[plant.product.load], self._rng(plant.slug, "output"))
        return _Enterprise(plant, code, tuple(lines), tuple(desks), tuple(made))

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
        changes = {
            spec.load: change_slot_of(
                faults, spec.story, self._rng(plant.slug, device.device, spec.load, "change")
            )
            for spec in specs
        }
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

    def statistics(self) -> pl.DataFrame:
        """STATISTICS of the run, sorted by version: each is stated at the instant that is its version."""
        rows = [
            row
            for e in self._enterprises
            for row in plant_statements(
                e.code, e.plant.product, e.made, self.start, self._rng(e.plant.slug, "statements"),
                faulty=self.faulty,
            )
        ]  # fmt: skip
        for region in sorted({e.plant.region for e in self._enterprises}):
            rows += region_statements(region, REGIONS[region], self.start, self.days)
        return pl.DataFrame(rows, schema=dict(STATISTICS.schema)).sort("version", *STATISTICS.key)

    # ----------------------------------------------------------------------------------- registry

    def registry_tables(self) -> Tables:
        """The registry as the tables that people fill in; meter changes of the whole run included."""
        enterprises = self._enterprises
        every = [trace for e in enterprises for trace in e.traces]
        return {
            "regions": [dict(row) for row in PROVINCIAL_REGIONS],
            "enterprises": [self._enterprise_row(e) for e in enterprises],
            "devices": [self._device_row(e, device) for e in enterprises for device in e.plant.devices],
            "points": [row for e in enterprises for row in self._point_rows(e)],
            "virtual_terms": [row for e in enterprises for row in self._term_rows(e)],
            "meter_changes": [row for trace in every for row in change_rows(trace)],
            "products": [self._product_row(e) for e in enterprises],
            "product_shares": [row for e in enterprises for row in self._share_rows(e)],
            "quotas": [
                row for e in enterprises for row in quota_rows(e.plant, e.traces, self.start.year, self.days)
            ],
            "intensity_targets": target_rows([e.plant for e in enterprises], self.start.year),
        }

    @property
    def _validity(self) -> Row:
        return {"valid_from": self.start.isoformat(), "valid_to": ""}

    def _enterprise_row(self, e: _Enterprise) -> Row:
        return {
            "enterprise": e.code,
            "name": e.plant.name,
            "region": e.plant.region,
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
                    yield from point_rows(
                        trace, self._validity, per_message=self.per_message, by_hand=by_hand
                    )
        for virtual in e.plant.virtual:
            yield from virtual_rows(e.code, virtual, e.of_loads(virtual.loads), self._validity)

    def _term_rows(self, e: _Enterprise) -> Iterator[Row]:
        for virtual in e.plant.virtual:
            yield from term_rows(e.code, virtual, e.of_loads(virtual.loads), self._validity)

    def _product_row(self, e: _Enterprise) -> Row:
        made = e.plant.product
        words = {"product": made.product, "name": made.name, "unit": made.unit, "norm": made.norm}
        return {"enterprise": e.code} | words | self._validity

    def _share_rows(self, e: _Enterprise) -> Iterator[Row]:
        for load, share in e.plant.product.shares:
            (trace,) = e.of_loads([load])
            row = {"enterprise": e.code, "product": e.plant.product.product, "share": share}
            yield row | identity_cells(trace.spec) | self._validity
