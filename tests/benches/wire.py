"""Wire + screening: readings per second from JSON bytes to screened integer columns, one thread's worth.

Peer: what one would write first — `json.loads` per message and `polars.from_dicts`, with no check at all.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import polars as pl

from ingest.screening import Screen, TimeLimits
from nengshao.wire import Limits, Message, decode
from tests.support.plants import START, in_order_load, registry

ENTERPRISES, METERS, SLOTS, REPEATS = 20, 50, 20, 5
MESSAGES = list(in_order_load(ENTERPRISES, METERS, SLOTS))
SCREEN = Screen(registry(ENTERPRISES, METERS), {"national": 1})
LIMITS = TimeLimits(now=START + SLOTS * 900 + 3600, future_s=3600, past_s=None)


def ours(messages: list[Message]) -> int:
    return SCREEN.screened(decode(messages, Limits()).readings, LIMITS).accepted.height


def peer(messages: list[Message]) -> int:
    rows = [row for message in messages for row in json.loads(message.payload)["data"]]
    return pl.from_dicts(rows).height


def rate(work: Callable[[list[Message]], int]) -> float:
    best = 0.0
    for _ in range(REPEATS):
        started = time.perf_counter()
        count = work(MESSAGES)
        best = max(best, count / (time.perf_counter() - started))
    return best


def main() -> None:
    assert ours(MESSAGES) == peer(MESSAGES) == ENTERPRISES * METERS * SLOTS
    mine, other = rate(ours), rate(peer)
    result = {
        "bench": "wire",
        "readings_per_s": round(mine),
        "peer": "json.loads + polars.from_dicts, unchecked",
        "peer_readings_per_s": round(other),
        "ratio": round(mine / other, 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
