"""A real PostgreSQL that starts from `deploy/postgres/postgresql.conf`."""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from tests.servers.install import find_postgres
from tests.servers.server import DEPLOY, LOOPBACK, Server, ServerError

PRODUCTION_SETTINGS = DEPLOY / "postgres" / "postgresql.conf"
USER = "nengshao"


class Postgres(Server):
    """A cluster with one superuser and a password, reached by TCP only."""

    title = "postgres"
    # postgresql://user:password@host/database; the user may create databases.
    address_variable = "NENGSHAO_TEST_POSTGRES_URL"
    default_port = 5432
    version_argument = "--version"
    stop_signal = signal.SIGINT  # "fast": SIGTERM would wait for the last client to leave

    def __init__(self, folder: Path | None = None, *, external_url: str = "") -> None:
        """A cluster in `folder`, made at the first start.

        As root it is run by `nobody`, who must be able to reach the folder: `tmp_path` of pytest is closed
        to others.
        """
        super().__init__(folder, external_url=external_url)
        self._password = secrets.token_urlsafe(16)
        self._external = urlsplit(external_url)

    @staticmethod
    def find() -> Path | None:
        """The program on this machine, or None."""
        return find_postgres()

    @property
    def url(self) -> str:
        """The DSN of the database that is always there."""
        return self.dsn(self._external.path.strip("/") or "postgres")

    def dsn(self, database: str) -> str:
        """The SQLAlchemy URL of a database."""
        if self.is_external:
            return self._external._replace(scheme="postgresql+psycopg", path=f"/{database}").geturl()
        return f"postgresql+psycopg://{USER}:{self._password}@{self.host}:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Make an empty database; its DSN."""
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.dsn(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _prepare(self) -> None:
        password = self.folder / "password"
        password.touch(mode=0o600)
        password.write_text(self._password, encoding="utf-8")
        # A copy, since `nobody` may have no way into the checkout.
        shutil.copyfile(PRODUCTION_SETTINGS, self.folder / "postgresql.conf")
        for path in (password, self.folder / "postgresql.conf"):
            self._hand_over(path)
        command = [
            str(self.program.with_name("initdb")),
            f"--pgdata={self.folder / 'data'}",
            f"--username={USER}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--data-checksums",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",  # a power failure during initdb is no test of ours; the server itself syncs
        ]
        result = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False, **self._run_as()
        )
        if result.returncode:
            raise ServerError(f"initdb ended with {result.returncode}:\n{result.stdout}{result.stderr}")

    def _command(self) -> list[str]:
        return [
            str(self.program),
            "-D",
            str(self.folder / "data"),
            *("-c", f"config_file={self.folder / 'postgresql.conf'}"),
            *("-c", f"listen_addresses={LOOPBACK}"),
            *("-c", f"port={self.port}"),
            *("-c", "unix_socket_directories="),
        ]

    def _is_ready(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _family(self) -> list[int]:
        (parent,) = super()._family()
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
        return [parent, *map(int, children.split())]

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        dsn = self.url.replace("postgresql+psycopg://", "postgresql://")
        return psycopg.connect(dsn, autocommit=True, connect_timeout=5)

    def _execute(self, statement: sql.Composed) -> None:
        with self._connect() as connection:
            connection.execute(statement)
