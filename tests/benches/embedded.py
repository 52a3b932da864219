"""The embedded set-up, one process beside its broker: iotcore, DuckDB, SQLite, everything on.

The broker's queue is filled beforehand through a persistent session. iotcore keeps at most 100 messages in
flight to a subscriber, so the messages go to the disk first (`ingest.spool_first`) and are booked in batches.
Peers, in the same run and in turn: DuckDB's own upsert (a primary key, INSERT … ON CONFLICT DO UPDATE, frames
of 20 000 rows that are there), and a subscriber that only acknowledges. `ratio`: readings/s, 50 a message, to
DuckDB's upsert, the median over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb

from ingest.subscriber import Subscriber
from nengshao.settings import MqttSettings
from nengshao.stage import embedded_broker, free_port
from nengshao.stores.duckdb import open_duckdb
from nengshao.stores.state import open_state
from tests.benches.queues import Address, Drained, Load, check_books, drained, fill_queue, load_of

BODY_ROWS: Final = 20_000
THINGSBOARD: Final = 10_000  # messages/s of 3 data points each, as its makers publish for one server
_UPSERT: Final = """
INSERT INTO reading SELECT * FROM body ON CONFLICT (point, ts, version) DO UPDATE SET
    value = excluded.value, valid = excluded.valid, input_type = excluded.input_type
"""


@dataclass(frozen=True)
class Local:
    """A broker on this machine."""

    port: int
    host: str = "127.0.0.1"


def ours(load: Load, broker: Address, name: str) -> Drained:
    """The load through the ingestor."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        database, state = open_duckdb(folder / "ours.duckdb"), open_state(f"sqlite:///{folder / 'state.db'}")
        found = drained(load, state, database.readings, broker, name, spool_first=True)
        check_books(load, state)
        state.close()
        database.close()
    return found


def upserted(load: Load, *_: Any) -> float:
    """Readings per second of DuckDB alone."""
    with tempfile.TemporaryDirectory() as text, duckdb.connect(str(Path(text) / "alone.duckdb")) as database:
        database.execute(
            "CREATE TABLE reading (point BIGINT, ts BIGINT, version BIGINT, value BIGINT, valid BOOLEAN, "
            "input_type TINYINT, PRIMARY KEY (point, ts, version))"
        )
        started = time.perf_counter()
        for body in load.rows.iter_slices(BODY_ROWS):
            database.register("body", body)
            database.execute(_UPSERT)
        return load.delivered / (time.perf_counter() - started)


def only_acknowledged(load: Load, broker: Address, name: str) -> float:
    """Readings per second in messages that are received and acknowledged, and nothing else."""
    subscriber = Subscriber(MqttSettings(host=broker.host, port=broker.port), name)
    subscriber.connect()
    subscriber.disconnect()
    fill_queue(broker, load.messages)
    started, left = time.perf_counter(), len(load.messages)
    subscriber.connect()
    while left:
        deliveries = subscriber.take(10.0)
        subscriber.ack(deliveries)
        left -= len(deliveries)
    elapsed = time.perf_counter() - started
    subscriber.disconnect()
    return load.delivered / elapsed


def compared(
    load: Load, broker: Address, peer: Callable[[Load, Address, str], float], rounds: int
) -> dict[str, Any]:
    """Ours and the peer in turn."""
    found = []
    for _ in range(rounds):
        name = f"bench-{os.getpid()}-{time.monotonic_ns()}"
        found.append((ours(load, broker, name), peer(load, broker, f"{name}-peer")))
    return {
        "ours": [one.shown for one, _ in found],
        "messages_per_s": [
            round(one.readings_per_s * len(load.messages) / load.delivered) for one, _ in found
        ],
        "peer_readings_per_s": [round(alone) for _, alone in found],
        "ratio": round(statistics.median(one.readings_per_s / alone for one, alone in found), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=400_000, help="in the load of 50 a message")
    parser.add_argument("--enterprises", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    fifty = load_of(args.enterprises, 50, args.readings // args.enterprises // 50)
    three = load_of(args.enterprises, 3, args.readings // args.enterprises // 9)
    port = free_port()
    with embedded_broker(port):
        big = compared(fifty, Local(port), upserted, args.rounds)
        small = compared(three, Local(port), only_acknowledged, args.rounds)
    report = {
        "bench": "embedded", "50 a message, to DuckDB's upsert": big,
        "3 a message, to acknowledging only": small, "thingsboard_messages_per_s": THINGSBOARD,
        "ratio": big["ratio"],
    }  # fmt: skip
    print(json.dumps(report, ensure_ascii=False))


if __name__ == "__main__":
    main()
