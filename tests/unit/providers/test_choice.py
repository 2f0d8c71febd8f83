"""The choice of a provider: the first that can make the spec, and for each that cannot, why."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from worker.errors import SettingsError, SpecError
from worker.jobs.images import INLINE_BYTES
from worker.jobs.spec import JobSpec, parse_spec
from worker.providers import ADAPTERS, build
from worker.providers.catalogue.files import shipped
from worker.providers.choice import CanMake, choose_provider, read_spec
from worker.providers.model import ASKABLE
from worker.settings.settings import KEY_NAMES, Settings

FRAME = "https://example.com/a.png"
WORDS = "a corgi on the beach"

ENV = {
    "CALLSHEET_REDIS_URL": "redis://127.0.0.1:6379/0",
    "CALLSHEET_BUCKET": "videos",
    **{KEY_NAMES[name]: f"sk-{name}-0123456789" for name in ADAPTERS},
}


def providers(order: str = "gmicloud,evolink,apimart") -> dict[str, CanMake]:
    return dict(build(Settings.from_env({**ENV, "CALLSHEET_PROVIDERS": order})))


def choose(order: str = "gmicloud,evolink,apimart", **fields: Any) -> tuple[str, str]:
    return choose_provider(parse_spec(fields), providers(order))


def problems(order: str = "gmicloud,evolink,apimart", **fields: Any) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        choose(order, **fields)
    return caught.value.problems


def test_a_neutral_name_goes_to_the_first_provider_that_can() -> None:
    assert choose(model="kling-3.0-turbo", first_frame=FRAME) == ("gmicloud", "kling-3.0-turbo-i2v")
    assert choose("evolink,gmicloud", model="kling-3.0-turbo", first_frame=FRAME) == (
        "evolink",
        "kling-v3-turbo-image-to-video",
    )
    assert choose("apimart,gmicloud", model="kling-3.0-turbo", first_frame=FRAME) == ("apimart", "kling-3.0-turbo")


def test_the_first_frame_decides_between_two_models_of_one_neutral_name() -> None:
    assert choose("gmicloud", model="kling-3.0-turbo", prompt=WORDS) == ("gmicloud", "kling-3.0-turbo-t2v")
    assert choose("gmicloud", model="kling-3.0-turbo", prompt=WORDS, first_frame=FRAME) == (
        "gmicloud",
        "kling-3.0-turbo-i2v",
    )


def test_a_provider_that_cannot_is_passed_over() -> None:
    assert choose("evolink,apimart", model="kling-3.0-turbo", prompt=WORDS)[0] == "apimart"
    assert choose(model="kling-3.0-turbo", prompt=WORDS, watermark=True)[0] == "apimart"
    assert choose(model="kling-3.0-turbo", prompt="x" * 2600)[0] == "apimart"


def test_kling_3_is_gmis_v3() -> None:
    chosen = choose(model="kling-3.0", prompt=WORDS, first_frame=FRAME, last_frame=FRAME, sound=True)

    assert chosen == ("gmicloud", "kling-v3-image-to-video")


@pytest.mark.parametrize("model", ["kling-3.0-turbo-i2v", "kling-v3-turbo-image-to-video"])
def test_a_providers_own_name_goes_to_it(model: str) -> None:
    assert choose(model=model, first_frame=FRAME)[1] == model


def test_a_named_provider_is_the_only_one_asked() -> None:
    assert choose(model="kling-3.0-turbo", provider="apimart", prompt=WORDS)[0] == "apimart"
    assert problems(model="kling-3.0-turbo", provider="evolink", prompt=WORDS) == (
        "first_frame: evolink kling-v3-turbo-image-to-video needs first_frame",
    )


def test_an_unknown_model_is_answered_by_what_there_is() -> None:
    assert problems("evolink,apimart", model="kling-3.1", prompt=WORDS) == (
        "model: there is no such model here; similar are kling-3.0, kling-v3, kling-o3, kling-2.6, kling-3.0-turbo; "
        "`callsheet models` lists all",
    )
    assert problems("evolink,apimart", model="0000!!", prompt=WORDS) == (
        "model: there is no such model here; `callsheet models` lists all",
    )


def test_an_unknown_provider_is_answered_by_those_there_are() -> None:
    assert problems("evolink,apimart", model="m", provider="gmicloud") == (
        "provider: there is no such provider here; there is evolink, apimart",
    )


def test_without_any_provider_that_is_said() -> None:
    with pytest.raises(SpecError, match="no provider is configured"):
        choose_provider(JobSpec(model="m"), {})


def test_of_several_that_cannot_the_nearest_says_why_naming_field_limit_and_model() -> None:
    told = problems(model="kling-3.0-turbo", first_frame=FRAME, duration=16, sound=True, watermark=True)

    assert told == (
        "sound: is not taken by apimart kling-3.0-turbo; "
        "it takes prompt, first_frame, duration, resolution, aspect_ratio, watermark, shots",
        "duration: is 16; apimart kling-3.0-turbo makes 3 to 15 seconds",
    )


def test_of_equally_near_ones_the_preferred_says_why() -> None:
    asked = {"model": "kling-3.0-turbo", "first_frame": FRAME, "duration": 16}

    assert problems("evolink,apimart", **asked) == (
        "duration: is 16; evolink kling-v3-turbo-image-to-video makes 3 to 15 seconds",
    )
    assert problems("apimart,evolink", **asked) == ("duration: is 16; apimart kling-3.0-turbo makes 3 to 15 seconds",)


def test_a_refused_spec_is_also_told_what_the_model_does_not_take() -> None:
    fields = {"model": "kling-3.0-turbo", "provider": "evolink", "duration": "5", "sound": "on", "resolution": "4k"}

    with pytest.raises(SpecError) as caught:
        read_spec(fields, providers())

    assert caught.value.problems == (
        "duration: must be a whole number, without quotes",
        "sound: must be true or false, without quotes",
        "sound: is not taken by evolink kling-v3-turbo-image-to-video; "
        "it takes prompt, first_frame, duration, resolution, shots",
        "first_frame: evolink kling-v3-turbo-image-to-video needs first_frame",
        "resolution: evolink kling-v3-turbo-image-to-video takes 720p, 1080p",
    )


def test_a_field_that_could_not_be_read_is_not_called_missing() -> None:
    fields = {"model": "kling-3.0-turbo", "provider": "evolink", "first_frame": "http://example.com"}

    with pytest.raises(SpecError) as caught:
        read_spec(fields, providers())

    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["first_frame"]


@pytest.mark.parametrize("seconds", [2, 16, 0, -1, 10**6])
def test_a_duration_out_of_range_is_refused(seconds: int) -> None:
    assert problems(model="kling-3.0", prompt=WORDS, first_frame=FRAME, duration=seconds) == (
        f"duration: is {seconds}; gmicloud kling-v3-image-to-video makes 3 to 15 seconds",
    )


@pytest.mark.parametrize("seconds", [3, 15])
def test_both_ends_of_the_range_are_taken(seconds: int) -> None:
    assert choose(model="kling-3.0", prompt=WORDS, first_frame=FRAME, duration=seconds)[0] == "gmicloud"


def test_shots_that_add_up_to_too_little_are_refused_by_the_model() -> None:
    told = problems("apimart", model="kling-3.0-turbo", shots=[{"seconds": 2, "prompt": "a"}])

    assert told == ("shots: their seconds add up to 2; apimart kling-3.0-turbo makes 3 to 15 seconds",)


def test_a_storyboard_is_measured_as_it_is_written() -> None:
    shots = [{"seconds": 1, "prompt": "x" * 500} for _ in range(5)]
    written = 5 * len("Shot 1, 1, ;") + 5 * 500 + 4

    assert problems("gmicloud", model="kling-3.0-turbo", shots=shots) == (
        f"shots: written into the prompt they have {written} characters; "
        "gmicloud kling-3.0-turbo-t2v takes at most 2500",
    )
    assert choose("apimart", model="kling-3.0-turbo", shots=shots)[0] == "apimart"


def test_a_storyboard_stands_in_for_the_prompt_where_one_is_needed() -> None:
    shots = [{"seconds": 5, "prompt": "a"}]

    assert choose("gmicloud", model="kling-3.0-turbo", shots=shots)[1] == "kling-3.0-turbo-t2v"
    assert problems("gmicloud", model="kling-3.0-turbo-t2v") == (
        "prompt: gmicloud kling-3.0-turbo-t2v needs prompt or shots",
    )


def test_a_model_that_reads_no_storyboard_refuses_one() -> None:
    told = problems("gmicloud", model="kling-3.0", first_frame=FRAME, shots=[{"seconds": 5, "prompt": "a"}])

    assert told[0].startswith("shots: is not taken by gmicloud kling-v3-image-to-video")


def test_a_first_frame_makes_the_prompt_optional_at_apimart() -> None:
    assert choose("apimart", model="kling-3.0-turbo", first_frame=FRAME) == ("apimart", "kling-3.0-turbo")
    assert problems("apimart", model="kling-3.0-turbo") == (
        "prompt: apimart kling-3.0-turbo needs prompt or shots or first_frame",
    )


# What a video costs, and what is known of the models.


@pytest.mark.parametrize(
    ("provider", "fields", "amount"),
    [
        ("gmicloud", {"model": "kling-3.0-turbo-t2v", "prompt": WORDS, "duration": 10}, "1.120"),
        ("gmicloud", {"model": "kling-3.0-turbo-t2v", "prompt": WORDS, "resolution": "1080p"}, "0.70"),
        ("evolink", {"model": "kling-3.0-turbo", "first_frame": FRAME, "duration": 3}, "0.318"),
        ("gmicloud", {"model": "kling-3.0", "prompt": WORDS, "first_frame": FRAME, "sound": True}, None),
        ("apimart", {"model": "kling-3.0-turbo", "prompt": WORDS}, None),
    ],
)
def test_the_cost_is_the_list_price_or_unknown(provider: str, fields: dict[str, Any], amount: str | None) -> None:
    spec = parse_spec(fields)
    rules = providers()[provider].rules_for(spec)
    assert rules is not None

    cost = rules.cost(spec)

    assert cost == (None if amount is None else {"amount": amount, "currency": "USD", "basis": "list_price"})


def test_every_shipped_model_knows_its_fields_its_source_and_when_it_was_read() -> None:
    for name, entry in shipped().items():
        for key, rules in entry.models.items():
            assert (rules.name, rules.provider) == (key, name)
            assert set(rules.fields) <= set(ASKABLE)
            assert rules.source.startswith("https://")
            assert rules.read is not None
            assert all(price.source and price.read for price in rules.prices)


# How providers are built.


def test_providers_come_in_the_order_of_the_settings() -> None:
    assert list(providers("apimart,gmicloud")) == ["apimart", "gmicloud"]


def test_a_correction_of_a_field_that_does_not_exist_is_refused() -> None:
    env = {**ENV, "EVOLINK_FIELD_NAMES": "frist_frame=image_url", "APIMART_FIELD_NAMES": "promt=text"}

    with pytest.raises(SettingsError) as caught:
        build(Settings.from_env(env))

    assert len(caught.value.problems) == 2


def test_an_inline_picture_is_taken_by_those_that_document_it() -> None:
    picture = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(1000)).decode()
    spec = parse_spec({"model": "kling-3.0-turbo", "first_frame": picture})
    built = build(Settings.from_env(ENV))

    assert {name: provider.takes_data_uri(spec) for name, provider in built.items()} == {
        "gmicloud": True,
        "evolink": False,
        "apimart": True,
        "kling": False,
        "fal": False,
        "replicate": False,
    }
    assert len(picture) < INLINE_BYTES


def test_longer_videos_are_expected_later() -> None:
    for provider in build(Settings.from_env(ENV)).values():
        model = next(iter(provider.models))
        short, long = (parse_spec({"model": model, "prompt": "x", "duration": n}) for n in (3, 15))
        assert 0 < provider.estimate_seconds(short) < provider.estimate_seconds(long) < 600
