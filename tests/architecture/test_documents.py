"""The documents for people: what they name exists, and what exists and concerns them is named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from nengshao.app import ROLES
from nengshao.cli import app
from nengshao.telemetry import Telemetry

ROOT: Final = Path(__file__).parents[2]
ADRS: Final = sorted((ROOT / "docs" / "adr").glob("0*.md"))
DOCUMENTS: Final = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
OPERATIONS: Final = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
API: Final = json.loads((ROOT / "tests" / "golden" / "openapi.json").read_text(encoding="utf-8"))
FOLDERS: Final = "nengshao|ingest|analytics|api|simulators|deploy|tests|docs"


def commands() -> list[str]:
    """Every command as typed after `nengshao`."""
    group: Any = typer.main.get_command(app)
    names = []
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        names += [f"{name} {below}" for below in inner] if inner else [name]
    return names


def named(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    paths = re.findall(rf"`((?:{FOLDERS})/[\w./*-]+)`", text)
    assert [path for path in paths if not list(ROOT.glob(path.rstrip("/")))] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_link_within_the_repository_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_make_target_and_command_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert targets is not None
    assert set(re.findall(r"`make ([a-z]+)", text)) <= set(targets[1].split())
    words = {word for command in commands() for word in command.split()[:1]}
    assert set(re.findall(r"`nengshao ([a-z-]+)", text)) <= words


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_address_of_the_api_that_a_document_names_exists(document: Path) -> None:
    named_here = re.findall(r"(?<!\w)/v1/[\w{}/-]+", document.read_text(encoding="utf-8"))
    paths = {re.sub(r"{\w+}", "{}", path) for path in API["paths"]}
    assert [address for address in named_here if re.sub(r"{\w+}", "{}", address) not in paths] == []


@pytest.mark.parametrize("command", commands())
def test_every_command_is_in_the_operators_pages(command: str) -> None:
    assert f"`nengshao {command}" in OPERATIONS


@pytest.mark.parametrize("role", ROLES)
def test_every_role_is_in_the_operators_pages(role: str) -> None:
    assert re.search(rf"^\| `{role}` \|", OPERATIONS, re.MULTILINE)


def test_every_metric_is_in_the_operators_pages_with_its_labels_and_no_other() -> None:
    metrics = [metric for metric in vars(Telemetry()).values() if hasattr(metric, "describe")]
    expected = {}
    for metric in metrics:
        [family] = metric.describe()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        expected[name] = (", ".join(metric._labelnames), family.documentation)
    rows = re.findall(r"^\| `(nengshao_\w+)` \| ([^|]*)\| [^|]+ \| (.+) \|$", OPERATIONS, re.MULTILINE)
    assert {name: (labels.strip(), text) for name, labels, text in rows} == expected


@pytest.mark.parametrize("adr", ADRS, ids=named)
def test_a_decision_says_why_what_follows_what_else_and_what_enforces_it(adr: Path) -> None:
    headings = re.findall(r"^## (.+)$", adr.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences", "Alternatives", "Enforced by"]


def test_every_decision_is_listed() -> None:
    listed = re.findall(
        r"\]\((0\S+\.md)\)", (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")
    )
    assert listed == [adr.name for adr in ADRS]


def test_the_two_readmes_lead_to_each_other_at_the_top() -> None:
    english, chinese = ROOT / "README.md", ROOT / "README.zh-CN.md"
    for document, other in ((english, chinese), (chinese, english)):
        top = "\n".join(document.read_text(encoding="utf-8").splitlines()[:5])
        assert f"({other.name})" in top
