"""Rows that the machines of a fleet share through a bus, and orders for them.

They are JSON objects, so that they can be read with the bus's own tools; a member that this version does not know is
skipped, one that it misses has its default. Parts are arrays: a file may have ten thousand. No row holds bytes of a
file, a password or a login.
"""

from typing import Final, TypeVar

import msgspec

from protocol.model.fleet.names import BUCKETS, JOBS, LEASES, NODES, PARTS, SETTINGS, part_count
from protocol.model.job_spec import JobSpec
from protocol.model.value import Value

FLEET_FORMAT: Final = 1
"""Number of the format of the rows. A node of another format stays out and says so."""
QUEUED: Final = "queued"
PLACED: Final = "placed"
ACTIVE: Final = "active"
SEALING: Final = "sealing"
SEALED: Final = "sealed"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
ENDED: Final = frozenset({SEALED, FAILED, CANCELLED})


class Row(Value, array_like=False, forbid_unknown_fields=False):
    """Base of the rows of a bucket: a JSON object."""


class NodeRow(Row, array_like=False, forbid_unknown_fields=False):
    """One machine, in `NODES` under its name, written again every few seconds: its absence is its death."""

    name: str
    instance: str
    """Drawn by chance at each start: another process under the same name is another holder."""
    format: int = FLEET_FORMAT
    version: str = ""
    """Of the program, for people."""
    time_s: float = 0.0
    """Its wall clock. Compared by the others, used for nothing: a wrong one makes presigned addresses fail."""
    rate_bytes_s: float = 0.0
    """Received by all its jobs at the moment."""
    could_bytes_s: float = 0.0
    """What it was seen to reach lately; 0: nothing is known."""
    free_bytes: int = -1
    """Free disk below its folder; -1: unknown."""
    slots: int = 8
    """Fleet jobs that it works on at a time."""
    jobs: int = 0
    """Fleet jobs that it works on now."""
    draining: bool = False
    schemes: tuple[str, ...] = ("http", "https")
    """Kinds of sources that it can reach; ``slsk`` while it is logged in."""
    unreachable: tuple[str, ...] = ()
    """Hosts that it could not connect to lately, a few at most: jobs of theirs go to other nodes first."""


class LeaseRow(Row, array_like=False, forbid_unknown_fields=False):
    """A role that one node has until it stops writing the row, in `LEASES`. The revision of the row is its token."""

    node: str
    instance: str


class PartRow(Value):
    """One part of a file that is stored at the destination: the truth about it. A member of `WindowRow`."""

    part: int
    """From 0; S3 counts from 1."""
    etag: str
    """As the destination answered; of S3 without quotation marks, the MD5 in hexadecimal."""
    digest: str
    """xxh3-128 of the part's bytes in hexadecimal: two nodes that read a part are compared by it."""
    node: str
    """The node that read and stored it."""
    head: str = ""
    """As `digest`, of its first `HEAD_BYTES`, where users send the file."""
    sources: tuple[int, ...] = ()
    """Those of the job, by number, that sent it and what was fetched together with it."""


class WindowRow(Row, array_like=False, forbid_unknown_fields=False):
    """A window: consecutive parts that one node fetches, and what of them is stored. In `PARTS` as `window_key`.

    It is the lease and the record in one row, so that the compare-and-set of the bus fences both: a node that takes a
    dead one's window writes the row, and what the dead one still writes names an old revision and is refused. The
    revision is the fencing token. A window reaches to the first part of the next window if that is nearer than `stop`:
    taking the tail of a window is writing a new row inside it.
    """

    job: str
    first: int
    stop: int
    node: str
    """Empty: given back, free for any."""
    instance: str
    epoch: int
    """As in the job's row when it was made: parts of an upload that is gone count for nothing."""
    parts: tuple[PartRow, ...] = ()
    ahead: tuple[PartRow, ...] = ()
    """Parts that the destination has while users still send others of the window, each from one source. They count once
    another process takes the window: its holder may yet find that one of its users has another file."""


class CheckRow(Row, array_like=False, forbid_unknown_fields=False):
    """A part that a second node has read, to compare; in `PARTS` as `check_key`."""

    job: str
    part: int
    node: str
    digest: str
    epoch: int
    head: bool = False
    """Only the beginning was read: the digest is to be that of `PartRow.head`."""
    sources: tuple[int, ...] = ()


class PiecesRow(Row, array_like=False, forbid_unknown_fields=False):
    """Piece hashes of a job's file, in `PARTS` as `pieces_key`; written once, before the order."""

    job: str
    digests: bytes
    """Raw, one after another. Algorithm and length of a piece stand in the job's `spec.pieces`."""


class FleetJobRow(Row, array_like=False, forbid_unknown_fields=False):
    """One job of the fleet, in `JOBS` under its id. Every change is a compare-and-set."""

    id: str
    key: str
    """Idempotency key of its order, of which the id is made."""
    spec: JobSpec
    """As ordered; `folder` is relative to each node's own. Its secrets were left behind."""
    sources: tuple[str, ...]
    """Addresses without passwords."""
    destination: str
    """Name of the finished object or file in the fleet's bucket or folder."""
    priority: int = 0
    created: int = 0
    """Serial of its order in the stream: the queue's order."""
    spread: int = 1
    """Nodes that may fetch it together."""
    state: str = QUEUED
    nodes: tuple[str, ...] = ()
    """Nodes that it is placed on. The first one describes the file, begins the upload and seals it."""
    attempt: int = 0
    """How often it was placed."""
    refused: tuple[str, ...] = ()
    """Nodes that could not fetch it ..."""
    banned: tuple[str, ...] = ()
    """... and those whose bytes were other than those of the rest."""
    excluded: tuple[int, ...] = ()
    """Sources, by number, that sent other bytes than the rest: parts in which they had a share are void."""
    size_bytes: int = -1
    divisible: bool = True
    """Its sources can begin anywhere in the file."""
    part_bytes: int = 0
    upload: str = ""
    """Id of the multipart upload; of a folder the name of the temporary file."""
    epoch: int = 0
    """Number of that upload: it grows when one is lost."""
    etag: str = ""
    """Of the sealed object."""
    sealed_by: str = ""
    reason: str = ""
    """One line for people: why it failed or waits."""
    ordered_s: float = 0.0
    """Wall clock of the node that took the order, for people."""

    @property
    def part_count(self) -> int:
        """Return the number of parts; 0 while the size is unknown."""
        return part_count(self.size_bytes, self.part_bytes) if self.size_bytes >= 0 and self.part_bytes else 0


class FleetSettings(Row, array_like=False, forbid_unknown_fields=False):
    """Settings that all nodes share, in `SETTINGS`. The first node of a fleet writes it."""

    fleet: str
    """Random id: two fleets with one name and broker have different destinations, and the second stays out."""
    destination: str
    """Address of the bucket or folder, without credentials."""
    limit_bytes_s: int = 0
    """Of all nodes together; 0: none."""
    draining: tuple[str, ...] = ()
    """Nodes that finish nothing new and hand over what they have."""
    format: int = FLEET_FORMAT


class FleetOrder(Row, array_like=False, forbid_unknown_fields=False):
    """An order for the fleet, a message of the stream of orders.

    `kind` is ``create`` (all fields of the job), ``cancel`` (`job`), ``drain`` and ``undrain`` (`node`), or ``limit``
    (`limit_bytes_s`). Acknowledged when its effect is stored.
    """

    kind: str = "create"
    key: str = ""
    """Idempotency key; two orders with one are one."""
    spec: JobSpec | None = None
    sources: tuple[str, ...] = ()
    destination: str = ""
    priority: int = 0
    spread: int = 1
    job: str = ""
    node: str = ""
    limit_bytes_s: int = 0


AnyRow = NodeRow | LeaseRow | WindowRow | CheckRow | PiecesRow | FleetJobRow | FleetSettings
R = TypeVar("R", bound=Row)
_encoder: Final = msgspec.json.Encoder()


class BadRow(ValueError):  # noqa: N818
    """Bytes that are no row of this kind: another program's, damaged, or of another version."""


def encode_row(row: Row) -> bytes:
    """Return the bytes of a row or order."""
    return _encoder.encode(row)


def decode_row(kind: type[R], raw: bytes) -> R:
    """Return the row; `BadRow` for anything else."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"no {kind.__name__}: {error}") from error


def row_kind(bucket: str, key: str) -> type[AnyRow]:
    """Return the class of the rows that stand in this bucket under such a key."""
    if bucket == PARTS:
        second = key.split(".")[1]
        return CheckRow if second == "check" else PiecesRow if second == "pieces" else WindowRow
    return _KINDS[bucket]


_KINDS: Final[dict[str, type[AnyRow]]] = {
    NODES: NodeRow,
    LEASES: LeaseRow,
    JOBS: FleetJobRow,
    SETTINGS: FleetSettings,
}


def decode_any(bucket: str, key: str, raw: bytes) -> AnyRow:
    """Return the row that was read from a bucket; `BadRow` for anything else."""
    if bucket not in BUCKETS or (bucket == PARTS and key.count(".") < 1):
        raise BadRow(f"no row has the key {key} in {bucket}")
    return decode_row(row_kind(bucket, key), raw)
