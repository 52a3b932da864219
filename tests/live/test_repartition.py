"""A repartition broken off after any phase and done again: collectors that trust a PUBACK lose nothing."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import paho.mqtt.client as mqtt
import polars as pl
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from nengshao.app import App, build_app, open_state_store
from nengshao.ports import Partitioning
from nengshao.repartition import repartition
from nengshao.settings import (
    ClockSettings,
    IngestSettings,
    MqttSettings,
    NotifySettings,
    Settings,
    StoreSettings,
)
from tests.servers.mosquitto import Mosquitto
from tests.support import plants
from tests.support.order import has_session

pytestmark = pytest.mark.live

ENTERPRISES = 7
SLOTS = 20  # of each portion
PHASES = 4


class Collectors:
    """Devices that forget a message once the broker has it."""

    def __init__(self, mosquitto: Mosquitto) -> None:
        self._address = (mosquitto.host, mosquitto.port)
        self._slots = 0

    @property
    def sent(self) -> int:
        return self._slots * ENTERPRISES

    def send(self) -> None:
        """One more portion; returns when the broker has it."""
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        client.connect(*self._address)
        client.loop_start()
        load = list(plants.in_order_load(ENTERPRISES, 1, self._slots + SLOTS))[self.sent :]
        for one in [client.publish(message.topic, message.payload, qos=1) for message in load]:
            one.wait_for_publish(30)
        client.disconnect()
        client.loop_stop()
        self._slots += SLOTS


@pytest.fixture(params=["5", "3.1.1"])
def settings(request: pytest.FixtureRequest, mosquitto: Mosquitto, tmp_path: Path) -> Settings:
    """An embedded installation of one partition, at a real broker; DuckDB lets one process in at a time."""
    mqtt_settings = MqttSettings(
        host=mosquitto.host, port=mosquitto.port, protocol=request.param, client_id=f"r-{uuid.uuid4().hex}"
    )
    made = Settings(
        data_dir=tmp_path,
        mqtt=mqtt_settings,
        ingest=IngestSettings(lease_ttl_s=3.0, past_limit_days=10_000),
        store=StoreSettings(kind="duckdb"),
        clock=ClockSettings(),
        notify=NotifySettings(channels=()),
    )
    state = open_state_store(made)
    state.save_registry(plants.registry(ENTERPRISES), at=0)
    state.close()
    return made


def wait(app: App, stored: int) -> None:
    """Until every partition is held and heard, and that much is stored."""
    deadline = time.monotonic() + 60
    while app.in_flight or not (
        all(ingestor.is_ready for ingestor in app.ingestors) and outcomes(app).get("stored", 0) >= stored
    ):
        assert time.monotonic() < deadline, outcomes(app)
        assert app.failure is None
        time.sleep(0.05)


def outcomes(app: App) -> dict[str, int]:
    ledger = app.stores.state.ledger().group_by("outcome").agg(pl.col("count").sum())
    return dict(ledger.iter_rows())


@pytest.mark.parametrize("phase", range(1, PHASES))
def test_broken_off_after_any_phase_and_done_again(
    settings: Settings, mosquitto: Mosquitto, phase: int
) -> None:
    collectors = Collectors(mosquitto)
    with build_app(settings) as app:
        app.start({"ingest"})
        wait(app, 0)
        collectors.send()
        wait(app, collectors.sent)
    collectors.send()  # waits in the session
    broken_off = repartition(settings, 3)
    for _ in range(phase):
        next(broken_off)
        collectors.send()
    broken_off.close()
    collectors.send()
    done = repartition(settings, 3)
    for _ in range(PHASES):
        next(done)
        collectors.send()
    done.close()
    assert list(repartition(settings, 3)) == ["已是 3 个分区 / there are 3 partitions already"]
    with build_app(settings) as app:
        assert app.stores.state.partitions == Partitioning(3, 1)
        app.start({"ingest"})
        wait(app, collectors.sent)
        found = outcomes(app)
        assert found.keys() <= {"stored", "duplicate"}
        assert found["stored"] == collectors.sent == app.stores.readings.count()
    assert not has_session(mosquitto, f"{settings.mqtt.client_id}-0.0")
