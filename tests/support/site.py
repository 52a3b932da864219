"""Nengshao as an operator runs it: settings files, the console script, separate processes, HTTP with a token.

The processes share a broker, an InfluxDB and a PostgreSQL; each has its own data folder, port and log.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
import polars as pl
import psycopg
import pytest
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.domain.dialect import Dialect

from nengshao.clock import AnchoredClock
from nengshao.domain.time import iso_text
from nengshao.registry_tables import registry_of, write_tables
from nengshao.stores.state import open_state
from simulators.keeping import Patience
from simulators.publisher import DevicePublisher
from tests.servers.influx import Influx
from tests.servers.mosquitto import Mosquitto
from tests.servers.postgres import Postgres
from tests.servers.server import LOOPBACK, free_port

PROGRAM: Final = Path(sys.executable).parent / "nengshao"  # the console script beside this interpreter

_READY_WITHIN_S: Final = 60.0  # a loaded two-core machine; a quiet one needs about two seconds
_TAIL: Final = 3000

Document = dict[str, dict[str, Any]]


class Process:
    """One `nengshao run`: a child process with its log and its HTTP address."""

    def __init__(self, name: str, command: list[str], folder: Path, port: int, token: str) -> None:
        self.name, self._log = name, folder / f"{name}.log"
        self._is_ended = False  # by us
        headers = {"Authorization": f"Bearer {token}"}
        # Loopback must not go through the proxy that a CI machine may have.
        self.http = httpx.Client(
            base_url=f"http://{LOOPBACK}:{port}", headers=headers, trust_env=False, timeout=30
        )
        with self._log.open("ab") as log:
            self._popen = subprocess.Popen(
                command,
                cwd=folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for pytest
            )

    @property
    def is_running(self) -> bool:
        """Whether it lives."""
        return self._popen.poll() is None

    @property
    def has_died(self) -> bool:
        """Whether it ended although nobody here ended it."""
        return not self._is_ended and not self.is_running

    @property
    def exit_code(self) -> int | None:
        """What it ended with; None while it lives."""
        return self._popen.poll()

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        assert self.is_running, f"{self.name} has ended by itself"
        self._is_ended = True
        self._popen.kill()
        self._popen.wait()

    def pause(self) -> None:
        """SIGSTOP: it stands still wherever it is, its connections open."""
        self._popen.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: it goes on as if no time had passed."""
        self._popen.send_signal(signal.SIGCONT)

    def end(self) -> int:
        """SIGTERM, as an operator ends it; its exit code."""
        self._is_ended = True
        self._popen.terminate()
        return self._popen.wait(30)

    def close(self) -> None:
        """Leave nothing behind, whatever has happened."""
        self.http.close()
        if self.is_running:
            self._popen.kill()
            self._popen.wait()

    def wait_ready(self) -> None:
        """Until it serves and its stores answer."""
        wait_until(self._is_ready, f"{self.name} is ready", _READY_WITHIN_S)

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of a GET; a parameter `from_` is sent as `from`."""
        answer = self.http.get(path, params={name.rstrip("_"): value for name, value in params.items()})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the metric's samples that have these labels; 0 if there are none."""
        answer = self.http.get("/metrics")
        assert answer.status_code == 200, answer.text
        total = 0.0
        for label_text, value in re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", answer.text, re.MULTILINE):
            found = dict(re.findall(r'(\w+)="([^"]*)"', label_text))
            total += float(value) if labels.items() <= found.items() else 0.0
        return total

    def log_text(self) -> str:
        """All that processes of this name have said."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def _is_ready(self) -> bool:
        assert self.is_running, f"{self.name} ended while it started:\n{self.log_text()[-_TAIL:]}"
        try:
            return self.http.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False


class Site:
    """An installation over three servers, with a clock that shows `anchor` when it is made.

    As a context it ends every process, and adds the ends of their logs to the error that left it.
    """

    def __init__(
        self,
        folder: Path,
        mosquitto: Mosquitto,
        influx: Influx,
        postgres: Postgres,
        *,
        anchor: int,
        rate: float = 1.0,
        **sections: Mapping[str, Any],
    ) -> None:
        """`sections`: what its settings say beyond where everything is, by section."""
        self.folder, self.mosquitto, self.influx, self._postgres = folder, mosquitto, influx, postgres
        self._sections = sections
        self._name = uuid.uuid4().hex
        self._since = time.time()
        self._anchor, self._rate = anchor, rate
        self.client_id = f"ingest-{self._name}"  # sessions outlive the test in the broker
        self.clock = AnchoredClock(anchor, rate, self._since)
        self.readings_bucket, self.results_bucket = f"readings-{self._name}", f"results-{self._name}"
        self._secrets = {
            "api_token": secrets.token_urlsafe(16),
            "influx_token": influx.token,
            "state_url": postgres.create_database(f"site_{self._name}"),
        }
        for name, text in self._secrets.items():
            (folder / name).write_text(text, encoding="utf-8")
        self._processes: list[Process] = []
        self._ports: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            for log in sorted(self.folder.glob("*.log")):
                error.add_note(
                    f"--- {log.name}\n{log.read_text(encoding='utf-8', errors='replace')[-_TAIL:]}"
                )
        for process in self._processes:
            process.close()
        if self._postgres.is_external:
            self._postgres.drop_database(f"site_{self._name}")
        if self.influx.is_external:
            for bucket in (self.readings_bucket, self.results_bucket):
                self.influx.delete_bucket(bucket)

    # --------------------------------------------------------------------------------- the operator

    def settings_file(self, name: str) -> Path:
        """The settings of the process of that name, written anew."""
        port = self._ports.setdefault(name, free_port())
        document: Document = {
            "": {"data_dir": str(self.folder / f"data-{name}")},
            "clock": {
                "kind": "anchored",
                "anchor": dt.datetime.fromisoformat(iso_text(self._anchor)),
                "since": dt.datetime.fromtimestamp(self._since, dt.UTC),
                "rate": self._rate,
            },
            "mqtt": {
                "host": self.mosquitto.host,
                "port": self.mosquitto.port,
                "protocol": "5",
                "client_id": self.client_id,
                "session_expiry_s": 600,
            },
            "store": {
                "kind": "influx",
                "influx_url": self.influx.url,
                "influx_org": self.influx.org,
                "influx_bucket": self.readings_bucket,
                "influx_results_bucket": self.results_bucket,
                "influx_token_file": str(self.folder / "influx_token"),
            },
            "state": {"url_file": str(self.folder / "state_url")},
            "api": {"port": port, "token_file": str(self.folder / "api_token")},
        }
        for section, values in self._sections.items():
            document[section] = {**document.get(section, {}), **values}
        path = self.folder / f"{name}.toml"
        path.write_text(toml_of(document), encoding="utf-8")
        return path

    def command(self, *arguments: str) -> str:
        """Run the console script with `--settings`; what it said. A failure ends the test."""
        settings = str(self.settings_file("operator"))
        done = subprocess.run(
            [str(PROGRAM), *arguments, "--settings", settings],
            cwd=self.folder, env=_environment(), capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def import_registry(self, tables: Mapping[str, list[dict[str, str]]]) -> str:
        """Make the state and import the registry from a folder of CSV, by the command line."""
        write_tables(tables, self.folder / "registry")
        self.command("init")
        return self.command("registry", "import", str(self.folder / "registry"))

    def register(self, tables: Mapping[str, list[dict[str, str]]], partitions: int = 1) -> None:
        """The same, at once and without the command line."""
        state = open_state(self._secrets["state_url"], partitions)
        state.migrate()
        state.save_registry(registry_of(tables), at=self.clock.now())
        state.close()

    def transactions_standing(self) -> int:
        """Sessions at PostgreSQL that have sat in an open transaction for a while: of a paused process."""
        url = self._secrets["state_url"].replace("postgresql+psycopg://", "postgresql://")
        standing = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND state LIKE 'idle in transaction%' AND clock_timestamp() - state_change > interval '0.2 s'"
        )
        with psycopg.connect(url, autocommit=True) as connection:
            (count,) = connection.execute(standing).fetchone() or (0,)
            return int(count)

    def start(self, name: str, roles: str) -> Process:
        """Start `nengshao run --roles …`. The same name again is the same data folder, port and log."""
        settings = str(self.settings_file(name))
        command = [str(PROGRAM), "run", "--roles", roles, "--settings", settings]
        process = Process(name, command, self.folder, self._ports[name], self._secrets["api_token"])
        self._processes.append(process)
        return process

    def wait_until(self, is_so: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
        """Look ten times a second until it is so; a process that dies meanwhile ends the test at once."""

        def is_over() -> bool:
            died = [process.name for process in self._processes if process.has_died]
            assert not died, f"{died} died while this was awaited: {what}"
            return is_so()

        wait_until(is_over, what, timeout_s)

    # ---------------------------------------------------------------------------------- the outside

    @contextmanager
    def devices(
        self, *, in_flight: int = 1000, patience_s: float = 2.0, **more: Any
    ) -> Iterator[DevicePublisher]:
        """Devices that publish to the site's broker and resend after `patience_s` without a receipt."""
        with DevicePublisher(
            self.mosquitto.host, self.mosquitto.port, clock=self.clock, shared=True, in_flight=in_flight,
            patience=Patience(patience_s, 8 * patience_s), client_prefix=f"device-{self._name}",
            **more,
        ) as publisher:  # fmt: skip
            yield publisher

    def stored_readings(self) -> pl.DataFrame:
        """Every row of the readings' bucket as STORED. Shares no code with our store."""
        text = self._asked(
            f'{_since_ever(self.readings_bucket)} |> filter(fn: (r) => r._measurement == "reading")'
        )
        time_ns = pl.col("_time").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="ns").dt.epoch("ns")
        return text.select(
            "enterprise",
            "point",
            pl.col("_field").alias("field"),
            pl.col("_value").cast(pl.Int64).alias("value"),
            time_ns.alias("time"),
        ).sort(pl.all())

    def count_results(self, measurement: str, field: str) -> int:
        """How many values of a field the results' bucket holds, for Grafana."""
        where = f'r._measurement == "{measurement}" and r._field == "{field}"'
        text = self._asked(f"{_since_ever(self.results_bucket)} |> filter(fn: (r) => {where})")
        return text.height

    def _asked(self, flux: str) -> pl.DataFrame:
        """The answer of InfluxDB, by its own client library, as text."""
        columns = ["enterprise", "point", "_field", "_value", "_time"]
        query = f"{flux} |> group() |> keep(columns: {json.dumps(columns)})"
        plain = Dialect(  # type: ignore[no-untyped-call]  # the client is typed in part
            annotations=[], header=True, delimiter=",", date_time_format="RFC3339Nano"
        )
        with InfluxDBClient(self.influx.url, self.influx.token, org=self.influx.org) as client:
            answer = client.query_api().query_raw(query, dialect=plain).read().strip()
        if not answer:
            return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
        return pl.read_csv(io.BytesIO(answer), infer_schema=False)


def _since_ever(bucket: str) -> str:
    return f'from(bucket: "{bucket}") |> range(start: 1970-01-01T00:00:00Z, stop: 2100-01-01T00:00:00Z)'


STORED: Final = {
    "enterprise": pl.String,
    "point": pl.String,
    "field": pl.String,
    "value": pl.Int64,
    "time": pl.Int64,
}
"""Columns of `Site.stored_readings`; `time` is in nanoseconds, the version in its sub-second part."""


@contextmanager
def open_site(
    request: pytest.FixtureRequest, folder: Path, *, mortal: str = "", **given: Any
) -> Iterator[Site]:
    """A site over the run's servers; the one named `mortal` is the test's own, to kill."""

    def server(name: str) -> Any:
        return request.getfixturevalue(f"killable_{name}" if name == mortal else name)

    with Site(folder, server("mosquitto"), server("influx"), server("postgres"), **given) as site:
        yield site


def wait_until(is_so: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    """Look ten times a second until it is so."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.1)


def toml_of(document: Document) -> str:
    """A settings file: the keys of section "" stand on top."""
    parts = []
    for section, values in document.items():
        lines = [f"{name} = {_toml_value(value)}" for name, value in values.items()]
        parts.append("\n".join([f"[{section}]"] * bool(section) + lines))
    return "\n\n".join(parts) + "\n"


def _toml_value(value: Any) -> str:
    return value.isoformat() if isinstance(value, dt.datetime) else json.dumps(value, ensure_ascii=False)


def _environment() -> dict[str, str]:
    """The test's own variables would win over the settings file."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("NENGSHAO_")}
    return ours | {"PYTHONUNBUFFERED": "1"}
