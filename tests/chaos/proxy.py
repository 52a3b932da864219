"""A network that can be cut, stalled and slowed: a TCP relay on a loopback port, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from tests.servers.server import LOOPBACK, free_port

_CHUNK: Final = 16 * 1024


class Proxy:
    """Relays every connection to its port to one address, as well as the line of the moment permits."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self.port = free_port()
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._is_cut = False
        self._delay_s, self._bytes_per_s = 0.0, float("inf")
        self._loop = asyncio.new_event_loop()
        self._passing = asyncio.Event()
        self._passing.set()
        self.connections = 0  # ever taken
        self.relayed = 0  # bytes, both ways
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        listening = asyncio.start_server(self._serve, LOOPBACK, self.port)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # ------------------------------------------------------------------------------- the line

    def cut(self) -> None:
        """Connections are reset, those on their way too; new ones end at once."""
        self._do(self._cut)

    def stall(self) -> None:
        """Connections stay and new ones are taken, but no byte passes: a cable pulled behind a switch."""
        self._do(self._passing.clear)

    def slow(self, delay_s: float, bytes_per_s: float) -> None:
        """Every piece of up to 16 KiB is late by `delay_s`, and by its share of the bandwidth."""
        self._delay_s, self._bytes_per_s = delay_s, bytes_per_s

    def heal(self) -> None:
        """As good as new; what was held back passes now."""
        self._is_cut = False
        self._delay_s, self._bytes_per_s = 0.0, float("inf")
        self._do(self._passing.set)

    # ------------------------------------------------------------------------- inside the loop

    def _do(self, what: Callable[[], None]) -> None:
        async def done() -> None:
            what()

        asyncio.run_coroutine_threadsafe(done(), self._loop).result(10)

    def _cut(self) -> None:
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._is_cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._upstream)
        except OSError:  # the server is down: so is the line
            writer.transport.abort()
            return
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            self._writers.add(sink)
            pump = asyncio.create_task(self._pump(source, sink))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while chunk := await source.read(_CHUNK):
                await self._passing.wait()
                if late_s := self._delay_s + len(chunk) / self._bytes_per_s:
                    await asyncio.sleep(late_s)
                sink.write(chunk)
                self.relayed += len(chunk)
                await sink.drain()
            sink.close()
        except OSError:
            sink.transport.abort()
        finally:
            self._writers.discard(sink)

    async def _close(self) -> None:
        self._server.close()
        self._cut()
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
