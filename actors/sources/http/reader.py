"""HTTP(S) source reader: probe and ranged bodies over one HTTP/1.1 connection."""

from dataclasses import dataclass
from typing import Final

import h11

from actors.sources.http.exchange import Exchange
from actors.sources.http.head import REDIRECTS, Head, proposed_name
from actors.sources.http.range import PROBE_RANGE, Asked, check_answer, offset_probe, plain_probe, range_field
from actors.sources.http.settings import REDIRECTS_MAX, HttpSettings
from actors.sources.http.target import parse_target, redirected
from actors.sources.reader import Probed
from protocol.model.faults import FaultKind, SourceFault

_GONE: Final = frozenset({FaultKind.FORBIDDEN, FaultKind.NOT_FOUND})
_TRANSFER_REDIRECTS_MAX: Final = 1


@dataclass(slots=True)
class _Transfer:
    """Body being read. `limit`: offset of its end, None unknown; `over`: aborted or failed, nothing more to come."""

    asked: Asked
    position: int
    head: Head | None = None
    limit: int | None = None
    ended: bool = False
    over: bool = False
    redirects: int = 0

    @property
    def whole_answer(self) -> bool:
        """Whether all that the server means to send has been read: then hanging up cuts nothing off."""
        if self.head is None or not self.ended:
            return False
        return self.head.status == 206 or self.limit is None or self.limit in (self.head.length, self.asked.size_bytes)


class HttpReader:
    """`Reader` of one URL. Owns one connection; used by one thread. Every failure is a `SourceFault`.

    Redirects are resolved by `probe`; transfers use the final URL until it is refused, then begin at the first again.
    A transfer that is redirected follows once. The look-up and connection of a new host happen in the `read_into`
    that gets the redirect, so such a call may take as long as connecting may; all others keep to the slice.
    """

    def __init__(self, url: str, *, user_agent: str, settings: HttpSettings) -> None:
        self._origin = parse_target(url)
        self._target = self._origin
        self._exchange = Exchange(user_agent=user_agent, settings=settings, home=self._origin)
        self._validator = ""
        self._offset_ok = True
        self._transfer: _Transfer | None = None

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
        learned = offset_probe(head, self._target.authority)
        if learned is None:
            self._exchange.settle()
            head = self._ask([])
            learned = plain_probe(head, self._target.authority)
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
        """Read the probe's one byte, so that the connection can carry the first transfer. If that fails, it cannot."""
        try:
            self._exchange.body().read_into(memoryview(bytearray(16)))
        except (OSError, h11.RemoteProtocolError):
            self._exchange.close()

    def _ask(self, fields: list[tuple[str, str]]) -> Head:
        """Return the head of the final answer, redirects followed."""
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
        self._transfer = _Transfer(asked=asked, position=start, ended=nothing, over=nothing)
        if not nothing:
            self._send(self._transfer)

    def _send(self, transfer: _Transfer) -> None:
        asked = transfer.asked
        fields: list[tuple[str, str]] = []
        if asked.ranged:
            fields.append(("Range", range_field(asked.start, asked.end)))
            if asked.validator:
                fields.append(("If-Range", asked.validator.partition(":")[2]))
        try:
            self._exchange.send(self._target, fields)
        except SourceFault:
            self._fail(transfer)
            raise

    def read_into(self, view: memoryview) -> int:
        transfer = self._transfer
        if transfer is None or transfer.over or transfer.ended or not view:
            return 0
        try:
            if transfer.head is None:
                self._read_head(transfer)
                return 0
            return self._read_body(transfer, view)
        except SourceFault as fault:
            self._fail(transfer)
            if fault.kind in _GONE:
                self._target = self._origin  # what a redirect led to may have been good for a while only
            raise

    def _fail(self, transfer: _Transfer) -> None:
        transfer.over = True
        self._exchange.close()

    def _read_head(self, transfer: _Transfer) -> None:
        head = self._exchange.head()
        if head is None:
            return
        host = self._target.authority
        if head.status in REDIRECTS:
            if transfer.redirects >= _TRANSFER_REDIRECTS_MAX:
                raise SourceFault(FaultKind.REDIRECT_LOOP, f"{host} redirects again and again")
            transfer.redirects += 1
            self._follow(head)
            self._send(transfer)
            return
        transfer.limit = check_answer(head, transfer.asked, host)
        transfer.head = head
        transfer.ended = transfer.position == transfer.limit

    def _read_body(self, transfer: _Transfer, view: memoryview) -> int:
        host = self._target.authority
        body = self._exchange.body()
        try:
            count = body.read_into(view if transfer.limit is None else view[: transfer.limit - transfer.position])
        except OSError as error:
            got = transfer.position - transfer.asked.start
            raise SourceFault(FaultKind.RESET, f"{host} broke the connection after {got} bytes") from error
        except h11.RemoteProtocolError as error:
            raise SourceFault(FaultKind.BAD_ANSWER, f"{host} sends broken chunks") from error
        transfer.position += count
        transfer.ended = transfer.position == transfer.limit or (transfer.limit is None and body.ended)
        if not transfer.ended and (body.ended or body.cut) and not count:
            raise self._short(transfer, closed=body.cut or (transfer.head is not None and not transfer.head.chunked))
        return count

    def _short(self, transfer: _Transfer, *, closed: bool) -> SourceFault:
        got = transfer.position - transfer.asked.start
        of = "" if transfer.limit is None else f" of {transfer.limit - transfer.asked.start}"
        how = "closed" if closed else "ended its answer"
        return SourceFault(FaultKind.SHORT_BODY, f"{self._target.authority} sent {got}{of} bytes, then {how}")

    @property
    def ended(self) -> bool:
        return self._transfer is not None and self._transfer.ended

    @property
    def position(self) -> int:
        return self._transfer.position if self._transfer else 0

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
