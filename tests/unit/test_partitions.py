"""Who subscribes to what, and where what was spooled for a partition that is no more ends up."""

from __future__ import annotations

from pathlib import Path

from ingest.inbox import hand_over_strangers
from ingest.spool import Spool
from ingest.subscriptions import filters_of
from nengshao.domain.codes import partition_of
from nengshao.ports import Partitioning
from nengshao.registry import Registry
from nengshao.settings import IngestSettings
from nengshao.wire import Message
from tests.support import plants
from tests.support.state import opened

SETTINGS = IngestSettings(batch_rows=20)


def test_every_enterprise_is_subscribed_to_by_exactly_one_of_several_partitions() -> None:
    registry = plants.registry(enterprises=20)
    topics = [topic for n in range(3) for topic in filters_of(registry, n, 3) or ()]
    codes = registry.enterprises["enterprise"]
    assert sorted(topics) == sorted(f"nhjc/v1/{c}/+/{leaf}" for c in codes for leaf in ("data", "status"))


def test_one_partition_subscribes_to_everybody_and_several_to_nobody_without_a_registry() -> None:
    assert filters_of(plants.registry(), 0, 1) is None
    assert filters_of(Registry(), 0, 2) == []


def test_names_of_sessions_and_spools_are_never_used_twice() -> None:
    again = [Partitioning(count, epoch) for epoch, count in enumerate((1, 2, 1, 3))]
    names = [each.name_of(partition) for each in again for partition in range(each.count)]
    assert len(set(names)) == len(names)


def test_what_was_spooled_for_another_partitioning_goes_to_the_inbox_in_order(tmp_path: Path) -> None:
    own, old, empty = (tmp_path / "spool" / name for name in ("1.0", "0.0", "0.1"))
    sent = [Message(plants.topic(n % 3 + 1), f"message {n}".encode()) for n in range(50)]
    Spool(old, 10**6).append([(message, 1_700_000_000 + n) for n, message in enumerate(sent)])
    Spool(empty, 10**6)
    kept = Spool(own, 10**6)
    kept.append([(Message(plants.topic(1), b"kept"), 1)])
    with opened(f"sqlite:///{tmp_path / 'state.db'}", partitions=2) as state:
        for _ in range(2):  # again after a crash: the same
            hand_over_strangers(tmp_path / "spool", {"1.0"}, state, SETTINGS)
        for partition in range(2):
            entries = state.take_inbox(partition, 100)
            mine = [m for m in sent if partition_of(m.topic.split("/")[2], 2) == partition]
            assert [Message(entry.topic, entry.raw) for entry in entries] == mine
        assert state.inbox_size() == len(sent)
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["1.0"]
    assert kept.count == 1


def test_no_spool_at_all_is_nothing_to_hand_over(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path / 'state.db'}") as state:
        hand_over_strangers(tmp_path / "spool", set(), state, SETTINGS)
        assert state.inbox_size() == 0
