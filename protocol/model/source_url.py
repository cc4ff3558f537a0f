"""Source addresses as people type them: checked, named, and safe to show.

Nothing here opens a connection. Only `check_url` may refuse; the others accept any text, because they are used to
speak about addresses that were refused.
"""

import re
import socket
import unicodedata
import zlib
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from urllib.parse import SplitResult, quote, unquote, unquote_to_bytes, urlsplit

from protocol.model.value import late_pattern

URL_BYTES_MAX: Final = 8000
"""Longer than servers accept; keeps one address far below a frame."""

_CONNECTION: Final = "connection-"
_HALF_SCHEME: Final = late_pattern(r"(?:https?:)?[/\\]*", re.IGNORECASE)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_AUTHORITY_END: Final = re.compile(r"[/?#\\]")
_NAKED_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:\[\]]*)(:[0-9]*)?")
_HOST_NAME: Final = re.compile(r"[a-z0-9._~-]+")
_NUMBER: Final = re.compile(r"\d+|0x[0-9a-f]*")
_IPV6: Final = re.compile(r"[0-9A-Fa-f:.]+")
_PORTS: Final = {"http": 80, "https": 443}
_SLSK: Final = "slsk"
_SLSK_URL: Final = late_pattern(r"slsk://([^/?#]*)/([^?#]*)(?:#bytes=[0-9]+-[0-9]+/[0-9]+)?", re.IGNORECASE)
_AMBIGUOUS: Final = late_pattern(r"[@:\[\]]")
_BAD_PERCENT: Final = late_pattern(r"%(?![0-9A-Fa-f]{2})")
_CONTROL: Final = late_pattern(r"[\x00-\x1f\x7f]")
_WINDOW: Final = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")


_PARAMETER: Final = late_pattern(r"(?<=[?&;#])([^=&;#?/]{1,200})=([^&#]*)")
_SECRET_NAME: Final = late_pattern(
    r"(?:^|[^a-z])(?:sig|key|pass|pw|pwd|pin|otp|sid|sas|code|hash|hmac|md5|sha1|sha256|st)(?![a-z])"
    r"|token|signature|secret|passw|auth(?!or)|credential|session|api-?key|access-?key|key-?pair|policy|jwt|ticket"
    r"|^x-(?:amz|goog|oss|cos|obs|ms)-|^hdn",
)
"""Names, in lower case and with dashes, of query parts that open what they belong to: signatures, tokens, keys."""
_OPAQUE: Final = late_pattern(
    r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9_+/=~-]{20,}|[\w-]{16,}(?:\.[\w-]{8,}){2,}"
)
"""A value that means nothing to people, whatever its name: random bytes in hex or base64, a signed token."""
_MASKED: Final = re.compile(r"=\*\*\*[0-9a-f]{3}(?=[&;#]|$)")


def public_url(url: str) -> str:
    """The address without ``user:password@`` and with query parts that are secret masked.

    It is the only form that may be shown, logged or recorded. A masked value leaves 12 bits of a check sum, so that
    addresses of one job that differ only in it stay different ones.
    """
    shown = without_login(url)
    return shown if is_slsk(shown) or "=" not in shown else _PARAMETER.sub(_masked, shown)


def is_masked(url: str) -> bool:
    """Return whether an address was made by `public_url` of one with secret query parts: it opens nothing."""
    return _MASKED.search(url) is not None


def _masked(found: re.Match[str]) -> str:
    name, value = unquote(found[1]).lower().replace("_", "-"), found[2]
    plain = unquote(value)
    if not value or _MASKED.fullmatch(f"={value}"):
        return found[0]
    if _SECRET_NAME.search(name) or _OPAQUE.fullmatch(plain) or (plain != value and _inner(plain) != plain):
        return f"{found[1]}=***{zlib.crc32(value.encode('utf-8', 'replace')) & 0xFFF:03x}"
    return f"{found[1]}={_inner(value)}"


def _inner(value: str) -> str:
    """A value that may be an address itself, or hold more parts, as it may be shown."""
    return public_url(value) if "://" in value else _PARAMETER.sub(_masked, value)


def without_login(url: str) -> str:
    """The address without ``user:password@``, the rest as it is.

    A password with an unescaped slash makes the address malformed; then everything up to the last ``@`` goes,
    because showing too little is the smaller mistake.
    """
    found = _SCHEME.match(url)
    start = found.end() if found else 0
    end = _AUTHORITY_END.search(url, start)
    stop = end.start() if end else len(url)
    authority = url[start:stop]
    if "@" in authority:
        return url[:start] + authority.rpartition("@")[2] + url[stop:]
    if _NAKED_AUTHORITY.fullmatch(authority) is None and "@" in url[stop:]:
        return url[:start] + url[stop:].rpartition("@")[2]
    return url


def host_of(url: str) -> str:
    """``host`` or ``host:port`` (port only where it is not the scheme's own), lower case; empty when there is none.

    Servers on two ports are two hosts: what one says about waiting does not bind the other. Of a ``slsk://`` address
    it is the user's name, as it is.
    """
    if is_slsk(url):
        return unquote(url[len(_SLSK) + 3 :].partition("/")[0], errors="replace")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None or port == _PORTS.get(parts.scheme) else f"{shown}:{port}"


def name_from_url(url: str) -> str:
    """The last segment of the path, percent-decoded: a proposal for a file name, may be empty, not yet safe."""
    if is_slsk(url):
        path = unquote(url[len(_SLSK) + 3 :].partition("#")[0].partition("/")[2], errors="replace")
        return path.replace("/", "\\").rpartition("\\")[2]
    try:
        path = urlsplit(url).path
    except ValueError:
        return ""
    return unquote(path.rpartition("/")[2], errors="replace")


class Window(NamedTuple):
    """Bytes ``[first, stop)`` of a remote file of this size."""

    first: int
    stop: int
    size_bytes: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.stop - self.first

    @property
    def reaches_end(self) -> bool:
        """It ends where the file ends: a user who sends it to its end has sent the file to its end."""
        return self.stop == self.size_bytes


def windowed(url: str, window: Window) -> str:
    """The address of a window of a source: a fragment with the words of Content-Range."""
    return f"{url.partition('#')[0]}#bytes={window.first}-{window.stop - 1}/{window.size_bytes}"


def window_of(url: str) -> Window | None:
    """The inverse of `windowed`; None for an address of the whole file, whatever its fragment."""
    found = _WINDOW.fullmatch(url.partition("#")[2])
    if found is None:
        return None
    window = Window(int(found[1]), int(found[2]) + 1, int(found[3]))
    return window if window.first < window.stop <= window.size_bytes else None


def same_url_key(url: str) -> tuple[str, ...]:
    """Equal for two spellings of one checked address (case of the host, default port, fragment).

    Further connections to a server, see `for_connections`, are sources of their own.
    """
    if is_slsk(url):
        return _SLSK, *slsk_address(url)
    parts = urlsplit(url)
    userinfo = parts.netloc.rpartition("@")[0]
    further = (parts.fragment,) if is_further_connection(url) else ()
    return parts.scheme.lower(), userinfo, host_of(url), parts.path or "/", parts.query, *further


def is_further_connection(url: str) -> bool:
    """Whether this is one more connection to a server that has a source of its own, see `for_connections`."""
    return re.fullmatch(f"{_CONNECTION}[0-9]+", url.partition("#")[2]) is not None


def for_connections(urls: Sequence[str], count: int) -> tuple[str, ...]:
    """Return the addresses, those of HTTP servers `count` times: as many connections to each.

    Their fragments, which no server sees, tell them apart.
    """
    every = []
    for url in urls:
        copies = 1 if is_slsk(url) else count
        every += [url, *(f"{url.partition('#')[0]}#{_CONNECTION}{number}" for number in range(2, copies + 1))]
    return tuple(every)


def is_slsk(url: str) -> bool:
    """Whether this is, or tries to be, the address of a Soulseek user's file."""
    return url[: len(_SLSK) + 3].lower() == f"{_SLSK}://"


def slsk_url(peer: str, path: str) -> str:
    """The address of a peer's file. `path` is the remote path as the peer has it, backslashes and all."""
    return f"{_SLSK}://{quote(peer, safe='')}/{quote(path, safe='/')}"


def slsk_address(url: str) -> tuple[str, str]:
    """``(peer, remote path)`` of a ``slsk://`` address; the inverse of `slsk_url`.

    Typed backslashes are kept as they are. Raises `ValueError` with one line for people, which quotes nothing: what
    is malformed may hold a password.
    """
    found = _SLSK_URL.fullmatch(url)
    if found is None:
        raise ValueError("this slsk:// address is not of the form slsk://user/percent-encoded-remote-path")
    if _AMBIGUOUS.search(found[1]):
        raise ValueError(
            "a user's name in slsk:// has its @ : [ ] written as %40 %3A %5B %5D, and there is no password"
        )
    peer, path = _percent_decoded(found[1]), _percent_decoded(found[2])
    if not peer or not path:
        raise ValueError(f"no {'path' if peer else 'user'} in this slsk:// address: slsk://user/remote-path")
    if _CONTROL.search(peer + path):
        raise ValueError("control characters in this slsk:// address")
    return peer, path


def _percent_decoded(text: str) -> str:
    if _BAD_PERCENT.search(text):
        raise ValueError("a % without two hexadecimal digits in this slsk:// address; write the sign itself as %25")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise ValueError("what follows the % signs in this slsk:// address is not UTF-8") from None


def check_url(url: str) -> None:
    """Raises `ValueError` with one line for people (no password in it) when this cannot be the address of a source."""
    if not url or url == "-":
        raise ValueError("an address is empty" if not url else "'-' is no address: nothing is read from stdin")
    shown = public_url(url)
    if len(url) > URL_BYTES_MAX:
        raise ValueError(f"this address is longer than {URL_BYTES_MAX} characters: {shown[:60]}...")
    if any(ord(char) <= 0x20 or 0x7F <= ord(char) <= 0xA0 for char in url):
        raise ValueError(f"spaces or control characters in {shown!a}; write a space as %20")
    if any(0xD800 <= ord(char) <= 0xDFFF for char in url):
        raise ValueError(f"{shown!a} is not UTF-8; write other bytes as %XX")
    found = _SCHEME.match(url)
    if found is None:
        meant = _HALF_SCHEME.sub("", shown, count=1)
        raise ValueError(f"no scheme in {shown}; did you mean http{'s' * shown.startswith('https:')}://{meant}?")
    scheme = found[1].lower()
    if scheme == _SLSK:
        slsk_address(url)
        return
    check = _CHECKS.get(scheme)
    if check is None:
        raise ValueError(f"{scheme}:// is not supported (supported: {', '.join([*_CHECKS, _SLSK])}): {shown}")
    check(_split(url, shown), shown)


def _split(url: str, shown: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        # Python's own words quote the whole authority, password included.
        raise ValueError(f"the host in {shown} is malformed") from None
    return parts


def _check_http(parts: SplitResult, shown: str) -> None:
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"the port in {shown} is not a number from 1 to 65535") from None
    if port == 0:
        raise ValueError(f"the port in {shown} is not a number from 1 to 65535")
    host = parts.hostname or ""
    if not host:
        raise ValueError(f"no host in {shown}")
    try:
        http_host(parts)
    except ValueError as error:
        raise ValueError(f"the host in {shown} {error}") from None


def wire_host(host: str) -> str:
    """Return the spelling of a URL's host (without brackets) that goes to resolvers and servers.

    Names beyond ASCII are mapped by UTS 46 as browsers do it, so that ``faß`` stays another host than ``fass``. Raises
    `ValueError` with a few words of why there can be no such host.
    """
    if ":" in host:
        if "%" in host:
            raise ValueError("has a zone in it, which means something on one machine only")
        if _IPV6.fullmatch(host) is None:
            raise ValueError("is not a possible IP address")
        return host.lower()
    name = host.lower() if host.isascii() else _in_ascii(host)
    labels = name.removesuffix(".").split(".")
    if _HOST_NAME.fullmatch(name) is None or not all(0 < len(label) <= 63 for label in labels) or len(name) > 254:
        raise ValueError("is not a possible host name")
    if _NUMBER.fullmatch(labels[-1]) and not _is_ipv4(name.removesuffix(".")):
        raise ValueError("is not a possible IP address")
    return name


def _in_ascii(host: str) -> str:
    import idna  # here: few need its tables

    try:
        mapped = idna.uts46_remap(host, std3_rules=False, transitional=False)
        return ".".join(label if label.isascii() else _label(label, idna.alabel) for label in mapped.split("."))
    except UnicodeError:  # what `idna` raises is one
        raise ValueError("is not a possible host name") from None


def _label(label: str, alabel: Callable[[str], bytes]) -> str:
    """Return the ASCII form of a label. Symbols, which IDNA 2008 itself refuses, are in use and pass as in browsers."""
    if any(unicodedata.category(char) == "So" for char in label):
        return "xn--" + label.encode("punycode").decode("ascii")
    return alabel(label).decode("ascii")


def _is_ipv4(name: str) -> bool:
    """Return whether a resolver reads it as an IPv4 address; it may have fewer than four numbers."""
    try:
        return bool(socket.inet_aton(name))
    except OSError:
        return False


def http_host(parts: SplitResult) -> str:
    """Return the host of a URL in the spelling of `wire_host`, whose errors it raises."""
    host = parts.hostname or ""
    if "\\" in parts.netloc:
        raise ValueError("is not a possible host name")
    bracketed = parts.netloc.rpartition("@")[2]
    if bracketed.startswith("[") and (":" not in host or bracketed.partition("]")[2][:1] not in ("", ":")):
        raise ValueError("is not a possible IP address")
    return wire_host(_unquoted(host))


def _unquoted(host: str) -> str:
    """Return a host without percent signs, which RFC 3986 has in names, or as it is where there can be none."""
    if ":" in host or "%" not in host:
        return host
    try:
        return unquote(host, errors="strict").lower()
    except UnicodeDecodeError:
        return host


def is_host_name(host: str) -> bool:
    """Return whether a resolver would take it: labels of 1 to 63 bytes, and nothing else that a URL may hold."""
    try:
        return ":" not in host and bool(wire_host(host))
    except ValueError:
        return False


_CHECKS: Final[dict[str, Callable[[SplitResult, str], None]]] = {"http": _check_http, "https": _check_http}
"""Scheme -> what must be right about its address. A new kind of source adds a row."""


def looks_like_metalink(url: str) -> bool:
    """Return whether an address names a Metalink document: by its path's end, or by a query as mirrorbits has it."""
    rest, _, query = url.partition("#")[0].partition("?")
    words = {word.partition("=")[0].lower() for word in query.split("&")}
    return rest.lower().endswith((".meta4", ".metalink", ".metalink4")) or bool(words & {"meta4", "metalink"})
