"""Wire + screening: readings per second from payload bytes to screened integer columns, one thread's worth;
and for each form of the payload what decoding costs and how many bytes a reading takes on the wire.

Peer: what one would write first — `json.loads` per message and `polars.from_dicts`, with no check at all.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from random import Random

import polars as pl

from ingest.screening import Screen, TimeLimits
from nengshao.wire import Form, Limits, Message, decode
from tests.support.plants import CADENCE_S, START, item, message, registry

ENTERPRISES, METERS, SLOTS, REPEATS = 20, 50, 20, 7
READINGS = ENTERPRISES * METERS * SLOTS
SCREEN = Screen(registry(ENTERPRISES, METERS), {"national": 1})
LIMITS = TimeLimits(now=START + SLOTS * 900 + 3600, future_s=3600, past_s=None)


def load(form: Form) -> list[Message]:
    """Registers that run as real ones do, each at its own height and speed: gzip must not find them alike."""
    chance = Random(1)
    heights = [[round(chance.uniform(0, 1e6), 1) for _ in range(METERS)] for _ in range(ENTERPRISES)]
    messages = []
    for slot in range(SLOTS):
        for number, meters in enumerate(heights, 1):
            meters[:] = [round(height + chance.uniform(0, 300), 1) for height in meters]
            ts = START + slot * CADENCE_S
            items = [item(ts, height, meter=f"{m:02d}") for m, height in enumerate(meters)]
            messages.append(message(number, items, slot, form=form))
    return messages


MESSAGES = load(Form.PLAIN)


def decoded(messages: Sequence[Message]) -> int:
    return decode(messages, Limits()).readings.height


def ours(messages: Sequence[Message]) -> int:
    return SCREEN.screened(decode(messages, Limits()).readings, LIMITS).accepted.height


def peer(messages: Sequence[Message]) -> int:
    rows = [row for one in messages for row in json.loads(one.payload)["data"]]
    return pl.from_dicts(rows).height


def best(work: Callable[[Sequence[Message]], int], messages: Sequence[Message]) -> tuple[float, float]:
    """(readings per second, CPU ns per reading) of the best repetition."""
    seconds, cpu = [], []
    for _ in range(REPEATS):
        started, used = time.perf_counter(), time.process_time()
        assert work(messages) == READINGS
        seconds.append(time.perf_counter() - started)
        cpu.append(time.process_time() - used)
    return READINGS / min(seconds), min(cpu) / READINGS * 1e9


def main() -> None:
    forms = {}
    for form in Form:
        messages = load(form)
        rate, cpu = best(decoded, messages)
        size = sum(len(one.payload) for one in messages) / READINGS
        forms[form.value] = {
            "bytes_per_reading": round(size, 1), "decode_per_s": round(rate), "decode_cpu_ns": round(cpu),
        }  # fmt: skip
    (mine, cpu), (other, _) = best(ours, MESSAGES), best(peer, MESSAGES)
    result = {
        "bench": "wire",
        "readings_per_s": round(mine),
        "cpu_ns_per_reading": round(cpu),
        "forms": forms,
        "peer": "json.loads + polars.from_dicts, unchecked",
        "peer_readings_per_s": round(other),
        "ratio": round(mine / other, 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
