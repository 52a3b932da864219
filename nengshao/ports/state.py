"""The StateStore as a whole: registry, leases, books, assessments, outbox."""

from __future__ import annotations

from typing import Protocol

from nengshao.ports.assessments import Assessments
from nengshao.ports.books import Books
from nengshao.ports.broker import BrokerBooks
from nengshao.ports.closings import Closings
from nengshao.ports.law import LawBooks
from nengshao.ports.leases import Leases
from nengshao.ports.partitions import Partitions
from nengshao.ports.people import Outbox
from nengshao.ports.resends import Resends
from nengshao.ports.statistics import Statistics
from nengshao.registry import Registry


class RegistryStore(Protocol):
    """The registry at rest."""

    def registry(self) -> Registry:
        """The present snapshot; cheap when `registry_version` has not changed."""
        ...

    def registry_version(self) -> int:
        """Grows with every `save_registry`; 0 when nothing was ever saved."""
        ...

    def save_registry(self, registry: Registry, *, at: int) -> None:
        """Replace the registry. Days whose facts changed become dirty: every result day of the enterprises
        whose rows differ (cause "registry")."""
        ...


class StateStore(
    Leases,
    Partitions,
    BrokerBooks,
    Books,
    Resends,
    Assessments,
    Statistics,
    Closings,
    LawBooks,
    RegistryStore,
    Outbox,
    Protocol,
):
    """Registry, books, results, alerts: SQLite (embedded) or PostgreSQL."""

    def migrate(self) -> None:
        """Bring the schema to this version (Alembic)."""
        ...

    def ping(self) -> None:
        """Raises StoreUnavailable if the store does not answer."""
        ...

    def close(self) -> None:
        """Release what is held. Safe to call twice."""
        ...
