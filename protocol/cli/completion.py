"""Words that a shell proposes: ids of the daemon's jobs. Never a word of complaint, and never long.

What is proposed is evaluated by some shells (zsh), and names of files come from strangers: nothing goes there but
letters, digits, and signs that no shell acts on.
"""

import re
from typing import Any, Final

ANSWER_S: Final = 0.5
IDS_MAX: Final = 50
WORDS_MAX: Final = 60
_LINK: Final = ("url", "api_key", "api_key_file")
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UNSAFE: Final = re.compile(r"[^\w .,+-]")


def complete_ids(ctx: Any, incomplete: str) -> list[tuple[str, str]]:
    """``(id, what it is)`` of the newest jobs that begin so; nothing when the daemon is away or takes long."""
    try:
        return _ids(ctx.params if ctx is not None else {}, incomplete.lower())
    except BaseException:  # noqa: BLE001  (whatever it is, a shell's prompt is no place to say it)
        return []


def proposed(jobs: list[Any], start: str) -> list[tuple[str, str]]:
    found = [(str(job["id"]), f"{job['state']} {job['name'] or job['term'] or ''}") for job in jobs]
    return [
        (id, _UNSAFE.sub("_", words)[:WORDS_MAX]) for id, words in found if id.startswith(start) and _ID.fullmatch(id)
    ]


def _ids(params: dict[str, Any], start: str) -> list[tuple[str, str]]:
    from protocol.cli.remote.connection import Link, access_of
    from protocol.client.http_client import Daemon

    access = access_of(Link(**{name: params.get(name) or "" for name in _LINK}))
    with Daemon(access, answer_s=ANSWER_S) as daemon:
        jobs, _ = daemon.jobs({}, most=IDS_MAX)
    return proposed(jobs, start)
