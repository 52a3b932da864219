"""A real InfluxDB 2 that starts from `deploy/influxdb/config.toml`."""

from __future__ import annotations

import json
import os
import secrets
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from tests.servers.install import find_influxd
from tests.servers.server import DEPLOY, LOOPBACK, Server

PRODUCTION_SETTINGS = DEPLOY / "influxdb" / "config.toml"

# Loopback must not go through the proxy that a CI machine may have.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Influx(Server):
    """An InfluxDB with one organisation, one bucket and a token that may do anything."""

    title = "influxd"
    address_variable = "NENGSHAO_TEST_INFLUX_URL"  # and NENGSHAO_TEST_INFLUX_TOKEN, which may make buckets
    default_port = 8086
    version_argument = "version"
    drops_root = False  # it serves as any user, and its program may lie in root's own cache

    def __init__(
        self, folder: Path | None = None, *, bucket: str = "nengshao", external_url: str = ""
    ) -> None:
        """A database that keeps all in `folder`; `bucket` is there after the first start.

        Of an external one, the organisation is the first that the token can see, and no bucket is made.
        """
        super().__init__(folder, external_url=external_url)
        self.bucket = bucket
        self.org = "nengshao"
        given = os.environ.get("NENGSHAO_TEST_INFLUX_TOKEN", "")
        self.token = given if external_url else secrets.token_urlsafe(32)
        self._org_id = ""

    @staticmethod
    def find() -> Path | None:
        """The program on this machine, or None."""
        return find_influxd()

    @property
    def url(self) -> str:
        """http://host:port."""
        return f"http://{self.host}:{self.port}"

    def create_bucket(self, name: str) -> None:
        """Make a bucket that keeps all. Take a new name each time: a deleted one can haunt the next."""
        self._ask("POST", "/api/v2/buckets", {"orgID": self._org_id, "name": name, "retentionRules": []})

    def delete_bucket(self, name: str) -> None:
        """Remove a bucket with its data."""
        query = urllib.parse.urlencode({"name": name, "orgID": self._org_id})
        for bucket in self._ask("GET", f"/api/v2/buckets?{query}")["buckets"]:
            self._ask("DELETE", f"/api/v2/buckets/{bucket['id']}")

    def settings(self) -> dict[str, Any]:
        """The settings that the running server reports, by name."""
        config: dict[str, Any] = self._ask("GET", "/api/v2/config")["config"]
        return config

    def _command(self) -> list[str]:
        return [
            str(self.program),
            f"--bolt-path={self.folder / 'influxd.bolt'}",
            f"--sqlite-path={self.folder / 'influxd.sqlite'}",
            f"--engine-path={self.folder / 'engine'}",
            f"--http-bind-address={LOOPBACK}:{self.port}",
        ]

    def _environment(self) -> dict[str, str]:
        # Variables win over the file, and those of the developer's shell are not production's.
        ours = {name: value for name, value in os.environ.items() if not name.startswith("INFLUXD_")}
        return ours | {"INFLUXD_CONFIG_PATH": str(PRODUCTION_SETTINGS)}

    def _is_ready(self) -> bool:
        try:
            with _OPENER.open(f"{self.url}/health", timeout=5) as answer:
                return bool(json.load(answer)["status"] == "pass")
        except (OSError, ValueError):
            return False

    def _set_up(self) -> None:
        if self.is_external:
            org = self._ask("GET", "/api/v2/orgs")["orgs"][0]
            self.org, self._org_id = org["name"], org["id"]
            return
        # Nobody will use the password, which has the form that strong-passwords wants.
        wanted = {"username": "nengshao", "password": f"aA1!{secrets.token_urlsafe(16)}", "token": self.token}
        made = self._ask("POST", "/api/v2/setup", wanted | {"org": self.org, "bucket": self.bucket})
        self._org_id = made["org"]["id"]

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Token {self.token}", "Content-Type": "application/json"},
        )
        try:
            with _OPENER.open(request, timeout=30) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            error.add_note(error.read().decode(errors="replace"))
            raise
        return json.loads(content) if content else None
