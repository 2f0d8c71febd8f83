"""A callback's event as the store keeps it: JSON text, and a fingerprint to know it again.

The receiver writes it, the archive step reads it. It carries the links, which
only matter where callbacks are believed unconfirmed (signed ones are), and leaves out the echo of
our own request: that holds the prompt, and the spec has a key of its own.
"""

from __future__ import annotations

import json
from hashlib import sha256

from worker.jobs.job import Link
from worker.providers.base import EventKind, ProviderEvent

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def dump(event: ProviderEvent) -> str:
    """*event* as sorted, compact JSON; `load` reads it back, but for `payload`."""
    links = [{"url": link.url, "expires_at": link.expires_at} for link in event.links]
    return _encode({**vars(event), "links": links, "usage": dict(event.usage), "payload": None})


def load(text: str) -> ProviderEvent:
    """Read the text that `dump` wrote."""
    fields = json.loads(text)
    fields["kind"] = EventKind(fields["kind"])
    fields["links"] = tuple(Link(**link) for link in fields["links"])
    return ProviderEvent(**fields)


def fingerprint(provider: str, event: ProviderEvent) -> str:
    """Equal for two deliveries that say the same, whatever their bytes.

    An adapter may work out when a link ends from the time of reading, so the
    ends are left out: a redelivery would look new.
    """
    links = [link.url for link in event.links]
    meaning = [event.request_id, event.kind, event.status, event.progress, links, event.error_code, event.error_message]
    return sha256(_encode([provider, *meaning, dict(event.usage), event.is_verified]).encode()).hexdigest()
