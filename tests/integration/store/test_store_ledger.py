"""The ledger: an attempt's money has one standing, the sums move with it, and late truth moves it once."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import redis

from tests.integration.ledger_check import FOR_EVER, budget_differences, differences
from tests.integration.store.conftest import (
    BRINGS,
    DAY,
    GENERATION_FAILED,
    JOB,
    LINK_DEAD,
    MINUTE,
    OUTCOME_UNKNOWN,
    REFUSED,
    RETENTION,
    Clock,
    Lives,
)
from worker.jobs.caps import CapName, Caps
from worker.jobs.job import Job
from worker.jobs.manifest import Restorable
from worker.jobs.money import Money, Standing, day_of
from worker.jobs.rate_limits import Limits, Operation, Refusal
from worker.jobs.states import JobState
from worker.store import Reply, Store, connect
from worker.store.layout import Fields
from worker.store.ledger import RowKey, Sum, Unsettled
from worker.store.move_arguments import MoneyFacts

S = JobState
PRICE = Decimal("0.56")
AMOUNT = 560_000
SECONDS_MS = 5_000
FREE = Limits("evolink")


def accepted(lives: Lives, job_id: str = JOB, *, tenant: str = "") -> Job:
    """A job of 5 s at the quoted price."""
    facts: Fields = {"cost": '{"amount":"0.56","currency":"USD","basis":"list_price"}', "kind": "5/720p"}
    if tenant:
        facts["tenant"] = tenant
    reply = lives.store.jobs.accept(
        job_id,
        spec_json="{}",
        spec_sha256=f"sha of {job_id}",
        provider="evolink",
        model="kling",
        facts=facts,
    )
    assert reply.job is not None
    return reply.job


def begun(lives: Lives, job_id: str = JOB, *, caps: Caps | None = None, cost: Decimal | None = PRICE) -> Reply:
    claim = lives.claimed(job_id)
    limits = replace(FREE, caps=caps or Caps())
    reply = lives.store.attempts.begin(claim, limits=limits, cost=cost)
    if not reply.applied:
        lives.store.due.rest(claim, due_in_ms=MINUTE)
    return reply


def submitted(lives: Lives, job_id: str = JOB, **fields: Any) -> None:
    accepted(lives, job_id, **fields)
    assert begun(lives, job_id).applied
    assert lives.bound(job_id, f"r-{job_id}").applied


def moved(lives: Lives, to: JobState, job_id: str = JOB, **asked: Any) -> Reply:
    reply = lives.store.jobs.move(job_id, to, attempt=asked.pop("attempt", 1), path="poll", **asked)
    assert reply.applied, reply
    return reply


def sums(store: Store) -> dict[str, tuple[int, int, int]]:
    """The sums by standing: jobs, ms, millionths."""
    found: dict[str, tuple[int, int, int]] = {}
    for key, value in store.ledger.sums(0, FOR_EVER).items():
        jobs, ms, amount = found.get(key.standing, (0, 0, 0))
        found[str(key.standing)] = jobs + value.jobs, ms + value.ms, amount + value.amount
    return found


ONE = (1, SECONDS_MS, AMOUNT)


def test_a_job_that_is_accepted_has_a_quote_and_no_money(store: Store, lives: Lives) -> None:
    job = accepted(lives)

    assert (job.cost["amount"], job.money) == ("0.56", {})
    assert sums(store) == {}


def test_a_post_that_is_begun_reserves_its_cost_on_its_day(store: Store, lives: Lives, clock: Clock) -> None:
    accepted(lives, tenant="acme")
    clock.advance(3 * DAY)

    begun(lives)

    today = day_of(clock.now)
    assert lives.job().money == {1: Money(Standing.RESERVED, AMOUNT, today, SECONDS_MS, "list_price")}
    key = RowKey(today, "evolink", "kling", "acme", Standing.RESERVED)
    assert store.ledger.sums(today, today) == {key: Sum(1, SECONDS_MS, AMOUNT, 0)}
    assert store.ledger.sums(today - 3, today - 1) == {}


@pytest.mark.parametrize(
    ("to", "asked", "standing"),
    [
        (S.ACCEPTED, {"try_no": 1}, "returned"),
        (S.FAILED, {"error": REFUSED}, "returned"),
        (S.UNCONFIRMED, {}, "unknown"),
    ],
)
def test_what_becomes_of_a_post_moves_its_money(
    store: Store, lives: Lives, to: JobState, asked: dict[str, Any], standing: str
) -> None:
    accepted(lives)
    begun(lives)

    moved(lives, to, **asked)

    assert sums(store) == {standing: ONE}


@pytest.mark.parametrize(
    ("to", "asked", "standing"),
    [
        (S.GENERATED, {}, "spent"),
        (S.EXPIRED, {}, "unknown"),
        (S.FAILED, {"error": GENERATION_FAILED}, "unknown"),
        (S.FAILED, {"error": GENERATION_FAILED, "money": MoneyFacts(charged=False)}, "returned"),
        (S.FAILED, {"error": GENERATION_FAILED, "money": MoneyFacts(charged=True)}, "spent"),
    ],
)
def test_the_end_of_a_generation_moves_its_money(
    store: Store, lives: Lives, to: JobState, asked: dict[str, Any], standing: str
) -> None:
    submitted(lives)

    moved(lives, to, **asked)

    assert sums(store) == {standing: ONE}
    assert lives.job().money[1].standing == standing


def test_a_video_that_cannot_be_archived_is_spent_all_the_same(store: Store, lives: Lives) -> None:
    submitted(lives)
    moved(lives, S.GENERATED)

    moved(lives, S.FAILED, error=LINK_DEAD)

    assert sums(store) == {"spent": ONE}


def test_late_truth_moves_money_from_one_standing_to_another_once(store: Store, lives: Lives) -> None:
    submitted(lives)
    moved(lives, S.FAILED, error=GENERATION_FAILED, money=MoneyFacts(charged=False))
    assert sums(store) == {"returned": ONE}

    moved(lives, S.GENERATED)
    again = store.jobs.move(JOB, S.GENERATED, attempt=1, path="poll")

    assert again.word == "repeat"
    assert sums(store) == {"spent": ONE}
    assert store.budget.counted().daily == AMOUNT


def test_a_post_found_by_late_truth_is_reserved_again(store: Store, lives: Lives) -> None:
    accepted(lives)
    begun(lives)
    moved(lives, S.UNCONFIRMED)
    moved(lives, S.FAILED, error=OUTCOME_UNKNOWN)
    assert sums(store) == {"unknown": ONE}

    assert lives.bound().applied

    assert sums(store) == {"reserved": ONE}


def test_a_second_try_on_another_day_takes_its_money_with_it(store: Store, lives: Lives, clock: Clock) -> None:
    accepted(lives)
    begun(lives)
    moved(lives, S.ACCEPTED, try_no=1)
    clock.advance(DAY)

    begun(lives)

    today = day_of(clock.now)
    assert sums(store) == {"reserved": ONE}
    assert list(store.ledger.sums(0, FOR_EVER)) == [RowKey(today, "evolink", "kling", "", Standing.RESERVED)]


def test_each_attempt_has_money_of_its_own(store: Store, lives: Lives) -> None:
    submitted(lives)
    moved(lives, S.EXPIRED)
    assert store.attempts.try_again(JOB, attempt=1, pay_again=True).applied

    begun(lives)
    assert store.attempts.bind(JOB, attempt=2, provider="evolink", request_id="r2", path="submit").applied
    moved(lives, S.GENERATED, attempt=2)

    assert {attempt: str(money.standing) for attempt, money in lives.job().money.items()} == {1: "unknown", 2: "spent"}
    assert sums(store) == {"unknown": ONE, "spent": ONE}


def test_an_earlier_attempt_that_failed_after_all_gives_its_money_back(store: Store, lives: Lives) -> None:
    submitted(lives)
    moved(lives, S.EXPIRED, look_until=store.clock.now() + DAY)
    store.attempts.try_again(JOB, attempt=1, pay_again=True)
    ver = lives.job().ver

    for _ in range(2):
        store.attempts.end_earlier(JOB, 1, "failed(generate)", charged=False)

    assert lives.job().ver == ver + 1, "news is told, and once"
    assert sums(store) == {"returned": ONE}
    assert store.budget.counted().daily == 0


def test_the_video_of_an_earlier_attempt_is_what_its_money_was_spent_on(store: Store, lives: Lives) -> None:
    submitted(lives)
    moved(lives, S.EXPIRED)
    store.attempts.try_again(JOB, attempt=1, pay_again=True)
    begun(lives)
    moved(lives, S.FAILED, attempt=2, error=REFUSED)

    assert store.attempts.archive_earlier(lives.job(), 1, ()).applied

    assert sums(store) == {"spent": ONE, "returned": ONE}
    assert lives.job().money[1].standing == "spent"


def test_what_the_provider_says_that_it_cost_replaces_the_price(store: Store, lives: Lives) -> None:
    submitted(lives)

    moved(lives, S.GENERATED, money=MoneyFacts(paid=610_000))

    assert lives.job().money[1] == replace(lives.job().money[1], amount=610_000, basis="provider")
    assert sums(store) == {"spent": (1, SECONDS_MS, 610_000)}
    assert store.budget.counted().daily == 610_000


def test_the_same_word_told_again_changes_no_sum(store: Store, lives: Lives) -> None:
    submitted(lives)
    for _ in range(3):
        store.jobs.move(JOB, S.GENERATED, attempt=1, path="poll", money=MoneyFacts(paid=610_000))

    assert sums(store) == {"spent": (1, SECONDS_MS, 610_000)}


def test_a_job_without_a_known_price_is_counted_as_such(store: Store, lives: Lives) -> None:
    accepted(lives)
    begun(lives, cost=None)

    (value,) = store.ledger.sums(0, FOR_EVER).values()

    assert value == Sum(1, SECONDS_MS, 0, 1)


def test_a_post_that_only_a_callback_knows_has_its_quote_as_money(store: Store, lives: Lives, clock: Clock) -> None:
    """Redis has lost that it was begun."""
    accepted(lives)

    moved(lives, S.UNCONFIRMED, notes={"begun_at": str(clock.now - 2 * DAY)})

    assert sums(store) == {"unknown": ONE}
    assert lives.job().money[1].day == day_of(clock.now) - 2
    assert budget_differences(store) == []


@pytest.mark.parametrize("word", BRINGS)
def test_whatever_a_job_holds_the_sums_are_those_of_its_record(store: Store, lives: Lives, word: str) -> None:
    BRINGS[word](lives)

    assert differences(store) == []
    assert budget_differences(store) == []


def test_sums_are_kept_400_days(store: Store, lives: Lives, clock: Clock, client: redis.Redis) -> None:
    submitted(lives)
    moved(lives, S.EXPIRED)
    first = day_of(clock.now)
    clock.advance(400 * DAY)
    submitted(lives, "job-2")
    assert len(store.ledger.sums(first, first)) == 1

    clock.advance(DAY)
    submitted(lives, "job-3")

    assert store.ledger.sums(first, first) == {}
    assert store.ledger.unsettled(10) == []
    assert set(client.hkeys("callsheet:{0}:ledger")) - {"since"} == set(
        client.zrange("callsheet:{0}:ledger_index", 0, -1)
    )
    client.flushdb()


def test_attempts_of_which_nobody_knows_are_found_the_latest_day_first(
    store: Store, lives: Lives, clock: Clock
) -> None:
    for job_id in ("job-1", "job-2", "job-3"):
        submitted(lives, job_id)
        moved(lives, S.EXPIRED, job_id)
        clock.advance(DAY)
    moved(lives, S.GENERATED, "job-2")

    today = day_of(clock.now)
    assert store.ledger.unsettled(10) == [Unsettled(today - 1, "job-3", 1), Unsettled(today - 3, "job-1", 1)]
    assert store.ledger.unsettled(1) == [Unsettled(today - 1, "job-3", 1)]


def restorable(job: Job, day: int) -> Restorable:
    """The manifest of an archived *job*, as `restore` takes it."""
    fields = {
        "v": "1", "state": "archived", "ver": "7", "told_ver": "7", "attempt": "1", "provider": "evolink",
        "model": "kling", "spec_sha256": job.spec_sha256, "accepted_at": str(day * DAY), "state_at": str(day * DAY),
        "final_at": str(day * DAY), "path": "operator", "generated_by": "poll",
        "money.1": f"spent {AMOUNT} {day} {SECONDS_MS} list_price", "request_id.1": "r1",
    }  # fmt: skip
    return Restorable(job.id, "evolink", {1: "r1"}, "{}", fields)


def test_a_record_that_comes_back_brings_its_money(store: Store, lives: Lives, clock: Clock) -> None:
    today = day_of(clock.now)
    submitted(lives, "job-2")

    assert store.manifests.restore(restorable(Job("job-1", S.ARCHIVED, 1, spec_sha256="s"), today)) == "applied"

    assert sums(store) == {"reserved": ONE, "spent": ONE}
    assert store.budget.counted().daily == 2 * AMOUNT


def test_a_record_that_ended_in_order_long_ago_is_not_counted_twice(store: Store, lives: Lives, clock: Clock) -> None:
    submitted(lives, "job-2")
    long_ago = day_of(clock.now) + 1
    clock.advance(RETENTION + 92 * DAY)

    assert store.manifests.restore(restorable(Job("job-1", S.ARCHIVED, 1, spec_sha256="s"), long_ago)) == "applied"

    assert sums(store) == {"reserved": ONE}
    assert lives.job().money == {}


def test_after_a_redis_that_was_emptied_old_money_counts_again(store: Store, lives: Lives, clock: Clock) -> None:
    long_ago = day_of(clock.now)
    clock.advance(RETENTION + 91 * DAY)

    assert store.manifests.restore(restorable(Job("job-1", S.ARCHIVED, 1, spec_sha256="s"), long_ago)) == "applied"

    assert sums(store) == {"spent": ONE}


# caps


def test_the_cap_of_a_month_blocks_before_it_is_passed_and_says_so(store: Store, lives: Lives, clock: Clock) -> None:
    clock.now = 1_797_897_600_000  # 2026-12-22
    caps = Caps(monthly=Decimal("1.20"))
    for job_id in ("job-1", "job-2", "job-3"):
        accepted(lives, job_id)
    assert begun(lives, "job-1", caps=caps).applied
    clock.advance(DAY)
    assert begun(lives, "job-2", caps=caps).applied

    refusal = begun(lives, "job-3", caps=caps).refusal

    new_year = 1_798_761_600_000
    assert refusal == Refusal("budget", new_year, cap=CapName.MONTHLY)
    clock.now = new_year
    assert begun(lives, "job-3", caps=caps).applied


def test_a_tenants_cap_holds_its_own_jobs_and_nobody_elses(store: Store, lives: Lives, clock: Clock) -> None:
    caps = Caps(daily=Decimal(10), tenants={"acme": Decimal("0.60"), "*": Decimal("1.20")})
    for n, tenant in enumerate(("acme", "acme", "zeta", "zeta", "zeta", "", "")):
        accepted(lives, f"job-{n}", tenant=tenant)

    words = [begun(lives, f"job-{n}", caps=caps).word for n in range(7)]

    assert words == ["applied", "busy", "applied", "applied", "busy", "applied", "applied"]
    refusal = begun(lives, "job-1", caps=caps).refusal
    assert refusal == Refusal("budget", (day_of(clock.now) + 1) * DAY, cap=CapName.TENANT)
    assert store.budget.counted({"acme", "zeta"}).tenants == {"acme": AMOUNT, "zeta": 2 * AMOUNT}


def test_a_job_that_waits_for_its_tenants_money_holds_up_no_line(store: Store, lives: Lives) -> None:
    caps = Caps(tenants={"acme": Decimal("0.60")})
    limits = replace(FREE, caps=caps, max_concurrent=2)
    for n, tenant in enumerate(("acme", "acme", "zeta")):
        accepted(lives, f"job-{n}", tenant=tenant)
    begun(lives, "job-0", caps=caps)
    assert begun(lives, "job-1", caps=caps).word == "busy"

    standing = store.limits.standing(limits)

    assert standing.submit.refusal is None
    assert store.limits.call_next(limits, Operation.SUBMIT) == 0
    assert store.attempts.begin(lives.claimed("job-2"), limits=limits, cost=PRICE).applied


def test_unknown_money_counts_in_the_caps_and_returned_money_does_not(store: Store, lives: Lives) -> None:
    caps = Caps(daily=Decimal("1.20"))
    for n in range(4):
        accepted(lives, f"job-{n}")
    begun(lives, "job-0", caps=caps)
    moved(lives, S.UNCONFIRMED, "job-0")
    begun(lives, "job-1", caps=caps)
    assert begun(lives, "job-2", caps=caps).word == "busy"

    moved(lives, S.FAILED, "job-1", error=REFUSED)

    assert begun(lives, "job-2", caps=caps).applied
    assert begun(lives, "job-3", caps=caps).word == "busy"


def test_a_worker_that_comes_late_takes_no_reservation_of_another(store: Store, lives: Lives, clock: Clock) -> None:
    """Its lease is over; whatever the order of the two, the POST that was begun is counted once."""
    caps = Caps(daily=Decimal(10))
    accepted(lives)
    late = lives.claimed()
    clock.advance(2 * MINUTE)
    now = lives.claimed()
    assert store.budget.reserve(now, caps, cost=AMOUNT).is_ours

    assert not store.budget.reserve(late, caps, cost=AMOUNT).is_ours
    store.budget.give_back(late)
    assert store.attempts.begin(now, limits=replace(FREE, caps=caps), cost=PRICE).applied
    store.budget.give_back(late)

    assert store.budget.counted().daily == AMOUNT
    assert budget_differences(store) == []


def test_a_correction_by_an_older_record_changes_nothing(store: Store, lives: Lives) -> None:
    submitted(lives)
    older = lives.job()
    moved(lives, S.FAILED, error=GENERATION_FAILED, money=MoneyFacts(charged=False))

    store.budget.correct(older)

    assert store.budget.counted().daily == 0
    assert budget_differences(store) == []


def test_a_correction_that_redis_did_not_take_is_made_again(store: Store, lives: Lives, client: redis.Redis) -> None:
    submitted(lives)
    moved(lives, S.FAILED, error=GENERATION_FAILED, money=MoneyFacts(charged=False))
    month = store.scripts.keys.budget("2027-01")
    client.hset(month[0], mapping={"month": AMOUNT, str(day_of(store.clock.now())): AMOUNT})
    client.hset(month[1], f"{JOB}:1", f"{AMOUNT} 2 0 {day_of(store.clock.now())} ")

    store.budget.correct(lives.job())

    assert budget_differences(store) == []


def test_shards_have_ledgers_of_their_own_and_one_budget(store: Store, clock: Clock, redis_url: str) -> None:
    store.scripts.client.flushdb()
    sharded = Store(connect(redis_url), retention_ms=RETENTION, clock=clock, shards=8)
    lives = Lives(sharded)
    caps = Caps(daily=Decimal("5.60"))
    for n in range(12):
        accepted(lives, f"job-{n}", tenant=f"t{n % 2}")

    words = [begun(lives, f"job-{n}", caps=caps).word for n in range(12)]
    for n in range(5):
        moved(lives, S.UNCONFIRMED, f"job-{n}")

    assert words == ["applied"] * 10 + ["busy"] * 2
    assert sums(sharded) == {"unknown": (5, 5 * SECONDS_MS, 5 * AMOUNT), "reserved": (5, 5 * SECONDS_MS, 5 * AMOUNT)}
    assert differences(sharded) == []
    assert budget_differences(sharded) == []
    store.scripts.client.flushdb()
