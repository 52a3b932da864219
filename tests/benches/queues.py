"""What the ingest benches share: loads, filled queues, and an ingestor that drains them into stores."""

from __future__ import annotations

import gc
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import polars as pl
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from ingest.ingestor import Ingestor
from ingest.screening import Screen, TimeLimits
from ingest.subscriber import Subscriber
from nengshao.clock import SteppedClock
from nengshao.frames import READINGS
from nengshao.ports import ReadingStore, StateStore
from nengshao.registry import Registry
from nengshao.settings import MqttSettings, load_settings
from nengshao.telemetry import Telemetry
from nengshao.wire import Limits, Message, decode
from tests.servers.server import Server
from tests.support.plants import CADENCE_S, START, in_order_load, item, message, registry

TOO_LONG_S: Final = 300.0
_LATE: Final = 0.05  # share of messages that come late, and share of those that are sent again, corrected
_DELAY: Final = 20  # messages of the same device that overtake a late one

S = TypeVar("S", bound=Server)


@dataclass(frozen=True)
class Load:
    """Messages, and the readings in them as the store takes them."""

    registry: Registry
    now: int
    messages: Sequence[Message]
    rows: pl.DataFrame

    @property
    def identities(self) -> pl.DataFrame:
        """How InfluxDB names the points: point, enterprise, tag."""
        tag = pl.format("{}.{}.{}", "data_code", "stat_type", "meter").alias("tag")
        return self.registry.points.select("point", "enterprise", tag)

    @property
    def delivered(self) -> int:
        """Readings in the messages."""
        return self.rows.height


def load_of(enterprises: int, meters: int, slots: int, *, is_troubled: bool = False) -> Load:
    """`slots` quarters of an hour of `enterprises` devices, each message with `meters` readings.

    `is_troubled`: a tenth of the readings comes late or is corrected.
    """
    registered, now = registry(enterprises, meters), START + slots * CADENCE_S + 7200
    messages = list(in_order_load(enterprises, meters, slots))
    if is_troubled:
        messages = _troubled(messages, enterprises, meters, slots)
    screen = Screen(registered, {"national": 1})
    screened = screen.screened(decode(messages, Limits()).readings, TimeLimits(now, 3600, None))
    if not screened.rejected.is_empty():
        raise SystemExit(f"the load does not pass the screening: {screened.rejected.head(3)}")
    return Load(registered, now, messages, screened.accepted.select(list(READINGS.schema)))


def _troubled(messages: list[Message], enterprises: int, meters: int, slots: int) -> list[Message]:
    chance = random.Random(7)
    places = {n: float(n) for n in range(len(messages))}
    for n in chance.sample(range(len(messages)), int(len(messages) * _LATE)):
        places[n] += _DELAY * enterprises
    corrected = []
    for n in chance.sample(range(len(messages)), int(len(messages) * _LATE)):
        slot, number = divmod(n, enterprises)
        ts = START + slot * CADENCE_S
        items = [item(ts, slot * 250.0 + m + 1, meter=f"{m:02d}", upload=ts + 3600) for m in range(meters)]
        corrected.append((places[n] + _DELAY * enterprises, message(number + 1, items, slots + n)))
    ordered = sorted([(places[n], m) for n, m in enumerate(messages)] + corrected, key=lambda pair: pair[0])
    return [m for _, m in ordered]


@contextmanager
def serving(kind: type[S]) -> Iterator[S]:
    """The server whose address is in the environment, or one of our own for this bench."""
    if given := kind.from_environment():
        with given:
            yield given
        return
    with (
        tempfile.TemporaryDirectory(prefix="nengshao-bench-", ignore_cleanup_errors=True) as folder,
        kind(Path(folder)) as server,
    ):
        yield server


def missing_servers(*kinds: type[Server]) -> list[str]:
    """Titles of the servers that are neither on this machine nor given."""
    return [k.title for k in kinds if k.find() is None and not os.environ.get(k.address_variable)]


class Address(Protocol):
    """Where a broker is."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


def fill_queue(broker: Address, messages: Sequence[Message]) -> None:
    """Publish everything; who is to have it has left his session behind."""
    client = Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(1000)
    client.connect(broker.host, broker.port)
    client.loop_start()
    for info in [client.publish(m.topic, m.payload, qos=1) for m in messages]:
        info.wait_for_publish(timeout=60)
    client.disconnect()
    client.loop_stop()


class Without:
    """A port some of whose calls do nothing: what a promise costs is seen by leaving it out."""

    def __init__(self, port: Any, *calls: str) -> None:
        self._port, self._calls = port, calls

    def __getattr__(self, name: str) -> Any:
        return (lambda *_, **__: None) if name in self._calls else getattr(self._port, name)


@dataclass(frozen=True)
class Drained:
    """How fast a queue went into the books, and what it took of the processor."""

    readings_per_s: float
    cpu_us: float  # of this process, per reading

    @property
    def shown(self) -> dict[str, float]:
        return {"readings_per_s": round(self.readings_per_s), "cpu_us": round(self.cpu_us, 2)}


def drained(
    load: Load,
    state: StateStore,
    readings: ReadingStore,
    broker: Address,
    name: str,
    without: Callable[[Any, str], Any] = lambda port, _: port,
    **ingest: Any,
) -> Drained:
    """The clock runs from the connection until every reading is booked and every message acknowledged.

    `without` may replace a port (state, subscriber) by its name; `ingest`: settings of that section.
    """
    mqtt = MqttSettings(host=broker.host, port=broker.port)
    session = Subscriber(mqtt, name)
    session.connect()
    session.disconnect()
    fill_queue(broker, load.messages)
    state.migrate()
    state.save_registry(load.registry, at=load.now)
    settings = load_settings(ingest=ingest)
    subscriber = Counting(Subscriber(mqtt, name))
    with tempfile.TemporaryDirectory() as spool:
        ingestor = Ingestor(
            without(state, "state"), readings, SteppedClock(load.now), Telemetry(), partition=0, partitions=1,
            holder=name, settings=settings.ingest, dialects=settings.dialects, spool_dir=Path(spool),
            subscriber=without(subscriber, "subscriber"),
        )  # fmt: skip
        gc.collect()
        gc.freeze()  # as the service does
        started, cpu = time.perf_counter(), time.process_time()
        while subscriber.acknowledged < len(load.messages) or ingestor.in_flight:
            ingestor.step(wait_s=0.02)
            if time.perf_counter() - started > TOO_LONG_S:
                raise SystemExit(f"the queue was not drained in {TOO_LONG_S} s")
        elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
        gc.unfreeze()
        ingestor.close()
    return Drained(load.delivered / elapsed, cpu / load.delivered * 1e6)


def check_books(load: Load, state: StateStore) -> None:
    """Every reading that was delivered is in the books, each one stored once. Ends the bench if not."""
    ledger = state.ledger()
    stored = ledger.filter(pl.col("outcome") == "stored")["count"].sum()
    distinct = load.rows.select("point", "ts").n_unique()
    if (ledger["count"].sum(), stored) != (load.delivered, distinct):
        raise SystemExit(f"{load.delivered} delivered, {distinct} distinct, but the books say {ledger}")


class Counting:
    """A subscriber that counts what it acknowledges."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber, self.acknowledged = subscriber, 0

    def ack(self, deliveries: Sequence[Any]) -> None:
        self._subscriber.ack(deliveries)
        self.acknowledged += len(deliveries)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._subscriber, name)
