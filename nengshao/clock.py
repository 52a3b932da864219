"""Clocks: the system's, one that is anchored and runs at a rate, and one that is moved by hand."""

from __future__ import annotations

import threading
import time


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """The present instant, UTC, whole seconds."""
        return int(time.time())


class AnchoredClock:
    """A clock that showed `anchor` at machine time `since` and runs `rate` times as fast.

    The same for every process that is given the same three numbers.
    """

    def __init__(self, anchor: int, rate: float, since: float) -> None:
        self._anchor, self._rate, self._since = anchor, rate, since

    def now(self) -> int:
        """The present instant of the accelerated time, UTC, whole seconds."""
        return self._anchor + int((time.time() - self._since) * self._rate)


class SteppedClock:
    """A clock that stands still until it is moved forward, or let run: replays, and tests in event time."""

    def __init__(self, start: int) -> None:
        self._base, self._rate, self._since = start, 0.0, time.monotonic()
        self._lock = threading.Lock()

    def now(self) -> int:
        """The instant it was last moved to, and what has passed since if it runs."""
        return self._base + int((time.monotonic() - self._since) * self._rate)

    def move_to(self, instant: int) -> None:
        """Move forward to `instant`; a clock never goes back."""
        with self._lock:
            self._base, self._since = max(self.now(), instant), time.monotonic()

    def run_at(self, rate: float) -> None:
        """From now on let `rate` seconds pass per second."""
        with self._lock:
            self._base, self._since, self._rate = self.now(), time.monotonic(), rate
