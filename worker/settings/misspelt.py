"""Names in the environment that look like ours and are none: a budget under a misspelt name would limit nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from functools import cache

NEAR = 0.9
"""Least likeness (`difflib`) of a name without our prefix to one of ours: `CALSHEET_BUCKET`, not `OPENAI_API_KEY`."""
A_LITTLE_NEAR = 0.8
"""The same for a name with our prefix, which is none of ours in any case."""

OF_KUBERNETES = re.compile(r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_\w+)?)?)")
"""Variables that Kubernetes adds to every pod for each Service, such as one that is named `callsheet`."""


def misspelt(env: Mapping[str, str], known: Collection[str], prefixes: Collection[str]) -> Iterator[str]:
    """A sentence for each variable that is set and surely meant for us, with the nearest name of *known*."""
    ours = re.compile(rf"({'|'.join(sorted(prefixes))})_\w+")
    names = frozenset(known)
    for name in sorted(env.keys() - names):
        if not env[name] or OF_KUBERNETES.fullmatch(name):
            continue
        if ours.fullmatch(name):
            nearest = _nearest(name, names, A_LITTLE_NEAR)
            advice = f"is {nearest} meant?" if nearest else "unset it, or see deploy/env.example"
            yield f"{name} is no variable of this version: {advice}"
        elif "_" in name and name.isupper() and (nearest := _nearest(name, names, NEAR)):
            yield f"{name} is no variable of ours: is {nearest} meant?"


@cache
def _nearest(name: str, known: frozenset[str], least: float) -> str | None:
    """The one of *known* that *name* is most like; kept, as a process reads its environment several times."""
    return next(iter(get_close_matches(name, sorted(known), 1, least)), None)
