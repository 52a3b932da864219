"""From the outbox to people, in stages: group → mute → already told? → deliver → log.

A message is for one channel. Each stage takes it and gives it back, settled or not; a settled message
passes the later stages untouched until it is logged.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from nengshao.domain.errors import DeliveryDeferred, DeliveryRefused
from nengshao.ports import Clock, Notice, Notifier, Outbox
from nengshao.telemetry import Telemetry

AT_ONCE: Final = 500
"""Notices taken from the outbox in one run, besides those that wait for a channel."""

MAX_PAUSE: Final = 64
"""Runs that a channel is left alone at most, however often it has deferred."""


class Outcome(StrEnum):
    """What became of a message on its channel. All but `DEFERRED` end it there."""

    DELIVERED = "delivered"
    MUTED = "muted"
    REFUSED = "refused"
    DEFERRED = "deferred"


class Why(StrEnum):
    """Why a message was not delivered; what stands in the delivery log."""

    ENTERPRISE_MUTED = "enterprise_muted"
    ALREADY_TOLD = "already_told"
    CHANNEL_BUSY = "channel_busy"
    CHANNEL_REFUSED = "channel_refused"

    @property
    def zh(self) -> str:
        """The reason in Chinese, for the log a person reads."""
        return _WHY_ZH[self]


_WHY_ZH: Final = {
    Why.ENTERPRISE_MUTED: "该企业已静默",
    Why.ALREADY_TOLD: "此步骤已通知过",
    Why.CHANNEL_BUSY: "渠道暂不可用",
    Why.CHANNEL_REFUSED: "渠道拒收",
}


@dataclass(frozen=True, slots=True)
class Message:
    """Notices that are told together on one channel. `outcome` None: not settled yet."""

    channel: Notifier
    notices: tuple[Notice, ...]
    outcome: Outcome | None = None
    why: Why | None = None
    detail: str = ""

    @property
    def subject(self) -> str:
        """The notice's subject; of several, how many there are and the first one's."""
        first = self.notices[0].subject
        count = len(self.notices)
        return first if count == 1 else f"{count} 条通知 / {count} notices：{first}"

    @property
    def body(self) -> str:
        """The notices' texts; of several, each under its own subject."""
        if len(self.notices) == 1:
            return self.notices[0].body
        return "\n\n".join(f"{notice.subject}\n{notice.body}" for notice in self.notices)

    @property
    def log_text(self) -> str:
        """What the delivery log says beside the outcome."""
        why = f"{self.why.value} {self.why.zh}" if self.why else ""
        return f"{why}: {self.detail}" if self.detail else why


Stage = Callable[[Message], list[Message]]


def grouped(notices: Iterable[Notice]) -> list[tuple[Notice, ...]]:
    """Notices that may be told together, in the order of each group's oldest."""
    groups: dict[str, list[Notice]] = defaultdict(list)
    for notice in notices:
        groups[notice.group].append(notice)
    return [tuple(group) for group in groups.values()]


def parted(message: Message, outcome: Outcome, why: Why, ends: Callable[[Notice], bool]) -> list[Message]:
    """The message split in two: the notices that end with `outcome`, and the others as they were."""
    if message.outcome is not None:
        return [message]
    ended = tuple(notice for notice in message.notices if ends(notice))
    others = tuple(notice for notice in message.notices if not ends(notice))
    settled = [replace(message, notices=ended, outcome=outcome, why=why)] if ended else []
    return settled + ([replace(message, notices=others)] if others else [])


class Pause:
    """How long each channel is left alone: after its n-th deferral in a row it is asked 2ⁿ⁻¹ runs later."""

    def __init__(self) -> None:
        self._deferrals: dict[str, int] = defaultdict(int)
        self._runs_left: dict[str, int] = defaultdict(int)

    def begin_run(self) -> None:
        """Another run begins."""
        for name, left in self._runs_left.items():
            self._runs_left[name] = max(left - 1, 0)

    def is_paused(self, channel: str) -> bool:
        """Whether the channel is not to be asked in this run."""
        return self._runs_left[channel] > 0

    def note_deferral(self, channel: str) -> None:
        """The channel was busy; the first time it is asked again in the very next run."""
        self._deferrals[channel] += 1
        self._runs_left[channel] = min(2 ** (self._deferrals[channel] - 1), MAX_PAUSE)

    def note_answer(self, channel: str) -> None:
        """The channel answered, whatever it said."""
        self._deferrals[channel] = 0
        self._runs_left[channel] = 0


class Pipeline:
    """Tells what is in the outbox on every channel, each step of an alert once per channel.

    A notice leaves the outbox when every channel has settled it. What is settled on one channel while
    another is busy is remembered here until then: after a crash in between, that channel is told again
    rather than another one never.
    """

    def __init__(
        self,
        outbox: Outbox,
        notifiers: Sequence[Notifier],
        clock: Clock,
        telemetry: Telemetry,
        *,
        muted: Collection[str] = (),
    ) -> None:
        self._outbox = outbox
        self._channels = tuple(notifiers)
        self._clock = clock
        self._telemetry = telemetry
        self._muted = frozenset(muted)
        self._pause = Pause()
        self._settled: dict[str, list[Message]] = {}  # notice id -> what its channels have settled
        self._running = threading.Lock()  # two runs at once would tell a notice twice
        self._stages: tuple[Stage, ...] = (self._mute, self._skip_told, self._deliver, self._log)

    def run_once(self) -> int:
        """Try to tell everything that waits; the number of notices that are done with.

        Raises: StoreUnavailable; this process will not deliver again what it could not log.
        """
        with self._running:
            return self._run()

    def _run(self) -> int:
        self._pause.begin_run()
        waiting = self._outbox.undelivered(AT_ONCE + len(self._settled)) if self._channels else []
        self._settled = {notice.notice_id: self._settled.get(notice.notice_id, []) for notice in waiting}
        ended = 0
        for group in grouped(waiting):
            for channel in self._channels:
                self._tell(Message(channel, group))
            ended += sum(self._end(notice) for notice in group)
        return ended

    def _tell(self, message: Message) -> None:
        messages = [message]
        for stage in self._stages:
            messages = [part for whole in messages for part in stage(whole)]

    def _mute(self, message: Message) -> list[Message]:
        """Notices about an enterprise that is muted end here."""
        return parted(
            message, Outcome.MUTED, Why.ENTERPRISE_MUTED, lambda notice: notice.enterprise in self._muted
        )

    def _skip_told(self, message: Message) -> list[Message]:
        """What this channel has settled is left out; a step of an alert that it was told before ends here."""
        name = message.channel.name
        fresh = tuple(notice for notice in message.notices if not self._is_settled(notice, name))
        if not fresh:
            return []
        return parted(
            replace(message, notices=fresh),
            Outcome.MUTED,
            Why.ALREADY_TOLD,
            lambda notice: self._outbox.was_told(notice.alert_id, notice.reason, name),
        )

    def _deliver(self, message: Message) -> list[Message]:
        """Tell it, unless it is settled or the channel is paused."""
        name = message.channel.name
        if message.outcome is not None:
            return [message]
        if self._pause.is_paused(name):
            return []
        try:
            message.channel.deliver(message.subject, message.body)
        except DeliveryDeferred as exc:
            self._pause.note_deferral(name)
            return [replace(message, outcome=Outcome.DEFERRED, why=Why.CHANNEL_BUSY, detail=str(exc))]
        except DeliveryRefused as exc:
            self._pause.note_answer(name)
            return [replace(message, outcome=Outcome.REFUSED, why=Why.CHANNEL_REFUSED, detail=str(exc))]
        self._pause.note_answer(name)
        return [replace(message, outcome=Outcome.DELIVERED)]

    def _log(self, message: Message) -> list[Message]:
        """Count it; a deferral goes into the log at once, an end when every channel has come to one."""
        assert message.outcome is not None  # noqa: S101  # the stage before settles
        self._telemetry.notices.labels(message.channel.name, message.outcome.value).inc(len(message.notices))
        for notice in message.notices:
            if message.outcome is Outcome.DEFERRED:
                self._write_log(notice, message)
            else:
                self._settled[notice.notice_id].append(message)
        return [message]

    def _end(self, notice: Notice) -> bool:
        """Whether every channel has settled the notice; if so it leaves the outbox."""
        settled = self._settled[notice.notice_id]
        if len(settled) < len(self._channels):
            return False
        # The last line stands for the notice: delivered, if anybody was told.
        for message in sorted(settled, key=lambda message: message.outcome is Outcome.DELIVERED):
            self._write_log(notice, message)
        del self._settled[notice.notice_id]
        return True

    def _is_settled(self, notice: Notice, channel: str) -> bool:
        return any(message.channel.name == channel for message in self._settled[notice.notice_id])

    def _write_log(self, notice: Notice, message: Message) -> None:
        assert message.outcome is not None  # noqa: S101  # only settled messages come here
        self._outbox.log_delivery(
            notice.notice_id, message.channel.name, message.outcome.value, message.log_text, self._clock.now()
        )
