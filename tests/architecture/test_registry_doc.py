"""docs/registry.md documents every table, column and value that a cell may have; its example imports."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Final

import polars as pl
import pytest

from nengshao.domain.factors import Basis, Confidence
from nengshao.domain.targets import Profile, TargetLevel
from nengshao.domain.units import Carrier, PointKind, Role, Scope, Unit, Use
from nengshao.registry import CONTRACTS
from nengshao.registry_rows import COLUMNS, REQUIRED_COLUMNS
from nengshao.registry_tables import loose_ends, read_tables, registry_of
from nengshao.stores.state.registry_problems import registry_problems

DOCS: Final = Path(__file__).parents[2] / "docs"
EXAMPLE: Final = DOCS / "examples" / "registry"
TEXT: Final = (DOCS / "registry.md").read_text(encoding="utf-8")
SECTIONS: Final = dict(re.findall(r"^##+ (\w+) [^\n]*\n(.*?)(?=^##+ |\Z)", TEXT, re.MULTILINE | re.DOTALL))
VOCABULARIES: Final[dict[str, type[StrEnum]]] = {
    "kind": PointKind, "role": Role, "use": Use, "basis": Basis, "scope": Scope, "level": TargetLevel,
    "profile": Profile, "confidence": Confidence, "unit": Unit, "carrier": Carrier,
}  # fmt: skip


@pytest.mark.parametrize("table", COLUMNS)
def test_every_column_is_documented_in_file_order_and_whether_it_is_required(table: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (必填)? *\|", SECTIONS[table], re.MULTILINE)
    assert tuple(column for column, _ in rows) == COLUMNS[table]
    assert tuple(column for column, required in rows if required) == REQUIRED_COLUMNS[table]


@pytest.mark.parametrize("name", VOCABULARIES)
def test_every_value_of_a_vocabulary_is_documented(name: str) -> None:
    values = re.findall(r"^\| `([^`]+)` \|", SECTIONS[name], re.MULTILINE)
    assert values == [member.value for member in VOCABULARIES[name]]


def test_a_carriers_name_and_unit_are_those_of_the_program() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| `(\w+)` \|$", SECTIONS["carrier"], re.MULTILINE)
    assert rows == [(carrier.value, carrier.zh, carrier.unit.value) for carrier in Carrier]


def test_the_worked_example_imports_without_a_problem() -> None:
    registry = registry_of(read_tables(EXAMPLE))
    assert registry_problems(registry) == []
    assert loose_ends(registry) == []
    assert {path.stem for path in EXAMPLE.iterdir()} == set(CONTRACTS)
    assert [name for name in CONTRACTS if getattr(registry, name).is_empty()] == []
    assert registry.enterprises.height == 2


def test_the_worked_example_shows_what_it_promises() -> None:
    registry = registry_of(read_tables(EXAMPLE))
    kinds = set(registry.points["kind"])
    assert {"register", "amount", "stock", "virtual"} <= kinds
    # 1# 进线: ratio 3000 → 4000 at 812.50; 2# 进线: 35/0.1, replaced at 98 712.5; in 10⁻⁶ kWh.
    reads = registry.meter_changes.sort("at").select("closing", "opening").rows()
    assert reads == [
        (34_549_375 * 10**6, 105 * 10**6),  # 98 712.5 × 350, 0.3 × 350
        (2_437_500 * 10**6, 3_250_000 * 10**6),  # 812.5 × 3000, 812.5 × 4000
    ]
    assert registry.quotas.filter(pl.col("profile") == "plan").height == 2
    assert set(registry.points["use"]) == {"energy", "feedstock", "non_fossil"}
