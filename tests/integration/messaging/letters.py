"""Messages as they stand in a Redis queue, well-formed but for what a test changes."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

EMBED: Mapping[str, Any] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def letter(
    task: Any = "callsheet.submit",
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    embed: Any = EMBED,
    body: bytes | None = None,
    headers: Mapping[str, Any] | None = None,
    properties: Mapping[str, Any] | None = None,
    content_type: Any = "application/json",
) -> bytes:
    """A message for *task*; a header or property that is `...` is left out."""
    task_id = str(uuid.uuid4())
    content = json.dumps([list(args), dict(kwargs or {}), embed]).encode() if body is None else body
    named = {"lang": "py", "task": task, "id": task_id, "root_id": task_id, "retries": 0, "timelimit": [None, None]}
    sent = {
        "delivery_tag": str(uuid.uuid4()),
        "delivery_info": {"exchange": "", "routing_key": "callsheet"},
        "body_encoding": "base64",
        "correlation_id": task_id,
        "priority": 0,
    }
    message = {
        "body": base64.b64encode(content).decode(),
        "content-encoding": "utf-8",
        "content-type": content_type,
        "headers": _with(named, headers),
        "properties": _with(sent, properties),
    }
    return json.dumps(message).encode()


def _with(fields: Mapping[str, Any], changes: Mapping[str, Any] | None) -> dict[str, Any]:
    changed = {**fields, **(changes or {})}
    return {name: value for name, value in changed.items() if value is not ...}
