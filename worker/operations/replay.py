"""Replay: have a callback that was kept looked at again, once more as a hint and never as the truth."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from worker.errors import CallsheetError
from worker.jobs.actor import Actor
from worker.jobs.durations import iso
from worker.operations.activity import logged
from worker.operations.outcome import Outcome, checked_id, found
from worker.providers import event_json
from worker.services import Services
from worker.store import Arrival, Reply, Store, StoredEvent

log = logging.getLogger(__name__)


STRAY_WORDS = {
    "stored": "it is kept and its job is due now",
    "repeat": "it was kept before",
    "noted": "it is no end, and changes nothing",
    "late": "its job needs no callback any more",
    "missing": "there is still no record of its job: callsheet restore brings records back from the bucket",
    "mismatch": "the request id is still not the job's",
    "full": "its job has no room for another candidate now: try again in a minute",
}
USEFUL = ("stored", "repeat", "noted", "late")


@logged("replay")
def replay(
    job_id: str, services: Services, *, event_no: int | None = None, by: Actor | None = None, preview: bool = False
) -> Outcome:
    """Have a stored callback of the job looked at again: the latest that tells an end, or number *event_no* from 1.

    A *preview* says whether it would be, and does nothing. Raises `CallsheetError` where there is no such job, or no
    such callback.
    """
    job = found(services.store.jobs.get(checked_id(job_id)), job_id)
    event = _chosen(job_id, services.store.callbacks.events(job_id), event_no)
    if preview:
        word = services.store.callbacks.recall(job_id, event.fingerprint, preview=True).word
    else:
        word = run(job_id, event.fingerprint, services, by).word
    if word == "applied":
        is_due = "would be due at once, and look" if preview else "is due now and looks"
        words = f"{job_id} {is_due} at what {event.request_id} is said to be"
        return Outcome(job_id, "replayed", words, is_preview=preview)
    why = {
        "late": f"a callback of attempt {event.attempt} can change nothing: {job_id} is {job.held} in its attempt "
        f"{job.attempt}",
        "full": f"{job_id} has no room for another candidate now: try again in a minute",
    }.get(word, f"the callback is no longer kept for {job_id}")
    return Outcome(job_id, word, why, is_done=False, is_preview=preview)


def replay_stray(stray_no: int, services: Services) -> Outcome:
    """Take delivery number *stray_no* (from 1) of those that belonged to no job, as the receiver would now."""
    strays = services.store.callbacks.strays()
    if stray_no > len(strays):
        raise CallsheetError(f"there are {len(strays)} strays: callsheet replay --list")
    stray = strays[stray_no - 1]
    word = run_stray(stray, services).word
    words = f"stray {stray_no}, for {stray['job_id']}: {STRAY_WORDS[word]}"
    return Outcome(str(stray["job_id"]), word, words, is_done=word in USEFUL)


def kept_events(job_id: str, store: Store) -> list[dict[str, Any]]:
    """The callbacks kept for the job, numbered from 1 in the order they came."""
    found(store.jobs.get(checked_id(job_id)), job_id)
    return [
        {
            "n": n,
            "at": iso(event.at),
            "attempt": event.attempt,
            "request_id": event.request_id,
            "says": event_json.load(event.text).status,
        }
        for n, event in enumerate(store.callbacks.events(job_id), 1)
    ]


def kept_strays(store: Store) -> list[dict[str, Any]]:
    """The deliveries that belonged to no job, numbered from 1, the latest first."""
    return [
        {
            "n": n,
            "at": iso(int(stray["at"])),
            "provider": stray["provider"],
            "job_id": stray["job_id"],
            "attempt": stray["attempt"],
            "reason": stray["reason"],
        }
        for n, stray in enumerate(store.callbacks.strays(), 1)
    ]


def run(job_id: str, fingerprint: str, services: Services, by: Actor | None = None) -> Reply:
    """Make the job due for one of its stored callbacks; the words are `Store.callbacks.recall`'s."""
    reply = services.store.callbacks.recall(job_id, fingerprint, by=by)
    log.info("callback.replayed", extra={"job_id": job_id, "outcome": reply.word})
    return reply


def run_stray(stray: Mapping[str, Any], services: Services) -> Arrival:
    """Take a delivery that could not be used when it came, as the receiver would now.

    Its token was checked before it was kept. Raises `CallbackError` when it is
    still no callback.
    """
    job_id, attempt = str(stray["job_id"]), int(stray["attempt"])
    provider = services.providers.get(str(stray["provider"]))
    if provider is None:
        raise CallsheetError(f"provider {stray['provider']} is not configured here")
    event = provider.parse_callback(str(stray["body"]).encode())
    arrival = services.store.callbacks.arrive(
        job_id,
        attempt=attempt,
        request_id=event.request_id,
        fingerprint=event_json.fingerprint(provider.name, event),
        is_terminal=event.is_terminal,
        event_json=event_json.dump(event),
    )
    log.info("stray.replayed", extra={"job_id": job_id, "attempt": attempt, "outcome": arrival.word})
    return arrival


def _chosen(job_id: str, events: tuple[StoredEvent, ...], event_no: int | None) -> StoredEvent:
    if event_no is not None:
        if event_no > len(events):
            raise CallsheetError(f"{job_id} has {len(events)} callbacks kept: callsheet replay {job_id} --list")
        return events[event_no - 1]
    ends = [event for event in events if event.is_terminal]
    if not ends:
        raise CallsheetError(f"no callback that tells an end is kept for {job_id}: it is polled all the same")
    return ends[-1]
