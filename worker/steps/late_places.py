"""Bulkhead of the revisit step: how many jobs without a video one process looks at again at once, and which.

A look is one request, or the copy of a late video that lasts for hours. One place of two is express: it cuts such a
copy and leaves the job to the other, so that looks go on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection

from worker.errors import CallsheetError, SlowDownloadError
from worker.logs import bound
from worker.services import Services
from worker.steps import Step, revisit
from worker.steps.archive import Turn
from worker.steps.places import Places, Publish

log = logging.getLogger(__name__)

EXPRESS_PLACES, OTHER_PLACES = 1, 1
"""Of one process. Each copy may hold parts of a video in memory."""

CAPACITY = 10_000
"""Job ids that may wait for a place: about 1 MB. The sweep names whoever is left out again."""


class LatePlaces:
    """The places of one process, and the jobs that messages have named for them."""

    def __init__(self, services: Services, publish: Publish) -> None:
        self._services = services
        self._places = Places(Step.REVISIT, self._take, services, publish, express=EXPRESS_PLACES, others=OTHER_PLACES)
        self._lock = threading.Lock()
        self._waiting: dict[str, bool] = {}  # job -> whether its copy was cut once; the first stands first
        self._taken: set[str] = set()

    def offer(self, job_ids: Collection[str]) -> None:
        """Have *job_ids* looked at, in their order; returns at once."""
        with self._lock:
            for job_id in job_ids:
                if job_id not in self._taken and len(self._waiting) < CAPACITY:
                    self._waiting.setdefault(job_id, False)
        self._places.work(wait_seconds=0)

    def _take(self, *, is_express: bool, on_stall: Callable[[], object]) -> Turn | None:
        job_id = self._next(is_express=is_express)
        if job_id is None:
            return None

        def stalled() -> None:
            self._end(job_id, is_slow=False)
            on_stall()

        most_seconds = self._services.timing.archive_express_seconds if is_express else None
        is_slow = False
        try:
            with bound(job_id=job_id):
                return Turn(job_id, revisit.run(job_id, self._services, most_seconds=most_seconds, on_stall=stalled))
        except SlowDownloadError:
            is_slow = True
        except CallsheetError as err:
            log.error("step.postponed", extra={"step": Step.REVISIT, "job_id": job_id, "reason": str(err)})
        except Exception:  # a defect met by one job; the others wait
            log.exception("step.broke", extra={"step": Step.REVISIT, "job_id": job_id})
        finally:
            self._end(job_id, is_slow=is_slow)
        return Turn(job_id, None)

    def _next(self, *, is_express: bool) -> str | None:
        """The next job for a place of that kind: no express one takes what was cut once."""
        with self._lock:
            job_id = next((job_id for job_id, was_cut in self._waiting.items() if not (is_express and was_cut)), None)
            if job_id is not None:
                del self._waiting[job_id]
                self._taken.add(job_id)
            return job_id

    def _end(self, job_id: str, *, is_slow: bool) -> None:
        with self._lock:
            self._taken.discard(job_id)
            if is_slow:
                self._waiting[job_id] = True
