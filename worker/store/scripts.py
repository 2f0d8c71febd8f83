"""Runs the Lua scripts: one file in `lua/` per operation, one round trip per run.

A durable run returns only when the write is on disk, or raises `NotDurableError`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha1
from importlib.resources import files
from typing import Any

import redis
from redis.exceptions import MovedError, NoScriptError, RedisClusterException

from worker.errors import NotDurableError, StoreError, UnknownLayoutError
from worker.jobs.job import LEAVE_IT
from worker.store.cluster import learn, master_of, masters
from worker.store.keys import Keys

log = logging.getLogger(__name__)

RECORD = ("_record",)
EVENTS = ("_record", "_events")
CLOSING = ("_record", "_close")
PROVIDER = ("_provider", "_limits")

SCRIPTS: dict[str, tuple[str, ...]] = {
    "accept": RECORD,
    "arrive": EVENTS,
    "ask": PROVIDER,
    "attempt": EVENTS,
    "begin": (*RECORD, "_limits"),
    "call": (),
    "claim": RECORD,
    "contradict": EVENTS,
    "count": (),
    "deny": RECORD,
    "drop_candidate": EVENTS,
    "due": (),
    "forget": (),
    "give_back": (),
    "hasten": RECORD,
    "mend": RECORD,
    "metrics": (),
    "missed": (),
    "move": EVENTS,
    "newest": (),
    "next": PROVIDER,
    "note": RECORD,
    "notified": CLOSING,
    "nudge": (),
    "own": (),
    "recall": EVENTS,
    "renew": RECORD,
    "report": PROVIDER,
    "reserve": (),
    "rest": RECORD,
    "restore": CLOSING,
    "settle": CLOSING,
    "sift": (),
    "standing": PROVIDER,
    "tick": (),
    "take": (*RECORD, "_limits"),
    "urgent": (),
}
"""Every script, and the parts that stand in front of it."""

SYNC_MS = 1500
"""The time that Redis has to bring a write to disk: `everysec` needs a second."""


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn redis-py's errors into `StoreError`."""
    try:
        yield
    except redis.ResponseError as err:
        if str(err).startswith("LAYOUT "):
            raise UnknownLayoutError(f"{str(err).removeprefix('LAYOUT ')}: {LEAVE_IT}") from err
        raise StoreError(f"Redis did not take it ({type(err).__name__}): {err}") from err
    except (redis.RedisError, RedisClusterException) as err:
        raise StoreError(f"Redis did not take it ({type(err).__name__}): {err}") from err


@dataclass(frozen=True)
class _Script:
    text: str
    sha: str

    @classmethod
    def load(cls, name: str) -> _Script:
        folder = files("worker.store").joinpath("lua")
        text = "".join(folder.joinpath(f"{part}.lua").read_text("utf-8") for part in (*SCRIPTS[name], name))
        return cls(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


# Lua is code: read with the code that calls it, so that a worker whose children are forked after a deploy
# has put new files in place never runs old Python against new scripts.
_LOADED = {name: _Script.load(name) for name in SCRIPTS}


class Scripts:
    """The scripts of one client."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._unlooked = client
        self._keys = keys

    @cached_property
    def client(self) -> redis.Redis:
        """The client, once its Redis is known to be divided into as many shards as we think.

        Who comes first writes the number down; another one would not find the jobs, and pay for them again.
        """
        with store_errors():
            if (held := self._unlooked.get(self._keys.shard_count())) is None:
                # records that are older than the number itself are in one
                is_older = self._unlooked.exists(self._keys.due(0))
                self._unlooked.set(self._keys.shard_count(), 1 if is_older else self._keys.shards, nx=True)
                held = self._unlooked.get(self._keys.shard_count())
        if held != str(self._keys.shards):
            raise StoreError(f"the records of CALLSHEET_REDIS_URL are in other shards: set CALLSHEET_SHARDS={held!s}")
        return self._unlooked

    @cached_property
    def durability(self) -> str:
        """The setting that makes a write survive a power loss.

        always   the server syncs before it answers
        waitaof  each durable run waits for the sync
        none     nothing: a crash of the machine may undo what was told, which is said in the log
        """
        word = self._find_durability()
        if word == "none":
            log.error("store.not_durable", extra={"danger": "a power loss can have a video PAID FOR TWICE"})
        return word

    def _find_durability(self) -> str:
        """The promise of the weakest server."""
        with store_errors():
            found = [_durability(server) for server in masters(self.client)]
        return max(found, key=("always", "waitaof", "none").index)

    def run(
        self, name: str, keys: Sequence[str], args: Sequence[str | int | bytes], *, sync_key: str | None = None
    ) -> Any:
        """The script's reply; raises `StoreError`: then nothing is known about the write.

        With *sync_key* the run is durable, and so is all that the script has read.
        """
        waits_with = sync_key if sync_key and self.durability == "waitaof" else None
        with store_errors():
            try:
                return self._send(name, keys, args, waits_with)
            except NoScriptError:
                self.client.script_load(_LOADED[name].text)
                return self._send(name, keys, args, waits_with)
            except MovedError as err:  # nothing has run
                learn(self.client, err)
                return self._send(name, keys, args, waits_with)

    def _send(self, name: str, keys: Sequence[str], args: Sequence[str | int | bytes], sync_key: str | None) -> Any:
        sha = _LOADED[name].sha
        if sync_key is None:
            return self.client.evalsha(sha, len(keys), *keys, *args)
        pipeline = master_of(self.client, sync_key).pipeline(transaction=False)
        pipeline.evalsha(sha, len(keys), *keys, *args)
        # WAITAOF waits for this connection's own writes: a script that found another's work done wrote nothing
        pipeline.set(sync_key, "")
        pipeline.waitaof(1, 0, self._sync_ms)
        answers = pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, redis.RedisError):
                raise answer
        reply, _, synced = answers
        if synced[0] < 1:
            raise NotDurableError(f"Redis did not bring a write to disk within {self._sync_ms} ms; do not act on it")
        return reply

    @cached_property
    def _sync_ms(self) -> int:
        """Less than the socket's patience, so that a slow disk is told from a dead server."""
        timeout = masters(self.client)[0].connection_pool.connection_kwargs.get("socket_timeout")
        return SYNC_MS if timeout is None else max(1, min(SYNC_MS, int(timeout * 1000) - 100))


def _durability(server: redis.Redis) -> str:
    """The promise of one server, in the words of `Scripts.durability`."""
    try:
        held = server.config_get("append*")
        if held.get("appendonly") == "yes" and held.get("appendfsync") in ("always", "no"):
            return "always" if held["appendfsync"] == "always" else "none"
    except redis.ResponseError:
        pass  # CONFIG is forbidden on most managed servers
    try:
        server.waitaof(1, 0, 1)
    except redis.ResponseError:
        return "none"
    return "waitaof"
