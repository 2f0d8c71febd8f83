"""Liveness of the Procfile's processes by their heartbeats, and the work that stands still without each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.jobs.durations import span
from worker.jobs.timing import HOUR
from worker.store.heartbeats import Heartbeat

SILENT_SECONDS = 30.0
"""A process gives a sign every 5 s; a busy machine may keep it from doing so for a while."""
REPLACED_SECONDS = HOUR
"""One that fell silent longer ago, while others of its kind live, is held to be out of service."""

WITHOUT = {
    "console": "the HTTP API and the pages are not served",
    "web": "callbacks are not taken, and every job waits for its poll",
    "worker": "nothing is submitted, polled or told",
    "archiver": "no video is copied to the bucket, and the providers' links end",
    "sweeper": "no job is looked at again, and no deadline ends anything",
    "beat": "no job is looked at again, and no deadline ends anything",
}
"""Each kind of process, as the Procfile names it, and what stands still without one."""
TICK = "tick"


@dataclass(frozen=True)
class Trouble:
    """A process that is missing: *kind*, what was seen of it, and what to do."""

    kind: str
    seen: str
    advice: str


def alive(beats: Sequence[Heartbeat], now: int) -> dict[str, list[Heartbeat]]:
    """The processes of each kind that have given a sign within SILENT_SECONDS of *now* (Unix ms)."""
    found: dict[str, list[Heartbeat]] = {kind: [] for kind in WITHOUT}
    for beat in beats:
        if beat.kind in found and now - beat.at <= SILENT_SECONDS * 1000:
            found[beat.kind].append(beat)
    return found


def troubles(
    beats: Sequence[Heartbeat], now: int, *, takes_callbacks: bool, serves_api: bool = False
) -> Iterator[Trouble]:
    """Find missing processes: a whole kind, one of several, or the ticks between beat and the sweeper."""
    living = alive(beats, now)
    for kind, without in WITHOUT.items():
        if (kind == "web" and not takes_callbacks) or (kind == "console" and not serves_api):
            continue
        if not living[kind]:
            yield Trouble(kind, f"no {kind} is alive{_last(beats, kind, now)}: {without}", _start(kind))
        for beat in _silent(beats, living[kind], kind, now):
            since = span((now - beat.at) / 1000)
            yield Trouble(
                kind,
                f"a {kind} has given no sign for {since} (pid {beat.pid} on {beat.host}); alive beside it: "
                f"{len(living[kind])}",
                f"is it frozen? look at its log and restart it; {_start(kind)} if it has ended",
            )
    if living["beat"] and living["sweeper"] and not _ticks(beats, living["sweeper"], now):
        yield Trouble(
            "sweeper",
            f"beat and the sweeper are alive, but no tick arrives{_last(beats, TICK, now)}: {WITHOUT['sweeper']}",
            "look for sweep.missed in the sweeper's log, at the queue callsheet.sweep, and at the clocks of both hosts",
        )


def _start(kind: str) -> str:
    return f"start the {kind} line of the Procfile"


def _last(beats: Sequence[Heartbeat], kind: str, now: int) -> str:
    last = max((beat for beat in beats if beat.kind == kind), key=lambda beat: beat.at, default=None)
    if last is None:
        return " (none has given a sign to this Redis)"
    return f" (the last sign was {span((now - last.at) / 1000)} ago, of pid {last.pid} on {last.host})"


def _silent(beats: Sequence[Heartbeat], living: Sequence[Heartbeat], kind: str, now: int) -> Iterator[Heartbeat]:
    """Processes that fell silent beside others, unless one was started since in their stead."""
    for beat in beats:
        seconds = (now - beat.at) / 1000
        is_replaced = any(other.started_at >= beat.at for other in living)
        if living and beat.kind == kind and SILENT_SECONDS < seconds < REPLACED_SECONDS and not is_replaced:
            yield beat


def _ticks(beats: Sequence[Heartbeat], sweepers: Sequence[Heartbeat], now: int) -> bool:
    """True where a tick has come lately, or the first may still come."""
    times = [beat.at for beat in beats if beat.kind == TICK] + [beat.started_at for beat in sweepers]
    return now - max(times) <= SILENT_SECONDS * 1000
