"""Owner of a job: describes the file, begins the upload, has the parts compared, and seals exactly once.

The first of the nodes that a job is placed on does this. Each step is one compare-and-set of the job's row around one
request to the destination; a node that takes over repeats the request, and whichever answer the repetition gets tells
what stands there.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from actors.core.fleet.board import Board
from actors.core.fleet.evidence import asked, due_checks, is_answer, judge
from actors.core.fleet.view import Bus
from actors.core.fleet.vocabulary import (
    AbortUpload,
    CheckObject,
    CheckPart,
    CompleteUpload,
    CreateUpload,
    FileDescribed,
    ListUpload,
    ObjectSeen,
    PartChecked,
    Report,
    StoreFault,
    UploadCompleted,
    UploadCreated,
    UploadFailed,
    UploadListed,
)
from protocol.model.fleet.names import JOBS, PARTS, check_key, multipart_etag, part_bytes_of, part_count, window_key
from protocol.model.fleet.rows import ACTIVE, FAILED, PLACED, QUEUED, SEALED, SEALING, CheckRow, FleetJobRow, WindowRow

EPOCHS_MAX: Final = 5
"""Uploads of one job, after which a destination that loses them is believed to be broken."""
LOOK_S: Final = 1.0
RETRY_S_MIN: Final = 1.0
RETRY_S_MAX: Final = 30.0


@dataclass(slots=True)
class Owner:
    """State of one node about a job, beyond its rows."""

    job: str
    node: str
    size_bytes: int = -1
    divisible: bool = True
    made: UploadCreated | None = None
    asked: str = ""
    """The request to the destination that is under way."""
    etag: str = ""
    """Of the object that is known to be this job's."""
    gone: int = -1
    """Epoch of the upload that the destination does not know."""
    look: bool = False
    """Look whether the object stands, before anything else is done."""
    listing: bool = False
    wrong: list[tuple[WindowRow, frozenset[int]]] = field(default_factory=list)
    """Rows that say of these parts what the destination does not have."""
    foreign: bool = False
    """An object of another content has the name."""
    spoilt: str = ""
    """Why the whole file is not what the order says."""
    full_at: float = -1.0
    look_at: float = 0.0
    """When it is looked again which parts are to be read again, while some are still fetched."""
    checking: set[int] = field(default_factory=set)
    answers: dict[int, PartChecked] = field(default_factory=dict)
    retry_at: float = 0.0
    retry_s: float = RETRY_S_MIN
    said: str = ""

    # --- what the shell says ---

    def described(self, event: FileDescribed) -> None:
        """Take note of the size that a source says."""
        self.size_bytes, self.divisible = event.size_bytes, event.divisible

    def upload_created(self, event: UploadCreated) -> None:
        """Take note of an upload; the row names it later, or it is aborted."""
        self.asked, self.retry_s = "", RETRY_S_MIN
        self.made = event

    def upload_failed(self, event: UploadFailed, now: float, bus: Bus) -> None:
        """Decide by the fault: look what stands there, have the parts listed, or try again later."""
        doing, self.asked = self.asked, ""
        if event.fault in (StoreFault.NO_UPLOAD, StoreFault.EXISTS) and doing in ("complete", "list"):
            self.look = True
            self.gone = event.epoch if event.fault is StoreFault.NO_UPLOAD else self.gone
            return
        if event.fault is StoreFault.BAD_PART and doing == "complete":
            self.listing = True
            return
        if event.fault is StoreFault.CONTENT:
            self.spoilt = event.detail or "the whole file has another digest than the order says"
            return
        self.retry_at = now + self.retry_s
        self.retry_s = min(2 * self.retry_s, RETRY_S_MAX)
        text = event.detail or f"the destination refuses ({event.fault.name.lower()})"
        if text != self.said:
            self.said = text
            bus.out.append(Report(text, job=self.job))

    def completed(self, event: UploadCompleted, board: Board) -> None:
        """Take note that the object stands."""
        self.asked, self.retry_s = "", RETRY_S_MIN
        self.etag = event.etag or _whole_etag(board)

    def object_seen(self, event: ObjectSeen, row: FleetJobRow, board: Board, now: float) -> None:
        """Compare the object that stands with the parts: an earlier completion of this job, or another's content.

        Before the rows of all parts are here nothing is known of it. Once the job is *sealing* they are on their way.
        """
        self.asked, self.look, self.retry_s = "", False, RETRY_S_MIN
        if event.etag and board.stored_count < row.part_count:
            self.look, self.retry_at = row.state == SEALING, now + RETRY_S_MIN
            return
        mine = _whole_etag(board)
        if event.etag and event.etag == mine and event.size_bytes in (-1, row.size_bytes):
            self.etag = event.etag
        elif event.etag:
            self.foreign = True

    def listed(self, event: UploadListed, board: Board) -> None:
        """Find the parts of which the destination has another content than the rows say, or everything."""
        self.asked, self.listing, self.retry_s = "", False, RETRY_S_MIN
        if not event.known:
            self.gone = event.epoch
            return
        there = dict(event.parts)
        parts = frozenset(part.part for part in board.all_stored() if there.get(part.part) != part.etag)
        firsts = {first for part in parts for first in board.telling(part)}
        self.wrong = [(board.windows[first], parts) for first in sorted(firsts)]

    def checked(self, event: PartChecked) -> None:
        """Take note of what this node reads for a part of another one."""
        self.answers[event.part] = event

    # --- what is done ---

    def act(self, row: FleetJobRow, board: Board, bus: Bus, now: float, living: Collection[str], lost: int) -> None:
        """Do the next step. `lost`: epoch of an upload that a part was refused for."""
        if self.made is not None and row.epoch >= self.made.epoch and row.upload:
            if row.upload != self.made.upload:
                bus.out.append(AbortUpload(self.job, self.made.upload))
            self.made = None
        first = bool(row.nodes) and row.nodes[0] == self.node
        if row.state == PLACED and first:
            self._begin(row, bus, now)
            return
        if row.state not in (ACTIVE, SEALING):
            return
        whole = board.stored_count == row.part_count
        self.full_at = (self.full_at if self.full_at >= 0 else now) if whole else -1.0
        if row.state == ACTIVE:
            self._check_parts(row, board, bus, now, living)
        if lost == row.epoch and self.gone != row.epoch:
            self.gone, self.look = row.epoch, True
        if self.spoilt and first:
            bus.write(JOBS, self.job, row.but(state=FAILED, reason=self.spoilt), now)
        elif self.gone == row.epoch and (lost == row.epoch or first):
            self._renew(row, board, bus, now)
        elif first and self.wrong:
            self._take_back(row, board, bus, now)
        elif first and whole:
            self._seal(row, board, bus, now, living)
        elif first and row.state == SEALING:  # parts were taken back
            bus.write(JOBS, self.job, row.but(state=ACTIVE), now)

    def _begin(self, row: FleetJobRow, bus: Bus, now: float) -> None:
        size = row.size_bytes if row.size_bytes >= 0 else self.size_bytes
        if self.size_bytes < 0:
            return
        try:
            part_bytes = row.part_bytes or part_bytes_of(size, row.spec.pieces.piece_bytes)
        except ValueError as error:
            bus.write(JOBS, self.job, row.but(state=FAILED, reason=str(error)), now)
            return
        if self.made is None:
            self._ask("create", CreateUpload(self.job, row.epoch, row.destination, size), bus, now)
            return
        begun = row.but(
            state=ACTIVE,
            size_bytes=size,
            divisible=self.divisible,
            part_bytes=part_bytes,
            upload=self.made.upload,
            nodes=row.nodes if self.divisible and part_count(size, part_bytes) > 1 else row.nodes[:1],
            spread=row.spread if self.divisible else 1,
        )
        bus.write(JOBS, self.job, begun, now)

    def _look(self, row: FleetJobRow, board: Board, bus: Bus, now: float) -> None:
        etag = _whole_etag(board) if board.stored_count == row.part_count else ""
        asked = CheckObject(self.job, row.epoch, row.destination, etag, row.part_bytes, _checksum(row))
        self._ask("look", asked, bus, now)

    def _renew(self, row: FleetJobRow, board: Board, bus: Bus, now: float) -> None:
        """Begin another upload where the destination has lost this one, unless it was completed."""
        if self.look:
            self._look(row, board, bus, now)
        elif self.etag:
            self._end(row, bus, now)
        elif self.foreign:
            bus.write(JOBS, self.job, row.but(state=FAILED, reason="another object has the name"), now)
        elif row.epoch >= EPOCHS_MAX:
            bus.write(JOBS, self.job, row.but(state=FAILED, reason="the destination loses uploads"), now)
        elif self.made is None:
            self._ask("create", CreateUpload(self.job, row.epoch + 1, row.destination, row.size_bytes), bus, now)
        elif self.made.epoch == row.epoch + 1:
            bus.write(JOBS, self.job, row.but(state=ACTIVE, epoch=self.made.epoch, upload=self.made.upload), now)

    def _seal(self, row: FleetJobRow, board: Board, bus: Bus, now: float, living: Collection[str]) -> None:
        if self.etag:
            self._end(row, bus, now)
        elif self.look:
            self._look(row, board, bus, now)
        elif self.foreign:
            bus.write(JOBS, self.job, row.but(state=FAILED, reason="another object has the name"), now)
        elif self.listing:
            self._ask("list", ListUpload(self.job, row.epoch, row.upload, row.destination), bus, now)
        elif row.state == ACTIVE:
            self._decide(row, board, bus, now, living)
        else:
            parts = tuple(board.all_stored())
            asked = CompleteUpload(self.job, row.epoch, row.upload, row.destination, parts, _checksum(row))
            self._ask("complete", asked, bus, now)

    def _end(self, row: FleetJobRow, bus: Bus, now: float) -> None:
        """Say that it is sealed: one of all who try has the revision."""
        bus.write(JOBS, self.job, row.but(state=SEALED, etag=self.etag, sealed_by=self.node, reason=""), now)

    def _take_back(self, row: FleetJobRow, board: Board, bus: Bus, now: float) -> None:
        """Take parts out of the rows that the destination does not have as they say; then all goes on."""
        self.wrong = [(window, parts) for window, parts in self.wrong if board.windows.get(window.first) == window]
        for window, parts in self.wrong:
            kept = tuple(each for each in window.parts if each.part not in parts)
            bus.write(PARTS, window_key(self.job, window.first), window.but(parts=kept, node="", instance=""), now)

    def _decide(self, row: FleetJobRow, board: Board, bus: Bus, now: float, living: Collection[str]) -> None:
        """Seal when what is known of the content allows it."""
        waited_s = now - self.full_at
        verdicts = [judge(row, board, check, living, waited_s) for check in due_checks(row, board, living)]
        alone = {verdict.alone for verdict in verdicts if verdict.alone}
        liars = sorted({node for verdict in verdicts for node in verdict.liars})
        spoilers = sorted({number for verdict in verdicts for number in verdict.spoilers})
        if spoilers:
            names = ", ".join(row.sources[number] for number in spoilers if number < len(row.sources))
            bus.out.append(Report(f"other bytes than the rest came from {names}", job=self.job))
            bus.write(JOBS, self.job, row.but(excluded=(*row.excluded, *spoilers)), now)
        elif liars or alone:
            why = "read other bytes than the rest" if liars else "left parts that nothing can be compared with"
            liars = liars or sorted(alone)
            bus.out.append(Report(f"{', '.join(liars)} {why}", job=self.job))
            kept = tuple(node for node in row.nodes if node not in liars)
            state = row.state if kept else QUEUED
            bus.write(JOBS, self.job, row.but(banned=(*row.banned, *liars), nodes=kept, state=state), now)
        elif any(verdict.waits for verdict in verdicts):
            return
        elif any(verdict.tied for verdict in verdicts):
            reason = "two nodes read different bytes, and no third one can decide"
            bus.write(JOBS, self.job, row.but(state=FAILED, reason=reason), now)
        else:
            bus.write(JOBS, self.job, row.but(state=SEALING), now)

    def _check_parts(self, row: FleetJobRow, board: Board, bus: Bus, now: float, living: Collection[str]) -> None:
        """Read the parts of others that this node is asked for, and enter what it read."""
        waited_s = now - self.full_at if self.full_at >= 0 else 0.0
        if self.full_at < 0 and now < self.look_at:
            return
        self.look_at = now + LOOK_S
        for check in due_checks(row, board, living):
            part, written = check.part, board.checks.get((check.part, self.node))
            if written is not None and is_answer(written, check, row):
                continue
            if self.node not in asked(row, board, check, living, waited_s):
                continue
            answer = self.answers.get(part)
            if answer is not None and not {*answer.sources}.intersection(row.excluded):
                read = CheckRow(
                    job=self.job,
                    part=part,
                    node=self.node,
                    digest=answer.digest,
                    epoch=row.epoch,
                    head=check.head,
                    sources=answer.sources,
                )
                bus.write(PARTS, check_key(self.job, part, self.node), read, now)
            elif part not in self.checking or answer is not None:
                self.answers.pop(part, None)
                self.checking.add(part)
                bus.out.append(CheckPart(self.job, part, row.size_bytes, row.part_bytes, check.head))

    def _ask(
        self,
        what: str,
        command: CreateUpload | CheckObject | CompleteUpload | ListUpload,
        bus: Bus,
        now: float,
    ) -> None:
        if not self.asked and now >= self.retry_at and bus.open:
            self.asked = what
            bus.out.append(command)


def _whole_etag(board: Board) -> str:
    return multipart_etag([part.etag for part in board.all_stored()])


def _checksum(row: FleetJobRow) -> str:
    """Return the digest to compare the finished file with; the local job has done it for a file of one part."""
    return row.spec.checksum if row.part_count > 1 else ""
