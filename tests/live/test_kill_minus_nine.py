"""kill -9 in mid-stream, of the ingestor and of each server it stands on: nothing lost, nothing double."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import plants
from tests.support.site import open_site
from tests.support.traffic import assert_exactly_once, streaming, traffic

pytestmark = pytest.mark.live

CHANCE = random.SystemRandom()  # any moment must do; pytest-randomly would choose the same ones again
KILLS = (0.08, 0.2, 0.35, 0.5, 0.65, 0.8)
MANY_COMMITS = {"batch_rows": 400, "lease_ttl_s": 1.5}  # to be killed between, and soon succeeded
SETTINGS: dict[str, Any] = {
    "ingest": MANY_COMMITS,
    "assess": {"interval_s": 2.0},
    "notify": {"channels": []},
}


def test_ingestor_killed_again_and_again_loses_nothing_and_counts_nothing_twice(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    sent = traffic(1, enterprises=13, meters=8, days=5)  # 50 024 readings
    with open_site(request, tmp_path, anchor=sent.end + 7200, **SETTINGS) as site:
        site.register(plants.tables(13, 8))
        site.start("assess", "assess")
        ingest = site.start("ingest", "ingest,serve")
        with site.devices(in_flight=300) as devices, streaming(site, devices, sent.messages) as stream:
            for share in KILLS:
                stream.wait_share(share)
                time.sleep(CHANCE.uniform(0.0, 0.2))
                assert not stream.is_over
                assert devices.unreceipted
                ingest.kill()
                ingest = site.start("ingest", "ingest,serve")
            stream.join()
            ingest.wait_ready()
            assert_exactly_once(site, devices, ingest, sent)
        assert "session resumed" in ingest.log_text()
        assert ingest.end() == 0


@pytest.mark.parametrize("server", ["mosquitto", "influx", "postgres"])
def test_server_killed_in_mid_stream_costs_time_and_nothing_else(
    request: pytest.FixtureRequest, tmp_path: Path, server: str
) -> None:
    sent = traffic(2, enterprises=13, meters=8, days=3)  # 30 056 readings
    with open_site(request, tmp_path, mortal=server, anchor=sent.end + 7200, **SETTINGS) as site:
        site.register(plants.tables(13, 8))
        whole = site.start("whole", "ingest,assess,serve")
        mortal = request.getfixturevalue(f"killable_{server}")
        with site.devices(in_flight=300) as devices, streaming(site, devices, sent.messages) as stream:
            stream.wait_share(CHANCE.uniform(0.3, 0.6))
            assert not stream.is_over
            mortal.kill()
            time.sleep(CHANCE.uniform(0.5, 2.0))
            mortal.start()
            stream.join()
            assert_exactly_once(site, devices, whole, sent)
        assert whole.end() == 0
