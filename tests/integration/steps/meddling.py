"""Things that happen before and after the calls of a step: crashes, outages, other workers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from worker.errors import StoreError
from worker.jobs.spec import JobSpec
from worker.providers.base import Provider, ProviderEvent, Submission
from worker.store import Store

Hook = Callable[[], object]


def _nothing() -> None: ...


def meddled_store(like: Store, before: Mapping[str, Hook], after: Mapping[str, Hook]) -> Store:
    """A store with something happening before or after every call of the named methods: `jobs.move`."""
    store = copy.copy(like)
    for name in {*before, *after}:
        part_name, _, method_name = name.partition(".")
        part = copy.copy(getattr(store, part_name))
        method = getattr(part, method_name)
        setattr(part, method_name, _meddled(method, before.get(name, _nothing), after.get(name, _nothing)))
        setattr(store, part_name, part)
    return store


def _meddled(method: Callable[..., Any], before: Hook, after: Hook) -> Callable[..., Any]:
    def meddled(*args: Any, **options: Any) -> Any:
        before()
        answer = method(*args, **options)
        after()
        return answer

    return meddled


def failing(times: int = 1) -> Hook:
    """A Redis that is away so many times: before a method the write is lost, after it only the answer."""
    left = iter(range(times))

    def fail() -> None:
        if next(left, None) is not None:
            raise StoreError("Redis is away")

    return fail


def once(happening: Hook) -> Hook:
    """*happening*, the first time only: it may itself use what it meddles with."""
    left = iter([happening])
    return lambda: next(left, _nothing)()


class Meddler:
    """A provider with something happening before or after its POST is sent, or before a GET."""

    def __init__(
        self,
        provider: Provider,
        *,
        before_submit: Hook = _nothing,
        after_submit: Callable[[Submission], object] = lambda _: None,
        after_fetch: Hook = _nothing,
    ) -> None:
        self._provider = provider
        self._before_submit = before_submit
        self._after_submit = after_submit
        self._after_fetch = after_fetch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    def submit(self, spec: JobSpec, **given: Any) -> Submission:
        self._before_submit()
        submission = self._provider.submit(spec, **given)
        self._after_submit(submission)
        return submission

    def fetch(self, request_id: str) -> ProviderEvent:
        event = self._provider.fetch(request_id)
        self._after_fetch()
        return event


def killed(*_: object) -> None:
    """Kill the process here: it does nothing more."""
    raise KeyboardInterrupt
