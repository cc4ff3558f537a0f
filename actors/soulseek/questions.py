"""Questions to the server about a user, and to a user about what it shares: sent, awaited boundedly, put in our words.

Only the loop's thread comes here. What a peer answers is bounded before it is decoded (`bounds`); a longer answer costs
the connection, and is then no answer at all.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

from aioslsk.exceptions import NetworkError  # type: ignore[import-untyped,unused-ignore]
from aioslsk.protocol.messages import (  # type: ignore[import-untyped,unused-ignore]
    GetUserStats,
    GetUserStatus,
    PeerDirectoryContentsReply,
    PeerDirectoryContentsRequest,
    PeerSharesReply,
    PeerSharesRequest,
)

from actors.soulseek.network import Net
from actors.soulseek.settings import TalkTimes
from actors.soulseek.user_queries import Folder, Stats

_PRESENCE: Final = {0: "Offline", 1: "Away", 2: "Online"}


class Questions:
    """What `browsing.Asks` wants, by way of aioslsk. Raises `PeerAway`, TimeoutError or OSError."""

    def __init__(self, net: Net, client: Any, times: TalkTimes) -> None:
        self._net = net
        self._client = client
        self._times = times

    async def presence(self, peer: str) -> tuple[str, bool]:
        """``(presence, privileged)``."""
        answer = await self._of_server(GetUserStatus.Request(peer), GetUserStatus.Response, peer)
        return _PRESENCE.get(answer.status, ""), bool(answer.privileged)

    async def stats(self, peer: str) -> Stats:
        answer = await self._of_server(GetUserStats.Request(peer), GetUserStats.Response, peer)
        told = answer.user_stats
        return Stats(told.avg_speed, told.shared_file_count, told.shared_folder_count)

    async def folder(self, peer: str, folder: str) -> Iterator[Folder]:
        ticket = next(self._client.ticket_generator)
        request = PeerDirectoryContentsRequest.Request(ticket, folder)
        answer = await self._of_peer(request, PeerDirectoryContentsReply.Request, peer, {"ticket": ticket})
        return _folders(answer.directories)

    async def everything(self, peer: str) -> Iterator[Folder]:
        answer = await self._of_peer(PeerSharesRequest.Request(), PeerSharesReply.Request, peer, {})
        return _folders(answer.directories)

    async def _of_server(self, request: Any, kind: Any, peer: str) -> Any:
        network = self._client.network
        future = network.create_server_response_future(kind, fields={"username": peer})
        try:
            async with asyncio.timeout(self._times.server_s_max):
                await network.send_server_messages(request)
                return (await future)[1]
        except NetworkError as error:
            raise OSError(str(error)) from None
        finally:
            future.cancel()

    async def _of_peer(self, request: Any, kind: Any, peer: str, fields: dict[str, Any]) -> Any:
        line = await self._net.line(peer)
        future = self._client.network.create_peer_response_future(peer, kind, fields=fields)
        try:
            await self._net.say(line, request)
            async with asyncio.timeout(self._times.told_s_max):
                return (await future)[1]
        finally:
            future.cancel()


def _folders(directories: Any) -> Iterator[Folder]:
    for directory in directories:
        yield Folder(directory.name, [(file.filename, file.filesize) for file in directory.files])
