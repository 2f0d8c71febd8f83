"""The README against the sandbox, and the bounds it promises."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from deploy.sandbox import images
from deploy.sandbox.faults import CallbackRule, DownloadRule, GenerationRule, Match, PollRule, SubmitRule
from deploy.sandbox.generations import Asked, Fate, Generation, Generations

README = (Path(__file__).parents[3] / "deploy/sandbox/README.md").read_text()


def test_the_example_rules_are_taken(control: Any) -> None:
    (example,) = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    rules = json.loads(example)["rules"]

    control.script(*rules)

    assert [held["on"] for held in control.rules()] == [rule["on"] for rule in rules]


def test_the_example_call_is_taken(caller: Any) -> None:
    (body,) = re.findall(r"-d '(.*?)'", README)
    (path,) = re.findall(r"https://127\.0\.0\.1:8443(/apimart\S+)", README)

    assert caller.post(path, json.loads(body)).status == 200


@pytest.mark.parametrize("rule", [SubmitRule, PollRule, GenerationRule, CallbackRule, DownloadRule, Match])
def test_every_field_of_a_rule_is_explained(rule: type[Match]) -> None:
    missing = [name for name in rule.model_fields if f"`{name}`" not in README]

    assert missing == []


def test_every_image_is_named() -> None:
    assert [name for name in images.SERVED if name not in README] == []


def test_the_oldest_requests_are_forgotten_with_their_links() -> None:
    generations = Generations(most=3, most_bytes=100)
    asked = Asked("m", {}, 5, 1280, 720, "720p")

    for number, size in enumerate([10, 10, 10, 10, 85]):
        generations.add(Generation(f"r{number}", number, "apimart", asked, Fate(0), 0.0, "", (f"t{number}",), size))

    assert [item.request_id for item in generations.newest_first()] == ["r4", "r3"]
    assert [generations.by_token(f"t{number}") is not None for number in range(5)] == [False] * 3 + [True] * 2
