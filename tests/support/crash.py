"""What happens to ports: processes that stop between two of their steps, and stores that go away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nengshao.domain.errors import StoreUnavailable


class Crash(BaseException):
    """The process is gone. Nothing catches it, as nothing catches `kill -9`."""


def _always(*_: Any, **__: Any) -> bool:
    return True


class Crashing:
    """A port that dies before or after the nth call of one method; everything else passes through.

    `when` says which calls count, by their arguments and, after the call, its result as the last of them.
    """

    def __init__(
        self, port: Any, method: str, *, after: bool, nth: int = 1, when: Callable[..., int] = _always
    ) -> None:
        self._port, self._method, self._after, self._left, self._when = port, method, after, nth, when
        self.has_crashed = False

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if name != self._method or self.has_crashed:
            return value
        return self._deadly(value)

    def _deadly(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def dying(*args: Any, **kwargs: Any) -> Any:
            if self._after:
                result = call(*args, **kwargs)
                self._die_if_due(*args, result)
                return result
            self._die_if_due(*args)
            return call(*args, **kwargs)

        return dying

    def _die_if_due(self, *seen: Any) -> None:
        self._left -= self._when(*seen)
        if self._left <= 0 and not self.has_crashed:
            self.has_crashed = True
            raise Crash(f"{'after' if self._after else 'before'} {self._method}")


class Unreliable:
    """A store that may be away: while `methods` names a call, it raises StoreUnavailable.

    `answers_only`: the call is carried out all the same, only its answer is lost. `refused` counts.
    """

    def __init__(self, port: Any) -> None:
        self._port = port
        self.methods: frozenset[str] | None = frozenset()  # None: every one
        self.answers_only = False
        self.refused = 0

    def go(self, *methods: str, answers_only: bool = False) -> None:
        """Be away from now on, for these methods or, without any, for all."""
        self.methods, self.answers_only = frozenset(methods) or None, answers_only

    def come_back(self) -> None:
        """Answer every call again."""
        self.methods = frozenset()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        return self._asked(name, value) if callable(value) else value

    def _asked(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*args: Any, **kwargs: Any) -> Any:
            if self.methods is not None and name not in self.methods:
                return call(*args, **kwargs)
            self.refused += 1
            if self.answers_only:
                call(*args, **kwargs)
            raise StoreUnavailable(f"{name}: away", retry_after=0.02)

        return asked
