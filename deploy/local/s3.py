"""An embedded S3 on disk: access keys and presigned links checked, conditional writes kept, loopback only.

It does not check what a header's signature was made with: whoever knows the access key is let in.
"""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from deploy.local.health import http_answers
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.processes import Process
from deploy.local.tls import LocalTls
from worker.errors import LocalError

REGION = "us-east-1"
STOP_SECONDS = 2.0
"""Over TLS it waits for idle clients for ever; what it has answered is on disk, and a kill loses nothing of it."""


class S3Server:
    """An S3 endpoint on a loopback port whose objects live in *directory*.

    `env` is what a boto3 client needs to use it and nothing else of this
    machine: credentials, region, endpoint, CA. With *tls* it speaks HTTPS.
    """

    def __init__(
        self,
        directory: Path,
        *,
        access_key: str | None = None,
        secret_key: str | None = None,
        port: int | None = None,
        tls: LocalTls | None = None,
        logs: Path | None = None,
    ) -> None:
        self.directory = directory.resolve()
        self.port = port or free_port()
        self.endpoint_url = f"{'https' if tls else 'http'}://{LOOPBACK}:{self.port}"
        self.env = {
            "AWS_ACCESS_KEY_ID": access_key or f"local{secrets.token_hex(8)}",
            "AWS_SECRET_ACCESS_KEY": secret_key or secrets.token_urlsafe(24),
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL_S3": self.endpoint_url,
            # The profiles of whoever runs this must not be mixed in.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        if tls:
            self.env["AWS_CA_BUNDLE"] = str(tls.ca_file)
        self.process = Process(
            "s3",
            self._command(tls),
            directory=self.directory,
            logs=logs or self.directory,
            env=self._server_env(),
            stop_seconds=STOP_SECONDS,
            is_ready=http_answers(f"{self.endpoint_url}/_ministack/health", context=tls.context() if tls else None),
        )

    @property
    def url(self) -> str:
        return self.endpoint_url

    def start(self) -> None:
        self.process.start()

    def stop(self) -> None:
        self.process.stop()

    def create_bucket(self, name: str) -> None:
        """Make bucket *name*; nothing happens when it is there."""
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=self.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.env["AWS_SECRET_ACCESS_KEY"],
            verify=self.env.get("AWS_CA_BUNDLE"),
            config=Config(s3={"addressing_style": "path"}, proxies={}),
        )
        try:
            with suppress(client.exceptions.BucketAlreadyOwnedByYou):
                client.create_bucket(Bucket=name)
        except (BotoCoreError, ClientError) as err:
            raise LocalError(f"the embedded S3 did not make the bucket {name}: {err}") from err
        finally:
            client.close()

    def _command(self, tls: LocalTls | None) -> list[str]:
        """The server that `ministack --detach` runs: in the foreground with TLS it would take port 443 as well."""
        command = [sys.executable, "-m", "hypercorn", "ministack.app:app", "--workers", "0", "--keep-alive", "75"]
        if tls:
            command += ["--certfile", str(tls.cert_file), "--keyfile", str(tls.key_file)]
        return [*command, "--bind", f"{LOOPBACK}:{self.port}"]

    def _server_env(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.directory),
            "SERVICES": "s3",
            "AUTH": "true",
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self.directory / "objects"),
            "GATEWAY_PORT": str(self.port),
            "IOT_MTLS_ENABLED": "0",  # by default it listens on every interface
            "LOG_LEVEL": "WARNING",
            "DOCKER_HOST": "unix:///nonexistent",  # it looks for containers to clear away; there are none of ours
            "AWS_ACCESS_KEY_ID": self.env["AWS_ACCESS_KEY_ID"],
            "AWS_SECRET_ACCESS_KEY": self.env["AWS_SECRET_ACCESS_KEY"],
        }

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
