"""`nengshao broker-log`: what the broker refused, counted from its log into the books and for Prometheus."""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import polars as pl
from prometheus_client import CollectorRegistry, start_http_server

from nengshao.app import open_state_store
from nengshao.broker.denials import LogReader, counts_of
from nengshao.broker.following import LogFile
from nengshao.domain.errors import StoreUnavailable
from nengshao.ports import DENIALS_SCHEMA, StateStore
from nengshao.settings import Settings
from nengshao.telemetry import Telemetry

_LOG: Final = logging.getLogger(__name__)
_IDLE_S: Final = 1.0
_CHUNK: Final = 1 << 16
_BATCH_ROWS: Final = {"day": pl.Int32, **DENIALS_SCHEMA}


class Lines(Protocol):
    """Where lines come from, and how far they have come."""

    @property
    def position(self) -> str:
        """Up to where `read` has given the lines."""
        ...

    def read_before(self) -> list[bytes]:
        """Lines that were given to somebody before."""
        ...

    def read(self) -> list[bytes]:
        """The next lines; none: nothing new for now."""
        ...


class StandardInput:
    """Lines of a pipe. What is written while nobody reads is not there."""

    position = ""

    def __init__(self) -> None:
        self._rest = b""
        self.is_over = False

    def read_before(self) -> list[bytes]:
        """Nobody has read it before."""
        return []

    def read(self) -> list[bytes]:
        """The next lines, waiting a little for them."""
        if not select.select([sys.stdin], [], [], _IDLE_S)[0]:
            return []
        chunk = os.read(sys.stdin.fileno(), _CHUNK)
        self.is_over = not chunk
        whole, _, self._rest = (self._rest + chunk).rpartition(b"\n")
        return whole.splitlines()


class DenialCounter:
    """Takes lines, counts refusals into the state store, then into the metric."""

    def __init__(
        self, state: StateStore, telemetry: Telemetry, lines: Lines, source: str, service: str
    ) -> None:
        """`service`: our own account at the broker."""
        self._state, self._telemetry, self._lines, self._source = state, telemetry, lines, source
        self._reader = LogReader(service=service)
        for line in lines.read_before():  # who is connected: their refusals come later
            self._reader.read(line.decode(errors="replace"))
        self._waiting: tuple[str, Mapping[tuple[int, str, str], int]] | None = None

    def step(self) -> bool:
        """One batch of lines. Whether there was anything to do. Raises: StoreUnavailable: the batch waits."""
        if self._waiting is None:
            lines = self._lines.read()
            if not lines:
                return False
            found = (self._reader.read(line.decode(errors="replace")) for line in lines)
            counts = counts_of(denial for denial in found if denial is not None)
            self._waiting = (self._lines.position, counts)
        self._book(*self._waiting)
        self._waiting = None
        return True

    def _book(self, position: str, counts: Mapping[tuple[int, str, str], int]) -> None:
        rows = [(*key, count) for key, count in counts.items()]
        frame = pl.DataFrame(rows, schema=_BATCH_ROWS, orient="row")
        known = frozenset(self._state.registry().enterprises["enterprise"]) if rows else frozenset()
        self._state.book_denials(self._source, position, frame)
        for _, enterprise, kind, count in rows:  # made-up names share one series
            self._telemetry.broker_denials.labels(kind, enterprise if enterprise in known else "").inc(count)


def count_denials(
    settings: Settings,
    log: Path | None,
    *,
    address: tuple[str, int] | None,
    stop: threading.Event,
    once: bool,
) -> None:
    """Count the refusals of a log file, or of standard input (None), until `stop`, or `once` all there are.

    `address`: where Prometheus finds the counters. Raises: ConfigError, StoreUnavailable at the start.
    """
    telemetry = Telemetry()
    state = open_state_store(settings)
    try:
        source = "-" if log is None else str(log.resolve())
        lines = StandardInput() if log is None else LogFile(log, state.log_position(source))
        counter = DenialCounter(state, telemetry, lines, source, settings.mqtt.username or "")
        if address is not None:
            host, port = address
            start_http_server(port, host, _only(telemetry))
        while not (stop.is_set() or (isinstance(lines, StandardInput) and lines.is_over)):
            if not _step(counter) and (once or stop.wait(_IDLE_S)):
                break
    finally:
        state.close()


def _step(counter: DenialCounter) -> bool:
    try:
        return counter.step()
    except StoreUnavailable as exc:
        _LOG.warning("refusals wait for the state store: %s", exc)
        return False


def _only(telemetry: Telemetry) -> CollectorRegistry:
    """This process's one metric: all the others at 0 would hide that the process they belong to is gone."""
    registry = CollectorRegistry()
    registry.register(telemetry.broker_denials)
    return registry
