"""Quote: which provider and model would take a spec now, at what cost and until when; nothing is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from worker.errors import SpecError
from worker.jobs.job import Job
from worker.jobs.order_terms import instant
from worker.jobs.spec import JobSpec
from worker.jobs.states import JobState
from worker.jobs.wait_codes import WaitCode
from worker.operations.eta import eta
from worker.operations.explain import View
from worker.operations.view import Reader
from worker.operations.waits import code_of
from worker.providers.choice import choose_provider, read_spec
from worker.providers.model import ModelRules
from worker.services import Services
from worker.steps.accept import term_problems


def quote(fields: Mapping[str, Any], reader: Reader, services: Services) -> dict[str, Any]:
    """The quote for a program. `problems`: why the spec would be refused now, all of them; empty: it would be taken."""
    try:
        spec = read_spec(fields, services.providers)
        provider, model = choose_provider(spec, services.providers)
    except SpecError as err:
        return {**dict.fromkeys(("provider", "model", "cost", "seconds", "eta", "waits_for")), "problems": err.problems}
    rules = services.providers[provider].models[model]
    view = _as_if_ordered(spec, rules, reader)
    estimate = eta(view)
    return {
        "provider": provider,
        "model": model,
        "cost": rules.cost(spec),
        "seconds": rules.duration(spec),
        "eta": None if estimate is None else estimate.document(),
        "waits_for": str(code_of(view)),
        "problems": term_problems(spec, rules, services),
    }


def _as_if_ordered(spec: JobSpec, rules: ModelRules, reader: Reader) -> View:
    """The view of a job of *spec* as if it were accepted now, behind all that wait for the same provider."""
    now = reader.store.clock.now()
    job = Job(
        id="quote",
        state=JobState.ACCEPTED,
        ver=1,
        provider=rules.provider,
        model=rules.name,
        accepted_at=now,
        state_at=now,
        kind=rules.kind(spec),
        not_before=instant(spec.not_before) if spec.not_before else None,
    )
    standing = reader.standing(rules.provider)
    held = standing.submit if standing else None
    waits = ""
    if rules.provider in reader.store.pauses.paused():
        waits = str(WaitCode.PAUSED)
    elif held is not None and held.open_why:
        waits = str(WaitCode.BREAKER)
    view = reader.viewed(replace(job, waits=waits), now, now)
    return replace(view, ahead=lambda: held.waiting if held else 0)
