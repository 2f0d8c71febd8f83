"""A job and its result, as Callsheet tells them. Fields that this package does not name stay in `document`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from callsheet_client.errors import UnexpectedAnswer

FINAL = frozenset({"archived", "failed", "expired", "cancelled"})
"""The states in which a job has ended. A late video may still turn `failed` and `expired` into `archived`."""


@dataclass(frozen=True)
class Video:
    """One archived video, as it was verified in the bucket."""

    uri: str
    bytes: int
    sha256: str
    seconds: float
    width: int
    height: int
    content_type: str

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        return cls(**{name: told[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Failure:
    """Why a job has no video. `code` is an `ErrorCode`; `provider_code` the provider's own word, if it gave one."""

    code: str
    message: str
    stage: str
    provider_code: str = ""


@dataclass(frozen=True)
class Result:
    """A job as it was told: where it stands and, in the end, its videos or its failure.

    `metadata` is that of the spec; the HTTP API tells it only to tokens of the scope `prompts`.
    `ver` grows with each change: of two, the greater is the newer.
    """

    job_id: str
    state: str
    provider: str
    model: str
    attempt: int
    ver: int
    request_id: str | None = None
    videos: tuple[Video, ...] = ()
    cost: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    error: Failure | None = None
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self.state in FINAL

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Read a job document of the HTTP API, or the `data` of a notification; raises `UnexpectedAnswer`."""
        try:
            metadata = told.get("metadata", told.get("spec", {}).get("metadata", {}))
            return cls(
                **{name: told[name] for name in ("job_id", "state", "provider", "model", "attempt", "ver")},
                request_id=told.get("request_id"),
                videos=tuple(Video.of(video) for video in told.get("videos", ())),
                cost=told.get("cost", {}),
                metadata=metadata,
                error=Failure(**told["error"]) if told.get("error") else None,
                document=told,
            )
        except (KeyError, TypeError, AttributeError) as err:
            raise UnexpectedAnswer(f"a job that cannot be read: {type(err).__name__} at {err}") from None
