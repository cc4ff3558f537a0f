"""Names of a fleet: buckets, streams, keys, subjects, ids; the division of users among nodes and of files into parts.

Nothing else knows how one of them is spelled.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Final

from protocol.model.source_url import host_of, is_slsk

PART_BYTES_MIN: Final = 8 << 20
PART_BYTES_MAX: Final = 5 << 30
PARTS_MAX: Final = 10_000
"""Limits of a multipart upload: S3 refuses part 10 001, and parts above 5 GiB."""
HEAD_BYTES: Final = 128 << 10
"""Beginning of a part that the node before it reads too, where users send the file: they stream on anyway."""
_PARTS_AIM: Final = 9_000
_PART_STEP: Final = 1 << 20

NODES: Final = "nodes"
LEASES: Final = "leases"
JOBS: Final = "jobs"
PARTS: Final = "parts"
SETTINGS: Final = "settings"
BUCKETS: Final = (NODES, LEASES, JOBS, PARTS, SETTINGS)
WITH_TTL: Final = frozenset({NODES, LEASES})
"""Buckets whose rows end by themselves when they are not written again. A row's own TTL is lost by an update, so the
bucket has it."""
TTL_S: Final = 20.0
LEADER: Final = "leader"
"""Key in `LEASES` of the node that places jobs."""
FLEET: Final = "fleet"
"""Key in `SETTINGS`."""

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_PASSWORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\\]*@")


def bucket_name(fleet: str, bucket: str) -> str:
    """Return the bus's name of a bucket of this fleet."""
    return f"shoal-{fleet}-{bucket}"


def orders_stream(fleet: str) -> str:
    """Return the name of the stream of orders."""
    return f"shoal-{fleet}-orders"


def orders_subject(fleet: str) -> str:
    """Return the subject that orders are published to."""
    return f"shoal.{fleet}.orders"


def node_subject(fleet: str, node: str, what: str) -> str:
    """Return the subject of requests to a node: ``sign`` for addresses of parts, ``why`` for explanations."""
    return f"shoal.{fleet}.node.{node}.{what}"


def progress_subject(fleet: str, job: str) -> str:
    """Return the subject of progress, which may be lost."""
    return f"shoal.{fleet}.progress.{job}"


def is_fleet_name(name: str) -> bool:
    """Return whether it can name a fleet or a node: it becomes part of subjects and keys."""
    return _NAME.fullmatch(name) is not None


def job_id(key: str) -> str:
    """Return the id of a job, made of its idempotency key: an order that comes twice names the same row."""
    return hashlib.blake2b(key.encode(), digest_size=10).hexdigest()


def window_key(job: str, first: int) -> str:
    """Return the key of a window; of two nodes that claim the same first part, the bus refuses one."""
    return f"{job}.{first}"


def pieces_key(job: str) -> str:
    """Return the key of a job's piece hashes."""
    return f"{job}.pieces"


def check_key(job: str, part: int, node: str) -> str:
    """Return the key of a check."""
    return f"{job}.check.{part}.{node}"


def part_bytes_of(size_bytes: int, piece_bytes: int = 0) -> int:
    """Return the size of a file's parts: 8 MiB, or whole MiB so that there are at most about 9 000.

    Whole pieces, where the file has pieces with hashes, so that each part can be proven by its own. Raises `ValueError`
    for a file that no multipart upload can hold.
    """
    size = max(PART_BYTES_MIN, -(-size_bytes // (_PARTS_AIM * _PART_STEP)) * _PART_STEP)
    if 0 < piece_bytes <= PART_BYTES_MAX:
        size = -(-size // piece_bytes) * piece_bytes
    if size > PART_BYTES_MAX:
        raise ValueError(f"{size_bytes} bytes are more than {PARTS_MAX} parts of 5 GiB hold")
    return size


def part_count(size_bytes: int, part_bytes: int) -> int:
    """Return the number of parts; an empty file has one, which is empty."""
    return max(1, -(-size_bytes // part_bytes))


def part_span(part: int, size_bytes: int, part_bytes: int) -> tuple[int, int]:
    """Return the bytes ``(start, stop)`` of a part."""
    return part * part_bytes, min((part + 1) * part_bytes, size_bytes)


def multipart_etag(etags: Sequence[str]) -> str:
    """Return the ETag that S3 gives an object of these parts: MD5 of their MD5s, and how many.

    Empty where an etag is no MD5, as with a store that encrypts by keys of its own.
    """
    try:
        raw = b"".join(bytes.fromhex(each) for each in etags)
    except ValueError:
        return ""
    return f"{hashlib.md5(raw, usedforsecurity=False).hexdigest()}-{len(etags)}" if len(raw) == 16 * len(etags) else ""


def rendezvous(name: str, nodes: Iterable[str]) -> str:
    """Return the node that the highest hash of both names gives; empty without nodes.

    A node that comes or goes moves only what is its own. By this the users of Soulseek are divided among the nodes:
    one user hears one login.
    """
    return max(nodes, key=lambda node: (_weight(name, node), node), default="")


def _weight(name: str, node: str) -> bytes:
    return hashlib.blake2b(f"{node}\0{name}".encode(), digest_size=8).digest()


def has_password(url: str) -> bool:
    """Return whether an address names a login; such are not sent through the bus."""
    return _PASSWORD.match(url) is not None


def scheme_of(url: str) -> str:
    """Return the kind of a source as in `NodeRow.schemes`."""
    return "slsk" if is_slsk(url) else url.partition(":")[0].lower()


def source_host(url: str) -> str:
    """Return the host as in `NodeRow.unreachable`, of a user its name."""
    return host_of(url)


def content_md5(etag: str) -> str:
    """Return a part's MD5 as the field Content-MD5 has it."""
    return base64.b64encode(bytes.fromhex(etag)).decode()
