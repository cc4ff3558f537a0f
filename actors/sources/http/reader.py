"""HTTP(S) source reader: probe and ranged bodies over one HTTP/1.1 connection.

One odd answer is not the end of a source: before a fault is raised the request is made in the other ways that a server
of this kind may answer (see `_Way`). How often a source may fail after that, and how long it rests, is decided by the
dispatcher.
"""

import time
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from actors.sources.http.body import BrokenBody
from actors.sources.http.described import description_of, together
from actors.sources.http.disposition import proposed_name
from actors.sources.http.exchange import Exchange
from actors.sources.http.head import Head
from actors.sources.http.range import Asked, Brought, SpanLimit, brought, content_range, range_field
from actors.sources.http.sample import SAMPLE_BYTES, Sample
from actors.sources.http.settings import REDIRECTS_MAX, HttpSettings
from actors.sources.http.target import off_tls, parse_target, redirected
from actors.sources.http.validators import UNSEEN, Change, Version
from actors.sources.reader import UNDESCRIBED, Described, Probed
from protocol.model.faults import FaultKind, SourceFault
from protocol.model.integrity.http_fields import WANTED
from protocol.model.source_url import looks_like_metalink
from protocol.model.value import Struct, field, replace

if TYPE_CHECKING:
    from actors.sources.http.cookies import Cookies

SKIP_BYTES_MAX: Final = 4 << 20
"""How far before the wanted bytes a server may begin; what lies between is read and dropped."""
_MAYBE_THE_RANGE: Final = frozenset(
    {FaultKind.BAD_ANSWER, FaultKind.SERVER_ERROR, FaultKind.FORBIDDEN, FaultKind.RANGE_REFUSED}
)
"""Faults that may be about the range and not about the file."""
_FORBIDDEN: Final = (FaultKind.PRIVATE_ADDRESS, FaultKind.OFF_TLS)
"""Where a redirect leads may not be fetched from by the user's will: asking again changes nothing."""
_LOGIN: Final = (401, 407)
_CODING_REFUSED: Final = (406, 415)
_CONDITION_REFUSED: Final = (304, 400, 412, 416, 501)
"""Statuses of servers that refuse an If-Range which they should pass over."""
CHECK_S_MAX: Final = 10.0
CHECKS_MAX: Final = 16
"""A server has hardly more nodes than that; each may show validators of its own."""
VISITS_MAX: Final = 3
"""How often redirects may lead back to one place: some pages let a visitor through who comes again."""
_OFFSET_PROBE: Final = Asked(start=1, stop=2)
_BROKEN_OFF: Final = frozenset({FaultKind.RESET, FaultKind.SHORT_BODY})
RESUME_BYTES_MIN: Final = 16 << 10
"""What a connection must have brought before it broke, for the rest to be asked for at once."""
RESUMES_MAX: Final = 64
"""Broken connections of one transfer after which the dispatcher decides: together they bring a chunk of a megabyte."""
OVERLAP_BYTES: Final = 4 << 10
"""How far before the place of a break the rest is asked for: these bytes are compared, not delivered."""


class _Way(Enum):
    """Another way to ask for the same bytes, each of which is tried once for a body."""

    ANY_CODING = auto()  # some refuse to be asked for the file as it is
    WITHOUT_CONDITION = auto()  # no If-Range: some nodes never find it fulfilled
    FROM_ORIGIN = auto()  # the user's own address again: what a redirect led to may have been good for a while only
    AGAIN = auto()  # offsets are refused by two answers, not by one
    WITHOUT_RANGE = auto()  # and without other fields that few clients send
    SMALLER = auto()  # some servers refuse large ranges


class _Transfer(Struct):
    """Body being asked for or read.

    `asked.start` moves along when the rest is asked for; `first` is where it began. `position`: offset in the file of
    the next byte. `skip`: bytes to drop before it. `known`: bytes from there on that were delivered before a break.
    `resumed_at`: offset from which the connection in use brings new bytes, `resumes`: how many broke before it.
    `brought` None: the head has not come. `over`: aborted or failed, nothing more to come. `idle`: the body stood open,
    unread, for a while. `checking`: only compared with what is known. `hops`: where redirects led.
    """

    asked: Asked
    first: int
    position: int
    skip: int = 0
    known: int = 0
    resumed_at: int = 0
    resumes: int = 0
    head: Head | None = None
    brought: Brought | None = None
    conditional: bool = False
    ended: bool = False
    over: bool = False
    idle: bool = False
    checking: bool = False
    ways: set[_Way] = field(default_factory=set)
    hops: list[tuple[str, str]] = field(default_factory=list)

    @property
    def limit(self) -> int | None:
        """Offset at which reading stops, None when only the end of the body will show it."""
        ends = [each for each in (self.asked.end, self.brought.stop if self.brought else None) if each is not None]
        return min(ends, default=None)

    @property
    def more(self) -> bool:
        """Whether what was asked for goes on, or may go on, behind what this answer brings."""
        got, end = self.brought, self.asked.end
        if got is None or got.stop is None:
            return False
        return got.stop != got.total if end is None else got.stop < end

    @property
    def odd(self) -> bool:
        """Whether a refusal of offsets contradicts what is known: it was only a probe that asked whether they work."""
        probing = self.asked == _OFFSET_PROBE
        return not probing or (self.head is not None and "bytes" in self.head.tokens("accept-ranges"))

    @property
    def whole_answer(self) -> bool:
        """Whether all that the server means to send has been read: then hanging up cuts nothing off."""
        return self.ended and (self.brought is None or self.brought.stop in (None, self.position))


class HttpReader:
    """`Reader` of one URL. Owns one connection; used by one thread. Every failure is a `SourceFault`.

    A probe resolves redirects; transfers use the final URL until it fails, then the first one again. The look-up and
    connection of a new host happen in the `read_into` that gets the redirect or the refusal, so such a call may take
    as long as connecting may; all others keep to the slice.
    """

    def __init__(self, url: str, *, user_agent: str, settings: HttpSettings) -> None:
        self._origin = parse_target(url)
        self._target = self._origin
        self._exchange = Exchange(user_agent=user_agent, settings=settings, home=self._origin)
        self._https_only = settings.options.https_only
        self._cookies: Cookies | None = None
        if settings.options.cookie_file or settings.options.cookies:
            from actors.sources.http import cookies

            self._cookies = cookies.Cookies(settings.options.cookie_file, settings.options.cookies)
        self._version = UNSEEN
        self._ranges_ok = self._conditions_ok = self._identity_ok = True
        self._plainly = False  # the next probe asks without a range: a request with one came to nothing
        self._spans = SpanLimit()
        self._sample = Sample()
        self._equal: set[Version] = set()  # versions that were shown to have the same bytes
        self._checks = 0
        self._transfer: _Transfer | None = None
        self._described = UNDESCRIBED

    # -- probing

    def probe(self, *, begin_at: int = -1) -> Probed:
        self.hang_up()
        self._target, self._version, self._ranges_ok = self._origin, UNSEEN, not self._plainly
        self._described = UNDESCRIBED
        self._sample, self._equal, self._checks = Sample(), set(), 0
        try:
            return self._probe_offset() if begin_at < 0 else self._probe_from(begin_at)
        except SourceFault as fault:
            self._plainly = fault.kind is FaultKind.SILENT and not self._plainly
            self.close()
            raise

    def _probe_from(self, start: int) -> Probed:
        """Ask for all from here on. Its body stays open for the `open` that begins where it does."""
        transfer = self._begin(Asked(start=start, from_start=start > 0))
        try:
            head, got = self._answer(transfer)
        except SourceFault as fault:
            if not start or transfer.head is None or fault.kind not in (FaultKind.RANGE_REFUSED, FaultKind.WRONG_RANGE):
                raise
            return self._probe_offset()  # its file may be shorter
        offered = head.tokens("accept-ranges")
        self._ranges_ok = (head.status == 206 or "bytes" in offered) and not got.coding
        transfer.idle = True
        return self._probed(head, got, open_at=transfer.position)

    def _probe_offset(self) -> Probed:
        """Ask for one byte, at offset 1 and not 0: a server that ignores offsets gives itself away only there."""
        if self._plainly:
            return self._probe_whole()
        transfer = self._begin(_OFFSET_PROBE)
        try:
            head, got = self._answer(transfer)
        except SourceFault as fault:
            return self._probe_plain(transfer.head, fault)
        try:
            self._exchange.body().read_into(memoryview(bytearray(16)))  # so that the connection can be used again
        except (OSError, BrokenBody):
            self._exchange.close()
        self.hang_up()
        return self._probed(head, got)

    def _probe_plain(self, refused: Head | None, fault: SourceFault) -> Probed:
        """The offset was refused: learn what there is to know from the refusal, or from a request without a range."""
        unanswered = refused is None and fault.kind is FaultKind.RESET  # firewalls break what asks for a range
        answered = refused is not None and (refused.status >= 400 or fault.kind is FaultKind.RANGE_REFUSED)
        maybe_range = answered and fault.kind in _MAYBE_THE_RANGE
        if not unanswered and (not maybe_range or (refused is not None and refused.status in _LOGIN)):
            raise fault
        whole = Asked(ranged=False)
        if refused is not None and refused.status == 416:
            tiny = content_range(refused)
            if tiny is not None and 0 <= tiny.total <= 1:  # byte 1 is refused because there is none
                return self._probed(refused, Brought(start=0, stop=0, total=tiny.total, version=UNSEEN))
        self._ranges_ok = False
        if refused is not None and refused.status == 200:
            return self._probed(refused, brought(refused, whole, self._target.authority, self._paths))
        return self._probe_whole()

    def _probe_whole(self) -> Probed:
        head, got = self._answer(self._begin(Asked(ranged=False)))
        self.hang_up()
        return self._probed(head, got)

    def _answer(self, transfer: _Transfer) -> tuple[Head, Brought]:
        """Wait for the head, within the limits of time."""
        while transfer.brought is None:
            self._step(transfer)
        assert transfer.head is not None
        return transfer.head, transfer.brought

    def _probed(self, head: Head, got: Brought, *, open_at: int = -1) -> Probed:
        self._version = got.version
        self._describe(head, coded=bool(got.coding))
        if looks_like_metalink(self._origin.url):  # many servers call it text, or name no type
            self._described = replace(self._described, is_document=True)
        return Probed(
            size_bytes=got.total,
            offset_ok=self._ranges_ok,
            validator=got.version.validator,
            name=proposed_name(head),
            setup_s=self._exchange.setup_s,
            described=self._described,
            modified=got.version.modified,
            open_at=open_at,
        )

    def _describe(self, head: Head, *, coded: bool = False) -> None:
        """Take what the fields of an answer on the way to the file say of it."""
        found = description_of(head, self._target.authority, self._target.url, coded=coded)
        self._described = together(self._described, found)

    @property
    def _paths(self) -> tuple[str, ...]:
        return self._target.path, self._origin.path

    # -- asking

    def open(self, start: int, stop: int | None, *, size_bytes: int, from_start: bool = False) -> None:
        asked = Asked(start=start, stop=stop, size_bytes=size_bytes, version=self._version, from_start=from_start)
        if asked.end is not None and asked.end <= start:
            self.hang_up()
            self._transfer = _Transfer(asked, start, start, ended=True, over=True)
        elif not self._take_over(asked):
            self.hang_up()
            self._begin(asked)

    def _take_over(self, asked: Asked) -> bool:
        """Read on in the body that is open, if it stands at the wanted byte or may be read up to it."""
        transfer = self._transfer
        if transfer is None or transfer.over or transfer.brought is None:
            return False
        behind = asked.from_start and not self._ranges_ok and transfer.position < asked.start
        if not behind and transfer.position != asked.start:
            return False
        if transfer.brought.stop is not None and transfer.brought.stop <= asked.start:
            return False
        transfer.asked, transfer.first, transfer.resumed_at = asked, transfer.position, transfer.position
        transfer.ended, transfer.ways = False, set()
        return True

    def _begin(self, asked: Asked) -> _Transfer:
        transfer = self._transfer = _Transfer(
            asked, asked.start, asked.start, resumed_at=asked.start, ways=self._ways_at_first()
        )
        self._ask(transfer)
        return transfer

    def _ways_at_first(self) -> set[_Way]:
        """Return the ways that count as tried before a body is asked for."""
        return {_Way.FROM_ORIGIN} if self._target == self._origin else set()

    def _ask(self, transfer: _Transfer) -> None:
        """Ask for a transfer's bytes; where that fails, in other ways."""
        transfer.hops = []
        try:
            self._send(transfer)
        except SourceFault as fault:
            self._ask_otherwise(transfer, fault)

    def _send(self, transfer: _Transfer) -> None:
        asked = transfer.asked
        transfer.head = transfer.brought = None
        transfer.position, transfer.skip, transfer.idle, transfer.conditional = asked.start, 0, False, False
        fields = [("Accept-Encoding", "identity")] * self._identity_ok
        if self._version == UNSEEN and asked.ranged:
            fields.append(("Want-Repr-Digest", WANTED))
        if asked.ranged and (asked.start > 0 or self._ranges_ok):  # some refuse any Range, even from the beginning
            fields.append(("Range", range_field(asked.start, self._spans.stop(asked.start, asked.end))))
            if self._conditions_ok and asked.version.if_range:
                transfer.conditional = True
                fields.append(("If-Range", asked.version.if_range))
        cookie = self._cookies.field(self._target) if self._cookies is not None else ""
        if cookie:
            fields.append(("Cookie", cookie))
        hop = (self._target.url, cookie)
        if transfer.hops.count(hop) > VISITS_MAX or len(transfer.hops) > REDIRECTS_MAX:
            raise SourceFault(FaultKind.REDIRECT_LOOP, f"{self._target.authority} redirects in a circle")
        transfer.hops.append(hop)
        self._exchange.send(self._target, fields)

    def _step(self, transfer: _Transfer) -> None:
        """Wait one slice for the head and take it."""
        try:
            head = self._exchange.head()
            if head is not None:
                self._take(transfer, head)
        except SourceFault as fault:
            self._ask_otherwise(transfer, fault)

    def _take(self, transfer: _Transfer, head: Head) -> None:
        if head.cookies:
            self._keep_cookies(head)
        if head.redirects:
            self._follow(transfer, head)
            return
        transfer.head = head
        if transfer.position > transfer.first and self._is_end(transfer, head):
            transfer.ended = True
            return
        got = brought(head, transfer.asked, self._target.authority, self._paths)
        if self._must_check(transfer, got):
            self._check(transfer, got.version)
            return
        if got.start < transfer.position - SKIP_BYTES_MAX and not transfer.asked.from_start:
            raise SourceFault(FaultKind.WRONG_RANGE, f"{self._target.authority} begins at byte {got.start}")
        transfer.brought = got
        if transfer.asked.from_start:
            transfer.position = transfer.first = transfer.resumed_at = got.start
            transfer.known = 0
        transfer.skip = transfer.position - got.start
        transfer.ended = transfer.position == transfer.limit and not transfer.more
        if head.status == 206:
            self._spans.grant()
        if got.coding:
            self._exchange.decode(got.coding)

    def _must_check(self, transfer: _Transfer, got: Brought) -> bool:
        """Whether the validators leave it open if these are bytes of the same file."""
        unclear = got.version.compare(transfer.asked.version) is Change.UNCLEAR
        return unclear and bool(self._sample.data) and got.version not in self._equal and not transfer.checking

    def _check(self, transfer: _Transfer, doubted: Version) -> None:
        """Compare bytes that are known, until the node with this version has shown them; then ask again for others."""
        self._exchange.settle()
        while doubted not in self._equal:
            self._checks += 1
            if self._checks > CHECKS_MAX:
                raise self._changed()
            self._equal.add(self._compared(transfer))
        transfer.hops = []
        self._send(transfer)

    def _compared(self, transfer: _Transfer) -> Version:
        """Read the bytes of the sample again; return the version that the node which answered gives the file."""
        asked = replace(transfer.asked, start=self._sample.start, stop=self._sample.stop, from_start=False)
        check = _Transfer(asked, asked.start, asked.start, ways=set(_Way), checking=True)
        self._send(check)
        view = memoryview(bytearray(SAMPLE_BYTES))
        until_s = time.monotonic() + CHECK_S_MAX
        _, got = self._answer(check)
        while not check.ended:
            if time.monotonic() > until_s:
                raise SourceFault(FaultKind.SILENT, f"{self._target.authority} did not send bytes to compare in time")
            self._read(check, view)
        self._exchange.settle()
        return got.version

    def _changed(self) -> SourceFault:
        return SourceFault(FaultKind.CHANGED, f"the file at {self._target.authority} is another version than before")

    def _keep_cookies(self, head: Head) -> None:
        if self._cookies is None:
            from actors.sources.http.cookies import Cookies

            self._cookies = Cookies()
        self._cookies.store(self._target, head.cookies)

    def _follow(self, transfer: _Transfer, head: Head) -> None:
        location = head.fields.get("location", "")
        if not location:
            raise SourceFault(FaultKind.BAD_ANSWER, f"{self._target.authority} redirects without saying where")
        new = redirected(self._target, location, https_only=self._https_only)
        if self._version == UNSEEN:
            self._describe(head)
            if off_tls(self._target, new):
                words = f"{self._target.authority} redirects to plain http: the file comes unencrypted"
                self._described = together(self._described, Described(notes=(words,)))
        self._exchange.settle()
        self._target = new
        self._send(transfer)

    def _is_end(self, transfer: _Transfer, head: Head) -> bool:
        """Whether an answer to the question what follows says: nothing. Asked where no answer gave the size."""
        got = content_range(head)
        if transfer.asked.end is not None or (got is not None and got.total not in (-1, transfer.position)):
            return False
        nothing = head.status == 206 and head.length == 0
        return nothing or head.status in (400, 416) or (head.status == 200 and head.length == transfer.position)

    def _ask_otherwise(self, transfer: _Transfer, fault: SourceFault) -> None:
        """Ask in the next way that makes sense after this fault; raise it when there is none."""
        while self._choose(transfer, fault):
            self._exchange.settle()
            transfer.hops = []
            try:
                self._send(transfer)
            except SourceFault as another:
                fault = another
            else:
                return
        self._fail(transfer)
        if fault.kind is FaultKind.CHANGED and transfer.head is not None and transfer.head.status == 416:
            self._plainly = True  # its answers to ranges contradict each other about the size
        raise fault

    def _choose(self, transfer: _Transfer, fault: SourceFault) -> bool:
        status = transfer.head.status if transfer.head is not None else 0
        asked, kind = transfer.asked, fault.kind
        if kind is FaultKind.INTERFACE_GONE:
            return False
        maybe_range = kind in _MAYBE_THE_RANGE and (status >= 400 or kind is FaultKind.RANGE_REFUSED)
        maybe_range = maybe_range and status not in _LOGIN
        unanswered = kind is FaultKind.RESET and transfer.head is None  # firewalls break what asks for a range
        if status in _CODING_REFUSED and self._identity_ok:
            way = _Way.ANY_CODING
            self._identity_ok = False
        elif transfer.conditional and (
            (kind is FaultKind.RANGE_REFUSED and status == 200) or status in _CONDITION_REFUSED
        ):
            way = _Way.WITHOUT_CONDITION
            self._conditions_ok = False
        elif _Way.FROM_ORIGIN not in transfer.ways and kind not in _FORBIDDEN:
            way = _Way.FROM_ORIGIN
            self._target = self._origin
        elif kind is FaultKind.RANGE_REFUSED and asked.ranged and _Way.AGAIN not in transfer.ways and transfer.odd:
            way = _Way.AGAIN
        elif (
            (maybe_range or unanswered)
            and asked.ranged
            and (asked.start == 0 or asked.from_start)
            and _Way.WITHOUT_RANGE not in transfer.ways
        ):
            way = _Way.WITHOUT_RANGE
            transfer.asked = replace(asked, ranged=False)
        elif maybe_range and status != 200 and self._spans.shrink(self._span(asked)):
            way = _Way.SMALLER
            transfer.asked = replace(asked, ranged=True)
        else:
            return False
        transfer.ways.add(way)
        return True

    def _span(self, asked: Asked) -> int | None:
        """Return the length of the range that was asked for, None: to the end, whose place is not known."""
        stop = self._spans.stop(asked.start, asked.end)
        return None if stop is None else stop - asked.start

    # -- reading

    def read_into(self, view: memoryview) -> int:
        transfer = self._transfer
        if transfer is None or transfer.over or transfer.ended or not view:
            return 0
        if transfer.brought is None:
            self._step(transfer)
            return 0
        try:
            return self._read(transfer, view)
        except SourceFault as fault:
            if not transfer.idle and not self._resumable(transfer, fault):
                self._fail(transfer)
                raise
        self._exchange.close()
        if transfer.idle:  # it was ended while it stood open: that is no fault
            self._ask(transfer)
        else:
            self._resume(transfer)
        return 0

    def _resumable(self, transfer: _Transfer, fault: SourceFault) -> bool:
        """Whether the rest of a body that broke off is asked for at once: it brought enough, and offsets work.

        Without this a server that ends each connection before a chunk is complete would never bring one.
        """
        enough = transfer.position - transfer.resumed_at >= RESUME_BYTES_MIN
        ranged = self._ranges_ok and transfer.asked.ranged and not transfer.checking
        coded = transfer.brought is not None and transfer.brought.coding
        return fault.kind in _BROKEN_OFF and enough and ranged and not coded and transfer.resumes < RESUMES_MAX

    def _resume(self, transfer: _Transfer) -> None:
        """Ask for the rest on a new connection, from some bytes before the break: they show if it is the same file."""
        transfer.resumes += 1
        transfer.resumed_at = transfer.position
        transfer.known = min(OVERLAP_BYTES, transfer.position - max(self._sample.start, transfer.first))
        transfer.asked = replace(transfer.asked, start=transfer.position - transfer.known)
        transfer.ways = self._ways_at_first()
        self._ask(transfer)

    def _read(self, transfer: _Transfer, view: memoryview) -> int:
        host, limit = self._target.authority, transfer.limit
        self._exchange.check_interface()
        body = self._exchange.body()
        if transfer.skip:
            view = view[: transfer.skip]
        else:
            view = view[: transfer.known or len(view)]
            view = view if limit is None else view[: limit - transfer.position]
        try:
            count = body.read_into(view)
        except OSError as error:
            got = transfer.position - transfer.first
            raise SourceFault(FaultKind.RESET, f"{host} broke the connection after {got} bytes") from error
        except BrokenBody as error:
            raise SourceFault(FaultKind.BAD_ANSWER, f"{host} sends {error}") from error
        if not count and (body.ended or body.cut) and not (limit is None and body.ended):
            raise self._short(transfer, closed=body.cut or not (transfer.head and transfer.head.chunked))
        if transfer.skip:
            transfer.skip -= count
            return 0
        if not self._sample.take(transfer.position, view[:count]):
            raise self._changed()
        transfer.position += count
        new = 0 if transfer.known else count
        transfer.known -= count - new
        transfer.idle = transfer.idle and not count
        if transfer.position == limit and transfer.more:
            self._go_on(transfer)
        else:
            transfer.ended = transfer.position == limit or (limit is None and body.ended)
        return new

    def _go_on(self, transfer: _Transfer) -> None:
        """The answer brought less than the file: ask for what follows."""
        self._exchange.settle()
        transfer.asked = replace(transfer.asked, start=transfer.position, ranged=True)
        self._ask(transfer)

    def _short(self, transfer: _Transfer, *, closed: bool) -> SourceFault:
        got, limit = transfer.position - transfer.first, transfer.limit
        of = "" if limit is None else f" of {limit - transfer.first}"
        how = "closed" if closed else "ended its answer"
        return SourceFault(FaultKind.SHORT_BODY, f"{self._target.authority} sent {got}{of} bytes, then {how}")

    def _fail(self, transfer: _Transfer) -> None:
        transfer.over = True
        self._exchange.settle()
        if transfer.brought is None or transfer.position <= transfer.resumed_at:
            self._target = self._origin  # what a redirect led to is of no use, or not any more

    @property
    def ended(self) -> bool:
        return self._transfer is not None and self._transfer.ended

    @property
    def position(self) -> int:
        return self._transfer.position + self._transfer.known if self._transfer else 0

    def hang_up(self) -> bool:
        transfer = self._transfer
        if transfer is None or transfer.over:
            return False
        transfer.over = True
        cut_off = self._exchange.settle()
        return cut_off and not transfer.whole_answer

    def close(self) -> None:
        if self._transfer is not None:
            self._transfer.over = True
        self._exchange.close()
