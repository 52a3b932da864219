"""The disk spool keeps order, survives a torn tail, and is bounded."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from ingest.spool import Spool, SpoolFull
from nengshao.wire import Message


def messages(first: int, count: int) -> list[tuple[Message, int]]:
    return [(Message(f"t/{n}", b"payload %d" % n), n) for n in range(first, first + count)]


def topics(spool: Spool) -> list[str]:
    return [record.message.topic for record in spool.head(1_000_000)]


def test_messages_come_back_in_order_with_their_arrival_times(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000_000)
    spool.append(messages(0, 3))
    spool.append(messages(3, 2))
    batch = spool.head(1_000_000)
    assert [(r.message, r.arrived_at) for r in batch] == messages(0, 5)
    assert spool.count == 5


def test_what_is_settled_is_gone_and_the_rest_survives_a_restart(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000_000)
    spool.append(messages(0, 10))
    first = spool.head(30)
    spool.settle(first)
    again = Spool(tmp_path, 1_000_000)
    assert topics(again) == [f"t/{n}" for n in range(len(first), 10)]
    again.settle(again.head(1_000_000))
    assert Spool(tmp_path, 1_000_000).count == 0
    assert again.size == 0


def test_new_messages_queue_behind_old_ones_while_it_is_drained(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000_000)
    spool.append(messages(0, 4))
    spool.settle(spool.head(10))
    spool.append(messages(4, 2))
    expected = [f"t/{n}" for n in range(4 - spool.count + 2, 6)]
    assert topics(spool) == expected
    assert topics(Spool(tmp_path, 1_000_000)) == expected


def test_a_torn_tail_is_left_out_and_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000_000)
    spool.append(messages(0, 3))
    segment = next(tmp_path.glob("*.spool"))
    segment.write_bytes(segment.read_bytes()[:-4])
    again = Spool(tmp_path, 1_000_000)
    assert topics(again) == ["t/0", "t/1"]
    assert again.torn > 0
    again.append(messages(7, 1))  # never behind the torn record, where nobody would find it
    assert topics(again) == ["t/0", "t/1", "t/7"]


def test_a_damaged_record_is_never_handed_out(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000_000)
    spool.append(messages(0, 1))
    segment = next(tmp_path.glob("*.spool"))
    data = bytearray(segment.read_bytes())
    data[-1] ^= 0xFF
    segment.write_bytes(bytes(data))
    assert Spool(tmp_path, 1_000_000).head(100) == []


def test_a_full_spool_takes_nothing_and_loses_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 200)
    spool.append(messages(0, 4))
    with pytest.raises(SpoolFull):
        spool.append(messages(4, 4))
    assert topics(spool) == ["t/0", "t/1", "t/2", "t/3"]


def test_a_second_outage_after_a_drain_and_a_restart_loses_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000_000)
    spool.append(messages(0, 5))
    spool.settle(spool.head(1_000_000))
    again = Spool(tmp_path, 1_000_000)
    again.append(messages(5, 6))
    expected = [f"t/{n}" for n in range(5, 11)]
    assert topics(again) == expected
    assert again.count == 6
    assert topics(Spool(tmp_path, 1_000_000)) == expected


def test_a_position_that_cannot_be_read_is_the_beginning(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000_000)
    spool.append(messages(0, 3))
    spool.settle(spool.head(1))
    (tmp_path / "position").write_text("", encoding="ascii")
    assert topics(Spool(tmp_path, 1_000_000)) == ["t/0", "t/1", "t/2"]


def test_messages_that_the_disk_damaged_are_not_waited_for_for_ever(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000_000)
    spool.append(messages(0, 3))
    next(tmp_path.glob("*.spool")).write_bytes(b"damaged")
    assert spool.head(1_000_000) == []
    spool.give_up()
    assert spool.count == 0


def test_a_disk_without_room_is_a_full_spool_and_hides_nothing_that_follows(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000_000)
    spool.append(messages(0, 3))
    size = next(tmp_path.glob("*.spool")).stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (size + 10, hard)
        )  # the next record breaks off after 10 bytes
        with pytest.raises(SpoolFull):
            spool.append(messages(3, 3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    spool.append(messages(6, 2))
    assert topics(spool) == topics(Spool(tmp_path, 1_000_000)) == [f"t/{n}" for n in (0, 1, 2, 6, 7)]
    assert spool.count == 5


def test_a_disk_without_room_for_the_position_is_drained_all_the_same(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1_000_000)
    spool.append(messages(0, 3))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        spool.settle(spool.head(20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    left = topics(spool)
    assert left == [f"t/{n}" for n in range(3 - spool.count, 3)]
    assert (
        topics(Spool(tmp_path, 1_000_000))[-len(left) :] == left
    )  # a restart may read some again, never less
