"""Job ids on the command line, as arguments, and completed by a shell from the daemon's newest jobs.

What is proposed is never an error message, and never long. Some shells (zsh) evaluate it, and names of files come from
other users: only letters, digits, and signs that no shell acts on go there.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from protocol.cli.args import Link, argument
from protocol.cli.remote.connection import access_of
from protocol.model.value import fields

ANSWER_S: Final = 0.5
IDS_MAX: Final = 50
WORDS_MAX: Final = 60
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UNSAFE: Final = re.compile(r"[^\w .,+-]")


def complete_ids(ctx: Any, incomplete: str) -> list[tuple[str, str]]:
    """``(id, what it is)`` of the newest jobs that begin so; nothing when the daemon is away or takes long."""
    try:
        return _ids(ctx.params if ctx is not None else {}, incomplete.lower())
    except BaseException:  # noqa: BLE001  (whatever it is, a shell's prompt is no place to say it)
        return []


def proposed(jobs: Sequence[Mapping[str, Any]], start: str) -> list[tuple[str, str]]:
    """The ids that begin so, and what each job is in words that no shell acts on."""
    found = [(str(job["id"]), f"{job['state']} {job['name'] or job['term'] or ''}") for job in jobs]
    return [
        (id, _UNSAFE.sub("_", words)[:WORDS_MAX]) for id, words in found if id.startswith(start) and _ID.fullmatch(id)
    ]


def _ids(params: dict[str, Any], start: str) -> list[tuple[str, str]]:
    from protocol.client.http_client import Daemon

    link = Link(**{one.name: params.get(one.name) or "" for one in fields(Link)})
    with Daemon(access_of(link), answer_s=ANSWER_S) as daemon:
        return proposed(daemon.jobs({}, most=IDS_MAX)[0], start)


Id = Annotated[str, argument("ID", "The job, by the beginning of its id.", autocompletion=complete_ids)]
Ids = Annotated[list[str] | None, argument("ID", "Jobs, by the beginnings of their ids.", autocompletion=complete_ids)]
