"""docs/registry.md documents every table and column, and every value that a cell may have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nengshao.domain.factors import Basis, Confidence
from nengshao.domain.units import Carrier, PointKind, Role, Unit
from nengshao.registry_tables import COLUMNS

TEXT = (Path(__file__).parents[2] / "docs" / "registry.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+) [^\n]*\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("table", COLUMNS)
def test_every_column_is_documented_in_file_order(table: str) -> None:
    assert tuple(re.findall(r"^\| `(\w+)` \|", SECTIONS[table], re.MULTILINE)) == COLUMNS[table]


@pytest.mark.parametrize("value", [*Unit, *Carrier, *PointKind, *Role, *Basis, *Confidence])
def test_every_value_of_an_enumeration_is_documented(value: str) -> None:
    assert f"`{value}`" in TEXT
