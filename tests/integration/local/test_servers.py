"""The embedded servers, as the local system and the tests use them."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
import redis
from botocore.exceptions import ClientError

from deploy.local.s3 import S3Server
from deploy.local.tls import LocalTls
from deploy.local.valkey import Valkey


def test_valkey_keeps_what_it_answered_over_a_kill(tmp_path: Path) -> None:
    with Valkey(tmp_path / "a directory", "secret") as valkey, redis.Redis.from_url(valkey.url) as client:
        client.set("kept", "yes")

        valkey.kill()
        valkey.start()

        assert client.get("kept") == b"yes"
        assert client.config_get("appendfsync") == {"appendfsync": "always"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_valkey_refuses_whoever_has_no_password(valkey: Valkey) -> None:
    with redis.Redis.from_url(f"redis://127.0.0.1:{valkey.port}/0") as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_valkey_takes_no_message_that_would_fill_a_workers_memory(valkey: Valkey) -> None:
    largest_spec_in_base64 = b"x" * (12 * 1024 * 1024)
    with redis.Redis.from_url(valkey.url) as client:
        assert client.lpush("a-queue", largest_spec_in_base64) == 1

        with pytest.raises(redis.RedisError):
            client.lpush("a-queue", b"x" * (50 * 1024 * 1024))

        assert client.llen("a-queue") == 1
        client.delete("a-queue")


def test_no_password_stands_in_the_arguments_of_valkey(tmp_path: Path) -> None:
    with Valkey(tmp_path, "never-in-argv") as valkey:
        assert all("never-in-argv" not in word for word in valkey.process.command)


def test_a_paused_valkey_answers_nothing_until_it_is_resumed(tmp_path: Path) -> None:
    with Valkey(tmp_path, "secret") as valkey:
        valkey.pause()
        assert not valkey.is_answering()

        valkey.resume()

        assert valkey.is_answering()


def test_s3_puts_an_object_only_once_and_keeps_it_over_a_kill(tmp_path: Path) -> None:
    tls = LocalTls(tmp_path / "tls").ensure()
    with S3Server(tmp_path / "s3", tls=tls) as s3:
        s3.create_bucket("videos")
        client = boto3.client(
            "s3",
            endpoint_url=s3.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=s3.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=s3.env["AWS_SECRET_ACCESS_KEY"],
            verify=str(tls.ca_file),
        )
        client.put_object(Bucket="videos", Key="a.mp4", Body=b"first", IfNoneMatch="*")
        s3.process.kill()
        s3.start()
        s3.create_bucket("videos")  # as every start of the local system does

        with pytest.raises(ClientError, match="PreconditionFailed"):
            client.put_object(Bucket="videos", Key="a.mp4", Body=b"second", IfNoneMatch="*")

        assert client.get_object(Bucket="videos", Key="a.mp4")["Body"].read() == b"first"
        client.close()


def test_s3_bucket_of_a_test_is_found_by_the_environment_alone(bucket_name: str) -> None:
    client = boto3.client("s3")

    client.put_object(Bucket=bucket_name, Key="x", Body=b"1")

    assert client.head_object(Bucket=bucket_name, Key="x")["ContentLength"] == 1
    client.close()


def test_tls_files_are_used_again_and_the_key_is_private(tmp_path: Path) -> None:
    first = LocalTls(tmp_path).ensure()
    certificate = first.cert_file.read_bytes()

    second = LocalTls(tmp_path).ensure()

    assert second.cert_file.read_bytes() == certificate
    assert stat.S_IMODE(second.key_file.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca.pem", "cert.pem", "key.pem"]


@pytest.mark.parametrize("broken", ["ca.pem", "cert.pem", "key.pem"])
def test_tls_files_that_do_not_belong_together_are_made_anew(tmp_path: Path, broken: str) -> None:
    ours, other = LocalTls(tmp_path / "ours").ensure(), LocalTls(tmp_path / "other").ensure()
    (ours.directory / broken).write_bytes((other.directory / broken).read_bytes())
    assert not ours.is_good(datetime.now(UTC))

    ours.ensure()

    assert ours.is_good(datetime.now(UTC))


def test_tls_files_about_to_end_are_not_good(tmp_path: Path) -> None:
    tls = LocalTls(tmp_path).ensure()

    assert not tls.is_good(datetime.now(UTC) + timedelta(days=1000 * 365))
