"""How ``verify`` tells what it found."""

import json
from dataclasses import replace

from protocol.cli.views.outcome import ExitCode
from protocol.cli.views.verify import Verified, verify_exit_code, verify_json, verify_text

FOUND = Verified(
    path="/here/f\x1b[2J.part",
    size_bytes=512 * 131072,
    chunk_size=131072,
    held_chunks=190,
    damaged=[(5, 7)],
    missing=[(192, 512)],
    being_written=True,
)
WHOLE = replace(FOUND, held_chunks=512, damaged=[], missing=[], being_written=False)


def test_the_text_says_what_holds_what_is_damaged_and_what_is_missing() -> None:
    assert verify_text(FOUND).splitlines() == [
        "/here/f\ufffd.part: 64.0 MiB, 512 chunks of 128.0 KiB",
        "  holds    190 chunks (37 %)",
        "  damaged  2 chunks: 5-6; will be fetched again",
        "  missing  320 chunks: 192-511",
        "  being written by another process right now: this was true a moment ago",
    ]
    assert len(verify_text(WHOLE).splitlines()) == 2


def test_many_runs_are_counted_not_listed() -> None:
    found = replace(FOUND, missing=[(n, n + 1) for n in range(0, 100, 2)])
    assert "0, 2, 4, 6, 8, 10, 12, 14 and 42 more runs" in verify_text(found)


def test_the_json_is_one_line_with_every_run() -> None:
    line = verify_json(FOUND)
    assert "\n" not in line
    assert "\x1b" not in line
    read = json.loads(line)
    assert (read["event"], read["chunks_held"], read["damaged"], read["missing"]) == (
        "verified",
        190,
        [[5, 7]],
        [[192, 512]],
    )
    assert json.loads(verify_json(replace(FOUND, size_bytes=-1)))["size"] is None


def test_only_damage_is_a_disagreement() -> None:
    assert verify_exit_code(FOUND) == ExitCode.DISAGREED
    assert verify_exit_code(replace(FOUND, damaged=[])) == ExitCode.SEALED
    assert verify_exit_code(WHOLE) == ExitCode.SEALED
