"""Searches for the sources of jobs: which file a job takes, which users it asks, when it searches again.

A job that begins with a term has no target until its first search has ended. Afterwards it is searched for again from
time to time, and users who were not there before join it. The budget of searches is one for the whole program and kept
by the session: what is over it is refused, and a later try is as good.
"""

import math
from typing import Final

from protocol.messages import SearchEnded, SearchHit, StartSearch
from protocol.messages.addresses import POOL, SESSION, Post
from protocol.model.file_matches import CANDIDATES_MAX, FileMatch, FileMatches, PeerFile, candidates, extension_of
from protocol.model.value import Struct, field

SEARCH_WAIT_S: Final = 5.0
"""How long answers are awaited, where the order says nothing else for its first search."""
EARLY_S: Final = 1.0
"""After the first answer a file is begun with the users who answered so far, where it is clear which one it is."""
EARLY_USERS_MIN: Final = 2
EARLY_LEAD: Final = 2
"""Of unknown size, a file is clear when at least this number of users have it, this multiple of the next one ..."""
QUIET_S: Final = 1.5
"""... or no further user has answered for so long."""
RESEARCH_FIRST_S: Final = 60.0
RESEARCH_S: Final = 90.0
RESEARCH_S_MAX: Final = 3600.0
"""A file that no user has is searched for half as often each time, down to this period."""
USERS_PER_JOB_MAX: Final = 64
"""Users that become sources of one job, over its whole life."""
AT_ONCE_MAX: Final = 8
"""Jobs that search at the same time; the session has room for other searches then."""


class Chosen(Struct, frozen=True):
    """Result of a search for a job: users to become sources, and the name of the file they have.

    `line` is for the user. Without `users` it is the reason.
    """

    job: int
    users: tuple[PeerFile, ...]
    name: str
    line: str


class _JobSearch(Struct):
    """The searching of one job."""

    job: int
    term: str
    wanted_size_bytes: int
    extension: str | None
    """None: any."""
    wait_s: float = SEARCH_WAIT_S
    pending: int | None = None
    """Number of the search under way."""
    heard_s: float = math.inf
    """When it brought its first answer."""
    joined_s: float = math.inf
    """When a further user answered last."""
    peers: set[str] = field(default_factory=set)
    """Users who answered it."""
    next_s: float = 0.0
    missed: int = 0
    """Searches that brought no target."""
    matches: FileMatches = field(default_factory=FileMatches)
    target: FileMatch | None = None
    users: set[str] = field(default_factory=set)
    """Every user that became a source, or must not."""
    name: str = ""
    """The file's name where it is known and the order names no peer's file."""
    paths: list[str] = field(default_factory=list)
    """Of the peers' files that the order names: only files that are called like one of them are found."""

    @property
    def like(self) -> list[str]:
        return self.paths or [self.name] * bool(self.name)


class SourceSearch:
    """The searches of all jobs. Owned by the `PoolState`."""

    def __init__(self) -> None:
        self._searches: dict[int, _JobSearch] = {}
        self._last_number = 0

    def begin(self, job: int, term: str, wanted_size_bytes: int, name: str = "", *, wait_s: float = 0.0) -> list[Post]:
        """Search for a job's file, of this size and called like this where they are known.

        At once, or when others that are under way have ended. `wait_s`: for the answers to the first search, 0: as
        usual.
        """
        search = self._searches[job] = _JobSearch(
            job, term, wanted_size_bytes, extension_of(name) if name else None, wait_s or SEARCH_WAIT_S, name=name
        )
        return [self._request(search)] if self._room > 0 else []

    @property
    def _room(self) -> int:
        """The number of further searches that may be under way."""
        return AT_ONCE_MAX - sum(search.pending is not None for search in self._searches.values())

    def session_restarted(self) -> list[Post]:
        """The session that was searching has died and a new one is there."""
        return [self._request(search) for search in self._searches.values() if search.pending is not None]

    def at_once(self, job: int) -> list[Post]:
        """Search for this job now, if its next search is still to come."""
        search = self._searches.get(job)
        return [self._request(search)] if search is not None and search.pending is None else []

    def exclude(self, job: int, peer: str) -> None:
        """This user does not become a source of the job, whatever is found."""
        search = self._searches.get(job)
        if search is not None and peer:
            search.users.add(peer)

    def named(self, job: int, path: str) -> None:
        """The order names this file: what is found must be called like it."""
        search = self._searches.get(job)
        if search is not None and path and search.target is None:
            search.paths.append(path)

    def forget(self, job: int) -> None:
        self._searches.pop(job, None)

    def hit(self, hit: SearchHit, *, now_s: float) -> None:
        search = self._of(hit.search)
        if search is not None and search.matches.add(hit):
            search.heard_s = min(search.heard_s, now_s)
            if hit.peer not in search.peers:
                search.joined_s = now_s
                search.peers.add(hit.peer)

    def job_of(self, number: int) -> int | None:
        """Return the job that waits for this search."""
        search = self._of(number)
        return search.job if search is not None else None

    def answered(self, job: int) -> int:
        """Return how many users answered the job's search that is under way."""
        search = self._searches.get(job)
        return len(search.peers) if search is not None and search.pending is not None else 0

    def early(self, *, now_s: float) -> list[Chosen]:
        """Return what searches brought so far that are still under way, where it is clear which file it is."""
        found: list[Chosen] = []
        for search in self._searches.values():
            if search.pending is None or now_s < search.heard_s + EARLY_S:
                continue
            if search.target is not None:
                found += [more] if (more := self._more_users(search)) is not None else []
            elif self._is_clear(search, now_s):
                found.append(self._choose(search, ""))
        return found

    def _is_clear(self, search: _JobSearch, now_s: float) -> bool:
        """Whether what came until now says which file it is."""
        users = [len(each.hits) for each in self._best(search)[:2]]
        if search.wanted_size_bytes >= 0:
            return bool(users)
        first, second = (*users, 0, 0)[:2]
        leads = first >= EARLY_LEAD * second or now_s >= search.joined_s + QUIET_S
        return first >= EARLY_USERS_MIN and leads

    def ended(self, ended: SearchEnded, *, now_s: float) -> Chosen | None:
        """Return what the search brought; None when no job waits for it, or it brought no new user."""
        search = self._of(ended.search)
        if search is None:
            return None
        search.pending, search.heard_s, search.wait_s = None, math.inf, SEARCH_WAIT_S
        search.peers.clear()
        if search.target is not None:
            search.next_s = now_s + max(RESEARCH_S, ended.retry_after_s)
            return self._more_users(search)
        if ended.retry_after_s > 0:  # it was not made: the budget is one for all
            search.next_s = now_s + ended.retry_after_s
        else:
            search.next_s = now_s + min(RESEARCH_FIRST_S * 2**search.missed, RESEARCH_S_MAX)
            search.missed += 1
        return self._choose(search, ended.refused)

    def tick(self, now_s: float) -> list[Post]:
        """Search again for those that are due and have room for more users, the longest overdue first."""
        due = [
            search
            for search in self._searches.values()
            if search.pending is None and search.next_s <= now_s and len(search.users) < USERS_PER_JOB_MAX
        ]
        due.sort(key=lambda search: search.next_s)
        return [self._request(search) for search in due[: max(self._room, 0)]]

    def _best(self, search: _JobSearch) -> list[FileMatch]:
        return search.matches.best(size_bytes=search.wanted_size_bytes, extension=search.extension, like=search.like)

    def _choose(self, search: _JobSearch, refused: str) -> Chosen:
        best = self._best(search)
        if not best:
            if search.like and (same := search.matches.best(size_bytes=search.wanted_size_bytes)):
                text = f"no other user has it under its name; {len(same)} files of its size are called otherwise"
                return Chosen(search.job, (), "", text)
            size = f" of {search.wanted_size_bytes} bytes" if search.wanted_size_bytes >= 0 else ""
            return Chosen(search.job, (), "", refused or f"no user offers {search.term!r}{size}")
        target = search.target = best[0]
        users = self._take_users(search, target)
        others = f"; {len(best) - 1} other files" if len(best) > 1 else ""
        line = f"found {len(target.hits)} users with {target.name} ({target.size_bytes} bytes){others}"
        return Chosen(search.job, users, target.name, line)

    def _more_users(self, search: _JobSearch) -> Chosen | None:
        assert search.target is not None
        users = self._take_users(search, search.target)
        if not users:
            return None
        names = ", ".join(hit.peer for hit in users[:5]) + (" ..." if len(users) > 5 else "")
        return Chosen(search.job, users, search.target.name, f"found {len(users)} more users: {names}")

    def _take_users(self, search: _JobSearch, target: FileMatch) -> tuple[PeerFile, ...]:
        room = min(CANDIDATES_MAX, USERS_PER_JOB_MAX - len(search.users))
        users = tuple(candidates(target, search.users, room=room))
        search.users.update(hit.peer for hit in users)
        return users

    def _request(self, search: _JobSearch) -> Post:
        self._last_number += 1
        search.pending = self._last_number
        request = StartSearch(search=search.pending, term=search.term, wait_s=search.wait_s, reply_to=POOL)
        return Post(to=SESSION, message=request)

    def _of(self, number: int) -> _JobSearch | None:
        return next((search for search in self._searches.values() if search.pending == number), None)
