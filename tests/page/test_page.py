"""The page in a browser, against a real daemon on a network in a box."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from actors.demo.page import API
from tests.page.conftest import CONTENT, WAIT_MS, World

PICTURES = bool(os.environ.get("SHOAL_PICTURES"))
"""Whether the README's picture is made again, ``tests/page/job.png``."""
SLOW = {"limit": 120_000}
"""A job of 200 s: it outlasts each test, on a busy machine too."""


def expect(locator: Any) -> Any:
    from playwright.sync_api import expect

    expect.set_options(timeout=WAIT_MS)
    return expect(locator)


def expect_state(world: World, id: str, state: str) -> None:
    """Wait for a job's state."""
    until_s = time.monotonic() + 60
    while world.job(id)["state"] != state:
        assert time.monotonic() < until_s, world.job(id)
        time.sleep(0.2)


def held(page: Any) -> None:
    """Have the notice stay until something else is in focus: otherwise it is gone after six seconds."""
    page.get_by_role("button", name="Undo").focus()


def opened(page: Any, id: str) -> Any:
    page.goto(f"{page.url.split('#')[0]}#/job/{id}")
    page.get_by_role("slider", name="Map of the file").wait_for()
    return page


def reading(page: Any) -> str:
    text: str = page.get_by_role("slider", name="Map of the file").get_attribute("aria-valuetext")
    return text


def picture(page: Any) -> None:
    """Make the README's picture of a job that is half done."""
    page.set_viewport_size({"width": 960, "height": 640})
    expect(page.locator(".figures b")).to_have_text(re.compile(r"^[5-9]\d"), timeout=20_000)
    expect(page.locator(".toast")).to_have_count(0)
    page.evaluate("document.querySelector('.job header p').textContent = 'downloads/01 - Tide.flac'")
    page.screenshot(path=Path(__file__).parent / "job.png")


def senders(page: Any) -> set[str]:
    """Who sent what is stored, as the map's table says."""
    details = page.get_by_text("The map as a table")
    if not page.get_by_role("group", name="The map as a table").count():
        details.click()
    rows = page.get_by_role("group", name="The map as a table").locator("tbody tr").all_inner_texts()
    return {row.split("\t")[3] for row in rows if row.split("\t")[2] == "stored"}


def test_a_key_opens_the_page_and_a_wrong_one_does_not(blank_page: Any, world: World) -> None:
    page = blank_page(locale="en-GB")
    page.goto(world.url)
    page.get_by_label("API key").fill("not the key that opens it")
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("This key opens nothing.")
    page.get_by_label("API key").fill((world.folder / "state" / "api-key").read_text().strip())
    page.get_by_role("button", name="Log in", exact=True).click()
    page.get_by_role("navigation", name="Views").wait_for()
    (cookie,) = page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert page.evaluate("document.cookie") == ""
    page.get_by_label("More").click()
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("API key").wait_for()
    page.reload()
    page.get_by_label("API key").wait_for()


def test_a_link_logs_in_once(blank_page: Any, world: World) -> None:
    link = world.link()
    for name in ("Jobs", "API key"):
        page = blank_page()
        page.goto(link)
        page.get_by_role("link", name="Jobs").or_(page.get_by_label("API key")).first.wait_for()
        assert page.get_by_text(name, exact=True).first.is_visible()
        assert "login" not in page.url


def test_search_start_and_watch_the_map_fill_from_more_than_one_user(page: Any, world: World) -> None:
    page.get_by_role("navigation").get_by_role("link", name="Search").click()
    page.get_by_label("Words to search for").fill(world.network.term)
    page.keyboard.press("Enter")
    match = page.locator(".match").filter(has_text="24.0 MiB")
    expect(match).to_contain_text("3 users")
    match.get_by_role("button", name="Download").click()
    page.get_by_role("slider", name="Map of the file").wait_for()
    page.locator(".legend li:not(.kind)").nth(1).wait_for()
    if PICTURES:
        picture(page)
    page.reload()  # in the middle
    page.get_by_role("slider", name="Map of the file").wait_for()
    expect(page.locator(".figures .state")).to_have_text("Complete", timeout=60_000)
    assert len(senders(page)) > 1
    (id,) = re.findall(r"job/([^/]+)", page.url)
    identity = world.job(id)["identity"]
    assert (identity["kind"], identity["groups"]) == ("overlap", 1), identity
    expect(page.locator(".claim")).to_have_text(identity["text"])
    expect(page.locator(".legend")).to_contain_text("two sources agree")
    place = identity["agreedChunks"][0] * world.job(id)["chunkSize"] / CONTENT.size
    expect(page.get_by_role("group", name="The map as a table")).to_contain_text("agree")
    box = page.locator(".map canvas").bounding_box()
    rows = int((box["height"] + 6) // 28)
    at = place * rows
    page.mouse.move(box["x"] + (at - int(at)) * box["width"] + 1, box["y"] + int(at) * 28 + 10)
    expect(page.locator(".reading")).to_contain_text(re.compile("checks? agree"))
    (file,) = (world.folder / "downloads").glob("01 - Tide*.flac")
    assert CONTENT.matches(file)


def test_a_job_is_paused_goes_on_and_undo_takes_it_back(page: Any, world: World) -> None:
    id = world.swarm(**SLOW)
    opened(page, id)
    page.get_by_role("button", name="Pause").click()
    held(page)
    expect(page.locator(".figures .state")).to_have_text("Paused")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".figures .state")).not_to_have_text("Paused")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".figures .state")).to_have_text("Paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".figures .state")).to_have_text(re.compile("Downloading|Opening|Searching"))


def test_a_user_is_banned_and_dropped_from_the_table(page: Any, world: World) -> None:
    id = world.swarm(**SLOW)
    opened(page, id)
    page.get_by_role("button", name="Ban ben").click()
    row = page.get_by_role("row").filter(has_text="ben").first
    expect(row).to_contain_text("Banned")
    page.get_by_role("button", name="Drop eva").click()
    expect(page.get_by_role("row").filter(has_text="eva").first).to_contain_text("Dropped")
    states = {source["username"]: source["standing"] for source in world.job(id)["sources"]}
    assert (states["ben"], states["eva"]) == ("banned", "dropped")
    page.get_by_role("button", name="Use ben again").click()
    expect(row).not_to_contain_text("Banned")
    page.get_by_role("button", name="Undo").last.click()
    expect(page.get_by_role("row").filter(has_text="eva").first).not_to_contain_text("Dropped")


def test_many_jobs_at_once(page: Any, world: World) -> None:
    for number in range(3):
        order = {
            "filename": f"part {number}.bin",
            "fileSize": None,
            "sources": [{"url": f"http://127.0.0.1:9/{number}"}],
        }
        world.daemon.ask("POST", f"{API}/download", order)
    expect(page.locator(".row .what a")).to_have_count(3)
    page.get_by_role("checkbox", name="Choose all").click()
    expect(page.get_by_role("region", name="Chosen jobs")).to_contain_text("3 chosen")
    page.get_by_role("region", name="Chosen jobs").get_by_role("button", name="Cancel").click()
    expect(page.locator(".row .state.cancelled")).to_have_count(3)
    page.get_by_role("searchbox").fill("part 1")
    expect(page.locator(".row .what a")).to_have_count(1)
    page.get_by_role("searchbox").fill("")
    page.get_by_role("combobox", name="Order").select_option("name")
    expect(page.locator(".row .what a").first).to_have_text("part 0.bin")
    page.get_by_role("button", name="Failed").click()
    expect(page.get_by_text("No job is like this.")).to_be_visible()


def test_a_notice_that_is_pointed_at_stays_and_what_is_undone_stays_undone(page: Any, world: World) -> None:
    order = {"filename": "a.bin", "fileSize": None, "sources": [{"url": "http://127.0.0.1:9/a"}]}
    id = world.daemon.ask("POST", f"{API}/download", order)["id"]
    world.daemon.ask("POST", f"{API}/jobs/{id}/cancel")
    expect(page.locator(".row .state.cancelled")).to_have_count(1)
    page.get_by_role("checkbox", name="Choose all").click()
    page.get_by_role("button", name="Remove").click()
    page.locator(".toast").hover()
    page.wait_for_timeout(7000)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".toast")).to_have_count(0)
    page.wait_for_timeout(7000)
    assert world.job(id)["state"] == "cancelled"


def test_jobs_are_added_by_addresses_and_by_a_metalink_file(page: Any, world: World, tmp_path: Path) -> None:
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_label("Addresses, one a line").fill("http://127.0.0.1:9/a.bin\nhttp://127.0.0.1:9/b.bin")
    page.get_by_label("a file each").check()
    metalink = tmp_path / "c.meta4"
    metalink.write_text(
        '<?xml version="1.0"?><metalink xmlns="urn:ietf:params:xml:ns:metalink">'
        '<file name="c &amp; d.bin"><size>7</size>'
        f'<hash type="sha-256">{"ab" * 32}</hash><url>http://127.0.0.1:9/c.bin</url></file></metalink>'
    )
    page.locator("input[type=file]").set_input_files(metalink)
    page.get_by_text("c & d.bin").wait_for()
    page.get_by_role("dialog").get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".row .what a")).to_have_count(3)
    jobs = {job["name"]: job for job in world.daemon.ask("GET", f"{API}/jobs")}
    assert set(jobs) == {"a.bin", "b.bin", "c & d.bin"}
    assert jobs["c & d.bin"]["checksum"] == f"sha256:{'ab' * 32}"


def test_the_page_comes_back_when_the_daemon_is_restarted(page: Any, world: World) -> None:
    id = world.swarm(**SLOW)
    opened(page, id)
    world.stop()
    page.get_by_text("The daemon does not answer; trying again.").wait_for()
    world.start()
    expect(page.get_by_text("The daemon does not answer; trying again.")).to_have_count(0, timeout=40_000)
    expect(page.locator(".figures .state")).to_have_text(re.compile("Downloading|Verifying|Opening|Searching"))


def test_everything_can_be_done_with_the_keyboard(page: Any, world: World) -> None:
    id = world.swarm(**SLOW)
    expect(page.locator(".row .what a")).to_have_count(1)
    page.locator("body").press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('role')") == "grid":
            break
    page.keyboard.press(" ")
    expect(page.get_by_role("region", name="Chosen jobs")).to_contain_text("One chosen")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.get_by_role("slider", name="Map of the file").wait_for()
    assert id in page.url
    for _ in range(40):
        if page.evaluate("document.activeElement.getAttribute('role')") == "slider":
            break
        page.keyboard.press("Tab")
    page.locator(".legend li:not(.kind)").first.wait_for()
    page.keyboard.press("Home")
    first = reading(page)
    expect(page.locator(".reading code")).to_have_text(re.compile("^[0-9a-f]{32}$"))
    page.keyboard.press("ArrowRight")
    assert reading(page) != first
    assert re.match(r"0 B to .*", first)
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


@pytest.mark.parametrize("width", [320, 390, 3840])
def test_it_fits_phones_and_walls(page: Any, world: World, width: int) -> None:
    id = world.swarm(**SLOW)
    page.set_viewport_size({"width": width, "height": 800 if width < 1000 else 2000})
    start = page.url.split("#")[0]
    for view in ("jobs", "folders", f"job/{id}", "search", "wishlist", "network"):
        page.goto(f"{start}#/{view}")
        page.locator("main h1, .figures").first.wait_for(state="attached")
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, view
        small = page.evaluate(
            """[...document.querySelectorAll('button, select, summary, input, nav a, a.button')]
               .filter((one) => one.checkVisibility() && !one.closest('.unseen') && !one.classList.contains('unseen'))
               .map((one) => [one.getBoundingClientRect(), one.outerHTML.slice(0, 80)])
               .filter(([box]) => box.width && (box.width < 23.5 || box.height < 23.5)).map(([, html]) => html)"""
        )
        assert not small, (view, small)


def test_a_wish_is_searched_for_and_becomes_a_job(page: Any, world: World) -> None:
    page.get_by_role("link", name="Wishlist").click()
    page.get_by_label("Words to wish for").fill(world.network.term)
    page.get_by_label("download it when it is found").check()
    page.get_by_role("button", name="Wish", exact=True).click()
    expect(page.locator(".wishes li")).to_contain_text(world.network.term)
    page.get_by_role("link", name="Its job").click(timeout=90_000)
    page.get_by_role("slider", name="Map of the file").wait_for()
    page.get_by_role("link", name="Wishlist").click()
    page.get_by_role("button", name=f"Remove {world.network.term}").click()
    page.get_by_text("Nothing is wished for.").wait_for()


HOSTILE = (
    '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>.bin',
    "\u202egpj.exe\u202c \u200b\u2066x.bin",
    "x" * 3000 + ".bin",
    "'\"><style>*{display:none}</style>{{constructor.constructor('window.harmed=1')()}}.bin",
)


def test_hostile_names_are_only_text(page: Any, world: World) -> None:
    ids = []
    for number, name in enumerate(HOSTILE):
        order = {"filename": name, "fileSize": None, "sources": [{"url": f"http://127.0.0.1:9/{number}"}]}
        ids.append(world.daemon.ask("POST", f"{API}/download", order)["id"])
    expect(page.locator(".row .what a")).to_have_count(len(HOSTILE))
    start = page.url.split("#")[0]
    for view in ("jobs", *(f"job/{id}" for id in ids)):
        page.goto(f"{start}#/{view}")
        page.locator("main bdi").first.wait_for()
        made = "document.querySelectorAll('#app script, #app style, bdi img, bdi b, a b, h1 img').length"
        assert page.evaluate(made) == 0
    assert page.evaluate("window.harmed") is None
    page.goto(f"{start}#/job/{ids[1]}")
    expect(page.locator("h1")).to_contain_text("U+200B")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(blank_page: Any, world: World, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = blank_page(color_scheme=scheme, bypass_csp=True)
    page.goto(world.url)
    page.get_by_label("API key").wait_for()
    found = {"login": Axe().run(page).response["violations"]}
    id = world.swarm(**SLOW)
    page.goto(world.link())
    page.get_by_role("navigation", name="Views").wait_for()
    start = page.url.split("#")[0]
    for view in ("jobs", "folders", f"job/{id}", "search", "wishlist", "network"):
        page.goto(f"{start}#/{view}")
        page.locator("main h1, .figures").first.wait_for(state="attached")
        page.wait_for_timeout(1200)
        found[view] = Axe().run(page).response["violations"]
    page.goto(f"{start}#/jobs")
    page.get_by_role("button", name="Add", exact=True).click()
    found["adding"] = Axe().run(page).response["violations"]
    page.keyboard.press("Escape")
    page.get_by_label("More").click()
    found["more"] = Axe().run(page).response["violations"]
    for place, button in ((f"job/{id}", "Limit…"), (f"job/{id}", "Add sources"), ("network", "Change the schedule")):
        page.goto(f"{start}#/{place}")
        page.get_by_role("button", name=button).click()
        page.get_by_role("dialog").wait_for()
        found[button] = Axe().run(page).response["violations"]
        page.keyboard.press("Escape")
    page.goto(f"{world.url}/docs")
    page.get_by_role("heading", level=1).wait_for()
    page.locator("details.route").nth(3).locator("summary").first.click()
    found["docs"] = Axe().run(page).response["violations"]
    shown = {
        view: [
            (one["id"], node["html"][:120], node["failureSummary"][:200]) for one in violations for node in one["nodes"]
        ]
        for view, violations in found.items()
        if violations
    }
    assert not shown, shown


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_a_line_of_the_api_document_orders_a_job(page: Any, world: World) -> None:
    page.goto(f"{world.url}/docs")
    route = page.locator("details.route").filter(has_text="Fetch one file from sources that are named")
    route.locator("summary").first.click()
    line = route.locator("pre").inner_text()
    assert line.startswith("curl ")
    key = (world.folder / "state" / "api-key").read_text().strip()
    done = subprocess.run(
        ["bash", "-c", line], env={**os.environ, "KEY": key}, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["id"] in {job["id"] for job in world.daemon.ask("GET", f"{API}/jobs")}, done.stdout


def test_in_german_no_text_is_left_in_english(new_page: Any, world: World) -> None:
    id = world.swarm(**SLOW)
    page = new_page(locale="de-DE")
    page.get_by_role("link", name="Aufträge").wait_for()
    start = page.url.split("#")[0]
    for view in ("jobs", "folders", f"job/{id}", "search", "wishlist", "network"):
        page.goto(f"{start}#/{view}")
        page.wait_for_timeout(1000)
    missing = page.evaluate("import('/page/lib.js').then((lib) => [...lib.missing])")
    assert missing == []


def test_a_job_that_ends_while_the_page_is_hidden_is_seen_afterwards(new_page: Any, world: World) -> None:
    id = world.swarm(**SLOW)
    world.daemon.ask("POST", f"{API}/jobs/{id}/pause")
    expect_state(world, id, "paused")
    page = new_page()  # it heard of no event when it is hidden
    expect(page.locator(".row .state.paused")).to_have_count(1)
    asked: list[Any] = []
    answered: list[Any] = []
    page.on("request", lambda request: asked.append(request.url))
    for over in ("requestfinished", "requestfailed"):
        page.on(over, lambda request: answered.append(request.url))
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => true, configurable: true })")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    while Counter(asked) - Counter(answered):  # what was asked before may be answered after
        page.wait_for_timeout(50)
    world.daemon.ask("POST", f"{API}/jobs/{id}/cancel")
    expect_state(world, id, "cancelled")
    page.evaluate("(async () => { for (let n = 0; n < 30; n++) await new Promise(requestAnimationFrame); })()")
    assert page.locator(".row .state.cancelled").count() == 0
    page.evaluate("delete document.hidden")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator(".row .state.cancelled")).to_have_count(1)
