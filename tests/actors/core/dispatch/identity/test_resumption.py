"""Resume checks: a source that has another file than in an earlier attempt is noticed before bytes are mixed."""

import pytest

from actors.core.dispatch.chunk_tracker import recorded
from actors.core.dispatch.dispatcher import DispatchState
from actors.core.dispatch.identity.checks import Check
from actors.core.dispatch.identity.evidence import Resolution
from actors.core.dispatch.identity.resumption import CONFIRM_S_MAX, CONFIRM_S_MIN, CONFIRMS_MAX, ResumeChecks
from actors.core.dispatch.identity.seal_gate import Gate
from actors.core.dispatch.progress import VerifiedChunks
from actors.core.dispatch.sources import SourceState
from protocol.messages import (
    ChunkDisputed,
    ChunksRepeated,
    ChunksVerified,
    DropChunks,
    JobNoted,
    LeaseGranted,
    LeaseRevoked,
    SealFile,
    SourceChanged,
    SourceNamed,
    SourcesJudged,
    Ticked,
    ValidatorSeen,
)
from protocol.messages.addresses import Post
from protocol.model.faults import FaultKind
from tests.actors.core.dispatch.boards import said
from tests.actors.core.dispatch.drawing import (
    CHUNK,
    JOB,
    NOW_S,
    board_of,
    busy_with,
    drawn,
    finished,
    lease_of,
    released,
    stored,
    tell,
)
from tests.actors.core.dispatch.identity.test_content import untied


def resumed() -> DispatchState:
    """A board whose chunks 0 and 1 came from a in an earlier attempt."""
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 2))
    state.content.resume.opened(state.report.owned(), complete=False)
    return state


def asked(state: DispatchState, source: int) -> Check | None:
    return state.content.next_check(state.sources[source], board_of(state), urgent=False, now_s=NOW_S)


def test_each_source_of_resumed_chunks_reads_its_last_one_again_once() -> None:
    state = resumed()
    assert asked(state, 0) == Check(0, 1)
    assert asked(state, 1) is None, "nothing of it was here"
    state.content.granted(Check(0, 1), lease_of(state, "a"), urgent=False)
    assert asked(state, 0) is None, "once"
    assert state.content.gate(board_of(state), now_s=NOW_S) is Gate.CHECKING


def test_a_source_with_a_validator_needs_no_comparison_nor_does_a_complete_file() -> None:
    state = resumed()
    state.sources[0].validator = '"v1"'
    assert asked(state, 0) is None
    state.sources[0].validator = ""
    state.content.resume.opened(state.report.owned(), complete=True)
    assert asked(state, 0) is None


def test_the_same_chunk_again_is_all_that_is_wanted() -> None:
    state = resumed()
    lease = lease_of(state, "a").id
    tell(state, ChunksRepeated(job=JOB, source=0, lease=lease, first=1, count=1, length_bytes=CHUNK))
    assert asked(state, 0) is None
    assert drawn(state)[:2] == "##"


@pytest.mark.parametrize("owned_by_another", [False, True])
def test_other_bytes_there_free_what_the_source_sent_before_and_nothing_else(owned_by_another: bool) -> None:
    state = resumed()
    tell(state, stored(state, "b", 4, 1))
    dispute = ChunkDisputed(
        job=JOB, source=0, lease=lease_of(state, "a").id, chunk=4 if owned_by_another else 1,
        other_source_hash=100, digest=b"b", stored_digest=b"a",
    )  # fmt: skip
    posts = tell(state, dispute)
    assert bool(said(posts, DropChunks)) is not owned_by_another
    if not owned_by_another:
        assert drawn(state)[:2] != "##"
        assert drawn(state)[4] == "#"
        assert "another file now" in said(posts, JobNoted)[0].text
    board_of(state).check()


def test_a_lease_that_goes_on_behind_its_own_chunk_reads_that_first_where_it_was_not_compared() -> None:
    state = resumed()
    lease = next(each for each in board_of(state).leases.values() if each.source == 0)
    lease.first = 2
    lead = state.content.overlaps.lead_of
    assert lead(state.sources[0], lease, board_of(state)) == 1
    state.content.resume.answered(0, 0)
    assert lead(state.sources[0], lease, board_of(state)) == 0


def doubted() -> DispatchState:
    """A source whose ETag alone is another one than in the earlier attempt."""
    state = resumed()
    state.sources[0].validator = 'etag:"v2"'
    lease = lease_of(state, "a").id
    posts = tell(state, SourceChanged(job=JOB, source_name=state.sources[0].name, detail="changed", unclear=True))
    assert [each.lease for each in said(posts, LeaseRevoked)] == [lease], "what it sends may be of another file"
    tell(state, released(state, "a", FaultKind.REVOKED))
    return state


def test_where_only_the_etag_is_another_head_and_tail_are_read_again_first_and_then_it_is_recorded() -> None:
    state = doubted()
    for chunk in (0, 1):
        lease = lease_of(state, "a")
        assert (lease.first, lease.stop, lease.check) == (chunk, chunk + 1, True)
        repeated = ChunksRepeated(job=JOB, source=0, lease=lease.id, first=chunk, count=1, length_bytes=CHUNK)
        posts = tell(state, repeated, finished(state, "a"))
    assert asked(state, 0) is None
    assert drawn(state)[:2] == "##"
    assert [(seen.validator, seen.agreed) for seen in said(posts, ValidatorSeen)] == [('etag:"v2"', True)]


def test_other_bytes_behind_another_etag_free_what_it_sent() -> None:
    state = doubted()
    dispute = ChunkDisputed(
        job=JOB, source=0, lease=lease_of(state, "a").id, chunk=0, other_source_hash=100, digest=b"b",
        stored_digest=b"a",
    )  # fmt: skip
    assert said(tell(state, dispute), DropChunks)
    assert drawn(state)[:2] != "##"


def test_one_chunk_behind_another_etag_is_read_again_once() -> None:
    resume = ResumeChecks()
    source = resumed().sources[0]
    resume.doubt(source, [(3, 4, 0), (4, 8, 1)])
    assert resume.check(source, [(3, 4, 0)]) == Check(0, 3)
    resume.granted(Check(0, 3), 0)
    resume.answered(0, 0)
    assert not resume.open


# Evidence that the records kept.

A, B, C = 100, 101, 102
"""Hashes of the names of sources a, b and c."""


def reopened(*, repeats: tuple[tuple[int, int], ...] = (), odd: tuple[int, ...] = ()) -> DispatchState:
    """Chunks 0 to 3 came from a and 4 to 7 from b in an earlier attempt."""
    state = untied("........" + "a" * 8, sources="abc", rates={"a": 1, "b": 1, "c": 1})
    found = VerifiedChunks()
    found.add(ChunksVerified(job=JOB, ranges=(0, 4, 4, 8), sources=(A, B)))
    chunks, names = tuple(chunk for chunk, _ in repeats), tuple(name for _, name in repeats)
    found.add(ChunksVerified(job=JOB, ranges=(), repeated=chunks, repeated_by=names, excluded=odd))
    for first, stop, name in found.claims:
        state.report._owners.put(first, stop, recorded(name))
    state.content.earlier.opened(found)
    return state


def test_sources_that_agreed_in_an_earlier_attempt_are_tied_and_what_they_agreed_in_counts() -> None:
    state = reopened(repeats=((4, A), (7, A)))
    identity = state.content.identity
    assert identity.tied(0, 1)
    assert (identity.checks_agreed, identity.confirmed_chunks()) == (2, [4, 7])
    assert not identity.tied(0, 2)


def test_a_source_that_is_known_only_later_has_that_evidence_then() -> None:
    state = untied("........aaaa", sources="a", rates={"a": 1})
    found = VerifiedChunks()
    found.add(ChunksVerified(job=JOB, ranges=(0, 4, 4, 8), sources=(A, B), repeated=(4,), repeated_by=(A,)))
    for first, stop, name in found.claims:
        state.report._owners.put(first, stop, recorded(name))
    state.content.earlier.opened(found)
    assert state.content.identity.tied(0, recorded(B))
    tell(state, SourceNamed(job=JOB, source=1, source_hash=B))
    assert state.content.identity.tied(0, 1)
    assert state.content.identity.checks_of(1) == 1


def test_a_source_that_only_confirmed_ties_others_and_is_compared_itself() -> None:
    state = reopened(repeats=((1, C), (5, C)))
    assert state.content.identity.tied(0, 1), "both had what c had"
    assert not state.content.identity.tied(0, 2), "what it has today is not known"


def test_a_source_with_another_file_is_not_used_again_and_may_win_only_if_all_others_go() -> None:
    state = reopened(odd=(C,))
    assert state.sources[2].state is SourceState.BANNED
    assert "earlier attempt" in state.sources[2].reason
    assert state.content.identity.excluded == {2: frozenset((0, 1))}


def test_who_is_excluded_is_recorded() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    lost = state.content.exclusion.apply(Resolution(5, frozenset((1,)), frozenset((0,)), "why"), board_of(state))
    assert [source.id for source in lost] == [1]
    assert [judged.excluded for judged in said(state._out.take(), SourcesJudged)] == [(B,)]


# -- a complete file of one source


LATER_S = NOW_S + 10.0


def complete(picture: str = "aaaa", **spec: str) -> tuple[DispatchState, list[Post]]:
    """A board whose file just came from a alone, in ten seconds."""
    state = untied(picture, rates={"a": 1}, **spec)
    posts = tell(state, stored(state, "a", 0, len(picture)), finished(state, "a"), at_s=LATER_S)
    return state, posts


def other_bytes(state: DispatchState) -> ChunkDisputed:
    """Source a sends another first chunk than the stored one."""
    return ChunkDisputed(
        job=JOB, source=0, lease=busy_with(state, "a"), chunk=0, other_source_hash=0, digest=b"b", stored_digest=b"a"
    )


def assert_fetched_again(state: DispatchState, posts: list[Post]) -> None:
    assert not said(posts, SealFile)
    assert "another file now" in said(posts, JobNoted)[0].text
    assert "#" not in drawn(state)


def test_who_alone_sent_a_file_reads_its_first_chunk_again_before_it_is_sealed() -> None:
    state, posts = complete()
    assert not said(posts, SealFile)
    (check,) = said(posts, LeaseGranted)
    assert (check.source, check.first, check.stop, check.store) == (0, 0, 1, 0)
    same = ChunksRepeated(job=JOB, source=0, lease=check.lease, first=0, count=1, length_bytes=CHUNK)
    assert said(tell(state, same, at_s=LATER_S), SealFile)


@pytest.mark.parametrize("digest", ["", "sha256:" + "ab" * 32])
def test_a_file_that_was_overwritten_while_its_only_source_sent_it_is_not_sealed(digest: str) -> None:
    state, posts = complete(checksum=digest)
    if digest:
        assert said(posts, SealFile), "the digest tells"
        return
    assert_fetched_again(state, tell(state, other_bytes(state), at_s=LATER_S))


def test_a_validator_that_changed_since_is_as_good_as_other_bytes() -> None:
    state, _ = complete()
    assert_fetched_again(state, tell(state, released(state, "a", FaultKind.CHANGED), Ticked(), at_s=LATER_S))


def test_a_source_that_says_nothing_more_does_not_hold_the_file_up() -> None:
    state, _ = complete()
    posts = tell(state, released(state, "a", FaultKind.NOT_FOUND), Ticked(), at_s=LATER_S)
    assert said(posts, SealFile), "its link was good for one request"
    state, _ = complete()
    assert not said(tell(state, Ticked(), at_s=LATER_S + CONFIRM_S_MAX - 0.5), SealFile)
    assert said(tell(state, Ticked(), at_s=LATER_S + CONFIRM_S_MAX), SealFile), "it hangs"


@pytest.mark.parametrize("case", ["quick", "race", "from the start only"])
def test_nothing_is_confirmed_where_that_costs_or_cannot_be(case: str) -> None:
    fronts, mode = ("a", "swarm") if case == "from the start only" else ("", "race" if case == "race" else "swarm")
    state = untied("aaaa", rates={"a": 1}, fronts=fronts, mode=mode)
    at_s = NOW_S + CONFIRM_S_MIN if case == "quick" else LATER_S
    assert said(tell(state, stored(state, "a", 0, 4), finished(state, "a"), at_s=at_s), SealFile)


def test_a_source_that_sends_another_beginning_each_time_is_asked_twice() -> None:
    state, posts = complete()
    for _ in range(CONFIRMS_MAX):
        assert not said(posts, SealFile)
        tell(state, other_bytes(state), Ticked(), at_s=LATER_S)
        tell(state, released(state, "a", FaultKind.REVOKED), Ticked(), at_s=LATER_S + 1)
        posts = tell(state, stored(state, "a", 0, 4), finished(state, "a"), at_s=LATER_S + 2)
    assert said(posts, SealFile)
