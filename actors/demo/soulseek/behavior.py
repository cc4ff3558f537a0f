"""The behaviour of an uploader in the demo: speed, queue, set-up times and a few faults."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Behavior:
    """One uploader's behaviour. The defaults describe an honest, unlimited one with Nicotine+'s manners, but quicker.

    Rates and byte counts are of file bytes, `*_s` are seconds.
    """

    rate_bytes_s: float | None = None
    """All its uploads together; None is as fast as the machine goes.

    Without a rate the kernels hold megabytes: a stop of a small file then often comes after its last byte was sent, and
    counts as finished, at real uploaders too.
    """
    burst_s: float = 0.0
    """The limiter lets the quota of this many seconds go at once, then pauses (Nicotine+: 1.0); 0 paces evenly."""

    set_up_s: float = 0.01
    """From QueueUpload, or from the end of the wait in the queue, to its TransferRequest."""
    hop_s: float = 0.0
    """Waits this long before the F connection and before the first byte (Nicotine+: 0.05 to 0.1)."""
    tick_s: float = 0.02
    """From an early close to its UploadFailed (Nicotine+: 0.008 to 0.115, aioslsk: 0.003)."""

    slots: int = 3
    """Uploads at the same time; never two for one user."""
    queue_before_us: int = 0
    """Other users ahead of every new place in the queue."""
    queue_step_s: float = 1.0
    """Another of them is served after this."""

    refuse_offsets: bool = False
    """Closes, with UploadFailed, when the offset is not 0."""
    no_bytes: bool = False
    """Accepts everything, sends nothing."""
    dies_after_bytes: int | None = None
    """Total over its life: then resets every connection and leaves the network."""
    firewalled: bool = False
    """Refuses connections: only its own to others work, which the server's ConnectToPeer asks it to make."""
    obfuscated: bool = False
    """Listens on an obfuscated port only."""

    offer_s_max: float = 45.0
    """Takes an offer without answer back after this ..."""
    reoffer_s: float = 180.0
    """... and makes it again after this."""
    idle_s_max: float = 60.0
    """Closes, with UploadFailed, after this long without an offset, without progress or after the last byte."""
    line_s_max: float = 60.0
    """Closes a P connection on which nothing came for this long; dials again when it has something to say."""
