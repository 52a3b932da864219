"""The third commit of a batch, in a thread of its own, while the next batch is judged and written."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from ingest.bookkeeper import Bookkeeper, Unbooked
from ingest.preparing import Prepared
from nengshao.ports import Lease
from nengshao.wire import MessageReceipt


@dataclass(frozen=True, slots=True)
class Pending:
    """A batch that is written, with its booking under way."""

    prepared: Prepared
    booking: Future[list[MessageReceipt]]

    def receipts(self) -> Sequence[MessageReceipt]:
        """One per message, once the books have them. Raises as it did: StoreUnavailable, LeaseLost."""
        return self.booking.result()


class Bookings:
    """At most one booking is under way: the next batch is judged as if it had gone well already."""

    def __init__(self, books: Bookkeeper) -> None:
        self._books = books
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="nengshao-booking")
        self._pending: Pending | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether there is one to wait for."""
        return self._pending is not None

    def begin(self, lease: Lease, prepared: Prepared, unbooked: Unbooked) -> None:
        """Book a batch; the one before has been taken."""
        self._pending = Pending(prepared, self._beside.submit(self._books.commit, lease, unbooked))

    def take(self) -> Pending | None:
        """The booking that is under way, from now on the caller's."""
        pending, self._pending = self._pending, None
        return pending

    def drop(self) -> bool:
        """Wait for it and forget it; whether it went well."""
        pending = self.take()
        return pending is None or pending.booking.exception() is None

    def close(self) -> None:
        """End the thread."""
        self._beside.shutdown()
