"""The rights that SECURITY.md gives our own user at RabbitMQ: enough for a worker and for doctor, and no more.

They are tried on the RabbitMQ of this machine, in a virtual host of the test's own; skipped where there is none that
`rabbitmqctl` may administer.
"""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from amqp.exceptions import AccessRefused, AMQPError
from kombu import Connection

from deploy.local.valkey import Valkey
from tests.conftest import WaitUntil
from tests.integration.messaging.conftest import Office
from worker import probes
from worker.errors import BrokerError

SECURITY = Path(__file__).parents[3] / "SECURITY.md"
HOST = "127.0.0.1:5672"


def rights_of_ours() -> tuple[str, str, str]:
    """The patterns for configure, write and read that SECURITY.md gives our user."""
    found = re.search(r'set_permissions -p callsheet callsheet "([^"]*)" "([^"]*)" "([^"]*)"', SECURITY.read_text())
    assert found
    return found[1], found[2], found[3]


def rabbitmqctl(*words: str) -> None:
    subprocess.run(["rabbitmqctl", "--quiet", *words], check=True, capture_output=True, timeout=60)


@dataclass(frozen=True)
class Rabbit:
    """A user in a virtual host, both of this test alone."""

    name: str
    password: str

    @property
    def url(self) -> str:
        return f"amqp://{self.name}:{self.password}@{HOST}/{self.name}"

    def give(self, configure: str, write: str, read: str) -> None:
        rabbitmqctl("set_permissions", "-p", self.name, self.name, configure, write, read)

    def probe(self) -> None:
        """Doctor's findings about the broker."""
        with Connection(self.url, connect_timeout=5) as connection:
            connection.connect()
            probes.broker(connection)


@pytest.fixture(scope="module")
def rabbit() -> Iterator[Rabbit]:
    if shutil.which("rabbitmqctl") is None:
        pytest.skip("there is no rabbitmqctl here")
    ours = Rabbit(f"callsheet-test-{secrets.token_hex(6)}", secrets.token_hex(16))
    try:
        rabbitmqctl("add_vhost", ours.name)
    except (subprocess.SubprocessError, OSError):
        pytest.skip("no RabbitMQ runs here that rabbitmqctl may administer")
    try:
        rabbitmqctl("add_user", ours.name, ours.password)
        ours.give(*rights_of_ours())
        try:
            with Connection(ours.url, connect_timeout=5) as connection:
                connection.connect()
        except (OSError, AMQPError):
            pytest.skip(f"the RabbitMQ that rabbitmqctl administers does not answer on {HOST}")
        yield ours
    finally:
        rabbitmqctl("delete_vhost", ours.name)
        subprocess.run(
            ["rabbitmqctl", "--quiet", "delete_user", ours.name], capture_output=True, timeout=60, check=False
        )


@pytest.fixture
def office(rabbit: Rabbit, valkey: Valkey, tmp_path: Path, wait_until: WaitUntil) -> Iterator[Office]:
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
    rabbit.give(*rights_of_ours())
    office = Office(valkey.url, tmp_path, wait_until, broker=rabbit.url)
    try:
        office.worker.start()
        yield office
    finally:
        office.close()


def test_a_worker_with_these_rights_starts_and_takes_and_sends_messages(office: Office) -> None:
    office.works()

    assert "ACCESS_REFUSED" not in office.worker.output()
    assert office.app.control.ping(timeout=20, limit=1), "a broadcast reached it, and its answer came back"


def test_doctor_finds_these_rights_enough(rabbit: Rabbit) -> None:
    rabbit.give(*rights_of_ours())

    rabbit.probe()


@pytest.mark.parametrize("name", ["somebodys", "orders.callsheet", "amq.topic"])
def test_nothing_of_others_in_the_same_virtual_host_is_open(rabbit: Rabbit, name: str) -> None:
    rabbit.give(*rights_of_ours())

    with Connection(rabbit.url, connect_timeout=5) as connection:
        channel: Any = connection.channel()  # kombu's types know only what all transports share
        with pytest.raises(AccessRefused):
            channel.queue_declare(name, durable=True)


LACKS = {
    "configure": (0, "^$", "lacks the configure permission"),
    "write": (1, "^$", "lacks the write permission"),
    "read": (2, "^$", "lacks the read permission"),
}


@pytest.mark.parametrize(("place", "pattern", "words"), LACKS.values(), ids=LACKS)
def test_doctor_names_the_right_that_is_missing(rabbit: Rabbit, place: int, pattern: str, words: str) -> None:
    rights = list(rights_of_ours())
    rights[place] = pattern
    rabbit.give(*rights)

    with pytest.raises(BrokerError, match="no message passes by") as told:
        rabbit.probe()

    assert words in str(told.value)
    assert rabbit.password not in str(told.value)
