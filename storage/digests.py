"""Digests of chunks (xxh3_128) and of whole files, and the checksums that users give."""

import errno
import os
import re
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Protocol

import xxhash

from protocol.model.units import http_date_s
from protocol.model.value import Struct

READ_BYTES: Final = 512 << 10
"""One read of a whole-file pass: fits the cache of a core. 1 GiB of page cache takes 0.11 s; mapping the file took
0.09 s, but a mapped file that is truncated kills the process with SIGBUS instead of raising OSError."""


class _Hasher(Protocol):
    def update(self, data: memoryview, /) -> object: ...
    def hexdigest(self) -> str: ...


def _stdlib(name: str) -> Callable[[], _Hasher]:
    def make() -> _Hasher:
        import hashlib  # loading OpenSSL is 2 ms that a start without checksum need not wait for

        return hashlib.new(name, usedforsecurity=False)

    return make


_MAKERS: Final[dict[str, Callable[[], _Hasher]]] = {
    **{
        name: _stdlib(name)
        for name in (
            "md5",
            "sha1",
            "sha224",
            "sha256",
            "sha384",
            "sha512",
            "sha3_256",
            "sha3_512",
            "blake2b",
            "blake2s",
        )
    },
    "xxh3_128": xxhash.xxh3_128,
    "xxh3_64": xxhash.xxh3_64,
    "xxh64": xxhash.xxh64,
}


def stream_hasher(algorithm: str) -> _Hasher:
    """Return a hasher that takes bytes as they come."""
    return _MAKERS[algorithm]()


def digests_of(view: memoryview, length: int, chunk_size: int) -> bytes:
    """Return the digests of consecutive chunks in the first `length` bytes, 16 bytes each; the last may be short."""
    return b"".join(
        [xxhash.xxh3_128_digest(view[at : min(at + chunk_size, length)]) for at in range(0, length, chunk_size)]
    )


def source_hash(name: str) -> int:
    """Return a source's name in 32 bits, for records. Never 0, which stands for no single source."""
    return (xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass")) & 0xFFFFFFFF) or 1


def validator_digest(validator: str) -> bytes:
    """Return 16 bytes that stand for an ETag or date of a source, for records."""
    return xxhash.xxh3_128_digest(validator.encode("utf-8", "surrogatepass"))


DATE_SLACK_S: Final = 60
"""Dates of the last change this near to each other are taken for copies of one file on several nodes."""


def date_name(source_name: str) -> str:
    """Return the name under which the date of a source's file is recorded, beside its validator."""
    return f"{source_name}\nLast-Modified"


def date_slots(modified: str) -> tuple[str, ...]:
    """Return words for an HTTP date, for records: the first stands for itself, the others for dates near to it."""
    then_s = http_date_s(modified)
    if then_s is None:
        return (f"date:{modified}",) if modified else ()
    slot = int(then_s) // DATE_SLACK_S
    return tuple(f"date slot {each}" for each in (slot, slot - 1, slot + 1))


class Checksum(Struct, frozen=True):
    """Expected digest of the whole file, given by a user. `hex` is lower case."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> "Checksum":
        """Parse ``algorithm:hex``; ValueError with one line for people."""
        algorithm, colon, digest = text.strip().partition(":")
        name, digest = _canonical(algorithm), digest.strip().lower()
        if not colon or not digest:
            raise ValueError(f"checksum {text!r} is not ALGORITHM:HEX, for example sha256:9f86d0...")
        if name not in _MAKERS:
            raise ValueError(f"checksum algorithm {algorithm!r} is not known; known are {', '.join(sorted(_MAKERS))}")
        digits = len(_MAKERS[name]().hexdigest())
        if not re.fullmatch(r"[0-9a-f]+", digest):
            raise ValueError(f"checksum {text!r}: not hexadecimal after the colon")
        if len(digest) != digits:
            raise ValueError(f"checksum {text!r}: {name} has {digits} hexadecimal digits, not {len(digest)}")
        return cls(name, digest)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


def _canonical(algorithm: str) -> str:
    """Normalize ``SHA-256`` and ``sha3-256``, as Metalink and people write them."""
    name = algorithm.strip().lower().replace("-", "_")
    return name.replace("_", "", 1) if name.startswith("sha_") else name


class WholeDigest(Struct, frozen=True):
    """Hex digests of a whole file; `checksum_hex` by the algorithm of the user's checksum, "" without one."""

    xxh3_hex: str
    checksum_hex: str


def whole_digest(fd: int, size_bytes: int, checksum: Checksum | None = None) -> WholeDigest:
    """Read the file once from its beginning. Raises OSError, also when it is shorter than that.

    The user's digest is the slow one: it is computed in a second thread, on the block that xxh3 takes in this one.
    """
    fast = xxhash.xxh3_128()
    if checksum is None:
        _read_through(fd, size_bytes, fast.update)
        return WholeDigest(fast.hexdigest(), "")
    if checksum.algorithm == "xxh3_128":
        _read_through(fd, size_bytes, fast.update)
        return WholeDigest(fast.hexdigest(), fast.hexdigest())
    slow = _MAKERS[checksum.algorithm]()
    _read_with_helper(fd, size_bytes, fast.update, slow.update)
    return WholeDigest(fast.hexdigest(), slow.hexdigest())


def file_digest(path: str, algorithm: str) -> str:
    """Return the hex digest of a file by one algorithm. Raises OSError, ValueError for an unknown algorithm."""
    name = _canonical(algorithm)
    if name not in _MAKERS:
        raise ValueError(f"checksum algorithm {algorithm!r} is not known")
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        hasher = _MAKERS[name]()
        _read_through(descriptor, os.fstat(descriptor).st_size, hasher.update)
        return hasher.hexdigest()
    finally:
        os.close(descriptor)


def range_digest(fd: int, start: int, stop: int, algorithm: str) -> bytes:
    """Return the raw digest of bytes ``[start, stop)`` of a file. Raises OSError, also when it is shorter than that."""
    hasher = _MAKERS[algorithm]()
    _read_through(fd, stop, hasher.update, at=start)
    return bytes.fromhex(hasher.hexdigest())


class FrontDigest:
    """Incremental xxh3_128 of a file that grows from its front, computed while the bytes are in memory.

    Bytes stored elsewhere than right behind the front are skipped; `finished` reads them from the file at the end.
    """

    __slots__ = ("_at", "_hash")

    def __init__(self) -> None:
        self._hash = xxhash.xxh3_128()
        self._at = 0

    def take(self, offset: int, view: memoryview) -> None:
        """Take bytes that were stored at `offset`."""
        if offset == self._at:
            self._hash.update(view)
            self._at += len(view)

    def forget(self, offset: int) -> None:
        """What was stored at `offset` is to be replaced. Behind the front nothing was taken yet."""
        if offset < self._at:
            self._hash.reset()
            self._at = 0

    def finished(self, fd: int, size_bytes: int) -> str:
        """Return the whole file's digest in hex. Raises OSError, also when the file is shorter than that."""
        _read_through(fd, size_bytes, self._hash.update, at=self._at)
        self._at = size_bytes
        return self._hash.hexdigest()


def _read_through(fd: int, size_bytes: int, take: Callable[[memoryview], object], *, at: int = 0) -> None:
    buffer = memoryview(bytearray(READ_BYTES if at < size_bytes else 0))
    while at < size_bytes:
        got = _read_at(fd, buffer[: min(READ_BYTES, size_bytes - at)], at)
        take(buffer[:got])
        at += got


def _read_with_helper(
    fd: int, size_bytes: int, take: Callable[[memoryview], object], help_take: Callable[[memoryview], object]
) -> None:
    free = deque(memoryview(bytearray(READ_BYTES)) for _ in range(4))
    pending: deque[tuple[Future[object], memoryview]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="digest") as helper:
        at = 0
        while at < size_bytes:
            if not free:
                done, buffer = pending.popleft()
                done.result()
                free.append(buffer)
            buffer = free.popleft()
            got = _read_at(fd, buffer[: min(READ_BYTES, size_bytes - at)], at)
            pending.append((helper.submit(help_take, buffer[:got]), buffer))
            take(buffer[:got])
            at += got
        for done, _ in pending:
            done.result()


def _read_at(fd: int, buffer: memoryview, at: int) -> int:
    got = os.preadv(fd, [buffer], at)
    if got == 0:
        raise OSError(errno.EIO, f"the file ends at {at} bytes")
    return got
