"""Faults between us and a provider, and their meaning for money (design promise 2)."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from deploy.local.tls import LocalTls
from tests.integration.providers.conftest import KEY
from tests.integration.providers.wire import Line, Wire
from worker.errors import NoSuchRequestError, NotTakenError, ProviderError, RefusedError, UnconfirmedError
from worker.jobs.spec import JobSpec
from worker.providers import build
from worker.providers.adapter import Adapter
from worker.providers.base import Submission
from worker.providers.http import Api, trust
from worker.settings.settings import Settings

Connect = Callable[..., Adapter]

SPEC = JobSpec(model="kling-3.0-turbo-t2v", prompt="a dragon takes flight from a cliffside", duration=5)
TAKEN = {"request_id": "r-1", "status": "queued"}


def submit(provider: Adapter) -> Submission:
    return provider.submit(SPEC, images={}, callback_url=None)


# Nothing was sent: surely not taken.


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


@pytest.mark.parametrize(
    "images",
    [{}, {"first_frame": "http://s3.example.com/a.png"}, {"first_frame": "data:image/png;base64,AA=="}],
    ids=str,
)
def test_a_picture_that_the_provider_could_not_open_is_refused_before_anything_is_sent(
    images: dict[str, str], wire: Wire, connect: Connect
) -> None:
    spec = JobSpec(model="kling-3.0-turbo", first_frame="s3://bucket/a.png")

    with pytest.raises(RefusedError, match="first_frame: evolink needs an https URL"):
        connect("evolink", wire.url).submit(spec, images=images, callback_url=None)
    assert wire.connections == 0


def test_a_spec_that_the_model_cannot_make_is_refused_before_anything_is_sent(wire: Wire, connect: Connect) -> None:
    with pytest.raises(RefusedError, match="spec_refused"):
        connect("evolink", wire.url).submit(SPEC, images={}, callback_url=None)
    assert wire.connections == 0


# Something was sent: it may have been taken.


def test_a_reset_after_the_request_is_unconfirmed(wire: Wire, connect: Connect) -> None:
    wire.then(Line.reset)

    with pytest.raises(UnconfirmedError, match="no_answer"):
        submit(connect("gmicloud", wire.url))
    assert len(wire.heard) == 1


def test_a_connection_closed_without_an_answer_is_unconfirmed_and_not_tried_again(wire: Wire, connect: Connect) -> None:
    wire.then(lambda line: setattr(line, "close_connection", True))

    with pytest.raises(UnconfirmedError, match="no_answer"):
        submit(connect("gmicloud", wire.url))
    assert len(wire.heard) == 1


def test_an_answer_that_never_comes_is_unconfirmed(wire: Wire, connect: Connect) -> None:
    wire.then(lambda line: line.pause(10))

    with pytest.raises(UnconfirmedError, match="no_answer"):
        submit(connect("gmicloud", wire.url))


def test_half_an_answer_is_unconfirmed(wire: Wire, connect: Connect) -> None:
    def half(line: Line) -> None:
        line.say(200, b'{"request_id":"r-1"', declared=1000)
        line.reset()

    wire.then(half)

    with pytest.raises(UnconfirmedError, match="no_answer"):
        submit(connect("gmicloud", wire.url))


def test_an_answer_that_trickles_in_is_given_up_as_a_whole(wire: Wire, connect: Connect) -> None:
    def trickle(line: Line) -> None:
        line.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not line.server.wire.over.wait(0.05):
            line.wfile.write(b"x")

    wire.then(trickle)

    with pytest.raises(UnconfirmedError, match="no_answer"):
        submit(connect("gmicloud", wire.url))


def test_an_answer_without_end_is_unconfirmed(wire: Wire, connect: Connect) -> None:
    wire.then(lambda line: line.say(200, b" " * 70_000))

    with pytest.raises(UnconfirmedError, match="AnswerTooLong"):
        submit(connect("gmicloud", wire.url, answer_bytes=65_536))


def test_a_compressed_answer_is_bounded_by_what_it_unpacks_to(wire: Wire, connect: Connect) -> None:
    wire.answer(gzip.compress(b" " * 2_000_000), headers={"Content-Encoding": "gzip"})

    with pytest.raises(UnconfirmedError, match="AnswerTooLong"):
        submit(connect("gmicloud", wire.url, answer_bytes=65_536))


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520])
def test_a_server_error_is_unconfirmed(status: int, wire: Wire, connect: Connect) -> None:
    wire.answer({"error": "oops"}, status)

    with pytest.raises(UnconfirmedError, match=f"http_{status}"):
        submit(connect("gmicloud", wire.url))


@pytest.mark.parametrize("status", [408, 499])
def test_a_status_that_gateways_use_for_slow_servers_is_unconfirmed(status: int, wire: Wire, connect: Connect) -> None:
    wire.answer({"error": "timeout"}, status)

    with pytest.raises(UnconfirmedError):
        submit(connect("gmicloud", wire.url))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b'{"request_id":-5}',
        b'{"request_id":""}',
        b'{"request_id":"a b"}',
        b'{"request_id":"a/../b"}',
        b'{"request_id":".."}',
        b'{"request_id":"a","request_id":"b"}',
        b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_a_2xx_without_a_usable_request_id_is_unconfirmed(body: bytes, wire: Wire, connect: Connect) -> None:
    wire.answer(body)

    with pytest.raises(UnconfirmedError, match="no_request_id"):
        submit(connect("gmicloud", wire.url))


def test_a_request_id_that_holds_our_key_is_none(wire: Wire, connect: Connect) -> None:
    wire.answer({"request_id": f"r-{KEY}"})

    with pytest.raises(UnconfirmedError) as caught:
        submit(connect("gmicloud", wire.url))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(("status", "outcome"), [(400, RefusedError), (302, UnconfirmedError), (500, UnconfirmedError)])
def test_an_id_beside_an_error_is_no_request_id(
    status: int, outcome: type[ProviderError], wire: Wire, connect: Connect
) -> None:
    wire.answer({"request_id": "trace-1", "error": "no"}, status)

    with pytest.raises(outcome):
        submit(connect("gmicloud", wire.url))


def test_a_submit_that_failed_at_once_does_not_repeat_the_prompt(wire: Wire, connect: Connect) -> None:
    wire.answer({"request_id": "r-1", "status": "failed", "error": f"refused: {SPEC.prompt}"})

    taken = submit(connect("gmicloud", wire.url))

    assert taken.event.error_message == "refused: [hidden]"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_our_key_goes_nowhere(
    status: int, wire: Wire, tls: LocalTls, connect: Connect
) -> None:
    with Wire(tls) as elsewhere:
        wire.answer(b"", status, {"Location": f"{elsewhere.url}/"})

        with pytest.raises(UnconfirmedError, match="redirected"):
            submit(connect("gmicloud", wire.url))
        assert elsewhere.connections == 0


# Told to come back later.


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("7", 7),
        ("0", 1),
        ("1000000000000", 900),
        ("2.5", 2.5),
        (None, None),
        ("-1", None),
        ("soon", None),
        ("9" * 30, None),
    ],
)
def test_a_429_is_not_taken_and_its_retry_after_is_clamped(
    retry_after: str | None, seconds: float | None, wire: Wire, connect: Connect
) -> None:
    wire.answer({"error": "slow down"}, 429, {"Retry-After": retry_after} if retry_after else {})

    with pytest.raises(NotTakenError, match="rate_limited") as caught:
        submit(connect("gmicloud", wire.url))
    assert caught.value.retry_after == seconds


def test_a_date_to_come_back_at_counts_from_the_answers_own_clock(wire: Wire, connect: Connect) -> None:
    def say(line: Line) -> None:
        line.wfile.write(
            b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nDate: Mon, 01 Jan 2001 00:00:00 GMT\r\n"
            b"Retry-After: Mon, 01 Jan 2001 00:01:40 GMT\r\n\r\n"
        )

    wire.then(say)

    with pytest.raises(NotTakenError, match="unavailable") as caught:
        submit(connect("gmicloud", wire.url))
    assert caught.value.retry_after == 100


def test_without_a_clock_in_the_answer_the_date_counts_from_ours(wire: Wire, connect: Connect) -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    later = format_datetime(now.replace(minute=2), usegmt=True).encode()
    wire.then(
        lambda line: line.wfile.write(b"HTTP/1.1 429 No\r\nContent-Length: 0\r\nRetry-After: " + later + b"\r\n\r\n")
    )

    with pytest.raises(NotTakenError) as caught:
        submit(connect("gmicloud", wire.url, now=now.timestamp))
    assert caught.value.retry_after == 120


def test_a_503_that_names_no_readable_time_is_unconfirmed(wire: Wire, connect: Connect) -> None:
    wire.answer({}, 503, {"Retry-After": "later"})

    with pytest.raises(UnconfirmedError, match="http_503"):
        submit(connect("gmicloud", wire.url))


def test_a_key_that_is_not_taken_is_told_when_checked(wire: Wire, connect: Connect) -> None:
    wire.answer({"error": {"code": "unauthorized", "message": f"{KEY} is not a key"}}, 401)

    with pytest.raises(ProviderError, match="unauthorized") as caught:
        connect("evolink", wire.url).check_key()
    assert KEY not in str(caught.value)


# Connections.


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


def test_a_get_that_is_not_answered_in_time_is_given_up_at_once(wire: Wire, connect: Connect) -> None:
    wire.then(lambda line: line.pause(10))

    with pytest.raises(ProviderError, match="unreachable"):
        connect("gmicloud", wire.url).fetch("r-1")
    assert len(wire.heard) == 1


def test_a_get_is_not_redirected(wire: Wire, connect: Connect) -> None:
    wire.answer(b"{}", 302, {"Location": wire.url + "/elsewhere"})

    with pytest.raises(ProviderError, match="http_302"):
        connect("gmicloud", wire.url).fetch("r-1")
    assert len(wire.heard) == 1


def test_an_answer_about_another_request_teaches_nothing(wire: Wire, connect: Connect) -> None:
    wire.answer({"request_id": "r-2", "status": "success", "outcome": {"video_url": "https://example.com/v.mp4"}})

    with pytest.raises(ProviderError, match="wrong_id"):
        connect("gmicloud", wire.url).fetch("r-1")


def test_an_answer_that_leaves_the_id_out_is_about_the_one_asked_for(wire: Wire, connect: Connect) -> None:
    wire.answer({"status": "processing"})

    assert connect("gmicloud", wire.url).fetch("r-1").request_id == "r-1"


@pytest.mark.parametrize("stranger", ["..", "a/b", "a b", "", "x" * 129])
def test_what_can_be_no_id_is_not_asked_about(stranger: str, wire: Wire, connect: Connect) -> None:
    with pytest.raises(NoSuchRequestError):
        connect("gmicloud", wire.url).fetch(stranger)
    assert wire.connections == 0


def test_an_id_keeps_to_its_place_in_the_path(wire: Wire, connect: Connect) -> None:
    wire.answer({"status": "processing"})

    connect("evolink", wire.url).fetch("a?b#c%2e&d")

    assert wire.heard[0].path == "/v1/tasks/a%3Fb%23c%252e%26d"


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


def test_a_wire_name_can_be_corrected_by_configuration(wire: Wire) -> None:
    settings = Settings.from_env(
        {
            "CALLSHEET_REDIS_URL": "redis://127.0.0.1:6379/0",
            "CALLSHEET_BUCKET": "videos",
            "CALLSHEET_CA_FILE": wire.ca_file,
            "EVOLINK_API_KEY": KEY,
            "EVOLINK_BASE_URL": wire.url,
            "EVOLINK_FIELD_NAMES": "first_frame=image_url,resolution=resolution",
        }
    )
    url = "https://example.com/a.png"
    spec = JobSpec(model="kling-3.0-turbo", first_frame=url, resolution="1080p")
    wire.answer({"id": "task-unified-1", "status": "pending"})

    build(settings)["evolink"].submit(spec, images={"first_frame": url}, callback_url=None)

    assert wire.heard[0].json() == {
        "model": "kling-v3-turbo-image-to-video",
        "image_url": url,
        "resolution": "1080p",
    }


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


# The bytes of an answer, as a stranger may send them.


def raw(line: Line, head: bytes, chunk: bytes = b"", times: int = 0) -> None:
    """An answer as bytes; *chunk* again and again, as often as the other side takes it."""
    line.close_connection = True
    line.wfile.write(head)
    with contextlib.suppress(OSError):
        for _ in range(times):
            line.wfile.write(chunk)


WHOLE = b'HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\n{"request_id":"r-1","status":"queued"}'
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "interim", [EARLY, EARLY * 3, b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n"]
)
def test_interim_answers_are_skipped(interim: bytes, wire: Wire, connect: Connect) -> None:
    wire.then(lambda line: raw(line, interim + WHOLE))
    wire.then(lambda line: raw(line, interim + WHOLE))

    assert submit(connect("gmicloud", wire.url)).request_id == "r-1"
    assert connect("gmicloud", wire.url).fetch("r-1").request_id == "r-1"


@pytest.mark.parametrize(
    ("head", "chunk"),
    [
        (EARLY, EARLY),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 64, b"HTTP/1.1 100 Continue\r\n\r\n" * 64),
        (CHUNKED + b"-1\r\n", b"x" * 65536),
        (CHUNKED + b"-2\r\n", b"x" * 65536),
        (CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-Trailer: no end\r\n" * 1000),
        (CHUNKED + b"zz\r\n", b"x"),
        (CHUNKED + b"1" * 20 + b"\r\n", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\n", b"X-Header: no end\r\n" * 1000),
        (b"HTTP/9.9 200 OK\r\n\r\n", b""),
        (b"SSH-2.0-OpenSSH\r\n", b""),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_an_answer_without_end_or_sense_is_the_providers_failure_and_fills_no_memory(
    head: bytes, chunk: bytes, wire: Wire, connect: Connect
) -> None:
    provider = connect("apimart", wire.url, post_seconds=(5, 10), get_seconds=(5, 10))
    spec = JobSpec(model="kling-3.0-turbo", prompt="a corgi")
    for _ in range(3):
        wire.then(lambda line: raw(line, head, chunk, 100_000))

    tracemalloc.start()
    with pytest.raises(UnconfirmedError):
        provider.submit(spec, images={}, callback_url=None)
    with pytest.raises(ProviderError):
        provider.fetch("task_0123456789")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert most < 64 * 1024 * 1024
    assert [heard.method for heard in wire.heard].count("POST") == 1


# The list, page by page.


def record(n: int, **fields: object) -> dict[str, object]:
    created = 1_753_427_199 - n
    return {"request_id": f"r-{n}", "status": "queued", "model": SPEC.model, "created_at": created, **fields}


def test_the_list_is_read_page_by_page_back_to_the_post(wire: Wire, connect: Connect) -> None:
    wire.answer({"requests": [record(n) for n in range(50)], "has_more": True})
    wire.answer({"requests": [record(n) for n in range(50, 100)], "has_more": True})

    found = list(connect("gmicloud", wire.url).recent(SPEC, since=(1_753_427_199 - 80) * 1000))

    assert [event.request_id for event in found] == [f"r-{n}" for n in range(100)]
    assert [heard.path.partition("?")[2] for heard in wire.heard] == [
        f"model_id={SPEC.model}&limit=50&offset=0",
        f"model_id={SPEC.model}&limit=50&offset=50",
    ]


def test_a_page_that_is_too_long_is_read_in_smaller_ones(wire: Wire, connect: Connect) -> None:
    long = record(0, payload={"first_frame": "x" * 7_000_000})
    for _ in range(3):  # of 50, 12 and 3 records
        wire.answer({"requests": [long], "total": 2})
    wire.answer({"requests": [long], "total": 2})  # of one
    wire.answer({"requests": [record(1)], "total": 2})

    seen: list[str] = []
    with pytest.raises(ProviderError, match="1 records of its list are too long") as caught:
        seen += (event.request_id for event in connect("gmicloud", wire.url, get_seconds=(5, 10)).recent(SPEC))

    assert caught.value.code == "answer_too_long"
    assert [heard.path.rpartition("limit=")[2] for heard in wire.heard] == [
        "50&offset=0",
        "12&offset=0",
        "3&offset=0",
        "1&offset=0",
        "1&offset=1",
    ]


def test_a_list_that_ignores_offset_ends(wire: Wire, connect: Connect) -> None:
    for _ in range(2):
        wire.answer({"requests": [record(n) for n in range(3)]})

    assert len(list(connect("gmicloud", wire.url).recent(SPEC))) == 3
