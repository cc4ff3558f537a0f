"""Limits on input from the network: message sizes, packed and unpacked, and numbers of connections; a trouble log."""

import logging
import struct
import zlib
from collections import Counter
from typing import Any, Final

SERVER_BYTES_MAX: Final = 16 << 20
PEER_BYTES_MAX: Final = 2 << 20
OBFUSCATED_BYTES_MAX: Final = 256 << 10
"""They are unscrambled byte by byte, in the loop's thread."""
DISTRIBUTED_BYTES_MAX: Final = 64 << 10
INIT_BYTES_MAX: Final = 1 << 10
SMALL_BYTES_MAX: Final = 64 << 10
LARGE_AT_ONCE: Final = 8
"""Messages longer than `SMALL_BYTES_MAX` that are received at the same time; the others wait their turn."""
LARGE_S_MAX: Final = 20.0
INIT_S_MAX: Final = 10.0
UNPACKED_BYTES_MAX: Final = 8 << 20
ARRAY_ITEMS_MAX: Final = 20_000

MUTE_MAX: Final = 128
"""Accepted connections that have not said who they are; one more costs the oldest its place, unless it is younger than
`MUTE_S_MIN`: in a flood the honest ones must have a chance to speak."""
MUTE_S_MIN: Final = 1.0
MUTE_LIMIT: Final = 512
"""Then even the youngest is refused."""
PEERS_MAX: Final = 512
CALLS_MAX: Final = 128
"""Calls that we make at others' request (ConnectToPeer) at the same time."""
LATE_MAX: Final = 256
LATE_S_MAX: Final = 20.0
"""After the direct way has won the peer's own call is still taken for this long."""

UPLOADS_MAX: Final = 500
"""Uploads that are wanted from us at the same time."""
UPLOADS_OF_ADDRESS_MAX: Final = 100
UPLOADS_ENDED_MAX: Final = 200
"""Uploads that have ended and are remembered."""
PARENTS_MAX: Final = 10
"""Potential parents in the distributed network that are called at once, once in `PARENTS_S`."""
PARENTS_S: Final = 5.0

_COUNT: Final = struct.Struct("<I")


class BoundedZlib:
    """Bounded decompression, in place of the module `zlib` in `aioslsk.protocol.primitives`."""

    compress = staticmethod(zlib.compress)
    error = zlib.error

    @staticmethod
    def decompress(data: bytes) -> bytes:
        """Raises `zlib.error` as `unpack_rest` does."""
        return unpack_rest(zlib.decompressobj(), data)


def unpack_rest(unpacker: Any, packed: bytes, begin: bytes = b"") -> bytes:
    """Return all that zlib's decompressor unpacks, of which `begin` is unpacked already.

    Raises `zlib.error` for more than `UNPACKED_BYTES_MAX` in all, and for what was cut off.
    """
    unpacked = begin + unpacker.decompress(packed, UNPACKED_BYTES_MAX - len(begin))
    if not unpacker.eof:
        raise zlib.error(f"unpacks to more than {UNPACKED_BYTES_MAX} bytes, or is cut off")
    return unpacked  # type: ignore[no-any-return]


def bounded_array(cls: Any, pos: int, data: bytes, element_type: Any) -> tuple[int, list[Any]]:
    """Decode an array of at most `ARRAY_ITEMS_MAX` items, in place of aioslsk's. Raises ValueError for a longer one."""
    pos, count = pos + _COUNT.size, _COUNT.unpack_from(data, pos)[0]
    if count > min(ARRAY_ITEMS_MAX, len(data) - pos):
        raise ValueError(f"an array of {count} items")
    items = []
    for _ in range(count):
        pos, item = element_type.deserialize(pos, data)
        items.append(item)
    return pos, items


_logger = logging.getLogger("actors.soulseek")

KINDS_MAX: Final = 256


class TroubleLog:
    """Rate-limited logging: the first trouble of each kind is logged, the others are counted.

    A hostile peer makes the same trouble as often as it likes. Owned by the session's loop.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def note(self, kind: str, detail: str = "") -> None:
        """Count it. `kind` is one of ours, never a peer's text."""
        assert kind in self.counts or len(self.counts) < KINDS_MAX
        self.counts[kind] += 1
        if self.counts[kind] == 1:
            _logger.warning("%s%s (said once, counted from now on)", kind, f": {detail}" if detail else "")
