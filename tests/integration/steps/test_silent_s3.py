"""An S3 that takes connections and answers nothing: the clock ticks on, and no worker is held by it for long.

In real time: a submit that S3 holds up gives its job back within a lease, whose length is no measure of a test.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.integration.steps.conftest import Scene
from tests.integration.steps.rollbacks import another_process
from tests.integration.steps.test_images import INLINE
from worker.bucket.bucket import Bucket
from worker.bucket.extensions import Digest, Extensions
from worker.jobs.states import JobState
from worker.services import Services
from worker.steps import Step, batch, sweep

S = JobState
BOUND_SECONDS = 100
"""Less than the lease of a submit, with room for a busy machine; before, one message took six minutes."""


class Silence:
    """A server that takes connections, and keeps them."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._take)
        self._thread.start()

    def _take(self) -> None:
        while True:
            try:
                self.held.append(self.listener.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join()
        for connection in self.held:
            connection.close()


@pytest.fixture
def silence() -> Iterator[Silence]:
    silence = Silence()
    yield silence
    silence.close()


@pytest.fixture
def services(scene: Scene, silence: Silence, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """A process that has just started, in front of such an S3."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", silence.url)
    bucket = Bucket.connect(scene.services.bucket.name, "callsheet")
    yield replace(another_process(scene), bucket=bucket)
    for client in (bucket.objects.client, bucket.objects.quick):
        client.close()


def test_the_clock_asks_nothing_of_s3(scene: Scene, silence: Silence, services: Services) -> None:
    scene.submitted("gmicloud", "polled")
    scene.accepted("gmicloud", "waiting")
    scene.advance(60)
    nudged: list[str] = []

    sweep.run(services, lambda step, job_ids: nudged.extend(job_ids), lambda step: False)

    assert sorted(nudged) == ["polled", "waiting"]
    assert silence.held == []


@pytest.mark.timeout(BOUND_SECONDS)
@pytest.mark.parametrize("known", [None, Extensions(Digest.SHA256, keeps_conditions=True)], ids=["unknown", "known"])
def test_the_submits_of_one_message_give_their_worker_back_together(
    scene: Scene, services: Services, known: Extensions | None
) -> None:
    services.bucket.objects.capabilities._puts = known
    job_ids = [f"job-{n}" for n in range(8)]
    for job_id in job_ids:
        scene.accepted("apimart", job_id)

    batch.take(Step.SUBMIT, job_ids, services)

    jobs = [scene.job(job_id) for job_id in job_ids]
    assert [(job.state, job.lease) for job in jobs] == [(S.SUBMITTING, "")] * 8
    assert all("the bucket to keep that it is sent" in job.waiting_for for job in jobs)
    assert scene.calls("POST") == []


@pytest.mark.timeout(BOUND_SECONDS)
@pytest.mark.parametrize("known", [None, Extensions(Digest.SHA256, keeps_conditions=True)], ids=["unknown", "known"])
def test_an_image_that_cannot_be_put_holds_its_job_back_and_not_its_worker(
    scene: Scene, services: Services, known: Extensions | None
) -> None:
    services.bucket.objects.capabilities._puts = known
    scene.accepted("evolink", first_frame=INLINE)

    batch.take(Step.SUBMIT, ["job-1"], services)

    assert (scene.job().state, scene.job().lease) == (S.ACCEPTED, "")
    assert "its images to be presigned" in scene.job().waiting_for
