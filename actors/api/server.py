"""HTTP server in its own thread, with its own event loop."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import uvicorn

from actors.api.connections import CONNECTIONS_MAX, HEAD_BYTES_MAX, ConnectionTable, SilenceWatch
from protocol.http_api.middleware.authorization import is_authorized

_logger = logging.getLogger(__name__)

START_S_MAX: Final = 40.0
GRACE_S: Final = 2
"""Time for requests under way once the server stops; streams have ended by then."""
BACKLOG: Final = 256
"""As many are accepted at once, and each needs a descriptor before others can be closed for it."""
BEAT_S: Final = 5.0
HEAD_S_MAX: Final = 20.0
"""A connection that has not finished a request's head in this time is closed."""


class _Server(uvicorn.Server):
    """uvicorn's server, with an event for the moment at which it serves."""

    def __init__(self, config: uvicorn.Config, serving: threading.Event) -> None:
        super().__init__(config)
        self._serving = serving

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._serving.set()


class HttpServer:
    """Server of `app` on `listener`, which stays the caller's.

    `beat` is called from the loop every `beat_s` as long as it turns; `ended` once, from its thread, when it ends
    without having been stopped.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        listener: socket.socket,
        loop: asyncio.AbstractEventLoop,
        *,
        beat: Callable[[], None],
        ended: Callable[[], None],
        beat_s: float = BEAT_S,
        head_s_max: float = HEAD_S_MAX,
    ) -> None:
        self._serving = threading.Event()
        config = uvicorn.Config(
            app,
            http=ConnectionTable().protocol(),  # h11: the other one has no limit for what a head may hold
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS_MAX + BACKLOG,
            backlog=BACKLOG,
            timeout_graceful_shutdown=GRACE_S,
            h11_max_incomplete_event_size=HEAD_BYTES_MAX,
        )
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # a warning for each broken request fills the disk
        self._server = _Server(config, self._serving)
        # Accepted sockets inherit it; the loop sets it only where the protocol was named, and the body of each answer
        # would wait 40 ms for the client to acknowledge the head.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._listener = listener
        self._loop = loop
        self._beat = beat
        self._ended = ended
        self._beat_s = beat_s
        self._silence = SilenceWatch(head_s_max, is_authorized)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Start, and return when it serves. Raises `RuntimeError` when it does not."""
        self._thread.start()
        due_s = time.monotonic() + START_S_MAX
        while not self._serving.wait(timeout=0.05):
            if not self._thread.is_alive() or time.monotonic() > due_s:
                raise RuntimeError("the HTTP server does not start")

    def stop(self, begin: Callable[[], None]) -> None:
        """End within seconds. `begin` runs in the loop first: it must make open streams end."""
        self._stopping = True
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._begin_to_stop, begin)
            self._thread.join(timeout=GRACE_S + 1.0)

    def _begin_to_stop(self, begin: Callable[[], None]) -> None:
        begin()
        self._server.should_exit = True

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._pulse()
            self._loop.run_until_complete(self._server.serve(sockets=[self._listener]))
        except BaseException:
            _logger.exception("the HTTP server failed")
        if not self._stopping:
            self._ended()

    def _pulse(self) -> None:
        self._beat()
        self._silence.close_silent(self._server.server_state.connections, self._loop.time())
        self._loop.call_later(self._beat_s, self._pulse)
