"""A real Mosquitto that starts from `deploy/mosquitto/mosquitto.conf`."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from tests.servers.install import find_mosquitto
from tests.servers.server import DEPLOY, LOOPBACK, Server, ServerError, answers

PRODUCTION_SETTINGS = DEPLOY / "mosquitto" / "mosquitto.conf"


class Mosquitto(Server):
    """A broker that takes anyone on the loopback interface; all else is as in production."""

    title = "mosquitto"
    address_variable = "NENGSHAO_TEST_MQTT_URL"  # mqtt://host:port
    default_port = 1883
    version_argument = "-h"

    @staticmethod
    def find() -> Path | None:
        """The program on this machine, or None."""
        return find_mosquitto()

    @property
    def url(self) -> str:
        """mqtt://host:port."""
        return f"mqtt://{self.host}:{self.port}"

    def save(self) -> None:
        """Have all it holds written to the disk now, as each `autosave_interval` does; returns when it is."""
        snapshot = self.folder / "mosquitto.db"
        before = snapshot.stat().st_ino if snapshot.exists() else None
        self._own_process().send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 30
        while not snapshot.exists() or snapshot.stat().st_ino == before:
            if time.monotonic() > deadline:
                raise ServerError(f"mosquitto wrote no snapshot{self._last_words()}")
            time.sleep(0.01)

    def _command(self) -> list[str]:
        settings = self.folder / "mosquitto.conf"
        production = PRODUCTION_SETTINGS.read_text(encoding="utf-8")
        settings.write_text(settings_with(production, self._overlay()), encoding="utf-8")
        settings.chmod(0o644)
        return [str(self.program), "-c", str(settings)]

    def _overlay(self) -> dict[str, str | None]:
        """The lines that are not production's."""
        return {
            "listener": f"{self.port} {LOOPBACK}",
            "include_dir": None,
            "persistence_location": f"{self.folder}/",
            "allow_anonymous": "true",
            "password_file": None,
            "acl_file": None,
            "log_dest": "stderr",
            "log_type debug": None,  # four lines a message: hundreds of megabytes under load
        }

    def _is_ready(self) -> bool:
        return answers(self.host, self.port)


def settings_with(production: str, overlay: Mapping[str, str | None]) -> str:
    """Production's settings with each line that `overlay` names replaced or, for None, left out.

    Mosquitto has no settings on its command line and takes a repeated one for an error or for a second
    listener, so the lines are replaced where they stand. An overlay for a line that production does not have
    is an error: it would be a setting that only tests know.
    """
    settings = production
    for name, value in overlay.items():
        found = list(re.finditer(rf"^{name}\b.*\n", settings, re.MULTILINE))
        if len(found) != 1:
            raise ServerError(f"{PRODUCTION_SETTINGS.name} has {len(found)} lines of {name}, not one")
        line = "" if value is None else f"{name} {value}\n"
        settings = settings[: found[0].start()] + line + settings[found[0].end() :]
    return settings
