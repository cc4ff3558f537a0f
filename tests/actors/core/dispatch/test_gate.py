"""Whether one more user is disturbed: rates are MiB/s, sizes MiB."""

import pytest

from actors.core.dispatch.chunk_tracker import ChunkTracker
from actors.core.dispatch.dispatcher import DispatchState, Phase
from actors.core.dispatch.gate import (
    CROWD,
    HOLD_S_MAX,
    SAMPLE_QUEUE_S_MAX,
    Decision,
    Forecast,
    Outlook,
    User,
    UserGate,
    decide,
    forecast,
    guess_bytes_s,
    opens,
    sample,
    worth_it,
)
from actors.core.dispatch.leases import RIDE_OUT_S
from actors.core.dispatch.placement_view import PlacementViewCache
from actors.core.dispatch.sources import PRIOR_BYTES_S, SAMPLE_S_MIN, SourceState, SourceTraits
from protocol.messages import (
    DeclineUpload,
    EnqueueFile,
    LeaseGranted,
    LeaseRevoked,
    LeaseTrimmed,
    PeerDelivered,
    SealFile,
    SourceLost,
    Ticked,
)
from protocol.messages.addresses import Post
from protocol.model.faults import FaultKind
from tests.actors.core.dispatch.boards import CHUNK, NOW_S, add, as_peer, board, deliver, drawn, lease_of
from tests.actors.core.dispatch.queued_users import of, turn
from tests.actors.core.dispatch.replies import finished, measured, released, stored
from tests.specs import start_job

MIB = float(1 << 20)


def user(rate: float = 0.0, *, sends: bool = False, measured: bool = True) -> User:
    return User(rate * MIB, sends, measured and rate > 0)


def outlook(size: float, *users: User, free: float = 0.0, stops: int = 1) -> Outlook:
    return Outlook(size * MIB, dict(enumerate(users)), free_bytes_s=free * MIB, stops=stops)


def decision(
    size: float,
    *users: User,
    candidate: User,
    free: float = 0.0,
    held_s: float = 0.0,
    stops: int = 1,
    patience_s: float = 15.0,
) -> Decision:
    seen = outlook(size, *users, candidate, free=free, stops=stops)
    return decide(seen, candidate, patience_s=patience_s, held_s=held_s)


def predicted(size: float, *users: User, free: float = 0.0) -> Forecast:
    return forecast(outlook(size, *users, free=free))


@pytest.mark.parametrize(
    ("before_s", "after_s", "worth"),
    [
        (20, 5, True),
        (20, 5.1, False),
        (60, 45, True),
        (61, 46, False),
        (100, 75, True),
        (100, 76, False),
        (10, 1, False),
    ],
)
def test_a_gain_must_be_fifteen_seconds_and_a_quarter_of_what_is_left(
    before_s: float, after_s: float, worth: bool
) -> None:
    assert worth_it(before_s, after_s, 15.0) is worth


def test_the_first_to_grant_is_always_taken() -> None:
    assert decision(1, candidate=user()) is Decision.JOIN
    assert decision(1, user(9), candidate=user()) is Decision.JOIN, "another is known, but does not send"


def test_the_only_one_is_taken_though_its_stops_are_spent() -> None:
    assert decide(Outlook(MIB, {}), user(1), patience_s=15, held_s=0) is Decision.JOIN


def test_a_slow_user_waits_a_moment_for_one_that_is_known_to_be_much_faster() -> None:
    assert decision(25, user(8), candidate=user(0.5)) is Decision.HOLD
    assert decision(25, user(8), candidate=user(0.5), held_s=HOLD_S_MAX) is Decision.JOIN
    assert decision(25, user(8), candidate=user(7)) is Decision.JOIN, "it is nearly as fast"
    assert decision(25, user(8), candidate=user()) is Decision.JOIN, "it may be faster still"


def test_beside_mirrors_a_user_must_gain_something_too() -> None:
    assert decision(10, candidate=user(1), free=5) is Decision.SHUT
    assert decision(1000, candidate=user(5), free=5) is Decision.JOIN


@pytest.mark.parametrize(("size", "joins"), [(3, False), (29, False), (33, True), (500, True)])
def test_a_second_user_as_fast_as_the_first_is_disturbed_only_for_a_large_file(size: float, joins: bool) -> None:
    judged = decision(size, user(1, sends=True), candidate=user(1))
    assert judged is (Decision.JOIN if joins else Decision.SHUT)


def test_a_fast_first_user_keeps_the_file_and_a_slow_one_does_not() -> None:
    assert decision(48, user(8, sends=True), candidate=user()) is Decision.SHUT
    assert decision(48, user(0.16, sends=True), candidate=user()) is Decision.JOIN


def test_the_first_stop_of_a_job_may_correct_a_slow_first_user_for_less() -> None:
    assert decision(3, user(0.2, sends=True), candidate=user(), stops=0) is Decision.JOIN
    assert decision(3, user(0.2, sends=True), candidate=user(), stops=1) is Decision.SHUT
    assert decision(3, user(0.6, sends=True), candidate=user(), stops=0) is Decision.SHUT, "it saves too little"
    assert decision(30, user(3, sends=True), candidate=user(), stops=0) is Decision.SHUT, "it is not slow"


def test_a_slow_user_brings_a_large_job_nothing() -> None:
    assert decision(500, user(5, sends=True), candidate=user(0.5)) is Decision.SHUT


def test_an_offer_is_held_while_the_sender_is_not_measured_but_not_for_long() -> None:
    sender = user(sends=True)
    assert decision(500, sender, candidate=user(), held_s=HOLD_S_MAX - 0.1) is Decision.HOLD
    assert decision(500, sender, candidate=user(), held_s=HOLD_S_MAX) is Decision.SHUT


def test_an_unknown_user_counts_like_the_prior_moved_a_little_by_the_others() -> None:
    assert guess_bytes_s([]) == pytest.approx(PRIOR_BYTES_S)
    assert guess_bytes_s([user(8.0), user()]) == pytest.approx(2 * MIB)
    assert guess_bytes_s([user(4.0), user(0.25)]) == pytest.approx(MIB)


def test_what_users_say_of_themselves_counts_half_and_only_until_they_are_measured() -> None:
    boaster = User(0.0, sends=False, advertised_bytes_s=16 * MIB)
    assert boaster.expected_bytes_s(MIB) == pytest.approx(4 * MIB)
    assert User(MIB, sends=True, measured=True, advertised_bytes_s=16 * MIB).expected_bytes_s(MIB) == MIB
    assert decision(100, user(2, sends=True), candidate=boaster) is Decision.JOIN
    modest = User(0.0, sends=False, advertised_bytes_s=MIB / 16)
    assert decision(100, user(2, sends=True), candidate=modest) is Decision.SHUT


@pytest.mark.parametrize(("count", "size", "open_"), [(20, 258, True), (4, 50, False), (6, 250, True), (2, 500, False)])
def test_many_unknown_users_open_the_gate_for_a_large_file(count: int, size: float, open_: bool) -> None:
    """Two cannot: the better of them alone is as good as both are expected to be."""
    assert opens(predicted(size, *[user()] * count), 15.0) is open_


def test_the_gate_stays_shut_where_the_best_single_user_is_nearly_as_good_as_all() -> None:
    assert not opens(predicted(1000, user(8, sends=True), user(1), user(0.5), user(0.1)), 15.0)
    assert opens(predicted(1000, user(2, sends=True), user(2), user(2), user(2)), 15.0)


def test_the_gate_stays_shut_where_those_that_send_are_nearly_as_good_as_all() -> None:
    assert not opens(Forecast(alone_s=60.0, single_s=200.0, together_s=50.0), 15.0)
    assert opens(Forecast(alone_s=80.0, single_s=200.0, together_s=50.0), 15.0)


def test_mirrors_count_with_every_prediction() -> None:
    assert predicted(100, user(5, sends=True), user(5), free=10).together_s == pytest.approx(6.0)
    assert predicted(100, user(5, sends=True), user(5), free=10).single_s == pytest.approx(100 / 15)


def test_more_patience_disturbs_fewer() -> None:
    assert decision(40, user(1, sends=True), candidate=user(1), patience_s=15) is Decision.JOIN
    assert decision(40, user(1, sends=True), candidate=user(1), patience_s=60) is Decision.SHUT


# -- the gate of a job. Boards are drawn as in `boards`: rates are chunks of 0.1 MB a second


def gated(picture: str, **rates: float) -> DispatchState:
    """A board of users whose gate is shut."""
    state = board(picture, rates=rates)
    for letter in rates:
        as_peer(state, letter)
    assert state.leases is not None
    state.leases.grants.gate.is_open = False
    return state


def offers(
    state: DispatchState, letter: str, rate: float = 0.0, *, now_s: float = NOW_S, waited_s: float = 0.0
) -> list[Post]:
    """One more user asks whether it is wanted: it is asked for a place, and offers its upload after so long."""
    source = add(state, letter, rate)
    as_peer(state, letter)
    deliver(state, Ticked(), now_s=now_s)
    source.enqueued, source.enqueued_s, source.state = True, now_s - waited_s, SourceState.QUEUED
    return deliver(state, turn(state, source.id), now_s=now_s)


def test_a_user_that_sends_alone_gets_the_whole_file_though_its_rate_is_not_known() -> None:
    state = gated("." * 40)
    offers(state, "a")
    assert drawn(state) == "a" * 40


def test_an_unknown_user_begins_right_ahead_of_a_slow_sender_and_goes_to_the_end_of_the_file() -> None:
    """One with a long queue: it is not asked to send a sample first."""
    state = gated("a" * 60, a=0.5)
    assert of(offers(state, "b", waited_s=SAMPLE_QUEUE_S_MAX + 1), LeaseGranted)
    assert drawn(state) == "aa" + "b" * 58


@pytest.mark.parametrize(("size", "chunks"), [(60, 1), (400, 4), (3000, 11)])
def test_an_unknown_user_that_grants_soon_sends_the_end_of_the_file_and_no_one_is_cut_short(
    size: int, chunks: int
) -> None:
    state = gated("a" * size, a=0.5)
    posts = offers(state, "b", waited_s=1.0)
    [granted] = of(posts, LeaseGranted)
    assert (granted.first, granted.stop) == (size - chunks, size)
    deliver(state, stored(1, granted.lease, size - chunks, chunks))
    assert not of(posts, LeaseTrimmed)
    assert lease_of(state, "a").stop == size, "it goes on to the end of the file, and is not stopped for a chunk"


@pytest.mark.parametrize(("others", "chunks"), [(4, 10), (10, 3), (18, 1)])
def test_the_more_users_share_a_file_the_less_each_of_them_sends_as_a_sample(others: int, chunks: int) -> None:
    """All send the same bytes, and only those of one count."""
    state = gated("a" * 5970, a=2.0)
    assert state.leases is not None
    state.leases.grants.gate.is_open = True
    for letter in "cdefghijklmnopqrstuv"[:others]:
        add(state, letter)
        as_peer(state, letter)
    [granted] = of(offers(state, "b", waited_s=1.0), LeaseGranted)
    assert granted.stop - granted.first == chunks


def test_a_user_whose_transfers_begin_at_byte_0_sends_no_sample() -> None:
    state = gated("a" * 400, a=0.5)
    source = add(state, "b", offset_ok=False)
    as_peer(state, "b")
    source.enqueued, source.enqueued_s, source.state = True, NOW_S - 1.0, SourceState.QUEUED
    deliver(state, turn(state, source.id))
    assert state.leases is not None
    assert not any(lease.sample for lease in state.leases.tracker.leases.values())


@pytest.mark.parametrize(("flowing_s", "wanted"), [(0.1, True), (0.3, True), (4.0, False)])
def test_a_sample_says_how_fast_a_user_is_and_it_is_asked_again_only_if_that_is_worth_it(
    flowing_s: float, wanted: bool
) -> None:
    state = gated("a" * 60, a=2.0)
    [granted] = of(offers(state, "b"), LeaseGranted)
    deliver(state, stored(1, granted.lease, granted.first, 1))
    over = finished(1, granted.lease, 60, received_bytes=CHUNK, flowing_s=flowing_s)
    posts = deliver(state, over)
    assert state.sources[1].rate_bytes_s == pytest.approx(CHUNK / flowing_s)
    assert state.sources[1].stops == 0
    assert bool(of(posts, EnqueueFile)) is wanted


def test_a_sample_that_ends_before_it_is_measured_says_what_a_start_costs_but_not_how_long_we_held_its_offer() -> None:
    """So the quick ones, which end first, are expected when they will come."""
    state = gated("a" * 60, a=2.0)
    [granted] = of(offers(state, "b", waited_s=2.0), LeaseGranted)
    state.sources[1].offered_s = NOW_S - 1.0
    deliver(state, finished(1, granted.lease, 60, received_bytes=CHUNK, flowing_s=0.2), now_s=NOW_S + 0.6)
    assert state.sources[1].traits.restart_cost_s == pytest.approx(1.0 + 0.4)
    assert state.sources[1].traits.grant_cost_s == pytest.approx(0.4)


@pytest.mark.parametrize(("size_mib", "sample_kib"), [(10, 102.4), (25, 256), (50, 384), (200, 819.2), (900, 1024)])
def test_one_of_few_users_sends_a_hundredth_of_a_file_and_less_of_a_large_one(size_mib: int, sample_kib: float) -> None:
    state = gated("a" * 60, a=2.0)
    assert state.leases is not None
    gate, size = state.leases.grants.gate, size_mib << 20
    gate.sized(size)
    gate._chunk_size = 1
    assert size - gate.sample_first(state.sources[0]) == pytest.approx(sample_kib * 1024, abs=2)


def test_a_sample_of_a_moment_does_not_make_a_user_infinitely_fast() -> None:
    state = gated("a" * 60, a=0.5)
    [granted] = of(offers(state, "b"), LeaseGranted)
    deliver(state, finished(1, granted.lease, 60, received_bytes=CHUNK, flowing_s=1e-4))
    assert state.sources[1].rate_bytes_s <= CHUNK / 0.05


def test_a_sample_that_came_in_one_piece_says_nothing_of_the_rate() -> None:
    """Neither that its user is as quick as the network, nor that it took the whole second of a limiter's quota."""
    state = gated("a" * 60, a=0.5)
    [granted] = of(offers(state, "b"), LeaseGranted)
    deliver(state, finished(1, granted.lease, 60, received_bytes=CHUNK, flowing_s=0.0))
    assert state.sources[1].rate_bytes_s == PRIOR_BYTES_S


def test_a_sample_of_several_pieces_within_a_moment_is_of_a_quick_user() -> None:
    """It is believed to be as quick as could be measured: its range is worth a stop of a slower one."""
    state = gated("a" * 60, a=0.5)
    [granted] = of(offers(state, "b"), LeaseGranted)
    deliver(state, finished(1, granted.lease, 60, received_bytes=CHUNK, flowing_s=0.01))
    assert state.sources[1].rate_bytes_s == CHUNK / SAMPLE_S_MIN > PRIOR_BYTES_S


@pytest.mark.parametrize(("flowing_s", "remembered"), [(0.0, False), (0.2, False), (1.2, True)])
def test_only_a_rate_that_was_measured_is_remembered_for_later_jobs(flowing_s: float, remembered: bool) -> None:
    state = gated("a" * 60, a=0.5)
    [granted] = of(offers(state, "b"), LeaseGranted)
    posts = deliver(state, finished(1, granted.lease, 60, received_bytes=CHUNK, flowing_s=flowing_s))
    assert bool(of(posts, PeerDelivered)) is remembered


def test_a_sample_that_was_cut_short_is_judged_by_the_time_it_took() -> None:
    """A trickle that sent a quarter of a chunk in ten seconds is no user of usual speed."""
    state = gated("a" * 60, a=0.5)
    [granted] = of(offers(state, "b"), LeaseGranted)
    over = released(1, granted.lease, 59, FaultKind.RESET, received_bytes=CHUNK // 4)
    deliver(state, over, now_s=NOW_S + 10)
    assert state.sources[1].rate_bytes_s < CHUNK / 10


def test_users_of_unknown_rate_are_sampled_without_patience_too() -> None:
    """Who wants the file at any price gains most where each is placed for the right rate."""
    state = gated("a" * 60, a=2.0)
    assert state.leases is not None
    state.leases.grants.gate.patience_s, state.leases.grants.gate.is_open = 0.0, True
    [granted] = of(offers(state, "b", waited_s=1.0), LeaseGranted)
    assert (granted.first, granted.stop) == (59, 60)


def test_a_user_that_is_measured_by_its_first_lease_gets_one_that_lasts_until_its_rate_is_known() -> None:
    state = gated("a" * 4 + "." * 636, a=2.0)
    assert state.leases is not None
    state.leases.grants.gate.is_open = True
    [granted] = of(offers(state, "b", waited_s=SAMPLE_QUEUE_S_MAX + 1), LeaseGranted)
    assert granted.stop - granted.first == 640 // 16


@pytest.mark.parametrize(
    ("left_s", "others", "expected"),
    [
        (8.0, (), Decision.SAMPLE),
        (6.0, (), Decision.SHUT),
        (40.0, (user(9.0),), Decision.SHUT),
        (9.0, (User(0.0, False, awaited=True, sampled=True),), Decision.HOLD),
        (40.0, (User(0.0, False, awaited=True, sampled=True),), Decision.SAMPLE),
    ],
)
def test_users_are_sampled_one_at_a_time_while_one_may_have_the_file_soon(
    left_s: float, others: tuple[User, ...], expected: Decision
) -> None:
    """Not at all where nothing could be won, and none more once a known one is fast enough."""
    seen = Outlook(left_s * MIB, dict(enumerate((user(1, sends=True), *others))), alone_s=left_s, stops=0)
    assert sample(seen, restart_s=1.0, patience_s=15.0, held_s=0.0) is expected


def test_no_sample_is_taken_before_the_rate_of_the_first_is_known() -> None:
    seen = Outlook(40 * MIB, {0: user(sends=True), 1: user()}, alone_s=1e9)
    assert sample(seen, restart_s=1.0, patience_s=15.0, held_s=0.0) is Decision.HOLD
    assert sample(seen, restart_s=1.0, patience_s=15.0, held_s=HOLD_S_MAX) is Decision.SHUT


def test_a_user_waits_for_a_faster_one_that_will_be_granted_in_a_moment() -> None:
    sends, better = user(0.2, sends=True), User(2 * MIB, False, awaited=True)
    seen = Outlook(40 * MIB, {0: sends, 1: better}, alone_s=200.0)
    assert decide(seen, user(1.0), patience_s=15.0, held_s=0.0) is Decision.HOLD
    assert decide(seen, user(1.8), patience_s=15.0, held_s=0.0) is Decision.JOIN


def test_a_slow_sender_that_would_be_late_with_a_single_chunk_is_raced_for_all_of_it() -> None:
    state = gated("a" * 60, a=0.02)
    offers(state, "b", 20.0)
    assert drawn(state) == "A" * 60 or drawn(state) == "B" * 60


def test_once_users_share_a_file_each_keeps_the_next_seconds_only_also_beside_a_mirror() -> None:
    state = board("aaaa" + "b" * 396, rates={"a": 0.2, "b": 0.5})
    as_peer(state, "b")
    assert state.leases is not None
    state.leases.grants.gate.is_open = False
    offers(state, "c", 0.5)
    assert state.leases.grants.gate.is_open
    assert lease_of(state, "b").stop < 60


def test_a_complete_file_waits_a_moment_for_a_user_who_is_about_to_end_by_itself() -> None:
    state = gated("a" * 40, a=8.0)
    [granted] = of(deliver(gated_sampler(state), *[]), LeaseGranted) or [None]
    assert granted is None
    lease = lease_of(state, "a")
    deliver(state, measured(0, lease.id, 38.5, 8.0))
    posts = deliver(state, stored(0, lease.id, 0, 39))
    assert not of(posts, SealFile), "its last chunk is stored already, but it still sends it"
    assert not of(posts, LeaseRevoked)
    assert of(deliver(state, Ticked(), now_s=NOW_S + RIDE_OUT_S + 0.5), SealFile), "it is not waited for long"


def gated_sampler(state: DispatchState) -> DispatchState:
    """The last chunk is there: a sample had it."""
    assert state.leases is not None
    tracker = state.leases.tracker
    one = tracker.grant_sample(0, 39, now_s=NOW_S)
    tracker.store(one.id, 39, 40)
    tracker.end(one)
    return state


def test_a_known_user_takes_what_makes_both_finish_together() -> None:
    state = gated("a" * 60, a=0.5)
    offers(state, "b", 1.5)
    assert drawn(state).count("b") in (44, 45)


def test_where_nothing_is_won_an_offer_is_declined_and_the_sender_is_not_touched() -> None:
    state = gated("a" * 60, a=10.0)
    posts = offers(state, "b")
    assert of(posts, DeclineUpload)
    assert not of(posts, LeaseTrimmed)
    assert drawn(state) == "a" * 60


def test_the_faster_of_the_two_goes_on_and_the_other_ends() -> None:
    """One stop, whichever it is."""
    state = gated("aa" + "b" * 40, a=1.0, b=0.5)
    posts = deliver(state, measured(0, lease_of(state, "a").id, 1.5, 1.0))
    assert [post.source for post in of(posts, LeaseRevoked)] == [1]
    slow = gated("aa" + "b" * 40, a=0.5, b=1.0)
    assert not of(deliver(slow, measured(0, lease_of(slow, "a").id, 1.5, 0.5)), LeaseRevoked)


@pytest.mark.parametrize("other", ["", "draining", "mirror"])
def test_when_the_gate_opens_what_the_sender_has_no_use_for_soon_is_free_for_all(other: str) -> None:
    state = gated("a" * 4 * bool(other) + "e" * 1000, **({"a": 1.0} if other else {}), e=1.0)
    if other == "draining":
        lease_of(state, "a").draining = True
    elif other == "mirror":
        state.sources[0].peer, state.sources[0].traits = "", SourceTraits(restart_cost_s=0.05)
    for letter in "bcd":
        add(state, letter, 1.0)
        as_peer(state, letter)
    posts = deliver(state, Ticked())
    assert state.leases is not None
    assert state.leases.grants.gate.is_open
    assert len(of(posts, EnqueueFile)) == 3
    assert lease_of(state, "e").stop <= 4 * bool(other) + 6


def test_when_the_gate_opens_the_first_to_be_placed_counts_on_all_that_are_known() -> None:
    """They are asked in the same step: else that one gets a share as if it were alone with the sender."""
    state = gated("a" * 1000, a=1.0)
    for letter in "bcd":
        add(state, letter, 1.0)
        as_peer(state, letter)
    offering = state.sources[1]
    offering.enqueued, offering.enqueued_s, offering.state = True, NOW_S, SourceState.QUEUED
    posts = deliver(state, turn(state, 1))
    assert len(of(posts, EnqueueFile)) == 2
    assert 200 < lease_of(state, "b").open_chunks < 300


def test_the_estimate_is_given_in_words_while_there_is_something_to_decide() -> None:
    state = gated("a" * 60, a=0.5)
    assert state.leases is not None
    assert state.leases.grants.gate.describe(NOW_S) == "", "there is only one"
    add(state, "b", 0.5)
    as_peer(state, "b")
    assert "with all 2: users are disturbed for" in state.leases.grants.gate.describe(NOW_S)
    state.leases.grants.gate.is_open = True
    assert "several users share the file" in state.leases.grants.gate.describe(NOW_S)


def test_there_is_no_estimate_where_only_one_user_is_left_or_nothing() -> None:
    state = gated("a" * 60, a=0.5)
    assert state.leases is not None
    add(state, "b", 0.5)
    as_peer(state, "b")
    state.sources[1].state = SourceState.BANNED
    assert state.leases.grants.gate.describe(NOW_S) == ""
    state.sources[1].state = SourceState.CANDIDATE
    deliver(state, stored(0, lease_of(state, "a").id, 0, 60))
    assert state.leases.grants.gate.describe(NOW_S) == ""


def test_there_is_no_estimate_before_the_first_rate_is_known() -> None:
    state = gated("." * 60)
    offers(state, "a")
    add(state, "b")
    as_peer(state, "b")
    assert state.leases is not None
    assert state.leases.grants.gate.describe(NOW_S) == ""


@pytest.mark.parametrize(("mode", "patience_s"), [("swarm", 0.0), ("queue", 15.0), ("race", 15.0)])
def test_without_patience_and_in_the_other_modes_there_is_no_gate(mode: str, patience_s: float) -> None:
    job = start_job(folder="/box", mode=mode, patience_s=patience_s)
    tracker = ChunkTracker(10)
    assert UserGate(job, tracker, {}, PlacementViewCache(job, tracker, {})).is_open


def test_a_race_disturbs_two_users_at_a_time_and_a_third_only_when_one_of_them_is_out() -> None:
    state = board("......", mode="race")
    for letter in "abc":
        add(state, letter, 1.0)
        as_peer(state, letter)
    deliver(state, Ticked())
    granted = [bool(of(deliver(state, turn(state, number)), LeaseGranted)) for number in range(3)]
    assert granted == [True, True, False]
    deliver(state, SourceLost(job=1, source=0, detail="its process died"))
    assert of(deliver(state, Ticked(), now_s=NOW_S + 10), EnqueueFile)[0].source == 2
    assert of(deliver(state, turn(state, 2), now_s=NOW_S + 10), LeaseGranted)


def test_users_whose_stops_are_spent_are_counted_where_a_slow_one_would_send_for_minutes() -> None:
    """After deaths of ours three quick users have no stop left, and the slowest has the rest of the file."""
    state = gated("a" * 60 + "#" * 20, a=0.1)
    for letter in "bcd":
        add(state, letter, 1.0)
        as_peer(state, letter, stops=2)
    for number in (1, 2, 3):
        state.sources[number].stops_inherited = 2
    assert state.leases is not None
    state.leases.changed()
    deliver(state, Ticked())
    assert state.leases.grants.gate.is_open


def test_a_crowd_of_unknown_users_opens_the_gate_of_a_large_file_and_one_less_does_not() -> None:
    for count in (CROWD - 1, CROWD):
        state = gated("." * 20_000)
        assert state.leases is not None
        for at in range(count):
            add(state, "abcdefghi"[at])
            as_peer(state, "abcdefghi"[at])
        state.leases.grants.gate.decide(state.sources[0], NOW_S)
        assert state.leases.grants.gate.is_open is (count == CROWD)


def test_beside_a_mirror_one_user_is_nothing_to_decide_about() -> None:
    state = gated("a" * 60, a=0.5)
    add(state, "b", 0.5)
    assert state.leases is not None
    assert state.leases.grants.gate.describe(NOW_S) == ""


def test_a_lease_of_a_user_will_end_with_a_stop_unless_it_ends_with_the_file() -> None:
    state = gated("aabb", a=1.0, b=1.0)
    assert state.leases is not None
    gate = state.leases.grants.gate
    assert gate._stops_coming() == 1
    lease_of(state, "a").draining = True
    assert gate._stops_coming() == 0


def test_a_job_that_rides_reports_its_estimate_and_one_that_waits_does_not() -> None:
    state = gated("a" * 60, a=0.5)
    add(state, "b", 0.5)
    as_peer(state, "b")
    for phase, shown in ((Phase.RIDING, True), (Phase.WAITING, False)):
        state.phase = phase
        state._reports.report_if_due(phase, state.leases, NOW_S + 1)
        assert bool(state.report.estimate) is shown
        state.report._reported_s = 0.0
