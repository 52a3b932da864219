"""End to end: a filled Mosquitto queue into the books, beside the same store fed with ready-made rows.

The broker's queue is filled beforehand through the ingestor's own persistent session; then the clock runs
until every message is in the books (screening, versions, ledger, dirty days, receipts all on). Peers, in
the same run: InfluxDB taking pre-encoded bodies of 20 000 lines from an idle client; DuckDB taking the same
rows as ready-made frames. `ratio` is the one over InfluxDB and PostgreSQL.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import polars as pl
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
from tests.support.plants import START, in_order_load, registry

ENTERPRISES, METERS, SLOTS = 40, 50, 100  # 4 000 messages, 200 000 readings
BODY_LINES = 20_000
NOW = START + SLOTS * 900 + 3600


def settings_for(broker: Mosquitto) -> MqttSettings:
    return MqttSettings(host=broker.host, port=broker.port, client_id="bench")


def fill_queue(broker: Mosquitto, messages: list[Message]) -> None:
    """Publish everything while the ingestor's session is away."""
    session = Subscriber(settings_for(broker), "bench-0")
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


def drained(state: StateStore, readings: ReadingStore, broker: Mosquitto, folder: Path, expected: int) -> float:
    """Readings per second from the filled queue into the books."""
    settings = load_settings()
    ingestor = Ingestor(
        state, readings, SteppedClock(NOW), Telemetry(), partition=0, partitions=1, holder="bench",
        settings=settings.ingest, dialects=settings.dialects, spool_dir=folder / "spool",
        subscriber=Subscriber(settings_for(broker), "bench-0"),
    )  # fmt: skip
    started = time.perf_counter()
    while state.ledger()["count"].sum() < expected:
        ingestor.step(wait_s=0.05)
        if time.perf_counter() - started > 300:
            raise SystemExit("the queue was not drained in 300 s")
    elapsed = time.perf_counter() - started
    ingestor.close()
    return expected / elapsed


def ready_rows(messages: list[Message]) -> pl.DataFrame:
    screen = Screen(registry(ENTERPRISES, METERS), {"national": 1})
    limits = TimeLimits(NOW, 3600, None)
    return screen.screened(decode(messages, Limits()).readings, limits).accepted.select(list(READINGS.schema))


def duckdb_ceiling(rows: pl.DataFrame, folder: Path) -> float:
    database = open_duckdb(folder / "ceiling.duckdb")
    started = time.perf_counter()
    for body in rows.iter_slices(BODY_LINES):
        database.readings.write(body)
    rate = rows.height / (time.perf_counter() - started)
    database.close()
    return rate


def influx_ceiling(bodies: list[bytes], server: Influx, bucket: str) -> float:
    from influxdb_client import InfluxDBClient
    from influxdb_client.client.write_api import SYNCHRONOUS

    with InfluxDBClient(server.url, server.token, org=server.org, timeout=60_000) as client:
        write = client.write_api(write_options=SYNCHRONOUS)
        started = time.perf_counter()
        for body in bodies:
            write.write(bucket, server.org, body)
        elapsed = time.perf_counter() - started
    return sum(body.count(b"\n") + 1 for body in bodies) / elapsed


def encoded(rows: pl.DataFrame, identities: pl.DataFrame) -> Iterator[bytes]:
    for body in rows.iter_slices(BODY_LINES):
        yield "\n".join(reading_lines(body, identities)["line"]).encode()


def state_of(url: str) -> StateStore:
    state = open_state(url)
    state.migrate()
    state.save_registry(registry(ENTERPRISES, METERS), at=NOW)
    return state


def main() -> None:
    messages = list(in_order_load(ENTERPRISES, METERS, SLOTS))
    rows = ready_rows(messages)
    report: dict[str, object] = {"bench": "ingest", "readings": rows.height, "per_message": METERS}
    with ExitStack() as stack:
        temporary: Callable[[], Path] = lambda: Path(stack.enter_context(tempfile.TemporaryDirectory()))  # noqa: E731
        folder = temporary()
        broker = stack.enter_context(Mosquitto())

        embedded = open_duckdb(folder / "readings.duckdb")
        fill_queue(broker, messages)
        ours = drained(state_of(f"sqlite:///{folder / 's.db'}"), embedded.readings, broker, folder, rows.height)
        ceiling = duckdb_ceiling(rows, temporary())
        report["duckdb"] = {"readings_per_s": round(ours), "ceiling": round(ceiling), "ratio": round(ours / ceiling, 3)}
        embedded.close()

        influx, postgres = stack.enter_context(Influx()), stack.enter_context(Postgres())
        state = state_of(postgres.create_database("bench"))
        identities = identities_of(state)
        store = InfluxReadingStore(
            influx.url, influx.token, influx.org, influx.create_bucket("bench"), identities=identities
        )
        fill_queue(broker, messages)
        ours = drained(state, store, broker, temporary(), rows.height)
        bucket = influx.create_bucket("ceiling")
        ceiling = influx_ceiling(list(encoded(rows, identities())), influx, bucket)
        report["influx"] = {"readings_per_s": round(ours), "ceiling": round(ceiling), "ratio": round(ours / ceiling, 3)}
        report["peer"] = "the same InfluxDB fed with pre-encoded bodies of 20 000 lines by an idle client"
        report["ratio"] = round(ours / ceiling, 3)
        store.close()
        state.close()
    print(json.dumps(report))


if __name__ == "__main__":
    main()
