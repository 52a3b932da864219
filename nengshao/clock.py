"""Clocks: the system's, one that is anchored and runs at a rate, and one that is set by hand."""

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
    """A clock that stands still until it is moved forward: replays, and tests in event time."""

    def __init__(self, start: int) -> None:
        self._now = start
        self._lock = threading.Lock()

    def now(self) -> int:
        """The instant it was last moved to."""
        return self._now

    def move_to(self, instant: int) -> None:
        """Move forward to `instant`; a clock never goes back."""
        with self._lock:
            self._now = max(self._now, instant)
