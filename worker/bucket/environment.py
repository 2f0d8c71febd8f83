"""Judge the `AWS_*` variables by building what will be used with them; boto3 itself reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, InvalidRegionError, PartialCredentialsError, ProfileNotFound

from worker.errors import SettingsError

DEFAULT_REGION = "us-east-1"
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def session(env: Mapping[str, str] = os.environ) -> boto3.Session:
    """A session of boto3 in our region; raises `SettingsError` that names each variable that cannot be used.

    The region is that of `AWS_DEFAULT_REGION`, else of `AWS_REGION`, which boto3 does not read, else of the profile.
    """
    problems = list(_problems(env))
    if not problems:
        try:
            found = boto3.Session(region_name=env.get("AWS_DEFAULT_REGION") or env.get("AWS_REGION") or None)
            found = found if found.region_name else boto3.Session(region_name=DEFAULT_REGION)
            found.get_credentials()
            found.client("s3").close()
            return found
        except (ValueError, BotoCoreError) as err:
            problems.append(_problem(err))
    raise SettingsError(problems) from None


def unset_region(env: Mapping[str, str] = os.environ) -> str | None:
    """Tell of the region that is used because none is set and no endpoint makes it irrelevant; None: it is set."""
    if any(env.get(name) for name in ENDPOINTS) or env.get("AWS_DEFAULT_REGION") or env.get("AWS_REGION"):
        return None
    if boto3.Session().region_name:
        return None
    return f"no region is set, so {DEFAULT_REGION} is used: links to pictures in a bucket of another region are refused"


def _problems(env: Mapping[str, str]) -> Iterator[str]:
    """Check the variables that boto3 ignores, or refuses only at the first request."""
    pair = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    for given, other in (pair, pair[::-1]):
        if env.get(given) and not env.get(other):
            yield f"{other} is not set, but {given} is: set both, or neither for a role or a profile"
    for name in ENDPOINTS:
        if env.get(name) and not _is_endpoint(env[name]):
            yield f"{name} must be an http:// or https:// URL such as https://s3.example.com"
    bundle = env.get("AWS_CA_BUNDLE")
    if bundle and not Path(bundle).exists():
        yield f"AWS_CA_BUNDLE names a file that is not there: {bundle}"


def _is_endpoint(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a port that is none
        return False


def _problem(err: Exception) -> str:
    """Advice for a bad variable; never boto3's own words, which may quote a secret."""
    if isinstance(err, ProfileNotFound):
        return (
            "AWS_PROFILE names a profile that is in no file of boto3's (AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE)"
        )
    if isinstance(err, PartialCredentialsError):
        return "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together: one of them is missing, in a file of boto3's"
    if isinstance(err, InvalidRegionError):
        return "AWS_DEFAULT_REGION (or AWS_REGION) is no name of a region, such as eu-central-1"
    return f"boto3 cannot use the AWS_* variables ({type(err).__name__}); see AWS_ENDPOINT_URL_S3"
