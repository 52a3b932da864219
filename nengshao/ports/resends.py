"""The journal of resend requests, and what is known of devices' clocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from nengshao.domain.resends import Resend, ResendState
from nengshao.ports.leases import Lease

GAPS_SCHEMA: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "enterprise": pl.String,
    "device": pl.String,
    "point": pl.Int64,
    "start": pl.Int64,  # instants that should have carried readings: every cadence_s within [start, end)
    "end": pl.Int64,
    "cadence_s": pl.Int64,
    "due_at": pl.Int64,  # before this the device is not asked: messages may just be late
}

CLOCKS_SCHEMA: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "enterprise": pl.String,
    "device": pl.String,
    "slot": pl.Int64,  # number of the window
    "skew_s": pl.Int64,  # greatest uploadDate − arrival in it
}


@dataclass(frozen=True, slots=True)
class DeviceClock:
    """How far a device's clock is ahead of ours (below zero: behind), as of its freshest message lately."""

    enterprise: str
    device: str
    skew_s: int
    at: int  # when that was last written down


class Resends(Protocol):
    """What was found missing and is asked for. Bookings add to it; the lease's holder works it off."""

    def due_resends(self, partition: int, now: int, limit: int) -> list[Resend]:
        """Requests that have not ended and whose `next_at` has come, the longest due first."""
        ...

    def note_resends(self, lease: Lease, resends: Sequence[Resend]) -> None:
        """Replace these requests by what has become of them. Raises LeaseLost."""
        ...

    def resends(
        self,
        enterprise: str,
        *,
        state: ResendState | None = None,
        before_id: int | None = None,
        limit: int = 100,
    ) -> list[Resend]:
        """An enterprise's requests, newest first. Those that ended 13 months ago are gone."""
        ...

    def device_clocks(self, enterprise: str) -> list[DeviceClock]:
        """The clocks of the enterprise's devices, sorted by device."""
        ...
