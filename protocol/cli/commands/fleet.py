"""Commands ``fleet ...``: nodes and jobs of all machines, asked of the daemon of any of them."""

from typing import Annotated, Any, Final

import typer

from protocol.cli.args import Link, RowsJson, argument, option, spread
from protocol.cli.parsing import checked_rate, checked_urls
from protocol.cli.remote.connection import linked, say_line, show_rows
from protocol.model.errors import BadUsage
from protocol.model.printable import count_of, printable
from protocol.model.source_url import name_from_url
from protocol.model.units import show_rate, show_size, show_whole_time

JOBS_SHOWN: Final = 50
STATES: Final = ("queued", "placed", "active", "sealing", "sealed", "failed", "cancelled")

Urls = Annotated[list[str] | None, argument("URL...", "Addresses of the same file, without passwords.")]
Name = Annotated[str, option("--name", metavar="NAME", help="Of the finished object or file. [default: as there]")]
Size = Annotated[int, option("--size", metavar="BYTES", help="Exact size. [default: what the sources say]")]
Nodes = Annotated[int, option("--nodes", metavar="N", help="How many nodes may fetch it together. [default: all]")]
Priority = Annotated[int, option("--priority", metavar="N", help="The highest is placed first.")]
FleetId = Annotated[str, argument("ID", "A job of the fleet, or how its id begins.")]
NodeName = Annotated[str, argument("NODE", "Name of a node.")]
Rate = Annotated[str, argument("RATE", "Of all nodes together, like 500M; 0: no limit.")]
Undo = Annotated[bool, option("--undo", help="Let it take jobs again.")]


def fleet_group(epilog: str) -> typer.Typer:
    """The commands ``fleet ...``."""
    group = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=False)

    @group.callback(epilog=epilog)
    def fleet() -> None:
        """Many machines, one list of jobs: nodes, jobs, orders. Any node's daemon answers for all."""

    for command in (status, jobs, get, why, cancel, drain, limit):
        group.command(command.__name__, epilog=epilog)(command)
    return group


@spread
def status(*, json: RowsJson = False, link: Link) -> None:
    """Show the nodes, their rates and jobs, and which of them places jobs."""
    with linked(link) as daemon:
        answer = daemon.ask("GET", _root())
    show_rows(status_lines(answer), [answer], json=json)


def status_lines(answer: Any) -> list[str]:
    """The fleet as a table."""
    leader = answer["leader"] or "none"
    into = printable(answer["destination"])
    lines = [f"fleet {answer['fleet']} into {into}, leader {leader}, asked {answer['node']}"]
    if answer["state"] != "joined" or answer["text"]:
        lines.append(f"{answer['state']}: {printable(answer['text'] or '')}")
    if answer["limitBytesS"]:
        lines.append(f"at most {show_rate(answer['limitBytesS'])} together")
    for node in answer["nodes"]:
        free = "?" if node["freeBytes"] is None else show_size(node["freeBytes"])
        drained = "  drains" if node["draining"] else ""
        rate = show_rate(round(node["rateBytesS"]))
        lines.append(f"  {node['name']:<16} {rate:>12}  {node['jobs']}/{node['slots']} jobs  {free} free{drained}")
    for node in answer["gone"]:
        had = f", had {', '.join(map(printable, node['jobs']))}" if node["jobs"] else ""
        lines.append(f"  {node['name']:<16} gone, silent for {show_whole_time(node['silentS'])}{had}")
    return lines


@spread
def jobs(*, json: RowsJson = False, link: Link) -> None:
    """List the jobs of all nodes, the newest first."""
    with linked(link) as daemon:
        rows = daemon.ask("GET", f"{_root()}/jobs", params={"limit": JOBS_SHOWN})
    show_rows(map(fleet_job_line, rows), rows, json=json)
    if not rows and not json:
        say_line("no jobs")


def fleet_job_line(row: Any) -> str:
    """One job in a line."""
    size = "?" if row["sizeBytes"] is None else show_size(row["sizeBytes"])
    parts = f"{row['partsStored']}/{row['parts']} parts" if row["parts"] else "-"
    line = f"{row['id'][:8]}  {row['state']:<9} {size:>10}  {parts:<14} {printable(row['name'])}"
    placed = f"  on {', '.join(row['nodes'])}" if row["nodes"] and not row["etag"] else ""
    return line + placed + (f"  ({printable(row['reason'])})" if row["reason"] else "")


@spread
def get(
    *,
    urls: Urls = None,
    name: Name = "",
    size: Size = -1,
    nodes: Nodes = 1000,
    priority: Priority = 0,
    json: RowsJson = False,
    link: Link,
) -> None:
    """Fetch one file by all nodes together into the fleet's bucket or folder. Returns when the fleet has the order."""
    addresses, _ = checked_urls(urls or [])
    if size < 0 and size != -1:
        raise BadUsage("--size must be at least 0")
    named = name or name_from_url(addresses[0])
    if not named:
        raise BadUsage("the address does not say what the file is called: give --name NAME")
    order = {
        "filename": named,
        "sources": [{"url": url} for url in addresses],
        "fileSize": size if size >= 0 else None,
        "nodes": nodes,
        "priority": priority,
    }
    with linked(link) as daemon:
        answer = daemon.order("/fleet/jobs", order)
    what = f"{printable(named)} of {count_of(len(addresses), 'source')}"
    show_rows([f"{answer['id'][:8]}  {what}"], [answer], json=json)


@spread
def why(*, id: FleetId, json: RowsJson = False, link: Link) -> None:
    """Say what holds a job of the fleet back, and what its nodes do for it."""
    with linked(link) as daemon:
        answer = daemon.ask("GET", f"{_root()}/jobs/{_checked_id(id)}/why")
    show_rows(
        [f"{printable(row['kind'])}: {printable(row['text'])}" for row in answer["bindings"]], [answer], json=json
    )


@spread
def cancel(*, id: FleetId, json: RowsJson = False, link: Link) -> None:
    """End a job of the fleet; what is stored of it is removed."""
    with linked(link) as daemon:
        answer = daemon.ask("POST", f"{_root()}/jobs/{_checked_id(id)}/cancel")
    show_rows([f"cancelled {answer['id'][:8]}"], [answer], json=json)


@spread
def drain(*, node: NodeName, undo: Undo = False, json: RowsJson = False, link: Link) -> None:
    """Let a node hand over its jobs and take no new ones, as before it is switched off."""
    with linked(link) as daemon:
        answer = daemon.ask("POST", f"{_root()}/nodes/{node.lower()}/{'undrain' if undo else 'drain'}")
    show_rows([f"{node} takes jobs again" if undo else f"{node} hands over its jobs"], [answer], json=json)


@spread
def limit(*, rate: Rate, json: RowsJson = False, link: Link) -> None:
    """Limit all nodes together, from now on."""
    wanted = checked_rate("RATE", rate)
    with linked(link) as daemon:
        answer = daemon.ask("PUT", f"{_root()}/limit", body={"limit": wanted})
    show_rows([f"at most {show_rate(wanted)} together" if wanted else "no limit"], [answer], json=json)


def _root() -> str:
    from protocol.client.http_client import ROOT

    return f"{ROOT}/fleet"


def _checked_id(word: str) -> str:
    if len(word) < 4 or set(word.lower()) - set("0123456789abcdef"):
        raise BadUsage("the id of a job of the fleet has at least 4 of 0 to 9 and a to f (see: fleet jobs)")
    return word.lower()
