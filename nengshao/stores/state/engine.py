"""The two databases behind one door: connections, transactions, and what their errors mean to a caller."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import URL, Connection, Engine, make_url

from nengshao.domain.errors import ConfigError, StoreRejected, StoreUnavailable
from nengshao.stores.state.schema import GENERATIONS, settings

_BUSY_S: Final = 10
"""How long a call waits for another writer before it says StoreUnavailable."""

_WRITES: Final = "nengshao_writes"

_SQLITE_SETTINGS: Final = (
    "PRAGMA synchronous=FULL",  # in WAL, NORMAL would lose the last commits at a power failure
    "PRAGMA foreign_keys=ON",
    f"PRAGMA busy_timeout={_BUSY_S * 1000}",
)

_POSTGRES_SETTINGS: Final = (
    f"SET lock_timeout = '{_BUSY_S}s'",
    # A holder that was stopped in mid-transaction must not keep its successor from the lease.
    "SET idle_in_transaction_session_timeout = '30s'",
    "SET synchronous_commit = on",
    "SET TIME ZONE 'UTC'",
)


class Database:
    """Transactions on a SQLite file or a PostgreSQL database; usable from many threads.

    Raises, from every transaction: StoreUnavailable (away, locked, out of room: try again), StoreRejected
    (the database will never take these rows). No exception of SQLAlchemy or a driver escapes.
    """

    def __init__(self, url: str) -> None:
        """Connects to nothing yet. Raises: ConfigError unless the URL is a SQLite file or PostgreSQL."""
        parsed = _checked_url(url)
        self.is_sqlite: Final = parsed.get_backend_name() == "sqlite"
        self._engine: Final = _sqlite_engine(parsed) if self.is_sqlite else _postgres_engine(parsed)
        # SQLite's own waiting is polling; within the process writers queue here and wake at once.
        self._writer: Final = threading.Lock() if self.is_sqlite else None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees the state of one instant, however many statements it has."""
        options: dict[str, Any] = {} if self.is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with self._transaction(options) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is durable when the block has ended, and has left nothing if it raised."""
        with self._turn(), self._transaction({_WRITES: True}) as connection:
            yield connection

    def close(self) -> None:
        """Close every idle connection. Safe to call twice."""
        with _errors_mapped():
            self._engine.dispose()

    @contextmanager
    def _transaction(self, options: dict[str, Any]) -> Iterator[Connection]:
        with (
            _errors_mapped(),
            self._engine.connect() as connection,
            connection.execution_options(**options).begin(),
        ):
            yield connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._writer is None:
            yield
            return
        if not self._writer.acquire(timeout=_BUSY_S):
            raise StoreUnavailable("state store: another thread is writing", retry_after=1.0)
        try:
            yield
        finally:
            self._writer.release()


def next_generation(connection: Connection) -> int:
    """A number greater than all given before, to any worker."""
    if connection.dialect.name == "postgresql":
        return int(connection.scalar(GENERATIONS))
    return next_value(connection, "generation")


def next_value(connection: Connection, name: str) -> int:
    """The counter `name` of `settings`, one higher than before; its row stays locked till the commit."""
    counted = sa.update(settings).where(settings.c.name == name).values(value=settings.c.value + 1)
    return int(connection.execute(counted.returning(settings.c.value)).scalar_one())


def store_time(connection: Connection) -> float:
    """The store's own clock, seconds since 1970: the one that leases go by."""
    if connection.dialect.name == "postgresql":
        moment = sa.text("SELECT extract(epoch FROM clock_timestamp())::float8")
    else:
        # unixepoch('subsec') would be nicer but wants SQLite 3.42; 2440587.5 is the Julian day of 1970-01-01.
        moment = sa.text("SELECT (julianday('now') - 2440587.5) * 86400.0")
    return float(connection.execute(moment).scalar_one())


def _checked_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except exc.ArgumentError as error:
        raise ConfigError(["状态库地址无法识别 / the state URL cannot be read"]) from error
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parsed.database and ":memory:" not in parsed.database:
        return parsed
    shown = parsed.render_as_string(hide_password=True)
    raise ConfigError(
        [f"状态库须为 SQLite 文件或 PostgreSQL / state must be a SQLite file or PostgreSQL: {shown}"]
    )


def _sqlite_engine(url: URL) -> Engine:
    engine = sa.create_engine(
        url, hide_parameters=True, pool_size=8, max_overflow=32, connect_args={"timeout": _BUSY_S}
    )

    def prepare(dbapi_connection: Any, _record: object) -> None:
        dbapi_connection.isolation_level = None  # transactions begin where we say, not where sqlite3 guesses
        _enter_wal(dbapi_connection)
        for statement in _SQLITE_SETTINGS:
            dbapi_connection.execute(statement).close()

    def begin(connection: Connection) -> None:
        # A writer that began as a reader fails when another has written since; IMMEDIATE waits instead.
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    sa.event.listen(engine, "connect", prepare)
    sa.event.listen(engine, "begin", begin)
    return engine


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Let readers never wait for the writer. SQLite gives up here at once if others are about: we wait."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _postgres_engine(url: URL) -> Engine:
    engine = sa.create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=8,
        max_overflow=16,
        pool_timeout=_BUSY_S,
        isolation_level="READ COMMITTED",
        connect_args={"connect_timeout": _BUSY_S, "keepalives_idle": 30, "tcp_user_timeout": 30_000},
    )

    def prepare(dbapi_connection: Any, _record: object) -> None:
        for statement in _POSTGRES_SETTINGS:
            dbapi_connection.execute(statement)
        dbapi_connection.commit()

    sa.event.listen(engine, "connect", prepare)
    return engine


@contextmanager
def _errors_mapped() -> Iterator[None]:
    """The one place where a database's failure becomes one of ours."""
    try:
        yield
    except exc.DBAPIError as error:
        raise _meaning(error) from error
    except exc.TimeoutError as error:
        raise StoreUnavailable("state store: every connection is in use", retry_after=1.0) from error
    except (exc.SQLAlchemyError, UnicodeError, OverflowError) as error:
        raise StoreRejected(f"state store: {type(error).__name__}: {error}") from error


def _meaning(error: exc.DBAPIError) -> StoreUnavailable | StoreRejected:
    detail = f"state store: {type(error.orig).__name__}: {error.orig}"
    # InternalError: PostgreSQL's name for "your transaction was ended from outside".
    passing = (exc.OperationalError, exc.InterfaceError, exc.InternalError)
    if error.connection_invalidated or isinstance(error, passing):
        return StoreUnavailable(detail, retry_after=1.0)
    return StoreRejected(detail)
