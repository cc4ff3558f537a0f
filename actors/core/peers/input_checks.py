"""Validity checks of names and sizes that Soulseek peers send: nothing else of the program sees what fails them."""

from typing import Final

from protocol.model.source_url import URL_BYTES_MAX, slsk_url

NAME_CHARS_MAX: Final = 30
"""Length limit of a user name, set by the server."""
SIZE_BYTES_MAX: Final = 1 << 50
_SIGN_EXTENSION: Final = 0xFFFF_FFFF_8000_0000


def true_size(size_bytes: int) -> int:
    """Return a size as it was meant: some clients send sizes of 2 to 4 GiB sign-extended from 32 to 64 bits."""
    if size_bytes & _SIGN_EXTENSION == _SIGN_EXTENSION:
        return size_bytes & 0xFFFF_FFFF
    return size_bytes


def is_possible_peer(peer: str) -> bool:
    """Whether there can be a user of this name."""
    return 0 < len(peer) <= NAME_CHARS_MAX and peer.isprintable()


def is_possible_file(peer: str, path: str, size_bytes: int) -> bool:
    """Whether there can be such a file, and it can be asked for by this name."""
    if not 0 < size_bytes <= SIZE_BYTES_MAX or not peer or len(peer) > NAME_CHARS_MAX:
        return False
    if not (path.isprintable() or _is_harmless(path)) or not _is_harmless(peer):
        return False
    parts = path.replace("/", "\\").split("\\")
    if ".." in parts or not parts[-1].strip(". "):
        return False
    return len(path) < URL_BYTES_MAX and len(slsk_url(peer, path)) <= URL_BYTES_MAX


def printable(text: str, chars_max: int = 200) -> str:
    """Shorten a peer's text for a message and replace what a log or a terminal would obey."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text[:chars_max])


def _is_harmless(text: str) -> bool:
    """No control character and nothing that is no text. Unprintable marks, as of writing direction, may be in names."""
    return not any(char < " " or "\x7f" <= char <= "\x9f" or "\ud800" <= char <= "\udfff" for char in text)
