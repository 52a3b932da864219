"""Changing the number of partitions while messages come in: nothing lost, nothing booked twice.

Every phase may be done again after a crash; until the last one the old number holds.

1. **Announce.** The StateStore keeps the new number; from now on nobody gets a share of the ingest leases but
   the holder of the repartition's own lease. Running holders finish what they have in hand and give theirs
   back at the next renewal; a dead one's runs out.
2. **Subscribe anew.** The new partitions' sessions are opened under names that were never used before, and
   subscribe. From each SUBACK on the broker keeps every message for them.
3. **Drain.** Under the old leases, the old sessions unsubscribe and what they still keep goes into the books.
   What came between 2 and here is in both: the second delivery is a duplicate by the usual rules.
4. **End the old sessions**, which are empty now and would keep nothing.
5. **Switch.** One transaction moves every row to its new partition, splits open intents, ends every lease and
   lets the new number hold. Running processes notice, and put themselves together anew.

Order per device is kept: what the new sessions keep is taken only after the old ones are drained.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from ingest.ingestor import Ingestor
from ingest.subscriber import Subscriber
from ingest.subscriptions import filters_of
from nengshao.app import Stores, clock_of, open_stores, session_of
from nengshao.domain.errors import ConfigError, StoreUnavailable
from nengshao.ports import Lease, Partitioning, StateStore
from nengshao.settings import Settings
from nengshao.telemetry import Telemetry

_LOG: Final = logging.getLogger(__name__)
_IDLE_S: Final = 0.05
_TRIES: Final = 5  # of the switch: who is in its way holds it up for seconds at most


def repartition(settings: Settings, to: int) -> Iterator[str]:
    """Change the number of partitions; a line for each phase that is done.

    Raises: ConfigError: another change is not finished, or under way; StoreUnavailable, LeaseLost: repeat it.
    """
    with ExitStack() as resources:
        stores = open_stores(settings, resources)
        state, before = stores.state, stores.state.partitions
        if before.count == to and before.announced is None:
            yield f"已是 {to} 个分区 / there are {to} partitions already"
            return
        change = _Change(settings, stores, to, resources)
        yield f"已宣布：{before.count} → {to} 个分区 / announced"
        change.subscribe_anew()
        yield f"新会话已订阅 / {to} new sessions have subscribed"
        change.drain()
        yield f"旧会话已排空入账 / {before.count} old sessions are in the books"
        after = change.switch()
        yield f"已生效：{after.count} 个分区 / done, {state.inbox_size()} 条在收件箱 / in the inbox"


class _Change:
    """One announced change, and what it holds until it is over."""

    def __init__(self, settings: Settings, stores: Stores, to: int, resources: ExitStack) -> None:
        self._settings, self._state = settings, stores.state
        self._before = stores.state.partitions
        self._after = Partitioning(to, self._before.epoch + 1)
        holder = f"repartition:{socket.gethostname()}:{os.getpid()}"
        self._lease = _own_lease(stores.state, holder, settings.ingest.lease_ttl_s)
        resources.callback(_give_back, stores.state, self._lease)
        self._state.announce_partitions(to)
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="nengshao-")))
        self._sessions = [session_of(settings, self._before, n) for n in range(self._before.count)]
        self._ingestors = [
            self._ingestor(stores, session, n, folder / str(n)) for n, session in enumerate(self._sessions)
        ]
        for ingestor in self._ingestors:
            resources.callback(ingestor.close)

    def _ingestor(self, stores: Stores, session: Subscriber, partition: int, spool_dir: Path) -> Ingestor:
        """One that books an old partition's messages. It has no room to spool: they stay at the broker."""
        return Ingestor(
            stores.state,
            stores.readings,
            clock_of(self._settings.clock),
            Telemetry(),
            partition=partition,
            partitions=self._before.count,
            holder=self._lease.holder,
            settings=self._settings.ingest.model_copy(update={"spool_max_bytes": 1, "spool_first": False}),
            dialects=self._settings.dialects,
            spool_dir=spool_dir,
            subscriber=session,
        )

    def subscribe_anew(self) -> None:
        """Phase 2. What comes before we have left again is not acknowledged: the session keeps it."""
        registry = self._state.registry()
        for partition in range(self._after.count):
            session = session_of(self._settings, self._after, partition)
            session.connect(filters_of(registry, partition, self._after.count))
            session.disconnect()

    def drain(self) -> None:
        """Phases 3 and 4."""
        while not self._is_drained():
            self._renew()
            done = [ingestor.step() for ingestor in self._ingestors]
            if not any(done):
                time.sleep(_IDLE_S)
        for session in self._sessions:
            session.end_session()

    def _is_drained(self) -> bool:
        """Whether every lease is ours, and nothing is on its way or waits at the broker."""
        if not all(ingestor.is_ready for ingestor in self._ingestors):
            return False
        try:
            for session in self._sessions:  # again each time: who had to connect anew has subscribed anew
                session.unsubscribe()
        except StoreUnavailable as exc:
            _LOG.warning("%s", exc)
            return False
        return not any(ingestor.in_flight for ingestor in self._ingestors)

    def _renew(self) -> None:
        with suppress(StoreUnavailable):
            self._lease = self._state.renew_lease(self._lease, self._settings.ingest.lease_ttl_s)

    def switch(self) -> Partitioning:
        """Phase 5."""
        leases = [lease for ingestor in self._ingestors if (lease := ingestor.lease) is not None]
        for _ in range(_TRIES):
            try:
                return self._state.switch_partitions(leases)
            except StoreUnavailable as exc:
                _LOG.warning("%s", exc)
                failure = exc
                time.sleep(_IDLE_S)
        raise failure


def _own_lease(state: StateStore, holder: str, ttl_s: float) -> Lease:
    """The lease of the repartition, waiting for a dead one's to run out. Raises: ConfigError."""
    deadline = time.monotonic() + 2 * ttl_s
    while time.monotonic() < deadline:
        lease = state.acquire_lease("repartition", 0, holder, ttl_s)
        if lease is not None:
            return lease
        time.sleep(_IDLE_S)
    raise ConfigError(["另一个重新分区正在进行 / another repartition is under way"])


def _give_back(state: StateStore, lease: Lease) -> None:
    with suppress(StoreUnavailable):
        state.release_lease(lease)
