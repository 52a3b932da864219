"""The channel to whoever watches the terminal."""

from __future__ import annotations

import sys
import threading
from typing import TextIO

from nengshao.domain.errors import DeliveryDeferred, DeliveryRefused


class ConsoleNotifier:
    """Writes notices to a text stream (standard output unless given), one block each, Chinese first."""

    def __init__(self, stream: TextIO | None = None, name: str = "console") -> None:
        self.name = name
        self._stream = sys.stdout if stream is None else stream
        self._lock = threading.Lock()  # two threads' blocks never mix

    def deliver(self, subject: str, body: str) -> None:
        """Write the message.

        Raises: DeliveryRefused when the stream is closed, DeliveryDeferred when it cannot be written now.
        """
        block = "\n".join([f"【通知 / notice】{subject}", *(f"  {line}" for line in body.splitlines()), ""])
        with self._lock:
            try:
                self._stream.write(block + "\n")
                self._stream.flush()
            except ValueError as exc:  # what Python says of a closed stream
                raise DeliveryRefused(f"{self.name}: {exc}") from exc
            except OSError as exc:
                raise DeliveryDeferred(f"{self.name}: {exc}") from exc
