"""The lines of the live display: title, bar, strip, a row a source. Every line fits the width it was asked for."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import set_cell_size
from rich.text import Text

from protocol.cli.views.progress_state import ACTIVE, SAID_STATES, ProgressState
from protocol.cli.views.summary import share_text
from protocol.messages import SourceProgressed
from protocol.model.printable import count_of, printable
from protocol.model.units import show_percent, show_rate, show_size, show_whole_time

# Who holds which part of the file, drawn as one line of cells, and the colours that tell sources apart.

LEASED: Final = 0x8000
MISSING: Final = 0
RESUMED: Final = 1
FIRST_SOURCE: Final = 2

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


def source_colour(source: int) -> str:
    return PALETTE[source % len(PALETTE)]


def source_letter(source: int) -> str:
    """Where there are no colours: what stands for the source in the strip, small while leased."""
    return chr(ord("A") + source % 26)


def strip_text(cells: Sequence[int], width: int, *, colours: bool) -> Text:
    """`width` cells wide. Full: stored; grey: here before; light: leased, on its way; a point: missing."""
    strip = Text(no_wrap=True)
    for value in _resampled(cells, width):
        sign, style = _cell(value, colours)
        strip.append(sign, style)
    return strip


def _resampled(cells: Sequence[int], width: int) -> list[int]:
    """What most of the cells behind each column are; of equals the first."""
    count = len(cells)
    if count == 0:
        return [MISSING] * width
    values: list[int] = []
    for column in range(width):
        first = column * count // width
        stop = max(first + 1, (column + 1) * count // width)
        values.append(Counter(cells[first:stop]).most_common(1)[0][0])
    return values


def _cell(value: int, colours: bool) -> tuple[str, str]:
    number = value & ~LEASED
    if number == MISSING or value == LEASED | RESUMED:
        return ("·" if colours else "."), "bright_black"
    if number == RESUMED:
        return ("█" if colours else "#"), "grey58"
    source = number - FIRST_SOURCE
    leased = bool(value & LEASED)
    if not colours:
        letter = source_letter(source)
        return (letter.lower() if leased else letter), ""
    return ("░" if leased else "█"), source_colour(source)


DIM: Final = "bright_black"
_STANDING_STYLES: Final = {"active": "green", "queued": "cyan", "cooling": "yellow", "banned": "red"}
_SHARE_BAR: Final = 12


@dataclass(frozen=True, slots=True)
class Shape:
    """What fits: columns of the terminal, source rows, and whether colours tell the sources apart."""

    width: int
    rows: int
    colours: bool


@dataclass(frozen=True, slots=True)
class _Sums:
    """Over all sources, shown or not: what was kept, and the most from one."""

    total_bytes: int
    most_bytes: int


def live_lines(board: ProgressState, shape: Shape) -> list[Text]:
    """The whole region while a job runs."""
    width = shape.width
    lines = [_title_line(board, width), _bar_line(board, width), strip_text(board.cells, width, colours=shape.colours)]
    return _cropped([*lines, Text(), *_source_lines(board, shape, width, final=False)], width)


def final_lines(board: ProgressState, shape: Shape) -> list[Text]:
    """What stays on the terminal: who sent what, and which part came from whom."""
    width = shape.width
    cells = _final_cells(board)
    strip = [strip_text(cells, width, colours=shape.colours)] if cells else []
    lines = [_title_line(board, width), *strip, Text(), *_source_lines(board, shape, width, final=True)]
    return _cropped(lines, width)


def _cropped(lines: list[Text], width: int) -> list[Text]:
    """Only the narrowest terminals need it: each line is made to fit where it can be."""
    for line in lines:
        line.truncate(width)
    return lines


def _final_cells(board: ProgressState) -> tuple[int, ...]:
    """The last map is a moment older than the end: of a sealed file everything is stored by now."""
    if board.ended is None or board.ended.state != "sealed":
        return board.cells
    return () if MISSING in board.cells else tuple(cell & ~LEASED for cell in board.cells)


def _title_line(board: ProgressState, width: int) -> Text:
    size = show_size(board.size_bytes) if board.size_bytes >= 0 else "size unknown"
    sources = count_of(len(board.rows), "source")
    if board.ended is None:
        facts = f"{size}, {board.active_count} of {sources} active"
    else:
        facts = f"{size}, {board.giver_count} of {sources} gave"
    if width < 56:
        facts = size
    room = width - len(facts) - 1
    return Text.assemble((_fit(board.title, room), "bold"), " ", (facts, DIM))


def _bar_line(board: ProgressState, width: int) -> Text:
    progress = board.progress
    rate = show_rate(progress.rate_bytes_s) if progress is not None else "-"
    left_s = progress.left_s if progress is not None else -1.0
    left = f"{show_whole_time(left_s)} left" if left_s >= 0 else ""
    if progress is not None and progress.state in SAID_STATES:
        left = progress.state
    known = board.size_bytes >= 0
    done = show_percent(board.stored_bytes, board.size_bytes) if known else show_size(board.stored_bytes)
    facts = f" {done:>5}  {rate:>11}  {left:>16}"
    if width < 60:
        facts = f" {done:>5} {rate:>11}"
    length = max(0, width - len(facts))
    filled = length * board.stored_bytes // board.size_bytes if known and board.size_bytes > 0 else 0
    filled = min(max(filled, 0), length)
    return Text.assemble(("━" * filled, "green"), ("─" * (length - filled), DIM), (facts, "bold"))


def _source_lines(board: ProgressState, shape: Shape, width: int, *, final: bool) -> list[Text]:
    rows = board.sorted_rows
    shown, rest = split_rows(rows, shape.rows, final=final)
    sums = _Sums(sum(row.bytes_stored for row in rows), max((row.bytes_stored for row in rows), default=0))
    name_width = min(_name_width_max(width), max((Text(board.label(row.name)).cell_len for row in shown), default=0))
    lines = [
        _row_line(row, board.label(row.name), sums, shape, width, name_width=name_width, final=final) for row in shown
    ]
    if rest:
        lines.append(Text(_fit(_rest_words(rest), width).rstrip(), DIM))
    return lines


def split_rows(
    rows: Sequence[SourceProgressed], most: int, *, final: bool
) -> tuple[list[SourceProgressed], list[SourceProgressed]]:
    """``(shown, rest)``: the busiest that fit, in the order the sources were given, so that rows do not jump.

    At the end the busiest are those that gave most.
    """
    if len(rows) <= most:
        return list(rows), []
    most = max(most - 1, 0)  # one line says what is not shown
    ranked = sorted(rows, key=_gave if final else _busy)
    return sorted(ranked[:most], key=lambda row: row.source), ranked[most:]


def _busy(row: SourceProgressed) -> tuple[bool, int, int, int]:
    # Rates compare by their power of two: a display must not reorder at every breath of the network.
    return row.standing != ACTIVE, -int(row.rate_bytes_s).bit_length(), -row.bytes_stored, row.source


def _gave(row: SourceProgressed) -> tuple[int, int]:
    return -row.bytes_stored, row.source


def _rest_words(rest: Sequence[SourceProgressed]) -> str:
    active = sum(row.standing == ACTIVE for row in rest)
    rate = show_rate(sum(row.rate_bytes_s for row in rest if row.standing == ACTIVE))
    kept = show_size(sum(row.bytes_stored for row in rest))
    return f"... and {len(rest)} more: {kept}" + (f", {active} active at {rate} together" if active else "")


def _row_line(
    row: SourceProgressed, name: str, sums: _Sums, shape: Shape, width: int, *, name_width: int, final: bool
) -> Text:
    colour = source_colour(row.source) if shape.colours else ""
    line = Text.assemble((("■" if shape.colours else source_letter(row.source)), colour), " ")
    line.append(_fit(name, name_width), "" if row.standing == ACTIVE or final else DIM)
    if width >= 64:
        line.append(f"  {show_size(row.bytes_stored):>10}")
    if width >= 50:
        line.append(f"  {share_text(row.bytes_stored, sums.total_bytes):>7}")
    line.append("  ")
    if width >= 100:
        line.append_text(_share_bar(row.bytes_stored, sums.most_bytes, colour))
    if final and width >= 120:
        line.append(f"{count_of(row.leases, 'lease'):>9}  {count_of(row.stops, 'stop'):>8}  ", DIM)
    line.append(_fit(state_word(row), 10) + " ", _STANDING_STYLES.get(row.standing, DIM))
    line.append(_fit(_tail_words(row, final=final), max(0, width - line.cell_len)).rstrip())
    return line


def state_word(row: SourceProgressed) -> str:
    """The phase where it says more than the standing: a source that cools is not shown as resting."""
    return printable(row.phase if row.phase and row.standing not in ("cooling", "banned") else row.standing)


def _tail_words(row: SourceProgressed, *, final: bool) -> str:
    """Rate of a source that works, reason of one that does not; of a peer its queue place, stops and, at the end,
    chunks."""
    flows = row.phase in ("", "flowing", "stalled") and row.standing == ACTIVE and not final
    words = [f"{show_rate(row.rate_bytes_s):>11}"] if row.rate_bytes_s > 0 or flows else []
    if row.queue_place > 0 and not final:
        words.append(f"place {row.queue_place}")
    if row.peer and (row.stops or final):
        words.append(count_of(row.stops, "stop"))
    if row.peer and final:
        words.append(count_of(row.chunks, "chunk"))
    if row.reason:
        words.append(printable(row.reason))
    return ", ".join(words)


def _share_bar(part: int, most: int, colour: str) -> Text:
    """Full for the source that gave most: with hundreds of sources every share of the whole is a hair."""
    eighths = round(8 * _SHARE_BAR * part / most) if most > 0 else 0
    bar = "█" * (eighths // 8) + ("" if eighths % 8 == 0 else " ▏▎▍▌▋▊▉"[eighths % 8])
    return Text(bar.ljust(_SHARE_BAR + 2), colour)


def _name_width_max(width: int) -> int:
    return 16 if width < 64 else 24 if width < 100 else 36 if width < 160 else 60


def _fit(text: str, width: int) -> str:
    """Exactly `width` cells: cut with an ellipsis or filled with spaces."""
    if width <= 0:
        return ""
    if Text(text).cell_len <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + "…"
