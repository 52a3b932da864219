"""A stage: an embedded broker, the application and its devices, all on one forward clock.

The demo and the scored simulation both play their year on it: real MQTT, the real pipeline, real stores.
"""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import polars as pl
from iotcore import Broker

from nengshao.app import App, build_app
from nengshao.clock import SteppedClock
from nengshao.domain.errors import StoreUnavailable
from nengshao.domain.readings import Source
from nengshao.ports import InboxEntry, Notifier
from nengshao.registry_tables import registry_of
from nengshao.settings import load_settings
from simulators.archive import Archive
from simulators.manual import Upload
from simulators.publisher import DevicePublisher
from simulators.stream import Outgoing

_MAX_PAYLOAD: Final = 1_048_576  # as deploy/mosquitto/mosquitto.conf allows
_BROKER_IN_FLIGHT: Final = 1_000
_WAIT_S: Final = 120.0


class Script(Protocol):
    """What is played: devices that publish and people who hand in tables, each at an instant."""

    def messages(self, start: int, end: int) -> Iterator[Outgoing]:
        """What devices publish in [start, end)."""
        ...

    def uploads(self, start: int, end: int) -> Iterator[Upload]:
        """What people hand in in [start, end)."""
        ...

    def statistics(self) -> pl.DataFrame:
        """STATISTICS of the whole story: each is stated at the instant that is its version."""
        ...

    def registry_tables(self) -> Mapping[str, list[dict[str, str]]]:
        """The registry it plays in."""
        ...


class Stage:
    """Everything that is needed to play scripts, in one folder and one process."""

    def __init__(
        self,
        folder: Path,
        scripts: list[Script],
        *,
        start: int,
        notifiers: list[Notifier] | None = None,
        **overrides: Any,
    ) -> None:
        """`overrides` are settings; registry and state are made when the folder is new."""
        self._resources = ExitStack()
        self.clock = SteppedClock(start)
        with self._resources as building:
            port = free_port()
            building.enter_context(embedded_broker(port))
            settings = load_settings(data_dir=folder, mqtt={"port": port}, **overrides)
            self.app: App = building.enter_context(build_app(settings, clock=self.clock, notifiers=notifiers))
            if self.app.stores.state.registry_version() == 0:
                self.app.stores.state.save_registry(registry_of(joined_tables(scripts)), at=start)
            devices = folder / "devices"
            devices.mkdir(exist_ok=True)
            self.publisher = building.enter_context(
                DevicePublisher(
                    settings.mqtt.host, port, clock=self.clock, shared=True, journal_dir=devices,
                    archive=Archive(devices / "archive.db"),
                )
            )  # fmt: skip
            self._resources = building.pop_all()

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Devices, application and broker, in this order."""
        self._resources.close()

    def play(self, script: Script, start: int, end: int) -> None:
        """Let `script` send and state what is due in [start, end); meanwhile the clock stands at `end`."""
        self._wait_ready()
        self.clock.move_to(end)
        self.publisher.publish(script.messages(start, end))
        for upload in script.uploads(start, end):
            self._hand_in(upload)
        stated = script.statistics().filter(pl.col("version").is_between(start, end, closed="left"))
        if not stated.is_empty():
            self.app.stores.state.put_statistics(stated)

    def settle(self) -> None:
        """Wait until everything sent has its receipt and every upload is booked, then assess and tell.

        Raises: StoreUnavailable if that takes too long.
        """
        deadline = time.monotonic() + _WAIT_S
        while not self.publisher.wait_receipted(0.5) or self.app.stores.state.inbox_size():
            if self.app.failure is not None:
                raise self.app.failure
            if time.monotonic() > deadline:
                raise StoreUnavailable(f"{self.publisher.unreceipted} messages without receipt")
            time.sleep(0.01)
        self.app.assess_all()

    def _wait_ready(self) -> None:
        """A message that nobody subscribes to yet is acknowledged by the broker and gone: its device would
        send it again only after a minute.
        """
        deadline = time.monotonic() + _WAIT_S
        while not all(ingestor.is_ready for ingestor in self.app.ingestors):
            if self.app.failure is not None:
                raise self.app.failure
            if time.monotonic() > deadline:
                raise StoreUnavailable("the ingestor did not get ready")
            time.sleep(0.01)

    def _hand_in(self, upload: Upload) -> None:
        self.app.stores.state.put_inbox(
            InboxEntry(
                source=Source.FILE,
                enterprise=upload.enterprise,
                device="",
                topic="",
                format=upload.format,
                raw=upload.content,
                accepted_at=upload.at,
                idempotency_key=f"stage:{upload.enterprise}:{upload.name}:{upload.at}",
                submitted_by="simulated desk",
            )
        )


@contextmanager
def embedded_broker(port: int) -> Iterator[Broker]:
    """A broker on a loopback port. Ctrl-C is left to us: the broker must outlive the devices' goodbye."""
    broker = Broker(
        port, listen="127.0.0.1", max_payload_size=_MAX_PAYLOAD, max_inflight_count=_BROKER_IN_FLIGHT
    )
    with _interrupts_ignored():
        broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """A child process started here inherits that it ignores SIGINT. Only the main thread may say so."""
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def free_port(wanted: int = 0) -> int:
    """A free loopback port: the wanted one if it is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            return free_port()
        port: int = probe.getsockname()[1]
        return port


def joined_tables(scripts: list[Script]) -> dict[str, list[dict[str, str]]]:
    """The registries of several scripts as one; a row that they share stands once."""
    tables: dict[str, list[dict[str, str]]] = {}
    for script in scripts:
        for name, rows in script.registry_tables().items():
            known = tables.setdefault(name, [])
            known += [row for row in rows if row not in known]
    return tables
