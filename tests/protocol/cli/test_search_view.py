"""What a search shows: a table for people, objects for programs, and how it ends."""

import io
import json
from dataclasses import replace
from typing import Any

import pytest

from protocol.cli.views.search import Found, FoundTarget, SearchView, search_exit_code
from protocol.messages import FrontInbox, JobNoted, SessionChanged

SONG = FoundTarget(
    size_bytes=16 << 20,
    extension="flac",
    name="01 - Tide.flac",
    users=3,
    free=2,
    speed_bytes_s=2 << 20,
    shortest_queue=0,
    sureness="attributes",
    agreeing=2,
    sources=("slsk://ann/a", "slsk://bob/b"),
)
EVIL = replace(
    SONG,
    size_bytes=5,
    name="evil\x1b[2J\n" + "x" * 300,
    users=1,
    sureness="single",
    agreeing=0,
    free=0,
    speed_bytes_s=0,
    shortest_queue=41,
)
FOUND = Found(term="tide", state="ended", targets=(SONG, EVIL), target_count=5, users=4, refused="")
ONLINE = SessionChanged(state="online", detail="listening at port 7", final=False)
REFUSED = SessionChanged(state="refused", detail="the password is wrong", final=True)


def shown(found: Found, *messages: FrontInbox, json: bool = False) -> tuple[str, str]:
    stdout, stderr = io.StringIO(), io.StringIO()
    view = SearchView(stdout, stderr, json=json)
    for message in messages:
        view.show(message)
    view.finish(found)
    return stdout.getvalue(), stderr.getvalue()


def test_people_see_a_table_that_no_name_can_disturb() -> None:
    stdout, stderr = shown(FOUND, SessionChanged(state="connecting", detail="", final=False), ONLINE)
    lines = stdout.splitlines()
    assert lines[0].split() == ["size", "users", "free", "speed", "queue", "sure", "by", "name"]
    assert " ".join(lines[1].split()) == "16.0 MiB (16777216) 3 2 2.0 MiB/s 0 name, sound 01 - Tide.flac"
    assert lines[2].split()[:6] == ["5", "B", "(5)", "1", "0", "-"]
    assert lines[0].index("name") == lines[1].index("01 - Tide") == lines[2].index("evil")
    assert lines[3] == "5 targets from 4 users, 3 not shown (--limit)"
    assert all(line.isprintable() and len(line) < 120 for line in lines)
    assert stderr == "note: Soulseek: logged in, listening at port 7\n"


def test_programs_get_an_object_for_each_target_and_a_last_one() -> None:
    stdout, stderr = shown(FOUND, ONLINE, JobNoted(job=1, text="no"), json=True)
    objects: list[dict[str, Any]] = [json.loads(line) for line in stdout.splitlines()]
    assert objects[0] == {"event": "session", "state": "online", "detail": "listening at port 7", "final": False}
    assert list(objects[1].items()) == [
        ("event", "target"),
        ("size", 16 << 20),
        ("extension", "flac"),
        ("name", "01 - Tide.flac"),
        ("users", 3),
        ("free", 2),
        ("speed_bytes_s", 2 << 20),
        ("shortest_queue", 0),
        ("sureness", "attributes"),
        ("agreeing", 2),
        ("sources", ["slsk://ann/a", "slsk://bob/b"]),
    ]
    assert objects[2]["name"] == EVIL.name
    assert objects[3:] == [{"event": "search_ended", "targets": 5, "users": 4, "refused": ""}]
    assert "\x1b" not in stdout
    assert stderr == ""


@pytest.mark.parametrize(
    ("state", "refused", "code", "line"),
    [
        ("ended", "", 3, "nothing found for 'tide'"),
        ("refused", "the password\nis wrong", 3, "search failed: the password is wrong"),
        ("failed", "soulseek died", 1, "our fault: soulseek died"),
        ("interrupted", "", 130, "interrupted"),
    ],
)
def test_a_search_without_result_says_why_in_one_line(state: str, refused: str, code: int, line: str) -> None:
    found = Found(term="tide", state=state, targets=(), target_count=0, users=0, refused=refused)
    assert shown(found, REFUSED) == ("", line + "\n"), "a failed login is not said twice"
    assert search_exit_code(found) == code
    last = json.loads(shown(found, json=True)[0])
    assert last == {"event": "search_ended", "targets": 0, "users": 0, "refused": refused}


def test_what_was_found_before_a_failure_is_shown_and_is_a_failure() -> None:
    found = replace(FOUND, state="refused", refused="someone else has logged in")
    stdout, stderr = shown(found)
    assert len(stdout.splitlines()) == 3
    assert stderr == "search failed: someone else has logged in\n"
    assert search_exit_code(found) == 3
    assert search_exit_code(FOUND) == 0
