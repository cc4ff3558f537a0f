"""Job policy: the settings of the job manager, from the configuration.

They are given to its process at the start, and as JSON whenever the configuration was read again
(`ConfigureJobManager`).
"""

import msgspec

from protocol.model.job_spec import TransferPolicy
from protocol.model.value import Value


class LimitWindow(Value):
    """Time of the week with its own limit for all jobs together, in local time.

    `days` are 0 (Monday) to 6, of its beginning. An end that is not after the beginning is on the next day.
    `limit_bytes_s` 0: no limit then.
    """

    days: tuple[int, ...]
    begin_minute: int
    end_minute: int
    limit_bytes_s: int


class JobPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds, waits and rules that hold for all jobs."""

    jobs_active_max: int = 4
    """Jobs with an attempt at the same time."""
    jobs_max: int = 10_000
    """Jobs that have not ended."""
    searching_max: int = 16
    """Active jobs that search for users."""
    sources_max: int = 256
    """Of one job, like `notes_max`."""
    notes_max: int = 50
    events_max: int = 200_000
    """Events are stored up to this number and this age."""
    events_days: int = 365
    retries_max: int = 3
    """Automatic retries of a job that failed without its fault, since bytes came last."""
    retry_first_s: float = 30.0
    """Wait before the first retry; twice as long each time, at most `retry_s_max`."""
    retry_s_max: float = 3600.0
    yield_s: float = 1800.0
    """A job that got nothing for this time lets one go first that waits for its turn ..."""
    yield_waiting_s: float = 60.0
    """... and after this time where no source can deliver."""
    starve_s: float = 3600.0
    """A job that has waited for this time precedes all priorities."""
    wait_s_max: float = 7 * 86_400.0
    """A job fails that no source could deliver to for this time. One of slskd's API does not wait: its client asks
    another user then."""
    flush_s: float = 5.0
    """Time between two writes of a job's progress."""
    limit_bytes_s: int = 0
    """Of all jobs together (0: none), unless the first fitting window of `schedule` has another."""
    schedule: tuple[LimitWindow, ...] = ()
    transfer: TransferPolicy = TransferPolicy()
    """Of attempts that begin from now on."""
    interface: str = ""
    """Network interface or own address that all connections are bound to, whatever an order says; empty: any."""


def settings_json(settings: JobPolicy) -> bytes:
    """Return them as JSON."""
    return msgspec.json.encode(settings)


def settings_of(text: bytes) -> JobPolicy:
    """Return the inverse of `settings_json`. Raises `ValueError` with one line that names what is wrong."""
    return msgspec.json.decode(text, type=JobPolicy)
