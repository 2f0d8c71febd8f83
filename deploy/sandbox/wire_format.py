"""A provider's wire format, as the rest of the sandbox sees it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from deploy.sandbox.answers import Answer, Call, Refusal
from deploy.sandbox.generations import LINK_SECONDS, Asked, Generation
from deploy.sandbox.signing import Signer

LISTED = 100


@dataclass(frozen=True)
class Route:
    """The operation that a method and path name."""

    verb: Literal["submit", "poll", "list", "account", "result", "cancel"]
    request_id: str = ""
    model: str = ""  # where the path names it


class Wire(Protocol):
    """One provider's paths, bodies and words; what has a value here is the way of most."""

    name: str
    scheme: str = "Bearer"  # of its keys, in `Authorization`
    signer: Signer | None = None  # of its callbacks
    link_seconds: float = LINK_SECONDS
    retry_seconds: tuple[float, ...] = (1.0, 2.0, 4.0)  # after a callback that failed
    retries_refused: bool = True  # also after one that was answered 4xx
    id_name: str = "id"  # of the request id, in a callback
    submit_status: int = 200

    def route(self, method: str, path: str) -> Route | None:
        """The operation of the path below the provider's prefix; None for an unknown one.

        Raises `Refusal` for an id that this provider would not even look up.
        """

    def order(self, body: Any, route: Route, query: Mapping[str, str]) -> Asked:
        """Check a submit as strictly as the provider does; raises `Refusal`."""

    def new_id(self, rng: random.Random) -> str: ...

    def submitted(self, generation: Generation) -> Any:
        """The answer to the submit."""

    def record(self, generation: Generation, now: float, word: str | None = None) -> Any:
        """The answer to a poll at *now*; *word* overrides the status word."""

    def listed(self, generations: Sequence[Generation], total: int, now: float, /) -> Any:
        """The answer to a list call: one page, newest first, of *total* requests."""

    def account(self) -> Any:
        """The answer to a balance call."""

    def error(self, refusal: Refusal) -> Any:
        """The body that goes with an error status."""

    def status_of(self, refusal: Refusal) -> int:
        """The HTTP status of a refusal."""
        return refusal.status

    def unknown(self) -> Refusal:
        """The refusal of an id that does not exist."""

    def poll_status(self, generation: Generation, now: float, /) -> int:  # noqa: ARG002
        """The HTTP status of the answer to a poll."""
        return 200

    def named(self, route: Route, query: Mapping[str, str], held: Sequence[Generation], /) -> str:  # noqa: ARG002
        """The id that a poll asks about; *held* is all that the provider has, the newest first."""
        return route.request_id

    def callback(self, generation: Generation, now: float, word: str | None = None) -> Any:
        """The body of a callback at *now*."""
        return self.record(generation, now, word)

    def told_at(self, generation: Generation, /) -> Sequence[float]:  # noqa: ARG002
        """When, before the end, a callback goes out too."""
        return ()

    def page(self, call: Call, held: Sequence[Generation], now: float) -> Any:
        """The answer to a list call; *held* is all that the provider has, the newest first."""
        model = call.query.get("model_id")
        ours = [item for item in held if model in (None, item.asked.model)]
        limit, offset = whole(call.query, "limit", LISTED), whole(call.query, "offset", 0)
        return self.listed(ours[offset : offset + min(limit, LISTED)], len(ours), now)

    def result(self, generation: Generation, now: float, /) -> Answer:  # noqa: ARG002
        """The answer to a call for the result alone."""
        raise self.unknown()

    def cancelled(self, generation: Generation, now: float, /) -> Answer:  # noqa: ARG002
        """The answer to a cancel; raises `Refusal` where it comes too late."""
        raise self.unknown()

    def public(self, method: str, path: str, /) -> Any:  # noqa: ARG002
        """The document that needs no key; None: there is none."""
        return None


def whole(query: Mapping[str, str], name: str, default: int) -> int:
    """A whole number of the query; *default* for anything else."""
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default
