"""Content identity of a job's sources: evidence graph, groups, disputes and how they are resolved.

Bytes of two contributors are put into one file only on evidence that they have the same file. Evidence is an *edge*
between two contributors, of a kind of `protocol.model.identity.KINDS`: both gave the same digest for one chunk
(overlap), the container's own checks close across the place where their bytes meet (frames), and so on. Contributors
joined by edges of kind overlap or stronger are a *group* (union-find); equal size and attributes alone tie no bytes.
Two digests for one chunk are a *dispute*: it costs the odd contributor its place, never the user the file.

A contributor is a source's number, or, below 0, the name that the records of an earlier attempt keep
(`contributors.recorded`). `AUTHORITY` stands for what is right by definition: piece hashes, a digest. Owned by one
`DispatchState`. Pure.

Invariant: no excluded contributor is in a group, and every open dispute has at least two different answers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Final, TypeVar

from protocol.model.chunk_ranges import RangeSet
from protocol.model.identity import KINDS, PLACES_MAX, Claim, strength
from protocol.model.value import Struct, field

AUTHORITY: Final = 1 << 62
"""Contributor of the bytes that piece hashes or a digest ask for; an edge to it proves the other one."""
_TYING: Final = strength("overlap")
"""Weaker evidence joins no groups."""
VOTES_MAX: Final = 5
"""Answers to one dispute; more would only cost bytes."""
DISPUTE_S_MAX: Final = 12.0
"""A dispute is decided after this long with the answers that are there: sources may never answer."""
INVITED_S_MAX: Final = 90.0
"""The same while a user's turn in its queue is awaited for an answer."""
INVITE_EVERY_S: Final = 20.0
"""So long is waited for the turn of one user before a further one is asked."""
CONFIDENCE: Final = 0.99


def excluded_share(checks: int) -> float:
    """Share of the file above which a difference is excluded at 99 % by this number of agreeing checks (1: by none).

    A source that differs in a share `s` of the places passes one check at a random place with probability ``1 - s``. A
    place is what one check reads: a chunk, or of a mirror a span of 32 KiB.
    """
    return 1.0 if checks <= 0 else 1.0 - (1.0 - CONFIDENCE) ** (1.0 / checks)


T = TypeVar("T")


def thinned(places: list[T]) -> tuple[T, ...]:
    """Return at most `PLACES_MAX` of them, spread over all."""
    return tuple(places[:: -(-len(places) // PLACES_MAX) or 1])


_ALONE: Final = frozenset((0,))
"""As many members as a set has that is not written down."""


class Groups:
    """Disjoint sets of contributors (union-find with path halving, the smaller set joins the larger)."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}
        self._members: dict[int, set[int]] = {}

    def find(self, member: int) -> int:
        parent = self._parent
        parent.setdefault(member, member)
        while parent[member] != member:
            parent[member] = member = parent[parent[member]]
        return member

    def union(self, one: int, other: int) -> bool:
        """Make two sets one. Returns whether they were two."""
        smaller, larger = self.find(one), self.find(other)
        if smaller == larger:
            return False
        sets = self._members
        if len(sets.get(smaller, _ALONE)) > len(sets.get(larger, _ALONE)):
            smaller, larger = larger, smaller
        joined = sets.get(larger)
        if joined is None:
            joined = sets[larger] = {larger}
        joined |= sets.pop(smaller, {smaller})
        self._parent[smaller] = larger
        return True

    def members(self, member: int) -> set[int]:
        """Return the whole set of this member; not to be changed."""
        root = self.find(member)
        return self._members.get(root) or {root}

    def same(self, one: int, other: int) -> bool:
        return self.find(one) == self.find(other)


class Dispute(Struct):
    """Contributors that gave different digests for one chunk. `answers` holds the first answer of each.

    `asked`: contributors that were asked because of this dispute, answered or not. `changed`: those whose second answer
    was not their first. `invited`: users in whose queues we wait for the sake of an answer.
    """

    chunk: int
    since_s: float
    answers: dict[int, bytes] = field(default_factory=dict)
    invited: set[int] = field(default_factory=set)
    asked: set[int] = field(default_factory=set)
    changed: set[int] = field(default_factory=set)

    def invites(self, member: int, now_s: float) -> bool:
        """Return whether this user is to be asked, one after the other: its transfer for one chunk is a cost to it."""
        waiting = len(self.invited - self.answers.keys())
        return member in self.invited or waiting <= (now_s - self.since_s) / INVITE_EVERY_S

    def sides(self) -> dict[bytes, list[int]]:
        """Contributors by their answer, those that changed it left out."""
        sides: dict[bytes, list[int]] = {}
        for member, digest in self.answers.items():
            if member not in self.changed:
                sides.setdefault(digest, []).append(member)
        return sides


class Resolution(Struct, frozen=True):
    """Outcome of a dispute: `losers` have other content than the group that goes on, shown at `chunk`.

    `winners` gave the answer that counts; `votes` says how it was decided, in words for people.
    """

    chunk: int
    losers: frozenset[int]
    winners: frozenset[int]
    votes: str

    @property
    def why(self) -> str:
        """What showed the difference, in words for people."""
        return f"overlap check of chunk {self.chunk}, {self.votes}" if self.chunk >= 0 else self.votes


class Standpoint(Struct, frozen=True, kw_only=True):
    """Facts about contributors beside the evidence, asked when a dispute is decided.

    `named_rank`: place in the user's order, lowest first, the same high number for all that a search found.
    `rate_bytes_s`: how fast it could go on.
    """

    named_rank: Callable[[int], int]
    rate_bytes_s: Callable[[int], float]


class Identity:
    """Evidence graph of one job.

    `anchor`: the contributor that the order names, whose file the user gets and no other; None where there is none.
    `excluded`: contributors with other content, each with those that it differed from; `losses`: how many chunks each
    had sent, and what showed the difference. `proven_chunks`: stored chunks
    that were found right by piece hashes or a digest; `doubted`: those of pieces that were found wrong, so that of two
    answers of equal weight the one that is not stored is tried first. `revision` rises with every change of groups,
    confirmed chunks or exclusions, so that what is derived from them is derived once.
    """

    def __init__(self, *, anchor: int | None = None) -> None:
        self.anchor = anchor
        self.revision = 0
        self.disputes: dict[int, Dispute] = {}
        self.excluded: dict[int, frozenset[int]] = {}
        self.losses: dict[int, tuple[int, str]] = {}
        self.checks_agreed = 0
        self.checks_disagreed = 0
        self.disputed_chunks: set[int] = set()
        self.proven_chunks = RangeSet()
        self.doubted = RangeSet()
        self._groups = Groups()
        self._edges: dict[frozenset[int], int] = {}  # the strongest kind of each pair
        self._chunks: dict[int, set[int]] = {}
        self._confirmed: set[int] = set()
        self._whole: set[int] = set()  # of these, those of which all bytes were compared

    # -- evidence

    def agree(self, one: int, other: int, chunk: int, *, kind: str = "overlap", whole: bool = True) -> None:
        """Note evidence, found at this chunk, that both have the same file; if it is enough they are of one group.

        `whole`: all bytes of the chunk were compared, not a span of them.
        """
        if one == other:
            return
        pair = frozenset((one, other))
        self.revision += 1
        self._edges[pair] = max(self._edges.get(pair, 0), strength(kind))
        if strength(kind) < _TYING:
            return
        ours, theirs = self._chunks.setdefault(one, set()), self._chunks.setdefault(other, set())
        self.checks_agreed += chunk not in ours or chunk not in theirs
        ours.add(chunk)
        theirs.add(chunk)
        self._confirmed.add(chunk)
        if whole:
            self._whole.add(chunk)
        if not pair & self.excluded.keys():
            self._groups.union(one, other)

    def vouch(self, one: int, other: int) -> None:
        """Tie two contributors that name the same digest of the whole, with which the finished file is compared."""
        pair = frozenset((one, other))
        if one != other and not pair & self.excluded.keys():
            self.revision += 1
            self._edges[pair] = max(self._edges.get(pair, 0), _TYING)
            self._groups.union(one, other)

    def prove(self, first: int, stop: int, owners: Iterable[int], *, kind: str = "pieces") -> None:
        """Note that stored chunks ``[first, stop)`` of these contributors are right by a piece hash or a digest."""
        self.proven_chunks.add(first, stop)
        for owner in owners:
            self.agree(owner, AUTHORITY, first, kind=kind)

    def proven(self, member: int) -> bool:
        """Whether bytes of this contributor were found right by piece hashes or a digest."""
        return self.tied(member, AUTHORITY)

    def weakest(self, members: Iterable[int]) -> str:
        """Return the strongest kind of evidence that alone ties all of these together; "size" where none does.

        A tie to `AUTHORITY` proves some pieces of a contributor, not all that it sent: it counts as an overlap check.
        """
        wanted = set(members)
        if len(wanted) < 2:
            return KINDS[-1]
        if not wanted <= set().union(*self._edges):
            return "size"  # one that nothing ties to any: among thousands there nearly always is
        edges = sorted(
            ((min(found, _TYING) if AUTHORITY in pair else found, pair) for pair, found in self._edges.items()),
            key=lambda edge: -edge[0],
        )
        groups, excluded, first = Groups(), self.excluded.keys(), next(iter(wanted))
        for found, pair in edges:  # the strongest first: the one that joins the last of them is the weakest link
            if (excluded and pair & excluded) or not groups.union(*pair):
                continue
            if wanted <= groups.members(first):
                return KINDS[found]
        return "size"

    def checks_of(self, member: int) -> int:
        """Number of chunks of this contributor that another one confirmed."""
        return len(self._chunks.get(member, ()))

    def compared_before(self, member: int, chunk: int) -> bool:
        """Whether another one confirmed any chunk of this contributor before that chunk."""
        return any(each < chunk for each in self._chunks.get(member, ()))

    def confirmed_chunks(self) -> list[int]:
        """Return the chunks for which two contributors gave the same digest, in order."""
        return sorted(self._confirmed)

    def confirmed(self, chunk: int, *, whole: bool = False) -> bool:
        """Whether two contributors gave the same bytes for this chunk; `whole`: for all of it, not a span only."""
        return chunk in (self._whole if whole else self._confirmed)

    def confirmed_by(self, member: int, chunk: int) -> bool:
        """Whether this contributor gave the digest of this chunk that another one gave."""
        return chunk in self._chunks.get(member, ())

    @property
    def groups(self) -> Groups:
        """The sets of tied contributors; another object when some were taken apart, which evidence alone never does."""
        return self._groups

    @property
    def confirmed_of(self) -> Mapping[int, Set[int]]:
        """Chunks of each contributor that another one confirmed; not to be changed."""
        return self._chunks

    def tied(self, one: int, other: int) -> bool:
        return one == other or self._groups.same(one, other)

    def root_of(self, member: int) -> int:
        """Return the member that stands for the whole group."""
        return self._groups.find(member)

    def members_of(self, root: int) -> Set[int]:
        """Return the whole group of this member."""
        return self._groups.members(root)

    # -- disputes

    def dispute(
        self, stored_by: int, stored_digest: bytes, other: int, other_digest: bytes, chunk: int, *, now_s: float
    ) -> Dispute:
        """Two digests for one chunk. Returns the dispute, open from its first difference until it is resolved."""
        self.checks_disagreed += 1
        self.disputed_chunks.add(chunk)
        dispute = self.disputes.setdefault(chunk, Dispute(chunk, now_s))
        self._answer(dispute, stored_by, stored_digest)
        self._answer(dispute, other, other_digest)
        return dispute

    def repeat(self, member: int, stored_by: int, stored_digest: bytes | None, chunk: int) -> None:
        """A contributor gave the stored digest for this chunk: evidence, and an answer where there is a dispute."""
        dispute = self.disputes.get(chunk)
        if dispute is not None and stored_digest is None:
            stored_digest = dispute.answers.get(stored_by)
        if dispute is not None and stored_digest is not None:
            self._answer(dispute, member, stored_digest)
        self.agree(member, stored_by, chunk)

    def resolve(
        self,
        dispute: Dispute,
        standpoint: Standpoint,
        *,
        may_answer: Iterable[int],
        now_s: float,
        searching: bool = False,
    ) -> Resolution | None:
        """The outcome, or None while a further answer may decide better.

        `may_answer`: contributors that could be asked for this chunk without a cost to strangers. More supporters win,
        counted with all that are tied to them, after the order's own source and what was found right by piece hashes or
        a digest; then the user's order; then the group that would finish sooner. `searching`: who spoiled the digest of
        the whole is looked for, so that one of those who are tied is odd elsewhere: answers count before ties.
        """
        sides = dispute.sides()
        if len(sides) < 2:
            return self._settled(dispute, sides)
        stored = next(iter(dispute.answers.values()))
        if dispute.chunk in self.proven_chunks and stored in sides:
            return self._decided(dispute, sides, stored)
        weights: dict[bytes, tuple[float, ...]] = {
            digest: self._side_weight(digest, sides, standpoint) for digest in sides
        }
        if searching:
            weights = {
                digest: (*self._weight(set(sides[digest]), standpoint)[:3], *weights[digest]) for digest in sides
            }
        best = max(weights, key=lambda digest: weights[digest])
        second = max((weights[digest] for digest in weights if digest != best), default=weights[best])
        clear = weights[best][:3] > second[:3]
        limit_s = INVITED_S_MAX if dispute.invited - dispute.answers.keys() else DISPUTE_S_MAX
        waits = len(dispute.answers) < VOTES_MAX and now_s - dispute.since_s < limit_s
        open_questions = set(may_answer) | (dispute.asked - dispute.answers.keys())
        if not clear and waits and open_questions:
            return None
        if not clear and dispute.chunk in self.doubted and stored == best:
            best = max((digest for digest in weights if digest != best), key=lambda digest: weights[digest])
        return self._decided(dispute, sides, best)

    def exclude(
        self,
        losers: Iterable[int],
        against: Iterable[int],
        *,
        sent: Callable[[set[int]], RangeSet] = lambda _: RangeSet(),
        why: str = "",
    ) -> list[int]:
        """These have other content than those: out of every group. `sent`: the stored chunks of some contributors.

        Returns the contributors that may be used again: they had been excluded only for differing from some that are
        all excluded by now.
        """
        self.revision += 1
        fresh, winners = set(losers), frozenset(against)
        for loser in fresh:
            self.excluded[loser] = winners
            self.losses[loser] = (sent({loser}).count, why)
        back = [
            member
            for member, others in self.excluded.items()
            if member not in fresh and others and others <= self.excluded.keys()
        ]
        for member in back:
            del self.excluded[member]
        self._regroup()
        return back

    def forget(self, member: int) -> None:
        """Nothing of this contributor is stored any more: its evidence is void."""
        self.revision += 1
        self._chunks.pop(member, None)
        self._confirmed = set[int]().union(*self._chunks.values())
        self._whole &= self._confirmed
        self._edges = {pair: kind for pair, kind in self._edges.items() if member not in pair}
        self._regroup()

    def rename(self, old: int, new: int) -> None:
        """The contributor `old` of an earlier attempt is `new`: what is known of the one is known of the other."""
        if old not in self._chunks:
            return
        self.revision += 1
        self._chunks.setdefault(new, set()).update(self._chunks.pop(old))
        edges: dict[frozenset[int], int] = {}
        for pair, kind in self._edges.items():
            renamed = frozenset(new if member == old else member for member in pair)
            if len(renamed) > 1:
                edges[renamed] = max(edges.get(renamed, 0), kind)
        self._edges = edges
        self._regroup()

    def lighter(self, one: int, other: int, standpoint: Standpoint) -> int:
        """Return the one of two contributors that loses where their bytes do not fit and no further answer comes."""
        return min((other, one), key=lambda member: self._weight({member}, standpoint))

    # -- small things

    def _answer(self, dispute: Dispute, member: int, digest: bytes) -> None:
        first = dispute.answers.setdefault(member, digest)
        if first != digest:
            dispute.changed.add(member)

    def _side_weight(
        self, digest: bytes, sides: dict[bytes, list[int]], standpoint: Standpoint
    ) -> tuple[bool, bool, int, int, float]:
        """Weight of one answer: of those that gave it, and of groups of theirs in which no other answer was given."""
        others = {member for side, members in sides.items() if side != digest for member in members}
        supporters = set(sides[digest])
        for member in sides[digest]:
            group = self._group(member)
            if not group & others:
                supporters |= group
        return self._weight(supporters, standpoint)

    def _weight(self, supporters: set[int], standpoint: Standpoint) -> tuple[bool, bool, int, int, float]:
        return (
            self.anchor in supporters,
            AUTHORITY in supporters,
            len(supporters),
            -min(standpoint.named_rank(member) for member in supporters),
            sum(standpoint.rate_bytes_s(member) for member in supporters),
        )

    def _group(self, member: int) -> set[int]:
        return set(self._groups.members(member))

    def _settled(self, dispute: Dispute, sides: dict[bytes, list[int]]) -> Resolution | None:
        """One answer is left: who changed its own has lost. None at all: everybody did."""
        del self.disputes[dispute.chunk]
        losers = frozenset(dispute.changed)
        if not losers:
            return None
        winners = frozenset(member for members in sides.values() for member in members)
        return Resolution(dispute.chunk, losers, winners, "answered differently when asked again")

    def _decided(self, dispute: Dispute, sides: dict[bytes, list[int]], best: bytes) -> Resolution:
        del self.disputes[dispute.chunk]
        winners = set(sides[best])
        losers = set(dispute.changed)
        for digest, members in sides.items():
            if digest == best:
                continue
            for member in members:
                group = self._group(member)
                # Tied to a winner elsewhere: it has the file but for some places, and alone is out.
                losers |= {member} if group & winners else group
        losers -= winners | {AUTHORITY}
        ours, theirs = len(winners), sum(len(members) for digest, members in sides.items() if digest != best)
        return Resolution(dispute.chunk, frozenset(losers), frozenset(winners), f"{ours} against {theirs}")

    def _regroup(self) -> None:
        self._groups = Groups()
        for pair in self._edges:
            if not pair & self.excluded.keys():
                one, other = pair
                self._groups.union(one, other)


def shortfall(required: str, claim: Claim) -> str:
    """Return what a complete file lacks of the evidence that is required, and what would help; empty: nothing."""
    if not required or strength(claim.kind) >= strength(required):
        return ""
    return f"{required} is required as evidence, there is {claim.kind}: {_HELP[required]}"


_HELP: Final = {
    "overlap": "no other source has confirmed any of it; one more source or a checksum would help",
    "frames": "its own checks do not prove each place where two sources meet; a checksum would help",
    "pieces": "no hashes of all its pieces are known; a Metalink document that has them, or a checksum, would help",
    "digest": "no digest of the whole file is known; a checksum, or a file of checksums, would help",
}


def claim_of(
    identity: Identity,
    rows: Sequence[tuple[int, int, int]],
    excluded: dict[int, str],
    freed: RangeSet,
    whole: tuple[str, str] = ("size", ""),
) -> Claim:
    """Return what is known of the content that `rows` of ``(first, stop, contributor)`` tell the senders of.

    `excluded`: names of those left out, by contributor. `freed`: chunks taken back from them. `whole`: kind of the
    evidence about the whole file ("": it is damaged), and what the container's own checks found in words.
    """
    owners = {owner for _, _, owner in rows}
    fewest = min((identity.checks_of(owner) for owner in owners), default=0)
    kind = identity.weakest(owners) if len(owners) > 1 else "overlap" if fewest else "size"
    if rows and all(identity.proven_chunks.covers(first, stop) for first, stop, _ in rows):
        kind = "pieces"
    kind = max(kind, whole[0], key=strength) if whole[0] else min(kind, "overlap", key=strength)
    places = thinned(list(freed))
    left_out = sorted((name, *identity.losses.get(member, (0, ""))) for member, name in excluded.items())
    return Claim(
        kind=kind,
        checks_agreed=identity.checks_agreed,
        checks_disagreed=identity.checks_disagreed,
        groups=len({identity.root_of(owner) for owner in owners}),
        contributors=len(owners),
        excluded_share=0.0 if strength(kind) >= strength("pieces") else excluded_share(fewest),
        excluded=tuple(name for name, _, _ in left_out),
        agreed_chunks=thinned(identity.confirmed_chunks()),
        disagreed_chunks=thinned(sorted(identity.disputed_chunks)),
        freed_firsts=tuple(first for first, _ in places),
        freed_stops=tuple(stop for _, stop in places),
        container=whole[1],
        excluded_chunks=tuple(chunks for _, chunks, _ in left_out),
        excluded_why=tuple(why for _, _, why in left_out),
    )
