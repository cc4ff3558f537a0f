"""Webhooks and scripts get every event they want, once it happened, whichever receiver was away."""

import hashlib
import hmac
import json
import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from protocol.config.settings import Script, Settings, Webhook
from protocol.http_api.events import hook_runner
from protocol.http_api.events.hook_delivery import environment
from tests.protocol.http_api.events.event_store import Book
from tests.protocol.http_api.serving import Api, open_settings, serving

WAIT_S = 20.0


class Receiver:
    """Takes what a webhook delivers. `statuses`: what the next answers are; then 200."""

    def __init__(self) -> None:
        self.got: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()
        self.statuses: list[int] = []
        self.url = ""

    def next(self) -> tuple[dict[str, str], Any]:
        headers, body = self.got.get(timeout=WAIT_S)
        return headers, json.loads(body)


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.put(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def with_hooks(*found: Webhook | Script) -> Settings:
    return replace(
        open_settings(),
        webhooks=tuple(hook for hook in found if isinstance(hook, Webhook)),
        scripts=tuple(hook for hook in found if isinstance(hook, Script)),
    )


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_runner, "RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(hook_runner, "RECONFIGURE_S", 0.1)
    monkeypatch.setattr(hook_runner, "AWAY_S", 0.02)


def begun(book: Book) -> Book:
    """Hooks of these names have got everything so far."""
    book.bookmarks.update({"webhook one": len(book.events), "script one": len(book.events)})
    return book


def reached(api: Api, book: Book, name: str, serial: int) -> None:
    done = threading.Event()

    def look() -> None:
        if book.bookmarks.get(name) == serial:
            done.set()
        else:
            api.loop.call_later(0.005, look)

    api.loop.call_soon_threadsafe(look)
    assert done.wait(timeout=WAIT_S), book.bookmarks


@pytest.mark.parametrize("kind", ["job.sealed", "job.failed"])
def test_a_webhook_is_reported_of_failure_as_of_success(kind: str) -> None:
    book = begun(Book())
    with receiving() as receiver:
        hook = Webhook(name="one", url=receiver.url, headers=(("X-Mine", "yes"),))
        with serving(book.answer, with_hooks(hook)) as api:
            api.say(book.happened(kind, reason="why"))
            headers, event = receiver.next()
            reached(api, book, "webhook one", 1)
    assert (event["id"], event["type"], event["data"]) == (1, kind, {"reason": "why"})
    assert headers["content-type"] == "application/json"
    assert (headers["x-shoal-event"], headers["x-shoal-delivery"], headers["x-mine"]) == (kind, "1", "yes")
    assert "x-shoal-signature" not in headers


def test_a_secret_signs_what_is_sent() -> None:
    book = begun(Book())
    with receiving() as receiver:
        hook = Webhook(name="one", url=receiver.url, secret="between us")
        with serving(book.answer, with_hooks(hook)) as api:
            api.say(book.happened("job.sealed"))
            headers, body = receiver.got.get(timeout=WAIT_S)
    signature = dict(part.split("=") for part in headers["x-shoal-signature"].split(","))
    signed = f"{signature['t']}.".encode() + body
    assert signature["sha256"] == hmac.new(b"between us", signed, hashlib.sha256).hexdigest()
    assert "between us" not in repr(hook)


def test_a_webhook_that_fails_is_tried_again_with_the_same() -> None:
    book = begun(Book())
    with receiving() as receiver:
        receiver.statuses = [500, 429]
        with serving(book.answer, with_hooks(Webhook(name="one", url=receiver.url))) as api:
            api.say(book.happened("job.sealed"), book.happened("job.failed"))
            shown = [receiver.next()[1]["id"] for _ in range(4)]
    assert shown == [1, 1, 1, 2]


@pytest.mark.parametrize(("statuses", "attempts"), [([500, 500, 500], 3), ([410], 3), ([302], 1)])
def test_what_cannot_be_delivered_is_given_up_and_the_next_goes_on(statuses: list[int], attempts: int) -> None:
    book = begun(Book())
    with receiving() as receiver:
        receiver.statuses = list(statuses)
        with serving(book.answer, with_hooks(Webhook(name="one", url=receiver.url, attempts=attempts))) as api:
            api.say(book.happened("job.sealed"), book.happened("job.failed"))
            shown = [receiver.next()[1]["id"] for _ in range(len(statuses) + 1)]
            reached(api, book, "webhook one", 2)
    assert shown == [1] * len(statuses) + [2]


def test_a_webhook_that_is_not_there_holds_up_no_other() -> None:
    book = begun(Book())
    book.bookmarks["webhook gone"] = 0
    with receiving() as receiver:
        gone = Webhook(name="gone", url="http://127.0.0.1:1/", attempts=1000)
        with serving(book.answer, with_hooks(gone, Webhook(name="one", url=receiver.url))) as api:
            api.say(book.happened("job.sealed"))
            assert receiver.next()[1]["id"] == 1
            reached(api, book, "webhook one", 1)
    assert book.bookmarks["webhook gone"] == 0


def test_a_hook_goes_on_where_it_was_before_a_restart() -> None:
    book = begun(Book())
    book.happened("job.sealed")
    book.happened("job.failed")
    book.bookmarks["webhook one"] = 1
    with receiving() as receiver, serving(book.answer, with_hooks(Webhook(name="one", url=receiver.url))):
        assert receiver.next()[1]["id"] == 2


def test_a_new_hook_begins_with_what_happens_from_then_on() -> None:
    book = Book()
    book.happened("job.sealed")
    with receiving() as receiver, serving(book.answer, with_hooks(Webhook(name="one", url=receiver.url))) as api:
        reached(api, book, "webhook one", 1)
        api.say(book.happened("job.failed"))
        assert receiver.next()[1]["id"] == 2


def test_a_hook_waits_for_a_job_manager_that_is_away() -> None:
    book = begun(Book())
    book.away = True
    with receiving() as receiver, serving(book.answer, with_hooks(Webhook(name="one", url=receiver.url))):
        book.happened("job.sealed")
        book.away = False
        assert receiver.next()[1]["id"] == 1


def test_only_the_events_that_were_named_are_reported() -> None:
    book = begun(Book())
    with receiving() as receiver:
        hook = Webhook(name="one", url=receiver.url, events=("job.failed",))
        with serving(book.answer, with_hooks(hook)) as api:
            api.say(book.happened("job.sealed"), book.happened("job.failed"), book.happened("job.noted"))
            assert receiver.next()[1]["id"] == 2
            reached(api, book, "webhook one", 3)
            assert receiver.got.empty()


def test_other_hooks_are_served_when_the_configuration_was_read_again() -> None:
    book = begun(Book())
    with receiving() as receiver, serving(book.answer, with_hooks()) as api:
        api.configure(with_hooks(Webhook(name="one", url=receiver.url)))
        api.say(book.happened("job.sealed"))
        assert receiver.next()[1]["id"] == 1
        api.configure(with_hooks())


def script(folder: Path, text: str, *arguments: str, **more: Any) -> Script:
    path = folder / "script.py"
    path.write_text(text)
    return Script(name="one", command=(sys.executable, str(path), *arguments), **more)


WRITES = """
import os, sys
said = sys.stdin.read().strip()
assert said == os.environ["SHOAL_DATA"] == os.environ["SLSKD_SCRIPT_DATA"]
with open(sys.argv[1], "a") as file:
    file.write(os.environ["SHOAL_EVENT"] + " " + said + "\\n")
"""


def test_a_script_gets_the_event_on_its_standard_input_and_in_its_environment(tmp_path: Path) -> None:
    book = begun(Book())
    heard = tmp_path / "heard"
    with serving(book.answer, with_hooks(script(tmp_path, WRITES, str(heard)))) as api:
        api.say(book.happened("job.failed", reason="no one has it; $(touch x)"))
        reached(api, book, "script one", 1)
    kind, event = heard.read_text().split(" ", 1)
    assert (kind, json.loads(event)["data"]["reason"]) == ("job.failed", "no one has it; $(touch x)")


@pytest.mark.parametrize("text", ["import sys; sys.exit('no')", "import os; os.close(0); print('x' * 1000000)"])
def test_a_script_that_fails_or_does_not_listen_holds_up_nothing(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    book = begun(Book())
    with serving(book.answer, with_hooks(script(tmp_path, text))) as api:
        api.say(book.happened("job.failed"), book.happened("job.sealed"))
        reached(api, book, "script one", 2)
    assert ("script one: event 1 (job.failed) given up: ended with code 1: no" in caplog.text) == ("exit" in text)


def test_a_script_that_takes_too_long_is_ended_with_all_it_started(tmp_path: Path) -> None:
    book = begun(Book())
    alive = tmp_path / "alive"
    text = f"""
import os, subprocess, sys, time
if len(sys.argv) == 1:
    child = subprocess.Popen([sys.executable, __file__, "child"])
    open({str(alive)!r}, "w").write(str(child.pid))
time.sleep(600)
"""
    with serving(book.answer, with_hooks(script(tmp_path, text, timeout_s=2.0))) as api:
        api.say(book.happened("job.failed"))
        reached(api, book, "script one", 1)
    state = Path(f"/proc/{alive.read_text()}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_script_that_is_not_there_is_said(caplog: pytest.LogCaptureFixture) -> None:
    book = begun(Book())
    with serving(book.answer, with_hooks(Script(name="one", command=("/nowhere/script",)))) as api:
        api.say(book.happened("job.failed"))
        reached(api, book, "script one", 1)
    assert "does not start" in caplog.text


def test_scripts_inherit_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_SOULSEEK_PASSWORD", "secret")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials")
    given = environment("job.sealed", b"{}")
    assert "secret" not in given.values()
    assert "CREDENTIALS_DIRECTORY" not in given
    assert given["PATH"]


def test_waiting_between_attempts_grows_to_a_bound() -> None:
    waits_s = [hook_runner.retry_s(attempt) for attempt in range(1, 100)]
    assert waits_s == sorted(waits_s)
    assert waits_s[1] == 2 * waits_s[0]
    assert waits_s[-1] == hook_runner.RETRY_S_MAX
