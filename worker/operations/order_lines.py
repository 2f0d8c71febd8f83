"""Orders by the line: a file of specs, one JSON object a line, that can be sent again after any end.

Without a `job_id` of its own, a line's id is made of its content, and of how many lines before it say the same. So the
same file sent again orders what is missing and pays nothing twice, wherever it was cut off.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from worker.errors import SpecConflict, SpecError
from worker.guard.bounded_json import SPEC_BOUNDS, UnreadableError, read_strictly
from worker.jobs.job import is_job_id
from worker.jobs.spec import SPEC_BYTES
from worker.steps.accept import BAD_ID
from worker.store import Store

Order = Callable[[Mapping[str, Any], str], object]
"""Records a job of that spec and id, and nudges it; raises `CallsheetError`."""


@dataclass(frozen=True)
class Ordered:
    """The outcome of one line, counted from 1. *is_known*: its job was there before. *error*: it was refused."""

    line: int
    job_id: str | None
    is_known: bool = False
    error: SpecError | SpecConflict | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the line was refused; empty: its job is recorded."""
        if self.error is None:
            return ()
        return self.error.problems if isinstance(self.error, SpecError) else (str(self.error),)


def order_lines(lines: Iterable[bytes], take: Order, store: Store) -> Iterator[Ordered]:
    """Order line by line; empty lines are passed over. Raises `StoreError`: what was told so far is recorded."""
    seen = Counter[str]()
    for number, text in enumerate(lines, 1):
        if text.strip():
            yield _ordered(number, text, take, store, seen)


def _ordered(number: int, text: bytes, take: Order, store: Store, seen: Counter[str]) -> Ordered:
    job_id: str | None = None
    try:
        spec = _read(text)
        job_id = spec.pop("job_id") if "job_id" in spec else _derived(spec, seen)
        if not is_job_id(job_id):
            raise SpecError([BAD_ID])
        is_known = store.jobs.knows(job_id)
        take(spec, job_id)
    except (SpecError, SpecConflict) as err:
        return Ordered(number, job_id if is_job_id(job_id) else None, error=err)
    return Ordered(number, job_id, is_known)


def _read(text: bytes) -> dict[str, Any]:
    if len(text) > SPEC_BYTES:
        raise SpecError([f"the line is over {SPEC_BYTES // 2**20} MiB"])
    try:
        return read_strictly(text, SPEC_BOUNDS)
    except UnreadableError as err:
        raise SpecError([f"the line is no spec: {err}"]) from None


def _derived(spec: Mapping[str, Any], seen: Counter[str]) -> str:
    """The id of a line without one: the same for the same content, whatever the order of its fields."""
    content = json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:40]
    seen[digest] += 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
