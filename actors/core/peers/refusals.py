"""Refusal texts of Soulseek uploaders as faults, each with the time after which asking again makes sense.

The texts are those of Nicotine+, slskd, SoulseekQt and aioslsk. A passing refusal is `BUSY` with its pause: the peer
stays a source of the job. A lasting one has a kind of its own, whose policy is in `actors.core.dispatch.sources`.
"""

from typing import Final

from protocol.model.faults import FaultKind
from protocol.model.value import Struct


class Refusal(Struct, frozen=True):
    """Meaning of a refusal: fault and pause. `retry_after_s` 0: as the kind's policy says."""

    kind: FaultKind
    retry_after_s: float = 0.0


_BY_START: Final[tuple[tuple[str, Refusal | None], ...]] = (
    ("queued", None),
    ("file not shared", Refusal(FaultKind.NOT_SHARED)),
    ("not shared", Refusal(FaultKind.NOT_SHARED)),
    ("disallowed extension", Refusal(FaultKind.NOT_SHARED)),
    ("remote file error", Refusal(FaultKind.NOT_SHARED)),
    ("file read error", Refusal(FaultKind.BUSY, 120.0)),  # a disk that is not mounted, a file that is being moved
    ("local file error", Refusal(FaultKind.BUSY, 120.0)),
    ("too many failed", Refusal(FaultKind.TOO_MANY_FILES)),  # slskd: a budget of the day or week, asking does not help
    ("too many", Refusal(FaultKind.BUSY, 90.0)),  # files or megabytes in its queue for us: room comes as they end
    ("pending shutdown", Refusal(FaultKind.BUSY, 60.0)),
    ("cancelled", Refusal(FaultKind.BUSY, 30.0)),
    ("complete", Refusal(FaultKind.BUSY, 30.0)),  # it believes that we have the file
    ("user logged off", Refusal(FaultKind.BUSY, 15.0)),  # it has not seen yet that we are back
    ("connection closed", Refusal(FaultKind.BUSY, 15.0)),
    ("connection timeout", Refusal(FaultKind.BUSY, 15.0)),
    ("banned", Refusal(FaultKind.PEER_BANNED_US)),
    ("sorry, your country", Refusal(FaultKind.PEER_BANNED_US)),
    ("blocked", Refusal(FaultKind.PEER_BANNED_US)),
)
_UNKNOWN: Final = Refusal(FaultKind.BUSY)


def refusal_of(reason: str) -> Refusal | None:
    """Classify a refusal. None: it is none, we are queued. An unknown text is worth another try, later."""
    text = reason.strip().lower()
    for start, refusal in _BY_START:
        if text.startswith(start):
            return refusal
    return _UNKNOWN


ENCODINGS: Final = ("utf-8", "cp1252")
"""Encodings of file names that are tried in turn when a peer says "File not shared". Old clients know a name by its
bytes in the code page of Western Windows, which has all letters of latin-1 too."""


def next_encoding(path: str, tried: tuple[str, ...]) -> str | None:
    """Return the next encoding in which `path` has other bytes than in those tried; None: there is none."""
    sent = {encoded(path, encoding) for encoding in tried}
    for encoding in ENCODINGS:
        data = encoded(path, encoding)
        if data is not None and data not in sent:
            return encoding
    return None


def encoded(path: str, encoding: str) -> bytes | None:
    """Encode a remote path; None where the encoding does not have its characters."""
    try:
        return path.encode(encoding)
    except UnicodeEncodeError:
        return None
