"""The event in a callback's body, in each of its common shapes.

The documented shape comes first. Relays also put the record into an array or under a name of their own; a reader that
knows one shape only would lose the request id of a job whose POST has an unknown outcome.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from worker.errors import CallbackError
from worker.guard.bounded_json import UnreadableError, read_strictly
from worker.providers.base import Provider, ProviderEvent

log = logging.getLogger(__name__)

WRAPPERS = ("data", "task", "event", "payload", "body", "result", "object", "callback")
"""Names under which a record may lie, best first."""

MOST_RECORDS = 8
"""Records of one body that are tried."""


def read(provider: Provider, body: bytes) -> ProviderEvent:
    """Return the event in *body*; `CallbackError` when no record in it is a callback of *provider*'s."""
    if body.lstrip()[:1] == b"[":
        body = b'{"data":' + body + b"}"
    try:
        document = read_strictly(body)
    except UnreadableError as err:
        raise CallbackError("json", str(err)) from err
    try:
        return _parse(provider, body)
    except CallbackError as err:
        for record in islice(_wrapped(document), MOST_RECORDS):
            try:
                return _parse(provider, json.dumps(record).encode())
            except CallbackError:
                continue
        raise err from None


def _parse(provider: Provider, body: bytes) -> ProviderEvent:
    try:
        return provider.parse_callback(body)
    except CallbackError:
        raise
    except Exception as err:
        # A surprise for the adapter is still only input, and a 5xx would have it sent again.
        # No traceback: its last line may quote the body.
        log.error("adapter.failed", extra={"provider": provider.name, "reason": type(err).__name__})
        raise CallbackError("unreadable", f"the {provider.name} adapter could not read it") from err


def _wrapped(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the records under the wrappers' names, one level down and then two, also those in lists."""
    level = [document]
    for _ in range(2):
        level = [record for outer in level for name in WRAPPERS for record in _records(outer.get(name))]
        yield from level


def _records(value: Any) -> list[Mapping[str, Any]]:
    found = value if isinstance(value, list) else [value]
    return [record for record in found if isinstance(record, dict)]
