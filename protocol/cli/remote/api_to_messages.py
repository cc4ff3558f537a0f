"""Conversion of the API's jobs to the messages that views are shown, the same as those of a job of this process."""

import struct
from collections.abc import Mapping
from typing import Any, Final

from protocol.cli.views.progress_state import FIRST_SOURCE, LEASED, MISSING, RESUMED, SAID_STATES
from protocol.messages import (
    ChunkMapDrawn,
    FrontInbox,
    JobEnded,
    JobNoted,
    JobOpened,
    JobProgressed,
    SourceProgressed,
)

CELLS: Final = 400
JOB: Final = 1
"""A view shows one job; its number says nothing."""
_SOURCE_MAX: Final = LEASED - FIRST_SOURCE - 1
ENDED: Final = ("sealed", "failed", "cancelled")


class JobTold:
    """Remembers what it gave out, so that a view gets what is new. The end comes last, and once."""

    def __init__(self) -> None:
        self._known: dict[str, FrontInbox] = {}
        self._notes: tuple[str, ...] | None = None
        self.ended = False

    def take(self, job: Mapping[str, Any]) -> list[FrontInbox]:
        """News in this answer of ``GET /jobs/{id}``."""
        if self.ended:
            return []
        news = [*self._new("opened", opened(job))] if "opened" not in self._known else []
        news += self._new_notes(job)
        for source in job["sources"]:
            news += self._new(f"source {source['number']}", row(source))
        news += self._new("map", chunk_map(job.get("chunkMap")))
        news += self._new("progress", progressed(job))
        if job["state"] in ENDED:
            self.ended = True
            news.append(ended(job))
        return news

    def _new(self, key: str, message: FrontInbox | None) -> list[FrontInbox]:
        if message is None or self._known.get(key) == message:
            return []
        self._known[key] = message
        return [message]

    def _new_notes(self, job: Mapping[str, Any]) -> list[FrontInbox]:
        """Notes are the latest ones: those behind the last that was given out are new."""
        notes = tuple(job["notes"])
        known, self._notes = self._notes or (), notes
        for shared in range(min(len(known), len(notes)), -1, -1):
            if known[len(known) - shared :] == notes[:shared]:
                return [JobNoted(job=JOB, text=text) for text in notes[shared:]]
        raise AssertionError("nothing is shared by all")


def opened(job: Mapping[str, Any]) -> JobOpened | None:
    """None while there is nothing to say of the file."""
    if job["path"] is None and job["sizeBytes"] is None:
        return None
    return JobOpened(
        job=JOB,
        part_path=job["path"] or job["name"],
        size_bytes=_known(job["sizeBytes"]),
        chunk_size=job["chunkSize"],
        resumed_bytes=job["resumedBytes"],
        message="",
    )


def progressed(job: Mapping[str, Any]) -> JobProgressed:
    state = (job["phase"] or "active") if job["state"] == "active" else job["state"]
    return JobProgressed(
        job=JOB,
        state=state,
        stored_bytes=job["storedBytes"],
        size_bytes=_known(job["sizeBytes"]),
        rate_bytes_s=job["rateBytesS"],
        left_s=-1.0 if job["leftS"] is None else job["leftS"],
        reason=(job["reason"] or "") if state in SAID_STATES else "",
    )


def row(source: Mapping[str, Any]) -> SourceProgressed:
    return SourceProgressed(
        job=JOB,
        source=source["number"],
        name=source["url"],
        standing=source["standing"],
        rate_bytes_s=source["rateBytesS"],
        bytes_stored=source["bytesStored"],
        chunks=source["chunks"],
        leases=source["leases"],
        stops=source["stops"],
        lease_first=_known(source["leaseFirst"]),
        lease_stop=_known(source["leaseStop"]),
        reason=source["reason"] or "",
        phase=source["phase"] or "",
        peer=source["username"] or "",
        queue_place=_known(source["queuePlace"]),
    )


def chunk_map(told: Mapping[str, Any] | None) -> ChunkMapDrawn | None:
    """In at most `CELLS` cells; each shows what stands at most of its chunks."""
    if told is None or not told["runs"]:
        return None
    count = told["chunkCount"]
    cells = min(CELLS, count)
    votes: list[dict[int, int]] = [{} for _ in range(cells)]
    for run in told["runs"]:
        value = _cell(run)
        first, stop = run["first"], run["first"] + run["count"]
        for cell in range(first * cells // count, (stop - 1) * cells // count + 1):
            shared = min(stop, -(-(cell + 1) * count // cells)) - max(first, -(-cell * count // cells))
            votes[cell][value] = votes[cell].get(value, 0) + shared
    values = [max(vote, key=lambda value: vote[value]) if vote else MISSING for vote in votes]
    return ChunkMapDrawn(job=JOB, cells=struct.pack(f"<{cells}H", *values))


def _cell(run: Mapping[str, Any]) -> int:
    if run["state"] == "missing":
        return MISSING
    if run["source"] is None:
        return RESUMED
    source: int = min(run["source"], _SOURCE_MAX)
    return (FIRST_SOURCE + source) | (LEASED if run["state"] == "leased" else 0)


def ended(job: Mapping[str, Any]) -> JobEnded:
    state = job["state"]
    return JobEnded(
        job=JOB,
        state=(job["outcome"] or state) if state == "failed" else state,
        reason=job["reason"] or "",
        path=job["path"] or "",
        size_bytes=_known(job["sizeBytes"]),
        seconds=job["activeS"],
        bytes_received=job["receivedBytes"],
        bytes_resumed=job["resumedBytes"],
        bytes_refetched=job["refetchedBytes"],
        digest_hex=job["digestHex"] or "",
    )


def _known(number: int | None) -> int:
    return -1 if number is None else number
