"""Ten thousand messages that must not be accepted: counted by reason, bounded on disk, survived."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import polars as pl
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from nengshao.domain.readings import Reason
from nengshao.registry import Registry
from nengshao.registry_tables import registry_of
from nengshao.settings import IngestSettings
from nengshao.wire import Message
from tests.support import hostile, plants
from tests.support.house import House, Process, booked, house

NOW = plants.START + 3600
CAPS: dict[str, Any] = {
    "raw_cap_message": 2_000, "raw_cap_device": 60_000, "raw_cap_total": 200_000,
    "quarantine_rows_device": 300, "quarantine_rows_total": 1_500,
}  # fmt: skip
SETTINGS = IngestSettings(
    lease_ttl_s=0.3,
    batch_rows=2_000,
    max_message_bytes=hostile.MAX_BYTES,
    max_readings=hostile.MAX_READINGS,
    **CAPS,
)
FOLDS = (
    2 * len(hostile.WRONGS) + 2
)  # beyond the caps: a row per reason of a device, and per reason of all others


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, plants.registry(2), now=NOW, settings=SETTINGS) as made:
        yield made


@pytest.fixture
def process(home: House) -> Iterator[Process]:
    started = home.start()
    started.get_ready()
    yield started
    started.close()


def send(home: House, messages: Sequence[Message]) -> None:
    """Publish from a client that may say anything, and wait until the broker has it all."""
    published, left = threading.Event(), [len(messages)]

    def count(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            published.set()

    client = mqtt.Client(CallbackAPIVersion.VERSION2, "hostile")
    client.max_queued_messages_set(0)
    client.on_publish = count
    client.connect("127.0.0.1", home.port)
    client.loop_start()
    for message in messages:
        client.publish(message.topic, message.payload, qos=1)
    assert published.wait(60)
    client.disconnect()
    client.loop_stop()


def quarantined(process: Process) -> dict[str, int]:
    """Quarantined readings by reason, of the whole ledger."""
    counts = process.state.ledger().filter(pl.col("outcome") == "quarantined")
    return dict(counts.group_by("reason").agg(pl.col("count").sum()).sort("reason").iter_rows())


def entries(process: Process) -> list[Any]:
    """Every row of the quarantine."""
    rows: list[Any] = []
    while page := process.state.quarantine_page(
        before_id=rows[-1]["quarantine_id"] if rows else None, limit=1000
    ):
        rows += page
    return rows


def test_ten_thousand_bad_messages_are_counted_by_reason_and_bounded_on_disk(
    home: House, process: Process
) -> None:
    bad = list(hostile.all_of_them(seed=17))
    assert len(bad) == 10_000
    good = plants.message(1, [plants.item(plants.START + 900 * n, 250.0 * n) for n in range(4)], seq=1)
    send(home, [*bad[:5_000], good, *bad[5_000:]])
    process.step_until(lambda: sum(booked(process.state).values()) >= 10_004, wait_s=0.2)

    assert process.ingestor.is_ready
    assert booked(process.state) == {"quarantined": 10_000, "stored": 4}
    assert process.readings.count() == 4
    assert quarantined(process) == {
        reason.value: count for reason, (count, _) in sorted(hostile.WRONGS.items())
    }

    rows = entries(process)
    assert sum(row["count"] for row in rows) == 10_000  # folded, not forgotten
    assert len(rows) <= CAPS["quarantine_rows_total"] + FOLDS
    raws = {
        row["quarantine_id"]: process.state.quarantine_raw(row["quarantine_id"])[1] or b"" for row in rows
    }
    assert max(map(len, raws.values())) <= CAPS["raw_cap_message"]
    assert sum(map(len, raws.values())) <= CAPS["raw_cap_total"]
    by_device: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        by_device.setdefault((row["enterprise"], row["device"]), []).append(len(raws[row["quarantine_id"]]))
    assert max(sum(sizes) for sizes in by_device.values()) <= CAPS["raw_cap_device"]
    assert max(map(len, by_device.values())) <= CAPS["quarantine_rows_device"] + FOLDS
    assert any(size for sizes in by_device.values() for size in sizes)  # something is there to look at
    registered = {plants.credit_code(1), plants.credit_code(2)}
    assert set(process.state.ledger()["enterprise"]) == registered | {""}  # made-up names don't make it grow

    send(home, bad[:2_000])  # the same again: only counts grow
    process.step_until(lambda: sum(booked(process.state).values()) >= 12_004, wait_s=0.2)
    assert len(entries(process)) <= CAPS["quarantine_rows_total"] + FOLDS
    assert sum((home.folder / name).stat().st_size for name in ("state.db", "state.db-wal")) < 16_000_000


def with_meter(meter: str) -> Registry:
    """The registry after somebody has entered one meter more."""
    tables = plants.tables(2, 1)
    return registry_of(tables | {"points": [*tables["points"], plants.point_row(1, meter)]})


def replayed(process: Process, quarantine_id: int) -> Any:
    """The receipt of an entry's replay, asked for through the API."""
    api = process.api()
    upload = api.post(f"/v1/quarantine/{quarantine_id}/replay").json()["id"]
    process.step_until(lambda: process.state.inbox_size() == 0)
    return process.state.upload_receipt(upload)["receipt"][0]


def point_of(process: Process, meter: str) -> int:
    own = process.state.registry().points.filter(
        pl.col("meter") == meter, pl.col("enterprise") == plants.credit_code(1)
    )
    return int(own["point"].item())


def send_and_book(home: House, process: Process, message: Message, readings: int) -> None:
    before = sum(booked(process.state).values())
    send(home, [message])
    process.step_until(lambda: sum(booked(process.state).values()) == before + readings)


def test_an_unknown_point_is_stored_by_a_replay_once_it_is_registered(home: House, process: Process) -> None:
    told = [
        plants.item(plants.START, 5.0),
        plants.item(plants.START, 7.0, meter="07"),
        plants.item(plants.START, -1.0, meter="00", upload=NOW),
    ]
    send_and_book(home, process, plants.message(1, told, seq=1), 3)
    assert quarantined(process) == {"negative": 1, "unknown_point": 1}
    unknown = next(row for row in entries(process) if row["reason"] == Reason.UNKNOWN_POINT)
    assert unknown["indexes"] == (1,)

    again = replayed(process, unknown["quarantine_id"])  # too early: nobody has entered the point yet
    assert [item["reason"] for item in again["rejected"]] == ["unknown_point"]
    assert booked(process.state) == {"quarantined": 2, "stored": 1}

    process.state.save_registry(with_meter("07"), at=NOW)
    unknown = next(row for row in entries(process) if row["reason"] == Reason.UNKNOWN_POINT)
    process.step_until(lambda: not process.ingestor.step(wait_s=0.2))  # the next renewal brings the registry
    assert replayed(process, unknown["quarantine_id"])["stored"] == 1
    assert booked(process.state) == {
        "quarantined": 1,
        "stored": 2,
    }  # counts taken back, booked anew: still three
    assert process.readings.count() == 2
    assert quarantined(process) == {"negative": 1}
    kept = process.readings.scan([point_of(process, "07")], 0, NOW).collect()
    assert kept.select("ts", "version", "value").rows() == [(plants.START, plants.START + 60, 7_000_000)]
    assert process.api().get(f"/v1/quarantine/{unknown['quarantine_id']}").status_code == 404


def test_a_replay_never_beats_a_newer_version(home: House, process: Process) -> None:
    old = plants.message(1, [plants.item(plants.START, 7.0, meter="07")], seq=1)
    next_year = plants.message(
        1, [plants.item(plants.START + 900, 8.0, meter="07", upload=NOW + 366 * 86_400)], seq=2
    )
    send_and_book(home, process, old, 1)
    send_and_book(home, process, next_year, 1)
    ids = {row["sha256"]: row["quarantine_id"] for row in entries(process)}
    assert quarantined(process) == {"unknown_point": 2}

    home.clock.move_to(NOW + 600)
    process.state.save_registry(with_meter("07"), at=NOW)
    process.step_until(lambda: not process.ingestor.step(wait_s=0.2))
    newer = [plants.item(plants.START, 7.5, meter="07", upload=NOW + 500),
             plants.item(plants.START + 900, 8.5, meter="07", upload=NOW + 500)]  # fmt: skip
    send_and_book(home, process, plants.message(1, newer, seq=3), 2)
    receipts = [replayed(process, ids[key]) for key in sorted(ids)]
    # The second claimed to be of next year: its replay is of the instant at which it arrived.
    assert [receipt["superseded"] for receipt in receipts] == [1, 1]
    kept = process.readings.scan([point_of(process, "07")], 0, NOW).collect()
    assert kept["value"].to_list() == [7_500_000, 8_500_000]
    versions = process.readings.versions(kept.select("point", "ts"))["version"].to_list()
    assert versions == [plants.START + 60, NOW + 500, NOW, NOW + 500]
    assert booked(process.state) == {"stored": 2, "superseded": 2}
