"""Coverage-guided fuzzing of what a device may send: `make fuzz SECONDS=600`.

Inputs that reach new code are kept in .fuzz/; what is worth keeping for good moves into tests/fuzz/corpus.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["nengshao.wire", "ingest.screening", "tests.fuzz.oracle"]):
    from tests.fuzz.wire import judge, message_of


def one(data: bytes) -> None:
    """One execution."""
    judge(message_of(data))


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
