"""Every error of Nengshao. The class says what the caller can do.

NengshaoError
├── ConfigError              refuse to start; carries every problem at once; exit 2
│   ├── FactorMissing        no factor is valid for a carrier, basis and day
│   └── RuleError            a rulebook row that cannot be evaluated
├── ReadingRejected          one bad message or reading; carries a Reason; never leaves ingest/
├── StoreError
│   ├── StoreUnavailable     retry; may carry retry_after
│   ├── StoreRejected        permanent; names the offending rows
│   └── LeaseLost            another holder has the partition; stop writing
├── DeliveryError
│   ├── DeliveryDeferred     retry
│   └── DeliveryRefused      permanent
└── FrameContractError       our bug; never caught
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nengshao.domain.readings import Reason


class NengshaoError(Exception):
    """Anything this project raises on purpose."""


class ConfigError(NengshaoError):
    """The configuration cannot be used; `problems` lists everything that is wrong with it."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class FactorMissing(ConfigError):
    """No factor is valid for this carrier, basis and day."""


class RuleError(ConfigError):
    """A rule that cannot be evaluated: unknown key, measure or comparator."""


class ReadingRejected(NengshaoError):
    """One message or reading that cannot be accepted, with its reason."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)


class StoreError(NengshaoError):
    """A store did not do what was asked."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or is overloaded: the same call may succeed later."""

    def __init__(self, detail: str, *, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(detail)


class StoreRejected(StoreError):
    """The store will never take these rows; `rows` are their positions in the frame given."""

    def __init__(self, detail: str, *, rows: Sequence[int] = ()) -> None:
        self.rows = tuple(rows)
        super().__init__(detail)


class LeaseLost(StoreError):
    """The lease has passed to another holder (its epoch is newer): whoever sees this stops writing."""


class DeliveryError(NengshaoError):
    """A notification did not reach its recipient."""


class DeliveryDeferred(DeliveryError):
    """The channel is busy or away: try again."""


class DeliveryRefused(DeliveryError):
    """The channel will never take this notification."""


class FrameContractError(NengshaoError):
    """A frame does not have the columns its contract promises, or a quantity overflowed."""
