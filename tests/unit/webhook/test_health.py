"""/ready asks Redis to take a write, and not more often than once a second."""

from __future__ import annotations

from webhook.health import Remembered


def test_an_answer_is_asked_again_only_when_it_is_old() -> None:
    clock = [0.0]
    answers = iter(["always", "", "always"])
    ready = Remembered(lambda: next(answers), monotonic=lambda: clock[0])

    told = []
    for at in (0.0, 0.5, 0.99, 1.0, 1.5, 2.1):
        clock[0] = at
        told.append(ready())

    assert told == ["always", "always", "always", "", "", "always"]
