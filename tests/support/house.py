"""A whole installation in one folder, and its processes: started, stepped by hand, killed, started again."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from analytics.cycle import Cycle, CycleReport
from analytics.explanation import Explainer
from analytics.law import load_law
from api.auth import TokenAuthenticator
from api.ports import ApiFacts, ApiPorts
from api.service import create_api
from ingest.ingestor import Ingestor
from ingest.subscriber import Subscriber
from nengshao.clock import SteppedClock
from nengshao.domain.time import day_start
from nengshao.notify.pipeline import Pipeline
from nengshao.notify.recording import RecordingNotifier
from nengshao.ports import Lease
from nengshao.registry import Registry
from nengshao.settings import Dialect, IngestSettings, MqttSettings
from nengshao.stage import embedded_broker, free_port
from nengshao.stores.duckdb import open_duckdb
from nengshao.stores.state import open_state
from nengshao.telemetry import Telemetry
from simulators.keeping import Patience
from simulators.publisher import DevicePublisher
from tests.support.service import TOKEN, Api

LEASE_S = 0.25  # a dead holder's lease is waited for, as in life
DEADLINE_S = 30.0
PATIENCE = Patience(0.4, 1.6)
DIALECTS = {"national": Dialect(valid=1)}

Wrap = Callable[[Any], Any]


@dataclass
class House:
    """Everything that outlives a process: folder, broker, clock, and the people who are told."""

    folder: Path
    port: int
    clock: SteppedClock
    registry: Registry
    settings: IngestSettings = field(
        default_factory=lambda: IngestSettings(lease_ttl_s=LEASE_S, batch_age_ms=50, batch_idle_ms=10)
    )
    notifier: RecordingNotifier = field(default_factory=RecordingNotifier)
    patience: Patience = PATIENCE
    lives: int = 0

    def start(self, **wraps: Wrap) -> Process:
        """A process over what is in the folder. `wraps`: a port's name and what is put around it."""
        self.lives += 1
        return Process(self, f"life {self.lives}", wraps)

    def devices(self, **more: Any) -> DevicePublisher:
        """The devices, with what their journals hold."""
        return DevicePublisher(
            "127.0.0.1", self.port, clock=self.clock, shared=True, patience=self.patience,
            journal_dir=self.folder / "devices", **more,
        )  # fmt: skip


@contextmanager
def house(folder: Path, registry: Registry, *, now: int, **more: Any) -> Iterator[House]:
    """A new house with a broker of its own."""
    port = free_port()
    with embedded_broker(port):
        yield House(folder, port, SteppedClock(now), registry, **more)


class Process:
    """One `nengshao run` in miniature: every role, each a step at a time."""

    def __init__(self, home: House, holder: str, wraps: Mapping[str, Wrap]) -> None:
        caps = home.settings
        self.home, self.holder, self.clock = home, holder, home.clock
        self._state = open_state(
            f"sqlite:///{home.folder / 'state.db'}",
            raw_cap_message=caps.raw_cap_message, raw_cap_device=caps.raw_cap_device,
            raw_cap_total=caps.raw_cap_total, row_cap_device=caps.quarantine_rows_device,
            row_cap_total=caps.quarantine_rows_total,
        )  # fmt: skip
        self._state.migrate()
        if self._state.registry_version() == 0:
            self._state.save_registry(home.registry, at=home.clock.now())
        self._database = open_duckdb(home.folder / "readings.duckdb")
        self._subscriber = Subscriber(MqttSettings(port=home.port), "nengshao-0")
        ports: dict[str, Any] = {
            "state": self._state, "readings": self._database.readings, "results": self._database.results,
            "subscriber": self._subscriber, "notifier": home.notifier,
        }  # fmt: skip
        for name, wrap in wraps.items():
            ports[name] = wrap(ports[name])
        self.state, self.readings, self.results = ports["state"], ports["readings"], ports["results"]
        self.subscriber, self.telemetry, self.law = ports["subscriber"], Telemetry(), load_law()
        self.ingestor = Ingestor(
            self.state, self.readings, home.clock, self.telemetry, partition=0, partitions=1, holder=holder,
            settings=home.settings, dialects=DIALECTS, spool_dir=home.folder / "spool",
            subscriber=self.subscriber,
        )  # fmt: skip
        self.cycle = Cycle(self.state, self.readings, self.results, home.clock, self.law)
        self.pipeline = Pipeline(self.state, [ports["notifier"]], home.clock, self.telemetry)

    # ----------------------------------------------------------------------------------- lines 1 to 7

    def step_until(self, is_so: Callable[[], bool], *, wait_s: float = 0.02) -> None:
        """Step the ingestor until it is so."""
        deadline = time.monotonic() + DEADLINE_S
        while not is_so():
            assert time.monotonic() < deadline, "the ingestor does not get there"
            if not self.ingestor.step(wait_s=wait_s):
                time.sleep(0.005)

    def get_ready(self) -> None:
        """Take the lease, waiting for a dead holder's to expire, and subscribe."""
        self.step_until(lambda: self.ingestor.is_ready)

    def ingest_all(self, devices: DevicePublisher) -> None:
        """Until every message has its receipt and nothing waits anywhere."""
        self.step_until(lambda: not devices.unreceipted and not self.in_flight)
        self.step_until(lambda: not self.ingestor.step(wait_s=0.05))

    @property
    def in_flight(self) -> int:
        """Messages and uploads between the door and the books."""
        return self.ingestor.in_flight + int(self.state.inbox_size())

    # ---------------------------------------------------------------------------------- lines 8 to 11

    def assess(self) -> CycleReport:
        """One cycle, under the lease."""
        return self.cycle.run_once(self.lease("assess"))

    def assess_and_tell(self) -> None:
        """One cycle, then the outbox until it is empty."""
        self.assess()
        while self.state.undelivered(1):
            self.pipeline.run_once()

    def lease(self, kind: str) -> Lease:
        """The partition's lease, waiting for a dead holder's to expire."""
        deadline = time.monotonic() + DEADLINE_S
        while (lease := self.state.acquire_lease(kind, 0, self.holder, LEASE_S)) is None:
            assert time.monotonic() < deadline, f"nobody gives up the {kind} lease"
            time.sleep(0.02)
        held: Lease = lease
        return held

    def api(self) -> Api:
        """The HTTP service over this process's ports, with the rulebook it judges by."""
        ports = ApiPorts(
            self.state, self.readings, self.results, self.telemetry, {"state": self.state.ping},
            in_flight=lambda: self.in_flight,
        )  # fmt: skip
        guard = TokenAuthenticator.for_token(TOKEN)
        law = self.law
        facts = ApiFacts(guard, 1_000_000, 1, law.rules, law.factors, law.norms, Explainer(law))
        service = create_api(ports, facts, self.clock)
        return Api(self._state, guard, clock=self.clock, _app=(guard, service))

    # ------------------------------------------------------------------------------------------ ends

    def die(self) -> None:
        """Release files and connection as the operating system would; no lease is given back."""
        self._subscriber.disconnect()
        self._state.close()
        self._database.close()

    def close(self) -> None:
        """End in good order."""
        self.ingestor.close()
        self._state.close()
        self._database.close()


# ------------------------------------------------------------------------------------- what came of it


def as_bytes(frame: pl.DataFrame) -> bytes:
    """The frame as Arrow IPC in one chunk: equal bytes, equal content to the last bit."""
    out = io.BytesIO()
    frame.rechunk().write_ipc(out, compat_level=pl.CompatLevel.oldest())
    return out.getvalue()


def totals_of(state: Any, enterprises: list[str], first: int, end: int) -> dict[str, bytes]:
    """Every total of these enterprises in [first, end) accounting days, as bytes by name of the frame."""
    since, until = day_start(first), day_start(end)
    return {
        "ENTERPRISE_DAYS": as_bytes(state.enterprise_days(enterprises, first, end)),
        "POINT_DAYS": as_bytes(state.point_days(enterprises, first, end)),
        "SCOPE_DAYS": as_bytes(state.scope_days(enterprises, first, end)),
        "INTENSITY": as_bytes(state.intensity(enterprises)),
        "MEASURES": as_bytes(state.measures(enterprises)),
        "BLOCKS": as_bytes(state.blocks(enterprises, since, until)),
        "PROGRESS": as_bytes(state.progress(enterprises)),
    }


def booked(state: Any) -> dict[str, int]:
    """Readings by outcome, of the whole ledger."""
    counts = state.ledger().group_by("outcome").agg(pl.col("count").sum())
    return dict(counts.sort("outcome").iter_rows())


def within_s(timeout_s: float, is_so: Callable[[], bool]) -> bool:
    """Whether something comes to be so in that time."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
