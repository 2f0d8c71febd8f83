"""Search terms: one line that people type, read whole or refused with every problem."""

from __future__ import annotations

import pytest

from worker.jobs.states import JobState
from worker.jobs.wait_codes import WaitCode
from worker.operations import terms
from worker.operations.search import Filter

NOW = 1_800_000_000_000


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("", Filter()),
        ("state:failed", Filter(states=frozenset({JobState.FAILED}))),
        ("state:failed,expired", Filter(states=frozenset({JobState.FAILED, JobState.EXPIRED}))),
        ("provider:evolink model:m tenant:acme", Filter(provider="evolink", model="m", tenant="acme")),
        ("code:moderation", Filter(error_code="moderation")),
        ("waits:budget", Filter(waits_for=WaitCode.BUDGET)),
        ("metadata.order:1007", Filter(metadata=(("order", "1007"),))),
        ('"metadata.a b:c d"', Filter(metadata=(("a b", "c d"),))),
        ('metadata.who:"Ann B"', Filter(metadata=(("who", "Ann B"),))),
        ("metadata.at:12:30", Filter(metadata=(("at", "12:30"),))),
        ("is:open is:stuck", Filter(is_open=True, stuck=True)),
        ("is:closed is:differs", Filter(is_open=False, differs=True)),
        ("is:dead-notification", Filter(dead_notification=True)),
        ("since:2h", Filter(since=NOW - 7_200_000)),
        ("until:1970-01-01T00:00:01Z", Filter(until=1000)),
    ],
)
def test_terms_become_a_filter(line: str, wanted: Filter) -> None:
    assert terms.read(line, NOW) == terms.Terms(wanted)


def test_a_bare_word_is_a_job_id() -> None:
    assert terms.read("order-1", NOW).job_id == terms.read("id:order-1", NOW).job_id == "order-1"


def test_a_request_id_is_any_text() -> None:
    assert terms.read("request:task-unified-1", NOW).request_id == "task-unified-1"


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(terms.TermsError) as refused:
        terms.read("stat:failed state:lost is:gone since:soon provider: <b> waits:rain", NOW)

    assert len(refused.value.problems) == 7
    assert refused.value.problems[0].startswith("stat: is no term; there are state:, provider:")


def test_a_line_has_an_end() -> None:
    with pytest.raises(terms.TermsError, match="longer than"):
        terms.read("x" * (terms.LONGEST + 1), NOW)


def test_a_term_is_set_changed_and_taken_out() -> None:
    line = 'state:failed metadata.who:"Ann B"'

    assert terms.with_term(line, "state", "archived") == '"metadata.who:Ann B" state:archived'
    assert terms.with_term(line, "state", "") == '"metadata.who:Ann B"'
    assert terms.read(terms.with_term(line, "state", "archived"), NOW).wanted.metadata == (("who", "Ann B"),)


def test_every_state_code_and_flag_is_offered() -> None:
    offered = terms.suggestions({"evolink": ["b", "a"]})

    for name in ("state:", "waits:", "is:", "since:", "code:"):
        for value in offered[name]:
            assert terms.read(f"{name}{value}", NOW) != terms.Terms()
    assert offered["model:"] == ["a", "b"]
    assert {name.rstrip(":") for name in offered} == set(terms.MEANINGS)
