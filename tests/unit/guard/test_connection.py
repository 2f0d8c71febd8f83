"""The watchdog of a download, on real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from worker.errors import DownloadError
from worker.guard.connection import Watchdog

LONG = 60.0
SHORT = 0.05


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(LONG)
    with ours, theirs:
        yield ours, theirs


def read_to_the_end(sock: socket.socket, watchdog: Watchdog) -> None:
    watchdog.guard(sock)
    with watchdog.call():
        while sock.recv(65536):
            pass


def test_a_wait_that_outlasts_the_download_is_ended(pair: tuple[socket.socket, socket.socket]) -> None:
    with Watchdog(total_seconds=SHORT, call_seconds=LONG) as watchdog, pytest.raises(DownloadError) as caught:
        read_to_the_end(pair[0], watchdog)

    assert caught.value.reason == "timeout"


def test_a_call_that_lasts_longer_than_its_limits_is_ended_though_bytes_keep_coming(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    over = threading.Event()

    def drip() -> None:
        while not over.is_set():
            try:
                theirs.send(b"x")
            except OSError:
                return

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        with Watchdog(total_seconds=LONG, call_seconds=SHORT) as watchdog, pytest.raises(DownloadError) as caught:
            read_to_the_end(ours, watchdog)
    finally:
        over.set()
        dripping.join()

    assert caught.value.reason == "timeout"


def test_time_between_calls_is_ours(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    now = [0.0]
    with Watchdog(total_seconds=1e6, call_seconds=10, clock=lambda: now[0]) as watchdog:
        watchdog.guard(ours)

        for _ in range(3):
            now[0] += 1000
            theirs.send(b"x")
            with watchdog.call():
                assert ours.recv(1) == b"x"


def test_a_socket_that_is_made_after_the_end_is_refused(pair: tuple[socket.socket, socket.socket]) -> None:
    with Watchdog(total_seconds=0.0, call_seconds=LONG) as watchdog:
        watchdog._thread.join()

        with pytest.raises(DownloadError):
            watchdog.guard(pair[0])
