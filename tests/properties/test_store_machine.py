"""The store against a plain model, under clients that pause, die, repeat themselves and are lied to.

Each example is a story of two jobs: workers hold claims that lapse and revive,
POSTs are taken, refused or lost, their outcomes reported late and twice,
callbacks come early, late, forged and repeated. After each step the real record
must be the model's, and at the end every job must still find its way to a close.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.integration.ledger_check import differences
from tests.properties.store_model import MAX_CANDIDATES, RETENTION, Event, Model, Record
from worker.jobs.job import Job, JobError
from worker.jobs.notification import Tries
from worker.jobs.states import RETRIES, SOURCES, JobState
from worker.store import Claim, Fields, Reply, Store, connect
from worker.store.jobs import Outputs
from worker.store.notifications import Outcome

S = JobState
JOBS = ("job-1", "job-2")
NOTIFIED = "job-2"
"""The job whose spec names where its end is told."""
ANY_STATE = set(S)
LEASE = 60_000
jobs = st.sampled_from(JOBS)
clients = st.integers(0, 2)
some_places = st.sets(st.integers(0, 7), min_size=1, max_size=5)
early_callbacks = st.tuples(jobs, st.integers(0, 9), st.sampled_from([1, 1, 2]), st.booleans())


@dataclass(frozen=True)
class Post:
    """One POST that left, and what the provider did with it."""

    job_id: str
    attempt: int
    try_no: int
    outcome: str  # taken, not_taken, refused, or lost (taken or not, nobody was told)
    request_id: str = ""


class StoreMachine(RuleBasedStateMachine):
    """Drives three clients of one store and the model, step by step."""

    claims: Bundle[Claim] = Bundle("claims")
    posts: Bundle[Post] = Bundle("posts")

    def __init__(self, redis_clients: list[redis.Redis]) -> None:
        super().__init__()
        redis_clients[0].flushall()
        self.raw = redis_clients[0]
        self.now = 1_800_000_000_000
        self.stores = [Store(client, retention_ms=RETENTION, clock=lambda: self.now) for client in redis_clients]
        self.model = Model()
        self.versions: dict[str, list[int]] = {job_id: [] for job_id in JOBS}
        self.created: dict[str, list[str]] = {job_id: [] for job_id in JOBS}
        self.made_in: dict[str, int] = {}
        self.tokens: set[str] = set()
        self.leave_to_pay: dict[str, int] = dict.fromkeys(JOBS, 1)

    @initialize(
        early=st.lists(st.tuples(jobs, st.integers(0, 9), st.sampled_from([1, 1, 2]), st.booleans()), max_size=12)
    )
    def both_jobs_are_accepted(self, early: list[tuple[str, int, int, bool]]) -> None:
        """After callbacks, of a Redis before, that came while they had no record."""
        for job_id, n, attempt, terminal in early:
            self.callback(job_id, 0, n, attempt, 0, terminal)
        for job_id in JOBS:
            self.accept(job_id, 0, "a")

    @rule(job_id=jobs, client=clients, spec=st.sampled_from("aab"))
    def accept(self, job_id: str, client: int, spec: str) -> None:
        notifies = job_id == NOTIFIED
        reply = self.stores[client].jobs.accept(
            job_id, spec_json=spec, spec_sha256=spec, provider="p", model="m", notifies=notifies
        )
        assert reply.word == self.model.accept(job_id, spec, self.now, notifies=notifies)

    @rule(
        target=claims,
        job_id=jobs,
        client=clients,
        states=st.sampled_from([ANY_STATE, {S.ACCEPTED}, {S.SUBMITTED}]),
        only_due=st.booleans(),
    )
    def claim(self, job_id: str, client: int, states: set[JobState], only_due: bool) -> Claim:
        claim = self.stores[client].due.claim(job_id, states=states, lease_ms=LEASE, only_due=only_due)
        nonce = claim.token if claim else "refused"
        assert (claim is not None) == self.model.claim(job_id, states, LEASE, self.now, only_due=only_due, nonce=nonce)
        assert claim is None or nonce not in self.tokens, "a token was given to two"
        self.tokens.add(nonce)
        return claim if claim else multiple()  # type: ignore[return-value]

    @rule(claim=claims, client=clients)
    def renew(self, claim: Claim, client: int) -> None:
        renewed = self.stores[client].due.renew(claim, lease_ms=LEASE)
        assert (renewed is not None) == self.model.renew(claim.job.id, claim.token, LEASE, self.now)

    @rule(claim=claims, client=clients, due_in_ms=st.sampled_from([0, 5_000, 3_600_000]), progress=st.integers(0, 100))
    def rest(self, claim: Claim, client: int, due_in_ms: int, progress: int) -> None:
        facts: Fields = {"progress": str(progress)}
        reply = self.stores[client].due.rest(claim, due_in_ms=due_in_ms, facts=facts)
        assert reply.word == self.model.rest(
            claim.job.id, claim.token, due_in_ms, progress, self.now, attempt=claim.job.attempt
        )

    @rule(
        target=posts,
        claim=claims,
        client=clients,
        outcome=st.sampled_from(["taken", "taken", "not_taken", "refused", "lost"]),
    )
    def begin(self, claim: Claim, client: int, outcome: str) -> Post:
        reply = self.stores[client].attempts.begin(claim)
        attempt = claim.job.attempt
        assert reply.word == self.model.move(claim.job.id, S.SUBMITTING, self.now, lease=claim.token, attempt=attempt)
        if not reply.applied or reply.job is None:
            return multiple()  # type: ignore[return-value]
        job_id, request_id = claim.job.id, ""
        if outcome in ("taken", "lost"):
            request_id = f"{job_id}-true-{len(self.created[job_id])}"
            self.created[job_id].append(request_id)
            self.made_in[request_id] = attempt
        return Post(job_id, attempt, reply.job.try_no, outcome, request_id)

    @rule(post=posts, client=clients, due_in_ms=st.sampled_from([0, 30_000]))
    def report(self, post: Post, client: int, due_in_ms: int) -> None:
        """An outcome reaches the store: at once, late, or once more."""
        if post.outcome == "taken":
            self._bind(post.job_id, post.request_id, client, due_in_ms, attempt=post.attempt)
        elif post.outcome == "refused":
            self._move(post.job_id, S.FAILED, client, stage="submit", attempt=post.attempt)
        else:
            to = S.ACCEPTED if post.outcome == "not_taken" else S.UNCONFIRMED
            self._move(post.job_id, to, client, try_no=post.try_no, due_in_ms=due_in_ms, attempt=post.attempt)

    @rule(claim=consumes(claims), client=clients, looks_on=st.booleans())
    def give_up(self, claim: Claim, client: int, looks_on: bool) -> None:
        """A verdict on what the claim was told; it counts only while the claim holds."""
        to, stage = {
            S.ACCEPTED: (S.FAILED, "submit"),
            S.SUBMITTING: (S.UNCONFIRMED, ""),
            S.UNCONFIRMED: (S.FAILED, "confirm"),
            S.SUBMITTED: (S.EXPIRED, ""),
            S.GENERATED: (S.FAILED, "archive"),
        }.get(claim.job.state, (S.CANCELLED, ""))
        look_until = self.now + 600_000 if looks_on and to in (S.FAILED, S.EXPIRED) else 0
        attempt = claim.job.attempt
        self._move(claim.job.id, to, client, stage=stage, lease=claim.token, look_until=look_until, attempt=attempt)

    @rule(
        job_id=jobs,
        client=clients,
        end=st.sampled_from(["failed(generate)", "failed(confirm)", "failed(archive)", "expired"]),
    )
    def an_attempt_ends_without_a_video(self, job_id: str, client: int, end: str) -> None:
        """All in one, so that what comes after it is played often."""
        claim = self.claim(job_id, client, {S.ACCEPTED}, only_due=False)
        post = self.begin(claim, client, "taken") if isinstance(claim, Claim) else None
        if not isinstance(post, Post):
            return
        stage = end.partition("(")[2].removesuffix(")")
        if stage == "confirm":
            self._move(job_id, S.UNCONFIRMED, client, attempt=post.attempt)
        else:
            self._bind(job_id, post.request_id, client, 0, attempt=post.attempt)
        if stage == "archive":
            self._move(job_id, S.GENERATED, client, attempt=post.attempt)
        # as the steps do: what may still turn out well is looked at for a while
        look_until = self.now + 600_000 if end != "failed(generate)" else 0
        to = S.FAILED if stage else S.EXPIRED
        self._move(job_id, to, client, stage=stage, attempt=post.attempt, look_until=look_until)

    @rule(job_id=jobs, client=clients, pay_again=st.booleans(), behind=st.sampled_from([0, 0, 0, 1]))
    def try_again(self, job_id: str, client: int, pay_again: bool, behind: int) -> None:
        """An operator asks for another attempt, perhaps about one that is over already."""
        attempt = self.model.jobs[job_id].attempt - behind
        reply = self.stores[client].attempts.try_again(job_id, attempt=attempt, pay_again=pay_again)
        assert reply.word == self.model.try_again(job_id, self.now, attempt=attempt, pay_again=pay_again)
        self.leave_to_pay[job_id] += reply.applied and pay_again

    @rule(
        job_id=jobs,
        client=clients,
        n=st.integers(0, 3),
        attempt=st.sampled_from([1, 1, 1, 2]),
        text=st.integers(0, 2),
        terminal=st.booleans(),
    )
    def callback(self, job_id: str, client: int, n: int, attempt: int, text: int, terminal: bool) -> None:
        """A genuine delivery where the provider has a request, or a forged one."""
        genuine = self.created[job_id]
        request_id = genuine[n] if n < len(genuine) else f"{job_id}-forged-{n}"
        name = f"{attempt}/{request_id}/{text}/{terminal}"
        arrival = self.stores[client].callbacks.arrive(
            job_id, attempt=attempt, request_id=request_id, fingerprint=name, is_terminal=terminal, event_json="{}"
        )
        assert arrival.word == self.model.arrive(job_id, name, Event(attempt, request_id, terminal, self.now), self.now)

    @rule(job_id=jobs, client=clients, attempt=st.sampled_from([1, 1, 2]))
    def callback_that_cannot_be_read(self, job_id: str, client: int, attempt: int) -> None:
        arrival = self.stores[client].callbacks.arrive(job_id, attempt=attempt)
        assert arrival.word == self.model.arrive_unread(job_id, attempt, self.now)

    @rule(job_id=jobs, client=clients)
    def read_candidates(self, job_id: str, client: int) -> None:
        """With our own key: true ones are bound, the others dropped."""
        for request_id in self.stores[client].callbacks.candidates(job_id):
            attempt = self.model.jobs[job_id].attempt
            if request_id in self.created[job_id] and self.made_in[request_id] == attempt:
                self._bind(job_id, request_id, client, 0, attempt=attempt)
            else:
                self._drop(job_id, request_id, client)

    @rule(job_id=jobs, client=clients, terminal=st.booleans())
    def flood(self, job_id: str, client: int, terminal: bool) -> None:
        """More forged callbacks of the current attempt than a job has places for."""
        for n in range(4, 14):
            self.callback(job_id, client, n, self.model.jobs[job_id].attempt, 0, terminal)

    @rule(job_id=jobs, client=clients, places=some_places)
    def deny_candidates(self, job_id: str, client: int, places: set[int]) -> None:
        """The provider does not know some, be it only yet: each gives way to a newcomer."""
        attempt = self.model.jobs[job_id].attempt
        for place, request_id in enumerate(self.stores[client].callbacks.candidates(job_id)):
            if place in places:
                self._deny(job_id, request_id, client, attempt)

    @rule(job_id=jobs, client=clients, places=some_places, newcomers=st.integers(1, 3))
    def newcomers_meet_a_full_set(self, job_id: str, client: int, places: set[int], newcomers: int) -> None:
        """All in one: places are taken one after the other, some are denied, and others come."""
        attempt = self.model.jobs[job_id].attempt
        for n in range(4, 13):
            self.callback(job_id, client, n, attempt, 0, terminal=True)
            self.now += 1
        self.deny_candidates(job_id, client, places)
        for n in range(20, 20 + newcomers):
            self.callback(job_id, client, n, attempt, 0, terminal=True)

    @rule(job_id=jobs, client=clients, places=some_places, newcomers=st.integers(0, 3), terminal=st.booleans())
    def newcomers_of_an_older_attempt(
        self, job_id: str, client: int, places: set[int], newcomers: int, terminal: bool
    ) -> None:
        """The same for an attempt that is over, whose callbacks have places of their own."""
        attempt = self.model.jobs[job_id].attempt - 1
        if attempt == 0:
            return
        for n in range(4, 13):
            self.callback(job_id, client, n, attempt, 0, terminal)
            self.now += 1
        for place, event in enumerate(self.stores[client].callbacks.events(job_id)):
            if place in places:
                self._deny(job_id, event.request_id, client, attempt)
        for n in range(20, 20 + newcomers):
            self.callback(job_id, client, n, attempt, 0, terminal=True)

    @rule(job_id=jobs, client=clients)
    def bind_what_another_job_has(self, job_id: str, client: int) -> None:
        (other,) = set(JOBS) - {job_id}
        if self.model.jobs[other].request_ids:
            request_id = next(iter(self.model.jobs[other].request_ids.values()))
            reply = self._bind(job_id, request_id, client, 0, attempt=self.model.jobs[job_id].attempt)
            assert reply.word == "taken"

    @rule(job_id=jobs, client=clients, to=st.sampled_from([S.GENERATED, S.ARCHIVED, S.FAILED, S.CANCELLED]))
    def report_progress(self, job_id: str, client: int, to: JobState) -> None:
        """Report as polls, archivers and operators do, without a lease, about requests that exist."""
        job = self.model.jobs[job_id]
        if job.request_ids.get(job.attempt) or to is S.CANCELLED:
            stage = "generate" if to is S.FAILED else ""
            attempt = 1 if to is S.CANCELLED else job.attempt
            self._move(job_id, to, client, stage=stage, owes_manifest=to is S.ARCHIVED, attempt=attempt)

    @rule(job_id=jobs, client=clients, back=st.sampled_from([0, 0, 0, 5_000]))
    def contradict(self, job_id: str, client: int, back: int) -> None:
        seen_until = self.now - back
        assert self.stores[client].callbacks.contradict(job_id, seen_until=seen_until) == self.model.contradict(
            job_id, seen_until
        )

    @rule(
        job_id=jobs,
        client=clients,
        outputs=st.sampled_from(["result", "manifest", ""]),
        behind=st.sampled_from([0, 0, 1]),
    )
    def delivered(self, job_id: str, client: int, outputs: Outputs, behind: int) -> None:
        ver = self.model.jobs[job_id].ver - behind
        reply = self.stores[client].jobs.delivered(job_id, ver=ver, outputs=outputs, rest_in_ms=60_000)
        assert reply.word == self.model.delivered(job_id, ver, outputs, 60_000, self.now)

    @rule(job_id=jobs, client=clients, behind=st.sampled_from([0, 0, 1]), ahead=st.sampled_from([-1, 5_000]))
    def retell(self, job_id: str, client: int, behind: int, ahead: int) -> None:
        """After a rollback, of which callers were told what is later than this record."""
        job = self._read(job_id, behind)
        reply = self.stores[client].rollbacks.retell(job, at=job.state_at + ahead, detail="told before")
        assert reply.word == self.model.retell(job_id, job.ver, self.now)
        assert reply.job is not None
        assert not reply.applied or reply.job.state_at > job.state_at + ahead

    @rule(
        claim=claims,
        client=clients,
        outcome=st.sampled_from(["delivered", "again", "again", "dead", "manual"]),
        behind=st.sampled_from([0, 0, 1]),
        wait_ms=st.sampled_from([5_000, 4 * 3_600_000, 9 * 3_600_000]),
    )
    def notify(self, claim: Claim, client: int, outcome: Outcome, behind: int, wait_ms: int) -> None:
        self._notify(claim.job.id, client, outcome, behind, wait_ms, claim.token)

    @rule(job_id=jobs, client=clients, behind=st.sampled_from([0, 0, 1]))
    def hold_notification(self, job_id: str, client: int, behind: int) -> None:
        job = self._read(job_id, behind)
        reply = self.stores[client].notifications.hold(job, hold_ms=30_000)
        assert reply.word == self.model.hold_notification(job_id, job.ver, 30_000, self.now)

    @rule(client=clients)
    def sweep(self, client: int) -> None:
        due = self.stores[client].due.ids(10)
        assert set(due) == {job_id for job_id, job in self.model.jobs.items() if _is_due(job, self.now)}
        nudged = [nudge.job_id for nudge in self.stores[client].due.nudge(due)]
        assert nudged == [job_id for job_id in due if self.model.nudge(job_id, self.now)]

    @rule(milliseconds=st.sampled_from([1, 1_000, 15_000, LEASE, 600_000]))
    def time_passes(self, milliseconds: int) -> None:
        self.now += milliseconds

    @invariant()
    def the_record_is_the_models(self) -> None:
        for job_id, job in self.model.jobs.items():
            assert self._facts_of(job_id) == _facts(job)
        self.now += 1

    @invariant()
    def open_means_exactly_one_due_entry(self) -> None:
        assert self.stores[0].audit.breaches() == []

    @invariant()
    def the_lists_have_every_job_in_its_state_and_in_no_other(self) -> None:
        wanted = dict.fromkeys(S, 0)
        for job_id, job in self.model.jobs.items():
            wanted[job.state] += 1
            assert [place.job_id for place in self.stores[0].lists.newest({job.state})].count(job_id) == 1
        assert self.stores[0].lists.counts() == wanted
        assert len(self.stores[0].lists.newest(ANY_STATE)) == len(self.model.jobs)

    @invariant()
    def closed_jobs_alone_are_to_be_forgotten(self) -> None:
        closed = {job_id for job_id, job in self.model.jobs.items() if job.closed}
        assert set(self.raw.zrange("callsheet:{0}:closed", 0, -1)) == closed

    @invariant()
    def versions_never_fall(self) -> None:
        for job_id in self.model.jobs:
            job = self.stores[0].jobs.get(job_id)
            assert job is not None
            self.versions[job_id].append(job.ver)
            assert self.versions[job_id] == sorted(self.versions[job_id])

    @invariant()
    def nothing_is_paid_for_twice_without_leave(self) -> None:
        assert all(len(created) <= self.leave_to_pay[job_id] for job_id, created in self.created.items())
        made = [(request_id.partition("-true-")[0], attempt) for request_id, attempt in self.made_in.items()]
        assert len(made) == len(set(made)), "an attempt was paid for twice"

    @invariant()
    def only_true_requests_are_bound_and_each_to_one_job(self) -> None:
        for job_id, job in self.model.jobs.items():
            assert set(job.request_ids.values()) <= set(self.created[job_id])
            assert all(self.made_in[request_id] == attempt for attempt, request_id in job.request_ids.items())

    @precondition(lambda self: bool(self.model.jobs))
    @invariant()
    def only_listed_moves_happened(self) -> None:
        for job_id in self.model.jobs:
            for entry in self.stores[0].history.timeline(job_id)[1:]:
                target = JobState(entry.target.partition("(")[0])
                allowed = RETRIES[target] if entry.path == "operator" else SOURCES[target]
                assert entry.source in allowed

    def teardown(self) -> None:
        """Fair steps alone bring every open job to a close, its result told; a known request to its video.

        A sum that is wrong once stays so: it is enough to look here, before and after.
        """
        assert differences(self.stores[0]) == []
        for job_id, job in self.model.jobs.items():
            own = {request_id for request_id in self.created[job_id] if self.made_in[request_id] == job.attempt}
            is_known = job.candidates.keys() & own or job.request_ids.get(job.attempt)
            # closed already: the looks it was owed are over, and the model says whether it might be
            ended_well = job.closed or job.word in ("failed(submit)", "failed(generate)", "cancelled")
            for _ in range(40):
                if job.closed:
                    break
                self.now = max(self.now, job.due_at or 0) + 1
                self._fair_step(job_id)
                self.the_record_is_the_models()
            assert job.closed
            assert job.told_ver == job.ver
            assert job.notified_ver in (None, job.ver) or job.dead_ver == job.ver
            assert job.state is S.ARCHIVED or ended_well or not is_known
        assert differences(self.stores[0]) == []

    def _fair_step(self, job_id: str) -> None:
        """Act as a worker that is nudged and does not die."""
        self.sweep(0)
        claim = self.claim(job_id, 0, ANY_STATE, only_due=True)
        if not isinstance(claim, Claim):
            return
        self.read_candidates(job_id, 0)
        job = self.model.jobs[job_id]
        if job.word in ("submitted", "expired", "failed(generate)"):
            self._move(job_id, S.GENERATED, 0, attempt=job.attempt)
        elif job.word in ("generated", "failed(archive)"):
            self._move(job_id, S.ARCHIVED, 0, attempt=job.attempt, owes_manifest=True)
        elif job.word in ("accepted", "submitting", "unconfirmed"):
            self.give_up(claim, 0, looks_on=False)
        else:
            for outputs in ("result", "manifest", ""):
                self.delivered(job_id, 0, outputs, 0)
            self._notify(job_id, 0, "delivered", 0, 0, "")

    def _read(self, job_id: str, behind: int) -> Job:
        job = self.stores[0].jobs.get(job_id)
        assert job is not None
        return replace(job, ver=job.ver - behind)

    def _notify(self, job_id: str, client: int, outcome: Outcome, behind: int, wait_ms: int, token: str) -> None:
        job = self._read(job_id, behind)
        reply = self.stores[client].notifications.notified(
            job,
            outcome,
            {"at": self.now, "ver": job.ver},
            tries=Tries(1, self.now, self.now + wait_ms) if outcome == "again" else None,
            lease=token or None,
            rest_in_ms=60_000,
            retry_ms=wait_ms,
        )
        assert reply.word == self.model.notified(job_id, job.ver, outcome, token, wait_ms, 60_000, self.now)

    def _move(self, job_id: str, to: JobState, client: int, *, attempt: int, stage: str = "", **asked: object) -> Reply:
        error = JobError(stage, "code", "message") if stage else None
        arguments = {**asked, "look_until": asked.get("look_until") or None}
        reply = self.stores[client].jobs.move(job_id, to, attempt=attempt, path="poll", error=error, **arguments)  # type: ignore[arg-type]
        assert reply.word == self.model.move(job_id, to, self.now, attempt=attempt, stage=stage, **asked)  # type: ignore[arg-type]
        return reply

    def _bind(self, job_id: str, request_id: str, client: int, due_in_ms: int, *, attempt: int) -> Reply:
        reply = self.stores[client].attempts.bind(
            job_id, attempt=attempt, provider="p", request_id=request_id, path="poll", due_in_ms=due_in_ms
        )
        assert reply.word == self.model.bind(job_id, request_id, self.now, attempt=attempt, due_in_ms=due_in_ms)
        return reply

    def _drop(self, job_id: str, request_id: str, client: int) -> None:
        dropped = self.stores[client].callbacks.drop_candidate(job_id, request_id)
        assert dropped == self.model.drop_candidate(job_id, request_id)

    def _deny(self, job_id: str, request_id: str, client: int, attempt: int) -> None:
        denied = self.stores[client].callbacks.deny_candidate(job_id, request_id, attempt=attempt)
        assert denied == self.model.deny_candidate(job_id, request_id, attempt)

    def _facts_of(self, job_id: str) -> dict[str, object]:
        store = self.stores[0]
        job = store.jobs.get(job_id)
        assert isinstance(job, Job)
        return {
            "state": job.state,
            "stage": job.error.stage if job.error else "",
            "numbers": (job.ver, job.attempt, job.try_no, job.progress, job.contradictions, job.nudges, job.told_ver),
            "manifest_ver": job.manifest_ver,
            "notified_ver": job.notified_ver,
            "lease": (job.lease, job.lease_until or 0),
            "look_until": job.look_until or 0,
            "closed": not job.is_open,
            "call": self.raw.hget(f"callsheet:{{0}}:job:{job_id}", "call") or "",
            "request_ids": job.request_ids,
            "ended": job.ended,
            "due_at": store.due.at(job_id),
            "candidates": store.callbacks.candidates(job_id),
            "events": {event.fingerprint: event.is_denied for event in store.callbacks.events(job_id)},
            "woken_from": job.woken_from,
            "mortal": {self.raw.pttl(key) > 0 for key in self.raw.scan_iter(f"*:{job_id}")},
        }


def _facts(job: Record) -> dict[str, object]:
    return {
        "state": job.state,
        "stage": job.stage,
        "numbers": (job.ver, job.attempt, job.try_no, job.progress, job.contradictions, job.nudges, job.told_ver),
        "manifest_ver": job.manifest_ver,
        "notified_ver": job.notified_ver,
        "lease": (job.lease, job.lease_until),
        "look_until": job.look_until,
        "closed": job.closed,
        "call": job.call,
        "request_ids": job.request_ids,
        "ended": job.ended,
        "due_at": job.due_at,
        "candidates": {name: kept.seen_at for name, kept in job.candidates.items()},
        "events": {name: event.is_denied for name, event in job.events.items()},
        "woken_from": job.woken_from,
        "mortal": {job.closed},
    }


def _is_due(job: Record, now: int) -> bool:
    return job.due_at is not None and job.due_at <= now


@pytest.fixture
def redis_clients(redis_url: str) -> Iterator[list[redis.Redis]]:
    """Three clients of a server that need not wait for its disk: durability is not what is played here."""
    clients = [connect(redis_url) for _ in range(3)]
    clients[0].config_set("appendfsync", "no")
    yield clients
    clients[0].config_set("appendfsync", "always")
    for client in clients:
        client.close()


def test_places_are_given_up_as_the_model_says(redis_clients: list[redis.Redis]) -> None:
    """The rules of full sets alone, which random play reaches seldom: which of several denied ones gives way."""
    rng, machine = random.Random(1), StoreMachine(redis_clients)
    machine.both_jobs_are_accepted([])
    machine.an_attempt_ends_without_a_video(JOBS[1], 0, "failed(confirm)")
    machine.delivered(JOBS[1], 0, "result", 0)
    machine.try_again(JOBS[1], 0, pay_again=True, behind=0)
    for _ in range(8):
        places = set(rng.sample(range(8), rng.randint(2, 5)))
        for job_id in JOBS:
            machine.newcomers_meet_a_full_set(job_id, 0, places, rng.randint(1, 2))
            machine.newcomers_of_an_older_attempt(job_id, 0, places, rng.randint(1, 2), terminal=True)
        machine.the_record_is_the_models()
    assert len(machine.model.jobs[JOBS[0]].candidates) == MAX_CANDIDATES


@pytest.mark.timeout(600)  # of a busy machine
def test_the_store_is_the_model_whatever_its_clients_do(redis_clients: list[redis.Redis]) -> None:
    class Machine(StoreMachine):
        def __init__(self) -> None:
            super().__init__(redis_clients)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=80,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
