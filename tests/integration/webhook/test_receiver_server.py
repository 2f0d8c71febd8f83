"""The shipped server: what is not HTTP, who is too slow, how it starts and how it ends."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from deploy.local.tls import LocalTls
from deploy.local.valkey import Valkey
from tests.conftest import WaitUntil
from tests.integration.store.conftest import JOB, Lives
from tests.integration.webhook.conftest import SECRET, body, environment, path
from tests.integration.webhook.server import ROOT, Server, command, hear
from webhook.server import REQUESTS_PER_CONNECTION
from worker.jobs.callback_token import token
from worker.store import Store

TOKEN = token(SECRET, "evolink", JOB, 1)
HEAD = f"POST {path()} HTTP/1.1\r\nHost: evil.example\r\nContent-Type: application/json\r\n".encode()
CLOSE = b"Connection: close"
CHUNKED = b"Transfer-Encoding: chunked"
NO_FILES = {"CALLSHEET_TLS_CERT": "/nowhere/cert.pem", "CALLSHEET_TLS_KEY": "/nowhere/key.pem"}


def head(*lines: bytes) -> bytes:
    return HEAD + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)


@pytest.fixture(scope="module")
def server(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("web"), environment(valkey.url))
    with running.process:
        yield running


def archive_messages(client: redis.Redis, job_id: str) -> list[dict[str, Any]]:
    """The messages about *job_id* in the archiver's queue: each with its `task` and its `kwargs`."""
    found = []
    for raw in client.lrange("callsheet.archive", 0, -1):
        message = json.loads(raw)
        _, kwargs, _ = json.loads(base64.b64decode(message["body"]))
        found.append({"task": message["headers"]["task"], "kwargs": kwargs})
    return [message for message in found if job_id in message["kwargs"]["job_ids"]]


def test_a_callback_ends_as_a_message_for_the_archiver(
    server: Server, lives: Lives, redis_client: redis.Redis, wait_until: WaitUntil
) -> None:
    lives.submitted("called-back")

    assert server.deliver(to=path("called-back")) == (200, b'{"outcome": "stored"}')

    [message] = wait_until(lambda: archive_messages(redis_client, "called-back"))
    assert message == {"task": "callsheet.confirm", "kwargs": {"job_ids": ["called-back"]}}


def test_the_process_lives_and_is_ready(server: Server, redis_url: str) -> None:
    assert server.ask("/live") == (200, b'{"status": "live"}')
    status, text = server.ask("/ready")

    assert status == 200
    assert json.loads(text).items() >= {"status": "ready", "redis": "up", "durability": "always"}.items()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(head(CLOSE, CHUNKED) + chunked(body()), id="in a chunk"),
        pytest.param(head(CLOSE, b"Content-Length: %d" % len(body())) + body(), id="with its length"),
        pytest.param(
            head(CLOSE, b"Expect: 100-continue", b"Content-Length: %d" % len(body())) + body(), id="as expected"
        ),
        pytest.param(
            head(b"Content-Length: %d" % len(body()))
            + body()
            + b"GET /live HTTP/1.1\r\nHost: a\r\n"
            + CLOSE
            + b"\r\n\r\n",
            id="with a request behind it",
        ),
    ],
)
def test_a_callback_may_come_in_any_form_of_http(server: Server, lives: Lives, text: bytes) -> None:
    lives.submitted()

    assert b'{"outcome": "stored"}' in server.say(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(head(b"Content-Length: 5000") + body()[:-1], id="a body shorter than its length"),
        pytest.param(head(b"Content-Length: 0"), id="no body"),
        pytest.param(head(b"Content-Length: -5") + body(), id="a negative length"),
        pytest.param(head(b"Content-Length: 5", b"Content-Length: 6") + body(), id="two lengths"),
        pytest.param(head(b"Content-Length: 5", CHUNKED) + chunked(body()), id="length and chunks"),
        pytest.param(head(b"Transfer-Encoding: xchunked") + chunked(body()), id="an unknown transfer coding"),
        pytest.param(head(CHUNKED) + b"zz\r\n" + body(), id="a chunk of no size"),
        pytest.param(head(CHUNKED) + b"5\r\n{", id="a chunk cut short"),
        pytest.param(head(CHUNKED) + b"1\r\n{\r\n0\r\nbad\r\n\r\n", id="a bad trailer"),
        pytest.param(head(*[b"X-%d: a" % n for n in range(101)]), id="101 headers"),
        pytest.param(head(b"X: " + b"a" * 65536), id="a header of 64 KB"),
        pytest.param(head(b"X: a\x00b"), id="NUL in a header"),
        pytest.param(b"POST /" + b"a" * 8192 + b" HTTP/1.1\r\nHost: a\r\n\r\n", id="a path of 8 KB"),
        pytest.param(f"POST {path()}\r\n".encode(), id="HTTP/0.9"),
        pytest.param(f"POST {path()} HTTP/9.9\r\n\r\n".encode(), id="HTTP/9.9"),
        pytest.param(f"po st {path()} HTTP/1.1\r\n\r\n".encode(), id="a broken method"),
        pytest.param(f"\x00{path()}\r\n\r\n".encode(), id="no HTTP at all"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00", id="TLS on the plain port"),
    ],
)
def test_what_is_not_http_is_refused_or_cut_off_and_changes_nothing(
    server: Server, lives: Lives, store: Store, text: bytes
) -> None:
    lives.submitted()

    heard = server.say(text, then_shut=True)

    assert heard == b"" or heard.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert store.callbacks.events(JOB) == ()
    assert server.is_up()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(head(b"Content-Length: 99999999999"), id="by its length"),
        pytest.param(head(CHUNKED) + b"20000\r\n" + b" " * 131072 + b"\r\n", id="by its chunks"),
    ],
)
def test_a_body_without_end_is_too_large_and_is_not_read_to_its_end(server: Server, lives: Lives, text: bytes) -> None:
    lives.submitted()

    heard = server.say(text)

    assert heard.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nConnection: close\r\n" in heard


def test_slow_clients_hold_up_nobody_and_are_cut_off(server: Server, lives: Lives, wait_until: WaitUntil) -> None:
    lives.submitted()
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(server.connect()) for _ in range(500)]
        for n, connection in enumerate(slow):
            connection.sendall(HEAD if n % 2 else head(b"Content-Length: 1000") + b"{")

        answers = [server.deliver() for _ in range(5)]

        assert [status for status, _ in answers] == [200] * 5
        for connection in slow:
            connection.settimeout(30)
        heard = [hear(connection).partition(b"\r\n")[0] for connection in slow]
        assert set(heard[1::2]) == {b""}, "no head, no answer"
        assert set(heard[::2]) <= {b"HTTP/1.1 400 BAD REQUEST", b"HTTP/1.1 503 SERVICE UNAVAILABLE", b""}


def test_the_job_of_a_body_that_never_ends_is_looked_at(server: Server, lives: Lives, store: Store) -> None:
    lives.submitted()

    with server.connect() as connection:
        connection.settimeout(30)
        connection.sendall(head(b"Content-Length: 1000") + b"{")
        heard = hear(connection)

    assert heard.startswith(b"HTTP/1.1 400 ")
    assert store.due.ids() == [JOB]


GET_LIVE = b"GET /live HTTP/1.1\r\nHost: callsheet.example\r\n\r\n"


def pour(connection: socket.socket, text: bytes, until: threading.Event) -> None:
    """Send *text* without end and throw away what is answered, as fast as the server takes it."""
    connection.setblocking(False)
    while not until.is_set():
        with contextlib.suppress(BlockingIOError):
            connection.sendall(text)
        with contextlib.suppress(BlockingIOError):
            if not connection.recv(1 << 20):
                return


@contextlib.contextmanager
def poured(server: Server, text: bytes, connections: int) -> Iterator[None]:
    """So many clients that send *text* without end, each from a new connection when one is closed."""
    is_over = threading.Event()

    def go_on() -> None:
        while not is_over.is_set():
            with contextlib.suppress(OSError), server.connect() as connection:
                pour(connection, text, is_over)

    with ThreadPoolExecutor(connections) as pool:
        for _ in range(connections):
            pool.submit(go_on)
        try:
            yield
        finally:
            is_over.set()


def test_clients_that_pipeline_requests_without_end_hold_up_nobody(server: Server, lives: Lives) -> None:
    for n in range(10):
        lives.submitted(f"job-{n}", f"r{n}")

    with poured(server, GET_LIVE * 200, 2):
        answers = [server.deliver(body(id=f"r{n}"), to=path(f"job-{n}")) for n in range(10)]

    assert answers == [(200, b'{"outcome": "stored"}')] * 10
    assert "WORKER TIMEOUT" not in server.process.log.read_text()


def test_a_connection_is_closed_after_so_many_requests(server: Server) -> None:
    heard = server.say(GET_LIVE * (REQUESTS_PER_CONNECTION + 100))

    assert heard.count(b"HTTP/1.1 200") == REQUESTS_PER_CONNECTION
    assert heard.count(b"Connection: close") == 1


def in_one_byte_chunks(data: bytes) -> bytes:
    return b"".join(b"1\r\n%c\r\n" % byte for byte in data) + b"0\r\n\r\n"


def test_a_body_in_one_byte_chunks_is_read_until_its_framing_outweighs_it(
    server: Server, lives: Lives, store: Store
) -> None:
    lives.submitted()

    short = server.say(head(CLOSE, CHUNKED) + in_one_byte_chunks(body()))
    long = server.say(head(CHUNKED) + in_one_byte_chunks(body(id="r1").ljust(60_000)))

    assert short.startswith(b"HTTP/1.1 200 ")
    assert long.startswith(b"HTTP/1.1 400 ")
    assert [stray["reason"] for stray in store.callbacks.strays()] == ["cut_short"]


def test_without_a_token_no_chunk_is_waited_for(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(head(CHUNKED).replace(TOKEN.encode(), b"A" * 43) + b"1\r\n{\r\n")

        assert hear(connection).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"".join(b"X-%d: %s\r\n" % (n, b"a" * 4000) for n in range(5)), id="five headers of 4 KB"),
        pytest.param(b"".join(b"X-%d: %s\r\n" % (n, b"a" * 400) for n in range(60)), id="sixty headers of 400 B"),
    ],
)
def test_a_head_of_more_than_16_kib_is_refused_before_its_end(server: Server, text: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(GET_LIVE[:-2] + text)

        assert hear(connection).startswith(b"HTTP/1.1 400 ")


def test_a_body_that_nobody_wanted_stands_in_no_ones_way(server: Server) -> None:
    unwanted = b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n" + b"a" * 65536

    heard = server.say(unwanted + GET_LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    assert re.findall(rb"HTTP/1.1 (\d+) ", heard) == [b"404", b"200"]


def test_what_gevent_patches_was_imported_by_nobody_before(server: Server) -> None:
    log = server.process.log.read_text()

    assert "Booting worker" in log
    assert "Warning" not in log


def test_no_log_holds_a_token(server: Server, lives: Lives) -> None:
    lives.submitted()

    server.deliver()
    server.deliver(b"{")
    server.ask(path())
    server.ask(path() + "/more")
    server.say(f"POST {path()}\r\n\r\n".encode())
    server.say(f"POST {path()} HTTP/9.9\r\n\r\n".encode())
    server.say(head(b"X: a\x00b"))

    log = server.process.log.read_text()
    assert "callback.taken" in log
    assert "connection.refused" in log
    assert TOKEN not in log
    assert "Traceback" not in log


def test_a_server_asked_to_end_ends_in_order(
    valkey: Valkey, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = Server(tmp_path_factory.mktemp("web"), environment(valkey.url))
    with server.process:
        server.ask("/live")

        server.process.stop()

        assert server.process.fate == "ended with status 0"


ONE_CALLBACK = """
import sys
from webhook.wsgi import application
url, data = sys.argv[1:]
print(application().test_client().post(url, data=data, content_type="application/json").status_code)
"""


def test_a_message_that_waits_is_sent_before_the_process_ends(
    lives: Lives, redis_client: redis.Redis, valkey: Valkey
) -> None:
    lives.submitted("the-last")
    env = {"PATH": os.environ["PATH"], **environment(valkey.url)}

    ended = subprocess.run(
        [sys.executable, "-c", ONE_CALLBACK, path("the-last"), body()],
        cwd=ROOT, env=env, capture_output=True, timeout=60, check=False,
    )  # fmt: skip

    assert (ended.returncode, ended.stdout) == (0, b"200\n")
    assert len(archive_messages(redis_client, "the-last")) == 1


def test_the_server_speaks_tls_itself_when_it_has_a_certificate(
    valkey: Valkey, lives: Lives, tls: LocalTls, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = {"CALLSHEET_TLS_CERT": str(tls.cert_file), "CALLSHEET_TLS_KEY": str(tls.key_file)}
    server = Server(tmp_path_factory.mktemp("web"), {**environment(valkey.url), **files}, tls=tls.context())
    lives.submitted()

    with server.process:
        half_shaken = [server.connect() for _ in range(20)]
        answer = server.deliver()
        plain = server.say(b"GET /live HTTP/1.0\r\n\r\n")

        assert answer == (200, b'{"outcome": "stored"}')
        assert b"200" not in plain
        for connection in half_shaken:
            connection.settimeout(30)
            assert hear(connection) == b""
            connection.close()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"CALLSHEET_REDIS_URL": ""}, ["CALLSHEET_REDIS_URL"]),
        ({"CALLSHEET_REDIS_URL": "", "CALLSHEET_BUCKET": ""}, ["CALLSHEET_REDIS_URL", "CALLSHEET_BUCKET"]),
        ({"PORT": "http"}, ["PORT"]),
        ({"PORT": "65536"}, ["PORT"]),
        ({"CALLSHEET_TLS_CERT": __file__}, ["CALLSHEET_TLS_KEY"]),
        (
            {"CALLSHEET_TLS_CERT": "/nowhere", "CALLSHEET_TLS_KEY": "/nowhere"},
            ["CALLSHEET_TLS_CERT", "CALLSHEET_TLS_KEY"],
        ),
    ],
)
def test_a_wrong_environment_is_one_line_and_exit_1(wrong: Mapping[str, str], named: list[str]) -> None:
    env = {"PATH": os.environ["PATH"], **environment("redis://127.0.0.1:1/0"), **wrong}

    ended = subprocess.run(command(), cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert [name for name in named if name not in ended.stderr] == []
