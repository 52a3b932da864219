"""Lost readings are asked for through Mosquitto and come back; a killed ingestor does not forget the gap."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nengshao.domain.time import DAY_S
from simulators.archive import Archive
from simulators.stream import Outgoing
from tests.support import plants
from tests.support.site import Process, open_site

pytestmark = pytest.mark.live

Q = plants.CADENCE_S
METERS = 3
LOST = range(41, 53)  # three hours
A_DAY = 96
RATE = 300.0  # the grace of two cadences takes six seconds
SETTINGS: dict[str, Any] = {"ingest": {"lease_ttl_s": 2.0}, "notify": {"channels": []}}


def made(quarters: range) -> Iterator[Outgoing]:
    """What the device makes at these quarters of the first day."""
    for quarter in quarters:
        ts = plants.START + quarter * Q
        items = [plants.item(ts, quarter * 10.0 + m, meter=f"{m:02d}") for m in range(METERS)]
        sent = plants.message(1, items, quarter)
        yield Outgoing(plants.credit_code(1), plants.DEVICE, ts + 60, sent.topic, sent.payload, quarter)


def resends(process: Process) -> list[dict[str, Any]]:
    found = process.get(f"/v1/enterprises/{plants.credit_code(1)}/resends")["resends"]
    return list(found)


def test_what_mosquitto_never_got_is_asked_for_even_by_a_successor(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    anchor = plants.START + DAY_S + 3600
    with open_site(request, tmp_path, anchor=anchor, rate=RATE, **SETTINGS) as site:
        site.register(plants.tables(1, METERS))
        first = site.start("one", "ingest,serve")
        first.wait_ready()
        with site.devices(archive=Archive(tmp_path / "archive.db"), patience_s=30.0) as devices:
            devices.publish(made(range(LOST.start)))
            devices.lose(made(LOST))
            devices.publish(made(range(LOST.stop, A_DAY)))
            assert devices.wait_receipted(20)
            [gap] = resends(first)
            assert [row["readings"] for row in gap["gaps"]] == [len(LOST)] * METERS
            first.kill()
            second = site.start("two", "ingest,serve")
            second.wait_ready()
            site.wait_until(lambda: resends(second)[0]["state"] == "filled", "the gap is filled")
            assert resends(second)[0]["attempts"] >= 1
            stored = site.stored_readings()
            assert stored.select("point", "time").n_unique() == METERS * A_DAY
            ledger = second.get("/v1/ledger", proof="true")
            assert ledger["proof"]["is_equal"]
            assert ledger["totals"]["stored"] == METERS * A_DAY
            [device] = second.get(f"/v1/enterprises/{plants.credit_code(1)}/devices")["devices"]
            assert device["status"] == "online"
            assert device["clock_skew_s"] < 0  # what it sent had been made some hours before
