"""The real broker with the rules of `deploy/` and accounts of `make-secrets.sh`: who may say what to whom."""

from __future__ import annotations

import queue
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from nengshao.settings import read_secret
from tests.servers.mosquitto import PRODUCTION_SETTINGS, Mosquitto, settings_with
from tests.servers.server import DEPLOY
from tests.support.deploy import make_secrets

pytestmark = pytest.mark.live

STEEL, CEMENT = "91350100M000100Y43", "91990000MA0000001X"
INGESTOR = "nengshao"


class GuardedMosquitto(Mosquitto):
    """A broker that, as in production, knows nobody without an account."""

    def __init__(self, folder: Path, accounts: str) -> None:
        super().__init__(folder)
        self._files = {
            "acl": (DEPLOY / "mosquitto" / "acl").read_text(encoding="utf-8"),
            "passwords": accounts,
        }

    def _prepare(self) -> None:
        for name, text in self._files.items():
            (self.folder / name).write_text(text, encoding="utf-8")
            self._hand_over(self.folder / name)

    def _command(self) -> list[str]:
        overlay: dict[str, str | None] = {
            "listener": f"{self.port} 127.0.0.1",
            "persistence_location": f"{self.folder}/",
            "password_file": str(self.folder / "passwords"),
            "acl_file": str(self.folder / "acl"),
        }
        production = PRODUCTION_SETTINGS.read_text(encoding="utf-8")
        config = self.folder / "mosquitto.conf"
        config.write_text(settings_with(production, overlay), encoding="utf-8")
        config.chmod(0o644)
        return [str(self.program), "-c", str(config)]


@dataclass(frozen=True)
class Guarded:
    """The running broker, and the passwords that it knows."""

    server: GuardedMosquitto
    passwords: dict[str, str]


@dataclass(frozen=True)
class Session:
    """A connected client: what it has received, and how its subscriptions were answered."""

    client: Client
    inbox: queue.Queue[tuple[str, bytes]] = field(default_factory=queue.Queue)

    def publish(self, topic: str, payload: bytes) -> None:
        """Returns when the broker has answered, which it also does of a message that it then drops.

        Mosquitto 2.0 ends the connection after a forbidden message while max_queued_messages is 0, so a
        session forges once.
        """
        self.client.publish(topic, payload, qos=1).wait_for_publish(10)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    if Mosquitto.find() is None:
        pytest.skip("mosquitto is not on this machine; `make servers` brings it")
    secrets = tmp_path_factory.mktemp("deploy") / "secrets"
    make_secrets(secrets)
    passwords = {INGESTOR: read_secret(secrets / "mqtt_password")}
    for enterprise in (STEEL, CEMENT):
        said = make_secrets(secrets, "enterprise", enterprise).stdout
        passwords[enterprise] = re.findall(r"shown this once: (\S+)", said)[0]
    accounts = (secrets / "mosquitto_passwords").read_text(encoding="utf-8")
    with (
        tempfile.TemporaryDirectory(prefix="nengshao-guarded-", ignore_cleanup_errors=True) as folder,
        GuardedMosquitto(Path(folder), accounts) as server,
    ):
        yield Guarded(server, passwords)


def test_ingestor_hears_every_enterprise(guarded: Guarded) -> None:
    with session(guarded, INGESTOR, "nhjc/v1/+/+/data", "nhjc/v1/+/+/status") as ingestor:
        for enterprise, leaf in ((STEEL, "data"), (CEMENT, "status")):
            with session(guarded, enterprise) as device:
                device.publish(f"nhjc/v1/{enterprise}/gateway-1/{leaf}", b"{}")
            assert ingestor.inbox.get(timeout=10) == (f"nhjc/v1/{enterprise}/gateway-1/{leaf}", b"{}")


def test_enterprise_cannot_speak_as_another(guarded: Guarded) -> None:
    with (
        session(guarded, INGESTOR, "nhjc/v1/+/+/data") as ingestor,
        session(guarded, CEMENT) as forger,
        session(guarded, CEMENT) as device,
    ):
        forger.publish(f"nhjc/v1/{STEEL}/gateway-1/data", b"forged")
        device.publish(f"nhjc/v1/{CEMENT}/gateway-1/data", b"own")
        assert ingestor.inbox.get(timeout=10)[1] == b"own"


def test_enterprise_cannot_write_receipts(guarded: Guarded) -> None:
    topic = f"nhjc/v1/{CEMENT}/gateway-1/receipt"
    with (
        session(guarded, CEMENT, topic) as device,
        session(guarded, CEMENT) as forger,
        session(guarded, INGESTOR) as ingestor,
    ):
        forger.publish(topic, b"forged")
        ingestor.publish(topic, b"real")
        assert device.inbox.get(timeout=10) == (topic, b"real")


def test_enterprise_hears_its_own_receipts_only(guarded: Guarded) -> None:
    with session(guarded, CEMENT, "#") as device, session(guarded, INGESTOR) as ingestor:
        for enterprise in (STEEL, CEMENT):
            ingestor.publish(f"nhjc/v1/{enterprise}/gateway-1/receipt", enterprise.encode())
        assert device.inbox.get(timeout=10)[1] == CEMENT.encode()


@pytest.mark.parametrize(("name", "password"), [(STEEL, "wrong"), ("91350100M000100Y44", "any"), ("", "")])
def test_nobody_gets_in_without_an_account(guarded: Guarded, name: str, password: str) -> None:
    with pytest.raises(ConnectionRefusedError, match="Not authorized"), connected(guarded, name, password):
        pass


@contextmanager
def session(guarded: Guarded, name: str, *filters: str) -> Iterator[Session]:
    """A client under an account, subscribed to the filters."""
    with connected(guarded, name, guarded.passwords[name]) as client:
        ours, subscribed = Session(client), threading.Event()

        def receive(_client: Client, _data: object, message: MQTTMessage) -> None:
            ours.inbox.put((message.topic, bytes(message.payload)))

        client.on_message = receive
        client.on_subscribe = lambda *_: subscribed.set()
        if filters:
            client.subscribe([(topic, 1) for topic in filters])
            assert subscribed.wait(10)
        yield ours


@contextmanager
def connected(guarded: Guarded, name: str, password: str) -> Iterator[Client]:
    """A client that the broker has let in. Raises: ConnectionRefusedError with the broker's reason."""
    answers: queue.Queue[ReasonCode] = queue.Queue()
    client = Client(CallbackAPIVersion.VERSION2)
    if name:
        client.username_pw_set(name, password)
    client.on_connect = lambda _client, _data, _flags, reason, _properties: answers.put(reason)
    client.connect(guarded.server.host, guarded.server.port)
    client.loop_start()
    try:
        reason = answers.get(timeout=10)
        if reason.is_failure:
            raise ConnectionRefusedError(str(reason))
        yield client
    finally:
        client.disconnect()
        client.loop_stop()
