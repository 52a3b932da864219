"""A look at the broker from outside: whether it lets us in, and whether it keeps a session."""

from __future__ import annotations

import queue
import uuid
from typing import Any, Final

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from nengshao.domain.errors import StoreUnavailable
from nengshao.settings import MqttSettings, read_secret

_TIMEOUT_S: Final = 10.0


def probe_broker(settings: MqttSettings) -> None:
    """Connect as the service would, under a name of our own. Raises: StoreUnavailable with the reason."""
    _connect(settings, f"nengshao-doctor-{uuid.uuid4().hex[:8]}", is_clean=True)


def probe_session(settings: MqttSettings, client_id: str) -> bool:
    """Whether the broker keeps a session of that id; nothing of it is taken, and none is left where none was.

    Only for who holds the partition's lease: a connection under an id ends the one that is there.
    Raises: StoreUnavailable.
    """
    is_there = _connect(settings, client_id, is_clean=False)
    if not is_there:
        _connect(settings, client_id, is_clean=True)
    return is_there


def _connect(settings: MqttSettings, client_id: str, *, is_clean: bool) -> bool:
    """Connect and go again: whether there was a session."""
    answers: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()

    def connected(_client: Client, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        answers.put((str(reason) if reason.is_failure else "", flags.session_present))

    is_v5 = settings.protocol == "5"
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=None if is_v5 else is_clean,
        protocol=MQTTProtocolVersion.MQTTv5 if is_v5 else MQTTProtocolVersion.MQTTv311,
        manual_ack=True,  # what waits in the session stays there
        reconnect_on_failure=False,
    )
    client.on_connect = connected
    if settings.username is not None:
        password = None if settings.password_file is None else read_secret(settings.password_file)
        client.username_pw_set(settings.username, password)
    arguments: dict[str, Any] = {}
    if is_v5:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho has no types here
        properties.SessionExpiryInterval = 0 if is_clean else settings.session_expiry_s
        arguments = {"clean_start": is_clean, "properties": properties}
    try:
        if settings.ca_file is not None:
            client.tls_set(ca_certs=str(settings.ca_file))
        client.connect(settings.host, settings.port, **arguments)
        client.loop_start()
        problem, is_there = answers.get(timeout=_TIMEOUT_S)
    except (OSError, ValueError) as exc:
        raise StoreUnavailable(f"{settings.host}:{settings.port}: {exc}") from exc
    except queue.Empty:
        raise StoreUnavailable(f"{settings.host}:{settings.port}: no answer") from None
    finally:
        client.disconnect()
        client.loop_stop()
    if problem:
        raise StoreUnavailable(f"{settings.host}:{settings.port}: {problem}")
    return is_there
