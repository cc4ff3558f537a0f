"""A daemon's job as the messages that views are shown."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.cli.args import Loudness
from protocol.cli.remote.api_to_messages import CELLS, JobUpdates, chunk_map, ended, opened, progressed
from protocol.cli.views.base import view_of
from protocol.cli.views.outcome import ExitCode, exit_code_of, identity_lines, last_line
from protocol.cli.views.progress_state import (
    FIRST_SOURCE,
    LEASED,
    MISSING,
    RESUMED,
    ProgressState,
    read_cells,
)
from protocol.messages import ChunkMapDrawn, JobEnded, JobNoted, JobOpened, JobProgressed, SourceProgressed
from tests.protocol.cli.messages import job_json, map_json, source_json


def kinds(messages: list[Any]) -> list[type]:
    return [type(message) for message in messages]


def test_the_first_answer_says_everything_and_the_same_again_nothing() -> None:
    updates = JobUpdates()
    job = job_json(source_json(0), source_json(1, "http://b/f"), chunkMap=map_json((0, 10, "missing", None)))
    assert kinds(updates.take(job)) == [JobOpened, SourceProgressed, SourceProgressed, ChunkMapDrawn, JobProgressed]
    assert updates.take(job) == []


def test_only_what_changed_is_reported_again() -> None:
    updates = JobUpdates()
    updates.take(job_json(source_json(0), source_json(1)))
    news = updates.take(job_json(source_json(0), source_json(1, bytesStored=11), storedBytes=371, path="/d/x"))
    assert kinds(news) == [SourceProgressed, JobProgressed]


def test_a_job_without_a_file_yet_is_not_opened() -> None:
    assert opened(job_json(path=None, sizeBytes=None)) is None
    assert opened(job_json(path=None, sizeBytes=5, chunkSize=0)) is None, "its chunks are not chosen yet"
    unknown = opened(job_json(path=None, sizeBytes=5))
    assert unknown is not None
    assert (unknown.part_path, unknown.size_bytes) == ("tide.flac", 5)


@pytest.mark.parametrize(
    ("members", "state", "reason"),
    [
        ({"state": "queued", "phase": None, "reason": "too many"}, "queued", "too many"),
        ({"state": "paused", "phase": None}, "paused", ""),
        ({"phase": "paused", "reason": "disk full"}, "paused", "disk full"),
        ({"phase": "riding", "reason": "whatever"}, "riding", ""),
        ({"phase": None}, "active", ""),
    ],
)
def test_the_state_is_what_people_see(members: dict[str, Any], state: str, reason: str) -> None:
    updates = progressed(job_json(**members))
    assert (updates.state, updates.reason) == (state, reason)


def test_notes_are_reported_once_also_when_the_oldest_are_gone() -> None:
    updates = JobUpdates()

    def notes(*texts: str) -> list[str]:
        return [m.text for m in updates.take(job_json(notes=list(texts))) if isinstance(m, JobNoted)]

    assert notes("a", "b") == ["a", "b"]
    assert notes("a", "b") == []
    assert notes("a", "b", "c") == ["c"]
    assert notes("c", "d", "e") == ["d", "e"]
    assert notes("x") == ["x"]


@pytest.mark.parametrize(
    ("members", "state", "code"),
    [
        ({"state": "sealed", "outcome": "sealed"}, "sealed", ExitCode.SEALED),
        ({"state": "failed", "outcome": "starved"}, "starved", ExitCode.NO_SOURCE),
        ({"state": "failed", "outcome": "disagreed"}, "disagreed", ExitCode.DISAGREED),
        ({"state": "failed", "outcome": None}, "failed", ExitCode.OUR_FAULT),
        ({"state": "cancelled", "outcome": "interrupted"}, "cancelled", ExitCode.CANCELLED),
    ],
)
def test_the_end_comes_last_and_once_and_has_its_exit_code(members: dict[str, Any], state: str, code: int) -> None:
    updates = JobUpdates()
    job = job_json(source_json(0), **members)
    last = updates.take(job)[-1]
    assert isinstance(last, JobEnded)
    assert (last.state, exit_code_of(last.state)) == (state, code)
    assert updates.ended
    assert updates.take(job) == []


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        ("starved", "no source can deliver: a: 404 Not Found; shoal retry 3f0c9f0e goes on from 37 %"),
        ("disk", "disk or folder: a: 404 Not Found; shoal retry 3f0c9f0e goes on from 37 %"),
        (None, "our fault: a: 404 Not Found; shoal retry 3f0c9f0e goes on from 37 %"),
    ],
)
def test_why_a_job_failed_reaches_its_last_line_whatever_shows_it(outcome: str | None, line: str) -> None:
    job = job_json(source_json(0, reason="404 Not Found"), state="failed", outcome=outcome, reason="a: 404 Not Found")
    plain, quiet, out = io.StringIO(), io.StringIO(), io.StringIO()
    for view in (
        view_of("x", Loudness(), io.StringIO(), plain, again="shoal retry 3f0c9f0e"),
        view_of("x", Loudness(quiet=True), io.StringIO(), quiet, again="shoal retry 3f0c9f0e"),
        view_of("x", Loudness(json=True), out, io.StringIO()),
    ):
        for message in JobUpdates().take(job):
            view.show(message, now_s=0.0)
    assert plain.getvalue().splitlines()[-1] == quiet.getvalue().splitlines()[-1] == line
    last = json.loads(out.getvalue().splitlines()[-1])
    assert (last["reason"], last["sources"][0]["reason"]) == ("a: 404 Not Found", "404 Not Found")


def test_the_last_line_names_the_command_that_goes_on() -> None:
    board = ProgressState("tide.flac", "shoal retry 3f0c9f0e")
    job = job_json(state="cancelled")
    for message in JobUpdates().take(job):
        board.take(message)
    assert last_line(board, ended(job)) == "cancelled; shoal retry 3f0c9f0e goes on from 37 %"


def test_the_map_has_a_cell_for_each_chunk_of_a_small_file() -> None:
    runs = ((0, 1, "stored", None), (1, 2, "stored", 3), (3, 2, "leased", 0), (5, 1, "missing", None))
    drawn = chunk_map(map_json(*runs))
    assert drawn is not None
    source, leased = FIRST_SOURCE + 3, FIRST_SOURCE | LEASED
    assert read_cells(drawn.cells) == (RESUMED, source, source, leased, leased, MISSING)


@given(st.lists(st.tuples(st.integers(1, 3000), st.sampled_from([None, 0, 1, 70_000])), min_size=1, max_size=40))
def test_a_large_map_shows_what_stands_at_most_of_each_cell(lengths: list[tuple[int, int | None]]) -> None:
    runs, at = [], 0
    for length, source in lengths:
        runs.append((at, length, "stored", source))
        at += length
    drawn = chunk_map(map_json(*runs))
    assert drawn is not None
    cells = read_cells(drawn.cells)
    assert len(cells) == min(CELLS, at)
    assert MISSING not in cells
    assert {value & LEASED for value in cells} == {0}
    if len({source for _, source in lengths}) == 1:
        assert len(set(cells)) == 1


def test_no_map_is_no_news() -> None:
    assert chunk_map(None) is None
    assert chunk_map({"chunkSize": 1, "chunkCount": 0, "runs": [], "truncated": False}) is None


def test_what_strangers_say_reaches_no_terminal() -> None:
    evil = "\x1b]0;evil\x07\u202e\x9b2J"
    stderr = io.StringIO()
    view = view_of("x", Loudness(json=False), io.StringIO(), stderr)
    job = job_json(
        source_json(0, f"slsk://{evil}/x", username=evil, reason=evil, standing="banned"),
        notes=[evil], path=f"/d/{evil}", reason=evil, state="failed", outcome="starved",
    )  # fmt: skip
    for message in JobUpdates().take(job):
        view.show(message, now_s=0.0)
    lines = stderr.getvalue().splitlines()
    assert len(lines) >= 4
    assert all(line.isprintable() for line in lines)


def test_what_is_known_of_the_content_is_in_the_end_and_in_its_summary() -> None:
    (*_, last) = JobUpdates().take(job_json(state="sealed"))
    assert isinstance(last, JobEnded)
    assert (last.claim.agreed_chunks, last.claim.freed_stops, last.claim.excluded) == ((1, 3), (7,), ("http://odd/f",))
    assert identity_lines(last) == [
        "identity: 4 overlap checks agree; a differing share above 68 % is excluded at 99 %; "
        "left out, other content: http://odd/f"
    ]
