"""A job as a whole: what is said at its end, who gets which message, and that no word from outside can spoil it."""

import pytest

from actors.core.dispatch.dispatcher import CLOSING_S_MAX, DispatcherInbox, DispatchState, Phase
from protocol.messages import (
    ChunksVerified,
    ClosePartFile,
    ContributorsListed,
    DequeueFile,
    DiskFailed,
    DropChunks,
    FileFinished,
    FileSealed,
    JobClosed,
    JobEnded,
    JobNoted,
    JobOpened,
    LeaseExtended,
    LeaseGranted,
    LeaseRevoked,
    OpenPartFile,
    PartFileClosed,
    PartFileReady,
    PartFileRefused,
    PieceChecked,
    ProcessReady,
    SealFile,
    SizeLearned,
    SourceChanged,
    SourceJoined,
    SourceProgressed,
    StopJob,
    Ticked,
    ValidatorSeen,
)
from protocol.messages.addresses import ASSEMBLER, FRONT, POOL, WATCHDOG, Post
from protocol.model.chunk_ranges import RangeSet
from protocol.model.faults import FaultKind, PartFileFaultKind
from protocol.model.source_url import Window
from protocol.model.value import replace
from tests.actors.core.dispatch.boards import said
from tests.actors.core.dispatch.drawing import (
    CHUNK,
    JOB,
    NOW_S,
    board,
    board_of,
    drawn,
    finished,
    joined,
    measured,
    probed,
    ready,
    refused,
    released,
    riding_of,
    said_to,
    stalled,
    stored,
    target_of,
    tell,
    wanted,
)
from tests.actors.core.dispatch.replies import disputed

SIZE = 4 * CHUNK


def opening(sources: str = "ab", *, name: str = "") -> DispatchState:
    """A job whose sources have joined and are being probed."""
    state = DispatchState(wanted(expected=len(sources), name=name), now_s=NOW_S)
    for source in sources:
        tell(state, joined(source, file=f"{source}.iso"))
    return state


def passing(state: DispatchState, *, seconds: float, from_s: float = 0.0) -> list[Post]:
    """No one says anything while time passes."""
    return [
        post for step in range(1, int(2 * seconds)) for post in tell(state, Ticked(), at_s=NOW_S + from_s + step / 2)
    ]


def sealing() -> DispatchState:
    state = board("##aa", rates={"a": 1})
    tell(state, stored(state, "a", 2, 2), at_s=NOW_S + 1)
    assert state.phase is Phase.SEALING
    return state


# -- the name


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_the_name_is_what_the_lowest_source_proposes_whatever_answers_first(order: str) -> None:
    state = opening()
    posts = [post for source in order for post in tell(state, probed(source, SIZE, name=f"says {source}"))]
    assert target_of(posts).spec.name == "says a"


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_a_proposed_name_is_better_than_what_an_address_ends_in(order: str) -> None:
    state = opening()
    tell(state, refused("a"))
    assert target_of(tell(state, probed("b", SIZE, name="proposed"))).spec.name == "proposed"


def test_without_a_proposal_the_first_address_names_the_file_though_another_opened_it() -> None:
    state = opening()
    tell(state, refused("a"))
    assert target_of(tell(state, probed("b", SIZE))).spec.name == "a.iso"


# -- opening


@pytest.mark.parametrize("first", ["a", "b"])
def test_of_two_sizes_the_second_named_is_left_out_in_a_line_with_both(first: str) -> None:
    state = board("aaaa", rates={"a": 1}) if first == "a" else opening()
    if first == "b":
        opened = PartFileReady(job=JOB, part_path="/f/p", message="")
        posts = tell(state, probed("b", 777), probed("a", 778), opened, opened)
        sizes = ("777", "778")
    else:
        tell(state, joined("b"))
        posts = tell(state, probed("b", 5))
        sizes = ("5", str(SIZE))
    assert not said(posts, JobEnded)
    assert state.sources[0].usable
    assert all(size in state.sources[1].reason for size in sizes)


def test_a_late_source_of_another_size_is_not_ridden() -> None:
    state = board("aaaa", rates={"a": 1})
    posts = ready(state, "b") + tell(state, joined("c"), probed("c", SIZE + 1))
    assert said_to(posts, "c") == [said_to(posts, "c")[0]], "its probe, nothing more"
    assert not said(posts, LeaseRevoked)


def test_validators_go_to_the_assembler_once_the_target_stands() -> None:
    state = opening()
    tell(state, probed("a", SIZE, validator="etag-a"))
    assert state.phase is Phase.TARGET
    posts = tell(state, PartFileReady(job=JOB, part_path="/f/p", message=""))
    posts += tell(state, probed("b", SIZE, validator="etag-b"))
    seen = [(message.source_name, message.validator) for message in said(posts, ValidatorSeen)]
    assert seen == [("source a", "etag-a"), ("source b", "etag-b")]


@pytest.mark.parametrize("size_bytes", [SIZE, SIZE - 7])
def test_resumed_bytes_are_counted_to_the_byte_though_the_last_chunk_is_short(size_bytes: int) -> None:
    state = opening("a")
    tell(state, probed("a", size_bytes))
    for runs in ((0, 1), (3, 4)):
        tell(state, ChunksVerified(job=JOB, ranges=runs))
    posts = tell(state, PartFileReady(job=JOB, part_path="/f/p", message="found"))
    [opened] = said(posts, JobOpened)
    assert opened.resumed_bytes == 2 * CHUNK - (SIZE - size_bytes)
    assert drawn(state) == "#aa#"


def test_a_source_of_unknown_size_is_used_when_no_one_knows_better() -> None:
    state = board(".", sources="a", fronts="a", sized=False)
    tell(state, stored(state, "a", 0, 3))
    posts = tell(state, finished(state, "a", 4, size_bytes=3 * CHUNK + 1))
    assert [learned.size_bytes for learned in said(posts, SizeLearned)] == [3 * CHUNK + 1]
    assert drawn(state) == "###a"


# -- ends


def test_every_source_has_a_last_row_before_the_last_word() -> None:
    state = board("aabbcc", rates={"a": 1, "b": 1, "c": 1})
    tell(state, released(state, "b", FaultKind.NOT_FOUND))
    posts = tell(state, StopJob(job=JOB), PartFileClosed(job=JOB), at_s=NOW_S + 1)
    reported = [post.message for post in posts if post.to == FRONT]
    assert [type(message) for message in reported[-5:]] == [SourceProgressed] * 3 + [ContributorsListed, JobEnded]
    rows = [message for message in reported if isinstance(message, SourceProgressed)]
    assert [(row.source, row.standing) for row in rows] == [(0, "active"), (1, "banned"), (2, "active")]
    assert rows[1].reason == "NOT_FOUND"


def test_everybody_may_forget_a_job_after_its_last_word() -> None:
    state = sealing()
    posts = tell(state, FileSealed(job=JOB, path="/f/file", digest_hex="aa"), at_s=NOW_S + 2)
    kinds = [type(post.message) for post in posts]
    assert kinds.index(JobEnded) < kinds.index(JobClosed)
    reported = [post.to for post in posts if isinstance(post.message, JobClosed)]
    assert set(reported) == {POOL, WATCHDOG, ASSEMBLER}
    assert reported[-1] == POOL, "who has the dispatcher stopped hears of it last: nothing may be said after that"


def test_without_a_watcher_no_one_is_reported_and_the_job_ends_all_the_same() -> None:
    state = DispatchState(wanted(expected=1, watcher=""), now_s=NOW_S)
    posts = tell(state, joined("a"), refused("a"))
    assert state.phase is Phase.ENDED
    assert {type(post.message) for post in posts if post.to not in (POOL, WATCHDOG, ASSEMBLER)} <= {
        type(said_to(posts, "a")[0])
    }


@pytest.mark.parametrize(
    ("fault", "state"),
    [(kind, "disagreed" if kind is PartFileFaultKind.OTHER_JOB else "disk") for kind in PartFileFaultKind],
)
def test_a_target_that_is_refused_says_whose_fault_it_is(fault: PartFileFaultKind, state: str) -> None:
    job = opening("a")
    tell(job, probed("a", SIZE))
    posts = tell(job, PartFileRefused(job=JOB, fault=int(fault), detail="why"), PartFileClosed(job=JOB))
    assert [(ended.state, ended.reason, ended.path) for ended in said(posts, JobEnded)] == [(state, "why", "")]


def test_stopping_before_anything_was_opened_ends_at_once() -> None:
    posts = tell(opening(), StopJob(job=JOB))
    assert [ended.state for ended in said(posts, JobEnded)] == ["interrupted"]
    assert said(posts, ClosePartFile) == []


def test_closing_has_a_limit() -> None:
    state = board("aaaa", rates={"a": 1})
    assert len(said(tell(state, StopJob(job=JOB)), ClosePartFile)) == 1
    assert said(tell(state, Ticked(), at_s=NOW_S + CLOSING_S_MAX - 0.1), JobEnded) == []
    [ended] = said(tell(state, Ticked(), at_s=NOW_S + CLOSING_S_MAX + 0.1), JobEnded)
    assert (ended.state, ended.reason, ended.path) == ("interrupted", "interrupted", "/f/file.bin.part")


def test_the_first_reason_to_end_stays() -> None:
    state = board("aaaa", rates={"a": 1})
    failed = DiskFailed(job=JOB, fault=int(PartFileFaultKind.BUSY), detail="taken")
    posts = tell(state, failed, StopJob(job=JOB), PartFileClosed(job=JOB))
    assert [(ended.state, ended.reason) for ended in said(posts, JobEnded)] == [("disk", "taken")]
    assert len(said(posts, ClosePartFile)) == 1


def test_a_job_that_is_stopped_while_it_is_being_sealed_says_what_came_of_it() -> None:
    state = sealing()
    tell(state, StopJob(job=JOB))
    posts = tell(state, FileSealed(job=JOB, path="/f/file", digest_hex="aa"))
    assert [ended.state for ended in said(posts, JobEnded)] == ["sealed"]


def test_sealing_is_asked_for_once() -> None:
    state = sealing()
    posts = tell(state, stored(state, "a", 2, 2, lease=1), Ticked(), at_s=NOW_S + 2)
    assert said(posts, SealFile) == []


def test_nothing_is_said_after_the_last_word() -> None:
    state = sealing()
    late = finished(board("aaaa"), "a")
    tell(state, FileSealed(job=JOB, path="/f/file", digest_hex="aa"))
    again = (late, joined("c"), probed("a", 5), StopJob(job=JOB), PartFileClosed(job=JOB), Ticked())
    assert tell(state, *again, at_s=NOW_S + 99) == []


def test_a_file_that_is_there_already_ends_the_job_before_anything_is_asked_for() -> None:
    state = opening("a")
    posts = tell(state, probed("a", SIZE, validator="etag:1"))
    (asked,) = [post.message for post in posts if isinstance(post.message, OpenPartFile)]
    assert asked.validators == ("etag:1",)
    there = FileSealed(job=JOB, path="/f/p", digest_hex="aa", already="size and validator are those of the source")
    (ended,) = [post.message for post in tell(state, there) if post.to == FRONT and isinstance(post.message, JobEnded)]
    assert (ended.state, ended.path, ended.size_bytes) == ("sealed", "/f/p", SIZE)
    assert ended.reason == "size and validator are those of the source"
    assert (ended.bytes_received, ended.bytes_refetched) == (0, 0)
    riding = board("##a...", sources="a")
    assert tell(riding, there) == [], "only an answer to the opening can say so"


def test_a_file_no_one_asked_to_seal_cannot_be_sealed() -> None:
    state = board("aaaa")
    assert tell(state, FileSealed(job=JOB, path="/f/file", digest_hex="aa")) == []


# -- what these tests once found wrong


def test_a_body_shorter_than_what_is_stored_ends_the_job_with_a_reason() -> None:
    state = board(".", sources="a", fronts="a", sized=False)
    tell(state, stored(state, "a", 0, 10), released(state, "a", FaultKind.RESET, handed_stop=10))
    tell(state, Ticked(), at_s=NOW_S + 3)
    tell(state, finished(state, "a", 10, size_bytes=6 * CHUNK), at_s=NOW_S + 4)
    board_of(state).check()
    assert [ended.state for ended in said(passing(state, seconds=100, from_s=4), JobEnded)] == ["disagreed"]


def test_of_unknown_size_no_one_is_asked_for_chunks_that_no_file_has() -> None:
    state = board(".", sources="ab", sized=False)
    assert max(lease.first for lease in board_of(state).leases.values()) == 0


def test_a_worker_ordered_to_hang_up_after_a_long_ride_is_awaited_too() -> None:
    state, at_s = board("aaaabbbb", rates={"a": 1, "b": 1}), NOW_S
    while at_s < NOW_S + 50:
        at_s += 1
        words = [measured(state, source, received=0.1, rate=0.01) for source in "ab"]
        tell(state, *words, Ticked(), at_s=at_s)
    tell(state, stalled(state, "b"), at_s=at_s)
    posts = tell(state, Ticked(), at_s=at_s + 1.2) + tell(state, Ticked(), at_s=at_s + 1.3)
    assert said(posts, LeaseGranted) == []


@pytest.mark.parametrize("phase", [Phase.OPENING, Phase.RIDING])
def test_a_probe_that_is_never_answered_does_not_hold_up_the_end(phase: Phase) -> None:
    state = opening("ab") if phase is Phase.OPENING else board("aaaa")
    tell(state, joined("b"))
    tell(state, refused("a") if phase is Phase.OPENING else released(state, "a", FaultKind.NOT_FOUND))
    assert said(passing(state, seconds=300), JobEnded) != []


def test_a_ride_is_not_extended_while_the_job_is_closing() -> None:
    state = board("aaaa....", rates={"a": 2})
    tell(state, StopJob(job=JOB))
    posts = tell(state, measured(state, "a", received=3.5, rate=2), at_s=NOW_S + 1.5)
    assert said(posts, LeaseExtended) == []


@pytest.mark.parametrize(
    "word",
    [
        disputed(source=9, lease=9, chunk=0),
        ChunksVerified(job=JOB, ranges=(2, 3)),
        PartFileClosed(job=JOB),
    ],
    ids=lambda word: type(word).__name__,
)
def test_a_word_that_cannot_be_meant_leaves_a_whole_board_and_no_end_without_reason(word: DispatcherInbox) -> None:
    state = board("aaaa")
    posts = tell(state, word)
    board_of(state).check()
    assert all(ended.reason for ended in said(posts, JobEnded))


def test_a_late_source_is_not_said_to_hide_a_size_that_it_named() -> None:
    state = board(".", sources="a", fronts="a", sized=False)
    tell(
        state,
        SourceJoined(
            job=JOB, source=1, worker="fetch-1/worker-1-1", name="b", host="b", fallback_name="", prior_rate_bytes_s=0.0
        ),
    )
    tell(state, probed("b", SIZE))
    assert "does not say" not in state.sources[1].reason


# -- what comes at a moment in which it changes little


def test_what_could_not_be_done_with_a_finished_file_is_noted_before_the_end() -> None:
    state = sealing()
    note = "kept under its first name: no space"
    posts = tell(state, FileSealed(job=JOB, path="/f/file.bin", digest_hex="ab", note=note), at_s=NOW_S + 1)
    shown = [post.message for post in posts if isinstance(post.message, JobNoted | JobEnded) and post.to == FRONT]
    assert isinstance(shown[0], JobNoted)
    assert shown[0].text == note
    assert isinstance(shown[-1], JobEnded)


@pytest.mark.parametrize("window", [False, True])
def test_a_finished_file_of_a_user_is_shared_and_a_part_of_one_is_not(window: bool) -> None:
    state = sealing()
    state.sources[0].peer, state.sources[0].window = "ann", Window(0, 9, 9) if window else None
    posts = tell(state, FileSealed(job=JOB, path="/f/file.bin", digest_hex="ab"), at_s=NOW_S + 1)
    assert [each.path for each in said(posts, FileFinished)] == ["/f/file.bin"] * (not window)
    mirrors = sealing()
    posts = tell(mirrors, FileSealed(job=JOB, path="/f/file.bin", digest_hex="ab"), at_s=NOW_S + 1)
    assert not said(posts, FileFinished)


def test_a_user_that_is_known_too_late_loses_its_place_in_the_queue() -> None:
    state = sealing()
    tell(state, joined("b"), at_s=NOW_S + 1)
    source = state.sources[1]
    source.peer, source.path, source.enqueued = "ann", "m\\f", True
    posts = tell(state, probed("b", SIZE), at_s=NOW_S + 1)
    assert [each.source for each in said(posts, DequeueFile)] == [1]
    assert not source.enqueued


def test_a_paused_job_asks_a_new_store_at_once() -> None:
    state = board("##aa", rates={"a": 1})
    tell(state, DiskFailed(job=JOB, fault=PartFileFaultKind.NO_SPACE, detail="no space"))
    assert state.phase is Phase.PAUSED
    tell(state, ProcessReady(process="worker", pid=7), at_s=NOW_S)
    assert not said(tell(state, Ticked(), at_s=NOW_S + 0.1), OpenPartFile)
    tell(state, ProcessReady(process="store", pid=7), at_s=NOW_S + 0.2)
    assert said(tell(state, Ticked(), at_s=NOW_S + 0.3), OpenPartFile)


def test_a_piece_is_not_judged_before_the_job_rides() -> None:
    state = board("##aa", rates={"a": 1})
    state.phase = Phase.PAUSED
    for good in (False, True):
        tell(state, PieceChecked(job=JOB, first=0, stop=2, good=good))
    assert not state.content.pieces.bad
    assert not state.content.identity.proven_chunks.covers(0, 2)


def test_what_a_source_sent_before_its_file_changed_is_fetched_again() -> None:
    state = board("aabb", rates={"a": 1, "b": 1})
    tell(state, stored(state, "a", 0, 1), stored(state, "b", 2, 1))
    posts = tell(state, SourceChanged(job=JOB, source_name="source b", detail="source b: another size"))
    assert [each.firsts for each in said(posts, DropChunks)] == [(2,)]
    assert drawn(state)[0] == "#"
    assert drawn(state)[2] != "#"
    assert not said(tell(state, SourceChanged(job=JOB, source_name="source c", detail="?")), DropChunks)


@pytest.mark.parametrize("costly", [False, True])
def test_users_that_read_a_stretch_to_find_a_difference_are_hung_up_on_once_it_is_found(costly: bool) -> None:
    state = board("##aa", sources="b", rates={"a": 1, "b": 1})
    reader = state.sources[1]
    reader.traits = replace(reader.traits, abort_is_costly=costly)
    lease = board_of(state).grant_check(1, 0, 2, now_s=NOW_S)
    reader.busy = lease.id
    state.content.search.asked[lease.id] = RangeSet([(0, 2)])
    riding_of(state)._end_search(NOW_S)
    assert [each.lease for each in said(state._out.take(), LeaseRevoked)] == [lease.id] * costly
    assert bool(state.content.search.asked) is not costly
