"""Where the real servers of the tests are on this machine, and how it gets those it lacks.

`make servers` runs this file. Mosquitto and PostgreSQL come as Debian packages; InfluxDB 2 is in no Debian
release and in no wheel, so it is built from its Go module (`influxd/`) into a cache outside the checkout.
Standard library only, since it may run before anything is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_INFLUXD_MODULE = Path(__file__).resolve().parent / "influxd"
_INFLUXD_BUILD_NEEDS = ("go", "cargo", "cc")

# Debian keeps servers where the PATH of an ordinary user does not look.
_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin")


class InstallError(Exception):
    """This machine cannot get a server by itself; the message says what it would take."""


def find_mosquitto() -> Path | None:
    """The mosquitto program, or None."""
    return _find_on_path("mosquitto")


def find_influxd() -> Path | None:
    """The influxd program that `main` built; else one on the PATH; else None."""
    built = cached_influxd()
    return built if os.access(built, os.X_OK) else _find_on_path("influxd")


def find_postgres() -> Path | None:
    """The postgres program that has initdb beside it, the newest of Debian's; or None."""
    on_path = _find_on_path("postgres")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_debian_version, reverse=True)
    # On the PATH there may be a mere link into a version's own folder, where the other programs are.
    candidates = ([on_path.resolve()] if on_path else []) + debian
    return next((found for found in candidates if found.with_name("initdb").exists()), None)


def cached_influxd() -> Path:
    """Where the influxd of this version is kept once it is built: outside the checkout, for all of them."""
    override = os.environ.get("NENGSHAO_SERVERS_CACHE")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nengshao"
    folder = Path(override) if override else cache
    return folder.expanduser().resolve() / f"influxd-{influxd_version()}" / "influxd"


def influxd_version() -> str:
    """The version in influxd/go.mod, the one place that says it."""
    found = re.search(r"influxdb/v2 v(\S+)", (_INFLUXD_MODULE / "go.mod").read_text(encoding="utf-8"))
    if not found:
        raise InstallError("influxd/go.mod requires no influxdb/v2")
    return found[1]


def install_debian_packages() -> str:
    """Mosquitto and PostgreSQL, whichever is absent, by apt-get; says what was done."""
    found = {"mosquitto": find_mosquitto(), "postgresql": find_postgres()}
    missing = [package for package, program in found.items() if program is None]
    if missing:
        _apt_get("update")
        _apt_get("install", "--yes", "--no-install-recommends", *missing)
        found = {"mosquitto": find_mosquitto(), "postgresql": find_postgres()}
    absent = [package for package, program in found.items() if program is None]
    if absent:
        raise InstallError(f"apt-get brought {', '.join(absent)}, but no program where Debian puts it")
    did = {package: "installed" if package in missing else "was there" for package in found}
    return "\n".join(f"{package}: {did[package]}, {program}" for package, program in found.items())


def install_influxd() -> str:
    """The influxd of go.mod's version in the cache, built unless it is there; says what was done."""
    target = cached_influxd()
    if os.access(target, os.X_OK):
        return f"influxd {influxd_version()}: was there, {target}"
    missing = [tool for tool in _INFLUXD_BUILD_NEEDS if shutil.which(tool) is None]
    if missing:
        raise InstallError(
            f"influxd {influxd_version()} is built from source, but {', '.join(missing)} is not here "
            "(it takes Go 1.23 or later, a current Rust with cargo, and a C compiler); or give the tests "
            "NENGSHAO_TEST_INFLUX_URL and NENGSHAO_TEST_INFLUX_TOKEN"
        )
    started = time.monotonic()
    _say(f"influxd {influxd_version()}: building, about 4 minutes on two cores…")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside its target, so that the last step is a rename: two builds at once, or one that is killed, leave
    # no half program.
    with tempfile.TemporaryDirectory(prefix=".build-", dir=target.parent) as build:
        _build_influxd(Path(build)).replace(target)
    return f"influxd {influxd_version()}: built in {time.monotonic() - started:.0f} s, {target}"


def _build_influxd(build: Path) -> Path:
    # Go would complete go.mod and go.sum in place: it works on a copy, and is told that both are complete.
    module = build / "module"
    shutil.copytree(_INFLUXD_MODULE, module)
    wrapper = module / "rustc-cap-lints"
    wrapper.chmod(0o755)
    pkg_config, influxd = build / "pkg-config", build / "influxd"
    environment = os.environ | {
        "GOFLAGS": "-mod=readonly",
        "GOWORK": "off",
        "CGO_ENABLED": "1",
        # Flux pins a Rust toolchain that is older than the machine's, and would download it.
        "RUSTUP_TOOLCHAIN": "stable",
        "RUSTC_WRAPPER": str(wrapper),
        # InfluxData's own pkg-config, which builds Flux's Rust half with cargo and tells Go where it lies.
        "PKG_CONFIG": str(pkg_config),
    }
    _run(["go", "build", "-o", str(pkg_config), "github.com/influxdata/pkg-config"], module, environment)
    # noassets: without the web interface, which is a build of its own.
    options = ["-tags", "sqlite_json,noassets", "-ldflags", f"-s -w -X main.version=v{influxd_version()}"]
    package = "github.com/influxdata/influxdb/v2/cmd/influxd"
    _run(["go", "build", *options, "-o", str(influxd), package], module, environment)
    _run([str(influxd), "version"], build, environment)
    return influxd


def _apt_get(*arguments: str) -> None:
    if shutil.which("apt-get") is None:
        raise InstallError("no apt-get here: install mosquitto and postgresql as this system does")
    if os.geteuid() == 0:
        as_root = []
    elif shutil.which("sudo"):
        as_root = ["sudo", "--non-interactive"]
    else:
        raise InstallError("neither root nor sudo: ask for the Debian packages mosquitto and postgresql")
    # Another apt-get may be at work on a machine that has just started, and mirrors have bad moments.
    patience = ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]
    _run([*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *patience, *arguments])


def _run(command: list[str], folder: Path | None = None, environment: dict[str, str] | None = None) -> None:
    _say("$ " + " ".join(command))
    try:
        subprocess.run(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, check=True)
    except subprocess.CalledProcessError as error:
        raise InstallError(f"`{' '.join(command)}` ended with {error.returncode}, see above") from error


def _find_on_path(program: str) -> Path | None:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS])
    found = shutil.which(program, path=path)
    return Path(found) if found else None


def _debian_version(postgres: Path) -> float:
    version = postgres.parent.parent.name
    return float(version) if re.fullmatch(r"[\d.]+", version) else 0.0


def _say(line: str) -> None:
    # Flushed, so that it stands in order among what the programs print.
    print(line, flush=True)


def main() -> int:
    """Bring every server that is missing; 0 when all are there."""
    problems = 0
    for install in (install_debian_packages, install_influxd):
        try:
            _say(install())
        except InstallError as error:
            problems += 1
            _say(f"make servers: {error}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
