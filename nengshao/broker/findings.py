"""What the doctor finds: each with a code, what is so, why it matters, and what to write instead.

The texts are data, `findings.toml` beside this module, Chinese first.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.resources import files


class Level(Enum):
    """What a finding costs if nothing is done."""

    LOSES = "loses"  # messages are gone, or can never arrive
    RISK = "risk"  # nothing is lost by itself: slow, blind, or open to others
    NOTE = "note"  # in order; worth knowing


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is so. `why` and `instead` may be empty where it is in order."""

    code: str
    level: Level
    what: str
    why: str
    instead: str


@dataclass(frozen=True, slots=True)
class Expectations:
    """What the broker has to hold out for: from our settings and the operator's patience."""

    outage_s: int  # the longest time that nobody may be there to take messages
    max_message_bytes: int
    receive_maximum: int
    session_expiry_s: int | None  # None: MQTT 3.1.1, where only the broker says
    partitions: int = 1


@cache
def texts() -> dict[str, dict[str, str]]:
    """Level and texts of every code there is."""
    return tomllib.loads((files(__package__) / "findings.toml").read_text(encoding="utf-8"))


def finding(code: str, /, **values: object) -> Finding:
    """The finding of that code with `values` filled in."""
    found = texts()[code]
    filled = {name: found.get(name, "").format(**values) for name in ("what", "why", "instead")}
    return Finding(code, Level(found["level"]), **filled)


def span(seconds: float) -> str:
    """A time as people say it.

    >>> span(30), span(90), span(7200), span(3 * 86400), span(366 * 86400)
    ('30 s', '1.5 min', '2.0 h', '3.0 d', '> 1 a')
    """
    if seconds >= 365 * 86_400:
        return "> 1 a"
    for unit, size, least in (("d", 86_400, 172_800), ("h", 3_600, 3_600), ("min", 60, 60)):
        if seconds >= least:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def size_text(count: float) -> str:
    """A number of bytes as people say it.

    >>> size_text(3_670_016), size_text(3_221_225_472)
    ('3.5 MiB', '3.0 GiB')
    """
    return f"{count / 1_048_576:.1f} MiB" if count < 1_073_741_824 else f"{count / 1_073_741_824:.1f} GiB"
