"""Reads: what operators and the doctor are shown."""

from __future__ import annotations

import redis

from tests.integration.store.conftest import DAY, JOB, MINUTE, RETENTION, Clock, Lives
from worker.jobs.job import Link
from worker.jobs.states import JobState
from worker.store import Store, connect
from worker.store.counters import Counter

S = JobState


def test_a_job_nobody_recorded_is_none(store: Store) -> None:
    assert store.jobs.get("nobody") is None
    assert (store.history.spec_json("nobody"), store.history.requests("nobody")) == (None, [])
    assert (store.jobs.links("nobody"), store.history.timeline("nobody"), store.callbacks.candidates("nobody")) == (
        (),
        [],
        {},
    )
    assert store.due.at("nobody") is None


def test_every_record_is_scanned_once(store: Store, lives: Lives) -> None:
    ids = {f"job-{n}" for n in range(1200)}
    for job_id in ids:
        lives.accepted(job_id)

    found = [job.id for job in store.records.scan()]

    assert len(found) == 1200
    assert set(found) == ids


def test_open_jobs_come_with_the_time_they_are_due_the_soonest_first(store: Store, lives: Lives, clock: Clock) -> None:
    for n in (3, 1, 2):
        lives.accepted(f"job-{n}", due_in_ms=n * MINUTE)
    lives.closed(lives.cancelled("job-4"))

    found = [(due_at - clock.now, job_id) for due_at, job_id in store.due.open_ids()]

    assert found == [(MINUTE, "job-1"), (2 * MINUTE, "job-2"), (3 * MINUTE, "job-3")]
    assert store.due.next_at() == store.due.at("job-1") == clock.now + MINUTE


def test_records_are_read_in_the_order_asked_for_and_missing_ones_left_out(store: Store, lives: Lives) -> None:
    for job_id in ("a", "b", "c"):
        lives.accepted(job_id)

    assert [job.id for job in store.records.read(["c", "nobody", "a"])] == ["c", "a"]


def test_an_outline_tells_what_the_record_does(store: Store, lives: Lives) -> None:
    lives.accepted("open")
    lives.closed(lives.cancelled("closed"))

    found = {outline.id: outline for outline in store.records.outlines()}

    assert found.keys() == {"open", "closed"}
    for job in store.records.read(found):
        outline = found[job.id]
        assert (outline.state, outline.provider, outline.accepted_at) == (job.state, job.provider, job.accepted_at)
        assert outline.is_open is job.is_open
    assert [outline.id for outline in store.records.outlines(["closed", "nobody"])] == ["closed"]


def test_the_audit_names_every_breach(client: redis.Redis, store: Store, lives: Lives) -> None:
    lives.accepted("sound")
    lives.accepted("never-due")
    lives.closed(lives.cancelled("closed"))
    due = "callsheet:{0}:due"
    client.zrem(due, "never-due")
    client.zadd(due, {"closed": 1, "lost": 1})

    problems = store.audit.breaches()

    assert problems == [
        "closed is closed but due",
        "lost is due but has no record",
        "never-due is open (accepted) but never due",
    ]
    client.flushall()


def test_nudging_heals_an_entry_of_a_closed_job(client: redis.Redis, store: Store, lives: Lives) -> None:
    lives.closed(lives.cancelled())
    client.zadd("callsheet:{0}:due", {JOB: 1})

    assert store.due.nudge([JOB]) == []

    assert store.audit.breaches() == []


def test_counters_add_up(store: Store) -> None:
    store.counters.add(Counter.CALLBACKS_REFUSED)
    store.counters.add(Counter.CALLBACKS_REFUSED, 2)

    assert store.counters.all() == {"callbacks_refused": 3}


def test_the_latest_two_hundred_strays_are_kept(store: Store) -> None:
    for n in range(205):
        store.callbacks.keep_stray({"body": f"é {n}", "reason": "mismatch"})

    strays = store.callbacks.strays()

    assert len(strays) == 200
    assert strays[0] == {"body": "é 204", "reason": "mismatch"}


def test_the_server_tells_what_the_doctor_needs(store: Store) -> None:
    facts = store.server.facts()

    assert facts.version.startswith("valkey ")
    assert (facts.has_aof, facts.fsync, facts.eviction_policy, facts.max_memory_bytes) == (
        True,
        "always",
        "noeviction",
        0,
    )
    assert facts.durability == store.server.durability == "always"


def test_a_server_that_forbids_config_is_still_described(client: redis.Redis, redis_url: str) -> None:
    client.acl_setuser("guest", enabled=True, nopass=True, commands=["+@all", "-config"], keys=["*"])
    host = redis_url.rpartition("@")[2]
    try:
        with connect(f"redis://guest:any@{host}") as guest:
            facts = Store(guest, retention_ms=RETENTION).server.facts()
    finally:
        client.acl_deluser("guest")

    assert (facts.fsync, facts.has_aof, facts.durability) == (None, True, "waitaof")


def generated(store: Store, lives: Lives, job_id: str, link: Link) -> None:
    lives.submitted(job_id, f"r-{job_id}")
    store.jobs.move(job_id, S.GENERATED, attempt=1, path="poll", links=(link,))


def test_the_most_urgent_are_those_whose_links_end_first_an_unknown_end_being_a_day_away(
    store: Store, lives: Lives, clock: Clock
) -> None:
    for job_id, life in (("late", DAY + 1), ("unknown", None), ("early", DAY - 1)):
        generated(store, lives, job_id, Link("https://x.example/1", life and clock.now + life))
    lives.submitted("elsewhere", "r9")

    found = list(store.perishing.most_urgent())

    assert found == ["early", "unknown", "late"]
    assert next(store.perishing.most_urgent()) == "early"


def test_who_is_held_put_off_or_done_is_not_urgent(store: Store, lives: Lives, clock: Clock) -> None:
    for job_id in ("held", "put-off", "done", "free"):
        generated(store, lives, job_id, Link("https://x.example/1", clock.now + MINUTE))
    lives.claimed("held")
    store.due.rest(lives.claimed("put-off"), due_in_ms=MINUTE)
    lives.store_archived("done")

    assert list(store.perishing.most_urgent()) == ["free"]
    clock.advance(MINUTE)
    assert list(store.perishing.most_urgent()) == ["free", "held", "put-off"]


def test_a_job_that_was_nudged_stays_urgent_while_its_message_waits(store: Store, lives: Lives, clock: Clock) -> None:
    generated(store, lives, JOB, Link("https://x.example/1", clock.now + MINUTE))
    store.due.nudge([JOB])

    assert list(store.perishing.most_urgent()) == [JOB]


def put_behind(store: Store, lives: Lives, job_id: str) -> None:
    store.due.rest(lives.claimed(job_id), due_in_ms=0, behind=True)


def test_a_job_that_could_not_be_copied_comes_behind_those_that_nobody_has_tried(
    store: Store, lives: Lives, clock: Clock
) -> None:
    for job_id, hours in (("failed", 2), ("failed-too", 3), ("untried", 20), ("untried-too", 21)):
        generated(store, lives, job_id, Link("https://x.example/1", clock.now + 60 * hours * MINUTE))
    put_behind(store, lives, "failed-too")
    put_behind(store, lives, "failed")
    put_behind(store, lives, "failed")

    assert list(store.perishing.most_urgent()) == ["untried", "untried-too", "failed", "failed-too"]
    assert list(store.perishing.most_urgent(untried_only=True)) == ["untried", "untried-too"]


def test_in_its_links_last_hour_it_comes_by_its_links_end_again(store: Store, lives: Lives, clock: Clock) -> None:
    for job_id, minutes in (("failed", 90), ("untried", 80), ("untried-too", 120)):
        generated(store, lives, job_id, Link("https://x.example/1", clock.now + minutes * MINUTE))
    put_behind(store, lives, "failed")

    clock.advance(29 * MINUTE)
    before = list(store.perishing.most_urgent())
    clock.advance(2 * MINUTE)
    in_last_hour = list(store.perishing.most_urgent())
    clock.advance(60 * MINUTE)
    past_its_end = list(store.perishing.most_urgent())

    assert before == ["untried", "untried-too", "failed"]
    assert in_last_hour == ["untried", "failed", "untried-too"]
    assert past_its_end == ["untried", "untried-too", "failed"]
    assert list(store.perishing.most_urgent(untried_only=True)) == ["untried", "untried-too"]


def test_a_new_link_is_one_that_nobody_has_tried(store: Store, lives: Lives, clock: Clock) -> None:
    for job_id in ("failed", "untried"):
        generated(store, lives, job_id, Link("https://x.example/1", clock.now + DAY))
    put_behind(store, lives, "failed")

    link = Link("https://x.example/2", clock.now + DAY // 2)
    store.jobs.move("failed", S.GENERATED, attempt=1, path="poll", links=(link,))

    assert list(store.perishing.most_urgent()) == ["failed", "untried"]


def test_one_that_may_be_taken_is_found_behind_hundreds_that_rest(store: Store, lives: Lives, clock: Clock) -> None:
    for number in range(300):
        generated(store, lives, f"r-{number}", Link("https://x.example/1", clock.now + MINUTE))
        store.due.rest(lives.claimed(f"r-{number}"), due_in_ms=MINUTE, behind=True)
    generated(store, lives, "free", Link("https://x.example/1", clock.now + 2 * MINUTE))
    put_behind(store, lives, "free")

    assert list(store.perishing.most_urgent()) == ["free"]


def test_a_job_that_left_no_longer_waits_to_be_copied(store: Store, lives: Lives, clock: Clock) -> None:
    generated(store, lives, JOB, Link("https://x.example/1", clock.now + MINUTE))
    claim = lives.claimed()
    lives.store_archived(JOB)

    store.due.rest(claim, due_in_ms=0, behind=True)

    assert list(store.perishing.most_urgent()) == []
