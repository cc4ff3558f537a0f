"""What one message makes the job manager write, say and tell: a step.

A kept event gets its serial here and reaches those who listen only after it is written down, so that no serial ever
means two things. Answers wait for the same moment: an order that was answered is an order kept.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from protocol.messages import EventOccurred, Message, RequestAnswered, RequestRefused
from protocol.messages.addresses import Post, split_address
from protocol.model.event_kinds import FLEETING
from protocol.model.job_records import SaveEvent, Write
from protocol.model.job_views import EventEntry, ManifestRange, ViewRow, pack

WATCHERS_MAX: Final = 16
TEXT_CHARS_MAX: Final = 2000
"""Of one text inside an event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """The moment a message is taken: `s` of a clock that only goes forward, `ms` since 1970, and `week_s` since Monday
    0:00 of local time."""

    s: float
    ms: int
    week_s: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """Who sent what of this job, as its run tells it: what was known before is completed by it. None: nobody tells
    anything new. `asker` (request, address) wants to know it; without one it is to be written down."""

    id: str
    runs: tuple[ManifestRange, ...] | None
    asker: tuple[int, str] | None = None


@dataclass(slots=True)
class Step:
    """`writes` and what `told` makes of the manifests go into the book together; only then go `posts` out. `at_once`
    does not wait for that. `urgent`: somebody is waiting for `posts`. `counted` (request, address) get the `Counts` as
    they are then."""

    writes: list[Write] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    at_once: list[Post] = field(default_factory=list)
    counted: list[tuple[int, str]] = field(default_factory=list)
    urgent: bool = False

    def __bool__(self) -> bool:
        return bool(self.writes or self.told or self.posts or self.counted)


class Transaction:
    """Collects the step under way. Owned by one `JobManagerState`; `last_serial` is the one that the latest event
    has."""

    def __init__(self, last_serial: int) -> None:
        self.last_serial = last_serial
        self._watchers: set[str] = set()
        self._step = Step()

    def take(self) -> Step:
        step, self._step = self._step, Step()
        return step

    def write(self, *writes: Write) -> None:
        self._step.writes += writes

    def told(self, told: Told) -> None:
        self._step.told.append(told)
        self._step.urgent = True

    def post(self, to: str, message: Message) -> None:
        """Once everything before it is written down, and that soon."""
        self._step.posts.append(Post(to=to, message=message))
        self._step.urgent = True

    def answer(self, request: int, reply_to: str, rows: Iterable[ViewRow], *, total: int = -1) -> None:
        """`total` -1: as many as there are rows."""
        for message in answers(request, rows, total=total):
            self.post(reply_to, message)

    def refuse(self, request: int, reply_to: str, kind: str, detail: str, *, field: str = "") -> None:
        self.post(reply_to, RequestRefused(request=request, kind=kind, field=field, detail=detail))

    def count(self, request: int, reply_to: str) -> None:
        self._step.counted.append((request, reply_to))
        self._step.urgent = True

    def watch(self, address: str) -> None:
        if len(self._watchers) < WATCHERS_MAX:
            self._watchers.add(address)

    def take_over(self, other: "Transaction") -> None:
        self._watchers |= other._watchers

    def forget(self, process: str) -> None:
        """This process died: nobody listens there until it says so again."""
        self._watchers = {address for address in self._watchers if split_address(address)[0] != process}

    def event(self, kind: str, id: str, now: Now, **data: Any) -> None:
        """Keep it and tell it; a fleeting one is only told, at once."""
        text = json.dumps({name: _clipped(value) for name, value in data.items()}, separators=(",", ":")).encode()
        if kind in FLEETING:
            self._tell(self._step.at_once, EventOccurred(serial=0, at_ms=now.ms, kind=kind, id=id, data=text))
            return
        self.last_serial += 1
        entry = EventEntry(serial=self.last_serial, at_ms=now.ms, kind=kind, id=id, data=text)
        self.write(SaveEvent(entry))
        happened = EventOccurred(serial=entry.serial, at_ms=now.ms, kind=kind, id=id, data=text)
        self._tell(self._step.posts, happened)

    def _tell(self, posts: list[Post], happened: EventOccurred) -> None:
        posts.extend(Post(to=address, message=happened) for address in sorted(self._watchers))


def answers(request: int, rows: Iterable[ViewRow], *, total: int = -1) -> list[RequestAnswered]:
    """The parts of an answer."""
    rows = list(rows)
    bodies = list(pack(rows))
    total = len(rows) if total < 0 else total
    return [
        RequestAnswered(request=request, body=body, total=total, last=at == len(bodies))
        for at, body in enumerate(bodies, 1)
    ]


def _clipped(value: Any) -> Any:
    if isinstance(value, str) and len(value) > TEXT_CHARS_MAX:
        return value[: TEXT_CHARS_MAX - 1] + "…"
    return value
