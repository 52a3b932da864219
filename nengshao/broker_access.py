"""`nengshao broker-acl`: the broker's rules and accounts brought in line with the registry."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nengshao.app import clock_of, open_state_store
from nengshao.broker.access import Access, access_of, accounts_text, admitted, enterprises_in, rules_text
from nengshao.domain.errors import ConfigError
from nengshao.ports import StateStore
from nengshao.settings import Settings

_LOOK_S: Final = 0.5  # a holder follows the registry within a second


def write_access(settings: Settings, rules: Path, accounts: Path | None, wait_s: float) -> Iterator[str]:
    """Write the rules file, and strike from `accounts` (a password file) whoever may not sign in any more.

    Waits up to `wait_s` for partitions that have not subscribed to new enterprises yet. Says what it did, and
    which devices have no account. Each file is replaced whole or not at all.
    Raises: ConfigError, StoreUnavailable.
    """
    service = settings.mqtt.username
    if service is None:
        raise ConfigError(["mqtt.username：规则需要接入的账号 / the rules need the service's own account"])
    present = enterprises_in(_text_of(rules)) if rules.exists() else frozenset()
    state = open_state_store(settings)
    try:
        access, let_in = _admitted(settings, state, present)
        deadline = time.monotonic() + wait_s
        while let_in != access and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
            access, let_in = _admitted(settings, state, present)
    finally:
        state.close()
    known = frozenset[str]() if accounts is None else _names(_text_of(accounts))
    _replace(rules, rules_text(let_in, service, known))
    devices = sum(len(of_one) for of_one in let_in.devices.values())
    yield f"{rules}: {len(let_in.devices)} 家企业、{devices} 台设备 / enterprises and their devices"
    for enterprise in access.devices.keys() - let_in.devices.keys():
        yield f"暂不放行，其分区尚未订阅 / not yet: its partition has not subscribed: {enterprise}"
    if accounts is not None:
        yield from _strike(accounts, [service, *let_in.accounts])


def _admitted(settings: Settings, state: StateStore, present: frozenset[str]) -> tuple[Access, Access]:
    """Who is to have access by the registry, and who of them is let in now."""
    registry = state.registry()
    access = access_of(registry, clock_of(settings.clock).now())
    count = state.partitions.count
    return access, admitted(access, state.subscriptions(), registry.version, count, present)


def _strike(accounts: Path, allowed: list[str]) -> Iterator[str]:
    text = _text_of(accounts)
    kept = accounts_text(text, allowed)
    _replace(accounts, kept)
    before, after = (_names(lines) for lines in (text, kept))
    for name in sorted(before - after):
        yield f"已撤销账号 / account struck: {name}"
    for name in allowed:
        if "/" in name and not after & {name, name.partition("/")[0]}:
            yield f"没有账号 / has no account: {name}"


def _names(accounts: str) -> frozenset[str]:
    return frozenset(line.partition(":")[0] for line in accounts.splitlines())


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError([f"{path}: {exc.strerror}"]) from exc


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all. It keeps its permissions; a new one the broker can read."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    fresh = path.with_name(f"{path.name}.new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.chmod(mode)
        fresh.replace(path)
    except OSError as exc:
        fresh.unlink(missing_ok=True)
        raise ConfigError([f"{path}: {exc.strerror}"]) from exc
