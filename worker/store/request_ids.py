"""The index of request ids: which job each belongs to, at each provider."""

from __future__ import annotations

from worker.store.jobs import Jobs
from worker.store.lifetimes import Lifetimes
from worker.store.scripts import Scripts


class RequestIds:
    """The request ids of one store."""

    def __init__(self, scripts: Scripts, lifetimes: Lifetimes, jobs: Jobs) -> None:
        self._scripts = scripts
        self._keys = scripts.keys
        self._lifetimes = lifetimes
        self._jobs = jobs

    def owner(self, provider: str, request_id: str) -> str | None:
        """The job that owns *request_id* of *provider*; None where none does."""
        return self._scripts.text_at(self._keys.request(provider, request_id))

    def own(self, job_id: str, provider: str, request_id: str) -> str:
        """The job that owns *request_id*: this one, unless another one may be (or become) bound to it."""
        key = self._keys.request(provider, request_id)
        owner = str(self._scripts.run("own", [key], [job_id, "", self._lifetimes.request_id_ms]))
        if owner != job_id and self._is_void(owner, request_id):
            owner = str(self._scripts.run("own", [key], [job_id, owner, self._lifetimes.request_id_ms]))
        return owner

    def _is_void(self, owner: str, request_id: str) -> bool:
        """Whether *owner* can never be bound to *request_id*: each of its attempts has another one."""
        job = self._jobs.get(owner)
        if job is None:
            return False
        known = [job.request_ids.get(attempt) for attempt in range(1, job.attempt + 1)]
        return None not in known and request_id not in known
