"""Small documents fetched over HTTP: Metalinks and checksum files, bounded in bytes and in time."""

import time
from typing import Final

from actors.sources import USER_AGENT, HttpSettings, open_reader
from protocol.model.errors import NoDocument
from protocol.model.faults import SourceFault
from protocol.model.job_spec import HttpOptions

DOCUMENT_S_MAX: Final = 60.0
SILENT_S_MAX: Final = 15.0
_BLOCK_BYTES: Final = 64 << 10


def fetch_document(url: str, http: HttpOptions, bytes_max: int, *, private_ok: bool = True) -> bytes:
    """Return the body at an address, redirects followed. Raises `NoDocument` with one line for people."""
    settings = HttpSettings(private_ok=private_ok, options=http)
    try:
        reader = open_reader(url, user_agent=http.user_agent or USER_AGENT, settings=settings)
    except SourceFault as fault:
        raise NoDocument(fault.detail) from None
    view, found = memoryview(bytearray(_BLOCK_BYTES)), bytearray()
    until_s = time.monotonic() + DOCUMENT_S_MAX
    heard_s = time.monotonic()
    try:
        reader.probe(whole=True)
        reader.open(0, None, size_bytes=-1)
        while not reader.ended:
            count = reader.read_into(view)
            found += view[:count]
            now_s = time.monotonic()
            heard_s = now_s if count else heard_s
            if len(found) > bytes_max:
                raise NoDocument(f"longer than {bytes_max >> 20} MiB")
            if now_s > until_s or now_s - heard_s > SILENT_S_MAX:
                raise NoDocument("it did not come in time")
    except SourceFault as fault:
        raise NoDocument(fault.detail) from None
    finally:
        reader.close()
    return bytes(found)
