"""What people ask about one user: is it there, what does it share. Answers are checked and bounded first.

A few questions at a time; one more is refused at once, with words.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from actors.soulseek.input_limits import Once
from actors.soulseek.ports import PeerAway
from actors.soulseek.searches import makes_sense
from actors.soulseek.settings import NAME_CHARS_MAX
from protocol.messages import BrowseUser, FilesListed, GetUser, Message, UserDescribed
from protocol.messages.soulseek import FILES_MAX

AT_ONCE_MAX: Final = 8
PATH_CHARS_MAX: Final = 4000
PART_BYTES_MAX: Final = 40_000
PARTS_A_TURN: Final = 32
"""So many messages are posted before the loop does something else."""
_SIZE_BYTES: Final = 10
"""What a file costs in a message beside its name."""


@dataclass(frozen=True, slots=True)
class Stats:
    speed_bytes_s: int
    files: int
    folders: int


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder as a peer tells it, unchecked."""

    path: str
    files: list[tuple[str, int]]


class Asks(Protocol):
    """Every failure is a `PeerAway`, TimeoutError or OSError, within bounded time."""

    async def presence(self, peer: str) -> tuple[str, bool]: ...
    async def stats(self, peer: str) -> Stats: ...
    async def folder(self, peer: str, folder: str) -> Iterator[Folder]: ...
    async def everything(self, peer: str) -> Iterator[Folder]: ...


class Browsing:
    """Owned by the session's loop. `ready` waits, boundedly, for the login; whether there is one."""

    def __init__(
        self,
        asks: Asks,
        once: Once,
        *,
        post: Callable[[str, Message], None],
        ready: Callable[[], Coroutine[Any, Any, bool]],
    ) -> None:
        self._asks = asks
        self._once = once
        self._post = post
        self._ready = ready
        self._tasks: set[asyncio.Task[None]] = set()
        self._peers: list[str] = []

    def is_busy(self, peer: str) -> bool:
        """Whether its connections are needed."""
        return peer in self._peers

    def ask_user(self, asked: GetUser) -> None:
        if len(self._tasks) >= AT_ONCE_MAX or not _possible(asked.peer):
            self._tell_user(asked, "", False, Stats(0, 0, 0))
            return
        self._begin(self._user(asked))

    def ask_files(self, asked: BrowseUser) -> None:
        if len(self._tasks) >= AT_ONCE_MAX:
            self._refuse(asked, "too many questions at once; try again in a moment")
        elif not _possible(asked.peer) or len(asked.folder) > PATH_CHARS_MAX:
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

    async def _user(self, asked: GetUser) -> None:
        presence, stats = ("", False), Stats(0, 0, 0)
        try:
            if await self._ready():
                presence = await self._asks.presence(asked.peer)
                stats = await self._asks.stats(asked.peer)
        except (TimeoutError, OSError):
            pass  # what is known is told
        self._tell_user(asked, *presence, stats)

    def _tell_user(self, asked: GetUser, presence: str, privileged: bool, stats: Stats) -> None:
        told = UserDescribed(
            request=asked.request,
            peer=asked.peer[:NAME_CHARS_MAX],
            presence=presence,
            privileged=privileged,
            speed_bytes_s=stats.speed_bytes_s,
            files=stats.files,
            folders=stats.folders,
        )
        self._post(asked.reply_to, told)

    async def _files(self, asked: BrowseUser) -> None:
        self._peers.append(asked.peer)
        try:
            if not await self._ready():
                self._refuse(asked, "not logged in")
                return
            folder = asked.folder
            answer = self._asks.folder(asked.peer, folder) if folder else self._asks.everything(asked.peer)
            await self._tell_files(asked, await answer)
        except PeerAway as away:
            self._refuse(asked, away.detail)
        except TimeoutError:
            self._refuse(asked, f"{asked.peer} did not tell in time, or had more to tell than is listened to")
        except OSError as error:
            self._refuse(asked, f"the question did not get through: {error}")
        finally:
            self._peers.remove(asked.peer)

    async def _tell_files(self, asked: BrowseUser, folders: Iterable[Folder]) -> None:
        told = 0
        truncated = False
        for number, (folder, files) in enumerate(self._parts(asked.peer, folders)):
            room = FILES_MAX - told
            truncated = len(files) > room
            told += len(files[:room])
            self._tell_part(asked, folder, files[:room])
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
                if not makes_sense(peer, f"{folder.path}\\{name}", size_bytes):
                    self._once.note("a user shares files that cannot be", f"{peer[:NAME_CHARS_MAX]!a}")
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
        self._tell_part(asked, "", [], last=True, truncated=truncated, refused=refused)

    def _tell_part(
        self,
        asked: BrowseUser,
        folder: str,
        files: list[tuple[str, int]],
        *,
        last: bool = False,
        truncated: bool = False,
        refused: str = "",
    ) -> None:
        told = FilesListed(
            request=asked.request,
            peer=asked.peer[:NAME_CHARS_MAX],
            folder=folder,
            names=tuple(name for name, _ in files),
            sizes=tuple(size_bytes for _, size_bytes in files),
            last=last,
            truncated=truncated,
            refused=refused,
        )
        self._post(asked.reply_to, told)


def _possible(peer: str) -> bool:
    return 0 < len(peer) <= NAME_CHARS_MAX and peer.isprintable()
