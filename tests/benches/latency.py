"""From a device's publish to the answer of the API, while the service is under load.

The service runs as an operator runs it (a process with ingest and API, a process that assesses; Mosquitto,
InfluxDB, PostgreSQL). Devices publish 50 readings a message at a steady rate. Beside them one device, whose
enterprise is its own, publishes a reading now and then; the clock runs until the API shows it booked
(`GET /v1/ledger` of that enterprise). Give as the rate half of what `make bench B=ingest` drains here.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from nengshao.wire import Message
from tests.benches.queues import missing_servers, serving
from tests.servers.influx import Influx
from tests.servers.mosquitto import Mosquitto
from tests.servers.postgres import Postgres
from tests.support import plants
from tests.support.site import Process, Site

METERS: Final = 50
_LOOK_S: Final = 0.01
_GIVE_UP_S: Final = 60.0
_WARM_UP: Final = 5  # probes that do not count


class Load(threading.Thread):
    """Publishes messages at a rate until it is told to stop; says how many went out."""

    def __init__(self, broker: Mosquitto, messages: Iterator[Message], per_s: float) -> None:
        super().__init__(daemon=True)
        self._broker, self._messages, self._per_s = broker, messages, per_s
        self._is_over = threading.Event()
        self.published, self.seconds = 0, 0.0

    def run(self) -> None:
        client = Client(CallbackAPIVersion.VERSION2)
        client.max_inflight_messages_set(1000)
        client.connect(self._broker.host, self._broker.port)
        client.loop_start()
        began = time.perf_counter()
        while not self._is_over.is_set():
            due = int((time.perf_counter() - began) * self._per_s)
            for message in itertools.islice(self._messages, max(0, due - self.published)):
                client.publish(message.topic, message.payload, qos=1)
            self.published = max(due, self.published)
            time.sleep(0.005)
        self.seconds = time.perf_counter() - began
        client.disconnect()
        client.loop_stop()

    def stop(self) -> None:
        self._is_over.set()
        self.join()


def probed(process: Process, broker: Mosquitto, number: int, probes: int) -> list[float]:
    """Seconds from publish to the ledger's answer, of as many readings of plant `number`."""
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect(broker.host, broker.port)
    client.loop_start()
    enterprise, seconds = plants.credit_code(number), []
    for probe in range(probes):
        ts = plants.START + probe * plants.CADENCE_S
        message = plants.message(number, [plants.item(ts, probe * 250.0)], probe)
        began = time.perf_counter()
        client.publish(message.topic, message.payload, qos=1)
        while process.get("/v1/ledger", enterprise=enterprise)["totals"]["stored"] <= probe:
            if time.perf_counter() - began > _GIVE_UP_S:
                raise SystemExit(f"a reading was not in the books after {_GIVE_UP_S} s")
            time.sleep(_LOOK_S)
        seconds.append(time.perf_counter() - began)
        time.sleep(0.2)
    client.disconnect()
    client.loop_stop()
    return seconds[_WARM_UP:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings-per-s", type=float, default=50_000)
    parser.add_argument("--enterprises", type=int, default=40)
    parser.add_argument("--probes", type=int, default=105)
    args = parser.parse_args()
    report: dict[str, object] = {
        "bench": "latency", "missing_servers": missing_servers(Mosquitto, Influx, Postgres)
    }  # fmt: skip
    if not report["missing_servers"]:
        report |= measured(args)
    print(json.dumps(report))


def measured(args: argparse.Namespace) -> dict[str, object]:
    """Latencies under the load, and the load as it was."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker, influx = stack.enter_context(serving(Mosquitto)), stack.enter_context(serving(Influx))
        postgres = stack.enter_context(serving(Postgres))
        now = plants.START + 300 * 86_400
        site = stack.enter_context(Site(folder, broker, influx, postgres, anchor=now))
        site.register(plants.tables(args.enterprises + 1, METERS))
        worker, _ = site.start("worker", "ingest,serve"), site.start("assessor", "assess")
        worker.wait_ready()
        messages = plants.in_order_load(args.enterprises, METERS, 300 * 96)
        load = Load(broker, messages, args.readings_per_s / METERS)
        load.start()
        seconds = probed(worker, broker, args.enterprises + 1, args.probes)
        load.stop()
        total = worker.get("/v1/ledger")["totals"]["received"]
    cuts = statistics.quantiles(seconds, n=20)
    return {
        "probes": len(seconds),
        "published_per_s": round(load.published * METERS / load.seconds),
        "booked_per_s": round(total / load.seconds),
        "median_s": round(statistics.median(seconds), 3),
        "p95_s": round(cuts[-1], 3),
        "longest_s": round(max(seconds), 3),
    }


if __name__ == "__main__":
    main()
