"""Printable text for a terminal from text that comes from outside: names of files, hosts and users, answers of servers.

A terminal obeys control characters, so none from outside may reach it; bidirectional controls can make a name read
as another one and go too. Each such sequence leaves one U+FFFD behind: people should see that something was there.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Final

from protocol.model.source_url import slsk_address
from protocol.model.value import late_pattern

REPLACEMENT: Final = "\ufffd"
_ESCAPES: Final = late_pattern(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|(?:\x1b[]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS ...: titles, clipboards
    r"|\x1b[ -/]*[0-~]?"
)
_SPACES: Final = late_pattern(r"[\s\x85\u2028\u2029]+")
_BAD_CATEGORIES: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def printable(text: str) -> str:
    """Return one line without any character that a terminal could act on."""
    if text.isascii() and text.isprintable():
        return text
    calm = _SPACES.sub(" ", _ESCAPES.sub(REPLACEMENT, text))
    return "".join(REPLACEMENT if unicodedata.category(char) in _BAD_CATEGORIES else char for char in calm)


def short_names(names: Iterable[str]) -> list[str]:
    """Return printable names, as short as is distinct: only the host or user where no other source has it."""
    full = [printable(_as_said(name)) for name in names]
    bare = [name.partition("://")[2] or name for name in full]
    hosts = [_host(name, rest) for name, rest in zip(full, bare, strict=True)]
    counts = Counter(hosts)
    return [host if counts[host] == 1 else rest for host, rest in zip(hosts, bare, strict=True)]


def _as_said(name: str) -> str:
    """A Soulseek user's address without its percent signs, as the user and others know it."""
    if not name.startswith("slsk://"):
        return name
    try:
        peer, path = slsk_address(name)
    except ValueError:
        return name
    return f"slsk://{peer.replace('/', REPLACEMENT)}/{path}"


def _host(name: str, rest: str) -> str:
    return rest.partition("/")[0] or name if "://" in name else name


def cell_width(text: str) -> int:
    """Return the number of a terminal's columns that printable text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: int) -> str:
    """Return printable text in at most `width` cells, dots at its end where something was cut off."""
    if cell_width(text) <= width:
        return text
    while cell_width(text) > width - 3:
        text = text[:-1]
    return text + "..."


def count_of(count: int, word: str) -> str:
    """Return ``1 source``, ``4 sources``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
