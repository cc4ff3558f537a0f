"""Rows of a daemon's jobs and of the pool's targets, as tables of printable words."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from protocol.cli.views.lines import NAME_WIDTH_MAX, table_lines, target_table
from protocol.client.saved_pool import PoolTarget
from protocol.model.printable import cut, printable
from protocol.model.source_url import public_url
from protocol.model.units import show_percent, show_rate, show_size, show_whole_time

ID_SHOWN: Final = 8
"""This many characters tell an id from a million others, nearly always; whether they do is always checked."""
_JOB_HEAD: Final = ("id", "state", "done", "size", "rate", "left", "sources", "name")


def job_lines(jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A head and a line for each; nothing for none."""
    return table_lines([_JOB_HEAD, *map(_job_cells, jobs)], left=frozenset((0, 1))) if jobs else []


def target_lines(targets: Sequence[PoolTarget]) -> list[str]:
    """A head and a line for each; nothing for none."""
    return target_table("sources", [(one, len(one.sources)) for one in targets])


def target_fields(target: PoolTarget) -> dict[str, Any]:
    """A target for programs."""
    return {
        "event": "target",
        "size": target.size_bytes,
        "extension": target.extension,
        "name": target.name,
        "sources": len(target.sources),
        "free": target.free,
        "speed_bytes_s": target.speed_bytes_s,
        "shortest_queue": target.shortest_queue,
        "sureness": target.sureness,
        "addresses": [public_url(source.url) for source in target.sources],
    }


def job_line(job: Mapping[str, Any]) -> str:
    """One job in a line, with what an action made of it."""
    facts = [f"{done(job)} of {show_size(job['sizeBytes'])}" if job["sizeBytes"] is not None else "size unknown"]
    if job["reason"]:
        facts.append(printable(job["reason"]))
    return f"{job['id'][:ID_SHOWN]} {job['state']}: {name_of(job)} ({', '.join(facts)})"


def name_of(job: Mapping[str, Any]) -> str:
    """Printable and never empty."""
    return printable(job["name"] or job["term"] or "") or "?"


def done(job: Mapping[str, Any]) -> str:
    """The part of the file that is here."""
    if job["state"] == "sealed":
        return "100 %"
    return show_percent(job["storedBytes"], job["sizeBytes"]) if job["sizeBytes"] else "-"


def _job_cells(job: Mapping[str, Any]) -> tuple[str, ...]:
    active = job["state"] == "active"
    return (
        job["id"][:ID_SHOWN],
        printable((job["phase"] or job["state"]) if active else job["state"]),
        done(job),
        show_size(job["sizeBytes"]) if job["sizeBytes"] is not None else "?",
        show_rate(job["rateBytesS"]) if active else "-",
        show_whole_time(job["leftS"]) if active and job["leftS"] is not None else "-",
        f"{job['sourcesActive']}/{job['sourceCount']}" if active else str(job["sourceCount"]),
        cut(name_of(job), NAME_WIDTH_MAX),
    )
