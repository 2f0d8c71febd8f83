"""The same act at the command line and over the API, to be copied."""

from __future__ import annotations

import json
import shlex
from typing import Any


def command_line(act: str, job_id: str, *, pay_again: bool = False, event_no: int | None = None) -> str:
    """The act as `callsheet` takes it."""
    more = ["--pay-again"] if pay_again else []
    more += ["--event", str(event_no)] if event_no else []
    return shlex.join(["callsheet", act, job_id, *more])


def curl_line(origin: str, act: str, job_id: str, *, pay_again: bool = False, event_no: int | None = None) -> str:
    """The act as the API takes it; the token comes from the shell's own `$TOKEN`."""
    body: dict[str, Any] = {**({"pay_again": True} if pay_again else {}), **({"event": event_no} if event_no else {})}
    url = shlex.quote(f"{origin}/v1/jobs/{job_id}/{act}")
    return f'curl -H "Authorization: Bearer $TOKEN" --json {shlex.quote(json.dumps(body))} {url}'
