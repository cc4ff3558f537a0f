"""Validators of a file's version (ETag, Last-Modified, size), and what they say about a change of its content.

Nodes of one server often disagree about validators: an ETag made of an inode, files copied some seconds apart. Such a
difference proves nothing; bytes that were received before are compared then, which weighs more than any validator.
"""

from enum import Enum, auto
from typing import Final

from actors.sources.http.head import Head
from actors.sources.http.settings import TEXT_MAX
from protocol.model.units import http_date_s
from protocol.model.value import Struct

SAME_DATE_S: Final = 60.0
"""Last-Modified dates this near to each other are taken for copies of one file on several nodes."""


class Change(Enum):
    """Change of the file between two versions, as far as they show it."""

    NONE = auto()
    UNCLEAR = auto()
    OTHER = auto()


class Version(Struct, frozen=True, kw_only=True):
    """Version of a file as an answer describes it. `size_bytes` -1 and empty texts: not said."""

    size_bytes: int = -1
    etag: str = ""
    modified: str = ""

    @property
    def validator(self) -> str:
        """The text that is kept with a part file, prefixed with its kind; empty when there is nothing strong."""
        if self._strong:
            return f"etag:{self.etag}"
        return f"date:{self.modified}" if self.modified else ""

    @property
    def if_range(self) -> str:
        """Value of an If-Range field, which must not be a weak ETag; empty without one."""
        return self.etag if self._strong else self.modified

    @property
    def _strong(self) -> bool:
        return len(self.etag) >= 2 and self.etag[0] == self.etag[-1] == '"'

    def compare(self, before: "Version") -> Change:
        """Compare with the version that was seen before."""
        if 0 <= before.size_bytes != self.size_bytes >= 0:
            return Change.OTHER
        tagged = bool(self.etag and before.etag)
        if tagged and _opaque(self.etag) == _opaque(before.etag):
            return Change.NONE
        if self.modified and before.modified:
            if self.modified == before.modified:
                return Change.UNCLEAR if tagged else Change.NONE
            return Change.UNCLEAR if _near(self.modified, before.modified) else Change.OTHER
        return Change.OTHER if tagged else Change.NONE


UNSEEN: Final = Version()


def version_of(head: Head, size_bytes: int) -> Version:
    """Return the version of the file of `size_bytes` (-1 unknown) that an answer speaks of."""
    etag, modified = head.fields.get("etag", ""), head.fields.get("last-modified", "")
    return Version(
        size_bytes=size_bytes,
        etag=etag if len(etag) <= TEXT_MAX else "",
        modified=modified if len(modified) <= TEXT_MAX else "",
    )


def _opaque(etag: str) -> str:
    """Return an ETag for the weak comparison of RFC 9110, section 8.8.3.2."""
    return etag.removeprefix("W/").removeprefix("w/")


def _near(one: str, other: str) -> bool:
    first, second = http_date_s(one), http_date_s(other)
    return first is not None and second is not None and abs(first - second) <= SAME_DATE_S
