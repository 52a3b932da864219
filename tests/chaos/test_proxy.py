"""The line that scenarios cut: bytes pass whole, not at all, or late."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.chaos.proxy import Proxy
from tests.servers.server import LOOPBACK


@pytest.fixture
def line() -> Iterator[Proxy]:
    """A line to a server that sends back what it gets."""
    with socket.create_server((LOOPBACK, 0)) as listening:

        def echo(connection: socket.socket) -> None:
            with connection:
                try:
                    while said := connection.recv(65_536):
                        connection.sendall(said)
                except OSError:
                    return

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=echo, args=(connection,)).start()

        serving = threading.Thread(target=serve)
        serving.start()
        with Proxy(LOOPBACK, listening.getsockname()[1]) as proxy:
            yield proxy
        listening.shutdown(socket.SHUT_RDWR)
        serving.join()


def dialled(line: Proxy) -> socket.socket:
    return socket.create_connection((LOOPBACK, line.port), timeout=10)


def asked(connection: socket.socket, said: bytes) -> bytes:
    """What comes back: as much as was said, or less at the end of the connection."""
    connection.sendall(said)
    answer = b""
    while len(answer) < len(said) and (more := connection.recv(65_536)):
        answer += more
    return answer


def test_what_goes_in_comes_out(line: Proxy) -> None:
    said = bytes(range(256)) * 1000
    with dialled(line) as connection:
        assert asked(connection, said) == said
    assert line.relayed == 2 * len(said)


def is_dead(connection: socket.socket) -> bool:
    try:
        return asked(connection, b"x") == b""
    except ConnectionError:
        return True


def test_a_cut_ends_connections_and_a_healed_line_takes_new_ones(line: Proxy) -> None:
    with dialled(line) as connection:
        assert not is_dead(connection)
        line.cut()
        assert is_dead(connection)
    with dialled(line) as connection:
        assert is_dead(connection)
    line.heal()
    with dialled(line) as connection:
        assert not is_dead(connection)


def test_a_stalled_line_keeps_its_connection_and_its_bytes(line: Proxy) -> None:
    with dialled(line) as connection:
        assert asked(connection, b"x") == b"x"
        line.stall()
        connection.sendall(b"held")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(10)
        line.heal()
        connection.settimeout(10)
        assert connection.recv(10) == b"held"


def test_a_slow_line_is_late_by_its_delay_and_its_bandwidth(line: Proxy) -> None:
    with dialled(line) as connection:
        line.slow(0.1, 10_000)
        began = time.monotonic()
        assert asked(connection, b"x" * 2000) == b"x" * 2000
        assert time.monotonic() - began >= 2 * (0.1 + 0.2)
