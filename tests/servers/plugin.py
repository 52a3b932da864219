"""Fixtures that give tests the real servers, and the last words of a run on which of them took part.

A server starts when the first test asks for it. One that is not on the machine skips the tests that need it;
with NENGSHAO_REQUIRE_SERVERS=1 (as in CI) the run fails before its first test.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.servers.influx import Influx
from tests.servers.mosquitto import Mosquitto
from tests.servers.postgres import Postgres
from tests.servers.server import Server

_S = TypeVar("_S", bound=Server)

_SERVERS: tuple[type[Server], ...] = (Mosquitto, Influx, Postgres)
_EXERCISED = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Nothing has been exercised yet."""
    config.stash[_EXERCISED] = {}


def pytest_sessionstart(session: pytest.Session) -> None:
    """Where the servers are demanded, a missing one ends the run with failure, whatever is to be tested."""
    missing = [kind.title for kind in _SERVERS if not _is_available(kind)]
    if missing and os.environ.get("NENGSHAO_REQUIRE_SERVERS") == "1":
        pytest.exit(f"NENGSHAO_REQUIRE_SERVERS=1, but not here: {', '.join(missing)}; run `make servers`", 1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Which real servers the run has exercised, and how to get those that it has not."""
    terminalreporter.section("real servers")
    for kind in _SERVERS:
        exercised = config.stash[_EXERCISED].get(kind.title)
        terminalreporter.write_line(f"{kind.title:<10} {exercised or f'NOT exercised: {_why_not(kind)}'}")


@pytest.fixture(scope="session")
def mosquitto(request: pytest.FixtureRequest) -> Iterator[Mosquitto]:
    """The broker of the session. A test that ends a server takes one of its own: `killable_mosquitto`."""
    with _shared(Mosquitto, request) as server:
        yield server


@pytest.fixture(scope="session")
def influx(request: pytest.FixtureRequest) -> Iterator[Influx]:
    """The InfluxDB of the session; a test writes into an `influx_bucket` of its own."""
    with _shared(Influx, request) as server:
        yield server


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """The PostgreSQL of the session; a test writes into the database of its own `postgres_url`."""
    with _shared(Postgres, request) as server:
        yield server


@pytest.fixture
def influx_bucket(influx: Influx) -> Iterator[str]:
    """The name of a bucket that was never before: one made anew under an old name can show old data."""
    name = f"test-{uuid.uuid4().hex}"
    influx.create_bucket(name)
    yield name
    if influx.is_external:
        influx.delete_bucket(name)


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """The SQLAlchemy URL of an empty database."""
    name = f"test_{uuid.uuid4().hex}"
    yield postgres.create_database(name)
    if postgres.is_external:
        postgres.drop_database(name)


@pytest.fixture
def killable_mosquitto(request: pytest.FixtureRequest) -> Iterator[Mosquitto]:
    """A broker for this test alone, to stop, kill and start again."""
    with _private(Mosquitto, request) as server:
        yield server


@pytest.fixture
def killable_influx(request: pytest.FixtureRequest) -> Iterator[Influx]:
    """An InfluxDB for this test alone, to stop, kill and start again; its bucket is `nengshao`."""
    with _private(Influx, request) as server:
        yield server


@pytest.fixture
def killable_postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """A PostgreSQL for this test alone, to stop, kill and start again."""
    with _private(Postgres, request) as server:
        yield server


@contextmanager
def _shared(kind: type[_S], request: pytest.FixtureRequest) -> Iterator[_S]:
    external = kind.from_environment()
    if external is None:
        with _private(kind, request) as own:
            yield own
        return
    with external:
        address = f"{external.host}:{external.port}"
        request.config.stash[_EXERCISED][kind.title] = f"exercised, the one at {address}"
        yield external


@contextmanager
def _private(kind: type[_S], request: pytest.FixtureRequest) -> Iterator[_S]:
    if kind.find() is None:
        pytest.skip(_how_to_get(kind))
    # Stands only if the next lines fail, on the first server of its kind.
    request.config.stash[_EXERCISED].setdefault(kind.title, "NOT exercised: it is here and did not start")
    # Not pytest's tmp_path: that is closed to the user under whom root starts a server.
    with (
        tempfile.TemporaryDirectory(prefix=f"nengshao-{kind.title}-", ignore_cleanup_errors=True) as folder,
        kind(Path(folder)) as server,
    ):
        request.config.stash[_EXERCISED][kind.title] = f"exercised, {server.version()}"
        yield server


def _is_available(kind: type[Server]) -> bool:
    return kind.find() is not None or bool(os.environ.get(kind.address_variable))


def _why_not(kind: type[Server]) -> str:
    return "no test of this run asked for it" if _is_available(kind) else _how_to_get(kind)


def _how_to_get(kind: type[Server]) -> str:
    return f"{kind.title} is not on this machine; `make servers` brings it, or set {kind.address_variable}"
