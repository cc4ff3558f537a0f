"""What is said to and by the Assembler, the one writer of part files."""

from protocol.messages.base import Message
from protocol.model.job_spec import JobSpec


class OpenPartFile(Message, tag=24):
    """Open or create the part file of a job. The name in `spec` comes from outside and is made safe by the Assembler.

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


class ChunksVerified(Message, tag=25):
    """Chunks found in the part file that match their records: runs as a flat tuple first, stop, first, stop ...

    `sources` is, for each run, what its records keep of the name of who sent it (0: nobody in particular); empty: not
    told. Several of these may come before `PartFileReady`; each stays below the frame limit.
    """

    job: int
    runs: tuple[int, ...]
    sources: tuple[int, ...] = ()


class PartFileRehashed(Message, tag=84):
    """The part file is being re-hashed: so many bytes of so many. A few a second, before `PartFileReady`."""

    job: int
    read_bytes: int
    total_bytes: int


class SourceChanged(Message, tag=26):
    """This source's validator is not the one on record from when the part file was begun: its content changed."""

    job: int
    source_name: str
    detail: str


class PartFileReady(Message, tag=27):
    """The part file stands. `message` tells people what was found there (may be empty). `store`: which store process
    has it, counted from 0."""

    job: int
    part_path: str
    message: str
    store: int = 0


class PartFileRefused(Message, tag=28):
    """The part file cannot be used. `fault` is a `PartFileFaultKind` number."""

    job: int
    fault: int
    detail: str


class ValidatorSeen(Message, tag=29):
    """A source showed this validator; keep it with the part file so that a resume notices a changed origin."""

    job: int
    source_name: str
    validator: str


class SlotFilled(Message, tag=30):
    """Chunks from `first` on lie in `slot`, `length_bytes` in all; `digests` is 16 bytes of xxh3_128 for each.
    `source_hash` is what the records keep of the source's name; `shelf` is the address that gets the slot back.

    The slot belongs to the Assembler from here until its `SlotFreed`. `store`: the store process it is meant for; any
    other leaves it alone, and it is handed over again when that one has the target open (`PartFileReopened`).
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
    store: int = 0


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
    """They were stored already and the digests agree: a joint that two sources agree on."""

    job: int
    source: int
    lease: int
    first: int
    count: int
    length_bytes: int


class ChunkDisputed(Message, tag=34):
    """Stored already with another digest: two sources disagree about this chunk."""

    job: int
    source: int
    lease: int
    chunk: int
    other_source_hash: int


class SlotSpoiled(Message, tag=35):
    """The slot's bytes no longer match the worker's digests: our fault; nothing was written."""

    job: int
    source: int
    lease: int
    first: int
    count: int


class DiskFailed(Message, tag=36):
    """The disk failed under an open part file, which has been let go of: nothing of the job is open any more, and what
    is handed over for it is dropped until `OpenPartFile` opens it again. `fault` is a `PartFileFaultKind` number."""

    job: int
    fault: int
    detail: str


class SizeLearned(Message, tag=37):
    """The size of a file that nobody announced is known now: its body ended."""

    job: int
    size_bytes: int


class SealFile(Message, tag=38):
    """Every chunk is stored: check, sync, rename, sync the folder."""

    job: int


class FileSealed(Message, tag=39):
    """The file stands under its final name, for `digest_s` already: so long took its xxh3_128, `digest_hex`.

    Its records go when the answer has come, `JobClosed`: until then another hub or store can find that it stands.
    """

    job: int
    path: str
    digest_hex: str
    digest_s: float = 0.0


class SealRefused(Message, tag=40):
    """The whole file is not what was asked for (checksum); the part file is kept."""

    job: int
    detail: str


class ClosePartFile(Message, tag=41):
    """Sync and close; answered by `PartFileClosed`."""

    job: int


class PartFileClosed(Message, tag=42):
    job: int


class CommitRecords(Message, tag=43):
    """The Assembler's note to itself: group-commit the records of every open part file."""


class BackgroundWorkEnded(Message, tag=134):
    """The Assembler's note to itself: what was done beside it for this job is over."""

    job: int


class TrimSlots(Message, tag=135):
    """A shelf's note to itself: give the memory of slots back that were not needed for a while."""


class ClaimSlots(Message, tag=81):
    """A fetch process was started anew: which of its slots ``[first, stop)`` are free? Its predecessor may have handed
    some over. To the Assembler, answered by `SlotsGranted`; slots not in it come as `SlotFreed` to `shelf`."""

    shelf: str
    first: int
    stop: int


class SlotsGranted(Message, tag=82):
    """The Assembler has none of these slots."""

    slots: tuple[int, ...]


class PartFileReopened(Message, tag=83):
    """Another store process, the `store`-th, has the job's target open. From the dispatcher to the shelves: hand over
    again what its predecessors have not given back."""

    job: int
    store: int
