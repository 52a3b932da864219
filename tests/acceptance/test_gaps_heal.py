"""Three hours are lost on their way: found, asked for, sent again, and the day's total is restated (补传)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from nengshao.domain.resends import MOST_IN_VAIN, Resend, ResendState
from nengshao.domain.time import DAY_S, accounting_day
from nengshao.registry_tables import registry_of
from simulators.archive import Archive
from simulators.keeping import Patience
from simulators.stream import Outgoing
from tests.support import plants
from tests.support.crash import Crash, Crashing
from tests.support.house import House, Process, house, within_s

Q = plants.CADENCE_S
ENTERPRISE = plants.credit_code(1)
DAY = accounting_day(plants.START)
A_DAY = 96  # quarters
LOST = range(41, 53)  # three hours, from 10:15 to 13:15
BESIDE = 2
"""Messages that came and are sent again: an amount stands a quarter before the register read it came with,
and one span is asked for."""
AMOUNT_KWH, REGISTER_KWH = 25, 10  # per quarter
TRUTH_KWH = A_DAY * (AMOUNT_KWH + REGISTER_KWH)
WH = 1000


def registry() -> Any:
    tables = plants.tables(1, 0)
    tables["points"] = [
        plants.point_row(1, "00", name="表", max_estimate_s="0"),
        plants.point_row(1, "01", name="量", kind="amount"),
    ]
    return registry_of(tables)


def made(quarter: int, kwh: float = AMOUNT_KWH) -> Outgoing:
    """The message that the device makes at the end of a quarter: what the register shows, what has flowed."""
    ts = plants.START + quarter * Q
    items = [plants.item(ts, float(quarter * REGISTER_KWH), upload=ts + 6)]
    if quarter:
        items.append(plants.item(ts - Q, float(kwh), meter="01", upload=ts + 6))
    sent = plants.message(1, items, quarter)
    return Outgoing(ENTERPRISE, plants.DEVICE, ts + 6, sent.topic, sent.payload, quarter)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path, registry(), now=plants.START, patience=Patience(60.0)) as made_:
        yield made_


def play(home: House, process: Process, devices: Any) -> None:
    """The day, less three hours, one clock hour after its end."""
    process.get_ready()
    home.clock.move_to(plants.START + DAY_S + 3600)
    devices.publish(made(n) for n in range(LOST.start))
    devices.lose(made(n) for n in LOST)
    devices.publish(made(n) for n in range(LOST.stop, A_DAY + 2))
    process.ingest_all(devices)


def journal(process: Process) -> list[Resend]:
    return list(reversed(process.state.resends(ENTERPRISE)))


def the_one(process: Process) -> Resend:
    [resend] = journal(process)
    return resend


def due(process: Process) -> None:
    """Let the time come at which the request is due."""
    process.home.clock.move_to(the_one(process).next_at)


def day_of(process: Process) -> dict[str, Any]:
    return process.state.enterprise_days([ENTERPRISE], DAY, DAY + 1).to_dicts()[0]


def measured_wh(process: Process) -> int:
    points = process.state.point_days([ENTERPRISE], DAY, DAY + 1)
    return int(points["amount"].sum())


def test_what_was_lost_is_asked_for_and_the_published_day_is_restated(home: House) -> None:
    process, devices = home.start(), home.devices(archive=Archive(home.folder / "archive.db"))
    play(home, process, devices)
    process.assess()
    before = day_of(process)
    assert before["published"]
    assert before["missing_w"] > 0
    # the register's is a block: how much is known, but not when
    unknown = len(LOST) * AMOUNT_KWH + (len(LOST) + 1) * REGISTER_KWH
    assert measured_wh(process) == (TRUTH_KWH - unknown) * WH

    found = the_one(process)
    assert (found.state, found.attempts, found.device) == (ResendState.OPEN, 0, plants.DEVICE)
    assert {gap.point: (gap.start, gap.end, gap.readings) for gap in found.gaps} == {
        point: (plants.START + (LOST.start - late) * Q, plants.START + (LOST.stop - late) * Q, len(LOST))
        for point, late in zip(points_of(home), (0, 1), strict=True)
    }
    assert found.next_at == home.clock.now() + 2 * Q + 60  # it may just be late
    process.step_until(lambda: process.in_flight == 0)
    assert the_one(process) == found

    due(process)
    process.step_until(lambda: the_one(process).state is ResendState.ASKED)
    assert the_one(process).missing == 2 * len(LOST)
    process.step_until(lambda: devices.receipts.stored == 2 * (A_DAY + 2) - 1)
    assert devices.receipts.duplicate <= 2 * BESIDE
    due(process)
    process.step_until(lambda: the_one(process).state is ResendState.FILLED)
    assert (the_one(process).attempts, the_one(process).missing) == (1, 0)

    process.assess()
    after = day_of(process)
    assert after["missing_w"] == after["estimated_w"] == 0
    assert measured_wh(process) == TRUTH_KWH * WH
    [revision] = process.state.revisions(ENTERPRISE, DAY, DAY + 1)
    assert revision["cause"] == "late_data"
    kept = process.readings.scan(points_of(home), plants.START, plants.START + DAY_S).collect()
    assert (kept["version"] - kept["ts"]).max() == Q + 6  # as it was made then, never younger
    [shown] = process.api().get(f"/v1/enterprises/{ENTERPRISE}/resends").json()["resends"]
    assert (shown["state"], shown["attempts"], shown["missing"]) == ("filled", 1, 0)
    devices.close()
    process.close()


def points_of(home: House) -> list[int]:
    """The register and the amount."""
    return home.registry.points.sort("meter")["point"].to_list()


def test_who_does_not_answer_is_asked_ever_less_often_and_given_up_at_last(home: House) -> None:
    process, devices = home.start(), home.devices()  # without an archive: it has forgotten at the PUBACK
    play(home, process, devices)
    pauses = []
    for attempt in range(1, 9):
        due(process)
        process.step_until(lambda n=attempt: the_one(process).attempts == n)
        pauses.append(the_one(process).next_at - home.clock.now())
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    for attempt in range(9, MOST_IN_VAIN + 1):
        due(process)
        process.step_until(lambda n=attempt: the_one(process).attempts == n)
    due(process)
    process.step_until(lambda: the_one(process).state is ResendState.GIVEN_UP)
    assert (the_one(process).attempts, the_one(process).missing) == (MOST_IN_VAIN, 2 * len(LOST))
    devices.close()
    process.close()


def test_a_device_that_is_away_is_not_asked_until_it_is_back(home: House) -> None:
    process, devices = home.start(), home.devices(archive=Archive(home.folder / "archive.db"))
    play(home, process, devices)
    devices.close()
    process.step_until(lambda: [s.state for s in process.state.device_statuses(ENTERPRISE)] == ["offline"])
    due(process)
    process.step_until(lambda: the_one(process).next_at == home.clock.now() + 60)
    assert (the_one(process).state, the_one(process).attempts) == (ResendState.OPEN, 0)
    home.clock.move_to(the_one(process).found_at + home.settings.resend_give_up_days * DAY_S)
    process.step_until(lambda: the_one(process).next_at == home.clock.now() + 60)
    again = home.devices(archive=Archive(home.folder / "archive.db"))
    again.publish([made(A_DAY + 2)])
    process.ingest_all(again)
    process.step_until(lambda: [s.state for s in process.state.device_statuses(ENTERPRISE)] == ["online"])
    due(process)
    process.step_until(lambda: again.receipts.messages == 1 + len(LOST) + BESIDE)
    due(process)
    process.step_until(lambda: the_one(process).state is ResendState.FILLED)
    again.close()
    process.close()


def test_what_comes_late_by_itself_is_never_asked_for(home: House) -> None:
    process, devices = home.start(), home.devices()
    play(home, process, devices)
    devices.publish(made(n) for n in LOST)
    process.ingest_all(devices)
    due(process)
    process.step_until(lambda: the_one(process).state is ResendState.FILLED)
    assert the_one(process).attempts == 0
    devices.close()
    process.close()


def test_who_answers_in_part_is_asked_on_until_the_days_are_over(home: House) -> None:
    process, devices = home.start(), home.devices()
    play(home, process, devices)
    for number in range(MOST_IN_VAIN - 1):
        due(process)
        process.step_until(lambda n=number: the_one(process).attempts == n + 1)
    devices.publish([made(LOST.start)])
    process.ingest_all(devices)
    due(process)
    process.step_until(lambda: the_one(process).attempts == MOST_IN_VAIN)
    assert (the_one(process).missing, the_one(process).in_vain) == (2 * len(LOST) - 2, 1)
    home.clock.move_to(the_one(process).found_at + home.settings.resend_give_up_days * DAY_S)
    process.step_until(lambda: the_one(process).state is ResendState.GIVEN_UP)
    devices.close()
    process.close()


def test_points_that_have_left_the_registry_are_not_asked_for(home: House) -> None:
    process, devices = home.start(), home.devices(archive=Archive())
    play(home, process, devices)
    process.state.save_registry(registry_of(plants.tables(1, 0)), at=home.clock.now())
    assert within_s(3.0, lambda: not process.ingestor.step(wait_s=1.2))  # the registry is noticed
    due(process)
    process.step_until(lambda: the_one(process).state is ResendState.GIVEN_UP)
    assert the_one(process).attempts == 0
    devices.close()
    process.close()


def test_what_came_and_was_refused_is_not_asked_for(home: House) -> None:
    process, devices = home.start(), home.devices()
    process.get_ready()
    home.clock.move_to(plants.START + DAY_S + 3600)
    for part in (range(LOST.start), LOST, range(LOST.stop, A_DAY)):  # a batch each
        devices.publish(made(n, kwh=99_999 if n in LOST else AMOUNT_KWH) for n in part)
        process.ingest_all(devices)
    assert devices.receipts.rejected == {"above_capacity": len(LOST)}
    assert journal(process) == []
    devices.close()
    process.close()


def test_a_gap_is_not_forgotten_by_a_process_that_dies_before_its_booking(home: House) -> None:
    def shows_the_gap(rows: pl.DataFrame, *_: Any) -> bool:
        return bool((rows["ts"] == plants.START + LOST.stop * Q).any())

    process = home.start(readings=lambda real: Crashing(real, "write", after=True, when=shows_the_gap))
    devices = home.devices()
    with pytest.raises(Crash):
        play(home, process, devices)
    process.die()
    process = home.start()
    process.get_ready()
    assert within_s(1.0, lambda: process.ingestor.is_ready)
    process.ingest_all(devices)
    assert [gap.readings for gap in the_one(process).gaps] == [len(LOST)] * 2
    devices.close()
    process.close()
