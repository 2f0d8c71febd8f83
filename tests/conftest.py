"""Fixtures of every test: real servers of this machine, started once, and nothing beyond it.

The environment of whoever runs the tests is put aside, and sockets reach the
loopback only: no test can meet a Redis, a bucket or a provider of yours.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import pytest
import redis

from deploy.local.s3 import S3Server
from deploy.local.sandbox_process import SandboxProcess
from deploy.local.tls import LocalTls
from deploy.local.valkey import Valkey
from tests import canaries

T = TypeVar("T")
WaitUntil = Callable[..., Any]

FOREIGN = re.compile(
    r"CALLSHEET_.*|AWS_.*|FLOWER_.*|CELERY_.*|[A-Z]+_(API_KEY|BASE_URL)|(HTTPS?|ALL|NO)_PROXY|MAKE\w*|MFLAGS", re.I
)
CANARIES = canaries.Canaries()
OWN_MARKER = ("acceptance", "chaos", "benchmarks")
THOROUGH = (
    "tests/acceptance",
    "tests/chaos",
    "tests/integration/cli/test_submit_file.py",
    "tests/integration/client/test_http.py",
    "tests/integration/console/pages",
    "tests/integration/console/test_abuse.py",
    "tests/integration/console/test_openapi_fuzz.py",
    "tests/integration/console/test_served.py",
    "tests/integration/local/test_cluster.py",
    "tests/integration/messaging/test_acl.py",
    "tests/integration/messaging/test_liveness.py",
    "tests/integration/messaging/test_misconfigured.py",
    "tests/integration/messaging/test_rabbitmq.py",
    "tests/integration/messaging/test_rabbitmq_rights.py",
    "tests/integration/messaging/test_sentinel.py",
    "tests/integration/messaging/test_tls.py",
    "tests/integration/steps/test_failover.py",
    "tests/integration/steps/test_silent_s3.py",
    "tests/integration/steps/test_whole_jobs.py",
    "tests/integration/store/test_store_backlog.py",
    "tests/integration/store/test_store_cluster.py",
    "tests/integration/test_secrets.py",
    "tests/integration/webhook/test_receiver_fuzz.py",
    "tests/integration/webhook/test_receiver_openapi.py",
    "tests/properties/test_fuzz.py",
)
"""Left to `make test-all`: whole systems and processes that break or wait, other servers, browsers, fuzzing."""

# The same examples for everybody, on a machine however busy; `pytest --hypothesis-profile random` looks for new ones.
_patient = hypothesis.settings(deadline=None, print_blob=True, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("random", _patient)
hypothesis.settings.register_profile("callsheet", _patient, derandomize=True)
hypothesis.settings.load_profile("callsheet")


def pytest_configure() -> None:
    for name in [name for name in os.environ if FOREIGN.fullmatch(name)]:
        del os.environ[name]
    # what runs in the background of a script is told to ignore Ctrl-C, and would hand that on to all it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _refuse_to_leave_the_loopback()
    canaries.watch(CANARIES)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Search all that the tests have left for what none of it may hold."""
    directories = getattr(session.config, "_tmp_path_factory", None)
    if directories is not None and directories._basetemp is not None:
        canaries.report(CANARIES, session, directories._basetemp)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of a kind carry its mark by where they stand."""
    for item in items:
        place = item.path.relative_to(item.config.rootpath).as_posix()
        if place.startswith(THOROUGH):
            item.add_marker("thorough")
        if place.startswith("tests/acceptance"):
            item.add_marker(pytest.mark.timeout(400))  # the first of them waits for a whole system, and for its storm
        for kind in OWN_MARKER:
            if kind in item.path.relative_to(item.config.rootpath).parts:
                item.add_marker(kind)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """The embedded Valkey, every write fsynced, as in the local system."""
    with Valkey(tmp_path_factory.mktemp("valkey"), secrets.token_urlsafe(16)) as server:
        yield server


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """The URL of the embedded Valkey, emptied for this test."""
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
    return valkey.url


@pytest.fixture
def redis_client(redis_url: str) -> Iterator[redis.Redis]:
    """A client of the emptied Valkey that speaks `str`."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> LocalTls:
    """A local CA and a certificate for the loopback: `ca_file`, `cert_file`, `key_file`."""
    return LocalTls(tmp_path_factory.mktemp("tls")).ensure()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The embedded S3 (plain HTTP); boto3 finds it and its credentials in the environment."""
    with S3Server(tmp_path_factory.mktemp("s3")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.env.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture
def bucket_name(s3: S3Server) -> str:
    """A fresh bucket of the embedded S3."""
    name = f"test-{secrets.token_hex(8)}"
    s3.create_bucket(name)
    return name


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory, tls: LocalTls) -> Iterator[SandboxProcess]:
    """A running sandbox: `base_url(provider)`, `ca_file`, and the URL of its `control` plane."""
    with SandboxProcess(tmp_path_factory.mktemp("sandbox"), tls) as process:
        yield process


@pytest.fixture(scope="session")
def wait_until() -> WaitUntil:
    """`wait_until(predicate, timeout_seconds)`: the predicate's first true value, or a failed test."""

    def wait(predicate: Callable[[], T], timeout_seconds: float = 10.0) -> T:
        deadline = time.monotonic() + timeout_seconds
        while not (value := predicate()):
            assert time.monotonic() < deadline, f"still false after {timeout_seconds:g} s: {_named(predicate)}"
            time.sleep(0.01)
        return value

    return wait


def _named(predicate: Callable[[], object]) -> str:
    code = predicate.__code__
    return f"{predicate.__qualname__} ({Path(code.co_filename).name}:{code.co_firstlineno})"


def _refuse_to_leave_the_loopback() -> None:
    """Make `connect` fail for any address outside this machine."""

    def guard(connect: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
                raise OSError(f"tests may not leave this machine: {address[0]}")
            return connect(self, address)

        return guarded

    socket.socket.connect = guard(socket.socket.connect)  # type: ignore[method-assign]
    socket.socket.connect_ex = guard(socket.socket.connect_ex)  # type: ignore[method-assign]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", "")
