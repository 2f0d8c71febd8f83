"""The choice of the provider that makes a spec, and every reason that speaks against one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from worker.errors import SpecError
from worker.jobs.spec import PROBLEMS, JobSpec, parse_spec
from worker.providers.model import ModelRules, similar


class CanMake(Protocol):
    """As much of a provider as the choice needs."""

    models: Mapping[str, ModelRules]

    def rules_for(self, spec: JobSpec) -> ModelRules | None: ...


def read_spec(fields: Mapping[str, Any], providers: Mapping[str, CanMake]) -> JobSpec:
    """Read a spec as `parse_spec` does; one that is refused is also told the model's problems.

    So one round is enough to mend it.
    """
    try:
        return parse_spec(fields)
    except SpecError as err:
        if err.unread is None:
            raise
        more = _readable_problems(fields, err.unread, providers)
        raise SpecError([*err.problems, *more][:PROBLEMS], unread=err.unread) from None


def choose_provider(spec: JobSpec, providers: Mapping[str, CanMake], unread: Collection[str] = ()) -> tuple[str, str]:
    """The first of *providers* that can make *spec*, with its own name for the model.

    The mapping's order is the preference; raises `SpecError` with what speaks against the one that comes nearest: the
    fewest problems, of equal ones the preferred. *unread* names fields that were given but could not be read.
    """
    if spec.provider is not None and spec.provider not in providers:
        raise SpecError([f"provider: there is no such provider here; there is {', '.join(providers) or 'none'}"])
    asked = [spec.provider] if spec.provider else list(providers)
    refusals: list[list[str]] = []
    for name in asked:
        rules = providers[name].rules_for(spec)
        if rules is None:
            continue
        against = rules.problems(spec, unread)
        if not against:
            return name, rules.name
        refusals.append(against)
    raise SpecError(min(refusals, key=len, default=[_unknown_model(spec.model, asked, providers)]))


def _readable_problems(
    fields: Mapping[str, Any], unread: Collection[str], providers: Mapping[str, CanMake]
) -> list[str]:
    """Check the part of a refused spec that could be read."""
    if not providers or "model" in unread:
        return []
    readable = {name: fields[name] for name in JobSpec.model_fields if name in fields and name not in unread}
    try:
        choose_provider(JobSpec.model_validate(readable), providers, unread)
    except SpecError as err:
        return list(err.problems)
    return []


def _unknown_model(model: str, asked: Sequence[str], providers: Mapping[str, CanMake]) -> str:
    if not asked:
        return "model: there is no such model here; no provider is configured"
    where = "here" if len(asked) > 1 else f"at {asked[0]}"
    return f"model: there is no such model {where}; {similar(model, [providers[name].models for name in asked])}"
