"""Who holds which part of the file, drawn as one line of cells, and the colours that tell sources apart."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from rich.text import Text

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
