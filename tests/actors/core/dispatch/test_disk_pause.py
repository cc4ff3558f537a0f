"""A disk that fails under a riding job: everybody hangs up, people hear why, and it goes on when the disk does."""

import pytest

from actors.core.dispatch.dispatcher import DispatchState, Phase
from actors.core.dispatch.recovery import ASK_S_MAX, ASK_S_MIN
from protocol.messages import (
    ChunksVerified,
    DiskFailed,
    FileSealed,
    JobEnded,
    JobNoted,
    JobProgressed,
    LeaseGranted,
    LeaseRevoked,
    OpenPartFile,
    PartFileClosed,
    PartFileReady,
    PartFileRefused,
    PartFileRehashed,
    SealFile,
    StopJob,
    Ticked,
)
from protocol.model.faults import FaultKind, PartFileFaultKind
from tests.actors.core.dispatch.boards import said
from tests.actors.core.dispatch.drawing import (
    CHUNK,
    JOB,
    NOW_S,
    board,
    board_of,
    busy_with,
    drawn,
    finished,
    ready,
    released,
    said_to,
    stored,
    target_of,
    tell,
)

FULL = DiskFailed(job=JOB, fault=int(PartFileFaultKind.NO_SPACE), detail="/f/file.bin.part: no space")
OPENED = PartFileReady(job=JOB, part_path="/f/file.bin.part", message="resumed 200000 of 600000 bytes")


def still(detail: str = FULL.detail, fault: PartFileFaultKind = PartFileFaultKind.NO_SPACE) -> PartFileRefused:
    return PartFileRefused(job=JOB, fault=int(fault), detail=detail)


def holding(*runs: int) -> ChunksVerified:
    return ChunksVerified(job=JOB, ranges=runs)


def asked_again(state: DispatchState, *, from_s: float, until_s: float) -> list[float]:
    """When the Assembler is asked whether the disk works, saying each time that it does not."""
    times = []
    for tick in range(int((until_s - from_s) * 10)):
        at_s = from_s + tick / 10
        if said(tell(state, Ticked(), at_s=at_s), OpenPartFile):
            times.append(at_s)
            tell(state, still(), at_s=at_s)
    return times


def test_everybody_hangs_up_and_nothing_is_given_out_while_the_disk_is_full() -> None:
    state = board("##aabb", rates={"a": 1, "b": 1})
    posts = tell(state, FULL)
    assert state.phase is Phase.PAUSED
    assert [type(each) for each in said_to(posts, "a") + said_to(posts, "b")] == [LeaseRevoked, LeaseRevoked]
    assert drawn(state) == "##...."
    posts = tell(state, released(state, "a", FaultKind.REVOKED), released(state, "b", FaultKind.REVOKED))
    posts += ready(state, "c", rate=5.0) + tell(state, Ticked(), at_s=NOW_S + 0.5)
    assert said(posts, LeaseGranted) == []
    assert said(posts, JobEnded) == []


def test_people_hear_the_reason_once_and_see_it_as_long_as_it_holds() -> None:
    state = board("##aa", rates={"a": 1})
    posts = tell(state, FULL)
    posts += tell(state, Ticked(), at_s=NOW_S + 1.1)
    posts += tell(state, still(), at_s=NOW_S + 1.2)
    [noted] = said(posts, JobNoted)
    assert FULL.detail in noted.text
    assert noted.text.startswith("paused: ")
    posts += tell(state, Ticked(), at_s=NOW_S + 1.9)
    [*_, progressed] = said(posts, JobProgressed)
    assert (progressed.state, progressed.reason) == ("paused", FULL.detail)
    [other] = said(tell(state, still("/f: does not exist"), at_s=NOW_S + 2.3), JobNoted)
    assert "/f: does not exist" in other.text


def test_the_disk_is_asked_every_second_as_long_as_it_fails() -> None:
    state = board("##aa", rates={"a": 1})
    tell(state, FULL)
    times = asked_again(state, from_s=NOW_S, until_s=NOW_S + 60)
    assert 50 <= len(times) <= 60
    assert times[0] >= NOW_S + ASK_S_MIN


def test_it_goes_on_with_what_the_disk_still_holds() -> None:
    state = board("####aa", rates={"a": 1})
    tell(state, stored(state, "a", 4), FULL, released(state, "a", FaultKind.REVOKED))
    asked = target_of(tell(state, Ticked(), at_s=NOW_S + 2))
    assert (asked.again, asked.spec.name, asked.spec.size_bytes) == (True, "file.bin", 6 * CHUNK)
    posts = tell(state, holding(0, 2), OPENED, at_s=NOW_S + 3)
    assert state.phase is Phase.RIDING
    assert drawn(state) == "##aaaa"
    assert state.sources[0].chunks == 0, "what the disk lost is no one's any more"
    assert [note.text for note in said(posts, JobNoted)] == ["goes on: " + OPENED.message]
    [*_, progressed] = said(tell(state, Ticked(), at_s=NOW_S + 3.5), JobProgressed)
    assert (progressed.state, progressed.reason, progressed.stored_bytes) == ("riding", "", 2 * CHUNK)


def test_a_worker_that_is_late_to_hang_up_is_not_given_another_lease_before() -> None:
    state = board("##aa", rates={"a": 1})
    before = busy_with(state, "a")
    tell(state, FULL)
    tell(state, Ticked(), at_s=NOW_S + 2)
    assert said(tell(state, holding(0, 2), OPENED, at_s=NOW_S + 2), LeaseGranted) == []
    [granted] = said(tell(state, released(state, "a", FaultKind.REVOKED), at_s=NOW_S + 2.1), LeaseGranted)
    assert granted.lease != before


def test_a_disk_that_fails_while_the_file_is_sealed_seals_it_later() -> None:
    state = board("##aa", rates={"a": 1})
    assert said(tell(state, stored(state, "a", 2, 2), at_s=NOW_S + 2), SealFile)
    tell(state, FULL, at_s=NOW_S + 2)
    assert state.phase is Phase.PAUSED
    assert not said(tell(state, FileSealed(job=JOB, path="/f/x", digest_hex=""), at_s=NOW_S + 2), JobEnded)
    tell(state, Ticked(), at_s=NOW_S + 4)
    assert said(tell(state, holding(0, 4), OPENED, at_s=NOW_S + 4), SealFile)


def test_a_disk_that_works_only_to_fail_again_is_asked_less_and_less() -> None:
    state = board("##aa", rates={"a": 1})
    now_s, waits = NOW_S, []
    for _ in range(8):
        tell(state, FULL, at_s=now_s)
        failed_s = now_s
        while not said(tell(state, Ticked(), at_s=now_s), OpenPartFile):
            now_s += 0.1
        waits.append(round(now_s - failed_s))
        tell(state, holding(0, 2), OPENED, at_s=now_s)
    assert waits == [1, 2, 4, 8, ASK_S_MAX, ASK_S_MAX, ASK_S_MAX, ASK_S_MAX]


def test_an_interrupt_while_it_is_paused_ends_as_one_and_says_what_it_waited_for() -> None:
    state = board("##aa", rates={"a": 1})
    [ended] = said(tell(state, FULL, StopJob(job=JOB), PartFileClosed(job=JOB)), JobEnded)
    assert (ended.state, ended.reason) == ("interrupted", f"paused, {FULL.detail}")


@pytest.mark.parametrize(
    ("fault", "ends"),
    [
        (PartFileFaultKind.NO_SPACE, ""),
        (PartFileFaultKind.IO_ERROR, ""),
        (PartFileFaultKind.READ_ONLY, ""),
        (PartFileFaultKind.NO_FOLDER, ""),
        (PartFileFaultKind.GONE, ""),
        (PartFileFaultKind.BUSY, "disk"),
        (PartFileFaultKind.OTHER_JOB, "disagreed"),
        (PartFileFaultKind.BAD_NAME, "disk"),
    ],
)
def test_only_what_no_waiting_can_mend_ends_a_paused_job(fault: PartFileFaultKind, ends: str) -> None:
    state = board("##aa", rates={"a": 1})
    tell(state, FULL)
    tell(state, Ticked(), at_s=NOW_S + 2)
    ended = said(tell(state, still("why", fault), PartFileClosed(job=JOB), at_s=NOW_S + 2), JobEnded)
    assert [each.state for each in ended] == ([ends] if ends else [])
    assert board_of(state).missing == 2


def test_sources_that_are_all_out_meanwhile_do_not_end_a_paused_job() -> None:
    state = board("##aa", rates={"a": 1})
    tell(state, FULL, released(state, "a", FaultKind.NOT_FOUND))
    assert said(tell(state, Ticked(), at_s=NOW_S + 100), JobEnded) == []


def test_a_file_of_unknown_size_is_begun_again() -> None:
    state = board("##a", rates={"a": 1}, sized=False)
    tell(state, FULL, released(state, "a", FaultKind.REVOKED))
    assert target_of(tell(state, Ticked(), at_s=NOW_S + 2)).spec.size_bytes == -1
    tell(state, OPENED, at_s=NOW_S + 2)
    [granted] = list(board_of(state).leases.values())
    assert granted.first == 0


def test_people_see_how_far_the_look_at_the_part_file_is_and_nothing_else_meanwhile() -> None:
    state = board("####aa", rates={"a": 1})
    tell(state, FULL)
    posts = []
    for step in range(1, 9):
        read = PartFileRehashed(job=JOB, read_bytes=step * CHUNK)
        posts += tell(state, read, Ticked(), at_s=NOW_S + 2 + step / 3)
    rows = [(each.state, each.stored_bytes, each.rate_bytes_s, each.left_s) for each in said(posts, JobProgressed)]
    assert rows == [("verifying", step * CHUNK, 0.0, -1.0) for step in range(1, 9)]
    assert said(tell(state, PartFileRehashed(job=JOB, read_bytes=1), at_s=NOW_S + 5), JobEnded) == []


def test_a_late_word_about_reading_changes_nothing_while_it_rides() -> None:
    state = board("####aa", rates={"a": 1})
    assert tell(state, PartFileRehashed(job=JOB, read_bytes=1), at_s=NOW_S + 5) == []


def test_in_a_race_who_had_fetched_everything_fetches_what_the_disk_lost() -> None:
    state = board("....", sources="a", mode="race")
    whole = finished(state, "a", 4)
    tell(state, whole, FULL)
    tell(state, Ticked(), at_s=NOW_S + 2)
    [granted] = said(tell(state, holding(0, 3), OPENED, at_s=NOW_S + 2), LeaseGranted)
    assert (granted.first, granted.stop) == (3, 4)
