"""`nengshao doctor`: what would lose messages here, or let others in, and nobody would say.

`check` looks at what we are told; this looks at the broker's configuration, and at the world as it is now.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import nengshao
from ingest.probing import probe_broker, probe_session
from nengshao.app import clock_of, has_state, identities_of, open_state_store, session_name
from nengshao.broker.configuration import Embedded, Mosquitto, read_configuration
from nengshao.broker.exposure import exposed, exposed_embedded
from nengshao.broker.findings import Expectations, Finding, finding, size_text, span
from nengshao.broker.judgement import kept, kept_embedded
from nengshao.broker.load import Load, lasting_s, load_of
from nengshao.domain.errors import StoreUnavailable
from nengshao.ports import StateStore
from nengshao.settings import Settings, read_secret
from nengshao.stores.influx import InfluxReadingStore

DEPLOYED: Final = (
    Path("/mosquitto/config/mosquitto.conf"),
    Path("/etc/mosquitto/mosquitto.conf"),
    Path(nengshao.__file__).parent.parent / "deploy" / "mosquitto" / "mosquitto.conf",
)
"""Where a broker's configuration is looked for, in this order, if none is named."""

_SKEW_S: Final = 60  # less than this is the network's, or repaired by any time service
_LEASE_S: Final = 30.0  # for one question
_NOTHING: Final = Load(0.0, 0.0, 0)


def examine(settings: Settings, broker_conf: Path | None, outage_s: int) -> Iterator[Finding]:
    """Everything that is found, in order or not. Raises: ConfigError where a file cannot be read at all."""
    try:
        state = open_state_store(settings) if has_state(settings) else None
    except StoreUnavailable as exc:
        yield finding("state-away", reason=exc)
        state = None
    if state is None:
        yield finding("registry-empty")
        yield from _configuration(settings, broker_conf, _NOTHING, outage_s, settings.partitions)
        yield from _broker(settings)
        return
    try:
        yield from _with_state(settings, state, broker_conf, outage_s)
    finally:
        state.close()


def _with_state(
    settings: Settings, state: StateStore, broker_conf: Path | None, outage_s: int
) -> Iterator[Finding]:
    partitions = state.partitions.count
    load = load_of(state.registry(), partitions, clock_of(settings.clock).now())
    yield _registry(state, load)
    yield from _configuration(settings, broker_conf, load, outage_s, partitions)
    yield from _readings(settings, state)
    yield _clock(settings, state)
    yield _spool(settings, partitions, load)
    out_of_reach = list(_broker(settings))
    yield from out_of_reach
    yield from _partitions(settings, state, is_reached=not out_of_reach)


def _configuration(
    settings: Settings, path: Path | None, load: Load, outage_s: int, partitions: int
) -> Iterator[Finding]:
    path = path or next((known for known in DEPLOYED if known.exists()), None)
    if path is None:
        yield finding("no-configuration")
        return
    yield finding("configuration", path=path)
    wanted = Expectations(
        outage_s=outage_s,
        max_message_bytes=settings.ingest.max_message_bytes,
        receive_maximum=settings.mqtt.receive_maximum,
        session_expiry_s=settings.mqtt.session_expiry_s if settings.mqtt.protocol == "5" else None,
        partitions=partitions,
    )
    yield from judged(read_configuration(path), load, wanted)


def judged(conf: Mosquitto | Embedded, load: Load, wanted: Expectations) -> Iterator[Finding]:
    """What a configuration does to messages and to strangers; what a comment in it accepts becomes a note."""
    if isinstance(conf, Embedded):
        yield from kept_embedded(conf, load, wanted)
        yield from exposed_embedded(conf)
        return
    for found in (*kept(conf, load, wanted), *exposed(conf)):
        reason = conf.accepted.get(found.code)
        yield found if reason is None else finding("accepted", code=found.code, reason=reason)


def _registry(state: StateStore, load: Load) -> Finding:
    registry = state.registry()
    if registry.enterprises.is_empty():
        return finding("registry-empty")
    return finding(
        "registry",
        version=registry.version,
        enterprises=registry.enterprises.height,
        devices=registry.devices.height,
        rate=f"{load.messages_per_s:.2f}",
        size=size_text(load.bytes_per_s * 3_600),
    )


def _readings(settings: Settings, state: StateStore) -> Iterator[Finding]:
    """InfluxDB answers our token. A DuckDB file is its process's own, and not opened beside it."""
    store = settings.store
    if store.kind != "influx" or store.influx_token_file is None:
        return
    readings = InfluxReadingStore(
        store.influx_url,
        read_secret(store.influx_token_file),
        store.influx_org,
        store.influx_bucket,
        identities=identities_of(state),
        timeout_s=store.timeout_s,
    )
    try:
        readings.ping()
    except StoreUnavailable as exc:
        yield finding("store-away", reason=exc)
    finally:
        readings.close()


def _clock(settings: Settings, state: StateStore) -> Finding:
    before = time.time()
    store_time, _ = state.held_leases("ingest")
    skew = store_time - (before + time.time()) / 2
    code = "clock-off" if abs(skew) > _SKEW_S else "clock"
    return finding(code, skew=f"{skew:+.1f}", limit=settings.ingest.future_limit_s)


def _spool(settings: Settings, partitions: int, load: Load) -> Finding:
    folder, limit = settings.data_dir / "spool", settings.ingest.spool_max_bytes
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(there).free
    used = sum(path.stat().st_size for path in folder.rglob("*.spool"))
    values = {"folder": folder, "free": size_text(free), "size": size_text(limit * partitions)}
    if free + used < limit * partitions:
        return finding("spool-room", instead=(free + used) // (2 * partitions), **values)
    return finding("spool", lasts=span(lasting_s(load.bytes_per_s, limit)), **values)


def _broker(settings: Settings) -> Iterator[Finding]:
    try:
        probe_broker(settings.mqtt)
    except StoreUnavailable as exc:
        yield finding("broker-away", reason=exc)


def _partitions(settings: Settings, state: StateStore, *, is_reached: bool) -> Iterator[Finding]:
    """Who takes what in; where nobody does, whether the broker at least keeps a session for him."""
    _, leases = state.held_leases("ingest")
    held = {lease.partition: lease.holder for lease in leases}
    for partition in range(state.partitions.count):
        if partition in held:
            yield finding("lease", partition=partition, holder=held[partition])
            continue
        yield finding("lease-free", partition=partition)
        if is_reached:
            yield from _session(settings, state, partition)


def _session(settings: Settings, state: StateStore, partition: int) -> Iterator[Finding]:
    """Whether the session is there; asked under the partition's lease, as its holder would."""
    lease = state.acquire_lease("ingest", partition, f"doctor:{socket.gethostname()}:{os.getpid()}", _LEASE_S)
    if lease is None:
        return
    try:
        is_there = probe_session(settings.mqtt, session_name(settings, state.partitions, partition))
        yield finding("session" if is_there else "session-absent", partition=partition)
    except StoreUnavailable as exc:
        yield finding("broker-away", reason=exc)
    finally:
        state.release_lease(lease)
