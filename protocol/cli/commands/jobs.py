"""Looking at a daemon's jobs: lists, one live, why it waits, all of them live; and how fast they may be."""

import sys
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from protocol.cli.args import ApiKey, ApiKeyFile, DaemonUrl, Json, Quiet, RowsJson
from protocol.cli.completion import complete_ids
from protocol.cli.exit_codes import ExitCode
from protocol.cli.parsing import checked_count, checked_rate, checked_word
from protocol.cli.remote.connection import Link, linked
from protocol.model.errors import BadUsage
from protocol.model.printable import printable
from protocol.model.units import show_rate

STATES: Final = ("queued", "active", "paused", "sealed", "failed", "cancelled")
JOBS_SHOWN: Final = 50
JOBS_SHOWN_MAX: Final = 100_000

Id = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="The job, by the beginning of its id.", show_default=False, autocompletion=complete_ids
    ),
]
States = Annotated[
    list[str] | None,
    typer.Option("--state", metavar="|".join(STATES), help="Only jobs in this state; may be repeated."),
]
All = Annotated[bool, typer.Option("--all", help="All that there are, also those that were removed from lists.")]
Most = Annotated[str, typer.Option("--limit", metavar="N", help="Show at most so many, the newest.")]
Rate = Annotated[
    str,
    typer.Argument(
        metavar="RATE",
        help="Bytes a second, like 500K or 2.5M/s; 0: no limit; auto: as the configuration says. Without: show it.",
        show_default=False,
    ),
]
OfJob = Annotated[
    str,
    typer.Option("--job", metavar="ID", help="Only for this job.", show_default=False, autocompletion=complete_ids),
]
Everything = Annotated[bool, typer.Option("--verbose", "-v", help="Also each time the standing of a source changes.")]


def jobs_command() -> Callable[..., None]:
    def jobs(
        state: States = None,
        every: All = False,
        limit: Most = str(JOBS_SHOWN),
        json: RowsJson = False,
        url: DaemonUrl = "",
        api_key: ApiKey = "",
        api_key_file: ApiKeyFile = "",
    ) -> None:
        """List the daemon's jobs, the newest first."""
        from protocol.cli.views.job_table import JsonRows, job_lines
        from protocol.cli.views.lines import LineWriter

        states = [checked_word("--state", word, STATES) for word in state or ()]
        most = JOBS_SHOWN_MAX if every else checked_count("--limit", limit, JOBS_SHOWN_MAX)
        with linked(Link(url=url, api_key=api_key, api_key_file=api_key_file)) as daemon:
            found, total = daemon.jobs({"state": states, "removed": every}, most=most)
        if json:
            for job in found:
                JsonRows(sys.stdout).write(job)
            return
        out = LineWriter(sys.stdout)
        for line in job_lines(found):
            out.write(line)
        if total > len(found):
            out.write(f"{total - len(found)} more (--all)")
        elif not found:
            LineWriter(sys.stderr).write("no jobs")

    return jobs


def job_command() -> Callable[..., None]:
    def job(
        id: Id,
        json: Json = False,
        quiet: Quiet = False,
        url: DaemonUrl = "",
        api_key: ApiKey = "",
        api_key_file: ApiKeyFile = "",
    ) -> None:
        """Show one job live, until it ends.

        Ends with the job's own exit code. Ctrl-C leaves it running in the daemon.
        """
        from protocol.cli.remote.download import follow
        from protocol.cli.views.base import Loudness

        with linked(Link(url=url, api_key=api_key, api_key_file=api_key_file)) as daemon:
            found = daemon.job(daemon.find_job(id), drawn=False)
            raise typer.Exit(follow(daemon, found, Loudness(json=json, quiet=quiet)))

    return job


def why_command() -> Callable[..., None]:
    def why(
        id: Id, json: RowsJson = False, url: DaemonUrl = "", api_key: ApiKey = "", api_key_file: ApiKeyFile = ""
    ) -> None:
        """Say what holds a job back now, the tightest first."""
        from protocol.cli.views.job_table import JsonRows
        from protocol.cli.views.lines import LineWriter
        from protocol.client.http_client import ROOT

        with linked(Link(url=url, api_key=api_key, api_key_file=api_key_file)) as daemon:
            told = daemon.ask("GET", f"{ROOT}/jobs/{daemon.find_job(id)}/why")
        if json:
            JsonRows(sys.stdout).write(told)
            return
        for line in why_lines(told):
            LineWriter(sys.stdout).write(line)

    return why


def why_lines(told: Any) -> list[str]:
    rows = [f"{printable(row['kind'])}: {printable(row['text'])}" for row in told["bindings"]]
    return rows or [printable(told["text"])]


def limit_command() -> Callable[..., None]:
    def limit(
        rate: Rate = "",
        job: OfJob = "",
        json: RowsJson = False,
        url: DaemonUrl = "",
        api_key: ApiKey = "",
        api_key_file: ApiKeyFile = "",
    ) -> None:
        """Limit all jobs together, or one, from now on; without a rate, show what holds."""
        from protocol.cli.views.job_table import JsonRows
        from protocol.cli.views.lines import LineWriter

        if job and rate == "auto":
            raise BadUsage("auto is for all jobs together: the configuration says nothing of one job")
        limit_bytes_s = None if rate in ("", "auto") else checked_rate("RATE", rate)
        with linked(Link(url=url, api_key=api_key, api_key_file=api_key_file)) as daemon:
            told = _limited(daemon, daemon.find_job(job) if job else "", asked=bool(rate), limit_bytes_s=limit_bytes_s)
        if json:
            JsonRows(sys.stdout).write(told)
        else:
            LineWriter(sys.stdout).write(limit_line(told))

    return limit


def _limited(daemon: Any, id: str, *, asked: bool, limit_bytes_s: int | None) -> Any:
    from protocol.client.http_client import ROOT

    body = {"limit": limit_bytes_s}
    if id:
        path = f"{ROOT}/jobs/{id}"
        return daemon.ask("PATCH", path, body=body) if asked else daemon.job(id, drawn=False)
    return daemon.ask("PUT", f"{ROOT}/limit", body=body) if asked else daemon.ask("GET", f"{ROOT}/limit")


def limit_line(told: Any) -> str:
    limit = f"at most {show_rate(told['limit'])}" if told["limit"] else "no limit"
    return f"{limit}, now {show_rate(told['rateBytesS'])}"


def monitor_command() -> Callable[..., None]:
    def monitor(
        json: Annotated[bool, typer.Option("--json", help="Each event as one JSON object a line.")] = False,
        verbose: Everything = False,
        url: DaemonUrl = "",
        api_key: ApiKey = "",
        api_key_file: ApiKeyFile = "",
    ) -> None:
        """Show all active jobs live, and what happens, until Ctrl-C."""
        from protocol.cli.views.monitor import monitor as show

        with linked(Link(url=url, api_key=api_key, api_key_file=api_key_file)) as daemon:
            try:
                show(daemon, sys.stdout, sys.stderr, json=json, verbose=verbose)
            except KeyboardInterrupt:
                raise typer.Exit(ExitCode.INTERRUPTED) from None

    return monitor
