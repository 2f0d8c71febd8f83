"""The environment in which the lines of the Procfile run on this machine, and nothing else."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.sandbox_process import SandboxProcess
from deploy.local.tls import LocalTls
from deploy.sandbox.signing import WEBHOOK_SECRET
from worker.settings.settings import KEY_NAMES, PROVIDER_NAMES, SECRET_NAMES
from worker.settings.tokens import SCOPES

OF_THE_MACHINE = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ", "USER")
OURS = re.compile(rf"CALLSHEET_\w+|FLOWER_\w+|({'|'.join(PROVIDER_NAMES).upper()})_\w+|PORT")
LOOPBACK_NETWORKS = "127.0.0.0/8,::1/128"
BUCKET = "callsheet-local"
FLOWER_USER = "callsheet"
API_TOKEN = "local"
"""The name of the token that may do everything."""
LISTENING = "http://127.0.0.1:8787"
"""The port that `callsheet listen` takes unless it is given another."""


@dataclass(frozen=True)
class Ports:
    """The ports of the processes that the Procfile names."""

    web: int
    flower: int
    console: int


def taken_over(user: Mapping[str, str]) -> dict[str, str]:
    """The part of *user*'s environment that the processes get: the machine's basics and our own variables.

    `AWS_*` goes along only with a set AWS_ENDPOINT_URL_S3: an account of yours is not for the embedded S3.
    """
    with_s3 = bool(user.get("AWS_ENDPOINT_URL_S3"))
    return {
        name: value
        for name, value in user.items()
        if value and (name in OF_THE_MACHINE or OURS.fullmatch(name) or (with_s3 and name.startswith("AWS_")))
    }


def process_environment(
    user: Mapping[str, str],
    *,
    redis_url: str,
    s3_env: Mapping[str, str],
    sandbox: SandboxProcess,
    tls: LocalTls,
    ports: Ports,
    secrets: Mapping[str, str],
) -> dict[str, str]:
    """Defaults for everything, with what *user* has set put over them."""
    defaults = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), user.get("PATH") or os.defpath]),
        "PYTHONUNBUFFERED": "1",
        "CALLSHEET_REDIS_URL": redis_url,
        "CALLSHEET_BUCKET": BUCKET,
        "CALLSHEET_PUBLIC_URL": f"https://127.0.0.1:{ports.web}",
        "CALLSHEET_CALLBACK_SECRETS": secrets["callback_secret"],
        "CALLSHEET_NOTIFY_SECRETS": f"whsec_{secrets['notify_secret']}",
        "CALLSHEET_NOTIFY_HOSTS": LISTENING,
        "CALLSHEET_API_TOKENS": f"{API_TOKEN}:{'+'.join(SCOPES)}:{secrets['api_token']}",
        "CALLSHEET_TLS_CERT": str(tls.cert_file),
        "CALLSHEET_TLS_KEY": str(tls.key_file),
        "FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{secrets['flower_password']}",
        **_sandbox_keys(user, sandbox, secrets["provider_key"]),
        **s3_env,
    }
    return {
        **defaults,
        **taken_over(user),
        **_trust(user, tls),
        "PORT": str(ports.web),
        "FLOWER_PORT": str(ports.flower),
        "CALLSHEET_CONSOLE_PORT": str(ports.console),
    }


def real_providers(env: Mapping[str, str], sandbox: SandboxProcess) -> dict[str, str]:
    """Base URL of each provider that is not our sandbox; empty text: the provider's own."""
    urls = {name: env.get(f"{name.upper()}_BASE_URL", "") for name in PROVIDER_NAMES}
    return {name: url for name, url in urls.items() if url != sandbox.base_url(name)}


def _sandbox_keys(user: Mapping[str, str], sandbox: SandboxProcess, key: str) -> dict[str, str]:
    """Keys and base URLs that lead to the sandbox; a provider with a key of *user*'s is the real one."""
    return {
        name: value
        for provider in PROVIDER_NAMES
        if not user.get(KEY_NAMES[provider])
        for name, value in (
            (KEY_NAMES[provider], key),
            *([(SECRET_NAMES[provider], WEBHOOK_SECRET)] if provider in SECRET_NAMES else []),
            (f"{provider.upper()}_BASE_URL", sandbox.base_url(provider)),
        )
    }


def _trust(user: Mapping[str, str], tls: LocalTls) -> dict[str, str]:
    """Our CA and the loopback, beside what *user* trusts already."""
    networks = user.get("CALLSHEET_ALLOW_NETWORKS")
    ca_file = user.get("CALLSHEET_CA_FILE")
    if ca_file and Path(ca_file).is_file():
        both = tls.directory / "trusted.pem"
        both.write_bytes(tls.ca_file.read_bytes() + Path(ca_file).read_bytes())
        ca_file = str(both)
    return {
        "CALLSHEET_ALLOW_NETWORKS": f"{networks},{LOOPBACK_NETWORKS}" if networks else LOOPBACK_NETWORKS,
        "CALLSHEET_CA_FILE": ca_file or str(tls.ca_file),
    }
