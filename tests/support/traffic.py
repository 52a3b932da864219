"""Readings by the ten thousand whose truth is known, published beside the test, and the verdict on them."""

from __future__ import annotations

import datetime as dt
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import polars as pl

from nengshao.domain.time import DAY_S, date_of
from nengshao.wire import encode_message
from simulators.publisher import DevicePublisher
from simulators.stream import Outgoing
from tests.support import plants
from tests.support.site import STORED, Process, Site

SLOTS_A_DAY: Final = DAY_S // plants.CADENCE_S
_G_PER_KWH_TENTHS: Final = 1229  # 0.1229 kgce/kWh (GB/T 2589-2020, 当量值), in 10⁻¹ g
_LEAD_S: Final = 60  # plants.item stamps a message a minute after its reading


@dataclass(frozen=True)
class Traffic:
    """What the devices say, what of it must then be in InfluxDB, and what it amounts to.

    `grams`: standard coal (calorific) of each enterprise and day.
    """

    messages: Sequence[Outgoing]
    readings: int
    stored: pl.DataFrame
    grams: dict[tuple[str, dt.date], int]
    end: int


def traffic(seed: int, *, enterprises: int, meters: int, days: int) -> Traffic:
    """Quarter-hourly reads of `meters` registers in each plant, from START to the midnight after `days`.

    Steps are whole tens of kWh, so that the grams of every point and day are exact.
    """
    chance = random.Random(seed)
    messages, rows = [], []
    grams: dict[tuple[str, dt.date], int] = {}
    shown = {(n, m): chance.randrange(10**6) for n in range(1, enterprises + 1) for m in range(meters)}
    for slot in range(days * SLOTS_A_DAY + 1):
        ts = plants.START + slot * plants.CADENCE_S
        for number in range(1, enterprises + 1):
            code, items = plants.credit_code(number), []
            for meter in range(meters):
                step = 10 * chance.randrange(100) if slot else 0
                shown[number, meter] += step
                if slot:
                    day = code, date_of((ts - 1 + 8 * 3600) // DAY_S)
                    grams[day] = grams.get(day, 0) + step * _G_PER_KWH_TENTHS // 10
                value = shown[number, meter]
                items.append(plants.item(ts, float(value), meter=f"{meter:02d}"))
                tag = f"{plants.ELECTRICITY}.0.{meter:02d}"
                # As BOOKKEEPING §1 has it: the version rides in the sub-second part.
                time_ns = ts * 10**9 + _LEAD_S + DAY_S
                rows.append((code, tag, "v4", value * 10**6, time_ns))
            payload = encode_message(code, plants.DEVICE, items, slot)
            messages.append(Outgoing(code, plants.DEVICE, ts, plants.topic(number), payload, slot))
    stored = pl.DataFrame(rows, schema=STORED, orient="row").sort(pl.all())
    return Traffic(messages, stored.height, stored, grams, ts)


class Stream:
    """Messages on their way, in a thread of their own."""

    def __init__(self, site: Site, devices: DevicePublisher, messages: Sequence[Outgoing]) -> None:
        self._site, self._devices, self._total = site, devices, len(messages)
        self._sent = 0
        self._thread = threading.Thread(target=self._send, args=(messages,), name="stream")
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to publish."""
        return not self._thread.is_alive()

    def wait_share(self, share: float) -> None:
        """Until that share of the messages has been published; some of it has no receipt yet."""
        self._site.wait_until(
            lambda: self._sent >= share * self._total, f"{share:.0%} of the stream is published"
        )

    def join(self) -> None:
        """Until all are published."""
        self._thread.join(60)
        assert self.is_over, f"{self._total - self._sent} messages not published"

    def _send(self, messages: Sequence[Outgoing]) -> None:
        for message in messages:
            self._sent += self._devices.publish([message])


@contextmanager
def streaming(site: Site, devices: DevicePublisher, messages: Sequence[Outgoing]) -> Iterator[Stream]:
    """The stream, going on in the background; ended with the publisher if the test fails."""
    stream = Stream(site, devices, messages)
    try:
        yield stream
        stream.join()
    except BaseException:
        devices.close()  # lets the thread go
        stream.join()
        raise


def assert_exactly_once(
    site: Site, devices: DevicePublisher, server: Process, sent: Traffic, *, within_s: float = 60.0
) -> None:
    """Every message has its receipt; ledger, store and device-side truth agree to the reading; totals too."""
    assert devices.wait_receipted(within_s), f"{devices.unreceipted} messages without receipt"
    assert not devices.receipts.rejected
    site.wait_until(lambda: server.get("/v1/ledger")["in_flight"] == 0, "nothing is in flight")

    ledger = server.get("/v1/ledger", proof="true")
    totals = ledger["totals"]
    assert ledger["balanced"]
    assert ledger["proof"]["is_equal"]
    assert totals["stored"] == ledger["proof"]["distinct_readings"] == sent.readings
    assert totals["corrected"] == totals["superseded"] == totals["quarantined"] == 0
    # Row for row: nothing missing, foreign or double, and every value and version as it was sent.
    different = differences(site.stored_readings(), sent.stored)
    assert not different, different

    deadline = time.monotonic() + within_s
    while (found := day_grams(server, sent.grams)) != sent.grams and time.monotonic() < deadline:
        time.sleep(0.3)
    assert found == sent.grams


def differences(found: pl.DataFrame, wanted: pl.DataFrame) -> str:
    """What distinguishes two sets of rows, for a person; empty if nothing does."""
    if found.equals(wanted):
        return ""
    missing, foreign = (one.join(other, on=one.columns, how="anti") for one, other in
                        ((wanted, found), (found, wanted)))  # fmt: skip
    return f"{found.height} rows instead of {wanted.height}; missing {missing}; foreign {foreign}"


def day_grams(
    server: Process, wanted: Mapping[tuple[str, dt.date], int]
) -> dict[tuple[str, dt.date], int | None]:
    """What the service publishes of these enterprises, over these days, in g of standard coal."""
    first = min(day for _, day in wanted)
    last = max(day for _, day in wanted)
    found: dict[tuple[str, dt.date], int | None] = {}
    for code in sorted({code for code, _ in wanted}):
        series = server.get(
            f"/v1/enterprises/{code}/energy", from_=first.isoformat(), to=(last + dt.timedelta(1)).isoformat()
        )
        for day in series["days"]:
            tce = day["calorific"]["tce"]
            grams = None if tce is None else round(tce * 1_000_000)
            found[code, dt.date.fromisoformat(day["date"])] = grams
    return found
