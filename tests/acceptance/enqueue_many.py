"""A backend service with Callsheet installed: records the jobs on stdin, a JSON object of id and spec."""

from __future__ import annotations

import json
import sys

from worker.client import enqueue

if __name__ == "__main__":
    for job_id, spec in json.load(sys.stdin).items():
        enqueue(spec, job_id)
