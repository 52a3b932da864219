"""The harness itself: each server starts from `deploy/`, answers, and keeps its data over a kill."""

from __future__ import annotations

import queue
import re
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import create_engine, text

from tests.servers import influx as influx_module
from tests.servers.influx import Influx
from tests.servers.mosquitto import PRODUCTION_SETTINGS, Mosquitto, settings_with
from tests.servers.postgres import Postgres
from tests.servers.server import ServerError, answers, free_port

BACKLOG = 3000  # more than the 1 000 messages that Mosquitto queues by default


def test_free_port_is_below_those_of_clients() -> None:
    port = free_port()
    assert port < 32_768  # ip(7): from here on, the kernel gives ports to clients
    assert not answers("127.0.0.1", port)


def test_external_server_cannot_be_killed(mosquitto: Mosquitto) -> None:
    other = Mosquitto(external_url=mosquitto.url)
    with other:
        assert other.is_external
        with pytest.raises(ServerError, match="not ours to end"):
            other.kill()
    assert mosquitto.is_running


def test_broker_settings_of_the_tests_are_those_of_production_but_for_the_overlay() -> None:
    production = PRODUCTION_SETTINGS.read_text(encoding="utf-8")
    changed = settings_with(production, {"listener": "2 127.0.0.1", "acl_file": None})
    assert set(changed.splitlines()) - set(production.splitlines()) == {"listener 2 127.0.0.1"}
    assert len(production.splitlines()) - len(changed.splitlines()) == 1
    with pytest.raises(ServerError, match="0 lines of bridge"):
        settings_with(production, {"bridge": "x"})


def test_persistent_session_with_its_whole_queue_survives_a_kill(killable_mosquitto: Mosquitto) -> None:
    broker = killable_mosquitto
    with _ingestor(broker):
        pass
    _publish(broker, BACKLOG)
    broker.save()
    port = broker.port
    broker.kill()
    assert not broker.is_running
    broker.start()
    assert broker.port == port
    with _ingestor(broker) as inbox:
        received = [inbox.get(timeout=10) for _ in range(BACKLOG)]
    assert received == [b"%d" % number for number in range(BACKLOG)]


def test_influx_reports_every_setting_of_production(influx: Influx) -> None:
    if influx.is_external:
        pytest.skip("the settings of the external InfluxDB are its owner's")
    production = tomllib.loads(influx_module.PRODUCTION_SETTINGS.read_text(encoding="utf-8"))
    running = influx.settings()
    assert {name: running.get(name) for name in production} == production


def test_influx_buckets_are_apart(influx: Influx, influx_bucket: str) -> None:
    assert _rows(influx, influx_bucket) == []
    _write(influx, influx_bucket, "energy,point=a value=1i 1735689600000000000")
    assert _rows(influx, influx_bucket) == [1]


def test_what_influx_answered_for_survives_its_kill(killable_influx: Influx) -> None:
    server = killable_influx
    lines = "\n".join(f"energy,point=a value={n}i {1735689600 + 900 * n}000000000" for n in range(1000))
    _write(server, server.bucket, lines)
    server.kill()
    assert not server.is_running
    server.start()
    assert _rows(server, server.bucket) == list(range(1000))


def test_postgres_runs_with_every_setting_of_production(postgres: Postgres) -> None:
    if postgres.is_external:
        pytest.skip("the settings of the external PostgreSQL are its owner's")
    with psycopg.connect(_plain(postgres.url)) as connection:
        rows = connection.execute("SELECT name, applied, error FROM pg_file_settings").fetchall()
    # What the command line of the tests sets wins over the file: only that may be "not applied".
    assert {name for name, applied, error in rows if error or not applied} == {"listen_addresses"}
    assert ("fsync", True, None) in rows


def test_postgres_database_is_fresh_and_usable(postgres_url: str) -> None:
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE ledger (stored bigint)"))
    engine.dispose()


def test_what_postgres_committed_survives_its_kill(killable_postgres: Postgres) -> None:
    server = killable_postgres
    dsn = _plain(server.create_database("state"))
    # One client stays connected, as the pool of a service does while its database dies.
    bystander = psycopg.connect(dsn)
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE ledger AS SELECT * FROM generate_series(1, 1000) AS stored")
    server.kill()
    assert not server.is_running
    server.start()
    bystander.close()
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT sum(stored) FROM ledger").fetchone() == (500_500,)


@pytest.mark.parametrize("name", ["killable_mosquitto", "killable_influx", "killable_postgres"])
def test_stopped_server_starts_again_where_it_was(name: str, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue(name)
    url = server.url
    server.stop()
    assert not answers(server.host, server.port)
    server.start()
    assert server.url == url
    assert re.fullmatch(r"\w+ \d+(\.\d+)+", server.version())
    assert isinstance(server.log_text(), str)


@contextmanager
def _ingestor(broker: Mosquitto) -> Iterator[queue.Queue[bytes]]:
    """What a persistent session with a QoS 1 subscription receives, once it is subscribed."""
    inbox: queue.Queue[bytes] = queue.Queue()
    subscribed = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, "ingestor", clean_session=False)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _client, _data, message: inbox.put(bytes(message.payload))
    client.connect(broker.host, broker.port)
    client.loop_start()
    client.subscribe("nhjc/#", qos=1)
    assert subscribed.wait(10)
    yield inbox
    client.disconnect()
    client.loop_stop()


def _publish(broker: Mosquitto, count: int) -> None:
    """Publish the numbers 0 … count - 1 and wait for every PUBACK."""
    client = Client(CallbackAPIVersion.VERSION2, "device")
    client.connect(broker.host, broker.port)
    client.loop_start()
    sent = [client.publish("nhjc/v1/a/b/data", b"%d" % number, qos=1) for number in range(count)]
    for message in sent:
        message.wait_for_publish(10)
    client.disconnect()
    client.loop_stop()
    assert all(message.is_published() for message in sent)


def _write(server: Influx, bucket: str, lines: str) -> None:
    with InfluxDBClient(server.url, server.token, org=server.org) as client:
        client.write_api(SYNCHRONOUS).write(bucket, record=lines.encode())


def _rows(server: Influx, bucket: str) -> list[int]:
    query = f'from(bucket: "{bucket}") |> range(start: 0) |> sort(columns: ["_time"])'
    with InfluxDBClient(server.url, server.token, org=server.org) as client:
        return [record.get_value() for table in client.query_api().query(query) for record in table.records]


def _plain(sqlalchemy_url: str) -> str:
    return sqlalchemy_url.replace("postgresql+psycopg://", "postgresql://")
