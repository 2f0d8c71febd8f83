"""The providers' record of a job: every POST, every callback and its answer, every video as it is served."""

from __future__ import annotations

import json
import ssl
from hashlib import sha256
from pathlib import Path
from typing import Any

import urllib3

from deploy.sandbox.client import SandboxControl

Entry = dict[str, Any]


class Ledger:
    """The history of a sandbox, read by job."""

    def __init__(self, url: str, ca_file: Path) -> None:
        self.control = SandboxControl(url, ca_file)
        self._pool = urllib3.PoolManager(ssl_context=ssl.create_default_context(cafile=str(ca_file)), retries=False)

    def posts(self, job_id: str) -> list[Entry]:
        """Every submit of the job, taken or not."""
        calls = self.control.history(kind="call")
        return [call for call in calls if call["method"] == "POST" and job_id in json.dumps(call["body"])]

    def created(self, job_id: str) -> list[str]:
        """The ids of the requests that were created, and would be paid, for the job."""
        return [post["request_id"] for post in self.posts(job_id) if post["request_id"]]

    def callbacks(self, job_id: str) -> list[Entry]:
        """Every delivery for the job; `status` is what the receiver answered."""
        return [entry for entry in self.control.history(kind="callback") if f"/{job_id}/" in entry["url"]]

    def downloads(self, job_id: str) -> list[Entry]:
        """Every download of the job's videos, the finished ones and the others."""
        downloads, created = self.control.history(kind="download"), self.created(job_id)
        return [download for download in downloads if download["request_id"] in created]

    def request(self, request_id: str) -> Entry:
        """A request as the sandbox knows it: model, links, video."""
        return next(request for request in self.control.requests() if request["request_id"] == request_id)

    def left(self, job_id: str) -> list[Entry]:
        """The rules for the job that have not been used up."""
        return [rule for rule in self.control.rules() if rule["match"]["contains"] == job_id]

    def served(self, request_id: str) -> list[str]:
        """SHA-256 of each video as the provider serves it now."""
        return [sha256(self.open(link)).hexdigest() for link in self.request(request_id)["links"]]

    def open(self, link: str) -> bytes:
        """The bytes that *link* serves."""
        answer = self._pool.request("GET", link, timeout=10)
        assert answer.status == 200, f"it was answered {answer.status}"
        return answer.data

    def close(self) -> None:
        self._pool.clear()
