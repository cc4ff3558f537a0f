"""Requests for the container's own checks of a job's file: when they are asked for, and what their answers are worth.

FLAC frames, Ogg pages and members of archives carry digests. Where bytes of two contributors meet inside one that is
right, both have the same file there, and no byte is read again for it. The complete file is checked as a whole before
it is sealed, within a share of the time that the download took. A user's digest makes both needless. Pure.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from actors.core.dispatch.chunk_tracker import MISSING, UNBOUNDED, ChunkTracker, Owned
from actors.core.dispatch.identity.evidence import Identity
from actors.core.dispatch.progress import Reporter
from actors.core.outbox import Outbox
from protocol.messages import (
    BoundariesChecked,
    CheckBoundaries,
    CheckContainer,
    ContainerBroken,
    ContainerChecked,
    StartJob,
)
from protocol.messages.addresses import ASSEMBLER
from protocol.model.filenames import container_format
from protocol.model.identity import strength

ANSWER_S_MAX: Final = 6.0
"""The Assembler takes 5 s at most for boundaries; a later answer counts, but nothing waits for it."""
WHOLE_S_MIN: Final = 2.0
WHOLE_S_MIN_DECODED: Final = 10.0
"""Where its digest proves what no comparison of the sources could, and without it each of them is asked for more."""
WHOLE_S_MIN_ALONE: Final = 0.5
"""Where one contributor sent all of it, a check changes nothing: it only says that the file is damaged."""
REQUIRED_S_MAX: Final = 3600.0
"""For the whole, where the user requires that it was checked."""
WHOLE_SHARE: Final = 0.02
"""Share of the time that the download took which the check of the whole may add."""
FRUITLESS_MAX: Final = 4
"""Answers that decide nothing, after which boundaries are asked for only when the file is complete."""
BOUNDARIES_MAX: Final = 1000
"""In one request."""

_Met = tuple[int, int, int]
"""``(chunk, its contributor, that of the chunk before)``."""


class ContainerRequests:
    """Requests to the store for container checks, where sources meet and of the whole file, and what came of them.

    `name`: of the file, which says whether it is a container, as `found` does: its format by its first bytes.
    `required`: whether the file is not to be sealed without the check of the whole. `kind`: "decoded" or "frames"
    where all of the complete file was found right, "" where it is damaged, else the weakest, "size". `detail` says in
    words what the check of the whole found, `damage` whether that is a damage. `digest_open`: the first chunk names a
    digest of the content that was not compared, so who has the same first chunk has the same content.
    """

    def __init__(self, job: StartJob, identity: Identity, report: Reporter, out: Outbox) -> None:
        self._job = job
        self._identity = identity
        self._report = report
        self._out = out
        self._asked: set[_Met] = set()
        self._pending: dict[int, _Met] = {}
        self._pending_until_s = 0.0
        self._fruitless = 0
        self._complete = False
        self._whole_until_s: float | None = None  # asked and not answered
        self._whole_done = False
        self._request = 0
        self.name = ""
        self.found = ""
        self.required = (job.spec.require or job.spec.policy.required) == "decoded"
        self.kind = "size"
        self.detail = ""
        self.damage = self.digest_open = False

    @property
    def _applies(self) -> bool:
        spec = self._job.spec
        proven = spec.checksum or spec.pieces.algorithm
        return (self.found or container_format(self.name)) != "" and not proven

    @property
    def awaited(self) -> bool:
        """Whether an answer is on its way that decides how the job goes on."""
        return bool(self._pending) or (self._whole_until_s is not None and not self._whole_done)

    # -- places where two contributors meet

    def opened(self, tracker: ChunkTracker, *, now_s: float) -> None:
        """Ask about what an earlier attempt left."""
        self._ask(self._edges(self._report.owned()), tracker, now_s=now_s)

    def stored(self, first: int, stop: int, tracker: ChunkTracker, *, now_s: float) -> None:
        """Ask where chunks that were stored just now meet others."""
        if self._fruitless < FRUITLESS_MAX:
            self._ask((first, stop), tracker, now_s=now_s)

    def complete(self, rows: Sequence[Owned], tracker: ChunkTracker, *, now_s: float) -> bool:
        """Whether an answer about boundaries of the complete file is awaited; asks once for those left undecided."""
        if not self._complete:
            self._complete = True
            self._asked.clear()  # more is stored now: an archive has its directory
            self._ask(self._edges(rows), tracker, now_s=now_s)
        if now_s >= self._pending_until_s:
            self._pending.clear()
        return bool(self._pending)

    def answered(self, message: BoundariesChecked) -> tuple[list[int], list[int]]:
        """Take an answer; returns the boundaries proven and broken, of those whose contributors are the same still.

        A broken frame in which a third one has bytes says nothing of two.
        """
        met = {chunk: asked for chunk in message.chunks if (asked := self._pending.pop(chunk, None)) is not None}
        good = [chunk for chunk in message.proven if chunk in met and met[chunk] == self._met(chunk)]
        bad = []
        for chunk, first, stop in zip(message.broken, message.broken_firsts, message.broken_stops, strict=True):
            owners = {owner for _, _, owner in self._report.owned_within(first, stop)}
            if chunk in met and met[chunk] == self._met(chunk) and owners == set(met[chunk][1:]):
                bad.append(chunk)
        self._fruitless = 0 if good or bad else self._fruitless + 1
        return good, bad

    def _ask(self, chunks: Iterable[int], tracker: ChunkTracker, *, now_s: float) -> None:
        if tracker.total == UNBOUNDED or self._job.spec.mode == "race" or not self._applies:
            return
        wanted: list[int] = []
        for chunk in chunks:
            if not 0 < chunk < tracker.total or len(wanted) >= BOUNDARIES_MAX:
                continue
            met = self._met(chunk)
            if MISSING not in met and not self._identity.tied(*met[1:]) and met not in self._asked:
                self._asked.add(met)
                self._pending[chunk] = met
                wanted.append(chunk)
        if wanted:
            self._pending_until_s = now_s + ANSWER_S_MAX
            self._out.post(ASSEMBLER, CheckBoundaries(job=self._job.job, chunks=tuple(sorted(wanted))))

    def _met(self, chunk: int) -> _Met:
        return chunk, self._report.owner_of(chunk), self._report.owner_of(chunk - 1)

    @staticmethod
    def _edges(rows: Sequence[Owned]) -> list[int]:
        return [row[0] for before, row in pairwise(rows) if before[1] == row[0]]

    # -- the complete file

    def whole(self, rows: Sequence[Owned], elapsed_s: float, *, now_s: float) -> bool:
        """Whether the check of the complete file is awaited; asks for it at the first call."""
        if self._whole_done or not (self.required or self._applies):
            return False
        if self._whole_until_s is None:
            least_s = WHOLE_S_MIN_DECODED if self.found == "FLAC" else WHOLE_S_MIN
            least_s = least_s if len({owner for _, _, owner in rows}) > 1 else WHOLE_S_MIN_ALONE
            seconds = REQUIRED_S_MAX if self.required else max(least_s, WHOLE_SHARE * elapsed_s)
            self._whole_until_s = now_s + seconds + ANSWER_S_MAX
            self._request += 1
            request = CheckContainer(job=self._job.job, request=self._request, seconds_max=seconds)
            self._out.post(ASSEMBLER, request)
        return now_s < self._whole_until_s

    def whole_answered(self, message: ContainerChecked | ContainerBroken) -> bool:
        """Take the answer about the complete file. Whether it was awaited, and the file is still the same."""
        if self._whole_until_s is None or self._whole_done or message.request != self._request:
            return False
        self._whole_done, self.detail = True, message.detail
        self.damage = isinstance(message, ContainerBroken)
        self.kind = (message.kind or "size") if isinstance(message, ContainerChecked) else ""
        self.digest_open = isinstance(message, ContainerChecked) and message.digest_open
        return True

    def shortfall(self) -> str:
        """Return why the required check of the whole was not passed; empty: it was."""
        if strength(self.kind or "size") >= strength("frames"):
            return ""
        why = self.detail or "the content has no checks of its own that are known here"
        return f"the check of the whole file by its container is required: {why}"

    def incomplete(self) -> None:
        """Chunks are missing again: what is said of the whole holds no more."""
        self._complete = self._whole_done = self.damage = self.digest_open = False
        self._whole_until_s, self.kind, self.detail = None, "size", ""

    def forget_requests(self) -> None:
        """The store process that was asked is gone."""
        self._asked.clear()
        self._pending.clear()
        self._complete = False
        if not self._whole_done:
            self._whole_until_s = None
