"""A process of devices that can be killed: `python -m tests.chaos.device FOLDER`.

FOLDER holds `group.json`. What the devices have made is in `made.tsv` before it is published, what their
receipts said in `receipts.jsonl` before they let go of a message; both are the audit's device-side truth.
Started again, they go on where they were. Once `stop` is there they finish their day, wait for the last
receipt, and the process ends with 0.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from nengshao.clock import AnchoredClock
from simulators.keeping import Patience
from simulators.publisher import DevicePublisher
from tests.chaos.records import append_to, read_made
from tests.chaos.traffic import Group, messages


class RecordingPublisher(DevicePublisher):
    """Devices that write every receipt down before they act on it."""

    def __init__(self, receipts: Path, *place: Any, **given: Any) -> None:
        self._receipts, self._writing = append_to(receipts), threading.Lock()
        super().__init__(*place, **given)

    def take_receipt(self, topic: str, payload: bytes) -> None:
        with self._writing:
            self._receipts.write(payload + b"\n")
            self._receipts.flush()
        super().take_receipt(topic, payload)


def publisher(folder: Path, group: Group) -> RecordingPublisher:
    return RecordingPublisher(
        folder / "receipts.jsonl",
        group.host,
        group.port,
        clock=AnchoredClock(group.anchor, 1.0, group.since),
        shared=group.shared,
        protocol=group.protocol,
        in_flight=group.in_flight,
        patience=Patience(group.patience_s, group.patience_max_s),
        journal_dir=folder / "keep",
        client_prefix=f"{group.name}-{int(group.since * 1000)}",
    )


def run(folder: Path) -> None:
    """Publish until told to stop, then wait until nothing lacks its receipt."""
    group = msgspec.json.decode((folder / "group.json").read_bytes(), type=Group)
    stop = folder / "stop"
    said_before = max((made.number for made in read_made(folder / "made.tsv")), default=-1)
    log = append_to(folder / "made.tsv")
    with publisher(folder, group) as devices:
        began, published, number = time.monotonic(), 0, 0

        def is_over() -> bool:
            return number >= said_before and stop.exists()

        for number, message in enumerate(messages(group, is_over)):
            if number < said_before:
                continue  # the last one again: it may have been made and never sent
            log.write(b"%d\t%s\t%s\n" % (number, message.topic.encode(), message.payload))
            log.flush()
            devices.publish([message])
            published += 1
            ahead_s = published / group.per_second - (time.monotonic() - began)
            if ahead_s > 0 and not stop.exists():
                time.sleep(ahead_s)
        while not devices.wait_receipted(3600):
            pass


if __name__ == "__main__":
    run(Path(sys.argv[1]))
