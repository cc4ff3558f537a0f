"""Event loop whose connections leave by one network interface or SOCKS5 proxy, and whose listeners stand there only.

aioslsk connects and listens by host and port; here the sockets are made for it.
"""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from actors.runtime.network_interface import bind_socket, check_interface_there, is_address
from actors.sources.http.connect import open_socket
from actors.sources.http.proxy import Proxy, parse_proxy
from protocol.model.faults import SourceFault
from protocol.model.job_spec import HttpOptions

CALLS_MAX: Final = 64
"""Calls through a proxy at the same time: each takes a thread while it is not connected."""
CALL_S_MAX: Final = 15.0
LOOPBACK: Final = "127.0.0.1"


class BoundLoop(asyncio.SelectorEventLoop):
    """Event loop bound to `interface`, empty: any, whose calls go through `proxy`, empty: directly."""

    def __init__(self, interface: str, proxy: str) -> None:
        super().__init__()
        self._interface = interface
        self._proxy: Proxy | None = parse_proxy(proxy) if proxy else None
        self._callers = ThreadPoolExecutor(CALLS_MAX, thread_name_prefix="socks") if proxy else None

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: Any = None,
        port: Any = None,
        **options: Any,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Connect as the base class does, by a socket of ours."""
        if options.get("sock") is None and (self._interface or self._proxy):
            call = self._through_proxy(host, port) if self._proxy is not None else self._directly(host, port)
            options["sock"], host, port = await call, None, None
        return await super().create_connection(protocol_factory, host, port, **options)

    async def create_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: Any = None,
        port: Any = None,
        **options: Any,
    ) -> asyncio.Server:
        """Listen as the base class does, by a socket of ours.

        With a proxy on the loopback address: calls would come past it, and show where we are.
        """
        if options.get("sock") is None and (self._interface or self._proxy):
            options["sock"], host, port = self._listener(host or "0.0.0.0", port or 0), None, None
            for name in ("family", "reuse_address", "flags"):
                options.pop(name, None)
        return await super().create_server(protocol_factory, host, port, **options)

    def _listener(self, host: str, port: int) -> socket.socket:
        check_interface_there(self._interface)
        sock = socket.socket()
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._proxy is not None:
                sock.bind((LOOPBACK, port))
            elif is_address(self._interface):
                bind_socket(sock, self._interface, port=port)
            else:
                bind_socket(sock, self._interface, port=port)
                if not sock.getsockname()[1]:
                    sock.bind((host, port))
        except BaseException:
            sock.close()
            raise
        return sock

    async def _directly(self, host: str, port: int) -> socket.socket:
        check_interface_there(self._interface)
        found = await self.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_STREAM)
        failure: OSError = OSError(f"{host} has no address")
        for family, kind, protocol, _, place in found:
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setblocking(False)
                bind_socket(sock, self._interface)
                await self.sock_connect(sock, place)
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failure

    async def _through_proxy(self, host: str, port: int) -> socket.socket:
        given_up = False

        def call() -> socket.socket:
            options = HttpOptions(interface=self._interface)
            try:
                sock = open_socket(host, port, self._proxy, timeout_s=CALL_S_MAX, options=options)
            except SourceFault as fault:
                raise ConnectionError(fault.detail) from fault
            if given_up:
                sock.close()
            return sock

        try:
            sock = await self.run_in_executor(self._callers, call)
        except asyncio.CancelledError:
            given_up = True
            raise
        sock.setblocking(False)
        return sock

    def close(self) -> None:
        """Close the loop; calls that are under way end by themselves."""
        if self._callers is not None:
            self._callers.shutdown(wait=False, cancel_futures=True)
        super().close()
