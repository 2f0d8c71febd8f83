"""The loopback host, downloaders that may reach it, and what tests of downloads share."""

from __future__ import annotations

import ipaddress
import random
import socket
import traceback
from collections.abc import Iterator, Sequence

import pytest

from deploy.local.tls import LocalTls
from deploy.sandbox.mp4 import make
from tests.integration.hosts import Host, Talk, serve
from worker.errors import DownloadError
from worker.guard.addresses import Address
from worker.guard.download import Downloader

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
CLIP = make(640, 360, 2)
CANARY = "X-Signature=canary-5f1e"
MIB = 2**20
FILM = random.Random(1).randbytes(200_000)
"""Longer than a few pieces of any layer, and not to be compressed."""


@pytest.fixture
def host(tls: LocalTls) -> Iterator[Host]:
    with serve(tls) as host:
        yield host


@pytest.fixture
def downloader(tls: LocalTls) -> Downloader:
    return guard(tls)


def guard(tls: LocalTls, **options: object) -> Downloader:
    """A downloader for the loopback host, which also answers to any name."""
    given = {
        "ca_file": str(tls.ca_file),
        "allow_networks": LOOPBACK,
        "resolve": to_loopback,
        "sleep": lambda _seconds: None,
        **options,
    }
    return Downloader(**given)  # type: ignore[arg-type]  # options as the tests name them


def to_loopback(_host: str, _port: int) -> Sequence[Address]:
    return [ipaddress.ip_address("127.0.0.1")]


def fetch(downloader: Downloader, url: str) -> bytes:
    with downloader.open(url) as download:
        return b"".join(download.chunks())


def refusal(downloader: Downloader, url: str) -> DownloadError:
    """The error that *url* meets; no part of the link may stand in it, nor in what caused it."""
    with pytest.raises(DownloadError) as caught:
        fetch(downloader, f"{url}?{CANARY}" if "?" not in url else url)
    told = "".join(traceback.format_exception(caught.value))
    assert CANARY not in told
    assert "/video.mp4" not in told
    return caught.value


class Recorder:
    """Stands where connections are made, and makes none."""

    def __init__(self) -> None:
        self.dialled: list[str] = []

    def __call__(self, address: Address, port: int, timeout_seconds: float) -> socket.socket:
        self.dialled.append(str(address))
        raise ConnectionRefusedError


class Clock:
    """Moves on by a fixed step whenever somebody looks."""

    def __init__(self, step_seconds: float) -> None:
        self.now = 0.0
        self._step = step_seconds

    def __call__(self) -> float:
        self.now += self._step
        return self.now


def reset(talk: Talk) -> None:
    """End the connection so that the other side sees a reset."""
    talk.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    socket.close(talk.sock.detach())
