"""Content checks: what nothing ties, who answers a dispute, searches that end, and jobs that begin again."""

import pytest

from actors.core.dispatch.chunk_tracker import UNBOUNDED, ChunkTracker, recorded
from actors.core.dispatch.identity.checks import Check
from actors.core.dispatch.identity.evidence import DISPUTE_S_MAX
from actors.core.dispatch.identity.repair import ROUNDS_MAX
from actors.core.dispatch.sources import SourceState
from protocol.messages import (
    ChunkDisputed,
    ChunksRepeated,
    SourceNamed,
    Ticked,
)
from protocol.model.chunk_ranges import RangeSet
from tests.actors.core.dispatch.drawing import (
    CHUNK,
    JOB,
    NOW_S,
    board,
    board_of,
    drawn,
    lease_of,
    stored,
    tell,
)
from tests.actors.core.dispatch.identity.test_content import disputed, untied


def test_what_nothing_ties_to_the_rest_is_fetched_again_from_who_may_finish_the_file() -> None:
    state = untied("aaabb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 3), stored(state, "b", 3, 2))
    assert state.content.lacking(board_of(state), now_s=NOW_S) == ("", [])
    assert drawn(state).startswith("###")
    assert "#" not in drawn(state)[3:], "a sent more"


def test_what_nothing_ties_to_the_rest_ends_the_job_where_none_can_send_it_again() -> None:
    state = untied("aaabb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 3), stored(state, "b", 3, 2))
    for source in state.sources.values():
        source.state = SourceState.BANNED
    why, lost = state.content.lacking(board_of(state), now_s=NOW_S)
    assert "nothing shows that source b has the same file" in why
    assert lost == []
    assert drawn(state) == "#####"


def test_a_source_that_begins_at_the_first_byte_only_can_answer_of_the_first_chunk_alone() -> None:
    state = board("aaabb", fronts="a", rates={"a": 1, "b": 1})
    for chunk in (0, 2):
        state.content.identity.dispute(1, b"b", 7, b"a", chunk, now_s=NOW_S)
    assert [state.content.plan.may_answer(chunk) for chunk in (0, 2)] == [[0], []]


def test_a_third_source_that_sends_what_is_stored_decides_a_dispute_against_the_other() -> None:
    state = board("aaaabbbbcccc", rates={"a": 1, "b": 1, "c": 1})
    state.content.identity.__init__()  # type: ignore[misc]
    for number in state.sources:
        tell(state, SourceNamed(job=JOB, source=number, source_hash=100 + number))
    tell(state, stored(state, "a", 0, 3), stored(state, "b", 4, 1))
    odd = ChunkDisputed(
        job=JOB, source=1, lease=lease_of(state, "b").id, chunk=1, other_source_hash=100, digest=b"b",
        stored_digest=b"a",
    )  # fmt: skip
    tell(state, odd)
    lease = lease_of(state, "c").id
    assert 1 in state.content.identity.disputes
    tell(state, ChunksRepeated(job=JOB, source=2, lease=lease, first=0, count=2, length_bytes=2 * CHUNK))
    assert state.content.identity.disputes[1].answers == {0: b"a", 1: b"b", 2: b"a"}
    tell(state, Ticked(), at_s=NOW_S + DISPUTE_S_MAX)
    assert not state.content.identity.disputes
    assert [each.state is SourceState.BANNED for each in state.sources.values()] == [False, True, False]


def test_a_user_in_whose_queue_we_wait_for_an_answer_is_invited_once_and_of_a_dispute_only() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    state.content.identity.dispute(0, b"a", 1, b"b", 2, now_s=NOW_S)
    for chunk in (2, 3):
        state.content.invited(Check(7, chunk))
    assert state.content.identity.disputes[2].invited == {7}


def test_a_broken_boundary_is_suspect_only_between_two_that_sent_it() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 4))
    for chunk in (2, 4, 6):
        state.content.boundary_broken(chunk)
    assert not state.content.plan.suspects
    tell(state, stored(state, "b", 4, 2))
    state.content.boundary_broken(4)
    assert set(state.content.plan.suspects) == {3, 4}
    assert state.content.identity.checks_disagreed == 1


def test_who_spoiled_a_digest_is_not_looked_for_in_a_file_of_unknown_size_nor_for_ever() -> None:
    known = untied("aabb", rates={"a": 1, "b": 1})
    tell(known, stored(known, "a", 0, 2), stored(known, "b", 2, 1))
    assert known.content.repair("checksum differs", ChunkTracker(UNBOUNDED)) == (False, [])
    rounds = [known.content.repair("checksum differs", board_of(known))[0] for _ in range(ROUNDS_MAX + 2)]
    assert rounds == [True] * ROUNDS_MAX + [False] * 2


def test_where_all_that_was_read_again_agrees_only_who_could_not_be_asked_keeps_its_place() -> None:
    state = board("aabb", sources="abc", fronts="a", rates={"a": 1, "b": 1, "c": 1})
    tell(state, stored(state, "a", 0, 2), stored(state, "b", 2, 2))
    state.sources[2].leases = 1
    state.content.identity.__init__()  # type: ignore[misc]
    state.content.identity.agree(0, 1, 2)
    assert state.content.search.begin(4, CHUNK)
    assert state.content.search_over("sha256 differs", board_of(state)) == ("", []), "c could read again"
    state.content.search.spent = state.content.search.budget
    why, lost = state.content.search_over("sha256 differs", board_of(state))
    assert (why, [each.id for each in lost]) == ("", [1])
    assert drawn(state)[:2] == "##"


def test_a_job_that_begins_again_with_another_size_forgets_what_it_had_and_who_has_the_old_one() -> None:
    state = untied("aabb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 2), stored(state, "b", 2, 1))
    state.content.identity.dispute(0, b"a", 1, b"b", 1, now_s=NOW_S)
    state.content.identity.agree(0, 1, 2)
    state.sources[1].size_bytes = 7
    assert state.content.search.begin(4, CHUNK)
    state.content.start_over(4 * CHUNK, board_of(state))
    assert not board_of(state).stored
    assert not state.content.identity.disputes
    assert not state.content.identity.tied(0, 1)
    assert not state.content.search.active
    assert [state.content.is_excluded(each) for each in (0, 1)] == [True, False]


@pytest.mark.parametrize("preferred", [False, True])
def test_a_dispute_that_only_the_order_decides_goes_to_the_preferred_source(preferred: bool) -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    state.sources[1].preferred = preferred
    tell(state, stored(state, "b", 4, 2), stored(state, "a", 0, 3))
    disputed(state, "a", 4)
    assert [state.sources[each].state is SourceState.BANNED for each in (0, 1)] == [preferred, not preferred]


def test_a_group_that_has_lost_all_its_sources_gives_way_to_the_one_that_was_left_out_with_what_it_sent() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "b", 4, 2), stored(state, "a", 0, 3))
    disputed(state, "a", 4)
    assert [each.usable for each in state.sources.values()] == [True, False]
    state.sources[0].state = SourceState.BANNED
    lost = state.content.exclusion.other_group(board_of(state))
    assert [each.id for each in lost] == [0]
    assert not board_of(state).stored, "what a sent is of its file"
    assert [each.usable for each in state.sources.values()] == [False, True]
    assert state.content.exclusion.other_group(board_of(state)) == [], "a was tried"


def test_what_is_fetched_again_for_want_of_a_tie_is_no_evidence_any_more() -> None:
    state = untied("aaabbc", rates={"a": 1, "b": 1, "c": 1})
    tell(state, stored(state, "a", 0, 3), stored(state, "b", 3, 2), stored(state, "c", 5, 1))
    state.content.identity.agree(1, 2, 5)
    assert state.content.exclusion.free_untied(board_of(state)) == ""
    assert drawn(state).startswith("###")
    assert not state.content.identity.tied(1, 2)


def test_chunks_of_an_earlier_attempt_are_suspect_until_they_are_confirmed() -> None:
    state = untied("##aabb", rates={"a": 1, "b": 1})
    plan = state.content.plan
    state.report._owners.put(0, 2, recorded(55))
    state.report.lost(RangeSet(), state.size_bytes, state.sources)  # what is derived of the contributors is made again
    for chunk in (0, 1, 3):
        plan.suspects[chunk] = None
    assert plan.open_suspects() == [0, 1], "chunk 3 is not stored"
    state.content.identity.agree(0, recorded(55), 1)
    assert plan.open_suspects() == [0]


def test_of_sources_without_offsets_that_agree_alone_the_one_that_sent_most_has_to_go() -> None:
    state = board("aaabcc", fronts="ab", rates={"a": 1, "b": 1, "c": 1})
    tell(state, stored(state, "a", 0, 3), stored(state, "b", 3, 1))
    state.content.identity.__init__()  # type: ignore[misc]
    state.content.identity.agree(0, 1, 3)
    assert state.content.search.begin(6, CHUNK)
    state.content.search.spent = state.content.search.budget
    _, lost = state.content.search_over("sha256 differs", board_of(state))
    assert [each.id for each in lost] == [0]
