"""How enterprises are shared out: partitions, who may hold how many of them, and changing their number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nengshao.ports.leases import Lease


@dataclass(frozen=True, slots=True)
class Partitioning:
    """How many partitions the enterprises hash into, and how often that number has been changed.

    `announced`: the number that a repartition under way will change it to; until it is done nobody ingests.
    """

    count: int
    epoch: int = 0
    announced: int | None = None

    def name_of(self, partition: int) -> str:
        """Names a partition's broker session and spool; no other partition, before or later, has this name.

        Were names used again after a change, a session would keep its old subscriptions and a spool would
        hold another holder's messages.

        >>> Partitioning(count=2, epoch=3).name_of(1)
        '3.1'
        """
        return f"{self.epoch}.{partition}"


class Partitions(Protocol):
    """Partitions of the enterprises. Whoever works by a number that is over gets no lease."""

    @property
    def partitions(self) -> Partitioning:
        """What `migrate` has found: the number by which this process works."""
        ...

    def read_partitions(self) -> Partitioning:
        """What holds now. Another epoch than that of `partitions`: the process is to be made anew."""
        ...

    def take_share(self, kind: str, partition: int, holder: str, ttl_s: float) -> Lease | None:
        """The partition's lease for one of several who share them evenly; else None, and ask again soon.

        None too while somebody else who asks has fewer; to one who came within ttl_s / 2, if the lease ran
        out and its holder may have had no chance to renew it; and to all while a repartition is announced,
        but the holder of its lease (kind "repartition").
        """
        ...

    def renew_share(self, lease: Lease, ttl_s: float) -> Lease:
        """The lease, prolonged. Raises LeaseLost if it has passed on, or has been given back now: because
        another who asks has two fewer, or a repartition is announced."""
        ...

    def announce_partitions(self, count: int) -> None:
        """From now on nobody but the holder of the repartition's lease gets a share. The same again changes
        nothing. Raises ConfigError if another number is announced."""
        ...

    def switch_partitions(self, leases: Sequence[Lease]) -> Partitioning:
        """Let the announced number hold: one transaction moves every row to its new partition, ends every
        lease and counts the epoch up. `leases`: of kind "ingest", of every partition. Raises LeaseLost."""
        ...
