"""What the JobManager goes by: given to its process at the start, and again as JSON whenever the configuration was read
anew (`ConfigureJobManager`)."""

import msgspec

from protocol.model.job_spec import TransferPolicy


class LimitWindow(msgspec.Struct, frozen=True, kw_only=True):
    """A time of the week with its own limit for all jobs together.

    `days` are 0 (Monday) to 6, of its beginning. From `begin_minute` of the day to `end_minute`, in local time; an end
    that is not after the beginning is on the next day. `limit_bytes_s` 0: no limit then.
    """

    days: tuple[int, ...]
    begin_minute: int
    end_minute: int
    limit_bytes_s: int


class JobPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """`jobs_active_max`: so many runs at once. `jobs_max`: so many that have not ended. `hunts_max`: so many of the
    runs may search for users.

    `retries_max`: so often a job that failed without its fault is tried again by itself, `retry_first_s` later, then
    twice as late each time, at most `retry_s_max`; bytes that came begin the count anew. `yield_s`: a job to which
    nothing came for so long lets one go first that waits for its turn. `yield_waiting_s`: where no source can deliver.
    `starve_s`: who has waited for so long goes before all priorities. `wait_s_max`: a job fails that no source could
    deliver to for so long; one that came through slskd's door does not wait at all, its client asks others then.
    `flush_s`: progress is written down so often.

    `limit_bytes_s` for all jobs together (0: none), unless the first fitting window of `schedule` says otherwise.
    `transfer`: for attempts that begin from now on.
    """

    jobs_active_max: int = 4
    jobs_max: int = 10_000
    hunts_max: int = 16
    sources_max: int = 256
    notes_max: int = 50
    events_max: int = 200_000
    events_days: int = 365
    retries_max: int = 3
    retry_first_s: float = 30.0
    retry_s_max: float = 3600.0
    yield_s: float = 1800.0
    yield_waiting_s: float = 60.0
    starve_s: float = 3600.0
    wait_s_max: float = 7 * 86_400.0
    flush_s: float = 5.0
    limit_bytes_s: int = 0
    schedule: tuple[LimitWindow, ...] = ()
    transfer: TransferPolicy = TransferPolicy()


def settings_json(settings: JobPolicy) -> bytes:
    return msgspec.json.encode(settings)


def settings_of(text: bytes) -> JobPolicy:
    """The inverse of `settings_json`. Raises `ValueError` with one line that names what is wrong."""
    return msgspec.json.decode(text, type=JobPolicy)
