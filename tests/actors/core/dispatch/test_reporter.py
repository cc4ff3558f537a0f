"""A job's reports, after drawn histories, compared with a list of who sent each chunk and a sum of their bytes."""

from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.dispatch.chunk_tracker import MISSING, UNNAMED, ChunkTracker
from actors.core.dispatch.dispatcher import DispatchState
from actors.core.dispatch.progress import RATE_WINDOW_S, REPORT_S, Ending, Reporter, VerifiedChunks
from actors.core.dispatch.sources import Source
from protocol.messages import JobEnded, JobOpened, JobProgressed, PartFileReady, SourceProgressed, Ticked
from protocol.model.chunk_ranges import RangeSet
from protocol.model.identity import Claim
from tests.actors.core.dispatch.boards import said, wanted
from tests.specs import start_job

CHUNK = 100
TOTAL = 24
SIZE = TOTAL * CHUNK - 30
"""The last chunk is short."""
HASHES = (0, 7, 8)
RANGES = st.tuples(st.integers(0, TOTAL - 1), st.integers(1, 6)).map(lambda at: (at[0], min(at[0] + at[1], TOTAL)))
STEPS = st.lists(st.tuples(st.sampled_from(["stored", "lost"]), RANGES, st.integers(0, 2)), max_size=12)
FOUND = st.lists(st.tuples(RANGES, st.sampled_from(HASHES)), max_size=4)


def reporter(**changes: Any) -> Reporter:
    return Reporter(start_job(**{"folder": "/box", "chunk_size": CHUNK, "rows_s": 0.0, **changes}), now_s=100.0)


def length_of(chunk: int) -> int:
    return min((chunk + 1) * CHUNK, SIZE) - chunk * CHUNK


class History:
    """Reports of a job that found some chunks in its part file and then got and lost others, beside a plain list."""

    def __init__(self, found: list[tuple[tuple[int, int], int]], steps: list[tuple[str, tuple[int, int], int]]) -> None:
        self.report = reporter()
        self.sources = {number: Source(number, f"s{number}", "h", "", "") for number in range(3)}
        self.owners = [MISSING] * TOTAL
        verified = VerifiedChunks()
        for (first, stop), name in found:
            for chunk in range(first, stop):
                if self.owners[chunk] == MISSING:
                    verified.ranges.add(chunk, chunk + 1)
                    verified.claims.append((chunk, chunk + 1, name))
                    self.owners[chunk] = UNNAMED - name
        self.opened = self.report.opened(PartFileReady(job=1, part_path="/box/f.part", message="m"), SIZE, verified)
        self.resumed = [chunk for chunk in range(TOTAL) if self.owners[chunk] != MISSING]
        self.fetched = 0
        for what, (first, stop), number in steps:
            self.step(what, first, stop, number)

    def step(self, what: str, first: int, stop: int, number: int) -> None:
        of_kind = [chunk for chunk in range(first, stop) if (self.owners[chunk] == MISSING) == (what == "stored")]
        if what == "lost":
            self.report.lost(RangeSet((chunk, chunk + 1) for chunk in of_kind), SIZE, self.sources)
            self.resumed = [chunk for chunk in self.resumed if chunk not in of_kind]
        elif of_kind:
            source, length = self.sources[number], sum(map(length_of, of_kind))
            source.chunks, source.bytes_stored = source.chunks + len(of_kind), source.bytes_stored + length
            self.report.stored(source, tuple((chunk, chunk + 1) for chunk in of_kind), length)
            self.fetched += length
        for chunk in of_kind:
            self.owners[chunk] = MISSING if what == "lost" else number

    @property
    def stored_bytes(self) -> int:
        return sum(length_of(chunk) for chunk in range(TOTAL) if self.owners[chunk] != MISSING)

    def rows(self, owners: list[int], begin: int = 0) -> list[tuple[int, int, int]]:
        rows, at = [], begin
        for owner, group in groupby(owners):
            first, at = at, at + len(list(group))
            rows += [(first, at, owner)] if owner != MISSING else []
        return rows


@given(FOUND, STEPS, RANGES, st.booleans())
def test_who_sent_what_is_what_a_list_of_all_chunks_says(
    found: list[tuple[tuple[int, int], int]],
    steps: list[tuple[str, tuple[int, int], int]],
    within: tuple[int, int],
    named: bool,
) -> None:
    history = History(found, steps)
    report, owners = history.report, history.owners
    assert list(report.owned()) == history.rows(owners)
    if named:  # the records' name 7 is that of source 1; names that are hidden say nothing
        report.name_source(7, 1)
        report.name_source(7, 2)
        report.name_source(0, 0)
        owners = [1 if owner == UNNAMED - 7 else owner for owner in owners]
    assert list(report.owned()) == history.rows(owners)
    assert [report.owner_of(chunk) for chunk in range(TOTAL)] == owners
    first, stop = within
    pieces = report.owned_within(first, stop)
    assert [owner for begin, end, owner in pieces for _ in range(begin, end)] == [
        owner for owner in owners[first:stop] if owner != MISSING
    ]
    assert all(first <= begin < end <= stop for begin, end, _ in pieces)
    for of_whom in ({0}, {1, UNNAMED - 8}, {UNNAMED}):
        of_them = {chunk for chunk in range(TOTAL) if owners[chunk] in of_whom}
        assert {chunk for row in report.chunks_of(of_whom) for chunk in range(*row)} == of_them
    assert report.owned() is report.owned(), "the same object until something changes"
    assert (report.hash_of(1), report.hash_of(UNNAMED - 8)) == (7 if named else -1, 8)


@given(FOUND, STEPS, st.integers(0, 5000))
def test_bytes_are_counted_for_the_job_and_for_each_source_as_chunks_come_and_are_lost(
    found: list[tuple[tuple[int, int], int]], steps: list[tuple[str, tuple[int, int], int]], received: int
) -> None:
    """What was lost and fetched again is known as fetched twice, whether this attempt or an earlier one had it."""
    history = History(found, steps)
    report = history.report
    [progressed] = said(report.progress("riding", history.sources, None, -1.0, now_s=101.0), JobProgressed)
    assert (progressed.stored_bytes, progressed.size_bytes) == (history.stored_bytes, SIZE)
    for source in history.sources.values():
        own = [chunk for chunk in range(TOTAL) if history.owners[chunk] == source.id]
        assert (source.chunks, source.bytes_stored) == (len(own), sum(map(length_of, own)))
    report.lease_over(history.fetched + received)
    [ended] = said(report.ended(Ending("failed", decided_s=110.0), history.sources, None, claim=Claim()), JobEnded)
    assert ended.bytes_received == history.fetched + received
    at_first = {chunk for (first, stop), _ in found for chunk in range(first, stop)}
    assert ended.bytes_resumed == sum(map(length_of, history.resumed))
    assert ended.bytes_refetched == ended.bytes_received - (history.stored_bytes - sum(map(length_of, at_first)))


@given(st.lists(st.tuples(st.floats(0.2, 4.0), st.integers(0, 900)), min_size=1, max_size=12))
def test_the_rate_is_that_of_the_last_seconds(steps: list[tuple[float, int]]) -> None:
    """From the last report before that window on, else from the first."""
    report, source = reporter(), Source(0, "s", "h", "", "")
    now_s, total, points = 100.0, 0, []
    for pause_s, length in steps:
        now_s, total = now_s + pause_s, total + length
        report.stored(source, (), length)
        points.append((now_s, total))
        posts = said(report.progress("riding", {}, None, now_s, now_s=now_s), JobProgressed)
        early = [point for point in points[:-1] if point[0] < now_s - RATE_WINDOW_S]
        begin_s, begin = (early or points)[-1 if early else 0]
        if posts and now_s > begin_s:
            assert posts[0].rate_bytes_s == pytest.approx((total - begin) / (now_s - begin_s))


def test_a_report_is_due_a_moment_after_the_last_one_and_only_with_a_watcher() -> None:
    report = reporter()
    report.progress("riding", {}, None, -1.0, now_s=200.0)
    assert not report.due(200.0 + REPORT_S - 0.01)
    assert report.due(200.0 + REPORT_S + 0.01)
    assert not reporter(watcher="").due(1e9)


@pytest.mark.parametrize(("attempt", "requested", "expected"), [(0, False, 0.0), (0, True, 7.0), (1, False, 13.0)])
def test_time_counts_from_the_first_request_and_over_attempts(attempt: int, requested: bool, expected: float) -> None:
    report = reporter(attempt=attempt, elapsed_s=3.0)
    if requested:
        report.first_request(103.0)
        report.first_request(105.0)
    assert report.elapsed_s(110.0) == expected
    [ended] = said(report.ended(Ending("sealed", decided_s=110.0, digest_s=1.0), {}, None, claim=Claim()), JobEnded)
    assert ended.seconds == (expected - 1.0 if expected else 0.0)


@pytest.mark.parametrize(("known", "resumed", "stored"), [(-1, 300, 0), (100, 100, 200), (300, 300, 0), (400, 300, 0)])
def test_what_came_by_this_job_before_its_hub_died_is_not_called_resumed(known: int, resumed: int, stored: int) -> None:
    report, found = reporter(resumed_bytes=known), VerifiedChunks()
    found.ranges.add(0, 3)
    [opened] = said(report.opened(PartFileReady(job=1, part_path="/p", message="m"), SIZE, found), JobOpened)
    assert (opened.resumed_bytes, opened.part_path, opened.message) == (resumed, "/p", "m")
    assert (opened.size_bytes, opened.chunk_size) == (SIZE, CHUNK)
    [ended] = said(report.ended(Ending("sealed"), {}, None, claim=Claim()), JobEnded)
    assert (ended.bytes_resumed, ended.bytes_received, ended.bytes_refetched) == (resumed, stored, 0)


@pytest.mark.parametrize(("busy", "received"), [(None, 500), (1, 800), (99, 500)])
def test_bytes_of_leases_that_are_not_over_are_received_too(busy: int | None, received: int) -> None:
    report, tracker = reporter(), ChunkTracker(TOTAL)
    source = Source(0, "s", "h", "", "")
    lease = tracker.grant(0, 0, 4, now_s=0.0)
    lease.received_bytes, source.busy = 300, busy
    report.lease_over(500)
    posts = report.ended(Ending("failed", path="?", decided_s=104.0), {0: source}, tracker, claim=Claim())
    [ended] = said(posts, JobEnded)
    assert (ended.bytes_received, ended.bytes_refetched, ended.path) == (received, received, "")
    assert len(said(posts, SourceProgressed)) == 1


def test_an_ending_waits_a_while_for_users_that_have_not_said_how_their_transfer_ended() -> None:
    user, mirror = Source(0, "u", "h", "", ""), Source(1, "m", "h", "", "")
    ending = Ending("sealed", decided_s=100.0)
    mirror.busy = 1
    assert not ending.waits({0: user, 1: mirror}, now_s=100.0)
    user.busy, user.traits = 2, type(user.traits)(abort_is_costly=True)
    assert ending.waits({0: user, 1: mirror}, now_s=100.0)
    assert ending.waits({0: user, 1: mirror}, now_s=101.9)
    assert not ending.waits({0: user, 1: mirror}, now_s=102.0)
    assert not ending.waits({0: user, 1: mirror}, now_s=99.0)


def test_before_the_part_file_is_open_the_time_left_is_unknown() -> None:
    state = DispatchState(wanted(source_count=1), now_s=100.0)
    [progressed, *_] = said(state.handle(Ticked(), now_s=101.0), JobProgressed)
    assert (progressed.state, progressed.left_s) == ("opening", -1.0)
