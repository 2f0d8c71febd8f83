"""The timeline of one job as lanes to scale: submit, provider, archive, outputs; places are percent of the width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from worker.jobs.durations import span
from worker.jobs.states import FINAL, JobState
from worker.operations.job_document import Details

LANES = ("submit", "provider", "archive", "outputs")
LANE_OF: dict[str, str] = {
    JobState.ACCEPTED: "submit",
    JobState.SUBMITTING: "submit",
    JobState.UNCONFIRMED: "submit",
    JobState.SUBMITTED: "provider",
    JobState.GENERATED: "archive",
    **dict.fromkeys(FINAL, "outputs"),
}
STEPS_SECONDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800)
MOST_TICKS = 6
AFTER_THE_END = 0.3
"""Of the time to a job's end, as much is drawn after it: late looks go on for days, and would leave nothing to see."""
LEAST_MS = 2000


@dataclass(frozen=True)
class Bar:
    """A stay in one state. `x` and `width` are percent."""

    lane: str
    state: str
    x: float
    width: float
    words: str


@dataclass(frozen=True)
class Mark:
    """Something at one instant: `kind` is callback, act, delivery or failure."""

    lane: str
    kind: str
    x: float
    at: int
    words: str


@dataclass(frozen=True)
class Drawing:
    """The lanes of one job."""

    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    goes_on: bool  # more happens behind the right end


def draw(known: Details) -> Drawing:
    """The drawing of *known*; nothing is asked of anybody."""
    job, now = known.view.job, known.view.now
    stays = list(_stays(known))
    start = min([job.accepted_at, *(since for _, since, _ in stays)])
    last = max([now if job.is_open else 0, *(until for _, _, until in stays), *(h.at for h in known.timeline)])
    ends = [since for state, since, _ in stays if state in FINAL]
    most = ends[-1] + max(LEAST_MS, int(AFTER_THE_END * (ends[-1] - start))) if ends else last
    end = max(start + LEAST_MS, min(last, most))

    def x(at: int) -> float:
        return round(100 * (min(max(at, start), end) - start) / (end - start), 3)

    bars = tuple(
        Bar(LANE_OF[state], state, x(since), max(0.15, round(x(until) - x(since), 3)), _words(state, since, until))
        for state, since, until in stays
        if since <= end
    )
    marks = tuple(Mark(lane, kind, x(at), at, words) for lane, kind, at, words in _events(known) if at <= end)
    return Drawing(bars, marks, tuple(_ticks(end - start)), goes_on=last > end)


def _stays(known: Details) -> Iterator[tuple[str, int, int]]:
    """Each stay in a state: the state, since when, until when."""
    job, now = known.view.job, known.view.now
    moves = [
        (happening.target.partition("(")[0], happening.at) for happening in known.timeline if happening.kind == "move"
    ]
    moves = [move for move in moves if move[0] in LANE_OF] or [(str(job.state), job.state_at)]
    end = job.closed_at or now
    for (state, since), (_, until) in zip(moves, [*moves[1:], ("", max(end, moves[-1][1]))], strict=True):
        yield state, since, until


def _events(known: Details) -> Iterator[tuple[str, str, int, str]]:
    for happening in known.timeline:
        if happening.kind == "callback":
            yield "provider", "callback", happening.at, happening.words
        elif happening.path == "operator":
            yield LANE_OF.get(happening.target.partition("(")[0], "submit"), "act", happening.at, happening.words
    for tried in known.deliveries:
        is_good = tried.get("status") is not None and 200 <= int(tried["status"]) < 300
        words = f"notification: {tried.get('status') or tried.get('error')}, {tried.get('ms')} ms"
        yield "outputs", "delivery" if is_good else "failure", int(tried["at"]), words


def _words(state: str, since: int, until: int) -> str:
    return f"{state} for {span((until - since) / 1000)}"


def _ticks(length_ms: int) -> Iterator[tuple[float, str]]:
    seconds = length_ms / 1000
    step = next((step for step in STEPS_SECONDS if seconds / step <= MOST_TICKS), int(seconds / MOST_TICKS))
    for n in range(int(seconds // step) + 1):
        yield round(100 * n * step / seconds, 3), f"+{span(n * step)}" if n else "0"
