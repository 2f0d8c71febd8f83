"""The demo's own judgement: it says `verified` only of what is true, pays nothing and clears away nothing of others."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests

from deploy.demo.proof import Ledger, Prover
from deploy.demo.requests import EXAMPLES
from deploy.demo.run import demo_environment, empty
from deploy.demo.screen import HEAD, results_table
from deploy.local.s3 import S3Server
from deploy.local.sandbox_process import SandboxProcess
from deploy.sandbox.client import SandboxControl
from worker.video.film import FilmWalk

KEY = "callsheet/2026/11/20/j1/1-1.mp4"


@pytest.fixture
def made(sandbox: SandboxProcess) -> dict[str, Any]:
    """A finished request of the sandbox's, as it tells of it."""
    control = SandboxControl(sandbox.url, sandbox.ca_file)
    control.reset()
    answer = requests.post(
        f"{sandbox.base_url('apimart')}/v1/videos/generations",
        json={"model": "kling-3.0-turbo", "prompt": "A corgi", "duration": 3},
        headers={"Authorization": "Bearer key"},
        verify=str(sandbox.ca_file),
        timeout=10,
    )
    control.advance(3600)
    request_id = answer.json()["data"][0]["task_id"]
    return next(request for request in control.requests() if request["request_id"] == request_id)


@pytest.fixture
def video(made: dict[str, Any], sandbox: SandboxProcess) -> bytes:
    return requests.get(made["links"][0], verify=str(sandbox.ca_file), timeout=10).content


@pytest.fixture
def result(made: dict[str, Any], video: bytes, bucket_name: str) -> dict[str, Any]:
    """The expected result; the object is in the bucket."""
    boto3.client("s3").put_object(Bucket=bucket_name, Key=KEY, Body=video)
    walk = FilmWalk()
    walk.feed(video)
    facts = walk.finish()
    told = {"seconds": facts.seconds, "width": facts.width, "height": facts.height}
    digest = hashlib.sha256(video).hexdigest()
    uri = f"s3://{bucket_name}/{KEY}"
    return {"request_id": made["request_id"], "videos": [{"uri": uri, "bytes": len(video), "sha256": digest, **told}]}


@pytest.fixture
def prover(made: dict[str, Any], s3: S3Server, sandbox: SandboxProcess, tmp_path: Path) -> Prover:
    return Prover(tmp_path, Ledger(sandbox.url, sandbox.ca_file))


def test_a_true_result_is_verified_and_its_video_left_as_a_file(
    prover: Prover, result: dict[str, Any], video: bytes, tmp_path: Path
) -> None:
    assert prover.problems("apimart-text", result) == []
    assert (tmp_path / "apimart-text.mp4").read_bytes() == video


def test_other_bytes_in_the_bucket_are_found(
    prover: Prover, result: dict[str, Any], video: bytes, bucket_name: str
) -> None:
    changed = video[:-1] + bytes([video[-1] ^ 1])
    boto3.client("s3").put_object(Bucket=bucket_name, Key=KEY, Body=changed)

    problems = prover.problems("x", result)

    assert any("holds other bytes than the result says" in problem for problem in problems)
    assert any("holds other bytes than the provider serves" in problem for problem in problems)


def test_a_video_cut_short_is_found(prover: Prover, result: dict[str, Any], video: bytes, bucket_name: str) -> None:
    boto3.client("s3").put_object(Bucket=bucket_name, Key=KEY, Body=video[: len(video) // 2])

    (problem,) = prover.problems("x", result)

    assert "is not a whole video in the bucket" in problem


def test_an_object_that_is_not_there_is_found(prover: Prover, result: dict[str, Any], bucket_name: str) -> None:
    boto3.client("s3").delete_object(Bucket=bucket_name, Key=KEY)

    (problem,) = prover.problems("x", result)

    assert "is not a whole video in the bucket" in problem


@pytest.mark.parametrize(("what", "wrong"), [("sha256", "00" * 32), ("bytes", 1), ("seconds", 9.0), ("width", 1)])
def test_a_result_that_tells_wrong_is_found(what: str, wrong: object, prover: Prover, result: dict[str, Any]) -> None:
    result["videos"][0][what] = wrong

    assert len(prover.problems("x", result)) == 1


def test_a_request_that_the_provider_never_had_is_found(prover: Prover, result: dict[str, Any]) -> None:
    assert prover.problems("x", {**result, "request_id": "task_other"}) == ["the sandbox knows no request task_other"]


def test_a_missing_video_is_found(prover: Prover, result: dict[str, Any]) -> None:
    assert prover.problems("x", {**result, "videos": []}) == ["the sandbox made 1 videos, the result has 0"]


def test_no_key_of_a_real_provider_reaches_the_demo() -> None:
    mine = {"EVOLINK_API_KEY": "real", "EVOLINK_BASE_URL": "https://api.evolink.ai", "CALLSHEET_PROVIDERS": "evolink"}

    assert demo_environment({**mine, "PATH": "/bin", "CALLSHEET_REDIS_URL": "redis://mine"}) == {
        "PATH": "/bin",
        "CALLSHEET_REDIS_URL": "redis://mine",
    }


def test_an_s3_of_mine_is_used_only_when_it_is_named() -> None:
    account = {"AWS_ACCESS_KEY_ID": "k", "CALLSHEET_BUCKET": "b"}
    named = {**account, "AWS_ENDPOINT_URL_S3": "https://s3.example.com"}

    assert demo_environment(account) == {}
    assert demo_environment(named) == named


def test_a_directory_that_is_not_a_demo_s_is_left_as_it_is(tmp_path: Path) -> None:
    theirs = tmp_path / "videos" / "holiday.mp4"
    theirs.parent.mkdir()
    theirs.write_text("film")

    empty(tmp_path)

    assert theirs.read_text() == "film"


def test_a_second_demo_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("{}")
    old = tmp_path / "valkey" / "appendonly.aof"
    old.parent.mkdir()
    old.write_text("unfinished jobs")

    empty(tmp_path)

    assert not old.exists()
    assert (tmp_path / "secrets.json").exists()


def test_the_nine_jobs_are_the_examples_of_the_five_documents() -> None:
    models = {(example.spec["provider"], example.spec["model"]) for example in EXAMPLES}

    assert len(EXAMPLES) == 9
    assert len({example.name for example in EXAMPLES}) == 9
    assert models == {
        ("gmicloud", "kling-3.0-turbo-i2v"),
        ("gmicloud", "kling-v3-image-to-video"),
        ("gmicloud", "kling-3.0-turbo-t2v"),
        ("evolink", "kling-v3-turbo-image-to-video"),
        ("apimart", "kling-3.0-turbo"),
    }
    assert {example.by_message for example in EXAMPLES} == {True, False}


def test_a_narrow_terminal_gets_two_tables_and_a_pipe_one() -> None:
    row = tuple(f"{name}-value" for name in HEAD)

    assert len(results_table([row], None).splitlines()) == 2
    assert [line.split()[0] for line in results_table([row], 100).splitlines() if line] == [
        "job", "job-value", "job", "job-value"
    ]  # fmt: skip
