"""What each fault does to the standing of a source, as a table."""

import pytest

from actors.core.dispatch.sources import (
    BUSY_ANSWERS_MAX,
    COOL_S,
    REJOIN_S_MAX,
    RETRY_AFTER_TOTAL_S_MAX,
    Source,
    SourceState,
    cool_down,
    end_cooldown,
    record_delivery,
    record_failure,
)
from protocol.model.faults import FaultKind
from protocol.model.job_spec import FAILURES_MAX

BANNED, COOLING, CANDIDATE = SourceState.BANNED, SourceState.COOLING, SourceState.CANDIDATE


def source() -> Source:
    made = Source(0, "a", "host", "fetch-1/worker-1-0", "f")
    made.probed = True
    return made


def fault(made: Source, kind: FaultKind, *, progressed: bool = False, retry_after_s: float = 0.0) -> None:
    record_failure(made, kind, kind.name, retry_after_s=retry_after_s, progressed=progressed, now_s=100.0)


@pytest.mark.parametrize(
    ("kind", "standing", "waits"),
    [
        (FaultKind.REVOKED, CANDIDATE, False),
        (FaultKind.NO_SUCH_HOST, BANNED, False),
        (FaultKind.REFUSED, CANDIDATE, True),
        (FaultKind.CONNECT_TIMEOUT, CANDIDATE, True),
        (FaultKind.TLS_UNTRUSTED, BANNED, False),
        (FaultKind.NOT_FOUND, BANNED, False),
        (FaultKind.FORBIDDEN, BANNED, False),
        (FaultKind.BUSY, CANDIDATE, True),
        (FaultKind.SERVER_ERROR, CANDIDATE, True),
        (FaultKind.BAD_ANSWER, CANDIDATE, True),
        (FaultKind.RANGE_REFUSED, CANDIDATE, False),
        (FaultKind.WRONG_RANGE, CANDIDATE, True),
        (FaultKind.CHANGED, BANNED, False),
        (FaultKind.ENCODED, BANNED, False),
        (FaultKind.REDIRECT_LOOP, BANNED, False),
        (FaultKind.SHORT_BODY, CANDIDATE, True),
        (FaultKind.RESET, CANDIDATE, True),
        (FaultKind.STALLED, CANDIDATE, True),
        (FaultKind.SILENT, CANDIDATE, True),
        (FaultKind.UNSUPPORTED_URL, BANNED, False),
        (FaultKind.INTERFACE_GONE, CANDIDATE, True),
        (FaultKind.SIZE_DIFFERS, BANNED, False),
        (FaultKind.SLOW, COOLING, True),
        (FaultKind.LOST, CANDIDATE, True),
        (FaultKind.DISPUTED, BANNED, False),
    ],
)
def test_the_first_fault_of_each_kind_has_its_policy(kind: FaultKind, standing: SourceState, waits: bool) -> None:
    made = source()
    fault(made, kind)
    assert made.state is standing
    assert (made.not_before_s > 100.0) is waits


def test_three_failures_in_a_row_cool_a_source() -> None:
    made = source()
    for _ in range(FAILURES_MAX - 1):
        fault(made, FaultKind.RESET)
        assert made.state is CANDIDATE
    fault(made, FaultKind.RESET)
    assert made.state is COOLING
    assert made.not_before_s == 100.0 + COOL_S


def test_a_job_says_how_many_failures_cool_a_source() -> None:
    made = source()
    made.failures_max = 5
    for _ in range(4):
        fault(made, FaultKind.RESET)
    assert made.state is CANDIDATE
    fault(made, FaultKind.RESET)
    assert made.state is COOLING


def test_a_source_that_drops_after_progress_never_cools_and_never_waits() -> None:
    made = source()
    for _ in range(50):
        fault(made, FaultKind.SHORT_BODY, progressed=True)
    assert made.state is CANDIDATE
    assert made.not_before_s == 0.0


def test_a_stall_waits_even_after_progress() -> None:
    made = source()
    fault(made, FaultKind.STALLED, progressed=True)
    assert made.not_before_s > 100.0


def test_a_delivered_chunk_ends_the_row_of_failures_and_proves_the_source() -> None:
    made = source()
    fault(made, FaultKind.RESET)
    fault(made, FaultKind.RESET)
    record_delivery(made)
    fault(made, FaultKind.RESET)
    assert made.state is CANDIDATE
    assert made.proven


@pytest.mark.parametrize("kind", [FaultKind.FORBIDDEN, FaultKind.NOT_FOUND, FaultKind.CHANGED])
def test_an_odd_answer_after_chunks_that_are_not_stored_yet_is_not_final(kind: FaultKind) -> None:
    made = source()
    made.handed = True
    fault(made, kind)
    assert made.state is CANDIDATE


def test_chunks_that_are_stored_after_it_was_left_out_do_not_take_the_reason_away() -> None:
    made = source()
    fault(made, FaultKind.SIZE_DIFFERS)
    record_delivery(made)
    assert (made.state, made.reason) == (BANNED, "SIZE_DIFFERS")


def test_each_cooling_is_longer_than_the_one_before() -> None:
    made = source()
    lengths = []
    for _ in range(8):
        cool_down(made, 0.0)
        lengths.append(made.not_before_s)
    assert lengths == sorted(lengths)
    assert lengths[1] == 2 * lengths[0]
    assert lengths[-1] == 600.0


def test_a_source_warmed_up_has_one_failure_to_spare_for() -> None:
    made = source()
    cool_down(made, 0.0)
    end_cooldown(made)
    assert made.state is CANDIDATE
    fault(made, FaultKind.RESET)
    assert made.state is COOLING


def test_a_named_waiting_time_is_honoured_to_the_second() -> None:
    made = source()
    fault(made, FaultKind.BUSY, retry_after_s=7.0)
    assert not made.is_ready(106.9)
    assert made.is_ready(107.0)


def test_a_source_that_is_busy_for_ever_cools_in_the_end() -> None:
    made = source()
    for _ in range(BUSY_ANSWERS_MAX):
        fault(made, FaultKind.BUSY)
    assert made.state is COOLING


def test_waits_that_a_server_asks_for_are_no_failures_until_they_are_too_long_together() -> None:
    made = source()
    for _ in range(5 * BUSY_ANSWERS_MAX):
        fault(made, FaultKind.BUSY, retry_after_s=2.0)
        fault(made, FaultKind.SERVER_ERROR, retry_after_s=2.0)
    assert (made.state, made.failures) == (CANDIDATE, 0)
    fault(made, FaultKind.BUSY, retry_after_s=RETRY_AFTER_TOTAL_S_MAX - 150.0)
    assert made.state is COOLING


def test_a_delivery_between_them_makes_waits_short_again() -> None:
    made = source()
    for _ in range(3):
        fault(made, FaultKind.BUSY, retry_after_s=RETRY_AFTER_TOTAL_S_MAX / 2)
        record_delivery(made)
    assert made.state is CANDIDATE


def test_a_waiting_time_of_hours_does_not_hold_up_the_end_of_the_job() -> None:
    made = source()
    fault(made, FaultKind.BUSY, retry_after_s=7200.0)
    assert made.is_out(101.0)
    assert made.not_before_s == 7300.0


def test_refusing_offsets_leaves_the_front_and_refusing_that_too_is_a_failure() -> None:
    made = source()
    fault(made, FaultKind.RANGE_REFUSED)
    assert not made.traits.offset_ok
    for _ in range(FAILURES_MAX):
        assert made.state is CANDIDATE
        fault(made, FaultKind.RANGE_REFUSED)
    assert made.state is COOLING


def test_offsets_that_have_worked_are_given_up_after_failures_in_a_row_only() -> None:
    made = source()
    made.offset_proven = True
    for _ in range(FAILURES_MAX):
        assert made.traits.offset_ok
        fault(made, FaultKind.RANGE_REFUSED)
        assert made.state is CANDIDATE
    assert not made.traits.offset_ok


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        (FaultKind.NOT_FOUND, COOLING),
        (FaultKind.FORBIDDEN, COOLING),
        (FaultKind.NO_SUCH_HOST, COOLING),
        (FaultKind.TLS_UNTRUSTED, COOLING),
        (FaultKind.REDIRECT_LOOP, COOLING),
        (FaultKind.ENCODED, COOLING),
        (FaultKind.CHANGED, BANNED),
    ],
)
def test_a_source_that_has_delivered_may_give_an_odd_answer(kind: FaultKind, end: SourceState) -> None:
    made = source()
    record_delivery(made)
    fault(made, kind, progressed=True)
    assert made.state is CANDIDATE
    assert made.not_before_s > 100.0, "asked again, but not at once"
    for _ in range(FAILURES_MAX - 1):
        fault(made, kind)
    assert made.state is end


def test_a_source_without_worker_is_hoped_for_a_while_only() -> None:
    made = source()
    made.lost_s = 100.0
    assert not made.usable
    assert not made.is_out(101.0)
    assert made.is_out(100.0 + REJOIN_S_MAX + 0.1)


def test_a_failure_after_progress_takes_back_what_was_counted_against_the_source() -> None:
    made = source()
    for _ in range(2):
        fault(made, FaultKind.BUSY, retry_after_s=7.0)
    assert made.obeyed_s > 0
    fault(made, FaultKind.RESET, progressed=True)
    assert (made.obeyed_s, made.busy_answers) == (0.0, 0)
