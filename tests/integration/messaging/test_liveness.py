"""Heartbeats of real processes: each kind gives signs, a frozen one gives none."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.health import log_says
from deploy.local.processes import Process
from deploy.local.valkey import Valkey
from tests.conftest import WaitUntil
from tests.integration.messaging.conftest import PATIENCE_SECONDS, ROOT, worker_process
from tests.integration.webhook.conftest import environment
from tests.integration.webhook.server import Server
from worker.heartbeat import BEAT_SECONDS, Heart
from worker.store import Store, connect

STRETCH_SECONDS = 2 * BEAT_SECONDS


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    with connect(redis_url) as client:
        yield Store(client, retention_ms=1000)


def kinds(store: Store) -> set[str]:
    return {beat.kind for beat in store.heartbeats.all()}


def beat_process(url: str, logs: Path) -> Process:
    worker = worker_process(url, logs, {})
    command = [sys.executable, "-m", "celery", "-A", "worker", "beat", "--loglevel", "INFO"]
    return Process("beat", command, directory=ROOT, logs=logs, env=worker.env, is_ready=log_says(r"beat: Starting"))


def test_a_worker_signs_for_each_queue_until_it_is_frozen_and_takes_that_back_when_it_ends(
    valkey: Valkey, store: Store, tmp_path: Path, wait_until: WaitUntil
) -> None:
    with worker_process(valkey.url, tmp_path, {}) as worker:
        wait_until(lambda: kinds(store) == {"worker", "archiver", "sweeper"}, PATIENCE_SECONDS)
        (host, pid) = {(beat.host, beat.pid) for beat in store.heartbeats.all()}.pop()
        assert (host, pid) == (socket.gethostname(), worker.pid)
        first = store.heartbeats.all()[-1].at
        wait_until(lambda: store.heartbeats.all()[-1].at > first, PATIENCE_SECONDS)

        worker.pause()
        last = store.heartbeats.all()[0].at
        wait_until(lambda: store.clock.now() - last > STRETCH_SECONDS * 1000, PATIENCE_SECONDS)
        assert store.heartbeats.all()[0].at <= last + BEAT_SECONDS * 1000 / 2

        worker.resume()
        wait_until(lambda: store.heartbeats.all()[0].at > last, PATIENCE_SECONDS)

    assert kinds(store) == set()


def test_beat_signs_and_its_ticks_arrive_at_a_sweeper(
    valkey: Valkey, store: Store, tmp_path: Path, wait_until: WaitUntil
) -> None:
    with worker_process(valkey.url, tmp_path, {}), beat_process(valkey.url, tmp_path):
        wait_until(lambda: {"beat", "tick", "sweeper"} <= kinds(store), PATIENCE_SECONDS)

    assert "beat" not in kinds(store)


def test_each_process_of_the_receiver_signs(
    valkey: Valkey, store: Store, tmp_path: Path, wait_until: WaitUntil
) -> None:
    with Server(tmp_path, environment(valkey.url)).process:
        wait_until(lambda: [beat.kind for beat in store.heartbeats.all()] == ["web", "web"], PATIENCE_SECONDS)

    assert kinds(store) == set()


def test_a_redis_that_does_not_answer_keeps_no_process_from_its_work(tmp_path: Path) -> None:
    now = [0.0]
    server = Valkey(tmp_path, "word")
    with connect(server.url, timeout_seconds=1) as client:
        store = Store(client, retention_ms=1)
        heart = Heart(["worker"], lambda: store, monotonic=lambda: now[0])

        heart.beat()
        now[0] += BEAT_SECONDS
        with server:
            heart.beat()

            assert kinds(store) == {"worker"}
