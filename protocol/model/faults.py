"""Faults of sources and of part files, as numbers on the wire and words for people.

`SourceFault` cools or bans a source, `PartFileFault` pauses or ends a job; anything else is our fault and ends the
actor. Policies for each kind are in `actors.core.dispatch.sources`.
"""

from enum import IntEnum, unique


@unique
class FaultKind(IntEnum):
    """Kinds of faults of a source. Append only: the numbers are on the wire."""

    REVOKED = 0  # nothing wrong: the dispatcher took the lease back
    NO_SUCH_HOST = 1
    REFUSED = 2  # connection refused or unreachable
    CONNECT_TIMEOUT = 3
    TLS_UNTRUSTED = 4
    NOT_FOUND = 5  # 404, 410
    FORBIDDEN = 6  # 401, 403, 407
    BUSY = 7  # 429, 503
    SERVER_ERROR = 8  # other 5xx
    BAD_ANSWER = 9  # not HTTP, or an answer that was not asked for
    RANGE_REFUSED = 10  # gives offset 0 only
    WRONG_RANGE = 11  # 206 for another span than asked
    CHANGED = 12  # another validator or size than before
    ENCODED = 13  # Content-Encoding although identity was asked for
    REDIRECT_LOOP = 14
    SHORT_BODY = 15  # ended early in good order
    RESET = 16  # connection broke
    STALLED = 17  # no byte for too long
    SILENT = 18  # connected, but no answer head in time
    UNSUPPORTED_URL = 19
    SIZE_DIFFERS = 20
    SLOW = 21
    LOST = 22  # its process died
    DISPUTED = 23  # sent a chunk that differs from what another source sent
    # 24 is not used: what a server sends beyond its announced length is never read
    OFFLINE = 25  # the peer is not there
    NOT_SHARED = 26  # "File not shared."
    TOO_MANY_FILES = 27  # the peer's limit for us is reached
    PEER_BANNED_US = 28
    TURN_LOST = 29  # an offer or its connection came to nothing
    UPLOAD_FAILED = 30  # the peer says so
    PEER_UNREACHABLE = 31  # neither direct nor indirect
    NOT_LOGGED_IN = 32
    PRIVATE_ADDRESS = 33  # leads into a private network, which the user has not allowed
    INTERFACE_GONE = 34  # what connections are bound to is not there: no fault of the source
    OFF_TLS = 35  # redirects from https to plain http, which the user has forbidden


@unique
class PartFileFaultKind(IntEnum):
    """Kinds of faults of the place that the file should go to. Append only."""

    NO_FOLDER = 0
    READ_ONLY = 1
    BUSY = 2  # another program writes this part file
    OTHER_JOB = 3  # the part file belongs to another download
    NO_SPACE = 4
    IO_ERROR = 5
    BAD_NAME = 6
    GONE = 7  # the part file was moved or deleted while it was written
    OUTSIDE = 8  # the folder leads out of the folders that are configured


class SourceFault(Exception):  # noqa: N818  (the word of the design: whose fault, not "error")
    """Fault of a source. `detail` is one line for people without secrets; `retry_after_s` 0: the source named none."""

    def __init__(self, kind: FaultKind, detail: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.retry_after_s = retry_after_s


class PartFileFault(Exception):  # noqa: N818
    """Fault of a part file, which cannot be used or written. `detail` is one line for people."""

    def __init__(self, kind: PartFileFaultKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
