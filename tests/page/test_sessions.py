"""Sessions of the page: a key that may only read, two tabs of one session, and one that ends under an open page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from actors.demo.page import API, DemoDaemon
from tests.page.conftest import WAIT_MS
from tests.page.test_page import expect

KEY = "a-key-that-may-only-read"
CONFIG = f"""
[daemon]
state = "{{folder}}/state"
downloads = "{{folder}}/downloads"
allow_private_sources = true
[api]
port = 0
[[api.keys]]
name = "reader"
key = "{KEY}"
"""
GONE = {"filename": "gone.bin", "fileSize": None, "sources": [{"url": "http://127.0.0.1:9/gone.bin"}]}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoDaemon]:
    """A daemon without an account, with one job that waits for its source."""
    folder = tmp_path_factory.mktemp("sessions")
    daemon = DemoDaemon(folder, CONFIG.format(folder=folder))
    try:
        daemon.ready()
        daemon.ask("POST", f"{API}/download", GONE)
        yield daemon
    finally:
        daemon.close()


def link(daemon: DemoDaemon) -> str:
    return f"{daemon.url}{daemon.ask('POST', f'{API}/session/link')['path']}"


def test_a_key_that_may_only_read_sees_all_and_is_offered_nothing_that_changes(
    blank_page: Callable[..., Any], daemon: DemoDaemon
) -> None:
    page = blank_page(locale="en-GB")
    page.goto(daemon.url)
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Log in", exact=True).click()
    page.get_by_role("link", name="gone.bin").click()
    expect(page.get_by_role("heading", name="Sources")).to_be_visible()
    expect(page.locator(".why")).to_contain_text("cannot connect")
    for name in ("Pause", "Cancel", "Add sources", "Limit…"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    for view, head in (("network", "Processes"), ("wishlist", "Wishlist"), ("search", "Search")):
        page.goto(f"{daemon.url}/#/{view}")
        expect(page.get_by_role("heading", name=head).first).to_be_attached()
        for name in ("Set the limit", "Log out of Soulseek", "Log in to Soulseek", "Add", "Wish"):
            expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)


def test_what_one_tab_does_the_other_shows_and_logged_out_in_one_is_logged_out_in_both(
    blank_page: Callable[..., Any], daemon: DemoDaemon
) -> None:
    page = blank_page(locale="en-GB")
    page.goto(link(daemon))
    page.get_by_role("link", name="gone.bin").wait_for()
    other = page.context.new_page()
    other.goto(daemon.url)
    other.get_by_role("link", name="gone.bin").click()
    other.get_by_role("button", name="Pause").click()
    row = page.locator(".row").filter(has_text="gone.bin")
    expect(row).to_contain_text("Paused", timeout=WAIT_MS)
    other.get_by_role("button", name="Resume").click()
    expect(row).not_to_contain_text("Paused", timeout=WAIT_MS)
    page.get_by_label("More").click()
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("API key").wait_for()
    other.get_by_label("API key").wait_for()
    other.get_by_label("API key").fill(KEY)
    other.get_by_role("button", name="Log in", exact=True).click()
    expect(other.get_by_role("heading", name="gone.bin")).to_be_visible()
