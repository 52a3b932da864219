"""The whole way over TLS with generated rules: a device's message to its receipt, and who is let in when."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from ingest.subscriber import Subscriber
from nengshao.app import App, build_app
from nengshao.broker.access import enterprises_in
from nengshao.domain.codes import partition_of
from nengshao.domain.errors import StoreUnavailable
from nengshao.registry_tables import registry_of
from nengshao.settings import MqttSettings, load_settings
from nengshao.stores.state import open_state
from nengshao.wire import decode_receipt, encode_message
from tests.servers.mosquitto import Mosquitto
from tests.support import plants
from tests.support.certificates import Authority
from tests.support.guarded import SERVICE, Guarded, guarded_broker, run_broker_acl, save_registry, session

pytestmark = pytest.mark.live

ONE, TWO = plants.credit_code(1), plants.credit_code(2)
LEASE_S = 3.0


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    if Mosquitto.find() is None:
        pytest.skip("mosquitto is not on this machine; `make servers` brings it")
    with guarded_broker(tmp_path / "site", plants.tables(1, 1), [f"{ONE}/d1"], debug=False) as broker:
        yield broker


def test_message_of_a_device_has_its_receipt_over_tls(guarded: Guarded) -> None:
    topic = plants.topic(1)
    payload = encode_message(ONE, "d1", [plants.item(plants.START + 900, 12.5)], 7)
    with ingesting(guarded), session(guarded, f"{ONE}/d1", plants.topic(1, leaf="receipt")) as device:
        device.publish(topic, payload)
        where, answer = device.heard()
        assert where == plants.topic(1, leaf="receipt")
        [message] = decode_receipt(answer).messages
        assert (message.seq, message.stored) == (7, 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho forgets such a socket
def test_ingestor_refuses_a_broker_of_another_authority(guarded: Guarded, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger").certificate
    settings = MqttSettings(host=guarded.server.host, port=guarded.server.port, ca_file=stranger)
    with pytest.raises(StoreUnavailable, match="certificate verify failed"):
        Subscriber(settings, "id").connect()
    gc.collect()


def test_enterprise_is_let_in_when_its_partition_has_subscribed_and_not_before(guarded: Guarded) -> None:
    rules = guarded.folder / "secrets" / "mosquitto" / "acl"
    with ingesting(guarded, partitions=2) as app:
        state = app.stores.state
        wait_until(lambda: len(state.subscriptions()) == 2, "both partitions have subscribed")
        save_registry(guarded.folder, plants.tables(2, 1))
        version = state.registry_version()
        wait_until(
            lambda: set(state.subscriptions().values()) == {version}, "both follow the new registry", 30
        )
        said = run_broker_acl(guarded.folder)
        assert "has not subscribed" not in said
    assert enterprises_in(rules.read_text(encoding="utf-8")) == {ONE, TWO}
    save_registry(guarded.folder, plants.tables(3, 1))  # nobody is there to follow
    three = plants.credit_code(3)
    assert f"has not subscribed: {three}" in run_broker_acl(guarded.folder)
    assert enterprises_in(rules.read_text(encoding="utf-8")) == {ONE, TWO}
    assert partition_of(three, 2) in {0, 1}


@contextmanager
def ingesting(guarded: Guarded, *, partitions: int = 1) -> Iterator[App]:
    """The service, which takes in over TLS under its account."""
    mqtt = {
        "host": guarded.server.host,
        "port": guarded.server.port,
        "protocol": "5",
        "username": SERVICE,
        "password_file": guarded.folder / "secrets" / "mqtt_password",
        "ca_file": guarded.authority.certificate,
    }
    if partitions != 1:
        remake_state(guarded, partitions)
    anchored: Mapping[str, object] = {
        "kind": "anchored", "anchor": "2025-01-01T02:00:00+08:00", "since": "2026-01-01T00:00:00+08:00",
        "rate": 1e-9,
    }  # fmt: skip
    settings = load_settings(
        guarded.settings,
        mqtt=mqtt,
        clock=anchored,
        data_dir=guarded.folder / "data",
        ingest={"lease_ttl_s": LEASE_S},
        store={"kind": "memory"},
        notify={"channels": []},
    )
    with build_app(settings) as app:
        app.start({"ingest"})
        wait_until(lambda: all(one.is_ready for one in app.ingestors), "the ingestor subscribes", 30)
        yield app


def remake_state(guarded: Guarded, partitions: int) -> None:
    """The number of partitions is fixed when the state is made: one of its own, of the same registry."""
    database = guarded.folder / "data" / "state.db"
    for file in database.parent.glob("state.db*"):
        file.unlink()
    state = open_state(f"sqlite:///{database}", partitions)
    state.migrate()
    state.save_registry(registry_of(plants.tables(1, 1)), at=1)
    state.close()


def wait_until(is_so: Callable[[], bool], what: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
