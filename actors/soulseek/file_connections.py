"""Incoming F connections: each sends a ticket first, and goes to the negotiation that expects it, as a descriptor.

A connection that sends no ticket in time, or one that is not expected, is closed: the loser of direct and indirect, one
that is late, a stranger's. Their number and their time are bounded.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final

from actors.soulseek.input_limits import TroubleLog

_logger = logging.getLogger(__name__)

SILENT_MAX: Final = 64

Connected = Callable[[int], None]
"""Gets the descriptor, and owns it."""


class FileConnections:
    """Owned by the session's loop. `detach` takes the socket out of a connection, -1 when it is of no use any more."""

    def __init__(self, detach: Callable[[Any], Awaitable[int]], troubles: TroubleLog, *, ticket_s_max: float) -> None:
        self._detach = detach
        self._troubles = troubles
        self._ticket_s_max = ticket_s_max
        self._expected: dict[tuple[str, int], Connected] = {}
        self._silent: dict[asyncio.Task[None], None] = {}  # in the order they came

    def expect(self, peer: str, ticket: int, connected: Connected) -> None:
        """From now on a connection of this peer with this ticket goes to `connected`, once."""
        self._expected[peer, ticket] = connected

    def forget(self, peer: str, ticket: int) -> None:
        """It is not expected any more. Harmless when it never was, or has come."""
        self._expected.pop((peer, ticket), None)

    @property
    def expected(self) -> int:
        return len(self._expected)

    def admit(self, connection: Any) -> None:
        """Take over an F connection whose ticket is not read yet."""
        if len(self._silent) >= SILENT_MAX:
            self._troubles.note(
                "too many F connections that send no ticket: the oldest are closed", connection.hostname
            )
            next(iter(self._silent)).cancel()
        task = asyncio.create_task(self._read_ticket(connection))
        self._silent[task] = None
        task.add_done_callback(lambda done: self._silent.pop(done, None))

    def close(self) -> None:
        for task in self._silent:
            task.cancel()

    async def _read_ticket(self, connection: Any) -> None:
        try:
            async with asyncio.timeout(self._ticket_s_max):
                ticket = await connection.receive_transfer_ticket()
            key = (connection.username, ticket)
            connected = self._expected.get(key)
            if connected is None:
                self._troubles.note("an F connection with an unexpected ticket was closed", connection.hostname)
                return
            fd = await self._detach(connection)
            if fd < 0:
                self._troubles.note("an F connection that spoke before the offset, or closed, was dropped")
                return
            if self._expected.pop(key, None) is connected:
                connected(fd)
            else:  # its twin was quicker
                os.close(fd)
        except TimeoutError:
            self._troubles.note("an F connection that sent no ticket in time was closed", connection.hostname)
        except Exception as error:  # noqa: BLE001 - whatever reading a stranger's connection raises ends only that
            _logger.debug("an F connection ended before its ticket: %r", error)  # the loser of two ways, mostly
        finally:
            # Shielded: a task that is cancelled still has to leave nothing behind.
            await asyncio.shield(asyncio.ensure_future(connection.disconnect()))
