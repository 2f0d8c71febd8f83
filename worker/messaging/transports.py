"""Transports of kombu that drop a poison message which cannot even be read.

Kombu's own transports would raise, which ends the worker, and the next one that is given the same bytes. They
would also unpack what is packed, of any size. What can be read is looked at in `worker/messaging/inbound.py`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty
from struct import unpack_from
from typing import Any

from amqp import serialization, spec
from kombu.transport import pyamqp, virtual
from kombu.transport import redis as kombu_redis

log = logging.getLogger(__name__)


class _Message(virtual.Message):
    """Never unpacked: a few bytes can unpack to all of the memory, and nothing of ours is packed."""

    def __init__(self, payload: Any, channel: Any = None, **options: Any) -> None:
        if isinstance(headers := payload.get("headers"), dict):
            headers.pop("compression", None)
        super().__init__(payload, channel, **options)


class _Unacknowledged(kombu_redis.QoS):
    """Restore the messages that a lost worker did not acknowledge; drop poison messages.

    It would stay, and with it all that was left unacknowledged before it.
    """

    channel: Any

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        with self.channel.conn_or_acquire(client) as connection:
            held = connection.hget(self.unacked_key, tag)
            if held is not None and not _is_restorable(held):
                _refuse("unreadable (unacknowledged)")
                self._remove_from_indices(tag).execute()  # type: ignore[attr-defined]  # kombu's stubs leave it out
                return
            super().restore_by_tag(tag, connection, leftmost)


def _is_restorable(held: bytes | str) -> bool:
    """Whether *held* is a message, its exchange and its routing key."""
    try:
        message, exchange, routing_key = json.loads(held)
        parts = (message, message["headers"], message["properties"], message["properties"]["delivery_info"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    names = (exchange, routing_key)
    return all(isinstance(part, dict) for part in parts) and all(isinstance(name, str | None) for name in names)


class _Reading:
    """Read one item of a Redis queue or broadcast; an item that is no message is dropped."""

    Message = _Message
    QoS = _Unacknowledged

    def _brpop_read(self, **options: Any) -> Any:
        with self._surviving():
            return super()._brpop_read(**options)  # type: ignore[misc]  # kombu's channel, in both classes below
        return True

    def _receive_one(self, c: Any) -> Any:
        with self._surviving():
            return super()._receive_one(c)  # type: ignore[misc]
        return None

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        channel: Any = self
        try:
            yield
        except Exception as err:
            lost = (*channel.connection_errors, *channel.connection.channel_errors, Empty)
            if not isinstance(err, KeyError) and isinstance(err, lost):
                raise
            _refuse(f"unreadable ({type(err).__name__})")


class RedisChannel(_Reading, kombu_redis.Channel):  # type: ignore[misc]
    """Kombu's, surviving what is no message."""


class RedisTransport(kombu_redis.Transport):
    """For redis:// and rediss://."""

    Channel = RedisChannel


class SentinelChannel(_Reading, kombu_redis.SentinelChannel):  # type: ignore[misc]
    """The same behind Sentinel."""


class SentinelTransport(kombu_redis.SentinelTransport):
    """For sentinel://."""

    Channel = SentinelChannel


class AmqpMessage(pyamqp.Message):
    """Never unpacked."""

    def __init__(self, msg: Any, channel: Any = None, **options: Any) -> None:
        if isinstance(headers := msg.properties.get("application_headers"), dict):
            headers.pop("compression", None)
        super().__init__(msg, channel, **options)


class AmqpChannel(pyamqp.Channel):
    """Kombu's, surviving a delivery whose names are no text."""

    Message = AmqpMessage

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "auto_decode": False})  # by whatever coding the sender names

    def dispatch_method(self, method_sig: Any, payload: Any, content: Any) -> None:
        try:
            super().dispatch_method(method_sig, payload, content)
        except UnicodeDecodeError:
            if method_sig != spec.Basic.Deliver:
                raise
            _refuse("unreadable (delivery)")
            self.basic_reject(_delivery_tag(payload), requeue=False)


class AmqpConnection(pyamqp.Connection):
    """Kombu's, with our channels."""

    Channel = AmqpChannel


class AmqpTransport(pyamqp.Transport):
    """For amqp://."""

    Connection = AmqpConnection


class AmqpsTransport(pyamqp.SSLTransport):
    """For amqps://."""

    Connection = AmqpConnection


def _delivery_tag(payload: Any) -> int:
    """The second argument of a `Basic.Deliver`, behind its method and the consumer's short tag."""
    tag: int = unpack_from(">Q", payload, 5 + payload[4])[0]
    return tag


def _properties(buffer: Any, offset: int) -> tuple[dict[str, Any], int]:
    """A message's properties; none, which the inbox refuses, where they cannot be read."""
    try:
        found: tuple[dict[str, Any], int] = serialization.decode_properties_basic(buffer, offset)
    except Exception as err:  # noqa: BLE001  text that is none, an instant beyond time, a nesting too deep
        _refuse(f"unreadable ({type(err).__name__})")
        return {}, len(buffer)
    return found


def _refuse(reason: str) -> None:
    log.error("message.refused", extra={"reason": reason})


serialization.PROPERTY_CLASSES[spec.Basic.CLASS_ID] = _properties  # type: ignore[assignment]  # stubs see classes
