"""A provider's list of requests, page by page from the newest back to a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from worker.errors import ProviderError
from worker.providers.base import Ask, ProviderEvent
from worker.providers.http import TOO_LONG

MOST_PAGES = 200
"""Of a list: twenty thousand requests between a POST and the look for it."""


@dataclass(frozen=True)
class Page:
    """One page of a list; *cursor* leads to the next, empty: this is the last."""

    events: Sequence[ProviderEvent]
    cursor: str


def newest_first(provider: str, read: Callable[[str], Page], *, since: int, ask: Ask) -> Iterator[ProviderEvent]:
    """The events of the list as far back as *since*, Unix ms; *read* GETs the page of a cursor, the first for "".

    Raises `ProviderError` where the list cannot be read, or does not end.
    """
    cursor = ""
    for _ in range(MOST_PAGES):
        page = ask(partial(read, cursor))
        yield from page.events
        times = [event.created_at for event in page.events if event.created_at is not None]
        if not page.cursor or (times and min(times) < since):
            return
        cursor = page.cursor
    raise ProviderError(provider, TOO_LONG, f"its list does not end within {MOST_PAGES} pages")
