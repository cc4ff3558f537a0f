"""Rules of content checks where parts meet: last checks that are awaited, broken frames, ends of searches, requests."""

import pytest

from actors.core.dispatch.chunk_tracker import UNBOUNDED
from actors.core.dispatch.dispatcher import DispatchState
from actors.core.dispatch.identity.checks import Check, Difference
from actors.core.dispatch.sources import SourceState
from protocol.messages import BoundariesChecked, CheckBoundaries, CheckContainer, ContainerBroken, JobNoted
from protocol.model.chunk_ranges import RangeSet
from protocol.model.value import replace
from tests.actors.core.dispatch.boards import said
from tests.actors.core.dispatch.drawing import JOB, NOW_S, board_of, lease_of, stored, tell
from tests.actors.core.dispatch.identity.test_check_times import last_checks
from tests.actors.core.dispatch.identity.test_check_times import source as timed
from tests.actors.core.dispatch.identity.test_content import untied


def three(**more: object) -> DispatchState:
    """A complete file of a, b and c, which nothing ties."""
    state = untied("aaaabbbbcccc", rates={"a": 1, "b": 1, "c": 1}, **more)
    for number, letter in enumerate("abc"):
        tell(state, stored(state, letter, 4 * number, 4))
    state.content.overlaps.first.clear()
    state.content.plan.checking.clear()
    state.content.plan.restart()
    for each in state.sources.values():
        each.rate_bytes_s, each.leases = 1e12, 1
    state._out.take()
    return state


def urgent(state: DispatchState, number: int) -> int:
    check = state.content.next_check(state.sources[number], board_of(state), urgent=True, now_s=NOW_S)
    return -1 if check is None else check.chunk


def test_only_who_is_not_tied_to_the_group_that_goes_on_shows_that_it_belongs_to_it() -> None:
    state = three()
    state.content.identity.agree(0, 1, 4)
    assert [urgent(state, number) for number in (0, 1)] == [-1, -1]
    assert urgent(state, 2) in range(8)


@pytest.mark.parametrize(
    "why",
    ["", "dispute", "difference", "suspect", "resume", "search", "digest", "tie", "optional", "race", "unbounded"],
)
def test_a_source_may_be_asked_of_the_complete_file_where_anything_is_open(why: str) -> None:
    state = three()
    content, tracker = state.content, board_of(state)
    if why != "tie":
        for other in (1, 2):
            content.identity.agree(0, other, 4)
        for newcomer in (7, 8):  # as many as may be at a time
            content.plan.ties.given(newcomer, 0)
    match why:
        case "dispute":
            content.identity.dispute(0, b"1", 1, b"2", 5, now_s=NOW_S)
        case "difference":
            content.plan.differences[5] = Difference(2, 1, NOW_S)
        case "suspect":
            content.plan.suspects[5] = None
        case "resume":
            content.resume.open.add(0)
        case "search":
            content.search.active = True
        case "digest":
            content.containers.digest_open = True
        case "optional" | "race":
            content.plan.optional_max = None
            if why == "race":
                content._job = content._job.but(spec=content._job.spec.but(mode="race"))
        case "unbounded":
            content.plan.optional_max, tracker.total = None, UNBOUNDED
    assert content.may_ask(tracker, now_s=NOW_S) is (why not in ("", "race", "unbounded"))


@pytest.mark.parametrize(("proven", "asked"), [(False, 0), (True, -1)])
def test_head_and_tail_are_checked_early_where_no_digest_proves_them(proven: bool, asked: int) -> None:
    state = untied("a" * 127 + "b", sources="abc", rates={"a": 1, "b": 1, "c": 1})
    tell(state, stored(state, "a", 0, 10))
    state.content.plan.restart()
    reader = state.sources[2]
    reader.rate_bytes_s, reader.rides, reader.leases, reader.stands = 1e12, 1, 0, False
    state.content.overlaps.first.add(2)
    state.content.pieces.awaited = proven
    assert urgent(state, 2) == asked


@pytest.mark.parametrize(
    ("cost_s", "more", "waited_s", "awaited"),
    [
        (0.01, False, 0.019, True),
        (0.1, True, 0.019, True),
        (0.1, False, 0.019, False),
        (0.01, False, 0.021, False),
        (0.01, True, 0.021, True),
        (0.01, True, 0.041, False),
    ],
)
def test_a_short_file_waits_for_a_quick_check_or_for_more_that_may_be_asked(
    cost_s: float, more: bool, waited_s: float, awaited: bool
) -> None:
    checks = last_checks(timed(0), timed(1, cost_s))
    checks.begin(1.0)
    assert checks.awaited([Check(1, 5)], lambda: more, 1.0 + waited_s) is awaited


@pytest.mark.parametrize(("confirmed", "loser"), [((), {1}), ((4,), {1}), ((3,), {1}), ((3, 4), set())])
def test_where_frames_do_not_meet_and_none_says_more_the_one_named_later_loses(
    confirmed: tuple[int, ...], loser: set[int]
) -> None:
    state = three()
    state.content.boundary_broken(4)
    for chunk in confirmed:
        state.content.identity.agree(state.report.owner_of(chunk), 2, chunk)
    state.content.identity.agree(0, 2, 9)
    state.content.identity.agree(1, 2, 9)
    reason, lost = state.content.lacking(board_of(state), now_s=NOW_S)
    assert (reason, {each.id for each in lost}, set(state.content.identity.excluded)) == ("", loser, loser)
    if loser:
        assert "other content than source a at chunk 4 (frames do not meet)" in state.sources[1].reason
        assert list(state.content.plan.suspects) == []


def broken(first: int = 4, stop: int = 8) -> ContainerBroken:
    return ContainerBroken(job=JOB, request=1, first=first, stop=stop, detail="frame 7 is bad")


def notes(state: DispatchState) -> list[str]:
    return [each.text for each in said(state._out.take(), JobNoted)]


def test_a_damage_in_what_several_sent_is_looked_for_within_its_chunks() -> None:
    state = three()
    assert state.content.damaged(broken(), board_of(state)) == []
    assert notes(state) == ["the file is damaged: frame 7 is bad; looking for the source that sent it"]
    assert state.content.search.active
    assert list(state.content.search.unread) == [(4, 8)]


def test_a_damage_of_what_one_alone_sent_is_its_own_unless_another_file_was_left_out() -> None:
    for excluded, anchored, words in (
        (False, False, "it is what its source has"),
        (True, False, "trying what another source has"),
        (True, True, "it is what its source has"),
    ):
        state = untied("aaaaaaaa", sources="ab", rates={"a": 1, "b": 1})
        tell(state, stored(state, "a", 0, 8))
        state._out.take()
        if excluded:
            state.content.identity.exclude([1], [0])
        if anchored:
            state.content.identity.anchor = 0
        lost = state.content.damaged(broken(), board_of(state))
        assert notes(state)[-1] == f"the file is damaged: frame 7 is bad; {words}"
        assert [each.id for each in lost] == ([0] if "trying" in words else [])


def test_after_eight_searches_a_damage_is_given_up_and_the_file_is_not_sealed_where_sources_differ() -> None:
    for excluded in (False, True):
        state = three()
        state.content.search.rounds = 8
        if excluded:
            state.content.identity.exclude([2], [0])
        assert state.content.damaged(broken(), board_of(state)) == []
        assert notes(state) == ["the file is damaged: frame 7 is bad; the search for its sender is given up"]
        differ = "the file is damaged: frame 7 is bad; its sources differ, and no mix of them is right"
        assert state.content.sealing.unsettled == (differ if excluded else "")
        reason, _ = state.content.lacking(board_of(state), now_s=NOW_S)
        assert (reason == differ) is excluded


def test_a_search_in_which_all_agreed_ends_the_job_or_brings_in_another_file() -> None:
    state = three()
    assert state.content.search_over("sha256 differs", board_of(state)) == ("", []), "it has not begun"
    for other in (1, 2):
        state.content.identity.agree(0, other, 4)
    state.content.repair("sha256 differs", board_of(state))
    assert state.content.search_over("sha256 differs", board_of(state)) == ("", []), "chunks are unread"
    state.content.search.unread.discard(0, 12)
    state.content.search._ranks = None
    reason, lost = state.content.search_over("sha256 differs", board_of(state))
    assert reason == "sha256 differs; the sources agree with each other and not with the digest"
    assert lost == []


@pytest.mark.parametrize(("fronts", "lost"), [("", [0, 1]), ("a", [1]), ("b", [0]), ("ab", [0])])
def test_of_those_that_agreed_the_ones_that_could_be_asked_for_little_keep_their_place(
    fronts: str, lost: list[int]
) -> None:
    """Where all are so, the one of which most is stored loses it."""
    state = untied("aaaaabbb", sources="abc", rates={"a": 1, "b": 1, "c": 1})
    tell(state, stored(state, "a", 0, 5), stored(state, "b", 5, 3))
    state.content.identity.agree(0, 1, 5)
    state.content.repair("differs", board_of(state))
    state.content.search.unread.discard(0, 8)
    state.content.search._ranks = None
    for letter in fronts:
        each = state.sources["abc".index(letter)]
        each.traits = replace(each.traits, offset_ok=False)
    reason, gone = state.content.search_over("differs", board_of(state))
    assert (reason, sorted(each.id for each in gone)) == ("", lost)


def test_a_source_that_had_another_file_before_is_banned_only_where_it_is_excluded() -> None:
    for odd, excluded in ((False, False), (True, False), (False, True), (True, True)):
        state = three()
        earlier, one = state.content.earlier, state.sources[2]
        earlier._odd = {102} if odd else {77}
        if excluded:
            state.content.identity.exclude([2], [0])
        assert earlier.bans(one) is (odd and excluded)
        assert (one.state is SourceState.BANNED) is (odd and excluded)
        if odd and excluded:
            assert "other content than the stored chunks, in an earlier attempt" in one.reason


# -- requests to the container's own checks


def test_boundaries_are_asked_for_where_two_meet_that_nothing_ties_and_once() -> None:
    state = three()
    requests, tracker = state.content.containers, board_of(state)
    requests.name = "f.flac"
    requests.stored(4, 9, tracker, now_s=NOW_S)
    requests.stored(8, 4, tracker, now_s=NOW_S)
    assert [each.chunks for each in said(state._out.take(), CheckBoundaries)] == [(4,), (8,)]
    requests.stored(0, 12, tracker, now_s=NOW_S)
    requests.stored(2, 6, tracker, now_s=NOW_S)
    assert not state._out.take(), "the ends of the file, and within what one sent"
    assert requests.awaited
    assert requests.complete(state.report.owned(), tracker, now_s=NOW_S + 5.9)
    assert not requests.complete(state.report.owned(), tracker, now_s=NOW_S + 12.0)


@pytest.mark.parametrize("why", ["name", "race", "tied", "unbounded", "checksum"])
def test_no_boundary_is_asked_for_in_vain(why: str) -> None:
    state = three(**({"checksum": "md5:" + "0" * 32} if why == "checksum" else {}))
    requests, tracker = state.content.containers, board_of(state)
    requests.name = "f.txt" if why == "name" else "f.flac"
    match why:
        case "race":
            requests._job = requests._job.but(spec=requests._job.spec.but(mode="race"))
        case "tied":
            state.content.identity.agree(0, 1, 4)
        case "unbounded":
            tracker.total = UNBOUNDED
    requests.stored(4, 4, tracker, now_s=NOW_S)
    assert not state._out.take()


# -- what a duel reads


@pytest.mark.parametrize(
    ("behind", "costly", "overlap"), [("b", False, 1), ("b", True, 0), ("a", False, 0), ("", False, 0)]
)
def test_a_duel_reads_behind_its_end_what_another_mirror_sent(behind: str, costly: bool, overlap: int) -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    if behind:
        tell(state, stored(state, "b", 4, 1))
    one, lease = state.sources[0], lease_of(state, "a")
    if behind == "a":
        one = state.sources[1]
    lease.rival = 99
    one.traits = replace(one.traits, abort_is_costly=costly)
    found = state.content.overlaps.overlap_of(one, lease, board_of(state))
    lease.rival = None
    assert found == overlap


def boundaries(proven: tuple[int, ...] = (), broken: tuple[int, ...] = ()) -> BoundariesChecked:
    return BoundariesChecked(
        job=JOB,
        chunks=(4, 8),
        format="FLAC",
        proven=proven,
        broken=broken,
        broken_firsts=tuple(chunk - 1 for chunk in broken),
        broken_stops=tuple(chunk + 1 for chunk in broken),
    )


def test_after_four_answers_in_a_row_that_decide_nothing_boundaries_wait_for_the_complete_file() -> None:
    for fruitful in (boundaries(proven=(4,)), boundaries(broken=(8,)), None):
        state = three()
        requests, tracker = state.content.containers, board_of(state)
        requests.name = "f.flac"
        for number in range(4):
            requests.forget_requests()
            requests.stored(4, 8, tracker, now_s=NOW_S)
            found = requests.answered(fruitful if number == 2 and fruitful is not None else boundaries())
            assert any(found) is (number == 2 and fruitful is not None)
        requests.forget_requests()
        state._out.take()
        requests.stored(4, 8, tracker, now_s=NOW_S)
        assert bool(state._out.take()) is (fruitful is not None)
        assert requests.complete(state.report.owned(), tracker, now_s=NOW_S)


def test_an_answer_counts_for_what_was_asked_and_is_the_same_still() -> None:
    state = three()
    requests, tracker = state.content.containers, board_of(state)
    requests.name = "f.flac"
    requests.stored(4, 4, tracker, now_s=NOW_S)
    assert requests.answered(boundaries(proven=(4, 8))) == ([4], []), "8 was not asked for"
    assert requests.answered(boundaries(proven=(4,))) == ([], []), "it was answered"
    requests.stored(8, 4, tracker, now_s=NOW_S)
    state.content.exclusion.drop(RangeSet([(7, 8)]), tracker)
    assert requests.answered(boundaries(proven=(8,), broken=(8,))) == ([], []), "another one may send it now"
    assert not requests.awaited


@pytest.mark.parametrize(
    ("found", "name", "senders", "required", "seconds"),
    [
        ("FLAC", "f", 2, False, 10.0),
        ("MP3", "f", 2, False, 2.0),
        ("", "f.flac", 2, False, 2.0),
        ("FLAC", "f", 1, False, 0.5),
        ("", "f", 2, True, 3600.0),
        ("", "f", 2, False, None),
    ],
)
def test_the_whole_file_is_checked_within_a_time_that_its_worth_allows(
    found: str, name: str, senders: int, required: bool, seconds: float | None
) -> None:
    state = three()
    requests = state.content.containers
    requests.found, requests.name, requests.required = found, name, required
    rows = state.report.owned()[:senders]
    assert requests.whole(rows, 1.0, now_s=NOW_S) is (seconds is not None)
    asked = [each.seconds_max for each in said(state._out.take(), CheckContainer)]
    assert asked == ([] if seconds is None else [seconds])
    if seconds is not None:
        assert requests.whole(rows, 1.0, now_s=NOW_S + seconds + 5.9)
        assert not requests.whole(rows, 1.0, now_s=NOW_S + seconds + 6.0)
        assert not state._out.take(), "it is asked for once"
    requests.incomplete()
    requests.whole(rows, 5000.0, now_s=NOW_S)
    asked = [each.seconds_max for each in said(state._out.take(), CheckContainer)]
    assert asked == ([] if seconds is None else [max(seconds, 100.0)])


def test_nothing_is_read_before_the_lease_of_a_duel() -> None:
    state = untied("aaaabbbb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 4))
    lease = lease_of(state, "b")
    lead = state.content.overlaps.lead_of
    assert lead(state.sources[1], lease, board_of(state)) == 1
    lease.rival = 99
    assert lead(state.sources[1], lease, board_of(state)) == 0
    lease.rival = None


def test_the_latest_claim_is_that_of_what_is_known_now() -> None:
    state = three()
    sealing = state.content.sealing
    first = sealing.claim()
    assert sealing.claim() is first, "nothing is new"
    assert (sealing.claim(compared=True).kind, sealing.claim().kind) == ("digest", "size")
    state.content.identity.agree(0, 1, 4)
    assert sealing.claim().checks_agreed == 1
    sealing.freed.add(2, 3)
    assert sealing.claim().freed_firsts == (2,)
    state.content.identity.proven_chunks.add(0, 12)
    assert sealing.claim().kind == "pieces"
    state.content.containers.detail = "all frames are right"
    assert sealing.claim().container == "all frames are right"


@pytest.mark.parametrize(("checksum", "compared"), [("", f"sha256:{'1' * 64}"), ("md5:" + "0" * 32, "")])
def test_a_digest_that_a_contributor_names_is_compared_where_the_user_gave_none(checksum: str, compared: str) -> None:
    state = three(**({"checksum": checksum} if checksum else {}))
    state.content.named.take(1, [f"sha256:{'1' * 64}"])
    assert state.content.to_compare() == compared


def test_what_was_dropped_is_missing_until_it_is_stored_again() -> None:
    state = three()
    content = state.content
    content.exclusion.drop(RangeSet([(2, 6)]), board_of(state))
    content.stored([(0, 3), (5, 9)])
    assert list(content.exclusion.dropped) == [(3, 5)]
    content.stored([(3, 5)])
    assert list(content.exclusion.dropped) == []


def test_a_span_is_not_asked_of_the_same_source_twice_though_the_whole_chunk_may_be() -> None:
    state = three()
    plan, reader = state.content.plan, state.sources[2]
    plan.optional_max = None
    first = plan.optional(reader, 12, last=True)
    assert first is not None
    plan._asked_spans.add((2, first.chunk))
    other = plan.optional(reader, 12, last=True)
    assert other is not None
    assert other.chunk != first.chunk
    plan.suspects[first.chunk] = None
    assert plan.suspect(reader) == Check(2, first.chunk)
