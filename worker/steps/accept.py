"""Accept: turn a spec into a recorded job, once per job id.

From here on the job cannot be lost; before, it is only somebody's message.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from worker.errors import SpecConflict, SpecError
from worker.jobs import order_terms
from worker.jobs.job import is_job_id
from worker.jobs.spec import JobSpec
from worker.providers.choice import choose_provider, read_spec
from worker.providers.model import ModelRules
from worker.services import Services
from worker.store import Fields, Reply
from worker.store.counters import Counter

log = logging.getLogger(__name__)

BAD_ID = "job id: must be 1 to 64 of A-Z, a-z, 0-9, '_' and '-'"


def run(
    job_id: str, fields: Mapping[str, Any], services: Services, *, request: str | None = None, batch: str = ""
) -> Reply:
    """Record *job_id* with the spec in *fields*; `repeat` when that very job exists already.

    *request* is the caller's Celery request as JSON, kept for the result; *batch* names what it is ordered with.
    Raises `SpecError` (nothing recorded), `SpecConflict` (the first job untouched)
    and `StoreError` (unknown: the same call again is safe).
    """
    spec: JobSpec | None = None
    try:
        spec = read_spec(fields, services.providers)
        provider, model = choose_provider(spec, services.providers)
        rules = services.providers[provider].models[model]
        if problems := term_problems(spec, rules, services):
            raise SpecError(problems)
    except SpecError as err:
        if not is_job_id(job_id):
            raise SpecError([BAD_ID, *err.problems]) from None
        reply = _known(job_id, spec, services, request)
        if reply is None:
            raise
    else:
        if not is_job_id(job_id):
            raise SpecError([BAD_ID])
        reply = _record(job_id, spec, rules, services, request, batch)
    if reply.word == "conflict":
        services.store.counters.add(Counter.SPEC_CONFLICTS)
        log.warning("job.conflicted", extra={"job_id": job_id})
        raise SpecConflict(job_id)
    log.info("job.accepted", extra={"job_id": job_id, "outcome": reply.word})
    return reply


def term_problems(spec: JobSpec, rules: ModelRules, services: Services) -> list[str]:
    """Find what could never be submitted or told on the spec's own terms, or within the caps."""
    cost = rules.cost(spec)
    problems: list[str] = []
    limits = [(cap.name.setting, cap.most) for cap in services.settings.caps.holding(spec.tenant or "")]
    if spec.max_cost:
        limits.append(("max_cost", Decimal(spec.max_cost)))
    for name, most in limits:
        if cost is None:
            what = f"model: the price of {rules.title} is unknown, and {name} is set"
            problems.append(f"{what}: set {rules.provider.upper()}_PRICES")
        elif Decimal(cost["amount"]) > most:
            problems.append(f"duration: costs {cost['amount']} USD at {rules.provider}, and {name} is {most}")
    if spec.not_before and order_terms.instant(spec.not_before) - services.store.clock.now() > order_terms.AHEAD_MS:
        problems.append("not_before: lies more than 30 days ahead")
    if spec.notify_url and (refusal := services.notifications.refusal(spec.notify_url)):
        problems.append(f"notify_url: {refusal}")
    return problems


def _record(
    job_id: str, spec: JobSpec, rules: ModelRules, services: Services, request: str | None, batch: str
) -> Reply:
    cost = rules.cost(spec)
    begins_at = order_terms.instant(spec.not_before) if spec.not_before else None
    facts: Fields = {
        "cost": json.dumps(cost, separators=(",", ":")) if cost else "",
        "kind": rules.kind(spec) or "",
        "tenant": spec.tenant or "",
        "batch": batch,
        "give_up_after": "" if spec.give_up_after is None else str(spec.give_up_after),
        "not_before": "" if begins_at is None else str(begins_at),
    }
    return services.store.jobs.accept(
        job_id,
        spec_json=spec.canonical_json(),
        spec_sha256=spec.sha256,
        provider=rules.provider,
        model=rules.name,
        request=request,
        due_in_ms=0 if begins_at is None else services.timing.rest_ms(services.store.clock.now(), begins_at),
        facts=facts,
        notifies=services.notifications.wants(spec.notify_url),
    )


def _known(job_id: str, spec: JobSpec | None, services: Services, request: str | None) -> Reply | None:
    """Match a spec that cannot be made now with a job that exists; None when there is no such job.

    It may be the job's own all the same: a provider that could make it has been taken out since.
    """
    job = services.store.jobs.get(job_id)
    if job is None:
        return None
    if spec is None or spec.sha256 != job.spec_sha256:
        return Reply("conflict", job)
    if request is not None:
        services.store.history.save_request(job_id, request)
    return Reply("repeat", job)
