"""The store as plain Python: what design sections 1 to 3 say of one job's record, without Redis.

The Hypothesis machine runs it beside the real store and fails at the first
difference. It is written from the design, not from the scripts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from worker.jobs.states import FAILS, FINAL, RETRIES, REVISITED, SOURCES, UNPAID, JobState

S = JobState
BINDING = {"accepted", "submitting", "unconfirmed", "failed(confirm)"}
REVIVING = {"expired", "failed(generate)", "failed(archive)"}
ASKING = {"accepted", "submitting", "unconfirmed", "submitted", *RETRIES[S.ACCEPTED]}
RETENTION = 1_000_000
MAX_CANDIDATES, MAX_EVENTS, MAX_OLD_EVENTS, MAX_CONTRADICTIONS = 8, 16, 8, 3
MINUTE, DAY = 60_000, 86_400_000
LONGEST_REST, FARTHEST_TRY = 120 * MINUTE, 300 * MINUTE


@dataclass
class Event:
    attempt: int
    request_id: str
    is_terminal: bool
    at: int
    is_denied: bool = False


@dataclass
class Candidate:
    """A request id that callbacks alone have named."""

    seen_at: int
    is_denied: bool = False


@dataclass
class Record:
    """One job: what the store's hash, candidates, events and due entry say together."""

    spec: str
    due_at: int | None
    state: JobState = S.ACCEPTED
    stage: str = ""
    ver: int = 1
    attempt: int = 1
    try_no: int = 0
    lease: str = ""
    lease_until: int = 0
    call: str = ""
    woken_at: int = 0
    woken_from: int | None = None
    nudges: int = 0
    progress: int = 0
    contradictions: int = 0
    told_ver: int = 0
    manifest_ver: int | None = None
    notified_ver: int | None = None  # None: no notification is wanted
    next_try: tuple[int, int] = (0, 0)  # of which version, and when it is planned
    dead_ver: int = 0
    look_until: int = 0
    closed: bool = False
    request_ids: dict[int, str] = field(default_factory=dict)
    ended: dict[int, str] = field(default_factory=dict)
    candidates: dict[str, Candidate] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)

    @property
    def word(self) -> str:
        return f"{self.state}({self.stage})" if self.stage else str(self.state)

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def is_written(self) -> bool:
        """Whether result and manifest are of the present version."""
        return self.told_ver == self.ver and self.manifest_ver in (None, self.ver)

    def next_look(self, now: int, rest_in_ms: int) -> int | None:
        """When somebody must look again at a final job that is written; None: never."""
        looks = [now + rest_in_ms] if self.look_until > now else []
        if self.notified_ver is not None and self.notified_ver < self.ver and self.dead_ver != self.ver:
            ver, at = self.next_try
            is_planned = ver == self.ver and at <= now + FARTHEST_TRY
            looks += [at if is_planned else now, now + LONGEST_REST]
        return min(looks, default=None)

    def leased(self, now: int) -> bool:
        return bool(self.lease) and self.lease_until > now

    def release(self) -> None:
        self.lease, self.lease_until = "", 0

    def reopen(self, now: int) -> None:
        self.closed = False
        if not self.leased(now):
            self.due_at = now

    def wake(self, now: int) -> None:
        self.call, self.nudges, self.woken_at = "new", 0, now
        self.reopen(now)

    def wake_once_a_minute(self, now: int) -> None:
        if self.woken_at > now:
            return
        if self.woken_at + MINUTE <= now:
            self.wake(now)
            return
        self.woken_at += MINUTE
        if self.closed:
            self.reopen(now)
            self.due_at = self.woken_at
        self.keep_promise(now)

    def keep_promise(self, now: int) -> None:
        """A look that was promised to a callback is not put off by what a step sets."""
        if self.due_at is not None and now < self.woken_at < self.due_at and not self.leased(now):
            self.due_at = self.woken_at


@dataclass
class Model:
    """Every job and the owner of every request id."""

    jobs: dict[str, Record] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    early: dict[str, Record] = field(default_factory=dict)  # of callbacks alone: their jobs have no record yet

    def accept(self, job_id: str, spec: str, now: int, *, notifies: bool) -> str:
        if job_id in self.jobs:
            return "repeat" if self.jobs[job_id].spec == spec else "conflict"
        self.jobs[job_id] = job = Record(spec, due_at=now, notified_ver=0 if notifies else None)
        if job_id in self.early:
            job.candidates, job.events = self.early[job_id].candidates, self.early[job_id].events
            job.wake(now)
        return "applied"

    def claim(self, job_id: str, states: set[JobState], lease_ms: int, now: int, *, only_due: bool, nonce: str) -> bool:
        """Whether the claim is granted, under the token *nonce*."""
        job = self.jobs.get(job_id)
        if job is None or job.closed or job.leased(now) or job.state not in states:
            return False
        if only_due and not job.nudges and (job.due_at or 0) > now:
            return False
        job.lease, job.lease_until = nonce, now + lease_ms
        job.due_at = job.lease_until
        if job.call:
            job.call = "seen"
        job.woken_from = None
        return True

    def renew(self, job_id: str, token: str, lease_ms: int, now: int) -> bool:
        job = self.jobs[job_id]
        if job.lease != token or not job.leased(now):
            return False
        job.lease_until = job.due_at = now + lease_ms
        return True

    def rest(self, job_id: str, token: str, due_in_ms: int, progress: int, now: int, *, attempt: int) -> str:
        job = self.jobs[job_id]
        is_news = attempt == job.attempt and self._keep_progress(job, progress, now)
        if job.lease != token:
            return "late"
        job.release()
        job.nudges = 0
        if job.call == "seen":
            job.call = ""
        job.due_at = now if job.call or (is_news and job.is_final) else now + due_in_ms
        job.keep_promise(now)
        return "applied"

    def move(
        self,
        job_id: str,
        to: JobState,
        now: int,
        *,
        stage: str = "",
        attempt: int = 1,
        try_no: int | None = None,
        lease: str | None = None,
        due_in_ms: int = 0,
        look_until: int = 0,
        owes_manifest: bool = False,
        request_id: str = "",
    ) -> str:
        job = self.jobs[job_id]
        if request_id:
            if any(known == request_id for n, known in job.request_ids.items() if n != attempt):
                return "taken"
            if job.request_ids.get(attempt, request_id) != request_id:
                return "late"
        lost = lease is not None and not (job.lease == lease and job.leased(now))
        says_unpaid = to in (S.SUBMITTING, S.CANCELLED) or (stage == "submit" and lease is not None)
        paid_already = says_unpaid and bool(job.candidates or attempt in job.request_ids)
        before, ver = job.word, job.ver
        if request_id and attempt not in job.request_ids:
            job.request_ids[attempt] = request_id
            job.ver += 1
            if job.is_final:
                job.reopen(now)
        if attempt != job.attempt:
            return "late"
        if job.state is to:
            return "repeat"
        if (
            before not in (FAILS[stage] if stage else SOURCES[to])
            or (try_no is not None and try_no != job.try_no)
            or lost
            or paid_already
        ):
            return "late"
        job.ver = ver + 1
        self._enter(job, to, now, stage=stage, lease=lease, due_in_ms=due_in_ms, look_until=look_until)
        if owes_manifest:
            job.manifest_ver = 0
        return "applied"

    def try_again(self, job_id: str, now: int, *, attempt: int, pay_again: bool) -> str:
        job = self.jobs[job_id]
        if attempt != job.attempt or job.word not in RETRIES[S.ACCEPTED]:
            return "late"
        if job.call or job.candidates:
            return "asking"
        if not pay_again and (job.request_ids or not {job.word, *job.ended.values()} <= UNPAID):
            return "paid"
        job.ended[job.attempt] = job.word
        job.attempt += 1
        job.state, job.stage, job.ver = S.ACCEPTED, "", job.ver + 1
        job.try_no = job.progress = job.contradictions = job.nudges = job.look_until = 0
        job.manifest_ver = None
        job.release()
        job.reopen(now)
        order = sorted(job.events, key=lambda name: (not job.events[name].is_terminal, -job.events[name].at, name))
        job.events = {name: job.events[name] for name in order[:MAX_OLD_EVENTS]}
        return "applied"

    def bind(self, job_id: str, request_id: str, now: int, *, attempt: int, due_in_ms: int) -> str:
        owner = self.owners.get(request_id, job_id)
        if owner != job_id:
            known = self.jobs[owner].request_ids if owner in self.jobs else {}
            attempts = range(1, self.jobs[owner].attempt + 1) if owner in self.jobs else range(0)
            is_void = bool(known) and all(n in known for n in attempts) and request_id not in known.values()
            if not is_void:
                return "taken"
        self.owners[request_id] = job_id
        return self.move(job_id, S.SUBMITTED, now, attempt=attempt, due_in_ms=due_in_ms, request_id=request_id)

    def arrive(self, job_id: str, name: str, event: Event, now: int) -> str:
        job = self.jobs.get(job_id)
        if job is None:
            self._arrive_early(job_id, name, event, now)
            return "missing"
        bound, is_new = job.request_ids.get(event.attempt), name not in job.events
        is_trusted = job.contradictions < MAX_CONTRADICTIONS
        is_listening = event.attempt == job.attempt and job.word in BINDING | REVIVING | {"submitted"}
        if bound is not None and bound != event.request_id:
            if is_listening and is_trusted:
                job.wake_once_a_minute(now)
            return "mismatch"
        if event.attempt != job.attempt:
            if not is_new or self._store_older(job, name, event):
                return "late"
            if job.closed or job.word not in ASKING:
                return "full"
            due_at, woken_at = job.due_at, job.woken_at
            job.wake_once_a_minute(now)
            if job.woken_at != woken_at and job.woken_from is None:
                job.woken_from = due_at
            return "full"
        if not is_listening or (bound is None and job.word not in BINDING):
            return "late"
        if bound is None:
            brings_more = event.request_id not in job.candidates and len(job.candidates) < MAX_CANDIDATES
            if not self._keep_candidate(job, event.request_id, now):
                return "full"
        elif not event.is_terminal:
            if is_trusted:
                job.wake_once_a_minute(now)
            return "noted"
        else:
            endings = [kept for kept in job.events.values() if kept.attempt == job.attempt and kept.is_terminal]
            brings_more = is_new and is_trusted and not endings
        if is_new:
            self._store(job, name, event)
        if brings_more:
            job.wake(now)
        elif bound is None or (is_trusted and (is_new or job.word not in REVIVING)):
            job.wake_once_a_minute(now)
        return "stored" if is_new else "repeat"

    def arrive_unread(self, job_id: str, attempt: int, now: int) -> str:
        job = self.jobs.get(job_id)
        if job is None:
            return "missing"
        if attempt != job.attempt or job.word not in BINDING | REVIVING | {"submitted"}:
            return "late"
        if job.contradictions < MAX_CONTRADICTIONS:
            job.wake_once_a_minute(now)
        return "unread"

    def contradict(self, job_id: str, seen_until: int) -> int:
        job = self.jobs[job_id]
        denied = [
            name
            for name, event in job.events.items()
            if event.attempt == job.attempt and event.is_terminal and event.at <= seen_until
        ]
        for name in denied:
            del job.events[name]
        job.contradictions += bool(denied)
        return job.contradictions

    def drop_candidate(self, job_id: str, request_id: str) -> bool:
        job = self.jobs[job_id]
        self._forget(job, lambda event: event.request_id == request_id)
        known = request_id in job.candidates
        job.candidates.pop(request_id, None)
        return known

    def deny_candidate(self, job_id: str, request_id: str, attempt: int) -> bool:
        job = self.jobs[job_id]
        if attempt != job.attempt:
            named = [kept for kept in job.events.values() if (kept.attempt, kept.request_id) == (attempt, request_id)]
            for event in named:
                event.is_denied = True
            return bool(named)
        candidate = self.jobs[job_id].candidates.get(request_id)
        if candidate is not None:
            candidate.is_denied = True
        return candidate is not None

    def delivered(self, job_id: str, ver: int, outputs: str, rest_in_ms: int, now: int) -> str:
        job = self.jobs[job_id]
        if ver != job.ver or not job.is_final:
            if outputs == "manifest" and (job.manifest_ver or 0) > ver:
                job.manifest_ver = 0
                job.reopen(now)
            return "late"
        if job.closed:
            return "repeat"
        if outputs == "result":
            job.told_ver = ver
        if outputs == "manifest" and job.manifest_ver is not None:
            job.manifest_ver = ver
        if outputs == "" and job.call == "seen":
            job.call = ""
        if job.told_ver < ver or (job.manifest_ver is not None and job.manifest_ver < ver):
            if not job.leased(now):
                job.due_at = now
        elif job.call or job.candidates:
            if job.lease:
                job.release()
                job.due_at, job.nudges = now, 0
        else:
            self._look_on(job, job.next_look(now, rest_in_ms), now)
        return "applied"

    def retell(self, job_id: str, ver: int, now: int) -> str:
        job = self.jobs[job_id]
        if ver != job.ver or not job.is_final:
            return "late"
        job.ver += 1
        if job.notified_ver == ver:
            job.notified_ver = job.ver
        if job.dead_ver == ver:
            job.dead_ver = job.ver
        job.reopen(now)
        job.keep_promise(now)
        return "applied"

    def notified(self, job_id: str, ver: int, outcome: str, token: str, wait_ms: int, rest_in_ms: int, now: int) -> str:
        job = self.jobs[job_id]
        is_current = ver == job.ver and job.is_final
        if is_current and job.notified_ver is not None:
            if outcome == "delivered":
                job.notified_ver, job.next_try, job.dead_ver = ver, (0, 0), 0
            elif outcome == "dead":
                job.dead_ver, job.next_try = ver, (0, 0)
            elif outcome == "again":
                job.next_try = ver, now + wait_ms
        if not job.closed and job.is_final and (not job.leased(now) or job.lease == token):
            look_at = job.next_look(now, rest_in_ms)
            if job.call or job.candidates or not is_current:
                look_at = now
            elif not job.is_written:
                look_at = now + wait_ms
            self._look_on(job, look_at, now)
        return "applied" if is_current else "late"

    def hold_notification(self, job_id: str, ver: int, hold_ms: int, now: int) -> str:
        job = self.jobs[job_id]
        if not job.closed and job.is_final and not job.leased(now) and job.is_written and not job.call:
            job.due_at, job.nudges = now + hold_ms, 0
            job.keep_promise(now)
        return "applied" if ver == job.ver and job.is_final else "late"

    def _look_on(self, job: Record, look_at: int | None, now: int) -> None:
        """End whatever claim there is; the job is due then, or closed."""
        job.release()
        job.closed = look_at is None
        job.due_at, job.nudges = look_at, 0
        job.keep_promise(now)

    def nudge(self, job_id: str, now: int) -> bool:
        job = self.jobs[job_id]
        if job.due_at is None or job.due_at > now:
            return False
        job.due_at = now + min(300_000, 15_000 * 2**job.nudges)
        job.nudges += 1
        return True

    def _enter(
        self, job: Record, to: JobState, now: int, *, stage: str, lease: str | None, due_in_ms: int, look_until: int
    ) -> None:
        job.state, job.stage, job.nudges, job.closed = to, stage, 0, False
        job.look_until = look_until if to in FINAL else 0
        if to in (S.FAILED, S.EXPIRED):
            asked = [RETENTION] if not REVISITED.isdisjoint(job.ended.values()) else []
            asked += [DAY] if "failed(generate)" in job.ended.values() else []
            job.look_until = max(job.look_until, *(now + longest for longest in asked), 0)
        job.manifest_ver = None
        job.due_at = now + due_in_ms
        if to is S.SUBMITTING:
            job.try_no += 1
            job.due_at = job.lease_until
        else:
            job.release()
        if job.word in BINDING | REVIVING:
            if lease is not None and job.call == "seen":
                job.call = ""
            if job.call and to is not S.SUBMITTING:
                job.due_at = now
        else:
            job.call = ""
            job.candidates.clear()
        if to is S.SUBMITTED:
            own = job.request_ids.get(job.attempt, "")
            self._forget(job, lambda event: event.request_id != own)
            if any(event.attempt == job.attempt and event.is_terminal for event in job.events.values()):
                job.due_at = now
        job.keep_promise(now)

    def _keep_progress(self, job: Record, progress: int, now: int) -> bool:
        if progress <= job.progress:
            return False
        job.progress = progress
        job.ver += 1
        if job.is_final:
            job.reopen(now)
        return True

    def _arrive_early(self, job_id: str, name: str, event: Event, now: int) -> None:
        kept = self.early.setdefault(job_id, Record("", None))
        kept.attempt = event.attempt
        if self._keep_candidate(kept, event.request_id, now) and name not in kept.events:
            self._store(kept, name, event)

    def _keep_candidate(self, job: Record, request_id: str, now: int) -> bool:
        """Keep a candidate, be it in the place of the denied one that was seen first."""
        if request_id not in job.candidates and len(job.candidates) >= MAX_CANDIDATES:
            denied = [(kept.seen_at, name) for name, kept in job.candidates.items() if kept.is_denied]
            if not denied:
                return False
            first = min(denied)[1]
            del job.candidates[first]
            self._forget(job, lambda event: event.request_id == first)
        job.candidates.setdefault(request_id, Candidate(now))
        return True

    @staticmethod
    def _store_older(job: Record, name: str, event: Event) -> bool:
        """Keep one event for each request that callbacks of an older attempt name; whether it is kept, or was."""
        for known, kept in job.events.items():
            if (kept.attempt, kept.request_id) == (event.attempt, event.request_id):
                if event.is_terminal and not kept.is_terminal:
                    del job.events[known]
                    event.is_denied = kept.is_denied
                    job.events[name] = event
                return True
        unbound = {
            known: kept
            for known, kept in job.events.items()
            if kept.attempt != job.attempt and kept.attempt not in job.request_ids
        }
        if event.attempt not in job.request_ids and len(unbound) >= MAX_OLD_EVENTS:
            denied = [(kept.at, known) for known, kept in unbound.items() if kept.is_denied]
            if not denied:
                return False
            del job.events[min(denied)[1]]
        job.events[name] = event
        return True

    @staticmethod
    def _store(job: Record, name: str, event: Event) -> None:
        current = [kept for kept, stored in job.events.items() if stored.attempt == job.attempt]
        if event.attempt == job.attempt and len(current) >= MAX_EVENTS:
            del job.events[min(current, key=lambda kept: job.events[kept].at)]
        job.events[name] = event

    @staticmethod
    def _forget(job: Record, is_gone: Callable[[Event], bool]) -> None:
        for name in [kept for kept, event in job.events.items() if event.attempt == job.attempt and is_gone(event)]:
            del job.events[name]
