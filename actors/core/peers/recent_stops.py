"""Recent stops of peers' transfers: how often each was hung up on for the files of one of its folders, an album.

The jobs of an album know nothing of each other, and all of them begin at once. So an offered upload says how often its
peer was stopped by the others. The ledger of a whole day is the peer history's.
"""

from collections import Counter
from typing import Final

from protocol.model.remote_paths import split_remote

KEPT_S: Final = 3600.0
"""So long after its last stop a folder's count is kept: who wants more of it then is not in the middle of an album."""
FOLDERS_MAX: Final = 1000


class RecentStops:
    """Stops by peer, folder and job. Owned by the session's loop, through which all offers of a peer come."""

    def __init__(self) -> None:
        # With the time of the last one; who was stopped last is the last.
        self._folders: dict[tuple[str, str], tuple[float, Counter[int]]] = {}

    def add(self, peer: str, path: str, job: int, *, now_s: float) -> None:
        """Count one more: this job hung up on the peer while it sent the file of this remote path."""
        key = (peer, split_remote(path)[0])
        by_job = self._kept(key, now_s) or Counter()
        by_job[job] += 1
        self._folders.pop(key, None)
        self._folders[key] = (now_s, by_job)
        if len(self._folders) > FOLDERS_MAX:
            del self._folders[next(iter(self._folders))]

    def beside(self, peer: str, path: str, job: int, *, now_s: float) -> int:
        """Return how often other jobs than this one stopped the peer in the folder of this path."""
        by_job = self._kept((peer, split_remote(path)[0]), now_s)
        return by_job.total() - by_job[job] if by_job else 0

    def _kept(self, key: tuple[str, str], now_s: float) -> Counter[int] | None:
        last_s, by_job = self._folders.get(key, (now_s, None))
        return by_job if now_s - last_s <= KEPT_S else None
