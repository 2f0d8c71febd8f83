"""The same of messages from a RabbitMQ, the one of this machine: whatever stands in the queue, the worker goes on.

Nothing of anybody else's is touched: where queues of our names exist, these tests are skipped.
"""

from __future__ import annotations

import base64
import bz2
import json
import uuid
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from struct import pack
from typing import Any

import amqp
import amqp.abstract_channel
import amqp.serialization
import pytest
import redis
from amqp.exceptions import AMQPError, NotFound
from kombu import Connection

from deploy.local.valkey import Valkey
from tests.conftest import WaitUntil
from tests.integration.messaging.conftest import PATIENCE_SECONDS, QUEUE, Office
from tests.integration.messaging.letters import letter
from tests.integration.messaging.test_messages import (
    CANARY,
    HOSTILE,
    NO_BROADCASTS,
    NO_JSON,
    NO_TASK,
    ODD_BODIES,
    ODD_HEADERS,
    SPEC,
    assert_harmless,
)
from worker import probes
from worker.errors import BrokerError

URL = "amqp://guest:guest@127.0.0.1:5672//"
DELAYED = ("celery_delayed_delivery", *(f"celery_delayed_{bit}" for bit in range(28)))
NAMES = (QUEUE, "callsheet.archive", "callsheet.sweep", *DELAYED)
FRAME_BYTES = 128 * 1024
"""More headers than this RabbitMQ itself refuses."""
ZEROS = 512 * 1024 * 1024


class RabbitOffice(Office):
    """A worker on RabbitMQ, and a connection that says what no client of Celery would."""

    def __init__(self, rabbit: Connection, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rabbit = rabbit

    def post(self, raw: bytes) -> None:
        """Send what a Redis queue would hold as *raw*, as far as AMQP can say it."""
        said = json.loads(raw)
        self.say(
            base64.b64decode(said["body"]),
            content_type=said["content-type"] if isinstance(said["content-type"], str) else "",
            content_encoding=said["content-encoding"],
            application_headers=said["headers"],
        )

    def say(self, body: bytes, **properties: Any) -> None:
        self.send(amqp.Message(body, **properties))

    @contextmanager
    def exchange(self) -> Iterator[str]:
        """An exchange of somebody's, all of which comes to our queue."""
        name = f"somebody-{uuid.uuid4()}"
        with _channel(self._rabbit) as channel:
            channel.exchange_declare(name, "fanout")
            channel.queue_bind(QUEUE, name)
            try:
                yield name
            finally:
                channel.exchange_delete(name)

    def send(self, message: amqp.Message, *, exchange: str = "", routing_key: str = QUEUE) -> None:
        with _channel(self._rabbit) as channel:
            channel.confirm_select()
            channel.basic_publish_confirm(message, exchange=exchange, routing_key=routing_key)


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


@pytest.fixture(scope="module")
def rabbit() -> Iterator[Connection]:
    connection = Connection(URL, connect_timeout=2)
    try:
        connection.connect()
    except (OSError, AMQPError):
        pytest.skip("no RabbitMQ answers on 127.0.0.1:5672 as guest")
    with connection:
        if any(_exists(connection, name) for name in NAMES):
            pytest.skip("the RabbitMQ on 127.0.0.1:5672 has queues of our names: they are somebody's")
        yield connection
        for name in NAMES:
            with suppress(AMQPError), _channel(connection) as channel:
                channel.queue_delete(name)
            with suppress(AMQPError), _channel(connection) as channel:
                channel.exchange_delete(name)


@pytest.fixture(scope="module")
def office(
    rabbit: Connection, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory, wait_until: WaitUntil
) -> Iterator[RabbitOffice]:
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
    office = RabbitOffice(rabbit, valkey.url, tmp_path_factory.mktemp("rabbit"), wait_until, broker=URL)
    try:
        office.worker.start()
        yield office
    finally:
        office.close()


def refusals(log: str) -> int:
    return log.count("message.refused")


KINDS = {"no JSON": NO_JSON, "no task": NO_TASK, "odd headers": ODD_HEADERS, "odd bodies": ODD_BODIES}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_redis_queue_may_hold_is_refused_from_rabbitmq_as_well(office: RabbitOffice, kind: str) -> None:
    sayable = [raw for raw in KINDS[kind].values() if len(json.dumps(json.loads(raw)["headers"])) < FRAME_BYTES]

    def post_all() -> None:
        for raw in sayable:
            office.post(raw)

    log = office.after(post_all)

    assert refusals(log) == len(sayable) >= len(KINDS[kind]) - 1
    assert_harmless(log)


BODY = json.dumps([[], {"job_ids": ["no-such-job"]}, {}]).encode()
HEADERS: Mapping[str, Any] = {"task": "callsheet.submit", "id": "nudge"}
JSON: Mapping[str, Any] = {"content_type": "application/json", "content_encoding": "utf-8"}
ONLY_AMQP: Mapping[str, tuple[bytes, Mapping[str, Any]]] = {
    "no properties at all": (CANARY.encode(), {}),
    "no headers": (BODY, JSON),
    "no content type": (BODY, {"application_headers": HEADERS}),
    "nothing": (b"", {**JSON, "application_headers": HEADERS}),
    "bytes for a task": (BODY, {**JSON, "application_headers": {**HEADERS, "task": b"\xff"}}),
    "bytes for an id": (BODY, {**JSON, "application_headers": {**HEADERS, "id": b"\xff"}}),
    "a decimal for an id": (BODY, {**JSON, "application_headers": {**HEADERS, "id": Decimal("1.5")}}),
    "an instant for an id": (BODY, {**JSON, "application_headers": {**HEADERS, "id": datetime.now(UTC)}}),
    "an instant for an eta": (
        BODY,
        {**JSON, "application_headers": {**HEADERS, "eta": datetime(2100, 1, 1, tzinfo=UTC)}},
    ),
    "a table for a task": (BODY, {**JSON, "application_headers": {**HEADERS, "task": {"a": {"b": [CANARY]}}}}),
    "a binary body": (b"\xff\xfe" + CANARY.encode(), {**JSON, "application_headers": HEADERS}),
    "a hostile sender": (
        CANARY.encode(),
        {
            "application_headers": HEADERS,
            "reply_to": HOSTILE,
            "correlation_id": HOSTILE,
            "type": HOSTILE,
            "app_id": HOSTILE,
        },
    ),
}


@pytest.mark.parametrize("said", ONLY_AMQP.values(), ids=ONLY_AMQP)
def test_what_only_amqp_can_say_is_refused(office: RabbitOffice, said: tuple[bytes, Mapping[str, Any]]) -> None:
    body, properties = said

    log = office.after(lambda: office.say(body, **properties))

    assert refusals(log) == 1
    assert_harmless(log)


@pytest.mark.parametrize("coding", [HOSTILE, "rot13", "utf-16", "utf-7", "idna", "punycode", "zlib"])
def test_no_coding_that_a_sender_names_is_heeded(office: RabbitOffice, coding: str) -> None:
    said = {**JSON, "content_encoding": coding, "application_headers": HEADERS}

    log = office.after(lambda: office.say(BODY, **said))

    assert refusals(log) == 0
    assert_harmless(log)


class Unreadable(amqp.Message):
    """A message whose properties are what a test says, byte by byte."""

    def __init__(self, properties: bytes) -> None:
        super().__init__(CANARY.encode())
        self._properties = properties

    def _serialize_properties(self) -> bytes:
        return self._properties


def _short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def _table(entries: bytes) -> bytes:
    return b"\x20\x00" + pack(">I", len(entries)) + entries


def _nested(depth: int) -> bytes:
    entries = b""
    for _ in range(depth):
        entries = _short(b"a") + b"F" + pack(">I", len(entries)) + entries
    return entries


UNREADABLE = {
    "a content type that is no text": b"\x80\x00" + _short(b"\xff\xfe"),
    "a coding that is no text": b"\x40\x00" + _short(b"\xff"),
    "a correlation id that is no text": b"\x04\x00" + _short(b"\xff"),
    "an instant beyond time": _table(_short(b"eta") + b"T" + pack(">Q", 2**63)),
    "an instant in the year 36812": _table(_short(b"eta") + b"T" + pack(">Q", 2**40)),
    "a nesting without end": _table(_nested(1500)),
    "a decimal of 255 places": _table(_short(b"task") + b"D\xff" + pack(">i", 5)),
    "a name twice": _table(2 * (_short(b"task") + b"I" + pack(">i", 5))),
    "a name that is no text": _table(_short(b"\xff") + b"V"),
    "an array for a task": _table(_short(b"task") + b"A" + pack(">I", 5) + b"I" + pack(">i", 5)),
}


@pytest.mark.parametrize("properties", UNREADABLE.values(), ids=UNREADABLE)
def test_what_no_library_can_read_is_refused_and_never_comes_back(office: RabbitOffice, properties: bytes) -> None:
    log = office.after(lambda: office.send(Unreadable(properties)))

    assert 1 <= refusals(log) <= 2  # as unreadable, and as a message without a task
    assert_harmless(log)
    assert refusals(office.after(lambda: None)) == 0


def test_a_way_here_that_is_no_text_is_refused(office: RabbitOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bind our queue to a stranger's exchange, under any name."""

    def not_as_text(kind: str, values: Any) -> bytes:
        return amqp.serialization.dumps(kind, values).replace(b"no-text", b"\xff" * 7)

    with office.exchange() as exchange:
        monkeypatch.setattr(amqp.abstract_channel, "dumps", not_as_text)
        log = office.after(lambda: office.send(amqp.Message(BODY), exchange=exchange, routing_key="no-text"))

    assert refusals(log) == 1
    assert_harmless(log)


def test_what_is_no_broadcast_stops_nobody(office: RabbitOffice) -> None:
    def broadcast() -> None:
        for body in NO_BROADCASTS:
            for properties in ({}, JSON, {**JSON, "application_headers": {"compression": "gzip", "clock": CANARY}}):
                office.send(amqp.Message(body, **properties), exchange="celery.pidbox", routing_key="")
        office.send(Unreadable(UNREADABLE["a coding that is no text"]), exchange="celery.pidbox", routing_key="")

    log = office.after(broadcast)

    assert CANARY not in log
    assert [char for char in log if not char.isprintable() and char != "\n"] == []


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("gzip", zlib.compress(bytes(ZEROS), 9)),
        ("zlib", zlib.compress(bytes(ZEROS), 9)),
        ("bzip2", bz2.compress(bytes(ZEROS))),
        ("application/x-gzip", zlib.compress(BODY)),
        ("unknown", CANARY.encode()),
        (5, BODY[:-1]),
    ],
    ids=str,
)
def test_nothing_is_unpacked(office: RabbitOffice, name: Any, packed: bytes) -> None:
    log = office.after(lambda: office.say(packed, **JSON, application_headers={**HEADERS, "compression": name}))

    assert refusals(log) == 1
    assert_harmless(log)
    assert _most_memory(office) < ZEROS


def _most_memory(office: Office) -> int:
    status = Path(f"/proc/{office.worker.pid}/status").read_text()
    [peak] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(peak) * 1024


def test_a_job_is_accepted_from_rabbitmq(office: RabbitOffice, wait_until: WaitUntil) -> None:
    fields = {**SPEC, "model": "kling-v3-turbo-image-to-video", "first_frame": "https://pictures.example.com/a.png"}

    office.post(letter("callsheet.generate", kwargs=fields, headers={"id": "of-rabbit"}))

    wait_until(lambda: office.redis.exists("callsheet:{0}:job:of-rabbit"), PATIENCE_SECONDS)


def test_the_doctor_sends_and_takes_a_message_and_a_broadcast_of_its_own(rabbit: Connection) -> None:
    probes.broker(rabbit)


def test_a_user_whom_rabbitmq_does_not_let_in_is_told(rabbit: Connection) -> None:
    with Connection(URL.replace("guest:guest", "nobody:wrong")) as connection:  # noqa: SIM117  one raises
        with pytest.raises(BrokerError, match="RabbitMQ says 403"):
            probes.broker(connection)
