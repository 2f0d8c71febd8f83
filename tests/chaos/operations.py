"""The fault operations by name: what a test, and the soak, can do to a running system.

Faults of the providers' answers (4xx, 5xx, HTML, half answers, slow, truncated and endless
bodies, callbacks lost, late, doubled, forged) are rules of the sandbox, given with a job;
those of S3 are answers of the gate. Everything here is undone by `System.mend`.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import time
from collections.abc import Iterator
from typing import Any

import redis

from tests.chaos.sampler import children_of
from tests.chaos.system import System
from tests.integration.notifications.receiver import Answer

QUEUES = ("callsheet", "callsheet.archive", "callsheet.sweep")
LOADING_SECONDS = 60.0
"""Longer than any test lets it last."""
ANSWERING = ("--loading-process-events-interval-bytes", "1024")
BALLAST = tuple(f"ballast:{number}" for number in range(512))
GARBAGE = (
    b"\x80\x04\x95\x10garbage",
    b"{not json",
    b"{}",
    b'{"body": "x", "headers": {}, "properties": {}}',
    b'{"body": "gASVBQ==", "content-type": "application/x-python-serialize", "content-encoding": "binary", '
    b'"headers": {"task": "callsheet.submit", "id": "1"}, "properties": {"delivery_tag": "1", '
    b'"body_encoding": "base64", "delivery_info": {"exchange": "", "routing_key": "callsheet"}}}',
)


# --- processes


def kill(system: System, name: str) -> None:
    """SIGKILL a part with all its children; the supervisor starts it again."""
    if name == "web":
        system.receiver_restarts()
    system.stack.kill(name)


def end_in_order(system: System, name: str) -> None:
    """SIGTERM, as a deployment does; the supervisor starts it again."""
    if name == "web":
        system.receiver_restarts()
    system.stack.processes[name].terminate()


def replace_in_order(system: System, name: str) -> None:
    """SIGTERM, and wait until its successor is ready, as a deployment does before it goes on to the next."""
    process, before = system.stack.processes[name], system.stack.processes[name].pid
    end_in_order(system, name)
    system.wait(lambda: process.pid != before and process.is_running, f"another {name}")
    process.wait_until_ready()


def reload_receiver(system: System) -> None:
    """SIGHUP: gunicorn starts processes with the code as it is now, and ends the old ones when they have answered."""
    master = system.stack.processes["web"].pid
    before = children_of(master)
    os.kill(master, signal.SIGHUP)
    system.wait(lambda: (now := children_of(master)) and now.isdisjoint(before), "other receivers")


@contextlib.contextmanager
def paused(system: System, *names: str) -> Iterator[None]:
    """SIGSTOP parts for as long as the block lasts."""
    away = system.outage("receiver") if "web" in names else contextlib.nullcontext()
    with away:
        for name in names:
            system.stack.processes[name].pause()
        try:
            yield
        finally:
            for name in names:
                system.stack.processes[name].resume()


# --- the state Redis


def kill_redis(system: System) -> None:
    """SIGKILL, then up again with its data."""
    with system.outage("store"):
        system.redis.kill()
        system.redis.start()


@contextlib.contextmanager
def redis_paused(system: System) -> Iterator[None]:
    with system.outage("store"):
        system.redis.pause()
        try:
            yield
        finally:
            system.redis.resume()


@contextlib.contextmanager
def out_of_memory(system: System) -> Iterator[None]:
    """Redis refuses every write that needs memory."""
    with _configured(system, "maxmemory", "1", "0"):
        yield


@contextlib.contextmanager
def read_only(system: System) -> Iterator[None]:
    """A failover has made a replica of our server, whose master does not answer."""
    with system.outage("store"), redis.Redis.from_url(system.redis.url) as client:
        client.config_set("replica-serve-stale-data", "yes")
        client.replicaof("127.0.0.1", 1)
        try:
            yield
        finally:
            client.replicaof("NO", "ONE")


def forget_scripts(system: System) -> None:
    with redis.Redis.from_url(system.redis.url) as client:
        client.script_flush()


@contextlib.contextmanager
def disk_full(system: System) -> Iterator[None]:
    """No file of Redis can grow; with `always` it ends at its next write. Up again when there is room."""
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    with system.outage("store"):
        resource.prlimit(_server_pid(system), resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        try:
            yield
        finally:
            if system.redis.process.is_running:
                resource.prlimit(_server_pid(system), resource.RLIMIT_FSIZE, unlimited)
            else:
                system.redis.start()


def _server_pid(system: System) -> int:
    with redis.Redis.from_url(system.redis.url) as client:
        info: Any = client.info("server")
    return int(info["process_id"])


@contextlib.contextmanager
def redis_loading(system: System) -> Iterator[None]:
    """Redis was killed, and reads its data again so slowly that it listens and answers LOADING all the while."""
    server, command = system.redis, system.redis.process.command
    with redis.Redis.from_url(server.url) as client:
        client.mset({name: os.urandom(1024) for name in BALLAST})  # a file of a few jobs is read without a stop
        client.bgrewriteaof()  # only within the base file does it stop to answer
        system.wait(lambda: not dict(client.info("persistence"))["aof_rewrite_in_progress"], "one file")
        delay = round(LOADING_SECONDS * 1_000_000 / max(1, client.dbsize()))
        with system.outage("store"):
            server.kill()
            server.process.command = (*command, "--key-load-delay", str(delay), *ANSWERING)
            server.process.spawn()
            try:
                system.wait(lambda: _is_loading(client), "Redis to be loading")
                yield
            finally:
                server.process.command = command
                server.kill()
                server.start()
                client.delete(*BALLAST)


def _is_loading(client: redis.Redis) -> bool:
    try:
        client.ping()
    except redis.BusyLoadingError:
        return True
    except redis.RedisError:
        return False  # it does not listen yet
    return False


@contextlib.contextmanager
def _configured(system: System, name: str, value: str, before: str) -> Iterator[None]:
    with system.outage("store"), redis.Redis.from_url(system.redis.url) as client:
        client.config_set(name, value)
        try:
            yield
        finally:
            client.config_set(name, before)


@contextlib.contextmanager
def redis_refused(system: System) -> Iterator[None]:
    """Leave no listener where Redis was."""
    with system.outage("store"):
        system.redis_wire.refuse()
        try:
            yield
        finally:
            system.redis_wire.mend()


@contextlib.contextmanager
def redis_silent(system: System) -> Iterator[None]:
    """The line to Redis carries nothing, and nobody is told."""
    with system.outage("store"):
        system.redis_wire.freeze()
        try:
            yield
        finally:
            system.redis_wire.mend()


def reset_redis_lines(system: System) -> None:
    """Every connection to Redis breaks; new ones work."""
    with system.outage("store"):
        system.redis_wire.reset()


# --- the broker


def restart_broker(system: System) -> None:
    """SIGKILL, then up again."""
    system.broker.kill()
    system.broker.start()


def lose_queues(system: System) -> None:
    """The broker loses its whole content, messages that wait for an acknowledgement too."""
    with redis.Redis.from_url(system.broker.url) as client:
        client.delete(*QUEUES, "unacked", "unacked_index")


def double_queues(system: System) -> int:
    """Every message that waits is there twice more; returns how many there are now."""
    total = 0
    with redis.Redis.from_url(system.broker.url) as client:
        for name in QUEUES:
            waiting: Any = client.lrange(name, 0, -1)
            for message in [*waiting, *waiting]:
                client.lpush(name, _with_new_tag(message))
            total += 3 * len(waiting)
    return total


def _with_new_tag(message: bytes) -> bytes:
    """The same message with a delivery tag of its own: one tag twice would be one message to kombu.

    Garbage has none, and stays as it is.
    """
    try:
        held = json.loads(message)
        held["properties"]["delivery_tag"] += f"-{time.monotonic_ns()}"
    except (ValueError, KeyError):
        return message
    return json.dumps(held).encode()


def put_garbage(system: System, queue: str = "callsheet") -> int:
    """Bytes that are no message, and messages that are no JSON; returns how many."""
    with redis.Redis.from_url(system.broker.url) as client:
        for garbage in GARBAGE:
            client.lpush(queue, garbage)
    return len(GARBAGE)


# --- lines


@contextlib.contextmanager
def notified_sick(system: System) -> Iterator[None]:
    """The backend's receiver of notifications answers 500."""
    system.notified.answer = Answer(500)
    try:
        yield
    finally:
        system.notified.answer = Answer()


@contextlib.contextmanager
def provider_unreachable(system: System, provider: str, how: str) -> Iterator[None]:
    """*how*: `refused`, `reset` (each connection breaks as it is made) or `no-tls` (a peer that speaks none)."""
    wire = system.provider_wires[provider]
    if how == "refused":
        wire.refuse()
    else:
        wire.lead_to(system.redis.port if how == "no-tls" else 1)
        wire.reset()
    try:
        yield
    finally:
        wire.mend()
