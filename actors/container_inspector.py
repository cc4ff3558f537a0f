"""Container checks of open part files, beside the Assembler: its threads, its requests and their answers."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from protocol.messages import (
    BoundariesChecked,
    CheckBoundaries,
    CheckContainer,
    ContainerBroken,
    ContainerChecked,
    ContainerFound,
)
from protocol.messages.base import Message
from protocol.model.filenames import container_format
from storage.containers import BEGINNING_BYTES, may_be_container
from storage.part_file import PartFile

if TYPE_CHECKING:  # the formats are loaded at the first check: most files have none
    from storage.container_checks import StoredContent

_logger = logging.getLogger(__name__)

THREADS: Final = 2
BOUNDARIES_S_MAX: Final = 5.0
"""For all boundaries of one request. A frame takes some milliseconds, the member of an archive as long as it is."""


class ContainerInspector:
    """Checks under way. Owned by the Assembler and used in its thread; answers are posted from the pool's.

    A check that fails by our own fault is logged and answered like one that found nothing: the file is sealed on the
    other evidence.
    """

    def __init__(self, post: Callable[[str, Message], None]) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="containers")
        self._post = post
        self._closing = threading.Event()

    def check(self, request: CheckBoundaries | CheckContainer, part: PartFile, name: str, dispatcher: str) -> None:
        """Check what is stored of `part` by now, under `name`; the answer goes to `dispatcher`."""
        content = part.content(self._closing.is_set)

        def answer(future: "Future[Message]") -> None:
            content.close()
            if future.cancelled():
                return
            fault = future.exception()
            if fault is not None:
                _logger.error("a container check failed: %s", name, exc_info=fault)
            self._post(dispatcher, future.result() if fault is None else _nothing(request))

        self._threads.submit(_checked, request, content, name).add_done_callback(answer)

    def recognise(self, job: int, part: PartFile, name: str, dispatcher: str) -> None:
        """Report the container format of the first bytes, which are stored, where the name does not tell it."""
        if container_format(name) or not may_be_container(part.beginning(BEGINNING_BYTES)):
            return
        from storage.container_checks import recognised_format

        content = part.content(self._closing.is_set)
        try:
            found = recognised_format(content)
        finally:
            content.close()
        if found:
            self._post(dispatcher, ContainerFound(job=job, format=found))

    def close(self) -> None:
        """End every check; what was not answered is not."""
        self._closing.set()
        self._threads.shutdown(wait=True, cancel_futures=True)


def _checked(request: CheckBoundaries | CheckContainer, content: "StoredContent", name: str) -> Message:
    if isinstance(request, CheckContainer):
        return _whole(request, content, name)
    return _boundaries(request, content, name)


def _boundaries(request: CheckBoundaries, content: "StoredContent", name: str) -> Message:
    from storage.container_checks import check_boundaries

    content.limit_s(BOUNDARIES_S_MAX)
    found = check_boundaries(content, name, request.chunks)
    return BoundariesChecked(
        job=request.job,
        chunks=request.chunks,
        format=found.format,
        proven=found.proven,
        broken=tuple(chunk for chunk, _, _ in found.broken),
        broken_firsts=tuple(first for _, first, _ in found.broken),
        broken_stops=tuple(stop for _, _, stop in found.broken),
    )


def _whole(request: CheckContainer, content: "StoredContent", name: str) -> Message:
    from storage.container_checks import check_whole

    content.limit_s(request.seconds_max)
    found = check_whole(content, name)
    if found.stop > found.first:
        return ContainerBroken(
            job=request.job, request=request.request, first=found.first, stop=found.stop, detail=found.detail
        )
    return ContainerChecked(
        job=request.job,
        request=request.request,
        kind=found.kind,
        detail=found.detail,
        digest_open=found.digest_open,
    )


def _nothing(request: CheckBoundaries | CheckContainer) -> Message:
    if isinstance(request, CheckContainer):
        return ContainerChecked(job=request.job, request=request.request, kind="", detail="")
    return BoundariesChecked(
        job=request.job, chunks=request.chunks, format="", proven=(), broken=(), broken_firsts=(), broken_stops=()
    )
