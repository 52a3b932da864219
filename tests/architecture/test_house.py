"""The house rules that a reader relies on, held against the source tree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nengshao.checkup import OUR_NAMES, foreign_names

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for name in OUR_NAMES for path in (ROOT / name).rglob("*.py"))
LONGEST_MODULE = 400
LONGEST_FUNCTION = 50
ALLOWED_LONG = {
    "nengshao/app.py",  # the composition root: one straight line is easier to read than threaded state
    "nengshao/telemetry.py",  # every metric, one after another
    "nengshao/stores/state/migrations/versions/r0001_first.py",  # a schema, table after table
}


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_every_arrow_between_modules_points_down() -> None:
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_each_of_our_names_is_ours_and_no_stranger_s() -> None:
    assert list(foreign_names()) == []


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_module_is_one_room(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_MODULE or relative(path) in ALLOWED_LONG


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_function_can_be_read_at_once(path: Path) -> None:
    if relative(path) in ALLOWED_LONG:
        return
    long = [f.name for f in functions(path) if (f.end_lineno or 0) - f.lineno + 1 > LONGEST_FUNCTION]
    assert long == []


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_null_becomes_zero_only_where_a_comment_says_why_that_invents_nothing(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if re.search(r"fill_null\(\s*0", line):
            assert any("#" in above for above in lines[max(0, number - 3) : number]), f"line {number + 1}"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_package_file_says_what_the_folder_is_and_holds_no_code_of_its_own(path: Path) -> None:
    if path.name != "__init__.py":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)


def test_the_two_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for readme in ("README.md", "README.zh-CN.md"):
        text = (ROOT / readme).read_text(encoding="utf-8")
        for command in ("demo", "test"):
            assert f"make {command}" in text
            assert re.search(rf"^{command}:", makefile, re.MULTILINE)


def test_ci_calls_the_readme_s_test_command_and_demands_the_real_servers() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make test" in script
    assert "NENGSHAO_REQUIRE_SERVERS=1" in script


def test_the_lock_file_names_no_index_and_hashes_everything() -> None:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if "://" in line or "index" in line]
    pinned = [n for n, line in enumerate(lines) if "==" in line]
    assert pinned
    assert all("--hash=sha256:" in lines[n + 1] for n in pinned)
