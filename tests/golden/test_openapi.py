"""The HTTP contract, pinned: a change of the OpenAPI document is visible in review.

To take a change over, look at the difference, then run in the checkout:

    NENGSHAO_WRITE_GOLDEN=1 python -m pytest tests/golden/test_openapi.py
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import served

GOLDEN = Path(__file__).with_name("openapi.json")


@pytest.fixture
def document(tmp_path: Path) -> Iterator[dict[str, Any]]:
    with served(tmp_path) as api:
        yield api.get("/openapi.json").json()


def test_the_openapi_document_is_the_one_that_was_reviewed(document: dict[str, Any]) -> None:
    text = json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    if os.environ.get("NENGSHAO_WRITE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_every_error_in_the_document_is_a_problem(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400 and path != "/health/ready":
                    assert list(answer["content"]) == ["application/problem+json"], (path, status)


def test_every_figure_in_tce_or_share_says_so(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    silent = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, facts in schema.get("properties", {}).items()
        if field.split("_")[-1] == "tce" and "tce" not in facts.get("description", "").lower()
        and "吨标准煤" not in facts.get("description", "")
    ]  # fmt: skip
    assert silent == []
