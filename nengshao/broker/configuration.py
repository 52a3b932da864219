"""A broker's configuration as its files have it: Mosquitto's with `include_dir`, or the embedded TOML."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nengshao.domain.errors import ConfigError

_ACCEPTS: Final = re.compile(r"#\s*doctor-accepts ([a-z-]+): (\S.*)")
_SPAN_S: Final = {"h": 3_600, "d": 86_400, "w": 7 * 86_400, "m": 30 * 86_400, "y": 365 * 86_400}
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

_PER_LISTENER: Final = frozenset(
    {"certfile", "keyfile", "cafile", "capath", "require_certificate", "use_identity_as_username",
     "use_subject_as_username", "use_username_as_clientid", "psk_hint", "bind_interface", "max_connections"}
)  # fmt: skip
_SECURITY: Final = frozenset(
    {"allow_anonymous", "password_file", "acl_file", "psk_file", "plugin", "auth_plugin"}
)
"""Of a listener with `per_listener_settings true`, else of all."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A door of the broker, with what was said of it alone."""

    port: int
    host: str  # "": every interface
    options: dict[str, str] = field(default_factory=dict)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it: a loopback address, or a socket in the file system."""
        return self.port == 0 or self.host in _LOOPBACK

    @property
    def is_encrypted(self) -> bool:
        """Whether it speaks TLS only."""
        return "certfile" in self.options or "psk_hint" in self.options

    @property
    def knows_by_certificate(self) -> bool:
        """Whether a client's certificate says who it is."""
        named = ("use_identity_as_username", "use_subject_as_username")
        return self.options.get("require_certificate") == "true" and any(
            self.options.get(option) == "true" for option in named
        )

    def __str__(self) -> str:
        """The listener as the configuration would name it."""
        return f"{self.port} {self.host}".strip()


@dataclass(slots=True)
class Mosquitto:
    """The settings of a Mosquitto, in Mosquitto's own words; the last of a repeated one counts."""

    options: dict[str, str] = field(default_factory=dict)
    log_types: list[str] = field(default_factory=list)
    log_targets: list[str] = field(default_factory=list)  # such as `stderr`, `file /path`
    is_local_default: bool = False  # no listener is named: it serves this machine only
    listeners: list[Listener] = field(default_factory=list)
    accepted: dict[str, str] = field(default_factory=dict)  # findings that a comment accepts, with its reason

    def is_on(self, name: str, default: bool = False) -> bool:
        """Whether a switch is on."""
        return self.options.get(name, str(default).lower()) == "true"

    def number(self, name: str, default: int) -> int:
        """A whole number. Raises: ConfigError, which Mosquitto would do, too."""
        text = self.options.get(name, str(default))
        try:
            return int(text)
        except ValueError:
            raise ConfigError([f"{name}: 不是整数 / not a whole number: {text}"]) from None

    def span_s(self, name: str) -> int | None:
        """A time such as `14d` in seconds; None where it is not set. Raises: ConfigError."""
        text = self.options.get(name)
        if text is None:
            return None
        if not re.fullmatch(r"\d+[hdwmy]", text):
            raise ConfigError([f"{name}: 不是时长 / not a time such as 14d: {text}"])
        return int(text[:-1]) * _SPAN_S[text[-1]]

    def of(self, listener: Listener, name: str) -> str | None:
        """A setting of access as it holds for this listener."""
        if self.is_on("per_listener_settings") and name in _SECURITY:
            return listener.options.get(name)
        return self.options.get(name) if name in _SECURITY else listener.options.get(name)


@dataclass(frozen=True, slots=True)
class Embedded:
    """The settings of the broker that we embed (rumqttd), which keeps what it holds in memory."""

    kept_bytes: int | None  # of each topic filter; None: not said
    max_payload: int | None
    listeners: tuple[Listener, ...] = ()
    has_accounts: bool = False


def read_configuration(path: Path) -> Mosquitto | Embedded:
    """The configuration in a file: TOML is the embedded broker's, anything else Mosquitto's.

    Raises: ConfigError if it, or a folder that it includes, cannot be read.
    """
    if path.suffix == ".toml":
        return _embedded(_text_of(path))
    found = Mosquitto()
    for line in _lines(path):
        _take(found, line)
    if not found.listeners:
        # Mosquitto 2 without a listener serves this machine only, unless told otherwise in its old words.
        port, host = found.number("port", 1883), found.options.get("bind_address", "")
        found.is_local_default = "port" not in found.options and not host
        own = {name: value for name, value in found.options.items() if name in _PER_LISTENER | _SECURITY}
        found.listeners.append(Listener(port, "localhost" if found.is_local_default else host, own))
    return found


def _lines(path: Path) -> Iterator[str]:
    for raw in _text_of(path).splitlines():
        line = raw.strip()
        name, _, value = line.partition(" ")
        if name != "include_dir":
            yield line
            continue
        folder = Path(value.strip())
        beside = path.parent / folder.name  # a container has its files elsewhere, but side by side
        if not folder.is_dir() and not beside.is_dir():
            raise ConfigError([f"{path}: include_dir {folder} 不存在 / does not exist"])
        for included in sorted((folder if folder.is_dir() else beside).glob("*.conf")):
            yield from _lines(included)


def _take(found: Mosquitto, line: str) -> None:
    if accepts := _ACCEPTS.fullmatch(line):
        found.accepted[accepts[1]] = accepts[2]
    if not line or line.startswith("#"):
        return
    name, _, value = line.partition(" ")
    value = value.strip()
    if name == "listener":
        port, _, host = value.partition(" ")
        if not port.isdigit():
            raise ConfigError([f"listener: 不是端口 / not a port: {value}"])
        found.listeners.append(Listener(int(port), host.strip()))
    elif name == "log_type":
        found.log_types.append(value)
    elif name == "log_dest":
        found.log_targets.append(value)
    elif found.listeners and name in _PER_LISTENER | _SECURITY:
        found.listeners[-1].options[name] = value
        found.options[name] = value  # without per_listener_settings it holds for all
    else:
        found.options[name] = value


def _embedded(text: str) -> Embedded:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError([f"不是 TOML / not TOML: {exc}"]) from exc
    router: Mapping[str, Any] = document.get("router", {})
    size, count = router.get("max_segment_size"), router.get("max_segment_count")
    servers = [
        server
        for kind in ("v4", "v5", "ws")
        for server in document.get(kind, {}).values()
        if isinstance(server, dict)
    ]
    connections = [server.get("connections", {}) for server in servers]
    payloads = [found["max_payload_size"] for found in connections if "max_payload_size" in found]
    listeners = []
    for server in servers:
        host, _, port = str(server.get("listen", "0.0.0.0:1883")).rpartition(":")
        is_tls = "tls" in server
        listeners.append(Listener(int(port), host.strip("[]"), {"certfile": "tls"} if is_tls else {}))
    return Embedded(
        kept_bytes=None if size is None or count is None else size * count,
        max_payload=min(payloads, default=None),
        listeners=tuple(listeners),
        has_accounts=bool(connections) and all("auth" in found for found in connections),
    )


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError([f"代理设置 / configuration of the broker {path}: {exc.strerror}"]) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError([f"代理设置不是文本 / configuration of the broker {path} is no text"]) from exc
