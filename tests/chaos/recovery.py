"""Recovery times of the system: a table, one fault at a time.

    python -m tests.chaos.recovery

Nine jobs are under way when a fault strikes for two seconds; told is how long after its end the last of them
was settled. Leases are those of the tests (seconds), generations take half a second.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.checker import judge
from tests.chaos.recorder import Recorder
from tests.chaos.soak import FAULTS, PROVIDERS
from tests.chaos.system import System

JOBS_OF_EACH = 3
BEFORE_SECONDS, STRUCK_SECONDS = 0.3, 2.0


def recovery_seconds(system: System, fault: str | None) -> tuple[float, int]:
    """From the end of *fault* (None: nothing happens) to the last job's end, and how many promises were broken."""
    job_ids = [system.start_job(provider) for provider in PROVIDERS for _ in range(JOBS_OF_EACH)]
    time.sleep(BEFORE_SECONDS)
    if fault is not None:
        with FAULTS[fault](system):
            time.sleep(STRUCK_SECONDS)
    struck = time.monotonic()
    system.mend()
    for job_id in job_ids:
        system.settled(job_id, 300)
    seconds = time.monotonic() - struck
    return seconds, len(judge(Recorder(system).history(job_ids)))


def main() -> int:
    broken = 0
    with tempfile.TemporaryDirectory() as directory, System(Path(directory)) as system:
        for fault in (None, *FAULTS):
            seconds, breaches = recovery_seconds(system, fault)
            broken += breaches
            line = f"{fault or 'nothing':28} {seconds:6.1f} s  {breaches} breaches"
            print(line, flush=True)  # noqa: T201  its whole purpose
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
