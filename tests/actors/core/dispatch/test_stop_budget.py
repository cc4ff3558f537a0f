"""How often we hang up on Soulseek users, and what a disturbance must gain. Boards are drawn as in `boards`."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actors.core.dispatch.dispatcher import DispatchState, Phase
from actors.core.dispatch.progress import HANG_UPS_S_MAX
from actors.core.dispatch.sources import SourceState
from actors.core.dispatch.stop_cost import gain_min_s, update_stop_budget
from protocol.messages import (
    DeclineUpload,
    EnqueueFile,
    FileSealed,
    JobEnded,
    LeaseGranted,
    SealFile,
    SourceProgressed,
    StopJob,
    Ticked,
)
from protocol.messages.leases import NO_LEASE
from protocol.model.faults import FaultKind
from protocol.model.limits import STOPS_PER_DAY, STOPS_PER_JOB
from protocol.model.value import replace
from tests.actors.core.dispatch.boards import (
    CHUNK,
    NOW_S,
    add,
    as_peer,
    board,
    deliver,
    drawn,
    lease_of,
    said,
    serve,
)
from tests.actors.core.dispatch.queued_users import board_of, of, turn, user
from tests.actors.core.dispatch.replies import finished, measured, released, stored


@pytest.mark.parametrize(
    ("stops", "before", "is_spent"),
    [
        (STOPS_PER_JOB - 1, 0, False),
        (STOPS_PER_JOB, 0, True),
        (0, STOPS_PER_DAY - 1, False),
        (0, STOPS_PER_DAY, True),
        (1, STOPS_PER_DAY - 1, True),
    ],
)
def test_a_user_has_a_number_of_stops_a_job_and_a_day(stops: int, before: int, is_spent: bool) -> None:
    state = user("aaaa............", rates={"a": 1.0}, rate=1.0, stops=stops, stops_before=before)
    assert state.sources[1].budget_spent is is_spent


@pytest.mark.parametrize(("stops", "beside", "spent"), [(0, 1, False), (1, 0, False), (1, 1, True), (0, 2, True)])
def test_stops_for_other_files_of_an_album_count_with_those_of_the_job(stops: int, beside: int, spent: bool) -> None:
    state = user("aaaaaaaaaaaaaaaaaaaa####", rates={"a": 0.5}, rate=1.0, stops=stops)
    posts = deliver(state, Ticked(), turn(state, 1, stops_beside=beside))
    assert of(posts, EnqueueFile), "the place was requested before the count was known"
    assert bool(of(posts, DeclineUpload)) is spent
    assert ("b" in drawn(state)) is not spent


def test_an_offer_of_a_session_that_was_started_again_takes_back_no_stop() -> None:
    state = user("a" * 60 + "####", rates={"a": 0.5}, rate=1.0)
    for now_s, beside in ((NOW_S, 2), (NOW_S + 6.0, 0)):
        state.sources[1].enqueued = True
        posts = deliver(state, turn(state, 1, stops_beside=beside), now_s=now_s)
        assert of(posts, DeclineUpload), "the end is there, and there is no other place for it"
    assert not of(deliver(state, Ticked(), now_s=NOW_S + 12.0), EnqueueFile)


def test_whom_other_jobs_stopped_too_often_sends_the_end_of_the_file_though_its_rate_is_not_known() -> None:
    """Unlike one whose every stop in this job ended a transfer without a byte."""
    state = user("." * 20, "a")
    add(state, "b")
    as_peer(state, "b")
    deliver(state, Ticked(), turn(state, 0, stops_beside=2))
    assert drawn(state).endswith(".a")


RATES = st.floats(0.05, 20.0)


@example(rate=0.5, other=0.0, stops=2, beside=0, queued=True, meets=False)  # it would begin right ahead
@given(RATES, st.one_of(st.just(0.0), RATES), st.integers(0, 3), st.integers(0, 3), st.booleans(), st.booleans())
def test_behind_a_shut_gate_too_whose_stops_are_spent_is_neither_cut_nor_placed_before_the_end(
    rate: float, other: float, stops: int, beside: int, queued: bool, meets: bool
) -> None:
    """Nor taken over by the one that meets it, however much would be gained."""
    state = board("a" * (2 if meets else 60) + "b" * 58 * meets, rates={"a": rate, **({"b": other} if meets else {})})
    add(state, "c", other)
    for letter in "abc" if meets else "ac":
        as_peer(state, letter, stops=stops if letter in "ab" else 0)
    assert state.leases is not None
    state.leases.grants.gate.is_open = False
    comes = state.sources[2]
    comes.enqueued, comes.enqueued_s, comes.state = True, NOW_S - 30.0 * queued, SourceState.QUEUED
    held = lease_of(state, "b" if meets else "a")
    posts = deliver(
        state,
        turn(state, 2, stops_beside=beside),
        measured(0, lease_of(state, "a").id, 1.5, rate),
    )
    if stops >= STOPS_PER_JOB:
        assert held.id in board_of(state).leases
        assert held.stop == 60
    for lease in of(posts, LeaseGranted):
        assert beside < STOPS_PER_JOB or lease.stop == 60


def test_when_the_gate_opens_who_has_no_stop_left_goes_on_to_the_end() -> None:
    state = board("a" * 1000, rates={"a": 1.0})
    as_peer(state, "a", stops=STOPS_PER_JOB)
    assert state.leases is not None
    state.leases.grants.gate.is_open = False
    for number in range(1, 8):
        letter = "abcdefgh"[number]
        add(state, letter, 5.0)
        as_peer(state, letter)
    deliver(state, Ticked())
    assert state.leases.grants.gate.is_open
    assert lease_of(state, "a").stop == 1000


def test_whose_stops_are_spent_rides_to_the_end_of_the_file() -> None:
    state = user("aaaa............####....", rates={"a": 1.0}, rate=1.0, stops=3)
    deliver(state, Ticked(), turn(state, 1))
    assert drawn(state).endswith("bb")
    assert "b" not in drawn(state)[:20]


def test_whose_stops_are_spent_waits_when_the_end_is_not_free() -> None:
    state = user("aaaa............####", rates={"a": 1.0}, rate=1.0, stops=3)
    assert not of(deliver(state, Ticked()), EnqueueFile)


@pytest.mark.parametrize(("rate", "duplicated"), [(0.01, True), (0.02, False)])
def test_the_last_chunk_of_whose_stops_are_spent_is_fetched_twice_where_it_takes_more_than_a_minute(
    rate: float, duplicated: bool
) -> None:
    state = board("###a", rates={"a": rate})
    as_peer(state, "a", stops=3)
    serve(state, "b", 1.0)
    assert drawn(state) == ("###B" if duplicated else "###a")


@pytest.mark.parametrize("silent", [False, True])
def test_whose_stops_are_spent_fetches_no_chunk_twice_unless_beside_one_who_sends_nothing(silent: bool) -> None:
    """Who loses a duel is hung up on: that would be a stop more than it has."""
    state = user("###a", rates={"a": 0.05}, rate=1.0, stops=3)
    if silent:
        lease_of(state, "a").rate_bytes_s = 0.0
    assert bool(of(deliver(state, Ticked()), EnqueueFile)) is silent


def test_whose_stops_are_spent_and_who_begins_at_byte_0_is_not_sent_to_an_end_it_reaches_too_late() -> None:
    """Beside a silent one too: others have the file before it has read all that it would drop."""
    state = user("aaaaaaaa" + 52 * "#" + "c", rates={"a": 1.0, "c": 1.0}, rate=1.0, stops=3)
    state.sources[1].traits = replace(state.sources[1].traits, offset_ok=False)
    lease_of(state, "c").rate_bytes_s = 0.0
    assert not of(deliver(state, Ticked()), EnqueueFile)


@pytest.mark.parametrize(
    ("inherited", "stops_before", "rate", "asked"),
    [(3, 0, 0.1, True), (3, 0, 0.6, False), (3, 8, 0.1, False), (0, 0, 0.1, False)],
)
def test_a_budget_that_deaths_of_ours_spent_yields_where_half_a_minute_and_half_of_the_rest_is_saved(
    inherited: int, stops_before: int, rate: float, asked: bool
) -> None:
    """A slow one would send the rest alone: 160 s, and 15 s with b. The budget of the day never yields."""
    state = user("aaaa............####", rates={"a": rate}, rate=1.0, stops=3, stops_before=stops_before)
    state.sources[1].stops_inherited = inherited
    assert bool(of(deliver(state, Ticked()), EnqueueFile)) is asked


def test_what_a_spent_user_offers_when_it_was_asked_is_taken() -> None:
    """While its upload is awaited the rest seems to be there soon: it would be declined, and asked again."""
    state = user("aaaa............####", rates={"a": 0.1}, rate=1.0, stops=3)
    state.sources[1].stops_inherited = 3
    deliver(state, Ticked(), turn(state, 1))
    assert "b" in drawn(state)


@pytest.mark.parametrize(("stored_behind", "rides_out"), [(14, True), (16, False)])
def test_a_lease_goes_on_to_the_end_over_three_seconds_of_stored_chunks_at_most(
    stored_behind: int, rides_out: bool
) -> None:
    """Which spares a stop; a longer way would keep the quickest user busy with what is there already."""
    picture = "####...." + stored_behind * "#"
    state = user(picture, "a", rate=5.0)
    deliver(state, Ticked(), turn(state, 0))
    assert lease_of(state, "a").stop == (len(picture) if rides_out else 8)


def test_whose_stops_are_spent_takes_no_tail_but_the_last() -> None:
    state = user("aaaaaaaaaaaaaaaaaaaa####", rates={"a": 0.5}, rate=1.0, stops=3)
    assert not of(deliver(state, Ticked()), EnqueueFile)
    state = user("####aaaaaaaaaaaaaaaaaaaa", rates={"a": 0.5}, rate=1.0, stops=3)
    assert of(deliver(state, Ticked()), EnqueueFile)


def test_the_ride_to_the_end_of_one_whose_stops_are_spent_is_not_cut() -> None:
    state = board("aaaaaaaaaaaaaaaaaaaa", rates={"a": 1.0})
    as_peer(state, "a", stops=3)
    add(state, "b", 1.0)
    deliver(state, Ticked())
    assert drawn(state) == "aaaaaaaaaaaaaaaaaaaa"


def test_when_no_one_else_is_left_a_job_goes_on_beyond_its_own_budget_but_not_beyond_the_days() -> None:
    state = user("........####", "a", 1.0, stops=3)
    assert of(deliver(state, Ticked()), EnqueueFile)
    state = user("........" + 700 * "#", "a", 1.0, stops=0, stops_before=8)
    assert not of(deliver(state, Ticked()), EnqueueFile)
    assert "this day" in state.sources[0].reason


@pytest.mark.parametrize("picture", ["........####", "##...####..####", "##......"])
def test_when_the_stops_of_the_day_of_all_are_spent_one_sends_the_rest_on_to_the_end_of_the_file(picture: str) -> None:
    """Over what is stored, for minutes if it must be: else the job waited until the next day."""
    state = user(picture, "a", 1.0, stops_before=8)
    add(state, "b", 0.5)
    as_peer(state, "b", stops_before=8)
    asked = of(deliver(state, Ticked()), EnqueueFile)
    assert [each.source for each in asked][:1] == [0]
    deliver(state, turn(state, 0))
    lease = lease_of(state, "a")
    assert (lease.first, lease.stop) == (picture.index("."), len(picture))
    rest = picture.rindex(".") + 1
    deliver(state, measured(0, lease.id, 1.0, 1.0), stored(0, lease.id, lease.first, rest - lease.first))
    assert board_of(state).complete
    assert not of(deliver(state, Ticked(), now_s=NOW_S + 8.0), SealFile), "sealed, it would be hung up on"
    posts = deliver(state, finished(0, lease.id, len(picture)), Ticked(), now_s=NOW_S + 9.0)
    assert of(posts, SealFile)


def test_the_last_stop_goes_to_a_gap_that_no_lease_can_be_extended_into() -> None:
    """What another lease goes on into needs no source of its own; later there may be none left for the other gap."""
    picture = "a" * 4 + "." * 30 + "####" + "." * 20 + "b" * 20
    state = board(picture, rates={"a": 1.0, "b": 1.0})
    for letter in "ab":
        as_peer(state, letter)
    add(state, "c", 1.0)
    as_peer(state, "c", stops=1)
    deliver(state, Ticked(), turn(state, 2))
    assert 38 <= lease_of(state, "c").first < 58


@pytest.mark.parametrize(("stops", "idle"), [(0, False), (1, True)])
def test_who_is_hung_up_on_for_the_last_time_is_not_counted_on_any_more(stops: int, idle: bool) -> None:
    state = board("a" * 4 + "b" * 60, rates={"a": 1.0, "b": 1.0})
    for letter in "ab":
        as_peer(state, letter)
    state.sources[0].stops = stops
    update_stop_budget(state.sources[0], state.job)
    assert state.leases is not None
    left = state.leases.left_s(NOW_S)
    assert (left > 40) is idle


def test_a_source_without_offsets_goes_on_over_stored_chunks_where_beginning_again_takes_longer() -> None:
    """Its way of ten seconds is in time while half a minute is left; another user would be stopped for three."""
    for offset_ok, goes_on in ((False, True), (True, False)):
        state = board("a" * 4 + "#" * 10 + "." * 40, rates={"a": 1.0})
        as_peer(state, "a")
        state.sources[0].traits = replace(state.sources[0].traits, offset_ok=offset_ok)
        lease = lease_of(state, "a")
        deliver(state, measured(0, lease.id, 3.5, 1.0))
        assert (lease.stop > 14) is goes_on


def test_chunk_by_chunk_spends_no_budget_for_it_was_asked_for() -> None:
    state = user("........####", "a", 1.0, stops=9, mode="queue")
    assert of(deliver(state, Ticked()), EnqueueFile)


@pytest.mark.parametrize(("left_s", "gain_s"), [(5.0, 0.5), (50.0, 5.0), (100.0, 10.0), (1000.0, 10.0)])
def test_a_disturbance_must_gain_ten_seconds_or_a_tenth(left_s: float, gain_s: float) -> None:
    assert gain_min_s(left_s) == pytest.approx(gain_s)


@pytest.mark.parametrize(("left_s", "gain_s"), [(1.0, 0.5), (50.0, 10.0), (1000.0, 20.0)])
def test_a_third_stop_must_gain_twice_as_much_and_never_a_blink(left_s: float, gain_s: float) -> None:
    assert gain_min_s(left_s, 2) == pytest.approx(gain_s)
    assert gain_min_s(left_s, 1) < gain_s


def test_who_was_stopped_twice_is_not_asked_for_a_gain_others_are_asked_for() -> None:
    for stops, asked in ((1, True), (2, False)):
        state = user("a" * 20 + "####", rates={"a": 1.0}, rate=0.2, stops=stops)
        as_peer(state, "a")
        assert bool(of(deliver(state, Ticked()), EnqueueFile)) is asked


def test_a_users_ride_is_not_cut_for_less_than_a_tenth() -> None:
    ride = "a" * 20
    for rate, cut in ((1.0, True), (0.05, False)):
        state = user(ride, rates={"a": 1.0}, rate=rate)
        as_peer(state, "a")
        assert bool(of(deliver(state, Ticked()), EnqueueFile)) is cut


def test_one_of_few_stops_is_not_spent_on_a_crumb_while_a_large_tail_could_be_had() -> None:
    """The crumb's rider would finish last, but b has a start to pay and few stops: it takes half of the long ride."""
    state = board("aaa" + "c" * 60, rates={"a": 0.02, "c": 1.0})
    for letter in "ac":
        as_peer(state, letter)
    add(state, "b", 1.0)
    as_peer(state, "b")
    deliver(state, Ticked(), turn(state, 1))
    picture = drawn(state)
    assert picture.startswith("aaac")
    assert picture.count("b") > 20


def test_a_crumb_is_taken_when_there_is_nothing_else() -> None:
    state = user("aaa" + "#" * 60, rates={"a": 0.02}, rate=1.0)
    as_peer(state, "a")
    assert of(deliver(state, Ticked()), EnqueueFile)


def test_a_spent_user_is_not_asked_for_what_one_that_reads_and_drops_for_long_will_bring() -> None:
    """a refuses offsets and is at its range in a minute and a half only: that is no reason to stop b once more."""
    state = board("#" * 50 + "aa" + "....####", rates={"a": 0.5})
    front, lease = state.sources[0], lease_of(state, "a")
    front.traits = replace(front.traits, offset_ok=False)
    lease.lead_in_bytes, lease.received_bytes = 50 * CHUNK, CHUNK
    add(state, "b", 1.0)
    as_peer(state, "b", stops=3)
    assert not of(deliver(state, Ticked()), EnqueueFile)


@pytest.mark.parametrize(("rate", "asked"), [(1.0, True), (0.0, False)])
def test_whose_stops_were_all_for_silence_is_left_alone(rate: float, asked: bool) -> None:
    """Of unknown rate after all its stops: to give it the end of the file would be another one."""
    state = user("aaaa............####....", rates={"a": 1.0}, rate=rate, stops=3)
    state.sources[1].leases = 3
    assert bool(of(deliver(state, Ticked()), EnqueueFile)) is asked


def complete_before_the_user_reported() -> DispatchState:
    """The user's last chunk is stored before its worker has said that it hung up; the file is sealed in a moment."""
    state = board("aa##", rates={"a": 1.0})
    as_peer(state, "a")
    assert said(deliver(state, stored(0, 1, 0, 2)), SealFile)
    return state


def test_the_last_row_of_a_user_counts_the_hang_up_that_crossed_the_end_of_the_job() -> None:
    state = complete_before_the_user_reported()
    assert not said(deliver(state, FileSealed(job=state.job.job, path="/f/f", digest_hex="aa")), JobEnded)
    posts = deliver(state, finished(0, 1, 2, stopped=True), now_s=NOW_S + 0.5)
    assert [row.stops for row in said(posts, SourceProgressed)] == [1]
    assert said(posts, JobEnded)[0].state == "sealed"


@pytest.mark.parametrize("stopped", [False, True])
def test_a_job_does_not_wait_longer_for_the_report_of_a_hang_up_than_its_limit(stopped: bool) -> None:
    state = complete_before_the_user_reported()
    if stopped:
        deliver(state, StopJob(job=state.job.job))
    deliver(state, FileSealed(job=state.job.job, path="/f/f", digest_hex="aa"))
    assert not said(deliver(state, Ticked(), now_s=NOW_S + HANG_UPS_S_MAX - 0.1), JobEnded)
    assert said(deliver(state, Ticked(), now_s=NOW_S + HANG_UPS_S_MAX + 0.1), JobEnded)
    assert state.phase is Phase.ENDED


def test_a_job_waits_for_no_report_of_a_mirror() -> None:
    state = board("aa##", rates={"a": 1.0})
    deliver(state, stored(0, 1, 0, 2))
    assert said(deliver(state, FileSealed(job=state.job.job, path="/f/f", digest_hex="aa")), JobEnded)


def test_a_hang_up_counts_where_its_lease_is_forgotten_or_was_none() -> None:
    state = board("aaaa", rates={"a": 1.0})
    as_peer(state, "a")
    state.sources[0].busy = None
    deliver(state, finished(0, 1, 2, stopped=True))
    for _ in range(2):
        deliver(state, released(0, NO_LEASE, 0, FaultKind.REVOKED, stopped=True))
    assert state.sources[0].stops == 3


def test_a_hang_up_counts_while_the_job_starts_over() -> None:
    state = board("aaaa", rates={"a": 1.0})
    as_peer(state, "a")
    state.leases = None
    deliver(state, finished(0, 1, 2, stopped=True))
    assert state.sources[0].stops == 1
