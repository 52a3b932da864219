"""Stopping a process between two of its steps: ports that work as ever until a named call, then die."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Crash(BaseException):
    """The process is gone. Nothing catches it, as nothing catches `kill -9`."""


class Crashing:
    """A port that dies before or after the nth call of one method; everything else passes through."""

    def __init__(self, port: Any, method: str, *, after: bool, nth: int = 1) -> None:
        self._port, self._method, self._after, self._left = port, method, after, nth
        self.has_crashed = False

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if name != self._method or self.has_crashed:
            return value
        return self._deadly(value)

    def _deadly(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def dying(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left > 0:
                return call(*args, **kwargs)
            self.has_crashed = True
            if self._after:
                call(*args, **kwargs)
            raise Crash(f"{'after' if self._after else 'before'} {self._method}")

        return dying
