"""Gathers a run's history from everybody who wrote one: sandbox, S3 gate, store, result backend, logs."""

from __future__ import annotations

import json
import re
import ssl
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from typing import Any

import boto3
import redis
import urllib3
from botocore.config import Config
from standardwebhooks.webhooks import WebhookVerificationError

from tests.chaos.checker import attempt_of
from tests.chaos.history import History, JobHistory, Notified, Request, Sample
from tests.chaos.promises import redis_bytes_for
from tests.chaos.sampler import arguments, sample
from tests.chaos.system import BUCKET, CANARIES, System
from tests.integration.ledger_check import budget_differences, differences
from tests.integration.notifications.receiver import Received
from worker.jobs.rate_limits import Limits
from worker.jobs.states import JobState

OCCUPYING = ("submitting", "unconfirmed", "submitted")
TAKE = re.compile(r"take (job-[0-9a-z-]+)\.")


class Recorder:
    """Reads one system; may be asked again and again."""

    def __init__(self, system: System) -> None:
        self._system = system
        trust = ssl.create_default_context(cafile=str(system.stack.sandbox.ca_file))
        self._pool = urllib3.PoolManager(ssl_context=trust, retries=False, timeout=10.0)
        self._digest = cache(self._download)
        self.versions: defaultdict[str, list[int]] = defaultdict(list)
        self.samples: list[Sample] = []

    def observe(self, job_ids: Iterable[str]) -> None:
        """Note the versions, and what memory is held, as they are now."""
        for job in self._system.store.records.read(job_ids):
            self.versions[job.id].append(job.ver)
        self.samples += sample(self._system)

    def history(self, job_ids: Sequence[str]) -> History:
        """The history of *job_ids*, and of the run as a whole."""
        system = self._system
        calls, callbacks = self._calls(), self._callbacks()
        requests, objects = self._requests(), self._objects(job_ids)
        self.samples += sample(system)
        jobs = {}
        for job_id in job_ids:
            job = system.store.jobs.get(job_id)
            ids = {request.id for request in requests[job_id]}
            jobs[job_id] = JobHistory(
                job=job,
                timeline=system.store.history.timeline(job_id),
                calls=[*calls[job_id], *(call for request_id in ids for call in calls[request_id])],
                callbacks=callbacks[job_id],
                requests=requests[job_id],
                puts=[call for call in system.gate.of(job_id) if call.method in ("PUT", "POST")],
                objects=objects.get(job_id, {}),
                told=system.told(job_id),
                wants_notification="notify_url" in json.loads(system.store.history.spec_json(job_id) or "{}"),
                notified=[_notified(one) for one in system.notifications(job_id)],
                kept_events=len(system.store.callbacks.events(job_id)) + len(system.store.callbacks.candidates(job_id)),
                versions=self.versions[job_id],
            )
        return History(
            jobs,
            breaches_of_due=system.store.audit.breaches(),
            breaches_of_money=[*differences(system.store), *budget_differences(system.store)],
            texts=self._texts(job_ids),
            canaries=CANARIES,
            tokens=self._tokens(),
            outages=system.outages,
            receiver_seconds=system.receiver_seconds,
            indexes=self._indexes(job_ids),
            limits=self._limits(),
            calls_at={name: [call["at"] for call in calls[name]] for name in system.provider_wires},
            requests=[request for found in requests.values() for request in found],
            samples=self.samples,
            most_redis_bytes=redis_bytes_for(len(system.jobs)),
        )

    def _limits(self) -> dict[str, Limits]:
        known = self._system.settings.providers
        return {
            name: Limits(name, options.max_concurrent, options.requests_per_minute) for name, options in known.items()
        }

    def _texts(self, job_ids: Iterable[str]) -> dict[str, str]:
        """All that may be read by people or other programs, by place."""
        system = self._system
        texts = {f"{log.name}": log.read_text(errors="replace") for log in system.stack.data.logs.glob("*.log*")}
        texts["arguments of processes"] = arguments(system)
        texts["internal messages"] = "\n".join(system.ear.overheard)
        with redis.Redis.from_url(system.redis.url, decode_responses=True) as client:
            for job_id in job_ids:
                told: Any = client.get(f"celery-task-meta-{job_id}")
                record: Any = client.hgetall(f"callsheet:{{0}}:job:{job_id}")
                timeline: Any = client.lrange(f"callsheet:{{0}}:history:{job_id}", 2, -1)
                texts[f"{job_id}'s record, result and timeline"] = json.dumps([told, record, timeline])
        return texts

    def _tokens(self) -> frozenset[str]:
        """The tokens of every callback URL that a provider was told, and the names of every video that is served."""
        urls = [url for entry in self._system.control.requests() for url in (entry["callback_url"], *entry["links"])]
        return frozenset(url.rpartition("/")[2].removesuffix(".mp4") for url in urls if url)

    def _indexes(self, job_ids: Iterable[str]) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
        """The entries of *job_ids* in the shared indexes, and those that the records ask for."""
        wanted = set(job_ids)
        jobs = list(self._system.store.records.read(wanted))
        true = {
            "occupied": {f"{job.provider}:{job.id}" for job in jobs if job.state in OCCUPYING},
            "line": {f"{job.provider}:{job.place}:{job.id}" for job in jobs if job.place},
            "perishing": {job.id for job in jobs if job.state is JobState.GENERATED},
        }
        found = {}
        with redis.Redis.from_url(self._system.redis.url, decode_responses=True) as client:
            for name, entries in true.items():
                held: Any = client.zrange(f"callsheet:{{0}}:{name}", 0, -1)
                found[name] = frozenset(e for e in held if e.rpartition(":")[2] in wanted), frozenset(entries)
        return found

    def _calls(self) -> defaultdict[str, list[Mapping[str, Any]]]:
        """Every call at the providers: POSTs by job, GETs by request, and all by provider."""
        found: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for call in self._system.control.history(kind="call"):
            match = TAKE.search(json.dumps(call["body"])) if call["method"] == "POST" else None
            found[match[1] if match else str(call["path"]).rpartition("/")[2]].append(call)
            found[str(call.get("provider"))].append(call)
        return found

    def _callbacks(self) -> defaultdict[str, list[Mapping[str, Any]]]:
        found: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for entry in self._system.control.history(kind="callback"):
            found[str(entry["url"]).split("/")[5]].append(entry)
        return found

    def _requests(self) -> defaultdict[str, list[Request]]:
        owner = {}
        for call in self._system.control.history(kind="call"):
            if call["method"] == "POST" and call.get("request_id") and (match := TAKE.search(json.dumps(call["body"]))):
                owner[call["request_id"]] = match[1]
        found: defaultdict[str, list[Request]] = defaultdict(list)
        for entry in self._system.control.requests():
            job_id = owner.get(entry["request_id"])
            if job_id is None:
                continue
            is_over = entry["state"] in ("completed", "failed", "cancelled")
            links = entry["links"] if entry["state"] == "completed" else ()
            found[job_id].append(
                Request(
                    entry["request_id"],
                    job_id,
                    attempt_of(entry["callback_url"]),
                    entry["created_at"],
                    entry["outcome"] if is_over else None,
                    tuple(self._digest(link) for link in links),
                    entry["provider"],
                    entry["finishes_at"],
                )
            )
        return found

    def _download(self, link: str) -> str:
        answer = self._pool.request("GET", link)
        return sha256(answer.data).hexdigest() if answer.status == 200 else ""

    def _objects(self, job_ids: Iterable[str]) -> dict[str, dict[str, str]]:
        """Digest of every object of *job_ids* as it is now, read past the gate."""
        wanted, env = set(job_ids), self._system.s3.env
        client = boto3.client(
            "s3",
            endpoint_url=self._system.s3.endpoint_url,
            region_name=env["AWS_DEFAULT_REGION"],
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
            config=Config(s3={"addressing_style": "path"}, proxies={}),
        )
        found: dict[str, dict[str, str]] = {}
        try:
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
                for item in page.get("Contents", ()):
                    key = item["Key"]
                    job_id = key.split("/")[-2]
                    if job_id in wanted:
                        with client.get_object(Bucket=BUCKET, Key=key)["Body"] as body:
                            found.setdefault(job_id, {})[key] = sha256(body.read()).hexdigest()
        finally:
            client.close()
        return found


def _notified(received: Received) -> Notified:
    try:
        received.verified()
        is_genuine = True
    except WebhookVerificationError:
        is_genuine = False
    content = json.loads(received.body)
    data = content["data"]
    digests = tuple(video["sha256"] for video in data["videos"])
    return Notified(
        received.webhook_id, content["type"], data["ver"], data["state"], digests, received.body, is_genuine
    )
