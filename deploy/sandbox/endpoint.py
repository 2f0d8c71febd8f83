"""A provider's desk: takes submits and polls in any wire format, and keeps the generations behind them."""

from __future__ import annotations

import itertools
import random
import secrets
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from deploy.sandbox.answers import Answer, Call, Refusal, json_answer
from deploy.sandbox.clock import Clock
from deploy.sandbox.deliveries import Deliveries
from deploy.sandbox.faults import (
    CallbackRule,
    GenerationRule,
    PollRule,
    RuleBook,
    Subject,
    SubmitRule,
)
from deploy.sandbox.generations import Asked, Fate, Generation, Generations, Outcome
from deploy.sandbox.wire_format import Route, Wire

KEY_HEADER = "idempotency-key"
AS_EVER = CallbackRule(on="callback")
WHAT_ERRORS_SAY = {
    401: ("unauthorized", "invalid API key"),
    402: ("insufficient_quota", "insufficient credits"),
    403: ("model_access_denied", "access denied"),
    404: ("not_found", "not found"),
    429: ("rate_limit_exceeded", "too many requests"),
    503: ("service_unavailable", "the service is overloaded"),
}


@dataclass(frozen=True)
class Office:
    """State that the endpoints of all providers share."""

    clock: Clock
    generations: Generations
    rules: RuleBook
    deliveries: Deliveries
    rng: random.Random
    numbers: itertools.count[int]
    usual_seconds: float
    api_keys: Collection[str]  # empty: any key will do


class Desk:
    """One provider, on the wire."""

    def __init__(self, wire: Wire, office: Office) -> None:
        self.wire = wire
        self._office = office
        self._keys: dict[str, tuple[bytes, str]] = {}  # of orders: the body, and the id of the request

    def answer(self, call: Call, path: str) -> Answer:
        """Answer a call whose path below the provider's prefix is *path*."""
        try:
            if (document := self.wire.public(call.method, path)) is not None:
                return json_answer(200, document)
            self._check_key(call.key(self.wire.scheme))
            route = self.wire.route(call.method, path)
            if route is None:
                raise Refusal(404, "not_found", "no such endpoint")
            return self._routed(call, route)
        except Refusal as refusal:
            return json_answer(self.wire.status_of(refusal), self.wire.error(refusal))

    def _check_key(self, key: str) -> None:
        if not key or (self._office.api_keys and key not in self._office.api_keys):
            raise Refusal(401, "unauthorized", "invalid or missing API key")

    def _routed(self, call: Call, route: Route) -> Answer:
        if route.verb == "submit":
            return self._submit(call, route)
        if route.verb == "list":
            return self._list(call)
        if route.verb == "account":
            return json_answer(200, self.wire.account())
        generation = self._generation_of(route, call)
        if route.verb == "cancel":
            return self._cancel(generation)
        return self._result(generation) if route.verb == "result" else self._poll(generation)

    def _generation_of(self, route: Route, call: Call) -> Generation:
        request_id = self.wire.named(route, call.query, self._held())
        generation = self._office.generations.find(self.wire.name, request_id)
        if generation is None:
            raise self.wire.unknown()
        return generation

    def _held(self) -> list[Generation]:
        """All that this provider has, the newest first."""
        return [item for item in self._office.generations.newest_first() if item.provider == self.wire.name]

    # --- submit

    def _submit(self, call: Call, route: Route) -> Answer:
        try:
            body = call.json()
        except (ValueError, RecursionError):
            raise Refusal(400, "invalid_request", "the body is not JSON") from None
        rule = self._office.rules.take(SubmitRule, "submit", _asker(self.wire.name, body, route))
        if rule and not rule.creates:
            return self._spoiled(rule, json_answer(200, {}))
        if rule and rule.honours_key and (known := self._replayed(call)):
            return self._spoiled(rule, known)
        asked = self.wire.order(body, route, call.query)
        if asked.external_id and any(item.asked.external_id == asked.external_id for item in self._held()):
            raise Refusal(400, "1201", "external_task_id is used already", param="external_task_id")
        answer = self._accept(call, asked)
        self._keys[call.headers.get(KEY_HEADER, "")] = (call.body, str(answer.request_id))
        return self._spoiled(rule, answer) if rule else answer

    def _replayed(self, call: Call) -> Answer | None:
        """The answer to an order that was sent before under the same key; None: it was not."""
        body, request_id = self._keys.get(call.headers.get(KEY_HEADER, ""), (b"", ""))
        generation = self._office.generations.find(self.wire.name, request_id)
        if generation is None:
            return None
        if body != call.body:
            raise Refusal(409, "idempotency_key_reused", "the key was used with another body")
        answer = json_answer(200, self.wire.submitted(generation), headers={"Idempotency-Replayed": "true"})
        return replace(answer, request_id=request_id)

    def _accept(self, call: Call, asked: Asked) -> Answer:
        office = self._office
        subject = Subject.asking(self.wire.name, asked)
        destiny = office.rules.take(GenerationRule, "generation", subject)
        rule = office.rules.take(CallbackRule, "callback", subject) or AS_EVER
        fate = destiny.fate(office.usual_seconds) if destiny else Fate(office.usual_seconds)
        early = rule.early and asked.callback_url is not None
        generation = self._generation(call, asked, replace(fate, seconds=0.0) if early else fate)
        office.generations.add(generation)
        if early:
            office.deliveries.send_early(generation, rule, self.wire)
        answer = json_answer(self.wire.submit_status, self.wire.submitted(generation))
        return replace(
            answer,
            request_id=generation.request_id,
            after=lambda: office.deliveries.schedule(generation, rule, self.wire),
        )

    def _generation(self, call: Call, asked: Asked, fate: Fate) -> Generation:
        now = self._office.clock.now()
        return Generation(
            request_id=self.wire.new_id(self._office.rng),
            number=next(self._office.numbers),
            provider=self.wire.name,
            asked=asked,
            fate=fate,
            created_at=now,
            base_url=call.base_url,
            tokens=tuple(secrets.token_urlsafe(24) for _ in range(fate.videos)),
            stored_bytes=len(call.body),
            link_seconds=self.wire.link_seconds,
        )

    # --- poll and list, result and cancel

    def _poll(self, generation: Generation) -> Answer:
        office = self._office
        now = office.clock.now()
        rule = office.rules.take(PollRule, "poll", Subject.of(generation))
        if rule and rule.not_found_seconds and now < generation.created_at + rule.not_found_seconds:
            raise self.wire.unknown()
        document = self.wire.record(generation, now, rule.status_word if rule else None)
        answer = json_answer(self.wire.poll_status(generation, now), document)
        answer = replace(answer, request_id=generation.request_id)
        return self._spoiled(rule, answer) if rule else answer

    def _result(self, generation: Generation) -> Answer:
        rule = self._office.rules.take(PollRule, "result", Subject.of(generation))
        answer = replace(self.wire.result(generation, self._office.clock.now()), request_id=generation.request_id)
        return self._spoiled(rule, answer) if rule else answer

    def _cancel(self, generation: Generation) -> Answer:
        office = self._office
        now = office.clock.now()
        answer = replace(self.wire.cancelled(generation, now), request_id=generation.request_id)
        ended = replace(generation.fate, seconds=now - generation.created_at, outcome=Outcome.CANCELLED, videos=0)
        stopped = replace(generation, fate=ended)
        office.generations.swap(stopped)
        rule = office.rules.take(PollRule, "cancel", Subject.of(generation))
        answer = replace(answer, after=lambda: office.deliveries.schedule(stopped, AS_EVER, self.wire))
        return self._spoiled(rule, answer) if rule else answer

    def _list(self, call: Call) -> Answer:
        office = self._office
        answer = json_answer(200, self.wire.page(call, self._held(), office.clock.now()))
        rule = office.rules.take(PollRule, "list", Subject(self.wire.name, call.query.get("model_id")))
        return self._spoiled(rule, answer) if rule else answer

    def _spoiled(self, rule: SubmitRule | PollRule, answer: Answer) -> Answer:
        """*answer* as *rule* would have it; what must follow a real answer still follows."""
        if rule.replaces:
            stand_in = rule.answer(self._error_body)
            answer = replace(stand_in, request_id=answer.request_id, after=answer.after)
        if rule.slow_seconds and answer.after:
            answer.after()  # the generation does not wait for a slow answer
            answer = replace(answer, after=None)
        return answer.sent(rule.sending)

    def _error_body(self, status: int) -> Any:
        code, message = WHAT_ERRORS_SAY.get(status, ("internal_error", "internal error"))
        return self.wire.error(Refusal(status, code, message))


def _asker(provider: str, body: Any, route: Route) -> Subject:
    model = body.get("model", route.model or None) if isinstance(body, dict) else None
    return Subject(provider, model if isinstance(model, str) else None, None, body if isinstance(body, dict) else None)
