"""The container's own checks as evidence: what is asked of the store, and what its answers change."""

import pytest
from msgspec.structs import replace

from actors.core.dispatch.dispatcher import DispatchState
from actors.core.dispatch.identity.checks import Check
from actors.core.dispatch.identity.container_requests import ANSWER_S_MAX, FRUITLESS_MAX, REQUIRED_S_MAX, WHOLE_S_MIN
from actors.core.dispatch.identity.repair import ROUNDS_MAX
from actors.core.dispatch.identity.seal_gate import TIES_S_MAX
from actors.core.dispatch.sources import SourceState
from protocol.messages import (
    BoundariesChecked,
    CheckBoundaries,
    CheckContainer,
    ClosePartFile,
    ContainerBroken,
    ContainerChecked,
    ContainerFound,
    JobEnded,
    JobNoted,
    LeaseGranted,
    PartFileClosed,
    SealFile,
    SealRefused,
    Ticked,
)
from tests.actors.core.dispatch.boards import said
from tests.actors.core.dispatch.drawing import CHUNK, JOB, NOW_S, board_of, drawn, finished, stored, tell
from tests.actors.core.dispatch.identity.test_content import untied


def album(picture: str, name: str = "song.flac", **more: object) -> DispatchState:
    """Sources that were never compared, of a file of this name."""
    state = untied(picture, **more)
    state.content.containers.name = name
    return state


def answer(
    *chunks: int, proven: tuple[int, ...] = (), broken: tuple[int, ...] = (), wide: int = 0
) -> BoundariesChecked:
    return BoundariesChecked(
        job=JOB,
        chunks=chunks,
        format="FLAC",
        proven=proven,
        broken=broken,
        broken_firsts=tuple(chunk - 1 - wide for chunk in broken),
        broken_stops=tuple(chunk + 1 for chunk in broken),
    )


def right(request: int = 1, kind: str = "frames") -> ContainerChecked:
    return ContainerChecked(job=JOB, request=request, kind=kind, detail="all FLAC frames are right")


def damaged(first: int, stop: int, request: int = 1) -> ContainerBroken:
    return ContainerBroken(job=JOB, request=request, first=first, stop=stop, detail="a wrong frame")


def test_a_place_where_two_sources_meet_is_asked_about_once() -> None:
    state = album("aaaabbbb", rates={"a": 1, "b": 1})
    assert not said(tell(state, stored(state, "b", 4, 2)), CheckBoundaries), "nothing lies left of it yet"
    assert not said(tell(state, stored(state, "a", 0, 3)), CheckBoundaries)
    posts = tell(state, stored(state, "a", 3, 1))
    assert [request.chunks for request in said(posts, CheckBoundaries)] == [(4,)]
    assert not said(tell(state, stored(state, "b", 6, 1), Ticked()), CheckBoundaries)


def test_a_proven_boundary_ties_its_sources_without_any_transfer() -> None:
    state = album("aabb", rates={"a": 1, "b": 1})
    posts = tell(state, stored(state, "a", 0, 2), stored(state, "b", 2, 2))
    assert not said(posts, SealFile)
    assert not said(posts, LeaseGranted), "the answer is waited for before a chunk is read twice"
    posts = tell(state, answer(2, proven=(2,)))
    assert state.content.identity.tied(0, 1)
    assert [request.seconds_max for request in said(posts, CheckContainer)] == [WHOLE_S_MIN]
    assert not said(posts, LeaseGranted)
    assert said(tell(state, right()), SealFile)
    claim = state.content.sealing.claim()
    assert (claim.kind, claim.container) == ("frames", "all FLAC frames are right")


def test_decoded_audio_is_claimed_as_such() -> None:
    state = album("aabb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 2), stored(state, "b", 2, 2), answer(2, proven=(2,)), right(kind="decoded"))
    claim = state.content.sealing.claim()
    assert (claim.kind, claim.excluded_share) == ("decoded", 0.0)


def test_without_a_decoder_who_sent_a_part_shows_the_first_chunk_which_names_the_digest_of_all() -> None:
    state = album("aabb", sources="abc", rates={"a": 0.5, "b": 0.5, "c": 0.5})
    ends = finished(state, "a"), finished(state, "b")
    tell(state, stored(state, "a", 0, 2), stored(state, "b", 2, 2), *ends, answer(2, proven=(2,)))
    open_digest = replace(right(), digest_open=True)
    posts = tell(state, open_digest)
    assert not said(posts, SealFile)
    (check,) = said(posts, LeaseGranted)
    assert (check.source, check.first, check.stop) == (1, 0, 1), "c sent nothing"
    assert said(tell(state, Ticked(), at_s=NOW_S + TIES_S_MAX), SealFile), "an answer that does not come is not awaited"


def test_a_broken_boundary_puts_both_chunks_under_suspicion() -> None:
    state = album("aaaabbbb....", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 4), stored(state, "b", 4, 2), answer(4, broken=(4,)))
    assert list(state.content.plan.suspects) == [3, 4]
    assert not state.content.identity.tied(0, 1)


def test_a_broken_frame_with_bytes_of_a_third_source_says_nothing_of_two() -> None:
    state = album("aaabcccc....", rates={"a": 1, "b": 1, "c": 1})
    tell(state, stored(state, "a", 0, 3), stored(state, "b", 3, 1), stored(state, "c", 4, 2))
    tell(state, answer(4, broken=(4,), wide=2))
    assert not state.content.plan.suspects


def test_an_answer_about_chunks_that_were_dropped_meanwhile_counts_for_nothing() -> None:
    state = album("aaaabbbb....", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 4), stored(state, "b", 4, 2))
    state.content.exclusion.drop(state.report.chunks_of({1}), board_of(state))
    tell(state, answer(4, proven=(4,)))
    assert not state.content.identity.tied(0, 1)


def test_a_lost_answer_delays_the_end_and_does_not_prevent_it() -> None:
    state = album("aabb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 2), stored(state, "b", 2, 2))
    state.content.identity.agree(0, 1, 2)
    assert not said(tell(state, Ticked(), at_s=NOW_S + 1), SealFile)
    later = NOW_S + 2 * ANSWER_S_MAX
    assert said(tell(state, Ticked(), at_s=later), CheckContainer)
    assert said(tell(state, Ticked(), at_s=later + WHOLE_S_MIN + ANSWER_S_MAX), SealFile)


def test_files_without_a_container_are_asked_nothing() -> None:
    state = album("aabb", "disk.iso", rates={"a": 1, "b": 1})
    posts = tell(state, stored(state, "a", 0, 2), stored(state, "b", 2, 2))
    assert not said(posts, CheckBoundaries)
    state.content.identity.agree(0, 1, 2)
    assert said(tell(state, Ticked()), SealFile)


def test_a_container_is_known_by_its_first_bytes_too() -> None:
    state = album("aabb", "disk.bin", rates={"a": 1, "b": 1})
    tell(state, ContainerFound(job=JOB, format="zip"))
    posts = tell(state, stored(state, "a", 0, 2), stored(state, "b", 2, 2))
    assert {request.chunks for request in said(posts, CheckBoundaries)} == {(2,)}
    assert said(tell(state, answer(2, proven=(2,))), CheckContainer)


@pytest.mark.parametrize("checksum", ["", "sha256:" + "ab" * 32])
def test_a_required_check_of_the_whole_is_made_whatever_else_is_known(checksum: str) -> None:
    state = album("aaaa", "disk.iso", rates={"a": 1}, checksum=checksum, require="decoded")
    posts = tell(state, stored(state, "a", 0, 4))
    assert [request.seconds_max for request in said(posts, CheckContainer)] == [REQUIRED_S_MAX]
    assert not said(posts, SealFile)
    assert said(tell(state, right()), SealFile)


@pytest.mark.parametrize("checksum", ["", "sha256:" + "ab" * 32])
@pytest.mark.parametrize(
    ("found", "words"),
    [
        (ContainerChecked(job=JOB, request=1, kind="", detail=""), "no checks of its own"),
        (ContainerChecked(job=JOB, request=1, kind="", detail="weak evidence"), "weak evidence"),
        (ContainerBroken(job=JOB, request=1, first=1, stop=2, detail="a wrong frame"), "a wrong frame"),
    ],
)
def test_a_file_that_does_not_pass_the_required_check_keeps_its_part(
    checksum: str, found: ContainerChecked | ContainerBroken, words: str
) -> None:
    state = album("aaaa", rates={"a": 1}, checksum=checksum, require="decoded")
    tell(state, stored(state, "a", 0, 4), found)
    posts = [*tell(state, Ticked(), at_s=NOW_S + 2), *tell(state, Ticked(), at_s=NOW_S + 6)]
    assert not said(posts, SealFile)
    (ended,) = said(posts, JobEnded)
    assert ended.state == "disagreed"
    assert words in ended.reason


def test_answers_that_decide_nothing_are_not_asked_for_again_and_again() -> None:
    state = album("aabbccddeeffgg", rates=dict.fromkeys("abcdefg", 1.0))
    asked = 0
    for at, letter in enumerate("abcdefg"):
        for request in said(tell(state, stored(state, letter, 2 * at, 2)), CheckBoundaries):
            asked += 1
            if at < 6:
                tell(state, answer(*request.chunks))
    assert asked == FRUITLESS_MAX + 1, "the last one when the file is complete"


def test_a_damage_is_looked_for_among_those_who_sent_it() -> None:
    state = album("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 4), stored(state, "b", 4, 4), answer(4, proven=(4,)))
    posts = tell(state, damaged(5, 7))
    assert not said(posts, SealFile)
    assert any("looking for" in note.text for note in said(posts, JobNoted)) or not state.job.watcher
    assert list(state.content.search.unread) == [(5, 7)]


def test_a_damage_that_all_sources_have_is_sealed_and_said() -> None:
    state = album("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 4), stored(state, "b", 4, 4), answer(4, proven=(4,)), damaged(5, 7))
    repair = state.content.search
    assert repair is not None
    repair.granted(Check(0, 5, 2), 99, 1, costly=False)
    repair.answered(99, 5, 7)
    posts = tell(state, Ticked(), at_s=NOW_S + 1)
    assert said(posts, SealFile)
    assert state.content.sealing.claim().container == "a wrong frame"
    assert not said(posts, JobEnded)


def test_a_damaged_file_of_one_source_is_sealed_and_said() -> None:
    state = album("aaaa", rates={"a": 1})
    assert said(tell(state, stored(state, "a", 0, 4)), CheckContainer)
    assert said(tell(state, damaged(1, 2)), SealFile)
    assert state.content.sealing.claim().container == "a wrong frame"
    assert state.sources[0].state is not SourceState.BANNED


def test_a_damaged_file_of_one_source_gives_way_to_that_of_one_that_was_left_out_for_differing() -> None:
    """One against one had been decided by the user's order, and the damaged one was sealed."""
    state = album("aaaa", rates={"a": 1, "b": 1}, sources="ab")
    state.content.identity.exclude({1}, {0})
    state.sources[1].state = SourceState.BANNED
    assert said(tell(state, stored(state, "a", 0, 4)), CheckContainer)
    posts = tell(state, damaged(1, 2))
    assert not said(posts, SealFile)
    assert state.sources[0].state is SourceState.BANNED
    assert state.sources[1].usable
    assert any("another source" in note.text for note in said(posts, JobNoted))


def test_a_damaged_file_of_the_source_that_the_order_names_is_sealed_and_said() -> None:
    state = album("aaaa", rates={"a": 1, "b": 1}, sources="ab")
    state.content.identity.anchor = 0
    state.content.identity.exclude({1}, {0})
    state.sources[1].state = SourceState.BANNED
    tell(state, stored(state, "a", 0, 4))
    assert said(tell(state, damaged(1, 2)), SealFile)


def test_an_answer_about_the_file_before_it_changed_is_not_taken() -> None:
    state = album("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 4), stored(state, "b", 4, 4), answer(4, proven=(4,)))
    state.content.exclusion.drop(state.report.chunks_of({1}), board_of(state))
    tell(state, Ticked())
    tell(state, damaged(5, 7))
    assert not state.content.search.rounds
    assert drawn(state) != "#" * 8


def test_a_damage_that_could_not_be_compared_is_not_sealed_as_the_files_own() -> None:
    state = album("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 4), stored(state, "b", 4, 4), answer(4, proven=(4,)), damaged(5, 7))
    for source in state.sources.values():
        source.state = SourceState.BANNED
    posts = tell(state, Ticked(), at_s=NOW_S + 1)
    assert not said(posts, SealFile)
    assert state.content.sealing.claim().kind == "overlap", "frames that meet say little of a file that is damaged"


@pytest.mark.parametrize("differ", [True, False])
def test_when_all_searches_are_used_up_a_damage_is_sealed_only_where_no_source_ever_differed(differ: bool) -> None:
    state = album("aaaabbbb", rates={"a": 1, "b": 1, "c": 1}, sources="abc")
    tell(state, stored(state, "a", 0, 4), stored(state, "b", 4, 4), answer(4, proven=(4,)))
    state.content.search.begin(8, CHUNK)
    state.content.search.rounds, state.content.search.active = ROUNDS_MAX, False
    if differ:
        state.content.identity.exclude({2}, {0, 1})
    posts = tell(state, damaged(5, 7), Ticked())
    assert bool(said(posts, SealFile)) is not differ
    assert bool(said(posts, ClosePartFile)) is differ, "what is there is kept"
    if differ:
        [ended] = said(tell(state, PartFileClosed(job=JOB)), JobEnded)
        assert ended.state == "disagreed"
        assert "a wrong frame" in ended.reason
        assert "differ" in ended.reason
    else:
        assert state.content.sealing.claim().container == "a wrong frame"


def test_with_a_digest_that_never_comes_out_nothing_is_sealed_when_all_searches_are_used_up() -> None:
    state = album("aaaabbbb", rates={"a": 1, "b": 1}, checksum="sha256:" + "ab" * 32)
    posts = tell(state, stored(state, "a", 0, 4), stored(state, "b", 4, 4))
    assert said(posts, SealFile)
    state.content.search.begin(8, CHUNK)
    state.content.search.rounds, state.content.search.active = ROUNDS_MAX, False
    posts = tell(state, SealRefused(job=JOB, detail="checksum differs"), Ticked())
    assert not said(posts, SealFile)
    assert said(posts, ClosePartFile)
    [ended] = said(tell(state, PartFileClosed(job=JOB)), JobEnded)
    assert (ended.state, ended.reason) == ("disagreed", "checksum differs")


def test_where_none_can_read_a_broken_boundary_again_the_lighter_side_of_it_loses_its_place() -> None:
    state = album("aaabb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 3), stored(state, "b", 3, 2))
    state.content.boundary_broken(3)
    why, lost = state.content.lacking(board_of(state), now_s=NOW_S)
    assert (why, [each.id for each in lost]) == ("", [1]), "a was named first"
    assert "frames do not meet" in lost[0].reason
    assert "source a" in lost[0].reason, "whose bytes it does not fit"
    assert drawn(state)[:3] == "###"
    assert "#" not in drawn(state)[3:]


def test_a_boundary_that_was_read_again_meanwhile_is_no_reason_to_lose_a_place() -> None:
    state = album("aaabbb", sources="abc", rates={"a": 1, "b": 1, "c": 1})
    tell(state, stored(state, "a", 0, 3), stored(state, "b", 3, 3))
    state.content.boundary_broken(3)
    state.content.plan.suspects[0] = None
    for chunk, owner in ((2, 0), (3, 1)):
        state.content.identity.agree(2, owner, chunk)
    assert state.content.lacking(board_of(state), now_s=NOW_S) == ("", [])
