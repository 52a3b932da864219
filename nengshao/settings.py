"""Settings: the wiring of a process. One frozen tree, read once, by the CLI.

A TOML file and `NENGSHAO_…` environment variables (nested names joined by `__`, e.g.
`NENGSHAO_MQTT__HOST`), the environment winning. Unknown keys are refused; secrets are named by file path.
"""

from __future__ import annotations

import datetime as dt
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from nengshao.domain.errors import ConfigError


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClockSettings(_Section):
    """Event time: the machine's, or an anchor and a rate that every process is given alike."""

    kind: Literal["system", "anchored"] = "system"
    anchor: dt.datetime | None = Field(None, description="instant shown at `since`, with offset")
    since: dt.datetime | None = Field(
        None, description="machine time at which `anchor` is shown, with offset"
    )
    rate: float = Field(1.0, gt=0, description="seconds of event time per second")


class MqttSettings(_Section):
    """The broker that field devices publish to."""

    host: str = "127.0.0.1"
    port: int = Field(1883, gt=0, lt=65536)
    client_id: str = Field(
        "nengshao-ingest",
        description="stable: a successor resumes its session; the partition's name is appended",
    )
    protocol: Literal["3.1.1", "5"] = "3.1.1"
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = Field(
        None, description="set: TLS, and the broker's certificate must be signed by it"
    )
    keepalive_s: int = Field(30, gt=0)
    receive_maximum: int = Field(
        20_000, gt=0, lt=65536, description="messages in flight before the broker waits"
    )
    max_unacknowledged_bytes: int = Field(
        64 * 1024 * 1024, gt=0, description="messages held in memory before we stop reading from the broker"
    )
    session_expiry_s: int = Field(7 * 86_400, description="MQTT 5: how long the broker keeps our queue")


class IngestSettings(_Section):
    """Batches, limits of what is accepted, and where what is not goes."""

    batch_rows: int = Field(60_000, gt=0)
    batch_age_ms: int = Field(200, ge=0, description="a batch waits at most this long to fill up")
    batch_idle_ms: int = Field(
        10, ge=0, description="a batch waits no longer once nothing came for this long"
    )
    max_message_bytes: int = Field(262_144, gt=0)
    max_readings: int = Field(5_000, gt=0, description="per message")
    max_unpacked_bytes: int = Field(2_097_152, gt=0, description="of a gzip message")
    future_limit_s: int = Field(3_600, ge=0, description="a device's time may be ahead by this much")
    past_limit_days: int = Field(396, gt=0, description="13 months; devices only, a person's import has none")
    raw_cap_message: int = Field(65_536, ge=0, description="raw bytes kept of one quarantined message")
    raw_cap_device: int = Field(4 * 1024 * 1024, ge=0, description="raw bytes kept per device")
    raw_cap_total: int = Field(256 * 1024 * 1024, ge=0)
    quarantine_rows_device: int = Field(20_000, gt=0)
    quarantine_rows_total: int = Field(1_000_000, gt=0)
    spool_first: bool = Field(
        False, description="every message is on our disk before it is acknowledged, and booked from there"
    )
    spool_max_bytes: int = Field(
        1024 * 1024 * 1024, gt=0, description="full: we stop acknowledging, never drop"
    )
    lease_ttl_s: float = Field(15.0, gt=0)
    resend_grace_s: int = Field(
        60, ge=0, description="beyond two cadences, until a device is asked for what is missing"
    )
    resend_reach_days: int = Field(180, gt=0, description="how far back devices keep their readings")
    resend_give_up_days: int = Field(30, gt=0, description="how long a gap is asked for")
    clock_limit_s: int = Field(300, ge=0, description="a device's clock counts as right within this")


class StoreSettings(_Section):
    """Where readings and results are kept."""

    kind: Literal["duckdb", "influx", "memory"] = "duckdb"
    influx_url: str = "http://127.0.0.1:8086"
    influx_org: str = "nengshao"
    influx_bucket: str = "readings"
    influx_results_bucket: str = "results"
    influx_token_file: Path | None = None
    timeout_s: float = Field(30.0, gt=0)


class StateSettings(_Section):
    """Registry, books, results, alerts: SQLite in the data folder, or PostgreSQL."""

    url: str | None = Field(None, description="SQLAlchemy URL; none: SQLite in the data folder")
    url_file: Path | None = Field(None, description="file that holds the URL, when it has a password in it")


class ApiSettings(_Section):
    """The HTTP service. Closed by default: without a token it answers health only."""

    host: str = "127.0.0.1"
    port: int = Field(8765, ge=0, lt=65536)
    token_file: Path | None = None
    max_upload_bytes: int = Field(32 * 1024 * 1024, gt=0)


class AssessSettings(_Section):
    """The assessment cycle, and directories that overlay the shipped law as data.

    A relative directory in the settings file is looked for beside that file.
    """

    interval_s: float = Field(10.0, gt=0)
    lease_ttl_s: float = Field(60.0, gt=0)
    rulebook_dirs: tuple[Path, ...] = ()
    factor_dirs: tuple[Path, ...] = ()
    norm_dirs: tuple[Path, ...] = ()
    calendar_dirs: tuple[Path, ...] = ()


class NotifySettings(_Section):
    """Who is told, and who is not for now."""

    channels: tuple[Literal["console"], ...] = ("console",)
    muted_enterprises: tuple[str, ...] = ()
    interval_s: float = Field(2.0, gt=0)


class Dialect(_Section):
    """How a province reads the wire. `valid` lists what means valid; the JSON words keep their meaning."""

    valid: Literal[0, 1] = 1


class _SettingsFile(TomlConfigSettingsSource):
    """A TOML file whose overlays stand beside it, from wherever a command is typed."""

    def _read_file(self, file_path: Path | Traversable) -> dict[str, Any]:
        read: dict[str, Any] = super()._read_file(file_path)
        assess = read.get("assess")
        if isinstance(file_path, Path) and isinstance(assess, dict):
            for name, value in assess.items():
                if name.endswith("_dirs") and isinstance(value, list):
                    beside = file_path.absolute().parent
                    assess[name] = [beside / each if isinstance(each, str) else each for each in value]
        return read


class Settings(BaseSettings):
    """Everything a process is told about its surroundings."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="NENGSHAO_", env_nested_delimiter="__"
    )

    data_dir: Path = Path("nengshao-data")
    partitions: int = Field(
        1, gt=0, description="of a state that is first made; later by `nengshao repartition` only"
    )
    holder: str | None = Field(None, description="name of this process in leases; none: host and process id")
    clock: ClockSettings = ClockSettings()
    mqtt: MqttSettings = MqttSettings()
    ingest: IngestSettings = IngestSettings()
    store: StoreSettings = StoreSettings()
    state: StateSettings = StateSettings()
    api: ApiSettings = ApiSettings()
    assess: AssessSettings = AssessSettings()
    notify: NotifySettings = NotifySettings()
    dialects: dict[str, Dialect] = Field(
        default_factory=lambda: {"national": Dialect(valid=1), "yantai": Dialect(valid=0)},
        description="by the name that an enterprise's registry row gives",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Explicit arguments, then the environment, then the file named by `load_settings`."""
        toml = _SettingsFile(settings_cls, toml_file=_toml_file)
        return init_settings, env_settings, toml

    @property
    def state_url(self) -> str:
        """The state store's URL."""
        if self.state.url_file is not None:
            return read_secret(self.state.url_file)
        return self.state.url or f"sqlite:///{self.data_dir / 'state.db'}"


_toml_file: Path | None = None  # read by settings_customise_sources, which takes no argument of ours


def load_settings(path: Path | None = None, **overrides: Any) -> Settings:
    """The settings from a TOML file (optional), the environment, and explicit overrides.

    Raises: ConfigError listing every problem at once.
    """
    global _toml_file  # noqa: PLW0603  # pydantic-settings gives the hook no other way to know the file
    if path is not None and not path.is_file():
        raise ConfigError([f"settings file {path} does not exist"])
    _toml_file = path
    try:
        settings = Settings(**overrides)
    except ValidationError as exc:
        raise ConfigError([_problem(error) for error in exc.errors()]) from exc
    except ValueError as exc:  # a TOML file that is none
        raise ConfigError([str(exc)]) from exc
    problems = list(_contradictions(settings))
    if problems:
        raise ConfigError(problems)
    return settings


def read_secret(path: Path) -> str:
    """The text of a secret's file without surrounding white space.

    Raises: ConfigError if it cannot be read, is empty, or is no secret: one line of ASCII. It is never shown.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as exc:
        raise ConfigError([f"secret file {path}: {exc.strerror}"]) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError([f"密钥文件不是一行文本 / secret file {path} is no line of text"]) from exc
    if not text:
        raise ConfigError([f"secret file {path} is empty"])
    if not text.isascii() or not text.isprintable():
        raise ConfigError([f"密钥文件不是一行文本 / secret file {path} is no line of text"])
    return text


def _problem(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    return f"{place}: {error['msg']}"


def _contradictions(settings: Settings) -> list[str]:
    """What is well-formed but cannot work."""
    problems = []
    clock = settings.clock
    if clock.kind == "anchored" and (clock.anchor is None or clock.since is None):
        problems.append("clock: an anchored clock needs anchor and since")
    for name in ("anchor", "since"):
        moment = getattr(clock, name)
        if moment is not None and moment.tzinfo is None:
            problems.append(f"clock.{name}: a time without offset")
    if settings.store.kind == "influx" and settings.store.influx_token_file is None:
        problems.append("store.influx_token_file: InfluxDB needs a token")
    return problems
