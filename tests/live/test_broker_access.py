"""The real broker with the settings of `deploy/`, over TLS, with generated rules: who may say what."""

from __future__ import annotations

import queue
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.servers.mosquitto import Mosquitto
from tests.support import plants
from tests.support.guarded import AUDITOR, SERVICE, Guarded, connected, guarded_broker, session

pytestmark = pytest.mark.live

STEEL, CEMENT = plants.credit_code(1), plants.credit_code(2)
OWN, SIBLING, OTHER = f"{STEEL}/d1", f"{STEEL}/d2", f"{CEMENT}/d1"
END = "end of what was said"


def tables(*, with_sibling: bool = True) -> dict[str, list[dict[str, str]]]:
    """Two enterprises, of which the first has two devices."""
    made = plants.tables(2, 1)
    if with_sibling:
        made["devices"].append(plants.device_row(1, device="d2"))
    return made


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One for all who leave it as it is."""
    with opened(tmp_path_factory.mktemp("guarded")) as broker:
        yield broker


@contextmanager
def opened(folder: Path) -> Iterator[Guarded]:
    if Mosquitto.find() is None:
        pytest.skip("mosquitto is not on this machine; `make servers` brings it")
    with guarded_broker(folder / "site", tables(), [OWN, SIBLING, OTHER, CEMENT]) as broker:
        yield broker


def test_ingestor_hears_every_device_and_every_collector(guarded: Guarded) -> None:
    with session(guarded, SERVICE, "nhjc/v1/+/+/data", "nhjc/v1/+/+/status") as ingestor:
        for account, device, leaf in ((OWN, OWN, "data"), (OTHER, OTHER, "status"), (CEMENT, OTHER, "data")):
            with session(guarded, account) as sender:
                sender.publish(f"nhjc/v1/{device}/{leaf}", b"{}")
            assert ingestor.heard() == (f"nhjc/v1/{device}/{leaf}", b"{}")


@pytest.mark.parametrize(
    "topic",
    [
        f"nhjc/v1/{SIBLING}/data",
        f"nhjc/v1/{OTHER}/data",
        f"nhjc/v1/{OTHER}/status",
        f"nhjc/v1/{STEEL}/unregistered/data",
        f"nhjc/v1/{OWN}/receipt",
        f"nhjc/v1/{OWN}/command",
        f"nhjc/v1/{OWN}/data/below",
        f"nhjc/v1/{OWN}",
        "elsewhere",
    ],
)
def test_stolen_credential_speaks_on_its_own_topics_only(guarded: Guarded, topic: str) -> None:
    with session(guarded, AUDITOR, "#") as auditor:
        with session(guarded, OWN) as forger:
            forger.publish(topic, b"forged")
        with session(guarded, OWN) as device:
            device.publish(f"nhjc/v1/{OWN}/data", b"own")
        assert auditor.heard() == (f"nhjc/v1/{OWN}/data", b"own")


@pytest.mark.parametrize(
    "topic_filter", ["#", "nhjc/#", f"nhjc/v1/{CEMENT}/+/receipt", f"nhjc/v1/{SIBLING}/command", "$SYS/#"]
)
def test_stolen_credential_hears_its_own_topics_only(guarded: Guarded, topic_filter: str) -> None:
    own = f"nhjc/v1/{OWN}/receipt"
    with (
        session(guarded, OWN, topic_filter) as thief,
        session(guarded, OWN, own, client_id="the device") as device,
        session(guarded, AUDITOR) as auditor,
    ):
        for account in (OTHER, SIBLING):
            for leaf in ("receipt", "command", "data", "status"):
                auditor.publish(f"nhjc/v1/{account}/{leaf}", b"for others")
        auditor.publish(own, END.encode())
        assert device.heard() == (own, END.encode())  # the broker delivers in order: all before it is done
        assert device.inbox.empty()
        heard = [thief.heard()] if topic_filter in {"#", "nhjc/#"} else []
        assert heard == [(own, END.encode())] * len(heard)
        assert thief.inbox.empty()


def test_collector_of_an_enterprise_speaks_for_its_devices_and_no_others(guarded: Guarded) -> None:
    with session(guarded, AUDITOR, "#") as auditor:
        for topic in (f"nhjc/v1/{OWN}/data", f"nhjc/v1/{CEMENT}/unregistered/data"):
            with session(guarded, CEMENT) as forger:
                forger.publish(topic, b"forged")
        with session(guarded, CEMENT) as collector:
            collector.publish(f"nhjc/v1/{OTHER}/data", b"own")
        assert auditor.heard() == (f"nhjc/v1/{OTHER}/data", b"own")


@pytest.mark.parametrize(("name", "password"), [(OWN, "wrong"), (f"{STEEL}/d3", "any"), ("", "")])
def test_nobody_gets_in_without_an_account(guarded: Guarded, name: str, password: str) -> None:
    with pytest.raises(ConnectionRefusedError, match="Not authorized"), connected(guarded, name, password):
        pass


def test_device_that_is_struck_from_the_registry_is_cut_off_by_the_reload_and_not_let_in_again(
    tmp_path: Path,
) -> None:
    with opened(tmp_path) as guarded:
        with session(guarded, SIBLING) as removed, session(guarded, OWN) as stays:
            said = guarded.write_access(tables(with_sibling=False))
            assert f"account struck: {SIBLING}" in said
            assert removed.cut_off.wait(10)
            assert not stays.cut_off.is_set()
            with session(guarded, AUDITOR, "#") as auditor:
                stays.publish(f"nhjc/v1/{OWN}/data", b"goes on")
                assert auditor.heard() == (f"nhjc/v1/{OWN}/data", b"goes on")
        with pytest.raises(ConnectionRefusedError, match="Not authorized"), session(guarded, SIBLING):
            pass
        assert f"has no account: {SIBLING}" in guarded.write_access(tables())  # a new one has to be made
        with pytest.raises(ConnectionRefusedError), session(guarded, SIBLING):
            pass


def test_plain_connection_gets_no_answer(guarded: Guarded) -> None:
    answers: queue.Queue[str] = queue.Queue()
    client = Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
    client.username_pw_set(OWN, guarded.passwords[OWN])
    client.on_connect = lambda *_: answers.put("connected")
    client.on_disconnect = lambda *_: answers.put("cut off")
    client.connect(guarded.server.host, guarded.server.port)
    client.loop_start()
    try:
        assert answers.get(timeout=10) == "cut off"
    finally:
        client.loop_stop()
    with socket.create_connection((guarded.server.host, guarded.server.port), timeout=10) as bare:
        bare.sendall(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00")  # CONNECT, MQTT 3.1.1
        with suppress(ConnectionResetError):
            assert b"\x20\x02" not in bare.recv(100)  # CONNACK


def test_certificate_is_the_account_where_the_listener_says_so(tmp_path: Path) -> None:
    if Mosquitto.find() is None:
        pytest.skip("mosquitto is not on this machine; `make servers` brings it")
    with guarded_broker(tmp_path, tables(), [], by_certificate=True) as guarded:
        signed = {name: guarded.authority.sign(name, file=str(n)) for n, name in enumerate([AUDITOR, OWN])}
        with session(guarded, AUDITOR, "#", certificate=signed[AUDITOR]) as auditor:
            with session(guarded, OWN, certificate=signed[OWN]) as forger:
                forger.publish(f"nhjc/v1/{OTHER}/data", b"forged")
            with session(guarded, OWN, certificate=signed[OWN]) as device:
                device.publish(f"nhjc/v1/{OWN}/data", b"own")
            assert auditor.heard() == (f"nhjc/v1/{OWN}/data", b"own")
        with pytest.raises((OSError, queue.Empty)), connected(guarded, OWN, "no certificate"):
            pass
