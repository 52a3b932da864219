"""The composition root: from settings to a running application. Nothing else chooses an implementation."""

from __future__ import annotations

import gc
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl
import uvicorn

from analytics import law
from analytics.cycle import Cycle, RegionCycle
from analytics.cycle.assessor import Assessor
from analytics.explanation import Explainer
from analytics.law import Law
from api.auth import TokenAuthenticator
from api.ports import ApiFacts, ApiPorts
from api.service import create_api
from ingest.inbox import hand_over_strangers
from ingest.ingestor import Ingestor
from ingest.subscriber import Subscriber
from nengshao.clock import AnchoredClock, SystemClock
from nengshao.domain.codes import REGION_PARTITION
from nengshao.domain.errors import ConfigError, StoreUnavailable
from nengshao.notify.console import ConsoleNotifier
from nengshao.notify.pipeline import Pipeline
from nengshao.ports import Clock, Lease, Notifier, Partitioning, ReadingStore, ResultStore, StateStore
from nengshao.settings import ClockSettings, Settings, read_secret
from nengshao.stores.duckdb import DuckReadingStore, DuckResultStore, open_duckdb
from nengshao.stores.influx import InfluxReadingStore, InfluxResultStore
from nengshao.stores.memory import MemoryReadingStore, MemoryResultStore
from nengshao.stores.state import open_state
from nengshao.telemetry import Telemetry

ROLES: Final = ("ingest", "assess", "serve")
_LOG: Final = logging.getLogger(__name__)
_WATCH_S: Final = 1.0  # how soon a change of the partitions is noticed


@dataclass(frozen=True, slots=True)
class Stores:
    """Where everything is kept."""

    state: StateStore
    readings: ReadingStore
    results: ResultStore


class App:
    """A composed application. Made by `build_app`; closed in reverse order of its making."""

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        telemetry: Telemetry,
        stores: Stores,
        ingestors: Sequence[Ingestor],
        assessors: Sequence[Assessor],
        pipeline: Pipeline,
        make_server: Callable[[], uvicorn.Server],
        resources: ExitStack,
        holder: str,
    ) -> None:
        self.settings, self.clock, self.telemetry, self.stores = settings, clock, telemetry, stores
        self.ingestors, self.assessors, self.pipeline = ingestors, assessors, pipeline
        self._make_server, self._resources, self.holder = make_server, resources, holder
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._server: uvicorn.Server | None = None
        self.failure: BaseException | None = None
        self.is_outdated = False  # stopped because it is to be made anew, from the same settings

    def __enter__(self) -> App:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def in_flight(self) -> int:
        """Messages and uploads that are delivered and not yet in the books."""
        return sum(ingestor.in_flight for ingestor in self.ingestors) + self.stores.state.inbox_size()

    def start(self, roles: Collection[str]) -> None:
        """Start the threads of these roles and return."""
        # What is there by now stays. The collector would walk through all of it for every few batches:
        # measured, half the time of ingest.
        gc.collect()
        gc.freeze()
        self._spawn("watch", self._watch_partitions)
        if "ingest" in roles:
            state, spools = self.stores.state, self.settings.data_dir / "spool"
            own = {state.partitions.name_of(n) for n in range(state.partitions.count)}
            hand_over_strangers(spools, own, state, self.settings.ingest)
            for ingestor in self.ingestors:
                self._spawn("ingest", partial(ingestor.run, self._stop))
        if "assess" in roles:
            self._spawn("assess", self._assess_forever)
            self._spawn("notify", self._notify_forever)
        if "serve" in roles:
            self._server = self._make_server()
            self._spawn("serve", self._server.run)
            self._wait_serving(self._server)

    def wait(self) -> None:
        """Until somebody stops the application. Raises what a worker died of, if one did."""
        while not self._stop.wait(0.5):
            pass
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        """Ask every thread to finish what it has in hand."""
        self._stop.set()
        if self._server is not None:
            self._server.should_exit = True

    def close(self) -> None:
        """Stop, wait for the threads, and release everything in reverse order."""
        self.stop()
        for thread in self._threads:
            thread.join(timeout=30)
        self._threads.clear()
        self._resources.close()
        gc.unfreeze()

    def assess_all(self) -> None:
        """Run every partition's cycle now, in this thread, then tell whom it concerns."""
        for assessor in self.assessors:
            lease = assessor.run_once(None)
            if lease is not None:
                assessor.state.release_lease(lease)
        self.pipeline.run_once()

    @property
    def address(self) -> str:
        """Where the HTTP service listens, once it is started."""
        port = self.settings.api.port
        if self._server is not None and self._server.started:
            port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://{self.settings.api.host}:{port}"

    def _watch_partitions(self) -> None:
        """Stop when the number of partitions has been changed: everything here is made for the old one."""
        while not self._stop.wait(_WATCH_S):
            try:
                now = self.stores.state.read_partitions()
            except StoreUnavailable:
                continue  # those who work say so
            if now.epoch != self.stores.state.partitions.epoch:
                _LOG.warning("分区数已改为 %d / the number of partitions is now %d", now.count, now.count)
                self.is_outdated = True
                self.stop()

    def _assess_forever(self) -> None:
        leases: dict[int, Lease | None] = dict.fromkeys(one.partition for one in self.assessors)
        pause_s = 0.0
        while not self._stop.wait(pause_s):
            pause_s = self.settings.assess.interval_s
            for assessor in self.assessors:
                try:
                    leases[assessor.partition] = assessor.run_once(leases[assessor.partition])
                except StoreUnavailable as exc:
                    self.telemetry.retries.labels("assess").inc()
                    _LOG.warning("assessment waits for a store: %s", exc)
        with suppress(StoreUnavailable):  # then they expire
            for lease in filter(None, leases.values()):
                self.stores.state.release_lease(lease)

    def _notify_forever(self) -> None:
        """Tell people, from one process only: two would tell everybody twice."""
        state, holder = self.stores.state, self.holder
        while not self._stop.wait(self.settings.notify.interval_s):
            try:
                if state.acquire_lease("notify", 0, holder, 10 * self.settings.notify.interval_s) is not None:
                    self.pipeline.run_once()
            except StoreUnavailable as exc:
                self.telemetry.retries.labels("notify").inc()
                _LOG.warning("notification waits for the state store: %s", exc)

    def _spawn(self, name: str, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except BaseException as exc:  # a worker that dies takes the process with it, never silently
                _LOG.exception("%s died", name)
                self.failure = exc
                self.stop()

        thread = threading.Thread(target=guarded, name=f"nengshao-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _wait_serving(self, server: uvicorn.Server) -> None:
        while not server.started and self.failure is None and not self._stop.is_set():
            time.sleep(0.01)
        if not server.started:
            raise ConfigError([f"cannot listen on {self.settings.api.host}:{self.settings.api.port}"])


def build_app(
    settings: Settings,
    *,
    clock: Clock | None = None,
    stores: Stores | None = None,
    notifiers: Sequence[Notifier] | None = None,
    with_broker: bool = True,
) -> App:
    """The application that `settings` describe. What a test may replace are the optional arguments.

    `with_broker=False`: readings enter by inbox only. Raises: ConfigError, StoreUnavailable.
    """
    resources = ExitStack()
    with resources:
        clock = clock or clock_of(settings.clock)
        telemetry = Telemetry()
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        if stores is None:
            stores = open_stores(settings, resources)
        state = stores.state
        rulings = load_law(settings)
        holder = settings.holder or f"{socket.gethostname()}:{os.getpid()}"

        partitions = state.partitions
        ingestors = [
            Ingestor(
                state,
                stores.readings,
                clock,
                telemetry,
                partition=partition,
                partitions=partitions.count,
                holder=holder,
                settings=settings.ingest,
                dialects=settings.dialects,
                spool_dir=settings.data_dir / "spool" / partitions.name_of(partition),
                subscriber=session_of(settings, partitions, partition) if with_broker else None,
            )
            for partition in range(partitions.count)
        ]
        telemetry.in_flight.labels("memory").set_function(lambda: sum(i.in_memory for i in ingestors))
        telemetry.spool_bytes.set_function(lambda: sum(i.spool.size for i in ingestors))
        telemetry.in_flight.labels("spool").set_function(lambda: sum(i.spool.count for i in ingestors))
        assessors = _assessors(settings, stores, clock, telemetry, rulings, holder)
        if notifiers is None:
            notifiers = [ConsoleNotifier() for channel in settings.notify.channels if channel == "console"]
        pipeline = Pipeline(state, notifiers, clock, telemetry, muted=settings.notify.muted_enterprises)

        token_file = settings.api.token_file
        authenticator = None if token_file is None else TokenAuthenticator.for_token(read_secret(token_file))
        facts = ApiFacts(
            authenticator,
            settings.api.max_upload_bytes,
            partitions.count,
            rulings.rules,
            rulings.factors,
            rulings.norms,
            Explainer(rulings),
        )
        ports = ApiPorts(
            state,
            stores.readings,
            stores.results,
            telemetry,
            checks={"state": state.ping, "readings": stores.readings.ping},
            in_flight=lambda: sum(i.in_flight for i in ingestors) + state.inbox_size(),
        )
        api = create_api(ports, facts, clock)

        def make_server() -> uvicorn.Server:
            config = uvicorn.Config(
                api, host=settings.api.host, port=settings.api.port, log_level="warning", lifespan="off"
            )
            return uvicorn.Server(config)

        return App(
            settings=settings,
            clock=clock,
            telemetry=telemetry,
            stores=stores,
            ingestors=ingestors,
            assessors=assessors,
            pipeline=pipeline,
            make_server=make_server,
            resources=resources.pop_all(),
            holder=holder,
        )


def session_of(settings: Settings, partitions: Partitioning, partition: int) -> Subscriber:
    """The broker session of a partition, which whoever holds it takes over."""
    return Subscriber(settings.mqtt, session_name(settings, partitions, partition))


def session_name(settings: Settings, partitions: Partitioning, partition: int) -> str:
    """The client id of a partition's broker session."""
    return f"{settings.mqtt.client_id}-{partitions.name_of(partition)}"


def load_law(settings: Settings) -> Law:
    """The law as data, with the directories that the settings lay over it. Raises: ConfigError."""
    assess = settings.assess
    return law.load_law(
        factor_dirs=assess.factor_dirs,
        norm_dirs=assess.norm_dirs,
        calendar_dirs=assess.calendar_dirs,
        rulebook_dirs=assess.rulebook_dirs,
    )


def _assessors(  # noqa: PLR0917 - what a cycle is made of
    settings: Settings, stores: Stores, clock: Clock, telemetry: Telemetry, rulings: Law, holder: str
) -> list[Assessor]:
    """One for every partition, and one for the regions, which add them up."""
    state, results = stores.state, stores.results
    cycles: list[tuple[int, Cycle | RegionCycle]] = [
        (
            partition,
            Cycle(
                state, stores.readings, results, clock, rulings,
                partition=partition, partitions=state.partitions.count,
            ),
        )
        for partition in range(state.partitions.count)
    ]  # fmt: skip
    cycles.append((REGION_PARTITION, RegionCycle(state, results, clock, rulings)))
    return [
        Assessor(cycle, state, telemetry, list(rulings.rules), partition, holder, settings.assess.lease_ttl_s)
        for partition, cycle in cycles
    ]


def clock_of(settings: ClockSettings) -> Clock:
    """The clock that the settings describe."""
    if settings.kind == "system" or settings.anchor is None or settings.since is None:
        return SystemClock()
    return AnchoredClock(int(settings.anchor.timestamp()), settings.rate, settings.since.timestamp())


def has_state(settings: Settings) -> bool:
    """Whether a state was ever made, as far as that can be seen without connecting."""
    url = settings.state_url
    return not url.startswith("sqlite:///") or Path(url.removeprefix("sqlite:///")).exists()


def open_state_store(settings: Settings) -> StateStore:
    """The state store alone, schema brought up to date: what `init` and `registry` need."""
    ingest = settings.ingest
    state = open_state(
        settings.state_url,
        settings.partitions,
        raw_cap_message=ingest.raw_cap_message,
        raw_cap_device=ingest.raw_cap_device,
        raw_cap_total=ingest.raw_cap_total,
        row_cap_device=ingest.quarantine_rows_device,
        row_cap_total=ingest.quarantine_rows_total,
    )
    state.migrate()
    return state


def open_stores(settings: Settings, resources: ExitStack) -> Stores:
    """The stores that the settings choose, each closed with `resources`."""
    state = open_state_store(settings)
    resources.callback(state.close)
    store = settings.store
    readings: ReadingStore
    results: ResultStore
    if store.kind == "duckdb":
        database = open_duckdb(settings.data_dir / "readings.duckdb")
        resources.callback(database.close)
        readings, results = DuckReadingStore(database), DuckResultStore(database)
    elif store.kind == "influx":
        if store.influx_token_file is None:
            raise ConfigError(["store.influx_token_file: InfluxDB needs a token"])
        token = read_secret(store.influx_token_file)
        where = (store.influx_url, token, store.influx_org)
        identities = identities_of(state)
        influx = InfluxReadingStore(
            *where, store.influx_bucket, identities=identities, timeout_s=store.timeout_s
        )
        resources.callback(influx.close)
        influx_results = InfluxResultStore(
            *where,
            store.influx_results_bucket,
            identities=identities,
            timeout_s=store.timeout_s,
        )
        resources.callback(influx_results.close)
        influx.ensure_bucket()
        influx_results.ensure_bucket()
        readings, results = influx, influx_results
    else:
        readings, results = MemoryReadingStore(), MemoryResultStore()
    return Stores(state, readings, results)


def identities_of(state: StateStore) -> Callable[[], pl.DataFrame]:
    """A look-up of point, enterprise, tag of every registered point: how InfluxDB names them.

    Made anew only when the registry has changed.
    """
    known: dict[int, pl.DataFrame] = {}

    def identities() -> pl.DataFrame:
        version = state.registry_version()
        found = known.get(version)
        if found is None:
            found = _identities(state.registry().points)
            known.clear()
            known[version] = found
        return found

    return identities


def _identities(points: pl.DataFrame) -> pl.DataFrame:
    tag = pl.format("{}.{}.{}", "data_code", "stat_type", "meter")  # as PointKey.tag
    return points.select("point", "enterprise", tag.alias("tag")).unique().sort("point")
