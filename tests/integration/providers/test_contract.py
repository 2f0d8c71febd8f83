"""The contract that every provider keeps, against the sandbox over real HTTPS.

A new provider adds its line to `CASES` and passes unchanged.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from deploy.local.sandbox_process import SandboxProcess
from tests.integration.providers.conftest import KEY
from worker.errors import NoSuchRequestError, NotTakenError, ProviderError, RefusedError, UnconfirmedError
from worker.jobs.spec import JobSpec
from worker.providers import ADAPTERS
from worker.providers.adapter import Adapter
from worker.providers.base import CallbackTrust, EventKind, ProviderEvent, Submission

PROMPT = "a canary that no error and no event may ever sing"
FRAME = "https://example.com/frame-1280x720.png"


@dataclass(frozen=True)
class Case:
    """One way to use a provider: a spec, and what must then stand on the wire."""

    provider: str
    spec: JobSpec
    sent: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.provider} {self.spec.model}"


CASES = [
    Case(
        "gmicloud",
        JobSpec(model="kling-3.0-turbo-i2v", first_frame=FRAME, prompt=PROMPT, resolution="720p", duration=5),
        {
            "model": "kling-3.0-turbo-i2v",
            "payload": {"first_frame": FRAME, "prompt": PROMPT, "resolution": "720p", "duration": "5"},
        },
    ),
    Case(
        "gmicloud",
        JobSpec(model="kling-3.0-turbo-t2v", prompt=PROMPT, resolution="720p", aspect_ratio="16:9", duration=5),
        {
            "model": "kling-3.0-turbo-t2v",
            "payload": {"prompt": PROMPT, "resolution": "720p", "aspect_ratio": "16:9", "duration": "5"},
        },
    ),
    Case(
        "gmicloud",
        JobSpec(model="kling-3.0", first_frame=FRAME, last_frame=FRAME, prompt=PROMPT, duration=5, sound=True),
        {
            "model": "kling-v3-image-to-video",
            "payload": {"image": FRAME, "image_tail": FRAME, "prompt": PROMPT, "duration": "5", "sound": "on"},
        },
    ),
    Case(
        "evolink",
        JobSpec(model="kling-3.0-turbo", first_frame=FRAME, prompt=PROMPT, resolution="1080p", duration=8),
        {
            "model": "kling-v3-turbo-image-to-video",
            "image_start": FRAME,
            "prompt": PROMPT,
            "quality": "1080p",
            "duration": 8,
        },
    ),
    Case(
        "evolink",
        JobSpec.model_validate(
            {
                "model": "kling-v3-turbo-image-to-video",
                "first_frame": FRAME,
                "shots": [{"seconds": 2, "prompt": PROMPT}, {"seconds": 1, "prompt": "rain, on a window"}],
            }
        ),
        {
            "model": "kling-v3-turbo-image-to-video",
            "image_start": FRAME,
            "prompt": f"镜头 1, 2, {PROMPT}; 镜头 2, 1, rain, on a window;",
            "duration": 3,
        },
    ),
    Case(
        "apimart",
        JobSpec(model="kling-3.0-turbo", prompt=PROMPT, resolution="1080p", aspect_ratio="9:16", duration=6),
        {
            "model": "kling-3.0-turbo",
            "prompt": PROMPT,
            "resolution": "1080p",
            "aspect_ratio": "9:16",
            "duration": 6,
        },
    ),
    Case(
        "apimart",
        JobSpec(model="kling-3.0-turbo", first_frame=FRAME, watermark=False),
        {"model": "kling-3.0-turbo", "first_frame_image": FRAME, "watermark": False},
    ),
    Case(
        "apimart",
        JobSpec.model_validate(
            {
                "model": "kling-3.0-turbo",
                "duration": 5,
                "shots": [{"seconds": 2, "prompt": PROMPT}, {"seconds": 3, "prompt": "rain"}],
            }
        ),
        {"model": "kling-3.0-turbo", "prompt": f"Shot 1, 2, {PROMPT}; Shot 2, 3, rain;", "duration": 5},
    ),
    Case(
        "kling",
        JobSpec(model="kling-3.0-turbo", prompt=PROMPT, resolution="1080p", aspect_ratio="9:16", duration=6),
        {"prompt": PROMPT, "settings": {"duration": 6, "resolution": "1080p", "aspect_ratio": "9:16"}},
    ),
    Case(
        "kling",
        JobSpec(
            model="kling-3.0",
            prompt=PROMPT,
            first_frame=FRAME,
            last_frame=FRAME,
            sound=True,
            watermark=False,
        ),
        {
            "contents": [
                {"type": "prompt", "text": PROMPT},
                {"type": "first_frame", "url": FRAME},
                {"type": "last_frame", "url": FRAME},
            ],
            "settings": {"audio": "native"},
            "options": {"watermark_info": {"enabled": False}},
        },
    ),
    Case(
        "fal",
        JobSpec(model="kling-3.0", prompt=PROMPT, first_frame=FRAME, last_frame=FRAME, duration=8, sound=False),
        {
            "prompt": PROMPT,
            "start_image_url": FRAME,
            "end_image_url": FRAME,
            "duration": "8",
            "generate_audio": False,
        },
    ),
    Case(
        "fal",
        JobSpec(model="kling-v3-pro-text-to-video", prompt=PROMPT, aspect_ratio="1:1", cfg_scale=0.7),
        {"prompt": PROMPT, "aspect_ratio": "1:1", "cfg_scale": 0.7},
    ),
    Case(
        "replicate",
        JobSpec(model="kling-2.6", prompt=PROMPT, negative_prompt="blur", aspect_ratio="9:16", duration=10, sound=True),
        {
            "input": {
                "prompt": PROMPT,
                "negative_prompt": "blur",
                "duration": 10,
                "aspect_ratio": "9:16",
                "generate_audio": True,
            }
        },
    ),
    Case(
        "replicate",
        JobSpec(model="kling-v2.5-turbo-pro", prompt=PROMPT, first_frame=FRAME),
        {"input": {"prompt": PROMPT, "start_image": FRAME}},
    ),
]

ASKED: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "evolink": lambda url: {"callback_url": url},
    "apimart": lambda url: {"webhook": url},
    "kling": lambda url: {"options": {"callback_url": url}},
    "fal": lambda _: {},  # in the query
    "replicate": lambda url: {"webhook": url, "webhook_events_filter": ["completed"]},
}
"""The body of a submit without the address of the callback."""


class Playground:
    """The sandbox as these tests use it."""

    def __init__(self, sandbox: SandboxProcess) -> None:
        self._control = sandbox.control
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(sandbox.ca_file)

    def ask(self, path: str, document: Any = None) -> Any:
        method = "GET" if document is None else "POST"
        answer = self._session.request(method, f"{self._control}/{path}", json=document, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def script(self, on: str, **rule: Any) -> None:
        self.ask("script", {"rules": [{"on": on, **rule}]})

    def calls(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.ask("history")["entries"]
        return [entry for entry in entries if entry.get("path") and not entry["path"].startswith("/_control")]

    def move_clock(self, seconds: float) -> None:
        self.ask("clock", {"advance_seconds": seconds})

    def close(self) -> None:
        self._session.close()


@pytest.fixture
def playground(sandbox: SandboxProcess) -> Iterator[Playground]:
    """The sandbox, emptied before and after."""
    control = Playground(sandbox)
    control.ask("reset", {})
    yield control
    control.ask("reset", {})
    control.close()


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def provider(case: Case, sandbox: SandboxProcess, playground: Playground, connect: Callable[..., Adapter]) -> Adapter:
    """The case's provider, its time-outs as in production."""
    return connect(case.provider, sandbox.base_url(case.provider), post_seconds=(5, 10), get_seconds=(5, 10))


def submit(provider: Adapter, case: Case, callback_url: str | None = None) -> Submission:
    images = {name: url for name in ("first_frame", "last_frame") if (url := getattr(case.spec, name))}
    return provider.submit(case.spec, images=images, callback_url=callback_url)


def generate(provider: Adapter, case: Case, playground: Playground) -> ProviderEvent:
    taken = submit(provider, case)
    playground.move_clock(3600)
    return provider.fetch(taken.request_id)


def test_what_goes_over_the_wire_is_what_the_vendor_documents(
    case: Case, provider: Adapter, playground: Playground
) -> None:
    submit(provider, case)

    (call,) = playground.calls()
    assert call["body"] == case.sent
    assert 200 <= call["answer"] < 300


def test_a_taken_submit_tells_its_request_id_and_is_pending(case: Case, provider: Adapter) -> None:
    taken = submit(provider, case)

    assert taken.request_id == taken.event.request_id
    assert taken.event.kind is EventKind.PENDING


@pytest.mark.parametrize("told", [[{"id": "ID"}], [{"taskId": "ID"}, {"note": 1}], ["ID"]], ids=str)
def test_an_id_in_plain_view_in_an_array_is_taken(
    told: list[Any], case: Case, provider: Adapter, playground: Playground
) -> None:
    request_id = submit(provider, case).request_id
    playground.script("submit", body=json.loads(json.dumps(told).replace("ID", request_id)))

    assert submit(provider, case).request_id == request_id


@pytest.mark.parametrize(
    "told", [[], [{}], ["no id of theirs"], [{"error": {"message": "internal"}, "id": "x"}]], ids=str
)
def test_an_array_without_an_id_is_unconfirmed(
    told: list[Any], case: Case, provider: Adapter, playground: Playground
) -> None:
    playground.script("submit", body=told)

    with pytest.raises(UnconfirmedError):
        submit(provider, case)


def test_a_request_is_pending_then_generated_with_a_link(case: Case, provider: Adapter, playground: Playground) -> None:
    taken = submit(provider, case)
    before = provider.fetch(taken.request_id)
    playground.move_clock(3600)

    after = provider.fetch(taken.request_id)

    assert before.kind is EventKind.PENDING
    assert before.links == ()
    assert after.kind is EventKind.GENERATED
    assert [link.url.startswith("https://") for link in after.links] == [True]
    assert after.request_id == taken.request_id


def test_all_videos_of_a_request_are_told(case: Case, provider: Adapter, playground: Playground) -> None:
    playground.script("generation", videos=3)

    event = generate(provider, case, playground)

    assert len({link.url for link in event.links}) == 3


def test_a_success_without_a_video_is_not_final(case: Case, provider: Adapter, playground: Playground) -> None:
    playground.script("generation", videos=0)

    event = generate(provider, case, playground)

    assert event.kind is EventKind.UNKNOWN
    assert event.error_code == "no_video"


def test_a_failed_generation_is_failed_with_a_reason(case: Case, provider: Adapter, playground: Playground) -> None:
    playground.script("generation", outcome="failed", code="content_policy_violation", message="it was refused")

    event = generate(provider, case, playground)

    assert event.kind is EventKind.FAILED
    assert event.error_code
    assert "it was refused" in event.error_message


def test_a_cancelled_generation_is_failed(case: Case, provider: Adapter, playground: Playground) -> None:
    playground.script("generation", outcome="cancelled")

    event = generate(provider, case, playground)

    assert event.kind is EventKind.FAILED


def test_a_word_that_nobody_knows_is_not_final(case: Case, provider: Adapter, playground: Playground) -> None:
    playground.script("poll", status_word="daydreaming")

    event = generate(provider, case, playground)

    assert event.kind is EventKind.UNKNOWN
    assert event.status == "daydreaming"


def test_a_request_id_that_nobody_gave_is_not_known(case: Case, provider: Adapter) -> None:
    for stranger in ("task-unified-0-stranger", "stranger", "..", "a?b#c", "%2e%2e"):
        with pytest.raises(NoSuchRequestError):
            provider.fetch(stranger)


def test_an_id_that_is_not_shown_yet_is_not_known_and_later_is(
    case: Case, provider: Adapter, playground: Playground
) -> None:
    playground.script("poll", not_found_seconds=60, times=None)
    taken = submit(provider, case)

    with pytest.raises(NoSuchRequestError):
        provider.fetch(taken.request_id)
    playground.move_clock(61)
    assert provider.fetch(taken.request_id).request_id == taken.request_id


def test_a_provider_that_refuses_is_believed(case: Case, provider: Adapter, playground: Playground) -> None:
    playground.script("submit", status=400)

    with pytest.raises(RefusedError):
        submit(provider, case)


def test_a_wrong_key_is_refused(case: Case, provider: Adapter, playground: Playground) -> None:
    playground.script("submit", status=401)

    with pytest.raises(RefusedError):
        submit(provider, case)


def test_checking_the_key_makes_no_request(case: Case, provider: Adapter, playground: Playground) -> None:
    provider.check_key()

    assert playground.ask("requests")["requests"] == []


def test_a_429_is_not_taken_and_its_time_is_kept(case: Case, provider: Adapter, playground: Playground) -> None:
    playground.script("submit", status=429, retry_after=7)

    with pytest.raises(NotTakenError) as caught:
        submit(provider, case)
    assert caught.value.retry_after == 7


def test_a_503_that_names_a_time_is_not_taken(case: Case, provider: Adapter, playground: Playground) -> None:
    playground.script("submit", status=503, retry_after=3)

    with pytest.raises(NotTakenError):
        submit(provider, case)


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 500},
        {"status": 503},
        {"status": 502, "html": True},
        {"status": 200, "html": True},
        {"redirect_to": "https://127.0.0.1:9/"},
        {"body": {}},
        {"half": True},
        {"cut": True, "created": True},
        {"cut": True, "created": False},
    ],
    ids=str,
)
def test_whatever_may_have_been_taken_is_unconfirmed_and_sent_once(
    trouble: dict[str, Any], case: Case, provider: Adapter, playground: Playground
) -> None:
    playground.script("submit", **trouble)

    with pytest.raises(UnconfirmedError):
        submit(provider, case)
    assert len(playground.calls()) == 1


@pytest.mark.parametrize(
    "trouble", [{"status": 500}, {"html": True, "status": 404}, {"half": True}, {"body": []}], ids=str
)
def test_a_poll_that_goes_wrong_teaches_nothing(
    trouble: dict[str, Any], case: Case, provider: Adapter, playground: Playground
) -> None:
    taken = submit(provider, case)
    playground.script("poll", **trouble, times=2)

    with pytest.raises(ProviderError) as caught:
        provider.fetch(taken.request_id)
    assert type(caught.value) is ProviderError


def test_a_poll_told_to_slow_down_says_for_how_long(case: Case, provider: Adapter, playground: Playground) -> None:
    taken = submit(provider, case)
    playground.script("poll", status=429, retry_after=11)

    with pytest.raises(ProviderError, match="rate_limited") as caught:
        provider.fetch(taken.request_id)
    assert caught.value.retry_after == 11


def test_our_own_request_fits_and_another_specs_does_not(case: Case, provider: Adapter, playground: Playground) -> None:
    begun_at = int(time.time() * 1000)
    taken = submit(provider, case)
    event = provider.fetch(taken.request_id)
    others = case.spec.model_copy(update={"prompt": "something else", "shots": None})

    if event.created_at is None:  # a provider that tells no time is recognised by its list
        assert not provider.fits(case.spec, event, begun_at=begun_at)
        return
    assert provider.fits(case.spec, event, begun_at=begun_at)
    assert provider.fits(others, event, begun_at=begun_at) is (event.payload is None)


def test_a_request_made_at_another_time_does_not_fit(case: Case, provider: Adapter) -> None:
    hour = 3_600_000
    event = provider.fetch(submit(provider, case).request_id)

    for begun_at in (int(time.time() * 1000) - hour, int(time.time() * 1000) + hour):
        assert not provider.fits(case.spec, event, begun_at=begun_at)


def test_a_list_finds_the_request_whose_answer_was_lost(case: Case, provider: Adapter, playground: Playground) -> None:
    playground.script("submit", cut=True, created=True)
    with pytest.raises(UnconfirmedError):
        submit(provider, case)

    if not provider.can_list:
        with pytest.raises(ProviderError, match="no_list"):
            provider.recent(case.spec)
        return
    (found,) = [event for event in provider.recent(case.spec) if provider.fits(case.spec, event, begun_at=_now_ms())]
    assert provider.fetch(found.request_id).kind is EventKind.PENDING


def test_a_callback_is_asked_for_only_where_it_is_known_to_come(
    case: Case, provider: Adapter, playground: Playground
) -> None:
    url = "https://127.0.0.1:9/callbacks/x"

    submit(provider, case, callback_url=url)

    (call,) = playground.calls()
    more = ASKED[provider.name](url) if provider.trust is not CallbackTrust.NONE else {}
    asked = {**case.sent, **more}
    if isinstance(options := case.sent.get("options"), Mapping):
        asked["options"] = {**options, **more["options"]}
    assert call["body"] == asked
    assert call["query"] == ({"fal_webhook": url} if provider.name == "fal" else {})


def test_no_error_repeats_the_prompt_or_the_key(case: Case, provider: Adapter, playground: Playground) -> None:
    words = case.spec.prompt or (case.spec.shots[0].prompt if case.spec.shots else FRAME)
    echo = f"cannot make '{words}' with {KEY} from {FRAME}?X-Amz-Signature=0123 \x1b[31m\r\nlevel=error"
    for status in (400, 429, 500):
        playground.script("submit", status=status, body={"error": {"code": "x", "message": echo}})

    for _ in range(3):
        with pytest.raises(ProviderError) as caught:
            submit(provider, case)
        told = str(caught.value)
        assert not any(secret in told for secret in (words, KEY, "X-Amz", "\x1b", "\n", "\r")), told


def test_every_adapter_is_in_the_suite() -> None:
    assert {case.provider for case in CASES} == set(ADAPTERS)


def _now_ms() -> int:
    return int(time.time() * 1000)
