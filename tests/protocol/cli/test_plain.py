"""Views that write lines: the JSON contract, plain lines at their pace, streams that go away, the choice of a view."""

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from protocol.cli.parsing import DemoOptions, GetOptions
from protocol.cli.views.base import make_view
from protocol.cli.views.json_lines import JsonView
from protocol.cli.views.lines import LineWriter
from protocol.cli.views.live import DisplayView
from protocol.cli.views.plain import PlainView, QuietView
from protocol.messages import (
    ActorDied,
    FrontInbox,
    JobNoted,
    Pong,
    ProcessLost,
    ProcessReady,
    SessionChanged,
)
from protocol.model.job_spec import JobSpec
from tests.protocol.cli.world import MIB, arrived, ended, opened, peer_row, progressed, row
from tests.specs import with_spec

EVIL = "[red]evil\x1b[31m\r\nname"
NEWS: tuple[FrontInbox, ...] = (
    ProcessReady(process="hub", pid=1),
    opened(resumed=MIB, message="went on"),
    row(0, EVIL, stored=3 * MIB, rate=5.0),
    progressed(3 * MIB),
    JobNoted(job=1, text=f"banned: {EVIL}"),
    ProcessLost(process="fetch-1", detail="killed"),
    ActorDied(process="hub", actor="pool", detail="KeyError"),
    Pong(process="hub", serial=1),
    arrived(EVIL),
    row(1, "http://two/x", stored=0, standing="cooling", reason="stalled"),
    row(0, EVIL, stored=4 * MIB, rate=6.0, standing="candidate"),
)


def json_of(*messages: FrontInbox, quiet: bool = False, verbose: bool = False) -> list[dict[str, Any]]:
    stdout = io.StringIO()
    view = JsonView(stdout, quiet=quiet, verbose=verbose)
    for message in messages:
        view.show(message, now_s=1.0)
    view.close()
    assert stdout.getvalue().isascii()
    assert "\x1b" not in stdout.getvalue()
    return [json.loads(line) for line in stdout.getvalue().splitlines()]


def test_the_last_json_line_is_exactly_the_documented_object() -> None:
    last = json_of(*NEWS, ended())[-1]
    assert list(last.items()) == [
        ("event", "job_ended"),
        ("state", "sealed"),
        ("path", "/here/file.iso"),
        ("size", 64 * MIB),
        ("seconds", 8.1),
        ("bytes_received", 64 * MIB),
        ("bytes_resumed", 0),
        ("bytes_refetched", 0),
        ("xxh3_128", "ab" * 16),
        ("identity", last["identity"]),
        ("sources", last["sources"]),
    ]
    assert [list(source.items()) for source in last["sources"]] == [
        [
            ("source", EVIL),
            ("bytes", 4 * MIB),
            ("chunks", 32),
            ("leases", 2),
            ("stops", 1),
            ("rate_bytes_s", 6.0),
            ("standing", "candidate"),
            ("reason", ""),
            ("phase", ""),
            ("peer", None),
            ("queue_place", None),
        ],
        [
            ("source", "http://two/x"),
            ("bytes", 0),
            ("chunks", 0),
            ("leases", 2),
            ("stops", 1),
            ("rate_bytes_s", 0.0),
            ("standing", "cooling"),
            ("reason", "stalled"),
            ("phase", ""),
            ("peer", None),
            ("queue_place", None),
        ],
    ]


@pytest.mark.parametrize("state", ["starved", "disagreed", "disk", "interrupted", "failed"])
def test_without_a_sealed_file_the_last_json_line_says_why(state: str) -> None:
    (last,) = json_of(ended(state, reason="because", path="", size=-1))
    assert (last["event"], last["state"], last["reason"], last["path"]) == ("job_ended", state, "because", "")
    assert last["size"] is None
    assert type(last["seconds"]) is float


def test_json_tells_the_job_s_events_in_order() -> None:
    events = [line["event"] for line in json_of(*NEWS, ended())]
    assert events == ["job_opened", "progress", "note", "note", "note", "job_ended"]
    assert [line["event"] for line in json_of(*NEWS, verbose=True)].count("chunk") == 1
    assert [line["event"] for line in json_of(*NEWS, ended(), quiet=True)] == ["job_ended"]


def test_json_tells_of_a_peer_what_it_does_and_where_we_stand_in_its_queue() -> None:
    rows = (peer_row(0, "ann b", phase="queued", place=4), peer_row(1, "cid", phase="connecting", place=0, stops=2))
    for last in (json_of(*rows, progressed(0))[-1], json_of(*rows, ended())[-1]):
        ann, cid = last["sources"]
        assert (ann["peer"], ann["phase"], ann["queue_place"], ann["stops"]) == ("ann b", "queued", 4, 0)
        assert (cid["peer"], cid["phase"], cid["queue_place"], cid["stops"]) == ("cid", "connecting", None, 2)


def test_json_tells_how_the_login_goes() -> None:
    (event,) = json_of(SessionChanged(state="offline", detail="away", final=False))
    assert event == {"event": "session", "state": "offline", "detail": "away", "final": False}
    assert json_of(SessionChanged(state="offline", detail="away", final=False), quiet=True) == []


def test_plain_tells_of_the_login_once_for_each_state() -> None:
    def changed(state: str, detail: str = "", *, final: bool = False) -> tuple[float, FrontInbox]:
        return 0.0, SessionChanged(state=state, detail=detail, final=final)

    lines = plain_of(
        changed("connecting"),
        changed("offline", "h:1 cannot be reached; trying again in 1 s"),
        changed("connecting"),
        changed("offline", "h:1 cannot be reached; trying again in 2 s"),
        changed("online", "listening at port 7"),
        changed("offline", "\x1b[31mdropped"),
        changed("offline", "the soulseek process died", final=True),
    )
    assert lines == [
        "note: Soulseek: offline, h:1 cannot be reached; trying again in 1 s",
        "note: Soulseek: logged in, listening at port 7",
        "note: Soulseek: offline, \ufffddropped",
        "note: Soulseek: offline, the soulseek process died",
    ]


def test_nothing_follows_the_last_json_line() -> None:
    assert json_of(ended(), *NEWS)[-1]["event"] == "job_ended"


def test_json_progress_comes_at_most_twice_a_second() -> None:
    stdout = io.StringIO()
    view = JsonView(stdout, quiet=False, verbose=False)
    for step in range(100):
        view.show(progressed(step), now_s=step / 20)
    assert len(stdout.getvalue().splitlines()) == 10


def test_json_progress_that_came_too_soon_is_written_when_nothing_follows_it() -> None:
    stdout = io.StringIO()
    view = JsonView(stdout, quiet=False, verbose=False)
    view.show(progressed(0), now_s=0.0)
    view.show(progressed(1), now_s=0.2)
    view.show(progressed(2), now_s=0.3)
    for tenth in range(4, 20):
        view.refresh(now_s=tenth / 10)
    assert [json.loads(line)["bytes_stored"] for line in stdout.getvalue().splitlines()] == [0, 2]


def test_what_is_unknown_is_null_in_json() -> None:
    first, second = json_of(
        opened(size=-1), structs.replace(progressed(5, size=-1, left_s=-1.0), rate_bytes_s=float("inf"))
    )
    assert first["size"] is None
    assert (second["size"], second["left_s"], second["rate_bytes_s"]) == (None, None, None)


def plain_of(*messages: tuple[float, FrontInbox], verbose: bool = False) -> list[str]:
    stderr = io.StringIO()
    view = PlainView(stderr, "file", verbose=verbose)
    for now_s, message in messages:
        view.show(message, now_s=now_s)
    view.close()
    return stderr.getvalue().splitlines()


def test_plain_progress_comes_every_five_seconds() -> None:
    ticks = [(step / 10, progressed(step * MIB // 10)) for step in range(200)]
    lines = plain_of((0.0, row(0, "a")), (0.0, row(1, "b", standing="cooling")), *ticks)
    assert lines[0] == "7 %, 5.0 MiB of 64.0 MiB, 8.0 MiB/s, 5 s left, 1 of 2 sources active"
    assert len(lines) == 3


def test_a_plain_line_is_also_written_when_only_time_goes_by() -> None:
    stderr = io.StringIO()
    view = PlainView(stderr, "file", verbose=False)
    view.show(progressed(MIB, size=-1, left_s=-1.0), now_s=0.0)
    view.refresh(now_s=4.9)
    assert stderr.getvalue() == ""
    view.refresh(now_s=5.0)
    assert stderr.getvalue() == "1.0 MiB, 8.0 MiB/s, 0 of 0 sources active\n"


def test_plain_ends_with_who_sent_what_and_the_last_line() -> None:
    lines = plain_of(*((0.0, message) for message in NEWS), (1.0, ended()))
    assert lines[0] == "/here/file.iso.part: 64.0 MiB, chunks of 128.0 KiB, went on"
    assert lines[1] == "note: banned: [red]evil\ufffd name"
    assert lines[-4] == "who sent what:"
    assert " ".join(lines[-3].split()) == "[red]evil\ufffd name 4.0 MiB 100.0 % 32 chunks 6 B/s 2 leases 1 stop"
    assert lines[-2].split()[-3:] == ["1", "stop", "stalled"]
    assert lines[-1].startswith("sealed: /here/file.iso (64.0 MiB")
    assert all(line.isprintable() for line in lines)


def test_verbose_has_a_line_for_each_chunk() -> None:
    assert plain_of((0.0, arrived()), verbose=True) == ["✓ user1 chunk 0 @ 2847 KB/s [1/512]"]
    assert plain_of((0.0, arrived(count=0)), verbose=True) == ["✓ user1 chunk 0 @ 2847 KB/s [1/?]"]
    assert plain_of((0.0, arrived())) == []


def test_a_peer_s_chunks_are_reported_by_its_name_and_summed_up() -> None:
    name = peer_row(0, "user 1", phase="flowing").name
    assert plain_of((0.0, arrived(name)), verbose=True) == ["✓ user 1 chunk 0 @ 2847 KB/s [1/512]"]
    rows = [peer_row(0, "user 1", phase="", stored=4 * MIB, stops=2), row(1, "http://two/x", stored=MIB)]
    lines = plain_of(*((0.0, each) for each in rows), (0.0, ended()))
    assert " ".join(lines[1].split()) == "user 1 4.0 MiB 80.0 % 32 chunks - 2 leases 2 stops"
    assert " ".join(lines[2].split()) == "two 1.0 MiB 20.0 % 8 chunks - 2 leases 1 stop"


def test_where_nothing_came_each_cause_is_a_line_and_a_single_source_none() -> None:
    gone = ended("starved", reason="one: 404 Not Found", path="", size=-1)
    lost = [row(n, f"http://h{n}/x", standing="banned", reason="404 Not Found") for n in range(5)]
    assert plain_of((0.0, lost[0]), (0.0, gone)) == ["no source can deliver: one: 404 Not Found"]
    assert plain_of((0.0, lost[0]), (0.0, lost[1]), (0.0, gone)) == ["no source can deliver: one: 404 Not Found"]
    closed = ended("starved", reason="h says 401 Unauthorized", path="", size=-1)
    assert plain_of((0.0, closed)) == [
        "no source can deliver: h says 401 Unauthorized; give a login with http://NAME:PASSWORD@HOST/..., --netrc or "
        "--header 'Authorization: ...'"
    ]
    many = plain_of(*((0.0, each) for each in (*lost, row(9, "http://i/x", reason="connection refused"))), (0.0, gone))
    assert many == [
        "  404 Not Found: h0, h1, h2 and 2 more",
        "  connection refused: i",
        "no source can deliver: one: 404 Not Found",
    ]


def test_three_hundred_sources_do_not_flood_a_log() -> None:
    rows = [(0.0, row(source, f"http://h{source}/x", stored=source)) for source in range(300)]
    lines = plain_of(*rows, (0.0, ended()))
    assert len(lines) == 43
    assert "h299" in lines[1]
    assert lines[-2].strip().startswith("and 260 more")


def test_a_reader_that_leaves_silences_the_writer_and_nothing_else() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        lines = LineWriter(stream)
        lines.write("no one reads this")
        lines.write("nor this")


def test_a_poor_encoding_gets_escapes_instead_of_an_error() -> None:
    raw = io.BytesIO()
    lines = LineWriter(io.TextIOWrapper(raw, encoding="latin-1"))
    lines.write("ä 日 \udcff")
    assert raw.getvalue() == b"\xe4 \\u65e5 \\udcff\n"
    assert not lines.encodes_all


def options(**changed: Any) -> GetOptions:
    rest = with_spec(changed, spec=JobSpec(folder="/here"))
    return GetOptions(**{"urls": ("http://h/x",), **rest})


def test_the_view_fits_options_and_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = os.openpty()
    with (
        os.fdopen(slave, "w", encoding="utf-8") as terminal,
        os.fdopen(master, "rb"),
        (tmp_path / "log").open("w", encoding="utf-8") as log,
    ):
        monkeypatch.setenv("TERM", "xterm-256color")
        assert isinstance(make_view(options(), log, terminal), DisplayView)
        assert isinstance(make_view(options(), terminal, log), PlainView)
        assert isinstance(make_view(options(json=True), terminal, terminal), JsonView)
        assert isinstance(make_view(options(quiet=True), terminal, terminal), QuietView)
        demo = DemoOptions(kind="http", json=False, quiet=False, verbose=False)
        assert isinstance(make_view(demo, log, log), PlainView)
        monkeypatch.setenv("TERM", "dumb")
        assert isinstance(make_view(options(), log, terminal), PlainView)
