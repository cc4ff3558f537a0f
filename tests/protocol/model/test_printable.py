"""Words and amounts as people read them, the last line of every end, and its exit code."""

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.cli.views.outcome import ExitCode, exit_code_of, last_line
from protocol.cli.views.plain import QuietView
from protocol.cli.views.progress_state import ProgressState
from protocol.model.printable import printable, short_names
from protocol.model.units import parse_size, show_percent, show_rate, show_size, show_time, show_whole_time
from tests.protocol.cli.world import MIB, ended, opened, progressed, row


@given(st.text())
def test_printable_text_is_one_line_that_no_terminal_acts_on(text: str) -> None:
    shown = printable(text)
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert printable(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [red]name[/]", "plain [red]name[/]"),
        ("日本語", "日本語"),
        ("a\x1b[31;1mb", "a\ufffdb"),
        ("a\x1b]0;title\x07b", "a\ufffdb"),
        ("a\x9b2Jb", "a\ufffdb"),
        ("a\r\n\tb", "a b"),
        ("a\u202eb", "a\ufffdb"),
        ("a\x1b", "a\ufffd"),
        ("\udcff", "\ufffd"),
    ],
)
def test_escape_sequences_leave_a_mark_and_nothing_else(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_names_are_short_where_the_host_tells_them_apart() -> None:
    names = ["http://a.org/f", "https://b.org:81/f", "http://c.org/f", "http://c.org/g", "user1", "user 2/x"]
    assert short_names(names) == ["a.org", "b.org:81", "c.org/f", "c.org/g", "user1", "user 2/x"]


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024 * 1024 - 1, "1.0 MiB"),
        (64 * MIB, "64.0 MiB"),
        (5000 * 1024**4, "5000.0 TiB"),
        (-1, "?"),
    ],
)
def test_sizes(amount: int, shown: str) -> None:
    assert show_size(amount) == shown


@given(st.integers(0, 2**62))
def test_a_shown_size_read_again_is_the_size_but_for_rounding(size: int) -> None:
    assert parse_size(show_size(size)) == pytest.approx(size, rel=0.06)


def test_rates_times_and_shares() -> None:
    assert [show_rate(rate) for rate in (0.0, 2847 * 1024, float("nan"))] == ["0 B/s", "2.8 MiB/s", "?"]
    assert [show_time(s) for s in (0.44, 8.1, 59.96, 130, 3900, 90000)] == [
        "0.4 s",
        "8.1 s",
        "1 min 00 s",
        "2 min 10 s",
        "1 h 05 min",
        "1 d 01 h",
    ]
    assert show_whole_time(4.6) == "5 s"
    assert [show_percent(*pair) for pair in ((0, 3), (999, 1000), (3, 3), (0, 0))] == ["0 %", "99 %", "100 %", "100 %"]


def board(*, stored: int = 0, size: int = 64 * MIB) -> ProgressState:
    """Known to the view: so much is stored, three of four sources gave."""
    subject = ProgressState("file.iso")
    subject.take(opened(size=size))
    subject.take(progressed(stored, size=size))
    for source in range(4):
        subject.take(row(source, f"http://h{source}/x", stored=stored // 3 if source else 0))
    return subject


def line_of(state: str, *, stored: int = 0, reason: str = "", path: str = "/here/f", resumed: int = 0) -> str:
    subject = board(stored=64 * MIB if state == "sealed" else stored)
    last = ended(state, reason=reason, path=path, resumed=resumed)
    subject.take(last)
    return last_line(subject, last)


PART = 24 * MIB


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (line_of("sealed"), "sealed: /here/f (64.0 MiB in 8.1 s, 7.9 MiB/s, 3 sources)"),
        (
            line_of("sealed", resumed=32 * MIB),
            "sealed: /here/f (64.0 MiB in 8.1 s, 4.0 MiB/s, 3 sources, 32.0 MiB were here before)",
        ),
        (
            line_of("starved", stored=PART, reason="404 everywhere."),
            "no source can deliver: 404 everywhere; the same command goes on from 37 %",
        ),
        (line_of("late", stored=PART, reason="2 s"), "time is up: 2 s; the same command goes on from 37 %"),
        (line_of("starved", reason="no such host"), "no source can deliver: no such host"),
        (
            line_of("disagreed", stored=PART, reason="sha256 differs", path="/here/f.part"),
            "content disagrees: sha256 differs; what came is kept in /here/f.part",
        ),
        (line_of("disagreed", reason="sizes differ", path=""), "content disagrees: sizes differ"),
        (
            line_of("disk", stored=PART, reason="no space left"),
            "disk or folder: no space left; the same command goes on from 37 %",
        ),
        (line_of("interrupted", stored=PART), "interrupted; the same command goes on from 37 %"),
        (line_of("interrupted"), "interrupted; nothing was stored yet"),
        (
            line_of("failed", stored=PART, reason="hub/pool died"),
            "our fault: hub/pool died; the same command goes on from 37 %",
        ),
        (line_of("failed"), "our fault: no reason was given"),
        (line_of("starved", reason="a\nb\x1b[2J"), "no source can deliver: a b\ufffd"),
    ],
)
def test_the_last_line_names_whose_fault_it_is(line: str, expected: str) -> None:
    assert line == expected


def test_of_unknown_size_the_last_line_says_that_it_starts_over() -> None:
    subject = board(stored=PART, size=-1)
    last = ended("interrupted", size=-1)
    subject.take(last)
    assert last_line(subject, last) == "interrupted; the file's size is unknown, so the same command starts over"


def test_an_empty_file_is_sealed_without_a_rate() -> None:
    subject = ProgressState("")
    last = ended(size=0, seconds=0.2)
    subject.take(last)
    assert last_line(subject, last) == "sealed: /here/file.iso (0 B in 0.2 s, 0 sources)"


def test_every_state_has_the_documented_exit_code() -> None:
    states = ("sealed", "failed", "starved", "disagreed", "disk", "interrupted", "never heard of")
    assert [int(exit_code_of(state)) for state in states] == [0, 1, 3, 4, 5, 130, 1]
    assert int(ExitCode.USAGE) == 2


def test_quiet_says_nothing_but_why_there_is_no_file() -> None:
    for state, lines in (("sealed", 0), ("starved", 1)):
        stderr = io.StringIO()
        view = QuietView(stderr, "x")
        for message in (opened(), progressed(5), row(0, "a"), ended(state, reason="why")):
            view.show(message, now_s=0.0)
        view.refresh(now_s=100.0)
        view.close()
        assert stderr.getvalue().count("\n") == lines
