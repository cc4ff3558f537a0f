"""FLAC: frames with a CRC-8 in the header, a CRC-16 at the end and consecutive numbers (RFC 9639).

A frame does not say how long it is: it ends where a header with the next number follows and the CRC-16 up to there
is right. Metadata blocks have no checks of their own.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from protocol.model.value import Struct
from storage.containers.reading import (
    BLOCK_BYTES,
    UNDECIDED,
    WINDOW_BYTES,
    BoundaryCheck,
    Lookahead,
    NotStored,
    Outcome,
    Read,
    WholeCheck,
    crc8,
    crc16,
    window_before,
    window_behind,
)

MAGIC: Final = b"fLaC"
FRAME_BYTES_MAX: Final = 4 << 20
"""Longer than any frame of the format's subset: 65 535 samples of 8 channels of 32 bits."""
METADATA_BLOCKS_MAX: Final = 10_000
TRIED_MAX: Final = 8
"""Candidates for one place that are looked at; one in millions is false unless it was made on purpose."""
SIDE_BYTES_MIN: Final = 24
"""Bytes of a frame on each side of a boundary below which it proves nothing: a header alone is equal in many files."""
_SYNCS: Final = (b"\xff\xf8", b"\xff\xf9")


class StreamInfo(Struct, frozen=True):
    """Stream parameters. `audio_at`: offset of the first frame. 0 stands for what the encoder did not know.

    Attributes:
        rate, channels, bits: of one sample.
        samples: length of the stream.
        md5: of the decoded audio, in hex; "" where it is not given.
    """

    audio_at: int
    rate: int
    channels: int
    bits: int
    samples: int
    md5: str


class Header(Struct, frozen=True):
    """Frame header. `number`: of the frame, or of its first sample where block sizes vary (`sync` ends with 9)."""

    sync: bytes
    length: int
    number: int
    samples: int

    @property
    def next_number(self) -> int:
        return self.number + (self.samples if self.sync == _SYNCS[1] else 1)


def header_at(data: bytes, at: int) -> Header | None:
    """Parse the frame header at this place, with its CRC-8."""
    head = data[at : at + 16]
    if len(head) < 6 or head[:2] not in _SYNCS or head[3] & 1:
        return None
    size_code, rate_code = head[2] >> 4, head[2] & 15
    if size_code == 0 or rate_code == 15 or head[3] >> 4 > 10 or (head[3] >> 1) & 7 == 3:
        return None
    ones = 8 - (head[4] ^ 0xFF).bit_length()
    follow = ones - 1 if ones else 0
    if ones in (1, 8) or follow > (6 if head[1] & 1 else 5):
        return None
    number = head[4] & (0x7F >> ones if ones else 0x7F)
    for byte in head[5 : 5 + follow]:
        if byte >> 6 != 2:
            return None
        number = number << 6 | byte & 0x3F
    end = 5 + follow
    extra = {6: 1, 7: 2}.get(size_code, 0)
    if extra:
        samples = int.from_bytes(head[end : end + extra], "big") + 1
    else:
        samples = 192 if size_code == 1 else 576 << size_code - 2 if size_code < 6 else 1 << size_code
    end += extra + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if len(head) <= end or crc8(head[:end]) != head[end]:
        return None
    return Header(head[:2], end + 1, number, samples)


def stream_info(read: Read, size: int) -> StreamInfo | None:
    """Read the metadata; None where it is malformed or does not end inside the file."""
    at = _skip_id3(read, size)
    if size < at + 42 or read(at, 4) != MAGIC:
        return None
    at += 4
    info = b""
    for _ in range(METADATA_BLOCKS_MAX):
        if at + 4 > size:
            return None
        head = read(at, 4)
        length = int.from_bytes(head[1:], "big")
        if not info:
            if head[0] & 0x7F or length < 34 or at + 4 + length > size:
                return None
            info = read(at + 4, 34)
        at += 4 + length
        if head[0] & 0x80:
            break
    else:
        return None
    if at > size:
        return None
    packed = int.from_bytes(info[10:18], "big")
    return StreamInfo(
        audio_at=at,
        rate=packed >> 44,
        channels=((packed >> 41) & 7) + 1,
        bits=((packed >> 36) & 31) + 1,
        samples=packed & ((1 << 36) - 1),
        md5=info[18:34].hex() if any(info[18:34]) else "",
    )


def _skip_id3(read: Read, size: int) -> int:
    """Return the length of an ID3v2 tag that taggers put before FLAC data; 0 without one."""
    head = read(0, 10) if size >= 10 else b""
    if head[:3] != b"ID3":
        return 0
    length = 0
    for byte in head[6:10]:
        length = length << 7 | byte & 0x7F
    return 10 + length


def check_boundary(read: Read, size: int, offset: int) -> BoundaryCheck:
    """Check the frame that spans `offset`. BROKEN where both sides have right frames and the one between is wrong.

    Also where one side has no frame at all though it is long enough, and lies behind the metadata.
    """
    left, right = window_before(read, offset), window_behind(read, offset, size)
    data, base, edge = left + right, offset - len(left), len(left)
    audio_at = _audio_at(read, size)
    before, behind = _last_start(data, edge), _first_start(data, edge)
    if before is None and base <= audio_at < offset and (first := header_at(data, audio_at - base)) is not None:
        before = audio_at - base, first
    if before is not None:
        at, header = before
        end = _end(data, at, header)
        if end is not None:  # too little on one side where the boundary lies (nearly) between two frames
            enough = at + SIDE_BYTES_MIN <= edge <= end - SIDE_BYTES_MIN
            return BoundaryCheck(Outcome.PROVEN, base + at, base + end) if enough else UNDECIDED
        if behind is not None:
            return BoundaryCheck(Outcome.BROKEN, base + at, base + behind)
        if len(right) >= WINDOW_BYTES:
            return BoundaryCheck(Outcome.BROKEN, base + at, base + len(data))
    elif behind is not None and len(left) >= WINDOW_BYTES and 0 < audio_at <= base:
        return BoundaryCheck(Outcome.BROKEN, base, base + behind)
    return UNDECIDED


def _audio_at(read: Read, size: int) -> int:
    """Return where the first frame begins; -1 where that is not known yet."""
    try:
        info = stream_info(read, size)
    except NotStored:
        return -1
    return info.audio_at if info is not None else -1


def _headers(data: bytes, at: int, stop: int) -> Iterator[tuple[int, Header]]:
    """Yield every header that begins in ``[at, stop)`` with a right CRC-8."""
    while (at := data.find(b"\xff", at, stop)) >= 0:
        if (header := header_at(data, at)) is not None:
            yield at, header
        at += 1


def _end(data: bytes, at: int, header: Header, begin: int = 0) -> int | None:
    """Return where the frame at `at` ends: the next number follows, and the CRC-16 up to there is right.

    Ends before `begin` are known to be none.
    """
    begin = max(begin, at + header.length + 2)
    tried = 0
    while tried < TRIED_MAX and (begin := data.find(header.sync, begin, at + FRAME_BYTES_MAX)) >= 0:
        after = header_at(data, begin)
        if after is not None and after.number == header.next_number:
            if not crc16(data[at:begin]):
                return begin
            tried += 1
        begin += 1
    return None


def _last_start(data: bytes, stop: int) -> tuple[int, Header] | None:
    """Return the last frame that begins before `stop`, right behind a frame that was found right."""
    found: tuple[int, Header] | None = None
    reached = tried = 0
    for at, header in _headers(data, 0, stop):
        if at < reached:
            continue
        if (tried := tried + 1) > TRIED_MAX:
            break
        while (end := _end(data[:stop], at, header)) is not None:
            after = header_at(data, end)
            if after is None:  # cut off by the boundary
                break
            at, header = end, after
            found, reached, tried = (at, header), end, 0
    return found


def _first_start(data: bytes, begin: int) -> int | None:
    """Return where the first right frame begins, at or behind `begin`."""
    for at, header in islice(_headers(data, begin, len(data)), TRIED_MAX):
        if _end(data, at, header) is not None:
            return at
    return None


def check_whole(read: Read, size: int) -> WholeCheck:
    """Walk every frame: number, CRC-8, CRC-16, and the number of samples that the stream announces."""
    info = stream_info(read, size)
    if info is None:
        return WholeCheck(Outcome.BROKEN, "the FLAC metadata is malformed or cut off", 0, size)
    ahead = Lookahead(read, size, info.audio_at)
    ahead.more()
    header = header_at(ahead.data, 0)
    if header is None or header.number != 0:
        return _damaged(ahead, 0, "does not begin with its first frame")
    at = frames = samples = 0
    while header is not None:
        end = _frame_end(ahead, at, header)
        if end is None:
            return _damaged(ahead, at, f"has a wrong frame, number {frames}")
        frames, samples, at = frames + 1, samples + header.samples, end
        header = header_at(ahead.data, at)
        if at > BLOCK_BYTES:
            ahead.drop(at)
            at = 0
    if info.samples and samples != info.samples:
        detail = f"the FLAC stream is cut off: {samples} of {info.samples} samples"
        return WholeCheck(Outcome.BROKEN, detail, ahead.at + at, size)
    return WholeCheck(Outcome.PROVEN, f"all {frames} FLAC frames are right")


def _frame_end(ahead: Lookahead, at: int, header: Header) -> int | None:
    """Return the end of the frame at this place of the buffer: at the next header, or at the stream's end."""
    begin = 0
    while (end := _end(ahead.data, at, header, begin)) is None:
        begin = len(ahead.data) - 16
        if len(ahead.data) - at > FRAME_BYTES_MAX:
            return None
        if not ahead.more():
            break
    if end is not None:
        return end
    ends = [len(ahead.data)]
    if ahead.data[-128:-125] == b"TAG":  # an ID3v1 tag behind the stream
        ends.append(len(ahead.data) - 128)
    return next((end for end in ends if end > at + header.length + 2 and not crc16(ahead.data[at:end])), None)


def _damaged(ahead: Lookahead, at: int, what: str) -> WholeCheck:
    """Name the range from the last right frame to the next one."""
    ahead.drop(at)
    ahead.has(2 * BLOCK_BYTES)
    stop = _first_start(ahead.data, 1) or len(ahead.data)
    if ahead.at + stop == ahead.size:
        what += ", perhaps because it is cut off"
    detail = f"the FLAC stream {what}: bytes {ahead.at} to {ahead.at + stop - 1}"
    return WholeCheck(Outcome.BROKEN, detail, ahead.at, ahead.at + stop)
