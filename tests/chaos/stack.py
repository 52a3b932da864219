"""The stack of a scenario: three servers, our processes, the lines between them, devices; and its faults.

Processes are ended by id, and only those that were started here.
"""

from __future__ import annotations

import datetime as dt
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Final, Self

import httpx
import msgspec

from tests.chaos.audit import DayGrams
from tests.chaos.journals import Progress
from tests.chaos.proxy import Proxy
from tests.chaos.traffic import Group
from tests.servers.influx import Influx
from tests.servers.mosquitto import Mosquitto
from tests.servers.postgres import Postgres
from tests.servers.server import LOOPBACK, Server
from tests.support import plants
from tests.support.site import Process, Site, wait_until
from tests.support.traffic import day_grams

ROOT: Final = Path(__file__).resolve().parents[2]
DEVICE, BROKER, INGESTOR, STORE, STATE = "device", "broker", "ingestor", "influxdb", "postgresql"
TARGETS: Final = (DEVICE, BROKER, INGESTOR, STORE, STATE)

_UNDER_LOAD_WITHIN_S: Final = 60.0
_UNAVAILABLE: Final = 3  # exit code: the world is not there; whoever started us tries again
_RESTART_AFTER_S: Final = 1.0


@dataclass(frozen=True)
class Servers:
    """The three servers, all of them the scenario's own to kill."""

    mosquitto: Mosquitto
    influx: Influx
    postgres: Postgres

    def named(self, target: str) -> Server:
        return {BROKER: self.mosquitto, STORE: self.influx, STATE: self.postgres}[target]

    def __iter__(self) -> Iterator[Server]:
        return iter((self.mosquitto, self.influx, self.postgres))


@dataclass(frozen=True)
class Plan:
    """How a scenario's stack is built; `settings` by section, as in a settings file."""

    seed: int
    processes: Mapping[str, str]  # roles by name
    partitions: int = 1
    ingest_protocol: str = "5"
    device_protocol: str = "3.1.1"
    groups: int = 3
    enterprises: int = 4  # of a group
    meters: int = 6
    days: int = 120
    per_second: float = 60.0  # messages of a group
    shared: bool = True
    in_flight: int = 400
    patience_s: tuple[float, float] = (2.0, 16.0)
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Devices:
    """One process of devices, killed and started again on its own disk."""

    def __init__(self, folder: Path, group: Group) -> None:
        self.folder, self.group = folder, group
        folder.mkdir()
        (folder / "group.json").write_bytes(msgspec.json.encode(group))
        self._progress = Progress(folder)
        self._popen: subprocess.Popen[bytes] | None = None
        self.made, self.unreceipted = 0, 0

    @property
    def is_running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self._popen is None else self._popen.poll()

    def start(self) -> None:
        if self.is_running:
            return
        with (self.folder / "device.log").open("ab") as log:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.device", str(self.folder)],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        assert self._popen is not None
        self._popen.kill()
        self._popen.wait()

    def stop(self) -> None:
        """Let them finish their day and wait for their last receipt."""
        (self.folder / "stop").touch()

    def look(self) -> int:
        """How many of their messages have no receipt now."""
        self.made, self.unreceipted = self._progress.look()
        return self.unreceipted


class Stack:
    """A context: all is started when it is entered, and nothing is left running after it."""

    def __init__(self, folder: Path, servers: Servers, plan: Plan) -> None:
        self.folder, self.servers, self.plan = folder, servers, plan
        self.chance = Random(f"{plan.seed}/faults")
        # Apart, for how much it is asked hangs on who lives at the moment: the schedule must not.
        self._victims = Random(f"{plan.seed}/victims")
        self.kills = 0
        self.processes: dict[str, Process] = {}
        self.groups: list[Devices] = []
        self._due: dict[str, float] = {}  # processes that are to be started again
        self._fallen: dict[str, tuple[float, Callable[[], None]]] = {}  # until when, and what raises them
        self._paused: list[Process | Server] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in list(self._paused):
            self.resume(one)
        for devices in self.groups:
            if devices.is_running:
                devices.kill()
        self._open.__exit__(kind, error, trace)

    def _build(self) -> None:
        mosquitto, influx = self.servers.mosquitto, self.servers.influx
        for server in self.servers:
            server.start()  # unless it runs: a scenario before this one may have failed
        take = self._open.enter_context
        self.device_line = take(Proxy(mosquitto.host, mosquitto.port))
        self.ingest_line = take(Proxy(mosquitto.host, mosquitto.port))
        self.store_line = take(Proxy(influx.host, influx.port))
        plan, number = self.plan, self.plan.groups * self.plan.enterprises
        anchor = plants.START + plan.days * 86_400 + 7200
        self.site = take(
            Site(self.folder, mosquitto, influx, self.servers.postgres, anchor=anchor, **self._settings())
        )
        self.site.register(plants.tables(number, plan.meters), plan.partitions)
        for name in plan.processes:
            self.start(name)
        since = time.time()
        self.groups = [
            Devices(self.folder / f"devices-{n}", self._group(n, anchor, since)) for n in range(plan.groups)
        ]
        for name in self._serving():
            self.processes[name].wait_ready()
        for devices in self.groups:
            devices.start()

    def _settings(self) -> dict[str, Any]:
        ours: dict[str, dict[str, Any]] = {
            "": {"partitions": self.plan.partitions},
            "mqtt": {"host": LOOPBACK, "port": self.ingest_line.port, "protocol": self.plan.ingest_protocol},
            "store": {"influx_url": f"http://{LOOPBACK}:{self.store_line.port}", "timeout_s": 5.0},
            "ingest": {"batch_rows": 1000, "lease_ttl_s": 3.0},
            "assess": {"interval_s": 2.0, "lease_ttl_s": 5.0},
            "notify": {"channels": []},
        }
        for section, values in self.plan.settings.items():
            ours[section] = {**ours.get(section, {}), **values}
        return ours

    def _group(self, number: int, anchor: int, since: float) -> Group:
        plan = self.plan
        first = 1 + number * plan.enterprises
        return Group(
            name=f"group{number}", seed=plan.seed * 1000 + number,
            numbers=list(range(first, first + plan.enterprises)), meters=plan.meters, days=plan.days,
            per_second=plan.per_second, host=LOOPBACK, port=self.device_line.port,
            protocol=plan.device_protocol, shared=plan.shared, in_flight=plan.in_flight,
            patience_s=plan.patience_s[0], patience_max_s=plan.patience_s[1], anchor=anchor, since=since,
        )  # fmt: skip

    # ------------------------------------------------------------------------------------ load

    def unreceipted(self) -> int:
        """Messages that their devices have made and have no receipt for."""
        return sum(devices.look() for devices in self.groups)

    def wait(self, is_so: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
        """Until it is so; a process of ours or of the devices that ends by itself ends the scenario."""

        def is_over() -> bool:
            self._look_after()
            return is_so()

        wait_until(is_over, what, timeout_s)

    def run_for(self, seconds: float) -> None:
        """Let the load go on; a process that dies of it ends the scenario."""
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= until, "time passes", seconds + 60)

    def under_load(self, devices: Devices | None = None) -> None:
        """Wait until these devices, or any, have said something that is not receipted yet."""
        look = self.unreceipted if devices is None else devices.look
        deadline = time.monotonic() + _UNDER_LOAD_WITHIN_S
        while not look():
            self._look_after()
            assert time.monotonic() < deadline, "no load"
            time.sleep(0.002)

    def _look_after(self) -> None:
        """Raise what has been down for its time, and be the supervisor: start what ended because a store was
        away; any other end is a bug.
        """
        for target, (until, _) in list(self._fallen.items()):
            if until <= time.monotonic():
                self.raise_up(target)
        ended = [d.group.name for d in self.groups if d.exit_code not in {None, 0, -signal.SIGKILL}]
        assert not ended, f"{ended} ended by themselves"
        for name, process in self.processes.items():
            if process.has_died:
                assert process.exit_code == _UNAVAILABLE, f"{name} ended by itself, {process.exit_code}"
                due = self._due.setdefault(name, time.monotonic() + _RESTART_AFTER_S)
                if time.monotonic() >= due:
                    del self._due[name]
                    self.start(name)
                    return  # the mapping has changed

    # ------------------------------------------------------------------------------- processes

    def start(self, name: str) -> None:
        """Start our process of that name, unless it runs."""
        if name not in self.processes or not self.processes[name].is_running:
            self.processes[name] = self.site.start(name, self.plan.processes[name])

    def _serving(self) -> list[str]:
        return [name for name, roles in self.plan.processes.items() if "serve" in roles]

    def holder(self, timeout_s: float = 60.0) -> str:
        """The name of a process that holds a partition."""
        found: list[str] = []

        def is_held() -> bool:
            found[:] = [name for name in self._serving() if self._holds(self.processes[name])]
            return bool(found)

        self.wait(is_held, "somebody holds a partition", timeout_s)
        return self._victims.choice(found)

    def _holds(self, process: Process) -> bool:
        if not process.is_running or process in self._paused:
            return False
        try:
            return process.metric("nengshao_lease_held", kind="ingest") > 0
        except httpx.TransportError:
            return False

    # ---------------------------------------------------------------------------------- faults

    def kill(self, target: str) -> Callable[[], None]:
        """SIGKILL one of these while it lives and under load; what starts it again."""
        if target == DEVICE:
            devices = self._victims.choice([d for d in self.groups if d.is_running])
            self.under_load(devices)
            devices.kill()
            again: Callable[[], None] = devices.start
        elif target == INGESTOR:
            name = self.holder()
            self.under_load()
            self.processes[name].kill()
            again = lambda: self.start(name)  # noqa: E731
        else:
            server = self.servers.named(target)
            self.under_load()
            assert server.is_running, f"{target} has ended by itself"
            server.kill()
            again = server.start
        self.kills += 1
        return again

    def kill_for(self, target: str, seconds: float) -> None:
        """Kill one of these and have it started again after `seconds`; one that is still down, before."""
        self.raise_up(target)
        again = self.kill(target)
        self._fallen[target] = (time.monotonic() + seconds, again)

    def raise_up(self, target: str) -> None:
        """Start one of these again, if it is down."""
        _, again = self._fallen.pop(target, (0.0, _nothing))
        again()

    def pause(self, one: Process | Server) -> None:
        """SIGSTOP."""
        one.pause()
        self._paused.append(one)

    def resume(self, one: Process | Server) -> None:
        """SIGCONT."""
        one.resume()
        self._paused.remove(one)

    def heal(self) -> None:
        """Whatever was done: undo it."""
        for line in (self.device_line, self.ingest_line, self.store_line):
            line.heal()
        for target in list(self._fallen):
            self.raise_up(target)
        for one in list(self._paused):
            self.resume(one)
        for server in self.servers:
            server.start()
        for name in self.plan.processes:
            self.start(name)
        for devices in self.groups:
            devices.start()

    # ----------------------------------------------------------------------------------- quiet

    def calm(self, within_s: float) -> None:
        """No more faults: devices finish their day and get their last receipt, and nothing is in flight."""
        for devices in self.groups:
            devices.stop()
        self.wait(lambda: all(d.exit_code == 0 for d in self.groups), "every message is receipted", within_s)
        for name in self._serving():
            self.processes[name].wait_ready()
        self.wait(lambda: self.in_flight() == 0, "nothing is in flight", within_s)

    def in_flight(self, place: str = "") -> float:
        """Messages that our processes have taken and not booked; of all places, or of one. NaN: not known."""
        labels = {"place": place} if place else {}
        try:
            return sum(
                self.processes[name].metric("nengshao_in_flight", **labels) for name in self._serving()
            )
        except httpx.TransportError:
            return float("nan")

    def serving(self) -> Process:
        """A process that answers."""
        return self.processes[self._serving()[0]]

    def published(self, wanted: Mapping[tuple[str, dt.date], int], within_s: float) -> DayGrams:
        """The totals that are published, once they are those wanted or the time is over."""
        server, deadline = self.serving(), time.monotonic() + within_s
        while (found := day_grams(server, wanted)) != wanted and time.monotonic() < deadline:
            time.sleep(0.5)
        return found


def _nothing() -> None:
    """What is to be done for one that is not down."""
