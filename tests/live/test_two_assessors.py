"""Two assessment processes, one partition: the second takes over, the paused first then writes nothing."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from tests.live.test_succession import answers, pause_between_transactions
from tests.support import plants
from tests.support.site import Process, open_site
from tests.support.traffic import assert_exactly_once, streaming, traffic

pytestmark = pytest.mark.live

SETTINGS: dict[str, Any] = {
    "ingest": {"batch_rows": 1000},
    "assess": {"interval_s": 0.3, "lease_ttl_s": 8.0},
    "notify": {"channels": []},
}


def test_assessor_that_was_only_paused_is_succeeded_and_doubles_nothing(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    sent = traffic(6, enterprises=13, meters=4, days=4)
    with open_site(request, tmp_path, anchor=sent.end + 7200, **SETTINGS) as site:
        site.register(plants.tables(13, 4))
        ingest = site.start("ingest", "ingest,serve")
        site.wait_until(lambda: answers(ingest), "the books are open")
        first = site.start("first", "assess,serve")
        site.wait_until(lambda: answers(first) and holds(first) == 1, "the first holds the lease")
        second = site.start("second", "assess,serve")
        second.wait_ready()
        with site.devices(in_flight=300) as devices, streaming(site, devices, sent.messages) as stream:
            stream.wait_share(0.3)
            pause_between_transactions(site, first)
            site.wait_until(lambda: holds(second) == 1, "the second holds the lease")
            stream.wait_share(0.6)
            first.resume()
            stream.join()
            assert_exactly_once(site, devices, ingest, sent)
        site.wait_until(lambda: holds(second) + holds(first) == 1, "one of the two assesses")
        # Days were published as missing before their readings came. Each revision begins where the one before
        # it ended: nothing was written in between, by nobody.
        days = {date for _, date in sent.grams}
        span = {"from_": str(min(days)), "to": str(max(days) + dt.timedelta(days=1))}
        for code in sorted({code for code, _ in sent.grams}):
            last: dict[str, Any] = {}
            for revision in ingest.get(f"/v1/enterprises/{code}/revisions", **span)["revisions"]:
                before = revision["before"]["figures"]["enterprise_day"]
                assert last.get(revision["date"], before) == before
                last[revision["date"]] = revision["after"]["figures"]["enterprise_day"]
        assert (first.end(), second.end()) == (0, 0)


def holds(process: Process) -> float:
    return process.metric("nengshao_lease_held", kind="assess", partition="0")
