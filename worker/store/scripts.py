"""Runs the Lua scripts: one file in `lua/` per operation, one round trip per run.

`Scripts` alone knows the client, the keys and shards, and the clock: every part of the store stands on one.
A durable run returns only when the write is on disk, or raises `NotDurableError`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha1
from importlib.resources import files
from typing import Any, cast

import redis
from redis.exceptions import MovedError, NoScriptError, RedisClusterException

from worker.errors import NotDurableError, StoreError, UnknownLayoutError
from worker.jobs.job import SCHEMA_VERSION
from worker.jobs.record import LEAVE_IT
from worker.store.cluster import learn, master_of, masters
from worker.store.keys import Keys

log = logging.getLogger(__name__)

RECORD = ("_record",)
EVENTS = ("_record", "_events")
CLOSING = ("_record", "_close")
MONEY = ("_record", "_money")
PROVIDER = ("_provider", "_limits")

SCRIPTS: dict[str, tuple[str, ...]] = {
    "accept": RECORD,
    "arrive": EVENTS,
    "ask": PROVIDER,
    "attempt": EVENTS,
    "begin": (*MONEY, "_limits"),
    "bulk_begin": (),
    "bulk_page": (),
    "bulk_report": (),
    "bulk_start": (),
    "call": (),
    "claim": RECORD,
    "contradict": EVENTS,
    "correct": (),
    "count": (),
    "deny": EVENTS,
    "drop_candidate": EVENTS,
    "due": (),
    "forget": (),
    "hasten": RECORD,
    "mend": RECORD,
    "metrics": (),
    "missed": (),
    "move": (*EVENTS, "_money"),
    "newest": (),
    "next": PROVIDER,
    "note": MONEY,
    "notified": CLOSING,
    "nudge": (),
    "own": (),
    "recall": EVENTS,
    "renew": RECORD,
    "report": PROVIDER,
    "reserve": (),
    "rest": RECORD,
    "restore": (*MONEY, "_close"),
    "retell": RECORD,
    "delivered": CLOSING,
    "sift": (),
    "standing": PROVIDER,
    "tick": (),
    "tally": (),
    "take": (*RECORD, "_limits"),
    "turn_page": (),
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


def to_json(value: Any) -> str:
    """*value* as JSON that Lua can read: what UTF-8 cannot hold (a lone surrogate) becomes a question mark."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace").decode()


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


class Clock:
    """The clock that the records' instants are by: the server's, or *fixed*, which tests move. Unix ms."""

    def __init__(self, client: Callable[[], redis.Redis], fixed: Callable[[], int] | None) -> None:
        self._client = client
        self._fixed = fixed

    def now(self) -> int:
        """The present instant, Unix ms."""
        if self._fixed is not None:
            return self._fixed()
        with store_errors():
            seconds, microseconds = self._client().time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    def given(self) -> str:
        """The instant as the scripts take it: "" for the server's own."""
        return "" if self._fixed is None else str(self._fixed())


class Scripts:
    """The scripts of one client, whose records are in the shards of *keys*. *clock* (Unix ms) replaces the server's."""

    def __init__(self, client: redis.Redis, keys: Keys, clock: Callable[[], int] | None = None) -> None:
        self._unlooked = client
        self.keys = keys
        self.clock = Clock(lambda: self.client, clock)

    @cached_property
    def client(self) -> redis.Redis:
        """The client, once its Redis is known to be divided into as many shards as we think.

        Who comes first writes the number down; another one would not find the jobs, and pay for them again.
        """
        with store_errors():
            if (held := self._unlooked.get(self.keys.shard_count())) is None:
                # records that are older than the number itself are in one
                is_older = self._unlooked.exists(self.keys.due(0))
                self._unlooked.set(self.keys.shard_count(), 1 if is_older else self.keys.shards, nx=True)
                held = self._unlooked.get(self.keys.shard_count())
        if held != str(self.keys.shards):
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

    def run_on_job(
        self,
        name: str,
        job_id: str,
        given: Mapping[str, Any],
        *texts: str | bytes,
        durable: bool = False,
        provider: str = "",
    ) -> Any:
        """The reply of a script about one job: it has the job's keys and *given*, with *provider* its limits too."""
        sync_key = self.keys.synced(job_id) if durable else None
        args = [job_id, self.clock.given(), to_json({**given, "reads": str(SCHEMA_VERSION)}), *texts]
        keys = [*self.keys.of(job_id), *self.keys.shared(job_id)]
        if provider:
            keys.append(self.keys.limits(self.keys.shard_of(job_id), provider))
        return self.run(name, keys, args, sync_key=sync_key)

    def hash_at(self, key: str) -> dict[str, str]:
        """The fields of a hash; empty when there is none."""
        with store_errors():
            return cast("dict[str, str]", self.client.hgetall(key))

    def text_at(self, key: str) -> str | None:
        """The text of a key; None when there is none."""
        with store_errors():
            return cast("str | None", self.client.get(key))

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
