"""Who may write a partition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write one partition's books (kind "ingest") or results (kind "assess").

    `epoch` grows with every change of holder; a commit under an older epoch raises LeaseLost.
    """

    kind: str
    partition: int
    holder: str
    epoch: int
    expires_at: float  # StateStore time, seconds


class Leases(Protocol):
    """Who may write. Time is the StateStore's own (database time on PostgreSQL)."""

    def acquire_lease(self, kind: str, partition: int, holder: str, ttl_s: float) -> Lease | None:
        """The lease if it is free, expired, or this holder's own (then with the same epoch); else None."""
        ...

    def renew_lease(self, lease: Lease, ttl_s: float) -> Lease:
        """The lease, prolonged. Raises LeaseLost if it has passed to another holder."""
        ...

    def release_lease(self, lease: Lease) -> None:
        """Give it back, if it is still ours."""
        ...

    def held_leases(self, kind: str) -> tuple[float, list[Lease]]:
        """The store's time, and the leases of that kind that somebody holds now."""
        ...
