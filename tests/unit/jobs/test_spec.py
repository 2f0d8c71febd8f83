"""A spec is read strictly: everything that is wrong with it is told at once, and nothing of it is repeated."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from worker.errors import SpecError
from worker.jobs.spec import SPEC_BYTES, JobSpec, parse_spec

GOOD: dict[str, Any] = {
    "model": "kling-3.0-turbo",
    "provider": "apimart",
    "prompt": "a corgi runs on the beach",
    "first_frame": "https://example.com/a.png",
    "last_frame": "s3://bucket/dir/b.png",
    "negative_prompt": "blurry",
    "duration": 5,
    "resolution": "720p",
    "aspect_ratio": "16:9",
    "sound": True,
    "watermark": False,
    "metadata": {"order": 7, "tags": ["x", None, 1.5]},
}
SHOTS = [{"seconds": 2, "prompt": "a door opens"}, {"seconds": 3, "prompt": "rain, on a window"}]


def problems(fields: Any) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        parse_spec(fields)
    return caught.value.problems


def test_a_whole_spec_is_read_as_it_was_given() -> None:
    spec = parse_spec(GOOD)

    assert {name: value for name, value in spec.model_dump().items() if value is not None} == GOOD


def test_a_storyboard_is_read() -> None:
    spec = parse_spec({"model": "kling-3.0-turbo", "shots": SHOTS})

    assert [(shot.seconds, shot.prompt) for shot in spec.shots or ()] == [(2, "a door opens"), (3, "rain, on a window")]


def test_the_duration_of_a_storyboard_is_the_sum_of_its_shots() -> None:
    assert parse_spec({"model": "m", "shots": SHOTS}).seconds == 5
    assert parse_spec({"model": "m", "shots": SHOTS, "duration": 5}).seconds == 5
    assert parse_spec({"model": "m", "duration": 7}).seconds == 7
    assert parse_spec({"model": "m"}).seconds is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": None}, "model: must be text"),
        ({"model": "  "}, "model: must not be blank"),
        ({"model": "m" * 101}, "model: has more than 100 characters"),
        ({"provider": 5}, "provider: must be text"),
        ({"prompt": ""}, "prompt: must not be blank"),
        ({"prompt": ["a"]}, "prompt: must be text"),
        ({"duration": "5"}, "duration: must be a whole number, without quotes"),
        ({"duration": 5.0}, "duration: must be a whole number"),
        ({"duration": True}, "duration: must be a whole number"),
        ({"sound": "on"}, "sound: must be true or false, without quotes"),
        ({"watermark": 1}, "watermark: must be true or false"),
        ({"resolution": 720}, "resolution: must be text"),
        ({"shots": "Shot 1, 2, x;"}, "shots: must be a list"),
        ({"shots": []}, "shots: there are 0; a storyboard has 1 to 6"),
        ({"shots": SHOTS * 4, "duration": None}, "shots: there are 8; a storyboard has 1 to 6"),
        ({"shots": ["a"]}, "shots[0]: must be an object with seconds and prompt"),
        ({"shots": [{"seconds": 0, "prompt": "a"}]}, "shots[0].seconds: must be at least 1"),
        ({"shots": [{"seconds": 1.5, "prompt": "a"}]}, "shots[0].seconds: must be a whole number"),
        ({"shots": [{"seconds": 1}]}, "shots[0].prompt: is missing"),
        ({"shots": [{"seconds": 5, "prompt": "a; b"}]}, "shots[0].prompt: must not hold ';'"),
        ({"shots": [{"seconds": 5, "prompt": "a\nb"}]}, "shots[0].prompt: must be one line"),
        ({"shots": [{"seconds": 5, "prompt": " "}]}, "shots[0].prompt: must not be blank"),
        ({"shots": [{"seconds": 5, "prompt": "a" * 513}]}, "shots[0].prompt: has more than 512 characters"),
        ({"shots": [{"seconds": 5, "prompt": "a", "x": 1}]}, "shots[0].x: is not a field of a shot"),
        ({"shots": SHOTS, "duration": 6}, "shots: their seconds add up to 5, but duration is 6"),
        ({"shots": SHOTS}, "shots: give either prompt or shots, not both"),
        ({"metadata": "x"}, "metadata: must be an object"),
        ({"metadata": {"a": "x" * 17_000}}, "metadata: is over 16384 bytes as JSON"),
        ({"metadata": {"a": "é" * 9_000}}, "metadata: is over 16384 bytes as JSON"),
        ({"first_frame": "http://example.com/a.png"}, "first_frame: must be an https:// URL, s3://"),
        ({"last_frame": ""}, "last_frame: must be an https:// URL"),
        ({"notify_url": "ftp://example.com"}, "notify_url: is not an https:// or http:// URL"),
        ({"notify_url": "backend"}, "notify_url: is not a URL that a browser would open"),
        ({"notify_url": "https://user:pw@example.com"}, "notify_url: carries a user or a password"),
        ({"notify_url": "https://example.com/" + "x" * 2048}, "notify_url: has more than 2048 characters"),
        ({"durations": 5}, "durations: is not a field of a spec; fields are model, provider"),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else None,
)
def test_a_wrong_field_is_told_with_its_limit(change: dict[str, Any], told: str) -> None:
    assert any(problem.startswith(told) for problem in problems({**GOOD, **change})), problems({**GOOD, **change})


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("a\x00b", "holds a control character"),
        ("a\x1b[31mb", "holds a control character"),
        ("a\x9b31mb", "holds a control character"),
        ("a\x7fb", "holds a control character"),
        ("a\ud800b", "holds half a surrogate pair"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("field", ["model", "prompt", "negative_prompt", "first_frame", "aspect_ratio", "metadata"])
def test_text_that_cannot_be_stored_or_shown_is_refused_everywhere(field: str, value: str, told: str) -> None:
    planted: Any = {"deep": [{"er": value}]} if field == "metadata" else value
    place = "metadata.deep[0].er" if field == "metadata" else field

    assert problems({**GOOD, field: planted})[0].startswith(f"{place}: {told}")


def test_a_name_that_cannot_be_stored_is_refused_and_shown_harmlessly() -> None:
    (problem,) = problems({**GOOD, "metadata": {"a\x1b[2Jb": 1}})

    assert problem == "metadata.(a name of 6 characters): holds a control character"


def test_an_unknown_field_is_named_on_one_short_line() -> None:
    (problem,) = problems({"model": "m", "x\nlevel=error" + "y" * 500: 1})

    assert problem.startswith("(a name of 513 characters): is not a field of a spec")
    assert len(problem) < 400


def test_prompts_may_have_several_lines() -> None:
    assert parse_spec({"model": "m", "prompt": "a\r\n\tb"}).prompt == "a\r\n\tb"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (2**63, "is a number of more than 64 bits"),
        (10**5000, "is a number of more than 64 bits"),
        (float("nan"), "is a number that JSON does not know"),
        (float("-inf"), "is a number that JSON does not know"),
        (b"bytes", "is of a type that JSON does not know (bytes)"),
        ({1: 2}, "is a name that is not text"),
        ({"a"}, "is of a type that JSON does not know (set)"),
    ],
    ids=lambda value: value.removeprefix("is a ") if isinstance(value, str) else type(value).__name__,
)
def test_metadata_is_json_that_every_language_can_read(value: Any, told: str) -> None:
    assert problems({**GOOD, "metadata": {"a": value}})[0].endswith(told)


def test_depth_and_size_have_bounds() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]

    assert "is nested more than 16 deep" in problems({**GOOD, "metadata": {"a": deep}})[0]
    assert problems({**GOOD, "prompt": "x" * (SPEC_BYTES + 1)}) == ("spec: is over 6 MiB",)
    assert problems({**GOOD, "metadata": {"a": [0] * 30_000}}) == ("spec: is over 20000 values",)


def test_all_problems_are_told_at_once() -> None:
    told = problems(
        {
            "modl": "x",
            "duration": "5",
            "sound": "on",
            "prompt": "p",
            "shots": [{"seconds": 0, "prompt": "a;b"}, {}],
            "first_frame": "ftp://x",
            "notify_url": "ftp://example.com",
        }
    )

    places = [problem.partition(":")[0] for problem in told]
    assert sorted(places) == sorted(
        [
            "modl",
            "model",
            "duration",
            "sound",
            "first_frame",
            "notify_url",
            "shots",
            "shots[0].seconds",
            "shots[0].prompt",
            "shots[1].seconds",
            "shots[1].prompt",
        ]
    )


@pytest.mark.parametrize("fields", [None, 5, "model", ["model"], [("model", "m")]])
def test_what_is_no_object_is_no_spec(fields: Any) -> None:
    assert problems(fields) == ("a spec is an object of fields, such as model and prompt",)


def test_the_number_of_problems_told_is_bounded() -> None:
    assert len(problems({"model": "m", **{f"x{n}": n for n in range(5000)}})) == 100


def test_nothing_that_a_caller_wrote_is_repeated() -> None:
    canary = "https://example.com/secret-canary?X-Amz-Signature=1"
    fields = {"model": canary, "prompt": [canary], "first_frame": f"http{canary}", "metadata": canary, "shots": canary}

    with pytest.raises(SpecError) as caught:
        parse_spec(fields)

    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_not_even_a_spec_built_by_hand_repeats_what_it_was_given() -> None:
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate({"model": "m", "prompt": ["canary"]})

    assert "canary" not in str(caught.value)


def test_a_spec_shows_no_words_or_links() -> None:
    shown = repr(parse_spec({**GOOD, "prompt": None, "shots": SHOTS}))

    assert not any(word in shown for word in ("door", "blurry", "example.com", "bucket", "order"))
    assert "kling-3.0-turbo" in shown


# Identity: the canonical text.


def test_key_order_and_explicit_nulls_do_not_change_the_canonical_text() -> None:
    backwards = dict(reversed(GOOD.items()))

    assert parse_spec({**backwards, "shots": None}).canonical_json() == parse_spec(GOOD).canonical_json()


def test_the_canonical_text_is_compact_sorted_and_keeps_what_metadata_holds() -> None:
    spec = parse_spec({"prompt": "é", "model": "m", "metadata": {"b": None, "a": [1, None]}})

    assert spec.canonical_json() == '{"metadata":{"a":[1,null],"b":null},"model":"m","prompt":"é"}'
    assert len(spec.sha256) == 64


@pytest.mark.parametrize("field", [name for name in GOOD if name != "model"])
def test_leaving_a_field_out_makes_another_spec(field: str) -> None:
    without = {name: value for name, value in GOOD.items() if name != field}

    assert parse_spec(without).sha256 != parse_spec(GOOD).sha256


def test_the_canonical_text_reads_back_as_the_same_spec() -> None:
    for fields in (GOOD, {"model": "m", "shots": SHOTS}):
        spec = parse_spec(fields)

        assert parse_spec(json.loads(spec.canonical_json())) == spec


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from([*JobSpec.model_fields, "x"]), anything, max_size=8) | anything)
def test_whatever_is_handed_in_is_a_spec_or_refused_in_words(fields: Any) -> None:
    spec, told = _read(fields)

    assert all(problem.isprintable() for problem in told)
    assert spec is None or parse_spec(json.loads(spec.canonical_json())).sha256 == spec.sha256
    assert (spec is None) is bool(told)


def _read(fields: Any) -> tuple[JobSpec | None, tuple[str, ...]]:
    try:
        return parse_spec(fields), ()
    except SpecError as err:
        return None, err.problems


@pytest.mark.parametrize(
    "name", ["a corgi runs along the beach at golden hour", "一只柯基在海滩上奔跑", "https://x/?sig=1"]
)
def test_a_prompt_given_as_a_fields_name_is_not_repeated(name: str) -> None:
    told = "; ".join(
        [
            *problems({**GOOD, name: "value"}),
            *problems({**GOOD, "metadata": {name: float("nan")}}),
            *problems({"model": "m", "shots": [{name: 1, "seconds": 1, "prompt": "rain"}]}),
        ]
    )

    assert told.count(f"(a name of {len(name)} characters)") == 3
    assert name not in told
