"""Two ingest processes, one partition: one holds the lease, the other takes it over with the queue."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import plants
from tests.support.site import Process, Site, open_site
from tests.support.traffic import assert_exactly_once, streaming, traffic

pytestmark = pytest.mark.live

CHANCE = random.SystemRandom()
LEASE_S = 2.0
PATIENCE_S = 30.0  # far longer than a succession: what arrives sooner was not sent again by its device
SETTINGS: dict[str, Any] = {
    "ingest": {"batch_rows": 1000, "lease_ttl_s": LEASE_S},
    "assess": {"interval_s": 2.0},
    "notify": {"channels": []},
}


def test_spare_takes_over_a_dead_holders_lease_and_its_queue_at_the_broker(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    sent = traffic(3, enterprises=13, meters=4, days=4)  # 20 020 readings
    with open_site(request, tmp_path, anchor=sent.end + 7200, **SETTINGS) as site:
        holder, spare = holder_and_spare(site, plants.tables(13, 4))
        # No device waits for receipts: what the dead holder leaves behind waits at the broker.
        with site.devices(in_flight=10**6, patience_s=PATIENCE_S) as devices:
            with streaming(site, devices, sent.messages) as stream:
                stream.wait_share(0.3)
                assert (holds(holder), holds(spare)) == (1, 0)
                holder.kill()
                killed_at = time.monotonic()
            site.wait_until(lambda: holds(spare) == 1, "the spare holds the lease")
            site.wait_until(lambda: totals(spare)["stored"] == sent.readings, "everything is in the books")
            assert time.monotonic() - killed_at < PATIENCE_S
            assert "session resumed" in spare.log_text()
            again = site.start(holder.name, "ingest,serve")  # the dead one comes back: now it is the spare
            again.wait_ready()
            assert_exactly_once(site, devices, spare, sent)
            assert (holds(spare), holds(again)) == (1, 0)


def test_holder_that_was_only_paused_finds_itself_succeeded_and_writes_nothing_twice(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    sent = traffic(4, enterprises=13, meters=4, days=4)
    with open_site(request, tmp_path, anchor=sent.end + 7200, **SETTINGS) as site:
        holder, spare = holder_and_spare(site, plants.tables(13, 4))
        with site.devices(in_flight=300) as devices, streaming(site, devices, sent.messages) as stream:
            stream.wait_share(0.3)
            pause_between_transactions(site, holder)
            site.wait_until(lambda: holds(spare) == 1, "the spare holds the lease")
            stream.wait_share(0.6)
            holder.resume()
            stream.join()
            assert_exactly_once(site, devices, spare, sent)
            assert (holds(spare), holds(holder)) == (1, 0)
        assert (holder.end(), spare.end()) == (0, 0)


def test_what_a_dead_holder_had_spooled_is_sent_again_and_its_spool_then_changes_nothing(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    sent = traffic(5, enterprises=13, meters=4, days=3)
    with open_site(request, tmp_path, mortal="influx", anchor=sent.end + 7200, **SETTINGS) as site:
        holder, spare = holder_and_spare(site, plants.tables(13, 4))
        with site.devices(in_flight=300) as devices, streaming(site, devices, sent.messages) as stream:
            stream.wait_share(0.3)
            site.influx.kill()
            site.wait_until(lambda: spooled(holder) > 100, "the holder spools")
            before = devices.receipts.messages
            time.sleep(0.5)
            assert devices.receipts.messages == before  # the spool permits no receipt
            holder.kill()
            site.influx.start()
            stream.join()  # the spare books what the devices send again: the spool lies on a dead machine
            assert_exactly_once(site, devices, spare, sent)
            duplicates = totals(spare)["duplicate"]
            again = site.start(holder.name, "ingest,serve")  # the machine is back, as the spare
            again.wait_ready()
            site.wait_until(lambda: spooled(again) == 0, "its spool is handed over")
            site.wait_until(lambda: totals(spare)["duplicate"] > duplicates, "its messages are duplicates")
            assert_exactly_once(site, devices, spare, sent)


def holder_and_spare(site: Site, tables: dict[str, list[dict[str, str]]]) -> tuple[Process, Process]:
    """Two ingest processes of one partition, the first of which holds the lease; and one that assesses."""
    site.register(tables)
    first = site.start("first", "ingest,serve")
    site.wait_until(lambda: answers(first) and holds(first) == 1, "the first holds the lease")
    second = site.start("second", "ingest,serve")
    site.start("assess", "assess")
    second.wait_ready()
    return first, second


def pause_between_transactions(site: Site, holder: Process) -> None:
    """In a transaction it would keep the lease's row locked until PostgreSQL ends its session, after 30 s."""
    holder.pause()
    time.sleep(0.3)
    while site.transactions_standing():
        holder.resume()
        time.sleep(CHANCE.uniform(0.0, 0.1))
        holder.pause()
        time.sleep(0.3)


def answers(process: Process) -> bool:
    process.wait_ready()
    return True


def holds(process: Process) -> float:
    return process.metric("nengshao_lease_held", kind="ingest", partition="0")


def spooled(process: Process) -> float:
    return process.metric("nengshao_in_flight", place="spool")


def totals(process: Process) -> dict[str, int]:
    found: dict[str, int] = process.get("/v1/ledger")["totals"]
    return found
