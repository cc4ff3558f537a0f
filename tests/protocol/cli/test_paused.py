"""A job that waits for its disk, or looks at what is there: every view says so, with the reason."""

import io
import json

from msgspec import structs

from protocol.cli.views.json_lines import JsonView
from protocol.cli.views.live import Shape, live_lines
from protocol.cli.views.plain import QuietView, progress_line
from protocol.cli.views.progress_state import ProgressState
from protocol.messages import JobProgressed
from tests.protocol.cli.world import MIB, ended, opened, progressed

REASON = "/here/file.iso.part: no space"
PAUSED = structs.replace(progressed(8 * MIB, rate=0.0, left_s=-1.0), state="paused", reason=REASON)
VERIFYING = structs.replace(PAUSED, state="verifying", reason="")


def board_with(progress: JobProgressed) -> ProgressState:
    board = ProgressState("file")
    board.take(opened())
    board.take(progress)
    return board


def test_json_gives_state_and_reason_and_no_reason_where_there_is_none() -> None:
    stdout = io.StringIO()
    view = JsonView(stdout, quiet=False, verbose=False)
    view.show(PAUSED, now_s=0.0)
    view.show(VERIFYING, now_s=1.0)
    paused, verifying = map(json.loads, stdout.getvalue().splitlines())
    assert (paused["state"], paused["reason"], paused["bytes_stored"]) == ("paused", REASON, 8 * MIB)
    assert (verifying["state"], verifying.get("reason")) == ("verifying", None)


def test_a_plain_line_says_why_instead_of_a_rate() -> None:
    assert progress_line(board_with(PAUSED), PAUSED) == f"12 %, 8.0 MiB of 64.0 MiB, paused: {REASON}"
    assert progress_line(board_with(VERIFYING), VERIFYING) == "12 %, 8.0 MiB of 64.0 MiB, verifying"


def test_a_reason_cannot_move_the_cursor() -> None:
    odd = structs.replace(PAUSED, reason="a\x1b[2Jb\nc")
    assert progress_line(board_with(odd), odd).isprintable()


def test_the_display_shows_it_where_the_time_left_would_stand() -> None:
    lines = live_lines(board_with(PAUSED), Shape(width=100, rows=5, colours=False))
    assert lines[1].plain.rstrip().endswith("paused")


def test_silence_is_broken_once_for_each_reason() -> None:
    stderr = io.StringIO()
    view = QuietView(stderr, "file")
    other = structs.replace(PAUSED, reason="/here: does not exist")
    for message in (progressed(MIB), PAUSED, PAUSED, other, progressed(MIB), PAUSED, ended()):
        view.show(message, now_s=0.0)
    assert stderr.getvalue().splitlines() == [
        f"paused: {REASON}",
        "paused: /here: does not exist",
        f"paused: {REASON}",
    ]
