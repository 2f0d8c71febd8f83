"""Every shipped model, driven by the catalogue itself: what it takes at least and at most, and what it does not.

Against the sandbox, over HTTPS: it has rules of its own for the models of the source documents, and takes the others
as they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.local.sandbox_process import SandboxProcess
from tests.integration.providers.test_contract import Playground
from worker.errors import RefusedError
from worker.jobs.spec import parse_spec
from worker.providers.adapter import Adapter
from worker.providers.catalogue.files import shipped
from worker.providers.field import Field, FieldType
from worker.providers.model import IMAGE_FIELDS, LINK_LISTS, ModelRules
from worker.providers.payload import is_echo, payload

FRAME = "https://example.com/frame-1280x720.png"
SHOTS = [{"seconds": 2, "prompt": "a door opens"}, {"seconds": 3, "prompt": "rain"}]
RELAYS = ("gmicloud", "evolink", "apimart")
MODELS = [rules for name in RELAYS for rules in shipped()[name].models.values()]


@pytest.fixture
def playground(sandbox: SandboxProcess) -> Iterator[Playground]:
    control = Playground(sandbox)
    control.ask("reset", {})
    yield control
    control.close()


@pytest.fixture(params=MODELS, ids=lambda rules: f"{rules.provider}-{rules.name}")
def rules(request: pytest.FixtureRequest) -> ModelRules:
    found: ModelRules = request.param
    return found


@pytest.fixture
def provider(
    rules: ModelRules, sandbox: SandboxProcess, playground: Playground, connect: Callable[..., Adapter]
) -> Adapter:
    return connect(rules.provider, sandbox.base_url(rules.provider), post_seconds=(5, 10), get_seconds=(5, 10))


def value(name: str, field: Field | None, *, largest: bool) -> Any:
    """A value that the field takes, the least or the greatest."""
    if name == "shots" or field is None:
        return SHOTS
    if field.values:
        return field.values[-1 if largest else 0]
    if field.range:
        number = field.range[1 if largest else 0]
        return number if field.type is FieldType.NUMBER else int(number)
    if field.type is FieldType.URL_LIST:
        return [FRAME] * ((field.items or (1, 2))[1 if largest else 0] or 1)
    of_type: dict[FieldType, Any] = {FieldType.URL: FRAME, FieldType.INTEGER: 7, FieldType.NUMBER: 0.5}
    if field.type in (FieldType.BOOLEAN, FieldType.ON_OFF):
        return largest
    return of_type.get(field.type, "x" * (field.characters or 40) if largest else "a corgi")


def smallest(rules: ModelRules) -> dict[str, Any]:
    fields: dict[str, Any] = {"model": rules.name, "provider": rules.provider}
    for group in rules.required:
        if not set(group) & set(fields):
            fields[group[0]] = value(group[0], rules.fields.get(group[0]), largest=False)
    return fields


def largest(rules: ModelRules) -> dict[str, Any]:
    """The smallest, with every other field that goes with it, each at its limit."""
    fields = smallest(rules)
    for name in rules.taken:
        more = {**fields, name: value(name, rules.fields.get(name), largest=True)}
        if not (name == "shots" and "prompt" in fields) and not rules.problems(parse_spec(more)):
            fields = more
    extra = {name: value(name, field, largest=True) for name, field in rules.extra.items()}
    return {**fields, "extra": extra} if extra else fields


def beyond(name: str, field: Field) -> Iterator[Any]:
    """Values that are each past one limit of the field."""
    if field.values and field.type is FieldType.STRING:
        yield "no-such-value"
    elif field.values:
        yield max(field.values) + 1
    if field.range:
        yield from (int(field.range[0]) - 1, int(field.range[1]) + 1)
    if field.characters:
        yield "x" * (field.characters + 1)
    if field.items:
        yield [FRAME] * (field.items[1] + 1)


def send(provider: Adapter, fields: dict[str, Any]) -> str:
    images = {name: fields[name] for name in IMAGE_FIELDS if name in fields}
    images |= {f"{name}[{n}]": url for name in LINK_LISTS for n, url in enumerate(fields.get(name, ()))}
    return provider.submit(parse_spec(fields), images=images, callback_url=None).request_id


def test_the_smallest_order_makes_a_video(rules: ModelRules, provider: Adapter, playground: Playground) -> None:
    request_id = send(provider, smallest(rules))
    playground.move_clock(3600)

    event = provider.fetch(request_id)

    assert len(event.links) == 1
    assert event.model in (None, rules.wire_id)


def test_the_largest_order_is_taken_and_sends_what_is_declared_alone(
    rules: ModelRules, provider: Adapter, playground: Playground
) -> None:
    fields = largest(rules)

    send(provider, fields)

    (call,) = playground.calls()
    sent = call["body"].get(provider.payload_field, {}) if provider.payload_field else call["body"]
    declared = [field.wire for field in (*rules.fields.values(), *rules.extra.values())]
    declared += [path for field in rules.fields.values() for path in field.also]
    names = {path.steps[0].name for path in (*declared, *rules.constants)}
    assert set(sent) <= names | {"model"}
    spec = parse_spec(fields)
    assert all(rules.fields[name].wire.get(sent) is not None for name in fields if name in rules.fields)
    assert is_echo(rules, spec, sent)


def test_every_value_past_a_limit_is_refused_before_anything_is_sent(
    rules: ModelRules, provider: Adapter, playground: Playground
) -> None:
    for name, field in rules.fields.items():
        for wrong in beyond(name, field):
            fields = {**smallest(rules), name: wrong}
            if name == "seed" and not 0 <= wrong <= 2**53:
                continue  # the spec itself refuses it
            told = provider.problems(parse_spec(fields))
            assert any(problem.startswith(f"{name}:") for problem in told), (name, wrong)
            with pytest.raises(RefusedError):
                send(provider, fields)
    for group in rules.required:
        without = {key: given for key, given in smallest(rules).items() if key not in group}
        assert any(group[0] in problem for problem in provider.problems(parse_spec(without)))

    assert playground.calls() == []


def test_a_field_that_no_page_names_is_refused(rules: ModelRules, provider: Adapter, playground: Playground) -> None:
    for fields in ({"extra": {"no_such_field": 1}}, {"negative_prompt": "x"}, {"seed": 1}, {"watermark": True}):
        if next(iter(fields)) not in rules.fields:
            assert provider.problems(parse_spec({**smallest(rules), **fields}))

    assert playground.calls() == []


@pytest.mark.parametrize("rules", [rules for rules in MODELS if "shots" in rules.taken], indirect=True, ids=str)
def test_a_storyboard_goes_where_the_model_reads_it(
    rules: ModelRules, provider: Adapter, playground: Playground
) -> None:
    fields = {name: given for name, given in smallest(rules).items() if name != "prompt"} | {"shots": SHOTS}

    send(provider, fields)

    sent = payload(rules, parse_spec(fields), {name: FRAME for name in IMAGE_FIELDS if name in fields})
    assert "rain" in str(sent)
    assert playground.calls()[0]["answer"] == 200
