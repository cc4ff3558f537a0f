"""Text from outside made fit for a terminal: names of files, hosts and users, and what servers said.

A terminal obeys control characters, so none from outside may reach it; bidirectional controls can make a name read
as another one and go too. Each such sequence leaves one U+FFFD behind: people should see that something was there.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Final

REPLACEMENT: Final = "\ufffd"
_ESCAPES: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|(?:\x1b[]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS ...: titles, clipboards
    r"|\x1b[ -/]*[0-~]?"
)
_SPACES: Final = re.compile(r"[\s\x85\u2028\u2029]+")
_BAD_CATEGORIES: Final = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


def printable(text: str) -> str:
    """One line without any character that a terminal could act on."""
    if text.isascii() and text.isprintable():
        return text
    calm = _SPACES.sub(" ", _ESCAPES.sub(REPLACEMENT, text))
    return "".join(REPLACEMENT if unicodedata.category(char) in _BAD_CATEGORIES else char for char in calm)


def short_names(names: Iterable[str]) -> list[str]:
    """Printable names, as short as they can be told apart: only the host where no other source has it."""
    full = [printable(name) for name in names]
    bare = [name.partition("://")[2] or name for name in full]
    hosts = [_host(name, rest) for name, rest in zip(full, bare, strict=True)]
    counts = Counter(hosts)
    return [host if counts[host] == 1 else rest for host, rest in zip(hosts, bare, strict=True)]


def _host(name: str, rest: str) -> str:
    return rest.partition("/")[0] or name if "://" in name else name


def cell_width(text: str) -> int:
    """Columns of a terminal that printable text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def count_of(count: int, word: str) -> str:
    """``1 source``, ``4 sources``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
