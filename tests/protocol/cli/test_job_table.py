"""Tables of jobs and targets, lines about events, words for a shell."""

import io
import json
import re
from typing import Any

import pytest
from rich.console import Console

from protocol.cli.commands.jobs import limit_line, why_lines
from protocol.cli.remote.download import accounted
from protocol.cli.remote.job_ids import proposed
from protocol.cli.views.job_table import job_line, job_lines, target_fields, target_lines
from protocol.cli.views.lines import JsonRows
from protocol.cli.views.monitor import PlainMonitor, event_line, job_row, monitor_lines
from protocol.client.saved_pool import Pool
from tests.protocol.cli.messages import ID, job_json, source_json

EVIL = "\x1b]0;evil\x07\u202e"


def test_jobs_are_a_table_with_short_ids() -> None:
    head, row = job_lines([job_json(source_json(0), source_json(1))])
    assert head.split() == ["id", "state", "done", "size", "rate", "left", "sources", "name"]
    assert re.split(" {2,}", row) == ["3f0c9f0e", "riding", "37 %", "1000 B", "50 B/s", "13 s", "1/2", "tide.flac"]
    assert job_lines([]) == []


@pytest.mark.parametrize(
    ("members", "line"),
    [
        ({"state": "paused"}, "3f0c9f0e paused: tide.flac (37 % of 1000 B)"),
        ({"state": "sealed", "storedBytes": 1000}, "3f0c9f0e sealed: tide.flac (100 % of 1000 B)"),
        (
            {"state": "queued", "sizeBytes": None, "name": "", "term": "quartet"},
            "3f0c9f0e queued: quartet (size unknown)",
        ),
        ({"state": "failed", "reason": "404"}, "3f0c9f0e failed: tide.flac (37 % of 1000 B, 404)"),
        ({"state": "failed", "storedBytes": 999}, "3f0c9f0e failed: tide.flac (99 % of 1000 B)"),
    ],
)
def test_one_job_in_a_line(members: dict[str, Any], line: str) -> None:
    assert job_line(job_json(**members)) == line


def test_no_table_or_line_has_anything_that_a_terminal_acts_on() -> None:
    job = job_json(name=EVIL, reason=EVIL, phase=EVIL, leftS=None)
    pool = Pool().with_source("http://h/x", size_bytes=5, name=EVIL)
    event = {"timestamp": "2026-11-25T15:00:00.000Z", "type": EVIL, "job": ID, "data": {"reason": EVIL, "url": EVIL}}
    why = {"text": "", "bindings": [{"kind": EVIL, "text": EVIL}]}
    lines = [*job_lines([job]), job_line(job), job_row(job), *target_lines(pool.targets), *why_lines(why)]
    lines += [event_line(event, "x"), *(line.plain for line in monitor_lines([job], 200, 10))]
    assert all(line.isprintable() for line in lines)
    assert sum("\ufffd" in line for line in lines) >= 7


def test_objects_for_programs_are_plain_ascii_and_show_no_password() -> None:
    out = io.StringIO()
    (target,) = Pool().with_source("http://me:s3cr3t@h/x", size_bytes=5, name=EVIL).targets
    JsonRows(out).write(target_fields(target))
    assert out.getvalue().isascii()
    assert out.getvalue().count("\n") == 1
    assert "s3cr3t" not in out.getvalue()
    assert json.loads(out.getvalue())["name"] == EVIL


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ("job.queued", {"name": "tide.flac", "size": 2048, "origin": "cli"}, "2.0 KiB"),
        ("job.sealed", {"path": "/d/x", "sizeBytes": 1024, "seconds": 61.0}, "/d/x, 1.0 KiB, 1 min 01 s"),
        ("job.failed", {"outcome": "starved", "reason": "404", "storedBytes": 0}, "starved, 404"),
        ("job.changed", {"limitBytesS": 1024, "priority": 3}, "limit 1.0 KiB/s, priority 3"),
    ],
)
def test_what_happened_is_a_line(kind: str, data: dict[str, Any], words: str) -> None:
    event = {"timestamp": "2026-11-25T15:00:00.000Z", "type": kind, "job": ID, "data": data}
    line = event_line(event, "tide.flac")
    assert re.fullmatch(rf"\d\d:\d\d:\d\d 3f0c9f0e {kind} tide\.flac: .*", line)
    assert words in line


def test_the_monitor_fits_every_terminal() -> None:
    jobs = [job_json(source_json(0), name="n" * 300, storedBytes=n) for n in range(50)]
    for width in (10, 40, 80, 200):
        lines = monitor_lines(jobs, width, 24)
        assert len(lines) < 24
        assert all(line.cell_len <= width for line in lines)
        assert Console(width=width).width == width
    assert monitor_lines(jobs, 80, 24)[0].plain == "50 active jobs, 2.4 KiB/s together"
    assert monitor_lines(jobs, 80, 24)[-1].plain == "... and 29 more"


def test_where_nothing_can_be_drawn_the_monitor_repeats_itself_only_now_and_then() -> None:
    out = io.StringIO()
    shown = PlainMonitor(out)
    for tenth in range(200):
        shown.jobs([job_json()], now_s=tenth / 10)
    assert len(out.getvalue().splitlines()) == 2


def test_limits_are_said_with_their_units() -> None:
    assert limit_line({"limit": 0, "rateBytesS": 0.0}) == "no limit, now 0 B/s"
    assert limit_line({"limit": 2048, "rateBytesS": 1024.0}) == "at most 2.0 KiB/s, now 1.0 KiB/s"


def test_a_shell_is_proposed_nothing_that_it_could_act_on() -> None:
    evil = "\\\"; touch x; $(id) `id` ' \n\x1b: <>|&*?[]{}~#!%"
    jobs = [job_json(name=evil), job_json(id="$(id)"), job_json(id=ID.replace("3", "4"), name=None, term="tide")]
    offered = proposed(jobs, "")
    assert [id for id, _ in offered] == [ID, ID.replace("3", "4")]
    assert all(re.fullmatch(r"[\w .,+-]*", words) for _, words in offered)
    assert offered[1][1] == "active tide"
    assert [id for id, _ in proposed(jobs, "4f")] == [ID.replace("3", "4")]


@pytest.mark.parametrize(
    ("runs", "hole"),
    [
        ([(0, 5, 1), (5, 10, 2)], None),
        ([(0, 5, 1), (6, 10, 2)], 5),
        ([(1, 10, 1)], 0),
        ([(0, 9, 1)], 9),
        ([], 0),
        ([(0, 10, None)], None),
    ],
)
def test_a_hole_in_a_manifest_is_found(runs: list[tuple[int, int, int | None]], hole: int | None) -> None:
    rows = ({"startByte": start, "stopByte": stop, "source": source} for start, stop, source in runs)
    assert accounted(rows, 10)[0] == hole


def test_an_empty_file_has_no_hole() -> None:
    assert accounted(iter(()), 0) == (None, 0)
