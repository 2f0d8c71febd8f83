"""The bucket's memory of POSTs: each try is begun once, whoever asks, and whatever S3 can and cannot do."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.plain_s3 import Conditions, Fault, PlainS3
from worker.bucket.bucket import Bucket
from worker.bucket.intents import Begun
from worker.errors import BucketError

KEY = "callsheet/.callsheet/intents/job-1/1-1"


@pytest.fixture(params=Conditions)
def conditions(plain: PlainS3, request: pytest.FixtureRequest) -> PlainS3:
    """An S3 that keeps conditions, one that takes no notice of them, and one that refuses them."""
    plain.conditions = request.param
    return plain


@pytest.mark.usefixtures("conditions")
def test_a_try_is_begun_once_and_the_next_asker_is_told_when(bucket: Bucket) -> None:
    answers = [
        bucket.intents.begin("job-1", 1, 1, by=name, at=at) for name, at in (("a", 1_000), ("b", 2_000), ("c", 3_000))
    ]

    assert answers == [None, Begun(1_000, "a"), Begun(1_000, "a")]
    assert bucket.intents.begun("job-1", 1, 1) == Begun(1_000, "a")


@pytest.mark.usefixtures("conditions")
def test_whoever_began_it_may_ask_again(bucket: Bucket) -> None:
    answers = [bucket.intents.begin("job-1", 1, 1, by="a", at=1_000) for _ in range(2)]

    assert answers == [None, None]


def test_of_many_who_ask_at_once_one_begins(bucket: Bucket) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: bucket.intents.begin("job-1", 1, 1, by=f"{n}", at=n), range(8)))

    assert answers.count(None) == 1


@pytest.mark.usefixtures("conditions")
def test_tries_attempts_and_jobs_are_begun_each_for_itself(bucket: Bucket) -> None:
    bucket.intents.begin("job-1", 1, 1, by="a", at=1_000)

    others = [bucket.intents.begin(*of, by="b", at=2_000) for of in (("job-1", 1, 2), ("job-1", 2, 1), ("job-2", 1, 1))]

    assert others == [None, None, None]
    assert bucket.intents.begun("job-2", 1, 2) is None


def test_our_own_first_request_whose_answer_was_lost_is_not_taken_for_another(plain: PlainS3, bucket: Bucket) -> None:
    bucket.probe()
    plain.faults["put"] = Fault(is_answer_lost=True)

    assert bucket.intents.begin("job-1", 1, 1, by="a", at=1_000) is None
    assert plain.count("put", KEY) == 2


def test_another_request_under_way_is_waited_out(plain: PlainS3, bucket: Bucket) -> None:
    bucket.probe()
    plain.faults["put"] = Fault(409, "ConditionalRequestConflict", times=2)

    assert bucket.intents.begin("job-1", 1, 1, by="a", at=1_000) is None


def test_where_s3_always_speaks_of_another_request_nothing_is_known(plain: PlainS3, bucket: Bucket) -> None:
    bucket.probe()
    plain.faults["put"] = Fault(409, "ConditionalRequestConflict", times=9)

    with pytest.raises(BucketError, match="again and again"):
        bucket.intents.begin("job-1", 1, 1, by="a", at=1_000)


def test_what_is_there_and_cannot_be_read_is_not_known_to_be_ours(plain: PlainS3, bucket: Bucket) -> None:
    bucket.intents.begin("job-1", 1, 1, by="a", at=1_000)
    plain.faults["get"] = Fault(403, "AccessDenied", times=9)

    with pytest.raises(BucketError, match="denies"):
        bucket.intents.begin("job-1", 1, 1, by="b", at=2_000)


@pytest.mark.parametrize("content", [b"", b"not json", b"[]", b"7", b'{"begun_at": "soon"}', b"x" * 2_000_000])
def test_an_object_that_is_not_ours_still_says_that_the_try_was_begun(
    plain: PlainS3, bucket: Bucket, content: bytes
) -> None:
    plain.objects[KEY] = (content, {})

    assert bucket.intents.begin("job-1", 1, 1, by="a", at=1_000) == Begun(None, "")
    assert plain.objects[KEY][0] == content


@pytest.mark.usefixtures("plain")
def test_an_s3_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{closed.getsockname()[1]}")
    away = Bucket.connect("videos", "callsheet")

    with pytest.raises(BucketError) as begun:
        away.intents.begun("job-1", 1, 1)
    with pytest.raises(BucketError) as begin:
        away.intents.begin("job-1", 1, 1, by="a", at=1_000)

    assert (begun.value.reason, begin.value.reason) == ("unreachable", "unreachable")


@pytest.mark.usefixtures("conditions")
def test_a_try_that_was_withheld_is_begun_by_nobody(bucket: Bucket) -> None:
    withheld = bucket.intents.withhold("job-1", 1, 1, by="a", at=1_000)

    begun = bucket.intents.begin("job-1", 1, 1, by="b", at=2_000)

    assert (withheld, begun) == (None, Begun(1_000, "a", is_unpaid=True))


@pytest.mark.usefixtures("conditions")
def test_a_try_that_was_begun_is_not_withheld_by_another(bucket: Bucket) -> None:
    bucket.intents.begin("job-1", 1, 1, by="a", at=1_000)

    assert bucket.intents.withhold("job-1", 1, 1, by="b", at=2_000) == Begun(1_000, "a")
    assert bucket.intents.begun("job-1", 1, 1) == Begun(1_000, "a")


@pytest.mark.usefixtures("conditions")
def test_a_try_is_withheld_in_the_name_of_the_process_that_begun_it_and_gave_it_up(bucket: Bucket) -> None:
    bucket.intents.begin("job-1", 1, 1, by="a", at=1_000)

    assert bucket.intents.withhold("job-1", 1, 1, by="a", at=1_000) is None
    assert bucket.intents.begun("job-1", 1, 1) == Begun(1_000, "a", is_unpaid=True)


def test_the_outcome_is_kept_where_the_try_was_recorded(bucket: Bucket) -> None:
    bucket.intents.begin("job-1", 1, 1, by="a", at=1_000)
    taken = Begun(1_000, "a", "r-1", "evolink")

    bucket.intents.keep("job-1", 1, 1, taken)

    assert bucket.intents.begun("job-1", 1, 1) == taken
    assert bucket.intents.begin("job-1", 1, 1, by="b", at=2_000) == taken


def test_the_last_try_that_may_have_been_taken_is_found_behind_those_that_were_not(bucket: Bucket) -> None:
    for try_no in range(1, 5):
        bucket.intents.begin("job-1", 1, try_no, by=f"{try_no}", at=try_no * 1_000)
    for try_no in (1, 2, 4):
        bucket.intents.keep("job-1", 1, try_no, Begun(try_no * 1_000, f"{try_no}", is_unpaid=True))

    assert bucket.intents.last_begun("job-1", 1, 1) == Begun(3_000, "3")
    assert bucket.intents.last_begun("job-1", 1, 4) is None
    assert bucket.intents.last_begun("job-1", 2, 1) is None


def test_only_a_job_s_id_makes_a_key(bucket: Bucket) -> None:
    with pytest.raises(BucketError, match="only a job's id"):
        bucket.intents.begin("../etc", 1, 1, by="a", at=1_000)
