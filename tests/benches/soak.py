"""Whether memory stays flat: Mosquitto into InfluxDB and PostgreSQL under a steady load, for minutes.

A process of its own publishes up to `--rate` readings a second in messages of 50; an ingestor takes them with
everything on, and a while of them is read back now and then. What this process holds of the memory is looked
at every second. `slope_mib_per_million`: least squares over the second half of the time.

What the C library keeps of freed memory belongs to the process too, though nothing is in it. `held_mib` is
what is left at half time and at the end when it has been given back: what leaks is there.

Messages that wait to be booked are memory too, bounded by what the broker may have in flight. So that it is
not they who are measured, never more than a few are under way; `backlog`: the most there were.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import itertools
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from ingest.ingestor import Ingestor
from ingest.subscriber import Subscriber
from nengshao.app import identities_of
from nengshao.clock import SteppedClock
from nengshao.settings import MqttSettings, load_settings
from nengshao.stores.influx import InfluxReadingStore
from nengshao.stores.state import open_state
from nengshao.telemetry import Telemetry
from tests.benches.queues import Counting, missing_servers, serving
from tests.servers.influx import Influx
from tests.servers.mosquitto import Mosquitto
from tests.servers.postgres import Postgres
from tests.support.plants import CADENCE_S, START, in_order_load, registry

ENTERPRISES: Final = 40
METERS: Final = 50
_SAMPLE_S: Final = 1.0
_READ_S: Final = 10.0
_ENDLESS: Final = 1_000_000_000

_UNDER_WAY: Final = 400  # messages

Read = Callable[[int], object]
"""Reads back what was stored before an instant."""

Sample = tuple[int, float, int]
"""Readings that were booked so far; MiB that this process held then, messages that were not booked."""


def publish(host: str, port: int, rate: int, seconds: float, booked: Any) -> None:
    """Publish `rate` readings a second, a quarter of an hour of all plants at a time.

    `booked`: how many messages the other process has done with.
    """
    client = Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(1000)
    client.connect(host, port)
    client.loop_start()
    began = time.monotonic()
    messages = in_order_load(ENTERPRISES, METERS, _ENDLESS)
    for slot in itertools.count():
        sent = [client.publish(m.topic, m.payload, qos=1) for m in itertools.islice(messages, ENTERPRISES)]
        for info in sent:
            info.wait_for_publish(timeout=60)
        due = began + (slot + 1) * ENTERPRISES * METERS / rate
        if time.monotonic() > began + seconds:
            break
        time.sleep(max(0.0, due - time.monotonic()))
        while (slot + 1) * ENTERPRISES - booked.value > _UNDER_WAY:
            time.sleep(0.01)
    client.disconnect()
    client.loop_stop()


def resident_mib() -> float:
    """What this process holds of the memory."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def held_mib() -> float:
    """What this process holds once the C library has given back what is free."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    return resident_mib()


def slope(samples: Sequence[Sample]) -> float:
    """MiB per million readings, by least squares."""
    readings, mib, _ = zip(*samples, strict=True)
    return statistics.linear_regression([n / 1e6 for n in readings], mib).slope


def soaked(
    ingestor: Ingestor, subscriber: Counting, clock: SteppedClock, seconds: float, read: Read, booked: Any
) -> list[Sample]:
    """Take what comes for so long; the memory each second."""
    samples: list[Sample] = []
    began = time.monotonic()
    sample_at = read_at = began
    while (now := time.monotonic()) < began + seconds:
        clock.move_to(START + (subscriber.acknowledged // ENTERPRISES + 1) * CADENCE_S + 60)
        ingestor.step(wait_s=0.1)
        booked.value = subscriber.acknowledged
        if now >= sample_at:
            samples.append((subscriber.acknowledged * METERS, resident_mib(), ingestor.in_flight))
            sample_at = now + _SAMPLE_S
        if now >= read_at:
            read(clock.now())
            read_at = now + _READ_S
    return samples


def measured(
    broker: Mosquitto, influx: Influx, postgres: Postgres, args: argparse.Namespace
) -> dict[str, Any]:
    name = f"soak-{os.getpid()}"
    state = open_state(postgres.create_database(name.replace("-", "_")))
    influx.create_bucket(name)
    store = InfluxReadingStore(influx.url, influx.token, influx.org, name, identities=identities_of(state))
    registered = registry(ENTERPRISES, METERS)
    state.migrate()
    state.save_registry(registered, at=START)
    points = registered.points["point"].to_list()
    settings, clock = load_settings(), SteppedClock(START)
    mqtt = MqttSettings(host=broker.host, port=broker.port)
    subscriber: Any = Counting(Subscriber(mqtt, name))
    seconds = args.minutes * 60
    processes = multiprocessing.get_context("spawn")
    booked = processes.Value("q", 0)
    load = processes.Process(
        target=publish, args=(broker.host, broker.port, args.rate, seconds, booked), daemon=True
    )
    with tempfile.TemporaryDirectory() as spool:
        ingestor = Ingestor(
            state, store, clock, Telemetry(), partition=0, partitions=1, holder=name,
            settings=settings.ingest, dialects=settings.dialects, spool_dir=Path(spool),
            subscriber=subscriber,
        )  # fmt: skip
        while not ingestor.is_ready:
            ingestor.step(wait_s=0.1)
        load.start()
        samples, held = [], []
        for _ in range(2):
            samples += soaked(
                ingestor, subscriber, clock, seconds / 2,
                lambda now: store.scan(points, now - 100 * CADENCE_S, now).collect(), booked,
            )  # fmt: skip
            held.append(round(held_mib(), 1))
        ingestor.close()
    load.terminate()
    load.join()
    store.close()
    state.close()
    return _report(samples) | {"held_mib": held}


def _report(samples: Sequence[Sample]) -> dict[str, Any]:
    warm, later = samples[len(samples) // 5 :], samples[len(samples) // 2 :]
    return {
        "readings": samples[-1][0],
        "backlog": max(waiting for _, _, waiting in samples),
        "rss_after_warm_up_mib": round(warm[0][1], 1),
        "rss_at_the_end_mib": round(samples[-1][1], 1),
        "rss_mib": [round(mib, 1) for _, mib, _ in samples[:: max(1, len(samples) // 30)]],
        "slope_mib_per_million": round(slope(later), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=int, default=10_000, help="readings per second")
    args = parser.parse_args()
    missing = missing_servers(Mosquitto, Influx, Postgres)
    report: dict[str, Any] = {"bench": "soak", "missing_servers": missing, "minutes": args.minutes}
    if not missing:
        with ExitStack() as stack:
            broker, influx = stack.enter_context(serving(Mosquitto)), stack.enter_context(serving(Influx))
            report |= measured(broker, influx, stack.enter_context(serving(Postgres)), args)
    print(json.dumps(report, ensure_ascii=False))


if __name__ == "__main__":
    main()
