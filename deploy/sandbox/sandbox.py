"""The sandbox without its sockets: one object that answers every call."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection
from dataclasses import dataclass, replace

from deploy.sandbox import media
from deploy.sandbox.answers import Answer, Call, json_answer
from deploy.sandbox.apimart import ApiMart
from deploy.sandbox.clock import Clock, Timetable
from deploy.sandbox.control import Control
from deploy.sandbox.deliveries import Deliveries
from deploy.sandbox.endpoint import Desk, Office
from deploy.sandbox.evolink import EvoLink
from deploy.sandbox.fal import Fal
from deploy.sandbox.faults import RuleBook
from deploy.sandbox.generations import Generations
from deploy.sandbox.gmicloud import GmiCloud
from deploy.sandbox.history import Entry, History, readable, without_secrets
from deploy.sandbox.kling import Kling
from deploy.sandbox.replicate import Replicate
from deploy.sandbox.signing import WEBHOOK_SECRET
from deploy.sandbox.wire_format import Wire

PROVIDERS = ("gmicloud", "evolink", "apimart", "kling", "fal", "replicate")


@dataclass(frozen=True)
class Options:
    """The settings that a user may choose."""

    generation_seconds: float = 3.0
    api_keys: Collection[str] = ()  # none: any key will do
    allow_loopback_callbacks: bool = False
    ca_file: str | None = None  # trusted for callbacks, beside the system's own roots
    control_token: str | None = None
    webhook_secret: str = WEBHOOK_SECRET  # of the providers that sign by Standard Webhooks


class Sandbox:
    """The providers, their videos, and the control plane."""

    def __init__(self, options: Options, *, clock: Clock | None = None, rng: random.Random | None = None) -> None:
        self.clock = clock or Clock()
        self.history = History(self.clock.now)
        self.generations = Generations()
        self.rules = RuleBook()
        self._timetable = Timetable(self.clock)
        self._deliveries = Deliveries(
            self.clock, self._timetable, self.history, self.generations, ca_file=options.ca_file
        )
        office = Office(
            clock=self.clock,
            generations=self.generations,
            rules=self.rules,
            deliveries=self._deliveries,
            rng=rng or random.SystemRandom(),
            numbers=itertools.count(1),
            usual_seconds=options.generation_seconds,
            api_keys=options.api_keys,
        )
        evolink = EvoLink(self.clock.now, allow_loopback_callbacks=options.allow_loopback_callbacks)
        secret, allow = options.webhook_secret, options.allow_loopback_callbacks
        signing: tuple[Wire, ...] = (
            Kling(secret, allow_loopback_callbacks=allow),
            Fal(allow_loopback_callbacks=allow),
            Replicate(secret, allow_loopback_callbacks=allow),
        )
        wires = {wire.name: wire for wire in (GmiCloud(), evolink, ApiMart(allow_loopback_callbacks=allow), *signing)}
        self._desks = {name: Desk(wire, office) for name, wire in wires.items()}
        self._media = media.Media(self.generations, self.rules, self.clock)
        self._control = Control(office, self.history, self._timetable, wires, options.control_token)

    def start(self) -> None:
        self._timetable.start()
        self._deliveries.start()

    def stop(self) -> None:
        self._timetable.stop()
        self._deliveries.stop()

    def answer(self, call: Call) -> tuple[Answer, Entry | None]:
        """The answer to *call*, and its entry in the history (none for the control plane)."""
        first, _, _ = call.path.removeprefix("/").partition("/")
        if first == "_control":
            return self._control.answer(call), None
        desk = self._desks.get(first)
        if desk is not None:
            return self._recorded(call, desk)
        if first == "media":
            return self._download(call)
        entry = self._write_down("call", call)
        answer = media.image(call.path) if first == "images" else json_answer(404, {"error": "no such page"})
        self.history.fill(entry, answer=answer.status)
        return answer, entry

    def _recorded(self, call: Call, desk: Desk) -> tuple[Answer, Entry]:
        entry = self._write_down("call", call, provider=desk.wire.name, body=readable(call.body))
        answer = desk.answer(call, call.path.removeprefix(f"/{desk.wire.name}"))
        self.history.fill(entry, answer=answer.status, request_id=answer.request_id)
        return answer, entry

    def _download(self, call: Call) -> tuple[Answer, Entry]:
        found = self._media.find(call.path)
        provider, request_id = (found[0].provider, found[0].request_id) if found else (None, None)
        entry = self._write_down("download", call, provider=provider, request_id=request_id)
        answer = replace(self._media.answer(call, found), request_id=request_id)
        self.history.fill(entry, answer=answer.status)
        return answer, entry

    def _write_down(
        self, kind: str, call: Call, *, provider: str | None = None, request_id: str | None = None, body: object = None
    ) -> Entry:
        return self.history.add(
            kind,
            size=min(len(call.body), 64 * 1024),
            provider=provider,
            request_id=request_id,
            method=call.method,
            path=call.path,
            query=dict(call.query),
            headers=without_secrets(call.headers),
            body=body,
            answer=None,
        )
