"""Proxy selection from the environment, for one target."""

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from actors.sources.http.settings import plain
from actors.sources.http.target import Target, basic_login
from protocol.model.faults import FaultKind, SourceFault


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """HTTP proxy: `http` targets are asked for through it by their full URL, `https` ones by CONNECT."""

    host: str
    port: int
    login: str = field(repr=False)


def proxy_for(target: Target) -> Proxy | None:
    """Return the proxy that ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy`` (either case) ask for."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None  # the import below costs more than all the rest of a start
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    url = proxies.get(target.scheme) or proxies.get("all")
    if not url or proxy_bypass(f"{target.host}:{target.port}"):
        return None
    return parse_proxy(url)


def parse_proxy(url: str) -> Proxy:
    """Parse ``http://user:password@host:port`` or ``host:port``. A proxy of another kind is UNSUPPORTED_URL."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
        login = basic_login(parts.username, parts.password)
    except ValueError:
        raise SourceFault(FaultKind.UNSUPPORTED_URL, "the proxy in the environment is not a URL") from None
    if parts.scheme != "http":
        scheme = plain(parts.scheme, 20)
        raise SourceFault(FaultKind.UNSUPPORTED_URL, f"the environment names a {scheme} proxy: only http is supported")
    if not host or not host.isascii():
        raise SourceFault(FaultKind.UNSUPPORTED_URL, "the proxy in the environment names no host")
    return Proxy(host=host, port=port or 80, login=login)
