"""Scripts that come together go to Redis together, and each has its own answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from tests.conftest import WaitUntil
from webhook.batching_redis import Convoy, _Run
from worker.store import connect

ECHO = "return ARGV[1]"
FAIL = "return redis.error_reply('FAILED ' .. ARGV[1])"


@pytest.fixture
def convoy(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url, timeout_seconds=2.0, kind=Convoy) as client:
        yield client


def test_each_of_a_crowd_has_its_own_answer_over_one_connection(convoy: redis.Redis) -> None:
    sha = convoy.script_load(ECHO)
    before = convoy.info("clients")["connected_clients"]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: convoy.evalsha(sha, 0, f"{n}"), range(200)))

    assert answers == [f"{n}" for n in range(200)]
    assert convoy.info("clients")["connected_clients"] <= before + 1


def test_the_error_of_one_is_no_other_ones(convoy: redis.Redis) -> None:
    well, badly = convoy.script_load(ECHO), convoy.script_load(FAIL)

    def run(n: int) -> str:
        try:
            return str(convoy.evalsha(badly if n % 3 == 0 else well, 0, f"{n}"))
        except redis.ResponseError as err:
            return str(err)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(run, range(60)))

    assert answers == [f"FAILED {n}" if n % 3 == 0 else f"{n}" for n in range(60)]


def test_a_script_that_redis_does_not_know_is_told_so_to_its_caller_alone(convoy: redis.Redis) -> None:
    with pytest.raises(redis.exceptions.NoScriptError):
        convoy.evalsha("0" * 40, 0)

    assert convoy.evalsha(convoy.script_load(ECHO), 0, "on") == "on"


def test_while_redis_is_silent_who_waits_for_the_next_convoy_fails_with_those_that_were_sent(
    wait_until: WaitUntil,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with connect(url, timeout_seconds=1.0, kind=Convoy) as client, ThreadPoolExecutor(5) as pool:
            first = pool.submit(client.evalsha, "0" * 40, 0)
            sent, _ = silent.accept()
            others = [pool.submit(client.evalsha, "0" * 40, 0) for _ in range(4)]
            wait_until(lambda: all(run.done() for run in (first, *others)))

            assert all(isinstance(run.exception(), redis.TimeoutError) for run in (first, *others))
            silent.settimeout(0)
            with pytest.raises(BlockingIOError):
                silent.accept()  # nobody else came
            sent.close()


def forward_slowly(listener: socket.socket, port: int) -> None:
    """Serve one client of *listener* by the server at *port*; every answer takes 0.9 s on its way."""
    client, _ = listener.accept()
    with client, socket.create_connection(("127.0.0.1", port)) as server:

        def ask() -> None:
            while asked := client.recv(65536):
                server.sendall(asked)
            server.shutdown(socket.SHUT_WR)

        with ThreadPoolExecutor(1) as pool:
            pool.submit(ask)
            while answered := server.recv(65536):
                threading.Event().wait(0.9)
                client.sendall(answered)


def test_a_redis_that_answers_each_command_late_is_given_up_before_a_provider_has_waited_too_long(
    redis_url: str,
) -> None:
    """To connect takes several commands."""
    with connect(redis_url) as plain, socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        sha = plain.script_load(ECHO)
        port = urlsplit(redis_url).port or 0
        pool.submit(forward_slowly, listener, port)
        late = redis_url.replace(f":{port}/", f":{listener.getsockname()[1]}/")
        with (
            connect(late, timeout_seconds=5.0, kind=Convoy) as client,
            pytest.raises(redis.TimeoutError, match="no reply from Redis was fetched"),
        ):
            client.evalsha(sha, 0, "late")


class Ending(_Run):
    """What ends the thread that would send it."""

    @property
    def words(self) -> Sequence[Any]:
        raise SystemExit

    @words.setter
    def words(self, words: Sequence[Any]) -> None:
        pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_convoy_outlives_the_thread_that_drove_it(convoy: Convoy, wait_until: WaitUntil) -> None:
    sha = convoy.script_load(ECHO)
    assert convoy.evalsha(sha, 0, "one") == "one"

    before = threading.active_count()
    convoy._waiting.put(Ending(()))
    wait_until(lambda: threading.active_count() < before)

    assert convoy.evalsha(sha, 0, "two") == "two"
