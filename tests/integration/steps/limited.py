"""A scene whose providers have limits, and what moves its jobs on."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from tests.integration.steps.conftest import Scene
from worker import providers as provider_adapters
from worker.jobs.caps import Caps
from worker.steps import Step

MORE = ("job-2", "job-3", "job-4")


def limited(scene: Scene, provider: str = "gmicloud", *, daily_budget: str | None = None, **limits: Any) -> Scene:
    """*scene* with a provider that may be used so much, and all with that budget."""
    settings = scene.services.settings
    changed = {**settings.providers, provider: replace(settings.providers[provider], **limits)}
    budget = Decimal(daily_budget) if daily_budget else None
    new = replace(settings, providers=changed, caps=Caps(budget))
    adapter: Any = scene.services.providers[provider]
    session = adapter.api._session
    scene.services = scene.but(settings=new, providers=provider_adapters.build(new, session))
    return scene


def tick(scene: Scene, seconds: float = 1.0) -> list[tuple[Step, str]]:
    """A second passes, the sweep ticks, and workers do what it nudges; what that was."""
    scene.advance(seconds)
    nudged = scene.sweep()
    for step, job_id in nudged:
        following: Step | None = step
        while following is not None:
            following = scene.run(following, job_id)
    return nudged


def accepted(scene: Scene, *job_ids: str, provider: str = "gmicloud") -> None:
    for job_id in job_ids:
        scene.accepted(provider, job_id)
        scene.advance(0.001)


def states(scene: Scene, *job_ids: str) -> list[str]:
    return [str(scene.job(job_id).state) for job_id in job_ids]
