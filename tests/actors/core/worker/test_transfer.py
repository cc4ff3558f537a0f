"""One ride at its worker: what is read, when a slot is handed over, how an end that moves is obeyed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.worker.token_bucket import TokenBucket
from actors.core.worker.transfer import Handover, Transfer

K = 1024
CHUNK = 4 * K
SLOT = 16 * K


def ride(first: int, stop: int, *, size: int = 100 * CHUNK) -> Transfer:
    return Transfer(7, first, stop, size_bytes=size, chunk_size=CHUNK, slot_bytes=SLOT)


def read(subject: Transfer, *, now_s: float = 0.0, at_most: int = 1 << 30) -> list[Handover]:
    """Read whatever is wanted, in pieces of at most a given number of bytes, until the ride is done."""
    out: list[Handover] = []
    while not subject.done:
        count = min(subject.want, at_most)
        assert count > 0
        subject.took(count, now_s=now_s)
        given = subject.handover(now_s=now_s)
        if given is not None:
            out.append(given)
    return out


def runs(handed: list[Handover]) -> list[tuple[int, int]]:
    return [(each.first, each.length_bytes) for each in handed]


def test_the_first_slot_holds_one_chunk_and_fast_sources_fill_more_and_more() -> None:
    assert runs(read(ride(0, 12))) == [(0, CHUNK), (1, 4 * CHUNK), (5, 4 * CHUNK), (9, 3 * CHUNK)]


def test_it_says_how_long_its_bytes_took_from_the_first_to_the_last() -> None:
    subject = ride(0, 3)
    assert subject.flowing_s == 0.0
    for now_s, count in ((10.0, 0), (12.0, CHUNK), (12.5, CHUNK), (14.0, 0), (15.0, CHUNK)):
        subject.took(count, now_s=now_s)
    assert subject.flowing_s == 3.0


def test_a_slow_source_hands_over_chunk_by_chunk() -> None:
    subject, now_s, handed = ride(0, 3), 0.0, []
    while not subject.done:
        now_s += 1.0
        subject.took(min(subject.want, K), now_s=now_s)
        given = subject.handover(now_s=now_s)
        if given is not None:
            handed.append(given)
            assert subject.done or subject.want == CHUNK
    assert runs(handed) == [(0, CHUNK), (1, CHUNK), (2, CHUNK)]


def test_a_source_that_became_slow_settles_for_the_chunk_it_is_in() -> None:
    subject = ride(0, 50)
    subject.took(CHUNK, now_s=0.001)
    assert subject.handover(now_s=0.001) == Handover(0, CHUNK)
    assert subject.want == 4 * CHUNK
    subject.took(CHUNK + 1, now_s=1.0)
    assert subject.handover(now_s=1.0) is None
    subject.took(1, now_s=2.5)
    assert subject.want == CHUNK - 2, "to the end of the second chunk, no further"


def test_the_last_chunk_of_a_file_may_be_short() -> None:
    size = 2 * CHUNK + 5
    assert runs(read(ride(2, 3, size=size))) == [(2, 5)]


def test_a_trim_behind_the_position_ends_the_ride_and_drops_the_open_chunk() -> None:
    subject = ride(0, 20)
    subject.took(CHUNK, now_s=0.0)
    subject.handover(now_s=0.0)
    subject.took(2 * CHUNK + 10, now_s=0.0)
    subject.trim(2)
    assert subject.done
    assert subject.handover(now_s=0.0) == Handover(1, 2 * CHUNK), "whole chunks that came are kept, the rest is not"
    assert subject.handed_stop == 3


def test_a_trim_ahead_of_the_position_only_moves_the_end() -> None:
    subject = ride(0, 20)
    subject.trim(3)
    assert sum(length for _, length in runs(read(subject))) == 3 * CHUNK


def test_a_ride_that_breaks_off_keeps_its_whole_chunks() -> None:
    subject = ride(0, 20)
    subject.took(CHUNK, now_s=0.0)
    subject.handover(now_s=0.0)
    subject.took(2 * CHUNK + 10, now_s=0.0)
    assert subject.surrender() == Handover(1, 2 * CHUNK)
    assert (subject.handed_stop, subject.surrender()) == (3, None)


def test_an_extension_lets_it_ride_on() -> None:
    subject = ride(0, 1)
    subject.extend(4)
    assert sum(length for _, length in runs(read(subject))) == 4 * CHUNK


def test_what_lies_before_the_run_is_read_and_dropped() -> None:
    subject = ride(5, 6)
    subject.begin(CHUNK)
    assert subject.dropping
    assert subject.slot_offset == 0
    handed = read(subject)
    assert runs(handed) == [(5, CHUNK)]
    assert subject.received_bytes == 5 * CHUNK, "dropped bytes were received all the same"


def test_a_body_of_unknown_length_ends_where_it_ends() -> None:
    subject = ride(0, 1 << 40, size=-1)
    subject.took(CHUNK, now_s=0.0)
    subject.handover(now_s=0.0)
    subject.took(10, now_s=0.0)
    assert subject.handover(now_s=0.0) is None
    subject.body_ended()
    assert subject.handover(now_s=0.0) == Handover(1, 10)
    assert (subject.done, subject.size_bytes) == (True, CHUNK + 10)


@given(
    first=st.integers(0, 20),
    length=st.integers(1, 30),
    tail=st.integers(1, CHUNK),
    at_most=st.integers(97, 3 * SLOT),
    lead=st.integers(0, 20 * CHUNK),
)
def test_every_byte_of_the_run_is_handed_over_once_and_in_order(
    first: int, length: int, tail: int, at_most: int, lead: int
) -> None:
    size = (first + length - 1) * CHUNK + tail
    subject = ride(first, first + length, size=size)
    subject.begin(max(0, first * CHUNK - lead))
    at = first
    for handed in read(subject, at_most=at_most):
        assert handed.first == at
        assert handed.length_bytes <= SLOT
        at += -(-handed.length_bytes // CHUNK)
    assert at == first + length == subject.handed_stop
    assert subject.position == size


def spans(subject: Transfer, *, at_most: int = 1 << 30) -> list[tuple[int, int, int]]:
    """What is handed over: chunk, bytes of it that are left out, bytes; -1 for whole chunks."""
    return [(each.first, each.span_at, each.length_bytes) for each in read(subject, at_most=at_most)]


def compared(first: int, stop: int, *, size: int = 100 * CHUNK, **more: int) -> Transfer:
    return Transfer(7, first, stop, size_bytes=size, chunk_size=CHUNK, slot_bytes=SLOT, span_bytes=K, **more)


@pytest.mark.parametrize("at_most", [1 << 30, 300])
def test_of_the_chunks_before_and_behind_the_range_only_the_bytes_at_its_edges_are_read(at_most: int) -> None:
    subject = compared(5, 7, lead=1, overlap=1)
    assert subject.position == 5 * CHUNK - K
    first, *whole, last = spans(subject, at_most=at_most)
    assert (first, last) == ((4, 3 * K, K), (7, 0, K)), "in slots of their own"
    assert sum(length for _, _, length in whole) == 2 * CHUNK
    assert {at for _, at, _ in whole} == {-1}
    assert (subject.handed_stop, subject.received_bytes) == (8, 2 * CHUNK + 2 * K)


@pytest.mark.parametrize("at", [0, K, 3 * K])
def test_a_lease_without_chunks_of_its_own_reads_one_span(at: int) -> None:
    subject = compared(9, 9, span_at=at)
    assert spans(subject, at_most=300) == [(9, at, K)]
    assert (subject.handed_stop, subject.received_bytes) == (10, K)


def test_the_last_bytes_of_a_file_are_a_span_like_others() -> None:
    subject = compared(99, 99, span_at=2 * K + 7, size=99 * CHUNK + 3 * K + 7)
    assert spans(subject) == [(99, 2 * K + 7, K)]


def test_a_last_chunk_that_is_no_longer_than_a_span_is_whole() -> None:
    assert spans(compared(98, 99, overlap=1, size=99 * CHUNK + 100))[-1] == (99, -1, 100)


def test_an_end_that_moves_away_makes_a_whole_chunk_of_a_span() -> None:
    subject = compared(0, 1, overlap=1)
    subject.took(CHUNK, now_s=0.0)
    assert subject.handover(now_s=0.0) == Handover(0, CHUNK)
    subject.took(K // 2, now_s=0.0)
    subject.extend(3, 1)
    assert spans(subject)[-1] == (3, 0, K)
    assert subject.received_bytes == 3 * CHUNK + K


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_an_end_that_moves_up_to_what_was_read_loses_no_whole_chunk(stop: int) -> None:
    subject, handed = compared(0, 20, overlap=1), []
    for count in (CHUNK, 2 * CHUNK):
        subject.took(count, now_s=0.0)
        handed.append(subject.handover(now_s=0.0))
    subject.trim(stop, 1)
    left = [subject.handover(now_s=0.0), *read(subject)]
    whole = sum(each.length_bytes for each in (*handed, *left) if each is not None and each.span_at < 0)
    assert whole == 3 * CHUNK
    assert subject.done


def test_a_transfer_that_breaks_off_in_a_span_hands_nothing_of_it_over() -> None:
    subject = compared(9, 9, span_at=K)
    subject.took(K // 2, now_s=0.0)
    assert subject.surrender() is None
    assert subject.handed_stop == 9


@pytest.mark.parametrize("late_s", [0.0, 0.1])
def test_a_pace_lets_through_its_rate_and_no_more_in_few_reads(late_s: float) -> None:
    """Also where the worker wakes late; and it does not read each byte as it is allowed: that keeps a core busy."""
    pace, now_s, sent, reads = TokenBucket(), 0.0, 0, 0
    pace.cap(100_000.0, now_s=now_s)
    while now_s < 10.0:
        allowed = pace.allowance(1 << 20, now_s=now_s)
        pace.spend(allowed)
        sent += allowed
        reads += allowed > 0
        now_s += pace.wait_s + late_s if not allowed else 0.001
    assert 0.95 <= sent / 1_000_000 <= 1.05
    assert reads <= 10 / TokenBucket.READ_S


def test_without_a_cap_everything_is_allowed() -> None:
    pace = TokenBucket()
    assert pace.allowance(12345, now_s=1.0) == 12345
    pace.cap(10.0, now_s=1.0)
    pace.cap(0.0, now_s=2.0)
    assert pace.allowance(12345, now_s=2.0) == 12345


# --- to the byte ---


def test_a_transfer_of_unknown_length_goes_on_until_the_body_ends() -> None:
    subject = ride(0, 50, size=-1)
    assert (subject.stop_byte, subject.done, subject.want) == (None, False, CHUNK)
    subject.took(CHUNK + 5, now_s=0.0)
    assert not subject.done
    subject.body_ended()
    assert (subject.done, subject.size_bytes, subject.stop_byte) == (True, CHUNK + 5, CHUNK + 5)
    assert subject.handover(now_s=0.0) == Handover(0, CHUNK + 5)
    empty = ride(0, 1, size=0)
    assert (empty.stop_byte, empty.done, empty.want) == (0, True, 0)


def test_a_transfer_has_begun_when_it_was_said_where_it_reads() -> None:
    subject = ride(3, 5)
    assert (subject.began, subject.dropping) == (False, False)
    subject.begin(3 * CHUNK - 10)
    assert (subject.began, subject.dropping, subject.want, subject.slot_offset) == (True, True, 10, 0)
    subject.took(10, now_s=0.0)
    assert (subject.dropping, subject.want, subject.received_bytes) == (False, CHUNK, 10)
    subject.took(1, now_s=0.0)
    assert (subject.slot_offset, subject.want) == (1, CHUNK - 1)
    far = ride(10, 12)
    far.begin(0)
    assert far.want == SLOT, "what is dropped is read by the slot"


def test_a_single_byte_is_a_first_byte() -> None:
    subject = ride(0, 3)
    subject.took(0, now_s=1.0)
    subject.took(1, now_s=2.0)
    subject.took(1, now_s=2.5)
    assert subject.flowing_s == 0.5


@pytest.mark.parametrize(
    ("chunks", "rest", "set_aside"),
    [
        (0, 0, (None, 0, 0)),
        (0, 9, (None, 0, 9)),
        (1, 0, (Handover(3, CHUNK), CHUNK, CHUNK)),
        (3, 9, (Handover(3, 3 * CHUNK), 3 * CHUNK, 3 * CHUNK + 9)),
    ],
)
def test_a_slot_that_others_need_gives_its_whole_chunks_and_keeps_the_rest(
    chunks: int, rest: int, set_aside: tuple[Handover | None, int, int]
) -> None:
    subject = ride(3, 20)
    subject.took(chunks * CHUNK + rest, now_s=0.0)
    assert subject.set_aside() == set_aside
    assert (subject.slot_offset, subject.handed_stop) == (rest, 3 + chunks)
    subject.took(CHUNK - rest, now_s=0.0)
    given = subject.handover(now_s=0.0) or subject.surrender()
    assert given == Handover(3 + chunks, CHUNK)


def test_what_is_broken_off_at_the_end_of_the_file_keeps_its_short_chunk() -> None:
    subject = ride(0, 3, size=2 * CHUNK + 7)
    subject.took(2 * CHUNK + 7, now_s=0.0)
    assert (subject.surrender(), subject.handed_stop, subject.slot_offset) == (Handover(0, 2 * CHUNK + 7), 3, 0)
    other = ride(0, 3, size=2 * CHUNK + 7)
    other.took(2 * CHUNK + 6, now_s=0.0)
    assert (other.surrender(), other.handed_stop) == (Handover(0, 2 * CHUNK), 2)
    assert ride(0, 3).surrender() is None


def test_chunks_before_and_behind_a_lease_are_read_with_it_also_when_its_end_moves() -> None:
    subject = Transfer(7, 5, 7, size_bytes=100 * CHUNK, chunk_size=CHUNK, slot_bytes=SLOT, lead=1, overlap=3)
    assert (subject.position, subject.stop_byte, subject.handed_stop) == (4 * CHUNK, 10 * CHUNK, 4)
    stops = []
    for change, stop, overlap in (("extend", 9, 0), ("extend", 9, 4), ("extend", 6, 0), ("trim", 7, 0), ("trim", 8, 0)):
        getattr(subject, change)(stop, overlap)
        stops.append(subject.stop_byte)
    assert stops == [each * CHUNK for each in (12, 13, 13, 11, 11)]
    subject.trim(6, 1)
    assert subject.stop_byte == 10 * CHUNK


def test_a_slot_is_filled_for_a_quarter_of_a_second_and_grows_fourfold_at_most() -> None:
    subject = Transfer(7, 0, 100, size_bytes=-1, chunk_size=CHUNK, slot_bytes=64 * CHUNK)
    wanted = []
    for took_s in (1e-6, 1e-6, 0.5, 0.25):  # as fast as can be, then as much as it has in half a second
        subject.took(1, now_s=0.0)
        wanted.append((subject.want + 1) // CHUNK)
        subject.took(subject.want, now_s=took_s)
        assert subject.handover(now_s=took_s) is not None
    assert wanted == [1, 4, 16, 8]
    assert subject.want == 8 * CHUNK


def test_a_bucket_holds_a_fifth_of_a_second_and_gives_no_crumbs() -> None:
    bucket = TokenBucket()
    bucket.cap(100_000.0, now_s=0.0)
    assert bucket.allowance(10_000, now_s=0.0) == 0
    assert bucket.wait_s == pytest.approx(0.05)
    assert bucket.allowance(10_000, now_s=0.04) == 0
    assert bucket.wait_s == pytest.approx(0.01)
    assert bucket.allowance(10_000, now_s=0.06) == 6000
    assert bucket.allowance(100, now_s=0.06) == 100
    bucket.spend(6000)
    assert bucket.allowance(10_000, now_s=0.06) == 0
    assert bucket.wait_s == pytest.approx(0.05)
    assert bucket.allowance(1 << 30, now_s=99.0) == 20_000
    bucket.spend(220_000)
    assert bucket.wait_s == 1.0
    bucket.cap(0.0, now_s=99.0)
    assert bucket.allowance(1 << 30, now_s=99.0) == 1 << 30
    slow = TokenBucket()
    slow.cap(100.0, now_s=0.0)
    assert (slow.allowance(5000, now_s=10.0), slow.allowance(5000, now_s=10.3)) == (0, 1030)
    assert slow.allowance(5000, now_s=99.0) == 2048


def test_a_slot_of_a_slow_source_holds_more_than_one_small_chunk() -> None:
    subject, now_s, handed = ride(0, 9, size=9 * CHUNK), 0.0, []
    while not subject.done:
        now_s += 0.1
        subject.took(min(subject.want, 2 * K), now_s=now_s)  # 20 KiB/s: a chunk in 0.2 s
        given = subject.handover(now_s=now_s)
        if given is not None:
            handed.append(given)
    assert runs(handed) == [(0, CHUNK), (1, 4 * CHUNK), (5, 4 * CHUNK)]


def test_a_body_that_begins_again_is_read_up_to_what_was_handed_over() -> None:
    subject = ride(10, 14)
    subject.took(CHUNK, now_s=0.0)
    assert subject.handover(now_s=0.0) == Handover(10, CHUNK)
    subject.took(100, now_s=0.0)
    subject.begin(3 * CHUNK)
    assert (subject.dropping, subject.slot_offset) == (True, 0)
    assert runs(read(subject)) == [(11, 3 * CHUNK)]
    subject = ride(10, 14)
    subject.took(100, now_s=0.0)
    subject.begin(10 * CHUNK + 60)
    assert (subject.dropping, subject.slot_offset) == (False, 60)


def test_what_is_broken_off_of_a_body_of_unknown_length_keeps_whole_chunks_only() -> None:
    subject = ride(0, 50, size=-1)
    subject.took(2 * CHUNK + 5, now_s=0.0)
    assert subject.surrender() == Handover(0, 2 * CHUNK)


def test_whole_chunks_behind_the_end_come_into_the_same_slot() -> None:
    subject = Transfer(7, 0, 3, size_bytes=100 * CHUNK, chunk_size=CHUNK, slot_bytes=SLOT, overlap=2)
    assert runs(read(subject)) == [(0, CHUNK), (1, 4 * CHUNK)]


@pytest.mark.parametrize(
    ("used", "after_s", "want"), [(2 * CHUNK, 1.0, 2), (2 * CHUNK, 1.01, 0), (CHUNK, 1.01, 0), (3 * CHUNK, 1.01, 0)]
)
def test_a_slow_source_hands_over_whole_chunks_once_a_second_has_passed(used: int, after_s: float, want: int) -> None:
    subject = ride(0, 50)
    subject.took(CHUNK, now_s=0.0)
    assert subject.handover(now_s=0.0) == Handover(0, CHUNK)
    subject.took(used, now_s=10.0)
    subject.took(0, now_s=10.0 + after_s)
    given = subject.handover(now_s=10.0 + after_s)
    assert given == (None if want else Handover(1, used))
    if want:
        assert subject.want == want * CHUNK


def test_an_emptied_slot_of_a_slow_source_takes_a_chunk() -> None:
    subject = ride(0, 50)
    subject.took(CHUNK, now_s=0.0)
    subject.handover(now_s=0.0)
    subject.took(2 * CHUNK, now_s=1.0)
    assert subject.set_aside() == (Handover(1, 2 * CHUNK), 2 * CHUNK, 2 * CHUNK)
    subject.took(0, now_s=9.0)
    assert subject.want == CHUNK
    assert subject.handover(now_s=9.0) is None


@pytest.mark.parametrize(("at", "dropped"), [(9 * CHUNK, 2 * K), (9 * CHUNK + K, K), (9 * CHUNK + 2 * K, 0)])
def test_what_lies_before_a_span_is_read_and_dropped(at: int, dropped: int) -> None:
    subject = compared(9, 9, span_at=2 * K)
    subject.begin(at)
    assert (subject.dropping, subject.want) == (bool(dropped), dropped or K)
    assert spans(subject) == [(9, 2 * K, K)]
    assert subject.received_bytes == dropped + K
