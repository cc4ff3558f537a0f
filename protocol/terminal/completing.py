"""Words that a shell proposes: ids of the daemon's jobs. Never a word of complaint, and never long."""

from typing import Any, Final

ANSWER_S: Final = 0.5
IDS_MAX: Final = 50
_LINK: Final = ("url", "api_key", "api_key_file")


def complete_ids(ctx: Any, incomplete: str) -> list[tuple[str, str]]:
    """``(id, what it is)`` of the newest jobs that begin so; nothing when the daemon is away or takes long."""
    try:
        return _ids(ctx.params if ctx is not None else {}, incomplete.lower())
    except BaseException:  # noqa: BLE001  (whatever it is, a shell's prompt is no place to say it)
        return []


def _ids(params: dict[str, Any], start: str) -> list[tuple[str, str]]:
    from protocol.client.daemon import Daemon
    from protocol.terminal.link import Link, access_of
    from protocol.terminal.rows import name_of

    access = access_of(Link(**{name: params.get(name) or "" for name in _LINK}))
    with Daemon(access, answer_s=ANSWER_S) as daemon:
        jobs, _ = daemon.jobs({}, most=IDS_MAX)
    return [(job["id"], f"{job['state']} {name_of(job)}") for job in jobs if job["id"].startswith(start)]
