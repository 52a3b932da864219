"""docs/glossary.md names everything that has a public name, and nothing that does not exist."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import Counter
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

import nengshao.domain
from api.alerts import _STATE_ZH
from api.intensity import _STATES_ZH
from nengshao import frames, registry
from nengshao.frames import Contract

TEXT: Final = (Path(__file__).parents[2] / "docs" / "glossary.md").read_text(encoding="utf-8")


def modules() -> list[ModuleType]:
    found = pkgutil.iter_modules(nengshao.domain.__path__, "nengshao.domain.")
    return [importlib.import_module(module.name) for module in found]


def enums() -> list[type[Enum]]:
    return [
        thing
        for module in modules()
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, Enum) and thing.__module__ == module.__name__
    ]


def contracts() -> list[Contract]:
    found = {
        thing.name: thing
        for module in (frames, registry)
        for thing in vars(module).values()
        if isinstance(thing, Contract)
    }
    return list(found.values())


def rows_of(text: str) -> list[list[str]]:
    """The cells of every table row but headers and rulers: those whose second cell is code."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    return [row for row in cells if row[1].startswith("`")]


def section(title: str) -> list[list[str]]:
    """The rows under a heading of the second level."""
    [found] = re.findall(rf"^## {title} .*?$(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    return rows_of(found)


IDEAS: Final = section("概念")
FRAMES: Final = {row[1].strip("`"): row for row in section("列约定")}
COLUMNS: Final = {row[1].strip("`"): row for row in section("列")}
MEMBERS: Final = {row[1].strip("`"): row for row in section("枚举")}
EXPECTED_MEMBERS: Final = {f"{kind.__name__}.{member.name}": member for kind in enums() for member in kind}


def test_every_enum_member_of_the_domain_is_in_the_glossary_and_no_other() -> None:
    assert set(MEMBERS) == set(EXPECTED_MEMBERS)


@pytest.mark.parametrize(("name", "member"), EXPECTED_MEMBERS.items())
def test_a_members_row_gives_its_value_and_its_chinese_name(name: str, member: Enum) -> None:
    chinese, _, value, _ = MEMBERS[name]
    assert value == f"`{member.value}`"
    assert chinese == getattr(member, "zh", chinese)
    assert re.search(r"[\u4e00-\u9fff]", chinese)


def test_every_enum_has_a_heading_with_its_chinese_name() -> None:
    headings = re.findall(r"^### ([\u4e00-\u9fff]+) `(\w+)`$", TEXT, re.MULTILINE)
    assert {name for _, name in headings} == {kind.__name__ for kind in enums()}


def test_every_frame_is_in_the_glossary_and_no_other() -> None:
    assert set(FRAMES) == {contract.name for contract in contracts()}


def test_every_column_is_in_the_glossary_with_the_frames_that_have_it() -> None:
    documented = {name: set(row[4].split()) for name, row in COLUMNS.items()}
    expected: dict[str, set[str]] = {}
    for contract in contracts():
        for column in contract.schema:
            expected.setdefault(column, set()).add(contract.name)
    assert documented == expected


@pytest.mark.parametrize("row", [*FRAMES.values(), *COLUMNS.values()], ids=lambda row: row[1])
def test_frames_and_columns_have_a_chinese_name_and_a_meaning(row: list[str]) -> None:
    assert re.search(r"[\u4e00-\u9fff]", row[0])
    assert all(row)


@pytest.mark.parametrize(
    "rows", [IDEAS, list(FRAMES.values()), list(COLUMNS.values()), list(MEMBERS.values())]
)
def test_a_chinese_term_names_one_thing(rows: list[list[str]]) -> None:
    assert [term for term, times in Counter(row[0] for row in rows).items() if times > 1] == []
    assert [name for name, times in Counter(row[1] for row in rows).items() if times > 1] == []


def test_a_column_keeps_the_name_of_the_idea_it_holds() -> None:
    ideas = {row[0]: row[1] for row in IDEAS}
    shared = {row[0]: row[1] for row in COLUMNS.values() if row[0] in ideas}
    assert shared == {chinese: ideas[chinese] for chinese in shared}


@pytest.mark.parametrize("shown", [_STATE_ZH, _STATES_ZH], ids=["alerts", "intensities"])
def test_the_api_names_states_as_the_glossary_does(shown: dict[Enum, str]) -> None:
    named = {f"{type(state).__name__}.{state.name}": chinese for state, chinese in shown.items()}
    assert named == {name: MEMBERS[name][0] for name in named}
