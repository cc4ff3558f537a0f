"""Request target: an http(s) URL split into what a request needs. Passwords are kept here and never shown."""

import base64
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

from actors.sources.http.settings import plain
from protocol.model.faults import FaultKind, SourceFault
from protocol.model.source_url import http_host

PORTS: Final = {"http": 80, "https": 443}
_PATH_SAFE: Final = "/%!$&'()*+,;=:@~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Target of a request. `path` with query, as it is sent; `login` is a Basic credential or empty."""

    scheme: str
    host: str
    port: int
    path: str = field(repr=False)  # a signed URL's query is a secret too
    login: str = field(repr=False)

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: what a connection can be reused for."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """``host``, or ``host:port`` when it is not the scheme's own: for the Host field and for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL without the login."""
        return f"{self.scheme}://{self.authority}{self.path}"


def parse_target(url: str) -> Target:
    """Parse an http or https URL; `SourceFault` UNSUPPORTED_URL for anything else."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
        path = _quoted(parts.path or "/") + (f"?{_quoted(parts.query, '?')}" if parts.query else "")
        login = basic_login(parts.username, parts.password)
    except ValueError:  # UnicodeError is one; its text would quote the URL
        raise SourceFault(FaultKind.UNSUPPORTED_URL, "this is not a URL that can be understood") from None
    if parts.scheme not in PORTS:
        raise SourceFault(FaultKind.UNSUPPORTED_URL, f"the scheme {plain(parts.scheme, 20)!r} is not supported")
    try:
        host = http_host(parts)
    except ValueError as error:
        raise SourceFault(FaultKind.UNSUPPORTED_URL, f"the host {plain(host)} {error}") from None
    if port == 0:
        raise SourceFault(FaultKind.UNSUPPORTED_URL, "the URL names no port that can be reached")
    path = path if path.startswith("/") else f"/{path}"
    return Target(scheme=parts.scheme, host=host, port=port or PORTS[parts.scheme], path=path, login=login)


def _quoted(text: str, more_safe: str = "") -> str:
    return quote(text, safe=_PATH_SAFE + more_safe, errors="surrogateescape")


def basic_login(user: str | None, password: str | None) -> str:
    """Return an Authorization value for percent-encoded user and password; empty without both. Either may be empty."""
    if not user and not password:
        return ""
    pair = unquote_to_bytes(user or "") + b":" + unquote_to_bytes(password or "")
    return "Basic " + base64.b64encode(pair).decode("ascii")


def redirected(old: Target, location: str, *, https_only: bool = False) -> Target:
    """Resolve a Location field. The login goes along only to the same host, and never off TLS."""
    try:
        new = parse_target(urljoin(old.url, _as_utf8(location)))
    except ValueError:
        raise SourceFault(FaultKind.BAD_ANSWER, f"{old.authority} redirects to no URL that can be read") from None
    except SourceFault as fault:
        raise SourceFault(FaultKind.BAD_ANSWER, f"{old.authority} redirects to what cannot be used: {fault}") from None
    if https_only and off_tls(old, new):
        raise SourceFault(FaultKind.OFF_TLS, f"{old.authority} redirects from https to plain http: not to be followed")
    return new if new.login or not same_owner(old, new) else replace(new, login=old.login)


def same_owner(old: Target, new: Target) -> bool:
    """Return whether what is secret to one may be sent to the other: the same host and port, or the same on TLS."""
    upgraded = (old.scheme, old.port, new.scheme, new.port) == ("http", 80, "https", 443)
    return old.host == new.host and (old.origin == new.origin or upgraded)


def off_tls(old: Target, new: Target) -> bool:
    """Return whether what goes from one to the other leaves TLS: then nothing secret of the user may go along."""
    return old.scheme == "https" and new.scheme == "http"


def _as_utf8(text: str) -> str:
    """Decode a header field, which arrives as latin-1, as UTF-8 when it can be."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
