"""From the command line to a spec: shapes are read, nothing is judged twice."""

from __future__ import annotations

import click
import pytest

from worker.cli.spec_options import SPEC_BYTES, spec_from_json, spec_from_options
from worker.errors import SpecError
from worker.jobs.spec import JobSpec, parse_spec


def options(**given: object) -> dict[str, object]:
    """The options as click hands them over: every one, most of them not given."""
    nothing = dict.fromkeys(JobSpec.model_fields) | {"shots": (), "metadata": ()}
    return nothing | given


def test_what_is_not_given_is_left_out() -> None:
    assert spec_from_options(options(model="m", sound=False)) == {"model": "m", "sound": False}


def test_every_field_of_a_spec_has_an_option() -> None:
    @click.command()
    def verb() -> None: ...

    from worker.cli.spec_options import spec_options

    assert {parameter.name for parameter in spec_options(verb).params} == set(JobSpec.model_fields)


def test_a_duration_becomes_a_number() -> None:
    assert spec_from_options(options(duration="5")) == {"duration": 5}


def test_a_duration_that_is_no_number_is_refused_beside_all_other_problems() -> None:
    spec = spec_from_options(options(duration="five", shots=("x:a",), prompt=" "))

    with pytest.raises(SpecError) as refused:
        parse_spec(spec)

    fields = {problem.partition(":")[0] for problem in refused.value.problems}
    assert {"model", "duration", "shots[0].seconds", "prompt"} <= fields


def test_a_shot_is_seconds_and_a_prompt_that_may_hold_colons() -> None:
    spec = spec_from_options(options(shots=("2: a door: open", "3:rain")))

    assert spec == {"shots": [{"seconds": 2, "prompt": "a door: open"}, {"seconds": 3, "prompt": "rain"}]}


def test_metadata_is_pairs_whose_values_may_hold_equals_signs() -> None:
    assert spec_from_options(options(metadata=("a=1", "b=x=y", "c="))) == {"metadata": {"a": "1", "b": "x=y", "c": ""}}


def test_an_extra_field_is_json_and_a_bare_word_is_text() -> None:
    spec = spec_from_options(options(extra=("web_search=true", "style=anime", "n=2"), cfg_scale="0.5", seed="7"))

    assert spec == {"extra": {"web_search": True, "style": "anime", "n": 2}, "cfg_scale": 0.5, "seed": 7}


@pytest.mark.parametrize(
    "given", [{"shots": ("no colon",)}, {"extra": ("none",)}, {"metadata": ("none",)}, {"metadata": ("=v",)}]
)
def test_a_word_of_the_wrong_shape_is_wrong_usage(given: dict[str, object]) -> None:
    with pytest.raises(click.UsageError, match="must be"):
        spec_from_options(options(**given))


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"", "not JSON"),
        (b"[1", "in line 1, column 3"),
        (b"[]", "one JSON object"),
        (b"5", "one JSON object"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"model": "a", "model": "b"}', "twice"),
        (b'{"model": "\xff"}', "not UTF-8"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"duration": 1' + b"0" * 5000 + b"}", "not JSON"),
        (b" " * (SPEC_BYTES + 1), "over 8 MiB"),
    ],
)
def test_a_document_that_is_no_spec_is_refused_in_words(document: bytes, why: str) -> None:
    with pytest.raises(SpecError, match=why) as refused:
        spec_from_json(document)

    assert "\n" not in str(refused.value)


def test_a_document_is_the_spec_as_it_stands() -> None:
    assert spec_from_json('{"model": "m", "prompt": "ä"}'.encode()) == {"model": "m", "prompt": "ä"}
