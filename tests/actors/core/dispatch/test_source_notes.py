"""What is noted of a source and said of it: every field of it that an event sets, each limit, each sentence."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.dispatch.admission import (
    NAMES_SHOWN_MAX,
    REASONS_SHOWN_MAX,
    SWITCH_S_MAX,
    VALIDATORS_MAX,
    open_request,
    why_no_source,
)
from actors.core.dispatch.dispatcher import DispatchState
from actors.core.dispatch.recovery import RENEWALS_MAX, Renewals
from actors.core.dispatch.remote_queue import CONNECTING_S_MAX, LOGIN_LOST_S_MAX, QUEUED_S_MAX
from actors.core.dispatch.sources import (
    COOL_MAX_S,
    OUTAGE_S,
    Source,
    SourceState,
    cool_down,
    end_cooldown,
    interface_words,
    record_delivery,
    validator_seen,
)
from protocol.messages import DequeueFile, EnqueueFile, FileFinished, JobNoted, PeerFaulted, ValidatorSeen
from protocol.messages.addresses import PEER_HISTORY, SESSION
from protocol.model.faults import FaultKind
from protocol.model.source_url import Window
from tests.actors.core.dispatch.boards import CHUNK, NOW_S, add, as_peer, board, deliver, said, wanted
from tests.actors.core.dispatch.queued_users import place, session, turn, user


def one(number: int = 0, **changes: Any) -> Source:
    source = Source(number, f"http://h{number}/f", f"h{number}", "fetch-1/worker", "f")
    for name, value in changes.items():
        setattr(source, name, value)
    return source


@pytest.mark.parametrize("out", [False, True])
def test_a_stored_chunk_ends_all_that_was_counted_and_leaves_the_reason_of_one_that_is_out(out: bool) -> None:
    source = one(failures=2, busy_answers=3, obeyed_s=4.0, reason="was busy", unbound=True)
    source.state = SourceState.BANNED if out else SourceState.CANDIDATE
    record_delivery(source)
    assert (source.proven, source.failures, source.busy_answers, source.obeyed_s) == (True, 0, 0, 0.0)
    assert (source.reason, source.unbound) == ("was busy" if out else "", False)


def test_each_rest_is_twice_as_long_up_to_a_limit_and_then_it_has_one_try() -> None:
    source, rests = one(failures_max=4), []
    for _ in range(7):
        cool_down(source, 100.0)
        assert source.state is SourceState.COOLING
        rests.append(source.not_before_s - 100.0)
    assert rests == [30.0, 60.0, 120.0, 240.0, 480.0, COOL_MAX_S, COOL_MAX_S]
    assert source.cooldowns == 7
    source.busy_answers = 5
    end_cooldown(source)
    assert (source.state, source.failures, source.busy_answers) == (SourceState.CANDIDATE, 3, 0)
    assert source.not_before_s == 0.0


def test_an_interface_is_blamed_where_all_that_are_left_miss_it() -> None:
    gone = [one(at, unbound=True, reason=f"no wg{at}") for at in (1, 2)]
    out = one(3, state=SourceState.BANNED)
    assert interface_words([]) == interface_words([out]) == ""
    assert interface_words([out, *gone]) == "no wg1"
    assert interface_words([*gone, one(4)]) == ""


@pytest.mark.parametrize("watched", [True, False])
def test_an_outage_of_the_interface_is_noted_once_until_it_was_back_for_a_while(watched: bool) -> None:
    state = board("....")
    add(state, "a")
    state._failures._job = state.job.but(watcher="cli") if watched else state.job.but(watcher="")
    notes = []
    for now_s in (50.0, 55.0, 55.0 + OUTAGE_S, 65.1 + OUTAGE_S):
        state._failures.record_failure(state.sources[0], FaultKind.INTERFACE_GONE, "wg0 is gone", now_s=now_s)
        notes.append([each.text for each in said(state._out.take(), JobNoted)])
    noted = ["wg0 is gone: waits until it is back"] if watched else []
    assert notes == [noted, [], [], noted]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("kind", [FaultKind.NOT_FOUND, FaultKind.SLOW, FaultKind.LOST, FaultKind.REVOKED])
def test_the_watcher_hears_of_a_source_that_is_out_and_the_history_of_the_faults_of_users(
    kind: FaultKind, count: int
) -> None:
    state = board("....")
    add(state, "a")
    as_peer(state, "a")
    source = state.sources[0]
    state._failures._job = state.job.but(watcher="cli", source_count=count)
    for _ in range(2):
        state._failures.record_failure(source, kind, f"{source.host} says no", now_s=NOW_S)
    posts = state._out.take()
    heard = [each.message.text for each in posts if isinstance(each.message, JobNoted)]
    word = {FaultKind.NOT_FOUND: "given up", FaultKind.SLOW: "cooling"}.get(kind, "")
    alone = count == 1 and kind is FaultKind.NOT_FOUND
    assert heard == ([f"{source.name}: {word}: no"] if word and not alone else [])
    heard_of = [each.message for each in posts if each.to == PEER_HISTORY]
    fault = PeerFaulted(peer="user-a", fault=kind, offset_ok=True)
    assert heard_of == ([] if kind in (FaultKind.LOST, FaultKind.REVOKED) else [fault, fault])


def test_a_validator_is_noted_beside_what_is_there_unless_all_agree_on_it() -> None:
    source = one(validator='"1"', modified="Thu, 01 Jan 1970 00:00:00 GMT")
    fields: dict[str, Any] = {"job": 1, "source_name": source.name, "validator": '"1"', "modified": source.modified}
    assert validator_seen(wanted(), source) == ValidatorSeen(**fields, agreed=False)
    assert validator_seen(wanted(), source, agreed=True) == ValidatorSeen(**fields, agreed=True)


@given(st.integers(1, NAMES_SHOWN_MAX + 3))
def test_of_sources_with_one_fault_a_few_are_named(count: int) -> None:
    sources = {at: one(at, reason=f"h{at} says 404") for at in range(count)}
    names = [each.name for each in sources.values()]
    if count == 1:
        assert why_no_source(sources) == "h0 says 404"
        return
    more = f" and {count - NAMES_SHOWN_MAX} more" if count > NAMES_SHOWN_MAX else ""
    assert why_no_source(sources) == f"{', '.join(names[:NAMES_SHOWN_MAX])}{more}: 404"


@given(st.integers(2, REASONS_SHOWN_MAX + 3))
def test_of_faults_a_few_are_said(count: int) -> None:
    sources = {at: one(at, reason=f"fault {at}") for at in range(count)}
    lines = [f"http://h{at}/f: fault {at}" for at in range(count)]
    more = f"; and {count - REASONS_SHOWN_MAX} more" if count > REASONS_SHOWN_MAX else ""
    assert why_no_source(sources) == "; ".join(lines[:REASONS_SHOWN_MAX]) + more


def test_a_single_source_is_named_where_its_reason_does_not() -> None:
    assert why_no_source({0: one(reason="404")}) == "http://h0/f: 404"
    assert why_no_source({0: one()}) == f"http://h0/f: {SourceState.CANDIDATE.value}"
    assert why_no_source({}) == ""


@given(
    st.sampled_from([SourceState.COOLING, SourceState.CANDIDATE]),
    st.booleans(),
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=4),
    st.booleans(),
)
def test_a_file_is_fetched_again_of_those_that_have_another_version_unless_one_that_rests_may_have_the_former(
    other: SourceState, dropped: bool, rows: list[tuple[bool, bool, bool]], waits: bool
) -> None:
    sources = {0: one(state=other, dropped=dropped)}
    for at, (changed, lost, gone) in enumerate(rows, 1):
        sources[at] = one(at, changed=changed, lost_s=1.0 if lost else None, dropped=gone, state=SourceState.BANNED)
    wait = waits and other is SourceState.COOLING and not dropped
    right = [at for at, (changed, lost, gone) in enumerate(rows, 1) if changed and not lost and not gone]
    assert [each.id for each in Renewals().due(sources, waits=waits)] == ([] if wait else right)


def test_a_file_is_fetched_again_so_often_and_no_more() -> None:
    renewals = Renewals()
    assert [renewals.begin() for _ in range(RENEWALS_MAX + 2)] == [*[True] * RENEWALS_MAX, False, False]


@pytest.mark.parametrize(("late_s", "switched"), [(SWITCH_S_MAX, True), (SWITCH_S_MAX + 0.5, False)])
def test_a_majority_for_another_size_counts_for_a_while(late_s: float, switched: bool) -> None:
    state = board("....")
    for letter in "abc":
        add(state, letter)
        state.sources[ord(letter) - ord("a")].size_bytes = 3 * CHUNK
    state.admission.first_probed_s = 5.0
    assert state.admission.other_size(4 * CHUNK, now_s=5.0 + late_s) == (3 * CHUNK if switched else -1)
    assert state.admission.other_size(3 * CHUNK, now_s=5.0) == -1
    assert state.admission.other_size(-1, now_s=5.0) == -1


def test_the_request_that_opens_the_part_file_says_what_the_job_says() -> None:
    job = wanted(name="n")
    many = tuple(str(each) for each in range(VALIDATORS_MAX + 1))
    asked = open_request(job, 3 * CHUNK, "f", validators=many)
    assert (asked.job, asked.spec.name, asked.spec.size_bytes) == (1, "f", 3 * CHUNK)
    assert (asked.again, asked.start_over, asked.validators) == (False, False, many[:-1])
    assert not asked.any_chunk_size
    again = open_request(job, 3 * CHUNK, "f", again=True, start_over=True)
    assert (again.again, again.start_over, again.validators) == (True, True, ())
    for preallocate in (True, False):
        spec = job.spec.but(policy=job.spec.policy.but(preallocate=preallocate))
        for begun in (True, False):
            opened = open_request(job.but(spec=spec), 3 * CHUNK, "f", again=begun)
            assert opened.spec.policy.preallocate is (preallocate and not begun)


# -- queues


def asked_again(state: DispatchState) -> set[int]:
    state.remote_queue.enqueue_again(NOW_S + 1)
    return {each.source for each in said(state._out.take(), EnqueueFile)}


def test_a_new_session_is_asked_for_the_places_that_were_ours_and_no_others() -> None:
    state = board("........")
    for letter in "abcd":
        add(state, letter)
        as_peer(state, letter)
    for number in (0, 1, 2):
        state.remote_queue.enqueue(state.sources[number], NOW_S)
    state.sources[1].busy = 5  # it sends
    state.sources[2].state = SourceState.BANNED
    state._out.take()
    assert asked_again(state) == {0}
    assert [state.sources[at].enqueued for at in range(4)] == [True, True, False, False]
    assert state.sources[0].enqueued_s == NOW_S + 1
    assert state.sources[3].state is SourceState.CANDIDATE


@pytest.mark.parametrize(
    ("queued", "waited_s", "out"),
    [
        (False, CONNECTING_S_MAX, ""),
        (False, CONNECTING_S_MAX + 1, "no sign of it after 61 s"),
        (True, QUEUED_S_MAX, ""),
        (True, QUEUED_S_MAX + 1, "still queued after 21601 s"),
    ],
)
def test_a_place_is_waited_for_as_long_as_its_kind_allows(queued: bool, waited_s: float, out: str) -> None:
    state = user("....")
    source = state.sources[1]
    state.remote_queue.enqueue(source, NOW_S)
    if queued:
        state.remote_queue.place_changed(place(1, 0))
    state._out.take()
    state.remote_queue.expire(NOW_S + waited_s)
    assert source.enqueued is not bool(out)
    assert source.reason == out
    assert bool(said(state._out.take(), DequeueFile)) is bool(out)


def test_an_offer_that_is_held_does_not_expire() -> None:
    state = user("....")
    source = state.sources[1]
    for ticket in (0, 7):
        state.remote_queue.enqueue(source, NOW_S)
        source.ticket = ticket
        state.remote_queue.expire(NOW_S + 2 * QUEUED_S_MAX)
        assert (source.enqueued, source.ticket) == (True, ticket)


def test_a_place_in_a_queue_is_kept_where_a_later_report_does_not_say_it() -> None:
    state = user("....")
    source = state.sources[1]
    state.remote_queue.place_changed(place(1, 4))
    assert source.queue_place == -1, "no place is ours"
    state.remote_queue.enqueue(source, NOW_S)
    assert (source.queue_place, source.ticket, source.state) == (-1, -1, SourceState.QUEUED)
    seen = []
    for number in (0, 9, 1, 0, -1):
        state.remote_queue.place_changed(place(1, number))
        seen.append(source.queue_place)
    assert seen == [0, 9, 1, 1, 1]
    state.remote_queue.place_changed(place(77, 1))


@pytest.mark.parametrize(("final", "waits"), [(True, False), (True, True), (False, False)])
@pytest.mark.parametrize("was_online", [True, False])
def test_a_lost_login_ends_the_wait_of_users_at_once_where_it_is_final_or_never_was(
    final: bool, waits: bool, was_online: bool
) -> None:
    state = user("....")
    state.remote_queue._job = state.job.but(waits=waits)
    source, queue = state.sources[1], state.remote_queue
    queue.enqueue(source, NOW_S)
    if was_online:
        queue.session_changed(session("online"), now_s=NOW_S)
    queue.session_changed(session("connecting"), now_s=NOW_S)
    assert source.state.name == SourceState.QUEUED.name
    queue.session_changed(session("kicked", final=final), now_s=NOW_S)
    out = SourceState.BANNED if final and not waits else SourceState.COOLING
    at_once = final or not was_online
    assert source.state.name == (out if at_once else SourceState.QUEUED).name
    queue.session_changed(session("kicked", final=final), now_s=NOW_S + 50)
    queue.expire(NOW_S + LOGIN_LOST_S_MAX)
    assert source.state.name == (out if at_once else SourceState.QUEUED).name
    queue.place_changed(place(1, 3))
    queue.expire(NOW_S + LOGIN_LOST_S_MAX + 0.1)
    assert source.state.name == out.name
    queue.session_changed(session("online"), now_s=NOW_S + 99)
    assert source.state.name == (SourceState.BANNED if out is SourceState.BANNED else SourceState.CANDIDATE).name


@pytest.mark.parametrize(
    ("peer", "window", "shared"),
    [("ann", None, True), ("ann", Window(0, 4, 9), False), ("", None, False)],
)
def test_a_whole_file_of_a_user_is_shared_with_the_others(peer: str, window: Window | None, shared: bool) -> None:
    state = board("....")
    add(state, "a")
    state.sources[0].peer, state.sources[0].window = peer, window
    state.remote_queue.finished("/box/f")
    posts = state._out.take()
    assert [(each.to, each.message) for each in posts] == ([(SESSION, FileFinished(path="/box/f"))] if shared else [])


@pytest.mark.parametrize(
    ("known", "offered", "taken", "reason"),
    [
        (4, 4, 4, ""),
        (4, -1, 4, ""),
        (4, 0, 4, ""),
        (0, 0, 0, ""),
        (4, 5, None, "size differs: offers 5 bytes, the file has 4"),
        (0, 5, None, "size differs: offers 5 bytes, the file has 0"),
        (-1, 5, 5, ""),
        (-1, 0, 0, ""),
        (-1, -1, None, "offers the file as empty, and does not list how large it is"),
    ],
)
@pytest.mark.parametrize("by_source", [True, False])
def test_an_offer_is_taken_where_it_is_of_the_file(
    known: int, offered: int, taken: int | None, reason: str, by_source: bool
) -> None:
    state = user("....")
    source = state.sources[1]
    source.size_bytes, source.probed = known if by_source else -1, False
    deliver(state)
    state.remote_queue.enqueue(source, NOW_S)
    message = turn(state, 1, size_bytes=4)
    message = type(message)(job=1, source=1, ticket=7, size_bytes=offered, stops_beside=2)
    got = state.remote_queue.offered(message, size_bytes=-1 if by_source else known, now_s=NOW_S + 1)
    assert source.reason == reason
    assert source.stops_beside == 2
    if taken is None:
        assert got is None
        assert (source.enqueued, source.ticket) == (False, -1)
    else:
        assert got is source
        assert (source.size_bytes, source.probed, source.ticket) == (taken, True, 7)
        assert (source.offered_s, source.queue_place) == (NOW_S + 1, 0)
