"""What a PeerWorker knows of a source, whatever its kind: a probe, and bodies that begin at any byte."""

from dataclasses import dataclass
from typing import Final, Protocol

SLICE_S: Final = 0.2
"""The longest a `read_into` waits, so that a worker obeys a trimmed or revoked lease in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What a source says of its file.

    `size_bytes` -1: it does not say. `offset_ok`: it can begin at any byte. `validator`: changes when the file
    changes, prefixed with its kind, empty when there is none. `name`: what the source calls the file, raw and
    not safe to use as a path, empty when it says nothing. `setup_s`: from asking to the first byte, as just seen.
    """

    size_bytes: int
    offset_ok: bool
    validator: str
    name: str
    setup_s: float


class Reader(Protocol):
    """Reads one source. Owned and used by exactly one thread. Every failure is a `SourceFault`."""

    def probe(self) -> Probed:
        """Ask what the source has. Blocks, within the time limits of connecting and answering."""

    def open(self, start: int, stop: int | None, *, size_bytes: int) -> None:
        """Begin the body of bytes ``[start, stop)``; `stop` None: to the end of the file.

        `size_bytes`: the file's size, -1 unknown. Connects when needed (bounded) and asks; does not wait for
        the answer, so what is wrong with it is raised by `read_into`. An open body is hung up first.
        """

    def read_into(self, view: memoryview) -> int:
        """Put the next bytes at the front of `view`: those that come within `SLICE_S`. 0: none yet, or ended."""

    @property
    def ended(self) -> bool:
        """The body asked for is complete; of unknown length: its end was reached in good order."""

    @property
    def position(self) -> int:
        """Offset in the file of the next byte `read_into` would give."""

    def hang_up(self) -> bool:
        """End the body now. True: bytes of it were left unread, which the other side sees as a stop."""

    def close(self) -> None:
        """Let go of the connection. May be called at any time, and twice."""
