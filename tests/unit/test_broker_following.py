"""A log through rotations: each line once, and none lost, whoever goes on reading."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nengshao.broker.following import LogFile


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "broker.log"


def write(path: Path, *lines: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def all_of(reader: LogFile) -> list[str]:
    lines: list[str] = []
    while some := reader.read():
        lines += [line.decode() for line in some]
    return lines


def test_log_that_is_not_there_yet_is_waited_for(log: Path) -> None:
    reader = LogFile(log)
    assert all_of(reader) == []
    log.touch()
    assert all_of(reader) == []
    write(log, "a")
    assert all_of(reader) == ["a"]


def test_half_a_line_waits_for_its_end(log: Path) -> None:
    reader = LogFile(log)
    write(log, "a")
    with log.open("a", encoding="utf-8") as file:
        file.write("b")
    assert all_of(reader) == ["a"]
    write(log, "c")
    assert all_of(reader) == ["bc"]


def test_another_reader_goes_on_where_the_first_one_stopped(log: Path) -> None:
    write(log, "a", "b")
    first = LogFile(log)
    assert all_of(first) == ["a", "b"]
    write(log, "c")
    second = LogFile(log, first.position)
    assert [line.decode() for line in second.read_before()] == ["a", "b"]
    assert all_of(second) == ["c"]


@pytest.mark.parametrize("reads_between", [True, False])
@pytest.mark.parametrize("goes_on", [True, False])
def test_renamed_log_is_read_to_its_end_and_then_the_new_ones(
    log: Path, *, reads_between: bool, goes_on: bool
) -> None:
    reader, lines = LogFile(log), list[str]()
    write(log, "a1")
    lines += all_of(reader)
    for number in range(1, 4):
        log.rename(log.with_name(f"broker.log.{number}"))  # older ones keep their names here
        write(log.with_name(f"broker.log.{number}"), f"{number} late")  # the broker has it open still
        if reads_between:
            lines += all_of(reader)
        write(log, f"{number} new")
        if not goes_on:
            reader = LogFile(log, reader.position)
    lines += all_of(reader)
    assert lines == ["a1", "1 late", "1 new", "2 late", "2 new", "3 late", "3 new"]


def test_empty_new_log_does_not_end_the_reading_of_the_old_one(log: Path) -> None:
    reader = LogFile(log)
    write(log, "a")
    assert all_of(reader) == ["a"]
    log.rename(log.with_name("broker.log.1"))
    log.touch()
    assert all_of(reader) == []
    write(log.with_name("broker.log.1"), "b")
    assert all_of(reader) == ["b"]
    write(log, "c")
    assert all_of(reader) == ["c"]


def test_log_that_is_copied_and_truncated_is_read_on_in_the_copy(log: Path) -> None:
    reader = LogFile(log)
    write(log, "a", "b")
    assert all_of(reader) == ["a", "b"]
    write(log, "c")
    shutil.copy2(log, log.with_name("broker.log.1"))
    log.write_text("")
    write(log, "d")
    assert all_of(reader) == ["c", "d"]


def test_log_whose_past_is_gone_is_read_from_its_beginning(log: Path) -> None:
    write(log, "a", "b")
    first = LogFile(log)
    assert all_of(first) == ["a", "b"]
    log.unlink()
    write(log, "x", "y")
    assert all_of(LogFile(log, first.position)) == ["x", "y"]
