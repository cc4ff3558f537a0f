"""Description of a file in the fields of an answer: digests of the whole, mirrors, documents about it (RFC 9530, 6249).

Digests count on answers that bring the file, also a part of it where they are of the whole by definition. A redirect's
fields speak of the file only where it names mirrors or a document: else its digest is that of its own words.
"""

from collections.abc import Callable
from typing import Final

from actors.sources.http.head import REDIRECTS, Head
from actors.sources.http.settings import plain
from actors.sources.reader import Described
from protocol.model.integrity.http_fields import content_md5, legacy_digests, links_of, repr_digests
from protocol.model.integrity.metalink import MEDIA_TYPES
from protocol.model.source_url import check_url

MIRRORS_MAX: Final = 50
ADDRESS_CHARS_MAX: Final = 400
"""Of one mirror: all of them travel in one message."""


def description_of(head: Head, host: str, url: str, *, coded: bool) -> Described:
    """Return what an answer says of the file. `url`: its address; `coded`: the body, and its digests, are encoded.

    What is malformed is left out, with a note.
    """
    redirects = head.status in REDIRECTS
    links = links_of([head.fields["link"]] if "link" in head.fields else [], url)
    mirrors = [each for each in links.duplicates if len(each) <= ADDRESS_CHARS_MAX and _usable(each)]
    described_at = next((each for each in links.described_at if _usable(each)), "")
    whole = head.status == 200 or redirects
    readers: dict[str, Callable[[str], list[str]]] = {"repr-digest": repr_digests}
    readers |= {"digest": legacy_digests} if whole else {}
    readers |= {"content-md5": content_md5} if head.status == 200 else {}
    if coded or (redirects and not (links.duplicates or links.described_at)):
        readers = {}
    checksums: dict[str, str] = {}
    notes = []
    for name, read in readers.items():
        try:
            for checksum in read(head.fields.get(name, "")) if head.fields.get(name) else ():
                checksums.setdefault(checksum.partition(":")[0], checksum)
        except ValueError as error:
            notes.append(f"{host}: its {name.title()} is not used: {plain(str(error), 120)}")
    media_type = head.fields.get("content-type", "").partition(";")[0].strip().lower()
    return Described(
        checksums=tuple(checksums.values()),
        mirrors=tuple(mirrors[:MIRRORS_MAX]),
        described_at=described_at,
        is_document=media_type in MEDIA_TYPES and not redirects,
        notes=tuple(notes),
    )


def together(earlier: Described, later: Described) -> Described:
    """Return what two answers on one way to a file say of it, the earlier first."""
    named = {each.partition(":")[0] for each in earlier.checksums}
    more = [each for each in later.checksums if each.partition(":")[0] not in named]
    return Described(
        checksums=(*earlier.checksums, *more),
        mirrors=tuple(dict.fromkeys((*earlier.mirrors, *later.mirrors)))[:MIRRORS_MAX],
        described_at=earlier.described_at or later.described_at,
        is_document=later.is_document,
        notes=(*earlier.notes, *later.notes),
    )


def _usable(url: str) -> bool:
    try:
        check_url(url)
    except ValueError:
        return False
    return True
