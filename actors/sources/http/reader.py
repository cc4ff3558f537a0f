"""One HTTP(S) source: probes it, and rides it over one HTTP/1.1 connection."""

from dataclasses import dataclass
from typing import Final

import h11

from actors.sources.http.exchange import Exchange
from actors.sources.http.head import REDIRECTS, Head, proposed_name
from actors.sources.http.probe import PROBE_RANGE, judge_offset_probe, judge_plain_probe
from actors.sources.http.range import Asked, judge_ride, range_field
from actors.sources.http.settings import REDIRECTS_MAX, HttpSettings
from actors.sources.http.target import parse_target, redirected
from actors.sources.reader import Probed
from protocol.model.faults import FaultKind, SourceFault

_GONE: Final = frozenset({FaultKind.FORBIDDEN, FaultKind.NOT_FOUND})
_RIDE_REDIRECTS_MAX: Final = 1


@dataclass(slots=True)
class _Ride:
    """A body being read. `limit`: where it ends, None unknown; `over`: hung up or failed, nothing more to come."""

    asked: Asked
    position: int
    head: Head | None = None
    limit: int | None = None
    ended: bool = False
    over: bool = False
    redirects: int = 0

    @property
    def whole_answer(self) -> bool:
        """All that the server meant to send has been read: then hanging up cuts nothing off."""
        if self.head is None or not self.ended:
            return False
        return self.head.status == 206 or self.limit is None or self.limit in (self.head.length, self.asked.size_bytes)


class HttpReader:
    """A `Reader` of one URL. Owns one connection; used by one thread. Every failure is a `SourceFault`.

    Redirects are resolved by `probe`; rides use the final URL until it is refused, then begin at the first again.
    A ride that is redirected follows once. The look-up and connection of a new host happen in the `read_into` that
    hears the redirect, so such a call may take as long as connecting may; all others keep to the slice.
    """

    def __init__(self, url: str, *, user_agent: str, settings: HttpSettings) -> None:
        self._origin = parse_target(url)
        self._target = self._origin
        self._exchange = Exchange(user_agent=user_agent, settings=settings)
        self._validator = ""
        self._offset_ok = True
        self._ride: _Ride | None = None

    def probe(self) -> Probed:
        self.hang_up()
        self._target = self._origin
        try:
            return self._probe()
        except SourceFault:
            self._exchange.close()
            raise

    def _probe(self) -> Probed:
        head = self._ask([("Range", PROBE_RANGE)])
        learned = judge_offset_probe(head, self._target.authority)
        if learned is None:
            self._exchange.settle()
            head = self._ask([])
            learned = judge_plain_probe(head, self._target.authority)
        if head.status == 206:
            self._finish_probe()
        self._exchange.settle()
        self._validator, self._offset_ok = head.validator, learned.offset_ok
        return Probed(
            size_bytes=learned.size_bytes,
            offset_ok=learned.offset_ok,
            validator=head.validator,
            name=proposed_name(head),
            setup_s=self._exchange.setup_s,
        )

    def _finish_probe(self) -> None:
        """Read the probe's one byte, so that the connection can carry the first ride. If it fails: it cannot."""
        try:
            self._exchange.body().read_into(memoryview(bytearray(16)))
        except (OSError, h11.RemoteProtocolError):
            self._exchange.close()

    def _ask(self, fields: list[tuple[str, str]]) -> Head:
        """The head of the final answer, redirects followed."""
        seen = {self._target.url}
        while True:
            self._exchange.send(self._target, fields)
            head = self._exchange.head()
            while head is None:  # ends: SILENT
                head = self._exchange.head()
            if head.status not in REDIRECTS:
                return head
            self._follow(head)
            if self._target.url in seen or len(seen) > REDIRECTS_MAX:
                raise SourceFault(FaultKind.REDIRECT_LOOP, f"{self._target.authority} redirects in a circle")
            seen.add(self._target.url)

    def _follow(self, head: Head) -> None:
        location = head.fields.get("location", "")
        if not location:
            raise SourceFault(FaultKind.BAD_ANSWER, f"{self._target.authority} redirects without saying where")
        new = redirected(self._target, location)
        self._exchange.settle()
        self._target = new

    def open(self, start: int, stop: int | None, *, size_bytes: int) -> None:
        self.hang_up()
        ranged = start > 0 or self._offset_ok  # some refuse any Range, even one from the beginning
        asked = Asked(start=start, stop=stop, size_bytes=size_bytes, validator=self._validator, ranged=ranged)
        nothing = asked.end is not None and asked.end <= start
        self._ride = _Ride(asked=asked, position=start, ended=nothing, over=nothing)
        if not nothing:
            self._send(self._ride)

    def _send(self, ride: _Ride) -> None:
        asked = ride.asked
        fields: list[tuple[str, str]] = []
        if asked.ranged:
            fields.append(("Range", range_field(asked.start, asked.end)))
            if asked.validator:
                fields.append(("If-Range", asked.validator.partition(":")[2]))
        try:
            self._exchange.send(self._target, fields)
        except SourceFault:
            self._fail(ride)
            raise

    def read_into(self, view: memoryview) -> int:
        ride = self._ride
        if ride is None or ride.over or ride.ended or not view:
            return 0
        try:
            if ride.head is None:
                self._hear(ride)
                return 0
            return self._pour(ride, view)
        except SourceFault as fault:
            self._fail(ride)
            if fault.kind in _GONE:
                self._target = self._origin  # what a redirect led to may have been good for a while only
            raise

    def _fail(self, ride: _Ride) -> None:
        ride.over = True
        self._exchange.close()

    def _hear(self, ride: _Ride) -> None:
        head = self._exchange.head()
        if head is None:
            return
        host = self._target.authority
        if head.status in REDIRECTS:
            if ride.redirects >= _RIDE_REDIRECTS_MAX:
                raise SourceFault(FaultKind.REDIRECT_LOOP, f"{host} redirects again and again")
            ride.redirects += 1
            self._follow(head)
            self._send(ride)
            return
        ride.limit = judge_ride(head, ride.asked, host)
        ride.head = head
        ride.ended = ride.position == ride.limit

    def _pour(self, ride: _Ride, view: memoryview) -> int:
        host = self._target.authority
        body = self._exchange.body()
        try:
            count = body.read_into(view if ride.limit is None else view[: ride.limit - ride.position])
        except OSError as error:
            got = ride.position - ride.asked.start
            raise SourceFault(FaultKind.RESET, f"{host} broke the connection after {got} bytes") from error
        except h11.RemoteProtocolError as error:
            raise SourceFault(FaultKind.BAD_ANSWER, f"{host} sends broken chunks") from error
        ride.position += count
        ride.ended = ride.position == ride.limit or (ride.limit is None and body.ended)
        if not ride.ended and (body.ended or body.cut) and not count:
            raise self._short(ride, closed=body.cut or (ride.head is not None and not ride.head.chunked))
        return count

    def _short(self, ride: _Ride, *, closed: bool) -> SourceFault:
        got = ride.position - ride.asked.start
        of = "" if ride.limit is None else f" of {ride.limit - ride.asked.start}"
        how = "closed" if closed else "ended its answer"
        return SourceFault(FaultKind.SHORT_BODY, f"{self._target.authority} sent {got}{of} bytes, then {how}")

    @property
    def ended(self) -> bool:
        return self._ride is not None and self._ride.ended

    @property
    def position(self) -> int:
        return self._ride.position if self._ride else 0

    def hang_up(self) -> bool:
        ride = self._ride
        if ride is None or ride.over:
            return False
        ride.over = True
        cut_off = self._exchange.settle()
        return cut_off and not ride.whole_answer

    def close(self) -> None:
        if self._ride is not None:
            self._ride.over = True
        self._exchange.close()
