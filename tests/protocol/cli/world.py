"""What the tests of the terminal share: a job's messages with sensible fields, and a terminal that obeys."""

import re
import struct
from collections.abc import Sequence

from msgspec import structs

from protocol.messages import ChunkArrived, ChunkMapDrawn, JobEnded, JobOpened, JobProgressed, SourceProgressed
from protocol.model.source_url import slsk_url

MIB = 1024 * 1024


def opened(
    *, size: int = 64 * MIB, resumed: int = 0, message: str = "", part: str = "/here/file.iso.part"
) -> JobOpened:
    return JobOpened(job=1, part_path=part, size_bytes=size, chunk_size=131072, resumed_bytes=resumed, message=message)


def progressed(stored: int, *, size: int = 64 * MIB, rate: float = 8.0 * MIB, left_s: float = 5.0) -> JobProgressed:
    return JobProgressed(job=1, state="running", stored_bytes=stored, size_bytes=size, rate_bytes_s=rate, left_s=left_s)


def row(
    source: int, name: str, *, stored: int = 0, standing: str = "active", rate: float = 0.0, reason: str = ""
) -> SourceProgressed:
    return SourceProgressed(
        job=1,
        source=source,
        name=name,
        standing=standing,
        rate_bytes_s=rate,
        bytes_stored=stored,
        chunks=stored // 131072,
        leases=2,
        stops=1,
        lease_first=-1,
        lease_stop=-1,
        reason=reason,
    )


def peer_row(
    source: int,
    peer: str,
    *,
    phase: str,
    stored: int = 0,
    standing: str = "active",
    rate: float = 0.0,
    place: int = -1,
    stops: int = 0,
    reason: str = "",
) -> SourceProgressed:
    """The row of a Soulseek user's file."""
    name = slsk_url(peer, "music\\Tide.flac")
    plain = row(source, name, stored=stored, standing=standing, rate=rate, reason=reason)
    return structs.replace(plain, phase=phase, peer=peer, queue_place=place, stops=stops)


def drawn(cells: Sequence[int]) -> ChunkMapDrawn:
    return ChunkMapDrawn(job=1, cells=struct.pack(f"<{len(cells)}H", *cells))


def arrived(name: str = "user1", *, chunk: int = 0, stored: int = 1, count: int = 512) -> ChunkArrived:
    return ChunkArrived(
        job=1, name=name, chunk=chunk, rate_bytes_s=2847 * 1024.0, stored_chunks=stored, chunk_count=count
    )


def ended(
    state: str = "sealed",
    *,
    reason: str = "",
    path: str = "/here/file.iso",
    size: int = 64 * MIB,
    resumed: int = 0,
    seconds: float = 8.1,
) -> JobEnded:
    return JobEnded(
        job=1,
        state=state,
        reason=reason,
        path=path,
        size_bytes=size,
        seconds=seconds,
        bytes_received=64 * MIB,
        bytes_resumed=resumed,
        bytes_refetched=0,
        digest_hex="ab" * 16,
    )


class Screen:
    """A terminal that obeys what the display may send and fails on anything else. No sign is two cells wide here."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.rows: list[str] = [""]
        self._at = 0
        self._column = 0

    def feed(self, output: str) -> None:
        for token in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+|.", output, re.DOTALL):
            self._obey(token)

    def narrow(self, width: int) -> None:
        """The window is made narrower: rows that are too long are folded."""
        folded = [[row[i : i + width] for i in range(0, max(1, len(row)), width)] for row in self.rows]
        self._at = sum(len(pieces) for pieces in folded[: self._at])
        self.rows = [piece for pieces in folded for piece in pieces]
        self.width = width

    def _obey(self, token: str) -> None:
        if token == "\n":
            self._next_row()
        elif token == "\r":
            self._column = 0
        elif re.fullmatch(r"\x1b\[[0-9]+A", token):
            self._at = max(0, self._at - int(token[2:-1]))
        elif token == "\x1b[K":
            self.rows[self._at] = self.rows[self._at][: self._column]
        elif token == "\x1b[J":
            self.rows[self._at :] = [self.rows[self._at][: self._column]]
        elif not re.fullmatch(r"\x1b\[[0-9;]*m", token):
            assert token.isprintable(), f"a terminal would act on {token!r}"
            for sign in token:
                self._write(sign)

    def _write(self, sign: str) -> None:
        if self._column == self.width:
            self._next_row()
        row = self.rows[self._at]
        self.rows[self._at] = row[: self._column].ljust(self._column) + sign + row[self._column + 1 :]
        self._column += 1

    def _next_row(self) -> None:
        self._at += 1
        self._column = 0
        if self._at == len(self.rows):
            self.rows.append("")
