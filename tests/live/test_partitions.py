"""Several partitions and several processes: they share them, outlive each other, and change their number."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from nengshao.domain.codes import partition_of
from simulators.publisher import DevicePublisher
from tests.live.test_succession import answers, pause_between_transactions
from tests.support import plants
from tests.support.order import Paced, Witness, has_session
from tests.support.site import PROGRAM, Process, Site, open_site
from tests.support.traffic import Stream, Traffic, assert_exactly_once, streaming, traffic

pytestmark = pytest.mark.live

CHANCE = random.SystemRandom()
ENTERPRISES, METERS, DAYS = 13, 2, 2  # 2 509 messages, 5 018 readings
LEASE_S = 3.0
RATE = 60.0  # messages a second while things happen
PATIENCE_S = 20.0


def settings(protocol: str = "5") -> dict[str, Any]:
    return {
        "ingest": {"batch_rows": 500, "lease_ttl_s": LEASE_S},
        "assess": {"interval_s": 2.0},
        "notify": {"channels": []},
        "mqtt": {"protocol": protocol},
    }


@dataclass(frozen=True)
class Running:
    """A site under a stream, with all who listen to it."""

    site: Site
    sent: Traffic
    paced: Paced
    stream: Stream
    devices: DevicePublisher
    witness: Witness

    def ingest(self, name: str) -> Process:
        process = self.site.start(name, "ingest,serve")
        process.wait_ready()
        return process

    def wait_held(self, *processes: Process, counts: tuple[int, ...]) -> None:
        self.site.wait_until(lambda: held(*processes) == counts, f"they hold {counts}")

    def audit(self, server: Process) -> None:
        assert not self.stream.is_over
        self.paced.hurry()
        self.stream.join()
        assert_exactly_once(self.site, self.devices, server, self.sent)
        self.witness.assert_order(ENTERPRISES)


@contextmanager
def running(
    request: pytest.FixtureRequest, folder: Path, *, partitions: int, mortal: str = "", protocol: str = "5"
) -> Iterator[tuple[Running, Process]]:
    """Traffic on its way to a first ingestor that holds every partition."""
    sent = traffic(CHANCE.randrange(10**6), enterprises=ENTERPRISES, meters=METERS, days=DAYS)
    paced = Paced(sent.messages, RATE)
    with open_site(request, folder, mortal=mortal, anchor=sent.end + 7200, **settings(protocol)) as site:
        site.register(plants.tables(ENTERPRISES, METERS), partitions)
        first = site.start("first", "ingest,serve")
        site.start("assess", "assess")
        site.wait_until(lambda: answers(first) and held(first) == (partitions,), "the first holds all")
        connected = "connected to the broker"
        site.wait_until(lambda: first.log_text().count(connected) >= partitions, "and is connected for each")
        time.sleep(1.0)  # it subscribes: what came sooner would be sent again, out of its order
        with (
            Witness(site.mosquitto, folder.name) as witness,
            site.devices(in_flight=10**6, patience_s=PATIENCE_S) as devices,
            streaming(site, devices, paced) as stream,
        ):
            try:
                yield Running(site, sent, paced, stream, devices, witness), first
            finally:
                paced.hurry()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_processes_share_partitions_and_succeed_each_other(
    request: pytest.FixtureRequest, tmp_path: Path, protocol: str
) -> None:
    with running(request, tmp_path, partitions=2, protocol=protocol) as (house, first):
        second = house.ingest("second")
        house.wait_held(first, second, counts=(1, 1))  # one has joined
        spare = house.ingest("spare")
        assert held(first, second, spare) == (1, 1, 0)
        first.kill()  # for good
        killed_at = time.monotonic()
        house.wait_held(second, spare, counts=(1, 1))
        assert time.monotonic() - killed_at < 3 * LEASE_S  # not what the devices send again
        pause_between_transactions(house.site, second)
        house.wait_held(spare, counts=(2,))
        second.resume()
        house.wait_held(second, spare, counts=(1, 1))  # awake, it finds itself succeeded and takes its share
        house.audit(spare)
        assert house.site.mosquitto.log_text().count("dropped") == 0
        assert (second.end(), spare.end()) == (0, 0)


def test_a_state_store_that_is_away_past_the_leases_leaves_everybody_what_he_had(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with running(request, tmp_path, partitions=2, mortal="postgres") as (house, first):
        second = house.ingest("second")
        house.wait_held(first, second, counts=(1, 1))
        before = names_held(first)
        postgres = request.getfixturevalue("killable_postgres")
        postgres.kill()
        time.sleep(1.5 * LEASE_S)
        postgres.start()
        house.wait_held(first, second, counts=(1, 1))
        house.audit(first)
        assert names_held(first) == before
        for process in (first, second):
            assert "has passed to another holder" not in after_join(process)
            assert process.end() == 0


def test_the_number_of_partitions_changes_under_load(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with running(request, tmp_path, partitions=1) as (house, first):
        second = house.ingest("second")
        said = house.site.command("repartition", "--to", "2")
        assert "已生效：2 个分区" in said
        house.wait_held(first, second, counts=(1, 1))
        kill_in_the_middle(house.site, "repartition", "--to", "3")
        assert "已生效：3 个分区" in house.site.command("repartition", "--to", "3")
        house.site.wait_until(lambda: sorted(held(first, second)) == [1, 2], "they share three")
        house.audit(first)
        clients = house.site.client_id
        assert not has_session(house.site.mosquitto, f"{clients}-0.0")
        assert not any(has_session(house.site.mosquitto, f"{clients}-1.{n}") for n in range(2))
        assert (first.end(), second.end()) == (0, 0)
        assert has_session(house.site.mosquitto, f"{clients}-2.0")


def kill_in_the_middle(site: Site, *arguments: str) -> None:
    """Start the command, and `kill -9` it at some moment after it has announced what it is about to do."""
    command = [str(PROGRAM), *arguments, "--settings", str(site.settings_file("operator"))]
    with subprocess.Popen(command, cwd=site.folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "已宣布" in process.stdout.readline()
        time.sleep(CHANCE.uniform(0.0, 1.5))
        process.kill()


def held(*processes: Process) -> tuple[int, ...]:
    """How many partitions each holds; -1: it puts itself together anew, and does not answer meanwhile."""
    return tuple(_held(process) for process in processes)


def _held(process: Process) -> int:
    try:
        return int(process.metric("nengshao_lease_held", kind="ingest"))
    except httpx.TransportError:
        return -1


def names_held(process: Process) -> Mapping[int, float]:
    return {n: process.metric("nengshao_lease_held", kind="ingest", partition=str(n)) for n in range(2)}


def after_join(process: Process) -> str:
    """Its log after the other one had got its share."""
    return process.log_text().rpartition("a store is away")[2]


def test_the_enterprises_of_the_traffic_are_in_every_partition() -> None:
    codes = [plants.credit_code(n) for n in range(1, ENTERPRISES + 1)]
    for count in (1, 2, 3):
        assert {partition_of(code, count) for code in codes} == set(range(count))
