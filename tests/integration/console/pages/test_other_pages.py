"""The pages beside the jobs: attention, failures, providers, gallery, system, runbook; and the acts on one job."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.integration.console.pages.conftest import THEMES, WIDTHS, Browser, Stage
from tests.integration.console.scene import FAILURES, Scene
from worker.jobs.states import JobState

PAGES = (
    *("/", "/jobs/take-1003", "/jobs/spot-1000", "/jobs/spot-1000/retry", "/gallery", "/attention", "/failures"),
    *("/providers", "/money", "/system", "/runbook"),
)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_its_window_in_both_themes(browser: Browser, width: int, theme: str) -> None:
    browser.look(width, theme)
    browser.login()

    for path in PAGES:
        browser.open(path)
        wide = browser.run("return document.documentElement.scrollWidth")
        assert wide <= width, f"{path}: {wide}"
        assert browser.run("return getComputedStyle(document.body).backgroundColor") == (
            "rgb(23, 22, 20)" if theme == "dark" else "rgb(245, 244, 240)"
        )


@pytest.mark.parametrize("theme", THEMES)
def test_text_stands_out_from_its_ground(browser: Browser, theme: str) -> None:
    """WCAG AA: 4.5 to 1, and 3 to 1 where the text is large."""
    browser.look(1280, theme)
    browser.login()

    for path in PAGES:
        browser.open(path)
        assert browser.run(FAINT) == [], path


def test_each_page_has_landmarks_one_heading_and_named_parts(browser: Browser) -> None:
    browser.login()

    for path in PAGES:
        browser.open(path)
        tree = browser.tree()
        roles = [role for role, _ in tree]
        assert {"banner", "navigation", "main"} <= set(roles), path
        assert browser.run("return document.querySelectorAll('h1').length") == 1, path
        nameless = [
            role
            for role, name in tree
            if role in ("link", "button", "textbox", "searchbox", "checkbox", "combobox", "image", "dialog", "table")
            and not name.strip()
            and role != "table"
        ]
        assert nameless == [], path


def test_the_tree_of_the_jobs_tells_states_in_words(browser: Browser) -> None:
    browser.login()

    tree = browser.tree()

    names = [name for role, name in tree if role == "link"]
    assert any(name.startswith("archived") and "24" in name for name in names)
    assert ("checkbox", "Select take-1023") in tree
    assert "columnheader" in {role for role, _ in tree}


def test_without_a_script_every_page_can_be_read(browser: Browser) -> None:
    browser.login()
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        for path in PAGES:
            browser.open(path)
            assert len(browser.driver.find_element(By.TAG_NAME, "main").text) > 100, path
        browser.open("/?q=state:failed")
        assert len(browser.driver.find_elements(By.CSS_SELECTOR, "tbody tr")) >= 14
        assert browser.driver.find_element(By.CSS_SELECTOR, ".acts").is_displayed()
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_attention_is_marked_as_seen_with_a_note(browser: Browser, scene: Scene) -> None:
    scene.accept("seen-soon", "evolink", ago=2000)
    scene.submit("seen-soon")
    scene.fail("seen-soon", FAILURES[0])
    browser.login()
    browser.open("/attention")
    before = browser.text(".verdict b")
    browser.find('#failed li[data-key*="seen-soon"] input').click()
    browser.find("#note").send_keys("their filter is too strict", Keys.ENTER)

    browser.wait_until(lambda: browser.text(".verdict b") not in ("", before), 30)
    browser.open("/attention?seen=1")

    assert "by all: their filter is too strict" in browser.text('li[data-key*="seen-soon"]')
    browser.open("/system")
    assert "seen-soon" in browser.text(".activity")


def test_attention_leads_to_the_runbook_and_back(browser: Browser) -> None:
    browser.login()
    browser.open("/attention")
    browser.find("#links .book").click()

    browser.wait_until(lambda: "/runbook#" in browser.driver.current_url, 30)

    place = browser.driver.current_url.partition("#")[2]
    assert "generated" in browser.find(f"[id='{place}']").text
    assert browser.all('a[href="/attention#links"]')


def test_every_what_to_do_leads_to_a_heading(browser: Browser) -> None:
    browser.login()
    browser.open("/attention")
    wanted = {link.get_attribute("href").partition("#")[2] for link in browser.all(".trouble .book")}  # type: ignore[union-attr]
    browser.open("/runbook")

    assert {place for place in wanted if not browser.all(f"[id='{place}']")} == set()


def test_a_failed_group_leads_to_its_jobs(browser: Browser) -> None:
    browser.login()
    browser.open("/failures")
    group = browser.find(".group")
    count = group.find_element(By.CSS_SELECTOR, ".figure").text
    group.find_element(By.LINK_TEXT, "Show the jobs").click()
    browser.wait_until(lambda: "q=" in browser.driver.current_url, 30)

    assert str(len(browser.all("tbody tr"))) == count


def test_a_provider_is_paused_and_resumed_with_a_reason(browser: Browser) -> None:
    browser.login()
    browser.open("/providers")
    browser.find("#r-evolink").send_keys("they answer 500", Keys.ENTER)
    browser.wait_until(lambda: "they answer 500" in browser.text("#evolink"), 30)

    assert "by all: they answer 500" in browser.text("#evolink")
    browser.find("#evolink .inline button").click()
    browser.wait_until(lambda: "taking jobs" in browser.text("#evolink"), 30)
    browser.open("/system")
    assert "they answer 500" in browser.text(".activity")


def test_the_gallery_plays_a_take_on_hover_and_on_focus(browser: Browser) -> None:
    browser.login()
    browser.open("/gallery")
    browser.wait_until(lambda: browser.run("return document.querySelector('.take video').readyState >= 1"), 30)

    browser.find(".take a").send_keys("")
    browser.run("document.querySelector('.take a').focus()")

    browser.wait_until(lambda: browser.run("return document.querySelector('.take video').currentTime") > 0, 30)
    browser.run("document.activeElement.blur()")
    browser.wait_until(lambda: browser.run("return document.querySelector('.take video').paused"), 30)


def test_videos_out_of_view_are_not_asked_for(browser: Browser) -> None:
    browser.look(1280, "light", height=500)
    browser.login()
    browser.open("/gallery")
    browser.wait_until(lambda: browser.run("return document.querySelector('.take video').readyState >= 1"), 30)

    asked = [url for url in browser.asked() if "/videos/" in url]

    assert 0 < len(asked) < len(browser.all(".take"))


def test_reduced_motion_keeps_takes_still(browser: Browser) -> None:
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.login()
    browser.open("/gallery")
    browser.wait_until(lambda: browser.run("return document.querySelector('.take video').readyState >= 1"), 30)

    browser.run("document.querySelector('.take a').focus()")

    assert browser.run("return document.querySelector('.take video').paused")


def test_an_act_is_told_with_its_price_then_done_with_a_reason(browser: Browser, scene: Scene) -> None:
    scene.accept("to-cancel", "evolink", ago=1000)
    browser.login()
    browser.open("/jobs/to-cancel")
    browser.find(".deeds a[href$=cancel]").click()
    browser.wait_until(lambda: browser.driver.current_url.endswith("/cancel"), 30)
    assert "This would happen" in browser.text("main")
    assert "callsheet cancel to-cancel" in browser.text("#command")
    assert "/v1/jobs/to-cancel/cancel" in browser.text("#curl")
    assert scene.store.jobs.get("to-cancel").state is JobState.ACCEPTED  # type: ignore[union-attr]

    browser.find("#reason").send_keys("no longer wanted")
    browser.find(".confirm button").click()

    browser.wait_until(lambda: "Done" in browser.text("h2"), 30)
    assert scene.store.jobs.get("to-cancel").state is JobState.CANCELLED  # type: ignore[union-attr]
    assert scene.store.history.entries("to-cancel")[-1].reason == "no longer wanted"


def test_paying_once_more_needs_a_tick_and_says_the_sum(browser: Browser, scene: Scene) -> None:
    scene.accept("pay-twice", "evolink", ago=2000)
    scene.submit("pay-twice")
    scene.close(scene.fail("pay-twice", FAILURES[0]))
    browser.login()
    browser.open("/jobs/pay-twice/retry")
    assert "$0.56 once more" in browser.find(".verdict").text
    browser.find(".confirm button").click()
    assert scene.store.jobs.get("pay-twice").attempt == 1  # type: ignore[union-attr]

    browser.find("input[name=pay_again]").click()
    browser.find(".confirm button").click()

    browser.wait_until(lambda: "Done" in browser.text("h2"), 30)
    assert scene.store.jobs.get("pay-twice").attempt == 2  # type: ignore[union-attr]


def test_an_act_on_a_job_that_has_moved_on_is_shown_again(browser: Browser, scene: Scene) -> None:
    scene.accept("moves-on", "evolink", ago=1000)
    browser.login()
    browser.open("/jobs/moves-on/cancel")
    scene.submit("moves-on")

    browser.find(".confirm button").click()

    browser.wait_until(lambda: "has moved on" in browser.text("main"), 30)
    assert "too late" in browser.text("main")
    browser.complaints()  # the status 409 is told in the console, and meant


def test_the_doctor_answers_on_a_page(browser: Browser, stage: Stage) -> None:
    browser.login()
    browser.open("/system")
    browser.find('.head a[href="/system/doctor"]').click()

    browser.wait_until(lambda: browser.all(".findings li"), 60)

    assert len(browser.all(".findings li")) > 5


def test_a_token_that_may_only_read_is_offered_no_act(browser: Browser) -> None:
    from tests.integration.console.conftest import SECRETS

    browser.login(SECRETS["read"])

    for path in ("/", "/jobs/spot-1000", "/attention", "/failures", "/providers"):
        browser.open(path)
        assert browser.all("main form[method=post] button, .deeds, main input[type=checkbox]") == [], path
    browser.open("/jobs/take-1003")
    assert browser.all("main video") == []
    assert "corgi" not in browser.text("main").lower()


def test_a_page_of_ours_is_shown_in_no_frame(browser: Browser, stage: Stage) -> None:
    browser.login()
    browser.open("/login")

    browser.run(
        "const f = document.createElement('iframe'); f.src = '/'; f.id = 'trap'; document.body.append(f);"
        "window.loaded = false; f.onload = () => { window.loaded = true }"
    )
    browser.wait_until(lambda: browser.run("return window.loaded"), 30)

    assert browser.run("try { return document.querySelector('#trap').contentDocument } catch { return null }") is None
    assert any("frame" in line.lower() for line in browser.complaints())


FAINT = """
const numbers = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
const parse = (text) => {
  const n = numbers(text), by = text.startsWith('color(srgb') ? 255 : 1;
  return [n[0] * by, n[1] * by, n[2] * by, n[3] ?? 1];
};
const linear = (v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
const chain = (node) => (node ? [...chain(node.parentElement), node] : []);
const ground = (node) => chain(node).map((n) => parse(getComputedStyle(n).backgroundColor))
  .reduce((under, top) => over(top, under), [255, 255, 255]);
const faint = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const text = walker.currentNode.textContent.trim(), node = walker.currentNode.parentElement;
  if (!text || !node.checkVisibility() || node.closest('script, .skip, .unseen, video, noscript')) continue;
  if (chain(node).some((n) => getComputedStyle(n).opacity !== '1')) continue;
  const style = getComputedStyle(node), under = ground(node);
  const ink = over(parse(node.closest('svg') ? style.fill : style.color), under);
  const [a, b] = [light(ink), light(under)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
  const size = parseFloat(style.fontSize), isBold = Number(style.fontWeight) >= 700;
  const least = size >= 24 || (size >= 18.66 && isBold) ? 3 : 4.5;
  if (ratio < least) faint.push(`${text.slice(0, 30)}: ${ratio.toFixed(2)}`);
}
return faint.slice(0, 10);
"""
