"""Whatever comes back over the wire, a verb ends in an event or in a `ProviderError`; nothing else escapes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.local.tls import LocalTls
from tests.integration.providers.test_payloads import SPECS
from tests.integration.providers.wire import Behaviour, Line, Wire
from worker.errors import NotTakenError, ProviderError, RefusedError, UnconfirmedError
from worker.providers import ADAPTERS
from worker.providers.adapter import Adapter

NAMES = ["request_id", "id", "task_id", "data", "status", "outcome", "results", "result", "videos", "media_urls", "url"]
NAMES += ["error", "code", "message", "payload", "requests", "created", "created_at", "usage", "task_info", "model"]

scalars = st.sampled_from(["r-1", "task-unified-1", "completed", "success", "failed", "https://example.com/v.mp4"])
values = st.recursive(
    scalars | st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=20,
)
bodies = st.binary(max_size=100) | values.map(lambda value: json.dumps(value).encode())
statuses = st.sampled_from([200, 200, 200, 201, 202, 204, 301, 400, 404, 408, 418, 429, 500, 503, 599])
headers = st.dictionaries(
    st.sampled_from(["Retry-After", "Content-Encoding", "Date", "Location", "Set-Cookie", "Content-Type"]),
    st.sampled_from(["5", "gzip", "deflate", "br", "Mon, 99 Foo 2001", "=", "\xff", "identity"]),
    max_size=3,
)


@st.composite
def behaviours(draw: st.DrawFn) -> Behaviour:
    if draw(st.integers(0, 9)) == 0:
        garbage = draw(st.binary(max_size=60))

        def babble(line: Line) -> None:
            line.wfile.write(garbage)
            line.close_connection = True

        return babble
    status, body, extra = draw(statuses), draw(bodies), draw(headers)
    return lambda line: line.say(status, body, extra)


def test_any_answer_to_a_submit_has_one_of_four_outcomes(tls: LocalTls, connect: Callable[..., Adapter]) -> None:
    with Wire(tls) as wire:
        providers = [connect(name, wire.url) for name in ADAPTERS]

        @settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
        @given(st.sampled_from(providers), behaviours())
        def check(provider: Adapter, behaviour: Behaviour) -> None:
            wire.behaviours.clear()
            wire.then(behaviour)
            spec = SPECS[provider.name]
            images = {"first_frame": spec.first_frame} if spec.first_frame else {}
            with contextlib.suppress(NotTakenError, RefusedError, UnconfirmedError):
                taken = provider.submit(spec, images=images, callback_url=None)
                assert taken.request_id.isascii()
                assert taken.request_id.isprintable()

        check()


def test_any_answer_to_a_get_is_an_event_or_a_provider_error(tls: LocalTls, connect: Callable[..., Adapter]) -> None:
    with Wire(tls) as wire:
        providers = [connect(name, wire.url) for name in ADAPTERS]

        @settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
        @given(st.sampled_from(providers), st.sampled_from(["fetch", "recent", "check_key"]), behaviours())
        def check(provider: Adapter, verb: str, behaviour: Behaviour) -> None:
            wire.behaviours.clear()
            wire.behaviours.extend([behaviour] * 2)
            with contextlib.suppress(ProviderError):
                if verb == "fetch":
                    assert provider.fetch("r-1").request_id == "r-1"
                elif verb == "recent":
                    assert all(event.request_id for event in provider.recent(SPECS[provider.name]))
                else:
                    provider.check_key()

        check()
