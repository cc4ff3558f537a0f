"""Formats of slskd's API: states, times, names, paths. Pure."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.convertors import Convertor, register_url_convertor

from protocol.model.job_records import ACTIVE, CANCELLED, FAILED, SEALED
from protocol.model.job_views import JobView
from protocol.model.remote_paths import split_remote

QUEUED_LOCALLY: Final = "Queued, Locally"
QUEUED_REMOTELY: Final = "Queued, Remotely"
INITIALIZING: Final = "Initializing"
IN_PROGRESS: Final = "InProgress"
SUCCEEDED: Final = "Completed, Succeeded"

_FINAL: Final = {SEALED: SUCCEEDED, CANCELLED: "Completed, Cancelled"}
_FAILED: Final = {"interrupted": "Completed, Aborted"}
_SERVER: Final = {"online": "Connected, LoggedIn", "connecting": "Connecting"}
_OF_PHASE: Final = {
    "searching": QUEUED_LOCALLY,
    "paused": QUEUED_LOCALLY,
    "verifying": INITIALIZING,
    "sealing": IN_PROGRESS,
}
"""Phases that say enough. ``paused`` is the disk's; no peer has to do with it."""


def transfer_state(job: JobView) -> str:
    """Return a job as the state of a transfer.

    ``Completed`` only when the job has ended: a source that fails while another can go on changes nothing here.
    """
    if job.state in _FINAL:
        return _FINAL[job.state]
    if job.state == FAILED:
        return _FAILED.get(job.outcome, "Completed, Errored")
    if job.state != ACTIVE:
        return QUEUED_LOCALLY
    if job.phase in _OF_PHASE:
        return _OF_PHASE[job.phase]
    if job.sources_active == 0:
        return QUEUED_REMOTELY
    return IN_PROGRESS if job.rate_bytes_s > 0 else INITIALIZING


def server_state(session: str) -> str:
    """Return the login's state, as in `SessionChanged`, in slskd's words."""
    return _SERVER.get(session, "Disconnected")


def timestamp(at_ms: int) -> str | None:
    """Return a time as `moment` does; None for 0, which has not come."""
    return moment(at_ms) if at_ms > 0 else None


def moment(at_ms: int) -> str:
    """Return ISO 8601 in UTC with seven decimals."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC) + timedelta(milliseconds=at_ms % 1000)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def time_span(seconds: float) -> str | None:
    """Return ``[d.]hh:mm:ss.fffffff``; None when it is not known, which is any negative."""
    if seconds < 0:
        return None
    ticks = round(seconds * 10_000_000)
    whole, fraction = divmod(ticks, 10_000_000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return (f"{days}." if days else "") + f"{hour:02}:{minute:02}:{second:02}.{fraction:07}"


def guid(text: str) -> str | None:
    """Return this GUID in lower case with dashes; None when it is none."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def traverses(path: str) -> bool:
    """Return whether a part of this remote path is ``..``."""
    return ".." in re.split(r"[/\\]", path)


def extension(path: str) -> str:
    """Return the extension in lower case without the dot, empty without one."""
    stem, dot, found = split_remote(path)[1].rpartition(".")
    return found.lower() if dot and stem else ""


_GUID: Final = "[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}"
_OTHER_ROUTES: Final = f"(?!all/completed$)(?!.+/{_GUID}(?:/position)?$)"


class LoneUser(Convertor[str]):
    """Path convertor ``{username:lone_user}``: a user's name at the end of a path, unless a longer route matches.

    Names may hold a slash that clients do not encode.
    """

    regex = f"{_OTHER_ROUTES}.+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("lone_user", LoneUser())
