"""Write, publish, consume and delete a probe at broker and results: a server that answers may still take nothing.

A read-only replica, a Redis without memory or without enough replicas, and a user who lacks a right all answer a PING.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from amqp.exceptions import AccessRefused, AMQPError
from kombu import Connection, Consumer, Exchange, Producer, Queue

from worker.errors import BrokerError, ResultError

NAME = "callsheet.probe"
BROADCAST = "celery.probe"
SECONDS = 5.0
CODES = re.compile(r"\b(READONLY|OOM|NOREPLICAS|NOPERM|MISCONF|LOADING|MASTERDOWN|NOAUTH|WRONGPASS)\b")
RIGHTS = {
    **dict.fromkeys(("Queue.declare", "Queue.delete", "Exchange.declare", "Exchange.delete"), "configure"),
    "Basic.publish": "write",
    **dict.fromkeys(("Basic.consume", "Basic.get", "Queue.purge"), "read"),
}
"""The permission that RabbitMQ wants for an act; its documentation of access control has the table."""
EXPIRES_SECONDS = 60
"""After it Redis drops the result that a probe that was cut off has left."""


def broker(connection: Connection) -> None:
    """Send and take one message by a queue, and one by a broadcast; raises `BrokerError`."""
    ways = {"a queue": ("direct", NAME), "a broadcast (revoke, Flower)": ("fanout", BROADCAST)}
    for way, (kind, name) in ways.items():
        with _told(BrokerError, f"no message passes by {way}"):
            _send_and_take(connection, kind, f"{name}.{secrets.token_hex(6)}")


def _send_and_take(connection: Connection, kind: str, name: str) -> None:
    exchange = Exchange(name, type=kind, durable=False, auto_delete=True)
    queue = Queue(name, exchange, routing_key=name, exclusive=True, auto_delete=True)
    taken: list[Any] = []
    with connection.channel() as channel:
        consumer = Consumer(channel, [queue], accept=["json"], no_ack=True)
        consumer.register_callback(lambda body, _message: taken.append(body))
        with consumer:
            deadline = time.monotonic() + SECONDS
            while not taken and time.monotonic() < deadline:
                # again and again: a broadcast through Redis reaches those who listen already
                Producer(channel).publish({}, exchange=exchange, routing_key=name, serializer="json", expiration=10)
                _drain(connection)
        for bound in consumer.queues:
            bound.delete()
    if not taken:
        raise BrokerError(f"what was sent did not come within {SECONDS:g} s")


def _drain(connection: Connection) -> None:
    try:
        connection.drain_events(timeout=0.5)
    except TimeoutError:
        return


def results(client: Any, key: bytes | str) -> None:
    """Write, tell, hear and delete a result under *key*; raises `ResultError`."""
    with _told(ResultError, "no result can be written and heard of"), client.pubsub() as heard:
        heard.subscribe(key)
        client.set(key, "{}", ex=EXPIRES_SECONDS)
        client.publish(key, "{}")
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            message = heard.get_message(timeout=0.5)
            if message and message["type"] == "message":
                break
        else:
            raise ResultError(f"what was published was not heard within {SECONDS:g} s")
        client.delete(key)


@contextmanager
def _told(error: type[BrokerError] | type[ResultError], what: str) -> Iterator[None]:
    """Tell the server's refusal by its code; its words may quote what it was sent."""
    try:
        yield
    except redis.RedisError as err:
        raise error(f"{what}: {_code(err)}") from err
    except AMQPError as err:
        raise error(f"{what}: RabbitMQ says {err.reply_code}, {_first_line(err.reply_text)}{_right(err)}") from err


def _right(err: AMQPError) -> str:
    """Name the permission that a refused user lacks: RabbitMQ 3 says only on what."""
    if not isinstance(err, AccessRefused):
        return ""
    right = RIGHTS.get(err.method_name or "")
    if err.method_name == "Queue.bind":  # a queue is bound by who may write to it and read from the exchange
        right = "write" if "access to queue" in str(err.reply_text) else "read"
    return f": its user lacks the {right} permission on it (SECURITY.md)" if right else ""


def _code(err: redis.RedisError) -> str:
    """Redis' own word for a refusal, such as READONLY; the name of the error where it has none."""
    said = CODES.search(str(err))
    return f"Redis says {said[0]}" if said else f"Redis refused or did not answer ({type(err).__name__})"


def _first_line(text: object) -> str:
    return "".join(letter for letter in str(text).partition("\n")[0] if letter.isprintable())[:120]
