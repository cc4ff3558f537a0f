"""Metalink documents that orders go by: read here in a thread, their files with the mirrors that may be used."""

import asyncio
from collections.abc import Sequence
from typing import Final

from protocol.http_api.gateway import Gateway, RefusedError
from protocol.http_api.native import validation
from protocol.http_api.schema_base import SOURCES_MAX
from protocol.model.errors import NoDocument
from protocol.model.integrity.metalink import DOCUMENT_BYTES_MAX, BadMetalink, Metalink, MetalinkFile, read_metalink
from protocol.model.job_spec import HttpOptions
from protocol.model.printable import count_of, printable
from protocol.model.source_url import same_url_key

READING_MAX: Final = 4
"""Documents that are fetched or read at the same time: each may be large and slow."""


class MetalinkReader:
    """Reader of the documents of one route's orders. What is wrong is a `RefusedError` about the member `field`."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway: Final = gateway
        self._reading = 0

    async def read(self, *, url: str | None, document: str = "", http: HttpOptions, field: str) -> Metalink:
        """Return what the document at an address says, or this one."""
        if url is not None and not self._private_ok and validation.is_private(url):
            raise RefusedError("forbidden", field, validation.PRIVATE)
        if self._reading >= READING_MAX:
            raise RefusedError("full", field, f"{READING_MAX} documents are being read; try again in a moment")
        self._reading += 1
        try:
            return await asyncio.to_thread(self._described, url, document, http)
        except (BadMetalink, NoDocument) as error:
            # With an address the order is sound; what is there is not.
            raise RefusedError("invalid" if url is None else "conflict", field, str(error)) from None
        finally:
            self._reading -= 1

    def _described(self, url: str | None, document: str, http: HttpOptions) -> Metalink:
        if url is None:
            return read_metalink(document.encode())
        data = self._gateway.documents.fetch(url, http, DOCUMENT_BYTES_MAX, private_ok=self._private_ok)
        return read_metalink(data, base=url)

    def usable(self, file: MetalinkFile, notes: list[str], *, field: str, more: Sequence[str] = ()) -> MetalinkFile:
        """Return the file with the mirrors that may be used and `more` sources, and note the others.

        Refuses one without any.
        """
        shown = printable(file.name)
        urls = [url for url in file.urls if self._private_ok or not validation.is_private(url)]
        if not urls and not more:
            if file.urls:
                raise RefusedError("forbidden", field, f"every mirror of {shown}: {validation.PRIVATE}")
            raise RefusedError("invalid", field, f"no mirror of {shown} can be used")
        if len(urls) < len(file.urls):
            left_out = count_of(len(file.urls) - len(urls), "mirror")
            notes.append(f"{left_out} of {shown}, inside a private network, left out")
        there = {same_url_key(url) for url in urls}
        urls += [url for url in more if same_url_key(url) not in there]
        if len(urls) > SOURCES_MAX:
            notes.append(f"{len(urls) - SOURCES_MAX} mirrors of {shown} left out: the best {SOURCES_MAX} are used")
        return MetalinkFile(file.name, file.size_bytes, file.checksums, file.pieces, tuple(urls[:SOURCES_MAX]))

    async def stands_for(
        self, urls: Sequence[str], document: int, http: HttpOptions, *, size_bytes: int, notes: list[str]
    ) -> MetalinkFile:
        """Return the one file that the document at this index of an order's addresses describes.

        The other addresses are further sources. `size_bytes`: of the order, -1 where it says none.
        """
        field = f"sources.{document}.url"
        read = await self.read(url=urls[document], http=http, field=field)
        if len(read.files) > 1:
            detail = f"this Metalink describes {len(read.files)} files: order it as one (POST .../metalink)"
            raise RefusedError("conflict", field, detail)
        (file,) = read.files
        if 0 <= size_bytes != file.size_bytes >= 0:
            detail = f"the Metalink says that {printable(file.name)} has {file.size_bytes} bytes"
            raise RefusedError("conflict", "fileSize", detail)
        notes += read.notes
        others = [url for at, url in enumerate(urls) if at != document]
        return self.usable(file, notes, field=field, more=others)

    @property
    def _private_ok(self) -> bool:
        return self._gateway.settings.daemon.allow_private_sources
