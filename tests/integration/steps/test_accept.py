"""Accept: a job id names one job, once, whoever asks how often; a spec that cannot be made records nothing."""

from __future__ import annotations

import threading

import pytest

from tests.integration.steps.conftest import DAY, JOB, Scene
from tests.integration.steps.meddling import failing
from worker.errors import SpecConflict, SpecError, StoreError
from worker.jobs.states import JobState
from worker.steps import accept
from worker.store import Reply

S = JobState


def test_a_job_that_is_accepted_is_recorded_and_due(scene: Scene) -> None:
    reply = accept.run(JOB, scene.spec("gmicloud"), scene.services, request='{"id": "job-1"}')

    assert reply.applied
    assert scene.job().state is S.ACCEPTED
    assert scene.is_due()
    assert scene.store.history.requests(JOB) == ['{"id": "job-1"}']
    assert scene.job().cost == {"amount": "0.336", "currency": "USD", "basis": "list_price"}


def test_the_same_id_with_the_same_spec_is_the_same_job(scene: Scene) -> None:
    first = scene.submitted()

    reply = accept.run(JOB, dict(reversed(scene.spec("gmicloud").items())), scene.services)

    assert reply.word == "repeat"
    assert scene.job() == first


def test_the_same_id_with_another_spec_is_refused_and_counted_and_the_first_job_untouched(scene: Scene) -> None:
    first = scene.submitted()

    with pytest.raises(SpecConflict):
        accept.run(JOB, scene.spec("gmicloud", duration=9), scene.services)

    assert scene.job() == first
    assert scene.counter("spec_conflicts") == 1


@pytest.mark.parametrize("job_id", ["", "..", "a/b", "a" * 65, "job 1", "j\n", "{0}", "*", "jö", "a\x00b"])
def test_an_id_that_cannot_be_one_is_told_beside_all_that_is_wrong_with_the_spec(scene: Scene, job_id: str) -> None:
    bad = {"model": "kling-3.0-turbo", "provider": "apimart", "prompt": "a corgi", "duration": 99, "resolution": "4k"}

    with pytest.raises(SpecError) as sound:
        accept.run(job_id, scene.spec("gmicloud"), scene.services)
    with pytest.raises(SpecError) as caught:
        accept.run(job_id, bad, scene.services)

    assert [problem.partition(":")[0] for problem in sound.value.problems] == ["job id"]
    assert {problem.partition(":")[0] for problem in caught.value.problems} == {"job id", "duration", "resolution"}
    assert scene.store.due.open_count() == 0


def test_one_id_sent_twenty_times_at_once_is_one_job(scene: Scene) -> None:
    together = threading.Barrier(20)
    replies: list[Reply] = []

    def send() -> None:
        together.wait()
        replies.append(accept.run(JOB, scene.spec("gmicloud"), scene.services))

    threads = [threading.Thread(target=send) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(reply.word for reply in replies) == ["applied"] + ["repeat"] * 19
    assert scene.moves() == ["accepted"]


def test_a_spec_that_cannot_be_made_is_refused_with_every_problem_and_records_nothing(scene: Scene) -> None:
    bad = {"model": "kling-3.0-turbo", "provider": "apimart", "prompt": " ", "duration": 99, "resolution": "4k"}

    with pytest.raises(SpecError) as caught:
        accept.run(JOB, bad, scene.services)

    named = [problem.partition(":")[0] for problem in caught.value.problems]
    assert sorted(set(named)) == ["duration", "prompt", "resolution"]
    assert scene.store.jobs.get(JOB) is None
    assert scene.store.due.open_count() == 0


@pytest.mark.parametrize("job_id", ["", "a" * 65, "a/b", "job 1", "ä", "..", "a\n"])
def test_an_id_that_cannot_name_a_job_is_refused(scene: Scene, job_id: str) -> None:
    with pytest.raises(SpecError, match="job id"):
        accept.run(job_id, scene.spec("gmicloud"), scene.services)


def test_a_spec_that_is_refused_is_a_conflict_where_the_id_is_taken(scene: Scene) -> None:
    scene.accepted()

    with pytest.raises(SpecConflict):
        accept.run(JOB, {"model": "no such model"}, scene.services)

    assert scene.moves() == ["accepted"]


def test_a_job_sent_again_is_known_though_its_provider_was_taken_out_meanwhile(scene: Scene) -> None:
    scene.accepted()

    reply = accept.run(JOB, scene.spec("gmicloud"), scene.but(providers={}), request='{"id": "job-1"}')

    assert reply.word == "repeat"
    assert scene.store.history.requests(JOB) == ['{"id": "job-1"}']
    assert scene.counter("spec_conflicts") == 0


@pytest.mark.parametrize("lost", ["before", "after"])
def test_a_redis_that_did_not_answer_leaves_the_same_call_safe(scene: Scene, lost: str) -> None:
    flaky = scene.but(store=scene.with_store(**{lost: {"jobs.accept": failing()}}))
    with pytest.raises(StoreError):
        accept.run(JOB, scene.spec("gmicloud"), flaky)

    accept.run(JOB, scene.spec("gmicloud"), flaky)

    assert scene.moves() == ["accepted"]


def test_the_tombstone_of_a_job_answers_for_its_id(scene: Scene) -> None:
    """After the retention the record goes; its id never pays again."""
    scene.archived()
    scene.follow()
    for key in scene.store.scripts.keys.of(JOB)[:6]:
        scene.store.scripts.client.delete(key)
    assert scene.job().is_tombstone

    reply = accept.run(JOB, scene.spec("gmicloud"), scene.services)

    assert reply.word == "repeat"
    assert reply.job is not None
    assert reply.job.state is S.ARCHIVED
    with pytest.raises(SpecConflict):
        accept.run(JOB, scene.spec("gmicloud", duration=9), scene.services)
    assert scene.posts() == 1
    assert scene.store.due.open_count() == 0


def test_the_order_of_providers_decides_among_those_that_can_make_a_spec(scene: Scene) -> None:
    providers = scene.services.providers
    turned = scene.but(providers={name: providers[name] for name in ("apimart", "evolink", "gmicloud")})
    spec = {"model": "kling-3.0-turbo", "prompt": "a corgi"}

    accept.run("by-order", spec, scene.services)
    accept.run("turned", spec, turned)
    accept.run("cannot", {**spec, "watermark": True}, scene.services)

    chosen = {job_id: scene.job(job_id).provider for job_id in ("by-order", "turned", "cannot")}
    assert chosen == {"by-order": "gmicloud", "turned": "apimart", "cannot": "apimart"}


def test_what_is_open_is_kept_and_what_is_closed_dies_with_the_retention(scene: Scene) -> None:
    scene.accepted("gmicloud", "open")
    scene.archived("gmicloud", "closed")
    scene.follow("closed")

    client, keys = scene.store.scripts.client, scene.store.scripts.keys

    assert client.pttl(keys.of("open")[0]) == -1
    assert 29 * DAY * 1000 < int(client.pttl(keys.of("closed")[0])) <= 30 * DAY * 1000
