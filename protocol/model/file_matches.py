"""Search results grouped by file: which files can be had, from how many peers, how soon.

Two peers' files count as one file when their exact size and their extension are equal. Soulseek has no content hash, so
this is a guess that the chunks' digests have to confirm. Results come from strangers: everything is checked and bounded
here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from protocol.model.value import Value

HITS_PER_TARGET_MAX: Final = 500
TARGETS_MAX: Final = 2000
CANDIDATES_MAX: Final = 20
"""Number of peers of a file that become sources at once; the others are kept for later."""
SIZE_MAX: Final = 1 << 45
NAME_CHARS_MAX: Final = 4000


class PeerFile(Value):
    """One file of one peer, as a search result describes it.

    What the peer says of the sound is -1 where it says nothing.
    """

    peer: str
    path: str
    size_bytes: int
    slots_free: bool
    speed_bytes_s: int
    """Advertised by the peer, 0 unknown."""
    queue_length: int
    """Uploads that are waiting before ours."""
    locked: bool
    duration_s: int = -1
    bit_rate_kbit_s: int = -1
    variable_rate: int = -1
    """0: it does not vary."""
    sample_rate_hz: int = -1
    bit_depth: int = -1


@dataclass(slots=True)
class FileMatch:
    """One file, with the file of each peer that has it."""

    size_bytes: int
    extension: str
    hits: dict[str, PeerFile] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file name that most peers use; of two equally common names the first in order."""
        names = [base_name(hit.path) for hit in self.hits.values()]
        return max(sorted(set(names)), key=names.count)

    @property
    def free(self) -> int:
        """Peers that would send at once."""
        return sum(hit.slots_free for hit in self.hits.values())

    @property
    def speed_bytes_s(self) -> int:
        return sum(hit.speed_bytes_s for hit in self.hits.values())

    @property
    def shortest_queue(self) -> int:
        return min(hit.queue_length for hit in self.hits.values())

    def ranked(self) -> list[PeerFile]:
        """The peers' files, those that would be sent soonest and fastest first."""
        return sorted(
            self.hits.values(), key=lambda hit: (not hit.slots_free, hit.queue_length, -hit.speed_bytes_s, hit.peer)
        )


class FileMatches:
    """The files found by one search. Owned by the one who searches."""

    def __init__(self) -> None:
        self._targets: dict[tuple[int, str], FileMatch] = {}
        self.refused = 0

    def add(self, hit: PeerFile) -> bool:
        """Sort a hit in. False: it is nonsense, or there is no room for more."""
        if not sensible(hit):
            self.refused += 1
            return False
        key = (hit.size_bytes, extension_of(hit.path))
        target = self._targets.get(key)
        if target is None:
            if len(self._targets) >= TARGETS_MAX:
                self.refused += 1
                return False
            target = self._targets[key] = FileMatch(*key)
        if hit.peer not in target.hits and len(target.hits) >= HITS_PER_TARGET_MAX:
            self.refused += 1
            return False
        target.hits.setdefault(hit.peer, hit)
        return True

    def best(self, *, size_bytes: int = -1, extension: str | None = None) -> list[FileMatch]:
        """Return them by number of peers, then by peers that are free, then by speed; of this size and extension."""
        wanted = [
            each
            for each in self._targets.values()
            if size_bytes in (-1, each.size_bytes) and extension in (None, each.extension)
        ]
        return sorted(wanted, key=lambda each: (-len(each.hits), -each.free, -each.speed_bytes_s, -each.size_bytes))


def sensible(hit: PeerFile) -> bool:
    """Whether a stranger's hit can be meant: a name without control characters, a size a file can have."""
    return (
        0 < hit.size_bytes <= SIZE_MAX
        and 0 < len(hit.peer) <= 100
        and 0 < len(hit.path) <= NAME_CHARS_MAX
        and hit.peer.isprintable()
        and hit.path.isprintable()
        and not hit.locked
        and bool(base_name(hit.path))
        and hit.queue_length >= 0
        and hit.speed_bytes_s >= 0
    )


def base_name(path: str) -> str:
    """The last part of a remote path; peers write backslashes, some write slashes."""
    return path.replace("/", "\\").rpartition("\\")[2]


def extension_of(path: str) -> str:
    """Lower case without the dot, empty without one."""
    stem, dot, extension = base_name(path).rpartition(".")
    return extension.lower() if dot and stem else ""


def candidates(target: FileMatch, taken: Iterable[str], *, room: int = CANDIDATES_MAX) -> list[PeerFile]:
    """The peers of a target to be asked next, best first, none of those `taken`, at most `room`."""
    known = set(taken)
    return [hit for hit in target.ranked() if hit.peer not in known][:room]
