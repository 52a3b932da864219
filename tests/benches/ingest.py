"""A filled Mosquitto queue into InfluxDB and PostgreSQL, everything on, beside what else could do it.

The queue is filled beforehand through a persistent session; then the clock runs until every reading is
booked and acknowledged: connection, decoding, screening, versions, intent, store write, booking, dirty days
and receipts all on. Peers, in the same run and in turn:

- the same InfluxDB, fed with ready-made bodies of 20 000 lines by a client that does nothing else;
- Telegraf (mqtt_consumer, QoS 1, persistent session, json_v2, influxdb_v2), which promises none of it.

Loads: 50 readings a message, and 3. Then the first one again with a tenth of the readings late or corrected,
and with one promise after another left out. `ratio`: ours / the ready-made bodies, 50 a message, the median
over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS

from nengshao.app import identities_of
from nengshao.stores.influx import InfluxReadingStore
from nengshao.stores.influx_text import in_writing_order, reading_lines, reading_prefixes
from nengshao.stores.state import open_state
from tests.benches import telegraf
from tests.benches.queues import (
    TOO_LONG_S,
    Drained,
    Load,
    Without,
    check_books,
    drained,
    fill_queue,
    load_of,
    missing_servers,
    serving,
)
from tests.servers.influx import Influx
from tests.servers.mosquitto import Mosquitto
from tests.servers.postgres import Postgres

BODY_LINES: Final = 20_000
PROMISES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "receipts": {"subscriber": ("publish",)},
    "intents": {"state": ("record_intent",)},
    "books": {"state": ("book",)},
    "all three": {"subscriber": ("publish",), "state": ("record_intent", "book")},
}


class Bench:
    """The three servers, and a new bucket and database for every run."""

    def __init__(self, broker: Mosquitto, influx: Influx, postgres: Postgres) -> None:
        self.broker, self.influx, self.postgres = broker, influx, postgres
        self._runs = 0

    def name(self) -> str:
        """One that nobody had before."""
        self._runs += 1
        return f"bench-{os.getpid()}-{self._runs}"

    def ours(self, load: Load, *, left_out: str = "") -> Drained:
        """The load through the ingestor."""
        name = self.name()
        state = open_state(self.postgres.create_database(name.replace("-", "_")))
        self.influx.create_bucket(name)
        store = InfluxReadingStore(
            self.influx.url, self.influx.token, self.influx.org, name, identities=identities_of(state)
        )
        absent = PROMISES.get(left_out, {})
        found = drained(
            load, state, store, self.broker, name, lambda port, what: Without(port, *absent.get(what, ()))
        )
        if "book" not in absent.get("state", ()):
            check_books(load, state)
        store.close()
        state.close()
        self._forget(name)
        if self.postgres.is_external:
            self.postgres.drop_database(name.replace("-", "_"))
        return found

    def ready_made(self, load: Load) -> float:
        """Readings per second of the server alone."""
        prefixes = reading_prefixes(load.identities)
        bodies = [
            "\n".join(reading_lines(in_writing_order(body), prefixes)["line"]).encode()
            for body in load.rows.iter_slices(BODY_LINES)
        ]
        name = self.name()
        self.influx.create_bucket(name)
        with InfluxDBClient(
            self.influx.url, self.influx.token, org=self.influx.org, timeout=60_000
        ) as client:
            write = client.write_api(write_options=SYNCHRONOUS)
            started = time.perf_counter()
            for body in bodies:
                write.write(name, self.influx.org, body)
            elapsed = time.perf_counter() - started
        self._forget(name)
        return load.delivered / elapsed

    def telegraf(self, load: Load, program: Path) -> Drained:
        """The load through Telegraf; its start, until the broker has its connection, is not counted."""
        name, distinct = self.name(), load.rows.select("point", "ts").n_unique()
        self.influx.create_bucket(name)
        settings: dict[str, Any] = {
            "broker": f"{self.broker.host}:{self.broker.port}", "client_id": name, "bucket": name,
            "readings_per_message": load.delivered // len(load.messages),
            "influx": self.influx.url, "token": self.influx.token, "org": self.influx.org,
        }  # fmt: skip
        with telegraf.running(program, **settings) as process:
            self._wait_connected(name, 1, process)
            time.sleep(1.0)  # it subscribes
        fill_queue(self.broker, load.messages)
        with telegraf.running(program, **settings) as process, self._reader() as reader:
            self._wait_connected(name, 2, process)
            started, cpu = time.perf_counter(), _cpu_s(process)
            while (count := self._count(reader, name)) < distinct:
                _check_alive(process, started)
                time.sleep(0.2 if count < distinct * 0.9 else 0.02)
            elapsed, cpu = time.perf_counter() - started, _cpu_s(process) - cpu
        self._forget(name)
        return Drained(load.delivered / elapsed, cpu / load.delivered * 1e6)

    def _wait_connected(self, name: str, times: int, process: subprocess.Popen[bytes]) -> None:
        """Until the broker's log has had the client come that often."""
        started = time.perf_counter()
        while self.broker.log_text().count(f" as {name} ") < times:
            _check_alive(process, started)
            time.sleep(0.01)

    def _reader(self) -> InfluxDBClient:
        return InfluxDBClient(self.influx.url, self.influx.token, org=self.influx.org, timeout=60_000)

    def _count(self, reader: InfluxDBClient, bucket: str) -> int:
        query = f'from(bucket: "{bucket}") |> range(start: 0) |> count() |> group() |> sum()'
        answer = reader.query_api().query_raw(query).read().decode()
        rows = [line.split(",") for line in answer.splitlines() if line and not line.startswith("#")]
        return int(rows[1][-1]) if len(rows) > 1 else 0

    def _forget(self, bucket: str) -> None:
        self.influx.delete_bucket(bucket)


def _check_alive(process: subprocess.Popen[bytes], started: float) -> None:
    if process.poll() is not None:
        raise SystemExit(f"Telegraf ended with {process.returncode}")
    if time.perf_counter() - started > TOO_LONG_S:
        raise SystemExit(f"Telegraf was not done in {TOO_LONG_S} s")


def _cpu_s(process: subprocess.Popen[bytes]) -> float:
    """Processor seconds that the process has used (proc(5): utime and stime, in ticks)."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def compared(bench: Bench, load: Load, program: Path | None, rounds: int) -> dict[str, Any]:
    """Every round ours, the ready-made bodies and Telegraf; and the medians of their ratios."""
    found = [
        (bench.ours(load), bench.ready_made(load), bench.telegraf(load, program) if program else None)
        for _ in range(rounds)
    ]
    figures: dict[str, Any] = {
        "ours": [ours.shown for ours, _, _ in found],
        "ready_made_per_s": [round(alone) for _, alone, _ in found],
        "ratio": _median([ours.readings_per_s / alone for ours, alone, _ in found]),
    }
    beside = [(ours, theirs) for ours, _, theirs in found if theirs is not None]
    if beside:
        figures |= {
            "telegraf": [theirs.shown for _, theirs in beside],
            "times_telegraf": _median([o.readings_per_s / t.readings_per_s for o, t in beside]),
            "cpu_to_telegraf": _median([o.cpu_us / t.cpu_us for o, t in beside]),
        }
    return figures


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 3)


def left_out(bench: Bench, load: Load, rounds: int) -> dict[str, Any]:
    """Readings per second with everything on, and without one promise each: how many times as fast."""
    whole = statistics.median(bench.ours(load).readings_per_s for _ in range(rounds))
    found = {}
    for promise in PROMISES:
        rates = [bench.ours(load, left_out=promise).readings_per_s for _ in range(rounds)]
        found[promise] = round(statistics.median(rates) / whole, 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=1_000_000, help="in each load")
    parser.add_argument("--enterprises", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["50", "3", "troubled", "promises"])
    args = parser.parse_args()
    missing, program = missing_servers(Mosquitto, Influx, Postgres), telegraf.find_telegraf()
    report: dict[str, Any] = {"bench": "ingest", "missing_servers": missing, "ratio": None}
    if program is None:
        report["telegraf"] = "not on this machine; python -m tests.benches.telegraf builds it"
    if not missing:
        with ExitStack() as stack:
            broker, influx = stack.enter_context(serving(Mosquitto)), stack.enter_context(serving(Influx))
            bench = Bench(broker, influx, stack.enter_context(serving(Postgres)))
            report |= measured(bench, program, args)
            report["ratio"] = report.get("50 a message", {}).get("ratio")
    print(json.dumps(report, ensure_ascii=False))


def measured(bench: Bench, program: Path | None, args: argparse.Namespace) -> dict[str, Any]:
    """The parts of the report that were asked for."""
    slots = args.readings // args.enterprises
    fifty, found = load_of(args.enterprises, 50, slots // 50), {}
    if args.only in {None, "50"}:
        found["50 a message"] = compared(bench, fifty, program, args.rounds)
    if args.only in {None, "3"}:
        found["3 a message"] = compared(bench, load_of(args.enterprises, 3, slots // 9), program, args.rounds)
    if args.only in {None, "troubled"}:
        troubled = load_of(args.enterprises, 50, slots // 50, is_troubled=True)
        found["a tenth late or corrected"] = compared(bench, troubled, None, args.rounds)
    if args.only in {None, "promises"}:
        found["times as fast without"] = left_out(bench, fifty, args.rounds)
    return found


if __name__ == "__main__":
    main()
