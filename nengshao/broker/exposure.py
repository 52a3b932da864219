"""Who may reach the broker by its configuration, and whether its refusals can be counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nengshao.broker.configuration import Embedded, Listener, Mosquitto
from nengshao.broker.findings import Finding, finding

_NEEDED: Final = ("notice", "subscribe", "debug")
_DEFAULT: Final = ("error", "warning", "notice", "information")


def exposed(conf: Mosquitto) -> Iterator[Finding]:
    """What lets others speak, listen, or go unseen."""
    for listener in conf.listeners:
        yield from _door(conf, listener)
    types = conf.log_types or _DEFAULT
    missing = [] if "all" in types else [kind for kind in _NEEDED if kind not in types]
    if missing:
        lines = "; ".join(f"log_type {kind}" for kind in missing)
        yield finding("denials-unseen", missing=", ".join(missing), instead=lines)
    if not any(target.startswith("file ") for target in conf.log_targets):
        yield finding("log-not-a-file")


def exposed_embedded(conf: Embedded) -> Iterator[Finding]:
    """The same of the embedded broker, which has no rules."""
    for listener in conf.listeners:
        if not conf.has_accounts:
            yield finding("anonymous", listener=listener)
        yield finding("no-acl", listener=listener)
        yield from _plain(listener)


def _door(conf: Mosquitto, listener: Listener) -> Iterator[Finding]:
    has_plugin = any(conf.of(listener, name) for name in ("plugin", "auth_plugin"))
    accounts = conf.of(listener, "password_file") or listener.knows_by_certificate or has_plugin
    # Mosquitto 2 without any listener serves this machine alone, and lets everybody in.
    if conf.of(listener, "allow_anonymous") in ({None, "true"} if conf.is_local_default else {"true"}):
        yield finding("anonymous", listener=listener)
    elif not accounts:
        yield finding("no-accounts", listener=listener)
    if not conf.of(listener, "acl_file") and not has_plugin:
        yield finding("no-acl", listener=listener)
    yield from _plain(listener)


def _plain(listener: Listener) -> Iterator[Finding]:
    if not listener.is_loopback and not listener.is_encrypted:
        yield finding("no-tls", listener=listener)
