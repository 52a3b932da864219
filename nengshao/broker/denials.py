"""What Mosquitto refused, read from its log: lines of versions 2.0 and later, with or without debug lines.

A line names a client id, which its client chose; whose account it is, the line of its connection says.
Refused messages are debug lines. Mosquitto 2.0.11 with `max_queued_messages 0` ends a connection after a
message that it refused, which is a notice: a refusal that has both lines counts once. A subscription is never
refused by Mosquitto's own rules, only fruitless: one beyond the account's own topics is counted.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from nengshao.domain.denials import DenialKind
from nengshao.domain.time import accounting_day
from nengshao.wire import COMMAND, RECEIPT, ROOT

_MOST_CLIENTS: Final = 100_000  # connections that are remembered: far above what a broker bears
_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[+-]\d\d:?\d\d|Z)|\d{9,11}): (.*)", re.DOTALL)
_CONNECTED: Final = re.compile(r"New client connected from \S+ as (.*) \(p\d+, c\d, k\d+(?:, u'(.*)')?\)\.")
_DENIED: Final = re.compile(r"Denied PUBLISH from (.*) \(d\d, q\d, r\d, m\d+, '.*', \.\.\. \(\d+ bytes\)\)$")
_TOO_LARGE: Final = re.compile(r"Dropped too large PUBLISH from (.*) \(d\d, q\d, r\d, m\d+, '.*'")
_CUT_OFF: Final = re.compile(r"Bad socket read/write on client (.*): Unknown error\.")
_ENDED: Final = re.compile(r"Client (.*) disconnected(?::? ?,? ?(.*))?\.")
_NO_TLS: Final = re.compile(
    r"Client connection from \S+ failed: (?!.*unexpected eof).*"
)  # eof: it left by itself
_SUBSCRIBED: Final = re.compile(r"(.*) ([012]) (\S+)")
_REASONS: Final = {
    "not authorised": DenialKind.CONNECT,
    "due to oversize packet": DenialKind.OVERSIZE,
    "due to malformed packet": DenialKind.MALFORMED,
    "due to protocol error": DenialKind.MALFORMED,
}
_OUR_WORDS: Final = ("New ", "Client ", "Denied ", "Dropped ", "Bad socket ")
"""How lines begin that are looked at. A client whose id begins so could forge one by subscribing."""


@dataclass(frozen=True, slots=True)
class Denial:
    """One thing refused; `account` is "" where nobody had signed in."""

    day: int
    kind: DenialKind
    account: str

    @property
    def enterprise(self) -> str:
        """Whose account it is, if accounts are named as ours are."""
        return self.account.partition("/")[0]


class LogReader:
    """Denials line by line. It remembers who is connected, and so is fed a log in its order."""

    def __init__(self, *, service: str | None = None) -> None:
        """`service`: the account of ours, which may subscribe to everybody's topics."""
        self._service = service
        self._accounts: dict[str, str] = {}
        self._forgers: set[str] = set()  # ids that look like the beginning of a line
        self._just_denied: set[str] = set()  # their connection may end for it, which is no second refusal

    def read(self, line: str) -> Denial | None:
        """What the line says was refused, if anything. A line that cannot be read says nothing."""
        stamped = _STAMP.fullmatch(line.rstrip("\r\n"))
        if stamped is None:
            return None
        at, text = _seconds(stamped[1]), stamped[2]
        for forger in self._forgers:
            if text.startswith(f"{forger} "):
                return Denial(accounting_day(at), DenialKind.SUBSCRIBE, self._accounts.get(forger, ""))
        if connected := _CONNECTED.fullmatch(text):
            self._remember(connected[1], connected[2] or "")
            return None
        for kind, client in self._refused(text):
            return Denial(accounting_day(at), kind, self._accounts.get(client, ""))
        return None

    def _refused(self, text: str) -> Iterator[tuple[DenialKind, str]]:
        """(kind, client id) of what the line refuses: one at most."""
        for pattern, kind in ((_DENIED, DenialKind.PUBLISH), (_TOO_LARGE, DenialKind.OVERSIZE)):
            if found := pattern.match(text):
                self._just_denied.add(found[1])
                yield kind, found[1]
                return
        yield from self._ended(text)

    def _ended(self, text: str) -> Iterator[tuple[DenialKind, str]]:
        """The same of lines that are no debug lines."""
        if found := _CUT_OFF.fullmatch(text):
            if found[1] not in self._just_denied:
                yield DenialKind.PUBLISH, found[1]
            self._just_denied.discard(found[1])
        elif found := _ENDED.fullmatch(text):
            self._just_denied.discard(found[1])
            if kind := _REASONS.get(found[2] or ""):
                yield kind, found[1]
        elif _NO_TLS.fullmatch(text):
            yield DenialKind.CONNECT, ""
        elif (found := _SUBSCRIBED.fullmatch(text)) and self._is_beyond(found[1], found[3]):
            yield DenialKind.SUBSCRIBE, found[1]

    def _is_beyond(self, client: str, topic_filter: str) -> bool:
        """Whether an account of a device or an enterprise asked for more than its own."""
        account = self._accounts.get(client)
        if account is None or account == self._service:
            return False
        enterprise, _, device = account.partition("/")
        parts = topic_filter.split("/")
        own = [*ROOT.split("/"), enterprise, device] if device else [*ROOT.split("/"), enterprise]
        leaf = parts[-1] if len(parts) == len(ROOT.split("/")) + 3 else ""
        return parts[: len(own)] != own or leaf not in {COMMAND, RECEIPT, "+"}

    def _remember(self, client: str, account: str) -> None:
        self._just_denied.discard(client)
        self._accounts.pop(client, None)
        self._accounts[client] = account
        if client.startswith(_OUR_WORDS):
            self._forgers.add(client)
        if len(self._accounts) > _MOST_CLIENTS:
            longest_connected = next(iter(self._accounts))
            del self._accounts[longest_connected]
            self._forgers.discard(longest_connected)


def counts_of(denials: Iterator[Denial]) -> Mapping[tuple[int, str, str], int]:
    """How many by day, enterprise and kind."""
    return Counter((denial.day, denial.enterprise, denial.kind.value) for denial in denials)


def _seconds(stamp: str) -> int:
    """A time of the log: as deploy/mosquitto/mosquitto.conf has it written, or Mosquitto's own seconds."""
    return int(stamp) if stamp.isdigit() else int(dt.datetime.fromisoformat(stamp).timestamp())
