"""Where a broker would silently drop what it has acknowledged: its configuration against the load."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nengshao.broker.configuration import Embedded, Mosquitto
from nengshao.broker.findings import Expectations, Finding, finding, size_text, span
from nengshao.broker.load import Load, copies, lasting_s

_OVERHEAD: Final = 350  # bytes of memory beside the payload, per queued message: 0.85 kB for one of 500 bytes
_GIB: Final = 1 << 30
_HEADERS: Final = 256  # bytes of a packet beside its payload: topic, properties, lengths
_ROOMY: Final = 1_048_576  # what deploy/mosquitto/mosquitto.conf allows a packet
_OFTEN_S: Final = 60  # of autosave: what a kill -9 takes from devices that trust the PUBACK
_BATCH: Final = 100  # messages in flight below which a batch is not worth its transaction


def kept(conf: Mosquitto, load: Load, wanted: Expectations) -> Iterator[Finding]:
    """What decides whether an acknowledged message is still there. Raises: ConfigError."""
    yield from _queues(conf, load, wanted)
    if conf.is_on("persistence"):
        yield _location(conf)
        yield _autosave(conf)
    else:
        yield finding("persistence-off")
    yield from _sessions(conf, wanted)
    for name, room in (("message_size_limit", 0), ("max_packet_size", _HEADERS)):
        yield from _size(name, conf.number(name, 0), wanted.max_message_bytes + room)
    yield from _passing(conf, wanted)


def kept_embedded(conf: Embedded, load: Load, wanted: Expectations) -> Iterator[Finding]:
    """The same of the embedded broker, which has no disk."""
    yield finding("persistence-off")
    if conf.kept_bytes is not None:
        name, lasts_s = "max_segment_size × max_segment_count", lasting_s(load.bytes_per_s, conf.kept_bytes)
        yield _queue(name, conf.kept_bytes, lasts_s, wanted, "max_segment_count")
    yield from _size("max_payload_size", conf.max_payload or 0, wanted.max_message_bytes)


def _queues(conf: Mosquitto, load: Load, wanted: Expectations) -> Iterator[Finding]:
    if limit := conf.number("max_queued_messages", 1000):
        lasts_s = lasting_s(load.messages_per_s, limit)
        yield _queue("max_queued_messages", limit, lasts_s, wanted, "max_queued_messages 0")
    if limit := conf.number("max_queued_bytes", 0):
        yield _queue(
            "max_queued_bytes", limit, lasting_s(load.bytes_per_s, limit), wanted, "max_queued_bytes 0"
        )
    piled, memory = copies(wanted.outage_s), load.bytes_per_s + _OVERHEAD * load.messages_per_s
    needs = {"outage": span(wanted.outage_s), "size": size_text(memory * piled)}
    if limit := conf.number("memory_limit", 0):
        yield finding("memory-limit", limit=limit, **needs)
    if memory:
        lasts = span(lasting_s(memory, _GIB))
        yield finding("queue-memory", messages=round(load.messages_per_s * piled), lasts=lasts, **needs)


def _queue(name: str, limit: int, lasts_s: float, wanted: Expectations, instead: str) -> Finding:
    """A limit, and whether it is reached before the outage is over."""
    code = "queue-limit" if lasts_s < wanted.outage_s else "queue-limit-suffices"
    times = {"lasts": span(lasts_s), "outage": span(wanted.outage_s)}
    return finding(code, name=name, limit=limit, instead=instead, **times)


def _location(conf: Mosquitto) -> Finding:
    folder = Path(conf.options.get("persistence_location", "./"))
    user = conf.options.get("user", "mosquitto")
    if not folder.is_absolute() or not folder.parent.is_dir():
        return finding("persistence-elsewhere", folder=folder)
    is_well = folder.is_dir() and _may_write(folder, user)
    return finding("persistence" if is_well else "persistence-location", folder=folder, user=user)


def _may_write(folder: Path, user: str) -> bool:
    """Whether the broker could: as `user` where it is started by root, else as whoever asks."""
    if os.geteuid() != 0:
        return os.access(folder, os.W_OK | os.X_OK)
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return True  # mosquitto says so itself, and does not start
    status = folder.stat()
    groups = os.getgrouplist(user, entry.pw_gid)
    shift = 6 if status.st_uid == entry.pw_uid else 3 if status.st_gid in groups else 0
    return entry.pw_uid == 0 or (status.st_mode >> shift) & 0o3 == 0o3


def _autosave(conf: Mosquitto) -> Finding:
    every = conf.number("autosave_interval", 1800)
    if conf.is_on("autosave_on_changes") and every:
        return finding("autosave-every-change" if every == 1 else "autosave-changes", every=every)
    return finding("autosave" if 0 < every <= _OFTEN_S else "autosave-rare", every=every)


def _sessions(conf: Mosquitto, wanted: Expectations) -> Iterator[Finding]:
    """Whether a session is remembered for as long as its ingestor may be away."""
    theirs, ours = "persistent_client_expiration", "mqtt.session_expiry_s"
    for name, seconds, instead in (
        (theirs, conf.span_s(theirs), f"{theirs} 14d"),
        (ours, wanted.session_expiry_s, f"session_expiry_s = {2 * wanted.outage_s}"),
    ):
        if seconds is not None and seconds < wanted.outage_s:
            times = {"span": span(seconds), "outage": span(wanted.outage_s)}
            yield finding("session-expiry", name=name, instead=instead, **times)
    renames = any(listener.options.get("use_username_as_clientid") == "true" for listener in conf.listeners)
    if renames and wanted.partitions > 1:
        yield finding("client-id-replaced")


def _size(name: str, limit: int, needed: int) -> Iterator[Finding]:
    if limit and limit < needed:
        yield finding("message-size", name=name, limit=limit, needed=needed, instead=max(needed, _ROOMY))


def _passing(conf: Mosquitto, wanted: Expectations) -> Iterator[Finding]:
    limit = conf.number("max_inflight_messages", 20)
    if limit and limit < min(_BATCH, wanted.receive_maximum):
        yield finding("inflight", limit=limit, receive_maximum=wanted.receive_maximum)
    if conf.is_on("upgrade_outgoing_qos"):
        yield finding("qos-upgraded")
