"""`deploy/` says nothing that is not so: containers, image, secrets, settings, systemd."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shlex
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner

from nengshao import cli
from nengshao.settings import Settings, load_settings, read_secret
from tests.servers.mosquitto import PRODUCTION_SETTINGS
from tests.servers.server import DEPLOY
from tests.support.deploy import (
    CHINESE,
    COMPOSE,
    OURS,
    SERVICES,
    environment_names,
    make_secrets,
    mounts_of,
    secrets_of,
    settings_paths,
)

CHECKOUT = DEPLOY.parent
TOML = (DEPLOY / "nengshao.toml").read_text(encoding="utf-8")
UNIT = (DEPLOY / "systemd" / "nengshao@.service").read_text(encoding="utf-8")

STEEL = "91350100M000100Y43"


# --- compose.yaml ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVICES)
def test_service_names_only_what_is_declared(name: str) -> None:
    service = SERVICES[name]
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    assert set(service.get("depends_on", {})) <= set(SERVICES)
    assert {source for source, _ in secrets_of(service)} <= set(COMPOSE["secrets"])
    for source, _ in mounts_of(service):
        if source.startswith("./secrets/"):
            continue  # make-secrets.sh makes it, see below
        assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], source


def test_nothing_is_declared_that_no_service_uses() -> None:
    mounts = {source for service in SERVICES.values() for source, _ in mounts_of(service)}
    assert set(COMPOSE["volumes"]) == {source for source in mounts if not source.startswith(".")}
    assert set(COMPOSE["secrets"]) == {
        source for service in SERVICES.values() for source, _ in secrets_of(service)
    }
    assert set(COMPOSE["networks"]) == {name for service in SERVICES.values() for name in service["networks"]}


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_watched_bounded_and_pinned(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[a-z/-]+:v?\d+[\d.]*", service["image"]), "a tag, and no registry's host"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
    assert service["restart"] == "unless-stopped"
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")
    for dependency in service.get("depends_on", {}).values():
        assert dependency == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_unless_the_operator_says_otherwise(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"(127\.0\.0\.1|\$\{\w+:-127\.0\.0\.1\}):\d+:\d+", port)
        assert not port.endswith(":1883") or port.startswith("127.0.0.1:"), "devices come in over TLS"


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_stand_in_no_environment(name: str) -> None:
    granted = {target for _, target in secrets_of(SERVICES[name])}
    for variable, value in SERVICES[name].get("environment", {}).items():
        if re.search("PASSWORD|TOKEN|SECRET", variable):
            assert variable.endswith("_FILE")
            assert value in granted


def test_servers_start_from_the_files_that_the_live_tests_start_from() -> None:
    mosquitto, influxdb, postgres = (
        dict(mounts_of(SERVICES[name])) for name in ("mosquitto", "influxdb", "postgres")
    )
    assert mosquitto["./mosquitto/mosquitto.conf"] == "/mosquitto/config/mosquitto.conf"
    config = SERVICES["influxdb"]["environment"]["INFLUXD_CONFIG_PATH"]
    assert influxdb["./influxdb/config.toml"] == config
    assert f"config_file={postgres['./postgres/postgresql.conf']}" in SERVICES["postgres"]["command"]


def test_broker_finds_its_accounts_and_its_rules_where_they_are_mounted() -> None:
    lines = dict(
        line.split(" ", 1)
        for line in PRODUCTION_SETTINGS.read_text(encoding="utf-8").splitlines()
        if re.match("[a-z]", line)
    )
    mounts = mounts_of(SERVICES["mosquitto"])
    access = dict(mounts)["./secrets/mosquitto"]
    assert {lines["password_file"], lines["acl_file"]} == {f"{access}/passwords", f"{access}/acl"}
    assert ("./mosquitto/listeners", lines["include_dir"]) in mounts
    assert ("mosquitto-data", lines["persistence_location"].rstrip("/")) in mounts


def test_what_the_broker_refuses_is_counted_from_the_log_that_it_writes() -> None:
    service = SERVICES["broker-log"]
    log = re.findall(r"^log_dest file (.+)$", PRODUCTION_SETTINGS.read_text(encoding="utf-8"), re.MULTILINE)
    assert log == [service["command"][-1]]
    folder = str(Path(log[0]).parent)
    assert dict(mounts_of(SERVICES["mosquitto"]))["mosquitto-log"] == folder
    assert f"mosquitto-log:{folder}:ro" in service["volumes"]
    assert CliRunner().invoke(cli.app, [*service["command"], "--help"]).exit_code == 0
    assert "/mosquitto.log {" in (DEPLOY / "mosquitto" / "logrotate").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", OURS)
def test_command_of_our_service_is_one_that_the_command_line_knows(name: str, settings: Settings) -> None:
    from nengshao.checkup import refuse_split_roles  # late, as the command line has it

    command = SERVICES[name]["command"]
    result = CliRunner().invoke(cli.app, [*command, "--help"])
    assert result.exit_code == 0, result.output
    roles = command[command.index("--roles") + 1].split(",")
    assert set(refuse_split_roles(settings, roles)) == OURS[name]
    assert command[command.index("--settings") + 1] in dict(mounts_of(SERVICES[name])).values()


@pytest.mark.parametrize("name", OURS)
def test_environment_of_our_service_is_settings(name: str) -> None:
    assert set(SERVICES[name]["environment"]) <= environment_names()


def test_every_secret_of_the_settings_is_mounted_where_it_is_used() -> None:
    used = set(re.findall(r'^\w+ = "(/run/secrets/\w+)"', TOML, re.MULTILINE))
    granted = {name: {target for _, target in secrets_of(SERVICES[name])} for name in OURS}
    assert granted["ingest"] == used
    assert granted["assess"] == granted["serve"] == used - {"/run/secrets/mqtt_password"}


def test_health_is_asked_for_at_the_port_of_the_settings(settings: Settings) -> None:
    for name in OURS:
        assert f":{settings.api.port}/health/ready" in SERVICES[name]["healthcheck"]["test"][-1]
    assert SERVICES["serve"]["ports"][0].endswith(f":{settings.api.port}:{settings.api.port}")


# --- Dockerfile --------------------------------------------------------------------------------------------


def test_image_is_made_of_every_package_and_only_of_what_the_context_lets_through() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
    }
    packages = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert packages < copied
    assert all((CHECKOUT / source).exists() for source in copied)
    let_through = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8")
    assert "\n*\n" in let_through
    assert set(re.findall(r"^!(.+)$", let_through, re.MULTILINE)) == copied
    assert SERVICES["serve"]["image"] == f"nengshao:{project['project']['version']}"


def test_image_installs_by_hash_and_runs_as_nobody_in_particular() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    installs = re.findall(r"pip install (.+)$", dockerfile, re.MULTILINE)
    assert installs == ["--require-hashes -r requirements.lock", "--no-deps --no-build-isolation ."]
    assert re.search(r"^USER nengshao$", dockerfile, re.MULTILINE)
    assert "PYTHONSAFEPATH=1" in dockerfile
    assert not re.search(r"https?://", dockerfile)
    volumes = {target for name in OURS for source, target in mounts_of(SERVICES[name]) if source[0] != "."}
    assert volumes == {re.findall(r"^VOLUME (.+)$", dockerfile, re.MULTILINE)[0]}


# --- secrets -----------------------------------------------------------------------------------------------


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """What make-secrets.sh makes, and a stand-in for the tokens that InfluxDB gives later."""
    folder = tmp_path / "secrets"
    make_secrets(folder)
    for name in ("influx_token", "grafana_influx_token"):
        (folder / name).write_text(f"token of {name}", encoding="utf-8")
    return folder


def test_every_secret_has_a_file_that_the_scripts_make(secrets: Path) -> None:
    declared = {Path(secret["file"]) for secret in COMPOSE["secrets"].values()}
    assert {path.parent for path in declared} == {Path("secrets")}
    assert {path.name for path in declared} == {path.name for path in secrets.iterdir() if path.is_file()}
    folders = [path for path in secrets.iterdir() if path.is_dir()]
    mounted = [source for source, _ in mounts_of(SERVICES["mosquitto"]) if source.startswith("./secrets/")]
    assert [f"./secrets/{folder.name}" for folder in folders] == mounted
    assert {path.name for path in folders[0].iterdir()} == {"acl", "passwords"}
    assert stat.S_IMODE(folders[0].stat().st_mode) == 0o755  # the broker is another user
    assert "/secrets/" in (DEPLOY / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_secrets_are_strong_different_and_closed_to_other_users(secrets: Path) -> None:
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    texts = [read_secret(path) for path in secrets.iterdir() if path.is_file()]
    assert len(set(texts)) == len(texts)
    random = [read_secret(secrets / name) for name in ("mqtt_password", "api_token", "influx_admin_token")]
    assert all(len(base64.urlsafe_b64decode(text + "=")) == 32 for text in random)


def test_secrets_are_never_overwritten(secrets: Path) -> None:
    before = {path: path.read_bytes() for path in secrets.rglob("*") if path.is_file()}
    refusal = make_secrets(secrets, check=False)
    assert refusal.returncode == 1
    assert "不覆盖" in refusal.stderr
    assert {path: path.read_bytes() for path in secrets.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("names", [("device", STEEL, "gateway-1"), ("enterprise", STEEL)])
def test_account_of_a_device_or_an_enterprise_is_added_once(secrets: Path, names: tuple[str, ...]) -> None:
    said = make_secrets(secrets, *names).stdout
    (password,) = re.findall(r"shown this once: (\S+)", said)
    accounts = secrets / "mosquitto" / "passwords"
    _, line = accounts.read_text(encoding="utf-8").splitlines()
    name, method, salt, digest = line.split("$")
    assert name == f"{'/'.join(names[1:])}:"
    assert method == "6"
    assert base64.b64decode(digest) == hashlib.sha512(password.encode() + base64.b64decode(salt)).digest()
    for wrong in (names, ("enterprise", "x:y"), ("device", STEEL, "a:b"), ("device", STEEL)):
        assert make_secrets(secrets, *wrong, check=False).returncode == 1
    assert len(accounts.read_text(encoding="utf-8").splitlines()) == 2


# --- nengshao.toml -----------------------------------------------------------------------------------------


@pytest.fixture
def settings(secrets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The sample settings as a container sees them."""
    for variable in environment_names() & set(os.environ):
        monkeypatch.delenv(variable)
    for variable, value in SERVICES["ingest"]["environment"].items():
        monkeypatch.setenv(variable, value)
    path = tmp_path / "nengshao.toml"
    path.write_text(TOML.replace("/run/secrets", str(secrets)), encoding="utf-8")
    return load_settings(path)


def test_sample_settings_are_those_of_the_stack(settings: Settings) -> None:
    environment = SERVICES["influxdb"]["environment"]
    assert settings.store.kind == "influx"
    assert settings.store.influx_org == environment["DOCKER_INFLUXDB_INIT_ORG"]
    assert settings.store.influx_bucket == environment["DOCKER_INFLUXDB_INIT_BUCKET"]
    assert settings.mqtt.host in SERVICES
    assert urlsplit(settings.store.influx_url).hostname in SERVICES
    assert settings.api.host == "0.0.0.0"
    assert str(settings.data_dir) in dict(mounts_of(SERVICES["ingest"])).values()
    assert settings.dialects == Settings.model_fields["dialects"].get_default(call_default_factory=True)


def test_state_is_the_postgres_of_the_stack(settings: Settings, secrets: Path) -> None:
    url, environment = make_url(settings.state_url), SERVICES["postgres"]["environment"]
    assert url.host in SERVICES
    assert url.username == environment["POSTGRES_USER"]
    assert url.database == environment["POSTGRES_DB"]
    assert url.password == read_secret(secrets / "postgres_password")


def test_sample_settings_document_every_setting_and_no_other() -> None:
    documented = [path for path, _, _ in documented_settings()]
    assert sorted(documented) == sorted(set(documented)), "a key stands twice"
    real = {path for path, _ in settings_paths(Settings)}
    assert {path for path in documented if path[0] != "dialects"} == real - {("dialects",)}
    assert {path[2] for path in documented if path[0] == "dialects"} == {"valid"}


def test_defaults_in_the_sample_settings_are_the_real_ones() -> None:
    real = dict(settings_paths(Settings))
    for path, comment, assignment in documented_settings():
        assert CHINESE.search(comment), f"{path} is not explained"
        default = 1 if path == ("dialects", "national", "valid") else real.get(path, 0)
        said = re.search(r"默认 default: (\S+)", comment)
        if default is None:
            assert said, f"{path}: the comment must say what happens without"
        elif said:
            assert tomllib.loads(f"x = {said[1]}")["x"] == default, path
        else:
            assert assignment.startswith("# "), f"{path}: set, and its default is not said"
            assert tomllib.loads(assignment[2:])[path[-1]] == default, path


# --- systemd -----------------------------------------------------------------------------------------------


def test_unit_runs_a_command_and_settings_that_exist() -> None:
    command = shlex.split(re.findall(r"^ExecStart=(.+)$", UNIT, re.MULTILINE)[0].replace("%i", "ingest"))
    assert CliRunner().invoke(cli.app, [*command[1:], "--help"]).exit_code == 0
    assert set(re.findall(r"NENGSHAO_\w+", UNIT)) <= environment_names()
    loaded = set(re.findall(r"^LoadCredential=(\w+):", UNIT, re.MULTILINE))
    assert loaded == set(re.findall(r"=%d/(\w+)$", UNIT, re.MULTILINE))
    assert loaded == {source for source, _ in secrets_of(SERVICES["ingest"])}


def documented_settings() -> Iterator[tuple[tuple[str, ...], str, str]]:
    """(path, the comment above, the assignment as it stands) of every key in the sample, set or not."""
    section: tuple[str, ...] = ()
    comment: list[str] = []
    for line in TOML.splitlines():
        if found := re.fullmatch(r"\[([\w.]+)\]", line):
            section = tuple(found[1].split("."))
        elif found := re.match(r"(?:# )?([a-z_]+) = ", line):
            yield (*section, found[1]), "\n".join(comment), line
        comment = [*comment, line] if line.startswith("# ") else []
