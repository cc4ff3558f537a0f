"""Messages to and from the Assembler, the one writer of part files."""

from protocol.messages.base import Message, Request
from protocol.model.job_spec import JobSpec, PieceHashes


class OpenPartFile(Message, tag=24):
    """Open or create the part file of a job. The name in `spec` is made safe by the Assembler, unless `exact_name`.

    `again`: it was open in this attempt and its disk failed. Then it is not created, there must be room for more, and
    it must be possible to write; until then the answer is `PartFileRefused`.

    `make_folder`: the last part of the folder is made where it is missing, but not again: a disk that is not mounted at
    the moment must not be written past.
    """

    job: int
    spec: JobSpec
    dispatcher: str
    again: bool = False
    make_folder: bool = False
    exact_name: bool = False
    validators: tuple[str, ...] = ()
    """Of the sources that have answered: they may prove that a file of the name is the one wanted."""
    start_over: bool = False
    """This job has begun a part file of another size there, which was not the file's: that one is replaced."""
    any_chunk_size: bool = False
    """That in `spec` is for a new part file: one that is there keeps its own."""


class ChunksVerified(Message, tag=25):
    """Chunks found in the part file that match their records. Several may come before `PartFileReady`."""

    job: int
    ranges: tuple[int, ...]
    """Ranges as first, stop, first, stop ..."""
    sources: tuple[int, ...] = ()
    """Hash of the source's name for each range, 0 unknown; empty: not known for any."""
    repeated: tuple[int, ...] = ()
    """Chunks that another source had too, ..."""
    repeated_by: tuple[int, ...] = ()
    """... the hash of its name, for each."""
    excluded: tuple[int, ...] = ()
    """Hashes of sources that had another file."""


class PartFileRehashed(Message, tag=84):
    """Progress of re-hashing the part file. A few a second, before `PartFileReady`."""

    job: int
    read_bytes: int


class SourceChanged(Message, tag=26):
    """This source's validator is not the one on record from when the part file was begun: its content changed.

    `unclear`: only its ETag is another one, its size and date are the same; the bytes have to decide.
    """

    job: int
    source_name: str
    detail: str
    unclear: bool = False


class PartFileReady(Message, tag=27):
    """The part file is open. `message` says what was found there, for people; may be empty.

    `store`: which store process has it, counted from 0.
    """

    job: int
    part_path: str
    message: str
    store: int = 0
    chunk_size: int = 0
    """That it has; 0: as it was requested."""


class PartFileRefused(Message, tag=28):
    """The part file cannot be used. `fault` is a `PartFileFaultKind` number."""

    job: int
    fault: int
    detail: str


class ValidatorSeen(Message, tag=29):
    """Validator that a source showed; kept with the part file so that a resume notices a changed origin.

    `modified`: date of the last change that it showed, empty without one. `agreed`: its bytes were compared, so what is
    on record is replaced.
    """

    job: int
    source_name: str
    validator: str
    modified: str = ""
    agreed: bool = False


class SlotFilled(Message, tag=30):
    """Chunks from `first` on lie in a slot, which belongs to the Assembler from here until its `SlotFreed`."""

    job: int
    source: int
    lease: int
    first: int
    slot: int
    length_bytes: int
    digests: bytes
    """16 bytes of xxh3_128 for each chunk."""
    source_hash: int
    """Hash of the source's name, as records have it."""
    shelf: str
    """Address that gets the slot back."""
    store: int = 0
    """Number of the store process it is meant for. Any other leaves it alone, and it is handed over again when that
    one has the part file open (`PartFileReopened`)."""
    span_at: int = -1
    """Not below 0: the slot holds a span of one chunk that begins there, to be compared and never written."""


class SlotFreed(Message, tag=31):
    """The Assembler has no more use for the slot; its worker may fill it again."""

    slot: int


class ChunksStored(Message, tag=32):
    """Written and recorded: chunks ``[first, first + count)``."""

    job: int
    source: int
    lease: int
    first: int
    count: int
    length_bytes: int


class ChunksRepeated(Message, tag=33):
    """They were stored already and the digests agree: an overlap check that passed."""

    job: int
    source: int
    lease: int
    first: int
    count: int
    length_bytes: int


class ChunkDisputed(Message, tag=34):
    """Stored already with another digest: two sources disagree about this chunk. What is stored stays.

    `digest`: of the bytes that came; `stored_digest`: of those that are stored. Both are 16 bytes of xxh3_128.
    """

    job: int
    source: int
    lease: int
    chunk: int
    other_source_hash: int
    digest: bytes
    stored_digest: bytes


class SpanCompared(Message, tag=175):
    """A span of a chunk came and was compared with what is stored.

    `stored`: whether the chunk is there; `agrees`: whether its bytes are the same. A span that came before its chunk is
    compared again when that is stored, then `lease` is 0.
    """

    job: int
    source: int
    lease: int
    chunk: int
    stored: bool
    agrees: bool


class DropChunks(Message, tag=142):
    """Count chunks ``[firsts[i], stops[i])`` as missing, also for a later attempt: their sender has other content.

    Dispatcher to Assembler; not answered.

    Only those are meant that this source sent: another one may have delivered some of them meanwhile.
    """

    job: int
    firsts: tuple[int, ...]
    stops: tuple[int, ...]
    source_hashes: tuple[int, ...]
    """As in `SlotFilled`, for each range; -1: whichever source sent it."""


class SourcesJudged(Message, tag=172):
    """Record for a later attempt that these sources have another file, or have it after all: hashes of their names.

    Dispatcher to Assembler; not answered.
    """

    job: int
    excluded: tuple[int, ...]
    readmitted: tuple[int, ...]


class ComparePieces(Message, tag=173):
    """Compare the pieces of an open part file with these hashes from now on, what is stored of it at once.

    Dispatcher to Assembler, answered by `PieceChecked` for each, or by `PiecesUnusable`.
    """

    job: int
    pieces: PieceHashes


class PieceChecked(Message, tag=145):
    """A piece is complete and was compared with its hash. Assembler to dispatcher.

    `good`: these chunks are proven, as far as all pieces that they touch are right. Else: the piece that all these
    chunks touch has another hash.
    """

    job: int
    first: int
    stop: int
    good: bool


class PiecesUnusable(Message, tag=146):
    """The piece hashes of the job cannot be used, and why. Assembler to dispatcher."""

    job: int
    detail: str


class PieceHashed(Message, tag=147):
    """A check of a piece is over: the Assembler's message to itself. `failed`: the part file could not be read."""

    job: int
    number: int
    serial: int
    good: bool
    failed: bool = False


class CheckBoundaries(Message, tag=151):
    """Check by the container's own digests the places where chunks `chunks[i]` - 1 and `chunks[i]` meet.

    Dispatcher to Assembler, answered by `BoundariesChecked`, unless the part file is not open.
    """

    job: int
    chunks: tuple[int, ...]


class BoundariesChecked(Message, tag=152):
    """Answer to `CheckBoundaries`. What is neither proven nor broken is undecided, at least with what is stored.

    `format`: of the container, "" where the file is none or is not known to be one yet.
    """

    job: int
    chunks: tuple[int, ...]
    format: str
    proven: tuple[int, ...]
    broken: tuple[int, ...]
    broken_firsts: tuple[int, ...]
    """Chunks ``[broken_firsts[i], broken_stops[i])`` hold the frame that does not close at `broken[i]`."""
    broken_stops: tuple[int, ...]


class CheckContainer(Message, tag=153):
    """Check the complete file by its container: frames, members, the digest of what is decoded.

    Dispatcher to Assembler, answered by `ContainerChecked` or `ContainerBroken`, unless the part file is not open.
    """

    job: int
    request: int
    """Number of the request, repeated in its answer: the file may have changed since an earlier one."""
    seconds_max: float


class ContainerChecked(Message, tag=154):
    """Answer to `CheckContainer`: no damage was found.

    `kind`: "decoded" or "frames", a kind of `protocol.model.identity.KINDS`, where all of the content was checked, else
    "". `detail`: what was found, for people; "" for a file that is no container. `digest_open`: the first chunk names a
    digest of the whole content that nothing was compared with, for want of a decoder.
    """

    job: int
    request: int
    kind: str
    detail: str
    digest_open: bool = False


class ContainerBroken(Message, tag=155):
    """Answer to `CheckContainer`: the first damage lies in chunks ``[first, stop)``. `detail` is for people."""

    job: int
    request: int
    first: int
    stop: int
    detail: str


class GetChunkDigest(Request, tag=169):
    """Ask the Assembler for the recorded digest of a chunk. Answered by one `ChunkDigest` row, or none."""

    job: int
    chunk: int


class ContainerFound(Message, tag=163):
    """The first bytes of a part file are those of this container format, a key of `filenames.CONTAINER_SUFFIXES`.

    Assembler to dispatcher, where the name does not say so.
    """

    job: int
    format: str


class SlotSpoiled(Message, tag=35):
    """The slot's bytes no longer match the worker's digests: our fault; nothing was written."""

    job: int
    source: int
    lease: int
    first: int
    count: int


class DiskFailed(Message, tag=36):
    """The disk failed under an open part file. `fault` is a `PartFileFaultKind` number.

    Nothing of the job is open any more, and slots that are handed over for it are dropped until `OpenPartFile` opens it
    again.
    """

    job: int
    fault: int
    detail: str


class SizeLearned(Message, tag=37):
    """Size of a file that no source announced: its body ended."""

    job: int
    size_bytes: int


class SealFile(Message, tag=38):
    """Every chunk is stored: check, sync, rename, sync the folder.

    `checksum`: named by sources, compared where the user gave none.
    """

    job: int
    checksum: str = ""
    user: str = ""
    """The Soulseek user who sent most, ..."""
    path: str = ""
    """... the remote path there, ..."""
    host: str = ""
    """... or the server: fields of the template that gives the file its place."""


class FileSealed(Message, tag=39):
    """The file has its final name. `digest_hex` is its xxh3_128, which took `digest_s` since then.

    Its records are removed at `JobClosed`, the answer: until then another hub or store can find that it is complete.
    """

    job: int
    path: str
    digest_hex: str
    digest_s: float = 0.0
    already: str = ""
    """Answer to `OpenPartFile`: it was there before, and why nothing is to be downloaded."""
    compared: bool = False
    """The checksum of the order was computed, and matched."""
    note: str = ""
    """What could not be done with the finished file, for people."""


class SealRefused(Message, tag=40):
    """The whole file is not what was asked for (checksum); the part file is kept."""

    job: int
    detail: str


class ClosePartFile(Message, tag=41):
    """Sync and close; answered by `PartFileClosed`."""

    job: int


class PartFileClosed(Message, tag=42):
    """Answer to `ClosePartFile`."""

    job: int


class CommitRecords(Message, tag=43):
    """Group-commit the records of every open part file: the Assembler's message to itself."""


class BackgroundWorkEnded(Message, tag=134):
    """Background work for this job is over: the Assembler's message to itself."""

    job: int


class TrimSlots(Message, tag=135):
    """Give back the memory of slots that were not needed for a while: a shelf's message to itself."""


class ClaimSlots(Message, tag=81):
    """Ask which of its slots ``[first, stop)`` are free, of a fetch process that was restarted. To the Assembler.

    Its predecessor may have handed some over. Answered by `SlotsGranted`; the others come as `SlotFreed` to `shelf`.
    """

    shelf: str
    first: int
    stop: int


class SlotsGranted(Message, tag=82):
    """The Assembler has none of these slots."""

    slots: tuple[int, ...]


class PartFileReopened(Message, tag=83):
    """Another store process, the `store`-th, has the job's part file open. From the dispatcher to the shelves.

    Slots that its predecessors have not given back are handed over again.
    """

    job: int
    store: int
