"""The cheapest calls of a provider that only read, with our key: do they say what our facts say?

Nothing is created, changed or paid. What differs is told; nothing is changed by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from worker.errors import ProviderError
from worker.jobs.spec import JobSpec
from worker.operations.doctor.findings import Finding, fail, ok, warn
from worker.providers.base import Provider
from worker.providers.model import ModelRules
from worker.providers.schemas import described, differences

RECORDS = 5
ADVICE = "tell the project, and correct it with CALLSHEET_CATALOGUE or <PROVIDER>_FIELD_NAMES"


def look(provider: Provider) -> Iterator[Finding]:
    """Balance, list and schemas, as far as the provider has them."""
    yield from _account(provider)
    if provider.can_list:
        yield from _list(provider)
    else:
        yield ok("list", f"{provider.name} has none")
    yield from schemas(provider)


def schemas(provider: Provider) -> Iterator[Finding]:
    """Compare each model's fields with the provider's own description of them."""
    if not provider.has_schemas:
        yield ok("schema", f"{provider.name} describes its models nowhere but in its pages")
        return
    for rules in provider.models.values():
        yield _schema(provider, rules)


def _account(provider: Provider) -> Iterator[Finding]:
    try:
        provider.check_key()
    except ProviderError as err:
        yield fail("account", f"{provider.name}: {err.detail}", f"check {provider.name.upper()}_API_KEY")
        return
    yield ok("account", f"{provider.name} takes our key")


def _list(provider: Provider) -> Iterator[Finding]:
    rules = next(iter(provider.models.values()))
    try:
        events = list(islice(provider.recent(JobSpec(model=rules.name)), RECORDS))
    except ProviderError as err:
        yield warn("list", f"{provider.name}: {err.detail}", "an unconfirmed POST cannot be looked up there")
        return
    if not events:
        yield ok("list", f"{provider.name} answers; it has no request of {rules.name} to look at")
        return
    lacking = {
        "creation time": [event for event in events if event.created_at is None],
        "echo of what was sent": [event for event in events if event.payload is None],
    }
    for what, without in lacking.items():
        if without:
            yield warn("list", f"{provider.name}: {len(without)} of {len(events)} records have no {what}", ADVICE)
    if not any(lacking.values()):
        yield ok("list", f"{provider.name}: {len(events)} records have their time and their payload")


def _schema(provider: Provider, rules: ModelRules) -> Finding:
    try:
        theirs = described(provider.schema(rules))
    except ProviderError as err:
        return warn("schema", f"{rules.title}: {err.detail}", "is the model open to this key?")
    if not theirs:
        return warn("schema", f"{rules.title}: its answer describes no fields that can be read", ADVICE)
    told = differences(rules, theirs)
    if told:
        return warn("schema", f"{rules.title}: {'; '.join(told)}", ADVICE)
    return ok("schema", f"{rules.title} is as the catalogue has it")
