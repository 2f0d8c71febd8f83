"""The same promises over the brokers of this machine: Redis 7 and RabbitMQ, where they answer on their standard ports.

Nothing of anybody else's is touched: a database of Redis that is not empty, or queues of our
names in RabbitMQ, and these tests are skipped.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from amqp.exceptions import AMQPError, NotFound
from kombu import Connection

from tests.chaos import operations as do
from tests.chaos.checker import assert_sound
from tests.chaos.recorder import Recorder
from tests.chaos.system import System
from worker.steps import Step

pytestmark = pytest.mark.timeout(300)

REDIS_URL = "redis://127.0.0.1:6379/15"
RABBIT_URL = "amqp://guest:guest@127.0.0.1:5672//"
RABBIT_NAMES = (*do.QUEUES, "celery_delayed_delivery", *(f"celery_delayed_{bit}" for bit in range(28)))
"""The queues that our workers declare; the delayed ones are Celery's own way of counting down."""
PROVIDERS = ("gmicloud", "evolink", "apimart")


@dataclass(frozen=True)
class Broker:
    """A broker that is not ours: its URL, and how it loses all that waits in it."""

    url: str
    lose_everything: Callable[[], object]


@pytest.fixture(scope="module")
def redis_broker() -> Iterator[Broker]:
    client = redis.Redis.from_url(REDIS_URL, socket_timeout=2, socket_connect_timeout=2)
    try:
        held = int(client.dbsize())
    except redis.RedisError:
        pytest.skip("no Redis answers on 127.0.0.1:6379")
    if held:
        pytest.skip("database 15 of the Redis on 127.0.0.1:6379 is not empty: it is somebody's")
    yield Broker(REDIS_URL, lambda: client.delete(*do.QUEUES, "unacked", "unacked_index"))
    client.flushdb()
    client.close()


@pytest.fixture(scope="module")
def rabbit_broker() -> Iterator[Broker]:
    connection = Connection(RABBIT_URL, connect_timeout=2)
    try:
        connection.connect()
    except (OSError, AMQPError):
        pytest.skip("no RabbitMQ answers on 127.0.0.1:5672 as guest")
    with connection:
        if any(_exists(connection, name) for name in RABBIT_NAMES):
            pytest.skip("the RabbitMQ on 127.0.0.1:5672 has queues of our names: they are somebody's")

        def lose_everything() -> None:
            with _channel(connection) as channel:
                for name in do.QUEUES:
                    channel.queue_purge(name)

        yield Broker(RABBIT_URL, lose_everything)
        for name in RABBIT_NAMES:
            with suppress(AMQPError), _channel(connection) as channel:
                channel.queue_delete(name)
            with suppress(AMQPError), _channel(connection) as channel:
                channel.exchange_delete(name)


def _channel(connection: Connection) -> Any:
    """A channel of AMQP's own kind: kombu's types know only what all transports share."""
    return connection.channel()


def _exists(connection: Connection, queue: str) -> bool:
    try:
        with _channel(connection) as channel:
            channel.queue_declare(queue, passive=True)
    except NotFound:
        return False
    return True


@pytest.fixture(scope="module", params=["redis_broker", "rabbit_broker"], ids=["redis-7", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> Broker:
    found: Broker = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def elsewhere(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The system over that broker; beside Redis 7 its records are kept by a Redis 7 as well."""
    state_server = shutil.which("redis-server") if broker.url.startswith("redis") else None
    with System(tmp_path_factory.mktemp("elsewhere"), broker_url=broker.url, state_server=state_server) as running:
        yield running


@pytest.fixture
def judged(elsewhere: System) -> Iterator[System]:
    before = len(elsewhere.jobs)
    yield elsewhere
    job_ids = elsewhere.jobs[before:]
    for job_id in job_ids:
        elsewhere.settled(job_id)
    assert_sound(Recorder(elsewhere).history(job_ids))


def test_every_provider_raw_and_recorded_ends_in_the_bucket(judged: System) -> None:
    job_ids = [judged.send_raw(provider) for provider in PROVIDERS]
    job_ids += [judged.start_job(provider) for provider in PROVIDERS]

    for job_id in job_ids:
        assert judged.settled(job_id).state == "archived"


def test_q3_workers_killed_under_load_lose_no_recorded_job(judged: System) -> None:
    job_ids = []
    for name in ("worker", "archiver", "worker"):
        job_ids += [judged.start_job(provider) for provider in PROVIDERS[:2]]
        do.kill(judged, name)

    for job_id in job_ids:
        assert judged.ended_honestly(job_id)


def test_losing_all_that_waits_loses_no_recorded_job(judged: System, broker: Broker) -> None:
    with do.paused(judged, "worker", "archiver"):
        job_ids = [judged.start_job(provider) for provider in PROVIDERS for _ in range(2)]
        broker.lose_everything()

    for job_id in job_ids:
        assert judged.settled(job_id, 120).state == "archived"


def test_a_nudge_that_comes_ten_times_pays_once(judged: System) -> None:
    job_id = judged.record("gmicloud")

    for _ in range(10):
        judged.nudge(Step.SUBMIT, [job_id])

    assert judged.settled(job_id).state == "archived"
    assert len(judged.posts(job_id)) == 1
