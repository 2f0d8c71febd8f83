"""The jobs and one job, as people see and use them."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from tests.integration.console.pages.conftest import THEMES, WIDTHS, Browser
from tests.integration.console.scene import Scene
from worker.jobs.job import JobError


def test_a_login_link_signs_in_and_leaves_no_secret_in_the_address(browser: Browser) -> None:
    browser.login()

    assert browser.driver.current_url == browser.url + "/"
    assert browser.find("h1").text.startswith("Jobs")
    assert not any("only-" in url or "token=" in url for url in browser.asked())


def test_a_wrong_token_is_refused_in_words(browser: Browser) -> None:
    browser.open("/login")
    browser.find("#token").send_keys("x" * 40, Keys.ENTER)

    assert "no such token" in browser.wait_for("[role=alert]").text
    browser.complaints()  # the status 401 is told in the console, and meant


def test_the_counts_of_all_states_stand_in_the_tabs(browser: Browser) -> None:
    browser.login()
    browser.wait_for(".tabs .count")

    tabs = {line.split()[0]: int(line.split()[1]) for line in (tab.text for tab in browser.all(".tabs a"))}

    assert tabs["archived"] == 24
    assert tabs["expired"] == 1
    assert tabs["all"] == sum(count for name, count in tabs.items() if name != "all")


def test_a_search_by_terms_is_the_address(browser: Browser) -> None:
    browser.login()
    browser.find("#q").send_keys("state:failed code:moderation", Keys.ENTER)
    browser.wait_until(lambda: "q=" in browser.driver.current_url, 30)

    rows = browser.all("tbody tr")

    assert len(rows) == 5
    assert all("moderation" in row.text for row in rows)
    assert "state%3Afailed" in browser.driver.current_url


def test_terms_are_completed_by_the_keyboard(browser: Browser) -> None:
    browser.login()
    field = browser.find("#q")

    field.send_keys("sta", Keys.ARROW_DOWN, Keys.ENTER, "fai", Keys.ARROW_DOWN, Keys.ENTER)

    assert field.get_attribute("value") == "state:failed "


def test_a_job_is_found_by_its_own_the_providers_and_the_callers_id(browser: Browser) -> None:
    browser.login()

    for line in ("take-1005", "id:take-1005", "request:task-take-1005", "metadata.order:1005 state:archived"):
        browser.open(f"/?q={line}")
        assert [row.text for row in browser.all("tbody .id a")] == ["take-1005"], line


def test_a_bad_search_is_told_in_words_with_the_line_kept(browser: Browser) -> None:
    browser.login()
    browser.open("/?q=stat:failed+is:lost")

    assert "stat: is no term" in browser.text("#problems")
    assert "is: must be one of" in browser.text("#problems")
    assert browser.find("#q").get_attribute("value") == "stat:failed is:lost"
    browser.complaints()  # the status 400 is told in the console, and meant


def test_older_jobs_are_a_page_away_and_none_is_met_twice(browser: Browser) -> None:
    browser.login()
    first = [row.text for row in browser.all("tbody .id a")]
    browser.find("a[rel=next]").click()
    browser.wait_until(lambda: "cursor=" in browser.driver.current_url, 30)
    second = [row.text for row in browser.all("tbody .id a")]

    assert len(first) == 32
    assert len(second) >= 23
    assert set(first).isdisjoint(second)


def test_the_keyboard_alone_walks_opens_and_searches(browser: Browser) -> None:
    browser.login()
    body = browser.find("body")
    body.send_keys("j", "j", "k", "j")
    browser.driver.switch_to.active_element.send_keys("/")
    assert browser.driver.switch_to.active_element.get_attribute("id") == "q"
    browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE, Keys.ESCAPE)
    browser.find("body").send_keys("?")
    assert browser.find("#keys").is_displayed()
    browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    browser.find("body").send_keys("j")
    wanted = browser.find("tbody .id a").text
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)

    browser.wait_until(lambda: browser.driver.current_url.endswith(f"/jobs/{wanted}"), 30)


def test_a_refresh_brings_a_job_up_to_date_in_its_place(browser: Browser, scene: Scene) -> None:
    browser.login()
    before = [row.text for row in browser.all("tbody .id a")]
    scene.accept("brand-new", "evolink", ago=0)
    scene.submit("next-1001")

    browser.wait_until(lambda: "submitted" in browser.text('[data-key="next-1001"] .state'), 30)

    assert [row.text for row in browser.all("tbody .id a")] == before
    browser.wait_until(lambda: browser.text("#news") == "1 new: show", 30)


def test_a_refresh_is_held_while_something_is_selected(browser: Browser, scene: Scene) -> None:
    browser.login()
    browser.find("tbody input[name=job]").click()
    asked = len(browser.asked())
    scene.submit("next-1000")
    browser.wait_until(lambda: browser.text("#pulse") == "Held: 1 selected", 30)

    browser.driver.set_script_timeout(30)
    browser.driver.execute_async_script("setTimeout(arguments[0], 7000)")

    assert len(browser.asked()) == asked
    assert "accepted" in browser.text('[data-key="next-1000"] .state')
    browser.find("tbody input[name=job]").click()
    browser.wait_until(lambda: "submitted" in browser.text('[data-key="next-1000"] .state'), 30)


def test_a_refresh_is_held_while_the_page_is_hidden(browser: Browser) -> None:
    browser.login()
    browser.run("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    asked = len(browser.asked())

    browser.driver.set_script_timeout(30)
    browser.driver.execute_async_script("setTimeout(arguments[0], 7000)")

    assert len(browser.asked()) == asked
    assert browser.text("#pulse") == "Held: hidden"


def test_the_video_plays(browser: Browser) -> None:
    browser.login()
    browser.open("/jobs/take-1003")
    browser.wait_for("video")

    browser.run("const v = document.querySelector('video'); v.muted = true; v.play()")

    browser.wait_until(lambda: browser.run("return document.querySelector('video').currentTime") > 0.5, 30)


def test_a_frame_of_each_video_is_shown_once_it_comes_into_view(browser: Browser) -> None:
    browser.login()
    browser.open("/?q=state:archived")

    browser.wait_until(
        lambda: browser.run("return document.querySelector('video.poster').readyState >= 2"), timeout_seconds=30
    )


def test_timers_count_down(browser: Browser) -> None:
    browser.login()
    browser.open("/jobs/rush-cut")
    first = browser.text(".link-end time")
    assert first.startswith("in 3 h 5")
    browser.open("/jobs/shot-1000")
    before = [node.text for node in browser.all("time[data-left]")]

    browser.wait_until(lambda: [node.text for node in browser.all("time[data-left]")] != before, 30)


def test_a_job_tells_its_way_its_callbacks_and_notifications(browser: Browser) -> None:
    browser.login()
    browser.open("/jobs/take-1016")
    words = browser.find("main").text
    assert "submitted -> generated, by callback" in words
    assert "says succeed: confirmed" in words
    assert len(browser.all(".chart rect")) >= 5
    assert browser.all(".chart .m-callback")

    browser.open("/jobs/take-1008")

    assert "upstream is down" in browser.find("main").text
    assert browser.all(".chart .m-failure")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(browser: Browser, width: int, theme: str) -> None:
    browser.look(width, theme)
    browser.login()

    for path in ("/", "/jobs/take-1003", "/jobs/spot-1000"):
        browser.open(path)
        assert browser.run("return document.documentElement.scrollWidth") <= width, path


def test_hostile_words_are_shown_as_words(browser: Browser, scene: Scene) -> None:
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}\"'"
    scene.accept("hostile", "evolink", ago=1000, prompt=hostile, metadata={hostile: hostile}, tenant="acme")
    scene.submit("hostile")
    scene.fail("hostile", JobError("generate", "moderation", hostile))
    browser.login()

    browser.open("/jobs/hostile")
    assert hostile in browser.find("main").text
    assert browser.all("main script, main img") == []
    browser.open("/")
    assert hostile in browser.text('[data-key="hostile"] .why')
    browser.open("/jobs/%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    assert "there is no such page" in browser.text("main")
    browser.open("/jobs/<b>nobody")
    assert "there is no such job" in browser.text("main")
    browser.complaints()  # the status 404 is told in the console, and meant
