"""From the outbox to people: group → mute → already told? → deliver → log, over a real outbox."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nengshao.clock import SteppedClock
from nengshao.domain.errors import DeliveryDeferred, DeliveryRefused, StoreUnavailable
from nengshao.frames import PROGRESS
from nengshao.notify.console import ConsoleNotifier
from nengshao.notify.pipeline import MAX_PAUSE, Pause, Pipeline, Why, grouped
from nengshao.notify.recording import Delivery, RecordingNotifier
from nengshao.ports import JudgementCommit, Notice
from nengshao.stores.state import SqlStateStore
from nengshao.telemetry import Telemetry
from tests.support.state import A, B, leased, opened

NOW = 1_741_568_400


class Office:
    """An outbox, a pipeline over it, and the log of what was told."""

    def __init__(self, folder: Path, state: SqlStateStore) -> None:
        self.state = state
        self.telemetry = Telemetry()
        self.wecom, self.mail = RecordingNotifier("wecom"), RecordingNotifier("mail")
        self._file = folder / "state.db"
        self.start()

    def start(self, *channels: RecordingNotifier, muted: tuple[str, ...] = ()) -> None:
        """A new process: nothing remembered but what the outbox holds."""
        self.pipeline = Pipeline(
            self.state, channels or (self.wecom,), SteppedClock(NOW), self.telemetry, muted=muted
        )

    def put(self, *notices: Notice) -> None:
        commit = JudgementCommit(
            at=NOW, enterprises={}, progress=PROGRESS.empty(), alerts=(), transitions=(), explanations={},
            notices=notices,
        )  # fmt: skip
        self.state.commit_judgement(leased(self.state, "assess"), commit)

    def run(self, times: int = 1) -> list[int]:
        return [self.pipeline.run_once() for _ in range(times)]

    def log(self) -> list[tuple[str, str, str]]:
        """notice, channel, outcome in the order of the log."""
        query = "SELECT notice_id, channel, outcome FROM deliveries ORDER BY 1, delivery_id"
        with closing(sqlite3.connect(self._file)) as connection:
            return connection.execute(query).fetchall()

    def waiting(self) -> list[str]:
        return [notice.notice_id for notice in self.state.undelivered(100)]

    def told(self, channel: str, outcome: str) -> float:
        value = self.telemetry.registry.get_sample_value(
            "nengshao_notices_total", {"channel": channel, "outcome": outcome}
        )
        return value or 0.0


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with opened(f"sqlite:///{tmp_path / 'state.db'}") as state:
        yield Office(tmp_path, state)


def notice(number: int, **fields: Any) -> Notice:
    given: dict[str, Any] = {
        "notice_id": f"n{number}", "alert_id": f"alert-{number}", "enterprise": A, "group": f"g{number}",
        "reason": "fired", "subject": f"预警 {number}", "body": f"正文 {number}", "made_at": NOW,
    }  # fmt: skip
    return Notice(**given | fields)


def test_a_notice_is_told_once_and_leaves_the_outbox(office: Office) -> None:
    office.put(notice(1))
    assert office.run(3) == [1, 0, 0]
    assert office.wecom.deliveries == [Delivery("预警 1", "正文 1")]
    assert office.log() == [("n1", "wecom", "delivered")]
    assert office.waiting() == []
    assert office.told("wecom", "delivered") == 1


def test_notices_of_one_group_are_one_message(office: Office) -> None:
    office.put(notice(1, group="g"), notice(2), notice(3, group="g"))
    assert office.run() == [3]
    subjects = [message.subject for message in office.wecom.deliveries]
    assert subjects == ["2 条通知 / 2 notices：预警 1", "预警 2"]
    assert office.wecom.deliveries[0].body == "预警 1\n正文 1\n\n预警 3\n正文 3"
    assert office.told("wecom", "delivered") == 3


def test_a_muted_enterprise_is_not_told_and_its_notices_end(office: Office) -> None:
    office.start(muted=(A,))
    office.put(notice(1, group="g"), notice(2, group="g", enterprise=B))
    assert office.run() == [2]
    assert [message.subject for message in office.wecom.deliveries] == ["预警 2"]
    assert office.log() == [("n1", "wecom", "muted"), ("n2", "wecom", "delivered")]


def test_a_step_that_was_told_before_is_not_told_again(office: Office) -> None:
    office.put(notice(1))
    office.run()
    office.put(notice(2, alert_id="alert-1"), notice(3, alert_id="alert-1", reason="resolved"))
    assert office.run() == [2]
    assert [message.subject for message in office.wecom.deliveries] == ["预警 1", "预警 3"]
    assert ("n2", "wecom", "muted") in office.log()


def test_a_channel_that_is_busy_keeps_the_notice_until_it_takes_it(office: Office) -> None:
    office.wecom.defer()
    office.put(notice(1))
    assert office.run() == [0]
    assert office.waiting() == ["n1"]
    office.wecom.accept()
    assert office.run() == [1]
    assert office.log() == [("n1", "wecom", "deferred"), ("n1", "wecom", "delivered")]
    assert (office.told("wecom", "deferred"), office.told("wecom", "delivered")) == (1, 1)


def test_a_channel_that_stays_busy_is_asked_ever_more_rarely(office: Office) -> None:
    office.wecom.defer()
    office.put(notice(1), notice(2))
    asked = []
    for _ in range(16):
        before = office.wecom.attempts
        office.run()
        asked.append(office.wecom.attempts - before)
    assert asked == [1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]


def test_the_pause_of_a_channel_is_bounded_and_ends_with_its_answer() -> None:
    pause = Pause()
    for _ in range(40):
        pause.note_deferral("wecom")
    runs = 0
    while pause.is_paused("wecom"):
        pause.begin_run()
        runs += 1
    assert runs == MAX_PAUSE
    pause.note_answer("wecom")
    pause.note_deferral("wecom")
    pause.begin_run()
    assert not pause.is_paused("wecom")
    assert not pause.is_paused("mail")


def test_a_channel_that_refuses_ends_the_notice(office: Office) -> None:
    office.wecom.refuse()
    office.put(notice(1))
    assert office.run(2) == [1, 0]
    assert office.wecom.attempts == 1
    assert office.log() == [("n1", "wecom", "refused")]
    assert office.told("wecom", "refused") == 1


def test_every_channel_is_told(office: Office) -> None:
    office.start(office.wecom, office.mail)
    office.put(notice(1))
    assert office.run() == [1]
    assert office.wecom.deliveries == office.mail.deliveries == [Delivery("预警 1", "正文 1")]
    assert office.log() == [("n1", "wecom", "delivered"), ("n1", "mail", "delivered")]


def test_while_one_channel_is_busy_the_other_is_told_once_and_the_notice_waits(office: Office) -> None:
    office.start(office.wecom, office.mail)
    office.mail.defer()
    office.put(notice(1))
    assert office.run(3) == [0, 0, 0]
    assert office.waiting() == ["n1"]
    assert office.wecom.attempts == 1
    office.mail.accept()
    assert sum(office.run(4)) == 1
    assert (office.wecom.attempts, len(office.mail.deliveries)) == (1, 1)
    assert office.waiting() == []


def test_one_channel_that_refuses_does_not_keep_the_other_from_being_told(office: Office) -> None:
    office.start(office.wecom, office.mail)
    office.wecom.refuse()
    office.put(notice(1))
    assert office.run(2) == [1, 0]
    assert len(office.mail.deliveries) == 1
    assert office.state.was_told("alert-1", "fired", "mail")
    assert not office.state.was_told("alert-1", "fired", "wecom")


def test_new_notices_get_through_however_many_wait_for_a_busy_channel(office: Office) -> None:
    office.start(office.wecom, office.mail)
    office.mail.defer()
    office.put(*(notice(n) for n in range(600)))
    office.run(2)
    office.put(notice(1000))
    office.run(2)
    assert office.wecom.deliveries[-1] == Delivery("预警 1000", "正文 1000")
    assert len(office.wecom.deliveries) == 601


def test_a_process_that_is_started_again_tells_what_still_waits(office: Office) -> None:
    office.wecom.defer()
    office.put(notice(1), notice(2))
    office.run()
    office.wecom.accept()
    office.start()
    assert office.run(2) == [2, 0]
    assert len(office.wecom.deliveries) == 2


def test_without_a_channel_notices_wait(office: Office) -> None:
    office.pipeline = Pipeline(office.state, (), SteppedClock(NOW), office.telemetry)
    office.put(notice(1))
    assert office.run() == [0]
    assert office.waiting() == ["n1"]


class ForgetfulOutbox:
    """An outbox whose log is away for the first few writes."""

    def __init__(self, outbox: SqlStateStore, failures: int) -> None:
        self._outbox, self._failures = outbox, failures

    def undelivered(self, limit: int) -> list[Notice]:
        return self._outbox.undelivered(limit)

    def was_told(self, alert_id: str, reason: str, channel: str) -> bool:
        return self._outbox.was_told(alert_id, reason, channel)

    def log_delivery(self, notice_id: str, channel: str, outcome: str, detail: str, at: int) -> None:
        if self._failures:
            self._failures -= 1
            raise StoreUnavailable("away")
        self._outbox.log_delivery(notice_id, channel, outcome, detail, at)


def test_what_could_not_be_logged_is_not_told_twice(office: Office) -> None:
    outbox = ForgetfulOutbox(office.state, failures=1)
    office.pipeline = Pipeline(outbox, (office.wecom,), SteppedClock(NOW), office.telemetry)
    office.put(notice(1))
    with pytest.raises(StoreUnavailable):
        office.run()
    assert office.run() == [1]
    assert office.wecom.attempts == 1
    assert office.log() == [("n1", "wecom", "delivered")]


def test_the_log_says_why_nothing_was_delivered(office: Office, tmp_path: Path) -> None:
    office.wecom.refuse()
    office.put(notice(1))
    office.run()
    with closing(sqlite3.connect(tmp_path / "state.db")) as connection:
        (detail,) = connection.execute("SELECT detail FROM deliveries").fetchone()
    assert detail == "channel_refused 渠道拒收: wecom was told to fail"


def test_every_reason_has_its_chinese_text() -> None:
    assert all(why.zh for why in Why)


def test_groups_keep_the_order_of_their_oldest_notice() -> None:
    groups = grouped([notice(1, group="b"), notice(2, group="a"), notice(3, group="b")])
    assert [[item.notice_id for item in group] for group in groups] == [["n1", "n3"], ["n2"]]


def test_the_console_writes_one_block_per_message() -> None:
    stream = io.StringIO()
    ConsoleNotifier(stream).deliver("甲厂用能超前 / ahead", "第一行\nsecond line")
    assert stream.getvalue() == "【通知 / notice】甲厂用能超前 / ahead\n  第一行\n  second line\n\n"


class BusyStream(io.StringIO):
    """A terminal that cannot take anything just now."""

    def write(self, text: str) -> int:
        raise BlockingIOError(f"{len(text)} characters too many")


def test_the_console_is_standard_output_unless_told_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    ConsoleNotifier().deliver("a", "b")
    assert capsys.readouterr().out == "【通知 / notice】a\n  b\n\n"


def test_runs_at_the_same_time_tell_a_notice_once(office: Office) -> None:
    office.put(*(notice(n) for n in range(20)))
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda _: office.pipeline.run_once(), range(4)))
    assert sum(ended) == len(office.wecom.deliveries) == 20


def test_a_closed_console_refuses_and_a_busy_one_asks_to_come_back() -> None:
    closed = io.StringIO()
    closed.close()
    with pytest.raises(DeliveryRefused):
        ConsoleNotifier(closed).deliver("a", "b")
    with pytest.raises(DeliveryDeferred):
        ConsoleNotifier(BusyStream()).deliver("a", "b")
