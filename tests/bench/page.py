"""Claims: the page is quick, small, and quiet when nothing happens.

    python -m tests.bench.page [paint|busy|list|quiet|lag ...]

`paint`: from an empty cache to the first paint, with the number and bytes of what is loaded. `busy`: 20 jobs with 50
sources each report five times a second, one of them is open with a map of a million chunks in 5 000 ranges: pictures a
second and the longest task that a frame waits for. `list`: 10 000 jobs in the store: opened, filtered, sorted. `quiet`:
heap after 10 000 events, and processor time of page and API when nothing changes. `lag`: from a chunk in the part file
to the pixel of the map. In Chromium, headless; the daemon of `busy` and of the events is played, the others are real.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped,unused-ignore]

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from actors.demo.content import Content
from actors.demo.mirrors.box import MirrorBox
from actors.demo.mirrors.mirror import Behavior
from protocol.http_api.gateway import GatewayInbox
from protocol.messages import EventOccurred, GetCounts, GetJob, GetManifest, ListEvents, ListJobs, ListWishes
from protocol.model.job_records import ManifestRange
from protocol.model.job_views import SourceView, details
from tests.bench import measuring
from tests.bench.api_load import CONFIG, fill
from tests.e2e.daemon.daemons import Daemon, running
from tests.e2e.program import Shoal
from tests.page.conftest import ARGUMENTS, CHROMIUM
from tests.protocol.http_api.fake_daemon import Played
from tests.protocol.http_api.rows import counts_row, job_row, source_row
from tests.protocol.http_api.serving import Api, answered, serving

CHUNK: Final = 128 * 1024
CHUNKS: Final = 1_000_000
RANGES: Final = 5_000
JOBS: Final = 20
SOURCES: Final = 50
FRAMES: Final = """
(() => {
  const seen = { frames: [], pictures: 0 };
  let last = performance.now();
  const frame = (now) => { seen.frames.push(now - last); last = now; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
  const figure = document.querySelector('.figures dd');
  new MutationObserver(() => seen.pictures++).observe(figure, { characterData: true, subtree: true, childList: true });
  window.seen = seen;
})()
"""


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextlib.contextmanager
def daemon_of(jobs: int = 0) -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        work = Path(folder, "work")
        work.mkdir()
        shoal = Shoal(work)
        if jobs:
            state = shoal.folder.parent / "state"
            state.mkdir(mode=0o700)
            fill(state / "jobs.sqlite", jobs)
        try:
            with running(shoal, config=CONFIG.format(active=4)) as daemon:
                yield daemon
        finally:
            shoal.clean_up()


def logged_in(browser: Any, url: str, daemon: Daemon | None = None) -> Any:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    link = daemon.client.post("/api/v0/multisource/session/link").json()["path"] if daemon else "/"
    page.goto(url + link)
    page.get_by_role("navigation").wait_for()
    return page


# first paint


def paint() -> bool:
    with daemon_of() as daemon, chromium() as browser:
        page = logged_in(browser, daemon.url, daemon)
        took, sizes = [], []
        for language in ("en",) * 5 + ("de",):
            page.evaluate(f"localStorage.setItem('language', '{language}')")
            network = page.context.new_cdp_session(page)
            network.send("Network.enable")
            network.send("Network.clearBrowserCache")
            loaded: list[str] = []
            count = loaded.append
            page.on("request", lambda request, count=count: count(request.url))
            page.reload()
            page.locator(".jobs").wait_for()
            page.wait_for_timeout(800)
            found = (
                "performance.getEntriesByType('paint').find((one) => one.name === 'first-contentful-paint').startTime"
            )
            took.append(float(page.evaluate(found)))
            bytes_ = "performance.getEntriesByType('resource').reduce((sum, one) => sum + one.decodedBodySize, 0)"
            document = "performance.getEntriesByType('navigation')[0].decodedBodySize"
            sizes.append((len(set(loaded)), int(page.evaluate(f"{bytes_} + {document}"))))
            network.detach()
        german_requests, german = sizes.pop()
        took.pop()
        requests, size = max(sizes)
        quick = measuring.verdict("first paint, ms (median of 5)", sorted(took)[2], at_most=300)
        few = measuring.verdict("requests until it is live", requests, at_most=12)
        few &= measuring.verdict("bytes until it is live, in German", german, at_most=100_000)
        few &= measuring.verdict("requests until it is live, in German", german_requests, at_most=13)
        print(f"load {os.getloadavg()[0]:.1f}; first paints {[round(each) for each in sorted(took)]}")
        return measuring.verdict("bytes until it is live", size, at_most=100_000) and quick and few


# much going on


class Busy(Played):
    """Jobs of which every report is another one; chance with a seed."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = 0
        chance = random.Random(7)
        edges = sorted(chance.sample(range(1, CHUNKS), RANGES))
        self.ranges = [
            ManifestRange(first=first, stop=stop - 1, source=chance.randrange(SOURCES), url="")
            for first, stop in zip([0, *edges], [*edges, CHUNKS], strict=True)
            if stop - first > 2
        ]
        self.jobs = [
            job_row(
                id=f"00000000-0000-4000-8000-{number:012}",
                name=f"file {number}.bin",
                size_bytes=CHUNKS * CHUNK,
                source_count=SOURCES,
            )
            for number in range(JOBS)
        ]

    def sources(self) -> tuple[SourceView, ...]:
        return tuple(
            source_row(
                number=number,
                url=f"https://mirror-{number}.example/file.bin",
                rate_bytes_s=1e5 + (self.turn * 7919 + number) % 50_000,
                bytes_stored=number * 1_000_000 + self.turn,
                lease_first=number * 20_000,
                lease_stop=number * 20_000 + 500 + self.turn % 100,
            )
            for number in range(SOURCES)
        )

    def __call__(self, to: str, message: Any) -> Iterable[GatewayInbox]:
        match message:
            case ListJobs(request=request):
                return answered(request, self.jobs, total=JOBS)
            case GetJob(request=request, id=id):
                job = next(job for job in self.jobs if job.id == id)
                job = job.but(stored_bytes=self.turn * CHUNK, rate_bytes_s=5e6 + self.turn * 200_000)
                return answered(request, details(job, self.sources(), ()))
            case GetManifest(request=request):
                at = self.turn % len(self.ranges)
                moved = self.ranges[at].but(stop=self.ranges[at].stop + 1)
                return answered(request, [*self.ranges[:at], moved, *self.ranges[at + 1 :]])
            case GetCounts(request=request):
                return answered(request, [counts_row(active=JOBS)])
            case ListWishes(request=request) | ListEvents(request=request):
                return answered(request)
        return super().__call__(to, message)


def report(api: Api, busy: Busy, ends: threading.Event) -> None:
    """Five reports a second of each job."""
    data = b'{"state":"active","phase":"riding","storedBytes":%d,"sizeBytes":131072000000,"rateBytesS":5e6,"leftS":9}'
    while not ends.wait(0.2):
        busy.turn += 1
        for job in busy.jobs:
            event = EventOccurred(
                serial=0, at_ms=1, kind="job.progressed", id=job.id, data=data % (busy.turn * 1_000_000)
            )
            api.say(event)


CATEGORIES: Final = ["toplevel", "devtools.timeline"]


def tasks(trace: bytes) -> list[tuple[float, float]]:
    """``(processor, wall)`` milliseconds of each task of the page's main thread, the longest first.

    A frame waits for the task before it. Beside other work the wall tells of that work too, the processor does not.
    """
    events = json.loads(trace)["traceEvents"]
    named = {(each["pid"], each["tid"]): each["args"]["name"] for each in events if each["name"] == "thread_name"}
    main = {thread for thread, name in named.items() if name == "CrRendererMain"}
    found = [
        (each.get("tdur", 0) / 1000, each["dur"] / 1000)
        for each in events
        if each["ph"] == "X" and each["name"].endswith("RunTask") and (each["pid"], each["tid"]) in main
    ]
    return sorted(found, reverse=True)


def busy(seconds: float = 15.0) -> bool:
    played, ends = Busy(), threading.Event()
    with serving(played) as api, chromium() as browser:
        reporting = threading.Thread(target=report, args=(api, played, ends), daemon=True)
        reporting.start()
        try:
            page = logged_in(browser, api.url)
            page.goto(f"{api.url}/#/job/{played.jobs[0].id}")
            page.locator(".figures b").wait_for()
            page.wait_for_timeout(3000)
            page.evaluate(FRAMES)
            browser.start_tracing(page=page, categories=CATEGORIES)
            page.wait_for_timeout(seconds * 1000)
            ran = tasks(browser.stop_tracing())
            seen = page.evaluate("window.seen")
        finally:
            ends.set()
            reporting.join()
    frames = sorted(seen["frames"][2:])
    print(
        f"load {os.getloadavg()[0]:.1f}; {len(frames)} frames, p99 {frames[int(len(frames) * 0.99)]:.0f} ms, ", end=""
    )
    print(f"longest {frames[-1]:.0f}; main thread {sum(cpu for cpu, _ in ran) / seconds / 10:.0f} % of a core")
    often = measuring.verdict("pictures a second, 1 000 000 chunks", seen["pictures"] / seconds, at_least=4)
    return measuring.verdict("longest task of the main thread, ms of processor", ran[0][0], at_most=50) and often


# many jobs

ROUNDS: Final = 5


def timed(page: Any, act: Any, until: str) -> float:
    """Milliseconds from the act until the page shows what `until`, an expression, waits for."""
    page.evaluate(
        """(until) => { window.took = new Promise((done) => { const begun = performance.now();
        const is = new Function('return ' + until);
        const end = () => done(performance.now() - begun);
        const look = () => requestAnimationFrame(is() ? end : look);
        look(); }); return 0; }""",
        until,
    )
    act()
    return float(page.evaluate("window.took"))


def many(jobs: int = 10_000) -> bool:
    good = True
    with daemon_of(jobs) as daemon, chromium() as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, bypass_csp=True)
        page = context.new_page()
        page.goto(daemon.url + daemon.client.post("/api/v0/multisource/session/link").json()["path"])
        first = "document.querySelector('.row:not(.head) a')?.textContent"
        page.wait_for_function(f"{first} === 'tide-{jobs - 1}.flac'")
        page.goto(f"{daemon.url}/#/network")
        page.locator(".network").wait_for()
        print(f"load {os.getloadavg()[0]:.1f}; the best of {ROUNDS} rounds")
        word = jobs // 2 + 17
        box = page.get_by_role("searchbox")
        acts = [
            ("opened", lambda: page.evaluate("location.hash = '#/jobs'"), f"{first} === 'tide-{jobs - 1}.flac'"),
            (
                "filtered by a word",
                lambda: box.fill(f"tide-{word}"),
                f"{first} === 'tide-{word}.flac' && document.querySelectorAll('.row a').length === 1",
            ),
            ("filter ended", lambda: box.fill(""), f"{first} === 'tide-{jobs - 1}.flac'"),
            (
                "filtered by state",
                lambda: page.get_by_role("button", name="Failed").click(),
                "document.querySelector('.row.failed')",
            ),
            ("all", lambda: page.get_by_role("button", name="All").click(), f"{first} === 'tide-{jobs - 1}.flac'"),
            ("sorted by name", lambda: page.get_by_label("Order").select_option("name"), f"{first} === 'tide-0.flac'"),
        ]
        took: dict[str, list[float]] = {name: [] for name, *_ in acts}
        for _ in range(ROUNDS):
            for name, act, until in acts:
                # typing is waited for during 200 ms before it is sent: no part of what is measured
                typing = 200 if name in ("filtered by a word", "filter ended") else 0
                took[name].append(timed(page, act, until) - typing)
            page.get_by_label("Order").select_option("newest")
            page.goto(f"{daemon.url}/#/network")
            page.locator(".network").wait_for()
        for name, times in took.items():
            good = measuring.verdict(f"{jobs} jobs {name}, ms", min(times), at_most=200) and good
    return good


# nothing going on


def heap(page: Any) -> int:
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    used: int = session.send("Runtime.getHeapUsage")["usedSize"]
    session.detach()
    return used


def quiet(events: int = 10_000, seconds: float = 20.0) -> bool:
    played = Busy()
    with serving(played) as api, chromium() as browser:
        page = logged_in(browser, api.url)
        page.locator(".row .what a").first.wait_for()

        def rounds(count: int) -> None:
            for turn in range(count // JOBS):
                for job in played.jobs:
                    data = b'{"state":"active","storedBytes":%d,"sizeBytes":131072000000,"rateBytesS":5e6,"leftS":9}'
                    api.say(EventOccurred(serial=0, at_ms=1, kind="job.progressed", id=job.id, data=data % turn))
                time.sleep(0.02)
            page.wait_for_timeout(1500)

        rounds(2000)
        before = heap(page)
        rounds(events)
        grown = 100 * (heap(page) - before) / before
        page.context.close()
    small = measuring.verdict(f"heap after {events} events, % more", grown, at_most=10)
    with daemon_of(200) as daemon, chromium() as browser:
        page = logged_in(browser, daemon.url, daemon)
        page.locator(".row .what a").first.wait_for()
        page.wait_for_timeout(3000)
        of_daemon = daemon.client.get("/api/v0/multisource/status").json()["processes"]
        (api_pid,) = (one["pid"] for one in of_daemon if one["name"] == "api")
        pids = [api_pid, *(one.pid for one in psutil.process_iter(["cmdline"]) if is_renderer(one))]

        def spent() -> float:
            return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)

        begun = spent()
        page.wait_for_timeout(seconds * 1000)
        cores = 100 * (spent() - begun) / seconds
        print(f"load {os.getloadavg()[0]:.1f}")
    return measuring.verdict("page and API when nothing changes, % of a core", cores, at_most=1) and small


def is_renderer(process: psutil.Process) -> bool:
    """Whether this is a renderer of our browser."""
    with contextlib.suppress(psutil.Error):
        ours = any(one.pid == psutil.Process().pid for one in process.parents())
        return ours and "--type=renderer" in " ".join(process.cmdline())
    return False


# from the disk to the pixel


def lag(chunks: int = 48) -> bool:
    content = Content(chunks * CHUNK, seed=11)
    slow = Behavior(rate_bytes_s=2.5 * CHUNK)
    with MirrorBox({"slow": slow}, content, "slow.bin") as box, daemon_of() as daemon, chromium() as browser:
        page = logged_in(browser, daemon.url, daemon)
        order = {"filename": "slow.bin", "fileSize": content.size, "sources": [{"url": url} for url in box.urls]}
        made = daemon.client.post("/api/v0/multisource/download", json=order).json()
        page.goto(f"{daemon.url}/#/job/{made['id']}")
        page.locator(".map canvas").wait_for()
        page.evaluate(
            """(chunks) => { const canvas = document.querySelector('.map canvas');
                window.seen = new Array(chunks).fill(0);
                const rows = Math.max(1, Math.floor((canvas.clientHeight + 6) / 28)), per = chunks / rows;
                const look = () => { const on = canvas.getContext('2d', { willReadFrequently: true });
                  for (let at = 0; at < chunks; at++) { if (window.seen[at]) continue;
                    const row = Math.floor((at + .5) / per), x = ((at + .5) / per - row) * canvas.clientWidth;
                    const [r, g, b] = on.getImageData(x, row * 28 + 3, 1, 1).data;
                    if (Math.abs(r - 226) + Math.abs(g - 234) + Math.abs(b - 236) > 40) window.seen[at] = Date.now(); }
                  requestAnimationFrame(look); }; look(); }""",
            chunks,
        )
        part = daemon.state.parent / "downloads" / "slow.bin.part"
        stored = watched(part, content, chunks)
        page.wait_for_timeout(1000)
        seen = page.evaluate("window.seen")
    lags = sorted(1000 * (pixel / 1000 - disk) for pixel, disk in zip(seen, stored, strict=True) if pixel and disk)
    print(f"{len(lags)} chunks: median {lags[len(lags) // 2]:.0f} ms")
    return measuring.verdict("from stored to pixel, ms (p95)", lags[int(len(lags) * 0.95)], at_most=400)


def watched(part: Path, content: Content, chunks: int) -> list[float]:
    """When the last bytes of each chunk were in the part file, by the wall clock; 0: not seen."""
    whole = content.whole()
    seen = [0.0] * chunks
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s and not all(seen[2:-2]):
        with contextlib.suppress(FileNotFoundError), part.open("rb") as file:
            for at in [at for at, when in enumerate(seen) if not when]:
                file.seek((at + 1) * CHUNK - 16)
                if file.read(16) == whole[(at + 1) * CHUNK - 16 : (at + 1) * CHUNK]:
                    seen[at] = time.time()
        time.sleep(0.004)
    return seen


CLAIMS: Final = {"paint": paint, "busy": busy, "list": many, "quiet": quiet, "lag": lag}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claims", nargs="*", choices=[*CLAIMS, []], default=[])
    wanted = parser.parse_args().claims or list(CLAIMS)
    if CHROMIUM is None:
        print("no Chromium here")
        return 2
    held = [CLAIMS[claim]() for claim in wanted]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
