"""Settings on their way between processes, as JSON in parts that fit a frame."""

from collections.abc import Iterator
from typing import Final

import msgspec

from protocol.config.settings import Settings

PART_BYTES_MAX: Final = 48_000


def parts_of(settings: Settings) -> Iterator[tuple[bytes, bool]]:
    """``(part, whether it is the last)``, in order."""
    text = msgspec.json.encode(settings)
    starts = range(0, len(text), PART_BYTES_MAX)
    for start in starts:
        yield text[start : start + PART_BYTES_MAX], start == starts[-1]


def settings_of(text: bytes) -> Settings:
    """The parts together, read. Raises `ValueError` for what is none."""
    return msgspec.json.decode(text, type=Settings)
