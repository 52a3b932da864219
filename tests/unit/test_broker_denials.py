"""Lines of Mosquitto's log, and what of them is a refusal. Lines as 2.0.11 wrote them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from nengshao.broker.denials import Denial, LogReader
from nengshao.domain.denials import DenialKind
from nengshao.domain.time import accounting_day

AT = "2026-11-21T18:34:14+0000"
DAY = accounting_day(1_795_286_054)
CONNECTED = "New client connected from 127.0.0.1:35315 as gw (p2, c1, k60, u'E1/d1')."
DENIED = "Denied PUBLISH from gw (d0, q1, r0, m5, 'nhjc/v1/E2/d1/data', ... (6 bytes))"
CUT_OFF = "Bad socket read/write on client gw: Unknown error."
OWN = Denial(DAY, DenialKind.PUBLISH, "E1/d1")


def read(*texts: str) -> list[Denial]:
    reader = LogReader(service="nengshao")
    return found(reader, texts)


def found(reader: LogReader, texts: Iterable[str]) -> list[Denial]:
    return [denial for text in texts if (denial := reader.read(f"{AT}: {text}\n")) is not None]


def test_refused_message_is_its_account_s_and_counts_once_though_its_connection_ends_for_it() -> None:
    assert read(CONNECTED, DENIED, "Sending PUBACK to gw (m5, rc135)", CUT_OFF) == [OWN]
    assert read(CONNECTED, CUT_OFF) == [OWN]  # without debug lines
    assert read(CONNECTED, DENIED, CONNECTED, CUT_OFF) == [OWN, OWN]  # two connections, two messages
    assert read(CONNECTED, DENIED, DENIED) == [OWN, OWN]


@pytest.mark.parametrize(
    ("text", "kind", "account"),
    [
        ("Client <unknown> disconnected, not authorised.", DenialKind.CONNECT, ""),
        ("Client gw disconnected, not authorised.", DenialKind.CONNECT, "E1/d1"),
        ("Client connection from 10.0.0.1 failed: error:0A00010B:SSL routines::wrong version number.",
         DenialKind.CONNECT, ""),
        ("Client gw disconnected due to oversize packet.", DenialKind.OVERSIZE, "E1/d1"),
        ("Dropped too large PUBLISH from gw (d0, q1, r0, m2, 'a', ... (9 bytes))",
         DenialKind.OVERSIZE, "E1/d1"),
        ("Client <unknown> disconnected due to protocol error.", DenialKind.MALFORMED, ""),
        ("Client gw disconnected due to malformed packet.", DenialKind.MALFORMED, "E1/d1"),
        ("gw 1 #", DenialKind.SUBSCRIBE, "E1/d1"),
        ("gw 0 nhjc/v1/E2/d1/receipt", DenialKind.SUBSCRIBE, "E1/d1"),
        ("gw 1 nhjc/v1/E1/d2/receipt", DenialKind.SUBSCRIBE, "E1/d1"),
        ("gw 1 nhjc/v1/E1/d1/data", DenialKind.SUBSCRIBE, "E1/d1"),
    ],
)  # fmt: skip
def test_what_a_line_refuses(text: str, kind: DenialKind, account: str) -> None:
    assert read(CONNECTED, text) == [Denial(DAY, kind, account)]


@pytest.mark.parametrize(
    "text",
    [
        CONNECTED,
        "Client gw disconnected.",
        "Client gw has exceeded timeout, disconnecting.",
        "Client gw closed its connection.",
        "Received PUBLISH from gw (d0, q1, r0, m1, 'nhjc/v1/E1/d1/data', ... (3 bytes))",
        "gw 1 nhjc/v1/E1/d1/receipt",
        "gw 1 nhjc/v1/E1/d1/+",
        "Bad socket read/write on client gw: Connection reset by peer.",
        "stranger 1 #",
        "Client connection from 127.0.0.1 failed: error:0A000126:SSL routines::unexpected eof while reading.",
        "Saving in-memory database to /tmp/mosquitto.db.",
    ],
)
def test_what_is_no_refusal(text: str) -> None:
    assert read(CONNECTED, text) == []


def test_service_may_listen_to_everybody_and_a_collector_to_its_enterprise() -> None:
    service = "New client connected from 127.0.0.1:1 as ingest (p5, c0, k30, u'nengshao')."
    collector = "New client connected from 127.0.0.1:1 as ingest (p5, c0, k30, u'E1')."
    assert read(service, "ingest 1 nhjc/v1/+/+/data") == []
    assert read(collector, "ingest 1 nhjc/v1/E1/+/receipt", "ingest 1 nhjc/v1/E1/d9/command") == []
    assert len(read(collector, "ingest 1 nhjc/v1/E2/+/receipt", "ingest 1 nhjc/v1/+/+/command")) == 2


def test_client_cannot_write_the_log_s_own_lines_by_what_it_calls_itself_and_subscribes_to() -> None:
    name = "New client connected from 1.2.3.4:5 as victim"
    mine = f"New client connected from 127.0.0.1:1 as {name} (p2, c1, k60, u'E1/d1')."
    forged = f"{name} 1 x (p2, c1, k60, u'E2/d1')."  # reads like a connection of E2's
    again = "New client connected from 127.0.0.1:1 as victim 1 x (p2, c1, k60, u'E1/d1')."
    denied = "Denied PUBLISH from victim 1 x (d0, q1, r0, m5, 'a', ... (6 bytes))"
    assert read(mine, again, forged, denied) == [Denial(DAY, DenialKind.SUBSCRIBE, "E1/d1"), OWN]


def test_id_that_holds_the_log_s_words_keeps_its_account() -> None:
    odd = "gw (p2, c1, k60, u'E2/d1')"
    connected = f"New client connected from 127.0.0.1:1 as {odd} (p2, c1, k60, u'E1/d1')."
    assert read(connected, DENIED.replace("gw", odd)) == [OWN]


@pytest.mark.parametrize("line", ["", "\x00\xff", "no time: x", f"{AT}", "1795286054 x", "99999: Client"])
def test_line_that_cannot_be_read_says_nothing(line: str) -> None:
    assert LogReader().read(line) is None


def test_times_may_be_mosquitto_s_own_seconds() -> None:
    reader = LogReader()
    assert reader.read("1795286054: Client <unknown> disconnected, not authorised.") == Denial(
        DAY, DenialKind.CONNECT, ""
    )
