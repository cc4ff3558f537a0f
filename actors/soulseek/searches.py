"""Network searches: one budget for the whole program, replies checked and bounded before they leave."""

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from actors.core.peers.input_checks import NAME_CHARS_MAX, is_possible_file, true_size
from actors.soulseek.input_limits import TroubleLog
from actors.soulseek.ports import FoundFile, SearchReply
from protocol.messages import CancelSearch, Message, SearchEnded, SearchHit, StartSearch
from protocol.model.job_views import SearchRation

HITS_MAX: Final = 5000
HITS_OF_PEER_MAX: Final = 200
TERM_CHARS_MAX: Final = 250
WAIT_S_MAX: Final = 120.0
AT_ONCE_MAX: Final = 16
BUSY_S: Final = 5.0
"""When `AT_ONCE_MAX` are running one may be over by then."""
_SOUND: Final = {0: "bit_rate_kbit_s", 1: "duration_s", 2: "variable_rate", 4: "sample_rate_hz", 5: "bit_depth"}
"""The network's keys of attributes as fields of `SearchHit`."""


class SearchNetwork(Protocol):
    """Sender of searches."""

    async def search(self, term: str) -> int: ...
    def forget_search(self, ticket: int) -> None: ...


class SearchBudget:
    """Sliding-window rate limit: at most `count` in any `span_s` seconds."""

    def __init__(self, count: int, span_s: float) -> None:
        self._count = count
        self._span_s = span_s
        self._spent_s: deque[float] = deque()

    def spend(self, now_s: float) -> float:
        """0: there was one left and it is spent now; else the seconds until the next one."""
        ration = self.ration(now_s)
        if ration.left:
            self._spent_s.append(now_s)
        return ration.next_s

    def ration(self, now_s: float) -> SearchRation:
        """Return what is left."""
        while self._spent_s and self._spent_s[0] <= now_s - self._span_s:
            self._spent_s.popleft()
        left = max(0, self._count - len(self._spent_s))
        next_s = 0.0 if left else self._spent_s[0] + self._span_s - now_s
        return SearchRation(left=left, most=self._count, span_s=self._span_s, next_s=next_s)


class _Running:
    """One search. `over` ends it before its time: it brought enough, or no more is wanted."""

    def __init__(self, asked: StartSearch) -> None:
        self.asked = asked
        self.hits = 0
        self.hits_max = min(asked.hits_max, HITS_MAX) if asked.hits_max > 0 else HITS_MAX
        self.of_peer: Counter[str] = Counter()
        self.over = asyncio.Event()

    @property
    def key(self) -> tuple[str, int]:
        """Identity: askers number their searches themselves."""
        return self.asked.reply_to, self.asked.search


class Searches:
    """All searches of the program. Owned by the session's loop.

    A search over the budget is refused at once, with the time when there is room again: an answer that comes minutes
    later is of no use.
    """

    def __init__(
        self,
        network: SearchNetwork,
        budget: SearchBudget,
        troubles: TroubleLog,
        *,
        post: Callable[[str, Message], None],
        ready: Callable[[], Awaitable[str]],
    ) -> None:
        """`ready` waits, boundedly, for the login and returns why there is none, empty when there is."""
        self._network = network
        self._budget = budget
        self._troubles = troubles
        self._post = post
        self._ready = ready
        self._running: dict[int, _Running] = {}
        self._asked: dict[tuple[str, int], _Running] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, asked: StartSearch) -> None:
        running = _Running(asked)
        if running.key in self._asked:
            return  # sent twice
        if len(self._tasks) >= AT_ONCE_MAX:
            self._end(asked, 0, f"{AT_ONCE_MAX} searches are running", retry_after_s=BUSY_S)
            return
        self._asked[running.key] = running
        task = asyncio.create_task(self._search(running))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def ration(self) -> SearchRation:
        """Return how many searches may still be sent."""
        return self._budget.ration(time.monotonic())

    def leave(self, message: CancelSearch) -> None:
        running = self._asked.get((message.reply_to, message.search))
        if running is not None:
            running.over.set()

    async def _search(self, running: _Running) -> None:
        asked = running.asked
        term = " ".join(asked.term.split())
        if not term or len(term) > TERM_CHARS_MAX or not term.isprintable():
            self._end(asked, 0, "no possible search term")
            return
        if why := await self._ready():
            self._end(asked, 0, why)
            return
        if running.over.is_set():
            self._end(asked, 0, "")
            return
        wait_s = self._budget.spend(time.monotonic())
        if wait_s > 0:
            why = f"the search budget is spent, the next one in {math.ceil(wait_s)} s"
            self._end(asked, 0, why, retry_after_s=wait_s)
            return
        await self._gather(running, term)

    async def _gather(self, running: _Running, term: str) -> None:
        asked = running.asked
        try:
            ticket = await self._network.search(term)
        except OSError as error:
            self._end(asked, 0, f"the search did not leave: {error}")
            return
        self._running[ticket] = running
        try:
            async with asyncio.timeout(min(max(asked.wait_s, 0.0), WAIT_S_MAX)):
                await running.over.wait()
        except TimeoutError:
            pass
        finally:
            del self._running[ticket]
            self._network.forget_search(ticket)
        self._end(asked, len(running.of_peer), "")

    def reply(self, reply: SearchReply) -> None:
        """One peer's files: those that make sense, up to the limits, become hits."""
        running = self._running.get(reply.ticket)
        if running is None:
            return
        for file in reply.files:
            if running.of_peer[reply.peer] >= HITS_OF_PEER_MAX or running.hits >= running.hits_max:
                self._troubles.note("a search brought more files than are looked at")
                break
            if not is_possible_file(reply.peer, file.path, true_size(file.size_bytes)):
                self._troubles.note("a search brought files that cannot be", f"from {reply.peer[:NAME_CHARS_MAX]!a}")
                continue
            running.hits += 1
            running.of_peer[reply.peer] += 1
            self._post(running.asked.reply_to, _hit(running.asked, reply, file))
        if running.hits >= running.hits_max:
            running.over.set()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _end(self, asked: StartSearch, peers: int, refused: str, *, retry_after_s: float = 0.0) -> None:
        self._asked.pop((asked.reply_to, asked.search), None)
        ended = SearchEnded(search=asked.search, peers=peers, refused=refused, retry_after_s=retry_after_s)
        self._post(asked.reply_to, ended)


def _hit(asked: StartSearch, reply: SearchReply, file: FoundFile) -> SearchHit:
    sound = {_SOUND[key]: value for key, value in file.attributes if key in _SOUND}
    return SearchHit(
        search=asked.search,
        peer=reply.peer,
        path=file.path,
        size_bytes=true_size(file.size_bytes),
        slots_free=reply.slots_free,
        speed_bytes_s=reply.speed_bytes_s,
        queue_length=reply.queue_length,
        locked=file.locked,
        **sound,
    )
