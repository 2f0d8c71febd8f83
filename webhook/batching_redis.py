"""How callbacks that come together go to Redis together: one write, one read and one fsync for all of them.

Each has its own script, its own reply and its own error; they only share the way.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

import redis

MOST = 64
"""Scripts in one convoy: as many as the gate has places."""

WAIT_SECONDS = 1.8
"""The end of every wait for a reply, so that a provider has its answer in two seconds: a Redis that answers each
command only just in time takes several to be connected to, and the thread that fetches replies may have died."""


class Convoy(redis.Redis):
    """A client whose scripts travel together, sent by one daemon thread per process.

    When Redis is silent, those fail that were sent, and at once all that wait for
    the next convoy: they would find out the same.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waiting: SimpleQueue[_Run] = SimpleQueue()
        self._starting = threading.Lock()
        self._driver = 0  # the process that has a thread; none survives the fork that makes a web worker

    def evalsha(self, sha: str, numkeys: int, *keys_and_args: Any) -> Any:
        """Run a script along with those that are waiting; its reply, or its own error."""
        run = _Run((sha, numkeys, *keys_and_args))
        self._waiting.put(run)
        self._ensure_thread()
        return run.reply()

    def _ensure_thread(self) -> None:
        # begun at the first script. Not `Thread.is_alive`: gevent's lets all other greenlets run first
        if self._driver != os.getpid():
            with self._starting:
                if self._driver != os.getpid():
                    self._driver = os.getpid()
                    try:
                        threading.Thread(target=self._drive, name="convoy", daemon=True).start()
                    except RuntimeError:  # no thread to be had now: the next script tries again
                        self._driver = 0

    def _drive(self) -> None:
        try:
            while True:
                self._travel()
        finally:
            self._driver = 0  # whatever has ended this thread, the next script begins another

    def _travel(self) -> None:
        runs = [self._waiting.get(), *self._more(MOST - 1)]
        try:
            replies = self._send(runs)
        except redis.TimeoutError as err:
            runs += self._more(self._waiting.qsize())
            replies = [err] * len(runs)
        except Exception as err:  # noqa: BLE001  each caller judges for itself
            replies = [err] * len(runs)
        for run, reply in zip(runs, replies, strict=True):
            run.answer(reply)

    def _send(self, runs: Sequence[_Run]) -> list[Any]:
        # redis-py's own pipeline writes in pieces of 6 kB, and Redis would sync to disk for each
        connection: Any = self.connection_pool.get_connection()
        try:
            scripts = connection.pack_commands([("EVALSHA", *run.words) for run in runs])
            connection.send_packed_command([b"".join(scripts)])
            return [_reply(connection) for _ in runs]
        finally:
            self.connection_pool.release(connection)

    def _more(self, most: int) -> list[_Run]:
        """Those that wait already."""
        found: list[_Run] = []
        with suppress(Empty):
            found.extend(self._waiting.get_nowait() for _ in range(most))
        return found


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except redis.ResponseError as err:
        return err


class _Run:
    """A script under way, and who waits for it."""

    def __init__(self, words: Sequence[Any]) -> None:
        self.words = words
        self._reply: Any = None
        self._is_open = threading.Lock()
        self._is_open.acquire()

    def answer(self, reply: Any) -> None:
        self._reply = reply
        self._is_open.release()

    def reply(self) -> Any:
        if not self._is_open.acquire(timeout=WAIT_SECONDS):
            raise redis.TimeoutError("no reply from Redis was fetched")
        if isinstance(self._reply, Exception):
            raise self._reply
        return self._reply
