"""A storyboard is written into the prompt as Kling 3.0 Turbo reads it."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from worker.jobs.spec import JobSpec, Shot
from worker.jobs.storyboard import render
from worker.providers.catalogue.files import shipped
from worker.providers.field import Field
from worker.providers.model import ModelRules

SHOTS = (Shot(seconds=2, prompt="a door opens, slowly"), Shot(seconds=3, prompt="rain"))

TURBO = [rules for entry in shipped().values() for rules in entry.models.values() if rules.shot_marker]


def test_shots_are_numbered_from_one_and_each_ends_in_a_semicolon() -> None:
    assert render(SHOTS, "Shot") == "Shot 1, 2, a door opens, slowly; Shot 2, 3, rain;"


def test_each_provider_has_its_own_marker() -> None:
    spec = JobSpec(model="kling-3.0-turbo", shots=SHOTS)

    written = {rules.provider: rules.prompt(spec) for rules in TURBO}

    assert written == {
        "gmicloud": "Shot 1, 2, a door opens, slowly; Shot 2, 3, rain;",
        "evolink": "镜头 1, 2, a door opens, slowly; 镜头 2, 3, rain;",
        "apimart": "Shot 1, 2, a door opens, slowly; Shot 2, 3, rain;",
        "kling": "shot 1, 2, a door opens, slowly; shot 2, 3, rain;",
    }


def test_without_shots_the_prompt_is_the_prompt() -> None:
    for rules in TURBO:
        assert rules.prompt(JobSpec(model="m", prompt="Shot 1, 2, x;")) == "Shot 1, 2, x;"


@given(
    st.lists(
        st.tuples(st.integers(1, 15), st.text(st.characters(exclude_characters=";\n\r", codec="utf-8"), min_size=1))
    )
)
def test_what_is_written_reads_back_as_the_same_shots(shots: list[tuple[int, str]]) -> None:
    text = render([Shot.model_construct(seconds=seconds, prompt=words) for seconds, words in shots], "Shot")

    read = re.findall(r"Shot (\d+), (\d+), ([^;]*);", text)

    assert [(int(n), int(seconds), words) for n, seconds, words in read] == [
        (n, seconds, words) for n, (seconds, words) in enumerate(shots, 1)
    ]


def test_a_model_without_a_marker_writes_none() -> None:
    rules = ModelRules(provider="p", name="m", source="https://example.com", fields={"prompt": Field.plain("prompt")})

    assert rules.prompt(JobSpec(model="m", shots=SHOTS)) is None
