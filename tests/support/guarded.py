"""A broker as in production: over TLS, accounts by make-secrets.sh, rules by `nengshao broker-acl`."""

from __future__ import annotations

import queue
import re
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode
from typer.testing import CliRunner

from nengshao import cli
from nengshao.registry_tables import registry_of
from nengshao.settings import read_secret
from nengshao.stores.state import open_state
from tests.servers.mosquitto import Mosquitto
from tests.servers.server import LOOPBACK
from tests.support.certificates import Authority, Signed
from tests.support.deploy import make_secrets

SERVICE = "nengshao"
AUDITOR = "auditor"  # may say and hear everything: what it does not hear was not said
Tables = Mapping[str, Sequence[Mapping[str, str]]]


class GuardedMosquitto(Mosquitto):
    """Knows nobody without an account, speaks TLS only, and logs what it refuses to a file."""

    def __init__(
        self, folder: Path, files: Mapping[str, str], server: Signed, clients_of: Path | None, *, debug: bool
    ) -> None:
        """`clients_of`: the authority whose certificates are the accounts, instead of passwords."""
        super().__init__(folder)
        self._files = {
            **files,
            "server.crt": server.certificate.read_text(encoding="ascii"),
            "server.key": server.key.read_text(encoding="ascii"),
        }
        self._clients_of, self._debug, self.rotated = clients_of, debug, 0
        if clients_of is not None:
            self._files["clients.crt"] = clients_of.read_text(encoding="ascii")

    @property
    def log(self) -> Path:
        """What it logs."""
        return self.folder / "broker.log"

    def _prepare(self) -> None:
        for name, text in self._files.items():
            self.put(name, text)

    def put(self, name: str, text: str) -> None:
        """A file of the broker's, which it can read."""
        (self.folder / name).write_text(text, encoding="utf-8")
        self._hand_over(self.folder / name)

    def reload(self) -> None:
        """SIGHUP, with the log put aside as logrotate does. Returns when it has read its files again: the new
        log is the last thing that it makes.
        """
        self.rotated += 1
        self.log.rename(self.log.with_name(f"{self.log.name}.{self.rotated}"))
        self._own_process().send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while not self.log.exists():
            assert time.monotonic() < deadline, "mosquitto did not reload"
            time.sleep(0.01)

    def _overlay(self) -> dict[str, str | None]:
        door = [f"{self.port} {LOOPBACK}"]
        door += [f"certfile {self.folder / 'server.crt'}", f"keyfile {self.folder / 'server.key'}"]
        if self._clients_of is not None:
            door += [f"cafile {self.folder / 'clients.crt'}", "require_certificate true"]
            door += ["use_identity_as_username true"]
        overlay = super()._overlay()
        del overlay["allow_anonymous"]
        if self._debug:
            del overlay["log_type debug"]
        return overlay | {
            "listener": "\n".join(door),
            "password_file": str(self.folder / "passwords") if self._clients_of is None else None,
            "acl_file": str(self.folder / "acl"),
            "log_dest": f"file {self.log}",
        }


@dataclass
class Guarded:
    """The running broker, the authority behind it, and the installation that its rules come from."""

    server: GuardedMosquitto
    authority: Authority
    folder: Path
    passwords: dict[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> Path:
        """The settings file of the service."""
        return self.folder / "nengshao.toml"

    def write_access(self, tables: Tables) -> str:
        """Import a registry, make rules and accounts of it, give them to the broker, and have it read them.
        What the command said."""
        save_registry(self.folder, tables)
        secrets = self.folder / "secrets" / "mosquitto"
        said = run_broker_acl(self.folder)
        self.server.put("acl", with_auditor((secrets / "acl").read_text(encoding="utf-8")))
        self.server.put("passwords", accounts(self.folder))
        self.server.reload()
        return said


def save_registry(folder: Path, tables: Tables) -> None:
    state = open_state(f"sqlite:///{folder / 'data' / 'state.db'}")
    state.migrate()
    state.save_registry(registry_of(tables), at=1)
    state.close()


def run_broker_acl(folder: Path) -> str:
    access = folder / "secrets" / "mosquitto"
    command = [
        "broker-acl",
        "--wait",
        "0.1",
        "--acl",
        str(access / "acl"),
        "--passwords",
        str(access / "passwords"),
    ]
    done = CliRunner().invoke(cli.app, [*command, "--settings", str(folder / "nengshao.toml")])
    assert done.exit_code == 0, done.output
    return done.output


def with_auditor(rules: str) -> str:
    return f"{rules}\nuser {AUDITOR}\ntopic readwrite #\n"


def accounts(folder: Path) -> str:
    """The password file, with the auditor's account under the service's password."""
    text = (folder / "secrets" / "mosquitto" / "passwords").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith(f"{SERVICE}:"))
    return f"{text}{AUDITOR}:{line.partition(':')[2]}\n"


@contextmanager
def guarded_broker(
    folder: Path, tables: Tables, names: Sequence[str], *, by_certificate: bool = False, debug: bool = True
) -> Iterator[Guarded]:
    """A broker for the devices in `tables`; `names` have accounts: `enterprise/device`, or `enterprise`."""
    (folder / "data").mkdir(parents=True)
    secrets = folder / "secrets"
    make_secrets(secrets)
    (folder / "nengshao.toml").write_text(
        f'data_dir = "{folder / "data"}"\n[mqtt]\nusername = "{SERVICE}"\n', encoding="utf-8"
    )
    passwords = {SERVICE: read_secret(secrets / "mqtt_password")}
    passwords[AUDITOR] = passwords[SERVICE]
    for name in names:
        kind = "device" if "/" in name else "enterprise"
        said = make_secrets(secrets, kind, *name.split("/")).stdout
        passwords[name] = re.findall(r"shown this once: (\S+)", said)[0]
    save_registry(folder, tables)
    run_broker_acl(folder)
    authority = Authority(folder / "authority")
    files = {
        "acl": with_auditor((secrets / "mosquitto" / "acl").read_text(encoding="utf-8")),
        "passwords": accounts(folder),
    }
    certificate = authority.sign("broker", file="server", address=LOOPBACK)
    clients_of = authority.certificate if by_certificate else None
    with (
        tempfile.TemporaryDirectory(prefix="nengshao-guarded-", ignore_cleanup_errors=True) as own,
        GuardedMosquitto(Path(own), files, certificate, clients_of, debug=debug) as server,
    ):
        yield Guarded(server, authority, folder, passwords)


@dataclass(frozen=True)
class Session:
    """A connected client: what it has received, and whether it has been cut off."""

    client: Client
    inbox: queue.Queue[tuple[str, bytes]] = field(default_factory=queue.Queue)
    cut_off: threading.Event = field(default_factory=threading.Event)

    def publish(self, topic: str, payload: bytes) -> None:
        """Returns when the broker has answered, which it also does of a message that it then drops.

        Mosquitto 2.0.11 ends the connection after a forbidden message while max_queued_messages is 0, so a
        session forges once.
        """
        self.client.publish(topic, payload, qos=1).wait_for_publish(10)

    def heard(self) -> tuple[str, bytes]:
        return self.inbox.get(timeout=10)


@contextmanager
def session(guarded: Guarded, name: str, *filters: str, **connection: Any) -> Iterator[Session]:
    """A client under an account, subscribed to the filters."""
    password = guarded.passwords.get(name)
    with connected(guarded, name, password, **connection) as client:
        ours, subscribed = Session(client), threading.Event()

        def receive(_client: Client, _data: object, message: MQTTMessage) -> None:
            ours.inbox.put((message.topic, bytes(message.payload)))

        client.on_message = receive
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_disconnect = lambda *_: ours.cut_off.set()
        if filters:
            client.subscribe([(topic, 1) for topic in filters])
            assert subscribed.wait(10)
        yield ours


@contextmanager
def connected(
    guarded: Guarded,
    name: str,
    password: str | None,
    *,
    certificate: Signed | None = None,
    client_id: str = "",
) -> Iterator[Client]:
    """A client that the broker has let in. Raises: ConnectionRefusedError with the broker's reason."""
    answers: queue.Queue[ReasonCode] = queue.Queue()
    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, reconnect_on_failure=False)
    ca = str(guarded.authority.certificate)
    if certificate is None:
        client.tls_set(ca_certs=ca)
    else:
        client.tls_set(ca_certs=ca, certfile=str(certificate.certificate), keyfile=str(certificate.key))
    if name and certificate is None:
        client.username_pw_set(name, password)
    client.on_connect = lambda _client, _data, _flags, reason, _properties: answers.put(reason)
    client.connect(guarded.server.host, guarded.server.port)
    client.loop_start()
    try:
        reason = answers.get(timeout=10)
        if reason.is_failure:
            raise ConnectionRefusedError(str(reason))
        yield client
    finally:
        client.disconnect()
        client.loop_stop()
