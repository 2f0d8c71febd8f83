"""The receiver's answers while a part behind it is frozen, gone or in trouble."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from deploy.local.valkey import Valkey
from tests.conftest import WaitUntil
from tests.integration.store.conftest import JOB, Lives
from tests.integration.webhook.conftest import body, environment, path
from tests.integration.webhook.server import Server
from worker.store import Store

UNAVAILABLE = (503, b'{"error": "unavailable"}')


@pytest.fixture(scope="module")
def broker_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("broker"), "password") as running:
        yield running


@pytest.fixture(scope="module")
def server(valkey: Valkey, broker_alone: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    env = {**environment(valkey.url), "CALLSHEET_BROKER_URL": broker_alone.url}
    running = Server(tmp_path_factory.mktemp("web"), env)
    with running.process:
        yield running


@pytest.fixture
def broker(broker_alone: Valkey) -> Iterator[Valkey]:
    """A broker that is not the store's Redis, so that it can be in trouble alone; well again after the test."""
    yield broker_alone
    broker_alone.resume()
    if not broker_alone.is_answering():
        broker_alone.start()


@pytest.fixture
def frozen(valkey: Valkey) -> Iterator[Valkey]:
    """The store's Redis, to be paused; it goes on when the test ends."""
    yield valkey
    valkey.resume()


def readiness(server: Server) -> tuple[int, dict[str, str]]:
    status, text = server.ask("/ready")
    return status, json.loads(text)


def test_a_frozen_store_is_answered_503_and_the_callback_is_taken_when_it_comes_again(
    server: Server, lives: Lives, frozen: Valkey
) -> None:
    lives.submitted()
    frozen.pause()

    assert server.deliver() == UNAVAILABLE

    status, parts = readiness(server)
    assert (status, parts["status"], parts["redis"]) == (503, "not ready", "down")
    assert server.ask("/live")[0] == 200
    frozen.resume()
    status, answer = server.deliver()
    assert status == 200
    # the first one may have reached the frozen server's socket, and is then on record already
    assert json.loads(answer)["outcome"] in ("stored", "repeat")


def test_a_store_that_is_not_there_is_answered_503_until_it_is_back(
    tmp_path_factory: pytest.TempPathFactory, wait_until: WaitUntil
) -> None:
    with Valkey(tmp_path_factory.mktemp("store"), "password") as own:
        server = Server(tmp_path_factory.mktemp("web"), environment(own.url))
        with server.process, redis.Redis.from_url(own.url, decode_responses=True) as client:
            Lives(Store(client, retention_ms=1)).submitted()
            assert server.deliver() == (200, b'{"outcome": "stored"}')
            own.kill()

            assert server.deliver() == UNAVAILABLE

            assert readiness(server)[0] == 503
            own.start()
            assert server.deliver() == (200, b'{"outcome": "repeat"}')
            wait_until(lambda: readiness(server)[0] == 200, 10)  # an answer is remembered for a second


@pytest.mark.parametrize("short_of", ["maxmemory", "min-replicas-to-write"])
def test_a_store_that_refuses_to_write_is_answered_503_and_nothing_is_half_written(
    server: Server, lives: Lives, store: Store, redis_client: redis.Redis, short_of: str
) -> None:
    lives.submitted()
    redis_client.config_set(short_of, 1)
    try:
        answer = server.deliver()
    finally:
        redis_client.config_set(short_of, 0)

    assert answer == UNAVAILABLE
    assert (store.callbacks.events(JOB), store.due.ids()) == ((), [])


def test_a_store_that_has_forgotten_its_scripts_is_told_them_again(
    server: Server, lives: Lives, redis_client: redis.Redis
) -> None:
    lives.submitted()
    redis_client.script_flush()

    assert server.deliver() == (200, b'{"outcome": "stored"}')


def test_a_frozen_broker_costs_a_callback_nothing(
    server: Server, lives: Lives, broker: Valkey, wait_until: WaitUntil
) -> None:
    for n in range(20):
        lives.submitted(f"job-{n}", f"r{n}")
    broker.pause()

    answers = [server.deliver(body(id=f"r{n}"), to=path(f"job-{n}")) for n in range(20)]

    assert answers == [(200, b'{"outcome": "stored"}')] * 20
    wait_until(lambda: readiness(server)[1]["broker"] == "down")
    assert readiness(server)[0] == 200


def test_a_broker_that_is_gone_costs_a_callback_nothing_and_is_used_again_when_it_is_back(
    server: Server, lives: Lives, broker: Valkey, wait_until: WaitUntil
) -> None:
    lives.submitted(JOB, "r1")
    lives.submitted("job-2", "r2")
    broker.kill()

    assert server.deliver(body(id="r1"), to=path(JOB)) == (200, b'{"outcome": "stored"}')

    wait_until(lambda: readiness(server)[1]["broker"] == "down")
    broker.start()
    server.deliver(body(id="r2"), to=path("job-2"))
    with redis.Redis.from_url(broker.url) as client:
        wait_until(lambda: client.llen("callsheet.archive"))


def forward_late(listener: socket.socket, port: int) -> None:
    """Serve every client of *listener* by the server at *port*; each answer takes 0.9 s on its way."""

    def serve(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as server, contextlib.suppress(OSError):

            def ask() -> None:
                with contextlib.suppress(OSError):
                    while asked := client.recv(65536):
                        server.sendall(asked)
                    server.shutdown(socket.SHUT_WR)

            threading.Thread(target=ask, daemon=True).start()
            while answered := server.recv(65536):
                threading.Event().wait(0.9)
                client.sendall(answered)

    with contextlib.suppress(OSError):  # closed at the end of the test
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=[client], daemon=True).start()


def test_a_store_that_answers_each_command_late_is_given_up_as_a_whole(
    valkey: Valkey, lives: Lives, tmp_path: Path
) -> None:
    """No single answer is late enough for the client's time-out; to connect takes several."""
    lives.submitted()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=forward_late, args=[listener, valkey.port], daemon=True).start()
        late = valkey.url.replace(f":{valkey.port}/", f":{listener.getsockname()[1]}/")
        server = Server(tmp_path, {**environment(late), "CALLSHEET_BROKER_URL": valkey.url})
        with server.process:
            answer = server.deliver()
            listener.shutdown(socket.SHUT_RDWR)

        assert answer == UNAVAILABLE
        assert "no answer from Redis within 1.8 s" in server.process.log.read_text()
