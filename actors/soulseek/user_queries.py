"""Queries about one user: presence, speed and shared files. Answers are checked and bounded before they leave.

A few queries at a time; one more is refused at once, with a reason.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from actors.core.jobs.transaction import answers
from actors.core.peers.input_checks import NAME_CHARS_MAX, is_possible_file, is_possible_peer, true_size
from actors.soulseek.input_limits import TroubleLog
from actors.soulseek.ports import PeerAway
from protocol.messages import (
    BrowseUser,
    FilesListed,
    GetUser,
    GetUserAddress,
    GetUserInfo,
    Message,
    RequestRefused,
    UserDescribed,
)
from protocol.messages.soulseek import FILES_MAX
from protocol.model.job_views import UserAddressView, UserInfoView

AT_ONCE_MAX: Final = 8
PATH_CHARS_MAX: Final = 4000
PART_BYTES_MAX: Final = 40_000
PARTS_A_TURN: Final = 32
"""Messages that are posted before the loop does something else."""
_SIZE_BYTES: Final = 10
"""What a file costs in a message beside its name."""


@dataclass(frozen=True, slots=True)
class Stats:
    """A user's numbers on the server."""

    speed_bytes_s: int
    files: int
    folders: int


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder of a peer's list, unchecked."""

    path: str
    files: list[tuple[str, int]]


class UserServer(Protocol):
    """Source of the answers: the server and the user itself.

    Every failure is a `PeerAway`, TimeoutError or OSError, within bounded time.
    """

    async def presence(self, peer: str) -> tuple[str, bool]: ...
    async def stats(self, peer: str) -> Stats: ...
    async def info(self, peer: str) -> UserInfoView: ...
    async def address(self, peer: str) -> UserAddressView: ...
    async def folder(self, peer: str, folder: str) -> Iterator[Folder]: ...
    async def everything(self, peer: str) -> Iterator[Folder]: ...


class UserQueries:
    """All queries about users. Owned by the session's loop.

    `ready` waits, boundedly, for the login and returns why there is none, empty when there is.
    """

    def __init__(
        self,
        source: UserServer,
        troubles: TroubleLog,
        *,
        post: Callable[[str, Message], None],
        ready: Callable[[], Coroutine[Any, Any, str]],
    ) -> None:
        self._source = source
        self._troubles = troubles
        self._post = post
        self._ready = ready
        self._tasks: set[asyncio.Task[None]] = set()
        self._peers: list[str] = []

    def is_busy(self, peer: str) -> bool:
        """Whether its connections are needed."""
        return peer in self._peers

    def get_user(self, asked: GetUser) -> None:
        if len(self._tasks) >= AT_ONCE_MAX or not is_possible_peer(asked.peer):
            self._post_user(asked, "", False, Stats(0, 0, 0))
            return
        self._begin(self._user(asked))

    def ask(self, asked: GetUserInfo | GetUserAddress) -> None:
        if not is_possible_peer(asked.peer):
            self._refuse_request(asked, "unknown", "no possible user")
        elif len(self._tasks) >= AT_ONCE_MAX:
            self._refuse_request(asked, "full", "too many questions at once; try again in a moment")
        else:
            self._begin(self._answer(asked))

    def browse(self, asked: BrowseUser) -> None:
        if len(self._tasks) >= AT_ONCE_MAX:
            self._refuse(asked, "too many questions at once; try again in a moment")
        elif not is_possible_peer(asked.peer) or len(asked.folder) > PATH_CHARS_MAX:
            self._refuse(asked, "no possible user or folder")
        else:
            self._begin(self._files(asked))

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, asked: GetUserInfo | GetUserAddress) -> None:
        self._peers.append(asked.peer)
        try:
            if why := await self._ready():
                self._refuse_request(asked, "conflict", why)
                return
            look = self._source.info if isinstance(asked, GetUserInfo) else self._source.address
            for part in answers(asked.request, [await look(asked.peer)]):
                self._post(asked.reply_to, part)
        except PeerAway as away:
            self._refuse_request(asked, "unknown", away.detail)
        except (TimeoutError, OSError):
            self._refuse_request(asked, "unavailable", f"{asked.peer} does not answer")
        finally:
            self._peers.remove(asked.peer)

    def _refuse_request(self, asked: GetUserInfo | GetUserAddress, kind: str, why: str) -> None:
        self._post(asked.reply_to, RequestRefused(request=asked.request, kind=kind, field="", detail=why))

    async def _user(self, asked: GetUser) -> None:
        presence, stats = ("", False), Stats(0, 0, 0)
        try:
            if not await self._ready():
                presence = await self._source.presence(asked.peer)
                stats = await self._source.stats(asked.peer)
        except (TimeoutError, OSError):
            pass  # what is known is reported
        self._post_user(asked, *presence, stats)

    def _post_user(self, asked: GetUser, presence: str, privileged: bool, stats: Stats) -> None:
        described = UserDescribed(
            request=asked.request,
            peer=asked.peer[:NAME_CHARS_MAX],
            presence=presence,
            privileged=privileged,
            speed_bytes_s=stats.speed_bytes_s,
            files=stats.files,
            folders=stats.folders,
        )
        self._post(asked.reply_to, described)

    async def _files(self, asked: BrowseUser) -> None:
        self._peers.append(asked.peer)
        try:
            if why := await self._ready():
                self._refuse(asked, why)
                return
            folder = asked.folder
            answer = self._source.folder(asked.peer, folder) if folder else self._source.everything(asked.peer)
            await self._post_files(asked, await answer)
        except PeerAway as away:
            self._refuse(asked, away.detail)
        except TimeoutError:
            self._refuse(asked, f"{asked.peer} did not answer in time, or its list is too long")
        except OSError as error:
            self._refuse(asked, f"the question did not get through: {error}")
        finally:
            self._peers.remove(asked.peer)

    async def _post_files(self, asked: BrowseUser, folders: Iterable[Folder]) -> None:
        count = 0
        truncated = False
        for number, (folder, files) in enumerate(self._parts(asked.peer, folders)):
            room = FILES_MAX - count
            truncated = len(files) > room
            count += len(files[:room])
            self._post_part(asked, folder, files[:room])
            if truncated:
                break
            if number % PARTS_A_TURN == 0:
                await asyncio.sleep(0)
        self._end(asked, "", truncated=truncated)

    def _parts(self, peer: str, folders: Iterable[Folder]) -> Iterator[tuple[str, list[tuple[str, int]]]]:
        """What makes sense, in pieces that fit a message."""
        for folder in folders:
            part: list[tuple[str, int]] = []
            size = 0
            for name, size_bytes in folder.files:
                size_bytes = true_size(size_bytes)
                if not is_possible_file(peer, f"{folder.path}\\{name}", size_bytes):
                    self._troubles.note("a user shares files that cannot be", f"{peer[:NAME_CHARS_MAX]!a}")
                    continue
                cost = len(name.encode(errors="replace")) + _SIZE_BYTES
                if part and size + cost > PART_BYTES_MAX:
                    yield folder.path, part
                    part, size = [], 0
                part.append((name, size_bytes))
                size += cost
            if part:
                yield folder.path, part

    def _refuse(self, asked: BrowseUser, why: str) -> None:
        self._end(asked, why, truncated=False)

    def _end(self, asked: BrowseUser, refused: str, *, truncated: bool) -> None:
        self._post_part(asked, "", [], last=True, truncated=truncated, refused=refused)

    def _post_part(
        self,
        asked: BrowseUser,
        folder: str,
        files: list[tuple[str, int]],
        *,
        last: bool = False,
        truncated: bool = False,
        refused: str = "",
    ) -> None:
        listed = FilesListed(
            request=asked.request,
            peer=asked.peer[:NAME_CHARS_MAX],
            folder=folder,
            names=tuple(name for name, _ in files),
            sizes=tuple(size_bytes for _, size_bytes in files),
            last=last,
            truncated=truncated,
            refused=refused,
        )
        self._post(asked.reply_to, listed)
