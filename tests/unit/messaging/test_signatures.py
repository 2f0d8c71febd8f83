"""A message's signature: one recipe, the same in every language, for one job, one spec and what hangs on it."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from hmac import digest
from pathlib import Path
from typing import Any

import pytest

from worker.errors import SettingsError
from worker.messaging.signatures import is_signed, signature
from worker.settings.settings import Settings

README = Path(__file__).parents[3] / "worker/messaging/README.md"
SECRET, OTHER = "a" * 32, "b" * 32
SPEC = {"model": "kling-3.0-turbo", "duration": 5}
ENVIRONMENT = {"CALLSHEET_REDIS_URL": "redis://localhost", "CALLSHEET_BUCKET": "videos", "APIMART_API_KEY": "key"}


def test_the_readme_has_a_job_to_try_it_with() -> None:
    lines = dict(re.findall(r"^(secret|job id|spec|signed text|callsheet_signature): +(.*)$", README.read_text(), re.M))
    spec = json.loads(lines["spec"])

    assert lines["signed text"] == f"{lines['job id']}." + json.dumps(spec, sort_keys=True, separators=(",", ":"))
    mac = digest(lines["secret"].encode(), lines["signed text"].encode(), sha256)
    assert lines["callsheet_signature"] == f"v1,{b64encode(mac).decode()}"
    assert signature(lines["secret"], lines["job id"], spec) == lines["callsheet_signature"]


def test_the_readmes_recipe_is_what_we_check() -> None:
    [recipe] = [code for code in re.findall(r"```python\n(.*?)```", README.read_text(), re.S) if "hmac" in code]
    here: dict[str, Any] = {}
    exec(recipe, here)

    spec = {"prompt": 'Zoë 🐕\n/"', "metadata": {"é": 0.5, "b": [1, -0.25, None, True]}, "model": "m"}
    assert is_signed(here["signature"](SECRET, "job-1", spec), [SECRET], "job-1", spec, None)


def test_neither_the_order_of_keys_nor_an_empty_canvas_matters() -> None:
    given = signature(SECRET, "job-1", SPEC)

    assert signature(SECRET, "job-1", dict(reversed(SPEC.items())), {"callbacks": None, "chain": []}) == given


@pytest.mark.parametrize("secrets", [[SECRET], [OTHER, SECRET], [SECRET, OTHER]])
def test_any_live_secret_will_do(secrets: list[str]) -> None:
    assert is_signed(signature(SECRET, "job-1", SPEC), secrets, "job-1", SPEC, {})


@pytest.mark.parametrize(
    ("secrets", "job_id", "fields", "canvas"),
    [
        pytest.param([], "job-1", SPEC, {}, id="no secret"),
        pytest.param([OTHER], "job-1", SPEC, {}, id="another secret"),
        pytest.param([SECRET], "job-2", SPEC, {}, id="another job"),
        pytest.param([SECRET], "job-1", {**SPEC, "duration": 6}, {}, id="another spec"),
        pytest.param([SECRET], "job-1", {**SPEC, "duration": 5.0}, {}, id="another number"),
        pytest.param([SECRET], "job-1", {**SPEC, "duration": True}, {}, id="no number"),
        pytest.param([SECRET], "job-1", SPEC, {"chain": [{"task": "x"}]}, id="a canvas"),
    ],
)
def test_a_signature_is_good_for_nothing_else(
    secrets: list[str], job_id: str, fields: dict[str, Any], canvas: dict[str, Any]
) -> None:
    assert not is_signed(signature(SECRET, "job-1", SPEC), secrets, job_id, fields, canvas)


def test_an_id_cannot_hold_a_part_of_the_spec() -> None:
    given = signature(SECRET, "job-1", {"a": 1}, {"chain": [1]})

    assert not is_signed(given, [SECRET], 'job-1.{"a":1}', {"chain": [1]}, {})


@pytest.mark.parametrize("number", [1e16, -1e16, 9.9e-5, 5e-324, float("nan"), float("inf")])
def test_a_fraction_that_languages_write_differently_is_not_signed(number: float) -> None:
    with pytest.raises(ValueError):
        signature(SECRET, "job-1", {"metadata": [{"n": number}]})
    assert not is_signed("v1," + "A" * 43 + "=", [SECRET], "job-1", {"n": number}, {})


@pytest.mark.parametrize("number", [0.0001, 0.1, 123456.789, 9007199254740993, 10**18, -0.5, 0.0])
def test_a_number_is_written_as_every_language_writes_it(number: float) -> None:
    assert "e" not in json.dumps(number)
    assert is_signed(signature(SECRET, "job-1", {"n": number}), [SECRET], "job-1", {"n": number}, {})


@pytest.mark.parametrize(
    "given", [None, 5, b"v1", "", "v1,", "v1," + "ä" * 43 + "=", "v1," + "A" * 44, "V1," + "A" * 43 + "="]
)
def test_what_is_no_signature_is_none(given: object) -> None:
    assert not is_signed(given, [SECRET], "job-1", SPEC, {})


def test_settings_take_several_secrets_and_none_by_default() -> None:
    some = Settings.from_env({**ENVIRONMENT, "CALLSHEET_MESSAGE_SECRETS": f"{SECRET}, {OTHER}"})

    assert some.message_secrets == (SECRET, OTHER)
    assert SECRET not in repr(some)
    assert Settings.from_env(ENVIRONMENT).message_secrets == ()


@pytest.mark.parametrize("text", ["short", f"{SECRET},short", ",", " , "])
def test_a_secret_that_could_be_guessed_is_refused_by_name_and_never_quoted(text: str) -> None:
    with pytest.raises(SettingsError, match="CALLSHEET_MESSAGE_SECRETS must hold only secrets of 32") as caught:
        Settings.from_env({**ENVIRONMENT, "CALLSHEET_MESSAGE_SECRETS": text})

    assert SECRET not in str(caught.value)


def test_a_secret_that_senders_have_cannot_sign_callbacks_too() -> None:
    both = {"CALLSHEET_MESSAGE_SECRETS": f"{OTHER},{SECRET}", "CALLSHEET_CALLBACK_SECRETS": SECRET}

    with pytest.raises(
        SettingsError, match="CALLSHEET_MESSAGE_SECRETS shares a secret with CALLSHEET_CALLBACK_SECRETS"
    ):
        Settings.from_env({**ENVIRONMENT, **both})
