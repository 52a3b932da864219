"""Refusals of the real broker, counted from its own log: as many as were made, through rotations."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nengshao import cli
from nengshao.domain.time import day_number
from nengshao.stores.state import open_state
from tests.servers.mosquitto import Mosquitto
from tests.servers.server import LOOPBACK, free_port
from tests.support import plants
from tests.support.guarded import SERVICE, Guarded, connected, guarded_broker, session
from tests.support.site import PROGRAM

pytestmark = pytest.mark.live

ONE, TWO = plants.credit_code(1), plants.credit_code(2)
Counts = dict[tuple[str, str], int]


@pytest.fixture(params=[True, False], ids=["with debug lines", "without"])
def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Guarded]:
    if Mosquitto.find() is None:
        pytest.skip("mosquitto is not on this machine; `make servers` brings it")
    names = [f"{ONE}/d1", f"{TWO}/d1"]
    with guarded_broker(tmp_path / "site", plants.tables(2, 1), names, debug=request.param) as broker:
        yield broker


def test_as_many_are_counted_as_were_refused(guarded: Guarded) -> None:
    misbehave(guarded)
    count_once(guarded)
    count_once(guarded)  # again: nothing is counted twice
    assert counted(guarded) == {
        (ONE, "publish"): 2,
        (TWO, "publish"): 1,
        (ONE, "subscribe"): 1,
        (TWO, "oversize"): 1,
        ("", "connect"): 2,
    }


def test_counter_that_runs_follows_rotations_and_tells_prometheus(guarded: Guarded) -> None:
    with running_counter(guarded) as port:
        for rotation in range(1, 4):
            forge(guarded, f"{ONE}/d1")
            guarded.server.reload()  # puts the log aside
            forge(guarded, f"{TWO}/d1")
            wait_for(guarded, {(ONE, "publish"): rotation, (TWO, "publish"): rotation})
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/metrics") as answer:
            text = answer.read().decode()
    line = r'^nengshao_broker_denials_total{enterprise="(\w*)",kind="(\w+)"} (\S+)$'
    found = re.findall(line, text, re.MULTILINE)
    assert {(code, kind): float(count) for code, kind, count in found} == {
        (ONE, "publish"): 3.0,
        (TWO, "publish"): 3.0,
    }
    assert "nengshao_messages_total" not in text  # that is the ingestor's to say, or to be missed


def test_counter_that_was_killed_goes_on_where_its_books_stand(guarded: Guarded) -> None:
    with running_counter(guarded):
        forge(guarded, f"{ONE}/d1")
        wait_for(guarded, {(ONE, "publish"): 1})
    with session(guarded, f"{ONE}/d1") as long_connected:
        count_once(guarded)  # it has seen who that is, and ends
        long_connected.publish(f"nhjc/v1/{TWO}/d1/data", b"forged")
        guarded.server.reload()
        forge(guarded, f"{TWO}/d1")
    count_once(guarded)
    assert counted(guarded) == {(ONE, "publish"): 2, (TWO, "publish"): 1}


def test_log_may_come_by_a_pipe(guarded: Guarded) -> None:
    forge(guarded, f"{ONE}/d1")
    command = [PROGRAM, "broker-log", "-", "--port", "0", "--settings", guarded.settings]
    subprocess.run(command, input=guarded.server.log.read_bytes(), check=True, timeout=60)
    assert counted(guarded) == {(ONE, "publish"): 1}


def misbehave(guarded: Guarded) -> None:
    """Two forged messages of one, one of another; a greedy subscription; one too large; two strangers."""
    forge(guarded, f"{ONE}/d1")
    forge(guarded, f"{ONE}/d1")
    forge(guarded, f"{TWO}/d1")
    with session(guarded, f"{ONE}/d1", "nhjc/#", plants.topic(1, leaf="receipt")):
        pass
    with session(guarded, f"{TWO}/d1") as device:
        device.client.publish(plants.topic(2), b"x" * 1_100_000, qos=1)
        assert device.cut_off.wait(10)
    for name, password in (("nobody", "x"), (f"{ONE}/d1", "wrong")):
        with pytest.raises(ConnectionRefusedError), connected(guarded, name, password):
            pass
    with session(guarded, SERVICE, "nhjc/v1/+/+/data"), session(guarded, f"{ONE}/d1") as honest:
        honest.publish(plants.topic(1), b"{}")


def forge(guarded: Guarded, account: str) -> None:
    with session(guarded, account) as forger:
        forger.publish("nhjc/v1/somebody/else/data", b"forged")


def counted(guarded: Guarded) -> Counts:
    state = open_state(f"sqlite:///{guarded.folder / 'data' / 'state.db'}")
    state.migrate()
    frame = state.denials()
    state.close()
    today = day_number(dt.datetime.now(dt.timezone(dt.timedelta(hours=8))).date())
    assert set(frame["day"]) <= {today, today - 1}
    counts: Counter[tuple[str, str]] = Counter()
    for enterprise, kind, count in frame.select("enterprise", "kind", "count").iter_rows():
        counts[enterprise, kind] += count
    return dict(counts)


def count_once(guarded: Guarded) -> None:
    command = ["broker-log", str(guarded.server.log), "--once", "--port", "0"]
    done = CliRunner().invoke(cli.app, [*command, "--settings", str(guarded.settings)])
    assert done.exit_code == 0, done.output


@contextmanager
def running_counter(guarded: Guarded) -> Iterator[int]:
    """`nengshao broker-log` as a process, killed at the end; the port of its metrics."""
    port = free_port()
    command = [PROGRAM, "broker-log", guarded.server.log, "--port", str(port), "--settings", guarded.settings]
    with subprocess.Popen(command) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                with suppress(OSError), urllib.request.urlopen(f"http://{LOOPBACK}:{port}/metrics"):
                    break
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield port
        finally:
            process.kill()


def wait_for(guarded: Guarded, wanted: Counts) -> None:
    deadline = time.monotonic() + 30
    while (found := counted(guarded)) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
