"""What a device writes down of what it made: lines of `made.tsv`. Light: every device process imports it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True, slots=True)
class Made:
    """A message as it was made; `number` counts a group's messages, a resend included."""

    number: int
    topic: str
    payload: bytes

    @property
    def digest(self) -> str:
        """Its name in a receipt."""
        return hashlib.sha256(self.payload).hexdigest()


def append_to(path: Path) -> IO[bytes]:
    """A journal to append whole lines to; a line that a kill tore is closed, and is then no line."""
    file = path.open("a+b")
    if file.tell():
        file.seek(-1, 2)
        if file.read() != b"\n":
            file.write(b"\n")
    return file


def read_made(path: Path) -> Iterator[Made]:
    """The messages of a `made.tsv`; a torn last line was never published."""
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        parts = line.split(b"\t")
        if len(parts) == 3 and parts[2].endswith(b"}"):
            yield Made(int(parts[0]), parts[1].decode(), parts[2])
