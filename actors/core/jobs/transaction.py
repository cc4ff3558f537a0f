"""Transactions: what one message makes the job manager write to the store, post and answer.

A stored event gets its serial here and is posted to its watchers only after the commit, so that no serial ever means
two things. Answers wait for the same commit: a command that was answered is a command stored.
"""

import json
from collections.abc import Iterable
from typing import Any, Final

from protocol.messages import EventOccurred, Message, RequestAnswered, RequestRefused
from protocol.messages.addresses import Post, split_address
from protocol.model.event_kinds import FLEETING
from protocol.model.job_records import EventEntry, ManifestRange, SaveEvent, Write
from protocol.model.job_views import pack
from protocol.model.value import Struct, Value, field

WATCHERS_MAX: Final = 16
TEXT_CHARS_MAX: Final = 2000
"""Of one text inside an event."""


class Now(Struct, frozen=True, kw_only=True):
    """Clock readings of the moment at which a message is taken."""

    s: float
    """Of a clock that only goes forward."""
    ms: int
    """Since 1970."""
    week_s: int = 0
    """Since Monday 0:00 of local time."""


class ManifestReport(Struct, frozen=True):
    """Contributors of a job's ranges, as its attempt lists them; what was known before completes them.

    `ranges` None: the attempt adds nothing. `asker` (request, address) gets the result; without one it is stored.
    """

    id: str
    ranges: tuple[ManifestRange, ...] | None
    asker: tuple[int, str] | None = None


class Transaction(Struct):
    """The effects of one message, committed together; see `TransactionBuilder`."""

    writes: list[Write] = field(default_factory=list)
    manifests: list[ManifestReport] = field(default_factory=list)
    """Completed by the shell, which turns them into writes or posts."""
    posts: list[Post] = field(default_factory=list)
    """Sent after the commit."""
    at_once: list[Post] = field(default_factory=list)
    """Sent before it."""
    counted: list[tuple[int, str]] = field(default_factory=list)
    """(request, address) of those that get the `Counts` after the commit."""
    urgent: bool = False
    """Something waits for `posts`."""

    def __bool__(self) -> bool:
        return bool(self.writes or self.manifests or self.posts or self.counted)


class TransactionBuilder:
    """Collector of the transaction under way. Owned by one `JobManagerState`.

    `last_serial` is that of the latest event.
    """

    def __init__(self, last_serial: int) -> None:
        self.last_serial = last_serial
        self._watchers: set[str] = set()
        self._current = Transaction()

    def take(self) -> Transaction:
        taken, self._current = self._current, Transaction()
        return taken

    def write(self, *writes: Write) -> None:
        self._current.writes += writes

    def report_manifest(self, report: ManifestReport) -> None:
        self._current.manifests.append(report)
        self._current.urgent = True

    def post(self, to: str, message: Message) -> None:
        """Send `message` once everything before it is committed, and that soon."""
        self._current.posts.append(Post(to=to, message=message))
        self._current.urgent = True

    def answer(self, request: int, reply_to: str, rows: Iterable[Value], *, total: int = -1) -> None:
        """`total` -1: the number of rows."""
        for message in answers(request, rows, total=total):
            self.post(reply_to, message)

    def refuse(self, request: int, reply_to: str, kind: str, detail: str, *, field: str = "") -> None:
        self.post(reply_to, RequestRefused(request=request, kind=kind, field=field, detail=detail))

    def count(self, request: int, reply_to: str) -> None:
        self._current.counted.append((request, reply_to))
        self._current.urgent = True

    def watch(self, address: str) -> None:
        if len(self._watchers) < WATCHERS_MAX:
            self._watchers.add(address)

    def take_over(self, other: "TransactionBuilder") -> None:
        self._watchers |= other._watchers

    def forget(self, process: str) -> None:
        """This process died: its actors watch no more until they ask again."""
        self._watchers = {address for address in self._watchers if split_address(address)[0] != process}

    def event(self, kind: str, id: str, now: Now, **data: Any) -> None:
        """Store an event and post it to the watchers; a fleeting one is only posted, at once."""
        text = json.dumps({name: _clipped(value) for name, value in data.items()}, separators=(",", ":")).encode()
        if kind in FLEETING:
            self._publish(self._current.at_once, EventOccurred(serial=0, at_ms=now.ms, kind=kind, id=id, data=text))
            return
        self.last_serial += 1
        entry = EventEntry(serial=self.last_serial, at_ms=now.ms, kind=kind, id=id, data=text)
        self.write(SaveEvent(entry))
        occurred = EventOccurred(serial=entry.serial, at_ms=now.ms, kind=kind, id=id, data=text)
        self._publish(self._current.posts, occurred)

    def _publish(self, posts: list[Post], occurred: EventOccurred) -> None:
        posts.extend(Post(to=address, message=occurred) for address in sorted(self._watchers))


def answers(request: int, rows: Iterable[Value], *, total: int = -1) -> list[RequestAnswered]:
    """Return the parts of an answer."""
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
