"""A log file as it grows, through rotations: every complete line once, and up to where it is read.

A position names the file by its inode and a checksum of its first line, since inodes are used again.
"""

from __future__ import annotations

import logging
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LOG: Final = logging.getLogger(__name__)
_CHUNK: Final = 1 << 20
_HEAD: Final = 4096


@dataclass(frozen=True, slots=True)
class _Place:
    """A file, and how far it is read."""

    inode: int
    checksum: int
    offset: int

    def __str__(self) -> str:
        return f"{self.inode}:{self.checksum}:{self.offset}"


class LogFile:
    """Reads a log that is renamed and made anew (`path`, before that `path.1`, …), or truncated."""

    def __init__(self, path: Path, position: str | None = None) -> None:
        """`position`: where an earlier reader stopped; None: the beginning."""
        self._path = path
        self._place: _Place | None = None if position is None else _Place(*map(int, position.split(":")))

    @property
    def position(self) -> str:
        """Up to where `read` has given the lines."""
        return "" if self._place is None else str(self._place)

    def read_before(self) -> list[bytes]:
        """The lines of the present file that lie before the position: what an earlier reader has seen."""
        found = self._current()
        if found is None or self._place is None:
            return []
        with found.open("rb") as file:
            return file.read(self._place.offset).splitlines()

    def read(self) -> list[bytes]:
        """The next complete lines; none: there is nothing new."""
        found = self._current()
        if found is None:
            return []
        lines = self._lines(found)
        if not lines and (younger := self._younger(found)) is not None:
            lines = self._lines(found)  # what was written until the younger one was
            if not lines:
                self._place = _begin(younger)
                lines = self._lines(younger)
        return lines

    def _current(self) -> Path | None:
        """The file that the position is in, under whatever name; the log itself if that is gone."""
        if self._place is not None:
            same = [path for path in self._files() if _begin(path).checksum == self._place.checksum]
            for path in sorted(same, key=self._is_elsewhere):
                start = _begin(path)
                self._place = _Place(start.inode, start.checksum, self._place.offset)
                return path
            _LOG.warning("what was read of %s is not there any more: its rest is not counted", self._path)
        if not self._path.exists() or not _has_first_line(self._path):
            return None
        self._place = _begin(self._path)
        return self._path

    def _is_elsewhere(self, path: Path) -> bool:
        """Whether a file of the same beginning is another one: a copy made before it was truncated."""
        return self._place is not None and path.stat().st_ino != self._place.inode

    def _younger(self, current: Path) -> Path | None:
        """The file that was begun after `current`, as soon as it is written to."""
        if current == self._path:
            return None
        files = self._files()
        after = files[files.index(current) + 1 :] if current in files else []
        return next(iter(after), None)

    def _files(self) -> list[Path]:
        """The log and those it was renamed to, oldest first; compressed ones are past."""
        names = self._path.parent.glob(f"{self._path.name}*")
        found = [
            path for path in names if path.suffix not in {".gz", ".xz", ".zst"} and _has_first_line(path)
        ]
        return sorted(found, key=lambda path: path.stat().st_mtime_ns)

    def _lines(self, path: Path) -> list[bytes]:
        assert self._place is not None  # noqa: S101  # set by whoever chose the path
        with path.open("rb") as file:
            file.seek(self._place.offset)
            chunk = file.read(_CHUNK)
        whole = chunk[: chunk.rfind(b"\n") + 1] if len(chunk) < _CHUNK or b"\n" in chunk else chunk
        place = self._place
        self._place = _Place(place.inode, place.checksum, place.offset + len(whole))
        return whole.splitlines()


def _begin(path: Path) -> _Place:
    with path.open("rb") as file:
        first = file.read(_HEAD).partition(b"\n")[0]
        return _Place(os.fstat(file.fileno()).st_ino, zlib.crc32(first), 0)


def _has_first_line(path: Path) -> bool:
    with path.open("rb") as file:
        return b"\n" in file.read(_HEAD)
