"""The live display on a terminal that obeys: what stands on it, at every width, with any number and kind of names."""

import io
from typing import Literal

import pytest
from rich.console import Console
from rich.text import Text

from protocol.cli.views.live import (
    DisplayView,
    LiveRegion,
    Shape,
    final_lines,
    live_lines,
    source_colour,
    split_rows,
    strip_text,
)
from protocol.cli.views.progress_state import LEASED, ProgressState
from protocol.messages import JobNoted
from tests.protocol.cli.world import MIB, Screen, arrived, drawn, ended, opened, peer_row, progressed, row

HOSTILE = (
    "[red]x[/red]",
    "a\x1b[31mb",
    "\x1b]0;title\x07",
    "line\nbreak\r",
    "\u202egnp.exe",
    "日本語のとても長い名前のユーザーです" * 4,
    "\udcff",
    "[/]",
    "",
    "x" * 300,
)


def console_of(width: int, height: int = 24, colours: Literal["truecolor"] | None = "truecolor") -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        color_system=colours,
        width=width,
        height=height,
        highlight=False,
        markup=False,
        emoji=False,
        _environ={},
    )


def taken(console: Console) -> str:
    """What was written since the last look."""
    assert isinstance(console.file, io.StringIO)
    output = console.file.getvalue()
    console.file.seek(0)
    console.file.truncate()
    return output


def board_of(sources: int) -> ProgressState:
    board = ProgressState("file.iso")
    board.take(opened(resumed=MIB))
    board.take(progressed(24 * MIB))
    for source in range(sources):
        name = HOSTILE[source // 2 % len(HOSTILE)] if source % 2 else f"http://mirror{source}.example.org/file.iso"
        board.take(row(source, name, stored=source * MIB, rate=source * 1e5, reason="[b]\x1b[2Jslow" * (source % 3)))
    board.take(drawn([1] * 10 + [2 + n % max(1, sources) | (LEASED if n % 3 else 0) for n in range(300)] + [0] * 90))
    return board


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200])
@pytest.mark.parametrize("sources", [0, 1, 8, 300])
@pytest.mark.parametrize("colours", [True, False])
def test_every_line_fits_and_holds_nothing_that_acts(width: int, sources: int, colours: bool) -> None:
    board = board_of(sources)
    shape = Shape(width=width - 1, rows=19, colours=colours)
    lines = live_lines(board, shape)
    board.take(ended())
    for line in (*lines, *final_lines(board, shape)):
        assert line.cell_len <= width - 1
        assert line.plain.isprintable()
    assert len(lines) == 4 + min(sources, 19)


def test_eighty_columns_show_title_bar_strip_and_a_row_for_each_source() -> None:
    board = ProgressState("the file")
    board.take(opened(part="/here/[b]file.iso.part"))
    board.take(progressed(24 * MIB))
    board.take(row(0, "http://one.org/x", stored=18 * MIB, rate=2.0 * MIB))
    board.take(row(1, "http://two.org/x", stored=6 * MIB, standing="cooling", reason="stalled for 15 s"))
    board.take(drawn([1, 1, 2, 2 | LEASED, 3, 0, 0, 0]))
    assert [line.plain for line in live_lines(board, Shape(width=79, rows=10, colours=False))] == [
        "[b]file.iso                                     64.0 MiB, 1 of 2 sources active",
        "━━━━━━━━━━━━━━━──────────────────────────  37 %     8.0 MiB/s          5 s left",
        "####################AAAAAAAAAAaaaaaaaaaaBBBBBBBBBB.............................",
        "",
        "A one.org    18.0 MiB   75.0 %  active        2.0 MiB/s",
        "B two.org     6.0 MiB   25.0 %  cooling    stalled for 15 s",
    ]


def test_a_peer_s_row_shows_its_phase_its_place_and_its_stops() -> None:
    board = ProgressState("the file")
    board.take(opened())
    board.take(peer_row(0, "ann", phase="queued", standing="queued", place=4, stops=0))
    board.take(peer_row(1, "bob smith", phase="flowing", stored=6 * MIB, rate=2.0 * MIB, stops=1))
    board.take(peer_row(2, "cid", phase="granted", stops=0))
    board.take(peer_row(3, "dan", phase="resting", standing="cooling", stops=2, reason="went offline"))
    board.take(row(4, "http://one.org/x", standing="active", rate=1.0 * MIB))
    wide = Shape(width=99, rows=10, colours=False)
    assert [" ".join(line.plain.split()) for line in live_lines(board, wide)[4:]] == [
        "A ann 0 B 0.0 % queued, place 4",
        "B bob smith 6.0 MiB 100.0 % flowing 2.0 MiB/s, 1 stop",
        "C cid 0 B 0.0 % granted",
        "D dan 0 B 0.0 % cooling 2 stops, went offline",
        "E one.org 0 B 0.0 % active 1.0 MiB/s",
    ]
    board.take(ended())
    final = [" ".join(line.plain.split()) for line in final_lines(board, wide)[-5:]]
    assert final[1] == "B bob smith 6.0 MiB 100.0 % 48 chunks, 2.0 MiB/s, 1 stop"
    assert final[3] == "D dan 0 B 0.0 % 0 chunks, 2 stops, went offline"


@pytest.mark.parametrize(
    ("width", "bar", "rows"),
    [
        (80, "━━━━━━━━━━━━━━━──────────────────────────  37 %     8.0 MiB/s   2 min 05 s left",
         ["A one.org                     18.0 MiB   75.0 %  active        2.0 MiB/s",
          "B a-rather-long-name.exam…     6.0 MiB   25.0 %  active        1.0 KiB/s",
          "C ann                              0 B    0.0 %  queued, place 12"]),
        (60, "━━━━━━━──────────────  37 %     8.0 MiB/s   2 min 05 s left",
         ["A one.org                   75.0 %  active        2.0 MiB/s",
          "B a-rather-long-name.exa…   25.0 %  active        1.0 KiB/s",
          "C ann                        0.0 %  queued, place 12"]),
        (40, "━━━━────────  37 % 8.0 MiB/s 2 min 05 s",
         ["A one.org       active        2.0 MiB/s",
          "B a-rather-lo…  active        1.0 KiB/s",
          "C ann           queued, place 12"]),
    ],
)  # fmt: skip
def test_time_left_whole_rates_and_places_are_shown_at_every_usual_width(width: int, bar: str, rows: list[str]) -> None:
    board = ProgressState("the file")
    board.take(opened())
    board.take(progressed(24 * MIB, left_s=125))
    board.take(row(0, "http://one.org/x", stored=18 * MIB, rate=2.0 * MIB))
    board.take(row(1, "http://a-rather-long-name.example.org/x", stored=6 * MIB, rate=1024))
    board.take(peer_row(2, "ann", phase="queued", standing="queued", place=12))
    lines = live_lines(board, Shape(width=width - 1, rows=10, colours=False))
    assert [lines[1].plain, *(line.plain for line in lines[4:])] == [bar, *rows]


@pytest.mark.parametrize("width", [40, 60, 64, 80, 120])
def test_a_rate_is_whole_beside_a_reason(width: int) -> None:
    board = ProgressState("the file")
    board.take(opened())
    board.take(row(0, "http://a-rather-long-name.example.org/x", rate=63.2 * 1024, reason="stalled for 15 s"))
    assert "63.2 KiB/s" in live_lines(board, Shape(width=width - 1, rows=10, colours=False))[-1].plain


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_after_the_end_no_row_says_what_a_source_is_doing(width: int) -> None:
    board = ProgressState("the file")
    board.take(opened())
    board.take(row(0, "http://one.org/x", stored=64 * MIB, rate=2.0 * MIB))
    board.take(peer_row(1, "ann", phase="queued", standing="queued", place=12))
    board.take(row(2, "http://two.org/x", standing="banned", reason="404 Not Found"))
    shape = Shape(width=width - 1, rows=10, colours=False)
    assert "given up" in live_lines(board, shape)[-1].plain
    board.take(ended())
    text = "\n".join(line.plain for line in final_lines(board, shape))
    for word in ("active", "queued", "place", "banned", "given up"):
        assert word not in text
    assert "512 chunks" in text


@pytest.mark.parametrize("width", [40, 60, 80])
def test_after_the_end_the_rates_are_whole_and_machines_are_reported_apart_by_their_ports(width: int) -> None:
    board = ProgressState("the file")
    board.take(opened())
    for port in (21900, 21901):
        board.take(row(port - 21900, f"http://127.0.0.1:{port}/x", stored=32 * MIB, rate=300.5 * 1024))
    board.take(ended())
    rows = [line.plain for line in final_lines(board, Shape(width=width - 1, rows=10, colours=False))[-2:]]
    assert all("300.5 KiB/s" in each and "256 chunks" in each for each in rows)
    assert [each[2:].split()[0].rpartition("21")[2] for each in rows] == ["900", "901"]


def test_of_one_source_is_not_said_how_many_of_it_are_active() -> None:
    board = ProgressState("the file")
    board.take(opened())
    board.take(row(0, "http://one.org/x", stored=64 * MIB, rate=2.0 * MIB))
    wide = Shape(width=99, rows=10, colours=False)
    assert live_lines(board, wide)[0].plain.split() == ["file.iso", "64.0", "MiB"]
    board.take(ended())
    assert final_lines(board, wide)[0].plain.split() == ["file.iso", "64.0", "MiB"]


def test_a_row_has_the_colour_of_its_cells() -> None:
    strip = strip_text([2, 3 | LEASED, 0], 3, colours=True)
    assert strip.plain == "█░·"
    assert [str(span.style) for span in strip.spans][:2] == [source_colour(0), source_colour(1)]
    board = ProgressState("x")
    board.take(row(1, "two"))
    assert source_colour(1) in {str(span.style) for span in live_lines(board, Shape(79, 9, True))[-1].spans}


def test_a_strip_without_a_map_is_missing_and_a_short_one_is_stretched() -> None:
    assert strip_text((), 5, colours=False).plain == "....."
    assert strip_text([2, 0], 6, colours=False).plain == "AAA..."
    assert strip_text([2, 2, 2, 0, 0, 0, 0, 0], 2, colours=False).plain == "A."
    assert strip_text([LEASED, LEASED | 1], 2, colours=False).plain == ".."


def test_of_many_sources_the_busiest_are_shown_in_their_order() -> None:
    rows = [row(n, f"s{n}", rate=1000.0 * (n % 100), standing="active" if n % 2 else "cooling") for n in range(300)]
    shown, rest = split_rows(rows, 20, final=False)
    assert (len(shown), len(rest)) == (19, 281)
    assert [entry.source for entry in shown] == sorted(entry.source for entry in shown)
    assert all(entry.standing == "active" and entry.rate_bytes_s >= 65_000 for entry in shown)
    assert len(split_rows(rows, 0, final=False)[1]) == 300


def test_what_is_not_shown_is_counted() -> None:
    last = live_lines(board_of(300), Shape(width=79, rows=19, colours=True))[-1].plain
    assert last.startswith("... and 282 more: ")
    assert "282 active at" in last


def test_where_nothing_came_no_table_of_zeros_is_left() -> None:
    board = ProgressState("x")
    board.take(row(0, "http://a/x", standing="banned", reason="a says 404 Not Found"))
    board.take(ended("starved", size=-1))
    assert final_lines(board, Shape(79, 9, True)) == []
    board.take(row(1, "http://b/x", standing="banned", reason="b says 403 Forbidden"))
    lines = [line.plain for line in final_lines(board, Shape(79, 9, True))]
    assert lines == ["  404 Not Found: a", "  403 Forbidden: b"]


def test_drawing_again_replaces_the_region_and_keeps_what_is_above() -> None:
    console, screen = console_of(30), Screen(30)
    region = LiveRegion(console)
    region.draw([Text("first"), Text("second, rather long")])
    region.draw([Text("1st"), Text("2nd"), Text("3rd")], [Text("a note [red]"), Text("long " * 9)])
    region.draw([Text("only")])
    screen.feed(taken(console))
    assert screen.rows == ["a note [red]", ("long " * 6), "long long long ", "only", ""]


def test_a_window_made_narrower_leaves_nothing_behind() -> None:
    console, screen = console_of(60), Screen(60)
    region = LiveRegion(console)
    region.draw([Text("x" * 59), Text("short"), Text("y" * 45)], [Text("a note")])
    screen.feed(taken(console))
    screen.narrow(20)
    console.width = 20
    region.draw([Text("now"), Text("narrow")])
    screen.feed(taken(console))
    assert screen.rows == ["a note", "now", "narrow", ""]


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("sources", [1, 8, 300])
def test_a_whole_job_leaves_notes_the_table_and_one_last_line(width: int, sources: int) -> None:
    console, screen = console_of(width), Screen(width)
    view = DisplayView(console, "the file", verbose=True)
    view.show(opened(message="went on"), now_s=0.0)
    for step in range(20):
        for source in range(sources):
            view.show(row(source, f"http://h{source}/x", stored=step * MIB, rate=1e6), now_s=step / 10)
        view.show(progressed(step * MIB), now_s=step / 10)
        view.show(arrived(chunk=step), now_s=step / 10)
        view.refresh(now_s=step / 10)
        screen.feed(taken(console))
        assert len(screen.rows) - 1 <= 23 + step + 1
    view.show(JobNoted(job=1, text="[red]mind\x1b[2J"), now_s=2.01)
    view.show(ended(path="/here/[b]f"), now_s=2.02)
    view.refresh(now_s=9.0)
    view.close()
    screen.feed(taken(console))
    text = "".join(row.ljust(width) if len(row) == width else row + "\n" for row in screen.rows)
    lines = text.rstrip("\n").splitlines()
    assert lines[0] == "went on"
    assert [line for line in lines if line.startswith("✓")][-1] == "✓ user1 chunk 19 @ 2847 KB/s [1/512]"
    assert "note: [red]mind\ufffd" in lines
    assert lines[-1].startswith("sealed: /here/[b]f (64.0 MiB in 8.1 s")
    assert sum(line.startswith("file.iso ") for line in lines) == 1, "no live frame is left over"
    assert sum(line.startswith("■ h") for line in lines) == min(sources, 18 if sources > 19 else 19)


def test_it_draws_at_most_five_times_a_second() -> None:
    console = console_of(80)
    view = DisplayView(console, "x", verbose=False)
    writes = 0
    for step in range(100):
        view.show(progressed(step), now_s=step / 100)
        view.refresh(now_s=step / 100)
        writes += bool(taken(console))
    assert writes == 5


def test_closing_early_writes_what_was_waiting_and_is_allowed_twice() -> None:
    console = console_of(80)
    view = DisplayView(console, "x", verbose=False)
    view.refresh(now_s=0.0)
    view.show(JobNoted(job=1, text="waiting"), now_s=0.01)
    assert "waiting" not in taken(console)
    view.close()
    assert "waiting" in taken(console)
    view.close()
    assert taken(console) == ""


def test_a_tiny_window_and_no_colours_still_work() -> None:
    console, screen = console_of(30, height=4, colours=None), Screen(30)
    view = DisplayView(console, "x", verbose=False)
    for source in range(30):
        view.show(row(source, f"s{source}"), now_s=source * 1.0)
    screen.feed(taken(console))
    assert len(screen.rows) <= 6


def test_a_sealed_file_has_no_cell_on_its_way() -> None:
    board = ProgressState("x")
    board.take(drawn([2, 3 | LEASED]))
    board.take(ended())
    assert final_lines(board, Shape(20, 5, False))[1].plain == "A" * 10 + "B" * 10
    board.take(drawn([2, 0]))
    assert final_lines(board, Shape(20, 5, False))[1].plain == "", "no strip with holes for a file that has none"
