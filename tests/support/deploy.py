"""What `deploy/` says, for the tests that check it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from nengshao.settings import Settings
from tests.servers.server import DEPLOY

COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {"ingest": {"ingest", "serve"}, "assess": {"assess", "serve"}, "serve": {"serve"}}
"""The roles of each of our services: every process also serves its own health and metrics."""

CHINESE = re.compile(r"[\u4e00-\u9fff]")


def mounts_of(service: dict[str, Any]) -> list[tuple[str, str]]:
    """(source, target) of every volume and bind mount; a file of ours is mounted read-only."""
    mounts = []
    for text in service.get("volumes", []):
        source, target, *mode = text.split(":")
        assert mode == ["ro"] if source.startswith(".") else mode in ([], ["ro"])
        mounts.append((source, target))
    return mounts


def secrets_of(service: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, path in the container) of every secret."""
    granted = service.get("secrets", [])
    return [
        (item, f"/run/secrets/{item}") if isinstance(item, str) else (item["source"], item["target"])
        for item in granted
    ]


def make_secrets(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(DEPLOY / "make-secrets.sh"), *arguments],
        env=os.environ | {"SECRETS_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=check,
    )


def settings_paths(
    model: type[BaseModel], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(path, default as TOML would have it) of every setting."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings_paths(kind, (*above, name))
        else:
            default = field.get_default(call_default_factory=True)
            default = list(default) if isinstance(default, tuple) else default
            yield (*above, name), str(default) if isinstance(default, Path) else default


def environment_names() -> set[str]:
    return {"NENGSHAO_" + "__".join(path).upper() for path, _ in settings_paths(Settings)}
