"""Where a free source rides next, drawn."""

import pytest

from actors.core.dispatch.chunk_tracker import Lease
from actors.core.dispatch.dispatcher import DispatchState
from actors.core.dispatch.sources import SourceTraits
from protocol.messages import LeaseExtended, LeaseGranted, LeaseTrimmed, Ticked
from tests.actors.core.dispatch.boards import CHUNK, NOW_S, add, board, deliver, drawn, lease_of, said, serve
from tests.actors.core.dispatch.replies import measured, stored


def test_a_source_alone_gets_everything_in_one_lease() -> None:
    state = board("........")
    serve(state, "a")
    assert drawn(state) == "aaaaaaaa"


def test_a_source_alone_gets_the_longest_hole_of_a_resumed_file() -> None:
    state = board("..##....#.")
    serve(state, "a")
    assert drawn(state) == "..##aaaa#."


def test_an_unknown_source_among_others_first_gets_a_short_measuring_ride() -> None:
    state = board("a" * 4 + "." * 60, rates={"a": 1.0})
    serve(state, "b")
    assert drawn(state).count("b") == 64 // (16 * 2)


def test_a_newcomer_keeps_away_from_the_free_chunks_a_ride_can_go_on_into() -> None:
    state = board("aaaa" + "." * 28, rates={"a": 1.0})
    serve(state, "b", 1.0)
    picture = drawn(state)
    assert picture.endswith("bbbb"), picture
    assert picture[4] == ".", picture


def test_a_known_source_gets_what_it_can_send_until_the_common_finish_time() -> None:
    # 24 missing chunks at 1 + 2 chunks a second take 8 seconds: b can send 16, less what its set-up costs.
    state = board("aaaa" + "." * 20, rates={"a": 1.0})
    serve(state, "b", 2.0)
    assert drawn(state).count("b") in (15, 16)


def test_what_a_ride_could_still_do_itself_is_left_to_it() -> None:
    # a could do 6 of the 10 chunks until everything is done; b takes the rest though it could begin at once.
    state = board("a" + "." * 9, rates={"a": 3.0})
    serve(state, "b", 2.0)
    assert drawn(state) == "a.....bbbb"


def test_a_free_source_gets_the_tail_of_the_lease_that_would_finish_last() -> None:
    state = board("##aaaaccccccccc", rates={"a": 1.0, "c": 1.0})
    posts = serve(state, "b", 1.0)
    assert drawn(state) == "##aaaacccccbbbb"
    (trimmed,) = said(posts, LeaseTrimmed)
    assert (trimmed.source, trimmed.stop) == (2, 11)


def test_the_victim_keeps_the_chunk_it_is_reading() -> None:
    state = board("aa", rates={"a": 0.1})
    serve(state, "b", 100.0)
    assert drawn(state) == "ab"


def test_nothing_is_cut_where_a_new_start_would_gain_nothing() -> None:
    state = board("##aa", rates={"a": 100.0})
    serve(state, "b", 100.0)
    assert drawn(state) == "##aa"


def test_the_last_chunk_of_a_slow_ride_is_fetched_twice() -> None:
    state = board("###a", rates={"a": 0.05})
    serve(state, "b", 10.0)
    assert drawn(state) == "###B"


def test_a_duel_is_not_begun_by_a_source_that_would_lose_it() -> None:
    state = board("###a", rates={"a": 1.0})
    serve(state, "b", 0.5)
    assert drawn(state) == "###a"


def test_a_third_source_takes_the_place_of_the_worse_of_two_hopeless_duellists() -> None:
    state = board("###a", rates={"a": 0.01})
    serve(state, "b", 0.05)
    assert drawn(state) == "###B"
    serve(state, "c", 10.0)
    assert drawn(state) == "###C"
    assert {lease.source for lease in _leases(state)} == {1, 2}


def test_the_first_chunk_in_decides_a_duel_and_the_loser_hangs_up() -> None:
    state = board("##aa", rates={"a": 0.01})
    add(state, "b", 10.0)
    assert state.leases is not None
    state.leases.tracker.grant_duplicate(lease_of(state, "a"), 1, now_s=NOW_S)
    state.sources[1].busy = 2
    assert drawn(state) == "##BB"
    posts = state.handle(stored(1, 2, 2, 1), now_s=NOW_S)
    assert drawn(state) == "###b"
    assert [post.to for post in posts if type(post.message).__name__ == "LeaseRevoked"] == ["fetch-1/worker-1-0"]


def test_a_ride_near_its_end_goes_on_into_the_free_chunks_behind_it() -> None:
    state = board("aaaa....", rates={"a": 2.0})
    lease = lease_of(state, "a")
    posts = state.handle(measured(0, lease.id, 3.5, 2.0), now_s=NOW_S)
    assert drawn(state) == "aaaaaaaa"
    (extended,) = said(posts, LeaseExtended)
    assert extended.stop == 8


def test_a_ride_far_from_its_end_is_not_extended_yet() -> None:
    state = board("aaaaaaaaaa....", rates={"a": 1.0})
    posts = state.handle(measured(0, lease_of(state, "a").id, 1.0, 1.0), now_s=NOW_S)
    assert not said(posts, LeaseExtended)


def test_a_source_that_dropped_goes_on_where_it_stands() -> None:
    state = board("####....##....", rates={})
    source = add(state, "a", 1.0)
    add(state, "b")
    source.position = 4
    assert state.leases is not None
    state.leases.grants.serve(NOW_S)
    assert lease_of(state, "a").first == 4


@pytest.mark.parametrize("rate", [0.0, 5.0])
def test_a_source_without_offsets_begins_at_the_front(rate: float) -> None:
    state = board("." * 32)
    posts = serve(state, "a", rate, offset_ok=False)
    (granted,) = said(posts, LeaseGranted)
    assert granted.first == 0
    assert lease_of(state, "a").lead_in_bytes == 0


def test_others_leave_the_front_to_a_source_that_can_only_begin_there() -> None:
    state = board("." * 32)
    add(state, "b", offset_ok=False).not_before_s = NOW_S + 5
    serve(state, "a")
    picture = drawn(state)
    assert picture[0] == "."
    assert picture[-1] == "a"


def test_the_lead_in_of_a_source_without_offsets_is_what_it_must_read_and_drop() -> None:
    state = board("####....", rates={})
    serve(state, "a", 1.0, offset_ok=False)
    assert lease_of(state, "a").first == 4
    assert lease_of(state, "a").lead_in_bytes == 4 * CHUNK


def test_a_source_without_offsets_gets_nothing_where_the_others_are_done_before_it_arrives() -> None:
    state = board("#" * 60 + "aa..", rates={"a": 1.0})
    serve(state, "b", 1.0, offset_ok=False)
    assert "b" not in drawn(state)


def test_two_sources_without_offsets_fight_for_the_front_and_the_faster_keeps_it() -> None:
    state = board("." * 16)
    serve(state, "a", offset_ok=False)
    serve(state, "b", offset_ok=False)
    assert drawn(state)[0] in "AB"
    lease = lease_of(state, "b")
    state.handle(stored(1, lease.id, 0, 1), now_s=NOW_S)
    assert drawn(state).startswith("#b")
    assert "a" not in drawn(state).lower()


def test_of_unknown_size_one_lease_goes_to_the_end_whatever_that_is() -> None:
    state = board("", total=-2)
    posts = serve(state, "a")
    (granted,) = said(posts, LeaseGranted)
    assert (granted.first, granted.size_bytes) == (0, -1)


def _leases(state: DispatchState) -> list[Lease]:
    assert state.leases is not None
    return list(state.leases.tracker.leases.values())


def test_a_source_without_offsets_gets_no_tail_it_would_reach_after_everybody_is_done() -> None:
    """Though the ride there is hopeless: what lies before it would have to be read and dropped first."""
    state = board("##" + "a" * 10 + "c" * 30, rates={"a": 0.01, "c": 5.0})
    serve(state, "b", 1.0, offset_ok=False)
    assert "B" not in drawn(state)[2:]
    assert "b" not in drawn(state)[12:]


def test_a_source_without_offsets_that_no_one_has_measured_takes_no_tail() -> None:
    state = board("a" * 20 + "c" * 20, rates={"a": 1.0, "c": 0.01})
    serve(state, "b", offset_ok=False)
    assert "b" not in drawn(state)[20:]


def test_a_faster_source_that_can_only_begin_at_the_front_keeps_no_other_from_what_is_free() -> None:
    state = board("#" * 32 + "aaaa##....", rates={"a": 4.0})
    add(state, "b", 8.0, offset_ok=False)
    serve(state, "c", 1.0)
    assert "b" not in drawn(state)
    assert "c" in drawn(state)


@pytest.mark.parametrize(("guessed", "chunks_s"), [(False, 2.0), (True, 0.0)])
def test_until_a_lease_is_measured_its_source_counts_with_its_rate_unless_that_was_guessed(
    guessed: bool, chunks_s: float
) -> None:
    state = board("aaaa............", rates={"a": 1.0})
    add(state, "b", 2.0).rate_guessed = guessed
    deliver(state, Ticked())
    assert lease_of(state, "b").prior_rate_bytes_s == chunks_s * CHUNK


@pytest.mark.parametrize(("once", "picture"), [(False, "###B"), (True, "###a")])
def test_a_link_that_may_be_good_for_one_request_is_spent_for_a_second_at_least(once: bool, picture: str) -> None:
    state = board("###a", rates={"a": 1.0})
    state.sources[0].stands = True
    add(state, "b", 10.0).answered_once = once
    deliver(state, Ticked())
    assert drawn(state) == picture


@pytest.mark.parametrize(("read_chunks", "picture"), [(2.0, "aaaaabbb"), (4.5, "aaaaabbb"), (5.5, "aaaaaaab")])
def test_a_link_that_is_good_once_begins_where_its_answer_stands_unless_that_chunk_is_being_read(
    read_chunks: float, picture: str
) -> None:
    state = board("aaaaaaaa", rates={"a": 0.2})
    lease_of(state, "a").received_bytes = int(read_chunks * CHUNK)
    one = add(state, "b", 0.3)
    one.stands, one.answered_once, one.position = True, True, 5
    deliver(state, Ticked())
    assert drawn(state) == picture


def test_a_gap_is_kept_for_a_source_without_offsets_only_where_it_comes_there_in_time() -> None:
    for rate, kept in ((10.0, True), (0.001, False)):
        state = board("aa" + "." * 10, rates={"a": rate})
        state.sources[0].traits = SourceTraits(restart_cost_s=0.05, offset_ok=False)
        serve(state, "b", 1.0)
        assert (drawn(state)[2] == ".") is kept, drawn(state)
