"""Our money against the providers' own bill: equal where their rules are known, and else off by the unknown alone."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.integration.ledger_check import budget_differences
from tests.integration.steps.conftest import Scene
from tests.integration.steps.limited import limited
from worker.jobs.job import Job
from worker.jobs.money import Standing, from_millionths
from worker.operations import costs, retry
from worker.store.counters import Counter

PROVIDERS = ("gmicloud", "evolink", "apimart")
FAULTS: tuple[dict[str, Any], ...] = (
    {},
    {"on": "submit", "status": 400},
    {"on": "submit", "status": 429},
    {"on": "submit", "cut": True, "created": True},
    {"on": "submit", "cut": True, "created": False},
    {"on": "generation", "outcome": "failed"},
    {"on": "generation", "seconds": 9 * 3600},
    {"on": "generation", "videos": 2},
)


def billed(scene: Scene) -> dict[str, Decimal]:
    """The cost of each request by its provider's bill."""
    return {line["request_id"]: Decimal(line["usd"]) for line in scene.control.bill()["lines"]}


def played(scene: Scene) -> list[Job]:
    """A job for each fault at each provider, looked at until nothing more is to come."""
    ids = []
    for n, fault in enumerate(FAULTS):
        for provider in PROVIDERS:
            job_id = f"{provider}-{n}"
            if fault:
                scene.control.script({**fault, "match": {"contains": f"for {job_id}."}})
            scene.accepted(provider, job_id)
            ids.append(job_id)
    for _ in range(60):
        scene.advance(1200)
        for step, job_id in scene.sweep():
            scene.run(step, job_id)
        for job_id in ids:
            scene.follow(job_id)
    return [scene.job(job_id) for job_id in ids]


def test_the_bill_is_our_sum_but_for_what_nobody_knows(scene: Scene) -> None:
    limited(scene, "apimart", prices={("kling-3.0-turbo", ""): Decimal("0.085")})

    jobs = played(scene)

    bill = billed(scene)
    known = {request_id for job in jobs for request_id in job.request_ids.values()}
    for job in jobs:
        money = job.money[1]
        on_bill = bill.get(job.request_ids.get(1, ""), Decimal(0))
        if money.standing is not Standing.UNKNOWN:
            assert from_millionths(money.counted) == on_bill, (job.id, money)
    ours = sum(from_millionths(m.counted) for job in jobs for m in job.money.values())
    unknown = [job for job in jobs if job.money[1].standing is Standing.UNKNOWN]
    difference = ours - sum(bill.values())
    unlisted = sum(amount for request_id, amount in bill.items() if request_id not in known)
    unsettled = sum(from_millionths(job.money[1].amount) for job in unknown)
    told = sum(bill.get(job.request_ids.get(1, ""), Decimal(0)) for job in unknown)
    assert difference == unsettled - told - unlisted
    assert {job.provider for job in unknown} >= {"evolink"}
    total = costs.report(scene.store, by=("provider",))["total"]
    assert Decimal(total["total"]["usd"]) == ours
    assert budget_differences(scene.store) == []


def test_with_the_rule_of_every_provider_known_failures_make_no_difference(scene: Scene) -> None:
    limited(scene, "evolink", charges_failures=True)
    scene.rule("generation", outcome="failed")
    scene.submitted("evolink")
    scene.finish()
    scene.look_when_due()

    assert scene.job().money[1].standing is Standing.SPENT
    assert sum(billed(scene).values()) == from_millionths(scene.job().money[1].amount)


@pytest.mark.parametrize(("price", "counted"), [("0.085", 0), ("0.0855", 0), ("0.09", 1), ("0.05", 1)])
def test_what_apimart_says_that_it_cost_is_our_amount_and_a_difference_is_counted(
    scene: Scene, price: str, counted: int
) -> None:
    limited(scene, "apimart", prices={("kling-3.0-turbo", ""): Decimal(price)})

    job = scene.generated("apimart")

    assert (job.money[1].amount, job.money[1].basis) == (255_000, "provider")
    assert scene.store.counters.all().get(Counter.COSTS_DIFFER, 0) == counted


def test_the_result_sums_all_attempts_and_shows_each(scene: Scene) -> None:
    from worker.jobs.result import result_of

    scene.expired("gmicloud")
    assert retry.retry("job-1", scene.services, pay_again=True).code
    job = scene.job()

    cost = result_of(job, None)["cost"]

    assert cost["total"] == {"unknown": "0.336000"}
    assert [attempt["standing"] for attempt in cost["attempts"]] == ["unknown"]
