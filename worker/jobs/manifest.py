"""A job's manifest, `job.json` in the bucket: built from the record, and read back into the record's fields."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from worker.errors import ManifestError
from worker.jobs import order_terms
from worker.jobs.job import SCHEMA_VERSION, Difference, IgnoredLink, Job, Video, is_job_id, rows_json, videos_json
from worker.jobs.money import Money
from worker.jobs.result import result_of
from worker.jobs.states import ADOPTS, RUNS, JobState

VERSION = 1
WORD = re.compile(r"[ -~]{1,200}")


@dataclass(frozen=True)
class Restorable:
    """An archived job as its manifest tells it."""

    job_id: str
    provider: str
    request_ids: Mapping[int, str]
    spec_json: str  # of the spec, only the caller's metadata is in a manifest
    fields: Mapping[str, str]  # of the record

    @property
    def money(self) -> dict[int, str]:
        """The money of each attempt, as the record keeps it."""
        lines = {name: line for name, line in self.fields.items() if name.startswith("money.")}
        return {int(name.removeprefix("money.")): line for name, line in lines.items()}

    @property
    def made_in(self) -> int:
        """The attempt whose videos they are."""
        return int(self.fields.get("videos_attempt") or self.fields["attempt"])

    def is_of(self, job: Job) -> bool:
        """Whether it tells of the very spec of *job*, and no other request of that is known to run."""
        return self.fields["spec_sha256"] == job.spec_sha256 and job.held in self.ends(job)

    def ends(self, job: Job) -> Collection[str]:
        """The states of *job* that this manifest may end: none that runs, but for the requests that it tells of."""
        return ADOPTS | RUNS if job.request_id in self.request_ids.values() else ADOPTS


def manifest_of(job: Job, spec_json: str | None) -> dict[str, Any]:
    """Build the manifest: everything that rebuilds the record without Redis."""
    return {
        **result_of(job, spec_json),
        "manifest_version": VERSION,
        "last_attempt": job.attempt,
        "ver": job.ver,
        "spec_sha256": job.spec_sha256,
        "accepted_at": job.accepted_at,
        "archived_at": job.state_at,
        "request_ids": {str(attempt): request_id for attempt, request_id in job.request_ids.items()},
        "generated_by": job.generated_by,
        "money": {str(attempt): money.line for attempt, money in job.money.items()},
        **({"tenant": job.tenant} if job.tenant else {}),
    }


def read(text: bytes, *, job_id: str) -> Restorable:
    """The job that a manifest found in *job_id*'s folder tells of; raises `ManifestError`."""
    try:
        return _read(json.loads(text), job_id)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
        raise ManifestError(f"the manifest of {job_id} cannot be read ({type(err).__name__}: {err})"[:300]) from err


def _read(said: Mapping[str, Any], job_id: str) -> Restorable:
    if said["manifest_version"] != VERSION:
        raise ValueError(f"its version is {said['manifest_version']!r}, this Callsheet reads {VERSION}")
    if said["job_id"] != job_id or not is_job_id(job_id):
        raise ValueError("it names another job than its folder")
    if said["state"] != JobState.ARCHIVED or not said["videos"]:
        raise ValueError("it is not of an archived job")
    request_ids = {int(attempt): _word(request_id) for attempt, request_id in said["request_ids"].items()}
    return Restorable(
        job_id=job_id,
        provider=_word(said["provider"]),
        request_ids=request_ids,
        spec_json=json.dumps({"metadata": said["metadata"]} if said.get("metadata") else {}),
        fields=_fields(said, request_ids),
    )


def _fields(said: Mapping[str, Any], request_ids: Mapping[int, str]) -> dict[str, str]:
    videos = tuple(Video(**video) for video in said["videos"])
    made_in, attempt = int(said["attempt"]), int(said.get("last_attempt", said["attempt"]))
    ver, archived_at, cost = str(int(said["ver"])), str(int(said["archived_at"])), dict(said["cost"])
    usage = cost.pop("usage", None)
    for summed in ("total", "attempts"):
        cost.pop(summed, None)
    ledger = {int(number): Money.parse(str(line)) for number, line in said.get("money", {}).items()}
    fields = {
        "v": str(SCHEMA_VERSION),
        "state": str(JobState.ARCHIVED),
        "ver": ver,
        "told_ver": ver,
        "manifest_ver": ver,
        "attempt": str(attempt),
        "provider": _word(said["provider"]),
        "model": _word(said["model"]),
        "spec_sha256": _word(said["spec_sha256"]),
        "accepted_at": str(int(said["accepted_at"])),
        "state_at": archived_at,
        "final_at": archived_at,
        "path": "operator",
        "progress": "100",
        "generated_by": str(said["generated_by"]),
        "cost": json.dumps(cost),
        "videos": videos_json(videos),
        **{f"request_id.{number}": request_id for number, request_id in request_ids.items()},
        **{f"money.{number}": money.line for number, money in ledger.items()},
    }
    for name, rows in (("ignored", _ignored(said)), ("differs", _differs(said))):
        if rows:
            fields[name] = rows_json(rows)
    if made_in != attempt:
        fields["videos_attempt"] = str(made_in)
    if said.get("tenant"):
        fields["tenant"] = order_terms.tenant(said["tenant"])
    if usage:
        fields["usage"] = json.dumps(usage)
    if any(not isinstance(value, (str, int, float)) for video in videos for value in asdict(video).values()):
        raise ValueError("a video of it is not described as one")
    return fields


def _ignored(said: Mapping[str, Any]) -> list[IgnoredLink]:
    return [IgnoredLink(**link) for link in said.get("ignored", ())]


def _differs(said: Mapping[str, Any]) -> list[Difference]:
    return [Difference(**row) for row in said.get("differs", ())]


def _word(value: object) -> str:
    if not isinstance(value, str) or not WORD.fullmatch(value):
        raise ValueError("one of its names is not a plain word")
    return value
