"""Commands for the jobs of a running daemon: lists, one live, its limits, and pause, resume, cancel, retry, delete."""

import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from protocol.cli.args import Link, Loudness, RowsJson, argument, count, option, spread
from protocol.cli.commands.fleet import fleet_group
from protocol.cli.commands.pool import auto_command, pool_group, race
from protocol.cli.parsing import checked_rate, checked_word
from protocol.cli.remote.connection import linked, say_line, show_rows
from protocol.cli.remote.job_ids import Id, Ids, complete_ids
from protocol.cli.schedule import schedule_lines, windows_of
from protocol.cli.views.job_table import job_line, job_lines
from protocol.cli.views.outcome import ExitCode
from protocol.model.errors import BadUsage
from protocol.model.printable import printable
from protocol.model.units import show_rate

STATES: Final = ("queued", "active", "paused", "sealed", "failed", "cancelled")
JOBS_SHOWN: Final = 50
JOBS_SHOWN_MAX: Final = 100_000
ACTIONS: Final = {
    "pause": "Stop jobs and keep what they have.",
    "resume": "Put paused jobs back into the queue.",
    "cancel": "End jobs; what they have stays on the disk.",
    "delete": "Forget ended jobs. Part files go too, finished files stay.",
}

States = Annotated[
    list[str] | None, option("--state", metavar="|".join(STATES), help="Only jobs in this state; may be repeated.")
]
All = Annotated[bool, option("--all", help="All that there are, also those that were removed from lists.")]
Most = Annotated[int, count("--limit", JOBS_SHOWN_MAX, "Show at most this many, the newest.")]
RATE_HELP: Final = (
    "Bytes a second, like 500K or 2.5M/s; 0: no limit; auto: as the configuration says. Without: show it."
)
Rate = Annotated[str, argument("RATE", RATE_HELP)]
OfJob = Annotated[str, option("--job", metavar="ID", help="Only for this job.", autocompletion=complete_ids)]
Schedule = Annotated[
    list[str] | None,
    option(
        "--schedule",
        metavar="'[DAYS] FROM-TO RATE'",
        help="Another limit by the time of the week, kept over restarts; may be repeated, the first that fits holds. "
        "off: none; auto: as the configuration says.",
    ),
]
OtherGroup = Annotated[
    bool, option("--other-group", help="Take the file of the sources that were left out because of other content.")
]
OnlyLink = Annotated[bool, option("--link", help="Print the link instead.")]
Everything = Annotated[bool, option("--verbose", "-v", help="Also each time the standing of a source changes.")]
EventsJson = Annotated[bool, option("--json", help="Each event as one JSON object a line.")]


def daemon_commands(digest: Callable[[str, str], str], *, epilog: str) -> Mapping[str, TyperCommand | TyperGroup]:
    """The commands that drive a running daemon, by name. `digest`: see `Actions`."""
    import typer.main

    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    commands = {
        "jobs": jobs,
        "job": job,
        **{name: _action_command(name) for name in ACTIONS},
        "retry": retry,
        "why": why,
    }
    commands |= {"limit": limit, "monitor": monitor, "open": open_page}
    for name, command in commands.items():
        app.command(name, epilog=epilog)(command)
    app.add_typer(pool_group(epilog), name="pool")
    app.add_typer(fleet_group(epilog), name="fleet")
    app.command("race", epilog=epilog)(race)
    app.command("auto", epilog=epilog)(auto_command(digest))
    found: Mapping[str, TyperCommand | TyperGroup] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return found


@spread
def jobs(
    *,
    state: States = None,
    all: All = False,
    limit: Most = JOBS_SHOWN,
    json: RowsJson = False,
    link: Link,
) -> None:
    """List the daemon's jobs, the newest first."""
    states = [checked_word("--state", STATES, word) for word in state or ()]
    with linked(link) as daemon:
        found, total = daemon.jobs({"state": states, "removed": all}, most=JOBS_SHOWN_MAX if all else limit)
    lines = job_lines(found)
    if total > len(found):
        lines.append(f"{total - len(found)} more (--all)")
    show_rows(lines, found, json=json)
    if not total and not json:
        say_line("no jobs")


@spread
def job(*, id: Id, loudness: Loudness, link: Link) -> None:
    """Show one job live, until it ends.

    Ends with the job's own exit code. Ctrl-C leaves it running in the daemon.
    """
    from protocol.cli.remote.download import follow

    with linked(link) as daemon:
        raise typer.Exit(follow(daemon, daemon.job(daemon.find_job(id), drawn=False), loudness))


@spread
def open_page(*, show: OnlyLink = False, link: Link) -> None:
    """Open the daemon's page in a browser, logged in.

    The link works once, within ten minutes, on the daemon's own machine.
    """
    import webbrowser

    from protocol.client.http_client import ROOT

    with linked(link) as daemon:
        address = daemon.access.url + daemon.ask("POST", f"{ROOT}/session/link")["path"]
    if show or not webbrowser.open(address):
        say_line(address)


def _action_command(action: str) -> Callable[..., None]:
    def command(*, ids: Ids = None, json: RowsJson = False, link: Link) -> None:
        from protocol.client.http_client import ROOT

        if not ids:
            raise BadUsage(f"{action} needs the id of a job, or how it begins (see: jobs)")
        with linked(link) as daemon:
            # All ids are looked up before anything is done.
            for id in dict.fromkeys([daemon.find_job(word) for word in ids]):
                path = f"{ROOT}/jobs/{id}"
                deletes = action == "delete"
                answer = daemon.ask("DELETE", path) if deletes else daemon.ask("POST", f"{path}/{action}")
                show_rows([f"deleted {job_line(answer)}" if deletes else job_line(answer)], [answer], json=json)

    command.__doc__ = ACTIONS[action]
    return spread(command)


@spread
def retry(*, ids: Ids = None, other_group: OtherGroup = False, json: RowsJson = False, link: Link) -> None:
    """Put failed or cancelled jobs back; they go on with what they have.

    With --other-group sealed ones, too: the file of the sources that were left out because of other content is fetched
    beside the one that is there.
    """
    from protocol.client.http_client import ROOT

    if not ids:
        raise BadUsage("retry needs the id of a job, or how it begins (see: jobs)")
    with linked(link) as daemon:
        for id in dict.fromkeys([daemon.find_job(word) for word in ids]):
            params = {"otherGroup": True} if other_group else {}
            answer = daemon.ask("POST", f"{ROOT}/jobs/{id}/retry", params=params)
            show_rows([job_line(answer)], [answer], json=json)


@spread
def why(*, id: Id, json: RowsJson = False, link: Link) -> None:
    """Say what holds a job back now, the tightest first."""
    from protocol.client.http_client import ROOT

    with linked(link) as daemon:
        answer = daemon.ask("GET", f"{ROOT}/jobs/{daemon.find_job(id)}/why")
    show_rows(why_lines(answer), [answer], json=json)


def why_lines(answer: Any) -> list[str]:
    """Explain what holds a job back, a line for each cause."""
    rows = [f"{printable(row['kind'])}: {printable(row['text'])}" for row in answer["bindings"]]
    return rows or [printable(answer["text"])]


@spread
def limit(*, rate: Rate = "", job: OfJob = "", schedule: Schedule = None, json: RowsJson = False, link: Link) -> None:
    """Limit all jobs together, or one, from now on, or by the time of the week; without a rate, show what holds."""
    from protocol.client.http_client import ROOT

    if job and rate == "auto":
        raise BadUsage("auto is for all jobs together: the configuration says nothing of one job")
    if schedule and (job or rate):
        raise BadUsage("--schedule is for all jobs together, and goes without RATE")
    body: dict[str, Any] = {"limit": None if rate in ("", "auto") else checked_rate("RATE", rate)}
    if schedule:
        body = {"schedule": windows_of(schedule)}
    with linked(link) as daemon:
        path = f"{ROOT}/jobs/{daemon.find_job(job)}" if job else f"{ROOT}/limit" + "/schedule" * bool(schedule)
        asks = "GET" if not (rate or schedule) else "PATCH" if job else "PUT"
        answer = daemon.ask(asks, path, body=body if asks != "GET" else None)
    show_rows([limit_line(answer), *schedule_lines(answer.get("schedule", ()))], [answer], json=json)


def limit_line(answer: Any) -> str:
    """A limit, and the rate now."""
    limit = f"at most {show_rate(answer['limit'])}" if answer["limit"] else "no limit"
    return f"{limit}, now {show_rate(answer['rateBytesS'])}"


@spread
def monitor(*, json: EventsJson = False, verbose: Everything = False, link: Link) -> None:
    """Show all active jobs live, and what happens, until Ctrl-C."""
    from protocol.cli.views.monitor import monitor as show

    with linked(link) as daemon:
        try:
            show(daemon, sys.stdout, sys.stderr, json=json, verbose=verbose)
        except KeyboardInterrupt:
            raise typer.Exit(ExitCode.INTERRUPTED) from None
