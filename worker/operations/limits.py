"""The state of the providers' rate limits and circuit breakers, in words and as data."""

from __future__ import annotations

from typing import Any

from worker.jobs.durations import iso, moment
from worker.jobs.rate_limits import Lane, Limits, Standing, in_words


def sentence(standing: Standing) -> str:
    """One provider's limits, whether or not anything is held back."""
    limits = standing.limits
    jobs = (
        f"{standing.occupied} jobs"
        if limits.max_concurrent is None
        else f"{standing.occupied} of {limits.max_concurrent} jobs"
    )
    calls = f"{standing.submit.calls} POSTs and {standing.poll.calls} GETs in the last minute"
    most = f" of {limits.per_minute}" if limits.per_minute else ""
    waiting = f"; waiting to be sent: {standing.submit.waiting}, to be polled: {standing.poll.waiting}"
    shown = waiting if standing.submit.waiting or standing.poll.waiting else ""
    return f"it has {jobs}; {calls}{most}{shown}"


def held_back(standing: Standing) -> list[str]:
    """A sentence for each limit that keeps requests from beginning now."""
    lanes = (("POSTs", standing.submit), ("GETs", standing.poll))
    return [_reason(what, lane, standing.limits) for what, lane in lanes if lane.refusal or lane.open_why]


def is_trouble(standing: Standing) -> bool:
    """True where the provider itself holds us back, not a limit of our own."""
    lanes = (standing.submit, standing.poll)
    return any(lane.open_why or (lane.refusal and lane.refusal.why == "asked_to_wait") for lane in lanes)


def document(standing: Standing) -> dict[str, Any]:
    """One provider's limits for a program."""
    limits = standing.limits
    return {
        "occupied": standing.occupied,
        "max_concurrent": limits.max_concurrent,
        "requests_per_minute": limits.per_minute,
        "spent_today": f"{standing.spent:f}",
        "daily_budget": None if limits.caps.daily is None else f"{limits.caps.daily:f}",
        "submit": _lane(standing.submit),
        "poll": _lane(standing.poll),
    }


def _lane(lane: Lane) -> dict[str, Any]:
    return {
        "calls": lane.calls,
        "failures": lane.failures,
        "waiting": lane.waiting,
        "held_back_by": lane.refusal.why if lane.refusal else None,
        "until": iso(lane.refusal.until) if lane.refusal and lane.refusal.until else None,
        "breaker": lane.open_why or None,
    }


def _reason(what: str, lane: Lane, limits: Limits) -> str:
    if lane.open_why:
        since = f" since {moment(lane.open_since)}" if lane.open_since else ""
        wait = f"{what} to {limits.provider} wait: its breaker is open{since} ({lane.open_why})"
        return f"{wait}, one is let through every 10 s"
    assert lane.refusal is not None
    return f"{what} to {limits.provider} wait for {in_words(lane.refusal, limits)}"
