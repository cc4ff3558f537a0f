"""Content checks of a running job, drawn: what leases read besides, sources with other content, the gate, repair."""

import pytest

from actors.core.dispatch.dispatcher import DispatchState, Phase
from actors.core.dispatch.identity.checks import Check
from actors.core.dispatch.identity.evidence import DISPUTE_S_MAX
from actors.core.dispatch.identity.pieces import REFETCHES_MAX
from actors.core.dispatch.sources import SourceState
from protocol.messages import (
    ChunkDisputed,
    ChunksRepeated,
    ClaimChanged,
    ComparePieces,
    DropChunks,
    FileSealed,
    JobEnded,
    JobNoted,
    LeaseFinished,
    LeaseGranted,
    LeaseRevoked,
    PartFileClosed,
    PeerFaulted,
    PieceChecked,
    PiecesUnusable,
    SealFile,
    SealRefused,
    SourceDescribed,
    SourceLost,
    SourceNamed,
    Ticked,
)
from protocol.messages.addresses import Post
from protocol.messages.base import Message
from protocol.model.chunk_ranges import RangeSet
from protocol.model.job_spec import PieceHashes
from tests.actors.core.dispatch.boards import said
from tests.actors.core.dispatch.drawing import (
    CHUNK,
    JOB,
    NOW_S,
    board,
    board_of,
    busy_with,
    drawn,
    finished,
    lease_of,
    picture_of,
    stored,
    tell,
)


def phase_of(state: DispatchState) -> Phase:
    return state.phase


def untied(picture: str, **more: object) -> DispatchState:
    """A board of sources that were never compared."""
    state = board(picture, **more)  # type: ignore[arg-type]
    state.content.identity.__init__()  # type: ignore[misc]
    for number in state.sources:
        tell(state, SourceNamed(job=JOB, source=number, source_hash=100 + number))
    return state


def disputed(state: DispatchState, source: str, chunk: int, *, at_s: float = NOW_S) -> list[object]:
    number = ord(source) - ord("a")
    lease = lease_of(state, source).id
    other = ChunkDisputed(
        job=JOB, source=number, lease=lease, chunk=chunk, other_source_hash=100, digest=b"b", stored_digest=b"a"
    )
    tell(state, other, at_s=at_s)
    # Both are asked once more and say nothing: the order of the user decides.
    return [post.message for post in tell(state, Ticked(), at_s=at_s + DISPUTE_S_MAX)]


def test_a_long_lease_reads_one_chunk_into_its_neighbours_range() -> None:
    state = board("." * 200, sources="ab", rates={"a": 5, "b": 5})
    granted = [post.message for post in state._out.take() if isinstance(post.message, LeaseGranted)]
    leases = list(board_of(state).leases.values())
    assert not granted
    assert [
        state.content.overlaps.overlap_of(state.sources[lease.source], lease, board_of(state)) for lease in leases
    ] == [1, 1]


def test_a_source_of_other_content_loses_its_place_and_its_chunks() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "b", 4, 2))
    tell(state, stored(state, "a", 0, 3))
    news = disputed(state, "a", 4)
    assert state.sources[1].state is SourceState.BANNED, "a was named first"
    assert "other content" in state.sources[1].reason
    drops = [message for message in news if isinstance(message, DropChunks)]
    assert [(drop.firsts, drop.stops, drop.source_hashes) for drop in drops] == [((4,), (6,), (101,))]
    assert any(isinstance(message, LeaseRevoked) for message in news)
    assert picture_of(board_of(state))[4:6] != "##"
    board_of(state).check()


def test_chunks_of_an_excluded_source_that_come_late_are_dropped_again() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    late = stored(state, "b", 5, 1)
    tell(state, stored(state, "b", 4, 1))
    disputed(state, "a", 4)
    posts = tell(state, late, at_s=NOW_S + DISPUTE_S_MAX)
    assert [message.firsts for message in said(posts, DropChunks)] == [(5,)]
    assert drawn(state)[5] != "#"
    board_of(state).check()


def test_a_complete_file_of_two_sources_is_not_sealed_before_they_are_tied() -> None:
    state = untied("aabb", rates={"a": 1, "b": 1})
    lease = lease_of(state, "a").id
    posts = tell(state, stored(state, "a", 0, 2)) + tell(state, stored(state, "b", 2, 2))
    assert not said(posts, SealFile)
    again = ChunksRepeated(job=JOB, source=0, lease=lease, first=2, count=1, length_bytes=CHUNK)
    assert said(tell(state, again), SealFile)


def test_a_missing_tie_is_asked_for_as_soon_as_a_source_is_free() -> None:
    state = untied("aabb", rates={"a": 1, "b": 1})
    posts = tell(state, stored(state, "a", 0, 2), stored(state, "b", 2, 2), finished(state, "a"))
    [granted] = said(posts, LeaseGranted)
    assert (granted.source, granted.stop - granted.first) == (0, 1)
    assert granted.first in (2, 3), "a chunk of the other source"


def test_one_source_alone_needs_no_tie() -> None:
    state = untied("aaaa", rates={"a": 1})
    assert said(tell(state, stored(state, "a", 0, 4)), SealFile)


def test_a_digest_that_fails_with_one_source_alone_ends_the_job() -> None:
    state = untied("aaaa", rates={"a": 1})
    tell(state, stored(state, "a", 0, 4))
    posts = tell(state, SealRefused(job=JOB, detail="checksum differs"), PartFileClosed(job=JOB))
    assert [(ended.state, ended.reason) for ended in said(posts, JobEnded)] == [("disagreed", "checksum differs")]


def test_a_digest_that_fails_with_two_sources_has_chunks_read_again() -> None:
    state = board("aabb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 2), finished(state, "a"))
    tell(state, stored(state, "b", 2, 2), finished(state, "b"))
    assert state.phase is Phase.SEALING
    posts = tell(state, SealRefused(job=JOB, detail="checksum differs"), Ticked(), at_s=NOW_S + 1)
    assert {granted.source for granted in said(posts, LeaseGranted)} == {0, 1}
    assert phase_of(state) is Phase.RIDING


def refused_until_asked(state: DispatchState, wanted: int) -> list[Post]:
    """The digest of the whole differs; what is read again agrees, until this source is asked."""
    posts = tell(state, SealRefused(job=JOB, detail="checksum differs"), Ticked(), at_s=NOW_S + 1)
    for round_ in range(2, 9):
        news = list[Message]()
        for check in said(posts, LeaseGranted):
            count = check.stop - check.first
            shown: dict[str, int] = {"job": JOB, "source": check.source, "lease": check.lease}
            news.append(ChunksRepeated(**shown, first=check.first, count=count, length_bytes=CHUNK))
            news.append(LeaseFinished(**shown, handed_stop=check.stop, received_bytes=0, size_bytes=-1, stopped=False))
        posts = tell(state, *news, Ticked(), at_s=NOW_S + round_)
        if any(granted.source == wanted for granted in said(posts, LeaseGranted)) or said(posts, JobEnded):
            break
    return posts


def test_when_all_that_agree_differ_from_the_digest_a_source_of_other_content_gets_its_turn() -> None:
    state = board("aabb", sources="abc", rates={"a": 1, "b": 1, "c": 1})
    state.content.identity.agree(0, 1, 0)
    state.content.identity.exclude([2], [0, 1])
    state.sources[2].state = SourceState.BANNED
    tell(state, stored(state, "a", 0, 2), finished(state, "a"))
    tell(state, stored(state, "b", 2, 2), finished(state, "b"))
    posts = refused_until_asked(state, 2)
    assert not said(posts, JobEnded)
    assert {granted.source for granted in said(posts, LeaseGranted)} == {2}
    assert [source.state for source in state.sources.values()][:2] == [SourceState.BANNED] * 2
    assert "#" not in picture_of(board_of(state))


def test_a_source_without_offsets_may_have_the_digest_though_all_that_it_sent_agrees() -> None:
    """Of its rest nothing could be read, where the others may be wrong."""
    state = board("ccaabb", fronts="c", rates={"a": 1, "b": 1, "c": 1})
    for one, other in ((0, 1), (1, 2)):
        state.content.identity.agree(one, other, 0)
    for sign, first in (("c", 0), ("a", 2), ("b", 4)):
        tell(state, stored(state, sign, first, 2), finished(state, sign))
    posts = refused_until_asked(state, 2)
    assert not said(posts, JobEnded)
    [granted] = said(posts, LeaseGranted)
    assert (granted.source, granted.first, granted.stop, granted.from_start) == (2, 2, 6, True)
    assert [source.state for source in state.sources.values()][:2] == [SourceState.BANNED] * 2


@pytest.mark.parametrize(("compared", "kind"), [(False, "size"), (True, "digest")])
def test_a_digest_is_claimed_only_where_it_was_compared(compared: bool, kind: str) -> None:
    """A file that is left because of its name is sealed, too, whatever checksum was ordered."""
    state = untied("aaaa", rates={"a": 1}, checksum="md5:" + "0" * 32)
    tell(state, stored(state, "a", 0, 4))
    (ended,) = said(tell(state, FileSealed(job=JOB, path="/f/f", digest_hex="aa", compared=compared)), JobEnded)
    assert (ended.claim.kind, ended.claim.excluded_share) == (kind, 0.0 if compared else 1.0)


def closed(posts: list[Post]) -> list[str]:
    return [f"{ended.state}: {ended.reason}" for ended in said(posts, JobEnded)]


def over(lease: int) -> LeaseFinished:
    """Source b has come to the end of a lease of which nothing is to be stored."""
    return LeaseFinished(job=JOB, source=1, lease=lease, handed_stop=0, received_bytes=0, size_bytes=-1, stopped=False)


def test_a_file_of_one_source_is_checked_by_another_before_it_is_sealed_where_that_is_required() -> None:
    state = untied("aaaa", sources="ab", rates={"a": 9, "b": 9}, require="overlap")
    posts = tell(state, stored(state, "a", 0, 4), finished(state, "a"))
    assert not said(posts, SealFile)
    (check,) = said(tell(state, over(busy_with(state, "b"))), LeaseGranted)
    assert check.source == 1
    again = ChunksRepeated(job=JOB, source=1, lease=check.lease, first=check.first, count=1, length_bytes=CHUNK)
    assert said(tell(state, again, over(check.lease), Ticked(), at_s=NOW_S + 1), SealFile)
    assert state.content.sealing.claim().kind == "overlap"


@pytest.mark.parametrize(
    ("required", "help"),
    [("overlap", "one more source"), ("frames", "a checksum"), ("pieces", "a Metalink"), ("digest", "a checksum")],
)
def test_a_complete_file_without_the_required_evidence_keeps_its_part_and_says_what_would_help(
    required: str, help: str
) -> None:
    state = untied("aaaa", rates={"a": 1}, require=required)
    posts = tell(state, stored(state, "a", 0, 4), finished(state, "a"))
    posts += tell(state, Ticked(), PartFileClosed(job=JOB), at_s=NOW_S + 5)
    assert not said(posts, SealFile)
    (reason,) = closed(posts)
    assert reason.startswith(f"disagreed: {required} is required as evidence, there is size: ")
    assert help in reason


def test_two_tied_sources_are_enough_for_overlap_and_not_for_more() -> None:
    for required, sealed in (("overlap", True), ("frames", False)):
        state = untied("aaaabbbb", rates={"a": 1, "b": 1}, require=required)
        tell(state, stored(state, "a", 0, 4), stored(state, "b", 4, 3))
        state.content.identity.agree(0, 1, 4)
        posts = tell(state, stored(state, "b", 7, 1), finished(state, "a"), finished(state, "b"))
        posts += tell(state, Ticked(), PartFileClosed(job=JOB), at_s=NOW_S + 5)
        assert bool(said(posts, SealFile)) is sealed
        assert bool(closed(posts)) is not sealed


def test_a_checksum_is_enough_for_everything_and_a_job_s_own_word_goes_before_the_configuration() -> None:
    for spec in ({"require": "digest", "checksum": "md5:" + "0" * 32}, {"required": "digest", "require": "size"}):
        state = untied("aaaa", rates={"a": 1}, **spec)
        assert said(tell(state, stored(state, "a", 0, 4), finished(state, "a")), SealFile)
    state = untied("aaaa", rates={"a": 1}, required="digest")
    assert not said(tell(state, stored(state, "a", 0, 4), finished(state, "a")), SealFile)


def test_places_of_checks_and_what_was_taken_back_are_part_of_the_claim_and_reported_once() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 4), stored(state, "b", 4, 3))
    state.content.identity.agree(0, 1, 4)
    (news,) = said(tell(state, Ticked(), at_s=NOW_S + 2), ClaimChanged)
    assert (news.claim.agreed_chunks, news.claim.contributors, news.claim.groups) == ((4,), 2, 1)
    assert not said(tell(state, Ticked(), at_s=NOW_S + 4), ClaimChanged), "nothing is new"
    state.content.exclusion.late(1, RangeSet([(5, 7)]), board_of(state))
    (news,) = said(tell(state, Ticked(), at_s=NOW_S + 6), ClaimChanged)
    assert (news.claim.freed_firsts, news.claim.freed_stops) == ((5,), (7,))


def test_frames_that_close_between_two_sources_tie_them() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 4))
    tell(state, stored(state, "b", 4, 3))
    state.content.boundary_proven(4)
    assert said(tell(state, stored(state, "b", 7, 1)), SealFile)
    claim = state.content.sealing.claim()
    assert (claim.kind, claim.groups, claim.checks_agreed) == ("frames", 1, 1)


def test_frames_that_do_not_close_have_both_sides_read_again() -> None:
    state = board("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 4))
    tell(state, stored(state, "b", 4, 3))
    state.content.boundary_broken(4)
    posts = tell(state, stored(state, "b", 7, 1), finished(state, "a"), finished(state, "b"))
    assert not said(posts, SealFile)
    granted = {(each.source, each.first) for each in said(posts, LeaseGranted)}
    assert granted == {(0, 4), (1, 3)}


def test_a_bad_piece_of_a_sender_of_good_ones_is_fetched_again_alone() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "b", 4, 4))
    for first in (4, 5, 6):
        state.content.pieces.good(first, first + 1)
    assert state.content.piece_bad(7, 8, board_of(state)) == []
    assert picture_of(board_of(state))[4:] == "###."
    assert state.content.identity.proven_chunks.covers(4, 7)
    assert not state.content.identity.excluded


def test_a_sender_of_bad_pieces_goes_and_its_good_ones_stay() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "b", 4, 4))
    state.content.pieces.good(4, 5)
    assert state.content.piece_bad(5, 6, board_of(state)) == []
    lost = state.content.piece_bad(6, 7, board_of(state))
    assert [source.name for source in lost] == [state.sources[1].name]
    assert picture_of(board_of(state))[4:] == "#..."


def test_a_sender_of_the_same_bad_piece_twice_goes() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "b", 4, 3))
    for first in (4, 5):
        state.content.pieces.good(first, first + 1)
    assert state.content.piece_bad(6, 7, board_of(state)) == []
    board_of(state).free.discard(6, 7)
    tell(state, stored(state, "b", 6, 1))
    lost = state.content.piece_bad(6, 7, board_of(state))
    assert [source.name for source in lost] == [state.sources[1].name]
    assert picture_of(board_of(state))[4:7] == "##."


def with_pieces(picture: str, **more: object) -> DispatchState:
    state = untied(picture, **more)
    state.content.pieces.awaited = True
    return state


def checked(first: int, stop: int, *, good: bool) -> PieceChecked:
    return PieceChecked(job=JOB, first=first, stop=stop, good=good)


def test_a_file_with_piece_hashes_waits_for_all_of_them_and_for_no_ties() -> None:
    state = with_pieces("aabb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 2), checked(0, 2, good=True))
    posts = tell(state, stored(state, "b", 2, 2), finished(state, "a"), finished(state, "b"), Ticked())
    assert not said(posts, SealFile)
    assert said(tell(state, checked(2, 4, good=True)), SealFile)
    assert state.content.sealing.claim().kind == "pieces"


def test_piece_hashes_that_cannot_be_used_are_not_waited_for() -> None:
    state = with_pieces("aaaa", rates={"a": 1})
    posts = tell(state, stored(state, "a", 0, 4), finished(state, "a"), Ticked())
    assert not said(posts, SealFile)
    assert said(tell(state, PiecesUnusable(job=JOB, detail="gone")), SealFile)


def test_every_byte_in_good_pieces_is_a_claim_of_pieces() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 4))
    tell(state, stored(state, "b", 4, 3))
    state.content.pieces.good(0, 7)
    assert said(tell(state, stored(state, "b", 7, 1)), SealFile)
    assert state.content.sealing.claim().kind != "pieces"
    state.content.pieces.good(7, 8)
    claim = state.content.sealing.claim()
    assert (claim.kind, claim.excluded_share) == ("pieces", 0.0)


def test_a_bad_piece_of_one_source_alone_is_fetched_again_and_never_sealed() -> None:
    state = untied("aaaa", rates={"a": 1})
    tell(state, stored(state, "a", 0, 3))
    for _ in range(REFETCHES_MAX):
        assert state.content.piece_bad(0, 2, board_of(state)) == []
        assert picture_of(board_of(state)) == "..#a"
        board_of(state).free.discard(0, 2)
        tell(state, stored(state, "a", 0, 2))
    assert state.content.piece_bad(0, 2, board_of(state)) == []
    tell(state, stored(state, "a", 3, 1), finished(state, "a"))
    posts = tell(state, Ticked(), PartFileClosed(job=JOB), at_s=NOW_S + 5)
    assert [ended.state for ended in said(posts, JobEnded)] == ["disagreed"]


def test_a_user_with_one_odd_file_is_not_held_to_be_a_bad_one_in_other_jobs() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    state.sources[1].peer = "user-b"
    tell(state, stored(state, "b", 4, 2))
    tell(state, stored(state, "a", 0, 3))
    news = disputed(state, "a", 4)
    assert state.sources[1].state is SourceState.BANNED
    assert not [message for message in news if isinstance(message, PeerFaulted)]


@pytest.mark.parametrize("differs", [False, True])
def test_the_answer_about_the_last_chunk_that_two_sources_sent_is_awaited(differs: bool) -> None:
    state = board("aaaaaaaabbbbbbbb", rates={"a": 1, "b": 1})
    lease = lease_of(state, "a")
    read = LeaseFinished(
        job=JOB, source=0, lease=lease.id, handed_stop=9, received_bytes=9 * CHUNK, size_bytes=-1, stopped=True
    )
    own = stored(state, "a", 0, 8)
    posts = tell(state, stored(state, "b", 8, 8), read, own)
    assert not said(posts, SealFile), "chunk 8 of both is being compared"
    who: dict[str, int] = {"job": JOB, "source": 0, "lease": lease.id}
    answer: Message = ChunksRepeated(**who, first=8, count=1, length_bytes=CHUNK)
    if differs:
        answer = ChunkDisputed(**who, chunk=8, other_source_hash=101, digest=b"a", stored_digest=b"b")
    posts = tell(state, answer, at_s=NOW_S + 0.01)
    assert bool(said(posts, SealFile)) is not differs


def test_an_answer_about_such_a_chunk_that_never_comes_is_not_waited_for() -> None:
    state = board("aaaaaaaabbbbbbbb", rates={"a": 1, "b": 1})
    read = LeaseFinished(
        job=JOB, source=0, lease=lease_of(state, "a").id, handed_stop=9, received_bytes=9 * CHUNK, size_bytes=-1,
        stopped=True,
    )  # fmt: skip
    own = stored(state, "a", 0, 8)
    tell(state, stored(state, "b", 8, 8), read, own)
    assert not said(tell(state, Ticked(), at_s=NOW_S + 0.5), SealFile)
    assert said(tell(state, Ticked(), at_s=NOW_S + 1.1), SealFile)


@pytest.mark.parametrize("ordered", [False, True])
def test_when_no_source_of_the_group_is_left_another_takes_its_place_unless_the_order_names_one(ordered: bool) -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "b", 4, 2))
    tell(state, stored(state, "a", 0, 3))
    disputed(state, "a", 4)
    assert state.sources[1].state is SourceState.BANNED
    state.content.identity.anchor = 0 if ordered else None
    tell(state, SourceLost(job=JOB, source=0, detail="killed"), at_s=NOW_S + DISPUTE_S_MAX)
    posts = tell(state, Ticked(), at_s=NOW_S + DISPUTE_S_MAX + 60)
    if ordered:
        assert not said(posts, DropChunks)
        assert phase_of(state) is Phase.CLOSING
    else:
        assert [drop.firsts for drop in said(posts, DropChunks)] == [(0,)]
        assert phase_of(state) is Phase.RIDING
        assert state.sources[1].usable
        board_of(state).check()


HASHES = PieceHashes(piece_algorithm="sha256", piece_bytes=2 * CHUNK, piece_file="/box/x.pieces")


@pytest.mark.parametrize(("source", "document", "used"), [(0, False, True), (1, False, False), (1, True, True)])
def test_piece_hashes_of_a_document_that_comes_later_are_compared_from_then_on(
    source: int, document: bool, used: bool
) -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    state.content._job = state.content._job.but(source_count=2)
    tell(state, stored(state, "a", 0, 2))
    posts = tell(state, SourceDescribed(job=JOB, source=source, document=document, pieces=HASHES))
    assert [asked.pieces for asked in said(posts, ComparePieces)] == [HASHES] * used
    assert state.content.pieces.awaited is used
    assert not said(tell(state, SourceDescribed(job=JOB, source=source, pieces=HASHES)), ComparePieces), "once"
    state.content.pieces.again()
    assert len(said(state._out.take(), ComparePieces)) == used, "a store that opened the file again gets them again"


def test_a_document_that_differs_from_all_sources_is_given_up() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    state.content.pieces.adopt(HASHES, opened=True)
    state._out.take()
    ends = finished(state, "a"), finished(state, "b")
    tell(state, stored(state, "a", 0, 4), stored(state, "b", 4, 4), *ends)
    for chunk in (4, 5):
        state.content.identity.agree(0, 1, chunk)
    state.content.pieces.bad.add(4, 6)
    posts = [post for at in range(1, 5) for post in tell(state, Ticked(), at_s=NOW_S + at)]
    assert said(posts, SealFile)
    assert not state.content.identity.excluded
    assert state.content.sealing.claim().kind == "overlap"
    assert any("not with the document" in note.text for note in said(posts, JobNoted))


def test_who_repeats_a_bad_piece_of_a_document_is_compared_with_others_before_it_goes() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    state.content.pieces.adopt(HASHES, opened=True)
    tell(state, stored(state, "b", 4, 4))
    assert state.content.piece_bad(4, 6, board_of(state)) == []
    assert state.content.piece_bad(6, 8, board_of(state)) == []
    assert not state.content.identity.excluded
    assert list(state.content.plan.suspects)


def test_of_two_mirrors_one_that_was_asked_already_is_not_waited_for_to_answer_again() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 4), stored(state, "b", 4, 4), finished(state, "a"), finished(state, "b"))
    for source in (0, 1):
        state.content.plan.given(Check(source, 4), 1)
    who: dict[str, int] = {"job": JOB, "source": 0, "lease": 1}
    tell(state, ChunkDisputed(**who, chunk=4, other_source_hash=101, digest=b"b", stored_digest=b"a"))
    assert list(state.content.identity.excluded) == [1], "the first named goes on, at once"
