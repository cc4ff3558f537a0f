"""The behaviour of a mirror in tests: every bad habit a server may have."""

from __future__ import annotations

from dataclasses import dataclass

from actors.demo.mirrors.mirror import Behavior

DEFAULT_ETAG = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Character(Behavior):
    """One mirror's behaviour. The defaults describe an honest, unlimited mirror that knows ranges."""

    refuse_offsets: bool = False
    """206 for ranges that begin at byte 0, 416 for any other."""
    wrong_range: bool = False
    """The Content-Range and the body of a 206 begin one byte after what was asked for."""

    die_after_bytes: int | None = None
    """Total over the mirror's life: then resets everything and closes the listener: connection refused."""
    short_body: int | None = None
    """Ends each longer body after this many, in good order (FIN), with the full Content-Length announced."""
    extra_body: int = 0
    """Sends this many zero bytes after the announced end of each body, then closes."""
    size_lie: int | None = None
    """Announces this as the size of the whole; sends no more than there is."""
    other_content: bool = False
    """The same size and, unless set otherwise, the same validators, but other bytes."""
    flip_every: int = 0
    """One byte of each block of this length is another one, from the middle of the first on; 0: none."""

    gzip: bool = False
    """Compresses unasked: Content-Encoding gzip, chunked, without ranges."""
    chunked: bool = False
    """Transfer-Encoding chunked, without Content-Length and ranges: the size stays unknown."""
    no_length: bool = False
    """Neither length nor ranges: the body ends where the connection does."""

    busy_share: float = 0.0
    """503 to this share of requests, evenly spread: at 0.5 the second, the fourth, ..."""
    retry_after_s: int | None = None
    """Sent as Retry-After with 503, 429 and any fixed `status`."""
    status: int | None = None
    """Answers everything with this status, for instance 404."""
    silent: bool = False
    """Accepts, reads, never answers."""
    auth: str | None = None
    """`user:password`: anything else gets a 401."""

    redirect_to: str | None = None
    """302 to this URL, or to the mirror of the same box with this name."""
    redirect_loop: bool = False
    """302 to itself, for ever."""

    etag: str | None = DEFAULT_ETAG
    """With its quotes; None sends none; the default names the content, so it changes with it."""
    last_modified: str | None = "Sun, 06 Nov 2022 08:49:37 GMT"
    content_type: str = "application/octet-stream"
    fields: tuple[tuple[str, str], ...] = ()
    """Further fields of every answer with content."""
    disposition: str | None = None
    """The whole value of Content-Disposition."""
    tls: bool = False
    """HTTPS with a certificate for localhost and 127.0.0.1 signed by `Box.ca_path`."""
