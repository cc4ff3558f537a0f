"""Proxy selection from the environment, for one target."""

import ipaddress
import os
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from actors.sources.http.settings import plain
from actors.sources.http.target import Target, basic_login
from protocol.model.faults import FaultKind, SourceFault

PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """Proxy: HTTP, by TLS or without, or SOCKS5.

    An HTTP one is asked for `http` targets by their full URL, for `https` ones by CONNECT. ``socks5`` is given an
    address, ``socks5h`` a name, which it looks up itself.
    """

    host: str
    port: int
    scheme: str = "http"
    login: str = field(default="", repr=False)
    user: bytes = field(default=b"", repr=False)
    password: bytes = field(default=b"", repr=False)

    @property
    def is_http(self) -> bool:
        return self.scheme in ("http", "https")


def proxy_for(target: Target) -> Proxy | None:
    """Return the proxy that ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy`` (either case) ask for.

    Not ``HTTP_PROXY`` in a CGI script (there is ``REQUEST_METHOD``), where a caller's field ``Proxy`` is called so.
    """
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None  # the import below costs more than all the rest of a start
    from urllib.request import getproxies

    proxies = getproxies()
    url = proxies.get(target.scheme) or proxies.get("all")
    if not url or is_excepted(target.host, target.port, proxies.get("no", "")):
        return None
    return parse_proxy(url)


def is_excepted(host: str, port: int, no_proxy: str) -> bool:
    """Return whether ``no_proxy`` names this host.

    Its entries, between commas or spaces: ``*``, an address, a network (CIDR), a name that also stands for all below
    it, each with a port or without. Dots before and behind do not count.
    """
    name = host.strip("[]").rstrip(".").lower()
    for entry in re.split(r"[\s,]+", no_proxy.lower()):
        found = re.fullmatch(r"(\[[^]]*]|[^:]*):(\d+)", entry)
        place = (found[1] if found else entry).strip("[]").strip(".").removeprefix("*.")
        if not place or (found and int(found[2]) != port):
            continue
        if place in ("*", name) or name.endswith(f".{place}") or _is_in(name, place):
            return True
    return False


def _is_in(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def parse_proxy(url: str) -> Proxy:
    """Parse ``http://user:password@host:port``, ``socks5h://...`` or ``host:port``; else raise UNSUPPORTED_URL."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
        login = basic_login(parts.username, parts.password)
    except ValueError:
        raise SourceFault(FaultKind.UNSUPPORTED_URL, "the proxy is not a URL") from None
    scheme = {"socks": "socks5"}.get(parts.scheme, parts.scheme)
    if scheme not in PORTS:
        shown = plain(scheme, 20)
        raise SourceFault(FaultKind.UNSUPPORTED_URL, f"{shown} proxies are not supported, only {', '.join(PORTS)}")
    if not host or not host.isascii():
        raise SourceFault(FaultKind.UNSUPPORTED_URL, "the proxy names no host")
    user, password = (unquote_to_bytes(text or "") for text in (parts.username, parts.password))
    return Proxy(host=host, port=port or PORTS[scheme], scheme=scheme, login=login, user=user, password=password)
