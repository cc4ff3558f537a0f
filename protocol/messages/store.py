"""What is said to and by the Assembler, the one writer of part files."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetWanted:
    """Open or create the part file of a job. `size_bytes` -1: unknown. `name` is from outside, made safe here."""

    job: int
    folder: str
    name: str
    size_bytes: int
    chunk_size: int
    checksum: str
    preallocate: bool
    sync: str
    dispatcher: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunksVerified:
    """Chunks found in the part file that match their records: runs as a flat tuple first, stop, first, stop ...

    Several of these may come before `TargetOpened`; each stays below the frame limit.
    """

    job: int
    runs: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceChanged:
    """This source's validator is not the one on record from when the part file was begun: its content changed."""

    job: int
    source_name: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetOpened:
    """The part file stands. `message` tells people what was found there (may be empty)."""

    job: int
    part_path: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRefused:
    """The part file cannot be used. `fault` is a `TargetFaultKind` number."""

    job: int
    fault: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatorSeen:
    """A source showed this validator; keep it with the part file so that a resume notices a changed origin."""

    job: int
    source_name: str
    validator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotFilled:
    """Chunks from `first` on lie in `slot`, `length_bytes` in all; `digests` is 16 bytes of xxh3_128 for each.
    `source_hash` is what the records keep of the source's name; `shelf` is the address that gets the slot back.

    The slot belongs to the Assembler from here until its `SlotFreed`.
    """

    job: int
    source: int
    lease: int
    first: int
    slot: int
    length_bytes: int
    digests: bytes
    source_hash: int
    shelf: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotFreed:
    """The Assembler has no more use for the slot; its worker may fill it again."""

    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunksStored:
    """Written and recorded: chunks ``[first, first + count)``."""

    job: int
    source: int
    lease: int
    first: int
    count: int
    length_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunksRepeated:
    """They were stored already and the digests agree: a joint that two sources agree on."""

    job: int
    source: int
    lease: int
    first: int
    count: int
    length_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkDisputed:
    """Stored already with another digest: two sources disagree about this chunk."""

    job: int
    source: int
    lease: int
    chunk: int
    other_source_hash: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSpoiled:
    """The slot's bytes no longer match the worker's digests: our fault; nothing was written."""

    job: int
    source: int
    lease: int
    first: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskFailed:
    """Writing failed; the bytes so far are safe. `fault` is a `TargetFaultKind` number."""

    job: int
    fault: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeLearned:
    """The size of a file that nobody announced is known now: its body ended."""

    job: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SealWanted:
    """Every chunk is stored: check, sync, rename, sync the folder."""

    job: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSealed:
    """The file stands under its final name. `digest_hex` is the whole file's xxh3_128."""

    job: int
    path: str
    digest_hex: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SealRefused:
    """The whole file is not what was asked for (checksum); the part file is kept."""

    job: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCloseAsked:
    """Sync and close; answered by `TargetClosed`."""

    job: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetClosed:
    job: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitDue:
    """The Assembler's note to itself: group-commit the records of every open part file."""
