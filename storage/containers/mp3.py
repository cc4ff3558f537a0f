"""MP3: frames whose headers say their length, the bit reservoir, and the CRC-16 of all music in LAME's tag.

The frames themselves have no checks worth the name: two files of one bit rate have their frames at the same places, so
a chain that goes on, with a bit reservoir that fits, is *weak* evidence. LAME's CRC covers all of the music. Programs
that change the gain of every frame do not renew it, so one that differs means nothing.
"""

from typing import Final

from protocol.model.value import Struct
from storage.containers.reading import (
    BLOCK_BYTES,
    UNDECIDED,
    BoundaryCheck,
    Lookahead,
    Outcome,
    Read,
    WholeCheck,
    crc16_reflected,
    window_before,
    window_behind,
)

CHAIN_FRAMES_MIN: Final = 4
"""Consecutive frames from which a place counts as one where frames begin."""
_RATES_1: Final = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_RATES_2: Final = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_SAMPLE_RATES: Final = (44100, 48000, 32000)
_TAG_AT: Final = 120
"""From "Xing" or "Info" to LAME's part of the tag."""


class Frame(Struct, frozen=True):
    """Frame of layer III. `kind`: what does not change in a stream.

    Attributes:
        back: bytes of earlier frames that its data begins in (the bit reservoir).
        reserve: bytes that it leaves for the next frame to begin in.
    """

    kind: bytes
    length: int
    back: int
    reserve: int


def frame_at(data: bytes, at: int) -> Frame | None:
    """Parse the frame header and side information at this place."""
    head = data[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2 or head[1] & 0x18 == 0x08:
        return None  # no sync, not layer III, or a reserved version
    version_1 = head[1] & 0x18 == 0x18
    rate, sample = head[2] >> 4, head[2] >> 2 & 3
    if rate in (0, 15) or sample == 3:
        return None
    hertz = _SAMPLE_RATES[sample] >> {0x18: 0, 0x10: 1, 0x00: 2}[head[1] & 0x18]
    kbit = (_RATES_1 if version_1 else _RATES_2)[rate - 1]
    length = (144 if version_1 else 72) * kbit * 1000 // hertz + (head[2] >> 1 & 1)
    mono = head[3] >> 6 == 3
    side_bytes = (17 if mono else 32) if version_1 else (9 if mono else 17)
    begin = 4 + (0 if head[1] & 1 else 2)
    side = data[at + begin : at + begin + side_bytes]
    if len(side) < side_bytes or length <= begin + side_bytes:
        return None
    bits, left = int.from_bytes(side, "big"), 8 * side_bytes
    channels = 1 if mono else 2
    back = bits >> left - (9 if version_1 else 8)
    skip = (9 + (5 if mono else 3) + 4 * channels) if version_1 else 8 + channels
    step, parts = (59, 2 * channels) if version_1 else (63, channels)
    used = sum(bits >> left - skip - part * step - 12 & 0xFFF for part in range(parts))
    reserve = back + length - begin - side_bytes - (used + 7) // 8
    return Frame(bytes((head[1] & 0xFE, head[2] & 0x0C)), length, back, reserve)


def _chain(data: bytes, at: int, stop: int) -> tuple[int, int, Frame | None]:
    """Follow frames from `at` on, until one would begin at or behind `stop` or none follows.

    Returns how many there are, where the next one would begin, and the last one.
    """
    count, last = 0, None
    while at < stop:
        frame = frame_at(data, at)
        if frame is None or not _chain_goes_on(last, frame):
            break
        count, at, last = count + 1, at + frame.length, frame
    return count, at, last


def _chain_goes_on(last: Frame | None, frame: Frame | None) -> bool:
    """Whether a frame may follow the last one: of its kind, and with data in no more of the past than that left."""
    if last is None or frame is None:
        return last is None
    return frame.kind == last.kind and frame.back <= max(last.reserve, 0)


def _first_chain(data: bytes, at: int, stop: int) -> int | None:
    """Return where the first frame begins that others follow."""
    tried = 0
    while tried < 4096 and (at := data.find(b"\xff", at, stop)) >= 0:
        if frame_at(data, at) is not None:
            tried += 1
            if _chain(data[at : at + 16384], 0, 16384)[0] >= CHAIN_FRAMES_MIN:
                return at
        at += 1
    return None


def check_boundary(read: Read, size: int, offset: int) -> BoundaryCheck:
    """Check whether the frames of the left side lead to those of the right one: WEAK if so, else BROKEN."""
    left, right = window_before(read, offset, 32 << 10), window_behind(read, offset, size, 32 << 10)
    data, base, edge = left + right, offset - len(left), len(left)
    begin = _first_chain(left, 0, edge)
    behind = _first_chain(data, edge, len(data))
    if begin is None or behind is None:
        return UNDECIDED
    while True:
        count, reached, last = _chain(data, begin, behind)
        if reached >= behind:
            follows = reached == behind and _chain_goes_on(last, frame_at(data, behind))
            return BoundaryCheck(Outcome.WEAK if follows else Outcome.BROKEN, base + begin, base + reached)
        again = _first_chain(left, reached + 1, edge) if count and reached < edge else None
        if again is None:
            # A byte too many in the frame that spans the boundary is only noticed where the next one should begin.
            return BoundaryCheck(Outcome.BROKEN, base + min(reached, edge), base + behind)
        begin = again


def check_whole(read: Read, size: int) -> WholeCheck:
    """Walk every frame; PROVEN where LAME's CRC of the music is there and right."""
    at = _tag_bytes(read, size)
    ahead = Lookahead(read, size, at)
    ahead.more()
    first = frame_at(ahead.data, 0)
    if first is None:
        return WholeCheck(Outcome.UNDECIDED, "no MP3 frame where the audio should begin")
    lame = _lame_tag(ahead.data[: first.length], first)
    if lame is not None and lame[0] <= size - at and _music_crc(read, at + first.length, at + lame[0]) == lame[1]:
        return WholeCheck(Outcome.PROVEN, "the music has the CRC of its LAME tag")
    return _walk(ahead)


def _walk(ahead: Lookahead) -> WholeCheck:
    at = frames = 0
    last: Frame | None = None
    while ahead.has(at + 4):
        ahead.has(at + 64)
        frame = frame_at(ahead.data, at)
        if frame is None or (last is not None and frame.kind != last.kind):
            break
        at, frames, last = at + frame.length, frames + 1, frame
        if at > BLOCK_BYTES:
            ahead.has(at)
            ahead.drop(at)
            at = 0
    left = ahead.size - ahead.at - at
    ahead.has(at + BLOCK_BYTES // 2)
    again = _first_chain(ahead.data, at + 1, len(ahead.data)) if left > 0 else None
    if again is not None:
        first, stop = ahead.at + at, ahead.at + again
        return WholeCheck(Outcome.BROKEN, f"no MP3 frame at bytes {first} to {stop - 1}", first, stop)
    cut = ", the last one cut off" if left < 0 else ""
    return WholeCheck(Outcome.WEAK, f"{frames} MP3 frames follow each other{cut}: weak evidence")


def _tag_bytes(read: Read, size: int) -> int:
    """Return the length of the ID3v2 tag at the beginning; 0 without one."""
    head = read(0, min(10, size))
    if len(head) < 10 or head[:3] != b"ID3":
        return 0
    length = 0
    for byte in head[6:10]:
        length = length << 7 | byte & 0x7F
    return min(10 + length, size)


def _lame_tag(frame: bytes, first: Frame) -> tuple[int, int] | None:
    """Return ``(bytes with this frame, CRC-16 of the music)`` from the tag that LAME puts into the first frame."""
    at = frame.find(b"Info", 0, 64)
    at = frame.find(b"Xing", 0, 64) if at < 0 else at
    tag = frame[at + _TAG_AT : at + _TAG_AT + 36]
    if at < 0 or len(tag) < 36 or crc16_reflected(frame[: at + _TAG_AT + 34]) != int.from_bytes(tag[34:], "big"):
        return None
    length = int.from_bytes(tag[28:32], "big")
    return (length, int.from_bytes(tag[32:34], "big")) if length > first.length else None


def _music_crc(read: Read, at: int, stop: int) -> int:
    crc = 0
    while at < stop:
        data = read(at, min(BLOCK_BYTES, stop - at))
        crc, at = crc16_reflected(data, crc), at + len(data)
    return crc
