"""Results of jobs for Celery callers: `AsyncResult(job_id)` and one row in Flower stand for a job's whole life.

The task `callsheet.generate` only records the job and then ends without a result;
the result is written here, from the record, when the job is final. Every write
carries when the record entered its state and its version, and an older one never
replaces a newer.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from typing import Any

import redis
from celery import Celery, states
from celery.app.task import Context
from celery.canvas import maybe_signature
from celery.exceptions import BackendError, TaskRevokedError
from kombu.exceptions import LimitExceeded, OperationalError

from worker.errors import JobFailed, ResultError
from worker.jobs.job import Job
from worker.jobs.result import ToldResult, error_of, result_of
from worker.jobs.states import JobState
from worker.messaging import result_entries
from worker.store import Store

log = logging.getLogger(__name__)

GENERATE = "callsheet.generate"

PLAIN = "-"
"""The digest of a request on which nothing hangs."""

TRANSPORT_ERRORS = (redis.RedisError, OperationalError, LimitExceeded, BackendError, OSError)
"""Errors that a later try may mend."""

KEPT = (
    *("id", "task", "root_id", "parent_id", "group", "group_index", "chord", "chain", "callbacks", "errbacks"),
    *("hostname", "delivery_info", "ignore_result", "replaced_task_nesting", "retries", "stamps", "stamped_headers"),
)
"""The fields of a request that finishing its task later needs; never its arguments."""


HUNG = ("group", "chord", "chain", "callbacks", "errbacks")
"""The parts of a request that hang on the job's end: each set of these is told once, whichever message brought it."""


def capture(request: Any) -> str:
    """The parts of a Celery request that the result needs, as a line of JSON, without what every plain request says.

    A request on which something hangs begins with a digest of that, its `canvas`: the same message delivered again is
    known by it, and a chord or chain sent again under the same job id is not taken for the first.
    """
    held = vars(request)
    usual = {"id": held["id"], "task": GENERATE, "root_id": held["id"], "retries": 0, "replaced_task_nesting": 0}
    kept = {
        name: held[name]
        for name in KEPT
        if held.get(name) not in (None, [], {}, usual.get(name)) and held[name] is not False
    }
    hung = json.dumps([kept.get(name) for name in HUNG], sort_keys=True)
    canvas = {"canvas": sha256(hung.encode()).hexdigest()[:16]} if any(name in kept for name in HUNG) else {}
    return json.dumps({**canvas, **kept, "started_at": time.time()}, separators=(",", ":"))


@dataclass(frozen=True)
class _Caller:
    """One Celery request that asked for the job, and what hangs on it."""

    request: Any
    canvas: str  # its digest; "-" for a plain request
    hostname: str
    started_at: float

    @classmethod
    def of(cls, job: Job, saved: Mapping[str, Any]) -> _Caller:
        own = {name: value for name, value in saved.items() if name not in ("canvas", "started_at")}
        request = Context({"id": job.id, "task": GENERATE, "root_id": job.id, **own})
        started_at = saved.get("started_at", job.accepted_at / 1000)
        return cls(request, saved.get("canvas", PLAIN), saved.get("hostname", "callsheet"), started_at)


class CeleryResults:
    """Writes results to Celery's Redis backend and events to Flower."""

    def __init__(self, app: Celery, store: Store) -> None:
        self._app = app
        self._store = store

    def started(self, job: Job) -> None:
        """Show an open job as STARTED; a result that cannot be written now is no reason to stop."""
        meta = {"state": str(job.state), "progress": job.progress, "provider": job.provider}
        try:
            self._write(job, states.STARTED, meta, Context({"id": job.id}))
        except Exception as err:  # noqa: BLE001  redis-py's and kombu's errors alike: the next write repairs it
            log.warning("progress.untold", extra={"job_id": job.id, "reason": type(err).__name__})

    def tell(self, job: Job) -> None:
        """Write a final job's result and start what the caller chained to it.

        Safe to repeat; the caller's own callbacks are sent at least once, like Celery's.
        Raises `ResultError`: then it stays owed.
        """
        try:
            self._tell(job)
        except TRANSPORT_ERRORS as err:
            raise ResultError(f"the result of job {job.id} was not taken ({type(err).__name__})") from err

    def told(self, job_ids: Sequence[str]) -> dict[str, ToldResult]:
        """The result of each job whose caller was told one by us; raises `ResultError` when that cannot be read now."""
        try:
            return result_entries.told(self._backend, job_ids)
        except TRANSPORT_ERRORS as err:
            raise ResultError(f"results cannot be read ({type(err).__name__})") from err

    def refuse(self, request: Any, reason: Exception) -> None:
        """Tell what the sender hung on a message that is refused: errbacks, chord and chain hear *reason*.

        The result under its id is the first job's, and stays. Best effort: there is no record that could be told again.
        """
        chain, request.chain = request.chain, None
        try:
            self._backend._fail_chain(chain, reason, state=states.FAILURE)
            self._backend.mark_as_failure(request.id, reason, request=request, store_result=False)
        except Exception as err:  # noqa: BLE001  a sender may write anything there, and the transport may fail
            log.warning("refusal.untold", extra={"job_id": request.id, "reason": type(err).__name__})

    def _tell(self, job: Job) -> None:
        # without any: a job recorded by the client, whose message never came
        saved = [json.loads(line) for line in self._store.history.requests(job.id)] or [{}]
        callers = [_Caller.of(job, request) for request in saved]
        if job.state is JobState.ARCHIVED:
            self._succeed(job, callers)
        elif job.state is JobState.CANCELLED:
            self._revoke(job, callers)
        else:
            self._fail(job, callers)

    def _succeed(self, job: Job, callers: Sequence[_Caller]) -> None:
        has_canvas = any(caller.request.callbacks or caller.request.chain for caller in callers)
        told = result_entries.held(self._backend, job.id) if has_canvas else {}
        if result_entries.age(told) > (job.state_at, job.ver):
            return
        result = result_of(job, self._store.history.spec_json(job.id))
        children: list[Any] = []
        for caller in _untold(job, callers, "success"):
            if not (caller.request.callbacks or caller.request.chain):
                continue
            with _their_canvas(job):
                self._send_callbacks(job, caller.request, result)
            children += self._backend.current_task_children(caller.request)
            job = self._note_told(job, caller, "success")
        children = [*(told.get("children") or ()), *children]
        first = callers[0]
        if not self._write(job, states.SUCCESS, result, first.request, children):
            return
        for caller in callers:
            with _their_canvas(job):
                self._backend.mark_as_done(job.id, result, request=caller.request, store_result=False)
        self._event(job, first, "task-succeeded", result=json.dumps([video["uri"] for video in result["videos"]]))

    def _fail(self, job: Job, callers: Sequence[_Caller]) -> None:
        error = error_of(job)
        assert error is not None, "a job without a video says why"
        failure = JobFailed(error.code, error.message, error.stage)
        if not self._write(job, states.FAILURE, failure, callers[0].request):
            return
        for caller in _untold(job, callers, "failure"):
            self._end_chain(job, caller.request, failure, states.FAILURE)
            with _their_canvas(job):
                self._backend.mark_as_failure(job.id, failure, request=caller.request, store_result=False)
            job = self._note_told(job, caller, "failure")
        self._event(job, callers[0], "task-failed", exception=repr(failure), traceback=None)

    def _revoke(self, job: Job, callers: Sequence[_Caller]) -> None:
        cancelled = TaskRevokedError("cancelled")
        if not self._write(job, states.REVOKED, cancelled, callers[0].request):
            return
        for caller in _untold(job, callers, "revoked"):
            self._end_chain(job, caller.request, cancelled, states.REVOKED)
            with _their_canvas(job):
                self._backend.mark_as_revoked(job.id, "cancelled", request=caller.request, store_result=False)
            job = self._note_told(job, caller, "revoked")
        self._event(job, callers[0], "task-revoked", terminated=False, signum=None, expired=False)

    def _note_told(self, job: Job, caller: _Caller, word: str) -> Job:
        """Note that what hangs on a caller's request has been told *word*; the record as it is then."""
        before = job.told if job.told.split(" ")[0] == word else word
        told = f"{before} {caller.canvas}"
        self._store.jobs.note(job.id, told=told)
        return replace(job, told=told)

    def _send_callbacks(self, job: Job, request: Any, result: Mapping[str, Any]) -> None:
        """Do what Celery does when a task returns, in its order: links, then the next of the chain."""
        options = {"parent_id": request.id, "root_id": request.root_id or request.id}
        for callback in request.callbacks or ():
            with _their_canvas(job):
                request.children.append(self._signature(callback).apply_async((result,), **options))
        if request.chain:
            following = self._signature(request.chain[-1])
            request.children.append(following.apply_async((result,), chain=request.chain[:-1], **options))

    def _end_chain(self, job: Job, request: Any, reason: Exception, state: str) -> None:
        """Tell whoever waits for the end of the chain that it never comes.

        Celery does so only along with its own write of the task's result, which has no version.
        """
        chain, request.chain = request.chain, None
        with _their_canvas(job):
            self._backend._fail_chain(chain, reason, state=state)

    def _signature(self, saved: Any) -> Any:
        return maybe_signature(saved, app=self._app)

    def _write(self, job: Job, state: str, result: Any, request: Any, children: Any = None) -> bool:
        """Write a result unless a newer one stands, of which the reply tells: then nothing else of this one is done.

        *children* are those of an earlier write, for when this one starts none itself.
        """
        backend = self._backend
        encoded = backend.encode_result(result, state)
        entry = backend._get_result_meta(result=encoded, state=state, traceback=None, request=request)
        entry |= {"task_id": job.id, "callsheet_at": job.state_at, "callsheet_ver": job.ver}
        entry["children"] = children or []
        seconds = int(backend.expires or 0) or 1
        args = [backend.encode(entry), job.state_at, job.ver, seconds]
        outcome = self._script(keys=[backend.get_key_for_task(job.id)], args=args)
        return bool(outcome != "newer" and outcome != b"newer")

    @cached_property
    def _script(self) -> Any:
        text = files("worker.messaging").joinpath("result.lua").read_text()
        return self._backend.client.register_script(text)

    @cached_property
    def _backend(self) -> Any:  # celery-types knows no Redis backend
        """One for all threads: Celery would make one, with connections of its own, for each."""
        return self._app.backend

    def _event(self, job: Job, caller: _Caller, kind: str, **fields: Any) -> None:
        """Tell Flower, in the name of the worker that started the task; whole, in case it forgot the row."""
        started_at = caller.started_at
        same = {"name": GENERATE, "args": "()", "kwargs": "<spec>", "received": started_at, "started": started_at}
        try:
            with self._app.events.default_dispatcher(hostname=caller.hostname) as dispatcher:
                runtime = time.time() - started_at
                dispatcher.send(kind, uuid=job.id, retry=False, runtime=runtime, **same, **fields)
        except Exception as err:  # noqa: BLE001  whatever the transport raises: Flower is a window, not a promise
            log.warning("event.unsent", extra={"job_id": job.id, "reason": type(err).__name__})


def _untold(job: Job, callers: Sequence[_Caller], word: str) -> list[_Caller]:
    """Those on whose requests hangs what was not told *word* yet."""
    told, *canvases = job.told.split(" ")
    return [caller for caller in callers if told != word or caller.canvas not in canvases]


@contextmanager
def _their_canvas(job: Job) -> Iterator[None]:
    """For what the caller hung on the task: what Celery cannot understand of it is left out, and holds up no job."""
    try:
        yield
    except TRANSPORT_ERRORS:
        raise
    except Exception as err:  # noqa: BLE001  a caller may write anything there
        log.error("canvas.broken", extra={"job_id": job.id, "reason": type(err).__name__})
