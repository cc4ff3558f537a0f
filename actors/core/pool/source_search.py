"""Searches for the sources of jobs: which target a job takes, whom it asks, when it searches again.

A job that begins with a term is *hunting* until its first search has ended. Afterwards it is searched for again from
time to time, and users who were not there before join it. The budget of searches is one for the whole program and kept
by the session: what is over it is refused, and a later try is as good.
"""

from dataclasses import dataclass, field
from typing import Final

from protocol.messages import SearchEnded, SearchHit, StartSearch
from protocol.messages.addresses import POOL, SESSION, Post
from protocol.model.file_matches import CANDIDATES_MAX, FileMatch, FileMatches, PeerFile, candidates

SEARCH_WAIT_S: Final = 5.0
RESEARCH_FIRST_S: Final = 60.0
RESEARCH_S: Final = 90.0
RESEARCH_S_MAX: Final = 3600.0
"""A file that nobody has is searched for twice as seldom each time, down to this."""
USERS_PER_JOB_MAX: Final = 64
"""So many users become sources of one job, over its whole life."""
AT_ONCE_MAX: Final = 8
"""So many jobs search at the same time; the session has room for others' searches then."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a search brought for a job: users to become sources, the file they have. `line` is for people.

    `users` empty and `line` the reason: nothing.
    """

    job: int
    first: bool
    users: tuple[PeerFile, ...]
    name: str
    line: str


@dataclass(slots=True)
class _Hunt:
    """One job's searching. `target` once chosen, `missed`: how many searches did not bring one; `users`: everybody who
    became a source; `search` the pending one. `extension` None: any."""

    job: int
    term: str
    wanted_size_bytes: int
    extension: str | None
    search: int | None = None
    next_s: float = 0.0
    missed: int = 0
    hits: FileMatches = field(default_factory=FileMatches)
    target: FileMatch | None = None
    users: set[str] = field(default_factory=set)


class Searching:
    """Owned by the PoolState."""

    def __init__(self) -> None:
        self._hunts: dict[int, _Hunt] = {}
        self._last_search = 0

    def begin(self, job: int, term: str, wanted_size_bytes: int, extension: str | None = None) -> list[Post]:
        """Search for a job's file, of this size and extension where they are known: at once, or when others that are
        searching have ended."""
        hunt = self._hunts[job] = _Hunt(job, term, wanted_size_bytes, extension)
        return [self._ask(hunt)] if self._room > 0 else []

    @property
    def _room(self) -> int:
        """So many more may search now."""
        return AT_ONCE_MAX - sum(hunt.search is not None for hunt in self._hunts.values())

    def again(self, job: int | None = None) -> list[Post]:
        """The session that was searching has died and a new one is there; or search at once for this job, if its next
        search is still to come."""
        if job is None:
            return [self._ask(hunt) for hunt in self._hunts.values() if hunt.search is not None]
        hunt = self._hunts.get(job)
        return [self._ask(hunt)] if hunt is not None and hunt.search is None else []

    def hunting(self) -> list[int]:
        """Jobs that have not found their file yet."""
        return [job for job, hunt in self._hunts.items() if hunt.target is None]

    def shun(self, job: int, peer: str) -> None:
        """This user does not become a source of the job, whatever is found."""
        hunt = self._hunts.get(job)
        if hunt is not None and peer:
            hunt.users.add(peer)

    def forget(self, job: int) -> None:
        self._hunts.pop(job, None)

    def hit(self, hit: SearchHit) -> list[Post]:
        """Nothing follows from a single one."""
        hunt = self._of(hit.search)
        if hunt is not None:
            hunt.hits.add(hit)
        return []

    def ended(self, ended: SearchEnded, *, now_s: float) -> Chosen | None:
        """What this search brought; None when nobody waits for it, or it brought nobody new."""
        hunt = self._of(ended.search)
        if hunt is None:
            return None
        hunt.search = None
        if hunt.target is None:
            if ended.retry_after_s > 0:  # it was not made: the budget is one for all
                hunt.next_s = now_s + ended.retry_after_s
            else:
                hunt.next_s = now_s + min(RESEARCH_FIRST_S * 2**hunt.missed, RESEARCH_S_MAX)
                hunt.missed += 1
            return self._choose(hunt, ended)
        hunt.next_s = now_s + max(RESEARCH_S, ended.retry_after_s)
        return self._join(hunt)

    def tick(self, now_s: float) -> list[Post]:
        """Search again for those whose time has come and who have room for more, who waits for longest first."""
        due = [
            hunt
            for hunt in self._hunts.values()
            if hunt.search is None and hunt.next_s <= now_s and len(hunt.users) < USERS_PER_JOB_MAX
        ]
        due.sort(key=lambda hunt: hunt.next_s)
        return [self._ask(hunt) for hunt in due[: max(self._room, 0)]]

    def _choose(self, hunt: _Hunt, ended: SearchEnded) -> Chosen:
        best = hunt.hits.best(size_bytes=hunt.wanted_size_bytes, extension=hunt.extension)
        if not best:
            size = f" of {hunt.wanted_size_bytes} bytes" if hunt.wanted_size_bytes >= 0 else ""
            return Chosen(hunt.job, True, (), "", ended.refused or f"nobody offers {hunt.term!r}{size}")
        target = hunt.target = best[0]
        users = self._take(hunt)
        others = f"; {len(best) - 1} other files" if len(best) > 1 else ""
        line = f"found {len(target.hits)} users with {target.name} ({target.size_bytes} bytes){others}"
        return Chosen(hunt.job, True, users, target.name, line)

    def _join(self, hunt: _Hunt) -> Chosen | None:
        assert hunt.target is not None
        users = self._take(hunt)
        if not users:
            return None
        names = ", ".join(hit.peer for hit in users[:5]) + (" ..." if len(users) > 5 else "")
        return Chosen(hunt.job, False, users, hunt.target.name, f"found {len(users)} more users: {names}")

    def _take(self, hunt: _Hunt) -> tuple[PeerFile, ...]:
        assert hunt.target is not None
        room = min(CANDIDATES_MAX, USERS_PER_JOB_MAX - len(hunt.users))
        users = tuple(candidates(hunt.target, hunt.users, room=room))
        hunt.users.update(hit.peer for hit in users)
        return users

    def _ask(self, hunt: _Hunt) -> Post:
        self._last_search += 1
        hunt.search = self._last_search
        asked = StartSearch(search=hunt.search, term=hunt.term, wait_s=SEARCH_WAIT_S, reply_to=POOL)
        return Post(to=SESSION, message=asked)

    def _of(self, search: int) -> _Hunt | None:
        return next((hunt for hunt in self._hunts.values() if hunt.search == search), None)
