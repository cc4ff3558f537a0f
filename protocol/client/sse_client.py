"""Client of the daemon's event stream (server-sent events), read in a thread.

A connection that breaks is reopened with the id of the last event, so that no recorded event is missed.
"""

import json
import queue
import threading
from dataclasses import dataclass
from typing import Any, Final

import httpx
from httpx_sse import EventSource, SSEError

from protocol.client.credentials import Access
from protocol.client.http_client import DaemonError, client_for, raise_refusal
from protocol.model.value import Closing

PATH: Final = "/api/v0/events/stream"
SILENCE_S_MAX: Final = 40.0
"""The daemon sends a comment every 15 s; one that is silent for longer is gone."""
RECONNECT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Gone:
    """The stream broke and is reopened, or (`final`) was refused and is over. `detail`: why, in words."""

    detail: str
    final: bool


class Stream(Closing):
    """The events of one job, empty: of all. `last`: the id of the last event that is known, -1: from now on.

    The thread ends with the process, or soon after `close`: at the next event, comment or attempt.
    """

    def __init__(self, access: Access, *, job: str = "", last: int = -1) -> None:
        self._access: Final = access
        self._params: Final = {"job": job} if job else {}
        self._last = str(last) if last >= 0 else ""
        self._news: Final[queue.SimpleQueue[Any]] = queue.SimpleQueue()
        self._closed: Final = threading.Event()
        threading.Thread(target=self._read, name="events", daemon=True).start()

    def close(self) -> None:
        """Let the thread end; nothing is reopened any more."""
        self._closed.set()

    def next(self, *, wait_s: float) -> Any:
        """Return the next event as a JSON object, `Gone`, or None when there is nothing in that time."""
        try:
            return self._news.get(timeout=wait_s)
        except queue.Empty:
            return None

    def _read(self) -> None:
        with client_for(self._access, SILENCE_S_MAX) as client:
            while not self._closed.is_set():
                try:
                    self._follow(client)
                    self._news.put(Gone("the daemon ended the stream of events", final=False))
                except (
                    httpx.HTTPError,
                    SSEError,
                    ValueError,
                ):  # ValueError: no daemon of ours, what it sends is no JSON
                    self._news.put(Gone("the stream of events broke", final=False))
                except DaemonError as error:
                    final = error.kind != "away"
                    self._news.put(Gone(error.detail, final=final))
                    if final:
                        return
                self._closed.wait(RECONNECT_S)

    def _follow(self, client: httpx.Client) -> None:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": self._last} if self._last else {})
        with client.stream("GET", self._access.url + PATH, params=self._params, headers=headers) as response:
            if response.status_code != 200:
                raise_refusal(self._access, response.status_code, response.read())
            for event in EventSource(response).iter_sse():
                self._last = event.id or self._last
                if event.data:
                    self._news.put(json.loads(event.data))
