"""What a settings file says of directories, and what an import of the registry says of norms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from analytics.law import load_law
from nengshao.checkup import unknown_norms
from nengshao.cli import app
from nengshao.frames import PRODUCTS
from nengshao.registry import Registry
from nengshao.registry_tables import tables_of, write_tables
from nengshao.settings import load_settings
from tests.support import metering as m


@pytest.fixture
def county(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file in a folder of its own; commands are typed elsewhere."""
    folder = tmp_path / "county"
    (folder / "norms").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    lines = [
        f'data_dir = "{(tmp_path / "data").as_posix()}"',
        "[assess]",
        'norm_dirs = ["norms"]',
        'factor_dirs = ["/somewhere/factors", "../shared/factors"]',
    ]
    (folder / "nengshao.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_directories_of_a_settings_file_are_looked_for_beside_it(county: Path) -> None:
    assess = load_settings(county / "nengshao.toml").assess
    assert assess.norm_dirs == (county / "norms",)
    assert assess.factor_dirs == (Path("/somewhere/factors"), county / "../shared/factors")
    assert assess.rulebook_dirs == ()


def test_so_are_those_of_a_file_named_from_where_one_stands(
    county: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(county)
    assert load_settings(Path("nengshao.toml")).assess.norm_dirs == (county / "norms",)


def test_those_of_the_environment_are_as_typed(county: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NENGSHAO_ASSESS__NORM_DIRS", '["norms"]')
    assert load_settings(county / "nengshao.toml").assess.norm_dirs == (Path("norms"),)


def test_a_directory_that_is_no_text_is_still_refused_by_name(county: Path) -> None:
    (county / "nengshao.toml").write_text("[assess]\nnorm_dirs = [3]\n", encoding="utf-8")
    done = CliRunner().invoke(app, ["check", "--settings", str(county / "nengshao.toml")])
    assert done.exit_code == 2
    assert "assess.norm_dirs.0" in done.output


def with_products(*norms: str) -> Registry:
    """A registry whose enterprise makes a product under each of these norms."""
    rows = [(m.ENTERPRISE, f"p{n}", "熟料", "t", norm, m.T0, None) for n, norm in enumerate(norms)]
    products = pl.DataFrame(rows, schema=dict(PRODUCTS.schema), orient="row")
    return replace(m.registry(m.points(m.registered_point(1))), products=products)


def test_a_norm_that_nobody_wrote_is_told_with_its_row_and_what_there_is() -> None:
    norms = load_law().norms
    (said,) = unknown_norms(with_products("clinker", "", "clinkr"), norms)
    assert said.startswith(f"products {m.ENTERPRISE}/p2（2025-01-01 起）")
    assert "clinkr" in said
    assert "相近 / close to it: clinker" in said
    (said,) = unknown_norms(with_products("xyzzy"), norms)
    assert "cement" in said  # nothing is like it: all there are
    assert unknown_norms(with_products("clinker"), norms) == []


def test_an_import_says_so_at_once(county: Path, tmp_path: Path) -> None:
    write_tables(tables_of(with_products("clinkr")), tmp_path / "registry")
    settings = ["--settings", str(county / "nengshao.toml")]
    imported = CliRunner().invoke(app, ["registry", "import", str(tmp_path / "registry"), *settings])
    assert imported.exit_code == 2  # the factors' directory does not exist: first things first
    text = (county / "nengshao.toml").read_text(encoding="utf-8")
    kept = "\n".join(line for line in text.splitlines() if "factor_dirs" not in line)
    (county / "nengshao.toml").write_text(kept, encoding="utf-8")
    for command in (["registry", "import", str(tmp_path / "registry")], ["check"]):
        done = CliRunner().invoke(app, [*command, *settings])
        assert done.exit_code == 0, done.output
        assert "clinkr" in done.output
