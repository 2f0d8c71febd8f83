"""The control plane: what happened, what shall happen, and what time it is. Loopback only.

Everything is JSON; a mistake in a request is answered 400 with the field and the reason.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.sandbox.answers import Answer, Call, json_answer
from deploy.sandbox.bill import Bill
from deploy.sandbox.clock import Timetable
from deploy.sandbox.deliveries import Letter, encoded, letter_of
from deploy.sandbox.endpoint import Office
from deploy.sandbox.faults import RULES, Rule
from deploy.sandbox.generations import Generation
from deploy.sandbox.history import History
from deploy.sandbox.signing import FalSigner, Kind, Signer
from deploy.sandbox.wire_format import Wire


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Script(_Strict):
    rules: list[Any]


class _Advance(_Strict):
    advance_seconds: Annotated[float, Field(ge=0, le=400 * 24 * 3600)] = 0


class _Callback(_Strict):
    """A callback to send now. *change* is laid over the true body, *body* or *text* stand in for it."""

    request_id: str
    url: str | None = None
    status: str | None = None
    change: dict[str, Any] = {}
    body: Any = None
    text: str | None = None
    content_type: str = "application/json"
    signature: Kind = "true"
    copies: Annotated[int, Field(ge=1, le=50)] = 1
    at_once: bool = False


class _Signing(_Strict):
    """A change of how a provider signs. *rotate* takes a new key: beside the old one, or in its place."""

    provider: str
    rotate: Literal["standard", "emergency"] | None = None
    keys: Literal["up", "down"] = "up"  # whether a public key set is to be had


class _Failures(_Strict):
    """Whether a provider charges requests that fail."""

    provider: str
    charges_failures: bool


class Control:
    """Answers everything under `/_control`."""

    def __init__(
        self, office: Office, history: History, timetable: Timetable, wires: Mapping[str, Wire], token: str | None
    ) -> None:
        self._office = office
        self._history = history
        self._timetable = timetable
        self._wires = wires
        self._token = token
        self._bill = Bill()
        self._routes: dict[tuple[str, str], Callable[[Call], Any]] = {
            ("GET", "/_control/history"): self._read_history,
            ("GET", "/_control/requests"): self._read_requests,
            ("GET", "/_control/script"): self._read_script,
            ("POST", "/_control/script"): self._add_script,
            ("GET", "/_control/clock"): self._read_clock,
            ("POST", "/_control/clock"): self._move_clock,
            ("POST", "/_control/callback"): self._send_callback,
            ("GET", "/_control/signing"): self._read_signing,
            ("POST", "/_control/signing"): self._change_signing,
            ("GET", "/_control/bill"): self._read_bill,
            ("POST", "/_control/bill"): self._change_bill,
            ("POST", "/_control/reset"): self._reset,
        }

    def answer(self, call: Call) -> Answer:
        if not call.from_loopback:
            return json_answer(403, {"error": "the control plane is for this machine only"})
        if self._token is not None and not hmac.compare_digest(call.bearer.encode(), self._token.encode()):
            return json_answer(401, {"error": "wrong or missing control token"})
        run = self._routes.get((call.method, call.path))
        if run is None:
            return json_answer(404, {"error": f"no {call.method} {call.path}; see README.md of the sandbox"})
        try:
            return json_answer(200, run(call))
        except ValidationError as err:
            wrong = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in err.errors()]
            return json_answer(400, {"error": "; ".join(wrong)})
        except ValueError as err:
            return json_answer(400, {"error": str(err)})

    # --- what happened

    def _read_history(self, call: Call) -> dict[str, Any]:
        query = dict(call.query)
        since = int(query.pop("since", "0"))
        if unknown := set(query) - {"provider", "request_id", "kind"}:
            raise ValueError(f"history cannot be filtered by {', '.join(sorted(unknown))}")
        return {"entries": self._history.read(since=since, **query)}

    def _read_requests(self, call: Call) -> dict[str, Any]:
        provider = call.query.get("provider")
        held = list(self._office.generations.newest_first())[::-1]
        return {"requests": [self._described(item) for item in held if provider in (None, item.provider)]}

    def _described(self, generation: Generation) -> dict[str, Any]:
        now = self._office.clock.now()
        asked = generation.asked
        return {
            "request_id": generation.request_id,
            "provider": generation.provider,
            "model": asked.model,
            "state": generation.phase(now).value,
            "progress": generation.progress(now),
            "outcome": generation.fate.outcome.value,
            "created_at": generation.created_at,
            "finishes_at": generation.finishes_at,
            "links_die_at": generation.links_die_at,
            "links": generation.links,
            "video": {"seconds": asked.video_seconds, "width": asked.width, "height": asked.height},
            "callback_url": asked.callback_url,
        }

    def _read_bill(self, _call: Call) -> dict[str, Any]:
        return self._bill.told(list(self._office.generations.newest_first())[::-1], self._office.clock.now())

    # --- what shall happen

    def _change_bill(self, call: Call) -> dict[str, Any]:
        order = _Failures.model_validate(call.json())
        self._bill.charge_failures(order.provider, is_charged=order.charges_failures)
        return self._read_bill(call)

    def _read_script(self, _call: Call) -> dict[str, Any]:
        return {"rules": self._office.rules.listed()}

    def _add_script(self, call: Call) -> dict[str, Any]:
        rules: list[Rule] = RULES.validate_python(_Script.model_validate(call.json()).rules)
        return {"rules": self._office.rules.add(rules)}

    def _read_clock(self, _call: Call) -> dict[str, Any]:
        return {"now": self._office.clock.now()}

    def _move_clock(self, call: Call) -> dict[str, Any]:
        return {"now": self._office.clock.advance(_Advance.model_validate(call.json()).advance_seconds)}

    def _reset(self, _call: Call) -> dict[str, Any]:
        """Forget rules, requests, history and planned callbacks; the clock shows wall time again."""
        self._timetable.clear()
        self._office.rules.clear()
        self._office.generations.clear()
        self._history.clear()
        self._office.clock.reset()
        self._bill.reset()
        for signer in self._signers.values():
            signer.reset()
        return {"now": self._office.clock.now()}

    @property
    def _signers(self) -> dict[str, Signer]:
        return {name: wire.signer for name, wire in self._wires.items() if wire.signer}

    def _read_signing(self, _call: Call) -> dict[str, Any]:
        return {name: signer.told() for name, signer in self._signers.items()}

    def _change_signing(self, call: Call) -> dict[str, Any]:
        order = _Signing.model_validate(call.json())
        signer = self._signers.get(order.provider)
        if signer is None:
            raise ValueError(f"{order.provider} does not sign")
        if order.rotate:
            signer.rotate(keep_old=order.rotate == "standard")
        if isinstance(signer, FalSigner):
            signer.is_away = order.keys == "down"
        return signer.told()

    def _send_callback(self, call: Call) -> dict[str, Any]:
        order = _Callback.model_validate(call.json())
        generation = self._office.generations.by_id(order.request_id)
        if generation is None:
            raise ValueError(f"no request {order.request_id}")
        letter = self._letter(order, generation)
        deliveries = self._office.deliveries
        letters = [letter] * order.copies
        entries = deliveries.send_at_once(letters) if order.at_once else [deliveries.send(item) for item in letters]
        return {"deliveries": [{**entry, "sent": letter.body.decode(errors="replace")} for entry in entries]}

    def _letter(self, order: _Callback, generation: Generation) -> Letter:
        url = order.url or generation.asked.callback_url
        if url is None:
            raise ValueError(f"request {order.request_id} has no callback_url; give url")
        if not url.startswith("https://"):
            raise ValueError("url must be https")
        wire = self._wires[generation.provider]
        content = self._content(order, generation, wire)
        letter = letter_of(wire, generation, content, kind="ordered", signature=order.signature)
        return replace(letter, url=url, content_type=order.content_type)

    def _content(self, order: _Callback, generation: Generation, wire: Wire) -> bytes:
        if order.text is not None:
            return order.text.encode(errors="surrogatepass")
        if order.body is not None:
            return encoded(order.body)
        return encoded(wire.callback(generation, self._office.clock.now(), order.status) | order.change)
