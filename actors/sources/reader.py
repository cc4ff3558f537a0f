"""Reader interface of a source, whatever its kind: a probe, and bodies that begin at any byte."""

from typing import Final, Protocol

from protocol.model.value import Struct

SLICE_S: Final = 0.2
"""Time limit of one `read_into`, so that a worker obeys a trimmed or revoked lease in time."""


class Described(Struct, frozen=True, kw_only=True):
    """Description of a file by its source, beside the bytes.

    `checksums`: digests of the whole. `mirrors`: other addresses of it, the best first. `described_at`: address of a
    Metalink document about it. `is_document`: what would come is such a document, not the file. `notes`: what was
    malformed and left out.
    """

    checksums: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    described_at: str = ""
    is_document: bool = False
    notes: tuple[str, ...] = ()


UNDESCRIBED: Final = Described()


class Probed(Struct, frozen=True, kw_only=True):
    """Result of a probe.

    `size_bytes` -1: not reported. `offset_ok`: a body can begin at any byte. `validator`: changes when the file
    changes, prefixed with its kind, empty when there is none. `name`: the source's name for the file, raw and not
    safe to use as a path, may be empty. `setup_s`: from the request to the first byte, as just measured.
    `modified`: date of the last change, as sent. `open_at`: byte at which the body of the answer stands open, -1: none.
    """

    size_bytes: int
    offset_ok: bool
    validator: str
    name: str
    setup_s: float
    described: Described = UNDESCRIBED
    modified: str = ""
    open_at: int = -1


class Reader(Protocol):
    """Blocking reader of one source. Owned and used by exactly one thread. Every failure is a `SourceFault`."""

    def probe(self, *, begin_at: int = -1) -> Probed:
        """Ask for the file's size, name and validator. Blocks, within the limits of connecting and answering.

        `begin_at`: by a request for everything from this byte on, whose body the next `open` uses if it begins where
        that stands open. -1: by the smallest request.
        """

    def open(self, start: int, stop: int | None, *, size_bytes: int, from_start: bool = False) -> None:
        """Begin the body of bytes ``[start, stop)``; `stop` None: to the end of the file.

        `size_bytes`: the file's size, -1 unknown. Connects when needed (bounded) and asks; does not wait for
        the answer, so what is wrong with it is raised by `read_into`. An open body is used where it serves, else hung
        up first. `from_start`: the source takes no offsets; where the body then begins is `position`, once a
        `read_into` has returned.
        """

    def read_into(self, view: memoryview) -> int:
        """Put the bytes that come within a slice at the front of `view`; return how many. 0: none yet, or ended.

        A slice is `SLICE_S`; half a second where the body has been slow for a while.
        """

    @property
    def ended(self) -> bool:
        """Whether the body is complete; of unknown length: whether its end was reached in good order."""

    @property
    def position(self) -> int:
        """Offset in the file of the next byte `read_into` would give."""

    def hang_up(self) -> bool:
        """Abort the body. True: bytes of it were left unread, which the other side sees as a stop."""

    def close(self) -> None:
        """Close the connection. May be called at any time, and twice."""
