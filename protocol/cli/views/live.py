"""Live display of a job on a terminal: title, progress bar, chunk map and a row for each source, five times a second.

Everything known is in the `ProgressState`; a draw makes all lines again for the terminal's size of that moment. rich
makes styled text of them. Its `Live` is not used: it counts the rows that it drew as if a narrower window had not
folded them, and it hides the cursor, which a killed program leaves hidden. A `Table` of 40 rows costs 17 ms a draw,
these rows a quarter of it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, TextIO

from rich.cells import set_cell_size
from rich.console import Console
from rich.text import Text

from protocol.cli.views.lines import LineWriter
from protocol.cli.views.outcome import cause_lines, identity_lines, last_line, share_text
from protocol.cli.views.plain import Notes, chunk_line
from protocol.cli.views.progress_state import (
    ACTIVE,
    FIRST_SOURCE,
    LEASED,
    MISSING,
    RESUMED,
    SAID_STATES,
    SAME_COMMAND,
    ProgressState,
    phase_words,
    state_word,
)
from protocol.messages import ChunkArrived, FrontInbox, JobEnded, JobOpened, SourceProgressed
from protocol.model.printable import count_of, printable
from protocol.model.units import show_percent, show_rate, show_size, show_whole_time

DRAW_EVERY_S: Final = 0.2
ROWS_MAX: Final = 40
LINES_BESIDE_ROWS: Final = 5
"""Title, bar, map, an empty one, and the line that the cursor is on."""
DIM: Final = "bright_black"
PALETTE: Final = (
    "#4fa8e8",
    "#f0a030",
    "#58b868",
    "#e06868",
    "#b07ae0",
    "#d8c840",
    "#38b8a8",
    "#e878b0",
    "#8890f0",
    "#a0c850",
    "#c89070",
    "#70c8e8",
)
"""Readable on dark and on light ground; source n has colour n modulo their number."""
_STANDING_STYLES: Final = {"active": "green", "queued": "cyan", "cooling": "yellow", "banned": "red"}
_END_STYLES: Final = {"sealed": "bold green", "interrupted": "bold yellow"}
_SHARE_BAR: Final = 12
MORE_CELLS_MIN: Final = 6
"""Room without which the words behind the first ones of a row are left out."""


class LiveRegion:
    """The lower lines of a terminal, drawn over and over; what is written above them stays.

    Only relative moves and erasing are used and no state of the terminal is changed, so a killed program leaves nothing
    to repair. The width is read for every draw: a narrower terminal has folded the old lines, and they are counted so.
    One thread; nothing else writes there meanwhile.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._writer = LineWriter(console.file)  # type: ignore[arg-type]  # rich says IO[str]
        self._widths: list[int] = []

    def draw(self, lines: Sequence[Text], above: Iterable[Text] = ()) -> None:
        """Replace the region. `above` goes over it for good and may be longer than the terminal is wide."""
        width = max(1, self._console.width)
        rows = sum(max(1, -(-length // width)) for length in self._widths)
        with self._console.capture() as captured:
            every = Text("\n").join([*above, *lines])
            self._console.print(every, end="", soft_wrap=True, no_wrap=True, overflow="ignore", crop=False)
        body = captured.get().replace("\n", "\x1b[K\n") + "\x1b[K\n" if every or lines else ""
        self._writer.write_raw((f"\r\x1b[{rows}A" if rows else "\r") + body + "\x1b[J")
        self._widths = [min(line.cell_len, width) for line in lines]

    def release(self) -> None:
        """Leave what was drawn as it is; the next draw begins below."""
        self._widths = []


def console_on(stderr: TextIO) -> Console:
    """A console that draws on this terminal and changes nothing of what it prints."""
    return Console(file=stderr, highlight=False, markup=False, emoji=False, force_terminal=True, legacy_windows=False)


class DisplayView:
    """`FrontView` on a terminal. Owns the lower lines of it until `JobEnded` or `close`."""

    def __init__(self, console: Console, title: str, *, verbose: bool, again: str = SAME_COMMAND) -> None:
        self._console = console
        self._region = LiveRegion(console)
        self._board = ProgressState(title, again)
        self._notes = Notes()
        self._verbose = verbose
        self._above: list[Text] = []
        self._draw_due_s = -math.inf

    def show(self, message: FrontInbox, *, now_s: float) -> None:
        """Take one message; notes and ``--verbose`` lines go above the region with the next draw."""
        if self._board.ended is not None:
            return
        self._board.take(message)
        match message:
            case JobEnded():
                last = Text(last_line(self._board, message), _END_STYLES.get(message.state, "bold red"))
                identity = [Text(line) for line in identity_lines(message)]
                self._draw((), [*final_lines(self._board, self._shape()), *identity, last])
                self._region.release()
                return
            case ChunkArrived() if self._verbose:
                self._above.append(Text(chunk_line(message, self._board.label(message.name), "✓")))
            case JobOpened() if message.message:
                self._above.append(Text(printable(message.message)))
            case _:
                if note := self._notes.line(message):
                    self._above.append(Text(note, "yellow"))
        self.refresh(now_s=now_s)

    def refresh(self, *, now_s: float) -> None:
        """Draw when a draw is due; cheap when not."""
        if now_s >= self._draw_due_s and self._board.ended is None:
            self._draw_due_s = now_s + DRAW_EVERY_S
            self._draw(live_lines(self._board, self._shape()))

    def close(self) -> None:
        """Leave what was drawn last, and write lines that were waiting."""
        if self._above:
            self._draw(live_lines(self._board, self._shape()))
        self._region.release()

    def _draw(self, lines: Sequence[Text], last: Sequence[Text] = ()) -> None:
        above, self._above = self._above, []
        self._region.draw(lines, [*above, *last])

    def _shape(self) -> "Shape":
        console = self._console
        rows = max(0, min(ROWS_MAX, console.height - LINES_BESIDE_ROWS))
        colours = console.color_system is not None and not console.no_color
        # The last column stays free: a terminal may or may not go to the next line when it is filled.
        return Shape(width=console.width - 1, rows=rows, colours=colours)


@dataclass(frozen=True, slots=True)
class Shape:
    """Size of the display: columns of the terminal, source rows, and whether colours tell the sources apart."""

    width: int
    rows: int
    colours: bool


def live_lines(board: ProgressState, shape: Shape) -> list[Text]:
    """The whole region while a job runs. Every line fits the width."""
    strip = strip_text(board.cells, shape.width, colours=shape.colours)
    rows = _source_lines(board, shape, final=False)
    return _cropped([_title_line(board, shape.width), _bar_line(board, shape.width), strip, Text(), *rows], shape.width)


def final_lines(board: ProgressState, shape: Shape) -> list[Text]:
    """Return what stays on the terminal: the bytes of each source, and the part that came from each."""
    if not board.stored_by_sources and not board.stored_bytes:
        return [Text(line) for line in cause_lines(board)]
    cells = board.cells
    if board.ended is not None and board.ended.state == "sealed":
        # The last map is a moment older than the end: of a sealed file everything is stored by now.
        cells = () if MISSING in cells else tuple(cell & ~LEASED for cell in cells)
    strip = [strip_text(cells, shape.width, colours=shape.colours)] if cells else []
    rows = _source_lines(board, shape, final=True)
    return _cropped([_title_line(board, shape.width), *strip, Text(), *rows], shape.width)


def _cropped(lines: list[Text], width: int) -> list[Text]:
    for line in lines:
        line.truncate(width)
    return lines


def _title_line(board: ProgressState, width: int) -> Text:
    size = show_size(board.size_bytes) if board.size_bytes >= 0 else "size unknown"
    sources = count_of(len(board.rows), "source")
    if len(board.rows) == 1:
        facts = size
    elif board.ended is None:
        facts = f"{size}, {board.active_count} of {sources} active"
    else:
        facts = f"{size}, {board.giver_count} of {sources} sent it"
    if width < 56:
        facts = size
    return Text.assemble((_fit(board.title, width - len(facts) - 1), "bold"), " ", (facts, DIM))


def _bar_line(board: ProgressState, width: int) -> Text:
    progress, size = board.progress, board.size_bytes
    rate = show_rate(progress.rate_bytes_s) if progress is not None else "-"
    left = show_whole_time(progress.left_s) if progress is not None and progress.left_s >= 0 else ""
    if progress is not None and progress.state in SAID_STATES:
        left = phase_words(progress)
    elif left and width >= 50:
        left += " left"
    done = show_percent(board.stored_bytes, size) if size >= 0 else show_size(board.stored_bytes)
    facts = f" {done:>5}  {rate:>12}  {left:>16}" if width >= 50 else f" {done:>5} {rate} {left}".rstrip()
    length = max(0, width - len(facts))
    filled = min(max(length * board.stored_bytes // size, 0), length) if size > 0 else 0
    return Text.assemble(("━" * filled, "green"), ("─" * (length - filled), DIM), (facts, "bold"))


# The chunk map: who holds which part of the file, drawn as one line.


def source_colour(source: int) -> str:
    """The colour of a source, in its row and in the map."""
    return PALETTE[source % len(PALETTE)]


def source_letter(source: int) -> str:
    """Return the letter of a source in its row and in the map without colours, small while leased."""
    return chr(ord("A") + source % 26)


def strip_text(cells: Sequence[int], width: int, *, colours: bool) -> Text:
    """`width` cells wide. Full: stored; grey: here before; light: leased, on its way; a point: missing."""
    strip = Text(no_wrap=True)
    for value, same in groupby(_resampled(cells, width)):
        sign, style = _cell(value, colours)
        strip.append(sign * len(list(same)), style)
    return strip


def _resampled(cells: Sequence[int], width: int) -> list[int]:
    """Return what most of the cells behind each column are; of equals the first."""
    count = len(cells)
    if count == 0:
        return [MISSING] * width
    firsts = [column * count // width for column in range(width)]
    stops = [max(first + 1, (column + 1) * count // width) for column, first in enumerate(firsts)]
    return [
        cells[first] if stop == first + 1 else Counter(cells[first:stop]).most_common(1)[0][0]
        for first, stop in zip(firsts, stops, strict=True)
    ]


def _cell(value: int, colours: bool) -> tuple[str, str]:
    number = value & ~LEASED
    if number == MISSING or value == LEASED | RESUMED:
        return ("·" if colours else "."), DIM
    if number == RESUMED:
        return ("█" if colours else "#"), "grey58"
    source, leased = number - FIRST_SOURCE, bool(value & LEASED)
    if colours:
        return ("░" if leased else "█"), source_colour(source)
    letter = source_letter(source)
    return (letter.lower() if leased else letter), ""


# A row for each source.


def _source_lines(board: ProgressState, shape: Shape, *, final: bool) -> list[Text]:
    shown, rest = split_rows(board.sorted_rows, shape.rows, final=final)
    names = max((Text(board.label(row.name)).cell_len for row in shown), default=0)
    room = min(names, _name_room(shape.width) - (final and shape.width < 50))
    labels = [board.label(row.name) for row in shown]
    alike = len({_fit(label, room) for label in labels}) < len(labels)  # one machine, several ports
    fitted = [_fit_middle(label, room) if alike else _fit(label, room) for label in labels]
    lines = [_row_line(row, name, board, shape, final=final) for row, name in zip(shown, fitted, strict=True)]
    if rest:
        lines.append(Text(_rest_words(rest), DIM))
    return lines


def _name_room(width: int) -> int:
    """Columns for names, beside a state and a rate that are always whole."""
    room = width - 27 - (9 if width >= 50 else 0) - (12 if width >= 64 else 0)
    return max(6, min(room, 24 if width < 100 else 36 if width < 160 else 60))


def split_rows(
    rows: Sequence[SourceProgressed], most: int, *, final: bool
) -> tuple[list[SourceProgressed], list[SourceProgressed]]:
    """``(shown, rest)``: the busiest that fit, in the order the sources were given, so that rows do not jump.

    At the end the busiest are those that sent most.
    """
    if len(rows) <= most:
        return list(rows), []
    most = max(most - 1, 0)  # one line says what is not shown
    ranked = sorted(rows, key=lambda row: (-row.bytes_stored, row.source) if final else _busy(row))
    return sorted(ranked[:most], key=lambda row: row.source), ranked[most:]


def _busy(row: SourceProgressed) -> tuple[int, ...]:
    # Rates compare by their power of two: a display must not reorder at every change of the network.
    return int(row.standing != ACTIVE), -int(row.rate_bytes_s).bit_length(), -row.bytes_stored, row.source


def _rest_words(rest: Sequence[SourceProgressed]) -> str:
    active = sum(row.standing == ACTIVE for row in rest)
    rate = show_rate(sum(row.rate_bytes_s for row in rest if row.standing == ACTIVE))
    stored = show_size(sum(row.bytes_stored for row in rest))
    return f"... and {len(rest)} more: {stored}" + (f", {active} active at {rate} together" if active else "")


def _row_line(row: SourceProgressed, name: str, board: ProgressState, shape: Shape, *, final: bool) -> Text:
    width, colour = shape.width, source_colour(row.source) if shape.colours else ""
    line = Text.assemble((("■" if shape.colours else source_letter(row.source)), colour), " ")
    line.append(name, "" if row.standing == ACTIVE or final else DIM)
    if width >= 64:
        line.append(f"  {show_size(row.bytes_stored):>10}")
    if width >= 50:
        line.append(f"  {share_text(row.bytes_stored, board.stored_by_sources):>7}")
    line.append("  ")
    if width >= 100:
        line.append(_share_bar(row.bytes_stored, board.most_of_one), colour)
    words = _tail_words(row, line, width, final=final)
    room = max(0, width - line.cell_len)
    if len(words) > 1 and room < Text(words[0]).cell_len + MORE_CELLS_MIN:
        words = words[:1]  # a rate is whole: an ellipsis would take its last letter
    line.append(_fit(", ".join(words), room))
    line.rstrip()
    return line


def _tail_words(row: SourceProgressed, line: Text, width: int, *, final: bool) -> list[str]:
    """Rate, counts and the reason; before them the state, while there is one, goes into the line."""
    if final:
        rate = [f"{show_rate(row.rate_bytes_s):>12}"] if row.rate_bytes_s > 0 else []
        chunks = count_of(row.chunks, "chunk")
        # What a source was worth comes first where both may not fit.
        words = [f"{chunks:>12}", *(each.strip() for each in rate)] if width >= 50 else [*rate, chunks]
    else:
        line.append(f"{state_word(row):<10} ", _STANDING_STYLES.get(row.standing, DIM))
        flows = row.standing == ACTIVE and row.phase in ("", "flowing", "stalled")
        words = [f"{show_rate(row.rate_bytes_s):>12}"] if row.rate_bytes_s > 0 or flows else []
    if row.stops and (row.peer or (final and width >= 50)):
        words.append(count_of(row.stops, "stop"))
    return [*words, printable(row.reason)] if row.reason else words


def _share_bar(part: int, most: int) -> str:
    """Full for the source that sent most: with hundreds of sources every share of the whole is a hair."""
    eighths = round(8 * _SHARE_BAR * part / most) if most > 0 else 0
    bar = "█" * (eighths // 8) + ("" if eighths % 8 == 0 else " ▏▎▍▌▋▊▉"[eighths % 8])
    return bar.ljust(_SHARE_BAR + 2)


def _fit_middle(name: str, width: int) -> str:
    """Exactly `width` cells of a name, cut in its middle."""
    if width < 8 or Text(name).cell_len <= width:
        return _fit(name, width)
    head, tail = set_cell_size(name, width // 2), name
    while Text(tail).cell_len > width - width // 2 - 1:
        tail = tail[1:]
    return set_cell_size(f"{head}…{tail}", width)


def _fit(text: str, width: int) -> str:
    """Exactly `width` cells: cut with an ellipsis or filled with spaces."""
    if width <= 0:
        return ""
    if Text(text).cell_len <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + "…"
