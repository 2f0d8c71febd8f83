"""Callbacks as they arrive, and what becomes of those that were kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from worker.jobs.actor import Actor, given_by
from worker.jobs.states import JobState
from worker.store.move_arguments import ASKING, BINDING, LISTENING, REVIVING, ROOM, read_reply
from worker.store.replies import Arrival, Reply, StoredEvent
from worker.store.scripts import Scripts, store_errors

ORPHANED_MS = 30 * 24 * 60 * 60 * 1000
"""The life of the ids of a job without a record: longer than any link's."""
MAX_STRAYS = 200
REPLAY_MS = 2 * 5 * 60 * 1000
"""The time for which a signed callback is remembered: as long as its timestamp can be good, from either side."""


class Callbacks:
    """Writes and reads of stored callbacks."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._keys = scripts.keys

    def arrive(
        self,
        job_id: str,
        *,
        attempt: int,
        request_id: str | None = None,
        fingerprint: str = "",
        is_terminal: bool = False,
        event_json: str = "",
    ) -> Arrival:
        """Keep one arrival of a callback and make its job due; the words are `Arrival`'s.

        Without *request_id*, only its URL could be read: nothing is kept, and the job made due.
        One for a job without a record or tombstone, which Redis has lost, is kept for when the job is accepted again.
        An arrival that brings nothing new makes its job due at most once a minute; so does one of an older attempt for
        which there is no room, as the requests named before may prove to be none of that attempt's.
        """
        event = {"request_id": request_id, "fingerprint": fingerprint, "is_terminal": is_terminal}
        given = {
            "attempt": attempt,
            "listening": ",".join(LISTENING),
            "binding": ",".join(BINDING),
            "reviving": ",".join(REVIVING),
            "asking": ",".join(ASKING),
            "orphaned_ms": ORPHANED_MS,
            **ROOM,
            **(event if request_id else {}),
        }
        word, *known = self._scripts.run_on_job("arrive", job_id, given, event_json, durable=True)
        if not known:
            return Arrival(word, None)
        state, provider, is_due = known
        return Arrival(word, JobState(state), provider, is_due == 1)

    def was_delivered(self, digest: str) -> bool:
        """Whether a signed callback was taken before, by the digest of its event and bytes."""
        with store_errors():
            return bool(self._scripts.client.exists(self._keys.delivered(digest)))

    def remember_delivery(self, digest: str) -> None:
        """Note that a signed callback was taken: a replay of it takes no effect while its signature is good."""
        with store_errors():
            self._scripts.client.set(self._keys.delivered(digest), "", px=REPLAY_MS)

    def recall(self, job_id: str, fingerprint: str, *, by: Actor | None = None, preview: bool = False) -> Reply:
        """Have a stored callback looked at again; a *preview* gives the same answer and changes nothing.

        `late`: it is of another attempt, or the job needs no callback any more. `gone`: it is not kept.
        `full`: there is no room for another candidate.
        """
        given = {
            "fingerprint": fingerprint,
            "listening": ",".join(LISTENING),
            "binding": ",".join(BINDING),
            "max_candidates": ROOM["max_candidates"],
            "detail": "a callback that was kept is looked at again",
            "preview": preview,
            **given_by(by),
        }
        return read_reply(job_id, self._scripts.run_on_job("recall", job_id, given, durable=not preview))

    def contradict(self, job_id: str, *, seen_until: int | None = None) -> int:
        """Count and forget the callbacks that the provider's own answer denied; returns the job's contradictions.

        Callbacks stored after *seen_until* (the claim's `now`) were not there to be denied.
        """
        given = {"seen_until": 2**53 if seen_until is None else seen_until}
        return int(self._scripts.run_on_job("contradict", job_id, given))

    def deny_candidate(self, job_id: str, request_id: str, *, attempt: int) -> bool:
        """Note that the provider does not know a candidate (yet): it stays, but a newcomer may take its place.

        So do the callbacks kept of an older *attempt* that name it.
        """
        return bool(self._scripts.run_on_job("deny", job_id, {"request_id": request_id, "attempt": attempt}))

    def drop_candidate(self, job_id: str, request_id: str) -> bool:
        """Forget a request id that is not the job's, with the callbacks that named it."""
        return bool(self._scripts.run_on_job("drop_candidate", job_id, {"request_id": request_id}))

    def candidates(self, job_id: str) -> dict[str, int]:
        """Request ids that only callbacks have named -> when first, Unix ms; the oldest first."""
        kept = self._scripts.hash_at(self._keys.of(job_id)[2])
        seen = {request_id: int(value.partition(" ")[0]) for request_id, value in kept.items()}
        return dict(sorted(seen.items(), key=lambda item: item[1]))

    def events(self, job_id: str) -> tuple[StoredEvent, ...]:
        """The callbacks kept, in the order they came."""
        return read_events(self._scripts.hash_at(self._keys.of(job_id)[3]))

    def keep_stray(self, stray: Mapping[str, Any]) -> None:
        """Keep something unusable for the operator; the latest 200 are kept."""
        with store_errors():
            pipeline = self._scripts.client.pipeline(transaction=True)
            pipeline.lpush(self._keys.strays(), json.dumps(stray))
            pipeline.ltrim(self._keys.strays(), 0, MAX_STRAYS - 1)
            pipeline.execute()

    def strays(self) -> list[dict[str, Any]]:
        """The bodies that `keep_stray` kept, the latest first."""
        with store_errors():
            return [json.loads(stray) for stray in self._scripts.client.lrange(self._keys.strays(), 0, -1)]


def read_events(kept: Mapping[str, str]) -> tuple[StoredEvent, ...]:
    """The events of a job's hash, in the order they came."""
    return tuple(sorted((_event(*item) for item in kept.items()), key=lambda event: event.at))


def _event(fingerprint: str, value: str) -> StoredEvent:
    head, _, text = value.partition("\n")
    terminal, attempt, at, named = head.split(" ", 3)
    request_id, is_denied = json.loads(named.removesuffix(" denied")), named.endswith(" denied")
    return StoredEvent(fingerprint, int(at), int(attempt), request_id, terminal == "1", text, is_denied)
