"""Conversion of the API's jobs to the messages that views are shown, the same as those of a job of this process."""

import struct
from collections.abc import Mapping
from typing import Any, Final, TypeVar, get_type_hints

import msgspec

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
from protocol.model.identity import Claim

CELLS: Final = 400
JOB: Final = 1
"""A view shows one job; its number says nothing."""
_SOURCE_MAX: Final = LEASED - FIRST_SOURCE - 1
ENDED: Final = ("sealed", "failed", "cancelled")


Shown = TypeVar("Shown", JobOpened, JobProgressed, SourceProgressed, JobEnded)


class JobUpdates:
    """Difference between a job's answers: remembers what it gave out, so that a view gets what is new.

    The end comes last, and once.
    """

    def __init__(self) -> None:
        self._known: dict[str, FrontInbox] = {}
        self._notes: tuple[str, ...] | None = None
        self.ended = False

    def take(self, job: Mapping[str, Any]) -> list[FrontInbox]:
        """Yield what is new in this answer of ``GET /jobs/{id}``."""
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
    if not job["chunkSize"] or (job["path"] is None and job["sizeBytes"] is None):
        return None
    return _message(JobOpened, job, part_path=job["path"] or job["name"], message="")


def progressed(job: Mapping[str, Any]) -> JobProgressed:
    """Return the progress of the job. A reason is shown only of a state in which nothing comes."""
    state = (job["phase"] or "active") if job["state"] == "active" else job["state"]
    reason = (job["reason"] or "") if state in SAID_STATES else ""
    return _message(JobProgressed, job, state=state, reason=reason, estimate=job.get("estimate") or "")


def row(source: Mapping[str, Any]) -> SourceProgressed:
    """One source of a job."""
    return _message(
        SourceProgressed, source, source=source["number"], name=source["url"], peer=source["username"] or ""
    )


def chunk_map(drawn: Mapping[str, Any] | None) -> ChunkMapDrawn | None:
    """The map in at most `CELLS` cells; each has the value of most of its chunks."""
    if drawn is None or not drawn["runs"]:
        return None
    count = drawn["chunkCount"]
    cells = min(CELLS, count)
    votes: list[dict[int, int]] = [{} for _ in range(cells)]
    for run in drawn["runs"]:
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
    """Return the end of the job."""
    state = (job["outcome"] or job["state"]) if job["state"] == "failed" else job["state"]
    received = {f"bytes_{word}": job[f"{word}Bytes"] for word in ("received", "resumed", "refetched")}
    return _message(JobEnded, job, state=state, seconds=job["activeS"], claim=claim(job), **received)


def claim(job: Mapping[str, Any]) -> Claim:
    """Return what the API says of the content."""
    given, nothing = job["identity"], Claim()  # an older daemon knows fewer members
    rows = [given.get(_member(name), getattr(nothing, name)) for name in Claim.__struct_fields__]
    return msgspec.convert(rows, Claim)


def _member(field: str) -> str:
    """Return the API's name of a field."""
    head, *tail = field.split("_")
    return head + "".join(word.capitalize() for word in tail)


def _message(kind: type[Shown], members: Mapping[str, Any], **given: Any) -> Shown:
    """A message whose fields are `given` or the members of the same names; -1 or empty where those are null."""
    for field, type_of_field in get_type_hints(kind).items():
        member = _member(field)
        if field not in given and member in members:
            unknown = "" if type_of_field is str else -1
            given[field] = unknown if members[member] is None else members[member]
    return kind(**{"job": JOB, **given})
