"""A key that was given as an option, taken out of what other users of the machine see of this process."""

import contextlib
from typing import Final

_STAT_ARGUMENTS: Final = 45
"""Of /proc/PID/stat behind the name: the field that says where the arguments begin; the next one, where they end."""


def hide_argument(secret: str) -> bool:
    """Whether the words that are it, or end in ``=`` and it, are stars in ``ps`` from now on; only Linux can.

    For a moment, until this is called, everybody could read them: that is why an option is no place for a secret.
    """
    if not secret:
        return False
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/self/stat", "rb") as stat:
        fields = stat.read().rpartition(b")")[2].split()
        first, stop = int(fields[_STAT_ARGUMENTS]), int(fields[_STAT_ARGUMENTS + 1])
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(first)
            hidden = hidden_in(memory.read(stop - first), secret.encode())
            memory.seek(first)
            memory.write(hidden)
            return True
    return False


def hidden_in(arguments: bytes, secret: bytes) -> bytes:
    """Arguments as a process has them, each with a zero at its end; as long as before."""
    stars = b"*" * len(secret)
    words = arguments.split(b"\0")
    return b"\0".join(
        word[: -len(secret)] + stars if word == secret or word.endswith(b"=" + secret) else word for word in words
    )
