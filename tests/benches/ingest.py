"""End to end: a filled Mosquitto queue into the books, beside the same store fed with what is ready to store.

The queue is filled beforehand through the ingestor's own persistent session; then the clock runs until the
ledger has every reading: connection, decoding, screening, versions, intent, store write, booking, dirty
days, acknowledgements and receipts all on. Two set-ups: DuckDB with SQLite, InfluxDB with PostgreSQL.

Peers, in the same run: the DuckDB store writing ready-made frames; InfluxDB taking pre-encoded bodies of
20 000 lines, one after another, from a client that does nothing else. Ours and the peer take turns; of
each the rounds are listed. `ratio`: median over the rounds of ours / peer, over InfluxDB.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, TypeVar

import polars as pl
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from ingest.ingestor import Ingestor
from ingest.screening import Screen, TimeLimits
from ingest.subscriber import Subscriber
from nengshao.app import identities_of
from nengshao.clock import SteppedClock
from nengshao.frames import READINGS
from nengshao.ports import ReadingStore, StateStore
from nengshao.settings import MqttSettings, load_settings
from nengshao.stores.duckdb import open_duckdb
from nengshao.stores.influx import InfluxReadingStore
from nengshao.stores.influx_text import reading_lines
from nengshao.stores.state import open_state
from nengshao.telemetry import Telemetry
from nengshao.wire import Limits, Message, decode
from tests.servers.influx import Influx
from tests.servers.mosquitto import Mosquitto
from tests.servers.postgres import Postgres
from tests.servers.server import Server
from tests.support.plants import START, in_order_load, registry

BODY_LINES: Final = 20_000
TOO_LONG_S: Final = 300

S = TypeVar("S", bound=Server)


class Load:
    """Messages of `enterprises` devices, and the readings in them as the store takes them."""

    def __init__(self, enterprises: int, meters: int, slots: int) -> None:
        self.registry = registry(enterprises, meters)
        self.now = START + slots * 900 + 3600
        self.messages = list(in_order_load(enterprises, meters, slots))
        limits = TimeLimits(self.now, 3600, None)
        screened = Screen(self.registry, {"national": 1}).screened(
            decode(self.messages, Limits()).readings, limits
        )
        self.rows = screened.accepted.select(list(READINGS.schema))
        if self.rows.height != enterprises * meters * slots:
            raise SystemExit("the load does not pass the screening")


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


def missing_servers() -> list[str]:
    """Titles of the servers that are neither on this machine nor given."""
    kinds: tuple[type[Server], ...] = (Mosquitto, Influx, Postgres)
    return [k.title for k in kinds if k.find() is None and not os.environ.get(k.address_variable)]


def fill_queue(broker: Mosquitto, messages: list[Message], client_id: str) -> MqttSettings:
    """Publish everything while the ingestor's session is away. Returns how to reach the broker."""
    settings = MqttSettings(host=broker.host, port=broker.port)
    session = Subscriber(settings, client_id)
    session.connect()
    session.disconnect()
    client = Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(1000)
    client.connect(broker.host, broker.port)
    client.loop_start()
    for info in [client.publish(m.topic, m.payload, qos=1) for m in messages]:
        info.wait_for_publish(timeout=60)
    client.disconnect()
    client.loop_stop()
    return settings


def drained(load: Load, state: StateStore, readings: ReadingStore, broker: Mosquitto, name: str) -> float:
    """Readings per second from the filled queue into the books."""
    mqtt = fill_queue(broker, load.messages, name)
    state.migrate()
    state.save_registry(load.registry, at=load.now)
    settings = load_settings()
    with tempfile.TemporaryDirectory() as spool:
        ingestor = Ingestor(
            state, readings, SteppedClock(load.now), Telemetry(), partition=0, partitions=1, holder=name,
            settings=settings.ingest, dialects=settings.dialects, spool_dir=Path(spool),
            subscriber=Subscriber(mqtt, name),
        )  # fmt: skip
        started = time.perf_counter()
        while ingestor.step(wait_s=0.02) or booked(state) < load.rows.height:
            if time.perf_counter() - started > TOO_LONG_S:
                raise SystemExit(f"the queue was not drained in {TOO_LONG_S} s")
        elapsed = time.perf_counter() - started
        ingestor.close()
    ledger = state.ledger()
    if ledger.filter(pl.col("outcome") == "stored")["count"].sum() != load.rows.height:
        raise SystemExit(f"not every reading was stored once: {ledger}")
    return load.rows.height / elapsed


def booked(state: StateStore) -> int:
    """Readings in the ledger."""
    return int(state.ledger()["count"].sum())


def through_duckdb(load: Load, broker: Mosquitto, name: str) -> tuple[float, float]:
    """Readings per second of ours and of the store alone."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        database, state = open_duckdb(folder / "ours.duckdb"), open_state(f"sqlite:///{folder / 'state.db'}")
        ours = drained(load, state, database.readings, broker, name)
        state.close()
        database.close()
        alone = open_duckdb(folder / "alone.duckdb")
        started = time.perf_counter()
        for body in load.rows.iter_slices(BODY_LINES):
            alone.readings.write(body)
        elapsed = time.perf_counter() - started
        alone.close()
    return ours, load.rows.height / elapsed


def through_influx(
    load: Load, broker: Mosquitto, influx: Influx, postgres: Postgres, name: str
) -> tuple[float, float]:
    """Readings per second of ours and of the server alone."""
    state = open_state(postgres.create_database(name.replace("-", "_")))
    identities = identities_of(state)
    influx.create_bucket(name)
    store = InfluxReadingStore(influx.url, influx.token, influx.org, name, identities=identities)
    ours = drained(load, state, store, broker, name)
    bodies = [
        "\n".join(reading_lines(body, identities())["line"]).encode()
        for body in load.rows.iter_slices(BODY_LINES)
    ]
    store.close()
    state.close()
    seconds = influx_seconds(bodies, influx, f"{name}-alone")
    if influx.is_external:
        influx.delete_bucket(name)
        influx.delete_bucket(f"{name}-alone")
    if postgres.is_external:
        postgres.drop_database(name.replace("-", "_"))
    return ours, load.rows.height / seconds


def influx_seconds(bodies: list[bytes], influx: Influx, bucket: str) -> float:
    """How long the server takes for these bodies, one after another."""
    influx.create_bucket(bucket)
    with InfluxDBClient(influx.url, influx.token, org=influx.org, timeout=60_000) as client:
        write = client.write_api(write_options=SYNCHRONOUS)
        started = time.perf_counter()
        for body in bodies:
            write.write(bucket, influx.org, body)
        return time.perf_counter() - started


def compared(
    one_round: Callable[[str], tuple[float, float]], name: str, rounds: int
) -> dict[str, float | list[int]]:
    """Ours and the peer's readings per second of each round, and the median of their ratios."""
    found = [one_round(f"{name}-{os.getpid()}-{number}") for number in range(rounds)]
    return {
        "readings_per_s": [round(ours) for ours, _ in found],
        "peer_readings_per_s": [round(peer) for _, peer in found],
        "ratio": round(statistics.median(ours / peer for ours, peer in found), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--enterprises", type=int, default=40)
    parser.add_argument("--meters", type=int, default=50, help="per enterprise, all in one message")
    parser.add_argument("--slots", type=int, default=100, help="messages per enterprise")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    missing = missing_servers()
    report: dict[str, object] = {"bench": "ingest", "missing_servers": missing, "ratio": None}
    if Mosquitto.title not in missing:
        load = Load(args.enterprises, args.meters, args.slots)
        report |= {"readings": load.rows.height, "readings_per_message": args.meters}
        with ExitStack() as stack:
            broker = stack.enter_context(serving(Mosquitto))
            report["duckdb"] = compared(
                lambda name: through_duckdb(load, broker, name), "duckdb", args.rounds
            )
            if not missing:
                influx, postgres = (
                    stack.enter_context(serving(Influx)),
                    stack.enter_context(serving(Postgres)),
                )
                figures = compared(
                    lambda name: through_influx(load, broker, influx, postgres, name), "influx", args.rounds
                )
                report |= {"influx": figures, "ratio": figures["ratio"]}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
