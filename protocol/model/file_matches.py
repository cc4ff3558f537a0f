"""Search results grouped by file: which files can be had, from how many peers, how soon.

Two peers' files count as one file when their exact size, their extension and the words of their names are equal, and
nothing that both tell of the sound differs. Soulseek has no content hash, so this is a guess that the chunks' digests
have to confirm. Results come from strangers: everything is checked and bounded here.
"""

import unicodedata
from collections.abc import Collection, Iterable
from typing import Final

from protocol.model.filenames import base_name
from protocol.model.value import Struct, Value, field, late_pattern

HITS_PER_TARGET_MAX: Final = 500
TARGETS_MAX: Final = 2000
CANDIDATES_MAX: Final = 20
"""Number of peers of a file that become sources at once; the others are kept for later."""
SIZE_MAX: Final = 1 << 45
NAME_CHARS_MAX: Final = 4000
DURATION_SLACK_S: Final = 1
"""Clients round the same length up or down."""
RATE_SLACK_KBIT_S: Final = 1
_WORD: Final = late_pattern(
    r"[^\W_]+[#+\u266d-\u266f]*|&|[\U0001f1e6-\U0001f1ff]{2}|[\u2600-\u27bf\U0001f000-\U0001faff]"
)
"""Letters and digits; also flags, which name regions, and pictures."""
_PADDING: Final = late_pattern(r"(?<!\d)(?<!\d\.)0+(?=\d)")
_APOSTROPHES: Final = late_pattern(r"['`\u00b4\u2018\u2019\u02bc]")
_SAME_WORDS: Final = {"&": "and", "featuring": "feat", "ft": "feat"}
_PLACE_WORDS: Final = {"track", "cd", "disc", "disk", "side", "part", "cover", "folder", "front", "back"}
"""Words that say where in an album a file belongs, but not in which."""

NameKey = tuple[tuple[str, ...], tuple[str, ...]]
"""Words of a file name: those without digits, sorted, and those with digits, in their order."""


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

    @property
    def constant_rate_kbit_s(self) -> int:
        """The bit rate where it does not vary; clients compute the mean of one that does differently."""
        return -1 if self.variable_rate > 0 else self.bit_rate_kbit_s

    @property
    def tells_attributes(self) -> bool:
        return max(self.duration_s, self.bit_rate_kbit_s, self.sample_rate_hz) > 0


class FileMatch(Struct):
    """One file, with the file of each peer that has it.

    `first`: for each attribute that a hit tells, the first hit's value; none that differs is in `hits`.
    """

    size_bytes: int
    extension: str
    words: NameKey = ((), ())
    hits: dict[str, PeerFile] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)

    def fits(self, hit: PeerFile) -> bool:
        """Whether nothing that both this file's peers and the hit tell of the sound differs."""
        return all(abs(self.first.get(name, value) - value) <= slack for name, value, slack in _attributes(hit))

    def put(self, hit: PeerFile) -> None:
        """Take a hit that fits. A peer counts once."""
        if self.hits.setdefault(hit.peer, hit) is hit:
            for name, value, _ in _attributes(hit):
                self.first.setdefault(name, value)

    @property
    def agreeing(self) -> int:
        """Number of peers that tell the length or a rate: all of them the same."""
        return sum(hit.tells_attributes for hit in self.hits.values())

    @property
    def sureness(self) -> str:
        """How sure it is that all peers have one file: ``single``, ``names``, ``attributes`` where several tell them.

        The words of the names and the size are equal in any case.
        """
        return "single" if len(self.hits) == 1 else "attributes" if self.agreeing > 1 else "names"

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
        self._targets: dict[tuple[int, str, NameKey], list[FileMatch]] = {}
        self._count = 0
        self.refused = 0

    def add(self, hit: PeerFile) -> bool:
        """Sort a hit in. False: it is nonsense, or there is no room for more."""
        target = self._target_of(hit) if sensible(hit) else None
        if target is None or (hit.peer not in target.hits and len(target.hits) >= HITS_PER_TARGET_MAX):
            self.refused += 1
            return False
        target.put(hit)
        return True

    def best(
        self, *, size_bytes: int = -1, extension: str | None = None, like: Collection[str] = ()
    ) -> list[FileMatch]:
        """Return them by number of peers, then by peers that are free, then by speed; of this size and extension.

        `like`: remote paths; where there are some, only files that are called like one of them, and first the one that
        a peer has at such a path.
        """
        keys = {name_key(path) for path in like}
        wanted = [
            each
            for same_name in self._targets.values()
            for each in same_name
            if size_bytes in (-1, each.size_bytes)
            and extension in (None, each.extension)
            and (not keys or each.words in keys)
        ]

        def rank(each: FileMatch) -> tuple[bool, int, int, int, int]:
            named = any(hit.path in like for hit in each.hits.values())
            return (not named, -len(each.hits), -each.free, -each.speed_bytes_s, -each.size_bytes)

        return sorted(wanted, key=rank)

    def _target_of(self, hit: PeerFile) -> FileMatch | None:
        """Return the file that the hit belongs to, a new one where none fits, None where there is no room for that."""
        size_bytes, extension, words = hit.size_bytes, extension_of(hit.path), name_key(hit.path)
        same_name = self._targets.setdefault((size_bytes, extension, words), [])
        known = [each for each in same_name if each.fits(hit)]
        if known or self._count >= TARGETS_MAX:
            return known[0] if known else None
        self._count += 1
        same_name.append(FileMatch(size_bytes, extension, words))
        return same_name[-1]


def _attributes(hit: PeerFile) -> list[tuple[str, int, int]]:
    """``(name, value, slack)`` of everything that the peer tells of the sound and that must be equal."""
    rows = (
        ("duration", hit.duration_s, DURATION_SLACK_S),
        ("bit rate", hit.constant_rate_kbit_s, RATE_SLACK_KBIT_S),
        ("sample rate", hit.sample_rate_hz, 0),
        ("bit depth", hit.bit_depth, 0),
    )
    return [row for row in rows if row[1] > 0]


def name_key(path: str) -> NameKey:
    """Return the words of a remote file's name, for comparison with another peer's.

    Order of words, punctuation, case, underscores, accents of Latin letters, apostrophes and leading zeros do not
    matter. The order of numbers does: disc 1 track 2 is not disc 2 track 1. A word that only one name has, like a
    region, a version or a track number, makes it another name. A name of numbers alone says nothing, so the words of
    its folder count too.
    """
    name = base_name(path)
    plain, numbered = _words(name.rpartition(".")[0] or name)
    if not plain and not numbered:
        return (name.casefold(),), ()
    if not set(plain) - _PLACE_WORDS:
        folder = base_name(path[: len(path) - len(name)].rstrip("\\/"))
        plain, more = _words(folder, plain)
        numbered = (*more, *numbered)
    return plain, numbered


def _words(text: str, also: Iterable[str] = ()) -> NameKey:
    folded = _PADDING.sub("", _APOSTROPHES.sub("", _without_accents(text)))
    words = [_SAME_WORDS.get(word, word) for word in _WORD.findall(folded)]
    numbered = tuple(word for word in words if any(letter.isdigit() for letter in word))
    return tuple(sorted([*also, *(word for word in words if word not in numbered)])), numbered


def _without_accents(text: str) -> str:
    """Return it in one form and case. Only Latin letters lose marks: elsewhere they make another letter."""
    out: list[str] = []
    base = ""
    for letter in unicodedata.normalize("NFKD", text).casefold():
        if not unicodedata.combining(letter):
            base = letter
        elif base < "\u0250":
            continue
        out.append(letter)
    return unicodedata.normalize("NFC", "".join(out))


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


def extension_of(path: str) -> str:
    """Lower case without the dot, empty without one."""
    stem, dot, extension = base_name(path).rpartition(".")
    return extension.lower() if dot and stem else ""


def candidates(target: FileMatch, taken: Iterable[str], *, room: int = CANDIDATES_MAX) -> list[PeerFile]:
    """The peers of a target to be asked next, best first, none of those `taken`, at most `room`."""
    known = set(taken)
    return [hit for hit in target.ranked() if hit.peer not in known][:room]
