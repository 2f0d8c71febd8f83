"""The control plane's own manners, keys, and HTTP as it comes from all kinds of clients."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3
from click.testing import CliRunner

from deploy.local.tls import LocalTls
from deploy.sandbox.__main__ import main
from deploy.sandbox.client import ControlError, SandboxControl
from deploy.sandbox.history import History
from deploy.sandbox.sandbox import PROVIDERS, Options

APIMART = "/apimart/v1/videos/generations"
BODY = {"model": "kling-3.0-turbo", "prompt": "a corgi"}
SOURCE = Path(__file__).parents[3]


# --- keys


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/gmicloud/api/v1/ie/requestqueue/apikey/requests", {"error": str}),
        ("/evolink/v1/credits", {"error": dict}),
        ("/apimart/v1/balance", {"error": dict}),
    ],
)
def test_a_call_without_a_key_is_401_in_the_providers_words(caller: Any, path: str, shape: dict[str, type]) -> None:
    without = caller.get(path, key=None)
    empty = caller.get(path, key="")

    assert (without.status, empty.status) == (401, 401)
    assert {name: type(value) for name, value in without.json().items()} == shape


class TestWithKeys:
    """A sandbox that takes two keys and no other."""

    @pytest.fixture
    def options(self, options: Options) -> Options:
        return replace(options, api_keys=("one", "two"))

    @pytest.mark.parametrize(("key", "status"), [("one", 200), ("two", 200), ("three", 401), ("One", 401), (None, 401)])
    def test_only_its_keys_open_it(self, caller: Any, key: str | None, status: int) -> None:
        assert caller.post(APIMART, BODY, key=key).status == status


# --- the control plane


def test_the_history_tells_every_call_in_order_without_keys(caller: Any, control: Any) -> None:
    request_id = caller.submit_apimart()
    caller.apimart(request_id)
    caller.get("/apimart/v1/tasks/task_none")
    caller.submit_gmi()

    entries = control.history()

    assert [entry["sequence"] for entry in entries] == [1, 2, 3, 4]
    assert [entry["method"] for entry in entries] == ["POST", "GET", "GET", "POST"]
    assert [entry["answer"] for entry in entries] == [200, 200, 404, 200]
    assert [entry["request_id"] for entry in entries[:3]] == [request_id, request_id, None]
    assert entries[0]["body"] == BODY
    assert {entry["headers"]["authorization"] for entry in entries} == {"[redacted]"}


def test_the_history_can_be_read_in_parts(caller: Any, control: Any) -> None:
    request_id = caller.submit_apimart()
    caller.submit_gmi()
    caller.apimart(request_id)

    assert [entry["sequence"] for entry in control.history(since=1)] == [2, 3]
    assert [entry["sequence"] for entry in control.history(provider="apimart")] == [1, 3]
    assert [entry["sequence"] for entry in control.history(request_id=request_id, since=1)] == [3]
    assert control.history(kind="callback") == []


def test_a_long_body_is_cut_in_the_history(caller: Any, control: Any) -> None:
    caller.post(APIMART, {"model": "kling-3.0-turbo", "first_frame_image": "A" * 100_000})

    (entry,) = control.history()
    assert len(entry["body"]) < 2000
    assert entry["body"].endswith(" bytes]")


def test_the_history_forgets_its_oldest_entries_but_no_number() -> None:
    history = History(lambda: 0.0, most_entries=10)

    for number in range(25):
        history.add("call", number=number)

    assert [entry["sequence"] for entry in history.read()] == list(range(16, 26))


def test_the_requests_tell_what_was_asked_and_how_far_it_is(caller: Any, control: Any) -> None:
    gmi, apimart = caller.submit_gmi(), caller.submit_apimart()
    control.advance(61)

    both, one = control.requests(), control.requests("apimart")

    assert [request["request_id"] for request in both] == [gmi, apimart]
    assert [(request["state"], request["progress"]) for request in both] == [("completed", 100)] * 2
    assert one == both[1:]


def test_reset_forgets_everything_and_returns_to_wall_time(caller: Any, control: Any) -> None:
    before = control.now()
    request_id = caller.submit_evolink()
    control.script({"on": "submit", "status": 500})
    control.advance(86400)

    control.reset()

    assert (control.history(), control.requests(), control.rules()) == ([], [], [])
    assert control.now() == before
    assert caller.get(f"/evolink/v1/tasks/{request_id}").status == 404


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("clock", b"{"),
        ("clock", {"advance_seconds": -1}),
        ("clock", {"advance": 5}),
        ("script", {"rules": {}}),
        ("script", [1]),
        ("callback", {"request_id": "task-none"}),
        ("callback", {}),
    ],
)
def test_a_mistake_in_a_control_call_is_400_with_a_reason(caller: Any, name: str, body: Any) -> None:
    reply = caller.post(f"/_control/{name}", body)

    assert reply.status == 400
    assert reply.json()["error"]


def test_a_callback_without_any_address_is_refused(caller: Any, control: Any) -> None:
    request_id = caller.submit_gmi()

    with pytest.raises(ControlError, match="no callback_url"):
        control.callback(request_id)
    with pytest.raises(ControlError, match="https"):
        control.callback(request_id, url="http://127.0.0.1/")


@pytest.mark.parametrize("path", ["/_control", "/_control/", "/_control/histories", "/_control/history?colour=red"])
def test_what_the_control_plane_does_not_know_it_says(caller: Any, path: str) -> None:
    assert caller.get(path).status in (400, 404)


def test_the_control_plane_keeps_itself_out_of_the_history(caller: Any, control: Any) -> None:
    caller.get("/_control/clock")

    assert control.history() == []


class TestWithAControlToken:
    """A sandbox whose control plane asks for a token."""

    @pytest.fixture
    def options(self, options: Options) -> Options:
        return replace(options, control_token="sesame")

    def test_only_the_token_opens_the_control_plane(self, caller: Any, server: Any, tls: LocalTls) -> None:
        refused = [caller.get("/_control/clock", key=key).status for key in (None, "k", "sésame")]

        opened = SandboxControl(server.url, tls.ca_file, token="sesame").now()

        assert refused == [401, 401, 401]
        assert opened > 0


# --- HTTP


def test_a_silent_client_holds_up_nobody(caller: Any, server: Any) -> None:
    parts = urlsplit(server.url)
    silent = [socket.create_connection((parts.hostname, parts.port)) for _ in range(20)]

    status = caller.post(APIMART, BODY).status

    for connection in silent:
        connection.close()
    assert status == 200


def _speak(server: Any, tls: LocalTls, sent: bytes) -> bytes:
    """Send *sent* over TLS and read until the server closes or answers."""
    parts = urlsplit(server.url)
    with (
        socket.create_connection((parts.hostname, parts.port), timeout=10) as plain,
        tls.context().wrap_socket(plain, server_hostname=parts.hostname) as connection,
    ):
        connection.sendall(sent)
        return connection.recv(65536)


def test_many_calls_share_one_connection(caller: Any, server: Any, tls: LocalTls) -> None:
    one = b"GET /images/none HTTP/1.1\r\nHost: x\r\n\r\n"
    parts = urlsplit(server.url)

    with (
        socket.create_connection((parts.hostname, parts.port), timeout=10) as plain,
        tls.context().wrap_socket(plain, server_hostname=parts.hostname) as connection,
    ):
        answers = []
        for _ in range(3):
            connection.sendall(one)
            answers.append(connection.recv(65536))

    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 404"] * 3


def test_a_body_in_chunks_is_understood(caller: Any, server: Any, tls: LocalTls) -> None:
    body = json.dumps(BODY).encode()
    head = f"POST {APIMART} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\nT: 1\r\n\r\n"

    assert b"200 OK" in _speak(server, tls, head.encode() + chunks)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999", b"413"),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5", b"400"),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: five", b"400"),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz", b"400"),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff", b"413"),
        ("GET /" + "x" * 70_000 + " HTTP/1.1\r\nHost: x", b"414"),
        ("nonsense", b"400"),
        ("GET http://[ HTTP/1.1\r\nHost: x", b"400"),
        ("BREW /pot HTTP/1.1\r\nHost: x", b"404"),
    ],
)
def test_bad_http_is_answered_and_does_no_harm(
    caller: Any, server: Any, tls: LocalTls, lines: str, status: bytes
) -> None:
    answer = _speak(server, tls, lines.encode() + b"\r\n\r\n")

    assert status in answer.split(b"\r\n", 1)[0]
    assert caller.post(APIMART, BODY).status == 200


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"model": NaN}', b"[]", b'"x"', b"[" * 100_000])
@pytest.mark.parametrize(
    "path", ["/gmicloud/api/v1/ie/requestqueue/apikey/requests", "/evolink/v1/videos/generations", APIMART]
)
def test_a_body_that_is_no_json_object_is_400(caller: Any, path: str, body: bytes) -> None:
    assert caller.post(path, body).status == 400


@pytest.mark.parametrize("path", ["/", "/gmicloud", "/evolink/v1/nothing", "/apimart/v1/tasks", "/acme/v1"])
def test_a_path_that_does_not_exist_is_404(caller: Any, path: str) -> None:
    assert caller.get(path).status == 404


def test_links_lead_to_where_the_caller_came_from(caller: Any, control: Any, server: Any) -> None:
    caller.post(APIMART, BODY, headers={"Host": "sandbox.internal:9443"})
    caller.post(APIMART, BODY, headers={"Host": "x/evil?"})

    named, odd = control.requests()
    assert named["links"][0].startswith("https://sandbox.internal:9443/media/")
    assert odd["links"][0].startswith(f"{server.url}/media/")


# --- the command


def test_the_command_says_where_it_listens_and_stops_when_told(tls: LocalTls, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.sandbox", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env={"PATH": os.defpath, "PYTHONPATH": str(SOURCE)},
        text=True,
    )
    assert process.stdout
    ready = process.stdout.readline()
    listed = [process.stdout.readline() for _ in range(len(PROVIDERS) + 2)]

    url = re.findall(r"https://127\.0\.0\.1:\d+", ready)[0]
    now = SandboxControl(url, listed[-1].split()[-1]).now()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=10)

    assert now > 0
    assert [line.split()[0] for line in listed] == [*PROVIDERS, "control", "CA"]
    assert (process.returncode, errors) == (0, "")


def test_stopping_ends_an_endless_download(caller: Any, server: Any, control: Any) -> None:
    control.script({"on": "download", "endless": True}, {"on": "generation", "seconds": 0})
    caller.submit_apimart()
    (request,) = control.requests()
    response = caller.pool.request("GET", request["links"][0], preload_content=False)
    response.read(1000)

    server.stop()

    with pytest.raises(urllib3.exceptions.HTTPError):
        deque(response.stream(1 << 20), maxlen=0)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, "--allow-loopback-callbacks"),
        (["--cert", __file__], 2, "--cert and --key come together"),
        (["--seconds", "-1"], 2, "--seconds"),
        (["--port", "70000"], 2, "--port"),
    ],
)
def test_the_command_explains_itself(arguments: list[str], code: int, words: str) -> None:
    result = CliRunner().invoke(main, arguments)

    assert result.exit_code == code
    assert words in result.output


def test_a_taken_port_is_one_line(server: Any, tls: LocalTls) -> None:
    port = str(urlsplit(server.url).port)

    result = CliRunner().invoke(main, ["--port", port, "--cert", str(tls.cert_file), "--key", str(tls.key_file)])

    assert result.exit_code == 1
    assert result.output.startswith("Error: cannot listen on 127.0.0.1:")


def test_a_certificate_that_is_none_is_one_line() -> None:
    result = CliRunner().invoke(main, ["--port", "0", "--cert", __file__, "--key", __file__])

    assert result.exit_code == 1
    assert result.output.startswith("Error: the certificate, key or CA file cannot be used")


def test_a_stranger_to_the_ca_does_not_trust_it(server: Any) -> None:
    parts = urlsplit(server.url)
    with (
        socket.create_connection((parts.hostname, parts.port)) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(plain, server_hostname=parts.hostname)
