"""The doctor at a real broker: what it says would be lost is lost, and where it says nothing nothing is."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from typer.testing import CliRunner

from ingest.subscriber import Subscriber
from nengshao import cli
from nengshao.settings import MqttSettings
from tests.servers.mosquitto import Mosquitto
from tests.support import plants
from tests.support.guarded import save_registry

pytestmark = pytest.mark.live

MESSAGES = 50


class Configured(Mosquitto):
    """Production's settings, with lines of its own."""

    def __init__(self, folder: Path, lines: Mapping[str, str | None]) -> None:
        super().__init__(folder)
        self._lines = lines

    @property
    def configuration(self) -> Path:
        """Its file."""
        return self.folder / "mosquitto.conf"

    def _prepare(self) -> None:
        self.folder.chmod(0o777)  # whoever it runs as here

    def _overlay(self) -> dict[str, str | None]:
        return super()._overlay() | self._lines


@contextmanager
def broker(**lines: str | None) -> Iterator[Configured]:
    if Mosquitto.find() is None:
        pytest.skip("mosquitto is not on this machine; `make servers` brings it")
    with (
        tempfile.TemporaryDirectory(prefix="nengshao-doctor-", ignore_cleanup_errors=True) as folder,
        Configured(Path(folder), lines) as server,
    ):
        yield server


def examined(folder: Path, server: Configured, *arguments: str, **mqtt: Any) -> tuple[int, dict[str, str]]:
    """Exit code, and level by code of what is found."""
    lines = [f'data_dir = "{folder}"', "[ingest]", "spool_max_bytes = 1000000", "[mqtt]"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in {"port": server.port, **mqtt}.items()]
    (folder / "nengshao.toml").write_text("\n".join(lines), encoding="utf-8")
    command = ["doctor", "--json", "--settings", str(folder / "nengshao.toml")]
    command += ["--broker-conf", str(server.configuration)]
    done = CliRunner().invoke(cli.app, [*command, *arguments])
    assert done.exit_code in {0, 1}, done.output
    return done.exit_code, {one["code"]: one["level"] for one in json.loads(done.stdout)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    save_registry(tmp_path, plants.tables(1, 1))
    return tmp_path / "data"


def test_queue_that_the_doctor_calls_too_short_drops_what_it_has_acknowledged(folder: Path) -> None:
    with broker(max_queued_messages="10") as server:
        code, found = examined(folder, server)
        assert (code, found["queue-limit"]) == (1, "loses")
        open_session(server)
        publish(server, MESSAGES)
        assert len(drain(server)) == 10
    with broker() as server:
        assert "queue-limit" not in examined(folder, server)[1]
        open_session(server)
        publish(server, MESSAGES)
        assert len(drain(server)) == MESSAGES


def test_broker_that_the_doctor_says_forgets_has_forgotten_after_a_restart(folder: Path) -> None:
    for persistence, left in (("false", 0), ("true", MESSAGES)):
        with broker(persistence=persistence) as server:
            _, found = examined(folder, server)
            assert (found.get("persistence-off") == "loses") is (left == 0)
            open_session(server)
            publish(server, MESSAGES)
            server.stop()
            server.start()
            assert len(drain(server)) == left


def test_message_that_the_doctor_says_never_arrives_does_not(folder: Path) -> None:
    with broker(set_tcp_nodelay="true\nmessage_size_limit 100") as server:
        code, found = examined(folder, server)
        assert (code, found["message-size"]) == (1, "loses")
        open_session(server)
        publish(server, 1, b"x" * 101)
        publish(server, 1, b"x" * 100)
        assert drain(server) == [b"x" * 100]


def test_session_that_is_there_is_seen_and_left_with_its_queue(folder: Path) -> None:
    with broker() as server:
        code, found = examined(folder, server)
        assert (code, found["session-absent"]) == (1, "loses")
        _, found = examined(folder, server)
        assert "session-absent" in found  # looking did not make one
        open_session(server)
        publish(server, MESSAGES)
        for protocol in ("3.1.1", "5"):
            code, found = examined(folder, server, protocol=protocol)
            assert found["session"] == "note"
        assert (code, found["lease-free"]) == (0, "risk")
        assert len(drain(server)) == MESSAGES


def test_broker_that_is_away_and_one_that_refuses_us_are_told(folder: Path) -> None:
    with broker() as server:
        port = server.port
        server.stop()
        code, found = examined(folder, server)
        assert (code, found["broker-away"]) == (1, "loses")
        assert "session-absent" not in found
        assert server.port == port
    with broker(allow_anonymous="false") as server:
        code, found = examined(folder, server)
        assert (code, found["broker-away"], found["no-accounts"]) == (1, "loses", "risk")


def test_people_read_it_in_chinese_first(folder: Path) -> None:
    with broker(max_queued_messages="10") as server:
        examined(folder, server)
        command = ["doctor", "--settings", str(folder / "nengshao.toml")]
        done = CliRunner().invoke(cli.app, [*command, "--broker-conf", str(server.configuration)])
    assert done.exit_code == 1
    assert "✗ max_queued_messages 10：无人取走时" in done.output
    assert "[queue-limit]" in done.output
    assert "改为 / instead: max_queued_messages 0" in done.output


def open_session(server: Configured) -> None:
    """As the ingestor of partition 0 would have it, who then goes."""
    subscriber = Subscriber(MqttSettings(port=server.port), "nengshao-ingest-0.0")
    subscriber.connect()
    subscriber.disconnect()


def publish(server: Configured, count: int, payload: bytes = b"{}") -> None:
    """Returns when every one has its PUBACK."""
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect(server.host, server.port)
    client.loop_start()
    sent = [client.publish(plants.topic(1), payload, qos=1) for _ in range(count)]
    for message in sent:
        message.wait_for_publish(20)
        assert message.is_published()
    client.disconnect()
    client.loop_stop()


def drain(server: Configured) -> list[bytes]:
    """What the session is given when its ingestor is back."""
    subscriber = Subscriber(MqttSettings(port=server.port), "nengshao-ingest-0.0")
    subscriber.connect()
    found: list[bytes] = []
    while deliveries := subscriber.take(1.0):
        found += [delivery.message.payload for delivery in deliveries]
        subscriber.ack(deliveries)
    subscriber.disconnect()
    return found
