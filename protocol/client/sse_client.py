"""What happens in a daemon, as it happens: server-sent events (the WHATWG HTML standard), read in a thread.

A connection that breaks is made anew with the id of the last event, so that nothing that is kept is missed.
"""

import json
import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx

from protocol.client.credentials import Access
from protocol.client.http_client import DaemonError, client_for, raise_refusal

PATH: Final = "/api/v0/events/stream"
SILENCE_S_MAX: Final = 40.0
"""The daemon sends a line that says nothing every 15 s; who is silent for longer is gone."""
AGAIN_S: Final = 1.0
EVENT_CHARS_MAX: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Sent:
    """One event as it stands in the stream. `id` is empty where there is none."""

    id: str
    data: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The stream broke and is made anew, or (`final`) was refused and is over. `detail`: why, in words."""

    detail: str
    final: bool


def read_events(lines: Iterable[str]) -> Iterator[Sent]:
    """What the lines of a stream say. An event ends with an empty line; one that was cut off is none."""
    id, data = "", list[str]()
    for line in lines:
        if not line:
            if data:
                yield Sent(id, "\n".join(data))
            id, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data" and sum(map(len, data)) + len(value) <= EVENT_CHARS_MAX:
            data.append(value)
        elif field == "id" and "\0" not in value:
            id = value


class Stream:
    """`job`: only of this one, empty: all. `last`: the id of the last event that is known, -1: from now on.

    The thread ends with the process.
    """

    def __init__(self, access: Access, *, job: str = "", last: int = -1) -> None:
        self._access: Final = access
        self._params: Final = {"job": job} if job else {}
        self._last = str(last) if last >= 0 else ""
        self._news: Final[queue.SimpleQueue[Any]] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="events", daemon=True).start()

    def next(self, *, wait_s: float) -> Any:
        """The next event as a JSON object, `Gone`, or None when there is nothing in that time."""
        try:
            return self._news.get(timeout=wait_s)
        except queue.Empty:
            return None

    def _read(self) -> None:
        pause = threading.Event()
        with client_for(self._access, SILENCE_S_MAX) as client:
            while True:
                try:
                    self._follow(client)
                    self._news.put(Gone("the daemon ended the stream of events", final=False))
                except httpx.HTTPError:
                    self._news.put(Gone("the stream of events broke", final=False))
                except DaemonError as error:
                    final = error.kind != "away"
                    self._news.put(Gone(error.detail, final=final))
                    if final:
                        return
                pause.wait(AGAIN_S)

    def _follow(self, client: httpx.Client) -> None:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": self._last} if self._last else {})
        with client.stream("GET", self._access.url + PATH, params=self._params, headers=headers) as response:
            if response.status_code != 200:
                raise_refusal(self._access, response.status_code, response.read())
            for sent in read_events(response.iter_lines()):
                self._last = sent.id or self._last
                self._news.put(json.loads(sent.data))
