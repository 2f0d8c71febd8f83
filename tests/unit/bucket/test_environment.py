"""`AWS_*` variables that boto3 would refuse at the first request, or take no notice of, are told at the start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.bucket import environment
from worker.errors import SettingsError

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret-5f1e"}
BAD = {
    "AWS_ENDPOINT_URL_S3": {"AWS_ENDPOINT_URL_S3": "minio.internal:9000"},
    "AWS_ENDPOINT_URL_S3 ": {"AWS_ENDPOINT_URL_S3": "http://user:secret-5f1e@host:port"},
    "AWS_ENDPOINT_URL": {"AWS_ENDPOINT_URL": "minio"},
    "AWS_PROFILE": {"AWS_PROFILE": "nobody"},
    "AWS_SECRET_ACCESS_KEY": {"AWS_SECRET_ACCESS_KEY": ""},
    "AWS_ACCESS_KEY_ID": {"AWS_ACCESS_KEY_ID": ""},
    "AWS_CA_BUNDLE": {"AWS_CA_BUNDLE": "/nowhere/ca.pem"},
    "AWS_DEFAULT_REGION": {"AWS_DEFAULT_REGION": "eu central 1"},
}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with keys and nothing of this machine."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:  # an S3 server of other tests
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    for name, value in {**KEYS, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.parametrize(("name", "bad"), BAD.items(), ids=BAD)
def test_a_variable_that_cannot_be_used_is_named_and_not_quoted(
    aws: pytest.MonkeyPatch, name: str, bad: dict[str, str]
) -> None:
    for variable, value in bad.items():
        aws.setenv(variable, value)

    with pytest.raises(SettingsError, match=name.strip()) as caught:
        environment.session()

    assert "secret-5f1e" not in str(caught.value)


def test_every_bad_variable_is_named_at_once(aws: pytest.MonkeyPatch) -> None:
    aws.setenv("AWS_ENDPOINT_URL_S3", "minio")
    aws.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(SettingsError) as caught:
        environment.session()

    assert [problem.partition(" ")[0] for problem in caught.value.problems] == [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ENDPOINT_URL_S3",
    ]


def test_half_a_key_pair_in_a_file_is_told(aws: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in KEYS:
        aws.delenv(name)
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = AKIAEXAMPLE\n")
    aws.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))

    with pytest.raises(SettingsError, match="go together"):
        environment.session()


@pytest.mark.parametrize(
    ("env", "region"),
    [
        ({}, "us-east-1"),
        ({"AWS_REGION": "eu-central-1"}, "eu-central-1"),
        ({"AWS_DEFAULT_REGION": "eu-north-1"}, "eu-north-1"),
        ({"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-north-1"}, "eu-north-1"),
    ],
)
def test_the_region_is_the_one_that_is_named(aws: pytest.MonkeyPatch, env: dict[str, str], region: str) -> None:
    for name, value in env.items():
        aws.setenv(name, value)

    assert environment.session().region_name == region


def test_the_region_of_a_profile_is_taken(aws: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("[profile media]\nregion = eu-west-3\n")
    aws.setenv("AWS_CONFIG_FILE", str(file))
    aws.setenv("AWS_PROFILE", "media")

    assert environment.session().region_name == "eu-west-3"
    assert environment.unset_region() is None


@pytest.mark.parametrize(
    ("env", "is_told"),
    [
        ({}, True),
        ({"AWS_REGION": "eu-central-1"}, False),
        ({"AWS_DEFAULT_REGION": "eu-central-1"}, False),
        ({"AWS_ENDPOINT_URL_S3": "https://minio.internal"}, False),
    ],
)
def test_a_region_by_default_is_told(aws: pytest.MonkeyPatch, env: dict[str, str], is_told: bool) -> None:
    for name, value in env.items():
        aws.setenv(name, value)

    assert (environment.unset_region() is not None) == is_told
