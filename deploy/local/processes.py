"""One child process: its session, its log, its sign of health, its orderly end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from deploy.local.leftovers import birth, pid_file
from deploy.local.orphans import undertaker
from worker.errors import LocalError

POLL_SECONDS = 0.05
HURRIED_SECONDS = 2.0
"""The time that a process has to end after a second signal."""
LOG_BYTES = 20 * 1024 * 1024
"""A log longer than this is set aside as `<name>.log.1` at the next start."""


def never() -> bool:
    """No stop was asked for."""
    return False


class Process:
    """A named child in a session of its own, so that Ctrl-C reaches only its owner.

    `is_ready` is asked until it says yes. *stdin* is what the child reads, for
    what must not stand in its arguments. The log is appended to, never replaced.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        directory: Path,
        logs: Path,
        env: Mapping[str, str],
        is_ready: Callable[[Process], bool],
        stdin: str = "",
        ready_seconds: float = 60,
        stop_seconds: float = 15,
    ) -> None:
        self.name = name
        self.command = tuple(command)
        self.directory = directory
        self.log = logs / f"{name}.log"
        self.env = dict(env)
        self.ready_seconds = ready_seconds
        self.stop_seconds = stop_seconds
        self._is_ready = is_ready
        self._stdin = stdin
        self._child: subprocess.Popen[bytes] | None = None
        self._reaping = threading.Lock()
        self._log_start = 0
        self._pid_file = pid_file(logs, name)

    @property
    def pid(self) -> int:
        """The pid, which is also the process group's number, of the last start."""
        if self._child is None:
            raise LocalError(f"{self.name} has not been started")
        return self._child.pid

    @property
    def is_running(self) -> bool:
        """True while the child is there; what a dead child left in its group is killed."""
        return self._child is not None and self._status(self._child) is None

    @property
    def fate(self) -> str:
        """Describe how the last child ended."""
        status = self._status(self._child)
        if status is None:
            return "is running"
        return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    def start(self, *, cancelled: Callable[[], bool] = never) -> None:
        """Start the child and wait until it is ready; a failure quotes its log."""
        self.spawn()
        self.wait_until_ready(cancelled=cancelled)

    def spawn(self) -> None:
        """Start the child and do not wait for it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            try:
                self._child = subprocess.Popen(
                    self.command, cwd=self.directory, env=self.env, start_new_session=True,
                    stdin=subprocess.PIPE, stdout=log, stderr=log,
                )  # fmt: skip
            except OSError as err:
                raise LocalError(f"{self.name} cannot be started: {err}") from err
        undertaker().watch(self.pid)
        self._pid_file.write_text(birth(self.pid))
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._child.stdin as stdin:
            stdin.write(self._stdin.encode())

    def wait_until_ready(self, *, cancelled: Callable[[], bool] = never) -> None:
        """Return once the child is ready; raise KeyboardInterrupt when *cancelled* says so first."""
        deadline = time.monotonic() + self.ready_seconds
        while self.is_running:
            if cancelled():
                raise KeyboardInterrupt
            if self._is_ready(self):
                return
            if time.monotonic() > deadline:
                self.stop()
                raise LocalError(f"{self.name} was not ready after {self.ready_seconds:g} s; {self.last_words()}")
            time.sleep(POLL_SECONDS)
        raise LocalError(f"{self.name} {self.fate} while starting; {self.last_words()}")

    def stop(self) -> None:
        """End the child in order, by force after its time."""
        self.terminate()
        self.wait_until_ended()

    def terminate(self) -> None:
        """Ask the child to end in order. Once only: to Celery a second SIGTERM means at once."""
        self._send(os.kill, signal.SIGTERM)
        self._send(os.kill, signal.SIGCONT)  # a paused child hears nothing

    def wait_until_ended(self, *, hurried: Callable[[], bool] = never) -> None:
        """Give the child `stop_seconds`, or HURRIED_SECONDS from when *hurried* says so, then kill it."""
        child, deadline = self._child, time.monotonic() + self.stop_seconds
        while self._status(child) is None and time.monotonic() < deadline:
            if hurried():
                deadline = min(deadline, time.monotonic() + HURRIED_SECONDS)
                hurried = never
            time.sleep(POLL_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End the child and all it started at once; returns when it is gone."""
        child = self._child
        self._send(os.killpg, signal.SIGKILL)
        while child is not None and self._status(child) is None:
            time.sleep(POLL_SECONDS / 10)

    def pause(self) -> None:
        """Freeze the child and all it started, as a hung machine would."""
        self._send(os.killpg, signal.SIGSTOP)

    def resume(self) -> None:
        self._send(os.killpg, signal.SIGCONT)

    def output(self) -> str:
        """The child's log since its last start."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def last_words(self) -> str:
        """The log's path and its last line, in one line."""
        lines = [line for line in self.output().splitlines() if line.strip()]
        return f"its log {self.log} ends: {lines[-1].strip()[:300]}" if lines else f"its log {self.log} is empty"

    def _send(self, send: Callable[[int, int], None], number: signal.Signals) -> None:
        child = self._child
        with self._reaping, contextlib.suppress(ProcessLookupError):
            if child is not None and child.returncode is None:
                send(child.pid, number)

    def _status(self, child: subprocess.Popen[bytes] | None) -> int | None:
        """The exit status of *child*, or None while it runs."""
        if child is None:
            return None
        with self._reaping:
            if child.returncode is None:
                self._reap(child)
            return child.returncode

    def _reap(self, child: subprocess.Popen[bytes]) -> None:
        """Take the status of a child that has ended, and kill the rest of its group first.

        Until it is reaped no other process can be given its number.
        """
        if os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        undertaker().forget(child.pid)
        self._pid_file.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
