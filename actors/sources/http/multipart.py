"""Multipart/byteranges answer (RFC 9110, section 14.6): its first part as if it were the whole answer.

Some servers answer so to a request for one range. What follows the first part is asked for again.
"""

import re
from typing import Final

from actors.sources.http.body import Body, CountedBody
from actors.sources.http.head import HEAD_END, Head, fields_of
from actors.sources.http.range import content_range
from actors.sources.http.settings import HEAD_BYTES_MAX
from protocol.model.value import replace

_TYPE: Final = re.compile(r"multipart/(?:x-)?byteranges\b", re.IGNORECASE)
_DELIMITER: Final = b"--"
_LINE_ENDS: Final = b"\r\n"


def is_multipart(head: Head) -> bool:
    """Return whether only the body says which bytes it brings."""
    named = _TYPE.match(head.fields.get("content-type", "").strip())
    return head.status == 206 and named is not None and "content-range" not in head.fields


class FirstPart:
    """First part of a body, which is `body` once `read` has returned its head."""

    def __init__(self, head: Head, body: Body) -> None:
        self.body = body
        self._head = head
        self._data = b""

    def read(self, view: memoryview) -> Head | None:
        """Read what comes within a slice; return the answer's head with the part's fields once those are complete.

        As it came, if its body is not what it is said to be. Raises `OSError` or `BrokenBody`.
        """
        self._data = (self._data + view[: self.body.read_into(view)]).lstrip(_LINE_ENDS)
        end = HEAD_END.search(self._data)
        if not self._data.startswith(_DELIMITER[: len(self._data)]) or len(self._data) > HEAD_BYTES_MAX:
            return self._head
        if end is None:
            return self._head if self.body.ended or self.body.cut else None
        fields = self._head.fields | fields_of(self._data[: end.start()])  # the delimiter's line is no field
        head = replace(self._head, fields=fields, keep_alive=False)
        if (got := content_range(head)) is not None:
            head = replace(head, length=got.stop - got.start, chunked=False)
            self.body = CountedBody(_Carried(self.body), self._data[end.end() :], got.stop - got.start)
        return head


class _Carried:
    """Stream of the bytes of a body."""

    def __init__(self, body: Body) -> None:
        self._body = body

    @property
    def eof(self) -> bool:
        return self._body.ended or self._body.cut

    def fill(self, view: memoryview, *, whole: bool, more: int = 0) -> int:
        return self._body.read_into(view)

    def drain(self, _count: int) -> bool:
        return False

    def idle(self) -> bool:
        return False
