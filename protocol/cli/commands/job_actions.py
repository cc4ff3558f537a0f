"""Orders to jobs of a daemon: pause, resume, cancel, retry, delete."""

import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Final

import typer

from protocol.cli.args import ApiKey, ApiKeyFile, DaemonUrl, RowsJson
from protocol.cli.completion import complete_ids
from protocol.cli.exit_codes import ExitCode
from protocol.cli.remote.connection import Link, linked
from protocol.model.errors import BadUsage

Ids = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ID",
        help="Jobs, by the beginnings of their ids.",
        show_default=False,
        autocompletion=complete_ids,
    ),
]

_ORDERS: Final = {
    "pause": "Stop jobs and keep what they have.",
    "resume": "Put paused jobs back into the queue.",
    "cancel": "End jobs; what they have stays on the disk.",
    "retry": "Put failed or cancelled jobs back; they go on with what they have.",
    "delete": "Forget ended jobs. Part files go too, finished files stay.",
}


def order_commands() -> Mapping[str, Callable[..., None]]:
    return {name: _order_command(name, words) for name, words in _ORDERS.items()}


def _order_command(order: str, words: str) -> Callable[..., None]:
    def command(
        ids: Ids = None,
        json: RowsJson = False,
        url: DaemonUrl = "",
        api_key: ApiKey = "",
        api_key_file: ApiKeyFile = "",
    ) -> None:
        raise typer.Exit(_order(order, ids or [], Link(url=url, api_key=api_key, api_key_file=api_key_file), json=json))

    command.__doc__ = words
    return command


def _order(order: str, words: list[str], link: Link, *, json: bool) -> int:
    """All ids are looked up before anything is done."""
    from protocol.cli.views.job_table import JsonRows, job_line
    from protocol.cli.views.lines import LineWriter
    from protocol.client.http_client import ROOT

    if not words:
        raise BadUsage(f"{order} needs the id of a job, or how it begins (see: jobs)")
    with linked(link) as daemon:
        ids = dict.fromkeys(daemon.find_job(word) for word in words)
        for id in ids:
            path = f"{ROOT}/jobs/{id}"
            job = daemon.ask("DELETE", path) if order == "delete" else daemon.ask("POST", f"{path}/{order}")
            if json:
                JsonRows(sys.stdout).write(job)
            else:
                done = f"deleted {job_line(job)}" if order == "delete" else job_line(job)
                LineWriter(sys.stdout).write(done)
    return ExitCode.SEALED
