"""A provider's wire format, as the rest of the sandbox sees it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from deploy.sandbox.answers import Refusal
from deploy.sandbox.generations import Asked, Generation


@dataclass(frozen=True)
class Route:
    """The operation that a method and path name."""

    verb: Literal["submit", "poll", "list", "account"]
    request_id: str = ""


class Wire(Protocol):
    """One provider's paths, bodies and words."""

    name: str

    def route(self, method: str, path: str) -> Route | None:
        """The operation of the path below the provider's prefix; None for an unknown one.

        Raises `Refusal` for an id that this provider would not even look up.
        """

    def read(self, body: Any) -> Asked:
        """Check a submit body as strictly as the provider does; raises `Refusal`."""

    def new_id(self, rng: random.Random) -> str: ...

    def submitted(self, generation: Generation) -> Any:
        """The answer to the submit."""

    def record(self, generation: Generation, now: float, word: str | None = None) -> Any:
        """The answer to a poll at *now*, also the callback's body; *word* overrides the status word."""

    def listed(self, generations: Sequence[Generation], total: int, now: float, /) -> Any:
        """The answer to a list call: one page, newest first, of *total* requests."""

    def account(self) -> Any:
        """The answer to a balance call."""

    def error(self, refusal: Refusal) -> Any:
        """The body that goes with an error status."""

    def unknown(self) -> Refusal:
        """The refusal of an id that does not exist."""
