"""Whether a ride is worth a start and a stop of a user, and how long it is to be. Boards are drawn as in `boards`."""

import pytest

from actors.core.dispatch.dispatcher import DispatchState
from actors.core.dispatch.stop_cost import STOPS_USUAL, gain_min_s
from protocol.messages import EnqueueFile, LeaseExtended, LeaseGranted, LeaseRevoked, LeaseTrimmed, Ticked
from protocol.model.value import replace
from tests.actors.core.dispatch.boards import NOW_S, add, as_peer, board, deliver, drawn, lease_of, serve
from tests.actors.core.dispatch.queued_users import of, turn
from tests.actors.core.dispatch.replies import measured


def ridden(picture: str, **rates: float) -> DispatchState:
    """A board on which all that ride are users."""
    state = board(picture, rates=rates)
    for letter in rates:
        as_peer(state, letter)
    return state


def comes(state: DispatchState, letter: str, rate: float, *, stops: int = 0) -> str:
    """One more user with nothing to do. The picture once its turn has come, empty when it is not asked for one."""
    source = add(state, letter, rate)
    as_peer(state, letter, stops=stops)
    if not of(deliver(state, Ticked()), EnqueueFile):
        return ""
    deliver(state, turn(state, source.id))
    return drawn(state)


def test_starts_still_to_come_make_the_common_finish_later() -> None:
    """c is soon done and has to start again. What it does not send meanwhile is left to a and b."""
    counts = []
    for restart_s in (0.1, 8.0):
        state = ridden("aaaa" + "." * 48 + "cccc####", a=1.0, c=1.0)
        state.sources[2].traits = replace(state.sources[2].traits, restart_cost_s=restart_s)
        counts.append(comes(state, "b", 2.0).count("b"))
    assert counts[1] >= counts[0] + 3


def test_a_user_who_is_asked_for_a_turn_is_counted_on_at_once() -> None:
    """Two are asked in one step. When the turn of the first comes, the other's share is left to it."""
    state = ridden("aaaa" + "." * 56 + "####", a=1.0)
    for letter in "bc":
        add(state, letter, 1.0)
        as_peer(state, letter)
    deliver(state, Ticked(), turn(state, 1))
    assert 18 <= drawn(state).count("b") <= 20


@pytest.mark.parametrize(("rate", "chunks"), [(0.19, 1), (0.21, 2), (5.0, 24)])
def test_a_slow_user_gets_whole_chunks_it_can_finish_and_a_fast_one_the_nearest_number(
    rate: float, chunks: int
) -> None:
    assert comes(ridden("aaaa" + "." * 40, a=4.0), "b", rate).count("b") == chunks


def test_a_faster_user_begins_behind_what_the_ride_before_the_gap_can_still_do_and_touches_the_rest() -> None:
    state = ridden("aaaa" + "." * 40 + "cccccccccccc####", a=1.0, c=1.0)
    picture = comes(state, "b", 2.0)
    assert picture.startswith("aaaa......"), picture
    assert "b." in picture, picture


def test_a_slower_user_takes_the_end_of_the_gap() -> None:
    picture = comes(ridden("aaaa" + "." * 40, a=1.0), "b", 0.9)
    assert picture.endswith("b")
    assert picture[4] == "."


def test_next_to_nothing_is_left_to_a_faster_ride_that_touches_it() -> None:
    """b could send 7 of 640 chunks. a goes on into them without a stop."""
    assert not comes(ridden("a" + "." * 639, a=9.0), "b", 0.1)


def test_next_to_nothing_is_taken_where_only_a_slower_ride_touches_it() -> None:
    assert comes(ridden("a" + "." * 299 + "c" * 340, a=0.05, c=9.0), "b", 0.08)


def test_next_to_nothing_is_taken_where_no_one_rides_on_into_it() -> None:
    assert comes(ridden("." * 632 + "aaaaaaaa", a=9.0), "b", 0.1)


def test_a_tail_that_would_be_late_goes_before_free_chunks() -> None:
    """a would ride its last chunks for minutes; the free ones c can go on into."""
    picture = comes(ridden("a" * 12 + "####" + "c" * 10 + "." * 24 + "####", a=0.05, c=1.0), "b", 0.5)
    assert "b" in picture[:12], picture
    assert "b" not in picture[16:], picture


def test_of_a_late_ride_only_what_it_cannot_do_in_time_is_taken() -> None:
    """There is half a minute: a does eight of its twenty chunks. Cut in balance it would keep six, and come back."""
    picture = comes(ridden("a" * 20 + "####" + "c" * 10 + "." * 22 + "####", a=0.3, c=1.0), "b", 0.6)
    assert picture[:20].count("a") == 8, picture


def test_a_late_tail_that_keeps_its_rider_busy_for_less_than_half_the_time_is_left_for_a_slower_one() -> None:
    picture = comes(ridden("a" * 12 + "####" + "c" * 10 + "." * 40 + "####", a=0.05, c=1.0), "b", 1.0)
    assert picture.startswith("a" * 12), picture
    assert picture.count("b") == 19, picture


def test_a_user_of_unknown_rate_who_is_waited_for_counts_like_the_mean_of_the_others() -> None:
    """Half of all users send next to nothing: with their median, everybody placed early would be given too much."""
    state = ridden("aaaa" + "." * 40 + "ccccdddd####", a=1.0, c=1.0, d=7.0)
    add(state, "b")
    as_peer(state, "b")
    assert of(deliver(state, Ticked()), EnqueueFile)
    assert state.leases is not None
    state.leases.changed()
    assert state.leases.left_s(NOW_S) == pytest.approx((40 + 12 + 3 * 1.0 + 1.0 + 7.0) / (9 + 3), rel=0.1)


@pytest.mark.parametrize("dear", [True, False])
def test_a_users_ride_goes_on_a_little_at_a_time(dear: bool) -> None:
    """While few rates are known the common finish time is far off, and moving the end again costs nothing."""
    state = board("aaaa" + "." * 60, rates={"a": 1.0})
    if dear:
        as_peer(state, "a")
    state.handle(measured(0, lease_of(state, "a").id, 3.5, 1.0), now_s=NOW_S)
    assert drawn(state).count("a") == (8 if dear else 64)


@pytest.mark.parametrize(("stops", "asked"), [(1, True), (3, False)])
def test_a_user_without_a_stop_left_is_not_asked_to_help_a_slow_one(stops: int, asked: bool) -> None:
    """a needs minutes for its last chunks."""
    assert bool(comes(ridden("#" * 20 + "aaaa" + "#" * 12, a=0.02), "b", 1.0, stops=stops)) is asked


def near_its_end(picture: str, **rates: float) -> tuple[DispatchState, list[int], list[int]]:
    """A board of users on which a is about to end. The ends it was extended to and the sources that were stopped."""
    state = ridden(picture, **rates)
    lease = lease_of(state, "a")
    posts = state.handle(measured(0, lease.id, lease.open_chunks - 0.5, rates["a"]), now_s=NOW_S)
    assert state.leases is not None
    state.leases.tracker.check()
    return state, [post.stop for post in of(posts, LeaseExtended)], [post.source for post in of(posts, LeaseRevoked)]


def test_a_users_lease_takes_over_a_much_slower_one_ahead_that_would_be_late() -> None:
    """Its tail would cost a stop of another; b is hung up on a little sooner than it would be anyway."""
    state, extended, stopped = near_its_end("aaaabbbbbbbb" + "c" * 40, a=2.0, b=0.02, c=4.0)
    assert stopped == [1]
    assert len(extended) == 1
    assert extended[0] > 4
    assert "b" not in drawn(state)


@pytest.mark.parametrize(("rate", "chunks"), [(0.9, 40), (0.3, 1)], ids=["late, not much slower", "slow, not late"])
def test_a_lease_ahead_that_is_not_both_late_and_much_slower_keeps_what_it_has(rate: float, chunks: int) -> None:
    _, extended, stopped = near_its_end("aaaa" + "b" * chunks + "c" * 40, a=2.0, b=rate, c=1.0)
    assert not extended
    assert not stopped


def test_a_users_lease_goes_on_over_a_few_stored_chunks_without_a_stop() -> None:
    state, extended, _ = near_its_end("aaaa##......", a=2.0)
    assert len(extended) == 1
    assert extended[0] > 6
    assert drawn(state).startswith("aaaa##a")


@pytest.mark.parametrize("stored", [1, 3])
def test_who_sends_on_over_what_is_stored_at_the_end_of_the_file_gets_that_much_less(stored: int) -> None:
    """Else it would be done last, long after all others."""
    plain = comes(ridden("aaaa" + "." * 40, a=2.0), "b", 1.0)
    sent = comes(ridden("aaaa" + "." * 40 + "#" * stored, a=2.0), "b", 1.0)
    assert plain.count("b") - sent.count("b") == stored


def test_more_stored_chunks_than_a_new_start_costs_are_not_read_again() -> None:
    _, extended, _ = near_its_end("aaaa" + "#" * 8 + "......", a=2.0)
    assert not extended


def test_a_mirrors_lease_reads_nothing_again_for_its_new_start_costs_no_stop() -> None:
    state = board("aaaa##......", rates={"a": 2.0})
    posts = state.handle(measured(0, lease_of(state, "a").id, 3.5, 2.0), now_s=NOW_S)
    assert not of(posts, LeaseExtended)


@pytest.mark.parametrize(("rate", "asked"), [(0.07, False), (0.2, True)])
def test_a_small_late_tail_is_left_to_its_source_unless_a_much_faster_one_takes_it(rate: float, asked: bool) -> None:
    state = ridden("aa" + "c" * 58, a=0.05, c=4.0)
    add(state, "b", rate)
    as_peer(state, "b", stops=1)
    assert bool(of(deliver(state, Ticked()), EnqueueFile)) is asked


@pytest.mark.parametrize(("stops", "picture"), [(0, "taken"), (1, "left")])
def test_a_user_who_was_never_stopped_may_send_less_than_one_who_was(stops: int, picture: str) -> None:
    """A sample is no stop: who has only sent one is asked for a small part too."""
    state = ridden("a" + "." * 639, a=9.0)
    add(state, "b", 0.3).leases = 1
    as_peer(state, "b", stops=stops)
    assert bool(of(deliver(state, Ticked()), EnqueueFile)) is (picture == "taken")


@pytest.mark.parametrize(("rate", "taken"), [(1.0, True), (3.5, False)], ids=["late", "in time"])
def test_little_is_left_to_the_ride_that_touches_it_unless_that_would_be_late(rate: float, taken: bool) -> None:
    picture = comes(ridden("c" * 45 + "a" + "." * 14, a=rate, c=10.0), "b", 0.6, stops=1)
    assert ("b" in picture) is taken


def test_a_slow_users_lease_goes_on_before_it_reads_its_neighbours_chunk() -> None:
    """That chunk takes it five seconds: it was never near its end, and was hung up on beside free chunks."""
    state = ridden("aaaa" + "." * 40, a=0.2)
    lease = lease_of(state, "a")
    lease.overlap = 1
    posts = state.handle(measured(0, lease.id, lease.open_chunks - 0.1, 0.2), now_s=NOW_S)
    assert of(posts, LeaseExtended)


def test_a_faster_user_begins_with_what_the_slow_ride_before_the_gap_will_not_have_done() -> None:
    """a needs two minutes for its eight chunks, all together half a minute for the rest."""
    picture = comes(ridden("a" * 8 + "." * 52, a=0.07), "b", 2.0)
    assert picture.startswith("aabbbbbb"), picture
    assert not comes(ridden("a" * 8 + "." * 52, a=1.0), "b", 2.0).startswith("aab")


@pytest.mark.parametrize("known", [True, False])
def test_a_late_ride_that_touches_free_chunks_gives_its_tail_back_once_the_finish_is_known(known: bool) -> None:
    """In the 26 seconds that all together need, a has done eight of its twenty chunks."""
    state = ridden("a" * 20 + "." * 20 + "c" * 20, a=0.3, c=2.0)
    if not known:
        add(state, "b")
        as_peer(state, "b")
        deliver(state, Ticked())
    posts = state.handle(measured(0, lease_of(state, "a").id, 1.0, 0.3), now_s=NOW_S)
    assert [post.stop for post in of(posts, LeaseTrimmed)] == ([8] if known else [])


def test_who_was_stopped_more_often_than_usual_must_gain_more_however_often_it_was() -> None:
    usual, more, often = (gain_min_s(100.0, stops) for stops in (STOPS_USUAL - 1, STOPS_USUAL, STOPS_USUAL + 3))
    assert usual < more == often


@pytest.mark.parametrize("offset_ok", [True, False])
def test_a_source_that_knows_no_offsets_is_asked_from_the_start(offset_ok: bool) -> None:
    granted = of(serve(board("...."), "a", 1.0, offset_ok=offset_ok), LeaseGranted)
    assert [each.from_start for each in granted] == [not offset_ok]


def test_without_any_rate_the_time_left_is_unknown() -> None:
    leases = board("aaaa....").leases
    assert leases is not None
    assert leases.left_s(NOW_S) == -1.0


@pytest.mark.parametrize(("free", "stop"), [(47, 60), (30, 50)])
def test_a_users_lease_gives_back_what_is_late_but_not_for_a_twentieth(free: int, stop: int) -> None:
    """a has 60 s of chunks; all are done together after 58.5 s, or after 50."""
    state = ridden("a" * 60 + "." * free + "b" * 10, a=1.0, b=1.0)
    posts = deliver(state, measured(0, lease_of(state, "a").id, 0.0, 1.0))
    assert lease_of(state, "a").stop == stop
    assert bool(of(posts, LeaseTrimmed)) is (stop < 60)
