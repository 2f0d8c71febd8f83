"""Several processes kept as one: started in order, restarted when they die, stopped in reverse order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from deploy.local.processes import Process, never
from worker.errors import LocalError

WATCH_SECONDS = 0.1
STEADY_SECONDS = 30.0
"""A process that lived this long is restarted at once when it dies; before, later each time."""
FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS = 0.5, 30.0


@dataclass
class _Life:
    """One supervised process: its child and its restarts."""

    started_at: float  # monotonic
    delay_seconds: float = 0.0
    due_at: float | None = None  # when a dead one is started again; None: it lives


class Supervisor:
    """Tiers of processes. *tell* hears, in words, of every death and restart.

    *cancelled* is asked while starting and *hurried* while stopping: they are
    what Ctrl-C means, once and twice.
    """

    def __init__(
        self,
        tell: Callable[[str], None],
        *,
        cancelled: Callable[[], bool] = never,
        hurried: Callable[[], bool] = never,
    ) -> None:
        self._tell = tell
        self._cancelled = cancelled
        self._hurried = hurried
        self._tiers: list[tuple[Process, ...]] = []
        self._lives: dict[Process, _Life] = {}
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def processes(self) -> dict[str, Process]:
        """Every process by name, in the order of their start."""
        return {process.name: process for tier in self._tiers for process in tier}

    def start(self, *tier: Process) -> None:
        """Start *tier* after all that was started before; return when each of it is ready."""
        self._tiers.append(tier)
        for process in tier:
            process.spawn()
            self._lives[process] = _Life(time.monotonic())
        for process in tier:
            process.wait_until_ready(cancelled=self._cancelled)

    def watch(self) -> None:
        """From now on restart what dies."""
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """Stop everything, the last started first; a tier ends together."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
        while self._tiers:
            tier = self._tiers.pop()
            for process in reversed(tier):
                process.terminate()
            for process in reversed(tier):
                process.wait_until_ended(hurried=self._hurried)

    def _watch(self) -> None:
        while not self._stopping.wait(WATCH_SECONDS):
            for process in self.processes.values():
                if not process.is_running:
                    self._revive(process, time.monotonic())

    def _revive(self, process: Process, now: float) -> None:
        life = self._lives[process]
        if life.due_at is None:
            self._note_death(process, life, now)
        elif now >= life.due_at:
            life.started_at, life.due_at = now, None
            try:
                process.spawn()
            except LocalError as err:
                self._tell(str(err))

    def _note_death(self, process: Process, life: _Life, now: float) -> None:
        if now - life.started_at > STEADY_SECONDS:
            life.delay_seconds = 0.0
            when = "starting it again"
        else:
            life.delay_seconds = min(MAX_DELAY_SECONDS, max(FIRST_DELAY_SECONDS, 2 * life.delay_seconds))
            when = f"starting it again in {life.delay_seconds:g} s"
        life.due_at = now + life.delay_seconds
        self._tell(f"{process.name} (pid {process.pid}) {process.fate}; {when}; {process.last_words()}")
