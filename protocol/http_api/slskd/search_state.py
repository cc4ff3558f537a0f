"""State of searches as slskd's clients see it: responses so far, limits, states. Pure: times are passed in.

A search is ``InProgress`` from the moment it is known until nothing more comes; what was found can be read at any time.
Every client reads any other state as finished.
"""

from dataclasses import dataclass, field
from typing import Final

from protocol.http_api.slskd import formatting
from protocol.http_api.slskd.schemas import FoundFile, Search, SearchBody, SearchResponse
from protocol.messages import SearchHit

IN_PROGRESS: Final = "InProgress"
TIMED_OUT: Final = "Completed, TimedOut"
RESPONSE_LIMIT: Final = "Completed, ResponseLimitReached"
FILE_LIMIT: Final = "Completed, FileLimitReached"
CANCELLED: Final = "Completed, Cancelled"
ERRORED: Final = "Completed, Errored"

SEARCHES_MAX: Final = 500
FILES_KEPT_MAX: Final = 100_000
"""Of all searches together; the oldest ended ones are dropped first."""
WAIT_S_MIN: Final = 1.0
WAIT_S_MAX: Final = 120.0


@dataclass(slots=True)
class _Peer:
    free: list[SearchHit] = field(default_factory=list)
    locked: list[SearchHit] = field(default_factory=list)


class SearchState:
    """One search. `asked` is the client's request, `token` our number for it.

    Invariant: at most `file_limit` files of at most `response_limit` users are shown, however many are reported.
    """

    def __init__(self, asked: SearchBody, *, id: str, token: int, now_ms: int) -> None:
        self.id: Final = id
        self.asked: Final = asked
        self.state = IN_PROGRESS
        self.kept = 0
        """Files held in memory, shown or not."""
        self._token = token
        self._started_ms = now_ms
        self._ended_ms = 0
        self._peers: dict[str, _Peer] = {}
        self._shown: list[str] = []
        self._files = 0
        self._locked = 0

    @property
    def wait_s(self) -> float:
        return min(max(self.asked.search_timeout / 1000, WAIT_S_MIN), WAIT_S_MAX)

    @property
    def over(self) -> bool:
        return self.state != IN_PROGRESS

    def receive(self, hit: SearchHit, *, now_ms: int) -> None:
        """Add one file. May end the search by one of its limits."""
        if self.over or not self._wanted(hit):
            return
        peer = self._peers.setdefault(hit.peer, _Peer())
        shown = self._enough(peer)
        if not shown and len(self._shown) >= self.asked.response_limit:
            self._end(RESPONSE_LIMIT, now_ms)
            return
        (peer.locked if hit.locked else peer.free).append(hit)
        self.kept += 1
        if not shown and self._enough(peer):
            self._shown.append(hit.peer)
            self._files += len(peer.free)
            self._locked += len(peer.locked)
        elif shown:
            self._files += not hit.locked
            self._locked += hit.locked
        if self._files >= self.asked.file_limit:
            self._end(FILE_LIMIT, now_ms)

    def end(self, state: str, *, now_ms: int) -> None:
        """End the search; without effect when it has ended."""
        if not self.over:
            self._end(state, now_ms)

    def view(self, *, responses: bool) -> Search:
        return Search(
            id=self.id,
            search_text=self.asked.search_text,
            started_at=formatting.moment(self._started_ms),
            ended_at=formatting.timestamp(self._ended_ms),
            state=self.state,
            is_complete=self.over,
            file_count=min(self._files, self.asked.file_limit),
            locked_file_count=self._locked,
            response_count=len(self._shown),
            responses=self.responses() if responses else [],
            token=self._token,
        )

    def responses(self) -> list[SearchResponse]:
        """Return what each user has, in the order they answered."""
        left = self.asked.file_limit
        responses = []
        for name in self._shown:
            free = self._peers[name].free[: max(left, 0)]
            left -= len(free)
            if free or self._peers[name].locked:
                responses.append(_response(name, self._token, free, self._peers[name].locked))
        return responses

    def _wanted(self, hit: SearchHit) -> bool:
        asked = self.asked
        return not asked.filter_responses or (
            hit.queue_length <= asked.maximum_peer_queue_length and hit.speed_bytes_s >= asked.minimum_peer_upload_speed
        )

    def _enough(self, peer: _Peer) -> bool:
        if self.asked.filter_responses:
            return len(peer.free) >= self.asked.minimum_response_file_count and bool(peer.free or peer.locked)
        return bool(peer.free or peer.locked)

    def _end(self, state: str, now_ms: int) -> None:
        self.state, self._ended_ms = state, now_ms


class Searches:
    """Registry of recent searches, the oldest first. Bounded."""

    def __init__(self) -> None:
        self._all: dict[str, SearchState] = {}
        self._last_token = 0

    def add(self, asked: SearchBody, *, id: str, now_ms: int) -> SearchState:
        """Register a new search. The id must not be known."""
        assert id not in self._all, "one id, one search"
        self._last_token += 1
        search = self._all[id] = SearchState(asked, id=id, token=self._last_token, now_ms=now_ms)
        self._forget_oldest()
        return search

    def get(self, id: str) -> SearchState | None:
        return self._all.get(id)

    def all(self) -> list[SearchState]:
        return list(self._all.values())

    def running(self) -> int:
        return sum(not each.over for each in self._all.values())

    def remove(self, id: str) -> None:
        self._all.pop(id, None)

    def _forget_oldest(self) -> None:
        files = sum(each.kept for each in self._all.values())
        for search in [each for each in self._all.values() if each.over]:
            if len(self._all) <= SEARCHES_MAX and files <= FILES_KEPT_MAX:
                return
            files -= search.kept
            del self._all[search.id]


def _response(name: str, token: int, free: list[SearchHit], locked: list[SearchHit]) -> SearchResponse:
    any_of = (free or locked)[0]
    return SearchResponse(
        username=name,
        token=token,
        file_count=len(free),
        has_free_upload_slot=any_of.slots_free,
        queue_length=any_of.queue_length,
        upload_speed=any_of.speed_bytes_s,
        locked_file_count=len(locked),
        files=[_file(hit) for hit in free],
        locked_files=[_file(hit) for hit in locked],
    )


def _file(hit: SearchHit) -> FoundFile:
    return FoundFile(
        filename=hit.path,
        size=hit.size_bytes,
        extension=formatting.extension(hit.path),
        is_locked=hit.locked,
        bit_rate=_or_none(hit.bit_rate_kbit_s),
        bit_depth=_or_none(hit.bit_depth),
        sample_rate=_or_none(hit.sample_rate_hz),
        length=_or_none(hit.duration_s),
        is_variable_bit_rate=bool(hit.variable_rate) if hit.variable_rate >= 0 else None,
    )


def _or_none(value: int) -> int | None:
    return value if value >= 0 else None
