"""How much the registered devices send, and how long a limit lasts while nobody takes it from the broker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from nengshao.domain.codes import partition_of
from nengshao.domain.time import local_text
from nengshao.registry import Registry
from nengshao.wire import Item, encode_message

_RESEND_S: Final = (
    60,
    3_600,
)  # first and longest wait of a device for its receipt (docs/wire.md); it doubles
_YEAR_S: Final = 366 * 86_400


@dataclass(frozen=True, slots=True)
class Load:
    """What arrives for the busiest partition's session: the limits of a broker are per session."""

    messages_per_s: float
    bytes_per_s: float
    largest_message: int  # bytes, of one report of the device with the most points


def copies(outage_s: float) -> float:
    """Seconds' worth of messages that an outage of `outage_s` piles up: each is sent once, and again a minute
    later, then after twice as long each time up to an hour, for as long as it has no receipt.

    >>> copies(60), copies(61), copies(181)
    (60.0, 62.0, 303.0)
    """
    wait, longest = _RESEND_S
    piled, sent_at = float(outage_s), float(wait)
    while sent_at < outage_s:
        piled += outage_s - sent_at
        wait = min(2 * wait, longest)
        sent_at += wait
    return piled


def lasting_s(rate: float, limit: float) -> float:
    """Seconds until `limit` waits where `rate` arrives per second, and is sent again; a year at most.

    >>> round(lasting_s(1.0, 62.0)), lasting_s(0.0, 1.0) == 366 * 86400
    (61, True)
    """
    if rate <= 0 or rate * copies(_YEAR_S) <= limit:
        return _YEAR_S
    low, high = 0.0, float(_YEAR_S)
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (middle, high) if rate * copies(middle) <= limit else (low, middle)
    return low


def load_of(registry: Registry, partitions: int, at: int) -> Load:
    """What the devices in duty at `at` send, by their cadence and their points; one message per cadence."""
    duty = registry.devices.filter(_holds(at), pl.col("cadence_s") > 0)
    active = registry.enterprises.filter(
        pl.col("active_from") <= at, pl.col("active_to").is_null() | (pl.col("active_to") > at)
    )
    served = registry.points.filter(_holds(at)).group_by("enterprise", "device").len("points")
    rows = duty.join(active, on="enterprise", how="semi").join(served, on=["enterprise", "device"])
    messages, sizes, largest = [0.0] * partitions, [0.0] * partitions, 0
    for enterprise, cadence_s, points in rows.select("enterprise", "cadence_s", "points").iter_rows():
        partition, size = partition_of(enterprise, partitions), message_bytes(points)
        messages[partition] += 1 / cadence_s
        sizes[partition] += size / cadence_s
        largest = max(largest, size)
    return Load(max(messages), max(sizes), largest)


def message_bytes(readings: int) -> int:
    """Bytes of a message with that many readings, as our own encoder writes it."""
    at = local_text(1_700_000_000)
    item = Item("0401000004020030", 123_456.789, 1, 0, at, at, 1, True)
    empty, one = (len(encode_message("9" * 18, "gateway-0001", [item] * n, 1_000_000)) for n in (0, 1))
    return empty + readings * (one - empty + 1)


def _holds(at: int) -> pl.Expr:
    return (pl.col("valid_from") <= at) & (pl.col("valid_to").is_null() | (pl.col("valid_to") > at))
