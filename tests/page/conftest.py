"""A browser, and a daemon with a small Soulseek network on this machine. Skipped where there is no Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.demo.content import Content
from actors.demo.page import CONFIG, DemoDaemon
from actors.demo.soulseek.behavior import Behavior
from actors.demo.soulseek.network import DemoNetwork
from actors.runtime.free_ports import free_ports

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CONTENT = Content(24 << 20, seed=77)
FILE = "01 - Tide.flac"
MEGABYTE = 1_000_000
WAIT_MS = 60_000
"""Patience with a busy machine: how long is waited for what must come."""
USERS = {
    "ann": Behavior(rate_bytes_s=1.2 * MEGABYTE, set_up_s=0.1),
    "ben": Behavior(rate_bytes_s=0.8 * MEGABYTE, set_up_s=0.1),
    "eva": Behavior(rate_bytes_s=0.6 * MEGABYTE, set_up_s=0.1),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here is long, and needs a browser."""
    reason = "" if CHROMIUM else "no Chromium here: apt-get install chromium"
    try:
        import playwright  # noqa: F401
    except ImportError:
        reason = "Playwright is not installed: pip install .[page]"
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.long)
            item.add_marker(pytest.mark.timeout(300))
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


class World:
    """A daemon and its network; `start` another one on the same port after `stop`."""

    def __init__(self, folder: Path, network: DemoNetwork) -> None:
        (self._port,) = free_ports(1)
        self.folder = folder
        self.network = network
        self.runs = False
        self.start()

    def start(self) -> None:
        place = {"host": self.network.server_host, "port": self.network.server_port, "api_port": self._port}
        self.daemon = DemoDaemon(self.folder, CONFIG.format(**place, folder=self.folder))
        try:
            self.daemon.ready()
            self.daemon.logged_in()
        except BaseException:
            self.daemon.close()  # no test has it yet, so no fixture would
            raise
        self.runs = True

    def stop(self) -> None:
        self.daemon.close()
        self.runs = False

    @property
    def url(self) -> str:
        return self.daemon.url

    def link(self) -> str:
        path: str = self.daemon.ask("POST", "/api/v0/multisource/session/link")["path"]
        return self.url + path

    def swarm(self, **changes: Any) -> str:
        order = {"filename": self.network.term, "size": CONTENT.size, **changes}
        id: str = self.daemon.ask("POST", "/api/v0/multisource/swarm", order)["id"]
        return id

    def job(self, id: str) -> Any:
        return self.daemon.ask("GET", f"/api/v0/multisource/jobs/{id}?chunkMap=false")

    def forget(self) -> None:
        """No job is left."""
        jobs = self.daemon.ask("GET", "/api/v0/multisource/jobs?removed=true")
        ids = [job["id"] for job in jobs]
        if ids:
            for action in ("cancel", "delete"):
                self.daemon.ask("POST", "/api/v0/multisource/bulk", {"action": action, "ids": ids})


@pytest.fixture(scope="session")
def network() -> Iterator[DemoNetwork]:
    with DemoNetwork(USERS, CONTENT, FILE) as network:
        yield network


@pytest.fixture(scope="module")
def daemon(network: DemoNetwork, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("world"), network)
    yield world
    world.stop()


@pytest.fixture
def world(daemon: World) -> Iterator[World]:
    """The module's world. No test leaves a job or a file to the next one, however it ends."""
    yield daemon
    if not daemon.runs:
        daemon.start()
    daemon.forget()
    for file in (daemon.folder / "downloads").glob("01*"):
        file.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def blank_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Makes empty pages, each in a context of its own. All are closed, and a fault in one fails the test."""
    contexts: list[Any] = []
    faults: list[list[str]] = []

    def make(**options: Any) -> Any:
        context = chromium.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        faults.append(watched(page))
        return page

    yield make
    for context in contexts:
        context.close()
    assert not any(faults), faults


@pytest.fixture
def new_page(blank_page: Callable[..., Any], world: World) -> Callable[..., Any]:
    """Makes pages that are logged in."""

    def make(**options: Any) -> Any:
        page = blank_page(**options)
        page.goto(world.link())
        page.locator(".frame nav").wait_for()
        return page

    return make


@pytest.fixture
def page(new_page: Callable[..., Any]) -> Any:
    """A page in English that is logged in."""
    return new_page(locale="en-GB", viewport={"width": 1280, "height": 800})


def watched(page: Any) -> list[str]:
    """The page's faults from now on: exceptions, and what its policy forbade."""
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))

    def said(message: Any) -> None:
        text = message.text
        if message.type == "error" and ("Content Security" in text or "Trusted" in text or "TrustedHTML" in text):
            faults.append(text)

    page.on("console", said)
    return faults
