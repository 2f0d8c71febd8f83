"""Faults between us and a provider, and their meaning for money (design promise 2)."""

from __future__ import annotations

import contextlib
import gzip
import tracemalloc
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from deploy.local.tls import LocalTls
from tests.integration.providers.asking import SPEC, Connect, submit
from tests.integration.providers.conftest import KEY
from tests.integration.providers.wire import Line, Wire
from worker.errors import NotTakenError, ProviderError, RefusedError, UnconfirmedError
from worker.jobs.spec import JobSpec


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
