"""The demonstration's network: the users one meets, sized so that a good swarm takes ten to fifteen seconds."""

from __future__ import annotations

from dataclasses import dataclass

from actors.demo.soulseek.network import Character, Content, Network, network

MEGABYTE = 1_000_000
DEMO_CONTENT = Content(64 << 20, seed=2022)
DEMO_FILE = "01 - Tide.flac"


@dataclass(frozen=True, slots=True)
class DemoPeer:
    """One user of the demonstration and the line that introduces it."""

    name: str
    character: Character
    line: str


DEMO_PEERS = (
    DemoPeer("fast", Character(rate_bytes_s=2.6 * MEGABYTE, set_up_s=0.2), "2.6 MB/s, honest"),
    DemoPeer("limited", Character(rate_bytes_s=1.2 * MEGABYTE, set_up_s=0.3), "1.2 MB/s, honest"),
    DemoPeer(
        "bursty",
        Character(rate_bytes_s=0.9 * MEGABYTE, burst_s=1.0, set_up_s=0.3),
        "0.9 MB/s, a second's worth at once, then silence",
    ),
    DemoPeer("trickle", Character(rate_bytes_s=2_000.0, set_up_s=0.3), "2 KB/s"),
    DemoPeer(
        "from_zero",
        Character(rate_bytes_s=0.7 * MEGABYTE, refuse_offsets=True, set_up_s=0.3),
        "0.7 MB/s, refuses to begin anywhere but at byte 0",
    ),
    DemoPeer(
        "queued",
        Character(rate_bytes_s=1.0 * MEGABYTE, queue_before_us=3, queue_step_s=1.0, set_up_s=0.3),
        "1.0 MB/s, three others are before us",
    ),
    DemoPeer(
        "dying",
        Character(rate_bytes_s=1.0 * MEGABYTE, dies_after_bytes=5 * MEGABYTE, set_up_s=0.3),
        "1.0 MB/s, leaves for good after 5 MB",
    ),
    DemoPeer("silent", Character(silent="bytes", set_up_s=0.3), "accepts everything, sends nothing"),
    DemoPeer(
        "firewalled",
        Character(rate_bytes_s=0.9 * MEGABYTE, firewalled=True, set_up_s=0.3),
        "0.9 MB/s, cannot be called, only calls",
    ),
    DemoPeer(
        "hostile",
        Character(rate_bytes_s=0.5 * MEGABYTE, hostile="all"),
        "bombs, floods and lies in answer to a search",
    ),
)


def demo_network() -> Network:
    """Start the demonstration's network; the caller closes it. `content` tells what must arrive, `term` finds it."""
    return network({peer.name: peer.character for peer in DEMO_PEERS}, DEMO_CONTENT, file_name=DEMO_FILE)
