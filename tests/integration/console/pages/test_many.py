"""Acts on many jobs by their page: previewed with their sum, done by the clock, watched, stopped; 300 failed jobs."""

from __future__ import annotations

import pytest

from tests.integration.console.conftest import SECRETS
from tests.integration.console.pages.conftest import Browser, Stage
from tests.integration.console.scene import FAILURES, MINUTE, MODELS
from worker.operations import bulk_work

pytestmark = pytest.mark.timeout(600)  # each of the jobs is on disk before it is told of

MANY = 300


@pytest.fixture(scope="module")
def many(stage: Stage) -> str:
    """A search that 300 failed jobs fit, none of which a provider took."""
    scene = stage.scene
    scene.now = scene.clock.at = stage.services.store.clock.now()
    for n in range(MANY):
        job_id = f"many-{n}"
        scene.accept(job_id, "gmicloud", ago=MINUTE, tenant="many")
        scene.close(scene.fail(job_id, FAILURES[2]))
    return "state:failed tenant:many"


def open_preview(browser: Browser, line: str) -> None:
    browser.open(f"/?q={line}")
    browser.find("input[name=matching]").click()
    browser.find('.acts button[value="retry"]').click()
    browser.wait_until(lambda: "This would happen" in browser.text("main"), 60)


def test_all_that_match_are_told_before_anything_is_done(browser: Browser, stage: Stage, many: str) -> None:
    browser.login()
    open_preview(browser, many)

    words = browser.text("main [role=status]")

    assert f"{MANY} of {MANY} jobs would go on" in words
    assert "$168.00" in browser.text(".figures")
    assert stage.services.store.jobs.get("many-0").attempt == 1  # type: ignore[union-attr]


def test_a_preview_can_be_left(browser: Browser, stage: Stage, many: str) -> None:
    browser.login()
    open_preview(browser, many)

    browser.find(".confirm a.button").click()

    browser.wait_until(lambda: "q=" in browser.driver.current_url, 30)
    assert stage.services.store.bulks.all() == []


def test_many_are_begun_stopped_on_the_way_and_told_one_by_one(browser: Browser, stage: Stage, many: str) -> None:
    services = stage.services
    browser.login()
    open_preview(browser, many)
    browser.find("#reason").send_keys("credit is back")
    browser.find(".confirm button").click()
    browser.wait_until(lambda: "/bulk/" in browser.driver.current_url and browser.all("#done"), 30)
    bulk_id = browser.driver.current_url.rpartition("/")[2]
    browser.wait_until(lambda: bulk_work.work(services, 0.02) and services.store.bulks.get(bulk_id).done, 60)  # type: ignore[union-attr]
    browser.wait_until(lambda: 0 < int(browser.text("#done")) < MANY, 30)

    browser.find("button.grave").click()
    browser.wait_until(lambda: "Stopped" in browser.text("#progress"), 30)

    assert bulk_work.work(services, 5)
    done = int(browser.text("#done"))
    moved = [services.store.jobs.get(f"many-{n}").attempt == 2 for n in range(MANY)]  # type: ignore[union-attr]
    assert sum(moved) == done
    assert browser.all("#results ~ div tbody tr")
    last = services.store.history.entries(next(f"many-{n}" for n in range(MANY) if moved[n]))[-1]
    assert (last.actor, last.reason) == ("all", f"bulk {bulk_id}: credit is back")


def test_the_rest_goes_on_to_its_end(browser: Browser, stage: Stage, many: str) -> None:
    services = stage.services
    browser.login()
    open_preview(browser, many)
    browser.find(".confirm button").click()
    browser.wait_until(lambda: "/bulk/" in browser.driver.current_url and browser.all("#done"), 30)

    bulk_work.work(services, 60)

    browser.wait_until(lambda: browser.text("#progress").strip() == "Done", 30)
    assert browser.text("#left") == "0"
    attempts = {services.store.jobs.get(f"many-{n}").attempt for n in range(MANY)}  # type: ignore[union-attr]
    assert attempts == {2}


def test_a_selection_of_some_is_acted_on_alone(browser: Browser, stage: Stage) -> None:
    scene = stage.scene
    scene.now = scene.clock.at = stage.services.store.clock.now()
    for n in range(3):
        scene.accept(f"few-{n}", next(iter(MODELS)), ago=MINUTE, tenant="few")
    browser.login()
    browser.open("/?q=tenant:few")
    browser.find('input[value="few-0"]').click()
    browser.find('input[value="few-2"]').click()
    browser.find('.acts button[value="cancel"]').click()
    browser.wait_until(lambda: "2 of 2 jobs would go on" in browser.text("main"), 30)
    browser.find(".confirm button").click()
    browser.wait_until(lambda: browser.all("#done"), 30)

    bulk_work.work(stage.services, 30)

    browser.wait_until(lambda: browser.text("#done") == "2", 30)
    states = [str(stage.services.store.jobs.get(f"few-{n}").state) for n in range(3)]  # type: ignore[union-attr]
    assert states == ["cancelled", "accepted", "cancelled"]


def test_nothing_selected_is_told_in_words(browser: Browser) -> None:
    browser.login()
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.open("/")
        browser.find('.acts button[value="retry"]').click()
        browser.wait_until(lambda: browser.all("main [role=alert]"), 30)
        assert "no job is selected" in browser.find("main").text
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    browser.complaints()  # the status 400 is told in the console, and meant


def test_one_who_may_only_look_begins_nothing(browser: Browser) -> None:
    browser.login(SECRETS["read"])
    browser.open("/bulk/new?act=retry&q=state:failed")

    assert "scope operate" in browser.text("main")
    browser.complaints()  # the status 403 is told in the console, and meant
