"""Piece hashes against the contributors of a file: good and bad pieces, who loses its place for a bad one.

With a hash for every piece a bad one can do no harm: it is dropped and fetched again, its sender keeps its place until
most of what it sends is bad. A piece of several contributors is read again, a chunk at a time, by other sources, which
opens the dispute that finds the odd one. A piece is named by its first chunk. Pure; owned by `ContentChecks`.
"""

from collections import Counter
from collections.abc import Collection
from typing import Final

from actors.core.dispatch.identity.checks import CheckPlan
from actors.core.dispatch.identity.evidence import Identity
from actors.core.dispatch.progress import Reporter
from actors.core.outbox import Outbox
from protocol.messages import ComparePieces, StartJob
from protocol.messages.addresses import ASSEMBLER
from protocol.model.chunk_ranges import ChunkRange, RangeSet
from protocol.model.job_spec import PieceHashes
from protocol.model.value import Struct

REFETCHES_MAX: Final = 3
"""A bad piece that one contributor sent is fetched again this often: the fault may lie in the connection."""
GOOD_PER_BAD_MIN: Final = 3
"""A contributor that sent fewer good pieces for each bad one, of at least two, has other content."""
QUESTION_CHUNKS: Final = 4
QUESTIONS_MAX: Final = 4
"""Times that chunks of bad pieces are read again to see whether a document is wrong, and how many each time."""


class PieceSenders:
    """Pieces that came from one contributor alone, counted by contributor."""

    def __init__(self) -> None:
        self._good: Counter[int] = Counter()
        self._bad: Counter[int] = Counter()
        self._sent_bad: set[tuple[int, int]] = set()
        self._refetches: Counter[int] = Counter()

    def good(self, owners: Collection[int]) -> None:
        """Note the contributors of a good piece."""
        if len(owners) == 1:
            self._good.update(owners)

    def bad(self, owner: int, first: int) -> bool:
        """Note a bad piece; return whether its sender has other content: it repeats itself, or sends few good ones."""
        self._bad[owner] += 1
        again = (owner, first) in self._sent_bad
        self._sent_bad.add((owner, first))
        return again or (self._bad[owner] > 1 and self._good[owner] < GOOD_PER_BAD_MIN * self._bad[owner])

    def refetch(self, first: int) -> bool:
        """Return whether a bad piece is to be fetched again, which counts."""
        self._refetches[first] += 1
        return self._refetches[first] <= REFETCHES_MAX


class BadPiece(Struct, frozen=True):
    """Bad piece of one contributor. `repeats`: its sender has other content, as far as that shows.

    `words` say in a sentence what was found.
    """

    owner: int
    repeats: bool
    words: str


class PieceChecks:
    """Pieces of one job. `awaited`: the file waits for the check of each. Bad ones that are stored are `bad`.

    `adopted`: the hashes are no part of the order but those of a document that a source named. They are not believed
    against sources that agree with each other.
    """

    def __init__(self, job: StartJob, identity: Identity, plan: CheckPlan, report: Reporter, out: Outbox) -> None:
        self._job = job
        self._identity = identity
        self._plan = plan
        self._report = report
        self._out = out
        self._senders = PieceSenders()
        self._questions = 0
        self.adopted = PieceHashes()
        self.awaited = bool(job.spec.pieces.algorithm)

    def adopt(self, hashes: PieceHashes, *, opened: bool) -> None:
        """Go by the hashes of a document that came after the order, unless there are some already.

        `opened`: the part file is open; else they are compared once it is.
        """
        if hashes.algorithm and not self.awaited:
            self.adopted, self.awaited = hashes, True
            if opened:
                self.compare()

    def compare(self) -> None:
        """Have the store compare the adopted hashes: it does not know them from the order."""
        if self.adopted.algorithm and self.awaited:
            self._out.post(ASSEMBLER, ComparePieces(job=self._job.job, pieces=self.adopted))

    def question(self) -> bool:
        """Have a bad piece read again by others, who say whether its sender is right or the document that was adopted.

        False: they agree with its sender, or that was done often enough.
        """
        first, stop = next(iter(self.bad))
        wanted = range(first, min(stop, first + QUESTION_CHUNKS))
        self._questions += 1
        if self._questions > QUESTIONS_MAX or all(self._identity.confirmed(chunk, whole=True) for chunk in wanted):
            return False
        self._plan.suspects |= dict.fromkeys(wanted)
        return True

    def give_up(self) -> None:
        """Compare no more pieces; what was found of them counts for nothing."""
        self.awaited = False
        self._identity.proven_chunks = RangeSet()
        self._identity.doubted = RangeSet()

    @property
    def bad(self) -> RangeSet:
        return self._identity.doubted

    def all_proven(self, total: int) -> bool:
        """Whether every piece has its hash."""
        return self._identity.proven_chunks.covers(0, total)

    def good(self, first: int, stop: int) -> None:
        """Chunks ``[first, stop)``, all that lie wholly in a piece, have its hash."""
        rows = self._report.owned_within(first, stop)
        if sum(end - begin for begin, end, _ in rows) == stop - first:
            owners = {owner for _, _, owner in rows}
            self._identity.prove(first, stop, owners)
            self._senders.good(owners)
            self.bad.discard(first, stop)
            for chunk in range(first, stop):
                self._plan.suspects.pop(chunk, None)

    def again(self) -> None:
        """The store has the file open once more: every piece is compared again."""
        self._identity.proven_chunks = RangeSet()
        self._identity.doubted = RangeSet()
        self.compare()

    def found_bad(self, first: int, stop: int) -> BadPiece | None:
        """The piece that chunks ``[first, stop)`` touch has another hash. None: other sources are asked who is odd."""
        owners = {owner for _, _, owner in self._report.owned_within(first, stop)}
        self._identity.checks_disagreed += 1
        self.bad.add(first, stop)
        if len(owners) != 1:
            self._plan.suspects |= dict.fromkeys(range(first, stop))
            return None
        owner = owners.pop()
        repeats = self._senders.bad(owner, first)
        if repeats and self.adopted.algorithm:
            if not self._plan.suspects:
                self.question()
            return None
        return BadPiece(owner, repeats, f"chunks {first} to {stop - 1} have another piece hash")

    def refetch(self, first: int) -> bool:
        """Return whether a bad piece is to be fetched again, which counts."""
        return self._senders.refetch(first)

    def agreed_on(self) -> tuple[ChunkRange, frozenset[int]]:
        """Return a bad piece whose every chunk was confirmed, or for which none can be asked, and who sent it."""
        first, stop = next(iter(self.bad))
        return (first, stop), frozenset(owner for _, _, owner in self._report.owned_within(first, stop))
