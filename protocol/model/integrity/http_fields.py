"""Digests and links in the fields of HTTP answers: ``Repr-Digest`` (RFC 9530), ``Digest``, ``Content-MD5``, ``Link``.

Malformed values are `ValueError` with a few words; the reader of the answer leaves them out and says so.
"""

import re
from collections.abc import Iterator
from typing import Final

from protocol.model.integrity.checksums import algorithm_of, from_base64
from protocol.model.integrity.metalink import MEDIA_TYPES, absolute
from protocol.model.printable import printable
from protocol.model.value import Struct, field, late_pattern

WANTED: Final = "sha-512=9, sha-256=10"
"""The value of ``Want-Repr-Digest``: sha-256 is cheaper to compute where there is hardware for it."""
FIELD_CHARS_MAX: Final = 8000
LINKS_MAX: Final = 100
_MEMBER: Final = late_pattern(r'\s*([a-z*][a-z0-9_.*-]*)=:([^:]*):\s*(?:;[^,"]*)?(?:,|$)')
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_LINK: Final = late_pattern(
    rf'\s*<([^<>]*)>((?:\s*;\s*{_TOKEN}\*?(?:\s*=\s*(?:{_TOKEN}|"(?:[^"\\]|\\.)*"))?)*)\s*(?:,|$)'
)
_PARAMETER: Final = late_pattern(rf';\s*({_TOKEN}\*?)(?:\s*=\s*({_TOKEN}|"(?:[^"\\]|\\.)*"))?')


def repr_digests(value: str) -> list[str]:
    """Return the checksums of a ``Repr-Digest`` field; digests of unknown algorithms are left out."""
    found, at = [], 0
    text = value.strip()
    if len(text) > FIELD_CHARS_MAX:
        raise ValueError("longer than any digest")
    while at < len(text):
        member = _MEMBER.match(text, at)
        if member is None:
            raise ValueError(f"not written as ALGORITHM=:BASE64:, but {printable(text[at : at + 40])!r}")
        at = member.end()
        if algorithm := algorithm_of(member[1]):
            found.append(from_base64(algorithm, member[2]))
    return found


def legacy_digests(value: str) -> list[str]:
    """Return the checksums of a ``Digest`` field (RFC 3230); checks that are no digest (``UNIXsum``) are left out."""
    if len(value) > FIELD_CHARS_MAX:
        raise ValueError("longer than any digest")
    found = []
    for member in value.split(","):
        name, equals, text = member.strip().partition("=")
        if not equals:
            raise ValueError(f"not written as ALGORITHM=BASE64, but {printable(member.strip()[:40])!r}")
        if algorithm := algorithm_of(name):
            found.append(from_base64(algorithm, text.strip()))
    return found


def content_md5(value: str) -> list[str]:
    """Return the checksum of a ``Content-MD5`` field."""
    return [from_base64("md5", value.strip())]


class Links(Struct):
    """Links of an answer to other places of the same file, the best first (RFC 6249)."""

    duplicates: list[str] = field(default_factory=list)
    described_at: list[str] = field(default_factory=list)
    """Addresses of Metalink documents about it."""


def links_of(values: list[str], base: str) -> Links:
    """Return what ``Link`` fields say of this file; at most `LINKS_MAX` are read. `base`: the answer's address."""
    found = Links()
    ranked: list[tuple[int, int, str]] = []
    for number, (target, parameters) in enumerate(_links(values)):
        if number >= LINKS_MAX:
            break
        relations = parameters.get("rel", "").lower().split()
        url = absolute(base, target.strip())
        if not url.lower().startswith(("http://", "https://")):
            continue
        if "duplicate" in relations:
            priority = parameters.get("pri", "")
            ranked.append((int(priority) if re.fullmatch("[0-9]{1,6}", priority) else 999_999, number, url))
        elif "describedby" in relations and parameters.get("type", "").lower() in MEDIA_TYPES:
            found.described_at.append(url)
    found.duplicates = [url for _, _, url in sorted(ranked)]
    return found


def _links(values: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    for value in values:
        at = 0
        while at < len(value):
            link = _LINK.match(value, at)
            if link is None:
                break  # the rest of a malformed field
            at = link.end()
            parameters: dict[str, str] = {}
            for name, text in _PARAMETER.findall(link[2]):
                plain = re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
                parameters.setdefault(name.lower(), plain)
            yield link[1], parameters
