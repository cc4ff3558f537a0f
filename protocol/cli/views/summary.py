"""Who sent what: the table that ends a job, as plain lines. Chunks are counted where Soulseek users gave some."""

from typing import Final

from protocol.cli.views.progress_state import ProgressState
from protocol.messages import SourceProgressed
from protocol.model.printable import cell_width, count_of, cut, printable
from protocol.model.units import show_rate, show_size

ROWS_MAX: Final = 40
NAME_WIDTH_MAX: Final = 40


def summary_lines(board: ProgressState) -> list[str]:
    """A line for each source, most bytes first; nothing when nobody was ever asked."""
    rows = board.sorted_rows
    rows.sort(key=lambda row: (-row.bytes_stored, row.source))
    shown = rows[:ROWS_MAX]
    width = min(NAME_WIDTH_MAX, max((cell_width(board.label(row.name)) for row in shown), default=0))
    total = sum(row.bytes_stored for row in rows)
    chunks = any(row.peer for row in rows)
    lines = [f"  {_fit(board.label(row.name), width)}  {_facts(row, total, chunks=chunks)}".rstrip() for row in shown]
    if len(rows) > ROWS_MAX:
        rest = rows[ROWS_MAX:]
        lines.append(f"  and {len(rest)} more: {show_size(sum(row.bytes_stored for row in rest))}")
    return ["who sent what:", *lines] if lines else []


def share_text(bytes_stored: int, total_bytes: int) -> str:
    """Part of everything that was kept, ``12.5 %``."""
    return f"{100 * bytes_stored / total_bytes:.1f} %" if total_bytes > 0 else "-"


def _facts(row: SourceProgressed, total: int, *, chunks: bool) -> str:
    facts = (
        f"{show_size(row.bytes_stored):>10}",
        f"{share_text(row.bytes_stored, total):>7}",
        *([f"{count_of(row.chunks, 'chunk'):>12}"] if chunks else []),
        f"{show_rate(row.rate_bytes_s) if row.rate_bytes_s > 0 else '-':>11}",
        f"{count_of(row.leases, 'lease'):>9}",
        f"{count_of(row.stops, 'stop'):>8}",
        f"{printable(row.standing):<9}",
        printable(row.reason),
    )
    return "  ".join(facts)


def _fit(text: str, width: int) -> str:
    """Exactly `width` cells."""
    text = cut(text, width)
    return text + " " * (width - cell_width(text))
