"""Telegraf, what a user would take instead for MQTT into InfluxDB: built, configured, started, watched.

`python -m tests.benches.telegraf` builds it from its Go module into the cache where the test servers are. No
host is named here: Go takes modules from where it is told to, and checks them against its checksum database.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.servers.install import cached_influxd

VERSION: Final = "1.37.2"
_MODULE: Final = "github.com/influxdata/telegraf"
_TAGS: Final = "custom,inputs.mqtt_consumer,outputs.influxdb_v2,parsers.json_v2"
_BUFFER: Final = (
    100_000  # readings; with more of them undelivered it would drop what the broker has forgotten
)
_STARTED_S: Final = 30.0

# The same load as ours: one field per reading, tagged by whose and which it is, at the instant it was read.
_SETTINGS: Final = """
[agent]
  interval = "1s"
  flush_interval = "1s"
  flush_jitter = "0s"
  metric_batch_size = 10000
  metric_buffer_limit = {buffer}
  omit_hostname = true
  logfile = "{log}"

[[inputs.mqtt_consumer]]
  servers = ["tcp://{broker}"]
  topics = ["nhjc/v1/+/+/data"]
  qos = 1
  persistent_session = true
  client_id = "{client_id}"
  max_undelivered_messages = {undelivered}
  topic_tag = ""
  data_format = "json_v2"
  [[inputs.mqtt_consumer.json_v2]]
    measurement_name = "reading"
    [[inputs.mqtt_consumer.json_v2.tag]]
      path = "enterpriseCode"
    [[inputs.mqtt_consumer.json_v2.object]]
      path = "data"
      tags = ["dataCode", "statType", "meter"]
      included_keys = ["dataCode", "statType", "meter", "dataValue", "statDate"]
      timestamp_key = "statDate"
      timestamp_format = "2006-01-02 15:04:05"
      timestamp_timezone = "Asia/Shanghai"

[[outputs.influxdb_v2]]
  urls = ["{influx}"]
  token = "{token}"
  organization = "{org}"
  bucket = "{bucket}"
  content_encoding = "identity"
"""


def find_telegraf() -> Path | None:
    """The telegraf program that `main` built; else one on the PATH; else None."""
    built = _cached()
    if os.access(built, os.X_OK):
        return built
    found = shutil.which("telegraf")
    return Path(found) if found else None


def build() -> Path:
    """The telegraf of VERSION in the cache, with only the plug-ins that the bench needs."""
    target = _cached()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=target.parent) as name:
        folder = Path(name)
        # The version of the language keeps Go from loading what the plug-ins that we leave out require.
        (folder / "go.mod").write_text("module nengshao/telegraf\n\ngo 1.24\n", encoding="utf-8")
        program = folder / "telegraf"
        package = f"{_MODULE}/cmd/telegraf"
        for command in (
            ["go", "mod", "edit", "-require", f"{_MODULE}@v{VERSION}"],
            ["go", "build", "-mod=mod", "-tags", _TAGS, "-o", str(program), package],
        ):
            subprocess.run(command, cwd=folder, check=True, env=os.environ | {"GOWORK": "off"})
        program.replace(target)
    return target


@contextmanager
def running(
    program: Path,
    *,
    broker: str,
    client_id: str,
    influx: str,
    token: str,
    org: str,
    bucket: str,
    readings_per_message: int,
) -> Iterator[subprocess.Popen[bytes]]:
    """Telegraf at work; ended by its id."""
    with tempfile.TemporaryDirectory(prefix="nengshao-telegraf-") as name:
        settings, log = Path(name) / "telegraf.conf", Path(name) / "telegraf.log"
        text = _SETTINGS.format(
            log=log,
            broker=broker,
            client_id=client_id,
            influx=influx,
            token=token,
            org=org,
            bucket=bucket,
            buffer=_BUFFER,
            undelivered=_BUFFER // 2 // readings_per_message,
        )
        settings.write_text(text, encoding="utf-8")
        process = subprocess.Popen(
            [program, "--config", settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield process
        except BaseException:
            print(log.read_text(encoding="utf-8")[-2000:])
            raise
        finally:
            process.terminate()
            process.wait(timeout=_STARTED_S)


def _cached() -> Path:
    return cached_influxd().parent.parent / f"telegraf-{VERSION}" / "telegraf"


if __name__ == "__main__":
    started = time.monotonic()
    print(f"{build()}: {time.monotonic() - started:.0f} s")
