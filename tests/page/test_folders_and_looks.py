"""The page in a browser: folders, a preferred source, documents of a job, and looks that a system asks for."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from actors.demo.page import API
from protocol.model.source_url import slsk_url
from tests.page.conftest import World
from tests.page.test_page import SLOW, expect, expect_state, held, opened


def folder_of(world: World, user: str = "ann") -> str:
    """The remote folder of a user's file."""
    term = world.network.term.replace(" ", "%20")
    found = world.daemon.ask("GET", f"{API}/search?searchText={term}&searchTimeout=1500")
    holders = [holder for target in found["targets"] for holder in target["sources"]]
    path: str = next(holder["fullPath"] for holder in holders if holder["username"] == user)
    return path.rpartition("\\")[0]


def test_a_folder_is_added_watched_paused_and_taken_back(page: Any, world: World) -> None:
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_label("Addresses, one a line").fill(slsk_url("ann", folder_of(world) + "\\"))
    expect(page.get_by_label("also the folders below")).to_be_visible()
    page.get_by_label("Limit, a second").fill("20 KB")
    page.get_by_role("dialog").get_by_role("button", name="Add", exact=True).click()
    page.get_by_text(re.compile("Ordered: 5 files")).wait_for()
    page.get_by_role("navigation").get_by_role("link", name="Folders").click()
    row = page.locator(".match.folder")
    expect(row).to_contain_text("from ann")
    row.get_by_role("link").click()
    expect(page.locator(".row .what a")).to_have_count(5)
    page.get_by_role("button", name="Pause", exact=True).click()
    held(page)
    expect(page.locator(".row .state.paused, .row .state.sealed")).to_have_count(5)  # one has 20 KB only
    assert page.locator(".row .state.paused").count() > 2
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".row .state.paused")).to_have_count(0)
    page.get_by_role("searchbox").fill("Tide.mp3")
    expect(page.locator(".row .what a")).to_have_count(1)
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator(".row .state.cancelled")).to_have_count(1)
    page.get_by_role("navigation").get_by_role("link", name="Jobs").click()
    expect(page.get_by_role("searchbox")).to_have_value("")


def test_a_user_is_preferred_and_no_longer(page: Any, world: World) -> None:
    id = world.swarm(**SLOW)
    opened(page, id)
    page.get_by_role("button", name="Prefer eva").click()
    held(page)
    expect(page.get_by_role("row").filter(has_text="eva").first).to_contain_text("preferred")
    assert {one["username"]: one["preferred"] for one in world.job(id)["sources"]}["eva"]
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".badge")).to_have_count(0)
    expect(page.locator(".timeline")).to_contain_text("Source preferred: eva")
    assert not any(one["preferred"] for one in world.job(id)["sources"])


def test_manifest_and_metalink_of_a_job_are_downloaded(page: Any, world: World) -> None:
    order = {"filename": "a&b.bin", "fileSize": 9, "sources": [{"url": "http://127.0.0.1:9/a.bin"}]}
    id = world.daemon.ask("POST", f"{API}/download", order)["id"]
    page.goto(f"{page.url.split('#')[0]}#/job/{id}")
    with page.expect_download() as asked:
        page.get_by_role("link", name="Metalink").click()
    text = asked.value.path().read_text()
    assert 'name="a&amp;b.bin"' in text
    assert '<url priority="1">http://127.0.0.1:9/a.bin</url>' in text
    with page.expect_download() as asked:
        page.get_by_role("link", name="Manifest").click()
    assert json.loads(asked.value.path().read_text())["id"] == id


def test_dropped_files_and_text_are_read_into_the_order(page: Any, world: World) -> None:
    page.evaluate(
        """() => { const data = new DataTransfer();
        data.items.add(new File(['# mine\\nhttp://127.0.0.1:9/x.bin\\n'], 'list.txt', { type: 'text/plain' }));
        const like = { dataTransfer: data, bubbles: true, cancelable: true };
        for (const kind of ['dragover', 'drop'])
          document.querySelector('main').dispatchEvent(new DragEvent(kind, like)); }"""
    )
    expect(page.get_by_label("Addresses, one a line")).to_have_value(re.compile(r"http://127\.0\.0\.1:9/x\.bin"))
    page.get_by_role("dialog").get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".row .what a")).to_have_text("x.bin")


def metalink(name: str) -> str:
    return (
        f'<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="{name}"><size>7</size>'
        f"<url>http://127.0.0.1:9/{name}</url></file></metalink>"
    )


def test_several_metalinks_and_lists_are_dropped_at_once_and_none_is_ordered_twice(page: Any, world: World) -> None:
    files = {
        "one.meta4": metalink("one.iso"),
        "two.metalink": metalink("two.iso"),
        "broken.meta4": "<metalink xmlns='urn:ietf:params:xml:ns:metalink'><file",
        "first.txt": "http://127.0.0.1:9/a.bin\n",
        "second.txt": "# from here\nhttp://127.0.0.1:9/b.bin",
    }
    page.evaluate(
        """(files) => { const data = new DataTransfer();
        for (const [name, text] of Object.entries(files)) data.items.add(new File([text], name));
        for (const kind of ['dragover', 'drop'])
          document.querySelector('main').dispatchEvent(
            new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true })); }""",
        files,
    )
    dialog = page.get_by_role("dialog")
    for name in ("one.meta4", "one.iso", "two.metalink", "two.iso", "broken.meta4"):
        expect(dialog.get_by_text(name, exact=True)).to_be_visible()
    expect(dialog.get_by_label("a file each")).to_be_checked()  # they have different names
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("broken.meta4: document: not XML")
    expect(dialog.get_by_text("one.meta4")).to_have_count(0)
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("not XML")
    dialog.get_by_role("button", name="Remove broken.meta4").click()
    dialog.get_by_role("button", name="Close").click()
    expect(page.locator(".row .what a")).to_have_count(4)
    jobs = sorted(job["name"] for job in world.daemon.ask("GET", f"{API}/jobs"))
    assert jobs == ["a.bin", "b.bin", "one.iso", "two.iso"]


def test_the_network_view_tells_searches_left_shares_and_uploads(page: Any, world: World) -> None:
    page.get_by_role("navigation").get_by_role("link", name="Network").click()
    expect(page.get_by_role("region", name="Soulseek")).to_contain_text(re.compile(r"\d+ of 34 left in 3 min 40 s"))
    expect(page.get_by_role("region", name="Shared by us")).to_contain_text(re.compile(r"\d+ files?"))
    expect(page.get_by_role("region", name="Uploads")).to_be_visible()
    page.get_by_label("Limit of all jobs, a second").fill("3 MiB")
    page.get_by_role("button", name="Set the limit").click()
    held(page)
    page.get_by_text("The limit is set").wait_for()
    assert world.daemon.ask("GET", f"{API}/limit")["limit"] == 3 << 20
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_label("Limit of all jobs, a second")).to_have_value("")


def test_limits_by_the_time_of_the_week_are_set_and_outlive_the_daemon(page: Any, world: World) -> None:
    page.get_by_role("navigation").get_by_role("link", name="Network").click()
    expect(page.get_by_role("region", name="Rate")).to_contain_text("at all times: no limit")
    page.get_by_role("button", name="Change the schedule").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Add a line").click()
    dialog.get_by_role("button", name="Sun").click()
    dialog.get_by_label("To").fill("06:30")
    dialog.get_by_label("Limit, a second").fill("nonsense")
    expect(dialog.get_by_role("button", name="Set the schedule")).to_be_disabled()
    dialog.get_by_label("Limit, a second").fill("2 MiB")
    dialog.get_by_role("button", name="Set the schedule").click()
    expect(page.get_by_role("region", name="Rate")).to_contain_text(re.compile("Sat 08:00.06:30: 2.0 MiB/s"))
    world.stop()
    world.start()
    window = {"days": [0, 1, 2, 3, 4, 5], "beginMinute": 480, "endMinute": 390, "limit": 2 << 20}
    assert world.daemon.ask("GET", f"{API}/limit")["schedule"] == [window]
    page.get_by_role("button", name="Change the schedule").click()
    dialog.get_by_role("button", name="As configured").click()
    expect(page.get_by_role("region", name="Rate")).to_contain_text("at all times: no limit")
    assert world.daemon.ask("GET", f"{API}/limit")["schedule"] == []


COLOURS = """() => { const canvas = document.querySelector('.map canvas');
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data, seen = new Set();
  for (let at = 0; at < data.length; at += 4)
    if (data[at + 3] === 255) seen.add([data[at], data[at + 1], data[at + 2]].join());
  return [...seen]; }"""


def test_with_forced_colours_the_map_is_reported_by_its_patterns(new_page: Any, world: World) -> None:
    page = opened(new_page(forced_colors="active"), world.swarm(**SLOW))
    page.locator(".legend li:not(.kind)").nth(1).wait_for()
    page.wait_for_timeout(500)
    colours = [tuple(map(int, each.split(","))) for each in page.evaluate(COLOURS)]
    assert all(max(each) - min(each) < 12 for each in colours), "the colours of a sender are not the system's"
    kept = """() => [...document.querySelectorAll('.state')].map((one) => getComputedStyle(one, '::before'))
      .concat([...document.querySelectorAll('.bar i')].map((one) => getComputedStyle(one)))
      .map((one) => one.backgroundColor)"""
    assert set(page.evaluate(kept)) == {page.evaluate("getComputedStyle(document.body).color")}
    swatches = "() => [...document.querySelectorAll('.legend li:not(.kind) canvas')].map((one) => one.toDataURL())"
    drawn = page.evaluate(swatches)
    assert len(set(drawn)) == len(drawn) >= 2, "two senders look the same"
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.frame nav a[aria-current]')).outlineStyle") == "solid"
    )


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_nothing_moves_where_motion_is_not_wanted(new_page: Any, world: World, motion: Any) -> None:
    page = opened(new_page(reduced_motion=motion), world.swarm(**SLOW))
    page.get_by_role("button", name="Pause").click()
    page.locator(".toast").wait_for()
    moving = page.evaluate(
        """() => [...document.querySelectorAll('*')].filter((one) => { const style = getComputedStyle(one);
        return style.animationName !== 'none' || parseFloat(style.transitionDuration) > 0; }).length"""
    )
    assert (moving > 0) == (motion == "no-preference")


def test_the_menu_closes_by_escape_by_a_click_elsewhere_and_by_going_elsewhere(page: Any, world: World) -> None:
    menu = page.locator("details.menu > div")
    summary = page.get_by_label("More")
    ways: tuple[Callable[[], object], ...] = (
        lambda: page.keyboard.press("Escape"),
        lambda: page.locator("main").click(position={"x": 5, "y": 5}),
        lambda: page.evaluate("location.hash = '#/wishlist'"),
    )
    for leave in ways:
        summary.click()
        expect(menu).to_be_visible()
        leave()
        expect(menu).to_be_hidden()
    summary.click()
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_live_regions_do_not_chatter(page: Any, world: World) -> None:
    """While bytes come the figures change, and nothing of it is read out."""
    opened(page, world.swarm(**SLOW))
    page.locator(".legend li:not(.kind)").first.wait_for()
    page.wait_for_timeout(1500)
    page.evaluate(
        """() => { window.said = [];
        const kinds = '[role=status], [role=alert], [aria-live]';
        const live = (node) => (node.nodeType === 1 ? node : node.parentElement)?.closest(kinds);
        const heard = (one) => { if (live(one.target)) window.said.push(one.target.textContent); };
        new MutationObserver((changes) => changes.forEach(heard))
          .observe(document.body, { childList: true, subtree: true, characterData: true }); }"""
    )
    before = page.locator(".figures b").inner_text()
    expect(page.locator(".figures b")).not_to_have_text(before)
    assert page.evaluate("window.said") == []
    page.get_by_role("button", name="Pause").click()
    page.locator(".toast").wait_for()
    assert any("paused" in said for said in page.evaluate("window.said"))


def test_a_job_that_ends_behind_the_page_is_notified(blank_page: Any, world: World) -> None:
    page = blank_page(permissions=["notifications"])
    page.add_init_script(
        """window.shown = []; localStorage.setItem('notify', 'on');
        window.Notification = class { static permission = 'granted';
          constructor(text) { window.shown.push(text); } };"""
    )
    page.goto(world.link())
    page.get_by_role("navigation", name="Views").wait_for()
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => true, configurable: true })")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_timeout(500)
    id = world.swarm()
    expect_state(world, id, "sealed")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    until_s = time.monotonic() + 60
    while not page.evaluate("window.shown.length"):
        assert time.monotonic() < until_s, "nothing was notified"
        page.wait_for_timeout(100)
    assert page.evaluate("window.shown")[0].startswith("Complete: 01 - Tide")
