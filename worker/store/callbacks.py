"""Callbacks as they arrive, and what becomes of those that were kept."""

from __future__ import annotations

from worker.jobs.states import JobState
from worker.store.due_index import Index
from worker.store.move_arguments import BINDING, LISTENING, REVIVING, ROOM
from worker.store.replies import Arrival

ORPHANED_MS = 30 * 24 * 60 * 60 * 1000
"""The life of the ids of a job without a record: longer than any link's."""


class Arrivals(Index):
    """Writes and reads of stored callbacks."""

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
        An arrival that brings nothing new makes its job due at most once a minute.
        """
        event = {"request_id": request_id, "fingerprint": fingerprint, "is_terminal": is_terminal}
        given = {
            "attempt": attempt,
            "listening": ",".join(LISTENING),
            "binding": ",".join(BINDING),
            "reviving": ",".join(REVIVING),
            "orphaned_ms": ORPHANED_MS,
            **ROOM,
            **(event if request_id else {}),
        }
        word, *known = self._run("arrive", job_id, given, event_json, durable=True)
        if not known:
            return Arrival(word, None)
        state, provider, is_due = known
        return Arrival(word, JobState(state), provider, is_due == 1)

    def contradict(self, job_id: str, *, seen_until: int | None = None) -> int:
        """Count and forget the callbacks that the provider's own answer denied; returns the job's contradictions.

        Callbacks stored after *seen_until* (the claim's `now`) were not there to be denied.
        """
        given = {"seen_until": 2**53 if seen_until is None else seen_until}
        return int(self._run("contradict", job_id, given))

    def deny_candidate(self, job_id: str, request_id: str) -> bool:
        """Note that the provider does not know a candidate (yet): it stays, but a newcomer may take its place."""
        return bool(self._run("deny", job_id, {"request_id": request_id}))

    def drop_candidate(self, job_id: str, request_id: str) -> bool:
        """Forget a request id that is not the job's, with the callbacks that named it."""
        return bool(self._run("drop_candidate", job_id, {"request_id": request_id}))
