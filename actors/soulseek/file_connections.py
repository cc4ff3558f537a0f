"""Where F connections come in: each tells a ticket, and goes to whoever claimed it, as a bare descriptor.

Connections that tell no ticket, or one that nobody claimed, are closed: the loser of direct and indirect, latecomers,
strangers. Their number and their time are bounded.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final

from actors.soulseek.input_limits import Once

_logger = logging.getLogger(__name__)

SILENT_MAX: Final = 64

Came = Callable[[int], None]
"""Gets the descriptor, and owns it."""


class FileDoor:
    """Owned by the session's loop. `detach` takes the socket out of a connection, -1 when that is no use any more."""

    def __init__(self, detach: Callable[[Any], Awaitable[int]], once: Once, *, ticket_s_max: float) -> None:
        self._detach = detach
        self._once = once
        self._ticket_s_max = ticket_s_max
        self._claims: dict[tuple[str, int], Came] = {}
        self._silent: dict[asyncio.Task[None], None] = {}  # in the order they came

    def claim(self, peer: str, ticket: int, came: Came) -> None:
        """From now on a connection of this peer with this ticket goes to `came`, once."""
        self._claims[peer, ticket] = came

    def release(self, peer: str, ticket: int) -> None:
        """Nobody wants it any more. Harmless when it was never claimed, or came."""
        self._claims.pop((peer, ticket), None)

    def admit(self, connection: Any) -> None:
        """Take over an F connection that has not yet told its ticket."""
        if len(self._silent) >= SILENT_MAX:
            self._once.note("too many F connections that tell no ticket: the oldest are closed", connection.hostname)
            next(iter(self._silent)).cancel()
        task = asyncio.create_task(self._hear(connection))
        self._silent[task] = None
        task.add_done_callback(lambda done: self._silent.pop(done, None))

    def close(self) -> None:
        for task in self._silent:
            task.cancel()

    async def _hear(self, connection: Any) -> None:
        try:
            async with asyncio.timeout(self._ticket_s_max):
                ticket = await connection.receive_transfer_ticket()
            came = self._claims.get((connection.username, ticket))
            if came is None:
                self._once.note("an F connection with a ticket that nobody gave was closed", connection.hostname)
                return
            fd = await self._detach(connection)
            if fd < 0:
                self._once.note("an F connection that spoke before the offset, or closed, was dropped")
                return
            if self._claims.pop((connection.username, ticket), None) is came:
                came(fd)
            else:  # its twin was quicker
                os.close(fd)
        except TimeoutError:
            self._once.note("an F connection that told no ticket in time was closed", connection.hostname)
        except Exception as error:  # noqa: BLE001 - whatever reading a stranger's connection raises ends only that
            _logger.debug("an F connection ended before its ticket: %r", error)  # the loser of two ways, mostly
        finally:
            # Shielded: whoever is told to go still has to leave nothing behind.
            await asyncio.shield(asyncio.ensure_future(connection.disconnect()))
