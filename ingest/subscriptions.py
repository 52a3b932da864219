"""What a partition's session subscribes to."""

from __future__ import annotations

from ingest.subscriber import Subscriber
from nengshao.domain.codes import partition_of
from nengshao.ports import Lease, StateStore
from nengshao.registry import Registry
from nengshao.wire import DATA, ROOT, STATUS


def filters_of(registry: Registry, partition: int, partitions: int) -> list[str] | None:
    """The topics of the partition's own enterprises; None with a single partition: everybody's, by wildcard.

    Two sessions never have a topic in common, or two holders would book the same message.
    """
    if partitions == 1:
        return None
    names = registry.enterprises["enterprise"]
    own = [name for name in names if partition_of(name, partitions) == partition]
    return [f"{ROOT}/{enterprise}/+/{leaf}" for enterprise in own for leaf in (DATA, STATUS)]


class Announcement:
    """By which registry a partition's session subscribes. Only when that is said does `broker-acl` let a new
    enterprise in: what nobody subscribes to is acknowledged and gone.
    """

    def __init__(self, state: StateStore, subscriber: Subscriber | None) -> None:
        self._state, self._subscriber, self._noted = state, subscriber, -1
        self.version = 0

    def note(self, lease: Lease) -> None:
        """Say it, once it is so and has not been said. Raises: LeaseLost, StoreUnavailable."""
        is_subscribed = self._subscriber is not None and self._subscriber.is_subscribed
        if is_subscribed and self._noted != self.version:
            self._state.record_subscription(lease, self.version)
            self._noted = self.version
