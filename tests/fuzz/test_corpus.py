"""Every input that was ever worth keeping, and a few seconds of looking for more."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.wire import judge, message_of

HERE = Path(__file__).parent
CORPUS = sorted((HERE / "corpus").iterdir())


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_every_kept_input_comes_to_the_oracles_verdict(path: Path) -> None:
    judge(message_of(path.read_bytes()))


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None and not os.environ.get("NENGSHAO_REQUIRE_SERVERS"),
    reason="atheris has no wheel for this platform",
)
def test_ten_seconds_of_fuzzing_find_nothing(tmp_path: Path) -> None:
    (tmp_path / "found").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "-max_total_time=10", "-max_len=4096", "-timeout=20",
         f"-dict={HERE / 'wire.dict'}", f"-artifact_prefix={tmp_path}/", tmp_path / "found", HERE / "corpus"],
        cwd=HERE.parents[1], env=os.environ | {"POLARS_MAX_THREADS": "1"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert "DONE" in done.stderr
