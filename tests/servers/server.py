"""One real server as a child process on a loopback port: started, killed, started again on its data."""

from __future__ import annotations

import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
LOOPBACK = "127.0.0.1"

_READY_WITHIN_S = 60.0  # a loaded two-core machine; a quiet one needs about one second
_STOPPED_WITHIN_S = 30.0
_START_ATTEMPTS = 5

# Below the range from which the kernel takes the local ports of clients (32768 and up, see ip(7)). With a
# port of that range, a client that dials a killed server again and again may be given this very port for its
# own, reach itself, and keep the server from coming back.
_PORTS = range(20_000, 32_768)


class ServerError(Exception):
    """A real server did not start, or cannot do what was asked; the message holds the end of its log."""


class Server(ABC):
    """A server in a folder of its own, or one that somebody else runs and whose address was given.

    The port is chosen at the first start and kept, so that clients find a restarted server where it was.
    """

    title: ClassVar[str]
    address_variable: ClassVar[str]
    default_port: ClassVar[int]
    version_argument: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    # PostgreSQL refuses to serve as root, and Mosquitto would turn by itself into a user of Debian's.
    drops_root: ClassVar[bool] = True

    def __init__(self, folder: Path | None = None, *, external_url: str = "") -> None:
        """A server of ours that is to keep all in `folder`, or the one that runs at `external_url`."""
        if (folder is None) is not bool(external_url):
            raise ServerError(f"{self.title} needs a folder, or the address where it runs already")
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._is_set_up = False
        self.is_external = bool(external_url)
        address = urlsplit(external_url)
        self.host = address.hostname or LOOPBACK
        self.port = address.port or self.default_port

    @classmethod
    def from_environment(cls) -> Self | None:
        """The one whose address `address_variable` holds, or None."""
        url = os.environ.get(cls.address_variable, "")
        return cls(external_url=url) if url else None

    @staticmethod
    @abstractmethod
    def find() -> Path | None:
        """The program on this machine, or None."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients find it, in the form that they expect."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The command that serves in `folder` on `port`."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether it answers."""

    def _prepare(self) -> None:  # noqa: B027 - most servers need nothing
        """Make in `folder` what must be there before the first start."""

    def _set_up(self) -> None:  # noqa: B027 - most servers need nothing
        """Ask of the running server what must be asked once, when it answers for the first time."""

    def _environment(self) -> dict[str, str]:
        return dict(os.environ)

    @property
    def folder(self) -> Path:
        """Where its data and its log are."""
        if self._folder is None:
            raise ServerError(f"the data of the external {self.title} are not ours")
        return self._folder

    @property
    def program(self) -> Path:
        """What is run."""
        found = self.find()
        if found is None:
            raise ServerError(f"{self.title} is not on this machine: run `make servers`")
        return found

    @property
    def is_running(self) -> bool:
        """Whether its process lives; of an external one, whether it answers."""
        if self.is_external:
            return self._is_ready()
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Serve and answer, on the data that are there; nothing happens if it runs already."""
        if not self.is_running:
            if self.is_external:
                raise ServerError(f"the external {self.title} at {self.host}:{self.port} does not answer")
            if not self._is_set_up:
                self._take_folder()
                self._prepare()
            self._start_until_ready()
        if not self._is_set_up:
            self._set_up()
            self._is_set_up = True

    def version(self) -> str:
        """The program's name and the version that it reports, such as "mosquitto 2.0.11"."""
        # Not checked: Mosquitto has no option for its version, and says it with an error about its help.
        said = subprocess.run(
            [self.program, self.version_argument], capture_output=True, text=True, check=False
        )
        number = re.search(r"\d+(\.\d+)+", said.stdout + said.stderr)
        return f"{self.title} {number[0]}" if number else self.title

    def stop(self) -> None:
        """End it as an operator would; what it has promised to keep is on the disk afterwards."""
        process = self._own_process()
        process.send_signal(self.stop_signal)
        try:
            process.wait(_STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ServerError(
                f"{self.title} did not stop within {_STOPPED_WITHIN_S} s{self._last_words()}"
            ) from None

    def kill(self) -> None:
        """SIGKILL: what a power failure leaves of a process. Returns when it is gone."""
        process = self._own_process()
        process.kill()
        process.wait()

    def pause(self) -> None:
        """SIGSTOP: it stands still wherever it is, its connections open."""
        for pid in self._family():
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: it goes on as if no time had passed."""
        for pid in self._family():
            os.kill(pid, signal.SIGCONT)

    def log_text(self) -> str:
        """All that it has said so far, earlier starts included."""
        log = self.folder / "server.log"
        return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""

    def __enter__(self) -> Self:
        """Start it; leave nothing running if that fails."""
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it, if it runs and is ours."""
        if not self.is_external and self.is_running:
            self.stop()

    def _own_process(self) -> subprocess.Popen[bytes]:
        if self.is_external:
            raise ServerError(f"the external {self.title} is not ours to end")
        if self._process is None:
            raise ServerError(f"{self.title} was never started")
        return self._process

    def _family(self) -> list[int]:
        """The process, and its children where the children serve."""
        return [self._own_process().pid]

    def _take_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._hand_over(self.folder)

    def _hand_over(self, path: Path) -> None:
        if user := self._run_as().get("user"):
            shutil.chown(path, user)

    def _start_until_ready(self) -> None:
        # Anyone may take a port between our look and the server's bind, and the children of a killed
        # PostgreSQL need a moment to see that they are orphans: what ends while it starts is tried again.
        for _ in range(_START_ATTEMPTS):
            if not self._is_set_up:
                self.port = free_port()
            self._spawn()
            if self._wait_until_ready():
                return
            time.sleep(0.3)
        raise ServerError(f"{self.title} ends while it starts{self._last_words()}")

    def _spawn(self) -> None:
        command = self._command()
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for pytest, which then ends its servers in order.
                start_new_session=True,
                **self._run_as(),
            )

    def _wait_until_ready(self) -> bool:
        deadline = time.monotonic() + _READY_WITHIN_S
        while time.monotonic() < deadline:
            if not self.is_running:
                return False
            if self._is_ready():
                return True
            time.sleep(0.02)
        self.kill()
        raise ServerError(f"{self.title} does not answer within {_READY_WITHIN_S} s{self._last_words()}")

    def _last_words(self) -> str:
        return f"; the end of its log:\n{self.log_text()[-4000:]}"

    def _run_as(self) -> dict[str, Any]:
        """The arguments of subprocess that give root's powers away; none where there are none to give."""
        if not self.drops_root or os.geteuid() != 0:
            return {}
        nobody = pwd.getpwnam("nobody")
        return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def free_port() -> int:
    """A loopback port that nobody listens on."""
    # Not the module's own generator, which pytest-randomly seeds: two runs of one seed would meet.
    chance = random.SystemRandom()
    for _ in range(1000):
        port = chance.choice(_PORTS)
        if is_free(port):
            return port
    raise ServerError("no free port on the loopback interface")


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def answers(host: str, port: int) -> bool:
    """Whether somebody takes a TCP connection there."""
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True
