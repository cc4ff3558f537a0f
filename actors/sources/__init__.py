"""Source readers: one class for each URL scheme, behind the `Reader` interface."""

from typing import Final

from actors.sources.http.settings import CONNECT_S, HttpSettings
from actors.sources.reader import SLICE_S, Probed, Reader
from protocol.messages import StartWorker
from protocol.model.faults import FaultKind, SourceFault
from protocol.model.source_url import window_of

__all__ = ["SLICE_S", "HttpSettings", "Probed", "Reader", "open_reader", "reader_for"]

USER_AGENT: Final = "shoal"
_SETTINGS: Final = HttpSettings()


def reader_for(wanted: StartWorker) -> Reader:
    """Return the reader for a worker's source, with the limits that its job asks for.

    Where none can be made, the one that is returned says so when it is used: it is the source's fault like others.
    """
    settings = HttpSettings(
        connect_timeout_s=min(wanted.timeout_s, max(CONNECT_S, wanted.timeout_s / 3)),
        head_timeout_s=wanted.timeout_s,
        private_ok=wanted.private_ok,
        options=wanted.http,
    )
    try:
        return open_reader(wanted.url, user_agent=wanted.http.user_agent or USER_AGENT, settings=settings)
    except SourceFault as fault:
        return _Unusable(fault)


def open_reader(url: str, *, user_agent: str = USER_AGENT, settings: HttpSettings = _SETTINGS) -> Reader:
    """Return a reader for this URL, owned by the caller; nothing is connected yet.

    Raises `SourceFault` UNSUPPORTED_URL when no reader knows the scheme.
    """
    scheme = url.strip().partition(":")[0].lower()
    if scheme in ("http", "https"):
        from actors.sources.http.reader import HttpReader

        whole = HttpReader(url, user_agent=user_agent, settings=settings)
        window = window_of(url)
        if window is None:
            return whole
        from actors.sources.window import WindowReader

        return WindowReader(whole, window)
    if scheme == "slsk":
        from actors.sources.soulseek import SlskReader

        return SlskReader(url, interface=settings.options.interface)
    raise SourceFault(FaultKind.UNSUPPORTED_URL, "only http://, https:// and slsk:// can be downloaded from")


class _Unusable:
    """`Reader` of an address that cannot be used."""

    position, ended, connected = 0, False, False

    def __init__(self, fault: SourceFault) -> None:
        self._fault = fault

    def probe(self, *, begin_at: int = -1) -> Probed:
        raise self._fault

    def open(self, start: int, stop: int | None, *, size_bytes: int, from_start: bool = False) -> None:
        raise self._fault

    def read_into(self, view: memoryview) -> int:
        raise self._fault

    def hang_up(self) -> bool:
        return False

    def close(self) -> None:
        pass
