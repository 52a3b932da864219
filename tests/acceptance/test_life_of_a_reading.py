"""The table "Life of a reading" of the architecture, walked line by line in one process, on real parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from nengshao.domain.alerts import AlertState
from nengshao.domain.readings import MICRO
from simulators.keeping import Patience
from tests.support import pacing, plants
from tests.support.house import House, booked, house, within_s

DAYS = 4


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    patience = Patience(60.0)  # so that nothing is sent twice
    with house(tmp_path, pacing.registry(), now=plants.START, patience=patience) as made:
        yield made


def test_a_reading_goes_from_its_publish_to_the_alert_that_an_inspector_fetches(home: House) -> None:
    process, devices = home.start(), home.devices()
    process.get_ready()
    home.clock.move_to(pacing.day_end(0))

    # 1  a data collector publishes per nengshao.wire, QoS 1, and keeps each message until its receipt
    unknown = pacing.outgoing(
        [pacing.read(1, "00"), plants.item(plants.START, 1.0, meter="99")], seq=900, at=0
    )
    sent = [*pacing.messages(0), unknown]
    assert devices.publish(sent) == len(sent) == 5
    assert devices.unreceipted == 5

    # 2  ingest.subscriber: the callback enqueues; nothing is booked or acknowledged yet
    assert within_s(10.0, lambda: process.subscriber.unacknowledged >= len(sent))
    assert process.in_flight >= len(sent)
    assert process.state.ledger().is_empty()
    assert process.readings.count() == 0

    # 3  nengshao.wire: topic and payload become columns. 4  ingest.screening: known enterprise and point, own
    #    topic, sane time and value, canonical unit; the rest to quarantine, with reason and raw bytes.
    # 5  ingest.batching: the intent, then the store write. 6  the booking, in one transaction.
    assert process.ingestor.step(wait_s=0.1)
    process.step_until(lambda: process.in_flight == 0)
    refused, raw = process.state.quarantine_raw(process.state.quarantine_page()[0]["quarantine_id"])
    assert (refused["reason"], refused["indexes"], refused["device"]) == (
        "unknown_point",
        (1,),
        plants.DEVICE,
    )
    assert raw == unknown.payload
    point = home.registry.points.filter(pl.col("meter") == "01")["point"].item()
    kept = process.readings.scan([point], plants.START, plants.START + 3600).collect()
    assert kept["ts"].to_list() == [plants.START + n * plants.CADENCE_S for n in range(4)]
    assert kept["value"].to_list() == [n * 100 * MICRO for n in range(4)]  # kWh, exact in 10⁻⁶
    assert process.state.open_intents(0) == []
    assert booked(process.state) == {"duplicate": 1, "quarantined": 1, "stored": pacing.readings_in(1)}
    assert process.readings.count() == pacing.readings_in(1)
    watermark = process.state.watermarks([point])["watermark"].item()
    assert watermark == plants.START + 86_400

    # 7  the acknowledgement, and one receipt per device and batch that says what became of each message
    assert devices.wait_receipted(5.0)
    told = devices.receipts
    assert told.messages == len(sent)
    assert told.stored == pacing.readings_in(1)
    assert told.duplicate == 1
    assert dict(told.rejected) == {"unknown_point": 1}

    # 8  analytics.cycle claims the dirty days and commits results, history and the clearing at once
    assert process.state.claim_dirty(0, 10)["day"].to_list() == [pacing.FIRST_DAY, pacing.FIRST_DAY + 1]
    report = process.assess()
    assert report.days == 2
    assert process.state.claim_dirty(0, 10).is_empty()
    day = process.state.enterprise_days(
        [pacing.ENTERPRISE], pacing.FIRST_DAY, pacing.FIRST_DAY + 1
    ).to_dicts()[0]
    assert day["calorific_g"] == pacing.DAILY_G
    assert day["published"]
    assert day["missing_w"] == day["estimated_w"] == day["pending_w"] == 0
    load = process.results.load(pacing.ENTERPRISE, plants.START, plants.START + 3600)
    assert sorted(load["amount"]) == [4 * 100_000, 4 * 150_000]  # Wh in the first hour, by incomer

    # 9  analytics.rules → lifecycle.advance: a breach waits for its hold, in event time, then fires
    alert = process.state.alerts_page()[0]
    assert (alert.rule, alert.state, alert.breached_s) == (pacing.RULE, AlertState.PENDING, 0)
    states = []
    for number in range(1, DAYS):
        home.clock.move_to(pacing.day_end(number))
        devices.publish(pacing.messages(number))
        process.ingest_all(devices)
        process.assess()
        states.append(process.state.alerts_page()[0].state)
    assert states == [AlertState.PENDING, AlertState.FIRING, AlertState.FIRING]

    # 10 nengshao.notify: the outbox is told once, and the log knows it
    process.pipeline.run_once()
    process.pipeline.run_once()
    assert len(home.notifier.deliveries) == 1
    assert "第 1 厂" in home.notifier.deliveries[0].subject
    assert process.state.was_told(alert.alert_id, "fired", home.notifier.name)
    assert process.state.undelivered(10) == []

    # 11 api: the inbox, and the same alert with rule, legal basis, figures, coverage and label
    api = process.api()
    inbox = api.get("/v1/alerts", state="firing").json()["alerts"]
    assert [found["id"] for found in inbox] == [alert.alert_id]
    shown = api.get(f"/v1/alerts/{alert.alert_id}").json()
    rule = process.law.rules[pacing.RULE]
    assert shown["rule_facts"]["threshold"] == rule.threshold
    assert shown["rule_facts"]["hold_s"] == pacing.HOLD_DAYS * 86_400
    assert shown["legal_basis"] == rule.legal_basis
    assert shown["coverage"] == 1.0
    assert shown["labels"] == ["不作为执法依据 / not a basis for enforcement"]  # the rule's basis is recalled
    figures = {figure["name"]: figure for figure in shown["figures"]}
    assert figures["value"]["value"] == pytest.approx(1.2, abs=1e-6)
    assert (figures["total"]["value"], figures["total"]["unit"]) == (3 * pacing.DAILY_G / 1e6, "tce")
    used, _due = shown["explanation"]["tree"]["children"]
    assert used["exact"] == sum(point["exact"] for point in used["children"]) == 3 * pacing.DAILY_G
    conversions = [part for point in used["children"] for part in point["children"]]
    factors = [factor for _, factor in (part["children"] for part in conversions)]
    assert {factor["facts"]["fraction"] for factor in factors} == {"1229/10000"}
    assert [step["after"] for step in shown["history"]] == ["pending", "firing"]
    ledger = api.get("/v1/ledger", proof="true").json()
    assert ledger["balanced"]
    assert ledger["proof"]["is_equal"]
    assert ledger["in_flight"] == 0
    assert ledger["totals"]["stored"] == pacing.readings_in(DAYS) == process.readings.count()

    devices.close()
    process.close()
