"""Connections to a provider that are not made, not kept or led astray: nothing was sent, or nothing follows."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.integration.providers.asking import TAKEN, Connect, submit
from tests.integration.providers.conftest import KEY
from tests.integration.providers.wire import Line, Wire
from worker.errors import NotTakenError, ProviderError
from worker.providers.http import Api, trust


def test_a_refused_connection_is_not_taken(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    with pytest.raises(NotTakenError, match="ConnectionRefusedError"):
        submit(connect("gmicloud", f"https://127.0.0.1:{port}"))


def test_a_name_that_does_not_resolve_is_not_taken(connect: Connect) -> None:
    with pytest.raises(NotTakenError, match="unreachable"):
        submit(connect("gmicloud", "https://no-such-host.invalid"))


def test_a_base_url_that_is_none_is_not_taken(connect: Connect) -> None:
    with pytest.raises(NotTakenError, match="unreachable"):
        submit(connect("gmicloud", f"https://{'x' * 70}.example"))


def test_a_connection_that_is_never_accepted_is_not_taken(connect: Connect, full_port: int) -> None:
    with pytest.raises(NotTakenError, match="unreachable"):
        submit(connect("gmicloud", f"https://127.0.0.1:{full_port}"))


def test_a_certificate_that_we_do_not_trust_is_not_taken(wire: Wire) -> None:
    distrusting = Api("gmicloud", wire.url, KEY, trust(None))

    with pytest.raises(NotTakenError, match="SSLCertVerificationError"):
        distrusting.post("/", {})
    assert wire.heard == []


def test_a_certificate_for_another_name_is_not_taken(wire: Wire, connect: Connect) -> None:
    elsewhere = wire.url.replace("127.0.0.1", "127.0.0.2")

    with pytest.raises(NotTakenError, match="unreachable"):
        submit(connect("gmicloud", elsewhere))
    assert wire.heard == []


def test_a_peer_that_speaks_no_tls_is_not_taken(connect: Connect) -> None:
    speaks_http = listening(lambda peer: peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))

    with speaks_http as port, pytest.raises(NotTakenError, match="SSLError"):
        submit(connect("gmicloud", f"https://127.0.0.1:{port}"))


def test_a_reset_within_the_handshake_is_not_taken(connect: Connect) -> None:
    with listening(lambda peer: peer.recv(10)) as port, pytest.raises(NotTakenError, match="unreachable"):
        submit(connect("gmicloud", f"https://127.0.0.1:{port}"))


def test_a_handshake_that_never_ends_is_not_taken(connect: Connect) -> None:
    over = threading.Event()
    with listening(lambda _: over.wait(10)) as port:
        with pytest.raises(NotTakenError, match="unreachable"):
            submit(connect("gmicloud", f"https://127.0.0.1:{port}"))
        over.set()


def test_each_submit_has_a_connection_of_its_own_and_gets_share_one(wire: Wire, connect: Connect) -> None:
    provider = connect("gmicloud", wire.url)
    for answer in (TAKEN, TAKEN, TAKEN, TAKEN):
        wire.answer(answer)

    submit(provider)
    provider.fetch("r-1")
    submit(provider)
    provider.fetch("r-1")

    first_post, first_get, second_post, second_get = (heard.connection for heard in wire.heard)
    assert len({first_post, first_get, second_post}) == 3
    assert second_get == first_get


def test_a_get_over_a_stale_connection_is_tried_once_more(wire: Wire, connect: Connect) -> None:
    provider = connect("gmicloud", wire.url)
    wire.answer(TAKEN)
    wire.then(Line.reset)
    wire.answer(TAKEN)
    provider.fetch("r-1")

    event = provider.fetch("r-1")

    assert event.request_id == "r-1"
    assert [heard.connection for heard in wire.heard] == [1, 1, 2]


def test_a_get_is_not_tried_a_third_time(wire: Wire, connect: Connect) -> None:
    wire.then(Line.reset)
    wire.then(Line.reset)

    with pytest.raises(ProviderError, match="unreachable"):
        connect("gmicloud", wire.url).fetch("r-1")
    assert len(wire.heard) == 2


def test_the_environment_sends_our_requests_nowhere_else(
    wire: Wire, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    wire.answer(TAKEN)
    wire.answer(TAKEN)
    provider = connect("gmicloud", wire.url)

    submit(provider)
    provider.fetch("r-1")

    assert [heard.headers["authorization"] for heard in wire.heard] == [f"Bearer {KEY}"] * 2


def test_a_cookie_is_not_kept(wire: Wire, connect: Connect) -> None:
    wire.answer(TAKEN, headers={"Set-Cookie": "track=1; Path=/"})
    wire.answer(TAKEN)
    provider = connect("gmicloud", wire.url)

    provider.fetch("r-1")
    provider.fetch("r-1")

    assert "cookie" not in wire.heard[1].headers


def test_plain_http_is_not_spoken(connect: Connect) -> None:
    with pytest.raises(NotTakenError, match="InvalidSchema"):
        submit(connect("gmicloud", "http://127.0.0.1:9"))


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose queue of connections is full: another one is neither accepted nor refused."""
    with contextlib.ExitStack() as waiting, socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@contextlib.contextmanager
def listening(meet: Callable[[socket.socket], object]) -> Iterator[int]:
    """A port whose one visitor is met with *meet* and then cut off."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take_one() -> None:
            with server.accept()[0] as peer:
                meet(peer)

        thread = threading.Thread(target=take_one)
        thread.start()
        yield server.getsockname()[1]
        thread.join()
