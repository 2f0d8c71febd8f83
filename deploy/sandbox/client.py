"""The control plane from Python, for tests and demos."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import urllib3


class ControlError(Exception):
    """The control plane refused; the message is its own."""


class SandboxControl:
    """Talks to the control plane of the sandbox at *base_url* (`https://127.0.0.1:8443`)."""

    def __init__(self, base_url: str, ca_file: str | Path, *, token: str | None = None) -> None:
        self._url = base_url.rstrip("/").removesuffix("/_control") + "/_control"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        trust = ssl.create_default_context(cafile=str(ca_file))
        self._pool = urllib3.PoolManager(ssl_context=trust, retries=False, timeout=60.0, maxsize=4)

    def history(
        self, *, since: int = 0, provider: str | None = None, request_id: str | None = None, kind: str | None = None
    ) -> list[dict[str, Any]]:
        """List the events after sequence number *since*; *kind* is `call`, `callback` or `download`."""
        filters = {"provider": provider, "request_id": request_id, "kind": kind}
        query = {"since": str(since), **{name: value for name, value in filters.items() if value is not None}}
        entries: list[dict[str, Any]] = self._call("GET", "history", query=query)["entries"]
        return entries

    def requests(self, provider: str | None = None) -> list[dict[str, Any]]:
        """Every generation that was accepted, oldest first, with its state now."""
        found: list[dict[str, Any]] = self._call("GET", "requests", query={"provider": provider} if provider else {})[
            "requests"
        ]
        return found

    def script(self, *rules: dict[str, Any]) -> list[int]:
        """Put rules behind those in force; returns their numbers. `README.md` has the table."""
        numbers: list[int] = self._call("POST", "script", {"rules": list(rules)})["rules"]
        return numbers

    def rules(self) -> list[dict[str, Any]]:
        """The rules that are still in force, with how often each may yet be used (`left`)."""
        held: list[dict[str, Any]] = self._call("GET", "script")["rules"]
        return held

    def now(self) -> float:
        """The time on the sandbox's clock, Unix seconds."""
        return float(self._call("GET", "clock")["now"])

    def advance(self, seconds: float) -> float:
        """Move the clock on; what falls due happens at once. Returns the new time."""
        return float(self._call("POST", "clock", {"advance_seconds": seconds})["now"])

    def callback(self, request_id: str, **order: Any) -> list[dict[str, Any]]:
        """Send a callback now and wait for the answer; returns the deliveries' history entries."""
        sent: list[dict[str, Any]] = self._call("POST", "callback", {"request_id": request_id, **order})["deliveries"]
        return sent

    def signing(self) -> dict[str, dict[str, list[str]]]:
        """The keys with which each provider signs its callbacks: `secrets` (`whsec_...`), or `x` of a public set."""
        told: dict[str, dict[str, list[str]]] = self._call("GET", "signing")
        return told

    def sign(self, provider: str, **order: Any) -> dict[str, list[str]]:
        """Change how *provider* signs, by `rotate` or `keys`; returns its keys, the newest first."""
        told: dict[str, list[str]] = self._call("POST", "signing", {"provider": provider, **order})
        return told

    def bill(self) -> dict[str, Any]:
        """The cost of every request so far, and the sums by provider, in USD (`bill.py`)."""
        told: dict[str, Any] = self._call("GET", "bill")
        return told

    def charge_failures(self, provider: str, is_charged: bool) -> None:
        """Have *provider* charge requests that fail, or refund them."""
        self._call("POST", "bill", {"provider": provider, "charges_failures": is_charged})

    def reset(self) -> None:
        """Forget rules, requests, history and planned callbacks; the clock shows wall time again."""
        self._call("POST", "reset")

    def _call(self, method: str, name: str, body: Any = None, *, query: dict[str, str] | None = None) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        fields = query if method == "GET" else None
        response = self._pool.request(method, f"{self._url}/{name}", body=sent, fields=fields, headers=self._headers)
        answer = json.loads(response.data)
        if response.status != 200:
            raise ControlError(answer["error"])
        return answer
