"""EvoLink's callbacks: when they come, when they come again, and the trouble that can be scripted."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.local.tls import LocalTls
from deploy.sandbox.clock import Clock, Timetable
from deploy.sandbox.deliveries import Deliveries, Letter
from deploy.sandbox.generations import Asked, Fate, Generation, Generations
from deploy.sandbox.history import History
from deploy.sandbox.sandbox import Options

Wait = Callable[..., Any]


def settled(control: Any, request_id: str, count: int) -> Callable[[], list[Any] | None]:
    """Whether *count* deliveries about *request_id* have been answered or given up; the deliveries."""

    def look() -> list[Any] | None:
        found = [item for item in control.history(request_id=request_id, kind="callback") if "taken" in item]
        return found if len(found) >= count else None

    return look


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [("completed", "completed", None), ("failed", "failed", "oops"), ("cancelled", "failed", "request_cancelled")],
)
def test_a_finished_task_is_told_once_in_the_words_of_a_poll(
    caller: Any, control: Any, receiver: Any, wait_until: Wait, outcome: str, status: str, code: str | None
) -> None:
    control.script({"on": "generation", "outcome": outcome, "code": "oops"})
    request_id = caller.submit_evolink(receiver.url)
    before = list(receiver.received)

    control.advance(60)

    (delivery,) = wait_until(settled(control, request_id, 1))
    (arrived,) = receiver.received
    assert before == []
    assert (arrived.path, arrived.content_type) == ("/callbacks/evolink/job-1/1/secret-token", "application/json")
    assert arrived.body == caller.evolink(request_id) == delivery["body"]
    assert (arrived.body["status"], arrived.body.get("error", {}).get("code")) == (status, code)
    assert (delivery["taken"], delivery["status"], delivery["attempt"]) == (True, 200, 1)


def test_without_a_callback_url_nobody_is_told(caller: Any, control: Any) -> None:
    caller.submit_evolink()

    control.advance(60)

    assert control.history(kind="callback") == []


@pytest.mark.parametrize("status", [302, 404, 500])
def test_only_a_2xx_is_success_and_the_retries_come_1_2_and_4_seconds_later(
    caller: Any, control: Any, receiver: Any, wait_until: Wait, status: int
) -> None:
    receiver.statuses[:] = [status] * 4
    request_id = caller.submit_evolink(receiver.url)
    control.advance(60)

    for attempt, gap in enumerate((1, 2, 4), start=1):
        wait_until(settled(control, request_id, attempt))
        control.advance(gap)
    wait_until(settled(control, request_id, 4))
    control.advance(3600)

    later = caller.submit_evolink(receiver.url)
    control.advance(60)
    wait_until(settled(control, later, 1))
    deliveries = control.history(request_id=request_id, kind="callback")
    assert [(item["attempt"], item["status"], item["taken"]) for item in deliveries] == [
        (attempt, status, False) for attempt in (1, 2, 3, 4)
    ]
    assert [item["at"] - deliveries[0]["at"] for item in deliveries] == [0, 1, 3, 7]


def test_a_retry_that_is_taken_is_the_last(caller: Any, control: Any, receiver: Any, wait_until: Wait) -> None:
    receiver.statuses[:] = [503, 204]
    request_id = caller.submit_evolink(receiver.url)
    control.advance(60)
    wait_until(settled(control, request_id, 1))

    control.advance(1)

    assert [item["taken"] for item in wait_until(settled(control, request_id, 2))] == [False, True]


def test_a_receiver_that_the_ca_does_not_vouch_for_gets_nothing(
    caller: Any, control: Any, serve_callbacks: Any, wait_until: Wait, tmp_path: Path
) -> None:
    stranger = serve_callbacks(LocalTls(tmp_path / "other-ca").ensure())
    request_id = caller.submit_evolink(stranger.url)

    control.advance(60)

    (delivery,) = wait_until(settled(control, request_id, 1))
    assert stranger.received == []
    assert (delivery["taken"], delivery["status"]) == (False, None)
    assert "CERTIFICATE_VERIFY_FAILED" in delivery["error"]


def test_a_receiver_whose_name_is_not_in_its_certificate_gets_nothing(
    caller: Any, control: Any, receiver: Any, wait_until: Wait
) -> None:
    request_id = caller.submit_evolink(receiver.url.replace("127.0.0.1", "127.0.0.2"))

    control.advance(60)

    (delivery,) = wait_until(settled(control, request_id, 1))
    assert receiver.received == []
    assert not delivery["taken"]


def test_a_receiver_that_says_nothing_runs_into_the_time_out(tls: LocalTls) -> None:
    generation = _generation("https://127.0.0.1/")
    clock, generations = Clock(), Generations()
    generations.add(generation)
    history = History(clock.now)
    deliveries = Deliveries(
        clock, Timetable(clock), history, generations, ca_file=str(tls.ca_file), timeout_seconds=0.2
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/cb"

        entry = deliveries.send(Letter(generation, url, b"{}"))

    assert (entry["taken"], entry["status"]) == (False, None)
    assert "timed out" in entry["error"]


def test_a_receiver_that_never_ends_its_answer_holds_no_worker(tls: LocalTls) -> None:
    generation = _generation("https://127.0.0.1/")
    clock, generations = Clock(), Generations()
    generations.add(generation)
    deliveries = Deliveries(
        clock, Timetable(clock), History(clock.now), generations, ca_file=str(tls.ca_file), timeout_seconds=0.5
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.cert_file, tls.key_file)
    gone = threading.Event()

    def drip(listening: socket.socket) -> None:
        with context.wrap_socket(listening.accept()[0], server_side=True) as connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                while not gone.wait(0.05):
                    connection.sendall(b"x")
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=drip, args=(listening,))
        thread.start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}/cb"

        entry = deliveries.send(Letter(generation, url, b"{}"))

        gone.set()
        thread.join()
    assert entry["taken"]


def _generation(callback_url: str) -> Generation:
    asked = Asked("m", {}, 5, 1280, 720, "720p", callback_url)
    return Generation("task-1", 1, "evolink", asked, Fate(0), 0.0, "https://127.0.0.1", (), 0)


# --- scripted


def test_a_lost_callback_never_comes(caller: Any, control: Any, receiver: Any, wait_until: Wait) -> None:
    control.script({"on": "callback", "lost": True})
    lost = caller.submit_evolink(receiver.url)
    told = caller.submit_evolink(receiver.url)

    control.advance(3600)

    wait_until(settled(control, told, 1))
    assert control.history(request_id=lost, kind="callback") == []
    assert caller.evolink(lost)["status"] == "completed"


def test_a_late_callback_comes_when_the_poll_has_long_told(
    caller: Any, control: Any, receiver: Any, wait_until: Wait
) -> None:
    control.script({"on": "callback", "late_seconds": 600})
    request_id = caller.submit_evolink(receiver.url)
    control.advance(600)
    polled, told = caller.evolink(request_id)["status"], list(receiver.received)

    control.advance(60)

    wait_until(settled(control, request_id, 1))
    assert (polled, told) == ("completed", [])


def test_duplicates_come_after_the_first_was_taken(caller: Any, control: Any, receiver: Any, wait_until: Wait) -> None:
    control.script({"on": "callback", "duplicates": 2})
    request_id = caller.submit_evolink(receiver.url)

    control.advance(60)

    wait_until(settled(control, request_id, 3))
    first, second, third = receiver.bodies()
    assert first == second == third


def test_concurrent_callbacks_are_under_way_at_the_same_moment(
    caller: Any, control: Any, receiver: Any, wait_until: Wait
) -> None:
    receiver.together = threading.Barrier(5)
    control.script({"on": "callback", "concurrent": 5})
    request_id = caller.submit_evolink(receiver.url)

    control.advance(60)

    assert all(item["taken"] for item in wait_until(settled(control, request_id, 5)))


def test_concurrent_callbacks_that_all_fail_are_tried_again(
    caller: Any, control: Any, receiver: Any, wait_until: Wait
) -> None:
    receiver.statuses[:] = [500] * 3
    control.script({"on": "callback", "concurrent": 3})
    request_id = caller.submit_evolink(receiver.url)
    control.advance(60)
    wait_until(settled(control, request_id, 3))

    control.advance(1)

    assert [item["attempt"] for item in wait_until(settled(control, request_id, 4))] == [1, 1, 1, 2]


@pytest.mark.parametrize("seconds", [0, 60])
def test_reordered_news_tell_an_older_state_after_the_end(
    caller: Any, control: Any, receiver: Any, wait_until: Wait, seconds: int
) -> None:
    control.script({"on": "callback", "reordered": True}, {"on": "generation", "seconds": seconds})
    request_id = caller.submit_evolink(receiver.url)

    control.advance(60)

    wait_until(settled(control, request_id, 2))
    last, older = receiver.bodies()
    assert last["status"] == "completed"
    assert older["status"] in ("pending", "processing")
    assert older["id"] == request_id


def test_an_early_callback_arrives_before_the_submit_answer(caller: Any, control: Any, receiver: Any) -> None:
    control.script({"on": "callback", "early": True})

    request_id = caller.submit_evolink(receiver.url)

    (body,) = receiver.bodies()
    assert (body["id"], body["status"]) == (request_id, "completed")
    call, delivery = control.history()
    assert (call["kind"], delivery["kind"], delivery["taken"]) == ("call", "callback", True)


def test_forged_callbacks_lie_and_the_true_one_still_comes(
    caller: Any, control: Any, receiver: Any, wait_until: Wait
) -> None:
    control.script({"on": "callback", "forged": ["wrong_id", "wrong_token", "contradiction"]})
    request_id = caller.submit_evolink(receiver.url)
    wait_until(settled(control, request_id, 3))

    control.advance(60)

    wait_until(settled(control, request_id, 4))
    wrong_id, wrong_token, contradiction, true = receiver.received
    assert wrong_id.body["id"] != request_id
    assert wrong_token.path.rpartition("/")[0] == true.path.rpartition("/")[0]
    assert wrong_token.path != true.path
    assert (contradiction.body["id"], contradiction.body["status"]) == (request_id, "failed")
    assert (true.body["id"], true.body["status"]) == (request_id, "completed")


def test_a_contradiction_promises_a_video_that_will_not_come(
    caller: Any, control: Any, receiver: Any, wait_until: Wait
) -> None:
    control.script({"on": "generation", "outcome": "failed"}, {"on": "callback", "forged": ["contradiction"]})

    request_id = caller.submit_evolink(receiver.url)

    wait_until(settled(control, request_id, 1))
    (body,) = receiver.bodies()
    assert (body["status"], len(body["results"]), "error" in body) == ("completed", 1, False)


def test_a_callback_can_be_ordered_as_it_is_or_altered(caller: Any, control: Any, receiver: Any) -> None:
    request_id = caller.submit_evolink(receiver.url)

    control.callback(request_id)
    control.callback(request_id, status="cancelled", change={"id": "task-unified-1-stranger"})
    control.callback(request_id, body={"task_id": request_id})
    (entry,) = control.callback(request_id, text="{not json", content_type="text/plain")

    assert [item.get("status") for item in receiver.bodies()[:2]] == ["pending", "cancelled"]
    assert receiver.bodies()[1]["id"] == "task-unified-1-stranger"
    assert receiver.bodies()[2:] == [{"task_id": request_id}, b"{not json"]
    assert receiver.received[3].content_type == "text/plain"
    assert (entry["letter"], entry["taken"]) == ("ordered", True)


def test_ordered_callbacks_can_go_out_at_once_to_any_url(caller: Any, control: Any, receiver: Any) -> None:
    receiver.together = threading.Barrier(4)
    request_id = caller.submit_gmi()

    entries = control.callback(request_id, url=receiver.url, copies=4, at_once=True)

    assert [item["taken"] for item in entries] == [True] * 4


def test_a_cut_answer_does_not_keep_the_callback_back(
    caller: Any, control: Any, receiver: Any, wait_until: Wait
) -> None:
    control.script(
        {"on": "submit", "cut": True, "created": True}, {"on": "generation", "seconds": 0, "outcome": "completed"}
    )

    with pytest.raises(Exception, match=r"reset|closed|aborted"):
        caller.submit_evolink(receiver.url)

    (request,) = control.requests()
    wait_until(settled(control, request["request_id"], 1))
    assert receiver.bodies()[0]["id"] == request["request_id"]


def test_a_reset_takes_planned_callbacks_and_retries_away(
    caller: Any, control: Any, receiver: Any, wait_until: Wait
) -> None:
    receiver.statuses[:] = [500]
    retried = caller.submit_evolink(receiver.url)
    control.advance(60)
    wait_until(settled(control, retried, 1))
    caller.submit_evolink(receiver.url)

    control.reset()
    control.advance(3600)

    probe = caller.submit_evolink(receiver.url)
    control.advance(60)
    wait_until(settled(control, probe, 1))
    assert [body["id"] for body in receiver.bodies()] == [retried, probe]


class TestWithoutTheSwitch:
    """Loopback callbacks are refused unless they are allowed."""

    @pytest.fixture
    def options(self, options: Options) -> Options:
        return replace(options, allow_loopback_callbacks=False)

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "x.localhost", "[::1]", "127.9.9.9"])
    def test_a_loopback_callback_url_is_refused(self, caller: Any, host: str) -> None:
        body = {
            "model": "kling-v3-turbo-image-to-video",
            "image_start": "https://cdn.example.com/a.png",
            "callback_url": f"https://{host}:8440/cb",
        }

        reply = caller.post("/evolink/v1/videos/generations", body)

        assert (reply.status, reply.json()["error"]["param"]) == (400, "callback_url")
