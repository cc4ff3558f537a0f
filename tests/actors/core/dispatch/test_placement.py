"""Where a free source rides next, drawn. One sign is a chunk, rates are chunks a second; see
`tests.actors.core.dispatch.drawing`."""

import pytest

from protocol.messages import ChunksRepeated, LeaseExtended, LeaseGranted, LeaseRevoked, LeaseTrimmed
from protocol.model.faults import FaultKind
from tests.actors.core.dispatch.boards import said
from tests.actors.core.dispatch.drawing import (
    CHUNK,
    JOB,
    NOW_S,
    board,
    board_of,
    drawn,
    finished,
    lease_of,
    measured,
    picture_of,
    ready,
    released,
    said_to,
    stored,
    stretches,
    tell,
)


def sizes(picture: str) -> dict[str, int]:
    """How many chunks each letter holds."""
    return {sign: picture.count(sign) for sign in sorted(set(picture) - set("#."))}


# -- unknown sources are measured first


@pytest.mark.parametrize(("chunks", "sources", "each"), [(64, "abcd", 1), (640, "ab", 20), (960, "abc", 20)])
def test_sources_no_one_has_measured_take_a_sixteenth_of_the_file_together(
    chunks: int, sources: str, each: int
) -> None:
    state = board("." * chunks, sources=sources)
    assert sizes(drawn(state)) == dict.fromkeys(sources, each)


def test_a_measuring_ride_has_at_least_one_chunk() -> None:
    assert sizes(drawn(board("." * 8, sources="abc"))) == {"a": 1, "b": 1, "c": 1}


def test_the_first_measuring_ride_begins_at_the_front_and_the_others_at_the_end_of_the_gap_it_can_ride_into() -> None:
    assert drawn(board("." * 12, sources="abc")) == "a.........cb"


def test_more_sources_than_chunks_leave_some_without_a_lease() -> None:
    state = board("...", sources="abcde")
    assert "." not in drawn(state)
    assert sum(source.busy is not None for source in state.sources.values()) == 3


# -- measured sources get what they can send until everybody would be done


def test_a_measured_source_gets_what_it_can_send_until_the_common_finish_time() -> None:
    state = board("aaaa####........", rates={"a": 1})
    ready(state, "b", rate=2)
    # 12 chunks are left, 3 come a second: all is done in 4 s, and then b has sent 8.
    assert drawn(state) == "aaaa####bbbbbbbb"
    state = board("aaaa####........", rates={"a": 2})
    ready(state, "b", rate=1)
    assert drawn(state) == "aaaa####bbbbb...", "half as fast: half as much; a reads one chunk more, to compare it"


def test_known_rates_share_the_file_so_that_all_finish_together() -> None:
    rates = {"a": 8, "b": 4, "c": 2, "d": 2}
    held = sizes(drawn(board("." * 160, sources="abcd", rates=dict(rates))))
    assert sum(held.values()) >= 150, "known sources are placed right away"
    for source, rate in rates.items():
        assert 7 <= held[source] / rate <= 13, "everybody needs about the ten seconds that all need together"


def test_a_dear_start_makes_the_share_smaller() -> None:
    state = board("aaaa####........", rates={"a": 1})
    ready(state, "b", rate=2, setup_s=3.0)
    # It begins after 3 s; then (12 - 3) chunks are left for 3 a second: 3 s, 6 chunks.
    assert sizes(drawn(state))["b"] == 7, "one more than 6, for the chunk that a reads beside its own"


# -- where in the free part


def test_a_newcomer_goes_to_the_end_of_a_gap_that_a_ride_touches() -> None:
    state = board("aaaa....................", rates={"a": 1})
    ready(state, "b")
    assert drawn(state) == "aaaa...................b"


def test_a_newcomer_begins_at_the_start_of_a_gap_that_no_ride_touches() -> None:
    state = board("aaaa####................", rates={"a": 1})
    ready(state, "b")
    assert drawn(state) == "aaaa####b..............."


def test_a_newcomer_takes_the_largest_gap() -> None:
    state = board("aa##..####....##..######", rates={"a": 0.1})
    ready(state, "b", rate=1)
    assert drawn(state) == "aa##..####bbbb##..######"


def test_a_proven_source_goes_on_where_it_stands_though_a_larger_gap_is_elsewhere() -> None:
    state = board("aa..##..........b#######", rates={"b": 0.01})
    tell(state, stored(state, "a", 0, 2), at_s=NOW_S + 1)
    tell(state, finished(state, "a"), at_s=NOW_S + 1)
    assert drawn(state).startswith("##a")


# -- riding on


def test_a_ride_near_its_end_rides_on_into_the_free_chunks_behind_it_without_a_new_request() -> None:
    state = board("aaaa........", rates={"a": 2})
    posts = tell(state, measured(state, "a", received=3, rate=2), at_s=NOW_S + 1.5)
    assert [extended.stop for extended in said(posts, LeaseExtended)] == [12]
    assert said(posts, LeaseGranted) == []
    assert drawn(state) == "aaaaaaaaaaaa"


def test_a_ride_far_from_its_end_is_left_alone() -> None:
    state = board("aaaaaaaaaaaa....", rates={"a": 2})
    assert tell(state, measured(state, "a", received=1, rate=2), at_s=NOW_S + 0.5) == []


@pytest.mark.parametrize("picture", ["aaaa####....", "aaaabbbb...."])
def test_a_ride_cannot_ride_on_over_what_others_have(picture: str) -> None:
    state = board(picture, rates={"a": 2, "b": 1})
    posts = tell(state, measured(state, "a", received=3, rate=2), at_s=NOW_S + 1.5)
    assert said_to(posts, "a") == []


def test_a_ride_rides_on_only_as_far_as_its_share_of_what_is_left() -> None:
    state = board("aaaa" + "." * 40 + "bbbb", rates={"a": 2, "b": 2})
    tell(state, measured(state, "b", received=0.1, rate=2), at_s=NOW_S + 1.4)
    tell(state, measured(state, "a", received=3, rate=2), at_s=NOW_S + 1.5)
    held = sizes(drawn(state))["a"]
    assert 20 <= held - 4 <= 24, "half of the free chunks: b is just as fast"


# -- cutting


def test_a_free_source_gets_the_tail_of_the_lease_that_would_finish_last() -> None:
    state = board("##aaaa", rates={"a": 1})
    posts = ready(state, "b", rate=1.1)
    assert drawn(state) == "##aabb"
    [trimmed] = said_to(posts, "a")
    assert isinstance(trimmed, LeaseTrimmed)
    assert trimmed.stop == 4
    assert [source.trims for source in state.sources.values()] == [1, 0]


def test_of_two_rides_the_later_one_is_cut() -> None:
    state = board("aaaabbbb", rates={"a": 1, "b": 0.5})
    posts = ready(state, "c", rate=1)
    assert drawn(state) == "aaaabbcc"
    assert said_to(posts, "a") == []


def test_a_faster_source_takes_more_of_the_tail() -> None:
    state = board("aaaaaaaa", rates={"a": 1})
    ready(state, "b", rate=3.1)
    assert drawn(state) == "aabbbbbb"


def test_the_victim_keeps_the_chunk_it_reads() -> None:
    state = board("##aaaa", slow="a")
    tell(state, measured(state, "a", received=1.5, rate=0.1))
    ready(state, "b", rate=100)
    assert drawn(state) == "##aabb"


def test_an_idle_source_takes_over_from_a_slow_one_at_once() -> None:
    state = board("aabbbbbbbb", rates={"a": 2, "b": 0.5})
    tell(state, measured(state, "b", received=0.4, rate=0.5), stored(state, "a", 0, 2), at_s=NOW_S + 1)
    posts = tell(state, finished(state, "a"), at_s=NOW_S + 1)
    assert said(posts, LeaseGranted)[0].source == 0
    assert sizes(drawn(state)) == {"a": 6, "b": 2}


def test_a_ride_that_is_nearly_over_is_not_disturbed() -> None:
    state = board("####aa", rates={"a": 1000})
    assert said(ready(state, "b", rate=1000), LeaseGranted) == []
    assert drawn(state) == "####aa"


def test_no_one_is_cut_for_a_source_that_would_begin_too_late() -> None:
    state = board("####aa", rates={"a": 1})
    ready(state, "b", rate=1, setup_s=5.0)
    assert drawn(state) == "####aa"


# -- endgame


def test_in_the_endgame_a_fast_source_fetches_the_last_chunk_of_a_slow_one_too() -> None:
    state = board("####a###", slow="a")
    posts = ready(state, "b", rate=1)
    assert drawn(state) == "####2###"
    assert said_to(posts, "a") == [], "the slow one rides on: first one in wins"


def test_a_duel_is_not_begun_for_little_gain() -> None:
    state = board("####a###", rates={"a": 1})
    ready(state, "b", rate=1.05)
    assert drawn(state) == "####a###"


@pytest.mark.parametrize(("winner", "loser"), [("a", "b"), ("b", "a")])
def test_the_first_chunk_in_decides_a_duel(winner: str, loser: str) -> None:
    state = board("####aa", slow="a", rivals={"b": "a"})
    assert drawn(state) == "####22"
    lost = lease_of(state, loser).id
    posts = tell(state, stored(state, winner, 4))
    assert drawn(state) == "#####" + winner
    assert [message.lease for message in said(posts, LeaseRevoked)] == [lost]
    assert said_to(posts, winner) == []


def test_a_duellist_that_gives_up_leaves_the_run_to_the_other() -> None:
    state = board("####aa", slow="a", rivals={"b": "a"})
    tell(state, released(state, "a", FaultKind.RESET, handed_stop=4))
    assert drawn(state) == "####bb"


def test_a_newcomer_takes_the_place_of_the_worse_of_two_hopeless_duellists() -> None:
    state = board("####aa", rates={"a": 0.1, "b": 0.05}, rivals={"b": "a"})
    lost = lease_of(state, "b").id
    posts = ready(state, "c", rate=1)
    assert [message.lease for message in said(posts, LeaseRevoked)] == [lost]
    assert (lease_of(state, "c").rival, drawn(state)) == (lease_of(state, "a").id, "####22")


def test_what_a_victim_still_had_in_hand_shortens_the_ride_that_took_its_tail() -> None:
    state = board("##aaaa", rates={"a": 1})
    ready(state, "b", rate=1.1)
    tell(state, stored(state, "a", 2, 3))
    assert drawn(state) == "#####b"


# -- sources that can only begin at byte 0


def test_the_front_is_kept_for_a_source_that_can_only_begin_there() -> None:
    picture = drawn(board("." * 64, sources="abcd", fronts="c"))
    assert picture.startswith("c" * 16 + "."), "an equal part, the best it can ever use"
    assert sizes(picture) == {"a": 1, "b": 1, "c": 16, "d": 1}


def test_the_front_is_kept_while_a_source_has_not_yet_said_what_it_can() -> None:
    state = board("." * 64, sources="ab", fronts="b")
    tell(state, stored(state, "a", 63), at_s=NOW_S + 1)
    tell(state, released(state, "b", FaultKind.RESET), at_s=NOW_S + 1)
    tell(state, finished(state, "a"), at_s=NOW_S + 1)
    assert drawn(state)[0] == ".", "b comes back in a moment"


def test_what_is_stored_before_its_run_must_be_read_by_a_source_without_offsets() -> None:
    state = board("####....", sources="a", fronts="a")
    assert drawn(state) == "####aaaa"
    assert lease_of(state, "a").lead_in_bytes == 4 * state.job.spec.chunk_size


def test_a_source_with_offsets_reads_nothing_in_vain() -> None:
    assert lease_of(board("####....", sources="a"), "a").lead_in_bytes == 0


def test_a_lead_in_longer_than_the_job_is_not_worth_riding() -> None:
    state = board("#" * 32 + "aaaa##....", rates={"a": 4})
    ready(state, "b", rate=1, offset_ok=False)
    assert "b" not in drawn(state)


def test_two_unknown_sources_from_byte_0_ride_against_each_other_from_the_start() -> None:
    assert drawn(board("." * 16, sources="ab", fronts="ab")) == "22222222........"


def test_a_faster_source_contests_the_front_and_a_slower_one_does_not() -> None:
    state = board("aaaaaaaa####bbbb", fronts="a", rates={"a": 1, "b": 1})
    ready(state, "c", rate=3, offset_ok=False)
    assert drawn(state) == "22222222####bbbb"
    state = board("aaaaaaaa####bbbb", fronts="a", rates={"a": 1, "b": 1})
    ready(state, "c", rate=0.5, offset_ok=False)
    assert drawn(state) == "aaaaaaaa####bbbb"


# -- alone


def test_a_source_alone_gets_everything_in_one_lease() -> None:
    assert drawn(board("." * 200, sources="a")) == "a" * 200


def test_a_source_alone_gets_the_largest_gap_then_the_next() -> None:
    state = board("..##....#.", sources="a")
    assert drawn(state) == "..##aaaa#."
    tell(state, stored(state, "a", 4, 4))
    tell(state, finished(state, "a"))
    assert drawn(state) == "aa######" + "#."


def test_a_source_that_does_not_say_the_size_rides_to_the_end_of_its_body() -> None:
    state = board(".", sources="a", fronts="a", sized=False)
    [lease] = board_of(state).leases.values()
    assert (lease.first, lease.stop) == (0, board_of(state).total)


# -- the other modes


def test_queue_hands_out_one_chunk_a_lease_from_the_front() -> None:
    state = board("#.......", sources="abc", mode="queue")
    assert drawn(state) == "#abc...."
    tell(state, stored(state, "b", 2))
    tell(state, finished(state, "b"))
    assert drawn(state) == "#a#cb..."


def test_queue_fights_for_the_last_chunks() -> None:
    state = board("####a###", slow="a", mode="queue")
    ready(state, "b", rate=1)
    assert drawn(state) == "####2###"


def test_queue_does_not_ride_on() -> None:
    state = board("a.......", rates={"a": 2}, mode="queue")
    assert tell(state, measured(state, "a", received=0.9, rate=2), at_s=NOW_S + 0.4) == []


def test_failover_rides_one_source_at_a_time_and_the_next_goes_on_from_the_same_chunk() -> None:
    state = board("#.......", sources="abc", mode="failover")
    assert drawn(state) == "#aaaaaaa"
    tell(state, stored(state, "a", 1, 2))
    tell(state, released(state, "a", FaultKind.NOT_FOUND, handed_stop=3))
    assert stretches(drawn(state)) == [("#", 0, 3), ("b", 3, 8)]


def test_in_a_race_everybody_fetches_all_that_is_missing() -> None:
    state = board("##......", sources="abc", mode="race")
    assert [(lease.first, lease.stop) for lease in board_of(state).leases.values()] == [(2, 8)] * 3
    assert drawn(state) == "##......", "a lease of a race holds nothing"


def test_the_first_complete_copy_wins_a_race() -> None:
    state = board("....", sources="abc", mode="race")
    tell(state, stored(state, "a", 0, 2))
    tell(state, stored(state, "b", 2, 1))
    assert picture_of(board_of(state)) == "###."
    assert not said(tell(state, stored(state, "a", 3, 1)), LeaseRevoked), "b's chunk was not compared yet"
    again = ChunksRepeated(job=JOB, source=0, lease=lease_of(state, "a").id, first=2, count=1, length_bytes=CHUNK)
    posts = tell(state, again)
    assert {message.source for message in said(posts, LeaseRevoked)} == {0, 1, 2}
