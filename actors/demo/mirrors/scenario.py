"""The demonstration's mirrors: six characters a user may meet in the wild, sized for about ten seconds."""

from __future__ import annotations

from dataclasses import dataclass

from actors.demo.mirrors.owner import Box, Character, Content, mirrors

MEGABYTE = 1_000_000
DEMO_CONTENT = Content(64 << 20, seed=2022)


@dataclass(frozen=True, slots=True)
class DemoMirror:
    """One mirror of the demonstration and the line that introduces it."""

    name: str
    character: Character
    line: str


DEMO_MIRRORS = (
    DemoMirror("fast", Character(rate_bytes_s=3.6 * MEGABYTE), "3.6 MB/s, honest"),
    DemoMirror("medium", Character(rate_bytes_s=1.8 * MEGABYTE, latency_s=0.05), "1.8 MB/s, honest"),
    DemoMirror("slow", Character(rate_bytes_s=0.2 * MEGABYTE, latency_s=0.2), "0.2 MB/s, honest"),
    DemoMirror(
        "stalling",
        Character(rate_bytes_s=1.5 * MEGABYTE, stall_after_bytes=4 * MEGABYTE),
        "1.5 MB/s, but not one byte more after 4 MB",
    ),
    DemoMirror(
        "refusing", Character(rate_bytes_s=0.8 * MEGABYTE, ranges=False), "0.8 MB/s, knows no ranges: all or nothing"
    ),
    DemoMirror(
        "dropping",
        Character(rate_bytes_s=1.2 * MEGABYTE, drop_every_bytes=3 * MEGABYTE),
        "1.2 MB/s, hangs up after every 3 MB",
    ),
)


def demo_box() -> Box:
    """Start the demonstration's mirrors; the caller closes the box. `box.content` tells what must arrive."""
    characters = {mirror.name: mirror.character for mirror in DEMO_MIRRORS}
    return mirrors(characters, DEMO_CONTENT, file_name="demo.bin")
