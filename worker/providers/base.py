"""A provider as the steps see it: three verbs and some data.

An adapter translates; it keeps no state, retries nothing and decides nothing.
How to add one: `README.md` beside this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from worker.jobs.job import Link
from worker.jobs.spec import JobSpec
from worker.providers.model import ModelRules
from worker.providers.verify import Verifier


class CallbackTrust(StrEnum):
    """The trust in a provider's callbacks."""

    NONE = "none"  # it never calls back: every job is polled
    HINT = "hint"  # unsigned: says when to ask, never what is true
    VERIFIED = "verified"  # signed: believed at once; one whose signature does not hold is refused


class EventKind(StrEnum):
    """The meaning of a callback or of an answer to a poll, in our words."""

    PENDING = "pending"  # not finished
    GENERATED = "generated"  # finished, with at least one video link
    FAILED = "failed"  # finished without a video, also when cancelled over there
    UNKNOWN = "unknown"  # a word that stands in no table, or a success that cannot be used: not final, alarmed


@dataclass(frozen=True)
class ProviderEvent:
    """One thing a provider said about one request. Instants are Unix milliseconds."""

    request_id: str
    kind: EventKind
    status: str = ""  # the provider's own word, at most 40 characters, printable
    progress: int | None = None  # 0..100
    links: tuple[Link, ...] = ()
    error_code: str = ""  # one of `ErrorCode` when FAILED, or when a success cannot be used
    error_message: str = ""  # the provider's own words: at most 500 characters, sanitised, our key redacted
    provider_code: str = ""  # the provider's own short word for the error, sanitised
    usage: Mapping[str, Any] = field(default_factory=dict)  # billing as told, small
    paid: int | None = None  # what the finished request cost, as told: millionths of USD
    model: str | None = None  # echoed
    created_at: int | None = None
    payload: Mapping[str, Any] | None = field(default=None, repr=False)  # our own request, where it is echoed
    reference: str = ""  # our own name for it, where it is echoed
    is_verified: bool = False  # told by a callback whose signature holds: it needs no GET to be believed

    @property
    def is_terminal(self) -> bool:
        return self.kind in (EventKind.GENERATED, EventKind.FAILED)

    @property
    def is_unusable(self) -> bool:
        """Whether it says that it is done, and names no video that can be used (`no_video`, `bad_link`)."""
        return self.kind is EventKind.UNKNOWN and self.error_code != ""


T = TypeVar("T")


class Ask(Protocol):
    """A hook before each GET: the caller may keep limits, or a lease."""

    def __call__(self, request: Callable[[], T], /) -> T: ...


def at_once(request: Callable[[], T], /) -> T:
    """Begin a GET without further ado."""
    return request()


class Cancelled(StrEnum):
    """The provider's answer to a cancel."""

    ASKED = "asked"  # it was taken; the request's own end tells what came of it
    TOO_LATE = "too_late"  # it is being made, or has ended
    UNKNOWN = "unknown"  # nothing that can be read


@dataclass(frozen=True)
class Submission:
    """A POST that was taken."""

    request_id: str
    event: ProviderEvent  # what the answer already told; some answers are terminal
    estimated_seconds: float | None = None  # the provider's own estimate, when it gives one


class Provider(Protocol):
    """One video API."""

    name: str
    trust: CallbackTrust
    verifier: Verifier | None  # of its callbacks' signatures, where its trust is VERIFIED
    repeats_refused_callbacks: bool  # whether it sends a callback again that was answered 4xx
    callback_ports: frozenset[int] | None  # the ports that it calls back on; None: any
    refunds_failures: bool  # whether a generation that fails costs nothing
    can_find: bool  # whether `find` knows a request by our own name for it
    can_list: bool  # whether `recent` can find a request whose id we never learned
    takes_keys: bool  # whether a submit carries an idempotency key
    has_schemas: bool  # whether `schema` tells how it describes a model itself
    models: Mapping[str, ModelRules]  # by the provider's own model name

    def rules_for(self, spec: JobSpec) -> ModelRules | None:
        """The model that *spec* asks for, by its own name or a neutral one; None: not here."""

    def problems(self, spec: JobSpec) -> list[str]:
        """Why this provider cannot make *spec*: each names field, limit and model. Empty: it can."""

    def submit(
        self, spec: JobSpec, *, images: Mapping[str, str], callback_url: str | None, reference: str = ""
    ) -> Submission:
        """POST *spec*, once. *images* holds the final value of each picture and reference (a URL, or `data:` content
        where the provider takes it), by neutral name (`reference_images[0]` in a list). *reference*: our name for the
        request, the same for all tries of one attempt.

        Raises `NotTakenError`, `RefusedError` or `UnconfirmedError`; nothing else.
        """

    def fetch(self, request_id: str) -> ProviderEvent:
        """GET the request with our key.

        Raises `NoSuchRequestError`, or `ProviderError` when it could not be learned now.
        """

    def parse_callback(self, body: bytes) -> ProviderEvent:
        """Read a delivery's body; raises `CallbackError` for everything that is not one."""

    def fits(self, spec: JobSpec, event: ProviderEvent, *, begun_at: int) -> bool:
        """Whether *event* can be the request that our POST of *spec*, begun at *begun_at*, made:
        model, creation time (10 min of clock skew allowed) and, where echoed, the payload."""

    def recent(self, spec: JobSpec, *, since: int = 0, ask: Ask = at_once) -> Iterator[ProviderEvent]:
        """The requests of *spec*'s model since *since* (Unix ms), each with its echoed payload (`can_list` only).

        They are read page by page, as far as they are asked for; each page's GET is begun by *ask*.
        Raises `ProviderError` when the list could not be learned now, or not the whole of it as far back as that.
        """

    def find(self, reference: str) -> ProviderEvent | None:
        """The request that was submitted as *reference*; None: there is none (yet) (`can_find` only).

        Raises `ProviderError` when it could not be learned now.
        """

    @property
    def can_cancel(self) -> bool:
        """Whether a request that it has taken can be cancelled."""

    def cancel(self, request_id: str) -> Cancelled:
        """Ask the provider to stop a request (`can_cancel` only); a cancel that got no answer is `UNKNOWN`."""

    def schema(self, rules: ModelRules) -> Mapping[str, Any]:
        """The provider's own description of a model (`has_schemas` only); raises `ProviderError`."""

    @property
    def clock_ms(self) -> int | None:
        """The provider's clock as its last answer told it (HTTP `Date`), Unix ms; None: not told."""

    def takes_data_uri(self, spec: JobSpec) -> bool:
        """Whether image content may be sent inline for *spec*'s model; else it needs a URL."""

    def estimate_seconds(self, spec: JobSpec) -> float:
        """Estimate the seconds of a generation of *spec*: when the first poll is worth its GET."""

    def check_key(self) -> None:
        """One GET that needs our key and costs nothing; raises `ProviderError` when it is not answered well, or
        tells that there is no money left (`no_credit`)."""
