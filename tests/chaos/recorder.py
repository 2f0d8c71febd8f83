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
import urllib3
from botocore.config import Config

from tests.chaos.checker import History, JobHistory, Request, attempt_of
from tests.chaos.system import BUCKET, CANARIES, System

TAKE = re.compile(r"take (job-[0-9a-z-]+)\.")


class Recorder:
    """Reads one system; may be asked again and again."""

    def __init__(self, system: System) -> None:
        self._system = system
        trust = ssl.create_default_context(cafile=str(system.stack.sandbox.ca_file))
        self._pool = urllib3.PoolManager(ssl_context=trust, retries=False, timeout=10.0)
        self._digest = cache(self._download)
        self.versions: defaultdict[str, list[int]] = defaultdict(list)

    def observe(self, job_ids: Iterable[str]) -> None:
        """Note the versions as they are now."""
        for job in self._system.store.read(job_ids):
            self.versions[job.id].append(job.ver)

    def history(self, job_ids: Sequence[str]) -> History:
        """What is known of *job_ids*, and of the run as a whole."""
        system = self._system
        calls, callbacks = self._calls(), self._callbacks()
        requests, objects = self._requests(), self._objects(job_ids)
        jobs = {}
        for job_id in job_ids:
            job = system.store.get(job_id)
            ids = {request.id for request in requests[job_id]}
            jobs[job_id] = JobHistory(
                job=job,
                timeline=system.store.timeline(job_id),
                calls=[*calls[job_id], *(call for request_id in ids for call in calls[request_id])],
                callbacks=callbacks[job_id],
                requests=requests[job_id],
                puts=[call for call in system.gate.of(job_id) if call.method in ("PUT", "POST")],
                objects=objects.get(job_id, {}),
                told=system.told(job_id),
                kept_events=len(system.store.events(job_id)) + len(system.store.candidates(job_id)),
                versions=self.versions[job_id],
            )
        logs = "".join(log.read_text(errors="replace") for log in system.stack.data.logs.glob("*.log"))
        return History(jobs, system.store.audit(), logs, CANARIES, system.receiver_seconds, system.store_was_broken)

    def _calls(self) -> defaultdict[str, list[Mapping[str, Any]]]:
        """Every call at the providers: POSTs by job, GETs by request."""
        found: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for call in self._system.control.history(kind="call"):
            match = TAKE.search(json.dumps(call["body"])) if call["method"] == "POST" else None
            found[match[1] if match else str(call["path"]).rpartition("/")[2]].append(call)
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
