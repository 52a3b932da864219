"""The ports: what the rooms need of the outside, with the promises every implementation keeps.

One contract suite per port (tests/contract) runs on every implementation, the real servers included.
Only the classes of `nengshao.domain.errors` escape an implementation.
"""

from __future__ import annotations

from nengshao.ports.assessments import AssessmentCommit, Assessments, JudgementCommit, Revision
from nengshao.ports.bookings import (
    CORRECTIONS_SCHEMA,
    DIRTY_SCHEMA,
    LAST_SEEN_SCHEMA,
    LEDGER_SCHEMA,
    WATERMARK_SCHEMA,
    Booking,
    DeviceStatus,
    InboxEntry,
    Intent,
    QuarantineEntry,
)
from nengshao.ports.books import Books
from nengshao.ports.broker import DENIALS_SCHEMA, BrokerBooks
from nengshao.ports.clock import Clock
from nengshao.ports.closings import Closings
from nengshao.ports.law import LawBooks
from nengshao.ports.leases import Lease, Leases
from nengshao.ports.partitions import Partitioning, Partitions
from nengshao.ports.people import Notice, Notifier, Outbox
from nengshao.ports.resends import CLOCKS_SCHEMA, GAPS_SCHEMA, DeviceClock, Resends
from nengshao.ports.state import RegistryStore, StateStore
from nengshao.ports.statistics import Statistics
from nengshao.ports.stores import ReadingStore, ResultStore

__all__ = [
    "CLOCKS_SCHEMA",
    "CORRECTIONS_SCHEMA",
    "DENIALS_SCHEMA",
    "DIRTY_SCHEMA",
    "GAPS_SCHEMA",
    "LAST_SEEN_SCHEMA",
    "LEDGER_SCHEMA",
    "WATERMARK_SCHEMA",
    "AssessmentCommit",
    "Assessments",
    "Booking",
    "Books",
    "BrokerBooks",
    "Clock",
    "Closings",
    "DeviceClock",
    "DeviceStatus",
    "InboxEntry",
    "Intent",
    "JudgementCommit",
    "LawBooks",
    "Lease",
    "Leases",
    "Notice",
    "Notifier",
    "Outbox",
    "Partitioning",
    "Partitions",
    "QuarantineEntry",
    "ReadingStore",
    "RegistryStore",
    "Resends",
    "ResultStore",
    "Revision",
    "StateStore",
    "Statistics",
]
