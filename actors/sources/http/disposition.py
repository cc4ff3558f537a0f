"""Content-Disposition parser: the file name that a server proposes, by RFC 6266, RFC 8187 and what browsers accept."""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from actors.sources.http.head import Head
from actors.sources.http.settings import TEXT_MAX
from protocol.model.value import late_pattern

_PARAMETER: Final = late_pattern(
    r"""[\s;]* ([!#$%&'*+.^_`|~0-9A-Za-z-]+) \s* = \s*
        (?: "((?:[^"\\]|\\.)*)"? (?=[\s;]*) | ([^;]*) )""",
    re.VERBOSE | re.DOTALL,
)
_EXTENDED: Final = late_pattern(r"([A-Za-z0-9._:+-]*)'[^']*'(.*)", re.DOTALL)
_ENCODED_WORD: Final = late_pattern(r"=\?[\w.:+*-]+\?[bqBQ]\?[^?]*\?=")
_PERCENT: Final = late_pattern(r"%[0-9A-Fa-f]{2}")


def proposed_name(head: Head) -> str:
    """Return the file name of Content-Disposition, ``filename*`` before ``filename``; empty when there is none.

    It is not safe to use as a path.
    """
    field = head.fields.get("content-disposition", "")[: 4 * TEXT_MAX]  # no name needs more
    if "=" not in field:
        return ""
    found = _parameters(field)
    name = _extended(found.get("filename*", "")) or _simple(found.get("filename", "")) or _continued(found)
    return name[:TEXT_MAX].encode("utf-8", "replace").decode()  # some charsets have halves of characters


def _parameters(field: str) -> dict[str, str]:
    """Return the parameters by name in lower case, the first of each. A missing disposition type is no error."""
    kind, semicolon, rest = field.partition(";")
    text = field if "=" in kind else rest if semicolon else ""
    found: dict[str, str] = {}
    at = 0
    while match := _PARAMETER.search(text, at):
        value = match[3].strip() if match[2] is None else re.sub(r'\\(["\\])', r"\1", match[2])
        found.setdefault(match[1].lower(), value)
        at = max(match.end(), at + 1)
    return found


def _extended(value: str) -> str:
    """Decode the value of ``filename*``. Raw bytes beside the percent-encoded ones are UTF-8."""
    match = _EXTENDED.fullmatch(value.strip().strip('"'))
    if match is None:
        return ""
    raw = unquote_to_bytes(match[2].encode("latin-1", "replace"))
    return _decoded(raw, match[1] or "utf-8") or _decoded(raw, "utf-8")


def _simple(value: str) -> str:
    """Decode the value of ``filename``: an encoded word, percent signs and raw UTF-8 are read as browsers read them."""
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] == "'":
        value = value[1:-1]
    if _ENCODED_WORD.search(value):
        from email.errors import MessageError
        from email.header import decode_header, make_header

        try:
            return str(make_header(decode_header(value)))
        except (ValueError, LookupError, MessageError):
            return value
    raw = value.encode("latin-1", "replace")
    text = _decoded(raw, "utf-8") or raw.decode("latin-1")
    if _PERCENT.search(text):
        return _decoded(unquote_to_bytes(text), "utf-8") or text
    return text


def _continued(found: dict[str, str]) -> str:
    """Join ``filename*0``, ``filename*1*`` ... of RFC 2231; a character may begin in one and end in the next."""
    charset, raw = "utf-8", b""
    for number in range(len(found)):
        simple, extended = found.get(f"filename*{number}"), found.get(f"filename*{number}*")
        if simple is not None:
            raw += simple.encode("latin-1", "replace")
        elif extended is not None:
            match = _EXTENDED.fullmatch(extended) if number == 0 else None
            charset = (match and match[1]) or charset
            raw += unquote_to_bytes((match[2] if match else extended).encode("latin-1", "replace"))
    return _decoded(raw, charset) or _decoded(raw, "utf-8")


def _decoded(raw: bytes, charset: str) -> str:
    try:
        return raw.decode({"utf8": "utf-8"}.get(charset.lower(), charset))
    except (UnicodeError, LookupError):
        return ""
