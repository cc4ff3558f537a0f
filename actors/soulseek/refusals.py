"""What peers say when they refuse, as faults. The words are Nicotine+'s, slskd's, SoulseekQt's and aioslsk's."""

from typing import Final

from protocol.model.faults import FaultKind

TEXT_CHARS_MAX: Final = 200

_STARTS: Final = (
    ("queued", None),
    ("file not shared", FaultKind.NOT_SHARED),
    ("file read error", FaultKind.NOT_SHARED),
    ("remote file error", FaultKind.NOT_SHARED),
    ("disallowed extension", FaultKind.NOT_SHARED),
    ("too many", FaultKind.TOO_MANY_FILES),  # files, megabytes, failed transfers today ...
    ("banned", FaultKind.PEER_BANNED_US),
    ("sorry, your country", FaultKind.PEER_BANNED_US),
    ("blocked", FaultKind.PEER_BANNED_US),
)


def fault_of(reason: str) -> FaultKind | None:
    """None: no refusal, we are queued. Words nobody knows are `BUSY`: worth another try, later."""
    text = reason.strip().lower()
    for start, kind in _STARTS:
        if text.startswith(start):
            return kind
    return FaultKind.BUSY


def shown(text: str) -> str:
    """A peer's words, short enough for a message and without what a log or terminal would obey."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text[:TEXT_CHARS_MAX])
