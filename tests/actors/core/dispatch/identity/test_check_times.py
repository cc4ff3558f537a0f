"""How long a complete file waits for which checks, to the moment; and which digests stand when files change."""

from typing import Any

import pytest

from actors.core.dispatch.chunk_tracker import ChunkTracker
from actors.core.dispatch.identity.checks import Check
from actors.core.dispatch.identity.container_requests import (
    ANSWER_S_MAX,
    REQUIRED_S_MAX,
    WHOLE_S_MIN,
    WHOLE_S_MIN_ALONE,
    WHOLE_S_MIN_DECODED,
    WHOLE_SHARE,
    ContainerRequests,
)
from actors.core.dispatch.identity.evidence import Identity
from actors.core.dispatch.identity.repair import NamedDigests
from actors.core.dispatch.identity.seal_gate import (
    CHECK_S_MIN,
    CHECK_SHARE,
    LAST_MANY,
    LAST_QUICK,
    LAST_S,
    LAST_SHARE,
    OVERLAP_SHARE,
    LastChecks,
)
from actors.core.dispatch.progress import Reporter
from actors.core.dispatch.sources import Source, SourceTraits
from actors.core.outbox import Outbox
from protocol.messages import CheckBoundaries, CheckContainer, ContainerBroken, ContainerChecked
from tests.actors.core.dispatch.boards import CHUNK, wanted

A_CHUNK_S = 0.01


def source(number: int, cost_s: float = A_CHUNK_S, **traits: Any) -> Source:
    """A source of which one chunk takes so long."""
    made = Source(number, str(number), f"host-{number}", f"fetch-1/worker-1-{number}", "f")
    made.probed, made.rate_bytes_s = True, 1e12
    made.traits = SourceTraits(restart_cost_s=cost_s - CHUNK / 1e12, **traits)
    return made


def last_checks(*sources: Source) -> LastChecks:
    """Of a job that began at 0 s."""
    report = Reporter(wanted(attempt=1), now_s=0.0)
    return LastChecks({each.id: each for each in sources}, report)


def test_while_chunks_are_missing_a_check_may_take_a_share_of_the_time_so_far() -> None:
    quick, slow = source(0, 0.029), source(1, 0.031)
    checks = last_checks(quick, slow)
    assert [checks.may_ask(each, 2.0) for each in (quick, slow)] == [True, False]
    assert CHECK_SHARE * 2.0 == 0.03
    assert checks.may_ask(slow, 2.1)
    assert not checks.may_ask(source(2, CHECK_S_MIN + 0.001), 0.1)
    assert checks.may_ask(source(2, CHECK_S_MIN - 0.001), 0.1)
    assert not checks.begun


def test_a_complete_file_waits_for_overlaps_a_share_of_the_time_it_took() -> None:
    checks = last_checks(source(0))
    assert (checks.waited_s(100.0), checks.waits_for_overlaps(100.0)) == (0.0, True)
    checks.begin(100.0)
    checks.begin(101.0)
    assert checks.waited_s(101.0) == 1.0
    edge = 100.0 / (1 - OVERLAP_SHARE)
    assert checks.waits_for_overlaps(edge - 0.01)
    assert not checks.waits_for_overlaps(edge + 0.01)
    checks.restart()
    assert not checks.begun


def test_a_complete_file_asks_the_quickest_a_few_times_and_those_that_are_half_as_quick() -> None:
    quick, half, slow = source(0, 0.2), source(1, 0.39), source(2, 0.41)
    checks = last_checks(quick, half, slow)
    checks.begin(1.0)
    assert LAST_QUICK == 2
    now_s = 8.0  # as long as this that a share of the time allows none of them
    assert LAST_S + LAST_SHARE * now_s > 0.41
    assert [checks.may_ask(each, now_s) for each in (quick, half, slow)] == [True, True, False]
    for rounds in range(2):
        assert checks.may_ask(quick, now_s), rounds
        checks.granted(Check(0, 5, last=True))
        checks.granted(Check(0, 6))
    assert not checks.may_ask(quick, now_s), "two sources are asked twice each"


def test_many_sources_are_asked_once_each() -> None:
    sources = [source(number, 0.2) for number in range(LAST_MANY)]
    checks = last_checks(*sources)
    checks.begin(1.0)
    assert checks.may_ask(sources[0], 8.0)
    checks.granted(Check(0, 5, last=True))
    assert not checks.may_ask(sources[0], 8.0)
    few = last_checks(*sources[:-1], source(9, 0.2, abort_is_costly=True), source(8, 0.2, offset_ok=False))
    few.begin(1.0)
    assert few.may_ask(sources[0], 8.0)
    few.granted(Check(0, 5, last=True))
    assert few.may_ask(sources[0], 8.0), "users, and those that cannot begin within the file, do not count"


def test_checks_that_take_too_long_for_any_file_are_not_last_ones() -> None:
    longest = LAST_S + LAST_SHARE * 8.0
    for cost, asked in ((longest - 0.01, True), (longest + 0.01, False)):
        checks = last_checks(source(0, cost))
        checks.begin(1.0)
        assert checks.may_ask(checks._sources[0], 8.0) == asked


def test_what_is_on_its_way_is_awaited_for_twice_the_time_of_the_quickest_and_round() -> None:
    checks = last_checks(source(0, 0.2), source(1, 0.2))
    checks.begin(1.0)
    assert checks.may_ask(checks._sources[0], 1.5)
    last, other = Check(0, 5, last=True), Check(1, 6)
    edge = 1.0 + LAST_QUICK * 0.2 * 2
    for now_s, awaited in ((edge - 0.01, True), (edge + 0.01, False)):
        assert checks.awaited([last], lambda: False, now_s) == awaited
        assert checks.awaited([], lambda: True, now_s) == awaited
        assert not checks.awaited([other], lambda: False, now_s)


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_complete_file_is_not_kept_waiting_by_a_source_whose_checks_would_take_for_ever(rate: float) -> None:
    """Of unknown rate, or a byte a second: another one could be asked, and is not."""
    endless = source(0)
    endless.rate_bytes_s = rate
    checks = last_checks(endless, source(1, 0.2, offset_ok=False))
    checks.begin(100.0)
    assert not checks.awaited([], lambda: True, 100.0 + 0.2 * 100.0)
    assert not checks.awaited([Check(1, 0, last=True)], lambda: True, 100.0 + 0.2 * 100.0)


# --- the container's own checks ---


class Requests:
    """Requests about a file of ten chunks, the first half of contributor 0, the rest of contributor 1."""

    def __init__(self, name: str = "a.ogg", owners: str = "0000011111", **spec: Any) -> None:
        job = wanted(**spec)
        self.report, self.out = Reporter(job, now_s=0.0), Outbox()
        self.identity = Identity()
        self.requests = ContainerRequests(job, self.identity, self.report, self.out)
        self.requests.name = name
        self.tracker = ChunkTracker(10)
        for chunk, owner in enumerate(owners):
            self.report.stored(source(int(owner)), ((chunk, chunk + 1),), CHUNK)
        self.rows = self.report.owned()

    def asked(self, kind: type[Any]) -> list[Any]:
        return [post.message for post in self.out.take() if isinstance(post.message, kind)]

    def whole(self, elapsed_s: float, now_s: float) -> bool:
        return self.requests.whole(self.rows, elapsed_s, now_s=now_s)


@pytest.mark.parametrize(
    ("file", "found", "elapsed_s", "seconds"),
    [
        ({}, "", 10.0, WHOLE_S_MIN),
        ({}, "", 1000.0, WHOLE_SHARE * 1000),
        ({}, "FLAC", 10.0, WHOLE_S_MIN_DECODED),
        ({"owners": "0000000000"}, "", 10.0, WHOLE_S_MIN_ALONE),
        ({"owners": "0000000000"}, "", 1000.0, WHOLE_SHARE * 1000),
        ({"name": "a.bin", "require": "decoded"}, "", 10.0, REQUIRED_S_MAX),
    ],
)
def test_the_check_of_the_whole_may_take_a_share_of_the_time_and_a_least(
    file: dict[str, str], found: str, elapsed_s: float, seconds: float
) -> None:
    made = Requests(**file)
    made.requests.found = found
    assert made.whole(elapsed_s, 50.0)
    (asked,) = made.asked(CheckContainer)
    assert asked.seconds_max == seconds
    assert made.whole(elapsed_s, 50.0 + seconds + ANSWER_S_MAX - 0.1)
    assert not made.whole(elapsed_s, 50.0 + seconds + ANSWER_S_MAX)
    assert not made.asked(CheckContainer), "it is asked for once"


def test_what_the_check_of_the_whole_said_holds_until_chunks_are_missing_again() -> None:
    made = Requests()
    made.whole(10.0, 0.0)
    right = ContainerChecked(job=1, request=1, kind="frames", detail="right", digest_open=True)
    assert not made.requests.whole_answered(right.but(request=2))
    assert made.requests.awaited
    assert made.requests.whole_answered(right)
    assert not made.requests.whole_answered(right)
    assert (made.requests.kind, made.requests.damage, made.requests.digest_open) == ("frames", False, True)
    assert (made.requests.awaited, made.whole(10.0, 0.0), made.requests.shortfall()) == (False, False, "")
    made.requests.forget_requests()
    assert not made.whole(10.0, 0.0), "another store process is not asked for what is known"
    made.requests.incomplete()
    assert (made.requests.kind, made.requests.digest_open) == ("size", False)
    assert made.whole(10.0, 0.0)
    assert [asked.request for asked in made.asked(CheckContainer)] == [1, 2]
    damaged = ContainerBroken(job=1, request=2, first=3, stop=4, detail="a wrong page")
    assert made.requests.whole_answered(damaged)
    assert (made.requests.kind, made.requests.damage, made.requests.detail) == ("", True, "a wrong page")
    assert made.requests.shortfall() == "the check of the whole file by its container is required: a wrong page"


def test_a_request_that_died_with_its_store_is_made_again() -> None:
    made = Requests()
    assert made.requests.complete(made.rows, made.tracker, now_s=0.0)
    assert made.whole(10.0, 0.0)
    assert (len(made.asked(CheckBoundaries)), made.requests.awaited) == (1, True)
    made.requests.forget_requests()
    assert not made.requests.awaited
    assert made.requests.complete(made.rows, made.tracker, now_s=0.0)
    assert made.whole(10.0, 0.0)
    posts = made.out.take()
    assert {type(post.message) for post in posts} == {CheckBoundaries, CheckContainer}


def test_boundaries_are_asked_about_where_contributors_that_nothing_ties_meet_and_awaited_for_a_while() -> None:
    made = Requests(owners="0001112221")
    made.identity.agree(0, 1, 2)
    assert made.requests.complete(made.rows, made.tracker, now_s=5.0)
    assert [asked.chunks for asked in made.asked(CheckBoundaries)] == [(6, 9)]
    assert made.requests.complete(made.rows, made.tracker, now_s=5.0 + ANSWER_S_MAX - 0.1)
    assert not made.requests.complete(made.rows, made.tracker, now_s=5.0 + ANSWER_S_MAX)
    assert not made.asked(CheckBoundaries)
    for fields in ({"checksum": "sha256:" + "a" * 64}, {"mode": "race"}, {"name": "a.bin"}):
        other = Requests(**fields)
        assert not other.requests.complete(other.rows, other.tracker, now_s=0.0)


# --- digests that sources name ---


def test_a_source_whose_file_changed_names_nothing_more_but_a_document_does() -> None:
    digests = NamedDigests()
    one, two = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
    digests.take(0, [one])
    digests.take(1, [one])
    digests.take(2, [two], document=True)
    assert digests.agreeing(0, [0, 1, 2]) == [1]
    digests.forget(1)
    assert digests.agreeing(0, [0, 1, 2]) == []
    digests.forget(2)
    odd = digests.odd([0, 1], "", anchor=None, rank=lambda each: each)
    assert odd is not None
    assert (odd.losers, odd.winners) == (frozenset({0}), frozenset({2}))
