"""Whatever stands in the queue, the worker goes on, and quotes none of it.

`CANARY` stands where a caller's prompt would: it must show nowhere.
"""

from __future__ import annotations

import base64
import gzip
import json
import pickle
from typing import Any

import pytest
from celery.result import AsyncResult

from tests.conftest import WaitUntil
from tests.integration.messaging.conftest import PATIENCE_SECONDS, Office
from tests.integration.messaging.letters import letter

CANARY = "a-prompt-that-nobody-may-read"
HOSTILE = "\x1b[2J\r\n<script>alert(1)</script>%s{0}${jndi:ldap://x}"
SPEC = {"model": "kling-v3-turbo-text-to-video", "prompt": CANARY}
TEXT = base64.b64encode(b"x")

NO_MESSAGE = {
    "bytes of noise": b"\xff\x00" + CANARY.encode(),
    "a text": CANARY.encode(),
    "a number": b"5",
    "a list": b"[]",
    "null": b"null",
    "an empty object": b"{}",
    "a nesting that breaks parsers": b"[" * 100_000,
    "nothing": b"",
    "no properties": letter().replace(b'"properties"', b'"p"'),
    "properties that are a list": letter().replace(b'"properties": {', b'"properties": [], "p": {'),
    "no delivery tag": letter(properties={"delivery_tag": ...}),
    "a delivery tag that is an object": letter(properties={"delivery_tag": {"a": 1}}),
    "no delivery info": letter(properties={"delivery_info": ...}),
    "a body that is no base64": letter(body=b"x").replace(TEXT, b"%%%"),
    "a body that is a number": letter(body=b"x").replace(b'"' + TEXT + b'"', b"5"),
    "a body in an unknown coding": letter(properties={"body_encoding": "rot13"}),
    "no headers": letter().replace(b'"headers"', b'"headless"'),
    "headers that are a text": letter().replace(b'"headers": {', b'"headers": "x", "h": {'),
}
NO_JSON = {
    "a pickle": letter(body=pickle.dumps(([], SPEC, {})), content_type="application/x-python-serialize"),
    "a yaml": letter(body=b"!!python/object/apply:os.system ['id']", content_type="application/x-yaml"),
    "a msgpack": letter(body=b"\x93\x90\x80\x80", content_type="application/x-msgpack"),
    "an unknown type": letter(content_type="application/x-none"),
    "a type that is a list": letter(content_type=["application/json"]),
    "half a body": letter(body=b'[[], {"prompt": "' + CANARY.encode()),
    "a body too deep": letter(body=b"[" * 100_000),
    "a body of a type that is made up": letter(kwargs={"job_ids": {"__type__": "decimal", "__value__": CANARY}}),
    "a packed body": letter(body=gzip.compress(json.dumps([[], SPEC, {}]).encode()), headers={"compression": "gzip"}),
    "a packed body that is none": letter(headers={"compression": "bzip2"}, body=CANARY.encode()),
}
NOT_NAMES: tuple[Any, ...] = ([], {"a": 1}, None, 5)
NO_TASK = {
    **{f"a task named {name!r}": letter(name, kwargs=SPEC) for name in ("os.system", "callsheet.genrate", HOSTILE, "")},
    **{f"a task that is {task!r}": letter(task) for task in NOT_NAMES},
    **{
        f"Celery's own {name}": letter(f"celery.{name}", kwargs=SPEC)
        for name in ("chord_unlock", "starmap", "map", "chunks", "group", "chain", "backend_cleanup", "accumulate")
    },
    "no task": letter(..., body=json.dumps(SPEC).encode()),
    "protocol 1 with an unknown task": letter(..., body=json.dumps({"task": "x", "id": "1", "kwargs": SPEC}).encode()),
    "protocol 1 with odd arguments": letter(
        ..., body=json.dumps({"task": "callsheet.generate", "id": "1", "args": 5, "kwargs": CANARY}).encode()
    ),
}
ODD_HEADERS = {
    **{
        f"an id {value!r:.20}": letter(headers={"id": value})
        for value in (..., None, {"a": 1}, "", "i" * 10**6, HOSTILE)
    },
    **{f"an eta {value!r}": letter(headers={"eta": value}) for value in ("soon", 5, [1], "9999-12-31T23:59:59+00:00")},
    "an eta in a year": letter("callsheet.generate", kwargs=SPEC, headers={"eta": "2100-01-01T00:00:00+00:00"}),
    **{f"an end {value!r}": letter(headers={"expires": value}) for value in ("soon", [1], {"a": 1}, 1e308)},
    **{f"retries {value!r}": letter(headers={"retries": value}) for value in ("many", [1], True, 0.5)},
    **{
        f"{name} {value!r}": letter(headers={name: value})
        for name in ("root_id", "parent_id", "group", "lang", "origin")
        for value in ({"a": 1}, HOSTILE)
    },
    **{
        f"{name} {value!r}": letter(headers={name: value})
        for name in ("stamps", "stamped_headers")
        for value in (5, "abc", [5], {"a": HOSTILE})
    },
    "a nesting in words": letter(headers={"replaced_task_nesting": "x"}),
    "a place in words": letter(headers={"group_index": "x"}),
}
ODD_BODIES = {
    **{
        f"a body of {body!r}": letter(body=body)
        for body in (b'"a"', b"[1]", b"{}", b"[null,null,null]", b'["a","b","c"]')
    },
    **{
        f"{name} {value!r}": letter("callsheet.generate", kwargs=SPEC, embed={name: value})
        for name in ("callbacks", "errbacks", "chain")
        for value in ("abc", [5], [{"task": 5}], {"a": 1}, [None])
    },
    **{f"a chord {value!r}": letter("callsheet.generate", kwargs=SPEC, embed={"chord": value}) for value in (7, [1])},
    "a chain on a task of our own": letter(
        kwargs={"job_ids": ["no-such-job"]}, embed={"chain": [{"task": "callsheet.generate", "kwargs": SPEC}]}
    ),
    "a chord on a task of our own": letter(
        kwargs={"job_ids": ["no-such-job"]}, embed={"chord": {"task": "x"}}, headers={"group": "g"}
    ),
    "arguments by place": letter(args=[1, 2, 3]),
    "a spec with a field of the code's": letter("callsheet.generate", kwargs={"self": CANARY, "model": "x"}),
    "no arguments": letter(),
    "arguments of another name": letter(kwargs={"job_id": "x"}),
    "arguments for the clock": letter("callsheet.sweep", args=[1]),
    "9 MB of arguments": letter(kwargs={"job_ids": [CANARY + "x" * 9_000_000]}),
}
REFUSED = NO_MESSAGE | NO_JSON | NO_TASK | ODD_HEADERS | ODD_BODIES

STEPS = ("submit", "confirm", "poll", "deliver", "notify", "revisit")
NO_JOBS: tuple[Any, ...] = (None, 5, "abc", {"a": 1}, [{"a": 1}, None, 5], ["../..", HOSTILE, "*", "{0}", "a" * 10**6])

UNHEEDED = {
    **{f"a limit {value!r}": {"timelimit": value} for value in ("abc", [-1, -1], {"a": 1}, ["a", "b"], [0.01, 0.01])},
    "another name": {"shadow": HOSTILE},
    "a name that is none": {"shadow": [1]},
    "an origin of nowhere": {"origin": None, "lang": ...},
    "words about the arguments": {"argsrepr": {"x": 1}, "kwargsrepr": [HOSTILE]},
    "an end in the past": {"expires": "2020-01-01T00:00:00+00:00"},
}


def assert_harmless(log: str) -> None:
    """Nothing in *log* is quoted from a message, breaks a line or steers a terminal."""
    assert CANARY not in log
    assert "Traceback" not in log
    assert [char for char in log if not char.isprintable() and char != "\n"] == []


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_what_is_no_message_for_us_is_refused_and_the_worker_goes_on(office: Office, raw: bytes) -> None:
    log = office.after(lambda: office.post(raw))

    assert "message.refused" in log
    assert_harmless(log)


@pytest.mark.parametrize("step", STEPS)
def test_what_can_be_no_job_is_left_out_of_a_nudge(office: Office, step: str) -> None:
    for job_ids in NO_JOBS:
        log = office.after(lambda ids=job_ids: office.post(letter(f"callsheet.{step}", kwargs={"job_ids": ids})))  # type: ignore[misc]

        assert "nudge.cut" in log
        assert_harmless(log)


def test_an_archive_message_that_names_jobs_is_refused(office: Office) -> None:
    log = office.after(lambda: office.post(letter("callsheet.archive", kwargs={"job_ids": ["job-1"]})))

    assert "message.refused" in log
    assert_harmless(log)


@pytest.mark.parametrize("step", STEPS)
def test_a_job_that_is_not_there_is_no_reason_to_stop(office: Office, step: str) -> None:
    log = office.after(lambda: office.post(letter(f"callsheet.{step}", kwargs={"job_ids": ["no-such-job"]})))

    assert_harmless(log)


@pytest.mark.parametrize("headers", UNHEEDED.values(), ids=UNHEEDED)
def test_what_a_sender_may_not_decide_is_not_heeded(office: Office, headers: dict[str, Any]) -> None:
    log = office.after(lambda: office.post(letter(kwargs={"job_ids": ["no-such-job"]}, headers=headers)))

    assert "message.refused" not in log
    assert_harmless(log)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"model": HOSTILE, "prompt": CANARY}, id="a hostile model"),
        pytest.param({"model": 5, "prompt": CANARY}, id="a model that is a number"),
        pytest.param({HOSTILE: CANARY}, id="a hostile field"),
        pytest.param({"cls": CANARY, "job_id": CANARY}, id="names of the code"),
        pytest.param({"model": "x", "prompt": CANARY + "x" * 5_000_000}, id="5 MB of words"),
        pytest.param(
            {"model": "x", "metadata": {"a": {"__type__": "datetime", "__value__": "2020-01-01"}}}, id="no JSON type"
        ),
    ],
)
def test_a_spec_that_cannot_be_is_a_failed_task_and_one_line(office: Office, fields: dict[str, Any]) -> None:
    message = letter("callsheet.generate", kwargs=fields)
    task_id = json.loads(message)["headers"]["id"]
    result: AsyncResult[Any] = AsyncResult(task_id, app=office.app)

    log = office.after(lambda: office.post(message))

    assert result.state == "FAILURE"
    assert "spec.refused" in log
    assert_harmless(log)
    assert CANARY not in str(result.result)


def test_headers_decide_nothing_of_a_message_of_protocol_1(office: Office) -> None:
    body = json.dumps({"task": "callsheet.generate", "id": "named-in-the-body", "args": [], "kwargs": {"model": "x"}})
    headers = {"id": "named-in-the-headers", "expires": "2020-01-01T00:00:00+00:00", "timelimit": [0.001, 0.001]}

    office.after(lambda: office.post(letter(..., body=body.encode(), headers=headers)))

    told = {name: office.redis.exists(f"celery-task-meta-{name}") for name in ("named-in-the-body", headers["id"])}
    assert told == {"named-in-the-body": 1, "named-in-the-headers": 0}


@pytest.mark.parametrize("job_id", ["order/1007", "..", "*", "{0}", "ä", "j" * 65, "a:b"])
def test_a_job_id_that_cannot_be_one_is_told_to_its_sender(office: Office, job_id: str) -> None:
    result: AsyncResult[Any] = AsyncResult(job_id, app=office.app)

    office.after(lambda: office.post(letter("callsheet.generate", kwargs=SPEC, headers={"id": job_id})))

    assert "job id: must be 1 to 64" in str(result.result)
    assert list(office.redis.scan_iter("callsheet:{*}:job:*")) == []


def test_no_broadcast_stops_a_worker_or_takes_its_work_away(office: Office) -> None:
    commands: dict[str, dict[str, Any]] = {
        "shutdown": {},
        "cancel_consumer": {"queue": "callsheet"},
        "add_consumer": {"queue": "elsewhere"},
        "pool_restart": {"modules": ["os"]},
        "pool_shrink": {"n": 1},
        "autoscale": {"max": 0, "min": 0},
        "rate_limit": {"task_name": "callsheet.generate", "rate_limit": "1/h"},
        "time_limit": {"task_name": "callsheet.submit", "hard": 0.01},
        "terminate": {"task_id": "x", "signal": "KILL"},
        "disable_events": {},
        "no_such_command": {"a": HOSTILE},
        HOSTILE: {},
    }

    def broadcast() -> None:
        for command, arguments in commands.items():
            office.app.control.broadcast(command, arguments=arguments)

    office.after(broadcast)

    answer = office.app.control.inspect(timeout=PATIENCE_SECONDS, limit=1).active_queues()
    assert answer is not None
    assert {queue["name"] for queues in answer.values() for queue in queues} == {
        *("callsheet", "callsheet.archive", "callsheet.sweep")
    }


NO_BROADCASTS = (
    b"\xff",
    b"5",
    b"[]",
    b"{}",
    b"{",
    b"[" * 100_000,
    *(
        json.dumps(said).encode()
        for said in (
            CANARY,
            {"method": 5},
            {"method": [CANARY]},
            {"method": CANARY + "\n"},
            {"method": "ping", CANARY: CANARY},
            {"method": "ping", "arguments": [CANARY]},
            {"method": "ping", "arguments": {CANARY + "=": 1}, "reply_to": CANARY},
            {"method": "ping", "reply_to": {"exchange": 5}},
            {"method": "ping", "ticket": {CANARY: 1}},
            {"method": "ping", "destination": 5},
            {"method": "ping", "matcher": "pcre", "pattern": CANARY + "("},
            {"method": "ping", "matcher": CANARY, "pattern": "x"},
            {"method": "ping", "matcher": "pcre", "pattern": ".?" * 60 + "[=]"},
            {"method": "query_task", "arguments": {"ids": {"a": CANARY}}},
            {"method": "query_task", "arguments": {"ids": 5}},
            {"method": "revoke", "arguments": {"task_id": {"a": [CANARY]}}},
            {"method": "enable_events", "arguments": {"n": 5}},
        )
    ),
)


@pytest.mark.parametrize("body", NO_BROADCASTS, ids=lambda body: repr(body[:60]))
def test_what_is_no_broadcast_stops_nobody(office: Office, body: bytes) -> None:
    def publish() -> None:
        for raw in (body, letter(body=body)):
            assert office.redis.publish("/0.celery.pidbox", raw) == 1

    log = office.after(publish)

    assert CANARY not in log
    assert [char for char in log if not char.isprintable() and char != "\n"] == []


@pytest.mark.parametrize("clock", [CANARY, [1], {"a": 1}, -1, 1.5, 2**60])
def test_no_clock_of_a_sender_puts_ours_wrong(office: Office, clock: Any) -> None:
    body = json.dumps({"method": "ping", "arguments": {}}).encode()

    log = office.after(lambda: office.redis.publish("/0.celery.pidbox", letter(body=body, headers={"clock": clock})))

    assert "broadcast.refused" in log
    assert_harmless(log)


UNRESTORABLE = (
    b"\xff\x00" + CANARY.encode(),
    CANARY.encode(),
    b"5",
    b"null",
    b"[]",
    b"[{}, 1]",
    b"[" * 100_000,
    json.dumps([CANARY, "", "callsheet"]).encode(),
    json.dumps([{"headers": {}, "properties": CANARY}, "", "callsheet"]).encode(),
    b'[%s, "", ["callsheet"]]' % letter(),
    b'[%s, "", "callsheet"]' % letter().replace(b'"headers": {', b'"headers": 5, "h": {'),
)


def test_what_a_lost_worker_left_comes_back_whatever_stands_beside_it(office: Office, wait_until: WaitUntil) -> None:
    left = letter("callsheet.generate", kwargs={"model": "none"}, headers={"id": "left-behind"})
    held: dict[Any, Any] = {
        f"tag-{number}": raw for number, raw in enumerate((*UNRESTORABLE, b'[%s, "", "callsheet"]' % left))
    }
    heard = len(office.worker.output())

    office.redis.hset("unacked", mapping=held)
    office.redis.zadd("unacked_index", {tag: len(held) - number for number, tag in enumerate(held)})

    wait_until(lambda: office.redis.exists("celery-task-meta-left-behind"), PATIENCE_SECONDS)
    wait_until(lambda: office.redis.hlen("unacked") == office.redis.zcard("unacked_index") == 0, PATIENCE_SECONDS)
    log = office.worker.output()[heard:]
    assert log.count("message.refused") == len(UNRESTORABLE)
    assert_harmless(log)


def test_nothing_that_was_refused_comes_back(office: Office, wait_until: WaitUntil) -> None:
    for raw in REFUSED.values():
        office.post(raw)

    office.works()

    wait_until(lambda: (office.redis.llen("callsheet"), office.redis.hlen("unacked")) == (0, 0), PATIENCE_SECONDS)
